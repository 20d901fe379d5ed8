"""Cuts the raw files of a run anew: the same events, byte for byte, in subruns closed as the logger closes them."""

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from gm2sim import __version__
from gm2sim.atomic import write_json
from gm2sim.errors import ConfigError
from gm2sim.raw import odb
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.reader import open_run
from gm2sim.raw.tools.container import BEGIN_OF_RUN, END_OF_RUN, Frame, content, frames
from gm2sim.raw.tools.output import RawOutput

LIMIT_MB = 2000.0
"""Size that closes a subrun [MB]: 2 GB (M. Girotti, ICHEP 2022)."""
COMPRESSIONS = {"none": ".mid", "gz": ".mid.gz", "lz4": ".mid.lz4"}

_METADATA_FORMAT = 1
_MAGIC = 0x494D
_END_GROWS = 256  # bytes: times and counts that the end of run adds to the begin's text


class _Source(NamedTuple):
    path: Path
    run: int
    subrun: int
    odb: dict[str, Any]

    @property
    def constants(self) -> tuple[Any, Any]:
        """What a reader of its events must know, apart from numbers and names of the file."""
        simulation = {key: value for key, value in self.odb.get("Simulation", {}).items() if key != "subrun"}
        return simulation, self.odb.get("Equipment")


@dataclass
class _Subrun:
    """A file being written, and what its metadata will say."""

    file: RawOutput
    tree: dict[str, Any]
    run: int
    subrun: int
    begin: int
    at_end: int = 0  # bytes that the end-of-run event takes at most
    parents: list[str] = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    events: int = 0
    end: int = 0

    def has_room(self, frame: Frame, limit: int) -> bool:
        """Whether an event and the end of the run still fit below the limit."""
        return self.file.size + frame.size + self.at_end <= limit

    def take(self, data: memoryview, frame: Frame, source: _Source) -> None:
        """Append an event as it is."""
        self.file.write([data[frame.offset : frame.offset + frame.size]])
        if source.path.name not in self.parents:
            self.parents.append(source.path.name)
        if frame.is_data:
            self.first = frame.serial if self.first is None else self.first
            self.last = frame.serial
            self.events += 1
        self.end = max(self.end, frame.time)

    def metadata(self) -> dict[str, Any]:
        """As those that a simulation writes, with the parents."""
        made = self.tree.get("Simulation", {})
        return {
            "format": _METADATA_FORMAT,
            "data_tier": "raw",
            "simulated": True,
            "run": self.run,
            "subrun": self.subrun,
            "version": made.get("version", ""),
            "packed_by": __version__,
            "config_hash": made.get("config_hash", ""),
            "seed": made.get("configuration", {}).get("run", {}).get("seed", made.get("seed")),
            "conditions": made.get("conditions", ""),
            "parents": self.parents,
            "first_event": self.first,
            "last_event": self.last,
            "event_count": self.events,
            "start_time": _iso(self.begin),
            "end_time": _iso(self.end),
            "files": {self.file.path.name: self.file.facts()},
        }


def pack(
    files: Sequence[Path],
    out: Path,
    *,
    limit_mb: float = LIMIT_MB,
    compression: str = "none",
    fills: int | None = None,
    mix: bool = False,
) -> list[dict[str, Any]]:
    """Rewrite the events of a run's files, in order, into new subruns.

    A file is closed before the event that would take it over the limit, counted in bytes inside (before compression)
    as runs are cut when they are simulated. It is closed too where events are missing, and where the constants change
    that the begin of run names.

    Parameters
    ----------
    files : sequence of Path
        Raw files of one run, in any order.
    out : Path
        Folder, made if it is not there; it must hold no raw file of this run.
    limit_mb : float
        Most bytes inside a file, in units of 10^6.
    compression : str
        "none", "gz" or "lz4".
    fills : int, optional
        Close a file after so many events too.
    mix : bool
        Go on where the constants change: the new file then has those of its first event for all.

    Returns
    -------
    list of dict
        The metadata of each new file.

    Raises
    ------
    ConfigError
        The request makes no sense, the files are not of one run, or a file is there already.
    RawFormatError
        A file is damaged, or has no end of run.
    """
    if compression not in COMPRESSIONS:
        raise ConfigError(f"--compression {compression} is not known: choose {', '.join(COMPRESSIONS)}")
    if not limit_mb > 0.0 or (fills is not None and fills < 1):
        raise ConfigError("--limit-mb and --fills must be above zero")
    sources = _sources(files)
    out.mkdir(parents=True, exist_ok=True)
    held = sorted(out.glob(f"gm2_run{sources[0].run:05d}_*"))
    if held:
        raise ConfigError(f"'{held[0]}' is there already and nothing is overwritten: choose another --out")
    with _Packing(out, COMPRESSIONS[compression], round(1e6 * limit_mb), fills, mix) as packing:
        for source in sources:
            packing.take(source)
        packing.close()
        return packing.done


