"""Crates whose boards triggered themselves: whether all is as it should be, all pulses of a crate at once.

Where something differs the caller looks at it pulse by pulse, and says in what.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_sums import Alike, Sent, frames_are_sound
from gm2sim.raw.check_words import Trigger
from gm2sim.raw.decode_boards import (
    ADC_MAX,
    ADC_MIN,
    BURST,
    CHANNEL_HEAD,
    CHANNEL_TAIL,
    CHANNELS,
    HEAD,
    WAVEFORM_HEAD,
    WORD,
)

Words = NDArray[np.uint64]
Places = NDArray[np.int64]

_FIRMWARE = 2 << 16 | 3 << 8 | 5
_BURSTS = 0x7FF  # in the first word of a pulse
_TIME = 2**44 - 1


class _Board(NamedTuple):
    """First word of a payload, slot, words, and a bit for each channel that is on."""

    place: int
    slot: int
    words: int
    enabled: int


class _Channels(NamedTuple):
    """All channels of a crate: input of the board, first word, word of the trailer, number of pulses."""

    number: Places
    first: Places
    trailer: Places
    pulses: Places


def pulses_are_sound(sent: Sent, trigger: Trigger) -> bool:
    """Whether nothing is wrong in banks AR, AA and AZ of a crate."""
    boards = _boards(sent.payloads, trigger)
    channels = _channels(sent.payloads, boards, trigger)
    if channels is None:
        return False
    pulses = _equal_steps(channels)
    if not _headers_are_sound(sent.payloads, channels, pulses):
        pulses = _steps(sent.payloads, channels)
        if pulses.size < channels.pulses.sum() or not _headers_are_sound(sent.payloads, channels, pulses):
            return False
    raw = sent.payloads.view("<u8")
    if not _samples_are_sound(raw, boards, channels, pulses) or not _sums_are_right(raw, channels, pulses):
        return False
    told = tuple((one.slot, one.words) for one in boards)
    return bool(frames_are_sound(Alike.of([sent], raw[None]), told, trigger)[0])


def _boards(payloads: Words, trigger: Trigger) -> list[_Board]:
    """The payloads of a bank; nothing where a head word is not as it should be."""
    found: list[_Board] = []
    low, high = trigger.clock & 0xFFFFFFFF, trigger.clock >> 32
    second = 1 << 58 | trigger.kind << 48 | low << 16 | 1 << 13 | 1 << 12
    place = 0
    while place + HEAD < payloads.size:
        head = payloads[place : place + HEAD].tolist()
        one = _Board(place, head[0] >> 56 & 15, head[0] & 0xFFFFF, head[1] >> 59)
        end = place + one.words
        ordered = not found or found[-1].slot < one.slot
        if not ordered or not place + HEAD < end <= payloads.size:
            return []
        last = int(payloads[end - 1]) & 0xFFFFFFFF
        wanted = [one.slot << 56 | trigger.short << 32 | high << 20 | one.words, one.enabled << 59 | second | one.slot]
        if head != [*wanted, _FIRMWARE] or last != (trigger.number & 0xFF) << 24 | one.words:
            return []
        found.append(one)
        place = end
    return found if place == payloads.size else []


def _channels(payloads: Words, boards: list[_Board], trigger: Trigger) -> _Channels | None:
    """Where the channels lie; None where that does not fit together, or there are none."""
    rows: list[tuple[int, int, int, int]] = []
    for board in boards:
        at, last = board.place + HEAD, board.place + board.words - 1
        for number in (number for number in range(CHANNELS) if board.enabled >> number & 1):
            if at + CHANNEL_HEAD + CHANNEL_TAIL > last:
                return None
            zero, one = payloads[at : at + CHANNEL_HEAD].tolist()
            count, bursts = zero >> 16 & 0x7FFFFF, one >> 27 & 0x7FFFFF
            trailer = at + CHANNEL_HEAD + WAVEFORM_HEAD * count + BURST * bursts
            header = zero >> 62 == 1 and zero >> 46 & 0xFFF == number and one & 0xFFFFFF == trigger.short
            if not header or (bursts and not count) or trailer + CHANNEL_TAIL > last:
                return None
            rows.append((number, at, trailer, count))
            at = trailer + CHANNEL_TAIL
        if at != last:
            return None
    return _Channels(*np.array(rows).T) if rows else None


def _equal_steps(channels: _Channels) -> Places:
    """Words where pulses begin if those of a channel are equally long; where they are not, that is seen from them."""
    first, count = channels.first + CHANNEL_HEAD, channels.pulses
    step = (channels.trailer - first) // np.maximum(count, 1)
    found: Places = np.repeat(first, count) + _index(count) * np.repeat(step, count)
    return found


def _steps(payloads: Words, channels: _Channels) -> Places:
    """Words where pulses begin, from one to the next; fewer than there should be where one goes beyond its channel."""
    found: list[int] = []
    data = payloads.view(np.uint8).data
    for first, trailer, count in zip(channels.first, channels.trailer, channels.pulses.tolist(), strict=True):
        at, end = int(WORD * (first + CHANNEL_HEAD + 1)), WORD * int(trailer)
        for _ in range(count):
            if at > end:
                break
            found.append(at)
            bursts = (data[at - 2] & _BURSTS >> 8) << 8 | data[at - 1]
            at += WORD * (WAVEFORM_HEAD + BURST * bursts)
    return np.array(found, np.int64) // WORD - 1


def _index(count: Places) -> Places:
    """Number of each pulse in its channel."""
    return np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)


def _headers_are_sound(payloads: Words, channels: _Channels, pulses: Places) -> bool:
    """Whether pulses follow each other from header to trailer, with their numbers, in order of time."""
    count = channels.pulses
    low, high = payloads[pulses].astype(np.uint64), payloads[pulses + 1].astype(np.uint64)
    index = _index(count)
    first, last = np.flatnonzero(index == 0), np.flatnonzero(index == np.repeat(count, count) - 1)
    follows = np.append(pulses[1:], 0)
    follows[last] = channels.trailer[count > 0]
    joined = pulses + WAVEFORM_HEAD + BURST * (low & _BURSTS).astype(np.int64) == follows
    joined[first] &= pulses[first] == channels.first[count > 0] + CHANNEL_HEAD
    numbered = (high & _BURSTS) << 12 | low >> 52 == index
    owned = high >> 57 == 1 << 5 | np.repeat(channels.number, count)
    time = (high >> 11 & _TIME).astype(np.int64)
    ordered = (time[1:] >= time[:-1]) | (index[1:] == 0)
    return bool(joined.all() and numbered.all() and owned.all() and ordered.all())


def _samples_are_sound(raw: Words, boards: list[_Board], channels: _Channels, pulses: Places) -> bool:
    """Whether samples have 12 bits: all that is none is set to zero before."""
    samples = raw.copy()
    for one in boards:
        samples[one.place : one.place + HEAD] = samples[one.place + one.words - 1] = 0
    heads = (channels.first, CHANNEL_HEAD), (pulses, WAVEFORM_HEAD), (channels.trailer, CHANNEL_TAIL)
    for first, length in heads:
        samples[first[:, None] + np.arange(length)] = 0
    values = samples.view("<i2")
    return bool(values.min() >= ADC_MIN and values.max() <= ADC_MAX)


def _sums_are_right(raw: Words, channels: _Channels, pulses: Places) -> bool:
    """Whether each channel has the sum that its trailer tells.

    Exclusive or does not mind in which order bytes lie. The board has summed up samples before it turned their bytes,
    headers as they are.
    """
    some = channels.pulses > 0
    first = channels.first[:, None] + np.arange(CHANNEL_HEAD)
    told = raw[first] ^ raw[channels.trailer[:, None] + np.arange(CHANNEL_HEAD)]
    begin, end = channels.first[some] + CHANNEL_HEAD, channels.trailer[some]
    heads = np.zeros_like(told)
    everything = np.zeros_like(told)
    if begin.size:
        count = channels.pulses[some]
        pairs = raw[pulses[:, None] + np.arange(WAVEFORM_HEAD)]
        heads[some] = np.bitwise_xor.reduceat(pairs, np.cumsum(count) - count, axis=0)
        # The low words of a channel that begins at an even word of the bank are even words, else odd ones.
        even = _between(raw[::2], begin + 1, end + 1)
        odd = _between(raw[1::2], begin, end)
        swapped = (begin % 2 == 1)[:, None]
        everything[some] = np.where(swapped, np.stack([odd, even], 1), np.stack([even, odd], 1))
    return not (told ^ heads ^ (everything ^ heads).byteswap()).any()


def _between(words: Words, begin: Places, end: Places) -> Words:
    """Exclusive or of half of the words, from one word of the bank to another."""
    bounds = np.stack([begin // BURST, end // BURST], axis=1).ravel()
    found: Words = np.bitwise_xor.reduceat(words, bounds)[::2]
    return found
