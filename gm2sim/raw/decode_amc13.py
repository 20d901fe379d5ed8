"""Words of an AMC13: the headers and trailers in banks xA and xZ, and whole events as trackers send them.

Written from the format's page and not from the writer, so that reading back is a test of the writing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Fail

PIECE = 4096  # words of a board in one block at most
_WORD = 8  # bytes
_CDF_HEADER, _BLOCK_HEADER, _CDF_TRAILER = 5, 1, 10

Words = NDArray[np.uint64]


class Blocks(NamedTuple):
    """Headers and trailers of the blocks of an event, one row a block.

    Attributes
    ----------
    header, trailer : uint64 arrays (b,)
        The words as they are.
    boards : int64 array (b,)
        AMC headers that follow the header.
    clock : int64 array (b,)
        Low 32 bits of the 40 MHz clock.
    crc : int64 array (b,)
        CRC-32 of the block.
    number, trigger : int64 arrays (b,)
        Low 8 bits of the block's and of the trigger's number.
    clock_high : int64 array (b,)
        Bits 43 to 32 of the clock.
    """

    header: Words
    trailer: Words
    boards: NDArray[np.int64]
    clock: NDArray[np.int64]
    crc: NDArray[np.int64]
    number: NDArray[np.int64]
    trigger: NDArray[np.int64]
    clock_high: NDArray[np.int64]


class AmcHeaders(NamedTuple):
    """What an AMC13 says of each board in each block, one row a board and block.

    Attributes
    ----------
    word : uint64 array (k,)
        The word as it is.
    block : int64 array (k,)
        Which block it stands in, from 0.
    slot, board_id : int64 arrays (k,)
    words : int64 array (k,)
        Size as told: of the whole payload where ``continued`` is 0, of this piece otherwise.
    more, continued : bool arrays (k,)
        More data of the board follows in a later block; this is not its first.
    number : int64 array (k,)
        Low 8 bits of the block's number.
    flags : int64 array (k,)
        Enabled, present, valid, CRC good, from bit 3 to 0.
    """

    word: Words
    block: NDArray[np.int64]
    slot: NDArray[np.int64]
    board_id: NDArray[np.int64]
    words: NDArray[np.int64]
    more: NDArray[np.bool_]
    continued: NDArray[np.bool_]
    number: NDArray[np.int64]
    flags: NDArray[np.int64]

    @property
    def piece(self) -> NDArray[np.int64]:
        """Words of the board that lie in the block."""
        return np.where(self.more & ~self.continued, PIECE, self.words)


class Amc13(NamedTuple):
    """One event of an AMC13.

    Attributes
    ----------
    fill_type : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    trigger : int
        Low 24 bits of the trigger's number.
    clock : int
        Counts of the 40 MHz clock, 44 bits.
    source : int
        Number of the crate.
    words : int
        Of the whole event, as its trailer says.
    crc : int
        CRC-16 of the event.
    status : int
    header, trailer : int
        The CDF words as they are.
    blocks : Blocks
    boards : AmcHeaders
    """

    fill_type: int
    trigger: int
    clock: int
    source: int
    words: int
    crc: int
    status: int
    header: int
    trailer: int
    blocks: Blocks
    boards: AmcHeaders

    @property
    def payloads(self) -> dict[int, int]:
        """Words of the payload of each slot."""
        first = ~self.boards.continued
        return dict(zip(self.boards.slot[first].tolist(), self.boards.words[first].tolist(), strict=True))


class Framed(NamedTuple):
    """A whole event, payloads put together.

    Attributes
    ----------
    frame : Amc13
    payloads : dict of uint64 arrays
        By slot.
    words : uint64 array
        All words of the event.
    """

    frame: Amc13
    payloads: dict[int, Words]
    words: Words


def amc13(data: memoryview, trailer: memoryview, fail: Fail, fail_trailer: Fail) -> Amc13:
    """Decode banks xA and xZ of one crate: big-endian words."""
    if data.nbytes % _WORD or data.nbytes < 4 * _WORD:
        fail(0, f"{data.nbytes} bytes are no headers of an AMC13: at least 4 words of 8 bytes")
    if trailer.nbytes != _WORD:
        fail_trailer(0, f"{trailer.nbytes} bytes are no trailer: one word of 8 bytes")
    last = int.from_bytes(trailer, "big")
    if last >> 60 != _CDF_TRAILER:
        fail_trailer(0, f"0x{last:016x} is no trailer of an AMC13 event")
    return _decoded(np.frombuffer(data, ">u8").astype(np.uint64), last, fail)


def framed(words: Words, place: int, fail: Fail) -> Framed:
    """Decode the event that begins at word ``place`` of a stream of whole events."""
    begin, size = place, words.size
    headers = [place]
    pieces: dict[int, list[Words]] = {}
    if int(words[place]) >> 60 != _CDF_HEADER:
        fail(_WORD * place, "no header of an AMC13 event")
    place += 1
    while place < size and int(words[place]) >> 60 == _BLOCK_HEADER:
        count = int(words[place]) >> 52 & 15
        first = place + 1 + count
        if first >= size:
            fail(_WORD * place, f"a block of {count} boards begins behind the end")
        headers += range(place, first)
        for word in words[place + 1 : first].tolist():
            told, continued = word >> 32 & 0xFFFFFF, word >> 60 & 1
            length = PIECE if word >> 61 & 1 and not continued else told
            if first + length >= size:
                fail(_WORD * place, f"a board claims {length} words in a block, beyond the end")
            pieces.setdefault(word >> 16 & 15, []).append(words[first : first + length])
            first += length
        headers.append(first)
        place = first + 1
    if place >= size or int(words[place]) >> 60 != _CDF_TRAILER:
        fail(_WORD * min(place, size), "neither another block nor the trailer of the event")
    found = _decoded(words[headers], int(words[place]), lambda offset, what: fail(_WORD * begin, what))
    payloads = {slot: one[0] if len(one) == 1 else np.concatenate(one) for slot, one in pieces.items()}
    return Framed(found, payloads, words[begin : place + 1])


def _decoded(words: Words, last: int, fail: Fail) -> Amc13:
    """Headers and block trailers in order of arrival, and the trailer of the event."""
    listed: list[int] = words.tolist()
    head = listed[0]
    if head >> 60 != _CDF_HEADER:
        fail(0, f"0x{head:016x} is no header of an AMC13 event")
    starts = []
    place = 1
    while place < len(listed):
        if listed[place] >> 60 != _BLOCK_HEADER:
            fail(_WORD * place, f"0x{listed[place]:016x} is no header of a block")
        starts.append(place)
        place += 2 + (listed[place] >> 52 & 15)
    if place != len(listed) or not starts:
        fail(_WORD * (starts[-1] if starts else 0), "the last block is cut short, or there is none")
    first = np.array(starts)
    blocks = _blocks(words, first)
    return Amc13(
        head >> 56 & 15,
        head >> 32 & 0xFFFFFF,
        (head >> 20 & 0xFFF) << 32 | int(blocks.clock[0]),
        head >> 8 & 0xFFF,
        last >> 32 & 0xFFFFFF,
        last >> 16 & 0xFFFF,
        last >> 8 & 15,
        head,
        last,
        blocks,
        _boards(words, first, blocks.boards),
    )


def _blocks(words: Words, first: NDArray[np.int64]) -> Blocks:
    header = words[first]
    count = _bits(header, 52, 4)
    trailer = words[first + 1 + count]
    return Blocks(
        header,
        trailer,
        count,
        _bits(header, 4, 32),
        _bits(trailer, 32, 32),
        _bits(trailer, 20, 8),
        _bits(trailer, 12, 8),
        _bits(trailer, 0, 12),
    )


def _boards(words: Words, first: NDArray[np.int64], count: NDArray[np.int64]) -> AmcHeaders:
    block = np.repeat(np.arange(first.size), count)
    inside = np.arange(block.size) - np.repeat(np.cumsum(count) - count, count)
    word = words[first[block] + 1 + inside]
    return AmcHeaders(
        word,
        block,
        _bits(word, 16, 4),
        _bits(word, 0, 16),
        _bits(word, 32, 24),
        _bits(word, 61, 1) != 0,
        _bits(word, 60, 1) != 0,
        _bits(word, 20, 8),
        _bits(word, 56, 4),
    )


def _bits(words: Words, low: int, width: int) -> NDArray[np.int64]:
    return (words >> low & (1 << width) - 1).astype(np.int64)
