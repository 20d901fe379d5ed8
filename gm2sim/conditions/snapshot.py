"""The part of a tag that some runs need, as one file that jobs carry: thousands of ranks open no connection."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gm2sim.atomic import atomic_path, sha256, write_text
from gm2sim.conditions.lookup import chunks, intervals
from gm2sim.conditions.moment import Moment, moment
from gm2sim.conditions.schema import FOLDER_TABLES, SNAPSHOT, SNAPSHOT_ID, TAGS, FolderTables, is_snapshot
from gm2sim.conditions.table import ConditionsError
from gm2sim.conditions.tags import find_tag, now
from gm2sim.database import opened, require_schema, upgrade


def snapshot(where: str | Path, tag: str, runs: tuple[int, int], out: Path, *, force: bool = False) -> str:
    """Write what a frozen tag has for some runs as a SQLite file of its own, with its SHA-256 beside it.

    The file is read-only. Its tag has the name and the checksum of the original, so that runs which use one or the
    other have the same version of conditions.

    Parameters
    ----------
    where : str or Path
        The database.
    tag : str
        May be left out where there is only one.
    runs : (first, last)
    out : Path
        The new file; ``<out>.sha256`` is written beside it.
    force : bool
        Replace a file.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    ConditionsError
        There is no such tag, it is not frozen, it has nothing for the runs, or the file exists.
    """
    beside = out.with_name(f"{out.name}.sha256")
    if not force and (out.exists() or beside.exists()):
        raise ConditionsError(f"'{out}' exists already: choose another --out or replace it with --force")
    if not out.parent.is_dir():
        raise ConditionsError(f"there is no folder '{out.parent}': make it or choose another --out")
    since, until = moment(runs[0]), moment(runs[1] + 1)
    if since >= until:
        raise ConditionsError(f"runs {runs[0]}-{runs[1]} go backwards: give the first one first")
    with (
        opened(where, read_only=True, immutable=is_snapshot(where)) as source,
        atomic_path(out, replace=force, read_only=True) as temporary,
    ):
        require_schema(source, "conditions")
        with source.connect() as connection:
            row = find_tag(connection, tag)
            if not row.frozen:
                raise ConditionsError(
                    f"tag '{row.tag}' is open and may still change: freeze it with `gm2sim conditions tag freeze` first"
                )
            try:
                with opened(temporary, create=True) as target:
                    upgrade(target, "conditions")
                    _copy(connection, target, row, since, until)
                _seal(temporary)
            finally:
                for ending in ("-wal", "-shm", "-journal"):
                    temporary.with_name(temporary.name + ending).unlink(missing_ok=True)
    checksum = sha256(out)
    write_text(beside, f"{checksum}  {out.name}\n", replace=force)
    return checksum


def _copy(connection: sa.Connection, target: sa.Engine, tag: Any, since: Moment, until: Moment) -> None:
    content = {name: tag._mapping[name] for name in ("tag_id", "tag", "comment", "created", "parent")}
    with target.begin() as made:
        SNAPSHOT.create(made)
        runs = {"first_run": since.subrun[0], "last_run": until.subrun[0] - 1}
        made.execute(sa.insert(SNAPSHOT).values(**runs, made=now()))
        made.execute(sa.insert(TAGS).values(**content))
        copied = [_copy_folder(connection, made, tables, tag.tag_id, since, until) for tables in FOLDER_TABLES.values()]
        if not sum(copied):
            raise ConditionsError(
                f"tag '{tag.tag}' has nothing for runs {since.subrun[0]} to {until.subrun[0] - 1}: see `gm2sim "
                "conditions check`"
            )
        made.execute(
            sa.update(TAGS).where(TAGS.c.tag_id == tag.tag_id).values(frozen=tag.frozen, checksum=tag.checksum)
        )


def _copy_folder(
    source: sa.Connection, target: sa.Connection, tables: FolderTables, tag_id: int, since: Moment, until: Moment
) -> int:
    """Copy the intervals that hold in part, each with the end that it has in the whole tag."""
    held = list(intervals(source, tables, tag_id, since, until))
    for piece in chunks(sorted({one.iov_id for one in held})):
        for table, column in ((tables.sets, tables.sets.c.iov_id), (tables.data, tables.data.c.iov_id)):
            rows = source.execute(sa.select(table).where(column.in_(piece)).order_by(*table.primary_key.columns))
            _insert(target, table, _rows(table, rows))
    times = sorted({one.begin.time for one in held})
    _insert(
        target,
        tables.iovs,
        [dict(zip(("begin_time", "run", "subrun"), (time, *Moment(time).subrun), strict=True)) for time in times],
    )
    _insert(
        target,
        tables.tag_iovs,
        [
            {
                "tag_id": tag_id, "begin_time": one.begin.time, "begin_event": one.begin.event,
                "end_time": one.end.time if one.end else None, "end_event": one.end.event if one.end else None,
                "iov_id": one.iov_id, "comment": one.comment,
            }
            for one in held
        ],
    )  # fmt: skip
    return len(held)


def _rows(table: sa.Table, rows: Any) -> Iterator[dict[str, Any]]:
    names = [str(column.key) for column in table.c]
    for row in rows:
        yield dict(zip(names, row, strict=True))


def _insert(connection: sa.Connection, table: sa.Table, rows: Any) -> None:
    ready = list(rows)
    if ready:
        connection.execute(sa.insert(table), ready)


def _seal(path: Path) -> None:
    """Make the file one that is read without its neighbours, marked as a snapshot, that takes no new tags."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA application_id = {SNAPSHOT_ID}")
        connection.execute(
            f"CREATE TRIGGER {TAGS.name}_snapshot BEFORE INSERT ON {TAGS.name} "
            "BEGIN SELECT RAISE(ABORT, 'this is a snapshot: change the database that it is of'); END"
        )
        connection.execute("VACUUM")
