"""Payloads of digitiser boards (banks CRnn, LRnn, PRnn) back into waveforms. Samples are views of the file.

Written from the description of the format and not from the writer, so that reading back is a test of the writing.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Fail

_WORD = 8  # bytes
_SAMPLES = 4  # in a word


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


class _Channel(NamedTuple):
    """Where a channel lies in its payload, in words, and what its header says."""

    number: int
    first: int
    waveforms: int
    length: int  # of a waveform [samples]
    gap: int

    @property
    def step(self) -> int:
        """Words from one waveform to the next."""
        return 2 + self.length // _SAMPLES

    @property
    def end(self) -> int:
        """Word behind the trailer."""
        return self.first + 2 + self.waveforms * self.step + 3


class _Board(NamedTuple):
    """One payload."""

    first: int  # byte in the bank
    words: NDArray[np.uint64]
    slot: int
    trigger: int
    clock: int
    fill_type: int
    channels: list[_Channel]


def waveforms(data: memoryview, fail: Fail) -> Waveforms:
    """Decode a bank of payloads; check sums are not looked at (see :func:`sums_of`)."""
    boards = list(_boards(data, fail))
    if not boards:
        fail(0, "there is no payload of a digitiser board")
    channels, samples = [], []
    for board in boards:
        head = boards[0]
        if (board.trigger, board.fill_type) != (head.trigger, head.fill_type):
            fail(board.first, f"slot {board.slot} answers trigger {board.trigger} of type {board.fill_type}, slot "
                 f"{head.slot} trigger {head.trigger} of type {head.fill_type}")  # fmt: skip
        values = np.frombuffer(data, "<i2", board.words.size * _SAMPLES, board.first)
        for one in board.channels:
            block = values[_SAMPLES * (one.first + 2) : _SAMPLES * (one.end - 3)]
            channels.append(5 * (board.slot - 1) + one.number)
            samples.append(block.reshape(one.waveforms, -1)[:, 2 * _SAMPLES :])
    if channels != sorted(set(channels)):
        fail(0, "boards or channels are not in order, or come twice")
    first = boards[0]
    return Waveforms(
        first.fill_type, first.trigger, first.clock, tuple(channels), tuple(samples), first.channels[0].gap
    )


def sums_of(data: memoryview, fail: Fail) -> Iterator[str]:
    """Complaints about the check sums of payloads and channels."""
    for board in _boards(data, fail):
        words = board.words.astype("<u8")
        trailer = int(words[-1])
        crc = zlib.crc32((trailer & 0xFFFFFFFF).to_bytes(4, "little"), zlib.crc32(words[:-1].data))
        if crc != trailer >> 32:
            yield f"the payload of slot {board.slot} has check sum {crc:08x}, its trailer says {trailer >> 32:08x}"
        for one in board.channels:
            found = _exclusive_or(words, one)
            told = (int(words[one.end - 3]), int(words[one.end - 2]))
            if found != told:
                yield f"channel {one.number} of slot {board.slot} has another check sum than its trailer says"


def _exclusive_or(words: NDArray[np.uint64], one: _Channel) -> tuple[int, int]:
    """128 bits in two words: headers as they are, samples with their bytes turned round."""
    block = words[one.first + 2 : one.end - 3].reshape(one.waveforms, one.step)
    sums = [int(words[one.first]), int(words[one.first + 1])]
    for half in (0, 1):
        sums[half] ^= int(np.bitwise_xor.reduce(block[:, half]))
        sums[half] ^= int(np.bitwise_xor.reduce(block[:, 2 + half :: 2].byteswap(), axis=None))
    return sums[0], sums[1]


def _boards(data: memoryview, fail: Fail) -> Iterator[_Board]:
    place = 0
    while place < data.nbytes:
        if data.nbytes - place < 5 * _WORD:
            fail(place, f"{data.nbytes - place} bytes cannot hold a payload")
        size = int.from_bytes(data[place : place + _WORD], "big") & 0xFFFFF
        if size < 5 or place + size * _WORD > data.nbytes:
            fail(place, f"a payload claims {size} words, beyond the bank or too few")
        yield _board(np.frombuffer(data, ">u8", size, place), place, fail)
        place += size * _WORD


def _board(words: NDArray[np.uint64], place: int, fail: Fail) -> _Board:
    head, second, last = int(words[0]), int(words[1]), int(words[-1])
    slot, trigger = head >> 56 & 15, head >> 32 & 0xFFFFFF
    if second >> 13 & 7 != 1:
        fail(place + _WORD, f"board type {second >> 13 & 7} in slot {slot} is no digitiser")
    if not second >> 58 & 1:
        fail(place + _WORD, f"samples of slot {slot} are not little-endian: they are not understood")
    if last & 0xFFFFF != words.size or last >> 24 & 0xFF != trigger & 0xFF:
        fail(place + _WORD * (words.size - 1), f"the trailer of slot {slot} does not fit its header")
    channels = []
    at = 3
    for number in range(5):
        if second >> 59 >> number & 1:
            one = _channel(words, at, number, trigger, lambda offset, what: fail(place + offset, what))
            channels.append(one)
            at = one.end
    if at != words.size - 1:
        fail(place + _WORD * at, f"{words.size - 1 - at} words of slot {slot} are left over after its channels")
    if not channels:
        fail(place + _WORD, f"slot {slot} has sent no channel")
    clock = (head >> 20 & 0xFFF) << 32 | second >> 16 & 0xFFFFFFFF
    return _Board(place, words, slot, trigger, clock, second >> 48 & 31, channels)


def _channel(words: NDArray[np.uint64], at: int, number: int, trigger: int, fail: Fail) -> _Channel:
    """Read a channel's header and see that all of its waveforms are there."""
    if at + 5 >= words.size:
        fail(_WORD * at, f"channel {number} begins behind the end of its payload")
    head, second = int(words[at]), int(words[at + 1])
    found = _Channel(number, at, head >> 12 & 0xFFF, (second >> 27 & 0x7FFFFF) * 8, head >> 24 & 0x3FFFFF)
    if head >> 62 != 1 or head >> 46 & 0xFFF != number:
        fail(_WORD * at, f"no header of channel {number}")
    if second & 0xFFFFFF != trigger:
        fail(_WORD * (at + 1), f"channel {number} answers trigger {second & 0xFFFFFF}, its board {trigger}")
    if found.waveforms < 1 or found.length < 8 or found.end > words.size - 1:
        fail(_WORD * at, f"channel {number} claims {found.waveforms} waveforms of {found.length} samples, beyond "
             "its payload or none")  # fmt: skip
    heads = words[at + 2 : found.end - 3].reshape(found.waveforms, found.step)[:, :2].astype(np.uint64)
    wrong = (heads[:, 0] & 0x7FFFFF) * 8 != found.length
    wrong |= (heads[:, 1] & 0xFFF) != np.arange(found.waveforms)
    if wrong.any():
        fail(_WORD * (at + 2 + int(np.argmax(wrong)) * found.step), f"a waveform of channel {number} has another "
             "length or number than its place says")  # fmt: skip
    return found
