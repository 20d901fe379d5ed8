"""Verifies a raw file: every length, order, padding and number, and the checksums recorded beside it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gm2sim.raw.check_event import EventCheck, Layout, branch, whole
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, Event
from gm2sim.raw.problem import Problem
from gm2sim.raw.reader import events_or_losses
from gm2sim.raw.resync import MAGIC, Lost

__all__ = ["Problem", "check"]


def check(path: Path | str, strict: bool = True) -> list[Problem]:
    """Everything that is wrong with a raw file, in file order; an empty list for a good one.

    Parameters
    ----------
    path : Path
        ``.mid``, ``.mid.gz``, ``.mid.lz4`` or ``.mid.bz2``.
    strict : bool
        Also what other readers forgive: bank order, zero padding, unknown banks, missing banks, 12-bit
        samples, islands in order, all sums, and words that tell the same thing twice. False checks only what is
        needed to decode the file.

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
        self._events = EventCheck(path, strict)
        self._run: int | None = None
        self._begin: dict[str, Any] = {}
        self._serial: int | None = None
        self._time = 0
        self._fills = 0
        self._ended = False

    def problems(self) -> Iterator[Problem]:
        """Walk the file; what is damaged is told, and the walk goes on behind it."""
        end = 0
        try:
            for one in events_or_losses(self._path):
                end = one.offset + one.size
                if one.offset == 0 and (isinstance(one, Lost) or one.event_id != BEGIN_OF_RUN):
                    yield Problem(0, "no begin-of-run event: this is no MIDAS run file")
                if isinstance(one, Lost):
                    yield Problem(one.offset, one.what, one.serial, one.bank)
                else:
                    yield from self._event(one)
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
        if event.trigger_mask != MAGIC:
            yield Problem(place, f"a run event with mask 0x{event.trigger_mask:04x}, not 0x{MAGIC:04x}")
        if self._run not in (None, event.serial):
            yield Problem(place, f"run number {event.serial}, but the file began with run {self._run}")
        try:
            odb = event.text()
        except RawFormatError as err:
            yield Problem.of(err)
            odb = {}
        if odb and whole(branch(odb, "Runinfo"), "Run number") != event.serial:
            yield Problem(place + 16, f"/Runinfo/Run number is not the header's {event.serial}", bank="ODB")
        yield from _stamp(event, odb)
        if event.event_id == END_OF_RUN:
            self._ended = True
            yield from self._end_of_run(odb, place + 16)
        elif self._run is not None:
            yield Problem(place, "a second begin-of-run event")
        else:
            self._run, self._begin, self._events.layout = event.serial, odb, Layout.of(odb)

    def _end_of_run(self, odb: dict[str, Any], place: int) -> Iterator[Problem]:
        sent = whole(branch(odb, "Equipment", "EB", "Statistics"), "Events sent")
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
        yield from self._events.problems(event)


def _stamp(event: Event, odb: dict[str, Any]) -> Iterator[Problem]:
    """The time of a run event against the one in its run database."""
    key = "Stop time binary" if event.event_id == END_OF_RUN else "Start time binary"
    stamp = branch(odb, "Runinfo", key)
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
