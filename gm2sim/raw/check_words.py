"""Header words of AMC13s and boards, bit by bit, against what the trigger makes them: which field differs is named."""

import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.crc16 import Crc16
from gm2sim.raw.decode_amc13 import PIECE, Amc13
from gm2sim.raw.decode_boards import FC7, SAMPLES, Board, BoardHead, Channel
from gm2sim.raw.decode_waveforms import grids

Words = NDArray[np.uint64]
Fields = tuple[tuple[str, int, int], ...]  # name, lowest bit, bits

LETTERS = {1: "C", 2: "L", 3: "P", 4: "A"}
"""First letter of the banks of a crate by the type of the trigger."""

_FIRMWARE = {1: (2, 3, 5), 2: (3, 2, 1)}  # by board type
_BLOCK = 0xFF  # block numbers count modulo 256
CDF_HEADER: Fields = (
    ("marker", 60, 4), ("event type", 56, 4), ("trigger number", 32, 24), ("high clock", 20, 12), ("source", 8, 12),
)  # fmt: skip
_CDF_TRAILER: Fields = (
    ("marker", 60, 4), ("size", 32, 24), ("CRC-16", 16, 16), ("event status", 8, 4), ("throttling", 4, 4),
)  # fmt: skip
_BLOCK_HEADER: Fields = (("marker", 60, 4), ("number of boards", 52, 4), ("clock", 4, 32))
_BLOCK_TRAILER: Fields = (("CRC-32", 32, 32), ("block number", 20, 8), ("trigger number", 12, 8), ("high clock", 0, 12))
_AMC_HEADER: Fields = (
    ("L", 62, 1), ("M", 61, 1), ("S", 60, 1), ("flags", 56, 4), ("size", 32, 24), ("block number", 20, 8),
    ("slot", 16, 4), ("board id", 0, 16),
)  # fmt: skip
_HEAD: tuple[Fields, ...] = (
    (("slot", 56, 4), ("trigger number", 32, 24), ("high clock", 20, 12), ("size", 0, 20)),
    (
        ("channels", 59, 5), ("order of bytes", 58, 1), ("alarms", 54, 4), ("empty", 53, 1), ("trigger type", 48, 5),
        ("clock", 16, 32), ("board type", 13, 3), ("asynchronous or kind", 11, 2), ("board id", 0, 11),
    ),
    (("firmware", 0, 24),),
    (("CRC-32", 32, 32), ("trigger number", 24, 8), ("size", 0, 20)),
)  # fmt: skip
_CHANNEL: tuple[Fields, ...] = (
    (("marker", 62, 2), ("channel", 46, 12), ("gap", 24, 22), ("waveforms", 12, 12), ("high address", 0, 12)),
    (("low address", 50, 14), ("bursts", 27, 23), ("trigger type", 24, 3), ("trigger number", 0, 24)),
    (("waveforms", 52, 12), ("address", 26, 26), ("trigger type", 23, 2), ("bursts", 0, 23)),
    (("marker", 62, 2), ("channel", 34, 12), ("gap", 12, 22), ("number", 0, 12)),
)


class Trigger(NamedTuple):
    """What all words of one event must tell.

    Attributes
    ----------
    number : int
        Of the trigger.
    kind : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    clock : int
        Counts of the 40 MHz clock, 44 bits.
    """

    number: int
    kind: int
    clock: int

    @property
    def short(self) -> int:
        """Low 24 bits of the number."""
        return self.number & 0xFFFFFF

    @property
    def clock_low(self) -> int:
        """Bits 31 to 0 of the clock."""
        return self.clock & 0xFFFFFFFF


class Payload(NamedTuple):
    """The words of a board both ways round.

    Attributes
    ----------
    head : BoardHead
    big, little : uint64 arrays
        As in the file, and turned round.
    """

    head: BoardHead
    big: Words
    little: Words


def differences(what: str, found: int, wanted: int, fields: Fields) -> Iterator[str]:
    """A complaint for each field of a word that is not as wanted, and one for bits that no field covers."""
    wrong = found ^ wanted
    if not wrong:
        return
    for name, low, width in fields:
        mask = (1 << width) - 1
        if wrong >> low & mask:
            yield f"{what}: {name} is {found >> low & mask}, not {wanted >> low & mask}"
        wrong &= ~(mask << low)
    if wrong:
        yield f"{what}: bits that mean nothing are set, 0x{wrong:016x}"


