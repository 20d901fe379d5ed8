"""Where the motion is looked at: collimators and observers, with side tracks that leave the orbit alone."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.block import Marks
from tracking.stations import RingTables
from tracking.step import BEND, make_scale

FloatArray = NDArray[np.float64]
TWO_PI = 2.0 * math.pi
_EDGE = 1e-9  # azimuths closer than this are one place [rad]


def make_marks(tables: RingTables, observers: Sequence[float], collimators: bool = True) -> Marks:
    """Marks of a ring in order of azimuth; at the same azimuth observers come before collimators.

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
    """
    wanted = [(math.fmod(math.fmod(theta, TWO_PI) + TWO_PI, TWO_PI), k, np.inf) for k, theta in enumerate(observers)]
    if collimators:
        radius = tables.reference.r0
        wanted += [(c.theta, -1, (c.radius / radius) ** 2) for c in tables.ring.collimators]
    wanted.sort(key=lambda mark: (mark[0], mark[1] < 0, mark[1]))
    stations = tables.stations
    starts = stations.piece_start
    scale: Any = make_scale(tables.options)
    rows: list[FloatArray] = []
    kinds: list[int] = []
    guards: list[FloatArray] = []
    first, pieces, fractions = [0], [], []
    for theta, _, _ in wanted:
        # A mark at the border of two pieces belongs to the later one: its side track is a bend.
        p = min(int(np.searchsorted(starts, theta + _EDGE, side="right")) - 1, starts.size - 2)
        fraction = (theta - starts[p]) / (starts[p + 1] - starts[p])
        fraction = round(fraction) if abs(fraction - round(fraction)) < _EDGE else fraction
        side_rows, side_kinds = _side_track(tables, p, fraction, scale.py_func)
        rows += side_rows
        kinds += side_kinds
        first.append(len(rows))
        pieces.append(p)
        fractions.append(fraction)
        guards.append(_guard(side_rows, wanted[len(guards)][2]))
    pieces_before = np.searchsorted(np.array(pieces, dtype=np.int64), np.arange(starts.size), side="left")
    return Marks(
        theta=np.array([mark[0] for mark in wanted]),
        observer=np.array([mark[1] for mark in wanted], dtype=np.int64),
        radius2=np.array([mark[2] for mark in wanted]),
        station=stations.piece_station[np.array(pieces, dtype=np.int64)],
        fraction=np.array(fractions, dtype=np.float64),
        piece_first=pieces_before.astype(np.int64),
        side_rows=np.array(rows).reshape(len(rows), tables.options.row_length),
        side_kinds=np.array(kinds, dtype=np.int64),
        side_first=np.array(first, dtype=np.int64),
        guard=np.array(guards).reshape(len(wanted), 4),
    )


def _side_track(
    tables: RingTables, p: int, fraction: float, scale: Callable[..., tuple[float, ...]]
) -> tuple[list[FloatArray], list[int]]:
    """Rows and kinds that lead from the last station before piece ``p`` to a fraction of the piece."""
    stations = tables.stations
    wait = float(stations.piece_wait[p])
    rows: list[FloatArray] = []
    kinds: list[int] = []
    for s in range(stations.piece_first[p], stations.piece_first[p + 1] if fraction > 0.0 else 0):
        rows.append(np.array(scale(tuple(stations.stage_rows[s]), fraction)))
        kinds.append(int(stations.stage_kinds[s]))
    if not rows:
        rows, kinds = [np.zeros(tables.options.row_length)], [BEND]
    rows[0][0] += wait
    for row in rows:
        row[1], row[2] = math.sin(row[0]), math.cos(row[0])
    return rows, kinds


def _guard(side_rows: list[FloatArray], radius2: float) -> FloatArray:
    """A side track as one bend, and the squared radius below which a muon there is inside the hole for sure.

    Leaving the kicks out shifts the muon by less than g L^2 times the radius, for the gradient g over the angle L.
    """
    angle = sum(row[0] for row in side_rows)
    reach = sum(abs(row[0]) for row in side_rows)
    shift = sum(abs(row[3] * row[5]) for row in side_rows) * reach
    radius = math.sqrt(radius2) * (1.0 - 2.0 * shift - 1e-12)
    return np.array([angle, math.sin(angle), math.cos(angle), max(radius, 0.0) ** 2])
