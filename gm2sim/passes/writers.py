"""Where the first pass puts its constants: a file of conditions or a database, behind one door."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from gm2sim.conditions import Conditions, ConditionsError, FileConditions, Interval, Table
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.file import write_tables
from gm2sim.conditions.interval import WITHOUT_END, Subrun
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import behind, moment
from gm2sim.conditions.tags import tags
from gm2sim.database import opened, require_schema

_Held = tuple[Table, Subrun, Subrun]
_FOR_EVER = (WITHOUT_END, WITHOUT_END)


class ConstantsWriter(Protocol):
    """Takes constants for intervals of subruns under a tag."""

    def write(self, tables: Sequence[Table]) -> int:
        """Put in tables, each for its own interval, all or none; what is there already as it is stays.

        Returns
        -------
        int
            Tables that were not there.

        Raises
        ------
        ConditionsError
            They cannot be put in.
        """


class FileWriter:
    """Constants in a TOML file: what it held for the subruns is replaced, all else is kept.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    tag : str
    """

    def __init__(self, path: Path, tag: str) -> None:
        self._path, self._tag = path, tag

    def write(self, tables: Sequence[Table]) -> int:
        """Put in tables; see :class:`ConstantsWriter`."""
        there: list[_Held] = []
        if self._path.exists():
            held = FileConditions(self._path)
            if held.tag != self._tag:
                raise ConditionsError(
                    f"conditions file '{self._path}' has the tag '{held.tag}', not '{self._tag}': give --tag "
                    f"'{held.tag}' or another file"
                )
            there = [(table, *table.interval) for table, *_ in held.entries()]
        new = [table for table in tables if not any(_same(table, old) for old, *_ in there)]
        for table in new:
            there = [piece for old in there for piece in _beside(old, table)]
            there.append((table, *table.interval))
        if new or not self._path.exists():
            there.sort(key=lambda one: (one[0].folder.name, one[1]))
            ends = ((table, first, None if last == _FOR_EVER else last) for table, first, last in there)
            write_tables(self._path, self._tag, ends)
        return len(new)


class DatabaseWriter:
    """Constants of an open tag of a database; what the tag has for the same subruns already must be the same.

    Parameters
    ----------
    where : str
        Path of a SQLite file, or ``postgresql://user@host/name``; `gm2sim conditions init` has made the tables.
    tag : str
        Made if it is not there.
    """

    def __init__(self, where: str, tag: str) -> None:
        self._where, self._tag = where, tag

    def write(self, tables: Sequence[Table]) -> int:
        """Put in tables; see :class:`ConstantsWriter`."""
        with opened(self._where) as engine:
            require_schema(engine, "conditions")
            held = None
            if any(row["tag"] == self._tag for row in tags(engine)):
                held = DatabaseConditions(self._where, self._tag, allow_open=True)
            new = [table for table in tables if held is None or not _is_held(held, table)]
            if held is not None:
                held.close()
            add(engine, self._tag, [Entry(table, moment(*table.interval.first), behind(table.interval.last))
                                    for table in new])  # fmt: skip
        return len(new)


def is_file(where: str) -> bool:
    """Whether an address is that of a file of conditions."""
    return where.endswith(".toml")


def open_writer(where: str, tag: str) -> ConstantsWriter:
    """The writer for a file of conditions (its name ends in .toml) or a database."""
    return FileWriter(Path(where), tag) if is_file(where) else DatabaseWriter(where, tag)


@contextmanager
def reading(where: str, tag: str, *, allow_open: bool = False) -> Iterator[Conditions]:
    """The constants of a tag, for one piece of work.

    Parameters
    ----------
    where, tag : str
    allow_open : bool
        Use a tag of a database that is not frozen.

    Raises
    ------
    ConditionsError
        They cannot be read, are of another tag, or of one that may still change.
    DatabaseError
        The database cannot be read.
    """
    if not is_file(where):
        held = DatabaseConditions(where, tag, allow_open=allow_open)
        try:
            yield held
        finally:
            held.close()
        return
    found = FileConditions(Path(where))
    if tag and found.tag != tag:
        raise ConditionsError(f"conditions file '{where}' has the tag '{found.tag}', not '{tag}': give that --tag")
    yield found


def _same(table: Table, old: Table) -> bool:
    """Whether a table is there already, to the last bit and for the same subruns."""
    return (
        table.folder.name == old.folder.name
        and table.interval == old.interval
        and all(np.array_equal(values, old[name]) for name, values in table.columns.items())
    )


def _is_held(held: Conditions, table: Table) -> bool:
    """Whether a database gives the table for its first subrun, to the last bit and for the same subruns."""
    try:
        return _same(table, held.table(table.folder.name, *table.interval.first))
    except ConditionsError:
        return False


def _beside(old: _Held, table: Table) -> list[_Held]:
    """What is left of an interval on both sides of a new table of the same folder."""
    known, first, last = old
    begin, end = table.interval
    if known.folder.name != table.folder.name or end < first or begin > last:
        return [old]
    left: list[_Held] = []
    if first < begin:
        run, subrun = begin
        left.append((known, first, (run, subrun - 1) if subrun else (run - 1, WITHOUT_END)))
    if end < last:
        run, subrun = end
        left.append((known, (run, subrun + 1) if subrun < WITHOUT_END else (run + 1, 0), last))
    return left


def whole_run(run: int, subruns: int) -> Interval:
    """Subruns 0 to subruns - 1 of a run."""
    return Interval((run, 0), (run, subruns - 1))
