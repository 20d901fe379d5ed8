"""New intervals for an open tag, in bulk and all or none."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa

from gm2sim.conditions.file import FileConditions
from gm2sim.conditions.lookup import as_tuple, at_or_before, chunks, named
from gm2sim.conditions.moment import Moment, behind, moment
from gm2sim.conditions.schema import FOLDER_TABLES, FolderTables, digest
from gm2sim.conditions.table import Conditions, ConditionsError, Table
from gm2sim.conditions.tags import check_comment, insert_new, open_tag, take_turn

_ROWS_AT_ONCE = 20_000
_ROWS_OF_A_STATEMENT = 4000  # of up to 10 columns: PostgreSQL takes 65535 parameters


class Entry(NamedTuple):
    """Constants and the interval that they hold for.

    Attributes
    ----------
    table : Table
        Its own interval does not count.
    begin : Moment
    end : Moment or None
        First moment behind the interval; None: it holds until the next one of its tag begins.
    comment : str
    """

    table: Table
    begin: Moment
    end: Moment | None = None
    comment: str = ""


class Added(NamedTuple):
    """What was added: ``intervals``, and ``sets`` of constants that were not there yet."""

    intervals: int
    sets: int


def add(engine: sa.Engine, tag: str, entries: Iterable[Entry], comment: str = "") -> Added:
    """Add intervals to an open tag, in one transaction.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        With the tables of the book "conditions".
    tag : str
        Made if it is not there.
    entries : iterable of Entry
    comment : str
        Of the tag, if it is made.

    Raises
    ------
    ConditionsError
        The tag is frozen, or an interval overlaps another; nothing is added then.
    """
    by_folder: dict[str, list[Entry]] = {}
    for entry in entries:
        check_comment(entry.comment)
        by_folder.setdefault(entry.table.folder.name, []).append(entry)
    intervals = sets = 0
    with engine.begin() as connection:
        take_turn(connection)
        tag_id = open_tag(connection, tag, comment)
        for name in sorted(by_folder):
            tables, mine = FOLDER_TABLES[name], sorted(by_folder[name], key=lambda entry: entry.begin)
            _refuse_overlap(connection, tables, tag_id, tag, mine)
            numbers, made = _sets(connection, tables, mine)
            sets += made
            _insert(connection, insert_new(connection, tables.iovs), _moments(mine))
            _insert(connection, sa.insert(tables.tag_iovs), _rows(tag_id, mine, numbers))
            intervals += len(mine)
    return Added(intervals, sets)


def of_file(conditions: FileConditions) -> Iterator[Entry]:
    """The tables of a file of conditions."""
    for table, first, last, comment in conditions.entries():
        yield Entry(table, moment(*first), None if last is None else behind(last), comment)


def of_run(
    conditions: Conditions, folders: Iterable[str], run: int, subruns: int, runs: tuple[int, int] | None = None
) -> Iterator[Entry]:
    """The constants of a run's subruns, as intervals.

    Parameters
    ----------
    conditions : Conditions
    folders : iterable of str
    run, subruns : int
        Subruns 0 to subruns - 1 of the run are looked up; one that differs begins an interval of its own.
    runs : (first, last), optional
        What they hold for; without it from run 1 on.
    """
    first, last = runs or (1, None)
    end = None if last is None else moment(last + 1)
    for name in folders:
        subrun, found = 0, []
        while subrun < subruns:
            table = conditions.table(name, run, subrun)
            found.append((table, moment(run, subrun) if subrun else moment(first)))
            until = table.interval.last
            subrun = until[1] + 1 if until[0] == run else subruns
        for at, (table, begin) in enumerate(found):
            yield Entry(table, begin, end if at + 1 == len(found) else None)


def _refuse_overlap(
    connection: sa.Connection, tables: FolderTables, tag_id: int, tag: str, entries: Sequence[Entry]
) -> None:
    """Compare new intervals with one another and with those that are there."""
    c = tables.tag_iovs.c
    first = entries[0].begin
    earlier = connection.execute(at_or_before(tables), named(tag_id, first)).first()
    since = first if earlier is None else Moment(earlier.begin_time, earlier.begin_event)
    until = max(max(entry.begin, entry.end or entry.begin) for entry in entries)
    begin = sa.tuple_(c.begin_time, c.begin_event)
    query = sa.select(c.begin_time, c.begin_event, c.end_time, c.end_event).where(
        c.tag_id == tag_id,
        begin >= as_tuple(since),
        begin <= as_tuple(until),
    )
    there = [
        (Moment(row.begin_time, row.begin_event), None if row.end_time is None else Moment(row.end_time, row.end_event))
        for row in connection.execute(query)
    ]
    spans = sorted([*there, *((entry.begin, entry.end) for entry in entries)], key=lambda span: span[0])
    name = tables.folder.name
    for start, end in spans:
        if end is not None and end <= start:
            raise ConditionsError(f"{name}: the interval from {start} ends before it begins: give a later end")
    for (start, end), (following, _) in pairwise(spans):
        if start == following:
            raise ConditionsError(
                f"tag '{tag}' would have two intervals of {name} that begin at {start}: leave one out, or clone the "
                "tag without it"
            )
        if end is not None and end > following:
            raise ConditionsError(
                f"tag '{tag}': the interval of {name} from {start} to before {end} overlaps the one from {following}: "
                "end it before that"
            )


def _sets(connection: sa.Connection, tables: FolderTables, entries: Sequence[Entry]) -> tuple[list[int], int]:
    """iov_id of each entry's constants, and how many of them were new."""
    known: dict[int, str] = {}  # many intervals may share one table
    for entry in entries:
        if id(entry.table) not in known:
            known[id(entry.table)] = digest(entry.table)
    tables_of = {known[id(entry.table)]: entry.table for entry in entries}
    numbers: dict[str, int] = {}
    for piece in chunks(list(tables_of)):
        query = sa.select(tables.sets.c.sha256, tables.sets.c.iov_id).where(tables.sets.c.sha256.in_(piece))
        numbers |= {row.sha256: row.iov_id for row in connection.execute(query)}
    # By first use, so that iov_id rises with time.
    new = [checksum for checksum in tables_of if checksum not in numbers]
    for piece in chunks(new):
        statement = sa.insert(tables.sets).returning(tables.sets.c.sha256, tables.sets.c.iov_id)
        rows = connection.execute(statement, [{"sha256": checksum} for checksum in piece])
        numbers |= {row.sha256: row.iov_id for row in rows}
    _insert(
        connection,
        sa.insert(tables.data),
        (row for checksum in new for row in tables.rows(tables_of[checksum], numbers[checksum])),
    )
    return [numbers[known[id(entry.table)]] for entry in entries], len(new)


def _moments(entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for time in sorted({entry.begin.time for entry in entries}):
        run, subrun = Moment(time).subrun
        yield {"begin_time": time, "run": run, "subrun": subrun}


def _rows(tag_id: int, entries: Sequence[Entry], numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    for entry, number in zip(entries, numbers, strict=True):
        end = entry.end
        yield {
            "tag_id": tag_id, "begin_time": entry.begin.time, "begin_event": entry.begin.event,
            "end_time": end and end.time, "end_event": end.event if end else None,
            "iov_id": number, "comment": entry.comment,
        }  # fmt: skip


def _insert(connection: sa.Connection, statement: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows, many at once: on PostgreSQL in one statement, which it has to be asked for by RETURNING."""
    options: dict[str, Any] = {}
    if connection.dialect.name == "postgresql":
        statement = statement.returning(*statement.table.primary_key.columns[:1])
        options = {"insertmanyvalues_page_size": _ROWS_OF_A_STATEMENT}
    waiting: list[dict[str, Any]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _ROWS_AT_ONCE:
            connection.execute(statement, waiting, execution_options=options)
            waiting = []
    if waiting:
        connection.execute(statement, waiting, execution_options=options)
