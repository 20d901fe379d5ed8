"""Precession of tracked spins to parts per billion, and what a fit makes of a phase that drifts."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gm2sim.studies.outcome import Estimate, Floats
from tracking.bunch import Bunch
from tracking.frequency import angular_frequency, smooth_mean, spin_phase
from tracking.stations import RingTables
from tracking.turns import Motion, track

FIT_START, FIT_STOP = 30.2876e-6, 650.0644e-6
"""Fit range of the Run-1 analysis [s] (nkinnaird/PrecessionFrequencyAnalysis @54b9b45)."""
_BATCH = 512  # muons kept in memory turn by turn: 64 bytes a turn each
BLOCKS = 40  # of the jackknife


class Precession(NamedTuple):
    """Precession of muons tracked without apertures; arrays of shape (n,)."""

    omega: Floats  # frequency of the angle between the horizontal projections of spin and momentum [rad/s]
    error: Floats  # of the numerical mean
    mean_y: Floats  # at theta = 0 [m]
    mean_y2: Floats  # [m^2]
    muon_turns: int


def measure(bunch: Bunch, tables: RingTables, turns: int) -> Precession:
    """Precession frequency of each muon by smooth-window means over some turns.

    A line through the phase would alias with the betatron motion by parts per million; the smooth window's
    error falls faster than any power of the turns: :mod:`tracking.frequency`.

    Parameters
    ----------
    bunch : Bunch
        Muons that never decay; apertures do not count.
    tables : RingTables
    turns : int
        A thousand leave below 0.01 ppb of the oscillation at 0.055 cycles a turn, the slowest strong one.
    """
    parts = []
    muon_turns = 0
    for seen, energy, went in watched(bunch, tables, turns):
        phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], energy, tables.reference)
        rate = angular_frequency(phase, seen.time[0])
        parts.append((rate.value, rate.error, smooth_mean(seen.y[0]).value, smooth_mean(seen.y[0] ** 2).value))
        muon_turns += went
    omega, error, y, y2 = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Precession(omega, error, y, y2, muon_turns)


def watched(bunch: Bunch, tables: RingTables, turns: int) -> Iterator[tuple[Motion, Floats, int]]:
    """Muons seen at theta = 0 turn by turn, some at a time.

    Yields
    ------
    Motion, total energies [GeV], muon-turns
        Of up to 512 muons each time.
    """
    for first in range(0, bunch.n, _BATCH):
        some = bunch.select(np.arange(first, min(first + _BATCH, bunch.n)))
        result = track(some, tables, turns, observers=(0.0,), collimators=False)
        assert result.samples is not None
        yield result.samples, some.energy, result.muon_turns


def fitted_shift(time: ArrayLike, phase: ArrayLike, lifetime: float) -> float:
    """Frequency that a fit of the wiggle adds for a phase that drifts: its weighted straight line [rad/s].

    Close to its minimum the five-parameter fit N0 exp(-t/tau) [1 + A cos(omega t - phi)] is linear, the
    squared derivative by the phase averages over a period to half of its largest value, and the counts that
    weigh it fall as exp(-t/tau). So a small phi(t) moves phi and omega as the straight line phi_0 - omega t
    with these weights does; N0, tau and A do not follow (G. W. Bennett et al., Phys. Rev. D 73 (2006) 072003,
    section IV, for the fit).

    Parameters
    ----------
    time : array (n,) [s]
        Equally spaced, over the range of the fit.
    phase : array (n,) [rad]
        phi(t) of N ~ 1 + A cos(omega t - phi).
    lifetime : float [s]

    Returns
    -------
    float
        Measured less true frequency: minus the slope of the phase.
    """
    t, phi = np.asarray(time, float), np.asarray(phase, float)
    weight = np.exp(-(t - t[0]) / lifetime)
    mean = np.average(t, weights=weight)
    return -float(np.sum(weight * (t - mean) * phi) / np.sum(weight * (t - mean) ** 2))


def beam_phase(vector: NDArray[np.complex128]) -> Floats:
    """Phase of the sum of all positrons: argument of their complex asymmetries summed, unwrapped [rad]."""
    return np.unwrap(np.angle(vector))


def fit_times(points: int = 125) -> Floats:
    """Equally spaced times over the range of the fit [s]."""
    return np.linspace(FIT_START, FIT_STOP, points)


def jackknife(function: Callable[[NDArray[np.int64]], Floats | float], n: int) -> tuple[Floats, Floats]:
    """Value and error of a function of a sample, by leaving out one part of it at a time.

    B. Efron, C. Stein, Ann. Statist. 9 (1981) 586: (k - 1)/k times the sum of squared deviations.

    Parameters
    ----------
    function : callable
        Of the indices of the muons to use; returns a number or an array.
    n : int
        Size of the sample.
    """
    blocks = min(BLOCKS, n)
    block = np.arange(n) * blocks // n
    whole = np.asarray(function(np.arange(n)), float)
    parts = np.array([function(np.flatnonzero(block != k)) for k in range(blocks)])
    return whole, _spread(parts)


def jackknife_sums(
    function: Callable[[NDArray[np.complex128]], Floats], sums: NDArray[np.complex128]
) -> tuple[Floats, Floats]:
    """As :func:`jackknife`, for a function of a sum over the muons.

    Parameters
    ----------
    function : callable
        Of the sum, shape (...).
    sums : array (blocks, ...)
        Sum over each part of the sample.
    """
    total = sums.sum(axis=0)
    return np.asarray(function(total), float), _spread(np.array([function(total - part) for part in sums]))


def _spread(parts: Floats) -> Floats:
    blocks = parts.shape[0]
    return np.asarray(np.sqrt(np.sum((parts - parts.mean(axis=0)) ** 2, axis=0) * (blocks - 1) / blocks))


def mean(values: Floats) -> Estimate:
    """Mean and its error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def controlled_mean(tracked: Floats, formula: Floats, everywhere: Floats) -> Estimate:
    """Mean of a tracked number over a beam, with the help of a formula that is nearly right.

    The formula averages over many muons, tracking gives the mean of what is missing from a few: their
    difference varies so little that a thousand are enough (control variates).

    Parameters
    ----------
    tracked, formula : arrays (n,)
        Of the same tracked muons.
    everywhere : array (m,)
        Formula of many muons of the same beam.
    """
    rest, rest_error = mean(tracked - formula)
    base, base_error = mean(everywhere)
    return base + rest, math.hypot(rest_error, base_error)
