"""Tables of the campaigns in the catalogue's database; made by the migrations of the book "catalog".

``catalog_ledger_campaigns``
    One row a campaign: owner, folder, hash, and the whole definition as JSON.
``catalog_ledger_shards``
    One row a shard, with what is known of it now: its state, how many attempts reports tell of and how many jobs it was
    given to, the last job, and what the last report measured.
``catalog_ledger_history``
    What became of each shard, one row a change; a change that a report told carries its measures. Rows are only added.
``catalog_ledger_jobs``
    One row a job of the batch system, written before it is submitted. Its token is its name there, so that a job whose
    launch was killed can be found again.
``catalog_ledger_members``
    Which shards a job was given. While it may work on one the row is ``live``, and the database refuses a second live
    row of that shard: two launches can never give it to two jobs.
``catalog_ledger_locks``
    One row a campaign: who acts on it at the moment. No token, no holder.
``catalog_ledger_audit``
    Who has done what, when. Rows are only added. On PostgreSQL ``role`` is the role that was connected, which the
    server fills in; ``who`` is what the program was told.

Times are microseconds since 1970, UTC, like all times of the catalogue. Nothing is ever deleted: roles that may launch
and recover insert and update, and history and audit are only inserted into (:mod:`gm2sim.database.roles`).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    FetchedValue,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from gm2sim.campaign.shard import State
from gm2sim.catalog.schema import TEXT

metadata = MetaData()
COUNTED: TypeEngine[Any] = BigInteger().with_variant(Integer, "sqlite")
"""A number that either engine counts up by itself."""


def _key(name: str, kind: Any = Integer) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False)


def _due(name: str, kind: Any = TEXT, *more: Any) -> Column[Any]:
    return Column(name, kind, *more, nullable=False)


campaigns = Table(
    "catalog_ledger_campaigns",
    metadata,
    _key("id"),
    Column("name", TEXT, nullable=False, unique=True),
    _due("owner"),
    _due("hash"),
    _due("folder"),
    _due("definition", Text),
    _due("registered", BigInteger),
)

shards = Table(
    "catalog_ledger_shards",
    metadata,
    _key("id"),
    _due("campaign_id", Integer, ForeignKey(campaigns.c.id)),
    _due("stage"),
    _due("run", Integer),
    _due("subrun", Integer),
    _due("name"),
    _due("fills", BigInteger),
    _due("state"),
    _due("reason"),
    _due("attempts", Integer),
    _due("launches", Integer),
    _due("job"),  # token of the last one; empty before the first
    _due("wall_s", Double),
    _due("cpu_s", Double),
    _due("threads", Integer),
    _due("peak_memory_mb", Double),
    _due("muons", BigInteger),
    _due("ended", BigInteger),  # 0 before the first report
    _due("reported"),  # tells the last report from others, so that it counts once
    UniqueConstraint("campaign_id", "stage", "name", name="catalog_ledger_shards_name"),
    CheckConstraint(
        f"state IN ({', '.join(repr(state.value) for state in State)})", name="catalog_ledger_shards_state"
    ),
)

history = Table(
    "catalog_ledger_history",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    _due("shard_id", Integer, ForeignKey(shards.c.id)),
    _due("at", BigInteger),
    _due("who"),
    _due("state"),
    _due("reason"),
    _due("job"),
    Column("attempt", Integer),  # from here on only where a report told the change
    Column("element", Integer),
    Column("rank", Integer),
    Column("host", TEXT),
    Column("began", BigInteger),
    Column("ended", BigInteger),
    Column("wall_s", Double),
    Column("cpu_s", Double),
    Column("threads", Integer),
    Column("peak_memory_mb", Double),
    Index("catalog_ledger_history_shard", "shard_id"),
)

jobs = Table(
    "catalog_ledger_jobs",
    metadata,
    _key("token", TEXT),
    _due("campaign_id", Integer, ForeignKey(campaigns.c.id)),
    _due("stage"),
    _due("nodes", Integer),
    _due("who"),
    _due("state"),
    Column("slurm_id", TEXT),
    _due("begun", BigInteger),
    Column("known", BigInteger),
    Column("ended", BigInteger),
    Index("catalog_ledger_jobs_campaign", "campaign_id", "begun"),
)

members = Table(
    "catalog_ledger_members",
    metadata,
    Column("token", TEXT, ForeignKey(jobs.c.token), primary_key=True),
    Column("shard_id", Integer, ForeignKey(shards.c.id), primary_key=True),
    _due("live", Boolean),
    Index(
        "catalog_ledger_members_live", "shard_id", unique=True,
        sqlite_where=text("live"), postgresql_where=text("live"),
    ),
)  # fmt: skip

locks = Table(
    "catalog_ledger_locks",
    metadata,
    Column("campaign_id", Integer, ForeignKey(campaigns.c.id), primary_key=True, autoincrement=False),
    _due("token"),
    _due("who"),
    _due("what"),
    _due("host"),  # machine and, in a container, its space of processes
    _due("process", Integer),
    _due("born"),  # tells a process from a later one of the same number
    _due("taken", BigInteger),
    _due("renewed", BigInteger),
)

audit = Table(
    "catalog_ledger_audit",
    metadata,
    Column("id", COUNTED, primary_key=True, autoincrement=True),
    _due("campaign_id", Integer, ForeignKey(campaigns.c.id)),
    _due("at", BigInteger),
    _due("who"),
    _due("what"),
    _due("detail"),
    Column("role", TEXT, FetchedValue(), nullable=False),
    Index("catalog_ledger_audit_campaign", "campaign_id", "id"),
)
