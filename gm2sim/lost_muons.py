"""Lost muons, reconstructed and true: triple coincidences of calorimeters, and the loss of the beam over the fill.

A muon that the ring loses flies through neighbouring calorimeters, 6.2 ns apart, and leaves the light of a minimum
ionising particle in each. Cuts and the estimate of accidentals are those of nkinnaird/PrecessionFrequencyAnalysis
@54b9b45 (ratioLostMuonsConfig.hh, LostMuonHistograms.C) and N. Kinnaird's dissertation (2020).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.geometry import N_CALORIMETERS
from gm2sim.reco import Clusters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOST = 2  # first state of lost muons, gm2sim.truth


@dataclass(frozen=True)
class TripleCuts:
    """What makes clusters of neighbouring calorimeters a lost muon.

    Attributes
    ----------
    energy : (float, float) [GeV]
        Of each cluster.
    most_crystals : int
        Largest number of crystals with a pulse.
    least_share : float
        Least energy of the highest crystal over that of all.
    step : (float, float) [s]
        Time from one calorimeter to the next.
    longest : float [s]
        Time from the first to the third calorimeter: deuterons are slower.
    accidental : (float, float) [s]
        Times from the first to the second calorimeter that no particle has: accidentals are counted there.
    """

    energy: tuple[float, float] = (0.100, 0.250)
    most_crystals: int = 3
    least_share: float = 0.8
    step: tuple[float, float] = (5.0e-9, 7.5e-9)
    longest: float = 14.4e-9
    accidental: tuple[float, float] = (2.0e-9, 4.0e-9)

    def __post_init__(self) -> None:
        for name in ("energy", "step", "accidental"):
            low, high = getattr(self, name)
            if not 0.0 <= low < high:
                raise ValueError(
                    f"{name} = ({low:g}, {high:g}) is no window: give a lower and a higher positive number."
                )

    @property
    def accidental_scale(self) -> float:
        """Accidentals in the window of the signal for one in the window beside it."""
        return (self.step[1] - self.step[0]) / (self.accidental[1] - self.accidental[0])


class Triples(NamedTuple):
    """Triple coincidences, in order of fill, calorimeter and time; arrays (n,).

    Attributes
    ----------
    fill, calo : int64 arrays
        Event serial; first of the three calorimeters, 0..23.
    time : array [s]
        Of the first cluster.
    second, third : arrays [s]
        From the first cluster to the others.
    energy : array (n, 3) [GeV]
    """

    fill: Ints
    calo: Ints
    time: Floats
    second: Floats
    third: Floats
    energy: Floats


class LostMuonTriples(NamedTuple):
    """Triple coincidences and what of them is accidental.

    Attributes
    ----------
    found : Triples
        Each muon once: a coincidence of four and more calorimeters counts with its first three.
    accidental : Triples
        With the first cluster in the window beside.
    scale : float
        Accidentals among those found for each in ``accidental``.
    """

    found: Triples
    accidental: Triples
    scale: float

    def spectrum(self, edges: ArrayLike) -> tuple[Floats, Floats]:
        """Lost muons found in each time bin, accidentals taken off, and the error.

        Parameters
        ----------
        edges : array (n + 1,) [s]
        """
        found, _ = np.histogram(self.found.time, np.asarray(edges, float))
        beside, _ = np.histogram(self.accidental.time, np.asarray(edges, float))
        return found - self.scale * beside, np.sqrt(found + self.scale**2 * beside)


def mip_like(clusters: Clusters, cuts: TripleCuts | None = None) -> NDArray[np.bool_]:
    """Clusters with energy, size and concentration of a muon, shape (n,)."""
    chosen = cuts or TripleCuts()
    energy = (clusters.energy >= chosen.energy[0]) & (clusters.energy <= chosen.energy[1])
    return energy & (clusters.multiplicity <= chosen.most_crystals) & (clusters.share >= chosen.least_share)


def lost_muon_triples(clusters: Clusters, cuts: TripleCuts | None = None) -> LostMuonTriples:
    """Triple coincidences of muon-like clusters in neighbouring calorimeters.

    Parameters
    ----------
    clusters : Clusters
        From :mod:`gm2sim.reco`, of any number of fills.
    cuts : TripleCuts, optional
    """
    chosen = cuts or TripleCuts()
    kept = np.flatnonzero(mip_like(clusters, chosen))
    group = clusters.fill[kept] * N_CALORIMETERS + clusters.calo[kept]
    order = kept[np.lexsort((clusters.time[kept], group))]
    some = Clusters._make(column[order] for column in clusters)
    after = _next(some, chosen.step)
    beside = _next(some, chosen.accidental)
    begins = np.ones(order.size, np.bool_)
    begins[after[after >= 0]] = False  # whoever follows another cluster is no first one
    found = _triples(some, after, after, begins)
    keep = found.third <= chosen.longest
    return LostMuonTriples(
        found=Triples._make(column[keep] for column in found),
        accidental=_triples(some, beside, after, np.ones(order.size, np.bool_)),
        scale=chosen.accidental_scale,
    )


def _next(clusters: Clusters, window: tuple[float, float]) -> Ints:
    """First cluster of the next calorimeter in a window of time after each, -1 if none; clusters are sorted."""
    group = clusters.fill * N_CALORIMETERS + clusters.calo
    names, first = np.unique(group, return_index=True)
    bounds = np.append(first, group.size)
    place = {int(name): k for k, name in enumerate(names)}
    after = np.full(group.size, -1, np.int64)
    for k, name in enumerate(names):
        fill, calo = divmod(int(name), N_CALORIMETERS)
        other = place.get(fill * N_CALORIMETERS + (calo + 1) % N_CALORIMETERS)
        if other is None:
            continue
        here, there = slice(bounds[k], bounds[k + 1]), clusters.time[bounds[other] : bounds[other + 1]]
        time = clusters.time[here]
        low = np.searchsorted(there, time + window[0])
        some = low < np.searchsorted(there, time + window[1], side="right")
        after[here] = np.where(some, bounds[other] + low, -1)
    return after


def _triples(clusters: Clusters, second: Ints, third: Ints, wanted: NDArray[np.bool_]) -> Triples:
    """Chains of three clusters: from each wanted one by the first list of followers, then by the second."""
    a = np.flatnonzero(wanted & (second >= 0))
    b = second[a]
    a, b = a[third[b] >= 0], b[third[b] >= 0]
    c = third[b]
    time = clusters.time
    energy = np.stack([clusters.energy[a], clusters.energy[b], clusters.energy[c]], axis=1)
    return Triples(clusters.fill[a], clusters.calo[a], time[a], time[b] - time[a], time[c] - time[a], energy)


class Losses(NamedTuple):
    """When the muons of one or more fills left the stored beam; arrays [s].

    Attributes
    ----------
    lost : array (n,)
        Lost on collimators, plates, or beyond the known fields.
    other : array (m,)
        Decayed, or still stored at the end of the fill.
    """

    lost: Floats
    other: Floats

    @classmethod
    def of(cls, state: ArrayLike, time: ArrayLike) -> "Losses":
        """From the columns ``state`` and ``time`` of the truth's /muons."""
        gone, at = np.asarray(state) >= _LOST, np.asarray(time, float)
        return cls(at[gone], at[~gone])

    def stored(self, time: float) -> int:
        """Muons in the beam at a time [s]."""
        return int((self.lost >= time).sum() + (self.other >= time).sum())


