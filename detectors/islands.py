"""Islands: the pieces of all 54 waveforms of a calorimeter that the front end keeps around a hit.

The rules are those of the public front end (jaca230/CaloReadoutAMC13 @7ff4424, kernel.cu): a sample at which
any crystal lies more than the threshold below its pedestal opens an island; each run of such samples is
widened by pre-samples and post-samples; runs that then overlap or touch become one; all crystals are kept.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.digitizer import BLOCK, DigitizerSettings, Rows
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.windows import Windows
from gpu.kernel import Kernel, scalar

_STRETCH = 64  # samples that are looked at together


class Islands(NamedTuple):
    """Islands of one calorimeter in one fill, in order of time.

    Attributes
    ----------
    start, length : int32 arrays (k,)
        First sample number in the fill; number of samples.
    samples : int16 array
        Samples [counts] in the order island, crystal, sample.
    offsets : int64 array (k + 1,)
        Where each island begins in `samples`, and the end: island j has shape (54, length[j]).
    """

    start: NDArray[np.int32]
    length: NDArray[np.int32]
    samples: NDArray[np.int16]
    offsets: NDArray[np.int64]

    def waveforms(self, island: int) -> NDArray[np.int16]:
        """Return the waveforms of one island, shape (54, length)."""
        piece = self.samples[self.offsets[island] : self.offsets[island + 1]]
        return piece.reshape(CRYSTALS, int(self.length[island]))


class _Pieces(NamedTuple):
    """Where the windows lie: samples of the fill, place in the mask, place and row length in the samples."""

    calo: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    in_mask: NDArray[np.int64]
    in_samples: NDArray[np.int64]
    row: NDArray[np.int64]


class _Cuts(NamedTuple):
    """Islands of all calorimeters before their samples are copied."""

    window: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    offset: NDArray[np.int64]


@scalar
def _lowest(samples, begin, end):
    """Return the lowest of some samples: 16 numbers of 16 bits are compared at once."""
    low = np.int16(32767)
    for s in range(begin, end):
        low = min(low, samples[s])
    return low


@Kernel
def _over_step(w, pieces, samples, limit, over):
    """Mark the samples of window w at which any crystal lies below its limit; few stretches hold such a sample."""
    mask = pieces.in_mask[w]
    for crystal in range(CRYSTALS):
        at = pieces.in_samples[w] + crystal * pieces.row[w]
        lowest = limit[pieces.calo[w] * CRYSTALS + crystal]
        for begin in range(0, pieces.length[w], _STRETCH):
            end = min(begin + _STRETCH, pieces.length[w])
            if _lowest(samples, at + begin, at + end) < lowest:
                for s in range(begin, end):
                    over[mask + s] |= samples[at + s] < lowest


@Kernel
def _copy_step(i, pieces, cuts, samples, kept):
    """Copy the waveforms of island i."""
    w = cuts.window[i]
    length = cuts.length[i]
    for crystal in range(CRYSTALS):
        source = pieces.in_samples[w] + crystal * pieces.row[w] + cuts.start[i] - pieces.first[w]
        target = cuts.offset[i] + crystal * length
        for s in range(length):
            kept[target + s] = samples[source + s]


@Kernel
def _ctag_step(i, calo, start, length, offset, kept, pedestal_sum, threshold, first_sample, peaks):
    """Count the strict minima of the calorimeter sum of island i that lie below the threshold."""
    before, here, count = 0.0, 0.0, 0
    for s in range(length[i]):
        after = -pedestal_sum[calo[i]]
        for crystal in range(CRYSTALS):
            after += kept[offset[i] + crystal * length[i] + s]
        late = start[i] + s - 1 > first_sample
        if s > 1 and late and here < threshold and here < before and here < after:
            count += 1
        before, here = here, after
    peaks[i] = count


def chop(
    windows: Windows,
    rows: Rows,
    blocks: NDArray[np.int64],
    samples: NDArray[np.int16],
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
    opening: NDArray[np.bool_],
) -> tuple[list[Islands], NDArray[np.int32]]:
    """Cut islands out of waveforms.

    Parameters
    ----------
    windows, rows, blocks, samples
        Pieces of waveforms, as planned by `rows_of` and made by `synthesise`.
    pedestals
        Pedestals that the threshold is counted from, (24, 54) [counts].
    settings
        Threshold, pre-samples and post-samples, tag.
    opening
        Which channels may open an island, (24, 54), as of `opens_islands`.

    Returns
    -------
    islands : list of 24 Islands
    ctag : int32 array (24,)
        Minima of the calorimeter sum below `ctag_energy` after `ctag_sample`, as the front end counts them.
    """
    pieces = _pieces(windows, rows, blocks)
    over = _over(pieces, samples, pedestals, settings, opening)
    cuts = _cut(pieces, over, settings)
    sizes = cuts.length * CRYSTALS
    kept = np.empty(int(sizes.sum()), np.int16)
    _copy_step(len(sizes), pieces, cuts, samples, kept)

    calo = windows.calo[cuts.window]
    return _by_calorimeter(calo, cuts, kept), _ctag(calo, cuts, kept, pedestals, settings)


def _pieces(windows: Windows, rows: Rows, blocks: NDArray[np.int64]) -> _Pieces:
    """Where the windows lie; one empty sample behind each in the mask keeps runs of neighbours apart."""
    length = windows.last - windows.first + 1
    in_mask = np.cumsum(length + 1) - length - 1
    in_samples = BLOCK * rows.offset[::CRYSTALS] + windows.first % BLOCK
    return _Pieces(windows.calo, windows.first, length, in_mask, in_samples, BLOCK * blocks[::CRYSTALS])


def _over(
    pieces: _Pieces,
    samples: NDArray[np.int16],
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
    opening: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which samples of the windows open an island, in the order of the mask."""
    over = np.zeros(int((pieces.length + 1).sum()), np.bool_)
    # sample < pedestal - threshold, for whole numbers
    limit = np.ceil(pedestals.astype(np.float64).ravel() - settings.threshold).astype(np.int16)
    limit[~opening.ravel()] = np.iinfo(np.int16).min
    _over_step(len(pieces.length), pieces, samples, limit, over)
    return over