def cdf_header(trigger: Trigger, source: int) -> int:
    """First word of the event of an AMC13."""
    return 5 << 60 | trigger.kind << 56 | trigger.short << 32 | (trigger.clock >> 32) << 20 | source << 8


def frame_words(frame: Amc13, trigger: Trigger, source: int) -> Iterator[str]:
    """Headers and trailers of an AMC13 event against its trigger, and their order against the sizes they tell."""
    yield from differences("CDF header", frame.header, cdf_header(trigger, source), CDF_HEADER)
    blocks, boards = frame.blocks, frame.boards
    number = np.arange(blocks.header.size, dtype=np.uint64)
    count = blocks.boards.astype(np.uint64)
    block_header = np.uint64(1 << 60 | trigger.clock_low << 4) | count << np.uint64(52)
    yield from _first("header of block", blocks.header, block_header, _BLOCK_HEADER)
    yield from _first("AMC header", boards.word, _amc_headers(frame), _AMC_HEADER)
    block_trailer = (
        blocks.crc.astype(np.uint64) << np.uint64(32)
        | (number & np.uint64(_BLOCK)) << np.uint64(20)
        | np.uint64((trigger.number & 0xFF) << 12 | trigger.clock >> 32)
    )
    yield from _first("trailer of block", blocks.trailer, block_trailer, _BLOCK_TRAILER)
    size = 2 + 2 * number.size + boards.word.size + int(boards.piece.sum())
    wanted = 10 << 60 | (size & 0xFFFFFF) << 32 | frame.crc << 16 | 8 << 4
    yield from differences("CDF trailer", frame.trailer, wanted, _CDF_TRAILER)


def _first(what: str, found: Words, wanted: Words, fields: Fields) -> Iterator[str]:
    """Complaints about the first word of a column that is not as wanted."""
    if found.size != wanted.size:
        yield f"{found.size} words '{what}', the sizes make it {wanted.size}"
        return
    wrong = found != wanted
    if wrong.any():
        i = int(np.argmax(wrong))
        yield from differences(f"{what} {i}", int(found[i]), int(wanted[i]), fields)


