"""Frequencies from turn-by-turn samples: smooth-window means, tunes, omega_a, beam frequencies.

A mean or a straight-line fit over N turns carries the oscillations of the beam with an error of order 1/N,
and the spin phase aliases with twice the vertical tune. A window that vanishes smoothly at both ends makes
the error of a quasi-periodic signal fall faster than any power of N, because each line is weighted with the
window's transform.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tracking.muon import MASS, Reference

FloatArray = NDArray[np.float64]

_FEWEST = 16  # samples of a tune
_AT_ONCE = 128  # signals analysed together: some ten MB of complex numbers for a thousand turns
_MAX_NEWTON = 20
_ROUNDING = 1e-16  # Newton step below which nothing is gained [cycles per sample]


class Mean(NamedTuple):
    """A smooth-window mean and its error."""

    value: FloatArray  # shape of the samples without the averaged axis
    error: FloatArray  # largest difference to the means over the first and the last 3/4 of the samples


class Line(NamedTuple):
    """One spectral line of a signal."""

    tune: float  # cycles per sample
    error: float  # largest difference to the tunes of the first and the last 3/4 of the samples
    amplitude: float  # of the cosine, in units of the signal
    phase: float  # of the cosine at the first sample [rad]


class Lines(NamedTuple):
    """The strongest spectral line of each of n signals; arrays (n,), meaning as in :class:`Line`."""

    tune: FloatArray
    error: FloatArray
    amplitude: FloatArray
    phase: FloatArray


class BeamFrequencies(NamedTuple):
    """Frequencies of the beam's moments at one azimuth [Hz], each with its error."""

    cbo: float  # radial mean: f_c - f_x
    cbo_error: float
    vertical: float  # vertical mean: f_y
    vertical_error: float
    width: float  # vertical variance: f_VW = f_c - 2 f_y
    width_error: float


def smooth_window(n: int) -> FloatArray:
    """Weights exp(-1 / (s (1 - s))) with s between 0 and 1, normalised to the sum 1.

    S. Das, Y. Saiki, E. Sander, J. A. Yorke, Nonlinearity 30 (2017) 4111, doi:10.1088/1361-6544/aa84c2, eq.
    (3).

    Parameters
    ----------
    n
        Number of weights.

    Raises
    ------
    ValueError
        For less than one weight.
    """
    if n < 1:
        raise ValueError(f"a smooth window needs at least 1 sample, not {n}.")
    s = (np.arange(n) + 0.5) / n
    weights = np.exp(4.0 - 1.0 / (s * (1.0 - s)))
    return np.asarray(weights / weights.sum())


def smooth_mean(samples: ArrayLike, axis: int = 0) -> Mean:
    """Mean of quasi-periodic samples over one axis with the smooth window.

    Parameters
    ----------
    samples
        Equally spaced samples, any shape.
    axis
        The axis of time.
    """
    values = np.moveaxis(np.asarray(samples, np.float64), axis, 0)
    means = [_weighted(part) for part in _spans(values)]
    return Mean(means[0], np.maximum(abs(means[1] - means[0]), abs(means[2] - means[0])))


def cyclotron_frequency(time: ArrayLike, every: int = 1) -> Mean:
    """Cyclotron frequency of a bunch from its passages at one place: one over the mean step of the time [Hz].

    Parameters
    ----------
    time
        Times of the passages [s], shape (samples, n), of muons that are seen in every sample; the mean over the muons
        is taken first, as a detector does that sees the whole bunch go by.
    every
        Turns between samples.

    Raises
    ------
    ValueError
        If there are fewer than 3 samples, no muon, or times that are not finite.
    """
    passages = np.asarray(time, np.float64)
    if passages.ndim != 2 or passages.shape[0] < 3 or passages.shape[1] == 0 or not np.isfinite(passages).all():
        raise ValueError(
            f"a cyclotron frequency needs finite times (samples, muons) of at least 3 samples and one muon, not the "
            f"shape {passages.shape}: choose the muons that are left at the end."
        )
    period = smooth_mean(np.diff(passages.mean(axis=1)) / every)
    return Mean(1.0 / period.value, period.error / period.value**2)


