"""The coherent motion of a beam in time: envelope and frequency of its radial swing (CBO), their decay and drift.

Everything here works on what a detector sees at one azimuth: a mean radius, once a turn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from tracking.frequency import smooth_window, tunes

FloatArray = NDArray[np.float64]

CBO_RANGE = (0.02, 0.12)  # of the line of the mean radius [cycles a turn]: field indices of 0.04 to 0.23
_FEWEST = 5  # windows of a fit
_LONGEST = 20.0  # a lifetime this many times longer than the data is none [in units of the data]


class Windows(NamedTuple):
    """The line of an oscillation in successive stretches of time; arrays (windows,)."""

    time: FloatArray  # of the middle of the window [s]
    frequency: FloatArray  # [Hz]
    frequency_error: FloatArray
    amplitude: FloatArray  # [m]
    amplitude_error: FloatArray
    phase: FloatArray  # of the cosine in the middle of the window, unwrapped [rad]


class Lifetime(NamedTuple):
    """Fit of amplitude exp(-t / tau)."""

    amplitude: float  # at t = 0 [m]
    amplitude_error: float
    tau: float  # [s]; inf where nothing decays
    tau_error: float
    chi2: float
    ndf: int


class Drift(NamedTuple):
    """Fit of w(t) = w0 + A exp(-t/tA)/t + B exp(-t/tB)/t, each number with its error."""

    w0: float  # [rad/s]
    w0_error: float
    a: float  # [rad]
    a_error: float
    t_a: float  # [s]
    t_a_error: float
    b: float  # [rad]; 0 where one term is fitted
    b_error: float
    t_b: float  # [s]
    t_b_error: float
    rms: float  # of the phase about the fit [rad]

    def phase(self, time: ArrayLike) -> FloatArray:
        """w(t) t, the phase since the start without its constant [rad]."""
        t = np.asarray(time, np.float64)
        return np.asarray(self.w0 * t + self.a * np.exp(-t / self.t_a) + self.b * np.exp(-t / self.t_b))

    def frequency(self, time: ArrayLike) -> FloatArray:
        """Frequency at a moment, d(w(t) t)/dt over 2 pi [Hz]."""
        t = np.asarray(time, np.float64)
        slope = self.w0 - self.a / self.t_a * np.exp(-t / self.t_a) - self.b / self.t_b * np.exp(-t / self.t_b)
        return np.asarray(slope / (2.0 * math.pi))


def windows(
    samples: ArrayLike,
    period: float,
    *,
    turns: int = 100,
    step: int | None = None,
    low: float = CBO_RANGE[0],
    high: float = CBO_RANGE[1],
) -> Windows:
    """Line of a signal in overlapping windows, each analysed as by :func:`tracking.frequency.tune`.

    The smooth window weights the middle; a window of 100 turns holds 5.5 periods of the CBO at n = 0.108, which keeps
    the mirror line out to 1e-5. The amplitude's error is that of what the line leaves in the window, taken as noise.

    Parameters
    ----------
    samples
        Signal once a turn [m], shape (n,).
    period
        Time between samples [s].
    turns
        Length of a window.
    step
        Between starts of windows; half a window if not given.
    low, high
        Range of the line [cycles a turn].

    Raises
    ------
    ValueError
        If the signal is shorter than one window or not finite.
    """
    signal = np.asarray(samples, np.float64)
    step = turns // 2 if step is None else step
    if signal.ndim != 1 or signal.size < turns or step < 1:
        raise ValueError(f"windows of {turns} turns every {step} do not fit in {signal.shape} samples: shorten them.")
    starts = np.arange(0, signal.size - turns + 1, step)
    pieces = np.stack([signal[s : s + turns] for s in starts], axis=1)
    lines = tunes(pieces, low, high)
    k = np.arange(turns)[:, None]
    weights = smooth_window(turns)[:, None]
    left = pieces - lines.amplitude * np.cos(2.0 * math.pi * lines.tune * k + lines.phase)
    left = left - np.sum(weights * left, axis=0)
    noise = np.sqrt(np.sum(weights * left**2, axis=0))
    middle = 0.5 * (turns - 1)
    at_middle = lines.phase + 2.0 * math.pi * lines.tune * middle
    return Windows(
        time=np.asarray((starts + middle) * period, np.float64),
        frequency=lines.tune / period,
        frequency_error=lines.error / period,
        amplitude=lines.amplitude,
        amplitude_error=noise * math.sqrt(2.0 * float(np.sum(weights**2))),
        phase=_joined(at_middle, 2.0 * math.pi * lines.tune, step),
    )


def _joined(phase: FloatArray, rate: FloatArray, step: int) -> FloatArray:
    """Phases of successive windows with the whole turns between them, from the mean rate of two neighbours."""
    expected = 0.5 * (rate[1:] + rate[:-1]) * step
    found = np.diff(phase)
    found += 2.0 * math.pi * np.round((expected - found) / (2.0 * math.pi))
    return np.concatenate([phase[:1], phase[0] + np.cumsum(found)])


def lifetime(found: Windows, start: float = 0.0) -> Lifetime:
    """Exponential lifetime of the envelope, by weighted least squares.

    A real envelope is no exponential (it is the Fourier transform of the beam's distribution of frequencies): where
    chi2 is above its degrees of freedom the errors are widened by the root of the ratio.

    Parameters
    ----------
    found
        Envelope.
    start
        Windows before this time are left out [s].

    Raises
    ------
    ValueError
        If fewer than 5 windows are left.
    """
    use = found.time >= start
    t, amplitude = found.time[use], found.amplitude[use]
    if t.size < _FEWEST:
        raise ValueError(
            f"{t.size} windows after {start * 1e6:g} us are too few for a lifetime: give at least {_FEWEST}."
        )
    # An error of nothing (a line without noise) would make one window rule: at least a millionth of the largest.
    error = np.maximum(found.amplitude_error[use], 1e-6 * amplitude.max())
    span = float(t[-1] - t[0])

    def miss(p: FloatArray) -> FloatArray:
        return np.asarray((math.exp(p[0]) * np.exp(-p[1] * t) - amplitude) / error)

    slope, level = np.polyfit(t, np.log(np.maximum(amplitude, 1e-3 * amplitude.max())), 1)
    fit = least_squares(miss, [level, -slope], x_scale=[1.0, 1.0 / span])
    chi2, ndf = 2.0 * float(fit.cost), t.size - 2
    covariance = np.linalg.inv(fit.jac.T @ fit.jac) * max(1.0, chi2 / ndf)
    size, rate = math.exp(fit.x[0]), float(fit.x[1])
    size_error, rate_error = size * math.sqrt(covariance[0, 0]), math.sqrt(covariance[1, 1])
    if rate * span * _LONGEST < 1.0:  # flat, or growing
        return Lifetime(size, size_error, math.inf, math.inf, chi2, ndf)
    return Lifetime(size, size_error, 1.0 / rate, rate_error / rate**2, chi2, ndf)


def drift(found: Windows, terms: int = 2, start: float = 0.0) -> Drift:
    """The drift model of the Run-1 analyses, w(t) = w0 + A exp(-t/tA)/t + B exp(-t/tB)/t (KN, AF), least squares.

    There cos(w(t) t + phase) is fitted, so that w(t) t is a phase, and the frequency at a moment is its derivative,
    (w0 - A/tA exp(-t/tA) - B/tB exp(-t/tB)) / 2 pi. What is fitted here is the unwrapped phase of the windows: w0, A,
    B and the constant are linear and solved for exactly at each (tA, tB), which are found by least squares in their
    logarithms. Errors are from the scatter about the fit. A is the slow term.

    Parameters
    ----------
    found
        Line in windows.
    terms
        2 for both terms, 1 for A alone.
    start
        Windows before this time are left out [s].

    Raises
    ------
    ValueError
        If there are not more windows than numbers to fit.
    """
    if terms not in (1, 2):
        raise ValueError(f"terms = {terms} of the drift is out of bounds: give 1 or 2.")
    use = found.time >= start
    t, phase = found.time[use], found.phase[use]
    if t.size <= 2 + 2 * terms:
        raise ValueError(f"{t.size} windows are too few for a drift of {terms} terms: give more than {2 + 2 * terms}.")
    weight = found.amplitude[use] / found.amplitude[use].max()  # noise turns a small amplitude's phase more
    span = float(t[-1])

    def taus(p: FloatArray) -> FloatArray:
        return np.asarray(np.exp(p[0] - np.concatenate([[0.0], p[1:]])))

    def design(p: FloatArray) -> FloatArray:
        return np.column_stack([np.ones_like(t), t / span, *(np.exp(-t / one) for one in taus(p))])

    def solve(p: FloatArray) -> tuple[FloatArray, FloatArray]:
        matrix = design(p)
        solved = np.linalg.lstsq(matrix * weight[:, None], phase * weight, rcond=None)[0]
        return solved, phase - matrix @ solved

    # log tau_A, and log tau_A/tau_B: kept apart, because two terms of one lifetime are one term.
    lower, upper = [math.log(t[1] - t[0]), math.log(2.0)], [math.log(span), math.log(100.0)]
    first = [(math.log(a * span), math.log(r)) for a in (0.1, 0.3, 0.8) for r in (4.0, 12.0)]
    fits = [
        least_squares(lambda p: solve(p)[1] * weight, one[:terms], bounds=(lower[:terms], upper[:terms]))
        for one in first[:: 3 - terms]
    ]
    best = min(fits, key=lambda fit: float(fit.cost)).x
    solved, rest = solve(best)
    return _drift_of(t, weight, design(best), taus(best), solved, rest)


def _drift_of(
    t: FloatArray, weight: FloatArray, linear: FloatArray, tau: FloatArray, solved: FloatArray, rest: FloatArray
) -> Drift:
    """The numbers of a fit with their errors, from its linear part, its lifetimes and what it leaves."""
    terms, span = tau.size, float(t[-1])
    # All parameters together, with the columns of d phase / d log tau = size (t/tau) exp(-t/tau).
    by_tau = [size * t / one * np.exp(-t / one) for size, one in zip(solved[2:], tau, strict=True)]
    full = np.column_stack([linear, *by_tau]) * weight[:, None]
    scatter = float(np.sum((rest * weight) ** 2)) / (t.size - 2 - 2 * terms)
    error = np.sqrt(np.diag(np.linalg.pinv(full.T @ full)) * scatter)
    sizes = [(float(v), float(e)) for v, e in zip(solved[2:], error[2:], strict=False)]
    times = [(float(one), float(one * e)) for one, e in zip(tau, error[2 + terms :], strict=True)]
    if terms == 1:
        sizes.append((0.0, 0.0))
        times.append((math.inf, 0.0))
    return Drift(
        float(solved[1]) / span, float(error[1]) / span, *sizes[0], *times[0], *sizes[1], *times[1],
        float(np.sqrt(np.average(rest**2, weights=weight**2))),
    )  # fmt: skip