class _Packing:
    """The state of one packing; what it has written is removed when it fails."""

    def __init__(self, out: Path, kind: str, limit: int, fills: int | None, mix: bool) -> None:
        self.out, self.kind, self.limit, self.fills, self.mix = out, kind, limit, fills, mix
        self.done: list[dict[str, Any]] = []
        self._paths: list[Path] = []
        self._open: _Subrun | None = None
        self._constants: tuple[Any, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if self._open is not None:
            self._open.file.__exit__(kind, error, trace)
        for path in self._paths:
            path.unlink(missing_ok=True)

    def take(self, source: _Source) -> None:
        """All events of one file."""
        if self._open is not None and not self.mix and source.constants != self._constants:
            self.close()
        self._constants = source.constants
        with content(source.path) as data:
            for frame in _events(source, data):
                self._event(source, data, frame)

    def _event(self, source: _Source, data: memoryview, frame: Frame) -> None:
        now = self._open
        if now is not None and frame.is_data and now.last is not None and frame.serial != now.last + 1:
            if frame.serial <= now.last:
                raise ConfigError(f"{source.path}: event {frame.serial} follows event {now.last}: the files overlap, "
                                  "or are not in order")  # fmt: skip
            self.close()
        if self._open is not None and self._open.events and not self._open.has_room(frame, self.limit):
            self.close()
        if self._open is None:
            self._open = self._begin(source, frame)
        if not self._open.has_room(frame, self.limit):
            raise ConfigError(f"{source.path}: {frame.name} alone takes a file over --limit-mb: raise it")
        self._open.take(data, frame, source)
        if self._open.events == self.fills:
            self.close()

    def _begin(self, source: _Source, frame: Frame) -> _Subrun:
        subrun = len(self.done)
        path = self.out / f"gm2_run{source.run:05d}_{subrun:05d}{self.kind}"
        tree = _begun(source, subrun, frame.time, path.name, self.limit)
        file = RawOutput(path).__enter__()
        begun = _Subrun(file, tree, source.run, subrun, frame.time, end=frame.time)
        file.write(_run_event(BEGIN_OF_RUN, source.run, frame.time, tree))
        begun.at_end = file.size + _END_GROWS
        return begun

    def close(self) -> None:
        """End the file that is open; its metadata come last."""
        now = self._open
        if now is None:
            return
        now.file.write(_run_event(END_OF_RUN, now.run, now.end, odb.ended(now.tree, now.end, now.events)))
        now.file.__exit__(None, None, None)
        self._open = None
        self._paths.append(now.file.path)
        metadata = now.metadata()
        beside = self.out / f"gm2_run{now.run:05d}_{now.subrun:05d}.json"
        self._paths.append(beside)
        write_json(beside, metadata)
        self.done.append(metadata)


def _sources(files: Sequence[Path]) -> list[_Source]:
    found = []
    for path in files:
        run = open_run(path)
        found.append(_Source(Path(path), run.run, run.subrun or 0, run.odb))
    if len({source.run for source in found}) != 1:
        raise ConfigError(f"give the raw files of one run, got {len({source.run for source in found})} runs")
    found.sort(key=lambda source: source.subrun)
    for one, other in pairwise(found):
        if one.subrun == other.subrun:
            raise ConfigError(f"'{one.path}' and '{other.path}' are the same subrun, {one.subrun}: give one of them")
    return found


def _events(source: _Source, data: memoryview) -> Iterator[Frame]:
    """Everything between begin and end of run."""
    ended = False
    for frame in frames(source.path, data):
        ended = frame.event_id == END_OF_RUN
        if frame.event_id not in (BEGIN_OF_RUN, END_OF_RUN):
            yield frame
    if not ended:
        raise RawFormatError(source.path, data.nbytes, "", "the file ends without an end-of-run event: it is cut short")


def _begun(source: _Source, subrun: int, start: int, name: str, limit: int) -> dict[str, Any]:
    """The run database at the begin of a new file."""
    tree = deepcopy(source.odb)
    info = tree.setdefault("Runinfo", {})
    info.update({"Subrun number": subrun, "Start time": time.asctime(time.gmtime(start)),
                 "Start time binary": f"0x{start:08x}"})  # fmt: skip
    logger = tree.setdefault("Logger", {}).setdefault("Channels", {}).setdefault("0", {}).setdefault("Settings", {})
    logger.update({"Current filename": name, "Subrun Byte limit": limit})
    made = tree.setdefault("Simulation", {})
    if made.get("subrun", subrun) != subrun:
        made.setdefault("made_as_subrun", made["subrun"])
        made["subrun"] = subrun
    return tree


def _run_event(event_id: int, run: int, when: int, tree: dict[str, Any]) -> list[bytes]:
    text = odb.encode(tree)
    numbers = ((event_id, 2), (_MAGIC, 2), (run, 4), (when, 4), (len(text), 4))
    return [b"".join(value.to_bytes(size, "little") for value, size in numbers), text]


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
