"""Which hits of a station belong to one track: islands in time, then roads through both views."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.straws import CHANNELS, LAYERS, STATION_CHANNELS, WIRES, Stations
from gm2sim.tracks.settings import TrackSettings
from gpu.kernel import Kernel, scalar

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_HITS = 40  # of a track: 32 layers, and some more straws for those that cross at a slant
MOST_TRACKS = 6  # of an island
_FAR = 1e3
_STEEPEST, _FLATTEST = -1.5, 0.4  # slopes dx/dz of a road
_BENDS, _LEAST_BEND, _RATIO = 6, 0.1, 1.6  # curvatures tried: 0.1 to 1.05 per metre, those of 3.1 to 0.35 GeV/c
_BOTH = 2  # layers of each view that a track needs at least


class Ordered(NamedTuple):
    """Hits by island, then channel; shape (n,)."""

    row: IntArray  # in the hits that were given
    channel: IntArray
    layer: IntArray  # 0 to 31 in the station
    time: FloatArray  # since the first hit of the island [s]
    x: FloatArray  # of the wire at half height, in the station frame [m]
    z: FloatArray  # of the layer [m]
    used: IntArray  # 1 where a track has taken the hit


class Islands(NamedTuple):
    """Groups of hits; shape (islands,)."""

    first: IntArray  # row in Ordered
    last: IntArray  # one beyond the last
    station: IntArray
    time: FloatArray  # of the first hit [s]


class Candidates(NamedTuple):
    """Hits of possible tracks; shape (n,)."""

    island: IntArray
    station: IntArray
    time: FloatArray  # that hit times count from [s]
    hits: IntArray  # how many
    hit: IntArray  # rows in Ordered, by layer, shape (n, MOST_HITS)


class _Road(NamedTuple):
    """What is looked for in an island."""

    half: float  # half width [m]
    views: float  # between the views [m]
    planes: int


def find_islands(channel: IntArray, time: FloatArray, gap: float, longest: float) -> tuple[IntArray, IntArray]:
    """Group the hits of each station in time.

    Parameters
    ----------
    channel, time
        Of hits, shape (n,), time in [s].
    gap, longest
        Between hits, and of an island [s].

    Returns
    -------
    order, island
        Rows by station and time, and the island of each of these, from 0 on; shapes (n,).
    """
    station = np.asarray(channel, np.int64) // STATION_CHANNELS
    order = np.lexsort((time, station))
    t, s = np.asarray(time, np.float64)[order], station[order]
    new = (np.diff(t, prepend=-np.inf) > gap) | (np.diff(s, prepend=-1) > 0)
    begins = np.flatnonzero(new)
    ends = np.append(begins, t.size)[1:]
    # Islands that are too long are few: cut again and again where they have lasted long enough.
    for begin, end in zip(begins, ends, strict=True):
        while t[end - 1] - t[begin] > longest:
            begin += int(np.searchsorted(t[begin:end], t[begin] + longest, side="right"))
            new[begin] = True
    return order, np.asarray(np.cumsum(new) - 1, np.int64)


def order_hits(
    channel: IntArray, time: FloatArray, stations: Stations, settings: TrackSettings
) -> tuple[Ordered, Islands]:
    """Sort hits by island and channel and look up where their wires are."""
    order, island = find_islands(channel, time, settings.gap, settings.longest)
    by_channel = np.lexsort((channel[order], island))
    row, island = order[by_channel], island[by_channel]
    centre, direction = stations.wires()
    at_half = centre - direction * (centre[..., 1] / direction[..., 1])[..., None]
    places = at_half.reshape(CHANNELS, 3)
    first = np.flatnonzero(np.diff(island, prepend=-1))
    last = np.append(first, row.size)[1:]
    start = np.minimum.reduceat(time[row], first) if first.size else np.zeros(0)
    hit = channel[row]
    return (
        Ordered(
            row=row,
            channel=hit,
            layer=hit % STATION_CHANNELS // WIRES,
            time=time[row] - start[island],
            x=places[hit, 0],
            z=places[hit, 2],
            used=np.zeros(row.size, np.int64),
        ),
        Islands(first, last, hit[first] // STATION_CHANNELS, start),
    )


@scalar
def road_at(z: float, xa: float, za: float, zb: float, slope: float, bend: float) -> float:
    """Return x of a parabola through the anchors a and b [m]."""
    return xa + (z - za) * (slope - 0.5 * bend * (z - zb))


@scalar(inline=False)
def count_planes(
    first: int, last: int, view: int, xa: float, za: float, zb: float, slope: float, bend: float,
    half: float, hits: Ordered,
) -> float:  # fmt: skip
    """Return how many layers of a view have a free hit in a road, less a little for how far off the hits are."""
    planes, off, layer, best = 0, 0.0, -1, _FAR
    for k in range(first, last):
        if hits.used[k] > 0 or hits.layer[k] % LAYERS // 2 != view:
            continue
        away = abs(hits.x[k] - road_at(hits.z[k], xa, za, zb, slope, bend))
        if away > half:
            continue
        if hits.layer[k] != layer:
            off += best if layer >= 0 else 0.0
            planes, layer, best = planes + 1, hits.layer[k], away
        best = min(best, away)
    off += best if layer >= 0 else 0.0
    return planes - 0.5 * off / (half * max(planes, 1))


@scalar(inline=False)
def search_view(
    first: int, last: int, view: int, road: _Road, near: int, xn: float, an: float, bn: float, sn: float, cn: float,
    hits: Ordered,
) -> tuple[float, float, float, float, float, float]:  # fmt: skip
    """Return the best road of a view: score, x and z of an anchor, z of the other, slope, bend.

    All pairs of free hits in different modules are anchors, with some curvatures. Where `near` is 1 anchors must be
    near the road (xn, an, bn, sn, cn) of the other view.
    """
    top, xt, at, bt, st, ct = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for a in range(first, last):
        if hits.used[a] > 0 or hits.layer[a] % LAYERS // 2 != view:
            continue
        if near > 0 and abs(hits.x[a] - road_at(hits.z[a], xn, an, bn, sn, cn)) > road.views:
            continue
        for b in range(a + 1, last):
            if (
                hits.used[b] > 0
                or hits.layer[b] % LAYERS // 2 != view
                or hits.layer[b] // LAYERS == hits.layer[a] // LAYERS
            ):
                continue
            slope = (hits.x[b] - hits.x[a]) / (hits.z[b] - hits.z[a])
            if not _STEEPEST < slope < _FLATTEST:
                continue
            if near > 0 and abs(hits.x[b] - road_at(hits.z[b], xn, an, bn, sn, cn)) > road.views:
                continue
            bend = _LEAST_BEND
            for _ in range(_BENDS):
                score = count_planes(first, last, view, hits.x[a], hits.z[a], hits.z[b], slope, bend, road.half, hits)
                if score > top:
                    top, xt, at, bt, st, ct = score, hits.x[a], hits.z[a], hits.z[b], slope, bend
                bend *= _RATIO
    return top, xt, at, bt, st, ct


@Kernel
def _find(i: int, islands: Islands, hits: Ordered, counts: IntArray, rows: IntArray, road: _Road) -> None:
    """Take the best roads out of island i, one after the other."""
    first, last, found = islands.first[i], islands.last[i], 0
    while found < MOST_TRACKS:
        u, xu, au, bu, su, cu = search_view(first, last, 0, road, 0, 0.0, 0.0, 0.0, 0.0, 0.0, hits)
        v, xv, av, bv, sv, cv = search_view(first, last, 1, road, 1, xu, au, bu, su, cu, hits)
        in_u, in_v = math.ceil(u), math.ceil(v)
        if in_u < _BOTH or in_v < _BOTH or in_u + in_v < road.planes:
            break
        count = 0
        for k in range(first, last):
            if hits.used[k] > 0 or count >= MOST_HITS:
                continue
            if hits.layer[k] % LAYERS // 2 == 0:
                away = hits.x[k] - road_at(hits.z[k], xu, au, bu, su, cu)
            else:
                away = hits.x[k] - road_at(hits.z[k], xv, av, bv, sv, cv)
            if abs(away) <= road.half:
                hits.used[k] = 1
                rows[i * MOST_TRACKS + found, count] = k
                count += 1
        counts[i * MOST_TRACKS + found] = count
        found += 1


def find_candidates(hits: Ordered, islands: Islands, stations: Stations, settings: TrackSettings) -> Candidates:
    """Find possible tracks.

    In each island the curved road with hits in most layers of U is taken, then the one of V near it, then the next
    track from the hits that are left.

    Parameters
    ----------
    hits, islands
        From `order_hits`; hits that are taken are marked.
    stations
        The trackers.
    settings
        Widths, and least number of layers.
    """
    n = islands.first.size
    counts = np.zeros(n * MOST_TRACKS, np.int64)
    rows = np.full((n * MOST_TRACKS, MOST_HITS), -1, np.int64)
    road = _Road(settings.road, settings.views * stations.pitch, settings.least_planes)
    _find(n, islands, hits, counts, rows, road)
    full = np.flatnonzero(counts)
    island = full // MOST_TRACKS
    return Candidates(island, islands.station[island], islands.time[island], counts[full], rows[full])
