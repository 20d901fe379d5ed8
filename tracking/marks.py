"""Where the motion is looked at: apertures and observers, with side tracks that leave the orbit alone."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fields.ring import KICKER_HALF_GAP, QUAD_HALF_GAP
from tracking.changes import Changes, change_rows
from tracking.state import COLLIMATOR, HARP, PLATES, Marks
from tracking.stations import RingTables, Slots, StationTable, with_angles
from tracking.step import BEND, make_scale

FloatArray = NDArray[np.float64]
TWO_PI = 2.0 * math.pi
_EDGE = 1e-9  # azimuths closer than this are one place [rad]
VALID_RADIUS = 0.060  # beyond this distance from the centre the series of the fields are not trusted [m]


class _Wanted(NamedTuple):
    """One place to look at."""

    theta: float
    observer: int
    radius: float = math.inf
    half_x: float = math.inf
    half_y: float = math.inf
    outer: float = 0.0
    thickness: float = 0.0
    side: float = 0.0
    pitch: float = 0.0
    beside: float = 0.0
    upright: float = 0.0


class _Side(NamedTuple):
    """A side track from the last station before a mark: its rows and what they belong to."""

    piece: int
    fraction: float
    rows: list[FloatArray]
    kinds: list[int]
    slots: list[tuple[float, ...]]


def make_marks(
    tables: RingTables,
    observers: Sequence[float],
    collimators: bool = True,
    *,
    plates: bool = False,
    harps: bool = False,
    stations: StationTable | None = None,
    changes: Changes | None = None,
    before: int = 0,
) -> Marks:
    """Marks of a ring in order of azimuth; at the same azimuth observers come before apertures.

    A side track leads from the last station before the mark to the mark: the rest of the bend, then the
    piece in which the mark lies, crossed to the fraction at which the mark is.

    Parameters
    ----------
    tables
        The ring.
    observers
        Azimuths [rad], any turn; numbered as given.
    collimators
        Whether the collimators of the ring count.
    plates
        Whether the plates of quads and kickers count.
    harps
        Whether the fibres of harps count.
    stations
        The table that is marched past, where it has rows of its own for each turn.
    changes, before
        As :func:`tracking.changes.timed_table` had them.
    """
    table = stations if stations is not None else tables.stations
    wanted = [_Wanted(math.fmod(math.fmod(t, TWO_PI) + TWO_PI, TWO_PI), k) for k, t in enumerate(observers)]
    wanted += _apertures(tables, collimators, plates)
    wanted += _harps(tables) if harps else []
    wanted.sort(key=lambda mark: (mark.theta, mark.observer < 0, mark.observer))
    scale: Any = make_scale(tables.options)
    sides = [_side_track(tables, mark.theta, scale.py_func) for mark in wanted]
    pieces = np.array([side.piece for side in sides], dtype=np.int64)
    rows, kinds = _side_rows(tables, table, sides, changes, before)
    first = np.cumsum([0] + [len(side.rows) for side in sides]).astype(np.int64)
    r0 = tables.reference.r0
    columns = np.array([mark[2:] for mark in wanted], dtype=np.float64).reshape(len(wanted), 9)
    return Marks(
        theta=np.array([mark.theta for mark in wanted], dtype=np.float64),
        observer=np.array([mark.observer for mark in wanted], dtype=np.int64),
        radius2=(columns[:, 0] / r0) ** 2,
        half_x=columns[:, 1] / r0,
        half_y=columns[:, 2] / r0,
        side=columns[:, 5].copy(),
        outer2=(columns[:, 3] / r0) ** 2,
        thickness=columns[:, 4].copy(),
        pitch=columns[:, 6] / r0,
        beside=columns[:, 7].copy(),
        upright=columns[:, 8].copy(),
        station=table.piece_station[pieces],
        fraction=np.array([side.fraction for side in sides], dtype=np.float64),
        piece_first=np.searchsorted(pieces, np.arange(table.piece_start.size), side="left").astype(np.int64),
        side_rows=rows.reshape(-1, tables.options.row_length),
        side_kinds=kinds,
        side_first=first,
        guard=_guards(rows, first, np.where(columns[:, 6:7] > 0.0, -1.0, columns[:, :3] / r0)).reshape(-1, 6),
    )


def _apertures(tables: RingTables, collimators: bool, plates: bool) -> list[_Wanted]:
    """Collimators, and the plates of quads (both ends, and the middle of long ones) and kickers (both ends)."""
    found: list[_Wanted] = []
    if collimators:
        found += [
            _Wanted(c.theta, COLLIMATOR, c.radius, outer=c.outer_radius, thickness=c.thickness, side=c.side)
            for c in tables.ring.collimators
        ]
    if plates:
        for quad in tables.ring.quads:
            places = np.linspace(quad.theta_start, quad.theta_end, 2 if quad.is_short else 3)
            found += [_Wanted(float(t), PLATES, VALID_RADIUS, QUAD_HALF_GAP, QUAD_HALF_GAP) for t in places]
        for kicker in tables.ring.kickers:
            places = np.array([kicker.theta_start, kicker.theta_end])
            found += [_Wanted(float(t), PLATES, VALID_RADIUS, KICKER_HALF_GAP) for t in places]
    return found


def _harps(tables: RingTables) -> list[_Wanted]:
    """The harps of the ring, in the order of their numbers; the muon that meets a fibre goes through it."""
    found = []
    for number, harp in enumerate(tables.ring.harps):
        extent = 0.5 * harp.length, float(harp.places[-1]) + harp.diameter
        half_x, half_y = extent[::-1] if harp.upright else extent
        found.append(
            _Wanted(
                harp.theta, HARP - number, 0.5 * harp.diameter, half_x, half_y, thickness=harp.diameter,
                pitch=harp.pitch, beside=float(harp.fibres // 2), upright=float(harp.upright),
            )
        )  # fmt: skip
    return found


def _side_track(tables: RingTables, theta: float, scale: Callable[..., tuple[float, ...]]) -> _Side:
    """Rows, kinds and slots that lead from the last station before an azimuth to it."""
    stations, slots = tables.stations, tables.stage_slots
    starts = stations.piece_start
    # A mark at the border of two pieces belongs to the later one: its side track is a bend.
    p = min(int(np.searchsorted(starts, theta + _EDGE, side="right")) - 1, starts.size - 2)
    fraction = (theta - starts[p]) / (starts[p + 1] - starts[p])
    fraction = float(round(fraction)) if abs(fraction - round(fraction)) < _EDGE else float(fraction)
    rows: list[FloatArray] = []
    kinds: list[int] = []
    own: list[tuple[float, ...]] = []
    for s in range(stations.piece_first[p], stations.piece_first[p + 1] if fraction > 0.0 else 0):
        rows.append(np.array(scale(tuple(stations.stage_rows[s]), fraction)))
        kinds.append(int(stations.stage_kinds[s]))
        own.append((slots.quad[s], slots.start[s], slots.length[s] * fraction, slots.weight[s], theta))
    if not rows:
        rows, kinds, own = [np.zeros(tables.options.row_length)], [BEND], [(-1, theta, 0.0, 0.0, theta)]
    rows[0][0] += float(stations.piece_wait[p])
    return _Side(p, fraction, rows, kinds, own)


def _side_rows(
    tables: RingTables, table: StationTable, sides: list[_Side], changes: Changes | None, before: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Rows of all side tracks for every turn of the table, shape (turns, rows, row_length), and their kinds."""
    rows = [row for side in sides for row in side.rows]
    kinds = np.array([kind for side in sides for kind in side.kinds], dtype=np.int64)
    turns = table.turns
    static = np.array(rows, dtype=np.float64).reshape(len(rows), tables.options.row_length)
    timed = np.repeat(static[None], turns, axis=0)
    if turns > 1 and rows:
        columns = np.array([slot for side in sides for slot in side.slots], dtype=np.float64).T
        slots = Slots(columns[0].astype(np.int64), *columns[1:])
        change_rows(timed, slots, tables, changes, table.first, before)
    if table.entry > 0.0 and table.first == 0:
        k = 0
        for side in sides:
            here = float(tables.stations.piece_start[side.piece])
            if here >= table.entry:  # the side track begins at the entry, not at the station before it
                begin = here - float(tables.stations.piece_wait[side.piece])
                timed[0, k, 0] -= max(0.0, table.entry - begin)
            k += len(side.rows)
    width = tables.options.row_length
    return with_angles(timed.reshape(-1, width)).reshape(turns, -1, width), kinds


