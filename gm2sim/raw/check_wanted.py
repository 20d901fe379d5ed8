"""All header words that a crate must send for a trigger, made from its few sizes, to be compared at once.

Written from the format's page. What differs is not named here: see :mod:`gm2sim.raw.check_words` for that.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_words import Trigger
from gm2sim.raw.decode_amc13 import PIECE

Words = NDArray[np.uint64]

_ALL = 2**64 - 1
_LOW, _HIGH = 2**32 - 1, _ALL - (2**32 - 1)  # halves of a word
_BLOCK = 0xFF  # block numbers count modulo 256
_CACHED = 32  # shapes; a run has about ten

# What the trigger adds to a word: low 24 bits of its number, low 8, clock above bit 32 and below, type, times this.
_NOTHING = (0, 0, 0, 0, 0)
CDF_HEADER = (1 << 32, 0, 1 << 20, 0, 1 << 56)
BLOCK_HEADER = (0, 0, 0, 1 << 4, 0)
BLOCK_TRAILER = (0, 1 << 12, 1, 0, 0)
BOARD_FIRST = (1 << 32, 0, 1 << 20, 0, 0)
BOARD_SECOND = (0, 0, 0, 1 << 16, 1 << 48)
BOARD_LAST = (0, 1 << 24, 0, 0, 0)
CHANNEL = (1, 0, 0, 0, 1 << 24)
WAVEFORM = (0, 0, 0, 0, 1 << 23)


class Wanted(NamedTuple):
    """Words before the trigger is known.

    Attributes
    ----------
    fixed : uint64 array (n,)
        What does not depend on the trigger.
    factors : uint64 array (n, 5)
    mask : uint64 array (n,)
        Bits that are to be compared: check sums and times of readout are not.
    """

    fixed: Words
    factors: Words
    mask: Words

    @classmethod
    def of(cls, rows: Sequence[tuple[int, tuple[int, ...], int]]) -> "Wanted":
        """From a row (fixed, factors, mask) a word."""
        fixed, factors, mask = zip(*rows, strict=True)
        return cls(*(np.array(column, np.uint64) for column in (fixed, factors, mask)))

    def words(self, trigger: Trigger) -> Words:
        """The words for a trigger, (n,)."""
        told = (trigger.short, trigger.number & 0xFF, trigger.clock >> 32, trigger.clock_low, trigger.kind)
        words: Words = self.fixed + self.factors @ np.array(told, np.uint64)
        return words


class Piece(NamedTuple):
    """What of a board lies in a block: words ``begin`` to ``end`` of the crate's payloads."""

    board: int
    begin: int
    end: int
    last: bool


class FrameShape(NamedTuple):
    """An AMC13's event by the sizes of its boards.

    Attributes
    ----------
    wanted : Wanted
        Its words without the last, source 0.
    trailer : int
        The last word without its CRC.
    blocks : tuple of tuples
        Of each block the place of its header among the frame's words, that of its trailer, and its pieces.
    """

    wanted: Wanted
    trailer: int
    blocks: tuple[tuple[int, int, tuple[Piece, ...]], ...]


