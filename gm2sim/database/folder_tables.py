"""The tables of one folder of conditions as a migration makes them, with what the database itself refuses.

A folder has four tables. ``<folder>_data`` holds constants: a set of rows for each ``iov_id``. ``<folder>_iovs`` holds
the moments (``begin_time``) at which something begins, each once. ``<folder>_tag_iovs`` says which set a tag has from
which moment on, and ``<folder>_sets`` names the sets by checksum, so that equal ones are kept once. Only one of these
tables calls its column ``iov_id``, the others say ``__iov_id``, as Fermilab's ConDB does.

Migrations of databases in use call this: a change of the tables is a new function, never an edit.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A number that SQLite counts up by itself."""
FROZEN = "this tag is frozen: clone it and change the clone"
_OVERLAP = "this interval overlaps another of its tag: end it before that"
_OF_TAGS = "SELECT 1 FROM conditions_tags"
_FIXED = "constants that are in the database never change: add new ones"


def create_tags() -> None:
    """The table of tags; a frozen one can neither be changed nor removed."""
    op.create_table(
        "conditions_tags",
        sa.Column("tag_id", LONG, primary_key=True, autoincrement=True),
        sa.Column("tag", sa.Text, nullable=False, unique=True),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created", sa.Text, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("frozen", sa.Text),
        sa.Column("checksum", sa.String(64)),
        sa.CheckConstraint("(frozen IS NULL) = (checksum IS NULL)", name="conditions_tags_checksum"),
        sqlite_autoincrement=True,
    )
    for event in ("UPDATE", "DELETE"):
        _refuse("conditions_tags", event, "OLD.frozen IS NOT NULL", FROZEN)
    if not _on_sqlite():
        _refuse_truncate("conditions_tags")


