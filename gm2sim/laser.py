"""Gain of every crystal from pulses of the laser in raw files, the brightness that the monitors saw divided out.

A pulse in a crystal is the light of the mean pulse (conditions) times the brightness of its head, fired by pixels that
saturate as for a positron; what it is lower than that is the gain: the sag of the fill for a pulse inside it, the
temperature and whatever else is constant for pulses in fills of their own.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.laser import HEADS, monitor_brightness
from detectors.shower import CALORIMETERS, CRYSTALS
from gm2sim.calibration import Calibration
from gm2sim.calibration_fills import LASER_CRATE, PULSE_SAMPLE
from gm2sim.pulsefit import Found, Waveforms, fit_pulses
from gm2sim.raw import Event, Island, open_run
from gm2sim.reco import LASER_CRYSTALS
from gm2sim.timeline import FillType
from gpu.kernel import read_only

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_CHANNELS = CALORIMETERS * CRYSTALS
_PEDESTAL_SAMPLES = 100
_BEFORE, _AFTER = 16, 48  # samples around a pulse of a laser fill that are fitted
_LIT = 0.3  # [GeV] in a crystal that sees the laser
_APART = 40.0  # samples between two pulses of the laser at least


class LaserGains(NamedTuple):
    """Gains as pulses of the laser measure them: one row a pulse.

    Attributes
    ----------
    fill : int64 array (k,)
        Event serial.
    inside : bool array (k,)
        Whether the pulse is one of a fill of muons: the sync pulse or one after the injection.
    time : array (k,) [s]
        In the fill, by the crystals; in a fill of the laser since its first sample.
    brightness : array (k, 6)
        Of the heads, relative to their mean, by the monitors.
    gain : array (k, 24, 54)
        Height over that of the calibration; NaN where the crystal shows none.
    """

    fill: Ints
    inside: NDArray[np.bool_]
    time: Floats
    brightness: Floats
    gain: Floats

    @classmethod
    def concatenate(cls, parts: Iterable["LaserGains"]) -> "LaserGains":
        """Put pulses of several fills behind one another."""
        none = cls(
            np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0), np.zeros((0, HEADS)),
            np.zeros((0, CALORIMETERS, CRYSTALS)),
        )  # fmt: skip
        return cls(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))


def laser_gains(paths: Path | str | Iterable[Path | str], calibration: Calibration | None = None) -> LaserGains:
    """Gains from all pulses of the laser in raw files.

    Parameters
    ----------
    paths : path or several
    calibration : Calibration, optional
        In place of the one in each file.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ValueError
        A file without calibration.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    parts = []
    for path in listed:
        run = open_run(path)
        known = calibration or Calibration.from_odb(run.odb)
        parts += [gains_of_event(event, known) for event in run]
    return LaserGains.concatenate(parts)


