"""Numbers from the traces of kickers, quads, T0 and laser, converted as the run database says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.t0 import CHANNELS, T0Settings, t0_time
from detectors.trace import light_of

Floats = NDArray[np.float64]
_BIN = 16  # samples of a quad trace that are averaged: 8 us at 2 MHz
_ABOVE_NOISE = 8.0  # a pulse is higher than so many times the noise
_QUIET = 200  # samples at the begin of a trace, before any pulse
_SMOOTHED = 64  # samples, half of a bunch
_REACH = 150e-9  # on either side of the middle of a weak bunch [s]: a bunch and as much again
_PMT_B = 1  # channel of T0 with most light


@dataclass(frozen=True)
class Channels:
    """How the samples of a crate become what they mean.

    Attributes
    ----------
    names : tuple of str
    start, period : float [s]
        Of the first sample, between two.
    pedestal : float [counts]
    scale : array (channels,)
        Unit per count.
    samples : int
        Of a waveform.
    """

    names: tuple[str, ...]
    start: float
    period: float
    pedestal: float
    scale: Floats
    samples: int

    @classmethod
    def of(cls, odb: Mapping[str, Any], crate: int) -> Self | None:
        """From /Equipment/AMC13nn/Settings/Monitor; None where the crate is not in the file, or not as expected."""
        try:
            tree = odb["Equipment"][f"AMC13{crate:02d}"]["Settings"]["Monitor"]
            return cls(
                tuple(map(str, tree["Channels"])), 1e-9 * float(tree.get("First sample (ns)", 0.0)),
                1e-6 / float(tree["Sample rate (MHz)"]), float(tree["Pedestal (counts)"]),
                np.array(tree["Unit per count"], np.float64), int(tree["Waveform length"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return None

    def values(self, samples: NDArray[np.int16]) -> Floats:
        """Samples (channels, length) in their unit."""
        return np.asarray((samples - self.pedestal) * self.scale[:, None])


def kick_of(trace: Floats, channels: Channels) -> tuple[float, float, float, float]:
    """Peak [T], middle between the half heights, full width there, first zero behind [s]; NaN without a pulse."""
    noise = float(trace[:_QUIET].std())
    top = int(trace.argmax())
    peak = float(trace[top])
    nothing = (0.0, np.nan, np.nan, np.nan)
    if peak < _ABOVE_NOISE * max(noise, 1e-12):
        return nothing
    below = trace < 0.5 * peak
    before, behind = np.flatnonzero(below[:top]), np.flatnonzero(below[top:])
    if not (before.size and behind.size):
        return nothing
    rise = _crossing(trace, int(before[-1]), 0.5 * peak)
    fall = _crossing(trace, top + int(behind[0]) - 1, 0.5 * peak)
    gone = np.flatnonzero(trace[top:] <= 0.0)
    zero = top + int(gone[0]) if gone.size else np.nan
    at = channels.start + channels.period * np.array([rise, fall, zero])
    return peak, float(0.5 * (at[0] + at[1])), float(at[1] - at[0]), float(at[2])


def _crossing(trace: Floats, before: int, level: float) -> float:
    """Where the trace passes a level between a sample and the next."""
    first, second = trace[before], trace[before + 1]
    return before + float((level - first) / (second - first)) if second != first else float(before)


def plate_means(volts: Floats) -> NDArray[np.float32]:
    """Mean voltage of each plate in steps of 8 us, (plates, bins)."""
    whole = volts.shape[1] // _BIN * _BIN
    return np.asarray(volts[:, :whole].reshape(len(volts), -1, _BIN).mean(axis=2), np.float32)


def plate_bins(channels: Channels) -> int:
    """Number of these steps."""
    return channels.samples // _BIN


def plate_times(channels: Channels) -> Floats:
    """Begin of each of these steps [s]."""
    return np.asarray(channels.start + channels.period * _BIN * np.arange(plate_bins(channels)))


def bunch_of(samples: NDArray[np.int16]) -> tuple[float, float]:
    """Mean time [s] and area [counts x samples] of the injected bunch in PMT B of T0; NaN and 0 without one."""
    counter = T0Settings()
    if samples.shape != (len(CHANNELS), counter.trace.samples):
        return np.nan, 0.0
    try:
        found = t0_time(samples[_PMT_B], counter.trace, counter.responses[_PMT_B])
    except ValueError:  # no sample stands out: a weak, long bunch may still do so as a whole
        return _weak_bunch(samples[_PMT_B], counter)
    return found.mean, found.area


def _weak_bunch(samples: NDArray[np.int16], counter: T0Settings) -> tuple[float, float]:
    """The same around the highest mean of some samples."""
    signal, times = light_of(samples, _QUIET), counter.trace.times
    middle = times[int(np.convolve(signal, np.full(_SMOOTHED, 1.0 / _SMOOTHED), "same").argmax())]
    near = np.abs(times - middle) <= _REACH
    area = float(signal[near].sum())
    if area < _ABOVE_NOISE * float(signal[:_QUIET].std()) * np.sqrt(near.sum()):
        return np.nan, 0.0
    return float((signal * times)[near].sum() / area) - counter.responses[_PMT_B].delay, area