def create_folder(folder: str, keys: Sequence[str], columns: Sequence[sa.Column[object]]) -> None:
    """The tables of a folder.

    Parameters
    ----------
    folder : str
    keys : sequence of str
        Names of the numbers that name a channel.
    columns : sequence of sqlalchemy.Column
        Constants of a channel.
    """
    op.create_table(
        f"{folder}_sets",
        sa.Column("__iov_id", LONG, primary_key=True, autoincrement=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        f"{folder}_data",
        sa.Column("iov_id", sa.BigInteger, sa.ForeignKey(f"{folder}_sets.__iov_id"), primary_key=True),
        *(sa.Column(key, sa.Integer, primary_key=True, autoincrement=False) for key in keys),
        *columns,
        sqlite_with_rowid=False,
    )
    op.create_table(
        f"{folder}_iovs",
        sa.Column("begin_time", LONG, primary_key=True, autoincrement=False),
        sa.Column("run", sa.BigInteger, nullable=False),
        sa.Column("subrun", sa.BigInteger, nullable=False),
        sa.CheckConstraint("begin_time = 10000 * run + subrun", name=f"{folder}_iovs_packing"),
        sa.CheckConstraint("run >= 0 AND subrun BETWEEN 0 AND 9999", name=f"{folder}_iovs_bounds"),
    )
    op.create_table(
        f"{folder}_tag_iovs",
        sa.Column("tag_id", sa.BigInteger, sa.ForeignKey("conditions_tags.tag_id"), primary_key=True),
        sa.Column("begin_time", sa.BigInteger, sa.ForeignKey(f"{folder}_iovs.begin_time"), primary_key=True),
        sa.Column("begin_event", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end_time", sa.BigInteger),
        sa.Column("end_event", sa.BigInteger),
        sa.Column("__iov_id", sa.BigInteger, sa.ForeignKey(f"{folder}_sets.__iov_id"), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.CheckConstraint("begin_event >= 0 AND end_event >= 0", name=f"{folder}_tag_iovs_events"),
        sa.CheckConstraint("(end_time IS NULL) = (end_event IS NULL)", name=f"{folder}_tag_iovs_end"),
        sa.CheckConstraint(
            "end_time IS NULL OR end_time > begin_time OR (end_time = begin_time AND end_event > begin_event)",
            name=f"{folder}_tag_iovs_order",
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(f"{folder}_tag_iovs_set", f"{folder}_tag_iovs", ["__iov_id"])
    _guard(folder)


def _guard(folder: str) -> None:
    """What the database refuses, whoever asks."""
    intervals = f"{folder}_tag_iovs"
    for table in (f"{folder}_sets", f"{folder}_data", f"{folder}_iovs"):
        for event in ("UPDATE", "DELETE"):
            _refuse(table, event, "TRUE", _FIXED)
    _refuse(intervals, "UPDATE", "TRUE", _FIXED)
    _refuse(intervals, "DELETE", f"EXISTS ({_OF_TAGS} WHERE tag_id = OLD.tag_id AND frozen IS NOT NULL)", FROZEN)
    if _on_sqlite():
        _guard_rows(folder, intervals)
    else:
        _guard_statements(folder, intervals)
        for kind in ("sets", "data", "iovs", "tag_iovs"):
            _refuse_truncate(f"{folder}_{kind}")


def _guard_rows(folder: str, intervals: str) -> None:
    """New rows on SQLite, one by one before they are there."""
    # A set is whole before an interval uses it.
    _refuse(f"{folder}_data", "INSERT", f'EXISTS (SELECT 1 FROM {intervals} WHERE "__iov_id" = NEW.iov_id)', _FIXED)
    _refuse(intervals, "INSERT", f"EXISTS ({_OF_TAGS} WHERE tag_id = NEW.tag_id AND frozen IS NOT NULL)", FROZEN)
    before = (
        f"EXISTS (SELECT 1 FROM (SELECT end_time, end_event FROM {intervals} WHERE tag_id = NEW.tag_id "
        "AND (begin_time, begin_event) < (NEW.begin_time, NEW.begin_event) "
        "ORDER BY begin_time DESC, begin_event DESC LIMIT 1) AS earlier "
        "WHERE (end_time, end_event) > (NEW.begin_time, NEW.begin_event))"
    )
    after = (
        f"(NEW.end_time IS NOT NULL AND EXISTS (SELECT 1 FROM {intervals} WHERE tag_id = NEW.tag_id "
        "AND (begin_time, begin_event) > (NEW.begin_time, NEW.begin_event) "
        "AND (begin_time, begin_event) < (NEW.end_time, NEW.end_event)))"
    )
    _refuse(intervals, "INSERT", f"{before} OR {after}", _OVERLAP, name="overlap")


def _guard_statements(folder: str, intervals: str) -> None:
    """New rows on PostgreSQL, all of a statement at once: one by one a million take ten minutes."""
    used = f'EXISTS (SELECT 1 FROM added JOIN {intervals} AS used ON used."__iov_id" = added.iov_id)'
    _refuse_added(f"{folder}_data", used, _FIXED)
    # Whoever freezes the tag waits until these rows are committed, or they wait and find it frozen.
    lock = f"PERFORM 1 FROM ({_OF_TAGS} WHERE tag_id IN (SELECT tag_id FROM added) FOR UPDATE) AS locked;"
    frozen = f"EXISTS ({_OF_TAGS} WHERE tag_id IN (SELECT tag_id FROM added) AND frozen IS NOT NULL)"
    _refuse_added(intervals, frozen, FROZEN, first=lock)
    beside = (
        "EXISTS (SELECT 1 FROM added, LATERAL (SELECT * FROM {table} AS other WHERE other.tag_id = added.tag_id "
        "AND (other.begin_time, other.begin_event) {than} (added.begin_time, added.begin_event) "
        "ORDER BY other.begin_time {order}, other.begin_event {order} LIMIT 1) AS other "
        "WHERE ({one}.end_time, {one}.end_event) > ({two}.begin_time, {two}.begin_event))"
    )
    before = beside.format(table=intervals, than="<", order="DESC", one="other", two="added")
    after = beside.format(table=intervals, than=">", order="ASC", one="added", two="other")
    _refuse_added(intervals, f"{before} OR {after}", _OVERLAP, name="overlap")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _refuse(table: str, event: str, when: str, sentence: str, *, name: str = "") -> None:
    """A trigger that refuses an event for a row."""
    trigger = f"{table}_{name or event.lower()}"
    if _on_sqlite():
        op.execute(
            f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
        )
        return
    kept = "OLD" if event == "DELETE" else "NEW"
    _function(trigger, f"IF {when} THEN RAISE EXCEPTION '{sentence}'; END IF; RETURN {kept};")
    op.execute(f"CREATE TRIGGER {trigger} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()")


def _refuse_added(table: str, when: str, sentence: str, *, first: str = "", name: str = "insert") -> None:
    """A trigger of PostgreSQL that refuses the rows of a statement, which are called ``added``."""
    trigger = f"{table}_{name}"
    _function(trigger, f"{first} IF {when} THEN RAISE EXCEPTION '{sentence}'; END IF; RETURN NULL;")
    op.execute(
        f"CREATE TRIGGER {trigger} AFTER INSERT ON {table} REFERENCING NEW TABLE AS added FOR EACH STATEMENT "
        f"EXECUTE FUNCTION {trigger}()"
    )


def _refuse_truncate(table: str) -> None:
    """Emptying a table at once passes by the triggers of its rows; SQLite has no such statement."""
    _function(f"{table}_truncate", f"RAISE EXCEPTION '{_FIXED}';")
    op.execute(
        f"CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT "
        f"EXECUTE FUNCTION {table}_truncate()"
    )


def _function(name: str, body: str) -> None:
    op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
