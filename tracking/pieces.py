"""The circumference cut into pieces: slices of quads and of the free bends between them."""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fields.quads import QuadSettings
from fields.ring import R_REFERENCE, Ring
from tracking.muon import Reference
from tracking.schemes import SABA2C, Scheme

FloatArray = NDArray[np.float64]
TWO_PI = 2.0 * math.pi
_EDGE = 1e-9  # azimuths closer than this are one place [rad]
_KICKER_PIECES = 2  # pieces of a kicker: a kick turns a muon by less than 1e-3


@dataclass
class Piece:
    """A slice of a quad or of a free bend: bend, kick, bend, ..., kick, bend."""

    start: float
    end: float
    potential: NDArray[np.complex128] | None  # a_n of the quad in units of p0 c, n = 0 to order, for z = u + i v
    bends: tuple[float, ...] = (1.0,)
    kicks: tuple[float, ...] = ()
    quad: int = -1  # number of the quad in the ring
    kicker: int = -1
    maps: list[NDArray[np.complex128]] = field(default_factory=list)

    @property
    def length(self) -> float:
        return self.end - self.start

    @property
    def nodes(self) -> FloatArray:
        """Azimuths of the kicks."""
        return self.start + self.length * np.cumsum(self.bends[:-1])


def cut_ring(
    ring: Ring, quads: QuadSettings, ref: Reference, scheme: Scheme, refine: int, map_stations: int, kicked: bool
) -> list[Piece]:
    """Cut the circumference into slices of quads and free bends."""
    edges_of = [quads.effective_edges(quad) for quad in ring.quads]
    free = TWO_PI - sum(end - start for start, end in edges_of)
    per_radian = map_stations / len(SABA2C.kicks) / free if free > _EDGE else 0.0
    pieces: list[Piece] = []
    here = 0.0
    for number, (start, end) in enumerate((*edges_of, (TWO_PI, TWO_PI))):
        quad = ring.quads[number] if number < len(ring.quads) else None
        pieces += _free_bends(ring, here, start, per_radian, kicked)
        if quad is not None:
            a_n = quads.coefficients(quad.name) * potential_units(ref, quads.coefficients(quad.name).size)
            count = max(1, round(quad.length / scheme.slice_angle)) * refine
            edges = np.linspace(start, end, count + 1)
            pieces += [Piece(a, b, a_n, scheme.bends, scheme.kicks, number) for a, b in itertools.pairwise(edges)]
            here = end
    return pieces


def potential_units(ref: Reference, size: int) -> FloatArray:
    """Factors from coefficients of the potential at 45 mm [V] to those of (u + i v)^n in units of p0 c, (size,)."""
    return np.asarray(1e-9 / ref.p0_gev * (ref.r0 / R_REFERENCE) ** np.arange(size), np.float64)


def _free_bends(ring: Ring, start: float, end: float, per_radian: float, kicked: bool) -> list[Piece]:
    """The pieces between two quads: one bend, or several with kicks for the map, cut at collimators, harps and
    kickers."""
    kickers = [(k.theta_start, k.theta_end, number) for number, k in enumerate(ring.kickers)] if kicked else []
    cuts = (
        [edge for a, b, _ in kickers for edge in (a, b)]
        + [c.theta for c in ring.collimators]
        + [h.theta for h in ring.harps]
    )
    borders = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    pieces: list[Piece] = []
    for a, b in itertools.pairwise(borders):
        if b - a <= _EDGE:
            continue
        inside = [number for low, high, number in kickers if low - _EDGE <= a and b <= high + _EDGE]
        if per_radian == 0.0 and not inside:
            pieces.append(Piece(a, b, None))
            continue
        count = max(_KICKER_PIECES if inside else 1, round(per_radian * (b - a)))
        number = inside[0] if inside else -1
        pieces += [
            Piece(c, d, None, SABA2C.bends, SABA2C.kicks, kicker=number)
            for c, d in itertools.pairwise(np.linspace(a, b, count + 1))
        ]
    return pieces
