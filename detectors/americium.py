"""Pulses of radioactive sources at the laser's monitors: an absolute reference that no laser is needed for.

At each head a weak americium source shines into the photomultiplier that also sees the laser, so that a drift of the
photomultiplier is told from one of the laser: A. Anastasi et al., "The laser-based gain monitoring system of the
calorimeters in the Muon g-2 experiment at Fermilab", JINST 14 (2019) P11025 (arXiv:1906.08432). Its digitiser triggers
itself, and answers when it is read out with all pulses since the last time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.laser import HEADS, MONITOR_LEVEL, MONITOR_NOISE
from gpu.rng import FillKey, Stage, normals, uniforms

_STAGE = int(Stage.AMERICIUM)
_PULSE_BITS = 24  # particle number of a draw: (head << 24) + number of the pulse; noise counts samples beyond all heads
_NOISE = HEADS << _PULSE_BITS

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AmericiumSettings:
    """How often and how high: all numbers are best estimates.

    Parameters
    ----------
    rate
        Of pulses in each photomultiplier [1/s].
    height
        Mean height of a pulse [counts].
    spread
        Relative spread of the heights.
    decay
        Time constant of a pulse t/decay exp(1 - t/decay) [s].
    samples, presamples
        Of a pulse, and those before its trigger: jaca230/CaloReadoutAMC13 @7ff4424 keeps 80, 4 of them before.

    Raises
    ------
    ValueError
        For numbers out of bounds.
    """

    rate: float = 5.0
    height: float = 1200.0
    spread: float = 0.03
    decay: float = 20e-9
    samples: int = 80
    presamples: int = 4

    def __post_init__(self) -> None:
        bounds = {"rate": (0.0, 1e3), "height": (0.0, 3e3), "spread": (0.0, 0.2), "decay": (1e-9, 1e-6)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give {low:g} to {high:g}.")
        if self.samples % 8 or not 0 <= self.presamples < self.samples:
            raise ValueError(f"{self.samples} samples, {self.presamples} before: give a multiple of 8, and fewer.")


class SourcePulses(NamedTuple):
    """Pulses since the last readout, in order of head and time.

    Attributes
    ----------
    head : int64 array (k,)
        0 to 5.
    time : int64 array (k,)
        Of the trigger [samples since the last readout].
    samples : int16 array (k, n)
        [counts]
    """

    head: NDArray[np.int64]
    time: NDArray[np.int64]
    samples: NDArray[np.int16]


def source_pulses(duration: float, period: float, settings: AmericiumSettings, key: FillKey) -> SourcePulses:
    """What the photomultipliers of all heads have triggered on by themselves.

    Parameters
    ----------
    duration
        Since the last readout [s].
    period
        Of the samples [s].
    settings
    key
        The event; random numbers of stage AMERICIUM.
    """
    head, moment, number = _moments(duration, settings, key)
    length = settings.samples * period
    whole = np.ones(head.size, np.bool_)  # a board is blind while it takes a pulse
    whole[1:] = (np.diff(moment) >= length) | (np.diff(head) > 0)
    head, moment, number = head[whole], moment[whole], number[whole]
    trigger = np.ceil(moment / period)
    g, _ = normals(key, _STAGE, number, draw=1)
    height = settings.height * (1.0 + settings.spread * g)
    age = (trigger[:, None] + np.arange(settings.samples) - settings.presamples) * period - moment[:, None]
    age = np.maximum(age, 0.0) / settings.decay
    first = np.arange(head.size * settings.samples // 2)
    noise = normals(key, _STAGE, _NOISE + first).T.reshape(head.size, settings.samples)
    level = MONITOR_LEVEL + height[:, None] * age * np.exp(1.0 - age) + MONITOR_NOISE * noise
    return SourcePulses(head, trigger.astype(np.int64), np.clip(np.rint(level), -2048, 2047).astype(np.int16))


def _moments(
    duration: float, settings: AmericiumSettings, key: FillKey
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Head, time and number of each decay: gaps between decays are exponential."""
    mean = settings.rate * duration
    most = math.ceil(mean + 10.0 * math.sqrt(mean) + 30.0)  # one run in 1e20 has more
    number = (np.arange(HEADS)[:, None] << _PULSE_BITS) + np.arange(most)
    u, _ = uniforms(key, _STAGE, number)
    seen = (times := np.cumsum(-np.log(u), axis=1)) < mean
    return np.nonzero(seen)[0], times[seen] / max(settings.rate, 1e-300), number[seen]
