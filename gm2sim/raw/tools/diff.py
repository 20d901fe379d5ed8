"""What differs between two raw files: byte by byte, or what the events mean."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.errors import ConfigError
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, Event
from gm2sim.raw.reader import open_run
from gm2sim.raw.tools.container import SUFFIXES, banks, content, frames
from gm2sim.raw.tools.meaning import arrays, meaning

_PIECE = 1 << 24  # bytes compared at once
_NAMES_FILE = ("Logger", "Channels")  # branch of the run database that names the file
_SAYS_HOW = ("FE Lossless Compression", "FEBankByBankLosslessCompression")  # of a front end


class Difference(NamedTuple):
    """One thing that differs.

    Attributes
    ----------
    file : str
        Name of the subrun where folders are compared, else empty.
    where : str
        Event and bank, or branch of the run database.
    what : str
    """

    file: str
    where: str
    what: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


@dataclass
class Outcome:
    """What a comparison found.

    Attributes
    ----------
    count : int
        Differences in all; bytes that differ when bytes were compared.
    shown : list of Difference
        The first of them.
    """

    limit: int = 20
    unit: str = "things"
    count: int = 0
    shown: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.count

    @property
    def summary(self) -> str:
        """The last line for people."""
        if self.same:
            return "nothing differs"
        more = (
            f", {len(self.shown)} of them above"
            if len(self.shown) < self.count and self.limit == len(self.shown)
            else ""
        )
        return f"{self.count} {self.unit} differ{more}"

    def add(self, found: Difference, count: int = 1) -> None:
        """Take one in, which stands for ``count``."""
        self.count += count
        if len(self.shown) < self.limit:
            self.shown.append(found)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {"same": self.same, "differences": self.count, "shown": [one._asdict() for one in self.shown]}


def diff(a: Path, b: Path, *, of_bytes: bool = False, limit: int = 20) -> Outcome:
    """Compare two raw files, or the raw files of two folders by the names of their subruns.

    Parameters
    ----------
    a, b : Path
        Two files or two folders.
    of_bytes : bool
        Every byte inside the files (before compression). Otherwise what they mean: begin and end of run, events by
        their numbers, banks decoded; compression, padding and what names the file are ignored.
    limit : int
        Differences that are kept to be shown; all are counted.

    Raises
    ------
    ConfigError
        A file and a folder, or a folder without raw files.
    FileNotFoundError, RawFormatError
        A file that cannot be read; bytes are compared of files that are damaged within too.
    """
    compare = _bytes if of_bytes else _meaning
    outcome = Outcome(limit, "bytes" if of_bytes else "things")
    if a.is_dir() != b.is_dir():
        raise ConfigError(f"'{a}' and '{b}': give two files or two folders")
    if not a.is_dir():
        compare(a, b, "", outcome)
        return outcome
    left, right = _subruns(a), _subruns(b)
    for name in sorted({*left, *right}):
        if name in left and name in right:
            compare(left[name], right[name], name, outcome)
        else:
            outcome.add(Difference(name, "", f"only in {a if name in left else b}"))
    return outcome


def _subruns(folder: Path) -> dict[str, Path]:
    found = {path.name.partition(".mid")[0]: path
             for kind in SUFFIXES for path in folder.glob(f"gm2_run*{kind}")}  # fmt: skip
    if not found:
        raise ConfigError(f"'{folder}' holds no raw file gm2_run*.mid")
    return found


def _bytes(a: Path, b: Path, name: str, outcome: Outcome) -> None:
    with content(a) as left, content(b) as right:
        common = min(left.nbytes, right.nbytes)
        first, count = None, abs(left.nbytes - right.nbytes)
        for start in range(0, common, _PIECE):
            piece = slice(start, min(start + _PIECE, common))
            unlike = np.frombuffer(left[piece], np.uint8) != np.frombuffer(right[piece], np.uint8)
            here = int(np.count_nonzero(unlike))
            if here and first is None:
                first = start + int(np.argmax(unlike))
            count += here
        if not count:
            return
        sizes = "" if left.nbytes == right.nbytes else f"; {left.nbytes} and {right.nbytes} bytes"
        if first is None:
            first = common
        values = f"0x{left[first]:02x} and 0x{right[first]:02x}" if first < common else "one ends"
        longer, path = (left, a) if left.nbytes >= right.nbytes else (right, b)
        what = f"first at byte {first}: {values}; {count} bytes differ{sizes}"
        outcome.add(Difference(name, _place(path, longer, first), what), count)


def _place(path: Path, data: memoryview, byte: int) -> str:
    """Event and bank in which a byte lies, as far as the file can be walked."""
    where = ""
    try:
        for frame in frames(path, data):
            if frame.offset <= byte < frame.offset + frame.size:
                where = f"{frame.name}, byte {byte - frame.offset} of it"
                for bank in banks(path, data, frame):
                    if bank.offset <= byte < bank.end:
                        return f"{frame.name}, bank {bank.name}, byte {byte - bank.data} of its data"
                break
    except RawFormatError:
        pass
    return where


def _meaning(a: Path, b: Path, name: str, outcome: Outcome) -> None:
    left, right = _walk(a), _walk(b)
    waiting: tuple[dict[_Key, Event], dict[_Key, Event]] = ({}, {})
    for one, other in _in_step(left, right):
        for side, found in enumerate((one, other)):
            if found is not None:
                waiting[side][found[0]] = found[1]
        for key in [key for key in waiting[0] if key in waiting[1]]:
            for where, what in _event(waiting[0].pop(key), waiting[1].pop(key)):
                outcome.add(Difference(name, where, what))
    for path, rest in zip((a, b), waiting, strict=True):
        for key in rest:
            outcome.add(Difference(name, str(key), f"only in {path}"))


class _Key(NamedTuple):
    """What makes an event of one file the fellow of one of the other."""

    event_id: int
    serial: int
    before: int  # so many with the same number

    def __str__(self) -> str:
        kind = {BEGIN_OF_RUN: "begin of run", END_OF_RUN: "end of run"}.get(self.event_id, f"event {self.serial}")
        return f"{kind}, come again" if self.before else kind


def _walk(path: Path) -> Iterator[tuple[_Key, Event]]:
    seen: dict[tuple[int, int], int] = defaultdict(int)
    for event in open_run(path).events():
        serial = 0 if event.event_id in (BEGIN_OF_RUN, END_OF_RUN) else event.serial
        yield _Key(event.event_id, serial, seen[event.event_id, serial]), event
        seen[event.event_id, serial] += 1


def _in_step(
    left: Iterator[tuple[_Key, Event]], right: Iterator[tuple[_Key, Event]]
) -> Iterator[tuple[tuple[_Key, Event] | None, tuple[_Key, Event] | None]]:
    while True:
        one, other = next(left, None), next(right, None)
        if one is None and other is None:
            return
        yield one, other


def _event(a: Event, b: Event) -> Iterator[tuple[str, str]]:
    """Where and in what two events differ."""
    title = str(_Key(a.event_id, a.serial, 0))
    for name in ("trigger_mask", "serial", "time"):
        if getattr(a, name) != getattr(b, name):
            yield title, f"{name.replace('_', ' ')} {getattr(a, name)} and {getattr(b, name)}"
    if a.event_id in (BEGIN_OF_RUN, END_OF_RUN):
        yield from ((f"{title}, {branch}", what) for branch, what in _trees(a.text(), b.text()))
    elif not a.has_banks:
        if bytes(a.payload).rstrip(b"\0") != bytes(b.payload).rstrip(b"\0"):
            yield title, "the text differs"
    else:
        yield from _banks(title, a, b)


def _banks(title: str, a: Event, b: Event) -> Iterator[tuple[str, str]]:
    common = [name for name in a.banks if name in b.banks]
    for here, there in ((a, b), (b, a)):
        for name in here.banks:
            if name not in there.banks:
                yield f"{title}, bank {name}", f"only in {here.path}"
    if common != [name for name in b.banks if name in a.banks]:
        yield title, "its banks come in another order"
    for name in common:
        one, other = a.banks[name], b.banks[name]
        if one.type != other.type:
            yield f"{title}, bank {name}", f"words of type {one.type} and {other.type}"
        if not _same_bytes(one.data, other.data):
            yield from ((f"{title}, bank {name}", what) for what in meaning(a, b, name))


def _same_bytes(a: memoryview, b: memoryview) -> bool:
    return a.nbytes == b.nbytes and bool(np.array_equal(np.frombuffer(a, np.uint8), np.frombuffer(b, np.uint8)))


def _trees(a: Any, b: Any, branch: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Where two run databases differ, leaving out what names the file and how it is compressed."""
    if branch == _NAMES_FILE or (branch and branch[-1] in _SAYS_HOW):
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(key for key in b if key not in a)]:
            if key in a and key in b:
                yield from _trees(a[key], b[key], (*branch, str(key)))
            else:
                yield "/" + "/".join((*branch, str(key))), f"only in the {'first' if key in a else 'second'}"
    elif (numbers := _table(a)) is not None and (others := _table(b)) is not None:
        yield from (("/" + "/".join(branch), what.lstrip(": ")) for what in arrays("", numbers, others))
    elif a != b or type(a) is not type(b):
        yield "/" + "/".join(branch), f"{_short(a)} and {_short(b)}"


def _table(tree: Any) -> NDArray[Any] | None:
    """A list of numbers, or of lists of numbers, as an array."""
    try:
        array = np.array(tree) if isinstance(tree, list) else np.array("")
    except ValueError:  # rows of unequal length
        return None
    return array if array.dtype.kind in "if" else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
