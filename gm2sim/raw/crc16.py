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
_WORD = 8  # bytes
_ROW = 512  # words of a period of bits, one bit over
_PERIOD_BITS = np.append(np.full(_ROW - 1, 2**64 - 1, np.uint64), np.uint64(2**64 - 2))
_DEGREE = 16

Words = NDArray[np.uint64]


class Crc16:
    """The sums of one or more streams of words that come piece by piece, each 64 bits, bytes as they lie in memory.

    Parameters
    ----------
    streams : int
        How many; all take pieces of the same size.
    """

    def __init__(self, streams: int = 1) -> None:
        self._rings = np.zeros((streams, 8 * _WORD * _ROW), np.uint8)  # a period, and a byte that stays zero
        self._rings[:, :2] = 0xFF  # the start value, added to the first 16 bits
        self._size = 0  # bytes

    def update(self, words: Words) -> None:
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
        used = slice(-(-self._size // _WORD))
        bits = _folded(self._rings, min(self._size, _PERIOD))[:, used]
        changed = np.stack([np.bitwise_xor.reduce(row & _masks()[:, used], axis=1) for row in bits])
        odd = (np.bitwise_count(changed) & 1).view(np.bool_)
        # The places were counted from the begin, the powers of x are counted from the end.
        power = (np.arange(_DEGREE) + 8 * self._size + _DEGREE) % _PERIOD
        found: NDArray[np.uint16] = np.bitwise_xor.reduce(np.where(odd, _remainders()[power], 0), axis=1)
        return found


def _folded(rings: NDArray[np.uint8], size: int) -> Words:
    """The sum of all periods of bits of the first ``size`` bytes of each row, (rows, 512): first bits are highest."""
    words = rings.view(">u8").astype(np.uint64)
    found = words[:, :_ROW] & _PERIOD_BITS
    for k in range(1, 8):
        first = _ROW * k  # and k bits before
        if _WORD * first - 1 >= size:
            break
        here = words[:, first - 1 : first + _ROW]
        found ^= (here[:, 1:] >> np.uint64(k) | here[:, :-1] << np.uint64(64 - k)) & _PERIOD_BITS
    return found


@cache
def _masks() -> Words:
    """Which of the 32767 bits of a period change bit i of the remainder of x^-(place + 1), (16, 512)."""
    powers = _remainders()[::-1]
    bits = powers >> np.arange(_DEGREE, dtype=np.uint16)[:, None] & 1
    packed = np.packbits(np.pad(bits, ((0, 0), (0, 1))).astype(np.uint8), axis=1)
    return packed.view(">u8").astype(np.uint64)


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
