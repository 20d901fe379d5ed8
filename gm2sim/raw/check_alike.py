"""Crates that are as they should be, found for a whole event at once: their banks need no look one by one.

Crates whose boards sent alike are compared word for word with what their trigger makes them, and all sums are taken.
A crate that differs in anything is left to :mod:`gm2sim.raw.check_crates`, which says in what.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.check_pulses import pulses_are_sound
from gm2sim.raw.check_sums import Alike, Sent, frames_are_sound
from gm2sim.raw.check_wanted import BoardShape, Run, waveform_shape
from gm2sim.raw.check_words import LETTERS, Trigger
from gm2sim.raw.decode_boards import ADC_MAX, ADC_MIN, BURST, CHANNEL_HEAD, CHANNEL_TAIL, FC7, HEAD, WAVEFORM_HEAD
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import Event
from gm2sim.raw.unpack import is_number

_AT_ONCE = 1 << 19  # words: several crates that fit into a cache
_CLOCK_CRATE = ("TTCA", "TTCB", "TTCZ")
_FIRMWARE = 3 << 16 | 2 << 8 | 1  # of its boards
_MOST_WAVEFORMS = 1 << 12  # of a crate: with more, crates are looked at one by one

Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]


class Crate(NamedTuple):
    """A crate that sent samples.

    Attributes
    ----------
    sent : Sent
    kept : big-endian uint64 array or None
        Bank xB.
    banks : tuple of str
        Their names.
    place : int
        Byte of the event's payload where xR begins, -1 where it is compressed.
    """

    sent: Sent
    kept: Words | None
    banks: tuple[str, ...]
    place: int


class AlikeCheck:
    """Looks for sound banks in one event after the other."""

    def __init__(self) -> None:
        self._room = np.empty(_AT_ONCE, np.uint64)  # taken once: new memory costs more than what is done with it

    def sound_banks(self, event: Event, trigger: Trigger) -> set[str]:
        """Names of banks xR, xA, xB, xZ in which nothing is wrong; what is not among them may be as good.

        Parameters
        ----------
        event : Event
            Whose banks can be told apart.
        trigger : Trigger
            Of the event.
        """
        alike: dict[tuple[int, ...], list[Crate]] = {}
        sound = {*_CLOCK_CRATE} if _clock_is_sound(event, trigger) else set()
        for crate in _crates(event, LETTERS.get(trigger.kind, "")):
            if trigger.kind == 4:
                if crate.kept is None and pulses_are_sound(crate.sent, trigger):
                    sound.update(crate.banks)
            else:
                alike.setdefault(tuple(bank.size for bank in crate.sent[1:]), []).append(crate)
        for crates in alike.values():
            step = max(1, _AT_ONCE // max(1, crates[0].sent.payloads.size))
            for some in (crates[i : i + step] for i in range(0, len(crates), step)):
                sound.update(self._sound_ones(some, event, trigger))
        return sound

    def _sound_ones(self, crates: list[Crate], event: Event, trigger: Trigger) -> Iterator[str]:
        """Banks of crates of the same sizes; most often their boards have sent alike."""
        every = Alike.of([crate.sent for crate in crates], self._payloads(crates, event))
        left = np.arange(len(crates))
        while left.size:
            shapes = _shapes(crates[left[0]].sent.payloads)
            agree = np.flatnonzero(_headers_agree(every.payloads, shapes, trigger)) if shapes else left[:0]
            same = np.intersect1d(left, agree)
            if same.size:
                sent = every if same.size == len(crates) else every.rows(same)
                for i in same[_are_sound(sent, shapes, trigger)].tolist():
                    if _is_repeated(crates[i], shapes):
                        yield from crates[i].banks
            left = np.setdiff1d(left[1:], same)

    def _payloads(self, crates: list[Crate], event: Event) -> Words:
        """Banks xR as they lie in memory, (crates, n): a view of the event where they lie equally far apart."""
        places = [crate.place for crate in crates]
        shape = len(crates), crates[0].sent.payloads.size
        step = places[1] - places[0] if len(crates) > 1 else 8 * shape[1]
        if min(places) >= 0 and step > 0 and places == [places[0] + i * step for i in range(len(crates))]:
            return np.ndarray(shape, "<u8", event.payload, places[0], (step, 8))
        room = self._room if math.prod(shape) <= self._room.size else np.empty(math.prod(shape), np.uint64)
        rows = room[: math.prod(shape)].reshape(shape)
        return np.stack([crate.sent.payloads.view("<u8") for crate in crates], out=rows)


def _crates(event: Event, letter: str) -> Iterator[Crate]:
    """Crates that have all banks of samples and frames, each of whole words."""
    for name in event.banks:
        if name[0] != letter or name[1:2] != "R" or not is_number(name[2:]):
            continue
        names = tuple(f"{letter}{kind}{name[2:]}" for kind in "RAZB")
        names = tuple(one for one in names if one in event.banks)
        try:
            data = [event.banks[one].data for one in names]
        except RawFormatError:
            continue  # told when the turn of the bank comes
        if "".join(one[1] for one in names[:3]) == "RAZ" and not any(one.nbytes % 8 for one in data):
            payloads, frame, trailer, *kept = (np.frombuffer(one, ">u8") for one in data)
            if trailer.size == 1:
                bank = event.banks[name]
                place = -1 if bank.packed_in else bank.data_offset - event.offset - 16
                sent = Sent(int(name[2:]), payloads, frame, trailer)
                yield Crate(sent, kept[0] if kept else None, names, place)


def _clock_is_sound(event: Event, trigger: Trigger) -> bool:
    """Whether nothing is wrong in the banks of crate 00."""
    try:
        banks = [event.banks[name].data for name in _CLOCK_CRATE if name in event.banks]
    except RawFormatError:
        return False
    if len(banks) < len(_CLOCK_CRATE) or banks[1].nbytes != 64 or banks[2].nbytes != 8 or banks[0].nbytes % 8:
        return False
    frame, payloads, last = (np.frombuffer(bank, ">u8") for bank in banks)
    low, high = trigger.clock & 0xFFFFFFFF, trigger.clock >> 32
    for slot, words in enumerate(payloads.reshape(2, 4).tolist(), 1):  # the encoder and the trigger: their kinds
        first = slot << 56 | trigger.short << 32 | high << 20 | 4
        second = trigger.kind << 48 | low << 16 | FC7 << 13 | slot << 11 | slot
        tail = (trigger.number & 0xFF) << 24 | 4
        if [*words[:3], words[3] & 0xFFFFFFFF] != [first, second, _FIRMWARE, tail]:
            return False
    alike = Alike.of([Sent(0, payloads, frame, last)], payloads.view("<u8")[None])
    return bool(frames_are_sound(alike, ((1, 4), (2, 4)), trigger)[0])


def _shapes(payloads: Words) -> tuple[BoardShape, ...]:
    """What the boards sent as their first words say; nothing where those do not fit together."""
    found: list[BoardShape] = []
    place, waveforms = 0, 0
    while place + HEAD + CHANNEL_HEAD < payloads.size:
        zero, one, _, header, bursts = payloads[place : place + HEAD + CHANNEL_HEAD].tolist()
        board = BoardShape(
            zero >> 56 & 15, zero & 0xFFFFF, one >> 59, header >> 12 & 0xFFF, bursts >> 27 & 0x7FFFFF,
            header >> 24 & 0x3FFFFF,
        )  # fmt: skip
        waveforms += board.channels * board.waveforms
        ordered = not found or found[-1].slot < board.slot
        if not ordered or not board.is_possible or waveforms > _MOST_WAVEFORMS:
            return ()
        found.append(board)
        place += board.words
    return tuple(found) if place == payloads.size else ()


def _headers_agree(payloads: Words, shapes: tuple[BoardShape, ...], trigger: Trigger) -> Bools:
    """Which crates have the header words that the trigger makes them, (crates,)."""
    shape = waveform_shape(shapes)
    differs = payloads[:, shape.places].byteswap() ^ shape.wanted.words(trigger)
    agree: Bools = np.all(differs & shape.wanted.mask == 0, axis=1)
    return agree


def _is_repeated(crate: Crate, shapes: tuple[BoardShape, ...]) -> bool:
    """Whether xB, where there is one, holds the words of xR."""
    return crate.kept is None or np.array_equal(crate.sent.payloads[waveform_shape(shapes).picked], crate.kept)


def _are_sound(sent: Alike, shapes: tuple[BoardShape, ...], trigger: Trigger) -> Bools:
    """Which crates have samples, frames and sums as they should be, (crates,)."""
    sound: Bools = frames_are_sound(sent, tuple((one.slot, one.words) for one in shapes), trigger)
    for run in waveform_shape(shapes).runs:
        sound &= _samples_are_sound(sent.payloads, run)
    return sound


def _samples_are_sound(words: Words, run: Run) -> Bools:
    """Whether samples have 12 bits and channels the sums that they tell, (crates,).

    Exclusive or does not mind in which order bytes lie. The board has summed up samples before it turned their bytes,
    headers as they are.
    """
    one = run.one
    alike = (len(words), run.boards)
    payloads = words[:, run.first : run.first + run.boards * one.words].reshape(*alike, one.words)
    channels = payloads[..., HEAD:-1].reshape(*alike, one.channels, one.of_channel)
    body = channels[..., CHANNEL_HEAD:-CHANNEL_TAIL]
    waveforms = body.reshape(*alike, one.channels, one.waveforms, one.step)
    samples = waveforms[..., WAVEFORM_HEAD:].view("<i2")
    wide = (samples.min(axis=(2, 3, 4)) < ADC_MIN) | (samples.max(axis=(2, 3, 4)) > ADC_MAX)
    heads = np.bitwise_xor.reduce(waveforms[..., :WAVEFORM_HEAD], axis=3)
    everything = [np.bitwise_xor.reduce(body[..., half::BURST], axis=3) for half in range(BURST)]
    bursts = np.stack(everything, axis=3) ^ heads
    told = channels[..., -CHANNEL_TAIL:-1] ^ channels[..., :CHANNEL_HEAD]
    wrong = told ^ heads ^ bursts.byteswap()
    sound: Bools = ~(wide.any(axis=1) | wrong.any(axis=(1, 2, 3)))
    return sound
