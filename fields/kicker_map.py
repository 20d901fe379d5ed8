"""A measured map of the kicker field across the aperture, as a series; the built-in shape is in `fields.kicker_plates`.

Between the plates there is no current, so B_y + i B_x is an analytic function of z = x + i y; with the two plates
mirror images left and right, and each above and below, only even powers with real coefficients are left:
B_y + i B_x = B(t) sum c_n (z/r0)^n, c_0 = 1, r0 = 45 mm. Rows of c_n go straight into
`fields.multipoles.magnetic_field`.

The public map (G2 = lyon-fnal/gm2ringsim @44aca36, KickerE989.dat) has its plates at x = +-45 mm, where its field
jumps (the geometry files have 51.1 mm): no power series holds there. Use it inside about 40 mm.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fields.columns import number_rows
from fields.maps import FieldMapError
from fields.ring import R_REFERENCE


def load_kicker_map(path: str | Path, order: int = 10, radius: float = 0.040) -> NDArray[np.float64]:
    """Coefficients c_n from a two-dimensional map.

    Parameters
    ----------
    path
        Text file: comments (``!``), a line with the counts of the grid, rows x [cm], y [cm], B_x, B_y in any unit.
    order
        Highest power, even.
    radius
        The series is fitted to the points within [m].

    Returns
    -------
    ndarray
        Shape (order + 1,), c_0 = 1.

    Raises
    ------
    FieldMapError
        If the file is missing, broken, incomplete, without a field at the centre, or no such series.
    ValueError
        If order or radius are not usable.
    """
    if order < 2 or order % 2 or not 0.0 < radius < 0.1:
        raise ValueError(f"kicker series of order {order} within {radius:g} m: give an even order and 0 to 0.1 m.")
    path = Path(path)
    counts: list[float] = []
    rows: list[list[float]] = []
    line = 0
    for line, numbers in number_rows(path):
        if len(numbers) == 2 and not counts and not rows:
            counts = numbers
        elif len(numbers) == 4:
            rows.append(numbers)
        else:
            what = f"{len(numbers)} numbers where x, y, Bx, By are due"
            raise FieldMapError(path, line, what, "complete or delete this line")
    if not counts or len(rows) != round(counts[0] * counts[1]):
        what = f"{len(rows)} points where the counts in front say {' x '.join(f'{n:g}' for n in counts) or 'nothing'}"
        raise FieldMapError(path, line, what, "fetch the whole file")
    table = np.array(rows)
    z = 0.01 * (table[:, 0] + 1j * table[:, 1])
    field = table[:, 3] + 1j * table[:, 2]
    centre = np.abs(z) < 1e-6
    if np.count_nonzero(centre) != 1 or field[centre][0].real == 0.0:
        raise FieldMapError(path, 0, "has no field at x = y = 0", "give a grid, in cm, that has the centre as a point")
    field = field / field[centre][0].real
    inside = np.abs(z) < radius
    if np.count_nonzero(inside) < 4 * order:
        what = f"has {np.count_nonzero(inside)} points within {1e3 * radius:g} mm"
        raise FieldMapError(path, 0, what, f"give a grid in cm with {4 * order} or more there")
    series = _even_series(z[inside], field[inside], order)
    off = np.polynomial.polynomial.polyval(z[inside] / R_REFERENCE, series) - field[inside]
    rms = float(np.sqrt(np.mean(np.abs(off) ** 2)))
    if rms > 0.1:
        what = f"is {rms:.2f} of its central field away from a field without currents (RMS)"
        raise FieldMapError(path, 0, what, "give Bx before By and no plate within the radius")
    return series


def _even_series(z: NDArray[np.complex128], field: NDArray[np.complex128], order: int) -> NDArray[np.float64]:
    """Real coefficients of the even powers, c_0 = 1, that fit the field at points z [m] best."""
    powers = np.arange(2, order + 1, 2)
    terms = (z[:, None] / R_REFERENCE) ** powers
    both = np.concatenate([terms.real, terms.imag])
    series = np.zeros(order + 1)
    series[0] = 1.0
    series[powers] = np.linalg.lstsq(both, np.concatenate([field.real - 1.0, field.imag]), rcond=None)[0]
    return series
