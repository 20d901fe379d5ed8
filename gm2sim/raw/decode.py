"""Words of a bank back into physics: islands, pedestals, sums, histograms, trigger. Samples are views.

Written from the format's description and not from the writer, so that reading back is a test of the writing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

Fail = Callable[[int, str], NoReturn]  # byte offset inside the bank's data, what is wrong


class Trigger(NamedTuple):
    """The TRIG bank.

    Attributes
    ----------
    number : int
        Trigger number of the master.
    mask : int
    time_s, time_us : int
        Unix time of the trigger.
    """

    number: int
    mask: int
    time_s: int
    time_us: int

    @property
    def fill_type(self) -> int:
        """1 muon, 2 laser, 3 pedestal, 4 asynchronous."""
        return self.mask >> 1 & 7

    @property
    def fill_index(self) -> int:
        """Place in the accelerator's supercycle, 0..15."""
        return self.mask >> 4 & 15


class Island(NamedTuple):
    """One island of a calorimeter.

    Attributes
    ----------
    time : int
        Sample number of its first sample in the fill.
    length : int
        Number of samples.
    samples : int16 array (54, length)
        View of the file [ADC counts].
    """

    time: int
    length: int
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Islands:
    """The islands of one calorimeter in one fill: a sequence of :class:`Island`.

    Attributes
    ----------
    time, length : int32 arrays (k,)
    ctag : int
        Late high-energy clusters as the front end counted them.
    crystals : int
    """

    time: NDArray[np.int32]
    length: NDArray[np.int32]
    ctag: int
    crystals: int
    _first: list[int]
    _words: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self._first)

    def __getitem__(self, i: int) -> Island:
        length = int(self.length[i])
        first = self._first[i]
        samples = self._words[first : first + self.crystals * length].reshape(self.crystals, length)
        return Island(int(self.time[i]), length, samples)

    def __iter__(self) -> Iterator[Island]:
        return (self[i] for i in range(len(self)))


class QHistogram(NamedTuple):
    """The Q-method histogram of one calorimeter.

    Attributes
    ----------
    counts : int32 array (crystals, bins)
    first_sample, last_sample : int
        Counted from 1.
    samples_per_bin : int
    """

    counts: NDArray[np.int32]
    first_sample: int
    last_sample: int
    samples_per_bin: int


class StrawWords(NamedTuple):
    """The STRW bank.

    Attributes
    ----------
    channel : int32 array (k,)
        ((station 8 + module) 4 + layer) 32 + wire.
    tdc : int32 array (k,)
        Bins since the bunch centre left the inflector.
    bin_ps : int
        Width of a bin [ps].
    """

    channel: NDArray[np.int32]
    tdc: NDArray[np.int32]
    bin_ps: int


def trigger(data: memoryview, fail: Fail) -> Trigger:
    """Decode TRIG: eight unsigned words."""
    words = _words(data, "<u4", fail)
    if words.size != 8:
        fail(0, f"{words.size} words in place of 8")
    number, mask, *times = words.tolist()
    if max(times[1::2]) >= 1_000_000:
        fail(12, f"{max(times[1::2])} microseconds make more than a second")
    return Trigger(number, mask, times[0], times[1])


def pedestals(data: memoryview, fail: Fail) -> NDArray[np.float32]:
    """Decode CPnn: float32 array (crystals,), a view."""
    words = _words(data, "<f4", fail)
    if words.size == 0 or words[0] != words.size - 1:
        fail(0, f"the first word must count the {words.size - 1} that follow")
    return words[1:]


def calo_sum(data: memoryview, fail: Fail) -> NDArray[np.uint32]:
    """Decode CSnn: uint32 array, a view."""
    words = _words(data, "<u4", fail)
    if words.size == 0 or words[0] != words.size - 1:
        fail(0, f"the first word must count the {words.size - 1} that follow")
    return words[1:]


def q_histogram(data: memoryview, fail: Fail) -> QHistogram:
    """Decode CQnn: seven words of layout, then the counts."""
    words = _words(data, "<i4", fail)
    if words.size < 7:
        fail(0, f"{words.size} words are fewer than the 7 of its header")
    size, first, last, per_bin, intervals, _, crystals = words[:7].tolist()
    if size != words.size - 7:
        fail(0, f"the header counts {size} words but {words.size - 7} follow")
    if intervals != 1:
        fail(16, f"{intervals} binning intervals; only 1 is understood")
    if crystals <= 0 or size % crystals:
        fail(24, f"{size} words do not divide into {crystals} crystals")
    if per_bin <= 0 or last - first + 1 != size // crystals * per_bin:
        fail(4, f"samples {first} to {last} are not {size // crystals} bins of {per_bin} samples")
    return QHistogram(words[7:].reshape(crystals, -1), first, last, per_bin)


def islands(data: memoryview, fail: Fail) -> Islands:
    """Decode CTnn: walks the island headers; samples are not touched."""
    words = _words(data, "<i2", fail)
    if words.size < 6:
        fail(0, f"{words.size} words are fewer than the 6 of its header")
    size = _signed(data, 0)
    if size != words.size - 6:
        fail(0, f"the header counts {size} words but {words.size - 6} follow")
    count, crystals = words[2:4].tolist()
    if count < 0 or crystals < 1:
        fail(4, f"{count} islands of {crystals} crystals cannot be")
    first = []
    place = 6
    for i in range(count):
        if place + 4 > words.size:
            fail(2 * place, f"island {i} of {count} begins beyond the bank's end")
        length = _signed(data, 2 * place + 4)
        if length < 1 or place + 4 + crystals * length > words.size:
            fail(2 * place + 4, f"island {i} of {count} claims {length} samples, beyond the bank")
        first.append(place + 4)
        place += 4 + crystals * length
    if place != words.size:
        fail(2 * place, f"{words.size - place} words are left over after {count} islands")
    heads = words[np.array(first, np.intp)[:, None] + np.arange(-4, 0)].view("<i4").reshape(-1, 2)
    return Islands(heads[:, 0], heads[:, 1], _signed(data, 8), crystals, first, words)


def straw_words(data: memoryview, fail: Fail) -> StrawWords:
    """Decode STRW, version 1 of our own layout; the columns are views."""
    words = _words(data, "<i4", fail)
    if words.size < 3:
        fail(0, f"{words.size} words are fewer than the 3 of its header")
    version, width, count = words[:3].tolist()
    if version != 0x47530001:
        fail(0, f"version word 0x{version & 0xFFFFFFFF:08x} is not known")
    if width <= 0:
        fail(4, f"bins of {width} ps cannot be")
    if words.size != 3 + 2 * count:
        fail(8, f"{count} hits need {3 + 2 * count} words, there are {words.size}")
    hits = words[3:].reshape(-1, 2)
    return StrawWords(hits[:, 0], hits[:, 1], width)


def _words(data: memoryview, dtype: str, fail: Fail) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    if data.nbytes % width:
        fail(0, f"{data.nbytes} bytes are no whole number of {width}-byte words")
    return np.frombuffer(data, dtype)


def _signed(data: memoryview, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little", signed=True)
