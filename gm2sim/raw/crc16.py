"""CRC-16 of an AMC13 event: x^16 + x^15 + x^2 + 1, start 0xffff, most significant byte first.

The polynomial is (x + 1) (x^15 + x + 1), the second factor primitive, so that x^32767 = 1: bits that are 32767 apart
count alike. Words that are 32767 apart are therefore added up first (exclusive or, at the speed of memory), and what
remains of every bit place is looked up.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x18005
_PERIOD = 32767
_WORD = 8  # bytes


class Crc16:
    """The sum of words that come piece by piece, each 64 bits, in the order of their bytes in memory."""

    def __init__(self) -> None:
        self._ring = np.zeros(_PERIOD, np.uint64)
        self._ring.view(np.uint8)[:2] = 0xFF  # the start value, added to the first 16 bits
        self._words = 0

    def update(self, words: NDArray[np.uint64]) -> None:
        """Take in the next words; their bytes count as they lie in memory."""
        raw = words.view("=u8")
        done = 0
        while done < raw.size:
            place = (self._words + done) % _PERIOD
            piece = raw[done : done + _PERIOD - place]
            self._ring[place : place + piece.size] ^= piece
            done += piece.size
        self._words += raw.size

    @property
    def value(self) -> int:
        """The sum of all words so far, at least one."""
        behind = self._words % _PERIOD
        row = self._ring[: self._words] if self._words <= _PERIOD else np.roll(self._ring, -behind)
        # Eight periods of bytes are one of words, eight of bits one of bytes: the same addition, twice.
        bits = _folded(np.unpackbits(_folded(row.view(np.uint8))))
        weights = _remainders()[_PERIOD - bits.size :]
        return int(np.bitwise_xor.reduce(weights[bits.view(np.bool_)], initial=0))


def _folded(row: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The sum of all places of a row that are a period apart, counted from its end."""
    if row.size <= _PERIOD:
        return row
    filled = np.concatenate([np.zeros(-row.size % _PERIOD, np.uint8), row])
    folded: NDArray[np.uint8] = np.bitwise_xor.reduce(filled.reshape(-1, _PERIOD), axis=0)
    return folded


@cache
def _remainders() -> NDArray[np.uint16]:
    """x^(n + 16) modulo the polynomial for n from 32766 down to 0."""
    found = np.empty(_PERIOD, np.uint16)
    remainder = _POLYNOMIAL & 0xFFFF
    for n in range(_PERIOD):
        found[_PERIOD - 1 - n] = remainder
        remainder <<= 1
        if remainder >> 16:
            remainder ^= _POLYNOMIAL
    return found
