"""Campaigns: their shards and jobs, what became of each, who acts, and who has done what."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_COUNTED = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_STATES = ("waiting", "submitted", "running", "done", "flagged", "failed", "held", "cancelled")


def _key(name: str, kind: Any = sa.Integer, *more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, primary_key=True, autoincrement=False)


def _counted() -> sa.Column[Any]:
    return sa.Column("id", _COUNTED, primary_key=True, autoincrement=True)


def _due(name: str, kind: Any = _TEXT, *more: Any, **how: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False, **how)


def _of_campaign() -> sa.ForeignKey:
    return sa.ForeignKey("catalog_ledger_campaigns.id")


def _of_shard() -> sa.ForeignKey:
    return sa.ForeignKey("catalog_ledger_shards.id")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "catalog_ledger_campaigns",
        _key("id"),
        _due("name", unique=True),
        *map(_due, ("owner", "hash", "folder")),
        _due("definition", sa.Text),
        _due("registered", sa.BigInteger),
    )
    _shards()
    _jobs()
    _people()


def _shards() -> None:
    op.create_table(
        "catalog_ledger_shards",
        _key("id"),
        _due("campaign_id", sa.Integer, _of_campaign()),
        _due("stage"),
        _due("run", sa.Integer),
        _due("subrun", sa.Integer),
        _due("name"),
        _due("fills", sa.BigInteger),
        _due("state"),
        _due("reason"),
        _due("attempts", sa.Integer),
        _due("launches", sa.Integer),
        _due("job"),
        _due("wall_s", sa.Double),
        _due("cpu_s", sa.Double),
        _due("threads", sa.Integer),
        _due("peak_memory_mb", sa.Double),
        _due("muons", sa.BigInteger),
        _due("ended", sa.BigInteger),
        _due("reported"),
        sa.UniqueConstraint("campaign_id", "stage", "name", name="catalog_ledger_shards_name"),
        sa.CheckConstraint(f"state IN ({', '.join(map(repr, _STATES))})", name="catalog_ledger_shards_state"),
    )
    op.create_table(
        "catalog_ledger_history",
        _counted(),
        _due("shard_id", sa.Integer, _of_shard()),
        _due("at", sa.BigInteger),
        *map(_due, ("who", "state", "reason", "job")),
        *(sa.Column(name, sa.Integer) for name in ("attempt", "element", "rank")),
        sa.Column("host", _TEXT),
        *(sa.Column(name, sa.BigInteger) for name in ("began", "ended")),
        *(sa.Column(name, sa.Double) for name in ("wall_s", "cpu_s")),
        sa.Column("threads", sa.Integer),
        sa.Column("peak_memory_mb", sa.Double),
    )
    op.create_index("catalog_ledger_history_shard", "catalog_ledger_history", ["shard_id"])


def _jobs() -> None:
    op.create_table(
        "catalog_ledger_jobs",
        _key("token", _TEXT),
        _due("campaign_id", sa.Integer, _of_campaign()),
        _due("stage"),
        _due("nodes", sa.Integer),
        _due("who"),
        _due("state"),
        sa.Column("slurm_id", _TEXT),
        _due("begun", sa.BigInteger),
        *(sa.Column(name, sa.BigInteger) for name in ("known", "ended")),
    )
    op.create_index("catalog_ledger_jobs_campaign", "catalog_ledger_jobs", ["campaign_id", "begun"])
    op.create_table(
        "catalog_ledger_members",
        _key("token", _TEXT, sa.ForeignKey("catalog_ledger_jobs.token")),
        _key("shard_id", sa.Integer, _of_shard()),
        _due("live", sa.Boolean),
    )
    # A shard belongs to at most one live job.
    op.create_index(
        "catalog_ledger_members_live", "catalog_ledger_members", ["shard_id"], unique=True,
        sqlite_where=sa.text("live"), postgresql_where=sa.text("live"),
    )  # fmt: skip


def _people() -> None:
    op.create_table(
        "catalog_ledger_locks",
        _key("campaign_id", sa.Integer, _of_campaign()),
        *map(_due, ("token", "who", "what", "host")),
        _due("process", sa.Integer),
        _due("born"),
        *(_due(name, sa.BigInteger) for name in ("taken", "renewed")),
    )
    connected = "SESSION_USER" if op.get_bind().dialect.name == "postgresql" else "''"
    op.create_table(
        "catalog_ledger_audit",
        _counted(),
        _due("campaign_id", sa.Integer, _of_campaign()),
        _due("at", sa.BigInteger),
        *map(_due, ("who", "what", "detail")),
        _due("role", server_default=sa.text(connected)),
    )
    op.create_index("catalog_ledger_audit_campaign", "catalog_ledger_audit", ["campaign_id", "id"])
