"""What the payloads of all boards have in common: three words at their head and one at their end."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.amc13 import Board
from gm2sim.raw.cyclic import PART
from gm2sim.raw.trigger import Trigger

HEAD, END = 3, 1  # words
MARK = 1 << 62  # of channel headers and second words of waveform headers
ASYNCHRONOUS = 1 << 12
MOST_WORDS = 2**20 - 1  # their number has 20 bits

Words = NDArray[np.uint64]


class Payload(Protocol):
    """A board's answer whose size is known before it is made."""

    @property
    def board(self) -> Board:
        """Slot, id and size."""

    def segments(self, trigger: Trigger) -> Iterator[Words]:
        """The words in order, big-endian: those without the last, then that without its check sum."""


def parts(payload: Payload, trigger: Trigger) -> Iterator[Words]:
    """The words of a payload, ``PART`` at a time; the last part may be shorter.

    A part is valid until the next is asked for: the memory of a segment, or a copy where the segment ends.
    """
    room = np.empty(min(PART, payload.board.words), ">u8")
    held = 0
    for segment in payload.segments(trigger):
        place = 0
        while left := segment.size - place:
            if held == 0 and left >= PART:
                count = PART
                yield segment[place : place + PART]
            else:
                count = min(left, PART - held)
                room[held : held + count] = segment[place : place + count]
                held += count
                if held == PART:
                    yield room
                    held = 0
            place += count
    if held:
        yield room[:held]


def bounds(place: int, size: int) -> Iterator[tuple[int, int]]:
    """Where to cut a segment that begins at a word of its payload, so that the cuts are where parts end."""
    begin = 0
    while begin < size:
        end = min(begin + PART - (place + begin) % PART, size)
        yield begin, end
        begin = end


def big_endian(words: Iterable[int]) -> Words:
    """Words as they are sent."""
    return np.array([*words], np.uint64).astype(">u8")


def joined(parts: Iterable[Words]) -> Words:
    """Big-endian words one behind the other; numpy alone would turn their bytes."""
    return np.concatenate([*parts], dtype=">u8")


def head_words(board: Board, trigger: Trigger, second: int, firmware: tuple[int, int, int]) -> list[int]:
    """The first three words; ``second`` holds the board's own bits of the second."""
    clock = trigger.low_clock
    return [
        board.slot << 56 | trigger.low_number << 32 | clock >> 32 << 20 | board.words,
        second | trigger.fill_type << 48 | (clock & 0xFFFFFFFF) << 16 | board.board_id,
        firmware[0] << 16 | firmware[1] << 8 | firmware[2],
    ]


def last_word(board: Board, trigger: Trigger) -> int:
    """The last word without its check sum."""
    return (trigger.number & 0xFF) << 24 | board.words
