"""Tables of the catalogue; made and changed by the migrations of the book "catalog".

What thousands of files share (campaign, settings, folder) is written once. Files are numbered in the order of their
declaration, without gaps. A file without a run has run and subrun -1, so that (run, subrun, number) orders all files
and one index serves every page of a list. Rows of the large tables name each other by number without constraints of
the database, which would cost more than the rows; one function inserts them and ``gm2sim catalog verify`` looks.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

NO_RUN = -1
"""Run and subrun of a file that belongs to none."""
NOWHERE = 0
"""Folder of a file whose place is not known."""

# Letters are compared by their codes on every engine, so that a query means the same everywhere.
TEXT: TypeEngine[Any] = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

metadata = MetaData()

campaigns = Table(
    "catalog_campaigns",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False, unique=True),
    Column("owner", TEXT, nullable=False),
    Column("made_at", BigInteger, nullable=False),  # microseconds since 1970, UTC, like all times here
)

settings = Table(
    "catalog_settings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the five texts below
    Column("version", TEXT, nullable=False),
    Column("config_hash", TEXT, nullable=False),
    Column("seed", BigInteger, nullable=True),
    Column("preset", TEXT, nullable=False),
    Column("conditions", TEXT, nullable=False),
    Index("catalog_settings_hash", "config_hash"),
    Index("catalog_settings_seed", "seed"),
)

folders = Table(
    "catalog_folders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the path, which may be long
    Column("path", TEXT, nullable=False),
)

files = Table(
    "catalog_files",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("adler32", BigInteger),
    Column("crc32c", BigInteger),
    Column("sha256", LargeBinary),
    Column("tier", TEXT, nullable=False),
    Column("format", TEXT, nullable=False),
    Column("run", Integer, nullable=False),
    Column("subrun", Integer, nullable=False),
    Column("first_event", BigInteger),
    Column("last_event", BigInteger),
    Column("events", BigInteger),
    Column("begin_time", BigInteger),
    Column("end_time", BigInteger),
    Column("campaign_id", Integer, nullable=False),
    Column("settings_id", Integer, nullable=False),
    Column("folder_id", Integer, nullable=False),  # where it was declared; NOWHERE when it was not said
    Column("status", TEXT, nullable=False),
    Column("declared", BigInteger, nullable=False),
    Column("description", TEXT, nullable=False),
    Index("catalog_files_name", "name", unique=True),
    Index("catalog_files_order", "run", "subrun", "id"),
    Index("catalog_files_tier", "tier", "run", "subrun", "id"),
    Index("catalog_files_campaign", "campaign_id", "run", "subrun", "id"),
    Index("catalog_files_settings", "settings_id", "run", "subrun", "id"),
)

copies = Table(  # further folders that hold a file
    "catalog_copies",
    metadata,
    Column("file_id", BigInteger, primary_key=True, autoincrement=False),
    Column("folder_id", Integer, primary_key=True, autoincrement=False),
    Index("catalog_copies_folder", "folder_id", "file_id"),
    sqlite_with_rowid=False,
)

parents = Table(
    "catalog_parents",
    metadata,
    Column("child_id", BigInteger, primary_key=True, autoincrement=False),
    Column("parent_id", BigInteger, primary_key=True, autoincrement=False),
    Index("catalog_parents_parent", "parent_id", "child_id"),
    sqlite_with_rowid=False,
)

runs = Table(
    "catalog_runs",
    metadata,
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("campaign_id", Integer, ForeignKey("catalog_campaigns.id"), nullable=False),
    Column("config_hash", TEXT, nullable=False),
    Column("seed", BigInteger),
)

definitions = Table(
    "catalog_definitions",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("query", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("description", TEXT, nullable=False),
)

snapshots = Table(
    "catalog_snapshots",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", TEXT, nullable=False),
    Column("query", TEXT, nullable=False),
    Column("owner", TEXT, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
)

snapshot_files = Table(
    "catalog_snapshot_files",
    metadata,
    Column("snapshot_id", Integer, ForeignKey("catalog_snapshots.id"), primary_key=True, autoincrement=False),
    Column("file_id", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
