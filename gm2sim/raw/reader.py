"""Opens a MIDAS raw file and gives its events; waveforms are views of the file, nothing is copied."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gm2sim.raw.banks_of_event import fits
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, Event
from gm2sim.raw.resync import MAGIC, Lost, all_events, events_and_losses
from gm2sim.raw.source import open_source

Damaged = Literal["raise", "skip"]


class RawRun:
    """A raw file, open for reading.

    Iterating gives the fills in order; :meth:`events` gives begin and end of run too. Arrays stay valid
    for as long as they are referenced.

    Parameters
    ----------
    path : Path
        ``.mid``, mapped into memory, or ``.mid.gz``, ``.mid.lz4``, ``.mid.bz2``, read as a stream.
    damaged : str
        "raise": a damaged event ends the reading with an error. "skip": it is left out and named in :attr:`lost`,
        the reading goes on with the next one.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file does not begin with a begin-of-run event; with "skip": it has no run database at either end.
    """

    def __init__(self, path: Path | str, damaged: Damaged = "raise") -> None:
        self.path = Path(path)
        if damaged not in ("raise", "skip"):
            raise ValueError(f"damaged must be 'raise' or 'skip', got {damaged!r}")
        self._skip = damaged == "skip"
        self._lost: dict[int, Lost] = {}
        self._last: Lost | None = None
        first = next(self.events(), None)
        self.odb: dict[str, Any]
        self.run: int
        self.odb, self.run = self._begin(first)

    def _begin(self, first: Event | None) -> tuple[dict[str, Any], int]:
        """Run database and run number, from the end of the file where the begin is damaged and may be."""
        if first is not None and first.event_id == BEGIN_OF_RUN:
            try:
                return first.text(), first.serial
            except RawFormatError as err:
                if not self._skip:
                    raise
                self._lose(first, err)
        last = next((event for event in self.events() if event.event_id == END_OF_RUN), None) if self._skip else None
        if last is None:
            raise RawFormatError(self.path, 0, "", "no begin-of-run event: this is no MIDAS run file")
        return last.text(), last.serial

    @property
    def lost(self) -> list[Lost]:
        """What was damaged in the part that has been read so far, in file order; for "skip" only."""
        return [self._lost[place] for place in sorted(self._lost)]

    @property
    def subrun(self) -> int | None:
        """Subrun number from the run database, None when it has none."""
        info = self.odb.get("Runinfo")
        number = info.get("Subrun number") if isinstance(info, dict) else None
        return number if isinstance(number, int) else None

    @cached_property
    def odb_end(self) -> dict[str, Any]:
        """The run database at the end of the file.

        Raises
        ------
        RawFormatError
            The file has no end-of-run event.
        """
        end = 0
        for event in self.events():
            end = event.offset + event.size
            if event.event_id == END_OF_RUN:
                return event.text()
        raise RawFormatError(self.path, end, "", "no end-of-run event: the file is cut short")

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self.events() if event.has_banks)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def events(self) -> Iterator[Event]:
        """Every event of the file in order.

        Raises
        ------
        RawFormatError
            When reached: an event that the file does not hold whole, unless damaged ones are skipped.
        """
        source = open_source(self.path)
        self._last = None
        try:
            if not self._skip:
                yield from all_events(self.path, source)
                return
            for one in events_and_losses(self.path, source):
                if isinstance(one, Lost):
                    self._note(one)
                elif self._is_good(one):
                    yield one
        finally:
            source.close()

    def _is_good(self, event: Event) -> bool:
        """Whether the parts of an event fit together; if not it is lost."""
        try:
            if not event.has_banks:
                if event.event_id in (BEGIN_OF_RUN, END_OF_RUN) and event.trigger_mask != MAGIC:
                    what = f"a run event with mask 0x{event.trigger_mask:04x}, not 0x{MAGIC:04x}"
                    raise RawFormatError(event.path, event.offset, "", what)
                return True
            if not fits(event.payload):
                event.banks  # noqa: B018 - says what does not fit
        except RawFormatError as err:
            self._lose(event, err)
            return False
        return True

    def _lose(self, event: Event, err: RawFormatError) -> None:
        self._note(Lost(event.offset, event.size, err.what, err.bank, event.serial))

    def _note(self, lost: Lost) -> None:
        """What is lost right behind a lost event belongs to it: its size was wrong by that."""
        last = self._last
        if last is not None and lost.offset == last.offset + last.size and lost.serial is None:
            lost = replace(last, size=last.size + lost.size)
        self._last = self._lost[lost.offset] = lost


def open_run(path: Path | str, damaged: Damaged = "raise") -> RawRun:
    """Open a raw file for reading.

    Parameters
    ----------
    path : Path
        ``.mid``, ``.mid.gz``, ``.mid.lz4`` or ``.mid.bz2``.
    damaged : str
        "raise" or "skip": what a damaged event does, see :class:`RawRun`.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file is empty, cut short in its first event, or no MIDAS run file.
    """
    return RawRun(path, damaged)


def events_or_losses(path: Path) -> Iterator[Event | Lost]:
    """Every event that can be found in a file and what is damaged between them, in file order.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file is empty.
    """
    source = open_source(path)
    try:
        yield from events_and_losses(path, source)
    finally:
        source.close()