def read_losses(truth: Path | str | Iterable[Path | str]) -> Losses:
    """Times at which muons left the beam, from the /muons of truth files.

    Parameters
    ----------
    truth : path or several
    """
    from gm2sim.truth import open_truth

    paths = [truth] if isinstance(truth, Path | str) else list(truth)
    state, time = [np.zeros(0, np.int64)], [np.zeros(0)]
    for path in paths:
        with open_truth(path) as file:
            state.append(file["muons/state"][:])
            time.append(file["muons/time"][:])
    return Losses.of(np.concatenate(state), np.concatenate(time))


def loss_rate(losses: Losses, edges: ArrayLike) -> tuple[Floats, Floats]:
    """Share of the stored muons lost per second in each bin, with its Poisson error: losses over muon-seconds.

    Parameters
    ----------
    losses : Losses
    edges : array (n + 1,) [s]

    Returns
    -------
    rate, error : arrays (n,) [1/s]
        NaN where no muon is left.
    """
    e = np.asarray(edges, float)
    everyone = np.sort(np.concatenate([losses.lost, losses.other]))
    whole = np.concatenate([[0.0], np.cumsum(everyone)])
    place = np.searchsorted(everyone, e)
    lived = whole[place] + (everyone.size - place) * e  # sum of min(time, edge) over the muons
    counts, _ = np.histogram(losses.lost, e)
    seconds = np.diff(lived)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / seconds, np.sqrt(counts) / seconds


