"""Waveforms of the crystals: pulses summed on a pedestal, noise, rounding and 12-bit range at 800 MHz.

A sample is a pure function of (fill, channel, sample number), so any piece of any waveform can be made
at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.sipm import Light, SipmSettings, decay_powers, pulse
from gpu.fastmath import log, sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, philox4x32

CHANNELS = CALORIMETERS * CRYSTALS
BLOCK = 4  # samples that share one Philox call
# Box-Muller from 32-bit words: no noise is larger than sqrt(-2 log 2^-33) standard deviations.
NOISE_BOUND = math.sqrt(2.0 * 33.0 * math.log(2.0))

_NOISE = int(Stage.NOISE)
_TO_UNIT = 2.0**-32
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class DigitizerSettings:
    """WFD5 digitisers and the front end behind them.

    Frequency, length, range: DAQ papers of E989; pedestal, noise, and a scale at which two 3.1 GeV positrons
    fit: the official simulation's digitiser as taken over by another experiment; decimations, pre-samples,
    the 100 samples of a pedestal: jaca230/CaloReadoutAMC13 @7ff4424.
    """

    sample_period: float = 1.25e-9  # [s]
    samples: int = 560_000
    zero_sample: int = 800  # sample of fill time 0: best estimate
    minimum: int = -2048
    maximum: int = 2047
    pedestal: float = 1750.0  # [counts]
    pedestal_spread: float = 5.0  # RMS over the channels [counts]: best estimate
    even_odd_spread: float = 0.5  # RMS of pedestal(even) - pedestal(odd) [counts]: best estimate
    noise: float = 4.0  # [counts]
    counts_per_gev: float = 612.0  # (1750 + 2048)/6.2: pulse height of 1 GeV in one crystal
    gain_spread: float = 0.17  # RMS over the channels: jlabounty/g-2 mipEnergyCalibration29927.fcl
    threshold: float = 31.0  # counts below the pedestal: 50 MeV, best estimate (recalled)
    presamples: int = 8  # best estimate (recalled); public front end: 8
    postsamples: int = 18  # best estimate (recalled); public front end: 16
    pedestal_samples: int = 100
    sum_decimation: int = 32
    q_method: bool = True
    q_decimation: int = 16
    q_last_sample: int = 252_000  # 315 us, as in Run-2
    ctag_energy: float = 1.8  # [GeV]
    ctag_sample: int = 50_000
    constants_seed: int = 989  # names the set of channel constants; not the seed of a run

    def __post_init__(self) -> None:
        for name in ("sample_period", "counts_per_gev", "pedestal_samples", "sum_decimation", "q_decimation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give a positive number.")
        smallest = NOISE_BOUND * self.noise + 3.0
        if self.threshold < smallest:
            raise ValueError(
                f"threshold = {self.threshold} counts is within reach of the noise: "
                f"give at least {smallest:.1f} counts."
            )
        if not 0 < self.samples < 2**30:
            raise ValueError(f"samples = {self.samples} is out of bounds: give 1 to 2^30.")
        if self.q_last_sample > self.samples:
            raise ValueError(f"q_last_sample = {self.q_last_sample} lies behind the last of {self.samples} samples.")


class ChannelConstants(NamedTuple):
    """Constants of every crystal channel, as a calibration would know them: arrays of shape (24, 54).

    Attributes
    ----------
    counts_per_gev : ndarray
        Height of the pulse of 1 GeV in a SiPM of endless pixels [counts/GeV].
    pedestal : ndarray
        Mean of the empty channel [counts].
    even_odd : ndarray
        Pedestal of even samples minus that of odd samples [counts].
    """

    counts_per_gev: NDArray[np.float64]
    pedestal: NDArray[np.float64]
    even_odd: NDArray[np.float64]


@Kernel
def _constants_step(i, seed, stage, normals):
    g, h = normal2(seed, 0, 0, 0, stage, i, 0)
    k, _ = normal2(seed, 0, 0, 0, stage, i, 1)
    normals[i, 0], normals[i, 1], normals[i, 2] = g, h, k


def channel_constants(settings: DigitizerSettings | None = None) -> ChannelConstants:
    """Draw the constants of all channels; the same for every run with the same `constants_seed`.

    Scales follow a log-normal distribution of mean 1 and the given spread, so that none is negative.
    """
    settings = settings or DigitizerSettings()
    normals = np.zeros((CHANNELS, 3))
    _constants_step(CHANNELS, settings.constants_seed, int(Stage.PEDESTAL), normals)
    gain, height, parity = normals.T.reshape(3, CALORIMETERS, CRYSTALS)
    variance = math.log1p(settings.gain_spread**2)
    scale = np.exp(math.sqrt(variance) * gain - 0.5 * variance)
    constants = ChannelConstants(
        settings.counts_per_gev * scale,
        settings.pedestal + settings.pedestal_spread * height,
        settings.even_odd_spread * parity,
    )
    for array in constants:
        array.flags.writeable = False
    return constants


@scalar(exact=True)
def noise4(seed, run, subrun, fill, channel, block):
    """Return standard normal numbers for the four samples of a block (Box-Muller with 32-bit words)."""
    k1 = ((int(run) << 8) | _NOISE) & _MASK
    a, b, c, d = philox4x32(
        int(block) & _MASK, int(channel), int(fill) & _MASK, int(subrun) & _MASK, int(seed) & _MASK, k1
    )
    r1 = math.sqrt(-2.0 * log((a + 0.5) * _TO_UNIT))
    r2 = math.sqrt(-2.0 * log((c + 0.5) * _TO_UNIT))
    s1, c1 = sincos(2.0 * math.pi * _TO_UNIT * (b + 0.5))
    s2, c2 = sincos(2.0 * math.pi * _TO_UNIT * (d + 0.5))
    return r1 * c1, r1 * s1, r2 * c2, r2 * s2


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
    """

    channel: NDArray[np.int64]
    start: NDArray[np.float64]
    height: NDArray[np.float64]


