"""Stations of the ring: from fields to rows of numbers that the step reads.

The circumference is cut into pieces: slices of quads, and free bends (cut finer where a magnetic map is to be
felt). A piece is a sequence of *stages*, each a bend and then a kick. For the march past the whole ring the
bends of neighbouring stages are joined into one station; the stages themselves serve a muon that stops inside
a piece, which is then crossed to a fraction only.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fields.quads import QuadSettings
from fields.ring import R_REFERENCE, Ring
from fields.storage import StorageField
from tracking.muon import ANOMALY, MASS, Reference, reference
from tracking.schemes import SABA2C, SCHEMES, Scheme
from tracking.step import BEND, ELECTRIC, HEAD, MAGNETIC, Options

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TWO_PI = 2.0 * math.pi
_EDGE = 1e-9  # azimuths closer than this are one place [rad]


class StationTable(NamedTuple):
    """The ring as arrays for kernels."""

    rows: FloatArray  # (stations, row_length): one turn from theta = 0, ends with a bend to 2 pi
    kinds: IntArray  # (stations,)
    stage_rows: FloatArray  # (stages, row_length): bends not joined
    stage_kinds: IntArray  # (stages,)
    piece_first: IntArray  # (pieces + 1,): first stage of each piece
    piece_start: FloatArray  # (pieces + 1,): azimuth of its begin [rad]
    piece_station: IntArray  # (pieces,): stations that lie before it
    piece_wait: FloatArray  # (pieces,): bend still to come from the last of these stations to its begin [rad]


@dataclass(frozen=True, eq=False)
class RingTables:
    """A ring ready for tracking."""

    ring: Ring
    reference: Reference
    options: Options
    stations: StationTable
    parameters: tuple[float, float, float]  # 1/(2 beta0), a/m, eta/(2m) in units of p0
    scheme: str
    kicks: int  # kicks of the quads in a turn
    anomaly: float
    field_index: float


@dataclass
class _Piece:
    """A slice of a quad or of a free bend, while the table is being made."""

    start: float
    end: float
    potential: NDArray[np.complex128] | None  # a_n of the quad in units of p0 c, n = 0 to order, for z = u + i v
    bends: tuple[float, ...] = (1.0,)
    kicks: tuple[float, ...] = ()
    maps: list[NDArray[np.complex128]] = field(default_factory=list)

    @property
    def length(self) -> float:
        return self.end - self.start

    @property
    def nodes(self) -> FloatArray:
        """Azimuths of the kicks."""
        return self.start + self.length * np.cumsum(self.bends[:-1])


def ring_tables(
    ring: Ring,
    quads: QuadSettings,
    storage: StorageField,
    *,
    scheme: str = "saba2c",
    refine: int = 1,
    map_stations: int = 40,
    spin: bool = True,
    anomaly: float = ANOMALY,
    eta: float = 0.0,
    slope: bool = True,
) -> RingTables:
    """Make the station table of a ring.

    The reference momentum is that of a muon that circles at the design radius in the average dipole field of
    the map.

    Parameters
    ----------
    ring, quads, storage
        Layout, electrostatic quads and storage field. A field that is a uniform dipole needs no magnetic
        kicks.
    scheme
        "saba2c" (24 kicks of the quads in a turn of the discrete ring) or "pefrl" (48).
    refine
        Factor on the number of slices; PEFRL refined 4 times is the reference.
    map_stations
        Stations in the free bends, where there is a map; the kicks of the quads carry the map too.
    spin
        Whether the spin is tracked.
    anomaly, eta
        Magnetic anomaly, and electric dipole moment in units of e/(4 m c) hbar.
    slope
        The slope term of the quads; False only to study its size.

    Raises
    ------
    ValueError
        For a scheme that does not exist, or a toroidal potential, which the tracker does not know.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme {scheme!r} is not known: choose one of {', '.join(SCHEMES)}.")
    if quads.toroidal:
        raise ValueError("the tracker knows straight multipoles only: set toroidal = False in the quad settings.")
    ref = reference(storage.b0, ring.radius)
    chosen = SCHEMES[scheme]
    has_map = bool(np.any(storage.c[:, 0] != storage.b0) or np.any(storage.c[:, 1:] != 0.0))
    pieces = _pieces(ring, quads, ref, chosen, refine, map_stations if has_map else 0)
    options = Options(spin, eta != 0.0, slope, _electric_order(pieces), storage.order if has_map else -1)
    if has_map:
        _deposit(pieces, storage, ref)
    m = MASS / ref.p0_gev
    return RingTables(
        ring=ring,
        reference=ref,
        options=options,
        stations=_table(pieces, options, chosen, ref),
        parameters=(0.5 / ref.beta0, anomaly / m, 0.5 * eta / m),
        scheme=scheme,
        kicks=sum(len(piece.kicks) for piece in pieces if piece.potential is not None),
        anomaly=anomaly,
        field_index=quads.field_index(ring, ref.b0, ref.beta0),
    )


