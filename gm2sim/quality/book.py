"""The book of data quality: written whole for the subruns of an assessment, read by run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import and_, delete, insert, select

from gm2sim.database import opened, require_schema, shown, upgrade
from gm2sim.errors import ConfigError
from gm2sim.quality.flags import BAD_FOR_POSITRONS, Flag
from gm2sim.quality.status import Rows
from gm2sim.quality.tables import FILL_FLAGS, SUBRUN_STATUS, SUBRUN_TIME, TABLES

FILE = "quality.sqlite"
"""Name of the book in the folder of a run, where no other is named."""
_AT_ONCE = 1000


def write_rows(where: Path | str, rows: Rows) -> None:
    """Put the rows of some subruns into a book, in one transaction; what it had of these subruns is replaced.

    Parameters
    ----------
    where : path or address
        Of the database; a SQLite file is made if it is not there.
    rows : mapping
        From :func:`gm2sim.quality.status.rows_of`.

    Raises
    ------
    DatabaseError
        It cannot be written.
    """
    subruns = [(row["run"], row["subrun"]) for row in rows[SUBRUN_TIME.name]]
    with opened(where, create=True) as engine:
        upgrade(engine, "quality")
        with engine.begin() as connection:
            for table in TABLES:
                for run, subrun in subruns:
                    connection.execute(delete(table).where(and_(table.c.run == run, table.c.subrun == subrun)))
                for first in range(0, len(rows[table.name]), _AT_ONCE):
                    connection.execute(insert(table), rows[table.name][first : first + _AT_ONCE])


def read_rows(where: Path | str, run: int | None = None) -> dict[str, list[dict[str, Any]]]:
    """Rows of all tables, of one run or of all, in order of run, subrun and event.

    Raises
    ------
    DatabaseError
        It cannot be read, or has no such tables.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    with opened(where, read_only=True) as engine:
        require_schema(engine, "quality")
        with engine.connect() as connection:
            for table in TABLES:
                last = table.c.event if "event" in table.c else table.c.subrun
                query = select(table).order_by(table.c.run, table.c.subrun, last)
                if run is not None:
                    query = query.where(table.c.run == run)
                found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    return found


def bad_events(where: Path | str, run: int, subruns: Iterable[int], flags: Flag = BAD_FOR_POSITRONS) -> frozenset[int]:
    """Serial numbers of the events of a run that have any of some flags.

    Parameters
    ----------
    where : path or address
    run : int
    subruns : iterable of int
        Must have been assessed.
    flags : Flag

    Raises
    ------
    ConfigError
        A subrun has not been assessed.
    """
    with opened(where, read_only=True) as engine:
        require_schema(engine, "quality")
        with engine.connect() as connection:
            of_run = select(SUBRUN_STATUS.c.subrun).where(SUBRUN_STATUS.c.run == run)
            there = set(connection.execute(of_run).scalars())
            missing = sorted(set(subruns) - there)
            if missing:
                raise ConfigError(
                    f"'{shown(where)}' holds no data quality of run {run} subrun {missing[0]}: "
                    "make it with `gm2sim quality assess`"
                )
            chosen = select(FILL_FLAGS.c.event, FILL_FLAGS.c.flags).where(FILL_FLAGS.c.run == run)
            return frozenset(event for event, bits in connection.execute(chosen) if bits & int(flags))
