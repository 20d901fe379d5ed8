"""Transverse shape of the kicker's field: two plates that carry opposite currents, in the vacuum chamber.

A pulse of 0.1 us does not enter metal: no field line crosses a surface, so A_z is constant on each conductor and
obeys Laplace's equation between them, as a potential does. With A_z = Re W, B_y + i B_x = -dW/dz. The two plates
carry opposite A_z, the chamber none.

Shape of the plates: G1 (lyon-fnal/gm2geom @17163ed) has flat plates at 51.1 mm, 80 mm tall; with these B_y 30 mm
out would be 1.15 of that at the centre, against 1.065 in the map KickerE989 of G2 (lyon-fnal/gm2ringsim
@44aca36). That map shows curved plates: arcs about the centre of radius 45 mm from -36.4 to +36.4 deg. With the
radius and the angle fitted to its multipoles (44.93 mm, 36.43 deg) the model follows it to 1e-3; the thickness
of 0.75 mm is G1's. The chamber is taken as symmetric, as in the map.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.plates import GROUND, CrossSection, Outline, rectangle, solve

FloatArray = NDArray[np.float64]

PLATE_RADIUS = 0.04493  # of the inner face [m]
PLATE_HALF_ANGLE = math.radians(36.43)
PLATE_THICKNESS = 0.00075  # [m] G1
CHAMBER_HALF_WIDTH = 0.111  # the outer wall on both sides [m]; G1
CHAMBER_HALF_HEIGHT = 0.069  # [m] G1
_SEGMENTS = 48  # of an arc


def _arc(owner: int, sign: float) -> Outline:
    """Plate on the side x sign > 0, its arcs as polygons finer toward the edges."""
    t = np.linspace(-1.0, 1.0, _SEGMENTS + 1)
    angle = PLATE_HALF_ANGLE * np.sign(t) * (1.0 - (1.0 - abs(t)) ** 2)
    outer = (PLATE_RADIUS + PLATE_THICKNESS) * np.exp(1j * angle)
    inner = PLATE_RADIUS * np.exp(1j * angle[::-1])
    corners = tuple(complex(z) for z in sign * np.concatenate([outer, inner]))
    return Outline(owner, corners, ((1,) * _SEGMENTS + (3,)) * 2)


@lru_cache(maxsize=1)
def kicker_section() -> CrossSection:
    """A_z of the outer plate (0) and the inner plate (1) in the chamber, one volt standing for one Wb/m."""
    box = rectangle(-CHAMBER_HALF_WIDTH, CHAMBER_HALF_WIDTH, -CHAMBER_HALF_HEIGHT, CHAMBER_HALF_HEIGHT)
    return solve([_arc(0, 1.0), _arc(1, -1.0), Outline(GROUND, box, (24,) * 4, grading=1.0)])


@lru_cache(maxsize=1)
def _centre() -> float:
    """B_y at the centre for A_z = -1 on the outer and +1 on the inner plate [T]."""
    return float((_by_bx(np.zeros(1), np.zeros(1))[0])[0])


def _by_bx(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    ex, ey = kicker_section().field(x, y)  # E_x - i E_y = -dW/dz = B_y + i B_x
    return ex[1] - ex[0], ey[0] - ey[1]


def kicker_shape(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Field of a kicker over that at its centre, anywhere in the chamber.

    Parameters
    ----------
    x, y
        Position [m].

    Returns
    -------
    (ndarray, ndarray)
        B_x and B_y over B_y(0, 0).
    """
    by, bx = _by_bx(x, y)
    return bx / _centre(), by / _centre()


def kicker_multipoles(order: int = 10) -> FloatArray:
    """Multipoles k_n of B_y + i B_x = sum_n k_n (z/r0)^n over the field at the centre, shape (order + 1,).

    Odd ones are zero by symmetry. The series converges up to the edges of the plates, 45 mm from the centre: to
    order 10 it is good to 0.2 % of the central field within 30 mm, 1.6 % within 35 mm and, in the direction of
    the edges, 15 % at 40 mm. `kicker_shape` has no such limit.

    Parameters
    ----------
    order
        Highest n.
    """
    series = kicker_section().multipoles(order + 1).real
    a = series[1] - series[0]
    n = np.arange(order + 1)
    k = np.where(n % 2 == 0, (n + 1) * a[1:] / a[1], 0.0)
    return np.asarray(k)
