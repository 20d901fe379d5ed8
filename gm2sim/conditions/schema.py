"""The tables of a database of conditions, for queries; gm2sim/database/folder_tables.py makes and explains them."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from gm2sim.conditions.folders import Folder
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.table import Table

METADATA = sa.MetaData()
SNAPSHOT_ID = 0x676D3263  # "gm2c"
"""Application number of SQLite that marks a snapshot."""
_STORED = {("oof_correction", "gain"): "oofcorrection"}
# SQLite keeps whole numbers without the sign of zero: added, this makes -0 a zero like others on both of them.
_PLUS_ZERO = 0.0
_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TAGS = sa.Table(
    "conditions_tags",
    METADATA,
    sa.Column("tag_id", _LONG, primary_key=True),
    sa.Column("tag", sa.Text, nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created", sa.Text, nullable=False),
    sa.Column("parent", sa.Text),
    sa.Column("frozen", sa.Text),
    sa.Column("checksum", sa.String(64)),
)
"""Tags: times are UTC as text; ``checksum`` is that of :func:`gm2sim.conditions.tags.checksum` once frozen."""
SNAPSHOT = sa.Table(
    "conditions_snapshot",
    sa.MetaData(),
    sa.Column("first_run", sa.BigInteger, nullable=False),
    sa.Column("last_run", sa.BigInteger, nullable=False),
    sa.Column("made", sa.Text, nullable=False),
)
"""The runs that a snapshot covers; only in those."""


@dataclass(frozen=True, eq=False)
class FolderTables:
    """The four tables of a folder.

    Attributes
    ----------
    folder : Folder
    sets, data, iovs, tag_iovs : sqlalchemy.Table
    """

    folder: Folder
    sets: sa.Table
    data: sa.Table
    iovs: sa.Table
    tag_iovs: sa.Table

    @property
    def channel(self) -> list[sa.Column[Any]]:
        """The columns of ``data`` that name a channel, in the order of rows."""
        return [self.data.c[key.name] for key in self.folder.keys]

    def rows(self, table: Table, iov_id: int) -> list[dict[str, Any]]:
        """The rows of ``data`` for a table of constants."""
        whole = [column.whole for column in self.folder.columns]
        keys, columns = len(self.folder.keys), len(whole)
        names = [str(column.key) for column in self.data.c][1:]
        rows = []
        for row in table.rows():
            for at in range(columns):
                value = row[keys + at]
                row[keys + at] = int(value) if whole[at] else value + _PLUS_ZERO
            rows.append({"iov_id": iov_id} | dict(zip(names, row, strict=True)))
        return rows


def stored_name(folder: str, column: str) -> str:
    """Name of a column in the database: the experiment's where ours differs."""
    return _STORED.get((folder, column), column)


def _tables(folder: Folder) -> FolderTables:
    name = folder.name
    sets = sa.Table(
        f"{name}_sets",
        METADATA,
        sa.Column("__iov_id", _LONG, key="iov_id", primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    data = sa.Table(
        f"{name}_data",
        METADATA,
        sa.Column("iov_id", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(key.name, sa.Integer, primary_key=True, autoincrement=False) for key in folder.keys),
        *(
            sa.Column(
                stored_name(name, column.name),
                sa.Integer() if column.whole else sa.Double(),
                key=column.name,
                nullable=False,
            )
            for column in folder.columns
        ),
        *(sa.Column(text.name, sa.Text, nullable=False) for text in folder.texts),
    )
    iovs = sa.Table(
        f"{name}_iovs",
        METADATA,
        sa.Column("begin_time", _LONG, primary_key=True, autoincrement=False),
        sa.Column("run", sa.BigInteger, nullable=False),
        sa.Column("subrun", sa.BigInteger, nullable=False),
    )
    tag_iovs = sa.Table(
        f"{name}_tag_iovs",
        METADATA,
        sa.Column("tag_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("begin_time", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("begin_event", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end_time", sa.BigInteger),
        sa.Column("end_event", sa.BigInteger),
        sa.Column("__iov_id", sa.BigInteger, key="iov_id", nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
    )
    return FolderTables(folder, sets, data, iovs, tag_iovs)


FOLDER_TABLES: Mapping[str, FolderTables] = {name: _tables(folder) for name, folder in KNOWN.items()}
"""The tables of each folder."""


def digest(table: Table) -> str:
    """SHA-256 of what a table holds, bit for bit but the sign of zero: tables with equal ones are kept once."""
    folder = table.folder
    names = [*folder.keys, *(column.name for column in folder.columns), *(text.name for text in folder.texts)]
    total = hashlib.sha256(json.dumps([folder.name, names]).encode())
    for column in folder.columns:
        total.update((np.ascontiguousarray(table.columns[column.name], "<f8") + _PLUS_ZERO).tobytes())
    total.update(json.dumps([table.texts[text.name] for text in folder.texts]).encode())
    return total.hexdigest()


def is_snapshot(where: str | Path) -> bool:
    """Whether an address is a snapshot's file, told by its first hundred bytes."""
    path = Path(where)
    if "://" in str(where) or "\0" in str(where) or not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(100)
    return head.startswith(b"SQLite format 3\0") and head[68:72] == struct.pack(">I", SNAPSHOT_ID)
