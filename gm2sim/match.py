"""Clusters beside the particles that made them: one to one, calorimeter by calorimeter, by time.

A true particle is a positron at the face of a calorimeter, with the photons that it made on its way and that reach the
same calorimeter with it, or a lost muon in the crystals. Matching is by nearest time, mutual, so that no cluster and no
particle is used twice. Particles left over within the dead time of a matched one are pileup of it: their energy is in
its cluster. Of such a group the particle of most energy counts as found, the others as merged.
"""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.geometry import N_CALORIMETERS
from gm2sim.reco import TIME_WINDOW, Clusters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MATCH_WINDOW = 5e-9
"""Largest distance in time of a cluster from its particle, and of particles that pile up [s]: the dead time of the
pileup correction (N. Kinnaird, dissertation 2020)."""
_BETWEEN = 1e-6  # [s] between calorimeters and fills put on one axis of time
_ROUNDS = 20  # of matching; each takes what the one before left over


class Kind(IntEnum):
    """What a true particle is."""

    POSITRON = 0  # with its photons
    MUON = 1  # a lost one


class Status(IntEnum):
    """What the reconstruction made of a particle."""

    MISSED = 0  # no cluster
    FOUND = 1  # a cluster of its own, or the one of most energy in its cluster
    MERGED = 2  # in the cluster of a particle of more energy


class TrueHits(NamedTuple):
    """Particles at the calorimeters, in order of fill, calorimeter and time; arrays (n,).

    Attributes
    ----------
    fill, calo, number : int64 arrays
        Event serial, calorimeter 0..23, muon number.
    kind : int64 array
        :class:`Kind`.
    energy : array [GeV]
        At the face; of a muon what it leaves in the crystals.
    time : array [s]
        Of the part with most energy.
    u, v : arrays [m]
        On the face, from its middle: away from the ring centre, up. Mean of the parts weighted by energy.
    parts : int64 array
        Positron and photons.
    """

    fill: Ints
    calo: Ints
    number: Ints
    kind: Ints
    energy: Floats
    time: Floats
    u: Floats
    v: Floats
    parts: Ints

    @classmethod
    def concatenate(cls, parts: Iterable["TrueHits"]) -> "TrueHits":
        """Particles of several files behind one another."""
        none, no = np.zeros(0), np.zeros(0, np.int64)
        listed = [cls(no, no, no, no, none, none, none, none, no), *parts]
        return cls(*(np.concatenate(columns) for columns in zip(*listed, strict=True)))

    def ordered(self) -> "TrueHits":
        """By fill, calorimeter and time."""
        order = np.lexsort((self.time, self.calo, self.fill))
        return TrueHits._make(column[order] for column in self)


class Match(NamedTuple):
    """Particles and clusters of the same fills, and which belongs to which.

    Attributes
    ----------
    hits : TrueHits
        n particles.
    clusters : Clusters
        m clusters, in order of fill, calorimeter and time.
    status : int64 array (n,)
        :class:`Status`.
    cluster : int64 array (n,)
        Row of the cluster that a particle's energy is in; -1 when missed.
    particle : int64 array (m,)
        Row of the particle that a cluster found; -1: nobody's, a fake.
    members : int64 array (m,)
        Particles in the cluster.
    true_energy : array (m,) [GeV]
        Their energy.
    """

    hits: TrueHits
    clusters: Clusters
    status: Ints
    cluster: Ints
    particle: Ints
    members: Ints
    true_energy: Floats


