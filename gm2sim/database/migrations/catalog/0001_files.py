"""Files, what they share, where they lie, what they were made from; definitions and snapshots."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_FILE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key(name: str, kind: Any = sa.Integer) -> sa.Column:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _due(name: str, kind: Any = _TEXT, **how: Any) -> sa.Column:
    return sa.Column(name, kind, nullable=False, **how)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "catalog_campaigns", _key("id"), _due("name", unique=True), _due("owner"), _due("made_at", sa.BigInteger)
    )
    op.create_table(
        "catalog_settings",
        _key("id"),
        _due("digest", sa.LargeBinary, unique=True),
        _due("version"),
        _due("config_hash"),
        sa.Column("seed", sa.BigInteger),
        _due("preset"),
        _due("conditions"),
    )
    op.create_index("catalog_settings_hash", "catalog_settings", ["config_hash"])
    op.create_index("catalog_settings_seed", "catalog_settings", ["seed"])
    op.create_table("catalog_folders", _key("id"), _due("digest", sa.LargeBinary, unique=True), _due("path"))
    _files()
    _links()
    _lists()


def _files() -> None:
    numbers = ("first_event", "last_event", "events", "begin_time", "end_time")
    op.create_table(
        "catalog_files",
        _key("id", _FILE),
        _due("name"),
        _due("size", sa.BigInteger),
        sa.Column("adler32", sa.BigInteger),
        sa.Column("crc32c", sa.BigInteger),
        sa.Column("sha256", sa.LargeBinary),
        _due("tier"),
        _due("format"),
        _due("run", sa.Integer),
        _due("subrun", sa.Integer),
        *(sa.Column(name, sa.BigInteger) for name in numbers),
        _due("campaign_id", sa.Integer),
        _due("settings_id", sa.Integer),
        _due("folder_id", sa.Integer),
        _due("status"),
        _due("declared", sa.BigInteger),
        _due("description"),
    )
    op.create_index("catalog_files_name", "catalog_files", ["name"], unique=True)
    order = ["run", "subrun", "id"]
    op.create_index("catalog_files_order", "catalog_files", order)
    op.create_index("catalog_files_tier", "catalog_files", ["tier", *order])
    op.create_index("catalog_files_campaign", "catalog_files", ["campaign_id", *order])
    op.create_index("catalog_files_settings", "catalog_files", ["settings_id", *order])


def _links() -> None:
    op.create_table("catalog_copies", _key("file_id", sa.BigInteger), _key("folder_id"), sqlite_with_rowid=False)
    op.create_index("catalog_copies_folder", "catalog_copies", ["folder_id", "file_id"])
    op.create_table(
        "catalog_parents",
        _key("child_id", sa.BigInteger),
        _key("parent_id", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("catalog_parents_parent", "catalog_parents", ["parent_id", "child_id"])
    op.create_table(
        "catalog_runs",
        _key("run"),
        sa.Column("campaign_id", sa.Integer, sa.ForeignKey("catalog_campaigns.id"), nullable=False),
        _due("config_hash"),
        sa.Column("seed", sa.BigInteger),
    )


def _lists() -> None:
    op.create_table(
        "catalog_definitions",
        _key("name", _TEXT),
        _due("query"),
        _due("owner"),
        _due("made_at", sa.BigInteger),
        _due("description"),
    )
    op.create_table(
        "catalog_snapshots",
        _key("id"),
        _due("name"),
        _due("query"),
        _due("owner"),
        _due("made_at", sa.BigInteger),
        _due("files", sa.BigInteger),
        _due("size", sa.BigInteger),
    )
    op.create_table(
        "catalog_snapshot_files",
        sa.Column(
            "snapshot_id", sa.Integer, sa.ForeignKey("catalog_snapshots.id"), primary_key=True, autoincrement=False
        ),
        _key("file_id", sa.BigInteger),
        sqlite_with_rowid=False,
    )
