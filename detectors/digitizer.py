"""Waveforms of the crystals: pulses summed on a pedestal, noise, rounding and 12-bit range at 800 MHz.

A sample is a pure function of (fill, channel, sample number), so any piece of any waveform can be made
at any time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.channels import CHANNELS as CHANNELS
from detectors.channels import ChannelConstants as ChannelConstants
from detectors.channels import ChannelStatus
from detectors.channels import channel_constants as channel_constants
from detectors.noise import BLOCK as BLOCK
from detectors.noise import NOISE_BOUND as NOISE_BOUND
from detectors.noise import nearest_single, noise4
from detectors.sampling import MARGIN
from detectors.sampling import DigitizerSettings as DigitizerSettings
from detectors.shower import CRYSTALS
from detectors.sipm import Light, SipmSettings, decay_powers, pulse, shape_height
from gpu.kernel import Kernel
from gpu.rng import FillKey, Stage

_NOISE = int(Stage.NOISE)
_COMMON = int(Stage.COMMON_NOISE)


def opens_islands(constants: ChannelConstants, settings: DigitizerSettings) -> NDArray[np.bool_]:
    """Which channels may open an island, (24, 54): good ones whose noise alone does not reach the threshold.

    The others are masked in the front end, as a noisy channel would be; their samples are kept like all others.
    """
    quiet = settings.noise_reach(constants.noise_factor) + MARGIN <= settings.threshold
    return np.asarray(quiet & (constants.status == ChannelStatus.GOOD))


class Pulses(NamedTuple):
    """Pulses of a fill in units of the digitiser, sorted by channel, start and height.

    Attributes
    ----------
    channel : int64 array
        54 calo + crystal.
    start : float64 array
        Start of the pulse in samples, counted from the first sample of the fill.
    height : float64 array
        Height below the pedestal [counts].
    shape : int64 array
        Number of its shape: channel + 1296 kind.
    """

    channel: NDArray[np.int64]
    start: NDArray[np.float64]
    height: NDArray[np.float64]
    shape: NDArray[np.int64]

    def take(self, which: NDArray[np.int64]) -> Pulses:
        """Some of the pulses, in the order wanted."""
        return Pulses(self.channel[which], self.start[which], self.height[which], self.shape[which])


class Shape(NamedTuple):
    """Pulse shapes in units of samples, for kernels.

    Attributes
    ----------
    rise, fall, height : float64 arrays (2592,)
        Of the channels for pulses of particles, then for those of the laser; largest value of the bare shape.
    length : int
        Samples after which every pulse has ended.
    """

    rise: NDArray[np.float64]
    fall: NDArray[np.float64]
    height: NDArray[np.float64]
    length: int


def pulse_table(sipm: SipmSettings, settings: DigitizerSettings, constants: ChannelConstants | None = None) -> Shape:
    """Convert the shapes of the SiPM pulses to units of samples.

    Parameters
    ----------
    sipm, settings
        Duration of a pulse, sampling.
    constants
        Shapes of the channels; those of `sipm` for all if not given.
    """
    period = settings.true_period
    rise: NDArray[np.float64] = np.repeat([sipm.rise_time, sipm.laser_rise_time], CHANNELS)
    fall: NDArray[np.float64] = np.repeat([sipm.fall_time, sipm.laser_fall_time], CHANNELS)
    if constants is not None:
        rise = np.concatenate([constants.rise_time.ravel(), constants.laser_rise_time.ravel()])
        fall = np.concatenate([constants.fall_time.ravel(), constants.laser_fall_time.ravel()])
    length = math.ceil(sipm.duration / settings.sample_period - 1e-9)
    return Shape(rise / period, fall / period, shape_height(rise, fall), length)


def digitiser_pulses(light: Light, constants: ChannelConstants, settings: DigitizerSettings, shape: Shape) -> Pulses:
    """Convert pulses of light to counts and samples of the channels' clock, and fix their order.

    Those outside the fill and those of dead channels are dropped.
    """
    start = (light.time + constants.time_offset.ravel()[light.channel]) / settings.true_period + settings.zero_sample
    height = light.energy * constants.counts_per_gev.ravel()[light.channel]
    alive = constants.status.ravel()[light.channel] != ChannelStatus.DEAD
    kept = np.flatnonzero(alive & (start > -shape.length) & (start < settings.samples - 1))
    kept = kept[np.lexsort((height[kept], start[kept], light.channel[kept]))]
    channel = light.channel[kept]
    return Pulses(channel, start[kept], height[kept], channel + CHANNELS * light.kind[kept])


class Rows(NamedTuple):
    """Pieces of waveforms to be made: one row per window and crystal, in blocks of four samples.

    Attributes
    ----------
    channel, block, offset, first, last : int64 arrays
        Channel; first block of the fill that it covers; first block in the flat output; pulses that touch it,
        a range of indices of the pulses handed over with the rows.
    """

    channel: NDArray[np.int64]
    block: NDArray[np.int64]
    offset: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


@Kernel
def _pulses_step(i, rows, blocks, pulses, shape, pedestal, even_odd, noise, common, common_at, address, scale, level):
    """Write the level of row i without its own noise [counts]; address (channel, block) and noise of its blocks."""
    begin = rows.offset[i]
    end = begin + blocks[i]
    channel = rows.channel[i]
    even = np.float32(pedestal[channel] + 0.5 * even_odd[channel])
    odd = np.float32(pedestal[channel] - 0.5 * even_odd[channel])
    for j in range(begin, end):
        address[j] = (channel << 32) | (rows.block[i] + j - begin)
        scale[j] = noise[channel]
        level[4 * j] = even
        level[4 * j + 1] = odd
        level[4 * j + 2] = even
        level[4 * j + 3] = odd
    if common_at[i] >= 0:
        for j in range(4 * (end - begin)):
            level[4 * begin + j] += common[common_at[i] + j]
    shift = 4 * (begin - rows.block[i])  # flat index = sample + shift
    for p in range(rows.first[i], rows.last[i]):
        start, k = pulses.start[p], pulses.shape[p]
        sample = math.floor(start) + 1.0
        q_step, f_step = decay_powers(1.0, shape.rise[k], shape.fall[k])
        q, f = decay_powers(sample - start, shape.rise[k], shape.fall[k])
        height, largest = pulses.height[p], shape.height[k]
        at = int(sample) + shift
        for _ in range(shape.length):
            if 4 * begin <= at < 4 * end:
                level[at] -= height * pulse(q, f, largest)
            q *= q_step
            f *= f_step
            at += 1


@Kernel
def _samples_step(i, address, scale, level, key, minimum, maximum, samples):
    """Digitise the four samples of block i: add noise, round and keep in range."""
    # Neither channel nor level is looked up through a second index: the loop would not vectorise.
    a, b, c, d = noise4(key.seed, key.run, key.subrun, key.fill, address[i] >> 32, address[i], _NOISE)
    j, noise = 4 * i, scale[i]
    samples[j] = np.int16(nearest_single(min(max(level[j] + noise * a, minimum), maximum)))
    samples[j + 1] = np.int16(nearest_single(min(max(level[j + 1] + noise * b, minimum), maximum)))
    samples[j + 2] = np.int16(nearest_single(min(max(level[j + 2] + noise * c, minimum), maximum)))
    samples[j + 3] = np.int16(nearest_single(min(max(level[j + 3] + noise * d, minimum), maximum)))


@Kernel
def common_step(i, address, counter, key, noise, common):
    """Write the noise that the channels of a calorimeter share in block i [counts]; address (calorimeter, block)."""
    where = address[i]
    a, b, c, d = noise4(key.seed, key.run, key.subrun, key.fill, counter + (where >> 32), where, _COMMON)
    j = 4 * i
    common[j], common[j + 1], common[j + 2], common[j + 3] = noise * a, noise * b, noise * c, noise * d


def _common_noise(
    rows: Rows, blocks: NDArray[np.int64], key: FillKey, noise: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Common noise of the pieces that rows cover, each made once, and where each row's begins (-1 for none)."""
    if noise == 0.0:
        return np.zeros(0, np.float32), np.full(len(blocks), -1, np.int64)
    piece = (rows.channel // CRYSTALS << 32) | rows.block
    new = np.concatenate([[True], (piece[1:] != piece[:-1]) | (blocks[1:] != blocks[:-1])])[: len(piece)]
    of = np.cumsum(new) - 1
    length = blocks[new]
    first = np.cumsum(length) - length
    address = np.repeat(piece[new] - first, length) + np.arange(int(length.sum()))
    common = np.empty(BLOCK * len(address), np.float32)
    common_step(len(address), address, 0, key, noise, common)
    return common, BLOCK * first[of]


def synthesise(
    rows: Rows,
    blocks: NDArray[np.int64],
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    settings: DigitizerSettings,
    key: FillKey,
) -> NDArray[np.int16]:
    """Make pieces of waveforms.

    Parameters
    ----------
    rows, blocks
        Which channel and samples; number of blocks of each row.
    pulses
        Pulses in the order that the rows' ranges refer to.
    shape, constants, settings, key
        Pulse shape in samples, channel constants, digitiser, the fill.

    Returns
    -------
    int16 array (4 x number of blocks,)
        Samples [counts]; pulses go negative.
    """
    total = int(blocks.sum())
    level = np.empty(BLOCK * total, np.float32)
    address = np.empty(total, np.int64)
    samples = np.empty(BLOCK * total, np.int16)
    scale = np.empty(total, np.float32)
    pedestal, even_odd = constants.pedestal.ravel(), constants.even_odd.ravel()
    noise = settings.noise * constants.noise_factor.ravel()
    common, common_at = _common_noise(rows, blocks, key, float(settings.common_noise))
    _pulses_step(
        len(blocks), rows, blocks, pulses, shape, pedestal, even_odd, noise, common, common_at, address, scale, level
    )
    minimum, maximum = np.float32(settings.minimum), np.float32(settings.maximum)
    _samples_step(total, address, scale, level, key, minimum, maximum, samples)
    return samples
