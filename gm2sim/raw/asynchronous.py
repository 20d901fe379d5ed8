"""Pulses that boards in asynchronous mode triggered on by themselves since they were read out last (ARnn).

Fields of the firmware of the experiment's WFD5 boards (PIONEER-Experiment/mfpga @bc670c6, command_manager.v).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.amc13 import Board
from gm2sim.raw.payload import ASYNCHRONOUS, END, HEAD, MARK, MOST_WORDS, Words, big_endian, head_words, last_word
from gm2sim.raw.trigger import Trigger
from gm2sim.raw.wfd5 import (
    BOARD_TYPE,
    BURST,
    CHANNEL,
    CHANNEL_END,
    CHANNELS,
    FIRMWARE,
    LITTLE_ENDIAN,
    by_board,
    channel_sum,
    check_channels,
)

_PULSE = 2  # words of a pulse's header
_TYPE = 4  # of the trigger
_MOST_BURSTS = 2**11 - 1
_ADDRESS = 2**26 - 1


@dataclass(frozen=True)
class AsynchronousRecord:
    """What one crate answers to an asynchronous trigger.

    Parameters
    ----------
    crate : int
        1 to 99.
    channels : tuple of int
        All channels that are on, 5 (slot - 1) + channel of the board, ascending; those without a pulse too.
    channel : int array (k,)
        Of each pulse; ascending.
    time : int array (k,)
        Of each pulse: 800 MHz samples since the last readout; ascending within a channel.
    length : int array (k,)
        Samples of each pulse: a multiple of 8.
    samples : int16 array (sum of length,)
        Pulse after pulse [ADC counts].
    presamples : int
        Samples before the trigger.

    Raises
    ------
    ValueError
        Numbers are out of range, or do not fit together.
    """

    crate: int
    channels: tuple[int, ...]
    channel: NDArray[np.integer]
    time: NDArray[np.integer]
    length: NDArray[np.integer]
    samples: NDArray[np.int16]
    presamples: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.crate <= 99:
            raise ValueError(f"crate {self.crate} has no bank name: give 1 to 99")
        if not self.channels:
            raise ValueError(f"crate {self.crate} has no channel that is on: leave it out")
        check_channels(self.channels)
        if not self.channel.shape == self.time.shape == self.length.shape:
            raise ValueError(f"{self.channel.size} channels, {self.time.size} times and {self.length.size} lengths")
        if self.samples.dtype != np.int16 or self.samples.size != int(self.length.sum(dtype=np.int64)):
            raise ValueError(f"pulses of {self.length.sum()} samples, got {self.samples.size} of {self.samples.dtype}")
        if np.any(self.length % BURST) or np.any((self.length < BURST) | (self.length > BURST * _MOST_BURSTS)):
            raise ValueError(f"pulses must have a multiple of {BURST} samples, {BURST * _MOST_BURSTS} at most")
        if np.any((self.time < 0) | (self.time >= 2**44)):
            raise ValueError("times of pulses must be 0 to 2**44 - 1 samples")
        if not 0 <= self.presamples < 2**12:
            raise ValueError(f"{self.presamples} samples before the trigger: give 0 to {2**12 - 1}")
        if not np.isin(self.channel, self.channels).all():
            raise ValueError("pulses of a channel that is off")
        step = np.diff(self.channel.astype(np.int64))
        if np.any(step < 0) or np.any((step == 0) & (np.diff(self.time.astype(np.int64)) < 0)):
            raise ValueError("pulses must be in order of channel and time")
        words = max(board.board.words for board in boards_of(self))
        if words > MOST_WORDS:
            raise ValueError(f"{words} words from one board of crate {self.crate}: the format counts to {MOST_WORDS}")


@dataclass(frozen=True)
class PulseBoard:
    """One board in asynchronous mode: see :class:`AsynchronousRecord`, whose pulses of one board these are.

    Parameters
    ----------
    slot : int
    inputs : tuple of int
    pulses : tuple of tuples
        Of each channel: times, lengths and samples.
    presamples : int
    """

    slot: int
    inputs: tuple[int, ...]
    pulses: tuple[tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.int16]], ...]
    presamples: int

    @cached_property
    def board(self) -> Board:
        """Slot, id and size."""
        words = sum(map(self._of_channel, range(len(self.inputs))))
        return Board(self.slot, self.slot, HEAD + words + END)

    def _of_channel(self, row: int) -> int:
        time, length, _ = self.pulses[row]
        return CHANNEL + _PULSE * time.size + int(length.sum(dtype=np.int64)) // 4 + CHANNEL_END

    def segments(self, trigger: Trigger) -> Iterator[Words]:
        """The payload; see :class:`gm2sim.raw.payload.Payload`."""
        enabled = sum(1 << channel for channel in self.inputs)
        second = enabled << 59 | LITTLE_ENDIAN | BOARD_TYPE | ASYNCHRONOUS
        yield big_endian(head_words(self.board, trigger, second, FIRMWARE))
        for row in range(len(self.inputs)):
            yield self._channel(row, trigger)
        yield big_endian([last_word(self.board, trigger)])

    def _channel(self, row: int, trigger: Trigger) -> Words:
        words = np.empty(self._of_channel(row), ">u8")
        channel = self.inputs[row]
        time, length, samples = self.pulses[row]
        bursts = length.astype(np.int64) // BURST
        words[:CHANNEL] = [
            MARK | channel << 46 | time.size << 16 | self.presamples,
            int(bursts.sum()) << 27 | _TYPE << 24 | trigger.low_number,
        ]
        body = words[CHANNEL:-CHANNEL_END]
        step = _PULSE + 2 * bursts
        first = np.cumsum(step) - step
        heads = first[:, None] + np.arange(_PULSE)
        body[heads] = headers = self._pulse_headers(channel, time, bursts)
        is_sample = np.ones(body.size, np.bool_)
        is_sample[heads] = False
        data = np.ascontiguousarray(samples, "<i2").view(">u8")
        body[is_sample] = data
        words[-CHANNEL_END:-1] = channel_sum(words[:CHANNEL], headers, data)
        words[-1] = trigger.low_clock & 0xFFFFFFFF
        return words

    def _pulse_headers(self, channel: int, time: NDArray[np.integer], bursts: NDArray[np.int64]) -> Words:
        """Headers of all pulses of a channel, (k, 2)."""
        number = np.arange(time.size)
        address = np.cumsum(1 + bursts) - (1 + bursts) & _ADDRESS
        first = address << 26 | _TYPE << 23 | self.presamples << 11 | bursts
        low = (number & 0xFFF).astype(np.uint64) << np.uint64(52)  # reaches the bit that is the sign of other words
        second = MARK | channel << 57 | time.astype(np.int64) << 11 | number >> 12
        return np.stack([first.astype(np.uint64) | low, second.astype(np.uint64)], axis=1)


def boards_of(record: AsynchronousRecord) -> list[PulseBoard]:
    """The boards of a record, in order of the slots."""
    ends = np.cumsum(record.length, dtype=np.int64)
    found = []
    for slot, own in by_board(record.channels):
        channels = record.channels[own]
        first = np.searchsorted(record.channel, channels, "left")
        last = np.searchsorted(record.channel, channels, "right")
        pulses = tuple(
            (record.time[a:b], record.length[a:b], record.samples[_at(ends, a) : _at(ends, b)])
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
        )
        inputs = tuple(channel % CHANNELS for channel in channels)
        found.append(PulseBoard(slot, inputs, pulses, record.presamples))
    return found


def _at(ends: NDArray[np.int64], pulse: int) -> int:
    """Sample where a pulse begins."""
    return int(ends[pulse - 1]) if pulse else 0
