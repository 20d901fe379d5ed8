"""Verifies a raw file: every length, order, padding and number, and the checksums recorded beside it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from gm2sim.raw import decode
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.decode_fc7 import straw_words
from gm2sim.raw.decode_waveforms import sums_of, waveforms
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.banks_of_event import RawBank, failure
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, Event
from gm2sim.raw.reader import open_run

_MAGIC = 0x494D
_BANK32 = 0x11
_RAW = {"CR": 1, "LR": 2, "PR": 3}  # whole waveforms, by type of fill
_TYPES = {"TRIG": 6, "STRW": 6, "CP": 9, "CS": 6, "CT": 5, "CQ": 6, **dict.fromkeys(_RAW, 5)}
_ORDER = ("CP", "CS", "CT", "CQ", *_RAW)  # within a crate
_STRAWS = 2048
_ADC_MIN, _ADC_MAX = -2048, 2047  # 12 bits, signed
_CRYSTALS = 54


@dataclass(frozen=True)
class Problem:
    """Something wrong in a raw file.

    Attributes
    ----------
    offset : int
        Byte of the file.
    what : str
    event : int or None
        Serial number of the event, None outside events.
    bank : str
        Empty outside banks.
    """

    offset: int
    what: str
    event: int | None = None
    bank: str = ""

    def __str__(self) -> str:
        event = "" if self.event is None else f", event {self.event}"
        bank = f", bank {self.bank}" if self.bank else ""
        return f"byte {self.offset}{event}{bank}: {self.what}"

    @classmethod
    def of(cls, error: RawFormatError, event: int | None = None) -> Self:
        """The same complaint as a reader's."""
        return cls(error.offset, error.what, event, error.bank)


@dataclass(frozen=True)
class _Layout:
    """What the run database promises about the banks; None where it says nothing."""

    samples: int | None = None
    decimation: int | None = None
    crates: tuple[int, ...] = ()

    @classmethod
    def of(cls, odb: dict[str, Any]) -> Self:
        names = _branch(odb, "Equipment")
        numbers = [name[5:] for name in names if name[:5] == "AMC13"] if isinstance(names, dict) else []
        # Crates of auxiliary detectors send whole waveforms only, and not in every file.
        crates = tuple(
            sorted(
                int(number)
                for number in numbers
                if _is_crate(number) and _branch(names, f"AMC13{number}", "Settings", "TQ01") is not None
            )
        )
        first = f"AMC13{min(crates, default=1):02d}"
        settings = _branch(odb, "Equipment", first, "Settings", "TQ01")
        return cls(_whole(settings, "waveform length"), _whole(settings, "Calo sum time decimation"), crates)


def check(path: Path | str, strict: bool = True) -> list[Problem]:
    """Everything that is wrong with a raw file, in file order; an empty list for a good one.

    Parameters
    ----------
    path : Path
        ``.mid`` or ``.mid.gz``.
    strict : bool
        Also what other readers forgive: bank order, zero padding, unknown banks, missing banks, 12-bit
        samples, islands in order. False checks only what is needed to decode the file.

    Raises
    ------
    FileNotFoundError, PermissionError
        There is nothing to check.
    """
    path = Path(path)
    return [*_Walk(path, strict).problems(), *_beside(path, strict)]


