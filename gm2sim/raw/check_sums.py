"""Frames of AMC13s whose boards sent alike: their words, and all sums over payloads, blocks and events."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_wanted import FrameShape, frame_shape
from gm2sim.raw.check_words import Trigger
from gm2sim.raw.crc16 import Crc16

Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]

_CRC = 0xFFFF << 16  # of the last word of an event
_LOW = 4  # bytes of a word that its own CRC-32 covers


class Sent(NamedTuple):
    """What a crate sent.

    Attributes
    ----------
    crate : int
    payloads : big-endian uint64 array
        Bank xR.
    frame : big-endian uint64 array
        Bank xA.
    trailer : int
        Bank xZ.
    """

    crate: int
    payloads: Words
    frame: Words
    trailer: int


def frames_are_sound(crates: Sequence[Sent], boards: tuple[tuple[int, int], ...], trigger: Trigger) -> Bools:
    """Whether frames are what the trigger makes them and all their sums are right, those of the payloads too.

    Parameters
    ----------
    crates : sequence of Sent
    boards : tuple of tuples
        Slot and words of each board, the same for all crates.
    trigger : Trigger
    """
    shape = frame_shape(boards)
    wanted = shape.wanted.words(trigger)
    sound = np.array(
        [one.frame.size == wanted.size and one.trailer & ~_CRC == shape.trailer for one in crates], np.bool_
    )
    same = [one for one, good in zip(crates, sound.tolist(), strict=True) if good]
    if not same:
        return sound
    frames = np.stack([one.frame for one in same]).astype("<u8")
    differs = frames ^ wanted
    differs[:, 0] ^= np.array([one.crate << 8 for one in same], np.uint64)
    good = ~(differs & shape.wanted.mask).any(axis=1)
    events = [Crc16() for _ in same]
    for i, (one, event) in enumerate(zip(same, events, strict=True)):
        good[i] &= _crc32s_are_right(one.payloads, frames[i], shape, len(boards))
        _add(event, one, shape)
    found = np.array(Crc16.values(events)) == [one.trailer >> 16 & 0xFFFF for one in same]
    sound[sound] = good & found
    return sound


def _crc32s_are_right(payloads: Words, frame: Words, shape: FrameShape, boards: int) -> bool:
    """Whether the CRC-32 of each block and of each payload is the one that its last word tells."""
    sums = [0] * boards
    for first, last, pieces in shape.blocks:
        block = zlib.crc32(frame[first:last].data)
        for piece in pieces:
            words = payloads[piece.begin : piece.end].astype("<u8")
            block = zlib.crc32(words.data, block)
            if not piece.last:
                sums[piece.board] = zlib.crc32(words.data, sums[piece.board])
                continue
            tail = words[-1:].tobytes()
            found = zlib.crc32(tail[:_LOW], zlib.crc32(words[:-1].data, sums[piece.board]))
            if found != int.from_bytes(tail[_LOW:], "little"):
                return False
        tail = frame[last : last + 1].tobytes()
        if zlib.crc32(tail[:_LOW], block) != int.from_bytes(tail[_LOW:], "little"):
            return False
    return True


def _add(event: Crc16, one: Sent, shape: FrameShape) -> None:
    """The words of a crate's event in the order in which they were sent, the CRC left out."""
    event.update(one.frame[:1])
    for first, last, pieces in shape.blocks:
        event.update(one.frame[first:last])
        begin = pieces[0].begin
        for piece, after in zip(pieces, (*pieces[1:], None), strict=True):
            # What lies one behind the other in the bank is taken at once.
            if after is None or after.begin != piece.end:
                event.update(one.payloads[begin : piece.end])
                begin = after.begin if after is not None else 0
        event.update(one.frame[last : last + 1])
    event.update(np.array([one.trailer & ~_CRC], ">u8"))
