"""Whole waveforms of a crate (banks CRnn, LRnn, PRnn). Samples are views of the file.

Written from the description of the format and not from the writer, so that reading back is a test of the writing.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Fail
from gm2sim.raw.decode_boards import (
    BURST,
    CHANNEL_HEAD,
    CHANNEL_TAIL,
    CHANNELS,
    HEAD,
    SAMPLES,
    WAVEFORM_HEAD,
    WORD,
    Board,
    BoardHead,
    Channel,
    boards,
)


class Waveforms(NamedTuple):
    """What one crate sent for one trigger.

    Attributes
    ----------
    fill_type : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    trigger : int
        Low 24 bits of the trigger's number.
    clock : int
        Counts of the 40 MHz clock, low 44 bits.
    channels : tuple of int
        Of each channel that was sent 5 (slot - 1) + channel of the board.
    samples : tuple of int16 arrays (waveforms, length)
        Of each of these channels [ADC counts].
    gap : int
        Samples between the starts of two waveforms less the length.
    """

    fill_type: int
    trigger: int
    clock: int
    channels: tuple[int, ...]
    samples: tuple[NDArray[np.int16], ...]
    gap: int


def waveforms(data: memoryview, fail: Fail) -> Waveforms:
    """Decode a bank of payloads; check sums are not looked at (see :func:`sums_of`)."""
    return waveforms_of(boards(data, fail), fail)


def waveforms_of(found: list[Board], fail: Fail) -> Waveforms:
    """Waveforms of boards that are decoded."""
    first = same_trigger([board.head for board in found], fail)
    channels, samples = [], []
    for board in found:
        values = board.words.view("<i2")
        _waveform_headers(board, fail)
        for one in board.channels:
            block = values[SAMPLES * (one.first + CHANNEL_HEAD) : SAMPLES * one.trailer]
            channels.append(CHANNELS * (board.head.slot - 1) + one.number)
            samples.append(block.reshape(one.waveforms, -1)[:, SAMPLES * WAVEFORM_HEAD :])
    if channels != sorted(set(channels)):
        fail(0, "boards or channels are not in order, or come twice")
    gap = next((one.gap for board in found for one in board.channels), 0)
    return Waveforms(first.fill_type, first.trigger, first.clock, tuple(channels), tuple(samples), gap)


def same_trigger(heads: list[BoardHead], fail: Fail) -> BoardHead:
    """The first of several heads, after it is clear that all answer the same trigger."""
    first = heads[0]
    for head in heads:
        if (head.trigger, head.fill_type) != (first.trigger, first.fill_type):
            fail(head.first, f"slot {head.slot} answers trigger {head.trigger} of type {head.fill_type}, slot "
                 f"{first.slot} trigger {first.trigger} of type {first.fill_type}")  # fmt: skip
    return first


def grids(board: Board, words: NDArray[np.uint64]) -> Iterator[tuple[tuple[Channel, ...], NDArray[np.uint64]]]:
    """Channels that sent alike, as arrays (channels, waveforms, words of header and samples) of a board's words.

    All channels of a board together where they can be, each alone where not.
    """
    first = board.channels[0] if board.channels else None
    if first is None:
        return
    if all((one.waveforms, one.length) == (first.waveforms, first.length) for one in board.channels):
        body = words[HEAD:-1].reshape(len(board.channels), -1)[:, CHANNEL_HEAD:-CHANNEL_TAIL]
        yield board.channels, body.reshape(len(board.channels), first.waveforms, first.step)
        return
    for one in board.channels:
        yield (one,), words[one.first + CHANNEL_HEAD : one.trailer].reshape(1, one.waveforms, one.step)


def _waveform_headers(board: Board, fail: Fail) -> None:
    for channels, grid in grids(board, board.words):
        wrong = (grid[..., 0] & 0x7FFFFF) * 8 != channels[0].length
        wrong |= (grid[..., 1] & 0xFFF) != np.arange(channels[0].waveforms)
        if wrong.any():
            channel, number = divmod(int(np.argmax(wrong)), channels[0].waveforms)
            one = channels[channel]
            place = one.first + CHANNEL_HEAD + number * one.step
            fail(board.head.first + WORD * place, f"a waveform of channel {one.number} has another length or number "
                 "than its place says")  # fmt: skip


def sums_of(data: memoryview, fail: Fail) -> Iterator[str]:
    """Complaints about the check sums of payloads and channels."""
    for board in boards(data, fail):
        yield from board_sums(board, board.words.astype("<u8"))


def board_sums(board: Board, words: NDArray[np.uint64]) -> Iterator[str]:
    """Complaints about the check sums of one payload.

    Parameters
    ----------
    board : Board
    words : little-endian uint64 array
        Those of the board, turned round.
    """
    yield from payload_sum(board.head, words)
    for channels, grid in grids(board, words):
        heads = np.bitwise_xor.reduce(grid[..., :WAVEFORM_HEAD], axis=1)
        bursts = grid[..., WAVEFORM_HEAD:].reshape(*grid.shape[:2], -1, BURST)
        found = (heads ^ np.bitwise_xor.reduce(bursts, axis=(1, 2)).byteswap()).tolist()
        for one, (low, high) in zip(channels, found, strict=True):
            if (one.raw[0] ^ low, one.raw[1] ^ high) != one.checksum:
                yield f"channel {one.number} of slot {board.head.slot} has another check sum than its trailer says"
            if not one.intact:
                yield f"channel {one.number} of slot {board.head.slot} was found damaged by its board"


def payload_sum(head: BoardHead, words: NDArray[np.uint64]) -> Iterator[str]:
    """A complaint when the CRC-32 of a payload, little-endian, is another than its last word says."""
    tail = (head.raw[3] & 0xFFFFFFFF).to_bytes(4, "little")
    crc = zlib.crc32(tail, zlib.crc32(words[:-1].data))
    if crc != head.crc:
        yield f"the payload of slot {head.slot} has check sum {crc:08x}, its trailer says {head.crc:08x}"