def _guards(rows: FloatArray, first: NDArray[np.int64], sizes: FloatArray) -> FloatArray:
    """Each side track as one bend, and the sizes inside which a muon there is inside the aperture for sure.

    Leaving the kicks out shifts the muon by less than g L^2 times the radius, for the gradient g over the angle L;
    fields that kick without a gradient are bounded by a thousandth of the aperture's radius. A negative size, that of
    a harp, has no inside: every muon is looked at.
    """
    guards = np.zeros((rows.shape[0], sizes.shape[0], 6))
    for m in range(sizes.shape[0]):
        own = rows[:, first[m] : first[m + 1]]
        angle = own[:, :, 0].sum(axis=1)
        reach = np.abs(own[:, :, 0]).sum(axis=1)
        shift = np.abs(own[:, :, 3] * own[:, :, 5]).sum(axis=1) * reach
        kicked = np.any(own[:, :, 3] != 0.0, axis=1)
        safe = sizes[m] * np.maximum(1.0 - 2.0 * shift - 1e-3 * kicked - 1e-12, 0.0)[:, None]
        guards[:, m, 0], guards[:, m, 1], guards[:, m, 2] = angle, np.sin(angle), np.cos(angle)
        guards[:, m, 3] = safe[:, 0] ** 2
        guards[:, m, 4:] = safe[:, 1:]
    return guards