def match(hits: TrueHits, clusters: Clusters, window: float = MATCH_WINDOW) -> Match:
    """Match clusters to particles.

    Parameters
    ----------
    hits : TrueHits
    clusters : Clusters
        Of the same fills.
    window : float [s]
        Largest distance in time of a cluster from its particle, and of merged particles from the one that is matched.

    Raises
    ------
    ValueError
        If the window is not positive.
    """
    if not window > 0.0:
        raise ValueError(f"window = {window * 1e9:g} ns is out of bounds: give a positive time.")
    hits = hits.ordered()
    order = np.lexsort((clusters.time, clusters.calo, clusters.fill))
    clusters = Clusters._make(column[order] for column in clusters)
    true, seen = _one_axis(hits, clusters)
    particle = _one_to_one(true, seen, window)
    cluster = np.full(true.size, -1, np.int64)
    matched = np.flatnonzero(particle >= 0)
    cluster[particle[matched]] = matched
    status = np.where(cluster >= 0, Status.FOUND, Status.MISSED).astype(np.int64)

    lone, taken = np.flatnonzero(cluster < 0), np.flatnonzero(cluster >= 0)
    owner = _nearest(true[lone], true[taken], window)
    merged = lone[owner >= 0]
    cluster[merged] = cluster[taken[owner[owner >= 0]]]
    status[merged] = Status.MERGED

    inside = cluster >= 0
    members = np.bincount(cluster[inside], minlength=seen.size)
    total = np.bincount(cluster[inside], hits.energy[inside], seen.size)
    # The strongest of each group is the one that is found.
    rows = np.flatnonzero(inside)
    rows = rows[np.lexsort((hits.energy[rows], cluster[rows]))]
    strongest = rows[np.append(np.diff(cluster[rows]) > 0, True)] if rows.size else rows
    status[rows], status[strongest] = Status.MERGED, Status.FOUND
    particle[cluster[strongest]] = strongest
    return Match(hits, clusters, status, cluster, particle, members.astype(np.int64), total.astype(np.float64))


def true_hits(hits: dict[str, NDArray[Any]], muons: dict[str, NDArray[Any]] | None = None) -> TrueHits:
    """Particles from the tables of the truth.

    Parameters
    ----------
    hits : dict of str to array
        Columns fill, number, calo, u, v, energy, time of the truth's /hits: one row a positron or photon at a face.
        Those of one muon in one calorimeter within 2.5 ns are one particle.
    muons : dict of str to array, optional
        Columns fill, number, calo, u, v, deposit, time of /muon_hits.
    """
    parts = [_positrons(hits)]
    if muons is not None:
        n = len(muons["time"])
        whole = {name: muons[name].astype(np.int64) for name in ("fill", "calo", "number")}
        parts.append(
            TrueHits(
                **whole,
                kind=np.full(n, Kind.MUON, np.int64),
                energy=muons["deposit"],
                time=muons["time"],
                u=muons["u"],
                v=muons["v"],
                parts=np.ones(n, np.int64),
            )
        )
    return TrueHits.concatenate(parts).ordered()


def read_true_hits(paths: Path | str | Iterable[Path | str]) -> TrueHits:
    """Particles of truth files, in order of fill, calorimeter and time.

    Parameters
    ----------
    paths : path or several
        ``gm2_run*.truth.h5``.
    """
    from gm2sim.truth import open_truth

    names = ("fill", "number", "calo", "u", "v", "time")
    found = []
    for path in [paths] if isinstance(paths, Path | str) else list(paths):
        with open_truth(path) as file:
            hits = {name: file[f"hits/{name}"][:] for name in (*names, "energy")}
            muons = None
            if "muon_hits" in file:
                muons = {name: file[f"muon_hits/{name}"][:] for name in (*names, "deposit")}
        found.append(true_hits(hits, muons))
    return TrueHits.concatenate(found).ordered()


def has_hits(path: Path | str) -> bool:
    """Whether a truth file has particles at calorimeters."""
    from gm2sim.truth import open_truth

    with open_truth(path) as file:
        return "hits" in file and file["hits/time"].shape[0] > 0


