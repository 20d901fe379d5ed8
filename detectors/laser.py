"""The laser of the calorimeters: light into all crystals at known times, and the monitors of its sources.

Six laser heads shine through fibres into four calorimeters each. One pulse comes before each fill of muons, some inside
some fills, and several in fills of their own. How bright a head is changes from pulse to pulse; monitors at the sources
see that much better than any crystal, so that what is left is the gain of the crystal: A. Anastasi et al., "The laser-
based gain monitoring system of the calorimeters in the Muon g-2 experiment at Fermilab", JINST 14 (2019) P11025
(arXiv:1906.08432).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.shower import CALORIMETERS, CRYSTALS, CrystalDeposits
from gpu.rng import FillKey, Stage, normals

HEADS = 6
MONITORS = ("diode 1", "diode 2", "photomultiplier")
"""What looks at each head."""
MONITOR_LEVEL = -1800.0
"""Empty monitor [counts]; its pulses are positive: best estimate."""
MONITOR_NOISE = 2.0
"""Of a monitor [counts]: best estimate."""
MONITOR_HEIGHT = 2500.0
"""Of the mean pulse in a monitor [counts]: best estimate."""
FIRST_PULSE = 0xF0000000
"""Pulses are numbered from here on, beyond all muons: their photons are drawn like those of a hit."""

_PER_HEAD = CALORIMETERS // HEADS
_STAGE = int(Stage.LASER)
_MONITOR_PULSE = 160e-9  # time constant of the monitors' pulse [s]: best estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LaserSettings:
    """When the laser fires and how bright it is.

    Parameters
    ----------
    energy
        Light of a pulse in a mean crystal, as the energy of a positron that makes as much [GeV]. 54 crystals then have
        108 GeV: the sync pulse is known by a sum of 50 to 150 GeV.
    spread
        Relative spread of the light over the crystals, always the same: best estimate.
    jitter
        Relative spread of a head from pulse to pulse: best estimate.
    sync
        Whether there is a pulse before each fill.
    sync_time
        Its time [s]; best estimate, it comes before t = 0.
    start
        Of the first pulse inside a fill [s].
    spacing
        Between two pulses inside a fill [s]: 320 us (nanditaraha/Numerical-Analysis).
    step
        How much later the pulses come from one such fill to the next [s].
    steps
        Such fills until the pattern begins anew.
    constants_seed
        Names the set of the crystals' light.

    Raises
    ------
    ValueError
        For numbers out of bounds.
    """

    energy: float = 2.0
    spread: float = 0.2
    jitter: float = 0.01
    sync: bool = True
    sync_time: float = -0.5e-6
    start: float = 5e-6
    spacing: float = 320e-6
    step: float = 20e-6
    steps: int = 16
    constants_seed: int = 989

    def __post_init__(self) -> None:
        for name in ("energy", "spacing"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give a positive number.")
        for name in ("spread", "jitter"):
            if not 0.0 <= getattr(self, name) <= 0.5:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give 0 to 0.5.")
        if self.steps < 1 or self.step < 0.0:
            raise ValueError(f"step = {self.step}, steps = {self.steps}: give 0 or more, and at least 1.")


class Pulses(NamedTuple):
    """Pulses of the laser in one event.

    Attributes
    ----------
    time : array (k,) [s]
        In fill time, the same for all crystals.
    brightness : array (k, 6)
        Of each head, relative to its mean.
    """

    time: Floats
    brightness: Floats


def crystal_light(settings: LaserSettings) -> Floats:
    """Light of the mean pulse in every crystal, (24, 54) [GeV]: log-normal, so that none is dark."""
    key = FillKey(settings.constants_seed, 0, 0, 0)
    g, _ = normals(key, _STAGE, np.arange(CALORIMETERS * CRYSTALS))
    variance = math.log1p(settings.spread**2)
    scale = np.exp(math.sqrt(variance) * g - 0.5 * variance)
    return np.asarray(settings.energy * scale).reshape(CALORIMETERS, CRYSTALS)


def in_fill_times(settings: LaserSettings, which: int, last: float) -> Floats:
    """Times of the pulses in the `which`-th fill with pulses inside, up to the time `last` [s]."""
    first = settings.step * (which % settings.steps) % settings.spacing
    return np.arange(settings.start + first, last, settings.spacing)


def fire(times: ArrayLike, settings: LaserSettings, key: FillKey) -> Pulses:
    """Pulses at given times: how bright each head is.

    Parameters
    ----------
    times
        In fill time, ascending [s].
    settings
    key
        The event; random numbers of stage LASER are counted per (pulse, head).
    """
    time = np.asarray(times, np.float64)
    brightness = np.ones((time.size, HEADS))
    number = FIRST_PULSE + np.arange(time.size)
    for head in range(HEADS):
        g, _ = normals(key, _STAGE, number, draw=head)
        brightness[:, head] += settings.jitter * g
    return Pulses(time, np.maximum(brightness, 0.0))


def laser_deposits(pulses: Pulses, light: Floats) -> CrystalDeposits:
    """Light of pulses in all crystals, in order of pulse and crystal.

    Parameters
    ----------
    pulses
        From `fire`.
    light
        Of the mean pulse in each crystal, (24, 54) [GeV].

    Returns
    -------
    CrystalDeposits
        `number` counts pulses from FIRST_PULSE; `hit` is -1 - number: no hit of a particle.
    """
    k = pulses.time.size
    head = np.arange(CALORIMETERS) // _PER_HEAD
    energy = pulses.brightness[:, head, None] * light
    number = np.repeat(FIRST_PULSE + np.arange(k), CALORIMETERS * CRYSTALS)
    calo = np.tile(np.repeat(np.arange(CALORIMETERS), CRYSTALS), k)
    crystal = np.tile(np.arange(CRYSTALS), k * CALORIMETERS)
    time = np.repeat(pulses.time, CALORIMETERS * CRYSTALS)
    return CrystalDeposits(-1 - number, number, calo, crystal, energy.ravel(), time, np.zeros_like(number))


def monitor_waveforms(
    pulses: Pulses, delay: float, length: int, sample_period: float, key: FillKey
) -> NDArray[np.int16]:
    """Waveforms of the source monitors around each pulse.

    Parameters
    ----------
    pulses
        From `fire`.
    delay
        From the first sample of each waveform to its pulse [s].
    length
        Samples of a waveform, even.
    sample_period
        [s]
    key
        The event; random numbers of stage LASER, particles beyond those of the pulses.

    Returns
    -------
    int16 array (18, k, length)
        Three monitors of each head [counts].
    """
    k = pulses.time.size
    shape = _monitor_shape(delay, length, sample_period)
    samples = np.empty((HEADS * len(MONITORS), k, length), np.int16)
    for channel in range(HEADS * len(MONITORS)):
        number = FIRST_PULSE + (1 << 20) * (1 + channel) + np.arange(k * length // 2)
        noise = normals(key, _STAGE, number).T.reshape(k, length)
        height = MONITOR_HEIGHT * pulses.brightness[:, channel // len(MONITORS), None]
        level = MONITOR_LEVEL + height * shape + MONITOR_NOISE * noise
        samples[channel] = np.clip(np.rint(level), -2048, 2047)
    return samples


def monitor_brightness(samples: NDArray[np.int16], delay: float, sample_period: float) -> Floats:
    """Brightness of each head from the waveforms of its monitors, (k, 6), relative to its mean.

    Least squares for height and pedestal of a pulse of known shape and time; the mean of the head's monitors.
    """
    channels, k, length = samples.shape
    shape = _monitor_shape(delay, length, sample_period)
    weight = (shape - shape.mean()) / np.sum((shape - shape.mean()) ** 2)
    height = np.asarray(samples, np.float64) @ weight / MONITOR_HEIGHT
    return np.asarray(height.reshape(channels // len(MONITORS), len(MONITORS), k).mean(axis=1).T)


def _monitor_shape(delay: float, length: int, sample_period: float) -> Floats:
    """Pulse of the amplifier behind a monitor, t/tau exp(1 - t/tau) with its peak of 1 after one tau."""
    age = np.maximum(sample_period * np.arange(length) - delay, 0.0) / _MONITOR_PULSE
    return np.asarray(age * np.exp(1.0 - age))
