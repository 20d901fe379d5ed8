"""Waveforms of the auxiliary detectors: from light or a voltage to samples of 12 bits, and back to light.

A detector of light sees particles in time; each gives a Poisson number of photoelectrons, each of these a pulse
(exp(-t/fall) - exp(-t/rise))/(fall - rise). Pulses go negative from the pedestal, as in the calorimeters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu.kernel import Kernel
from gpu.rng import FillKey, Stage, normals, poisson

Floats = NDArray[np.float64]
LOWEST, HIGHEST = -2048, 2047  # of 12 bits

_STAGE = int(Stage.MONITOR)
_SAMPLE_BITS = 20  # a particle number of a random draw is (address << 20) + sample; a fill has 560 000 samples
# Draws of a sample: noise; 64 for the number of particles, and 64 for the number of their photoelectrons.
_NOISE_DRAW, _PARTICLE_DRAW, _LIGHT_DRAW = 0, 64, 128
_CHANNELS = 64  # addresses of a crate
_TAIL = 12.0  # length of a pulse in its longer time constant


@dataclass(frozen=True)
class Trace:
    """How a channel is sampled.

    Parameters
    ----------
    start : float [s]
        Time of the first sample, since the bunch centre left the inflector.
    samples : int
        A multiple of 8.
    period : float [s]
        Between samples.
    pedestal, noise : float [counts]
        Level without a signal, and rms of the noise: as those of the calorimeters (SIPM_g2_v1 of another
        experiment, taken over from gm2calo).
    """

    start: float
    samples: int
    period: float = 1.25e-9
    pedestal: float = 1750.0
    noise: float = 4.0

    def __post_init__(self) -> None:
        if self.samples < 8 or self.samples % 8 or self.samples >= 2**_SAMPLE_BITS:
            raise ValueError(f"trace of {self.samples} samples: give a multiple of 8 below {2**_SAMPLE_BITS}.")
        if not (self.period > 0.0 and math.isfinite(self.start)):
            raise ValueError(f"trace from {self.start:g} s in steps of {self.period:g} s: give a step above 0.")

    @property
    def times(self) -> Floats:
        """Of the samples [s], shape (samples,)."""
        return np.asarray(self.start + self.period * np.arange(self.samples))

    @property
    def edges(self) -> Floats:
        """Of the intervals that end at the samples, shape (samples + 1,) [s]."""
        return np.asarray(self.start + self.period * (np.arange(self.samples + 1) - 1.0))


@dataclass(frozen=True)
class Response:
    """Pulse of one photoelectron: time constants [s], and its sum over the samples [counts]: best estimates."""

    charge: float
    rise: float = 1.5e-9
    fall: float = 5.0e-9

    def __post_init__(self) -> None:
        if not 0.0 < self.rise < self.fall:
            raise ValueError(f"pulse rises with {self.rise:g} s and falls with {self.fall:g} s: give 0 < rise < fall.")

    @property
    def delay(self) -> float:
        """Mean time of the pulse after its photoelectron [s]."""
        return self.rise + self.fall

    def weights(self, period: float) -> Floats:
        """Share of the pulse in each sample, for photoelectrons spread evenly over the interval before the first.

        The mean time of the samples is then that of the light and the delay, for samples shorter than the pulse.
        """
        t = period * np.arange(math.ceil(_TAIL * self.fall / period) + 1)
        left = (self.fall * np.exp(-t / self.fall) - self.rise * np.exp(-t / self.rise)) / (self.fall - self.rise)
        return np.asarray(-np.diff(left))


@Kernel
def _poisson_step(i: int, mean: Floats, key: FillKey, particle: NDArray[np.int64], draw: int, found: Floats) -> None:
    found[i] = poisson(key.seed, key.run, key.subrun, key.fill, _STAGE, particle[i], draw, mean[i])


def _numbers(crate: int, channels: ArrayLike, samples: int) -> NDArray[np.int64]:
    """Particle numbers of the random draws of channels of a crate, shape (channels, samples)."""
    address = _CHANNELS * crate + np.asarray(channels, np.int64)
    return (address[:, None] << _SAMPLE_BITS) + np.arange(samples)


def _poisson(mean: Floats, key: FillKey, numbers: NDArray[np.int64], draw: int) -> Floats:
    """A Poisson number for each mean, shape of `mean`; where it is 0 nothing is drawn."""
    found = np.zeros(mean.shape)
    here = np.nonzero(mean > 0.0)
    some = np.zeros(here[0].size)
    used = FillKey(*(int(part) for part in key.check()))
    _poisson_step(some.size, np.ascontiguousarray(mean[here]), used, numbers[here], draw, some)
    found[here] = some
    return found


def count_particles(mean: Floats, key: FillKey, crate: int, channels: ArrayLike) -> Floats:
    """Draw how many particles come before each sample.

    Parameters
    ----------
    mean : array (channels, samples)
        Expected numbers.
    key : FillKey
    crate : int
    channels : int array (channels,)
        0 to 63; with the crate they name the random numbers.
    """
    return _poisson(mean, key, _numbers(crate, channels, mean.shape[1]), _PARTICLE_DRAW)


def light_waveforms(
    mean: Floats, response: tuple[Response, ...], trace: Trace, key: FillKey, crate: int, channels: ArrayLike
) -> NDArray[np.int16]:
    """Draw photoelectrons and make waveforms of them.

    Parameters
    ----------
    mean : array (channels, samples)
        Photoelectrons that are expected before each sample.
    response : tuple of Response
        One for each channel.
    trace : Trace
    key : FillKey
    crate, channels
        As in `count_particles`.

    Returns
    -------
    int16 array (channels, samples) [counts]
    """
    light = _poisson(mean, key, _numbers(crate, channels, trace.samples), _LIGHT_DRAW)
    signal = np.zeros(mean.shape)
    for row, one in enumerate(response):
        if light[row].any():
            signal[row] = one.charge * np.convolve(light[row], one.weights(trace.period))[: trace.samples]
    return sampled(-signal, trace, key, crate, channels)


def sampled(signal: Floats, trace: Trace, key: FillKey, crate: int, channels: ArrayLike) -> NDArray[np.int16]:
    """Digitise a signal [counts]: pedestal, white noise, rounding, range of 12 bits; shape (channels, samples)."""
    level = trace.pedestal + signal
    if trace.noise > 0.0:
        level = level + trace.noise * normals(key, _STAGE, _numbers(crate, channels, trace.samples), _NOISE_DRAW)[0]
    return np.clip(np.rint(level), LOWEST, HIGHEST).astype(np.int16)


def light_of(samples: ArrayLike, quiet: int) -> Floats:
    """Signal of pulses above 0 [counts]: the median of the first `quiet` samples less the samples, shape as given."""
    level = np.asarray(samples, np.float64)
    return np.asarray(np.median(level[..., :quiet], axis=-1)[..., None] - level)
