"""Wiggle histograms by the three methods of the experiment, each with its variance, ready for the fit.

T (threshold): positrons above an energy, each counted once. A (asymmetry): positrons of a wide range of energy, each
with the asymmetry of its energy as weight, which is the weight of least error (G. W. Bennett et al., Phys. Rev. D 75
(2007) 052001, and `error_of_weight` here). Q (charge): all energy of the calorimeters, without looking for positrons,
from the Q-method histograms; :mod:`gm2sim.q_method`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decay.michel import lab_energy_end, lab_spectrum
from detectors.geometry import N_CALORIMETERS
from gm2sim.pileup import Pileup, PileupSettings, Weight, above
from gm2sim.reco import Clusters
from gm2sim.wiggle import BIN_WIDTH, REFERENCE_FREQUENCY, WiggleHistogram, randomise_times

Floats = NDArray[np.float64]

A_RANGE = (1.0, 3.0)
"""Energies of the asymmetry-weighted method [GeV]: best estimate (recalled)."""
_GAMMA = 29.3034  # of muons with the magic momentum
_LIFETIME = 64.4e-6  # [s] gamma tau, for shapes that need not be fitted
_LEAST = 0.05  # of the average variance: what a smooth variance may fall to where the wiggle is lowest


class Method(StrEnum):
    """How positrons are counted."""

    T = "T"
    A = "A"
    Q = "Q"


@dataclass(frozen=True)
class MethodHistogram:
    """Wiggle of one method.

    Attributes
    ----------
    method : Method
    total : WiggleHistogram
        Of all calorimeters.
    calorimeters : tuple of WiggleHistogram
        Of each.
    """

    method: Method
    total: WiggleHistogram
    calorimeters: tuple[WiggleHistogram, ...]


class EnergyBins(NamedTuple):
    """What the wiggle looks like to positrons of each energy; arrays (n,).

    Attributes
    ----------
    edges : array (n + 1,) [GeV]
    number : array
        Positrons.
    asymmetry, asymmetry_error : arrays
        Signed: along the phase of all of them.
    phase, phase_error : arrays [rad]
        Less the phase of all of them; NaN where the asymmetry is not seen.
    """

    edges: Floats
    number: Floats
    asymmetry: Floats
    asymmetry_error: Floats
    phase: Floats
    phase_error: Floats


def closed_form_asymmetry(gamma: float = _GAMMA, low: float = A_RANGE[0], high: float = A_RANGE[1]) -> Weight:
    """Weight of the asymmetry method: A(E) of the decay within a range of energy, 0 outside.

    Parameters
    ----------
    gamma : float
        Lorentz factor of the muons.
    low, high : float [GeV]
    """
    end = lab_energy_end(gamma)

    def weight(energy: Floats) -> Floats:
        number, both = lab_spectrum(np.minimum(energy, end * (1 - 1e-9)), gamma)
        inside = (energy >= low) & (energy < high) & (number > 0)
        return np.where(inside, both / np.where(number > 0, number, 1.0), 0.0)

    return weight


def error_of_weight(energy: ArrayLike, number: ArrayLike, asymmetry: ArrayLike, weight: ArrayLike) -> float:
    """Error of omega_a times the lifetime, for one positron of the spectrum: about sqrt(2 <w^2>) / <w A>.

    N(E) (1 + A(E) cos) weighted with w(E) oscillates with an amplitude of sum N w A on a variance of sum N w^2, so that
    sigma = sqrt(2) / (tau A_eff sqrt(N)) has 1/A_eff^2 = <w^2> / <w A>^2. By the inequality of Schwarz the least is at
    w = A, 1/A_eff^2 = 1/<A^2>, and w = 1 above a threshold gives the T method.

    That is for a variance without wiggle. For one that goes as 1 + B cos, B = <w^2 A> / <w^2>, the mean over a period
    of sin^2 / (1 + B cos) is (1 - sqrt(1 - B^2)) / B^2 in place of 1/2, and is put in.

    Parameters
    ----------
    energy, number, asymmetry, weight : arrays (n,)
        Spectrum in equal steps of energy; the number need not be normalised.
    """
    e, n, a, w = (np.asarray(values, float) for values in (energy, number, asymmetry, weight))
    whole, squares, signal, third = (
        float(np.trapezoid(values, e)) for values in (n, n * w * w, n * w * a, n * w * w * a)
    )
    b = min(abs(third / squares), 1.0)
    half = (1.0 - math.sqrt(1.0 - b * b)) / (b * b) if b > 1e-6 else 0.5
    return math.sqrt(squares * whole / half) / abs(signal)


def event_histogram(
    clusters: Clusters,
    *,
    method: Method = Method.T,
    threshold: float = 1.7,
    start: float = 30.2876e-6,
    stop: float = 650.0644e-6,
    seed: int = 1,
    pileup: PileupSettings | None = None,
    weight: Weight | None = None,
    reference_frequency: float = REFERENCE_FREQUENCY,
) -> MethodHistogram:
    """Wiggle of the T or A method, of all calorimeters and of each, times randomised by one cyclotron period.

    Parameters
    ----------
    clusters : Clusters
    method : Method
        T or A.
    threshold : float [GeV]
        Of the T method.
    start, stop : float [s]
        Only whole bins are kept.
    seed : int
        Of the randomisation.
    pileup : PileupSettings, optional
        Dead time and subtraction of pileup; neither without.
    weight : function of energy, optional
        In place of the method's own.
    reference_frequency : float [Hz]
        Of the smooth variance.

    Raises
    ------
    ValueError
        For the Q method, which needs no clusters, or if no bin fits.
    """
    if method is Method.Q:
        raise ValueError("the Q method has no clusters: use gm2sim.q_method.energy_histogram on raw files.")
    chosen = weight or (above(threshold) if method is Method.T else closed_form_asymmetry())
    edges = wiggle_edges(start, stop, BIN_WIDTH)
    spectrum = _spectra(clusters, chosen, edges, seed, pileup)
    counted = method is Method.T and weight is None and pileup is None

    def made(calo: int | None) -> WiggleHistogram:
        sums, squares = spectrum(calo)
        smooth = None if counted else smooth_variance(squares, edges, reference_frequency)
        return WiggleHistogram(sums, edges, smooth)

    return MethodHistogram(method, made(None), tuple(made(calo) for calo in range(N_CALORIMETERS)))


def _spectra(
    clusters: Clusters, weight: Weight, edges: Floats, seed: int, pileup: PileupSettings | None
) -> Callable[[int | None], tuple[Floats, Floats]]:
    """What makes the sums of weights in time bins, and their variances, of one calorimeter or of all (None)."""
    if pileup is not None:
        prepared = Pileup(clusters, pileup)
        shift = randomise_times(prepared.clusters.time, prepared.clusters.fill, seed) - prepared.clusters.time

        def corrected(calo: int | None) -> tuple[Floats, Floats]:
            found = prepared.time_spectrum(edges, weight, shift, calo)
            return found.corrected, found.error**2

        return corrected
    time, w = randomise_times(clusters.time, clusters.fill, seed), weight(clusters.energy)

    def measured(calo: int | None) -> tuple[Floats, Floats]:
        own = slice(None) if calo is None else clusters.calo == calo
        sums, _ = np.histogram(time[own], edges, weights=w[own])
        squares, _ = np.histogram(time[own], edges, weights=w[own] ** 2)
        return sums, squares

    return measured


def wiggle_edges(start: float, stop: float, width: float) -> Floats:
    """Whole bins between two times [s].

    Raises
    ------
    ValueError
        If there is none.
    """
    bins = math.floor((stop - start) / width + 1e-6)
    if bins < 1:
        raise ValueError(
            f"no bin of {width * 1e9:g} ns fits between {start * 1e6:g} and {stop * 1e6:g} us: give a later stop"
        )
    return np.asarray(start + width * np.arange(bins + 1), np.float64)


def smooth_variance(
    variance: ArrayLike, edges: ArrayLike, reference_frequency: float = REFERENCE_FREQUENCY, noise: bool = False
) -> Floats:
    """Expected variance of each bin from those found in the bins: a decay with a wiggle, and a constant for noise.

    Parameters
    ----------
    variance : array (n,)
        Sum of squared weights, or scatter, of each bin.
    edges : array (n + 1,) [s]
    reference_frequency : float [Hz]
    noise : bool
        Whether a constant may be there.
    """
    v, e = np.asarray(variance, float), np.asarray(edges, float)
    shapes, weight = _shapes(e, reference_frequency)
    if noise:
        shapes = np.vstack([shapes, np.ones(v.size)])
        weight = 1.0 / (shapes[0] + _LEAST)
    a = np.linalg.lstsq((shapes * np.sqrt(weight)).T, v * np.sqrt(weight), rcond=None)[0]
    if noise and a[3] < 0.0:
        return smooth_variance(v, e, reference_frequency)
    level = a[0] * shapes[0] + (a[3] if noise else 0.0)
    positive = np.maximum(level, 1e-12 * max(float(v.max(initial=0.0)), 1e-300))
    return np.asarray(np.maximum(a @ shapes, _LEAST * positive))


def energy_bins(
    clusters: Clusters,
    edges: ArrayLike,
    *,
    start: float = 30.2876e-6,
    stop: float = 650.0644e-6,
    frequency: float = REFERENCE_FREQUENCY,
) -> EnergyBins:
    """Number, asymmetry and phase of the wiggle in bins of energy, with the frequency given.

    Weighted least squares of a decay, and a decay times cosine and sine, to the positrons of each energy in time bins;
    errors are those of Poisson numbers.

    Parameters
    ----------
    clusters : Clusters
    edges : array (n + 1,) [GeV]
    start, stop : float [s]
    frequency : float [Hz]
    """
    e, time_edges = np.asarray(edges, float), wiggle_edges(start, stop, BIN_WIDTH)
    shapes, weight = _shapes(time_edges, frequency)
    inverse = np.linalg.inv((shapes * weight) @ shapes.T)
    project = inverse @ (shapes * weight)
    counts, _, _ = np.histogram2d(clusters.energy, clusters.time, (e, time_edges))
    found = counts @ project.T  # (energies, 3)
    # The variance of a bin is about the decay's part of it, so that weight x variance is a[0].
    errors = np.sqrt(np.maximum(found[:, :1], 0.0) * np.diag(inverse))
    everyone = found.sum(axis=0)
    middle = math.atan2(everyone[2], everyone[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        along = (found[:, 1] * math.cos(middle) + found[:, 2] * math.sin(middle)) / found[:, 0]
        across = (found[:, 2] * math.cos(middle) - found[:, 1] * math.sin(middle)) / found[:, 0]
        error = errors[:, 1] / found[:, 0]
        seen = np.abs(along) > 3 * error
        phase = np.where(seen, np.arctan2(across * np.sign(along), np.abs(along)), np.nan)
        phase_error = np.where(seen, error / np.abs(along), np.nan)
    return EnergyBins(e, counts.sum(axis=1), along, error, phase, phase_error)


def _shapes(edges: Floats, frequency: float) -> tuple[Floats, Floats]:
    """Decay, and decay times cosine and sine, at the middles of bins, and weights for variances like the decay."""
    t = 0.5 * (edges[1:] + edges[:-1])
    decay = np.exp(-(t - edges[0]) / _LIFETIME)
    angle = 2 * math.pi * frequency * t
    return np.stack([decay, decay * np.cos(angle), decay * np.sin(angle)]), 1.0 / decay
