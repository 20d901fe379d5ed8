"""Fall-off of the main magnet outside the storage aperture, where decay positrons fly.

The built-in table (``fields/data/falloff.csv``, its source inside) has rows from 6.10 to 7.40 m at y = 0, 4
and 8 cm. In y the field is the even (B_y) or odd (B_r) polynomial through those, in r a monotone-limited
cubic (modified Akima). Against the full 1 cm grid it was thinned from, the worst error for |y| <= 4 cm is 0.9
% of B0 between 6.8 and 7.0 m, 0.1 % from 7.0 to 7.2 m, and 0.4 % inside 6.8 m; at the corner of the pole (r =
6.9 to 7.0 m, |y| = 7 to 8 cm) it reaches 19 %, outside 7.22 m 4 % (|y| <= 4 cm). A full map of the user's
(`fields.maps.load_rz_map`) removes this.

Outside the table the field is held at its edge inside 6.10 m (the full map is flat there), and continued
along the last slope outside 7.40 m; beyond |y| = 8 cm it is held.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator, RectBivariateSpline

from fields.maps import RZMap
from fields.ring import B0_NOMINAL
from gpu.kernel import scalar

_R_MIN, _R_MAX, _Y_MAX, _STEP = 5.90, 7.50, 0.10, 0.005  # grid of the kernels [m]
_TABLE_B0 = 1.45115  # field at R = 711.5 cm in the built-in table [T]
_CENTRE = 7.112  # where a user's map is normalised [m]


class FalloffTable(NamedTuple):
    """Field on an equidistant r-y grid, for kernels; y >= 0 only."""

    br: NDArray[np.float64]  # (nr, ny) [T]
    by: NDArray[np.float64]  # (nr, ny) [T]
    r_min: float  # [m]
    step: float  # of r and y [m]


def builtin_falloff(b0: float = B0_NOMINAL) -> FalloffTable:
    """Fall-off of the built-in table, scaled to the storage field `b0` [T]."""
    text = files("fields").joinpath("data/falloff.csv").read_text(encoding="utf-8")
    rows = np.array(
        [line.split(",") for line in text.splitlines() if line and not line.startswith("#")], dtype=np.float64
    )
    r_table, gauss = 0.01 * rows[:, 0], 1e-4
    r, y = _grid()
    inside = np.clip(r, r_table[0], r_table[-1])
    past = np.clip(r - r_table[-1], 0.0, None)
    by_0, by_4, br_4, by_8, br_8 = (_akima(r_table, gauss * rows[:, k], inside, past) for k in range(1, 6))
    held = np.minimum(y, 0.08) / 0.04
    # even and odd polynomials in v = y/4 cm through v = 0, 1, 2
    quartic = ((by_8 - by_0) / 4.0 - (by_4 - by_0)) / 3.0
    square = by_4 - by_0 - quartic
    cubic = (br_8 / 2.0 - br_4) / 3.0
    linear = br_4 - cubic
    by = by_0[:, None] + np.outer(square, held**2) + np.outer(quartic, held**4)
    br = np.outer(linear, held) + np.outer(cubic, held**3)
    scale = b0 / _TABLE_B0
    return FalloffTable(br=br * scale, by=by * scale, r_min=_R_MIN, step=_STEP)


def falloff_from_map(full_map: RZMap, b0: float = B0_NOMINAL) -> FalloffTable:
    """Fall-off from a full R-Z map, resampled by cubic splines and scaled to the storage field `b0` [T].

    Points without a value are filled with the nearest one in r; outside the map the field is held at its
    edge.
    """
    br, by = full_map.filled()
    r, y = _grid()
    r_in = np.clip(r, full_map.r[0], full_map.r[-1])
    y_in = np.clip(y, full_map.y[0], full_map.y[-1])
    centre = RectBivariateSpline(full_map.r, full_map.y, by, kx=3, ky=3)
    scale = b0 / float(centre(_CENTRE, 0.0)[0, 0])
    radial = RectBivariateSpline(full_map.r, full_map.y, br, kx=3, ky=3)(r_in, y_in)
    radial[:, 0] = 0.0
    return FalloffTable(br=scale * radial, by=scale * centre(r_in, y_in), r_min=_R_MIN, step=_STEP)


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r = _R_MIN + _STEP * np.arange(round((_R_MAX - _R_MIN) / _STEP) + 1)
    y = _STEP * np.arange(round(_Y_MAX / _STEP) + 1)
    return np.asarray(r, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _akima(
    r_table: NDArray[np.float64],
    values: NDArray[np.float64],
    inside: NDArray[np.float64],
    past: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Column of the table on the grid: modified Akima inside, straight line `past` [m] the last radius."""
    last_slope = (values[-1] - values[-2]) / (r_table[-1] - r_table[-2])
    curve = Akima1DInterpolator(r_table, values, method="makima")
    return np.asarray(curve(inside) + last_slope * past)


@scalar
def falloff_field(r: float, y: float, table: FalloffTable) -> tuple[float, float]:
    """Field of the main magnet at a point, bilinear between grid points.

    On the 5 mm grid the bilinear error is below 2e-4 of B0 (step^2/8 times a second derivative of 50 G/cm^2).

    Parameters
    ----------
    r
        Distance from the axis of the ring [m]; held at 5.9 and 7.5.
    y
        Height [m]; held at +-0.10.
    table
        `FalloffTable`.

    Returns
    -------
    (float, float)
        b_r (odd in y), b_y (even in y) [T].
    """
    per_step = 1.0 / table.step
    u = min(max((r - table.r_min) * per_step, 0.0), table.by.shape[0] - 1.0)
    v = min(abs(y) * per_step, table.by.shape[1] - 1.0)
    i = min(int(u), table.by.shape[0] - 2)
    j = min(int(v), table.by.shape[1] - 2)
    u -= i
    v -= j
    w00 = (1.0 - u) * (1.0 - v)
    w01 = (1.0 - u) * v
    w10 = u * (1.0 - v)
    w11 = u * v
    by = w00 * table.by[i, j] + w01 * table.by[i, j + 1] + w10 * table.by[i + 1, j] + w11 * table.by[i + 1, j + 1]
    br = w00 * table.br[i, j] + w01 * table.br[i, j + 1] + w10 * table.br[i + 1, j] + w11 * table.br[i + 1, j + 1]
    return (-br if y < 0.0 else br), by