def fraction_lost(losses: Losses, start: float, stop: float) -> tuple[float, float]:
    """Share of the muons stored at ``start`` that would be lost by ``stop`` if none decayed, with its error.

    One less the product of 1 - 1/n over the losses between, n muons being in the beam: E. L. Kaplan, P. Meier, J. Am.
    Stat. Assoc. 53 (1958) 457, the error by Greenwood's formula, eq. 2e there.

    Parameters
    ----------
    losses : Losses
    start, stop : float [s]
    """
    everyone = np.sort(np.concatenate([losses.lost, losses.other]))
    lost = np.sort(losses.lost[(losses.lost >= start) & (losses.lost < stop)])
    left = everyone.size - np.searchsorted(everyone, lost)
    kept = math.exp(float(np.sum(np.log1p(-1.0 / left[left > 1])))) * float(np.all(left > 1))
    some = left[left > 1].astype(float)
    return 1.0 - kept, kept * math.sqrt(float(np.sum(1.0 / (some * (some - 1.0)))))


class LossFunction(NamedTuple):
    """Integral J(t) of the losses with the decay divided out, for L(t) = 1 - K J(t) of the wiggle fit.

    Attributes
    ----------
    edges : array (n + 1,) [s]
    integral : array (n + 1,)
        J at the edges, 0 at the first.
    """

    edges: Floats
    integral: Floats

    def __call__(self, time: ArrayLike, k: float) -> Floats:
        """L at times [s], straight lines between the edges; constant outside them."""
        return np.asarray(1.0 - k * np.interp(np.asarray(time, float), self.edges, self.integral))


def loss_function(counts: ArrayLike, edges: ArrayLike, lifetime: float) -> LossFunction:
    """Sum the losses l(t) up to J(t) = integral of l(t') exp(t'/lifetime) dt'.

    nkinnaird/PrecessionFrequencyAnalysis @54b9b45, LostMuonHistograms.C. With all losses counted, K is one over the
    muons that would have been stored at t = 0; with triple coincidences it has their efficiency too, and is fitted.

    Parameters
    ----------
    counts : array (n,)
        Losses in each bin, as from :meth:`LostMuonTriples.spectrum` or a histogram of the truth.
    edges : array (n + 1,) [s]
    lifetime : float [s]
        Of the stored muons, time-dilated.

    Raises
    ------
    ValueError
        If counts and edges do not fit, or the lifetime is not positive.
    """
    losses, e = np.asarray(counts, float), np.asarray(edges, float)
    if losses.size + 1 != e.size:
        raise ValueError(f"{losses.size} counts do not fit {e.size} edges: give one edge more than counts.")
    if not lifetime > 0.0:
        raise ValueError(f"lifetime = {lifetime} s is out of bounds: give a positive number.")
    # The mean of exp(t / lifetime) over a bin.
    growth = lifetime * np.diff(np.exp(e / lifetime)) / np.diff(e)
    return LossFunction(e, np.concatenate([[0.0], np.cumsum(losses * growth)]))
