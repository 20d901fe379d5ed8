"""Transactions of the ledger: they survive a restart of the server, and one person acts on a campaign at a time.

Everything done in one is written so that doing it twice is doing it once. A connection that broke while it was
committing leaves open whether it has: the work is simply done again.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from gm2sim.campaign.rows import LedgerError, LockedError
from gm2sim.campaign.tables import audit, campaigns, locks
from gm2sim.catalog.text import free_text, quoted
from gm2sim.catalog.times import iso, now
from gm2sim.database import explain
from gm2sim.errors import nearest
from gm2sim.text import one_line

LOCK_S = 900.0
"""A lock that its holder has neither used nor given back for so long falls [s]."""
_PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0)  # a server that restarts is back within seconds
# PostgreSQL's admin_shutdown, crash_shutdown, cannot_connect_now; none where no server answers
_RESTARTING = (None, "57P01", "57P02", "57P03")
_LEDGER = 0x676D326C  # first half of the numbers of our locks on the server: any, the same for everyone
Result = TypeVar("Result")


def transact(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    """Do a piece of work in one transaction; when the server goes away meanwhile, once more when it is back.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Its database has been reached before.
    work : callable
        Twice the same has to be once.

    Raises
    ------
    DatabaseError
        The database refuses, or is not back after some seconds.
    """
    with explain(engine):
        for pause in _PAUSES_S:
            try:
                return _once(engine, work)
            except DBAPIError as err:
                if not _broken(err):
                    raise
            time.sleep(pause)
        return _once(engine, work)


def _once(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


def _broken(err: DBAPIError) -> bool:
    """Whether a connection broke, or none could be made."""
    if err.connection_invalidated:
        return True
    # psycopg need not be installed: its OperationalError is known by name.
    kinds = {kind.__name__ for kind in type(err.orig).__mro__}
    return "OperationalError" in kinds and getattr(err.orig, "sqlstate", "") in _RESTARTING


def campaign_number(connection: Connection, name: str) -> int:
    """Number of a campaign.

    Raises
    ------
    LedgerError
        None of that name is registered.
    """
    known = campaigns.c.name == free_text("the name of a campaign", name)
    found = connection.execute(select(campaigns.c.id).where(known)).scalar()
    if found is None:
        names = list(connection.execute(select(campaigns.c.name)).scalars())
        hint = nearest(name, names) if names else "launch it first"
        raise LedgerError(f"no campaign {quoted(name)} is registered: {hint}")
    return int(found)


def one_at_a_time(connection: Connection, number: int) -> None:
    """Wait until nobody else writes rows of a campaign; the turn ends with the transaction.

    On SQLite a transaction has its turn from the beginning.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LEDGER, number)))


def write_audit(connection: Connection, number: int, who: str, what: str, detail: str) -> None:
    """Write down what was done."""
    connection.execute(
        insert(audit).values(
            campaign_id=number, at=now(), who=one_line(who), what=one_line(what), detail=one_line(detail)
        )
    )


def take_lock(connection: Connection, name: str, token: str, who: str, what: str) -> None:
    """Make the campaign ours, if it is free or its holder is gone.

    Raises
    ------
    LockedError
        Somebody holds it.
    """
    number = campaign_number(connection, name)
    one_at_a_time(connection, number)
    row = _lock(connection, number)
    if row.token == token:  # done already, before the connection broke
        return
    if row.token:
        if not _fallen(row):
            raise LockedError(_holder(name, row))
        write_audit(connection, number, who, "take over", f"the lock of {_person(row)}")
    moment = now()
    connection.execute(
        update(locks)
        .where(locks.c.campaign_id == number)
        .values(
            token=token, who=one_line(who), what=one_line(what), host=host(), process=os.getpid(),
            born=_born(os.getpid()), taken=moment, renewed=moment,
        )
    )  # fmt: skip


def give_back(connection: Connection, name: str, token: str) -> None:
    """Free the campaign, unless the lock has fallen to somebody else."""
    number = campaign_number(connection, name)
    one_at_a_time(connection, number)
    connection.execute(update(locks).where(locks.c.campaign_id == number, locks.c.token == token).values(token=""))


def keep_lock(connection: Connection, name: str, number: int, token: str) -> None:
    """See that nobody else acts on a campaign before rows of it change; renews a lock that is ours.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In its turn (:func:`one_at_a_time`).
    name : str
    number : int
    token : str
        Of our lock; empty without one.

    Raises
    ------
    LockedError
        Somebody holds it.
    """
    row = _lock(connection, number)
    if token:
        if row.token != token:
            raise LockedError(
                f"your lock on campaign {quoted(name)} has fallen, for {LOCK_S:.0f} s without use"
                + (f", to {_person(row)}" if row.token else "")
                + ": look at its status and start again"
            )
        connection.execute(update(locks).where(locks.c.campaign_id == number).values(renewed=now()))
    elif row.token and not _fallen(row):
        raise LockedError(_holder(name, row))


def host() -> str:
    """This machine, and which space of processes: numbers of processes mean nothing outside."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{os.uname().nodename} {space}".strip()


def _born(process: int) -> str:
    """When a process began, in ticks since the machine did, and which start of the machine; empty when it is gone.

    Clocks may be set back, these are not.
    """
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        if fields[0] not in "ZX":  # dead, though not yet buried by its parent
            return f"{fields[19]} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return ""


def _lock(connection: Connection, number: int) -> Row:
    return connection.execute(select(locks).where(locks.c.campaign_id == number)).one()


def _fallen(row: Row) -> bool:
    """Whether the holder of a lock is dead or silent."""
    # Where processes cannot be looked at, "born" is empty and only time tells.
    died = bool(row.born) and row.host == host() and _born(row.process) != row.born
    return died or now() - int(row.renewed) > LOCK_S * 1e6


def _person(row: Row) -> str:
    where = row.host.split()[0] if row.host else "?"
    return f"{quoted(row.who)} ({one_line(row.what)}, process {row.process} on {where})"


def _holder(name: str, row: Row) -> str:
    falls = iso(int(row.renewed + LOCK_S * 1e6) // 1_000_000 * 1_000_000)
    since = iso(row.taken // 1_000_000 * 1_000_000)
    return (
        f"campaign {quoted(name)} is in the hands of {_person(row)} since {since}: wait until that has ended; "
        f"if it died, the lock falls at {falls}"
    )