def spin_phase(
    px: ArrayLike,
    py: ArrayLike,
    sx: ArrayLike,
    ss: ArrayLike,
    energy: ArrayLike,
    reference: Reference,
    axis: int = 0,
) -> FloatArray:
    """Unwrapped angle by which the spin is ahead of the momentum in the horizontal plane [rad].

    Positive in the sense in which the muons turn (towards the ring's centre), so that the phase grows at
    omega_a. The angle is the one between the horizontal projections, sampled at a place free of electric
    field (inside a quad the longitudinal momentum is taken 4e-6 too large at most, which moves no mean).

    Parameters
    ----------
    px, py
        Momenta over p0.
    sx, ss
        Radial and longitudinal spin.
    energy
        Total energy [GeV], broadcast against the others.
    reference
        Reference of the ring.
    axis
        The axis of time, along which neighbouring samples must differ by less than half a turn of the phase
        (14 turns of the ring at the magic momentum).

    Returns
    -------
    FloatArray
        Phase with the shape of the samples.
    """
    px, py = np.asarray(px, np.float64), np.asarray(py, np.float64)
    total = np.asarray(energy, np.float64) / reference.p0_gev
    ps = np.sqrt(total**2 - (MASS / reference.p0_gev) ** 2 - px**2 - py**2)
    angle = np.arctan2(px, ps) - np.arctan2(np.asarray(sx, np.float64), np.asarray(ss, np.float64))
    return np.unwrap(angle, axis=axis)


def angular_frequency(phase: ArrayLike, time: ArrayLike, axis: int = 0) -> Mean:
    """Mean rate of an unwrapped phase [rad/s], for example omega_a: mean phase step over mean time step.

    Both means are taken with the same smooth window, which gives the limit of phase/time for long times; a
    straight-line fit over a few hundred turns would alias with the betatron motion by parts per million.

    Parameters
    ----------
    phase
        Unwrapped phase at successive passages [rad].
    time
        Times of the passages [s], same shape.
    axis
        The axis of time.
    """
    steps = np.diff(np.moveaxis(np.asarray(phase, np.float64), axis, 0), axis=0)
    times = np.diff(np.moveaxis(np.asarray(time, np.float64), axis, 0), axis=0)
    rates = [_weighted(a) / _weighted(b) for a, b in zip(_spans(steps), _spans(times), strict=True)]
    return Mean(rates[0], np.maximum(abs(rates[1] - rates[0]), abs(rates[2] - rates[0])))


def tune(samples: ArrayLike, low: float = 0.0, high: float = 0.5) -> Line:
    """Frequency of the strongest line of a real signal between two tunes, in cycles per sample.

    The maximum of the smooth-window transform, found on a fine grid and refined by Newton steps: J. Laskar's
    numerical analysis of fundamental frequencies (Physica D 67 (1993) 257, doi:10.1016/0167-2789(93)90210-R)
    with the window of :func:`smooth_window`. For a steady signal the error falls faster than any power of the
    number of samples; for one that drifts or fades it states the drift over a quarter of the samples.

    Parameters
    ----------
    samples
        Signal at equally spaced samples, shape (n,).
    low, high
        Search range [cycles per sample], within 0 to 0.5; a faster line appears at its alias.

    Raises
    ------
    ValueError
        If there are fewer than 16 samples, some are not finite, or the range is empty or out of bounds.
    """
    signal = np.asarray(samples, np.float64)
    if signal.ndim != 1 or signal.size < _FEWEST:
        raise ValueError(f"a tune needs one axis of at least {_FEWEST} samples, not the shape {signal.shape}.")
    found = tunes(signal[:, None], low, high)
    return Line(*(float(column[0]) for column in found))


