"""The end of a quad: how its field falls off along the beam, and the field there.

All multipoles of a quad share one profile F(s), s = 0 at the end of the plates and positive outside. With

    Phi = sum_n Re[(F - r^2 F''/(4 (n+1)) + r^4 F''''/(32 (n+1) (n+2))) a_n (z/r0)^n]

Laplace's equation holds in three dimensions up to the next term, of the sixth derivative. (The terms follow from
Laplacian(r^2k z^n) = 4 k (k + n) r^(2k-2) z^n in the plane.) F is a sum of three tanh steps: all derivatives are
polynomials in the tanh.

The profile was calculated with boundary elements in three dimensions: `fields.data.make_fringe`. The numbers are
in ``data/fringe.csv``; they scatter by 5e-5 about the calculation, and the extension of the plates is known to
0.05 mm (it moves by 0.03 mm when the panels are halved).
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fields.multipoles import Row
from fields.ring import R_REFERENCE
from gpu.kernel import scalar

PROFILE_FILE = Path(__file__).parent / "data" / "fringe.csv"
PROFILE_ERROR = 5e-5  # largest difference of F from the calculation
EXTENSION_ERROR = 5e-5  # of the effective extension [m]
REACH = 0.160  # beyond this distance from a plate end F is taken as 0 or 1 (it differs by 2e-4) [m]
_PER_R0 = 1.0 / R_REFERENCE
_R0_2 = R_REFERENCE * R_REFERENCE
_R0_4 = _R0_2 * _R0_2


class FringeProfile(NamedTuple):
    """F(s) = sum_k weight_k/2 (1 - tanh((s - place_k)/width_k)); weights add up to 1."""

    weight: NDArray[np.float64]  # (k,)
    place: NDArray[np.float64]  # (k,) [m]
    width: NDArray[np.float64]  # (k,) [m]


@lru_cache(maxsize=1)
def fringe_profile() -> FringeProfile:
    """Profile of the ends of the quads, read once."""
    weight, place, width = np.loadtxt(PROFILE_FILE, delimiter=",", unpack=True)
    columns = [np.ascontiguousarray(column) for column in (weight, place, width)]
    for column in columns:
        column.flags.writeable = False
    return FringeProfile(*columns)


def effective_extension() -> float:
    """Length by which a plate end acts beyond itself: integral of F(s) - 1 (s < 0) over the end [m]."""
    profile = fringe_profile()
    return float(profile.weight @ profile.place)


@scalar
def profile_at(s: float, profile: FringeProfile) -> tuple[float, float, float, float, float, float]:
    """F and its first five derivatives [1/m^k] at distance s from the end of the plates, outward [m]."""
    f0, f1, f2, f3, f4, f5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(profile.weight.size):
        per = 1.0 / profile.width[k]
        t = math.tanh((s - profile.place[k]) * per)
        u = 1.0 - t * t
        half = -0.5 * profile.weight[k]
        f0 += half * (t - 1.0)
        half *= per
        f1 += half * u
        half *= per
        f2 += half * (-2.0 * t * u)
        half *= per
        f3 += half * (2.0 * u * (3.0 * t * t - 1.0))
        half *= per
        f4 += half * (8.0 * t * u * (2.0 - 3.0 * t * t))
        half *= per
        f5 += half * (8.0 * u * (2.0 + t * t * (15.0 * t * t - 15.0)))
    return f0, f1, f2, f3, f4, f5


@scalar
def fringe_field(
    x: float, y: float, s: float, real: Row, imag: Row, profile: FringeProfile
) -> tuple[float, float, float, float]:
    """Potential and field near the end of a quad.

    Parameters
    ----------
    x, y
        Position [m].
    s
        Distance from the end of the plates, positive outside [m].
    real, imag
        Parts of the coefficients a_n far inside the quad [V], shape (order + 1,).
    profile
        `FringeProfile`.

    Returns
    -------
    (float, float, float, float)
        phi [V], ex, ey and the outward component along s [V/m].
    """
    f0, f1, f2, f3, f4, f5 = profile_at(s, profile)
    f2, f3, f4, f5 = -0.25 * _R0_2 * f2, -0.25 * _R0_2 * f3, _R0_4 / 32.0 * f4, _R0_4 / 32.0 * f5
    u, v = x * _PER_R0, y * _PER_R0
    # S_0 = sum a_n z^n, S_1 with a_n/(n+1), S_2 with a_n/((n+1)(n+2)); value and slope of each, by Horner
    a, b, c = 0.0, 0.0, 0.0
    a_im, b_im, c_im = 0.0, 0.0, 0.0
    da, db, dc = 0.0, 0.0, 0.0
    da_im, db_im, dc_im = 0.0, 0.0, 0.0
    for k in range(real.size):
        n = real.size - 1 - k
        one = 1.0 / (n + 1.0)
        two = one / (n + 2.0)
        da, da_im = da * u - da_im * v + a, da * v + da_im * u + a_im
        db, db_im = db * u - db_im * v + b, db * v + db_im * u + b_im
        dc, dc_im = dc * u - dc_im * v + c, dc * v + dc_im * u + c_im
        a, a_im = a * u - a_im * v + real[n], a * v + a_im * u + imag[n]
        b, b_im = b * u - b_im * v + real[n] * one, b * v + b_im * u + imag[n] * one
        c, c_im = c * u - c_im * v + real[n] * two, c * v + c_im * u + imag[n] * two
    r2 = u * u + v * v
    phi = f0 * a + r2 * (f2 * b + r2 * f4 * c)
    radial = 2.0 * f2 * b + 4.0 * r2 * f4 * c  # from the powers of r: times u, v
    slope_u = f0 * da + r2 * (f2 * db + r2 * f4 * dc) + u * radial
    slope_v = -(f0 * da_im + r2 * (f2 * db_im + r2 * f4 * dc_im)) + v * radial
    slope_s = f1 * a + r2 * (f3 * b + r2 * f5 * c)
    return phi, -slope_u * _PER_R0, -slope_v * _PER_R0, -slope_s
