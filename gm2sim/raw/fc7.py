"""Payloads of FC7 boards: encoder and trigger of the clock and control crate, and the straw trackers'.

Head and last word as the FC7's firmware has them; the words between are not public: the clock crate's are left out,
the trackers' are our own and carry a version.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.amc13 import Board, Frame
from gm2sim.raw.midas import Buffer
from gm2sim.raw.payload import END, HEAD, Words, big_endian, head_words, last_word, parts
from gm2sim.raw.record import STRAWS_OF_STATION, StrawRecord
from gm2sim.raw.trigger import Trigger

ENCODER, TRIGGER, TRACKER = 1, 2, 3
"""Kinds of board."""
STRAW_VERSION = 0x47530002  # "GS", 2
CLOCK_CRATE = 0
TRACKER_SOURCE = 0x900
"""Of the AMC13 of station 0; those of the others follow."""

FIRMWARE = (3, 2, 1)
_BOARD_TYPE = 2 << 13
_STRAW_HEAD = 2  # words before the hits


@dataclass(frozen=True)
class Fc7:
    """One board.

    Parameters
    ----------
    slot : int
        Also the board's id.
    kind : int
        1 encoder, 2 trigger, 3 tracker.
    body : uint64 array, optional
        The words between head and last word.
    """

    slot: int
    kind: int
    body: NDArray[np.uint64] | None = None

    @property
    def board(self) -> Board:
        """Slot, id and size."""
        return Board(self.slot, self.slot, HEAD + (0 if self.body is None else self.body.size) + END)

    def segments(self, trigger: Trigger) -> Iterator[Words]:
        """The payload; see :class:`gm2sim.raw.payload.Payload`."""
        yield big_endian(head_words(self.board, trigger, _BOARD_TYPE | self.kind << 11, FIRMWARE))
        if self.body is not None:
            yield self.body.astype(">u8")
        yield big_endian([last_word(self.board, trigger)])


CLOCK_BOARDS = (Fc7(1, ENCODER), Fc7(2, TRIGGER))


def straw_events(straws: StrawRecord, trigger: Trigger) -> Iterator[Buffer]:
    """STRW: the whole AMC13 event of each station that sends one, in little-endian words."""
    order = np.lexsort((straws.tdc, straws.channel))
    station = straws.channel[order] // STRAWS_OF_STATION
    words = straws.words()[order]
    for number in straws.stations:
        hits = words[station == number]
        head = np.array([STRAW_VERSION << 32 | hits.size, straws.bin_ps << 32], np.uint64)
        yield _whole(TRACKER_SOURCE + number, trigger, Fc7(1, TRACKER, np.concatenate([head, hits])))


def _whole(source: int, trigger: Trigger, board: Fc7) -> Buffer:
    """The event of a crate of one board, as it was sent but for the order of bytes."""
    frame = Frame(source, trigger, [board.board])
    sent = b"".join(map(bytes, frame.take(0, parts(board, trigger))))
    return frame.whole([np.frombuffer(sent, ">u8")]).astype("<u8").data.cast("B")