def _amc_headers(frame: Amc13) -> Words:
    """All AMC headers of an event as the page makes them from slots and sizes of its boards."""
    boards = frame.boards
    first = boards.block == 0
    slot, size, board_id = (column[first].astype(np.uint64) for column in (boards.slot, boards.words, boards.board_id))
    order = np.argsort(slot, kind="stable")
    slot, size, board_id = slot[order], size[order], board_id[order]
    pieces = np.maximum(1, -(-size.astype(np.int64) // PIECE))
    block, which = np.nonzero(pieces > np.arange(pieces.max(initial=0))[:, None])
    left = size[which].astype(np.int64) - PIECE * block
    told = np.where(block == 0, left, np.minimum(left, PIECE)).astype(np.uint64)
    more, continued = block < pieces[which] - 1, block > 0
    words: Words = (
        np.uint64(1 << 62 | 15 << 56)
        | more.astype(np.uint64) << np.uint64(61)
        | continued.astype(np.uint64) << np.uint64(60)
        | told << np.uint64(32)
        | (block & _BLOCK).astype(np.uint64) << np.uint64(20)
        | slot[which] << np.uint64(16)
        | board_id[which]
    )
    return words


def no_sums(frame: Amc13) -> Iterator[str]:
    """An event whose samples were not made has no sums."""
    if frame.crc or frame.blocks.crc.any():
        yield "its samples are not kept, but it has a CRC"


def frame_sums(frame: Amc13, payloads: Mapping[int, Payload]) -> Iterator[str]:
    """CRC-32 of all blocks and CRC-16 of the event; nothing when payloads have not the sizes that are told."""
    sizes = {slot: one.big.size for slot, one in payloads.items()}
    if sizes != frame.payloads:
        yield f"boards sent {sizes} words by slot, their AMC headers say {frame.payloads}"
        return
    blocks, boards = frame.blocks, frame.boards
    ends = np.cumsum(blocks.boards)
    event = Crc16()
    event.update(np.array([frame.header], ">u8"))
    for b, (begin, end) in enumerate(zip((ends - blocks.boards).tolist(), ends.tolist(), strict=True)):
        heads = np.concatenate([blocks.header[b : b + 1], boards.word[begin:end]])
        event.update(heads.astype(">u8"))
        crc = zlib.crc32(heads.astype("<u8").data)
        for slot in boards.slot[begin:end].tolist():
            piece = slice(PIECE * b, PIECE * (b + 1))
            event.update(payloads[slot].big[piece])
            crc = zlib.crc32(payloads[slot].little[piece].data, crc)
        trailer = int(blocks.trailer[b])
        event.update(np.array([trailer], ">u8"))
        crc = zlib.crc32((trailer & 0xFFFFFFFF).to_bytes(4, "little"), crc)
        if crc != trailer >> 32:
            yield f"block {b} has check sum {crc:08x}, its trailer says {trailer >> 32:08x}"
    event.update(np.array([frame.trailer & ~(0xFFFF << 16)], ">u8"))
    if event.value != frame.crc:
        yield f"the event has check sum {event.value:04x}, its trailer says {frame.crc:04x}"


def head_words(head: BoardHead, trigger: Trigger, kind: int = 0) -> Iterator[str]:
    """The first three words of a board and its last against its trigger.

    Parameters
    ----------
    head : BoardHead
    trigger : Trigger
    kind : int
        Of an FC7; 0 for a digitiser.
    """
    digitiser = head.board_type != FC7
    wanted = (
        head.slot << 56 | trigger.short << 32 | (trigger.clock >> 32) << 20 | head.words,
        (head.enabled << 59 | 1 << 58 if digitiser else 0) | trigger.kind << 48 | trigger.clock_low << 16
        | head.board_type << 13 | (trigger.kind == 4) * digitiser << 12 | kind << 11 | head.slot,
        int.from_bytes(bytes(_FIRMWARE.get(head.board_type, (0, 0, 0)))),
        head.crc << 32 | (trigger.number & 0xFF) << 24 | head.words,
    )  # fmt: skip
    for i, (found, word, fields) in enumerate(zip(head.raw, wanted, _HEAD, strict=True)):
        where = f"word {i}" if i < 3 else "last word"
        yield from differences(f"slot {head.slot}, {where}", found, word, fields)


def board_words(board: Board, trigger: Trigger, kept: bool) -> Iterator[str]:
    """Every header word of a digitiser, and its size, against its trigger; no sums where samples are not kept."""
    head = board.head
    yield from head_words(head, trigger)
    size = 4 + sum(one.end - one.first for one in board.channels)
    if size != head.words:
        yield f"slot {head.slot} claims {head.words} words, its channels make {size}"
    if not kept and (head.crc or any(any(one.checksum) for one in board.channels)):
        yield f"samples of slot {head.slot} are not kept, but it has a check sum"
    for one in board.channels:
        wanted = _channel_words(one, trigger)
        # Most are as they should be: words are taken apart only where they are not.
        if one.raw[:4] != wanted:
            for found, word, fields in zip(one.raw[:4], wanted, _CHANNEL, strict=True):
                yield from differences(f"slot {head.slot}, channel {one.number}", found, word, fields)
    if kept:
        yield from _waveform_words(board)


def _channel_words(one: Channel, trigger: Trigger) -> tuple[int, ...]:
    bursts = one.length // 8
    return (
        1 << 62 | one.number << 46 | one.gap << 24 | one.waveforms << 12,
        bursts << 27 | (trigger.kind & 7) << 24 | trigger.short,
        one.waveforms << 52 | (trigger.kind & 3) << 23 | bursts,
        1 << 62 | one.number << 34 | one.gap << 12,
    )


def _waveform_words(board: Board) -> Iterator[str]:
    """Headers of the waveforms behind the first: addresses go on, numbers count."""
    for channels, grid in grids(board, board.words):
        one = channels[0]
        number = np.arange(one.waveforms, dtype=np.uint64)
        address = number * np.uint64(one.length // (2 * SAMPLES) + 1)
        steps = np.stack([address << np.uint64(26), number], axis=1)
        wanted = grid[:, :1, :2] + steps
        if not np.array_equal(grid[..., :2], wanted):
            for channel, found, told in zip(channels, grid, wanted, strict=True):
                what = f"slot {board.head.slot}, channel {channel.number}, header of waveform"
                for half in (0, 1):
                    yield from _first(what, found[:, half], told[:, half], _CHANNEL[2 + half])