def _ctag(
    calo: NDArray[np.int64],
    cuts: _Cuts,
    kept: NDArray[np.int16],
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
) -> NDArray[np.int32]:
    """Minima of the calorimeter sum, (24,)."""
    peaks = np.zeros(len(calo), np.int64)
    pedestal_sum = pedestals.astype(np.float64).sum(axis=1)
    threshold = -settings.ctag_energy * settings.counts_per_gev
    _ctag_step(
        len(calo), calo, cuts.start, cuts.length, cuts.offset, kept, pedestal_sum, threshold, settings.ctag_sample,
        peaks,
    )  # fmt: skip
    return np.bincount(calo, peaks, CALORIMETERS).astype(np.int32)


def _cut(pieces: _Pieces, over: NDArray[np.bool_], settings: DigitizerSettings) -> _Cuts:
    """Widen runs of marked samples and merge those that overlap or touch."""
    edges = np.diff(np.concatenate([[False], over]).astype(np.int8))
    begin = np.flatnonzero(edges == 1)
    end = np.flatnonzero(edges == -1) - 1  # the empty sample behind each window closes every run
    window = np.searchsorted(pieces.in_mask, begin, side="right") - 1
    shift = pieces.first[window] - pieces.in_mask[window]
    begin = np.maximum(begin + shift - settings.presamples, 0)
    end = np.minimum(end + shift + settings.postsamples, settings.samples - 1)
    if len(begin) == 0:
        return _Cuts(window, begin, end, begin)
    opens = np.concatenate([[True], (begin[1:] > end[:-1] + 1) | (window[1:] != window[:-1])])
    starts = np.flatnonzero(opens)
    closes = np.append(starts[1:], len(begin)) - 1
    length = end[closes] - begin[starts] + 1
    sizes = length * CRYSTALS
    return _Cuts(window[starts], begin[starts], length, np.cumsum(sizes) - sizes)


def _by_calorimeter(calo: NDArray[np.int64], cuts: _Cuts, kept: NDArray[np.int16]) -> list[Islands]:
    """Share the islands, sorted by calorimeter, out to the calorimeters without copying samples."""
    ends = np.append(cuts.offset, len(kept))
    bounds = np.searchsorted(calo, np.arange(CALORIMETERS + 1))
    islands = []
    for a, b in pairwise(bounds):
        offsets = ends[a : b + 1]
        islands.append(
            Islands(
                cuts.start[a:b].astype(np.int32),
                cuts.length[a:b].astype(np.int32),
                kept[offsets[0] : offsets[-1]],
                offsets - offsets[0],
            )
        )
    return islands