def gains_of_event(event: Event, known: Calibration) -> LaserGains:
    """Gains from the pulses of one event of a raw file; none without monitors or pulses."""
    if LASER_CRATE not in event.waveform_crates:
        return LaserGains.concatenate([])
    monitors = np.stack(event.waveforms(LASER_CRATE).samples)
    brightness = monitor_brightness(monitors, PULSE_SAMPLE * known.sample_period, known.sample_period)
    inside = event.fill_type == FillType.MUONS
    height, time = _in_islands(event, known) if inside else _in_waveforms(event, known)
    # Crystals and monitors show pulses in the order of time; where a number is missing, which one is not known.
    if len(time) != len(brightness):
        return LaserGains.concatenate([])
    per_channel = np.repeat(brightness, CALORIMETERS // HEADS * CRYSTALS, axis=1)
    light = per_channel * known.channels("laser_light")
    full = known.channels("saturation")
    expected = -full * np.expm1(-light / full)  # detectors.gain.saturated
    gain = (height / expected).reshape(-1, CALORIMETERS, CRYSTALS)
    k = len(time)
    return LaserGains(np.full(k, event.serial), np.full(k, inside), time, brightness, gain)


def laser_islands(event: Event, known: Calibration) -> Iterator[tuple[int, Island, Floats]]:
    """Islands of a fill of muons that show a pulse of the laser: calorimeter, island, pedestals (54,)."""
    for crate in event.crates:
        level = event.pedestals(crate).astype(np.float64)
        for island in event.islands(crate):
            below = level - island.samples.min(axis=1)
            if np.count_nonzero(below > _LIT * known.counts_per_gev[crate - 1]) >= LASER_CRYSTALS:
                yield crate - 1, island, level


def _in_waveforms(event: Event, known: Calibration) -> tuple[Floats, Floats]:
    """Heights (k, 1296) [GeV] and times (k,) [s] of the pulses of a laser fill."""
    found = [event.waveforms(crate) for crate in event.waveform_crates if crate <= CALORIMETERS]
    calos = [crate - 1 for crate in event.waveform_crates if crate <= CALORIMETERS]
    if not found:
        return np.zeros((0, _CHANNELS)), np.zeros(0)
    samples = np.stack([np.stack(one.samples) for one in found])  # calorimeter, crystal, waveform, sample
    pulses = samples.shape[2]
    rows = samples.reshape(_CHANNELS * pulses, -1)
    level = rows[:, :_PEDESTAL_SAMPLES].mean(axis=1, dtype=np.float64)
    piece = np.ascontiguousarray(rows[:, PULSE_SAMPLE - _BEFORE : PULSE_SAMPLE + _AFTER])
    there = (CRYSTALS * np.array(calos)[:, None] + np.arange(CRYSTALS)).ravel()
    height = np.full((pulses, _CHANNELS), np.nan)  # of a crate that has sent nothing
    height[:, there] = _heights(piece, level, np.repeat(there, pulses), known).reshape(-1, pulses).T
    step = rows.shape[1] + found[0].gap
    return height, np.asarray(known.sample_period * (PULSE_SAMPLE + step * np.arange(pulses)))


def _in_islands(event: Event, known: Calibration) -> tuple[Floats, Floats]:
    """The same of the pulses in a fill of muons: islands in which nearly all crystals have a pulse."""
    calos, times, pieces, levels = [], [], [], []
    for calo, island, level in laser_islands(event, known):
        calos.append(calo)
        times.append(island.time + float(np.median(island.samples.argmin(axis=1))) - known.zero_sample)
        pieces.append(island.samples)
        levels.append(level)
    order = np.argsort(times, kind="stable")
    first = [k for k, at in enumerate(order) if k == 0 or times[at] - times[order[k - 1]] > _APART]
    height, when = np.full((len(first), CALORIMETERS, CRYSTALS), np.nan), np.zeros(len(first))
    for row, (begin, end) in enumerate(pairwise([*first, len(order)])):
        when[row] = known.sample_period * float(np.median([times[at] for at in order[begin:end]]))
        for at in order[begin:end]:
            channel = CRYSTALS * calos[at] + np.arange(CRYSTALS)
            height[row, calos[at]] = _heights(pieces[at], levels[at], channel, known)
    return height.reshape(len(first), -1), when


def _heights(samples: NDArray[np.int16], level: Floats, channel: Ints, known: Calibration) -> Floats:
    """Height of the highest pulse of each row of samples by the laser's shape [GeV]; NaN where there is none."""
    return highest(samples, level, channel, known)[0]


def highest(samples: NDArray[np.int16], level: Floats, channel: Ints, known: Calibration) -> tuple[Floats, Floats]:
    """Height [GeV] and start [samples] of the highest pulse of each row by the laser's shape; NaN where there is none.

    Parameters
    ----------
    samples : int16 array (n, length)
    level : array (n,)
        Pedestals.
    channel : int array (n,)
        54 calorimeter + crystal.
    known : Calibration
    """
    n, length = samples.shape
    rows = Waveforms(samples.ravel(), length * np.arange(n), np.full(n, length), level, channel)
    found = Found.empty(n)
    fit_pulses(n, read_only(rows), read_only(known.laser_templates), found)
    best = found.height.argmax(axis=1)
    height, start = found.height[np.arange(n), best], found.start[np.arange(n), best]
    height = np.where(height > 0.0, height, np.nan)
    return height / known.channels("counts_per_gev")[channel], np.where(height > 0.0, start, np.nan)