def _pieces(
    ring: Ring, quads: QuadSettings, ref: Reference, scheme: Scheme, refine: int, map_stations: int
) -> list[_Piece]:
    """Cut the circumference into slices of quads and free bends."""
    free = max(TWO_PI - sum(quad.length for quad in ring.quads), _EDGE)  # none in the continuous ring
    pieces: list[_Piece] = []
    here = 0.0
    for quad in (*ring.quads, None):
        start = TWO_PI if quad is None else quad.theta_start
        if map_stations:
            borders = [here, *(c.theta for c in ring.collimators if here < c.theta < start), start]
            count = map_stations / len(SABA2C.kicks)
            for a, b in itertools.pairwise(borders):
                edges = np.linspace(a, b, max(1, round(count * (b - a) / free)) + 1)
                pieces += [
                    _Piece(c, d, None, SABA2C.bends, SABA2C.kicks)
                    for c, d in itertools.pairwise(edges)
                    if d - c > _EDGE
                ]
        elif start - here > _EDGE:
            pieces.append(_Piece(here, start, None))
        if quad is not None:
            a_n = quads.coefficients(quad.name)
            unit = 1e-9 / ref.p0_gev * (ref.r0 / R_REFERENCE) ** np.arange(a_n.size)
            count = max(1, round(quad.length / scheme.slice_angle)) * refine
            edges = np.linspace(quad.theta_start, quad.theta_end, count + 1)
            pieces += [_Piece(a, b, a_n * unit, scheme.bends, scheme.kicks) for a, b in itertools.pairwise(edges)]
            here = quad.theta_end
    return pieces


def _electric_order(pieces: list[_Piece]) -> int:
    """Highest order of any quad; 2 if all are pure normal quadrupoles."""
    order = 2
    for piece in pieces:
        if piece.potential is not None:
            used = np.flatnonzero(piece.potential[1:]) + 1
            pure = used.size == 0 or (used.tolist() == [2] and piece.potential[2].imag == 0.0)
            order = order if pure else max(order, 3, int(used[-1]))
    return order


def _deposit(pieces: list[_Piece], storage: StorageField, ref: Reference) -> None:
    """Share the magnetic map among the kicks.

    Each piece gives its own mean to its kicks by the weights of the scheme, so that a constant field is
    integrated to the order of the scheme; what is left is shared by hats over the kicks nearest on either
    side (never sampled at points: that aliases, by 200 ppb). The sum over all kicks is the integral of the
    map.

    The kicks need (1 + u)(B_y + i B_x). With multipoles of B on the midplane it continues as (1 + z) sum c_n
    z^n.
    """
    cells = [piece for piece in pieces if piece.kicks]
    nodes = np.concatenate([piece.nodes for piece in cells])
    means = [storage.integral(piece.start, piece.end) / piece.length for piece in cells]
    ripple = storage.hat_deposit(nodes) - _hat_deposit_of_steps(nodes, cells, means)
    scale = (ref.r0 / R_REFERENCE) ** np.arange(storage.order + 1) / ref.b0
    k = 0
    for piece, mean in zip(cells, means, strict=True):
        for weight in piece.kicks:
            c = (weight * piece.length * mean + ripple[k]) * scale
            c[0] -= weight * piece.length
            w = c.copy()
            w[1:] += c[:-1]
            piece.maps.append(w)
            k += 1