class _Walk:
    """State of one walk through a file."""

    def __init__(self, path: Path, strict: bool) -> None:
        self._path = path
        self._strict = strict
        self._run: int | None = None
        self._begin: dict[str, Any] = {}
        self._layout = _Layout()
        self._serial: int | None = None
        self._trigger: int | None = None
        self._time = 0
        self._fills = 0
        self._ended = False

    def problems(self) -> Iterator[Problem]:
        """Walk the file; a damaged container ends the walk, a damaged bank only its event."""
        end = 0
        try:
            for event in open_run(self._path).events():
                end = event.offset + event.size
                yield from self._event(event)
        except RawFormatError as err:
            yield Problem.of(err)
            return
        if not self._ended:
            yield Problem(end, "the file ends without an end-of-run event: cut short between events")

    def _event(self, event: Event) -> Iterator[Problem]:
        if self._ended:
            yield Problem(event.offset, "an event follows the end-of-run event", event.serial)
        if event.time < self._time:
            yield Problem(event.offset, f"its time {event.time} is before the last, {self._time}", event.serial)
        self._time = event.time
        if event.event_id in (BEGIN_OF_RUN, END_OF_RUN):
            yield from self._run_event(event)
        elif event.has_banks:
            yield from self._data_event(event)

    def _run_event(self, event: Event) -> Iterator[Problem]:
        place = event.offset
        if event.trigger_mask != _MAGIC:
            yield Problem(place, f"a run event with mask 0x{event.trigger_mask:04x}, not 0x{_MAGIC:04x}")
        if self._run not in (None, event.serial):
            yield Problem(place, f"run number {event.serial}, but the file began with run {self._run}")
        try:
            odb = event.text()
        except RawFormatError as err:
            yield Problem.of(err)
            odb = {}
        if odb and _whole(_branch(odb, "Runinfo"), "Run number") != event.serial:
            yield Problem(place + 16, f"/Runinfo/Run number is not the header's {event.serial}", bank="ODB")
        yield from _stamp(event, odb)
        if event.event_id == END_OF_RUN:
            self._ended = True
            yield from self._end_of_run(odb, place + 16)
        elif self._run is not None:
            yield Problem(place, "a second begin-of-run event")
        else:
            self._run, self._begin, self._layout = event.serial, odb, _Layout.of(odb)

    def _end_of_run(self, odb: dict[str, Any], place: int) -> Iterator[Problem]:
        sent = _whole(_branch(odb, "Equipment", "EB", "Statistics"), "Events sent")
        if sent is not None and sent != self._fills:
            yield Problem(place, f"counts {sent} events but the file holds {self._fills}", bank="ODB")
        if odb and odb.get("Simulation") != self._begin.get("Simulation"):
            yield Problem(place, "/Simulation differs between begin and end of run", bank="ODB")

    def _data_event(self, event: Event) -> Iterator[Problem]:
        self._fills += 1
        place, serial = event.offset, event.serial
        if event.event_id != 1:
            yield Problem(place, f"unknown event id {event.event_id}", serial)
        if event.trigger_mask:
            yield Problem(place, f"trigger mask 0x{event.trigger_mask:04x} in a merged event", serial)
        if self._serial is not None and serial != self._serial + 1:
            yield Problem(place, f"it follows event {self._serial}: events are missing or swapped", serial)
        self._serial = serial
        try:
            banks = list(event.banks.values())
        except RawFormatError as err:
            yield Problem.of(err, serial)
            return
        for bank in banks:
            try:
                yield from self._bank(event, bank)
            except RawFormatError as err:
                yield Problem.of(err, serial)
        if self._strict:
            yield from self._conventions(event, banks)

    def _bank(self, event: Event, bank: RawBank) -> Iterator[Problem]:
        kind = _kind(bank.name)
        examine = _EXAMINE.get(kind)
        if examine is None:
            if self._strict:
                yield Problem(bank.offset, "unknown kind of bank", event.serial, bank.name)
        elif bank.type != _TYPES[kind]:
            what = f"words of type {bank.type}, not {_TYPES[kind]}"
            yield Problem(bank.offset, what, event.serial, bank.name)
        else:
            for what in examine(self, event, bank):
                yield Problem(bank.data_offset, what, event.serial, bank.name)

    def _conventions(self, event: Event, banks: list[RawBank]) -> Iterator[Problem]:
        serial = event.serial
        if event.flags != _BANK32:
            yield Problem(event.offset + 20, f"bank format 0x{event.flags:x}, not 0x{_BANK32:x}", serial)
        last = (0, 0)
        for bank in banks:
            end = bank.data_offset - event.offset - 16 + bank.data.nbytes
            if any(event.payload[end : end + -bank.data.nbytes % 8]):
                yield Problem(event.offset + 16 + end, "its padding is not zero", serial, bank.name)
            if _rank(bank.name) < last:
                yield Problem(bank.offset, "out of order", serial, bank.name)
            last = _rank(bank.name)
        for name in self._missing(event):
            yield Problem(event.offset, "missing", serial, name)

    def _missing(self, event: Event) -> list[str]:
        if event.fill_type != 1:
            return []
        kinds = ["CP", "CT"]
        if self._layout.decimation:
            kinds.append("CS")
        if any(name.startswith("CQ") for name in event.banks):
            kinds.append("CQ")
        names = ["TRIG", *(f"{kind}{crate:02d}" for crate in self._layout.crates for kind in kinds)]
        return [name for name in names if name not in event.banks]

    def trigger(self, event: Event, bank: RawBank) -> Iterator[str]:
        """TRIG against the event header and the trigger before."""
        found = decode.trigger(bank.data, failure(self._path, bank))
        if found.time_s != event.time:
            yield f"its time {found.time_s} differs from the event's, {event.time}"
        if self._strict and self._trigger is not None and found.number != self._trigger + 1:
            yield f"trigger {found.number} follows trigger {self._trigger}"
        self._trigger = found.number

    def pedestals(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CPnn: 54 numbers within the range of the digitiser."""
        found = decode.pedestals(bank.data, failure(self._path, bank))
        if found.size != _CRYSTALS:
            yield f"{found.size} pedestals for {_CRYSTALS} crystals"
        if not np.all((found >= _ADC_MIN) & (found <= _ADC_MAX)):
            yield "a pedestal is not a number within the range of the digitiser"

    def calo_sum(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CSnn: as many words as the run database says."""
        found = decode.calo_sum(bank.data, failure(self._path, bank))
        samples, decimation = self._layout.samples, self._layout.decimation
        if samples and decimation and found.size != samples // decimation:
            yield f"{found.size} words, but {samples} samples by {decimation} make {samples // decimation}"

    def q_histogram(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CQnn: bins inside the fill."""
        found = decode.q_histogram(bank.data, failure(self._path, bank))
        if found.counts.shape[0] != _CRYSTALS:
            yield f"{found.counts.shape[0]} crystals, not {_CRYSTALS}"
        if found.first_sample < 1 or found.last_sample > (self._layout.samples or found.last_sample):
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
        if np.any(start < 0) or np.any(stop > (self._layout.samples or np.inf)):
            yield f"islands from sample {start.min()} to {stop.max()} are not inside the fill"
        if not self._strict:
            return
        if np.any(early := start[1:] < stop[:-1]):
            yield f"island {int(np.argmax(early)) + 1} begins before the one before has ended"
        for i, island in enumerate(found):
            if island.samples.min() < _ADC_MIN or island.samples.max() > _ADC_MAX:
                yield f"island {i} has samples outside 12 bits"
                return

    def straws(self, event: Event, bank: RawBank) -> Iterator[str]:
        """STRW: channels that exist, sorted by channel and time."""
        found = straw_words(bank.data, failure(self._path, bank))
        if np.any((found.channel < 0) | (found.channel >= _STRAWS)):
            yield f"a hit of no straw: channels are 0 to {_STRAWS - 1}"
        order = found.channel.astype(np.int64) * 2**33 + found.tdc
        if self._strict and np.any(order[1:] < order[:-1]):
            yield f"hit {int(np.argmax(order[1:] < order[:-1])) + 1} is out of order"

    def waveforms(self, event: Event, bank: RawBank) -> Iterator[str]:
        """CRnn, LRnn, PRnn: answers to this trigger, check sums, samples of 12 bits."""
        fail = failure(self._path, bank)
        found = waveforms(bank.data, fail)
        if found.fill_type != _RAW[bank.name[:2]]:
            yield f"waveforms of a fill of type {found.fill_type}"
        if "TRIG" in event.banks and found.trigger != event.trigger.number & 0xFFFFFF:
            yield f"it answers trigger {found.trigger}, not {event.trigger.number}"
        if not self._strict:
            return
        yield from sums_of(bank.data, fail)
        for channel, samples in zip(found.channels, found.samples, strict=True):
            if samples.min() < _ADC_MIN or samples.max() > _ADC_MAX:
                yield f"channel {channel} has samples outside 12 bits"
                return


_EXAMINE: dict[str, Callable[[_Walk, Event, RawBank], Iterator[str]]] = {
    "TRIG": _Walk.trigger,
    "CP": _Walk.pedestals,
    "CS": _Walk.calo_sum,
    "CT": _Walk.islands,
    "CQ": _Walk.q_histogram,
    "STRW": _Walk.straws,
    **dict.fromkeys(_RAW, _Walk.waveforms),
}


def _stamp(event: Event, odb: dict[str, Any]) -> Iterator[Problem]:
    """The time of a run event against the one in its run database."""
    key = "Stop time binary" if event.event_id == END_OF_RUN else "Start time binary"
    stamp = _branch(odb, "Runinfo", key)
    if stamp is not None and stamp != f"0x{event.time:08x}":
        yield Problem(event.offset, f"its time 0x{event.time:08x} differs from /Runinfo/{key}, {stamp}")


def _beside(path: Path, strict: bool) -> Iterator[Problem]:
    """Size and checksums recorded in the metadata of the same name, where there is one."""
    metadata = path.with_name(path.name.partition(".mid")[0] + ".json")
    if not metadata.is_file():
        return
    try:
        recorded = json.loads(metadata.read_text("utf-8"))["files"][path.name]
        facts = {key: recorded[key] for key in ("size", "sha256", "adler32", "crc32c") if key in recorded}
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        if strict:
            yield Problem(0, f"'{metadata.name}' records no checksum of this file ({type(err).__name__}: {err})")
        return
    sums = Checksums.of_file(path)
    for key, value in facts.items():
        if (found := getattr(sums, key)) != value:
            yield Problem(0, f"{key} is {found}, but '{metadata.name}' recorded {value}")


def _kind(name: str) -> str:
    return name[:2] if name[:2] in _ORDER and _is_crate(name[2:]) else name


def _is_crate(digits: str) -> bool:
    return len(digits) == 2 and digits.isascii() and digits.isdecimal()


def _rank(name: str) -> tuple[int, int]:
    kind = _kind(name)
    return (int(name[2:]), _ORDER.index(kind)) if kind in _ORDER else (0, 0)


def _branch(tree: Any, *names: str) -> Any:
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _whole(tree: Any, name: str) -> int | None:
    value = _branch(tree, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
