"""Pileup: positrons too close in time to be told apart, and what they do to spectra, by the shadow-window method.

Two positrons of a calorimeter within its dead time are seen as one of their summed energy. How often that happens is
read off the data: behind each cluster (the trigger), a gap later, a window as long as the dead time is looked at, and
what is found there (the shadow) would have been pileup had it come a gap earlier. For each such pair the doublet is
what wrongly entered the spectra and the two singlets are what they lost: D - S1 - S2 is subtracted. N. Kinnaird,
dissertation (2020), nkinnaird/Dissertation @8f8e9eb, and nkinnaird/PrecessionFrequencyAnalysis @54b9b45
(pileupUtils.hh, ClusterTreeToHistsOrdered.C).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.geometry import N_CALORIMETERS
from gm2sim.reco import Clusters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Weight = Callable[[Floats], Floats]

_BETWEEN = 1e-6  # [s] between calorimeters and fills put on one axis of time
# Of a triple, in the terms of the second order in (rate x dead time): all three, each of three pairs, each alone.
_TRIPLE = (-1.5, 4.0 / 3.0, -3.5 / 3.0)


@dataclass(frozen=True)
class PileupSettings:
    """How pileup is made well defined and estimated; numbers of N. Kinnaird's dissertation.

    Attributes
    ----------
    dead_time : float [s]
        Clusters of a calorimeter so close behind the first are joined to it before anything else.
    gap : float [s]
        From the trigger to the window of its shadow.
    window : float [s]
        Length of that window; the estimate is scaled by dead_time / window.
    energy_factor : float
        Energy of joined clusters over the sum of theirs.
    triples : bool
        Take the second order in (rate x dead time) along: three positrons at once, and pairs with pileup in them.
    """

    dead_time: float = 5e-9
    gap: float = 10e-9
    window: float = 5e-9
    energy_factor: float = 1.0
    triples: bool = False

    def __post_init__(self) -> None:
        for name in ("dead_time", "window", "energy_factor"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} = {getattr(self, name):g} is out of bounds: give a positive number.")
        if self.gap < self.dead_time:
            raise ValueError(
                f"gap = {self.gap * 1e9:g} ns is shorter than dead_time = {self.dead_time * 1e9:g} ns, behind which "
                "no cluster can be: give at least the dead time."
            )


class Merged(NamedTuple):
    """Clusters after an artificial dead time, in order of fill, calorimeter and time.

    Attributes
    ----------
    clusters : Clusters
    first : array (n,) [s]
        Time of the first cluster of each.
    joined : int64 array (n,)
        Clusters in each.
    """

    clusters: Clusters
    first: Floats
    joined: Ints


class Shadows(NamedTuple):
    """Clusters with one or two shadows.

    Attributes
    ----------
    member : int64 array (k, order)
        Rows of the clusters: trigger, shadow, shadow of the shadow.
    calo : int64 array (k,)
    time : array (k,) [s]
        Mean of their times weighted by energy, the gaps taken off.
    energy : array (k, order) [GeV]
    """

    member: Ints
    calo: Ints
    time: Floats
    energy: Floats

    def chosen(self, rows: NDArray[np.bool_]) -> "Shadows":
        """Some of them."""
        return Shadows(self.member[rows], self.calo[rows], self.time[rows], self.energy[rows])


class Spectrum(NamedTuple):
    """A histogram with its pileup; arrays (n,).

    Attributes
    ----------
    edges : array (n + 1,)
    measured : array
    pileup : array
        Doublets less singlets: what is to be subtracted.
    doublets : array
        Of these what the doublets add.
    error : array
        Standard deviation of ``corrected``.
    """

    edges: Floats
    measured: Floats
    pileup: Floats
    doublets: Floats
    error: Floats

    @property
    def corrected(self) -> Floats:
        """Measured less pileup."""
        return self.measured - self.pileup


def merge_close(clusters: Clusters, dead_time: float, energy_factor: float = 1.0) -> Merged:
    """Join clusters of a calorimeter that follow another one within an artificial dead time.

    The dead time runs from the first cluster of each group and is not prolonged by those that fall into it. Energies
    are summed, times and places averaged by energy.

    Parameters
    ----------
    clusters : Clusters
        In any order.
    dead_time : float [s]
    energy_factor : float
        Energy of joined clusters over the sum of theirs.
    """
    order, axis = _one_axis(clusters, clusters.time)
    some = Clusters._make(column[order] for column in clusters)
    start = _starts(axis, dead_time)
    first = np.flatnonzero(start)
    if first.size == axis.size:
        return Merged(some, some.time.copy(), np.ones(first.size, np.int64))
    joined = np.diff(np.append(first, axis.size))
    total = np.add.reduceat(some.energy, first)

    def mean(values: Floats) -> Floats:
        """Weighted by energy; exact for those that stand alone."""
        middle = np.add.reduceat(values * some.energy, first) / total
        return np.where(joined > 1, middle, values[first])

    highest = np.maximum.reduceat(some.share * some.energy, first)
    merged = Clusters(
        fill=some.fill[first],
        calo=some.calo[first],
        energy=np.where(joined > 1, energy_factor, 1.0) * total,
        time=mean(some.time),
        x=mean(some.x),
        y=mean(some.y),
        multiplicity=np.add.reduceat(some.multiplicity, first),
        share=np.where(joined > 1, highest / total, some.share[first]),
    )
    return Merged(merged, some.time[first], joined)


def find_shadows(merged: Merged, settings: PileupSettings | None = None, order: int = 2) -> Shadows:
    """Clusters that have another one in the window a gap later, and with ``order`` 3 that one too.

    Parameters
    ----------
    merged : Merged
        From :func:`merge_close`.
    settings : PileupSettings, optional
    order : int
        2 or 3 clusters.
    """
    chosen = settings or PileupSettings()
    some = merged.clusters
    _, axis = _one_axis(some, merged.first, ordered=True)
    # The later windows are from the trigger, so that each has the same length.
    rows = np.arange(axis.size)
    members = [rows]
    for k in range(1, order):
        opens = axis[members[0]] + k * chosen.gap + (k - 1) * chosen.window
        low = np.searchsorted(axis, opens)
        seen = low < np.searchsorted(axis, opens + chosen.window)
        members = [one[seen] for one in members] + [low[seen]]
    member = np.stack(members, axis=1)
    energy = some.energy[member]
    shift = np.arange(order) * chosen.gap + np.maximum(np.arange(order) - 1, 0) * chosen.window
    time = np.sum((some.time[member] - shift) * energy, axis=1) / energy.sum(axis=1) if member.size else np.zeros(0)
    return Shadows(member, some.calo[member[:, 0]], time, energy)


class Pileup:
    """Clusters with a dead time, and the shadows that tell what it did to them.

    Parameters
    ----------
    clusters : Clusters
        From :mod:`gm2sim.reco`, of any number of fills.
    settings : PileupSettings, optional

    Attributes
    ----------
    merged : Merged
    doublets : Shadows
    triples : Shadows
        Empty unless asked for.
    """

    def __init__(self, clusters: Clusters, settings: PileupSettings | None = None) -> None:
        self.settings = settings or PileupSettings()
        self.merged = merge_close(clusters, self.settings.dead_time, self.settings.energy_factor)
        self.doublets = find_shadows(self.merged, self.settings)
        self.triples = find_shadows(self.merged, self.settings, 3)
        if not self.settings.triples:
            self.triples = self.triples.chosen(np.zeros(len(self.triples.time), np.bool_))

    @property
    def clusters(self) -> Clusters:
        """Clusters after the dead time."""
        return self.merged.clusters

    def time_spectrum(
        self, edges: ArrayLike, weight: Weight, shift: ArrayLike | None = None, calo: int | None = None
    ) -> Spectrum:
        """Sum of a weight of the energy against time, with its pileup.

        Parameters
        ----------
        edges : array (n + 1,) [s]
        weight : function of an array of energies [GeV]
            1 above a threshold and 0 below, or the asymmetry.
        shift : array [s], optional
            Moves of the times of :attr:`clusters` by which the fast rotation is washed out; a doublet goes with its
            trigger.
        calo : int, optional
            One calorimeter only.
        """
        moved = np.zeros(len(self.clusters.time)) if shift is None else np.asarray(shift, float)
        e = np.asarray(edges, float)
        return self._spectrum(e, weight, lambda time, energy: time, moved, calo, (0.0, np.inf))

    def energy_spectrum(
        self, edges: ArrayLike, start: float = 0.0, stop: float = np.inf, calo: int | None = None
    ) -> Spectrum:
        """Clusters against energy, with their pileup.

        Parameters
        ----------
        edges : array (n + 1,) [GeV]
        start, stop : float [s]
            Times used.
        calo : int, optional
            One calorimeter only.
        """
        moved = np.zeros(len(self.clusters.time))
        e = np.asarray(edges, float)
        return self._spectrum(e, np.ones_like, lambda time, energy: energy, moved, calo, (start, stop))

    def _entries(self, scale: float) -> Iterator[tuple[Shadows, list[tuple[Floats, float]]]]:
        """Shadows, and the energies that they add or take away with how often; of doublets the sum comes first."""
        factor = self.settings.energy_factor
        e = self.doublets.energy
        yield self.doublets, [(factor * e.sum(axis=1), scale), (e[:, 0], -scale), (e[:, 1], -scale)]
        e = self.triples.energy
        if e.size:
            three, two, one = (scale**2 * number for number in _TRIPLE)
            pairs = [(factor * (e[:, i] + e[:, j]), two) for i, j in ((0, 1), (0, 2), (1, 2))]
            yield self.triples, [(factor * e.sum(axis=1), three), *pairs, *((e[:, k], one) for k in range(3))]

    def _spectrum(
        self,
        edges: Floats,
        weight: Weight,
        place: Callable[[Floats, Floats], Floats],
        shift: Floats,
        calo: int | None,
        times: tuple[float, float],
    ) -> Spectrum:
        """Histograms of clusters and shadows.

        With w the weights of single positrons and g = w(D) - w(S1) - w(S2) those of a pair in a bin, the measured sum
        is sum w + (true pairs' sum of g), and corrected is that less the shadows' sum of g. True pairs and shadows are
        as many, their covariances with the positrons cancel, and to first order in the pileup the variance is
        sum w^2 (positrons) + 2 sum g^2 (shadows). The first sum is itself corrected for pileup.
        """
        some = self.clusters
        own = _wanted(some, times, calo)
        w = weight(some.energy[own])
        at = place(some.time[own] + shift[own], some.energy[own])
        measured, squares = _sums(at, w, edges), _sums(at, w * w, edges)
        pileup, doublets = np.zeros_like(measured), np.zeros_like(measured)
        scale = self.settings.dead_time / self.settings.window
        for shadows, entries in self._entries(scale):
            used = _wanted(shadows, times, calo)
            time = shadows.time[used] + shift[shadows.member[used, 0]]
            bins: list[Ints] = []
            changes: list[Floats] = []
            for energy, number in entries:
                w, at = weight(energy[used]), place(time, energy[used])
                part = _sums(at, number * w, edges)
                pileup += part
                squares -= _sums(at, number * w * w, edges)
                if shadows is self.doublets and not bins:
                    doublets += part
                bins.append(_bins(at, edges))
                changes.append(number * w)
            both = _squares(np.stack(bins, axis=1), np.stack(changes, axis=1), edges.size - 1)
            squares += (1.0 + 1.0 / scale) * both
        return Spectrum(edges, measured, pileup, doublets, np.sqrt(np.maximum(squares, 0.0)))


def above(threshold: float, ceiling: float = np.inf) -> Weight:
    """Weight of the threshold method: 1 for energies from threshold (included) to ceiling [GeV], else 0."""
    return lambda energy: ((energy >= threshold) & (energy < ceiling)).astype(np.float64)


def _wanted(entries: Clusters | Shadows, times: tuple[float, float], calo: int | None) -> NDArray[np.bool_]:
    """Which entries are in a range of times, and in a calorimeter if one is named."""
    used = (entries.time >= times[0]) & (entries.time < times[1])
    return used if calo is None else used & (entries.calo == calo)


def _one_axis(clusters: Clusters, time: Floats, ordered: bool = False) -> tuple[Ints, Floats]:
    """Order by fill, calorimeter and time, and times in that order with the calorimeters and fills put in a row."""
    group = clusters.fill * N_CALORIMETERS + clusters.calo
    order = np.arange(time.size) if ordered else np.lexsort((time, group))
    _, number = np.unique(group[order], return_inverse=True)
    span = np.ptp(time) + _BETWEEN if time.size else 0.0  # short, so that 10^6 fills leave times good to 10 ps
    return order, time[order] - np.min(time, initial=0.0) + span * number


def _starts(axis: Floats, dead_time: float) -> NDArray[np.bool_]:
    """Which clusters begin a dead time, given times in order."""
    start = np.ones(axis.size, np.bool_)
    start[1:] = np.diff(axis) >= dead_time
    rows = np.arange(axis.size)
    while True:
        leader = np.maximum.accumulate(np.where(start, rows, 0))
        late = np.flatnonzero(axis - axis[leader] >= dead_time)
        if not late.size:
            return start
        _, earliest = np.unique(leader[late], return_index=True)
        start[late[earliest]] = True


def _bins(values: Floats, edges: Floats) -> Ints:
    """Bin of each value; -1 outside."""
    found = np.searchsorted(edges, values, side="right") - 1
    return np.where((found >= 0) & (found < edges.size - 1), found, -1)


def _sums(values: Floats, weights: Floats, edges: Floats) -> Floats:
    found = _bins(values, edges)
    inside = found >= 0
    return np.bincount(found[inside], weights[inside], edges.size - 1).astype(np.float64)


def _squares(bins: Ints, changes: Floats, n: int) -> Floats:
    """Sum over rows of the square of what each row changes in a bin; several columns of a row may share one."""
    total = np.zeros(n)
    for k in range(bins.shape[1]):
        same = bins == bins[:, k : k + 1]
        first = ~same[:, :k].any(axis=1) & (bins[:, k] >= 0)  # each bin of a row once
        change = np.where(same, changes, 0.0).sum(axis=1)
        total += np.bincount(bins[first, k], change[first] ** 2, n)
    return total
