"""Cyclic redundancy checks of the AMC13: a fast CRC-16, and CRC-32 of a whole put together from its pieces.

Both rest on the linearity of remainders over GF(2). The generator of the CRC-16, x^16 + x^15 + x^2 + 1, is
(x + 1) (x^15 + x + 1) and divides x^32767 + 1: bytes 32,767 places apart count alike, so that a stream of any length
folds by exclusive or into 32,767 bytes, at the speed of the memory. The remainder of that rest comes from a table of
powers of x.
"""

import zlib
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

PIECE = 4096
"""Words of one board in one block of the AMC13."""
PART = 8 * PIECE
"""Words that pass all sums at once: the cache holds them."""

_PERIOD = 2**15 - 1  # of the powers of x modulo the CRC-16's generator, in bits
_GENERATOR_16 = 0x8005
_GENERATOR_32 = 0xEDB88320  # reflected, as zlib counts
_ONE_32 = 0x80000000  # x^0, reflected
_PIECE = 8 * PIECE  # bytes

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]


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
            self.add_pieces([place + first], data[first : first + _PIECE])

    def add_pieces(self, places: Iterable[int], data: Bytes) -> None:
        """Take in pieces that lie one behind the other in ``data``, but each elsewhere among all bytes."""
        rest, xor, first = self._rest, np.bitwise_xor, 0
        for place in places:
            part = data[first : first + _PIECE]
            at = place % _PERIOD
            here = rest[at : at + part.size]
            xor(here, part, here)
            first += _PIECE

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


def behind_pieces(sums: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """What many CRC-32 become, each after a piece of zeros; exclusive or with a piece's own joins it."""
    a, b, c, d = _piece_arrays()
    return np.asarray(a[sums & 0xFF] ^ b[sums >> 8 & 0xFF] ^ c[sums >> 16 & 0xFF] ^ d[sums >> 24])


def pieces_of(running: list[int], last: int) -> NDArray[np.uint32]:
    """CRC-32 of each piece of a payload.

    Parameters
    ----------
    running : list of int
        CRC-32 of the payload up to the end of each piece.
    last : int
        Bytes of its last piece, which alone may be short.
    """
    found = np.array(running, np.uint32)
    if found.size > 1:
        found[1:-1] ^= behind_pieces(found[:-2])
        found[-1] ^= joined_crc32(running[-2], 0, last)
    return found


@cache
def _piece_tables() -> tuple[list[int], ...]:
    """For each byte of a CRC-32, what it becomes after a piece of zeros."""
    power = _shift(_PIECE)
    return tuple([_product(power, value << shift) for value in range(256)] for shift in (0, 8, 16, 24))


@cache
def _piece_arrays() -> tuple[NDArray[np.uint32], ...]:
    return tuple(np.array(table, np.uint32) for table in _piece_tables())


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


def sealing(parts: Iterable[Words], size: int) -> Iterator[tuple[Words, list[int]]]:
    """Put the CRC-32 of a payload into its last word.

    Parameters
    ----------
    parts : iterable of big-endian uint64 arrays
        The payload in order, ``PART`` words at a time; the last may be shorter. Its last word has its high half zero.
    size : int
        Words of the payload.

    Yields
    ------
    part : big-endian uint64 array
        That part, final now.
    sums : list of int
        CRC-32 of the payload up to the end of each piece of the part, over the words' numeric values, little-endian.
    """
    turned = np.empty(min(size, PART), "<u8")
    pieces = [turned[place : place + PIECE].data for place in range(0, turned.size, PIECE)]
    crc, left = 0, size
    for part in parts:
        left -= part.size
        count = part.size if left else part.size - 1
        np.copyto(turned[:count], part[:count])
        whole, rest = divmod(count, PIECE)
        sums = [crc := zlib.crc32(piece, crc) for piece in pieces[:whole]]
        if rest:
            sums.append(crc := zlib.crc32(turned[count - rest : count].data, crc))
        if not left:
            crc = _seal(part, crc)
            sums[(part.size - 1) // PIECE :] = [crc]
        yield part, sums


def _seal(part: Words, crc: int) -> int:
    """Put the CRC-32 of all words before the last into that; the CRC-32 with it."""
    value = int(part[-1])
    value |= zlib.crc32(value.to_bytes(8, "little")[:4], crc) << 32
    part[-1] = value
    return zlib.crc32(value.to_bytes(8, "little"), crc)
