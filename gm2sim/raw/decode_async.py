"""Pulses of digitisers that trigger themselves (banks ARnn). Samples are views of the file.

Written from the format's page and not from the writer, so that reading back is a test of the writing.
"""

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
    BoardHead,
    digitiser,
    payloads,
)
from gm2sim.raw.decode_waveforms import same_trigger

_TYPE = 4


class Pulses(NamedTuple):
    """Pulses of one channel, in order of time.

    Attributes
    ----------
    channel : int
        5 (slot - 1) + channel of the board.
    time : int64 array (k,)
        Samples of 800 MHz since the last readout.
    samples : tuple of int16 arrays
        Of each pulse [ADC counts].
    before : int
        Samples before the trigger.
    checksum : tuple of int
        Low and high 64 bits.
    first, end : int
        Words of the payload from its header to its trailer's end.
    """

    channel: int
    time: NDArray[np.int64]
    samples: tuple[NDArray[np.int16], ...]
    before: int
    checksum: tuple[int, int]
    first: int
    end: int


class AsyncBoard(NamedTuple):
    """One payload.

    Attributes
    ----------
    head : BoardHead
    channels : tuple of Pulses
    words : uint64 array
        Big-endian view of the payload.
    """

    head: BoardHead
    channels: tuple[Pulses, ...]
    words: NDArray[np.uint64]


class Asynchronous(NamedTuple):
    """All pulses of a crate since the last readout.

    Attributes
    ----------
    trigger : int
        Low 24 bits of the trigger's number.
    clock : int
        Counts of the 40 MHz clock, 44 bits.
    pulses : tuple of Pulses
        One entry a channel, in order; some may have none.
    """

    trigger: int
    clock: int
    pulses: tuple[Pulses, ...]


def asynchronous(data: memoryview, fail: Fail) -> Asynchronous:
    """Decode ARnn; check sums are not looked at (see :func:`async_sum`)."""
    found = async_boards(data, fail)
    first = same_trigger([board.head for board in found], fail)
    pulses = tuple(one for board in found for one in board.channels)
    channels = [one.channel for one in pulses]
    if channels != sorted(set(channels)):
        fail(0, "boards or channels are not in order, or come twice")
    return Asynchronous(first.trigger, first.clock, pulses)


def async_boards(data: memoryview, fail: Fail) -> list[AsyncBoard]:
    """The payloads of ARnn."""
    found = []
    for head, words in payloads(data, fail):
        digitiser(head, fail)
        if not head.asynchronous or head.fill_type != _TYPE:
            fail(head.first + WORD, f"slot {head.slot} is not in asynchronous mode")
        found.append(AsyncBoard(head, tuple(_channels(head, words, fail)), words))
    if not found:
        fail(0, "there is no payload of a digitiser board")
    return found


def async_sum(words: NDArray[np.uint64], one: Pulses) -> tuple[int, int]:
    """Exclusive or of a channel's headers and bursts in 128-bit units, from the little-endian words of its board."""
    sums = words[one.first : one.first + CHANNEL_HEAD].copy()
    place = one.first + CHANNEL_HEAD
    for samples in one.samples:
        end = place + WAVEFORM_HEAD + samples.size // SAMPLES
        sums ^= words[place : place + WAVEFORM_HEAD]
        bursts = words[place + WAVEFORM_HEAD : end].reshape(-1, BURST)
        sums ^= np.bitwise_xor.reduce(bursts, axis=0).byteswap()
        place = end
    low, high = sums.tolist()
    return low, high


def _channels(head: BoardHead, words: NDArray[np.uint64], fail: Fail) -> Iterator[Pulses]:
    at = HEAD
    for number in range(CHANNELS):
        if head.enabled >> number & 1:
            one = _channel(head, words, at, number, fail)
            yield one
            at = one.end
    if at != words.size - 1:
        what = f"{words.size - 1 - at} words of slot {head.slot} are left over after its channels"
        fail(head.first + WORD * at, what)


def _channel(head: BoardHead, words: NDArray[np.uint64], at: int, number: int, fail: Fail) -> Pulses:
    if at + CHANNEL_HEAD + CHANNEL_TAIL >= words.size:
        fail(head.first + WORD * at, f"channel {number} begins behind the end of its payload")
    zero, one = words[at : at + 2].tolist()
    if zero >> 62 != 1 or zero >> 46 & 0xFFF != number:
        fail(head.first + WORD * at, f"no header of channel {number}")
    if one & 0xFFFFFF != head.trigger:
        what = f"channel {number} answers trigger {one & 0xFFFFFF}, its board {head.trigger}"
        fail(head.first + WORD * (at + 1), what)
    count, bursts = zero >> 16 & 0x7FFFFF, one >> 27 & 0x7FFFFF
    values = words.view("<i2")
    place, seen = at + CHANNEL_HEAD, 0
    times, samples = [], []
    for i in range(count):
        if place + WAVEFORM_HEAD + CHANNEL_TAIL >= words.size:
            fail(head.first + WORD * place, f"pulse {i} of {count} begins behind the end of its payload")
        low, high = words[place : place + 2].tolist()
        end = place + WAVEFORM_HEAD + BURST * (low & 0x7FF)
        if high >> 62 != 1 or high >> 57 & 31 != number or (high & 0x7FF) << 12 | low >> 52 != i:
            fail(head.first + WORD * place, f"no header of pulse {i} of channel {number}")
        if end + CHANNEL_TAIL >= words.size:
            fail(head.first + WORD * place, f"pulse {i} of channel {number} goes beyond its payload")
        times.append(high >> 11 & (1 << 44) - 1)
        samples.append(values[SAMPLES * (place + WAVEFORM_HEAD) : SAMPLES * end])
        seen += low & 0x7FF
        place = end
    if seen != bursts:
        fail(head.first + WORD * (at + 1), f"channel {number} counts {bursts} bursts but its pulses have {seen}")
    sums = words[place : place + 2].tolist()
    return Pulses(
        CHANNELS * (head.slot - 1) + number, np.array(times, np.int64), tuple(samples), zero & 0xFFFF,
        (sums[0], sums[1]), at, place + CHANNEL_TAIL,
    )  # fmt: skip
