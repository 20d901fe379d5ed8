"""What the payloads of all boards have in common: three words at their head and one at their end."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.amc13 import Board
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

    def make(self, trigger: Trigger, room: Words) -> Words:
        """The words, at the begin of ``room``, which may hold anything; the last without its check sum."""


def made(payload: Payload, trigger: Trigger) -> Words:
    """The words of a payload in memory of their own, the last without its check sum."""
    return payload.make(trigger, np.empty(payload.board.words, ">u8"))


def joined(parts: Sequence[Words]) -> Words:
    """Big-endian words one behind the other; numpy alone would turn their bytes."""
    return np.concatenate(parts, dtype=">u8")


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