class Shape(NamedTuple):
    """Pulse shape in units of samples, for kernels."""

    rise: float
    fall: float
    height: float
    length: int


def pulse_table(sipm: SipmSettings, settings: DigitizerSettings) -> Shape:
    """Convert the shape of the SiPM pulse to units of samples."""
    period = settings.sample_period
    length = math.ceil(sipm.duration / period - 1e-9)
    return Shape(sipm.rise_time / period, sipm.fall_time / period, sipm.height, length)


def digitiser_pulses(light: Light, constants: ChannelConstants, settings: DigitizerSettings, shape: Shape) -> Pulses:
    """Convert pulses of light to counts and samples, drop those outside the fill, fix their order."""
    start = light.time / settings.sample_period + settings.zero_sample
    height = light.energy * constants.counts_per_gev.ravel()[light.channel]
    inside = (start > -shape.length) & (start < settings.samples - 1)
    order = np.lexsort((height[inside], start[inside], light.channel[inside]))
    return Pulses(light.channel[inside][order], start[inside][order], height[inside][order])


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
def _pulses_step(i, rows, blocks, pulses, shape, pedestal, even_odd, address, level):
    """Write the noiseless level of row i [counts], and the address (channel, block) of its blocks."""
    begin = rows.offset[i]
    end = begin + blocks[i]
    channel = rows.channel[i]
    even = np.float32(pedestal[channel] + 0.5 * even_odd[channel])
    odd = np.float32(pedestal[channel] - 0.5 * even_odd[channel])
    for j in range(begin, end):
        address[j] = (channel << 32) | (rows.block[i] + j - begin)
        level[4 * j] = even
        level[4 * j + 1] = odd
        level[4 * j + 2] = even
        level[4 * j + 3] = odd
    shift = 4 * (begin - rows.block[i])  # flat index = sample + shift
    q_step, f_step = decay_powers(1.0, shape.rise, shape.fall)
    for p in range(rows.first[i], rows.last[i]):
        start = pulses.start[p]
        sample = math.floor(start) + 1.0
        q, f = decay_powers(sample - start, shape.rise, shape.fall)
        height = pulses.height[p]
        at = int(sample) + shift
        for _ in range(shape.length):
            if 4 * begin <= at < 4 * end:
                level[at] -= height * pulse(q, f, shape.height)
            q *= q_step
            f *= f_step
            at += 1


@Kernel
def _samples_step(i, address, level, key, noise, minimum, maximum, samples):
    """Digitise the four samples of block i: add noise, round and keep in range."""
    # Neither channel nor level is looked up through a second index: the loop would not vectorise.
    a, b, c, d = noise4(key.seed, key.run, key.subrun, key.fill, address[i] >> 32, address[i])
    j = 4 * i
    samples[j] = np.int16(min(max(np.rint(level[j] + noise * a), minimum), maximum))
    samples[j + 1] = np.int16(min(max(np.rint(level[j + 1] + noise * b), minimum), maximum))
    samples[j + 2] = np.int16(min(max(np.rint(level[j + 2] + noise * c), minimum), maximum))
    samples[j + 3] = np.int16(min(max(np.rint(level[j + 3] + noise * d), minimum), maximum))


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
    pedestal, even_odd = constants.pedestal.ravel(), constants.even_odd.ravel()
    _pulses_step(len(blocks), rows, blocks, pulses, shape, pedestal, even_odd, address, level)
    noise, minimum, maximum = float(settings.noise), float(settings.minimum), float(settings.maximum)
    _samples_step(total, address, level, key, noise, minimum, maximum, samples)
    return samples