def neighbours(hits: TrueHits) -> tuple[Floats, Floats]:
    """Time to, and distance on the face from, the particle of the same calorimeter that is nearest in time.

    Parameters
    ----------
    hits : TrueHits
        In order, as from :func:`read_true_hits`.

    Returns
    -------
    separation, distance : arrays (n,) [s], [m]
        Infinite where there is no other.
    """
    n = hits.time.size
    before, behind = np.full(n, np.inf), np.full(n, np.inf)
    same = (np.diff(hits.fill) == 0) & (np.diff(hits.calo) == 0)
    step = np.where(same, np.diff(hits.time), np.inf)
    before[1:], behind[:-1] = step, step
    separation = np.minimum(before, behind)
    other = np.clip(np.arange(n) + np.where(before < behind, -1, 1), 0, max(n - 1, 0))
    distance = np.hypot(hits.u - hits.u[other], hits.v - hits.v[other])
    return separation, np.where(np.isinf(separation), np.inf, distance)


def _positrons(hits: dict[str, NDArray[Any]]) -> TrueHits:
    """Positrons with their photons."""
    order = np.lexsort((hits["time"], hits["number"], hits["calo"], hits["fill"]))
    fill, calo, number = (hits[name][order].astype(np.int64) for name in ("fill", "calo", "number"))
    energy, time, u, v = (hits[name][order].astype(np.float64) for name in ("energy", "time", "u", "v"))
    n = time.size
    start = np.ones(n, np.bool_)
    same = (np.diff(fill) == 0) & (np.diff(calo) == 0) & (np.diff(number) == 0)
    start[1:] = ~same | (np.diff(time) > TIME_WINDOW)
    first = np.flatnonzero(start)
    if not n:
        return TrueHits.concatenate([])
    group = np.cumsum(start) - 1
    parts = np.bincount(group)
    total = np.add.reduceat(energy, first)
    by_energy = np.lexsort((energy, group))
    strongest = by_energy[np.append(first[1:], n) - 1]
    return TrueHits(
        fill=fill[first],
        calo=calo[first],
        number=number[first],
        kind=np.full(first.size, Kind.POSITRON, np.int64),
        energy=total,
        time=time[strongest],
        u=np.add.reduceat(energy * u, first) / total,
        v=np.add.reduceat(energy * v, first) / total,
        parts=parts.astype(np.int64),
    )


def _one_axis(hits: TrueHits, clusters: Clusters) -> tuple[Floats, Floats]:
    """Times of both on one axis, on which calorimeters and fills follow one another."""
    group = np.concatenate([one.fill * N_CALORIMETERS + one.calo for one in (hits, clusters)])
    time = np.concatenate([hits.time, clusters.time])
    if not time.size:
        return time, time
    _, number = np.unique(group, return_inverse=True)
    axis = time - time.min() + (np.ptp(time) + _BETWEEN) * number
    return axis[: hits.time.size], axis[hits.time.size :]


def _one_to_one(true: Floats, seen: Floats, window: float) -> Ints:
    """Particle of each cluster by mutual nearest times, in rounds; -1 without one."""
    particle = np.full(seen.size, -1, np.int64)
    left, free = np.arange(true.size), np.arange(seen.size)
    for _ in range(_ROUNDS):
        choice = _nearest(seen[free], true[left], window)
        answer = _nearest(true[left], seen[free], window)
        asked = choice >= 0
        mutual = asked & (answer[np.where(asked, choice, 0)] == np.arange(free.size)) if left.size else asked
        if not mutual.any():
            break
        particle[free[mutual]] = left[choice[mutual]]
        kept = np.ones(left.size, np.bool_)
        kept[choice[mutual]] = False
        left, free = left[kept], free[~mutual]
    return particle


def _nearest(points: Floats, among: Floats, window: float) -> Ints:
    """Row in ``among`` (in order) of what is nearest to each point and within the window; -1 if nothing is."""
    if not among.size:
        return np.full(points.size, -1, np.int64)
    right = np.clip(np.searchsorted(among, points), 0, among.size - 1)
    left = np.maximum(right - 1, 0)
    best = np.where(np.abs(points - among[left]) <= np.abs(points - among[right]), left, right)
    return np.where(np.abs(points - among[best]) <= window, best, -1).astype(np.int64)
