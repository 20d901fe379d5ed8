"""Cyclic redundancy checks of the AMC13: a fast CRC-16, and CRC-32 of a whole put together from its pieces.

Both rest on the linearity of remainders over GF(2). The generator of the CRC-16, x^16 + x^15 + x^2 + 1, is
(x + 1) (x^15 + x + 1) and divides x^32767 + 1: bytes 32,767 places apart count alike, so that a stream of any length
folds by exclusive or into 32,767 bytes, at the speed of the memory. The remainder of that rest comes from a table of
powers of x.
"""

import zlib
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

_PERIOD = 2**15 - 1  # of the powers of x modulo the CRC-16's generator, in bits
_GENERATOR_16 = 0x8005
_GENERATOR_32 = 0xEDB88320  # reflected, as zlib counts
_ONE_32 = 0x80000000  # x^0, reflected
_PIECE = 32_768  # bytes of a board in one block of the AMC13: by far the most frequent size
_GROUP = 8  # pieces whose bytes are turned at once: the cache holds them

Bytes = NDArray[np.uint8]


class Crc16:
    """CRC-16 of bytes whose number is known beforehand; they may come in any order.

    Generator 0x8005, start value 0xffff, no reflection, no final exclusive or.

    Parameters
    ----------
    size : int
        Bytes in all.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Two periods: a piece that begins in the first need not be cut where that ends.
        self._rest = np.zeros(min(size, 2 * _PERIOD), np.uint8)

    def add(self, place: int, data: Bytes) -> None:
        """Take in the bytes that lie at ``place``; what is never given counts as zeros."""
        for first in range(0, data.size, _PIECE):
            part = data[first : first + _PIECE]
            at = (place + first) % _PERIOD
            here = self._rest[at : at + part.size]
            np.bitwise_xor(here, part, out=here)

    def value(self) -> int:
        """The remainder of everything added."""
        rest = self._rest[:_PERIOD].copy()
        rest[: self._rest.size - rest.size] ^= self._rest[_PERIOD:]
        bits = np.unpackbits(rest)
        if rest.size == _PERIOD:
            bits = np.bitwise_xor.reduce(bits.reshape(8, _PERIOD), axis=0)
        last = 8 * self._size - 1 + 16  # power of x of the first bit
        powers = _powers()
        found = int(np.bitwise_xor.reduce(powers[(last - np.flatnonzero(bits)) % _PERIOD], initial=0))
        for bit in range(16):  # the start value stands before the first byte
            found ^= int(powers[(8 * self._size + bit) % _PERIOD])
        return found


@cache
def _powers() -> NDArray[np.uint16]:
    """x^i modulo the CRC-16's generator, for one period."""
    powers = np.empty(_PERIOD, np.uint16)
    value = 1
    for i in range(_PERIOD):
        powers[i] = value
        value = value << 1 & 0xFFFF ^ (_GENERATOR_16 if value >> 15 else 0)
    return powers


def joined_crc32(first: int, second: int, size: int) -> int:
    """`zlib.crc32` of two byte strings one behind the other, from that of each and the size of the second."""
    if size == _PIECE:
        a, b, c, d = _piece_tables()
        return a[first & 0xFF] ^ b[first >> 8 & 0xFF] ^ c[first >> 16 & 0xFF] ^ d[first >> 24] ^ second
    return _product(_shift(size), first) ^ second


@cache
def _piece_tables() -> tuple[list[int], ...]:
    """For each byte of a CRC-32, what it becomes after a piece of zeros."""
    power = _shift(_PIECE)
    return tuple([_product(power, value << shift) for value in range(256)] for shift in (0, 8, 16, 24))


@lru_cache(maxsize=4096)
def _shift(size: int) -> int:
    """x to the power of 8 size modulo the CRC-32's generator."""
    square, result = _ONE_32 >> 8, _ONE_32
    while size:
        if size & 1:
            result = _product(square, result)
        square = _product(square, square)
        size >>= 1
    return result


def _product(a: int, b: int) -> int:
    """Product of two polynomials modulo the CRC-32's generator, reflected."""
    result = 0
    while a:
        if a & _ONE_32:
            result ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_GENERATOR_32 if b & 1 else 0)
    return result


def sealing(words: NDArray[np.uint64], piece: int) -> Iterator[tuple[int, int, list[int]]]:
    """Put the CRC-32 of a payload into its last word, a part of the cache's size at a time.

    Parameters
    ----------
    words : big-endian uint64 array
        Whose last word has its high half zero.
    piece : int
        Words a piece.

    Yields
    ------
    begin, end : int
        The words that are final now.
    sums : list of int
        CRC-32 of each piece among them, over the words' numeric values, little-endian.
    """
    whole, last, step = 0, words.size - 1, piece * _GROUP
    for begin in range(0, words.size, step):
        end = min(begin + step, words.size)
        turned = words[begin : min(end, last)].astype("<u8").data.cast("B")
        sums = []
        for first in range(0, len(turned), 8 * piece):
            part = turned[first : first + 8 * piece]
            sums.append(zlib.crc32(part))
            whole = joined_crc32(whole, sums[-1], len(part))
        if end > last:
            sums += [0] if last % piece == 0 else []
            value = int(words[last])
            value |= zlib.crc32(value.to_bytes(8, "little")[:4], whole) << 32
            words[last] = value
            sums[-1] = zlib.crc32(value.to_bytes(8, "little"), sums[-1])
        yield begin, end, sums