def tunes(samples: ArrayLike, low: float = 0.0, high: float = 0.5) -> Lines:
    """As :func:`tune`, for many signals at once: one for each muon.

    Parameters
    ----------
    samples
        Signals at equally spaced samples, shape (turns, n).
    low, high
        Search range [cycles per sample], within 0 to 0.5.

    Raises
    ------
    ValueError
        As :func:`tune`.
    """
    signal = np.asarray(samples, np.float64)
    if signal.ndim != 2 or signal.shape[0] < _FEWEST:
        raise ValueError(f"tunes need at least {_FEWEST} samples of each signal, not the shape {signal.shape}.")
    if not np.isfinite(signal).all():
        raise ValueError("the samples of a tune must be finite: choose the turns in which muons are left.")
    if not 0.0 <= low < high <= 0.5:
        raise ValueError(f"the search range {low} to {high} must rise within 0 to 0.5 cycles per sample.")
    columns = Lines(*(np.empty(signal.shape[1]) for _ in Lines._fields))
    for first in range(0, signal.shape[1], _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        for column, values in zip(columns, _lines(signal[:, part], low, high), strict=True):
            column[part] = values
    return columns


def beam_frequencies(mean_x: ArrayLike, mean_y: ArrayLike, var_y: ArrayLike, period: float) -> BeamFrequencies:
    """Coherent frequencies of a bunch from its moments, sampled once a turn at one azimuth.

    The search ranges hold every field index between 0.08 and 0.18: f_CBO = (1 - nu_x) f_c below 0.12 f_c,
    f_y = nu_y f_c in 0.25-0.45 f_c, and f_VW = (1 - 2 nu_y) f_c in 0.12-0.46 f_c.

    Parameters
    ----------
    mean_x, mean_y
        Mean radius and height [m], shape (turns,).
    var_y
        Variance of the height [m^2].
    period
        Time between samples: one turn of the bunch [s].
    """
    cbo = tune(mean_x, 0.02, 0.12)
    vertical = tune(mean_y, 0.25, 0.45)
    width = tune(var_y, 0.12, 0.46)
    return BeamFrequencies(*(value / period for line in (cbo, vertical, width) for value in (line.tune, line.error)))


def _spans(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """All samples, the first three quarters and the last three quarters."""
    n = values.shape[0]
    part = max(1, (3 * n) // 4)
    return values, values[:part], values[n - part :]


def _weighted(values: FloatArray) -> FloatArray:
    return np.tensordot(smooth_window(values.shape[0]), values, axes=(0, 0))


def _lines(signal: FloatArray, low: float, high: float) -> Lines:
    """Lines of signals of shape (turns, n), all of them held at once."""
    signal = signal - _weighted(signal)
    best, early, late = (_peaks(part, low, high) for part in _spans(signal))
    weighted = smooth_window(signal.shape[0])[:, None] * signal
    amplitude = 2.0 * np.sum(weighted * np.exp(-2j * math.pi * np.arange(signal.shape[0])[:, None] * best), axis=0)
    error = np.maximum(abs(early - best), abs(late - best))
    return Lines(best, error, np.abs(amplitude), np.angle(amplitude))


def _peaks(signal: FloatArray, low: float, high: float) -> FloatArray:
    """Frequencies in [low, high] at which the smooth-window transforms of signals (turns, n) are largest."""
    n = signal.shape[0]
    padded = 4 << (n - 1).bit_length()
    weighted = smooth_window(n)[:, None] * signal
    first, last = math.ceil(low * padded), math.floor(high * padded)
    if last < first:
        return np.full(signal.shape[1], 0.5 * (low + high))
    spectrum = np.abs(np.fft.rfft(weighted, padded, axis=0)[first : last + 1])
    frequency = np.asarray((first + np.argmax(spectrum, axis=0)) / padded)
    turns = -2j * math.pi * np.arange(n)[:, None]
    for _ in range(_MAX_NEWTON):
        terms = weighted * np.exp(turns * frequency)
        f0 = terms.sum(axis=0)
        terms *= turns
        f1 = terms.sum(axis=0)
        f2 = (terms * turns).sum(axis=0)
        slope = 2.0 * (f1 * f0.conjugate()).real
        curvature = 2.0 * ((f2 * f0.conjugate()).real + np.abs(f1) ** 2)
        convex = curvature < 0.0
        step = np.where(convex, -slope / np.where(convex, curvature, 1.0), 0.0)
        step = np.clip(step, -0.25 / padded, 0.25 / padded)
        frequency = frequency + step
        if np.abs(step).max(initial=0.0) < _ROUNDING:
            break
    return np.asarray(np.clip(frequency, low, high))
