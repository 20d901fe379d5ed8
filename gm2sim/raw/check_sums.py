"""Frames of AMC13s whose boards sent alike: their words, and all sums over payloads, blocks and events."""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_wanted import FrameShape, frame_shape
from gm2sim.raw.check_words import Trigger
from gm2sim.raw.crc16 import Crc16
from gm2sim.raw.crc32 import Sums, moved, moving, with_word

Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]

_CRC = np.uint64(0xFFFF << 16)  # of the last word of an event


class Sent(NamedTuple):
    """What a crate sent.

    Attributes
    ----------
    crate : int
    payloads, frame, trailer : big-endian uint64 arrays
        Banks xR, xA and xZ.
    """

    crate: int
    payloads: Words
    frame: Words
    trailer: Words


class Alike(NamedTuple):
    """What crates sent whose banks have the same sizes, a row a crate; words as they lie in the file.

    Attributes
    ----------
    crates : uint64 array (k,)
    payloads, frames, trailers : uint64 arrays (k, n), (k, f), (k, 1)
    """

    crates: Words
    payloads: Words
    frames: Words
    trailers: Words

    @classmethod
    def of(cls, some: Sequence[Sent], payloads: Words) -> "Alike":
        """A few crates whose payloads are put together already."""
        numbers = np.array([one.crate for one in some], np.uint64)
        frames = np.stack([one.frame.view("<u8") for one in some])
        return cls(numbers, payloads, frames, np.stack([one.trailer.view("<u8") for one in some]))

    def rows(self, some: NDArray[np.int64]) -> "Alike":
        """Those of some crates."""
        return Alike(*(column[some] for column in self))


def frames_are_sound(sent: Alike, boards: tuple[tuple[int, int], ...], trigger: Trigger) -> Bools:
    """Whether frames are what the trigger makes them and all their sums are right, those of the payloads too.

    Parameters
    ----------
    sent : Alike
    boards : tuple of tuples
        Slot and words of each board, in order of the slots.
    trigger : Trigger
    """
    shape = frame_shape(boards)
    wanted = shape.wanted.words(trigger)
    if sent.frames.shape[1] != wanted.size:
        return np.zeros(sent.crates.size, np.bool_)
    frames, trailer = sent.frames.byteswap(), sent.trailers[:, 0].byteswap()
    differs = frames ^ wanted
    differs[:, 0] ^= sent.crates << np.uint64(8)
    sound: Bools = ~(differs & shape.wanted.mask).any(axis=1) & (trailer & ~_CRC == shape.trailer)
    sound &= _crc16(sent, shape) == trailer >> np.uint64(16) & np.uint64(0xFFFF)
    return sound & _crc32s_are_right(sent.payloads, frames, shape, [size for _, size in boards])


def _crc32s_are_right(payloads: Words, frames: Words, shape: FrameShape, sizes: list[int]) -> Bools:
    """Whether the CRC-32 of each block and of each payload is the one that its last word tells."""
    if len(shape.blocks) > 1 or len(payloads) == 1:
        every = zip(payloads, frames, strict=True)
        return np.array([_one_by_one(words, frame, shape, len(sizes)) for words, frame in every], np.bool_)
    # All payloads are in one block: their sums make up that of the block, words are gone through but once.
    first, last, _ = shape.blocks[0]
    ends = np.cumsum(sizes)
    bounds = list(zip((ends - sizes).tolist(), (ends - 1).tolist(), strict=True))
    sums = []
    turned = np.empty(payloads.shape[1], "<u8")
    for words, frame in zip(payloads.view(">u8"), frames, strict=True):
        turned[:] = words
        sums += [zlib.crc32(frame[first:last].data), *(zlib.crc32(turned[begin:end].data) for begin, end in bounds)]
    pieces = np.array(sums, np.uint32).reshape(len(payloads), -1)
    tails, trailers = payloads[:, ends - 1].byteswap(), frames[:, last]
    pieces[:, 1:] = told = with_word(pieces[:, 1:], tails)
    good: Bools = (told == tails >> np.uint64(32)).all(axis=1)
    pieces[:, 1:] = with_word(told, tails >> np.uint64(32))
    block = np.bitwise_xor.reduce(moved(pieces, _behind(tuple(sizes))), axis=1)
    good &= with_word(block, trailers) == trailers >> np.uint64(32)
    return good


@lru_cache(32)
def _behind(sizes: tuple[int, ...]) -> Sums:
    """Tables that move the sums of a block's headers and of each payload on, to the end of the last payload."""
    return np.stack([moving(8 * sum(sizes[i:])) for i in range(len(sizes) + 1)])


def _one_by_one(payloads: Words, frame: Words, shape: FrameShape, boards: int) -> bool:
    """The same of one crate whose boards go through several blocks."""
    sums = [0] * boards
    for first, last, pieces in shape.blocks:
        block = zlib.crc32(frame[first:last].data)
        for piece in pieces:
            words = payloads[piece.begin : piece.end].byteswap()
            block = zlib.crc32(words.data, block)
            if not piece.last:
                sums[piece.board] = zlib.crc32(words.data, sums[piece.board])
            elif not _tells(words[-1:], zlib.crc32(words[:-1].data, sums[piece.board])):
                return False
        if not _tells(frame[last : last + 1], block):
            return False
    return True


def _tells(word: Words, before: int) -> bool:
    """Whether the high half of a word is the CRC-32 of all before and of its low half."""
    low, high = word.view(np.uint32).tolist()
    return zlib.crc32(low.to_bytes(4, "little"), before) == int(high)


def _crc16(sent: Alike, shape: FrameShape) -> NDArray[np.uint16]:
    """CRC-16 of all words of events in the order in which they were sent, the CRC itself left out."""
    found = Crc16(sent.crates.size)
    found.update(sent.frames[:, :1])
    for first, last, pieces in shape.blocks:
        found.update(sent.frames[:, first:last])
        begin = pieces[0].begin
        for piece, after in zip(pieces, (*pieces[1:], None), strict=True):
            # What lies one behind the other in the bank is taken at once.
            if after is None or after.begin != piece.end:
                found.update(sent.payloads[:, begin : piece.end])
                begin = after.begin if after is not None else 0
        found.update(sent.frames[:, last : last + 1])
    found.update(np.full((sent.crates.size, 1), shape.trailer, ">u8"))
    return found.values
