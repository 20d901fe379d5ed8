"""Words of a bank back into physics: islands, pedestals, sums, histograms, trigger. Samples are views.

Written from the format's description and not from the writer, so that reading back is a test of the writing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

Fail = Callable[[int, str], NoReturn]  # byte offset inside the bank's data, what is wrong
_GPS_VERSION = 0x47500001
_TIMING_WORDS = 22
_TIMING = Struct(f"<{_TIMING_WORDS}Q")
_LENGTH = Struct("<i")


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

    @property
    def extremes(self) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Lowest and highest sample of each island, arrays (k,) [ADC counts]."""
        # Headers of four words lie between the islands: what is found in them is left out again.
        bounds = np.stack([np.array(self._first) - 4, np.array(self._first)], axis=1).ravel().astype(np.intp)
        if not self._first:
            return self._words[:0], self._words[:0]
        low, high = (find.reduceat(self._words, bounds)[1::2] for find in (np.minimum, np.maximum))
        return low, high


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


class Gps(NamedTuple):
    """The GPS0 bank.

    Attributes
    ----------
    seconds, nanoseconds : int
        UTC of the trigger, Unix time.
    clock : int
        Counts of the 40 MHz clock at the trigger, 44 bits.
    week, milliseconds : int
        GPS week and time in it.
    locked : bool
    """

    seconds: int
    nanoseconds: int
    clock: int
    week: int
    milliseconds: int
    locked: bool


class Timing(NamedTuple):
    """The xC bank: when a crate did what, and how many events it has counted.

    Attributes
    ----------
    header : int
        The CDF header as received.
    times : tuple of float
        Unix times [s]: readout begins, header there, all data there, processing begins, copied, processing done,
        event locked, data taken over, compression done.
    received, processed : int
        Number of the event of the crate, before and after processing.
    muon_fills : int
        Number of the fill of muons.
    """

    header: int
    times: tuple[float, ...]
    received: int
    processed: int
    muon_fills: int


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
        (length,) = _LENGTH.unpack_from(data, 2 * place + 4)
        if length < 1 or place + 4 + crystals * length > words.size:
            fail(2 * place + 4, f"island {i} of {count} claims {length} samples, beyond the bank")
        first.append(place + 4)
        place += 4 + crystals * length
    if place != words.size:
        fail(2 * place, f"{words.size - place} words are left over after {count} islands")
    heads = words[np.array(first, np.intp)[:, None] + np.arange(-4, 0)].view("<i4").reshape(-1, 2)
    return Islands(heads[:, 0], heads[:, 1], _signed(data, 8), crystals, first, words)


def gps(data: memoryview, fail: Fail) -> Gps:
    """Decode GPS0, version 1: eight words."""
    words = _words(data, "<u4", fail)
    if words.size != 8:
        fail(0, f"{words.size} words in place of 8")
    version, seconds, nanoseconds, low, high, week, milliseconds, status = words.tolist()
    if version != _GPS_VERSION:
        fail(0, f"version word 0x{version:08x} is not known")
    if nanoseconds >= 1_000_000_000:
        fail(8, f"{nanoseconds} nanoseconds make more than a second")
    if high > 0xFFF:
        fail(16, f"the clock has 44 bits, its high word is 0x{high:x}")
    return Gps(seconds, nanoseconds, high << 32 | low, week, milliseconds, status == 1)


def timing(data: memoryview, fail: Fail) -> Timing:
    """Decode xCnn: 22 words of 64 bits."""
    if data.nbytes != 8 * _TIMING_WORDS:
        fail(0, f"{data.nbytes} bytes in place of {8 * _TIMING_WORDS}")
    words = _TIMING.unpack(data)
    if max(words[2:19:2]) >= 1_000_000:
        fail(16, f"{max(words[2:19:2])} microseconds make more than a second")
    times = tuple(second + 1e-6 * micro for second, micro in zip(words[1:19:2], words[2:19:2], strict=True))
    return Timing(int.from_bytes(data[:8], "big"), times, *words[19:])


def _words(data: memoryview, dtype: str, fail: Fail) -> NDArray[Any]:
    width = np.dtype(dtype).itemsize
    if data.nbytes % width:
        fail(0, f"{data.nbytes} bytes are no whole number of {width}-byte words")
    return np.frombuffer(data, dtype)


def _signed(data: memoryview, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little", signed=True)