@lru_cache(_CACHED)
def frame_shape(boards: tuple[tuple[int, int], ...]) -> FrameShape:
    """The frame around boards of given (slot, words), in order of the slots."""
    rows = [(5 << 60, CDF_HEADER, _ALL)]
    blocks = []
    begins = np.cumsum([0, *(size for _, size in boards)]).tolist()
    words = 2 + begins[-1]
    for block in range(max(-(-size // PIECE) for _, size in boards)):
        first = len(rows)
        pieces = []
        rows.append((0, BLOCK_HEADER, _ALL))
        for board, (slot, size) in enumerate(boards):
            left = size - PIECE * block
            if left <= 0:
                continue
            begin = begins[board] + PIECE * block
            pieces.append(Piece(board, begin, begin + min(left, PIECE), left <= PIECE))
            told = min(left, PIECE) if block else size
            marks = (left > PIECE) << 61 | (block > 0) << 60 | (block & _BLOCK) << 20
            rows.append((1 << 62 | 15 << 56 | told << 32 | marks | slot << 16 | slot, _NOTHING, _ALL))
        rows[first] = (1 << 60 | len(pieces) << 52, BLOCK_HEADER, _ALL)
        rows.append(((block & _BLOCK) << 20, BLOCK_TRAILER, _LOW))
        blocks.append((first, len(rows) - 1, tuple(pieces)))
    words += len(rows) - 1
    return FrameShape(Wanted.of(rows), 10 << 60 | words << 32 | 8 << 4, tuple(blocks))


class BoardShape(NamedTuple):
    """What a board sends, as its header and that of its first channel say; its other channels have to say the same."""

    slot: int
    words: int
    enabled: int
    waveforms: int
    bursts: int
    gap: int

    @property
    def channels(self) -> int:
        """Number of channels that have sent."""
        return self.enabled.bit_count()

    @property
    def is_possible(self) -> bool:
        """Whether the words are those of the channels, one at least with a sample at least."""
        sent = self.channels > 0 and self.waveforms > 0 and self.bursts > 0
        return sent and self.words == 4 + self.channels * self.of_channel

    @property
    def step(self) -> int:
        """Words from one waveform to the next."""
        return 2 + 2 * self.bursts

    @property
    def of_channel(self) -> int:
        """Words of a channel, header and trailer included."""
        return 5 + self.waveforms * self.step


class Run(NamedTuple):
    """Boards one behind the other that are alike: the first word of the first, how many, and one of them."""

    first: int
    boards: int
    one: BoardShape


class WaveformShape(NamedTuple):
    """A crate's payloads of whole waveforms.

    Attributes
    ----------
    places : int64 array (n,)
        Words of the bank that are no samples.
    wanted : Wanted
        What they are to be.
    picked : int64 array
        Words of the bank that are repeated in xB.
    runs : tuple of Run
    """

    places: NDArray[np.int64]
    wanted: Wanted
    picked: NDArray[np.int64]
    runs: tuple[Run, ...]


@lru_cache(_CACHED)
def waveform_shape(boards: tuple[BoardShape, ...]) -> WaveformShape:
    """All words but the samples, for boards in order of their slots."""
    columns: list[tuple[NDArray[np.int64], Wanted]] = []
    picked: list[int] = []
    runs: list[Run] = []
    place = 0
    for one in boards:
        columns.append(_head(place, one))
        picked += [place, place + 1, place + 2]
        at = place + 3
        for number in (number for number in range(5) if one.enabled >> number & 1):
            columns.append(_channel(at, number, one))
            end = at + one.of_channel
            picked += [*range(at, at + 4), *range(end - 3, end)]
            at = end
        picked.append(at)
        if runs and runs[-1].one._replace(slot=0, enabled=0) == one._replace(slot=0, enabled=0):
            runs[-1] = runs[-1]._replace(boards=runs[-1].boards + 1)
        else:
            runs.append(Run(place, 1, one))
        place += one.words
    places, words = zip(*columns, strict=True)
    return WaveformShape(
        np.concatenate(places), Wanted(*(np.concatenate(part) for part in zip(*words, strict=True))),
        np.array(picked), tuple(runs),
    )  # fmt: skip


def _head(place: int, one: BoardShape) -> tuple[NDArray[np.int64], Wanted]:
    """The three head words of a board and its last, of that the low half."""
    places = place + np.array([0, 1, 2, one.words - 1])
    rows = [
        (one.slot << 56 | one.words, BOARD_FIRST, _ALL),
        (one.enabled << 59 | 1 << 58 | 1 << 13 | one.slot, BOARD_SECOND, _ALL),
        (2 << 16 | 3 << 8 | 5, _NOTHING, _ALL),
        (one.words, BOARD_LAST, _LOW),
    ]
    return places, Wanted.of(rows)


def _channel(at: int, number: int, one: BoardShape) -> tuple[NDArray[np.int64], Wanted]:
    """Header, waveform headers, trailer of a channel that begins at word ``at``."""
    count, end = one.waveforms, at + one.of_channel
    header = (1 << 62 | number << 46 | one.gap << 24 | count << 12, one.bursts << 27)
    index = np.arange(count)
    address = index * (one.bursts + 1)
    waveforms = np.empty((count, 2), np.uint64)
    waveforms[:, 0] = (address << 26 | one.bursts).astype(np.uint64) | np.uint64(count << 52)
    waveforms[:, 1] = index | (1 << 62 | number << 34 | one.gap << 12)
    starts = at + 2 + one.step * index
    places = np.concatenate([[at, at + 1], np.stack([starts, starts + 1], axis=1).ravel(), range(end - 3, end)])
    fixed = np.concatenate([np.array(header, np.uint64), waveforms.ravel(), np.zeros(3, np.uint64)])
    factors = np.zeros((places.size, 5), np.uint64)
    factors[1], factors[2:-3:2] = CHANNEL, WAVEFORM
    mask = np.full(places.size, _ALL, np.uint64)
    mask[-3:] = 0, 0, _HIGH  # the sums are compared with what was sent; the clock at readout is free
    return places, Wanted(fixed, factors, mask)
