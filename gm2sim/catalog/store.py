"""Rows into the tables of files: many at once, in one transaction, numbered in the order in which they come."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, Text, column, func, insert, select
from sqlalchemy import table as lightweight_table
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from gm2sim.catalog.record import Settings
from gm2sim.catalog.schema import campaigns, files, folders, settings
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.catalog.times import now

_LOCK = 0x676D3263  # any number, the same for every writer of a catalogue
_FEW = 50_000  # from so many new files on, indexes are built again instead of kept up
_CACHE_KIB = 262_144  # of the database, while indexes are built
_THIS_TRANSACTION = True  # a setting of PostgreSQL that ends with it
_PIECE = 100_000  # rows in memory at once
_CHUNK = 900  # values in one statement
Row = TypeVar("Row")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is the only one to write files: numbers have no gaps, and a run has one owner.

    SQLite's transactions are so from the beginning. On PostgreSQL writers wait for a lock that ends with the
    transaction; readers never do.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection


def next_id(connection: Connection, table: Table) -> int:
    """The number of the next row; call it within :func:`writing`."""
    return int(connection.execute(_last(table)).scalar_one()) + 1


def chunks(values: Iterable[Row]) -> Iterator[list[Row]]:
    """Values in pieces that one statement takes."""
    rest = iter(values)
    while piece := list(islice(rest, _CHUNK)):
        yield piece


def store(connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows, each with every column of the table in order."""
    rest = iter(rows)
    piece = list(islice(rest, _PIECE))
    if piece and connection.dialect.name == "postgresql":
        with copying(connection, table) as copy:
            for row in chain(piece, rest):
                copy.write_row(row)
        return
    while piece:
        connection.exec_driver_sql(_insert(table), [tuple(row) for row in piece])
        piece = list(islice(rest, _PIECE))


@contextmanager
def copying(connection: Connection, table: Table, *, binary: bool = False) -> Iterator[Any]:
    """A COPY of PostgreSQL into a table: psycopg's object with ``write_row``, and ``write`` for blocks of bytes."""
    from psycopg import Error, sql

    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    form = sql.SQL(" (FORMAT BINARY)" if binary else "")
    statement = sql.SQL("COPY {} ({}) FROM STDIN{}").format(sql.Identifier(table.name), columns, form)
    try:
        with connection.connection.cursor() as cursor, cursor.copy(statement) as copy:  # type: ignore[attr-defined]
            yield copy
    except Error as err:
        raise DBAPIError("COPY", None, err) from None


@contextmanager
def indexes_built_after(connection: Connection, new: int) -> Iterator[None]:
    """Around a large insert: the indexes of files are dropped and built again, which costs a third.

    The transaction holds the table on PostgreSQL meanwhile. Small inserts leave the indexes as they are, and so do
    those of a role that does not own the table.
    """
    if new < _FEW or new < next_id(connection, files) or not _owned(connection):
        yield
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
    else:
        connection.execute(select(func.set_config("maintenance_work_mem", f"{_CACHE_KIB}kB", _THIS_TRANSACTION)))
    indexes = sorted(files.indexes, key=lambda index: str(index.name))
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        index.create(connection)
    # Queries are planned by what the tables hold; a sample of each index is enough.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
    connection.exec_driver_sql("ANALYZE catalog_files")


def campaign_id(connection: Connection, name: str, owner: str) -> int:
    """The number of a campaign, which is made when it is new.

    Raises
    ------
    CatalogError
        It belongs to somebody else: names both.
    """
    found = connection.execute(select(campaigns).where(campaigns.c.name == name)).one_or_none()
    if found is None:
        number = next_id(connection, campaigns)
        connection.execute(insert(campaigns).values(id=number, name=name, owner=owner, made_at=now()))
        return number
    if found.owner != owner:
        raise CatalogError(
            f"campaign {quoted(name)} belongs to {quoted(found.owner)}, {quoted(owner)} cannot add to it: "
            "choose another --campaign"
        )
    return int(found.id)


def settings_ids(connection: Connection, wanted: Iterable[Settings]) -> dict[Settings, int]:
    """Numbers of settings; those that are new are made."""
    return _ids(connection, settings, dict.fromkeys(wanted), lambda one: digest(*one), lambda one: tuple(one))


def folder_ids(connection: Connection, wanted: Iterable[str]) -> dict[str, int]:
    """Numbers of folders; those that are new are made."""
    return _ids(connection, folders, dict.fromkeys(wanted), digest, lambda path: (path,))


def digest(*texts: str | int | None) -> bytes:
    """SHA-256 of several values, each with its length before it so that none runs into the next."""
    parts = ["-" if text is None else f"{len(str(text))}:{text}" for text in texts]
    return hashlib.sha256("".join(parts).encode()).digest()


def _ids(
    connection: Connection,
    table: Table,
    wanted: Iterable[Row],
    key: Callable[[Row], bytes],
    values: Callable[[Row], tuple[Any, ...]],
) -> dict[Row, int]:
    keys = {key(one): one for one in wanted}
    found: dict[Row, int] = {}
    for piece in chunks(keys):
        for number, one in connection.execute(select(table.c.id, table.c.digest).where(table.c.digest.in_(piece))):
            found[keys[bytes(one)]] = number
    new = [one for one in keys.values() if one not in found]
    first = next_id(connection, table) if new else 0
    store(connection, table, [(first + place, key(one), *values(one)) for place, one in enumerate(new)])
    return found | {one: first + place for place, one in enumerate(new)}


@cache
def _last(table: Table) -> Select[Any]:
    return select(func.coalesce(func.max(table.c.id), 0))


@cache
def _insert(table: Table) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect()))


def _owned(connection: Connection) -> bool:
    if connection.dialect.name == "sqlite":
        return True
    tables = lightweight_table("pg_tables", column("tablename", Text), column("tableowner", Text))
    may = select(func.pg_has_role(tables.c.tableowner, "USAGE")).where(tables.c.tablename == files.name)
    return bool(connection.execute(may).scalar())
