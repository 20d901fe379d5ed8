"""What the ledger of campaigns tells, row by row; all times are Unix times [s]."""

from typing import NamedTuple

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.shard import State
from gm2sim.errors import ConfigError


class LedgerError(ConfigError):
    """A request to the ledger that cannot be carried out: says what, whose and how to go on."""


class LockedError(LedgerError):
    """Somebody else acts on the campaign at the moment."""


class Registered(NamedTuple):
    """How many shards a registration brought, and how many were there."""

    new: int
    known: int


class CampaignRow(NamedTuple):
    """A campaign as it is registered."""

    name: str
    owner: str
    folder: str
    hash: str
    registered: float
    definition: Campaign


class ShardRow(NamedTuple):
    """A shard with what is known of it now.

    Attributes
    ----------
    stage : str
    run, subrun : int
        Subrun -1: a whole run.
    name : str
        Unique within the stage.
    fills : int
    state : State
    attempts : int
        That reports tell of.
    job : str
        Token of the last job it was given to; empty before the first.
    reason : str
        Why it is in this state.
    wall_s, cpu_s : float
        Of the last attempt that was reported, as the next three.
    threads : int
    peak_memory_mb : float
    ended : float
        0 before the first report.
    launches : int
        Jobs that it was given to.
    muons : int
    """

    stage: str
    run: int
    subrun: int
    name: str
    fills: int
    state: State
    attempts: int
    job: str
    reason: str
    wall_s: float
    cpu_s: float
    threads: int
    peak_memory_mb: float
    ended: float
    launches: int
    muons: int


class HistoryRow(NamedTuple):
    """A change of a shard; from ``attempt`` on None where no report told it."""

    stage: str
    shard: str
    at: float
    who: str
    state: State
    reason: str
    job: str
    attempt: int | None
    element: int | None
    rank: int | None
    host: str | None
    began: float | None
    ended: float | None
    wall_s: float | None
    cpu_s: float | None
    threads: int | None
    peak_memory_mb: float | None


class JobRow(NamedTuple):
    """A job of the batch system.

    Attributes
    ----------
    token : str
        Its name there.
    stage : str
    state : str
        ``intended`` before the batch system has named it, ``submitted`` from then on, at last how it ended.
    slurm_id : str or None
        Its number there.
    nodes : int
    shards : int
        That it was given.
    who : str
    begun : float
        When the intent was written.
    known, ended : float or None
    """

    token: str
    stage: str
    state: str
    slurm_id: str | None
    nodes: int
    shards: int
    who: str
    begun: float
    known: float | None
    ended: float | None

    @property
    def live(self) -> bool:
        """Whether it may still work on its shards."""
        return self.ended is None


class AuditRow(NamedTuple):
    """Something that was done. ``role`` is the role of the PostgreSQL server, empty on SQLite."""

    time: float
    who: str
    what: str
    detail: str
    role: str


class Holder(NamedTuple):
    """Who acts on a campaign; ``taken`` and ``renewed`` are Unix times [s]."""

    who: str
    what: str
    host: str
    process: int
    taken: float
    renewed: float
