"""The ledger of campaigns in the catalogue's database: what is to be made, what became of it, who did what.

Only those who launch, look and recover connect, never the ranks of a job: these leave reports in files
(:class:`gm2sim.campaign.shard.Report`).
"""

import logging
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, select

from gm2sim.campaign import job_book, registering, shard_book
from gm2sim.campaign.acting import (
    LOCK_S,
    campaign_number,
    give_back,
    keep_lock,
    one_at_a_time,
    take_lock,
    transact,
    write_audit,
)
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.rows import (
    AuditRow,
    CampaignRow,
    HistoryRow,
    Holder,
    JobRow,
    LedgerError,
    LockedError,
    Registered,
    ShardRow,
)
from gm2sim.campaign.shard import Report, State
from gm2sim.campaign.tables import audit, campaigns, locks
from gm2sim.catalog.folder import user
from gm2sim.database import DatabaseError, require_schema

__all__ = ["LOCK_S", "Ledger", "LedgerError", "LockedError"]
_AGAIN_S = 0.2  # between two tries to get a lock
log = logging.getLogger(__name__)
Result = TypeVar("Result")


class Named(Protocol):
    """A shard, or a row about one."""

    @property
    def name(self) -> str:
        """Unique within its stage."""


class Ledger:
    """The ledger in a database; every acting call is one transaction and leaves a line in the audit table.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        A database with the tables of the catalogue.
    who : str
        Who acts, where a call does not say; you without.

    Raises
    ------
    DatabaseError
        There are no tables, or they are of an older or newer program. Later also by every call: the database refuses,
        or has gone and is not back within seconds.
    """

    def __init__(self, engine: Engine, who: str = "") -> None:
        require_schema(engine, "catalog")
        self.engine = engine
        self._who = who or user()
        self._held: dict[str, tuple[str, str]] = {}  # campaign: token of the lock, and on whose behalf

    def register(self, campaign: Campaign, folder: Path | str, owner: str = "") -> Registered:
        """Put a campaign into the ledger with all its shards, which wait.

        Parameters
        ----------
        campaign : Campaign
            The same as before changes nothing; limits and descriptions may change; one with ``draining`` may have more
            runs than before.
        folder : Path or str
            Of everything it makes; has to stay the same.
        owner : str
            Who registers it; you without.

        Returns
        -------
        Registered

        Raises
        ------
        LedgerError
            A campaign of this name lies elsewhere, or makes something else: names its owner and the difference.
        LockedError
            Somebody else acts on it.
        ConfigError
            Its slices hold a muon twice, or leave one out.
        """
        by, token = owner or self._who, self._token(campaign.name)
        return transact(
            self.engine, lambda connection: registering.register(connection, campaign, str(folder), by, token)
        )

    def campaigns(self) -> list[CampaignRow]:
        """All campaigns, in the order in which they were registered."""
        found = transact(self.engine, lambda one: one.execute(select(campaigns).order_by(campaigns.c.id)).all())
        return [
            CampaignRow(
                row.name, row.owner, row.folder, row.hash, row.registered / 1e6, registering.definition(row.definition)
            )
            for row in found
        ]

    def shards(
        self, name: str, stage: str | None = None, states: Iterable[State | str] | None = None
    ) -> list[ShardRow]:
        """Shards of a campaign, in an order in which they can be made; all stages and states without."""
        return self._look(name, lambda connection, number: shard_book.listed(connection, number, stage, states))

    def counts(self, name: str) -> dict[str, dict[State, int]]:
        """How many shards of each stage are in each state; states that no shard is in are left out."""
        return self._look(name, shard_book.counted)

    def history(self, name: str, stage: str | None = None, shard: str | None = None) -> list[HistoryRow]:
        """What became of shards: every change of state and every report, oldest first."""
        return self._look(name, lambda connection, number: shard_book.told_of(connection, number, stage, shard))

    def set_states(self, name: str, changes: Iterable[tuple[str, str, State | str, str]], who: str = "") -> bool:
        """Set states of shards, all or none.

        Parameters
        ----------
        name : str
            Of the campaign.
        changes : iterable of (str, str, State, str)
            Stage, name of the shard, state, reason. What is so already is no change.
        who : str
            Who acts; the holder of the lock, or you, without.

        Returns
        -------
        bool
            Whether something changed.

        Raises
        ------
        LedgerError
            There is no such shard or state.
        LockedError
            Somebody else acts on the campaign.
        """
        wanted, by = list(changes), self._person(name, who)

        def work(connection: Connection, number: int) -> bool:
            told = shard_book.set_states(connection, number, wanted, by)
            if told:
                write_audit(connection, number, by, "set states", told)
            return bool(told)

        return self._act(name, work)

    def note_reports(self, name: str, reports: Iterable[Report], who: str = "") -> bool:
        """Take over reports on shards: their state, measures and attempt.

        A report is taken at its word: give one that says ``done`` only when its files were verified, and otherwise a
        copy that says ``failed`` and why. The same report counts once, so that it does not undo what was set later; a
        ``running`` one does not wake a shard that a person holds or has cancelled.

        Returns
        -------
        bool
            Whether one was new.

        Raises
        ------
        LedgerError
            There is no such shard, or a report has a state that none can have.
        LockedError
            Somebody else acts on the campaign.
        """
        wanted, by = list(reports), self._person(name, who)

        def work(connection: Connection, number: int) -> bool:
            told = shard_book.note_reports(connection, number, wanted, by)
            if told:
                write_audit(connection, number, by, "note reports", told)
            return bool(told)

        return self._act(name, work)

    def begin_job(self, name: str, token: str, stage: str, shards: Iterable[Named | str], nodes: int) -> None:
        """Write down that a job is about to be submitted; its shards are submitted from here on.

        Parameters
        ----------
        name : str
            Of the campaign.
        token : str
            Name of the job in the batch system: unique in the catalogue.
        stage : str
        shards : iterable of Shard, ShardRow or str
            Of the stage; by name where they are texts.
        nodes : int

        Raises
        ------
        LedgerError
            A shard is in a live job, done or held, or unknown; the token is taken. Nothing is kept then.
        LockedError
            Somebody else acts on the campaign.
        """
        names, by = [one if isinstance(one, str) else one.name for one in shards], self._person(name)
        self._act(
            name, lambda connection, number: job_book.begin(connection, number, token, stage, names, nodes, by)
        )  # fmt: skip

    def know_job(self, token: str, slurm_id: str | int) -> None:
        """Note the number that the batch system gave to a job.

        Raises
        ------
        LedgerError
            There is no such job, it has another number, or it has ended.
        LockedError
            Somebody else acts on the campaign.
        """
        name = self._campaign_of(token)
        self._act(
            name,
            lambda one, _: job_book.know(one, job_book.job_of(one, token), str(slurm_id), self._person(name)),
        )  # fmt: skip

    def end_job(self, token: str, state: str, shards: Collection[str] | None = None) -> None:
        """Write down that a job has ended and may work on its shards no more.

        Parameters
        ----------
        token : str
        state : str
            How, in the words of the batch system.
        shards : collection of str, optional
            Only these leave it, the job goes on with the others; it has ended when none is left.

        Its shards that were submitted or running wait again, with the end of the job as reason; what else is known of
        them is for :meth:`set_states`, before or after.

        Raises
        ------
        LedgerError
            There is no such job.
        LockedError
            Somebody else acts on the campaign.
        """
        name = self._campaign_of(token)
        self._act(
            name,
            lambda one, _: job_book.end(one, job_book.job_of(one, token), state, shards, self._person(name)),
        )  # fmt: skip

    def jobs(self, name: str) -> list[JobRow]:
        """Jobs of a campaign, in the order in which they began."""
        return self._look(name, job_book.listed)

    @contextmanager
    def lock(self, name: str, who: str = "", what: str = "", *, wait_s: float = 0.0) -> Iterator[None]:
        """Be the only one who acts on a campaign; others may look.

        The lock of a process that has died on this machine falls, and one that was not used for :data:`LOCK_S`; every
        acting call of this ledger renews it, and is refused when the lock has fallen to somebody else. A block within
        a block holds the same lock.

        Parameters
        ----------
        name : str
        who : str
            Who acts; you without.
        what : str
            What is done, for others to read.
        wait_s : float
            How long to wait for another holder [s].

        Raises
        ------
        LedgerError
            There is no such campaign.
        LockedError
            Somebody holds it: says who, since when, and when it falls.
        """
        if name in self._held:
            yield
            return
        token, by = secrets.token_hex(16), who or self._who
        patience = time.monotonic() + wait_s
        while True:
            try:
                transact(self.engine, lambda connection: take_lock(connection, name, token, by, what))
                break
            except LockedError:
                if time.monotonic() >= patience:
                    raise
            time.sleep(_AGAIN_S)
        self._held[name] = (token, by)
        try:
            yield
        finally:
            del self._held[name]
            try:
                transact(self.engine, lambda connection: give_back(connection, name, token))
            except DatabaseError as err:
                log.warning("the lock on campaign '%s' could not be given back, it falls by itself: %s", name, err)

    def holder(self, name: str) -> Holder | None:
        """Who holds the lock of a campaign; he may be dead."""
        row = self._look(
            name, lambda one, number: one.execute(select(locks).where(locks.c.campaign_id == number)).one()
        )
        if not row.token:
            return None
        return Holder(row.who, row.what, row.host, row.process, row.taken / 1e6, row.renewed / 1e6)

    def record(self, name: str, what: str, detail: str, who: str = "") -> None:
        """Write into the audit table what was done outside the ledger, a job cancelled for instance.

        Raises
        ------
        LockedError
            Somebody else acts on the campaign.
        """
        by = self._person(name, who)
        self._act(name, lambda connection, number: write_audit(connection, number, by, what, detail))

    def audit(self, name: str) -> list[AuditRow]:
        """Who has done what with a campaign, oldest first."""
        found = self._look(
            name,
            lambda one, number: one.execute(
                select(audit).where(audit.c.campaign_id == number).order_by(audit.c.id)
            ).all(),
        )  # fmt: skip
        return [AuditRow(row.at / 1e6, row.who, row.what, row.detail, row.role) for row in found]

    def _look(self, name: str, work: Callable[[Connection, int], Result]) -> Result:
        return transact(self.engine, lambda connection: work(connection, campaign_number(connection, name)))

    def _act(self, name: str, work: Callable[[Connection, int], Result]) -> Result:
        """Change rows of a campaign in our turn, if nobody else holds its lock."""

        def whole(connection: Connection) -> Result:
            number = campaign_number(connection, name)
            one_at_a_time(connection, number)
            keep_lock(connection, name, number, self._token(name))
            return work(connection, number)

        return transact(self.engine, whole)

    def _campaign_of(self, token: str) -> str:
        def name(connection: Connection) -> str:
            number = job_book.job_of(connection, token).campaign_id
            return str(connection.execute(select(campaigns.c.name).where(campaigns.c.id == number)).scalar_one())

        return transact(self.engine, name)

    def _token(self, name: str) -> str:
        return self._held.get(name, ("", ""))[0]

    def _person(self, name: str, who: str = "") -> str:
        return who or self._held.get(name, ("", self._who))[1]
