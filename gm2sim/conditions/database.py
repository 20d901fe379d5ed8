"""Conditions of a database, or of the snapshot of one that jobs carry."""

import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gm2sim.conditions.interval import EVERY_RUN, Interval
from gm2sim.conditions.lookup import Held, around, has_any, held_at, read_set
from gm2sim.conditions.moment import Moment, as_interval, moment
from gm2sim.conditions.schema import FOLDER_TABLES, SNAPSHOT, FolderTables, is_snapshot
from gm2sim.conditions.table import ConditionsError, Table, known_folder
from gm2sim.conditions.tags import checksum, find_tag
from gm2sim.database import explain, open_engine, require_schema, shown

_KEPT = 64  # sets of constants


class DatabaseConditions:
    """Constants of one tag of a database.

    A snapshot is opened as a file that nobody changes: no locks, no side files, no connection to any server.

    Parameters
    ----------
    where : str or Path
        Path of a SQLite file, or ``postgresql://user@host/name``.
    tag : str
        May be left out where there is only one.
    allow_open : bool
        Use a tag that is not frozen: it may change while it is used.

    Raises
    ------
    ConditionsError
        There is no such tag, or it is not frozen.
    DatabaseError
        The database cannot be reached, or has no tables of the conditions that this program knows.
    """

    def __init__(self, where: str | Path, tag: str = "", *, allow_open: bool = False) -> None:
        self._name = f"conditions database '{shown(where)}'"
        snapshot = is_snapshot(where)
        self._engine = open_engine(where, read_only=True, immutable=snapshot)
        # A look-up is one statement: on a server, transactions around it would take as long again.
        on_server = self._engine.dialect.name == "postgresql"
        self._looking = self._engine.execution_options(isolation_level="AUTOCOMMIT") if on_server else self._engine
        weakref.finalize(self, self._engine.dispose)  # whoever looks constants up has no end to close it at
        require_schema(self._engine, "conditions")
        with explain(self._engine), self._engine.connect() as connection:
            row = find_tag(connection, tag)
            if not (row.frozen or allow_open):
                raise ConditionsError(
                    f"tag '{row.tag}' of {self._name} is open and may still change: freeze it with `gm2sim conditions "
                    "tag freeze`, or allow it (conditions.allow_open = true, --allow-open)"
                )
            of_content = row.checksum or checksum(connection, row.tag_id)
            self._runs = _runs(connection) if snapshot else None
        self.tag = str(row.tag)
        self._tag_id = row.tag_id
        self._version = f"{row.tag}{'' if row.frozen else ' (open)'} sha256 {of_content}"
        self._constants = lru_cache(maxsize=_KEPT)(self._read)

    @property
    def version(self) -> str:
        """Tag and checksum of all that it holds; a snapshot has that of the tag it was taken of."""
        return self._version

    def folders(self) -> list[str]:
        """Names of the folders in which the tag has anything."""
        with explain(self._engine), self._engine.connect() as connection:
            return [name for name, tables in FOLDER_TABLES.items() if has_any(connection, tables, self._tag_id)]

    def interval(self, folder: str, run: int, subrun: int = 0, event: int = 0) -> Interval:
        """Subruns that the constants hold for, in part or whole; see :class:`gm2sim.conditions.Conditions`."""
        return _as_interval(self._held(folder, moment(run, subrun, event)))

    def table(self, folder: str, run: int, subrun: int = 0, event: int = 0) -> Table:
        """The constants of a folder; see :class:`gm2sim.conditions.Conditions`.

        Parameters
        ----------
        folder : str
        run, subrun, event : int
            The simulation looks up the first event of a subrun.

        Raises
        ------
        ConditionsError
            There is no such folder, nothing in it for the event, or what is stored is damaged.
        """
        held = self._held(folder, moment(run, subrun, event))
        constants = self._constants(folder, held.iov_id)
        return Table(constants.folder, _as_interval(held), constants.columns, constants.texts)

    def close(self) -> None:
        """Close the connections; the next look-up opens one."""
        self._engine.dispose()

    def _tables(self, folder: str) -> FolderTables:
        return FOLDER_TABLES[known_folder(folder).name]

    def _held(self, folder: str, when: Moment) -> Held:
        tables = self._tables(folder)
        run, subrun = when.subrun
        if self._runs is not None and not self._runs[0] <= run <= self._runs[1]:
            raise ConditionsError(
                f"{self._name} is a snapshot of runs {self._runs[0]} to {self._runs[1]}, run {run} is not in it: take "
                "another with `gm2sim conditions snapshot`"
            )
        with explain(self._engine), self._looking.connect() as connection:
            found = held_at(connection, tables, self._tag_id, when)
            if found is not None:
                return found
            if not has_any(connection, tables, self._tag_id):
                raise ConditionsError(
                    f"tag '{self.tag}' of {self._name} has no {folder}, which run {run} needs: clone the tag and load "
                    "it there"
                )
            beside = around(connection, tables, self._tag_id, when)
        raise ConditionsError(
            f"tag '{self.tag}' of {self._name} has no {folder} for run {run} subrun {subrun}: the intervals beside it "
            f"are {beside}; clone the tag and add one"
        )

    def _read(self, folder: str, iov_id: int) -> Table:
        with explain(self._engine), self._engine.connect() as connection:
            return read_set(connection, self._tables(folder), iov_id, EVERY_RUN, self._name)


def _runs(connection: sa.Connection) -> tuple[int, int]:
    row: Any = connection.execute(sa.select(SNAPSHOT.c.first_run, SNAPSHOT.c.last_run)).one()
    return row.first_run, row.last_run


def _as_interval(held: Held) -> Interval:
    return as_interval(held.begin, held.end)
