"""Which pieces of a fill's waveforms can hold an island, and which pulses reach into them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.digitizer import (
    BLOCK,
    ChannelConstants,
    DigitizerSettings,
    Pulses,
    Rows,
    Shape,
    opens_islands,
)
from detectors.shower import CALORIMETERS, CRYSTALS


class Windows(NamedTuple):
    """Pieces of the fill of one calorimeter each, in order, neither overlapping nor touching.

    Attributes
    ----------
    calo, first, last : int64 arrays
        Calorimeter 0 to 23; first and last sample, both included.
    """

    calo: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]


def every_calorimeter(first: int, last: int) -> Windows:
    """Return the same window for all calorimeters; the whole fill with first = 0, last = samples - 1."""
    return Windows(
        np.arange(CALORIMETERS),
        np.full(CALORIMETERS, first, dtype=np.int64),
        np.full(CALORIMETERS, last, dtype=np.int64),
    )


def find_windows(
    pulses: Pulses,
    constants: ChannelConstants,
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
    shape: Shape,
) -> Windows:
    """Find all windows in which a sample may pass the threshold, with room for the samples before and after.

    Overlapping pulses of a calorimeter form a cluster. Where in no crystal the heights of the cluster's
    pulses add up to the threshold less the largest possible noise, no sample can pass; all other clusters
    become windows.

    Parameters
    ----------
    pulses
        Pulses of the fill.
    constants, pedestals
        Constants of the channels; pedestals measured by the front end in this fill, (24, 54) [counts].
    settings, shape
        Digitiser; pulse shape in samples.
    """
    # Calorimeters side by side on one axis, too far apart to touch.
    stride = settings.samples + 2 * shape.length + 2
    first = np.floor(pulses.start).astype(np.int64) + 1 + pulses.channel // CRYSTALS * stride
    order = np.argsort(first, kind="stable")
    crystal, height, first = pulses.channel[order] % CRYSTALS, pulses.height[order], first[order]
    begin, end, cluster = _merge(first, first + shape.length - 1)

    clusters = len(begin)
    total = np.bincount(cluster * CRYSTALS + crystal, height, clusters * CRYSTALS).reshape(clusters, CRYSTALS)
    # Half a count of rounding, the even-odd difference, and an error of 1e-3 of sums in single precision.
    margin = settings.noise_reach(constants.noise_factor) + 0.5 + 0.5 * np.abs(constants.even_odd) + 1e-3
    needed = np.maximum(settings.threshold + constants.pedestal - pedestals.astype(np.float64) - margin, 1e-3)
    needed[~opens_islands(constants, settings)] = np.inf
    calo = (begin + shape.length) // stride
    excess = (total / needed[calo]).max(axis=1, initial=0.0)
    possible = excess >= 1.0
    calo, begin, excess = calo[possible], begin[possible], excess[possible]

    # Behind the start of its last pulse a cluster falls at least as fast as exp(-age/fall) / height of the slowest.
    slowest, smallest = shape.fall.max(), shape.height.min()
    age = np.minimum(np.ceil(slowest * np.log(excess / smallest)), shape.length).astype(np.int64)
    end = end[possible] - shape.length + 1 + age
    begin = np.maximum(begin - settings.presamples, calo * stride)
    end = np.minimum(end + settings.postsamples, calo * stride + settings.samples - 1)
    inside = end >= begin  # what is left of a pulse from before the fill may be too small
    begin, end, _ = _merge(begin[inside], end[inside])
    calo = begin // stride
    return Windows(calo, begin - calo * stride, end - calo * stride)


def rows_of(
    windows: Windows, pulses: Pulses, settings: DigitizerSettings, shape: Shape
) -> tuple[Rows, NDArray[np.int64], Pulses]:
    """List the rows (window, crystal) to be made, their numbers of blocks, and the pulses that touch them."""
    n = len(windows.calo)
    block = windows.first // BLOCK
    blocks = windows.last // BLOCK + 1 - block
    blocks_of_rows = np.repeat(blocks, CRYSTALS)
    channel = (windows.calo[:, None] * CRYSTALS + np.arange(CRYSTALS)).ravel()

    stride = settings.samples + 1
    first = np.floor(pulses.start).astype(np.int64) + 1
    last = np.minimum(first + shape.length - 1, settings.samples - 1)
    first = np.maximum(first, 0)
    calo = pulses.channel // CRYSTALS
    low = np.searchsorted(windows.calo * stride + windows.last, calo * stride + first, side="left")
    high = np.searchsorted(windows.calo * stride + windows.first, calo * stride + last, side="right")
    touched = np.maximum(high - low, 0)
    pulse = np.repeat(np.arange(len(calo)), touched)
    nth = np.arange(len(pulse)) - np.repeat(np.cumsum(touched) - touched, touched)
    window = np.repeat(low, touched) + nth
    row = window * CRYSTALS + pulses.channel[pulse] % CRYSTALS
    order = np.argsort(row, kind="stable")
    ends = np.cumsum(np.bincount(row, minlength=n * CRYSTALS))
    starts = np.concatenate([np.zeros(1, ends.dtype), ends[:-1]]) if n else ends
    rows = Rows(channel, np.repeat(block, CRYSTALS), np.cumsum(blocks_of_rows) - blocks_of_rows, starts, ends)
    pulse = pulse[order]
    return rows, blocks_of_rows, pulses.take(pulse)


def _merge(
    begin: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Merge closed intervals, sorted by their beginnings, that overlap or touch; say which went where."""
    if len(begin) == 0:
        return begin, end, begin
    reached = np.maximum.accumulate(end)
    opens = np.concatenate([[True], begin[1:] > reached[:-1] + 1])
    starts = np.flatnonzero(opens)
    closes = np.append(starts[1:], len(begin)) - 1
    return begin[starts], reached[closes], np.cumsum(opens) - 1
