"""Constants from the raw data of a run alone: pedestals and noise, gains by the laser, times of the channels.

What they are relative to (energy scale, light of the laser, shapes of pulses) is not in a run's own data: it is taken
from the calibration that travels in the files.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.channels import ChannelStatus
from detectors.shower import CALORIMETERS, CRYSTALS
from gm2sim.calibration import Calibration
from gm2sim.config import Config
from gm2sim.laser import LaserGains, gains_of_event, highest, laser_islands
from gm2sim.raw import Event, open_run
from gm2sim.timeline import FillType

Floats = NDArray[np.float64]
_SHAPE = (CALORIMETERS, CRYSTALS)
_NOISY = 2.0  # a channel with so many times the noise opens no islands: best estimate
_ROUNDING = 1.0 / 12.0  # variance of rounding to whole counts


class Pedestals(NamedTuple):
    """Empty channels: arrays (24, 54) [counts], NaN where none was seen.

    Attributes
    ----------
    pedestal, even_odd, noise : array
    samples : int array
        That they are the means of.
    """

    pedestal: Floats
    even_odd: Floats
    noise: Floats
    samples: NDArray[np.int64]


class Means(NamedTuple):
    """Means of measurements of each channel: arrays (24, 54), NaN where there is none.

    Attributes
    ----------
    mean, error : array
    number : int array
    """

    mean: Floats
    error: Floats
    number: NDArray[np.int64]


class RunData(NamedTuple):
    """What the first pass takes from the raw files of one run.

    Attributes
    ----------
    pedestals : Pedestals
        Of the whole run.
    gain : dict of int to Means
        Subrun -> gain out of fill by the laser, of those with fills of the laser.
    offset : Means
        Time of the laser's pulse before the fill less the time at which it was fired, of the whole run [s].
    """

    pedestals: Pedestals
    gain: dict[int, Means]
    offset: Means


def run_data(paths: Sequence[Path], config: Config, skip: Collection[int] = ()) -> RunData:
    """Go once through the raw files of a run.

    Parameters
    ----------
    paths : sequence of Path
    config : Config
        Of the run: when the laser fires.
    skip : collection of int
        Serial numbers of events that are left out.
    """
    sums = _PedestalSums()
    gain: dict[int, Means] = {}
    offsets: list[Floats] = []
    for path in paths:
        raw = open_run(path)
        known = Calibration.from_odb(raw.odb)
        laser: list[LaserGains] = []
        for event in raw:
            if event.fill_type == FillType.PEDESTAL:
                sums.add(event)
            elif event.serial in skip:
                continue
            elif event.fill_type == FillType.LASER:
                pulses = gains_of_event(event, known)
                laser.append(pulses._replace(gain=undisturbed(pulses, known)))
            elif event.fill_type == FillType.MUONS and config.laser.sync:
                offsets += _sync_times(event, known, 1e-6 * config.laser.sync_us)
        found = LaserGains.concatenate(laser).gain
        if len(found):
            gain[raw.subrun or 0] = means(found)
    return RunData(sums.result(), gain, means(np.array(offsets).reshape(-1, *_SHAPE)))


def undisturbed(pulses: LaserGains, known: Calibration) -> Floats:
    """Gains without the sag that the pulses of the same event before have left, (k, 24, 54).

    Four pulses of 2 GeV, 1.5 us apart, lower each other by 1e-3 on average: as much as a quarter of a degree.

    Parameters
    ----------
    pulses : LaserGains
        Of one event.
    known : Calibration
        How much, and for how long.
    """
    light = np.repeat(pulses.brightness, CALORIMETERS // pulses.brightness.shape[1] * CRYSTALS, axis=1)
    left = light * known.channels("laser_light") * known.channels("drop_per_gev")
    sag = np.zeros_like(left)
    for later in range(1, len(left)):
        age = (pulses.time[later] - pulses.time[:later])[:, None]
        sag[later] = (left[:later] * np.exp(-age / known.channels("drop_time"))).sum(axis=0)
    return np.asarray(pulses.gain / (1.0 - sag.reshape(pulses.gain.shape)))


def means(values: Floats) -> Means:
    """Mean over the first axis, NaN left out; the error from the scatter of all channels together.

    Parameters
    ----------
    values : array (k, 24, 54)
    """
    there = np.isfinite(values)
    number = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    squares = np.where(there, (values - mean) ** 2, 0.0).sum(axis=0)
    freedom = np.maximum(number - 1, 0)
    # A few measurements of one channel know their spread badly; all channels of a calorimeter are alike.
    spread = np.sqrt(squares.sum() / max(int(freedom.sum()), 1))
    return Means(mean, np.where(number > 0, spread / np.sqrt(np.maximum(number, 1)), np.nan), number)


class _PedestalSums:
    """Sums over the samples of looks at the pedestals: even and odd samples, and their squares."""

    def __init__(self) -> None:
        self._number, self._sum, self._squares = np.zeros((3, 2, *_SHAPE))

    def add(self, event: Event) -> None:
        """Add the waveforms of one event."""
        for crate in event.waveform_crates:
            if crate > CALORIMETERS:
                continue
            found = event.waveforms(crate)
            samples = np.stack(found.samples).reshape(len(found.channels), -1).astype(np.float64)
            for parity in (0, 1):
                some = samples[:, parity::2]
                at = (parity, crate - 1, list(found.channels))
                self._number[at] += some.shape[1]
                self._sum[at] += some.sum(axis=1)
                self._squares[at] += (some**2).sum(axis=1)

    def result(self) -> Pedestals:
        """Means and noise of all channels."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._sum / self._number
            variance = np.maximum(self._squares / self._number - mean**2, 0.0)
        return Pedestals(
            mean.mean(axis=0), mean[0] - mean[1], np.sqrt(variance.mean(axis=0)), self._number.sum(axis=0).astype(int)
        )


def _sync_times(event: Event, known: Calibration, fired: float) -> list[Floats]:
    """Times of the channels in the pulse before the fill, less that of the pulse, (24, 54) [s]; none without one."""
    offset = np.full(_SHAPE, np.nan)
    for calo, island, level in laser_islands(event, known):
        if (island.time - known.zero_sample) * known.sample_period > 0.5 * fired:
            continue  # a pulse inside the fill
        channel = CRYSTALS * calo + np.arange(CRYSTALS)
        _, start = highest(island.samples, level, channel, known)
        offset[calo] = (island.time + start - known.zero_sample) * known.sample_period - fired
    return [offset] if np.isfinite(offset).any() else []


def channel_status(found: RunData, config: Config) -> tuple[Floats, Floats]:
    """Status and noise factor of all channels: dead ones show no laser, noisy ones noise; arrays (24, 54)."""
    detectors = config.detectors
    white = np.maximum(found.pedestals.noise**2 - _ROUNDING - detectors.common_noise_counts**2, 0.0)
    factor = np.sqrt(white) / detectors.noise_counts if detectors.noise_counts > 0.0 else np.ones(_SHAPE)
    factor = np.where(np.isfinite(factor), factor, 1.0)
    lit = np.sum([one.number for one in found.gain.values()], axis=0) > 0 if found.gain else np.ones(_SHAPE, np.bool_)
    status = np.where(factor > _NOISY, float(ChannelStatus.NOISY), float(ChannelStatus.GOOD))
    return np.where(lit, status, float(ChannelStatus.DEAD)), factor
