"""Waveforms against a plain vectorised numpy version of the same: pulses, noise, digitising, chopping.

One thread. ``python -m benchmarks.waveforms`` prints the rows.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row, at_least, best_cpu
from detectors.calorimeter import CalorimeterSettings, chop_windows
from detectors.channels import ChannelConstants
from detectors.digitizer import DigitizerSettings, Pulses, Shape, pulse_table
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.sipm import pulse_shape
from detectors.windows import Windows, find_windows
from gpu import threads
from gpu.rng import FillKey

KEY = FillKey(1, 1, 0, 0)
GOAL = 10.0
_PULSES = 8000  # of a fill: 2000 hits with four crystals each
_HEIGHT = 250.0  # mean [counts]
_PIECE = 70_000  # samples a channel that are made one by one
_LIFETIME = 64.4e-6 / 1.25e-9  # [samples]


class Fill(NamedTuple):
    """Pulses of a fill, and all that waveforms are made with."""

    settings: CalorimeterSettings
    constants: ChannelConstants
    shape: Shape
    pulses: Pulses
    pedestals: NDArray[np.float32]


def a_fill() -> Fill:
    """A fill as full as those of the experiment, with everything on that the channels differ in."""
    settings = CalorimeterSettings()
    constants = settings.constants()
    rng = np.random.default_rng(1)
    channel = rng.integers(0, CALORIMETERS * CRYSTALS, _PULSES)
    start = 1000.0 + np.minimum(rng.exponential(_LIFETIME, _PULSES), 558_000.0)
    order = np.lexsort((start, channel))
    channel = channel[order]
    pulses = Pulses(channel, start[order], rng.exponential(_HEIGHT, _PULSES), channel)
    shape = pulse_table(settings.sipm, settings.digitizer, constants)
    return Fill(settings, constants, shape, pulses, constants.pedestal.astype(np.float32))


def plain_numpy(fill: Fill, samples: int, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Waveforms of calorimeter 0 and the ends of its islands, as one would write them with numpy."""
    digitizer, constants = fill.settings.digitizer, fill.constants
    level = np.empty((CRYSTALS, samples))
    level[:, 0::2] = (constants.pedestal[0] + 0.5 * constants.even_odd[0])[:, None]
    level[:, 1::2] = (constants.pedestal[0] - 0.5 * constants.even_odd[0])[:, None]
    here = (fill.pulses.channel < CRYSTALS) & (fill.pulses.start < samples - fill.shape.length - 2)
    start = fill.pulses.start[here][:, None]
    place = np.floor(start).astype(np.int64) + 1 + np.arange(fill.shape.length)
    heights = fill.pulses.height[here][:, None] * pulse_shape((place - start) * digitizer.sample_period)
    np.subtract.at(level, (np.broadcast_to(fill.pulses.channel[here][:, None], place.shape), place), heights)
    level += digitizer.noise * rng.standard_normal(level.shape)
    made = np.clip(np.rint(level), digitizer.minimum, digitizer.maximum).astype(np.int16)
    over = (made < (fill.pedestals[0] - digitizer.threshold)[:, None]).any(axis=0)
    kept = np.convolve(over, np.ones(digitizer.presamples + digitizer.postsamples + 1), "same") > 0
    ends = np.flatnonzero(np.diff(kept.astype(np.int8)))
    pieces = [made[:, a:b].copy() for a, b in zip(ends[::2], ends[1::2], strict=False)]
    return made, np.array([piece.shape[1] for piece in pieces])


def measure(quick: bool = False) -> list[Row]:
    """Samples a second and core, ours and numpy's: made one by one, and of a whole fill.

    Of a whole fill only the samples are made that can be in an island, and the islands are those of all samples.

    Parameters
    ----------
    quick
        Fewer repeats.
    """
    repeats, before = (3 if quick else 10), threads.count()
    threads.set_count(1)
    fill, rng = a_fill(), np.random.default_rng(2)
    digitizer: DigitizerSettings = fill.settings.digitizer
    piece = Windows(np.array([0]), np.array([0]), np.array([_PIECE - 1]))

    def chopped(windows: Windows) -> None:
        chop_windows(windows, fill.pulses, fill.shape, fill.constants, fill.pedestals, digitizer, KEY)

    def whole() -> None:
        chopped(find_windows(fill.pulses, fill.constants, fill.pedestals, digitizer, fill.shape))

    whole()
    chopped(piece)
    made = CRYSTALS * _PIECE
    plain = made / best_cpu(lambda: plain_numpy(fill, _PIECE, rng), repeats)
    dense = made / best_cpu(lambda: chopped(piece), repeats)
    all_samples = CALORIMETERS * CRYSTALS * digitizer.samples
    fast = all_samples / best_cpu(whole, repeats)
    threads.set_count(before)
    beside = f"{_PULSES} pulses a fill"
    return [
        Row("waveform samples, plain numpy", plain * 1e-6, "M/s", "pulses, noise, digitising, chopping"),
        Row("waveform samples, each made", dense * 1e-6, "M/s", f"{dense / plain:.1f} times numpy"),
        Row("waveform samples of a fill", fast * 1e-6, "M/s", f"{beside}; made where they can be in an island"),
        at_least("waveforms of a fill over plain numpy", fast / plain, "times", GOAL, beside),
    ]


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
