"""Integration schemes of a quad slice: how far to bend and how much to kick, in fractions of the slice."""

import math
from typing import NamedTuple


class Scheme(NamedTuple):
    """A symmetric splitting: bend, kick, bend, ..., kick, bend; one bend more than kicks."""

    bends: tuple[float, ...]
    kicks: tuple[float, ...]
    # Commutator {{A, B}, B} folded into the potential of the kicks: -commutator (h g)^2 (u^2 + v^2)/2 for a
    # gradient g.
    commutator: float
    slice_angle: float  # default length of a slice [rad]


_SQRT3 = math.sqrt(3.0)

SABA2C = Scheme(
    bends=(0.5 - _SQRT3 / 6.0, _SQRT3 / 3.0, 0.5 - _SQRT3 / 6.0),
    kicks=(0.5, 0.5),
    commutator=(2.0 - _SQRT3) / 12.0,
    slice_angle=math.radians(13.0),
)
"""Two Gauss nodes and the corrector of J. Laskar, P. Robutel, Celest. Mech. Dyn. Astron. 80, 39 (2001), table
2; the corrector of the quadrupole is part of the kicks, at no cost."""

_XI, _LAMBDA, _CHI = 0.1786178958448091, -0.2123418310626054, -0.06626458266981849

PEFRL = Scheme(
    bends=(_XI, _CHI, 1.0 - 2.0 * (_XI + _CHI), _CHI, _XI),
    kicks=(0.5 - _LAMBDA, _LAMBDA, _LAMBDA, 0.5 - _LAMBDA),
    commutator=0.0,
    slice_angle=math.radians(13.0),
)
"""Position-extended Forest-Ruth like, fourth order: I. P. Omelyan, I. M. Mryglod, R. Folk, Comput. Phys.
Commun. 146, 188 (2002), doi:10.1016/S0010-4655(02)00451-4, eqs. (20) and (22). Some bends go backwards, some
kicks are negative."""

SCHEMES: dict[str, Scheme] = {"saba2c": SABA2C, "pefrl": PEFRL}