def _hat_deposit_of_steps(
    nodes: FloatArray, cells: list[_Piece], means: list[NDArray[np.complex128]]
) -> NDArray[np.complex128]:
    """Hat deposit of the field that is constant in each piece."""
    order = np.argsort(nodes)
    knots = np.concatenate(([nodes[order[-1]] - TWO_PI], nodes[order], [nodes[order[0]] + TWO_PI]))
    result = np.zeros((nodes.size, means[0].size), dtype=np.complex128)
    for position, k in enumerate(order):
        left, middle, right = knots[position : position + 3]
        for shift in (-TWO_PI, 0.0, TWO_PI):
            for cell, mean in zip(cells, means, strict=True):
                a, b = cell.start + shift, cell.end + shift
                share = 0.0
                for lo, hi, foot in ((left, middle, left), (middle, right, right)):
                    x0, x1 = max(a, lo), min(b, hi)
                    if x1 > x0:
                        share += (x1 - x0) * abs(0.5 * (x0 + x1) - foot) / (hi - lo)
                result[k] += share * mean
    return result


def _row(piece: _Piece, k: int, options: Options, scheme: Scheme, ref: Reference) -> tuple[FloatArray, int]:
    """Row and kind of stage ``k`` of a piece; its last stage is a bend alone."""
    row = np.zeros(options.row_length)
    row[0] = piece.length * piece.bends[k]
    if k >= len(piece.kicks):
        return row, BEND
    kind = 0
    if piece.potential is not None:
        kind |= ELECTRIC
        row[3] = piece.length * piece.kicks[k]
        g = -2.0 * piece.potential[2].real
        row[4] = scheme.commutator * (piece.length * g) ** 2 / ref.beta0
        row[5] = g
        if options.electric > 2:
            coefficients = np.zeros(options.electric, dtype=np.complex128)
            used = piece.potential[1 : options.electric + 1]
            coefficients[: used.size] = used
            row[HEAD : HEAD + options.electric_columns] = coefficients.view(np.float64)
    if piece.maps:
        kind |= MAGNETIC
        row[HEAD + options.electric_columns :] = piece.maps[k].view(np.float64)
    return row, kind


def _table(pieces: list[_Piece], options: Options, scheme: Scheme, ref: Reference) -> StationTable:
    """Rows of all stages, and of the stations with bends joined."""
    stage_rows: list[FloatArray] = []
    stage_kinds: list[int] = []
    rows: list[FloatArray] = []
    kinds: list[int] = []
    first, before, wait = [0], [], []
    pending = 0.0
    for piece in pieces:
        before.append(len(rows))
        wait.append(pending)
        for k in range(len(piece.bends)):
            row, kind = _row(piece, k, options, scheme, ref)
            stage_rows.append(row)
            stage_kinds.append(kind)
            pending += row[0]
            if kind != BEND:
                rows.append(row.copy())
                rows[-1][0] = pending
                kinds.append(kind)
                pending = 0.0
        first.append(len(stage_rows))
    closing = np.zeros(options.row_length)
    closing[0] = pending
    rows.append(closing)
    kinds.append(BEND)
    return StationTable(
        rows=_with_angles(rows),
        kinds=np.array(kinds, dtype=np.int64),
        stage_rows=_with_angles(stage_rows),
        stage_kinds=np.array(stage_kinds, dtype=np.int64),
        piece_first=np.array(first, dtype=np.int64),
        piece_start=np.array([piece.start for piece in pieces] + [TWO_PI]),
        piece_station=np.array(before, dtype=np.int64),
        piece_wait=np.array(wait),
    )


def _with_angles(rows: list[FloatArray]) -> FloatArray:
    table = np.array(rows)
    table[:, 1] = np.sin(table[:, 0])
    table[:, 2] = np.cos(table[:, 0])
    table.flags.writeable = False
    return table
