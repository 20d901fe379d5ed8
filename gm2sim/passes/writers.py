"""Where the first pass puts its constants: a file of conditions or a database, behind one door."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from gm2sim.conditions import Conditions, ConditionsError, FileConditions, Interval, Table
from gm2sim.conditions.file import write_tables
from gm2sim.conditions.interval import WITHOUT_END, Subrun

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


def open_writer(where: str, tag: str) -> ConstantsWriter:
    """The writer for a file of conditions (its name ends in .toml)."""
    return FileWriter(Path(where), tag)


def open_reader(where: str, tag: str) -> Conditions:
    """The constants of a tag.

    Raises
    ------
    ConditionsError
        They cannot be read, or are of another tag.
    """
    found = FileConditions(Path(where))
    if tag and found.tag != tag:
        raise ConditionsError(f"conditions file '{where}' has the tag '{found.tag}', not '{tag}': give that --tag")
    return found


def _same(table: Table, old: Table) -> bool:
    """Whether a table is there already, to the last bit and for the same subruns."""
    return (
        table.folder.name == old.folder.name
        and table.interval == old.interval
        and all(np.array_equal(values, old[name]) for name, values in table.columns.items())
    )


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
