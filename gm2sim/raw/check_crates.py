"""Verifies the banks of the crates: words of AMC13s and boards, sums, sizes of one bank against those of another."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw import decode
from gm2sim.raw.banks_of_event import RawBank, failure
from gm2sim.raw.check_alike import AlikeCheck
from gm2sim.raw.check_words import (
    CDF_HEADER,
    LETTERS,
    Payload,
    Trigger,
    board_words,
    cdf_header,
    differences,
    frame_sums,
    frame_words,
    head_words,
    no_sums,
)
from gm2sim.raw.decode import Fail
from gm2sim.raw.decode_amc13 import Amc13
from gm2sim.raw.decode_async import async_boards, async_sum, asynchronous
from gm2sim.raw.decode_boards import (
    ADC_MAX,
    ADC_MIN,
    CHANNELS,
    SAMPLES,
    WAVEFORM_HEAD,
    BoardHead,
    boards,
    headers,
    payloads,
)
from gm2sim.raw.decode_fc7 import STATION_SOURCE, TRACKER, fc7_boards, straw_events
from gm2sim.raw.decode_waveforms import board_sums, grids, payload_sum, waveforms_of
from gm2sim.raw.event import Event

_TYPES = {letter: kind for kind, letter in LETTERS.items()}
_OLD_STRAWS = b"\x01\x00\x53\x47"
_CLOCK_KINDS = (1, 2)  # of the FC7s of crate 00, and their slots


class CrateCheck:
    """State of a walk through the crates' banks."""

    def __init__(self, path: Path, strict: bool) -> None:
        self._path = path
        self._strict = strict
        self._trigger: Trigger | None = None
        self._muon_fills = 0  # so far
        self._ahead: dict[str, tuple[int, int]] = {}  # by crate: its counts of events and fills over those of the file
        self._turned: tuple[str, list[Payload]] = ("", [])
        self._frames: dict[str, Amc13] = {}  # of this event, by their bank
        self._verified: dict[str, tuple[bytes, Amc13]] = {}  # of this event: words of a crate without samples
        self._alike = AlikeCheck()
        self._sound: set[str] = set()  # banks of this event in which nothing is wrong

    def begin(self, event: Event, trigger: Trigger | None) -> None:
        """A new event; without its trigger only what fits together inside the banks is verified."""
        self._trigger = trigger if event.event_id == 1 else None
        self._muon_fills += trigger is not None and trigger.kind == 1
        self._turned = ("", [])
        self._frames = {}
        self._verified = {}
        self._sound = self._alike.sound_banks(event, self._trigger) if self._strict and self._trigger else set()

    def is_sound(self, bank: RawBank) -> bool:
        """Whether it is known already that nothing is wrong with a bank but, may be, its type."""
        return bank.name in self._sound

    def problems(self, event: Event, bank: RawBank) -> Iterator[str]:
        """What is wrong with a bank of a crate, the clock crate among them."""
        kind = bank.name[1] if bank.name[:3] != "TTC" else bank.name[3]
        fail = failure(self._path, bank)
        if bank.name == "TTCB":
            yield from self._clock_boards(bank, fail)
        elif kind == "R" and bank.name[0] == "A":
            yield from self._pulses(bank, fail)
        elif kind == "R":
            yield from self._waveforms(event, bank, fail)
        elif kind == "A":
            yield from self._frame(event, bank)
        elif kind == "B":
            yield from self._headers(event, bank, fail)
        elif kind == "C":
            yield from self._timing(event, bank, fail)
        elif bank.data.nbytes != 8:
            yield f"{bank.data.nbytes} bytes are no trailer: one word of 8 bytes"
        elif f"{bank.name[:-1]}A" not in event.banks and f"{bank.name[0]}A{bank.name[2:]}" not in event.banks:
            yield "a trailer without the headers of its event"

    def straws(self, bank: RawBank) -> Iterator[str]:
        """Words and sums of the events of the straw trackers; version 1 has none."""
        trigger = self._trigger
        if bytes(bank.data[:4]) == _OLD_STRAWS or not self._strict:
            return
        for one in straw_events(bank.data, failure(self._path, bank)):
            station = f"station {one.station}"
            words = one.event.payloads[1]
            little = {1: Payload(one.head, words.astype(">u8"), np.ascontiguousarray(words, "<u8"))}
            found = [*payload_sum(one.head, little[1].little), *frame_sums(one.event.frame, little)]
            if trigger is not None:
                found += frame_words(one.event.frame, trigger, STATION_SOURCE + one.station)
                found += head_words(one.head, trigger, TRACKER)
            if int(words[4]) & 0xFFFFFFFF:
                found.append("bits behind the width of its bins are set")
            yield from (f"{station}: {what}" for what in found)

    def _payloads(self, bank: RawBank, fail: Fail) -> list[Payload]:
        """Boards of a bank both ways round; those of the last bank are kept, its AMC13 asks for them again."""
        if self._turned[0] != bank.name:
            turned = [Payload(head, words, words.astype("<u8")) for head, words in payloads(bank.data, fail)]
            self._turned = (bank.name, turned)
        return self._turned[1]

    def _waveforms(self, event: Event, bank: RawBank, fail: Fail) -> Iterator[str]:
        """Answers to this trigger, check sums, samples of 12 bits."""
        decoded = boards(bank.data, fail)
        found = waveforms_of(decoded, fail)
        if found.fill_type != _TYPES[bank.name[0]]:
            yield f"waveforms of a fill of type {found.fill_type}"
        if "TRIG" in event.banks and found.trigger != event.trigger.number & 0xFFFFFF:
            yield f"it answers trigger {found.trigger}, not {event.trigger.number}"
        if not self._strict:
            return
        for board, turned in zip(decoded, self._payloads(bank, fail), strict=True):
            yield from board_sums(board, turned.little)
            if self._trigger is not None:
                yield from board_words(board, self._trigger, kept=True)
            values = (grid.view("<i2")[..., SAMPLES * WAVEFORM_HEAD :] for _, grid in grids(board, board.words))
            yield from _range((board.head.slot, one) for one in values)

    def _pulses(self, bank: RawBank, fail: Fail) -> Iterator[str]:
        """Pulses in order, check sums, samples of 12 bits."""
        found = asynchronous(bank.data, fail)
        if not self._strict:
            return
        for board, turned in zip(async_boards(bank.data, fail), self._payloads(bank, fail), strict=True):
            yield from payload_sum(board.head, turned.little)
            if self._trigger is not None:
                yield from head_words(board.head, self._trigger)
            for one in board.channels:
                if async_sum(turned.little, one) != one.checksum:
                    yield f"channel {one.channel} has another check sum than its trailer says"
                if np.any(one.time[1:] < one.time[:-1]):
                    yield f"pulses of channel {one.channel} are not in order of time"
        yield from _range((1 + one.channel // CHANNELS, samples) for one in found.pulses for samples in one.samples)

    def _frame(self, event: Event, bank: RawBank) -> Iterator[str]:
        """An AMC13's words; sizes and sums against the payloads; sizes against the headers kept without samples."""
        clock = bank.name == "TTCA"
        if self._as_before(event, bank) and self._trigger is not None:
            header = int.from_bytes(bank.data[:8], "big")
            yield from differences("CDF header", header, cdf_header(self._trigger, int(bank.name[2:])), CDF_HEADER)
            return
        frame = event.clock_crate.frame if clock and event.clock_crate else event.amc13(int(bank.name[2:]))
        self._frames[bank.name] = frame
        if not self._strict:
            return
        found = []
        if self._trigger is not None:
            found = list(frame_words(frame, self._trigger, 0 if clock else int(bank.name[2:])))
            yield from found
        raw = event.banks.get("TTCB" if clock else f"{bank.name[0]}R{bank.name[2:]}")
        if raw is not None:
            turned = self._payloads(raw, failure(self._path, raw))
            yield from _slots(frame, [one.head for one in turned])
            yield from frame_sums(frame, {one.head.slot: one for one in turned})
            return
        found += no_sums(frame)
        yield from no_sums(frame)
        if not found and self._trigger is not None and bank.name[:2] == "CA":
            self._verified["A"] = (bytes(bank.data[8:]) + bytes(event.banks[f"CZ{bank.name[2:]}"].data), frame)

    def _as_before(self, event: Event, bank: RawBank) -> bool:
        """Whether a crate without samples sent the same as one that is verified: all but its number."""
        digits = bank.name[2:]
        known = self._verified.get("A")
        if known is None or bank.name[:2] != "CA" or f"CR{digits}" in event.banks or f"CZ{digits}" not in event.banks:
            return False
        if bytes(bank.data[8:]) + bytes(event.banks[f"CZ{digits}"].data) != known[0]:
            return False
        self._frames[bank.name] = known[1]
        return True

    def _headers(self, event: Event, bank: RawBank, fail: Fail) -> Iterator[str]:
        """Headers without samples: against the trigger, the AMC13's sizes, and the payloads where those are kept."""
        raw = event.banks.get(f"{bank.name[0]}R{bank.name[2:]}")
        frame = self._frames.get(f"{bank.name[0]}A{bank.name[2:]}")
        known = self._verified.get("B")
        # The crate's frame is one that is verified, and so are these words with it.
        if raw is None and known is not None and frame is known[1] and bytes(bank.data) == known[0]:
            return
        found = headers(bank.data, fail)
        if not self._strict:
            return
        if frame is not None:
            yield from _slots(frame, [board.head for board in found])
        if raw is not None:
            kept = boards(raw.data, failure(self._path, raw))
            theirs, ours = ([(board.head.raw, [one.raw for one in board.channels]) for board in side]
                            for side in (kept, found))  # fmt: skip
            if theirs != ours:
                yield f"its words are not those of {raw.name}"
        elif self._trigger is not None:
            complaints = [what for board in found for what in board_words(board, self._trigger, kept=False)]
            yield from complaints
            if not complaints and frame is not None:
                self._verified["B"] = (bytes(bank.data), frame)

    def _timing(self, event: Event, bank: RawBank, fail: Fail) -> Iterator[str]:
        """Times in order and not before the trigger; counters that go on by one."""
        found = decode.timing(bank.data, fail)
        if not self._strict:
            return
        crate = bank.name[2:]
        frame = event.banks.get(f"{bank.name[0]}A{crate}")
        if frame is not None and bytes(frame.data[:8]) != bytes(bank.data[:8]):
            yield "its CDF header is another than that of the AMC13"
        if any(b < a for a, b in pairwise(found.times)):
            yield "its times are not in order"
        if "TRIG" in event.banks and found.times[0] < event.trigger.time_s + 1e-6 * event.trigger.time_us - 1e-6:
            yield "its readout begins before the trigger"
        if found.received != found.processed:
            yield f"event {found.received} of the crate became {found.processed} in processing"
        # A crate need not send in every event, but it counts them all.
        ahead = (found.received - event.serial, found.muon_fills - self._muon_fills)
        if ahead != self._ahead.setdefault(crate, ahead):
            yield (
                f"event {found.received} of the crate and fill {found.muon_fills} of muons: those before make it "
                f"{self._ahead[crate][0] + event.serial} and {self._ahead[crate][1] + self._muon_fills}"
            )

    def _clock_boards(self, bank: RawBank, fail: Fail) -> Iterator[str]:
        """Encoder and trigger FC7: words and sums."""
        heads = fc7_boards(bank.data, fail)
        if not self._strict:
            return
        if [head.slot for head in heads] != list(_CLOCK_KINDS):
            yield "it holds not an encoder in slot 1 and a trigger in slot 2"
        for head, one in zip(heads, self._payloads(bank, fail), strict=True):
            yield from payload_sum(head, one.little)
            if self._trigger is not None:
                yield from head_words(head, self._trigger, head.slot)


def _slots(frame: Amc13, heads: list[BoardHead]) -> Iterator[str]:
    """Slots, sizes and ids of boards against the AMC13's."""
    first = frame.boards.block == 0
    told = list(
        zip(*(getattr(frame.boards, name)[first].tolist() for name in ("slot", "words", "board_id")), strict=True)
    )
    sent = [(head.slot, head.words, head.board_id) for head in heads]
    if told != sent:
        wrong = next((pair for pair in zip(told, sent, strict=False) if pair[0] != pair[1]), None)
        what = f"slot, words and id are {wrong[0]}, the board has {wrong[1]}" if wrong else "their number differs"
        yield f"AMC headers and boards do not fit together: {what}"


def _range(boards: "Iterator[tuple[int, NDArray[np.int16]]]") -> Iterator[str]:
    for slot, samples in boards:
        if samples.size and (samples.min() < ADC_MIN or samples.max() > ADC_MAX):
            yield f"the board in slot {slot} has samples outside 12 bits"
            return
