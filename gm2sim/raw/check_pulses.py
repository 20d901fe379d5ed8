"""Crates whose boards triggered themselves: whether all is as it should be, all pulses of a crate at once.

Where something differs the caller looks at it pulse by pulse, and says in what.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_sums import Alike, Sent, frames_are_sound
from gm2sim.raw.check_wanted import board_head
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

_BURSTS = 0x7FF  # in the first word of a pulse
_TIME = 2**44 - 1


class _Channels(NamedTuple):
    """All channels of a crate: input of the board, first word, word of the trailer, pulses; and places of the pulses.

    Whether pulses do lie at these places is still to be seen.
    """

    number: Places
    first: Places
    trailer: Places
    count: Places
    pulses: Places


def pulses_are_sound(sent: Sent, trigger: Trigger) -> bool:
    """Whether nothing is wrong in banks AR, AA and AZ of a crate."""
    heads = _boards(sent.payloads, trigger)
    channels = _channels(sent.payloads, heads, trigger)
    if channels is None or not _headers_are_sound(sent.payloads, channels):
        return False
    raw = sent.payloads.view("<u8")
    if not _samples_are_sound(raw, heads, channels) or not _sums_are_right(raw, channels):
        return False
    boards = tuple((slot, size) for _, slot, size, _ in heads)
    return bool(frames_are_sound(Alike.of([sent], raw), boards, trigger)[0])


def _boards(payloads: Words, trigger: Trigger) -> list[tuple[int, int, int, int]]:
    """Of each board its first word, slot, words and channels; nothing where a head word is not as it should be."""
    found: list[tuple[int, int, int, int]] = []
    place = 0
    while place + HEAD < payloads.size:
        zero, one = payloads[place : place + 2].tolist()
        slot, size, enabled = zero >> 56 & 15, zero & 0xFFFFF, one >> 59
        ordered = not found or found[-1][1] < slot
        if not ordered or not HEAD < size <= payloads.size - place:
            return []
        wanted = board_head(slot, size, enabled, asynchronous=True)
        differs = payloads[place + np.array([0, 1, 2, size - 1])] ^ wanted.words(trigger)
        if (differs & wanted.mask).any():
            return []
        found.append((place, slot, size, enabled))
        place += size
    return found if place == payloads.size else []


def _channels(payloads: Words, heads: list[tuple[int, int, int, int]], trigger: Trigger) -> _Channels | None:
    """Where the channels and their pulses lie; None where that does not fit together."""
    rows: list[tuple[int, int, int, int]] = []
    pulses: list[Places] = []
    data = payloads.view(np.uint8).data
    for place, _, size, enabled in heads:
        at, last = place + HEAD, place + size - 1
        for number in (number for number in range(CHANNELS) if enabled >> number & 1):
            if at + CHANNEL_HEAD + CHANNEL_TAIL > last:
                return None
            zero, one = payloads[at : at + CHANNEL_HEAD].tolist()
            count, bursts = zero >> 16 & 0x7FFFFF, one >> 27 & 0x7FFFFF
            trailer = at + CHANNEL_HEAD + WAVEFORM_HEAD * count + BURST * bursts
            header = zero >> 62 == 1 and zero >> 46 & 0xFFF == number and one & 0xFFFFFF == trigger.short
            if not header or bursts < count or (bursts and not count) or trailer + CHANNEL_TAIL > last:
                return None
            rows.append((number, at, trailer, count))
            pulses.append(_places(payloads, data, at + CHANNEL_HEAD, count, trailer))
            at = trailer + CHANNEL_TAIL
        if at != last:
            return None
    if not rows:
        return None
    number, first, trailer, count = np.array(rows).T
    return _Channels(number, first, trailer, count, np.concatenate(pulses))


def _places(payloads: Words, data: memoryview, first: int, count: int, end: int) -> Places:
    """Words where the pulses of a channel begin: as if all were equally long, and one by one where they are not."""
    step, rest = divmod(end - first, max(count, 1))
    places = first + step * np.arange(count)
    if not rest and np.all((payloads[places] & _BURSTS) * BURST == step - WAVEFORM_HEAD):
        return places
    found = []
    at = WORD * first + WORD - 2  # the last two bytes of a pulse's first word
    for _ in range(count):
        found.append(at)
        at += WORD * (WAVEFORM_HEAD + BURST * ((data[at] & _BURSTS >> 8) << 8 | data[at + 1]))
        if at >= WORD * end:
            break
    return np.resize(np.array(found) // WORD, count)


def _headers_are_sound(payloads: Words, channels: _Channels) -> bool:
    """Whether pulses follow each other from header to trailer, with their numbers, in order of time."""
    at, count = channels.pulses, channels.count
    low, high = payloads[at].astype(np.uint64), payloads[at + 1].astype(np.uint64)
    before = np.repeat(np.cumsum(count) - count, count)
    index = np.arange(at.size) - before
    follows = np.append(at[1:], 0)
    ends = np.flatnonzero(index == np.repeat(count, count) - 1)
    some = count > 0
    follows[ends] = channels.trailer[some]
    begins = at[before[ends]] == channels.first[some] + CHANNEL_HEAD
    joins = at + WAVEFORM_HEAD + BURST * (low & _BURSTS).astype(np.int64) == follows
    number = ((high & _BURSTS) << 12 | low >> 52) == index
    owner = (high >> 62 == 1) & (high >> 57 & 31 == np.repeat(channels.number, count))
    time = (high >> 11 & _TIME).astype(np.int64)
    late = (time[1:] >= time[:-1]) | (index[1:] == 0)
    return all(bool(np.all(one)) for one in (begins, joins, number, owner, late))


def _samples_are_sound(raw: Words, heads: list[tuple[int, int, int, int]], channels: _Channels) -> bool:
    """Whether samples have 12 bits: all that is none is set to zero before."""
    samples = raw.copy()
    for place, _, size, _ in heads:
        samples[place : place + HEAD] = samples[place + size - 1] = 0
    for first, length in ((channels.first, CHANNEL_HEAD), (channels.pulses, WAVEFORM_HEAD), (channels.trailer, 3)):
        samples[first[:, None] + np.arange(length)] = 0
    values = samples.view("<i2")
    return bool(values.min() >= ADC_MIN and values.max() <= ADC_MAX)


def _sums_are_right(raw: Words, channels: _Channels) -> bool:
    """Whether each channel has the sum that its trailer tells.

    Exclusive or does not mind in which order bytes lie. The board has summed up samples before it turned their bytes,
    headers as they are.
    """
    some = channels.count > 0
    first = channels.first[:, None] + np.arange(CHANNEL_HEAD)
    told = raw[first] ^ raw[channels.trailer[:, None] + np.arange(CHANNEL_HEAD)]
    begin, end = channels.first[some] + CHANNEL_HEAD, channels.trailer[some]
    heads = np.zeros_like(told)
    everything = np.zeros_like(told)
    if begin.size:
        count = channels.count[some]
        pairs = raw[channels.pulses[:, None] + np.arange(WAVEFORM_HEAD)]
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
