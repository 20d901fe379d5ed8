"""CRC-16 of an AMC13 event: x^16 + x^15 + x^2 + 1, start 0xffff, most significant byte first.

The polynomial is (x + 1) (x^15 + x + 1), the second factor primitive, so that x^32767 = 1: bits that are 32767 apart
count alike. Bytes that are 32767 apart are therefore added up first (exclusive or, at the speed of memory): eight
periods of bits. These are added up too, and what remains is set against the bits that each place would change.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x18005
_PERIOD = 32767
_ROW = 4096  # bytes of a period of bits, one bit over
_DEGREE = 16

Bytes = NDArray[np.uint8]


class Crc16:
    """The sums of one or more streams of words that come piece by piece, each 64 bits, bytes as they lie in memory.

    Parameters
    ----------
    streams : int
        How many; all take pieces of the same size.
    """

    def __init__(self, streams: int = 1) -> None:
        self._rings = np.zeros((streams, 8 * _ROW), np.uint8)  # a period, and a byte that stays zero
        self._rings[:, :2] = 0xFF  # the start value, added to the first 16 bits
        self._size = 0  # bytes

    def update(self, words: NDArray[np.uint64]) -> None:
        """Take in the next words of all streams, (streams, n) or (n,)."""
        raw = np.atleast_2d(words).view(np.uint8)
        place = self._size % _PERIOD
        size = raw.shape[1]
        self._size += size
        for first in range(-place, size, _PERIOD):
            begin, end = max(first, 0), min(first + _PERIOD, size)
            here = self._rings[:, begin - first : end - first]
            np.bitwise_xor(here, raw[:, begin:end], out=here)

    @property
    def value(self) -> int:
        """The sum of the only stream, at least one word."""
        return int(self.values[0])

    @property
    def values(self) -> NDArray[np.uint16]:
        """The sum of each stream, at least one word."""
        bits = _folded(self._rings, min(self._size, _PERIOD)).view(np.uint64)
        changed = np.stack([np.bitwise_xor.reduce(row & _masks(), axis=1) for row in bits])
        odd = (np.bitwise_count(changed) & 1).view(np.bool_)
        # The places were counted from the begin, the powers of x are counted from the end.
        power = (np.arange(_DEGREE) + 8 * self._size + _DEGREE) % _PERIOD
        found: NDArray[np.uint16] = np.bitwise_xor.reduce(np.where(odd, _remainders()[power], 0), axis=1)
        return found


def _folded(rings: Bytes, size: int) -> Bytes:
    """The sum of all periods of bits of the first ``size`` bytes of each row, (rows, 4096)."""
    found = rings[:, :_ROW].copy()
    found[:, -1] &= 0xFE  # the last bit of a row is the first of the next period
    for k in range(1, 8):
        if _ROW * k - 1 >= size:
            break
        here = rings[:, _ROW * k - 1 : _ROW * (k + 1)]
        row = here[:, 1:] >> k | here[:, :-1] << (8 - k)
        row[:, -1] &= 0xFE
        found ^= row
    return found


@cache
def _masks() -> NDArray[np.uint64]:
    """Which of the 32767 bits of a period change bit i of the remainder of x^-(place + 1), (16, 512) words of bits."""
    powers = _remainders()[::-1]
    bits = powers >> np.arange(_DEGREE, dtype=np.uint16)[:, None] & 1
    return np.packbits(np.pad(bits, ((0, 0), (0, 1))).astype(np.uint8), axis=1).view(np.uint64)


@cache
def _remainders() -> NDArray[np.uint16]:
    """x^n modulo the polynomial for n from 0 to 32766."""
    found = np.empty(_PERIOD, np.uint16)
    remainder = 1
    for n in range(_PERIOD):
        found[n] = remainder
        remainder <<= 1
        if remainder >> _DEGREE:
            remainder ^= _POLYNOMIAL
    return found
