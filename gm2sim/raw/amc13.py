"""The event of one crate as its AMC13 sends it: a header, blocks of pieces of all boards, a trailer.

The front end takes it apart (jaca230/CaloReadoutAMC13 @7ff4424, tcp_thread.cxx): payloads go into one bank, the words
of the frame into another, the trailer into a third. Here only the frame's words are made; the payloads pass by, in
any order, to be summed.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.cyclic import PIECE, Crc16, behind_pieces, joined_crc32, pieces_of, sealing
from gm2sim.raw.midas import Buffer
from gm2sim.raw.trigger import Trigger

_WORD = 8  # bytes
_PRESENT = 0b1111 << 56  # enabled, present, valid, CRC good
_READY = 8 << 4  # trigger throttling

Words = NDArray[np.uint64]


class Board(NamedTuple):
    """What the AMC13 says of one board.

    Attributes
    ----------
    slot : int
        1 to 12.
    board_id : int
    words : int
        Of the payload.
    """

    slot: int
    board_id: int
    words: int


class Frame:
    """The words that the AMC13 puts around the payloads of its boards.

    Parameters
    ----------
    source : int
        12 bits: number of the crate.
    trigger : Trigger
    boards : sequence of Board
        In order of the slots, one at least.
    summed : bool
        Whether the payloads will be given to :meth:`take`; if not, all check sums stay zero.
    """

    def __init__(self, source: int, trigger: Trigger, boards: Sequence[Board], summed: bool = True) -> None:
        if not boards:
            raise ValueError(f"crate {source} has no board: leave it out")
        slots, ids, sizes = (np.array(column, np.int64) for column in zip(*boards, strict=True))
        pieces = np.maximum(-(-sizes // PIECE), 1)
        block = np.arange(int(pieces.max()))[:, None]
        self._present = block < pieces
        length = np.where(self._present, np.minimum(sizes - PIECE * block, PIECE), 0)
        count = self._present.sum(axis=1)
        of_block = 2 + count + length.sum(axis=1)
        self._begin = 1 + np.cumsum(of_block) - of_block  # of each block: its header's word
        self._place = (self._begin + 1 + count)[:, None] + np.cumsum(length, axis=1) - length  # of each piece
        self._length = length
        self._sizes = sizes
        self._end = self._begin + of_block - 1  # of each block: its trailer's word
        self.words = int(of_block.sum()) + 2
        self._grid = _grid(trigger, slots, ids, np.where(block > 0, length, sizes), self._present, block < pieces - 1)
        self._head = cdf_header(source, trigger)
        self._summed = summed
        self._crc = Crc16(_WORD * self.words)
        self._sums: list[list[int]] = [[] for _ in boards]

    @property
    def header(self) -> bytes:
        """The first word of the event, as it is sent."""
        return self._head.to_bytes(_WORD, "big")

    @property
    def frame_words(self) -> int:
        """Number of words that :meth:`close` gives beside the trailer."""
        return 1 + 2 * int(self._begin.size) + int(self._present.sum())

    def take(self, board: int, payload: Iterable[Words]) -> Iterator[Buffer]:
        """Pass a payload by, and sum it.

        Parameters
        ----------
        board : int
            Its place in the order of the slots.
        payload : iterable of big-endian uint64 arrays
            In parts of whole pieces, the last may be shorter; the last word without the check sum, which is put there.

        Yields
        ------
        bytes-like
            The payload as it is sent, part by part.
        """
        places = (_WORD * self._place[:, board]).tolist()
        done = 0
        for part, sums in sealing(payload, int(self._sizes[board])):
            self._sums[board] += sums
            sent = part.view(np.uint8)
            self._crc.add_pieces(places[done : done + len(sums)], sent)
            done += len(sums)
            yield sent.data

    def close(self) -> tuple[Words, Words]:
        """The frame's words in order of arrival without the last, and the last: big-endian.

        Every payload has been taken, where check sums are wanted.
        """
        trailer = 10 << 60 | self.words << 32 | _READY
        if self._summed:
            self._sum_blocks()
        kept = np.pad(self._present, ((0, 0), (1, 1)), constant_values=True)
        words = np.concatenate([np.array([self._head], np.uint64), self._grid[kept]]).astype(">u8")
        if self._summed:
            self._sum_frame(words, kept.sum(axis=1))
            self._crc.add(_WORD * (self.words - 1), np.frombuffer(trailer.to_bytes(_WORD, "big"), np.uint8))
            trailer |= self._crc.value() << 16
        return words, np.array([trailer], ">u8")

    def whole(self, payloads: Sequence[Words]) -> Words:
        """The whole event of one or more boards as it is sent; every payload has been taken."""
        head, tail = self.close()
        event = np.empty(self.words, ">u8")
        event[-1:] = tail
        mine = np.ones(self.words, np.bool_)
        mine[-1] = False
        for board, payload in enumerate(payloads):
            for piece, place in enumerate(self._place[self._present[:, board], board].tolist()):
                part = payload[PIECE * piece : PIECE * (piece + 1)]
                event[place : place + part.size] = part
                mine[place : place + part.size] = False
        event[mine] = head
        return event

    def _sum_blocks(self) -> None:
        """CRC-32 of each block into its trailer."""
        kept = np.pad(self._present, ((0, 0), (1, 0)), constant_values=True)
        heads = self._grid[:, :-1].astype("<u8")[kept].data
        cuts = [0, *np.cumsum(kept.sum(axis=1)).tolist()]
        crc = np.array([zlib.crc32(heads[first:last]) for first, last in pairwise(cuts)], np.uint32)
        for running, sizes in zip(self._sums, _WORD * self._length.T, strict=True):
            own = pieces_of(running, int(sizes[len(running) - 1]))
            whole = int((sizes == _WORD * PIECE).sum())  # the first ones
            crc[:whole] = behind_pieces(crc[:whole]) ^ own[:whole]
            if whole < own.size:
                crc[whole] = joined_crc32(int(crc[whole]), int(own[whole]), int(sizes[whole]))
        lows = self._grid[:, -1].astype("<u4")
        for block, (low, before) in enumerate(zip(lows.tolist(), crc.tolist(), strict=True)):
            crc[block] = zlib.crc32(low.to_bytes(4, "little"), before)
        self._grid[:, -1] |= crc.astype(np.uint64) << np.uint64(32)

    def _sum_frame(self, words: Words, counts: NDArray[np.int64]) -> None:
        """Take the frame's own words into the CRC-16: a block's trailer and the headers of the next lie together."""
        sent = words.view(np.uint8)
        cuts = [0, *(_WORD * np.cumsum(counts)).tolist(), sent.size]
        for place, (first, last) in zip([0, *(_WORD * self._end).tolist()], pairwise(cuts), strict=True):
            self._crc.add(place, sent[first:last])


def cdf_header(source: int, trigger: Trigger) -> int:
    """The first word of a crate's event."""
    number, clock = trigger.low_number, trigger.low_clock
    return 5 << 60 | trigger.fill_type << 56 | number << 32 | clock >> 32 << 20 | source << 8


def _grid(
    trigger: Trigger,
    slots: NDArray[np.int64],
    ids: NDArray[np.int64],
    told: NDArray[np.int64],
    present: NDArray[np.bool_],
    more: NDArray[np.bool_],
) -> Words:
    """One row a block: its header, a header for each board (of use where it is present), its trailer."""
    blocks, boards = present.shape
    number = np.arange(blocks, dtype=np.int64) & 0xFF
    clock = trigger.low_clock
    grid = np.zeros((blocks, boards + 2), np.int64)
    grid[:, 0] = 1 << 60 | present.sum(axis=1) << 52 | (clock & 0xFFFFFFFF) << 4
    later = (np.arange(blocks) > 0)[:, None]
    grid[:, 1:-1] = 1 << 62 | _PRESENT | told << 32 | number[:, None] << 20 | slots << 16 | ids
    grid[:, 1:-1] |= more.astype(np.int64) << 61 | later.astype(np.int64) << 60
    grid[:, -1] = number << 20 | (trigger.number & 0xFF) << 12 | clock >> 32
    return grid.view(np.uint64)
