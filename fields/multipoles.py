"""Straight two-dimensional multipoles: a complex series in (x + i y)/r0, its value and its gradient.

A magnetic series is B_y + i B_x = sum c_n (z/r0)^n, an electric one Phi = Re sum a_n (z/r0)^n, z = x + i y,
r0 = 45 mm. Both satisfy Laplace's equation in the plane for any complex coefficients. Rows of real and
imaginary parts are float64 arrays, lowest order first, so that the same functions run in CPU and GPU kernels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fields.ring import R_REFERENCE
from gpu.kernel import scalar

Row = NDArray[np.float64]  # real or imaginary parts of the coefficients, shape (order + 1,)
_PER_R0 = 1.0 / R_REFERENCE


@scalar
def series_value(x: float, y: float, real: Row, imag: Row) -> tuple[float, float]:
    """Value of sum c_n (z/r0)^n.

    Parameters
    ----------
    x, y
        Position [m].
    real, imag
        Parts of c_n, shape (order + 1,), in the unit of the result.

    Returns
    -------
    (float, float)
        Real and imaginary part.
    """
    u = x * _PER_R0
    v = y * _PER_R0
    re = 0.0
    im = 0.0
    for k in range(real.size):
        n = real.size - 1 - k
        re, im = re * u - im * v + real[n], re * v + im * u + imag[n]
    return re, im


@scalar
def series_with_slope(x: float, y: float, real: Row, imag: Row) -> tuple[float, float, float, float]:
    """Value and derivative d/dz of sum c_n (z/r0)^n, by Horner's rule.

    Parameters
    ----------
    x, y
        Position [m].
    real, imag
        Parts of c_n, shape (order + 1,).

    Returns
    -------
    (float, float, float, float)
        Real and imaginary part of the value, then of the derivative [per m].
    """
    u = x * _PER_R0
    v = y * _PER_R0
    re = 0.0
    im = 0.0
    d_re = 0.0
    d_im = 0.0
    for k in range(real.size):
        n = real.size - 1 - k
        d_re, d_im = d_re * u - d_im * v + re, d_re * v + d_im * u + im
        re, im = re * u - im * v + real[n], re * v + im * u + imag[n]
    return re, im, d_re * _PER_R0, d_im * _PER_R0


@scalar
def magnetic_field(x: float, y: float, real: Row, imag: Row) -> tuple[float, float]:
    """Field (bx, by) [T] of the magnetic series B_y + i B_x = sum c_n (z/r0)^n at x, y [m]."""
    by, bx = series_value(x, y, real, imag)
    return bx, by


@scalar
def electric_field(x: float, y: float, real: Row, imag: Row) -> tuple[float, float, float]:
    """Potential and field (phi, ex, ey) [V, V/m] of Phi = Re sum a_n (z/r0)^n at x, y [m].

    With w(z) the series, dPhi/dx = Re w' and dPhi/dy = -Im w' (Cauchy-Riemann).
    """
    phi, _, slope_re, slope_im = series_with_slope(x, y, real, imag)
    return phi, -slope_re, slope_im
