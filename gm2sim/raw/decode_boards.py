"""Payloads of digitiser boards: their headers and trailers, with samples (xR) or without (xB).

Written from the format's page and not from the writer, so that reading back is a test of the writing.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Fail

WORD = 8  # bytes
SAMPLES = 4  # in a word
BURST = 2  # words
HEAD, CHANNEL_HEAD, WAVEFORM_HEAD, CHANNEL_TAIL = 3, 2, 2, 3  # words
CHANNELS = 5  # of a board
DIGITISER, FC7 = 1, 2  # board types
ADC_MIN, ADC_MAX = -2048, 2047  # 12 bits, signed


class BoardHead(NamedTuple):
    """The words that every board sends before and behind its data.

    Attributes
    ----------
    first : int
        Byte in the bank where the payload begins.
    slot : int
    trigger : int
        Low 24 bits of the trigger's number.
    clock : int
        Counts of the 40 MHz clock, 44 bits.
    words : int
        Of the whole payload.
    fill_type : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    board_type : int
        1 digitiser, 2 FC7.
    board_id : int
    kind : int
        Of an FC7: 1 encoder, 2 trigger, 3 straw trackers.
    asynchronous, little_endian, empty : bool
    enabled : int
        Bit i: channel i has sent.
    firmware : tuple of int
        Major, minor, patch.
    crc : int
        CRC-32 of the payload.
    raw : tuple of int
        The three head words and the last as they are.
    """

    first: int
    slot: int
    trigger: int
    clock: int
    words: int
    fill_type: int
    board_type: int
    board_id: int
    kind: int
    asynchronous: bool
    little_endian: bool
    empty: bool
    enabled: int
    firmware: tuple[int, int, int]
    crc: int
    raw: tuple[int, int, int, int]


class Channel(NamedTuple):
    """Headers and trailer of a channel.

    Attributes
    ----------
    number : int
        In its board, 0 to 4.
    waveforms : int
    length : int
        Of a waveform [samples].
    gap : int
        Samples between the starts of two waveforms less the length.
    address : int
        Burst of the memory where its first waveform begins.
    checksum : tuple of int
        Low and high 64 bits.
    readout : int
        Low 32 bits of the clock when it was read out.
    intact : bool
        The board has found its checksum good.
    first : int
        Word of the payload where its header begins.
    raw : tuple of int
        Its two header words, the two of its first waveform, and three trailer words as they are.
    """

    number: int
    waveforms: int
    length: int
    gap: int
    address: int
    checksum: tuple[int, int]
    readout: int
    intact: bool
    first: int
    raw: tuple[int, ...]

    @property
    def step(self) -> int:
        """Words from one waveform to the next."""
        return WAVEFORM_HEAD + self.length // SAMPLES

    @property
    def trailer(self) -> int:
        """First word of the trailer."""
        return self.first + CHANNEL_HEAD + self.waveforms * self.step

    @property
    def end(self) -> int:
        """Word behind the trailer."""
        return self.trailer + CHANNEL_TAIL


class Board(NamedTuple):
    """A digitiser's payload, or its headers alone.

    Attributes
    ----------
    head : BoardHead
    channels : tuple of Channel
    words : uint64 array
        Big-endian view of the payload; of its headers in xB.
    """

    head: BoardHead
    channels: tuple[Channel, ...]
    words: NDArray[np.uint64]


def payloads(data: memoryview, fail: Fail) -> Iterator[tuple[BoardHead, NDArray[np.uint64]]]:
    """Heads and words of the payloads of a bank xR or TTCB, one behind the other."""
    place = 0
    while place < data.nbytes:
        if data.nbytes - place < (HEAD + 1) * WORD:
            fail(place, f"{data.nbytes - place} bytes cannot hold a payload")
        size = int.from_bytes(data[place : place + WORD], "big") & 0xFFFFF
        if size < HEAD + 1 or place + size * WORD > data.nbytes:
            fail(place, f"a payload claims {size} words, beyond the bank or too few")
        words = np.frombuffer(data, ">u8", size, place)
        head = head_of([*words[:HEAD].tolist(), int(words[-1])], place)
        _last(head, place + WORD * (size - 1), fail)
        yield head, words
        place += size * WORD


def head_of(words: list[int], first: int = 0) -> BoardHead:
    """Fields of three head words and the last one."""
    zero, one, two, last = words
    board_type = one >> 13 & 7
    return BoardHead(
        first,
        zero >> 56 & 15,
        zero >> 32 & 0xFFFFFF,
        (zero >> 20 & 0xFFF) << 32 | one >> 16 & 0xFFFFFFFF,
        zero & 0xFFFFF,
        one >> 48 & 31,
        board_type,
        one & (0x7FF if board_type == FC7 else 0xFFF),
        one >> 11 & 3 if board_type == FC7 else 0,
        board_type == DIGITISER and bool(one >> 12 & 1),
        bool(one >> 58 & 1),
        bool(one >> 53 & 1),
        one >> 59,
        (two >> 16 & 0xFF, two >> 8 & 0xFF, two & 0xFF),
        last >> 32,
        (zero, one, two, last),
    )


def boards(data: memoryview, fail: Fail) -> list[Board]:
    """Decode a bank xR: every length is verified, samples are not touched."""
    found = []
    for head, words in payloads(data, fail):
        digitiser(head, fail)
        found.append(Board(head, tuple(_channels(head, words, fail)), words))
    if not found:
        fail(0, "there is no payload of a digitiser board")
    return found


def headers(data: memoryview, fail: Fail) -> list[Board]:
    """Decode a bank xB: the headers and trailers of boards whose samples are left out."""
    if data.nbytes % WORD:
        fail(0, f"{data.nbytes} bytes are no whole number of 8-byte words")
    words = np.frombuffer(data, ">u8")
    listed: list[int] = words.tolist()
    found = []
    place = 0
    while place < len(listed):
        if place + HEAD >= len(listed):
            fail(WORD * place, "the headers of a board are cut short")
        enabled = (listed[place + 1] >> 59).bit_count()
        size = HEAD + 7 * enabled + 1
        if place + size > len(listed):
            fail(WORD * place, f"{enabled} channels of a board go beyond the bank")
        head = head_of([*listed[place : place + HEAD], listed[place + size - 1]], WORD * place)
        digitiser(head, fail)
        channels = []
        at = HEAD
        for number in _enabled(head):
            one = _channel(number, at, tuple(listed[place + at : place + at + 7]))
            _header(one, head, WORD * (place + at), fail)
            channels.append(one)
            at += 7
        _last(head, WORD * (place + size - 1), fail)
        found.append(Board(head, tuple(channels), words[place : place + size]))
        place += size
    return found


def digitiser(head: BoardHead, fail: Fail) -> None:
    """Refuse what is no digitiser that sends little-endian samples."""
    if head.board_type != DIGITISER:
        fail(head.first + WORD, f"board type {head.board_type} in slot {head.slot} is no digitiser")
    if not head.little_endian:
        fail(head.first + WORD, f"samples of slot {head.slot} are not little-endian: they are not understood")


def _last(head: BoardHead, place: int, fail: Fail) -> None:
    last = head.raw[3]
    if last & 0xFFFFF != head.words or last >> 24 & 0xFF != head.trigger & 0xFF:
        fail(place, f"the trailer of slot {head.slot} does not fit its header")


def _enabled(head: BoardHead) -> Iterator[int]:
    return (number for number in range(CHANNELS) if head.enabled >> number & 1)


def _channels(head: BoardHead, words: NDArray[np.uint64], fail: Fail) -> Iterator[Channel]:
    at = HEAD
    for number in _enabled(head):
        place = head.first + WORD * at
        if at + CHANNEL_HEAD + WAVEFORM_HEAD + CHANNEL_TAIL >= words.size:
            fail(place, f"channel {number} begins behind the end of its payload")
        one = _channel(number, at, tuple(words[at : at + 4].tolist()))
        _header(one, head, place, fail)
        if one.end > words.size - 1:
            fail(
                place, f"channel {number} claims {one.waveforms} waveforms of {one.length} samples, beyond its payload"
            )
        yield _channel(number, at, (*one.raw, *words[one.trailer : one.end].tolist()))
        at = one.end
    if at != words.size - 1:
        what = f"{words.size - 1 - at} words of slot {head.slot} are left over after its channels"
        fail(head.first + WORD * at, what)
    if not head.enabled and not head.empty:
        fail(head.first + WORD, f"slot {head.slot} has sent no channel")


def _channel(number: int, first: int, raw: tuple[int, ...]) -> Channel:
    zero, one = raw[:2]
    low, high, last = raw[4:] or (0, 0, 0)
    return Channel(
        number,
        zero >> 12 & 0xFFF,
        (one >> 27 & 0x7FFFFF) * 8,
        zero >> 24 & 0x3FFFFF,
        (zero & 0xFFF) << 14 | one >> 50,
        (low, high),
        last & 0xFFFFFFFF,
        last >> 32 == 0,
        first,
        raw,
    )


def _header(one: Channel, head: BoardHead, place: int, fail: Fail) -> None:
    zero, second = one.raw[:2]
    if zero >> 62 != 1 or zero >> 46 & 0xFFF != one.number:
        fail(place, f"no header of channel {one.number}")
    if second & 0xFFFFFF != head.trigger:
        fail(place + WORD, f"channel {one.number} answers trigger {second & 0xFFFFFF}, its board {head.trigger}")
    if one.waveforms < 1 or one.length < 8:
        fail(place, f"channel {one.number} claims {one.waveforms} waveforms of {one.length} samples: none")
