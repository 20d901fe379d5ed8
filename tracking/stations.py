"""Stations of the ring: from fields to rows of numbers that the step reads.

The circumference is cut into pieces: slices of quads, and free bends (cut finer where a magnetic map is to be
felt). A piece is a sequence of *stages*, each a bend and then a kick. For the march past the whole ring the
bends of neighbouring stages are joined into one station; the stages themselves serve a muon that stops inside
a piece, which is then crossed to a fraction only.

The table holds for all turns alike. Where something changes from turn to turn, :mod:`tracking.changes` makes a
table with rows of its own for each turn from it.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fields.quads import QuadSettings, clear_collimators
from fields.ring import Ring
from fields.storage import StorageField
from tracking.deposit import deposit
from tracking.muon import ANOMALY, MASS, Reference, reference
from tracking.pieces import Piece, cut_ring
from tracking.pulses import KickerPulses
from tracking.schemes import SCHEMES, Scheme
from tracking.step import BEND, ELECTRIC, HEAD, MAGNETIC, PULSED, Options

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TWO_PI = 2.0 * math.pi
_NO_GRADIENT = 1e-300  # stands for 0 where the commutator is divided by the gradient


class StationTable(NamedTuple):
    """The ring as arrays for kernels."""

    rows: FloatArray  # (turns x stations, row_length): each turn from theta = 0, ends with a bend to 2 pi
    kinds: IntArray  # (stations,)
    stage_rows: FloatArray  # (turns x stages, row_length): bends not joined
    stage_kinds: IntArray  # (stages,)
    piece_first: IntArray  # (pieces + 1,): first stage of each piece
    piece_start: FloatArray  # (pieces + 1,): azimuth of its begin [rad]
    piece_station: IntArray  # (pieces,): stations that lie before it
    piece_wait: FloatArray  # (pieces,): bend still to come from the last of these stations to its begin [rad]
    turns: int  # turns that have rows of their own; 1: all turns are alike
    first: int  # turn of the first rows
    entry: float  # azimuth at which the muons enter in turn 0 [rad]


class Slots(NamedTuple):
    """What each row of a table belongs to; arrays (rows,)."""

    quad: IntArray  # number of the quad in the ring, -1: none
    start: FloatArray  # azimuth of the begin of its piece [rad]
    length: FloatArray  # of the piece [rad]
    weight: FloatArray  # share of the piece in this kick; 0: no kick
    place: FloatArray  # azimuth of the kick [rad]


@dataclass(frozen=True, eq=False)
class RingTables:
    """A ring ready for tracking."""

    ring: Ring
    quads: QuadSettings
    reference: Reference
    options: Options
    stations: StationTable
    slots: Slots  # of the stations
    stage_slots: Slots
    parameters: tuple[Any, ...]  # 1/(2 beta0), a/m, eta/(2m) in units of p0; with kickers their pulses
    scheme: str
    kicks: int  # kicks of the quads in a turn
    anomaly: float
    field_index: float


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
    kickers: KickerPulses | None = None,
    electric_order: int = 2,
    magnetic_order: int = -1,
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
    kickers
        Pulses of the three kickers, for the first turns after injection.
    electric_order, magnetic_order
        Orders that the rows have room for at least, where what changes in time needs more than what is static.

    Raises
    ------
    ValueError
        For a scheme that does not exist, or a toroidal potential, which the tracker does not know.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme {scheme!r} is not known: choose one of {', '.join(SCHEMES)}.")
    if quads.toroidal:
        raise ValueError("the tracker knows straight multipoles only: set toroidal = False in the quad settings.")
    ring = clear_collimators(ring, quads)
    ref = reference(storage.b0, ring.radius)
    chosen = SCHEMES[scheme]
    static_map = bool(np.any(storage.c[:, 0] != storage.b0) or np.any(storage.c[:, 1:] != 0.0))
    order = max(storage.order if static_map else -1, magnetic_order)
    pieces = cut_ring(ring, quads, ref, chosen, refine, map_stations if order >= 0 else 0, kickers is not None)
    pulsed = -1 if kickers is None else kickers.order + 1
    options = Options(spin, eta != 0.0, slope, max(_electric_order(pieces), electric_order), order, pulsed)
    if order >= 0:
        deposit(pieces, storage, ref, order)
    m = MASS / ref.p0_gev
    parameters: tuple[Any, ...] = (0.5 / ref.beta0, anomaly / m, 0.5 * eta / m)
    if kickers is not None:
        parameters = (*parameters, kickers.in_units(ref))
    stations, slots, stage_slots = _table(pieces, options, chosen, ref, kickers)
    return RingTables(
        ring=ring,
        quads=quads,
        reference=ref,
        options=options,
        stations=stations,
        slots=slots,
        stage_slots=stage_slots,
        parameters=parameters,
        scheme=scheme,
        kicks=sum(len(piece.kicks) for piece in pieces if piece.potential is not None),
        anomaly=anomaly,
        field_index=quads.field_index(ring, ref.b0, ref.beta0),
    )


def _electric_order(pieces: list[Piece]) -> int:
    """Highest order of any quad; 2 if all are pure normal quadrupoles."""
    order = 2
    for piece in pieces:
        if piece.potential is not None:
            used = np.flatnonzero(piece.potential[1:]) + 1
            pure = used.size == 0 or (used.tolist() == [2] and piece.potential[2].imag == 0.0)
            order = order if pure else max(order, 3, int(used[-1]))
    return order


def _row(
    piece: Piece, k: int, options: Options, scheme: Scheme, ref: Reference, kickers: KickerPulses | None
) -> tuple[FloatArray, int]:
    """Row and kind of stage ``k`` of a piece; its last stage is a bend alone."""
    row = np.zeros(options.row_length)
    row[0] = piece.length * piece.bends[k]
    if k >= len(piece.kicks):
        return row, BEND
    kind = 0
    if piece.potential is not None:
        kind |= ELECTRIC
        row[3] = piece.length * piece.kicks[k]
        columns = electric_columns(piece.potential[None], np.array([piece.length]), options, scheme, ref)
        row[4:6], row[HEAD : HEAD + options.electric_columns] = columns[0, 0, :2], columns[0, 0, 2:]
    if piece.maps:
        kind |= MAGNETIC
        row[HEAD + options.electric_columns : options.pulse_column] = piece.maps[k].view(np.float64)
    if kickers is not None and piece.kicker >= 0:
        kind |= PULSED
        row[options.pulse_column] = piece.nodes[k]
        row[options.pulse_column + 1] = piece.kicker
        row[options.pulse_column + 2 :] = (kickers.series(ref) * piece.length * piece.kicks[k]).view(np.float64)
    return row, kind


def electric_columns(
    potential: NDArray[np.complex128], length: FloatArray, options: Options, scheme: Scheme, ref: Reference
) -> FloatArray:
    """Columns of a row that the potential of its quad decides.

    Parameters
    ----------
    potential
        Coefficients of (u + i v)^n in units of p0 c, shape (turns, order + 1).
    length
        Of the pieces that the rows belong to [rad], shape (rows,).

    Returns
    -------
    FloatArray
        Commutator, gradient and the series, shape (turns, rows, 2 + electric_columns).
    """
    turns, rows = potential.shape[0], length.size
    g = -2.0 * potential[:, 2].real
    g = np.where(g == 0.0, _NO_GRADIENT, g)[:, None]
    columns = np.zeros((turns, rows, 2 + options.electric_columns))
    columns[:, :, 0] = scheme.commutator * (length * g) ** 2 / ref.beta0
    columns[:, :, 1] = g
    if options.electric > 2:
        coefficients = np.zeros((turns, options.electric), dtype=np.complex128)
        used = potential[:, 1 : options.electric + 1]
        coefficients[:, : used.shape[1]] = used
        columns[:, :, 2:] = coefficients.view(np.float64)[:, None, :]
    return columns


def _table(
    pieces: list[Piece], options: Options, scheme: Scheme, ref: Reference, kickers: KickerPulses | None
) -> tuple[StationTable, Slots, Slots]:
    """Rows of all stages, and of the stations with bends joined."""
    stage_rows: list[FloatArray] = []
    stage_kinds: list[int] = []
    rows: list[FloatArray] = []
    kinds: list[int] = []
    slots: list[tuple[float, ...]] = []
    stage_slots: list[tuple[float, ...]] = []
    first, before, wait = [0], [], []
    pending = 0.0
    for piece in pieces:
        before.append(len(rows))
        wait.append(pending)
        nodes = piece.nodes
        for k in range(len(piece.bends)):
            row, kind = _row(piece, k, options, scheme, ref, kickers)
            is_kick = k < len(piece.kicks)
            slot = (
                piece.quad if is_kick else -1, piece.start, piece.length,
                piece.kicks[k] if is_kick else 0.0, nodes[k] if is_kick else piece.end,
            )  # fmt: skip
            stage_rows.append(row)
            stage_kinds.append(kind)
            stage_slots.append(slot)
            pending += row[0]
            if kind != BEND:
                rows.append(row.copy())
                rows[-1][0] = pending
                kinds.append(kind)
                slots.append(slot)
                pending = 0.0
        first.append(len(stage_rows))
    closing = np.zeros(options.row_length)
    closing[0] = pending
    rows.append(closing)
    kinds.append(BEND)
    slots.append((-1, TWO_PI, 0.0, 0.0, TWO_PI))
    table = StationTable(
        rows=with_angles(np.array(rows)),
        kinds=np.array(kinds, dtype=np.int64),
        stage_rows=with_angles(np.array(stage_rows)),
        stage_kinds=np.array(stage_kinds, dtype=np.int64),
        piece_first=np.array(first, dtype=np.int64),
        piece_start=np.array([piece.start for piece in pieces] + [TWO_PI]),
        piece_station=np.array(before, dtype=np.int64),
        piece_wait=np.array(wait),
        turns=1,
        first=0,
        entry=0.0,
    )
    return table, _slots(slots), _slots(stage_slots)


def _slots(rows: list[tuple[float, ...]]) -> Slots:
    quad, start, length, weight, place = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return Slots(quad.astype(np.int64), start, length, weight, place)


def with_angles(table: FloatArray) -> FloatArray:
    """The table with sine and cosine of its bend angles filled in, read-only; shape (rows, row_length)."""
    table[:, 1] = np.sin(table[:, 0])
    table[:, 2] = np.cos(table[:, 0])
    table.flags.writeable = False
    return table
