"""CRC-32 as zlib counts it, of many byte strings at once: what it becomes when more bytes follow.

With remainders over GF(2) the sum of two strings one behind the other is that of the first, moved on by the size of
the second, exclusive or that of the second. Moving on is linear: a table a byte of the sum.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.uint32]

_GENERATOR = 0xEDB88320  # reflected: x^0 is the highest bit
_ALL = np.uint32(0xFFFFFFFF)


@lru_cache(256)
def moving(size: int) -> Sums:
    """What each byte of a sum becomes when ``size`` bytes follow, (4, 256): the lowest byte first."""
    images = np.array([_times(_power(8 * size), 1 << bit) for bit in range(32)], np.uint32).reshape(4, 8)
    chosen = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").view(np.bool_)
    moved: Sums = np.bitwise_xor.reduce(np.where(chosen, images[:, None], np.uint32(0)), axis=2)
    return moved


def moved(sums: Sums, tables: Sums) -> Sums:
    """Sums moved on.

    Parameters
    ----------
    sums : uint32 array (..., n)
    tables : uint32 array (n, 4, 256)
        That of :func:`moving` for each column.
    """
    column = np.arange(len(tables))
    parts = np.ascontiguousarray(sums, "<u4").view(np.uint8).reshape(*sums.shape, 4)
    a, b, c, d = (tables[column, i, parts[..., i]] for i in range(4))
    found: Sums = a ^ b ^ c ^ d
    return found


def with_word(sums: Sums, words: NDArray[np.uint64]) -> Sums:
    """Sums when the low 4 bytes of a word, little-endian, follow each: arrays of one shape."""
    mixed = sums ^ words.astype(np.uint32) ^ _ALL
    found: Sums = moved(mixed[..., None], moving(4)[None])[..., 0] ^ _ALL
    return found


@lru_cache(256)
def _power(bits: int) -> int:
    """x to a power modulo the generator."""
    result, square = 1 << 31, 1 << 30
    while bits:
        if bits & 1:
            result = _times(result, square)
        square = _times(square, square)
        bits >>= 1
    return result


def _times(a: int, b: int) -> int:
    """Product of two polynomials modulo the generator."""
    result = 0
    for _ in range(32):
        if a >> 31:
            result ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_GENERATOR if b & 1 else 0)
    return result
