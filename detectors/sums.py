"""Fill-long sums of the waveforms: the calorimeter sum and the Q-method histograms.

Both cover every sample of a fill, most of which nobody looks at one by one. They are therefore not added up
from samples: the pulses' share is exact, and the noise of a bin of n samples is one normal number of variance
n (noise^2 + 1/12), which is the distribution of the sum of n rounded samples up to terms of order 1/n; noise
that a calorimeter's channels share adds up over them first. These numbers have their own counters, so they are
independent of the noise of the samples kept in islands. The 12-bit range is not applied to them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detectors.digitizer import ChannelConstants, DigitizerSettings, Pulses, Shape, common_step
from detectors.noise import BLOCK, nearest, noise4
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.sipm import decay_powers, pulse
from gpu.kernel import Kernel
from gpu.rng import FillKey, Stage

_NOISE = int(Stage.NOISE)

# Stage NOISE counts channels 0 to 1295 for samples; these begin the numbers used for sums.
_SUM_COUNTER = 2048
_Q_COUNTER = 4096


@Kernel
def _binned_step(i, pulses, shape, decimation, first_bin, parts):
    """Add up pulse i over the bins that it reaches [counts]."""
    start = pulses.start[i]
    sample = math.floor(start) + 1.0
    whole = int(sample)
    first = whole // decimation
    first_bin[i] = first
    number = pulses.shape[i]
    rise, fall, largest = shape.rise[number], shape.fall[number], shape.height[number]
    q_step, f_step = decay_powers(1.0, rise, fall)
    q, f = decay_powers(sample - start, rise, fall)
    for k in range(shape.length):
        parts[i, (whole + k) // decimation - first] += pulses.height[i] * pulse(q, f, largest)
        q *= q_step
        f *= f_step


@Kernel
def _noise_step(i, address, counter, scale, level, key, sums):
    """Add noise to the four bins of block i, and round."""
    where = address[i]
    a, b, c, d = noise4(key.seed, key.run, key.subrun, key.fill, counter + (where >> 32), where, _NOISE)
    j, noise = 4 * i, scale[i]
    sums[j] = np.int32(nearest(level[j] + noise * a))
    sums[j + 1] = np.int32(nearest(level[j + 1] + noise * b))
    sums[j + 2] = np.int32(nearest(level[j + 2] + noise * c))
    sums[j + 3] = np.int32(nearest(level[j + 3] + noise * d))


def _binned(pulses: Pulses, shape: Shape, decimation: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the bins that each pulse reaches and its share in them, both (n, bins)."""
    reach = (shape.length + decimation - 2) // decimation + 1
    first_bin = np.zeros(len(pulses.start), np.int64)
    parts = np.zeros((len(pulses.start), reach))
    _binned_step(len(pulses.start), pulses, shape, decimation, first_bin, parts)
    return first_bin[:, None] + np.arange(reach), parts


def _addresses(rows: int, blocks: int) -> NDArray[np.int64]:
    return (np.arange(rows)[:, None] << 32 | np.arange(blocks)).ravel()


def _subtract(level: NDArray[np.float64], row: NDArray, bins: NDArray, parts: NDArray) -> None:
    inside = (bins >= 0) & (bins < level.shape[1]) & (parts != 0.0)
    np.subtract.at(level, (np.broadcast_to(row[:, None], bins.shape)[inside], bins[inside]), parts[inside])


def calorimeter_sums(
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
    key: FillKey,
) -> NDArray[np.uint32]:
    """Return the decimated calorimeter sums of a fill.

    As in the public front end (jaca230/CaloReadoutAMC13 @7ff4424, kernel.cu), the sum over 54 crystals and 32
    samples of sample minus measured pedestal, a signed number that a positron makes negative; its 32 bits
    travel in a word declared unsigned, so read it with ``.view(numpy.int32)``.

    Parameters
    ----------
    pulses, shape
        Pulses of the fill; their shape in samples.
    constants, pedestals
        Channel constants; pedestals measured in this fill, (24, 54) [counts].
    settings, key
        Digitiser; the fill.

    Returns
    -------
    uint32 array (24, samples / sum_decimation)
    """
    bins = settings.samples // settings.sum_decimation
    blocks = -(-bins // BLOCK)
    level = np.zeros((CALORIMETERS, blocks * BLOCK))
    offset = (constants.pedestal - pedestals.astype(np.float64)).sum(axis=1)
    level += offset[:, None] * settings.sum_decimation
    _subtract(level, pulses.channel // CRYSTALS, *_binned(pulses, shape, settings.sum_decimation))
    variance = _variance(constants, settings).sum(axis=1) + (CRYSTALS * settings.common_noise) ** 2
    scale = np.repeat(np.sqrt(settings.sum_decimation * variance), blocks)
    sums = np.empty(level.size, np.int32)
    address = _addresses(CALORIMETERS, blocks)
    _noise_step(len(address), address, _SUM_COUNTER, scale, level.ravel(), key, sums)
    return np.ascontiguousarray(sums.reshape(level.shape)[:, :bins]).view(np.uint32)


def _variance(constants: ChannelConstants, settings: DigitizerSettings) -> NDArray[np.float64]:
    """Variance of a rounded sample by the noise of its channel alone, (24, 54) [counts^2]."""
    return np.asarray((settings.noise * constants.noise_factor) ** 2 + 1.0 / 12.0)


def q_bins(settings: DigitizerSettings) -> int:
    """Number of bins of a Q-method histogram."""
    return settings.q_last_sample // settings.q_decimation


def add_q_histograms(
    histograms: NDArray[np.int32],
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    settings: DigitizerSettings,
    key: FillKey,
) -> None:
    """Add one fill to the Q-method histograms: sums of `q_decimation` samples, pedestal included.

    Parameters
    ----------
    histograms
        int32 array (24, 54, q_bins), added to in place [counts].
    pulses, shape, constants, settings, key
        As for `calorimeter_sums`.

    Raises
    ------
    ValueError
        If the array has another shape.
    """
    bins = q_bins(settings)
    if histograms.shape != (CALORIMETERS, CRYSTALS, bins):
        raise ValueError(f"q_histogram has shape {histograms.shape}, not {(CALORIMETERS, CRYSTALS, bins)}.")
    blocks = -(-bins // BLOCK)
    where, parts = _binned(pulses, shape, settings.q_decimation)
    scale = np.sqrt(settings.q_decimation * _variance(constants, settings))
    shared = math.sqrt(settings.q_decimation) * settings.common_noise
    address = _addresses(CRYSTALS, blocks)
    sums = np.empty(len(address) * BLOCK, np.int32)
    bounds = np.searchsorted(pulses.channel, np.arange(CALORIMETERS + 1) * CRYSTALS)
    for calo in range(CALORIMETERS):
        level = np.empty((CRYSTALS, blocks * BLOCK))
        level[:] = settings.q_decimation * constants.pedestal[calo][:, None]
        if shared:
            common = np.empty(blocks * BLOCK)
            common_step(blocks, np.arange(blocks), _Q_COUNTER + calo, key, shared, common)
            level += common
        own = slice(bounds[calo], bounds[calo + 1])
        _subtract(level, pulses.channel[own] - calo * CRYSTALS, where[own], parts[own])
        counter = _Q_COUNTER + calo * CRYSTALS
        _noise_step(len(address), address, counter, np.repeat(scale[calo], blocks), level.ravel(), key, sums)
        histograms[calo] += sums.reshape(level.shape)[:, :bins]
