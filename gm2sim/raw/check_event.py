"""Verifies one data event of a raw file after the other: order of banks, and what each bank tells against the rest."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.raw import decode
from gm2sim.raw.banks_of_event import RawBank, failure
from gm2sim.raw.check_crates import CrateCheck
from gm2sim.raw.check_words import LETTERS, Trigger
from gm2sim.raw.decode_boards import ADC_MAX, ADC_MIN
from gm2sim.raw.decode_fc7 import straw_words
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import Event
from gm2sim.raw.problem import Problem
from gm2sim.raw.unpack import is_number

_BANK32 = 0x11
_CRATE_TYPES = {"P": 9, "S": 6, "T": 5, "Q": 6, "R": 5, "A": 6, "B": 6, "Z": 6, "C": 6}  # in order within a crate
_TYPES = {"TRIG": 6, "GPS0": 6, "STRW": 6, "TTCA": 6, "TTCB": 5, "TTCZ": 6}  # in order
_MUONS_ONLY = "PSTQ"
_STRAWS = 2048
_CRYSTALS = 54
_AUXILIARY = 25  # first crate that is no calorimeter
_CLOCK_HZ = 40e6
_CLOCK_TOLERANCE = 2e-6  # s: times are told in microseconds
_DETUNING = 1e-4  # the clock may run faster or slower by so much
_GPS_EPOCH, _LEAP_SECONDS, _WEEK = 315_964_800, 18, 604_800


@dataclass(frozen=True)
class Layout:
    """What the run database promises about the banks; None where it says nothing."""

    samples: int | None = None
    decimation: int | None = None
    crates: tuple[int, ...] = ()

    @classmethod
    def of(cls, odb: dict[str, Any]) -> "Layout":
        """Take it from the run database at the begin of the file."""
        names = branch(odb, "Equipment")
        numbers = [name[5:] for name in names if name[:5] == "AMC13"] if isinstance(names, dict) else []
        # Crates of auxiliary detectors send whole waveforms only, and not in every file.
        crates = tuple(
            sorted(
                int(number)
                for number in numbers
                if is_number(number) and branch(names, f"AMC13{number}", "Settings", "TQ01") is not None
            )
        )
        first = f"AMC13{min(crates, default=1):02d}"
        settings = branch(odb, "Equipment", first, "Settings", "TQ01")
        return cls(whole(settings, "waveform length"), whole(settings, "Calo sum time decimation"), crates)


class EventCheck:
    """State of a walk through the data events of a file."""

    def __init__(self, path: Path, strict: bool) -> None:
        self.layout = Layout()
        self._path = path
        self._strict = strict
        self._crates = CrateCheck(path, strict)
        self._trigger: int | None = None
        self._gps: decode.Gps | None = None
        self._framed = False  # the file has the banks of AMC13s: those of before 2027 have none

    def problems(self, event: Event) -> Iterator[Problem]:
        """Everything that is wrong with the banks of an event; a damaged bank spoils only itself."""
        serial = event.serial
        try:
            banks = list(event.banks.values())
        except RawFormatError as err:
            yield Problem.of(err, serial)
            return
        trigger = self._trigger_of(event)
        self._crates.begin(event, trigger)
        for bank in banks:
            if self._crates.is_sound(bank) and bank.type == type_of(kind_of(bank.name)):
                continue
            try:
                yield from self._bank(event, bank)
            except RawFormatError as err:
                yield Problem.of(err, serial)
        if self._strict:
            yield from self._conventions(event, banks)

    @staticmethod
    def _trigger_of(event: Event) -> Trigger | None:
        """What every word of the event must tell; None where TRIG or GPS0 are missing or damaged."""
        try:
            gps = event.gps
            return Trigger(event.trigger.number, event.fill_type, gps.clock) if gps is not None else None
        except RawFormatError:
            return None

    def _bank(self, event: Event, bank: RawBank) -> Iterator[Problem]:
        kind = kind_of(bank.name)
        examine = _EXAMINE.get(kind)
        if examine is None:
            if self._strict:
                yield Problem(bank.offset, "unknown kind of bank", event.serial, bank.name)
        elif bank.type != type_of(kind):
            what = f"words of type {bank.type}, not {type_of(kind)}"
            yield Problem(bank.offset, what, event.serial, bank.name)
        else:
            for what in examine(self, event, bank):
                yield Problem(bank.data_offset, what, event.serial, bank.name)

    def _conventions(self, event: Event, banks: list[RawBank]) -> Iterator[Problem]:
        serial = event.serial
        if event.flags != _BANK32:
            yield Problem(event.offset + 20, f"bank format 0x{event.flags:x}, not 0x{_BANK32:x}", serial)
        for bank in event.walk():
            end = bank.data_offset - event.offset - 16 + bank.data.nbytes
            if any(event.payload[end : end + -bank.data.nbytes % 8]):
                yield Problem(event.offset + 16 + end, "its padding is not zero", serial, bank.name)
        last = (-1, 0)
        for bank in banks:
            rank = rank_of(bank.name) or last
            if rank < last:
                yield Problem(bank.offset, "out of order", serial, bank.name)
            last = rank
        try:
            for name in self._missing(event, {bank.name for bank in banks}):
                yield Problem(event.offset, "missing", serial, name)
        except RawFormatError:
            return  # of a damaged TRIG the type is not known; that has been told

    def _missing(self, event: Event, names: set[str]) -> list[str]:
        if "TRIG" not in names:
            return ["TRIG"] if event.event_id == 1 else []
        letter = LETTERS.get(event.fill_type, "C")
        wanted = []
        if letter == "C":
            kinds = "PTS" if self.layout.decimation else "PT"
            if any(name[:2] == "CQ" for name in names):
                kinds += "Q"
            wanted += [f"C{kind}{crate:02d}" for crate in self.layout.crates for kind in kinds]
        self._framed = self._framed or "GPS0" in names or "TTCA" in names
        if self._framed:
            wanted += ["GPS0", "TTCA", "TTCB", "TTCZ"]
            sent = {int(name[2:]) for name in names if kind_of(name) != name}
            if letter == "C":
                sent |= set(self.layout.crates)
            for crate in sorted(sent):
                # Samples of calorimeters are kept in some fills of muons, all others always.
                kinds = "ABZC" if letter == "C" else "ARZC"
                wanted += [f"{letter}{kind}{crate:02d}" for kind in kinds]
                wanted += [f"{letter}R{crate:02d}"] if crate >= _AUXILIARY else []
        return [name for name in dict.fromkeys(wanted) if name not in names]

    def trigger(self, event: Event, bank: RawBank) -> Iterator[str]:
        """TRIG against the event header and the trigger before."""
        found = decode.trigger(bank.data, failure(self._path, bank))
        if found.time_s != event.time:
            yield f"its time {found.time_s} differs from the event's, {event.time}"
        if self._strict and self._trigger is not None and found.number != self._trigger + 1:
            yield f"trigger {found.number} follows trigger {self._trigger}"
        self._trigger = found.number
        if self._strict and (found.mask & ~0xFE or found.fill_type not in LETTERS):
            yield f"its mask 0x{found.mask:x} has no type of fill, or bits that mean nothing"
        words = np.frombuffer(bank.data, "<u4")
        times = [(int(words[i]), int(words[i + 1])) for i in (2, 4, 6)]
        if self._strict and times != sorted(times):
            yield "trigger, arrival and end of readout are not in order"

    def gps(self, event: Event, bank: RawBank) -> Iterator[str]:
        """GPS0 against TRIG, its clock against its time, and both against the event before."""
        found = decode.gps(bank.data, failure(self._path, bank))
        last, self._gps = self._gps, found
        if not self._strict or "TRIG" not in event.banks:
            return
        trigger = event.trigger
        if (found.seconds, found.nanoseconds // 1000) != (trigger.time_s, trigger.time_us):
            yield f"its time {found.seconds} s {found.nanoseconds} ns differs from TRIG's, " \
                  f"{trigger.time_s} s {trigger.time_us} us"  # fmt: skip
        week, rest = divmod(found.seconds - _GPS_EPOCH + _LEAP_SECONDS, _WEEK)
        milliseconds = 1000 * rest + found.nanoseconds // 1_000_000
        if (found.week, found.milliseconds) != (week, milliseconds):
            yield f"week {found.week}, {found.milliseconds} ms differ from its time: week {week}, {milliseconds} ms"
        if not found.locked:
            yield "the clock is not locked"
        if last is not None:
            passed = found.seconds - last.seconds + 1e-9 * (found.nanoseconds - last.nanoseconds)
            counted = (found.clock - last.clock) / _CLOCK_HZ
            if not math.isclose(passed, counted, rel_tol=_DETUNING, abs_tol=_CLOCK_TOLERANCE):
                yield f"{passed:.6f} s have passed since the last event, the clock has counted {counted:.6f} s"

    def pedestals(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CPnn: 54 numbers within the range of the digitiser."""
        found = decode.pedestals(bank.data, failure(self._path, bank))
        if found.size != _CRYSTALS:
            yield f"{found.size} pedestals for {_CRYSTALS} crystals"
        if not np.all((found >= ADC_MIN) & (found <= ADC_MAX)):
            yield "a pedestal is not a number within the range of the digitiser"

    def calo_sum(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CSnn: as many words as the run database says."""
        found = decode.calo_sum(bank.data, failure(self._path, bank))
        samples, decimation = self.layout.samples, self.layout.decimation
        if samples and decimation and found.size != samples // decimation:
            yield f"{found.size} words, but {samples} samples by {decimation} make {samples // decimation}"

    def q_histogram(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CQnn: bins inside the fill."""
        found = decode.q_histogram(bank.data, failure(self._path, bank))
        if found.counts.shape[0] != _CRYSTALS:
            yield f"{found.counts.shape[0]} crystals, not {_CRYSTALS}"
        if found.first_sample < 1 or found.last_sample > (self.layout.samples or found.last_sample):
            yield f"samples {found.first_sample} to {found.last_sample} are outside the fill"

    def islands(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CTnn: islands inside the fill, in order, without overlap, samples of 12 bits."""
        found = decode.islands(bank.data, failure(self._path, bank))
        if found.crystals != _CRYSTALS:
            yield f"{found.crystals} crystals, not {_CRYSTALS}"
        if found.ctag < 0:
            yield f"{found.ctag} late clusters"
        start = found.time.astype(np.int64)
        stop = start + found.length
        if np.any(start < 0) or np.any(stop > (self.layout.samples or np.inf)):
            yield f"islands from sample {start.min()} to {stop.max()} are not inside the fill"
        if not self._strict:
            return
        if np.any(early := start[1:] < stop[:-1]):
            yield f"island {int(np.argmax(early)) + 1} begins before the one before has ended"
        low, high = found.extremes
        if np.any(wrong := (low < ADC_MIN) | (high > ADC_MAX)):
            yield f"island {int(np.argmax(wrong))} has samples outside 12 bits"

    def straws(self, event: Event, bank: RawBank) -> Iterator[str]:
        """STRW: channels that exist, sorted by channel and time; words and sums of the frames."""
        found = straw_words(bank.data, failure(self._path, bank))
        if np.any((found.channel < 0) | (found.channel >= _STRAWS)):
            yield f"a hit of no straw: channels are 0 to {_STRAWS - 1}"
        order = found.channel.astype(np.int64) * 2**33 + found.tdc
        if self._strict and np.any(order[1:] < order[:-1]):
            yield f"hit {int(np.argmax(order[1:] < order[:-1])) + 1} is out of order"
        yield from self._crates.straws(bank)

    def crate(self, event: Event, bank: RawBank) -> Iterator[str]:
        """Banks that follow from the AMC13s and their boards."""
        return self._crates.problems(event, bank)


_EXAMINE: dict[str, Callable[[EventCheck, Event, RawBank], Iterator[str]]] = {
    "TRIG": EventCheck.trigger,
    "GPS0": EventCheck.gps,
    "CP": EventCheck.pedestals,
    "CS": EventCheck.calo_sum,
    "CT": EventCheck.islands,
    "CQ": EventCheck.q_histogram,
    "STRW": EventCheck.straws,
    **dict.fromkeys(("TTCA", "TTCB", "TTCZ"), EventCheck.crate),
    **dict.fromkeys((letter + kind for letter in "CLPA" for kind in "RABZC"), EventCheck.crate),
}


@lru_cache(4096)
def kind_of(name: str) -> str:
    """First two letters of a bank of a crate, the name of any other."""
    known = name[:1] in "CLPA" and name[1:2] in _CRATE_TYPES and is_number(name[2:])
    return name[:2] if known and (name[0] == "C" or name[1] not in _MUONS_ONLY) else name


def type_of(kind: str) -> int:
    """Type of the words of a kind of bank."""
    return _TYPES[kind] if kind in _TYPES else _CRATE_TYPES[kind[1]]


@lru_cache(4096)
def rank_of(name: str) -> tuple[int, int] | None:
    """Place of a bank in an event: crate, then kind; None of a bank that is not known."""
    kind = kind_of(name)
    if kind != name:
        return int(name[2:]), list(_CRATE_TYPES).index(kind[1])
    return (-1, list(_TYPES).index(name)) if name in _TYPES else None


def branch(tree: Any, *names: str) -> Any:
    """What lies in a run database under some names, None where there is nothing."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def whole(tree: Any, name: str) -> int | None:
    """A whole number of a run database, None where there is none."""
    value = branch(tree, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
