"""Connections to a SQLite file or a PostgreSQL server, set up so that what was committed stays.

SQLite commits reach the disk before they are acknowledged (synchronous FULL). The write-ahead log lets readers and a
writer work side by side, but "does not work over a network filesystem" (sqlite.org/wal.html): there the rollback
journal is used.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from gm2sim.errors import ConfigError

_BUSY_SECONDS = 60.0  # a writer waits so long for its turn
_SHARED = {"nfs", "nfs4", "lustre", "gpfs", "cifs", "smb3", "smbfs", "afs", "ceph", "beegfs", "dvs", "fuse.sshfs", "9p"}


class DatabaseError(ConfigError):
    """A database that cannot do what was asked: says which, what is wrong and how to mend it."""


def open_engine(where: str | Path, *, create: bool = False, read_only: bool = False, immutable: bool = False) -> Engine:
    """A way to connect to a database; nothing is connected yet but SQLite files are looked for.

    Parameters
    ----------
    where : str or Path
        Path of a SQLite file, or ``postgresql://user@host/name``.
    create : bool
        A SQLite file that is not there is made.
    read_only : bool
        Writing is refused by the database itself.
    immutable : bool
        A SQLite file that nobody changes: read without locks and side files, also in a folder that cannot be written.

    Returns
    -------
    sqlalchemy.Engine
        Its transactions are serialised: ``with engine.begin() as connection``. On SQLite a transaction that may write
        takes the write lock when it begins, so that it waits for its turn there and never fails half-way. Dispose of
        it, or use :func:`opened`.

    Raises
    ------
    DatabaseError
        No such file, an unknown kind of database, or the driver is not installed.
    """
    text = str(where)
    if "://" not in text:
        return _sqlite(Path(text), create, read_only, immutable)
    try:
        url = make_url(text)
    except ArgumentError:
        raise DatabaseError(
            f"'{text}' is no address of a database: give a path or postgresql://user@host/name"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database:
        return _sqlite(Path(url.database), create, read_only, immutable)
    if url.get_backend_name() != "postgresql":
        raise DatabaseError(
            f"'{shown(url)}' is no kind of database that is known: give a path (SQLite) or postgresql://"
        )
    return _postgresql(url.set(drivername="postgresql+psycopg"), read_only)


@contextmanager
def opened(
    where: str | Path, *, create: bool = False, read_only: bool = False, immutable: bool = False
) -> Iterator[Engine]:
    """An engine for one piece of work: complaints become one sentence, connections are closed at the end.

    The parameters and errors are those of :func:`open_engine` and :func:`explain`.
    """
    engine = open_engine(where, create=create, read_only=read_only, immutable=immutable)
    try:
        with explain(engine):
            yield engine
    finally:
        engine.dispose()


def shown(where: str | Path | URL) -> str:
    """The address of a database for messages, without its password."""
    if isinstance(where, URL):
        if where.get_backend_name() == "sqlite":
            return str(where.database)
        return where.render_as_string(hide_password=True).replace("+psycopg", "")
    try:
        return shown(make_url(str(where))) if "://" in str(where) else str(where)
    except ArgumentError:
        return str(where)


@contextmanager
def explain(engine: Engine) -> Iterator[None]:
    """Turn a database's own complaint into one sentence.

    Raises
    ------
    DatabaseError
        The database cannot be reached, is damaged, full, locked, or refuses.
    """
    try:
        yield
    except DBAPIError as err:
        first = str(err.orig).strip().splitlines()[0] if err.orig is not None else str(err)
        raise DatabaseError(f"{_name(engine)}: {first}{_advice(first)}") from None
    except SQLAlchemyError as err:
        raise DatabaseError(f"{_name(engine)}: {str(err).splitlines()[0]}") from None


def on_shared_filesystem(path: Path) -> bool:
    """Whether a path is on a file system that several machines write to."""
    mounts = sorted(psutil.disk_partitions(all=True), key=lambda mount: len(mount.mountpoint))
    kind = ""
    for mount in mounts:
        if path.absolute().is_relative_to(mount.mountpoint):
            kind = mount.fstype
    return kind in _SHARED


def _name(engine: Engine) -> str:
    return f"database '{shown(engine.url)}'"


def _advice(complaint: str) -> str:
    told = {
        "database is locked": ": another program has it open for too long, try again",
        "not a database": ": it is damaged or another kind of file, give the right one",
        "malformed": ": it is damaged, take a copy of before",
        "readonly database": ": it was opened for reading, or you may not write it",
        "permission denied": ": you may not do that here, ask for the writer's role",
        "unable to open database file": ": a database in use needs a folder that can be written, a snapshot does not",
        "disk is full": ": make room and try again",
        "onnection refused": ": is the server running there?",
        "no such table": ": `gm2sim ... init` makes the tables",
    }
    return next((advice for part, advice in told.items() if part in complaint), "")


def _sqlite(path: Path, create: bool, read_only: bool, immutable: bool) -> Engine:
    if "\0" in str(path):
        raise DatabaseError("the path of a database cannot hold a zero byte: give another")
    if not path.is_file():
        if path.is_dir():
            raise DatabaseError(f"'{path}' is a folder: give the path of a database file in it")
        if not create or read_only:
            raise DatabaseError(f"there is no database '{path}': check the path, or make it with `init`")
        if not path.parent.is_dir():
            raise DatabaseError(f"there is no folder '{path.parent}' for the database: make it or choose another place")
    read_only = read_only or immutable
    mode = "ro" if read_only else "rwc" if create else "rw"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}{'&immutable=1' if immutable else ''}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    # Each new connection reads the whole schema: a reader keeps its own.
    pool = QueuePool if read_only else NullPool
    engine = create_engine(URL.create("sqlite", database=str(path)), creator=connect, poolclass=pool)
    journal = "DELETE" if on_shared_filesystem(path) else "WAL"

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL, read_only: bool) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    except (NoSuchModuleError, ModuleNotFoundError):
        raise DatabaseError(
            f"'{shown(url)}' needs the PostgreSQL driver: install it with pip install 'gm2sim[postgres]'"
        ) from None
    if read_only:

        @event.listens_for(engine, "connect")
        def _set_up(connection: Any, _: Any) -> None:
            connection.read_only = True

    return engine
