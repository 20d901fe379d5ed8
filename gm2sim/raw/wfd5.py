"""Waveforms as the digitiser boards send them: one payload a board, board after board in a bank (CRnn, LRnn, PRnn).

Words of 64 bits, most significant byte first; layouts of the firmware of the experiment's WFD5 boards
(PIONEER-Experiment/mfpga @bc670c6, command_manager.v; cfpga @e24bed6, adc_dat_mux.v). Samples are 16-bit words, least
significant byte first, in time order, as boards set to little-endian samples leave them on the disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.amc13 import Board
from gm2sim.raw.cyclic import PART, sealing
from gm2sim.raw.midas import Buffer
from gm2sim.raw.payload import (
    END,
    HEAD,
    MARK,
    MOST_WORDS,
    Words,
    big_endian,
    bounds,
    head_words,
    last_word,
    parts,
)
from gm2sim.raw.trigger import Trigger

__all__ = ["Digitiser", "Trigger", "WaveformRecord", "digitisers", "payloads"]

CHANNELS = 5  # of a board
BOARDS = 12  # of a crate, in slots 1 to 12
BURST = 8  # samples that the memory of a board holds in one word of 128 bits
FIRMWARE = (2, 3, 5)  # E989 ran 2.3.x
MOST_SAMPLES = BURST * (2**23 - 1)
LITTLE_ENDIAN = 1 << 58
BOARD_TYPE = 1 << 13
CHANNEL, CHANNEL_END = 2, 3  # words

_WAVEFORM = 2  # words
_ADDRESS = 2**26 - 1
_FOLD = 512  # words: many lanes for an exclusive or


@dataclass(frozen=True)
class WaveformRecord:
    """The waveforms that one crate sends for one trigger.

    Parameters
    ----------
    crate : int
        1 to 99: calorimeters are 1 to 24.
    channels : tuple of int
        Number of each channel in its crate: 5 (slot - 1) + channel of the board; ascending.
    samples : int16 array (channels, waveforms, length)
        A trigger may be answered by several waveforms of each channel. The length is a multiple of 8.
    gap : int
        Samples between the starts of two waveforms less the length.

    Raises
    ------
    ValueError
        Numbers are out of range, or do not fit together.
    """

    crate: int
    channels: tuple[int, ...]
    samples: NDArray[np.int16]
    gap: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.crate <= 99:
            raise ValueError(f"crate {self.crate} has no bank name: give 1 to 99")
        if self.samples.dtype != np.int16 or self.samples.ndim != 3:
            raise ValueError(f"waveforms must be int16 (channels, waveforms, samples), got {self.samples.dtype} "
                             f"of shape {self.samples.shape}")  # fmt: skip
        length = self.samples.shape[2]
        if length % BURST or not BURST <= length <= MOST_SAMPLES:
            raise ValueError(f"waveforms of {length} samples: give a multiple of {BURST}, {MOST_SAMPLES} at most")
        if not 1 <= self.samples.shape[1] < 2**12:
            raise ValueError(f"{self.samples.shape[1]} waveforms for one trigger: give 1 to {2**12 - 1}")
        if not 0 <= self.gap < 2**22:
            raise ValueError(f"a gap of {self.gap} samples: give 0 to {2**22 - 1}")
        if len(self.channels) != self.samples.shape[0] or not self.channels:
            raise ValueError(f"{len(self.channels)} channel numbers for {self.samples.shape[0]} channels")
        check_channels(self.channels)
        words = max(one.board.words for one in boards_of(self))
        if words > MOST_WORDS:
            raise ValueError(f"{words} words from one board of crate {self.crate}: the format counts to {MOST_WORDS}")


@dataclass(frozen=True)
class Digitiser:
    """One board that answers with waveforms.

    Parameters
    ----------
    slot : int
    inputs : tuple of int
        Channels of the board that answer, ascending.
    waveforms, length, gap : int
        As in :class:`WaveformRecord`.
    samples : int16 array (channels, waveforms, length), optional
        Left out when only the header words are wanted.
    """

    slot: int
    inputs: tuple[int, ...]
    waveforms: int
    length: int
    gap: int
    samples: NDArray[np.int16] | None = None

    @property
    def board(self) -> Board:
        """Slot, id (of no known meaning beyond a serial number: the slot) and size."""
        return Board(self.slot, self.slot, HEAD + len(self.inputs) * self._of_channel + END)

    @property
    def _bursts(self) -> int:
        return self.length // BURST

    @property
    def _of_channel(self) -> int:
        return CHANNEL + self.waveforms * (_WAVEFORM + 2 * self._bursts) + CHANNEL_END

    def segments(self, trigger: Trigger) -> Iterator[Words]:
        """The payload; see :class:`gm2sim.raw.payload.Payload`."""
        yield big_endian(self._head(trigger))
        for row, channel in enumerate(self.inputs):
            yield from self._channel_segments(row, channel, trigger)
        yield big_endian([last_word(self.board, trigger)])

    def headers(self, trigger: Trigger) -> Words:
        """What CBnn keeps of the payload, as if all its check sums were zero."""
        words = self._head(trigger)
        for channel in self.inputs:
            first = self._waveform(channel, trigger)[:, 0].tolist()
            words += [*self._channel(channel, trigger), *first, 0, 0, self._read_out(trigger)]
        return big_endian([*words, last_word(self.board, trigger)])

    @property
    def picked(self) -> list[int]:
        """Places of the words that CBnn keeps of the payload, ascending."""
        step, last = self._of_channel, self.board.words - 1
        places = [*range(HEAD)]
        for begin in range(HEAD, last, step):
            places += range(begin, begin + CHANNEL + _WAVEFORM)
            places += range(begin + step - CHANNEL_END, begin + step)
        return [*places, last]

    def _head(self, trigger: Trigger) -> list[int]:
        enabled = sum(1 << channel for channel in self.inputs)
        second = enabled << 59 | LITTLE_ENDIAN | BOARD_TYPE | (trigger.fill_type >> 2 & 1) << 12
        return head_words(self.board, trigger, second, FIRMWARE)

    def _channel(self, channel: int, trigger: Trigger) -> list[int]:
        """Its header: the first waveform begins at the address 0."""
        return [
            MARK | channel << 46 | self.gap << 24 | self.waveforms << 12,
            self._bursts << 27 | trigger.fill_type << 24 | trigger.low_number,
        ]

    def _waveform(self, channel: int, trigger: Trigger) -> Words:
        """Headers of all waveforms, (2, waveforms)."""
        index = np.arange(self.waveforms, dtype=np.uint64)
        address = index * np.uint64(1 + self._bursts) & np.uint64(_ADDRESS)
        first = np.uint64(self.waveforms << 52 | (trigger.fill_type & 3) << 23 | self._bursts)
        second = np.uint64(MARK | channel << 34 | self.gap << 12)
        return np.stack([address << np.uint64(26) | first, index | second])

    def _read_out(self, trigger: Trigger) -> int:
        """Clock when all waveforms have been taken."""
        return (trigger.low_clock + self.length * self.waveforms // 20) & 0xFFFFFFFF

    def _channel_segments(self, row: int, channel: int, trigger: Trigger) -> Iterator[Words]:
        """Long waveforms are cut where the pieces of the payload end, and not copied; short ones come many at once."""
        samples = np.zeros((self.waveforms, self.length), np.int16) if self.samples is None else self.samples[row]
        head, heads = big_endian(self._channel(channel, trigger)), self._waveform(channel, trigger).T.astype(">u8")
        total = _sum_of_headers(head, heads)
        yield head
        step = PART // (_WAVEFORM + 2 * self._bursts)
        if step > 1:
            for first in range(0, self.waveforms, step):
                some = heads[first : first + step]
                block = np.empty((len(some), _WAVEFORM + 2 * self._bursts), ">u8")
                block[:, :_WAVEFORM] = some
                block[:, _WAVEFORM:].view("<i2")[:] = samples[first : first + step]
                total ^= _folded(block[:, _WAVEFORM:].view("<u8"))
                yield block.reshape(-1)
        else:
            place = HEAD + row * self._of_channel + CHANNEL
            for one, wave in zip(heads, samples, strict=True):
                yield one
                place += _WAVEFORM
                data = np.ascontiguousarray(wave, "<i2").view(">u8")
                lanes = np.zeros(_FOLD + 2, "<u8")  # what begins at an odd place begins in the second
                for begin, end in bounds(place, data.size):
                    part = data[begin:end]
                    _fold(part.view("<u8"), lanes[begin % 2 :])
                    yield part
                total ^= _pair(lanes)
                place += data.size
        yield big_endian([*total.tolist(), self._read_out(trigger)])


def channel_sum(head: Words, waveforms: Words, data: Words) -> Words:
    """Exclusive or of the 128-bit units of a channel, low word and high word.

    Parameters
    ----------
    head, waveforms, data : big-endian uint64 arrays (2,), (k, 2), (..., 2 n)
        Headers, and samples as they are sent. Before the board turns the bytes of samples round, a word's value is
        that of its bytes read from the other end.
    """
    return np.asarray(_sum_of_headers(head, waveforms) ^ _folded(data.view("<u8")))


def _sum_of_headers(head: Words, waveforms: Words) -> Words:
    return np.asarray(head.astype(np.uint64) ^ np.bitwise_xor.reduce(waveforms.astype(np.uint64), axis=0))


def _folded(words: Words) -> Words:
    """Exclusive or of all pairs of words, (2,)."""
    if words.ndim > 1:
        words = words[0] if len(words) == 1 else np.bitwise_xor.reduce(words, axis=0)
    lanes = np.zeros(_FOLD, "<u8")
    _fold(words, lanes)
    return _pair(lanes)


def _fold(words: Words, lanes: Words) -> None:
    """Take in words, each into the lane of its place modulo their number."""
    whole = words.size // _FOLD * _FOLD
    if whole:
        lanes[:_FOLD] ^= np.bitwise_xor.reduce(words[:whole].reshape(-1, _FOLD), axis=0)
    if whole < words.size:
        lanes[: words.size - whole] ^= words[whole:]


def _pair(lanes: Words) -> Words:
    return np.asarray(np.bitwise_xor.reduce(lanes.reshape(-1, 2), axis=0), np.uint64)


def check_channels(channels: tuple[int, ...]) -> None:
    """Raise ValueError unless channel numbers ascend within a crate."""
    if list(channels) != sorted(set(channels)) or not set(channels) <= set(range(CHANNELS * BOARDS)):
        raise ValueError(f"channels must ascend within 0 to {CHANNELS * BOARDS - 1}, each once")


def by_board(channels: tuple[int, ...]) -> Iterator[tuple[int, slice]]:
    """The slot of each board that has channels here, and which of them are its own."""
    slots = np.array(channels, np.int64) // CHANNELS + 1
    for slot in np.unique(slots).tolist():
        first, last = np.searchsorted(slots, [slot, slot + 1]).tolist()
        yield slot, slice(first, last)


def digitisers(
    channels: tuple[int, ...], waveforms: int, length: int, gap: int = 0, samples: NDArray[np.int16] | None = None
) -> list[Digitiser]:
    """The boards of a crate that answer, in order of the slots."""
    return [
        Digitiser(slot, tuple(channel % CHANNELS for channel in channels[own]), waveforms, length, gap,
                  None if samples is None else samples[own])
        for slot, own in by_board(channels)
    ]  # fmt: skip


def boards_of(record: WaveformRecord) -> list[Digitiser]:
    """The boards of a record, with their samples."""
    _, waveforms, length = record.samples.shape
    return digitisers(record.channels, waveforms, length, record.gap, record.samples)


def payloads(record: WaveformRecord, trigger: Trigger) -> Iterator[Buffer]:
    """The payload of each board that has channels in the record, in order of the slots.

    Parameters
    ----------
    record : WaveformRecord
    trigger : Trigger
    """
    for one in boards_of(record):
        yield b"".join(part.tobytes() for part, _ in sealing(parts(one, trigger), one.board.words))
