"""Waveforms beside the islands: all samples of a fill for chosen channels, and the same piece of all channels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.channels import CHANNELS, ChannelConstants
from detectors.digitizer import BLOCK, DigitizerSettings, Pulses, Rows, Shape, synthesise
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.windows import Windows, rows_of
from gpu.rng import FillKey

_AT_ONCE = 9  # channels made together: 40 MB of levels, addresses and samples


class Waveforms(NamedTuple):
    """Whole waveforms.

    Attributes
    ----------
    channel : int64 array (n,)
        54 calo + crystal.
    samples : int16 array (n, samples of the fill)
        [counts]
    """

    channel: NDArray[np.int64]
    samples: NDArray[np.int16]


def waveforms_of(
    channels: NDArray[np.int64],
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    settings: DigitizerSettings,
    key: FillKey,
) -> Waveforms:
    """Make all samples of chosen channels, a few channels at a time.

    Parameters
    ----------
    channels
        54 calo + crystal, in the order wanted.
    pulses, shape, constants, settings, key
        As for `detectors.digitizer.synthesise`; pulses of the whole fill.

    Raises
    ------
    ValueError
        A channel does not exist.
    """
    wrong = (channels < 0) | (channels >= CHANNELS)
    if wrong.any():
        raise ValueError(f"channel {channels[wrong][0]} does not exist: give 0 to {CHANNELS - 1}.")
    blocks = -(-settings.samples // BLOCK)
    samples = np.empty((len(channels), settings.samples), np.int16)
    first = np.searchsorted(pulses.channel, channels, side="left")
    last = np.searchsorted(pulses.channel, channels, side="right")
    for begin in range(0, len(channels), _AT_ONCE):
        some = slice(begin, begin + _AT_ONCE)
        n = len(channels[some])
        rows = Rows(channels[some], np.zeros(n, np.int64), np.arange(n) * blocks, first[some], last[some])
        made = synthesise(rows, np.full(n, blocks), pulses, shape, constants, settings, key)
        samples[some] = made.reshape(n, -1)[:, : settings.samples]
    return Waveforms(channels, samples)


def pieces_of_all(
    first: NDArray[np.int64],
    length: int,
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    settings: DigitizerSettings,
    key: FillKey,
) -> NDArray[np.int16]:
    """Make the same pieces of the waveforms of all channels.

    Parameters
    ----------
    first
        First sample of each piece, shape (k,), ascending and apart; multiples of four.
    length
        Samples of a piece, a multiple of four.
    pulses, shape, constants, settings, key
        As for `detectors.digitizer.synthesise`; pulses of the whole fill.

    Returns
    -------
    int16 array (24, 54, k, length) [counts]
    """
    k = len(first)
    calo = np.repeat(np.arange(CALORIMETERS), k)
    begin = np.tile(first, CALORIMETERS)
    rows, blocks, touching = rows_of(Windows(calo, begin, begin + length - 1), pulses, settings, shape)
    samples = synthesise(rows, blocks, touching, shape, constants, settings, key)
    return np.ascontiguousarray(samples.reshape(CALORIMETERS, k, CRYSTALS, length).swapaxes(1, 2))
