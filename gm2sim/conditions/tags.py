"""Tags: named sets of intervals. An open one takes new intervals, a frozen one stays as it is."""

import hashlib
import unicodedata
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gm2sim.conditions.schema import FOLDER_TABLES, TAGS
from gm2sim.conditions.table import ConditionsError
from gm2sim.errors import nearest

_LONGEST_TAG, _LONGEST_COMMENT = 200, 65_536
_NEVER = {"Cc", "Cs"}  # control characters, halves of characters
_ROWS_AT_ONCE = 10_000
_TURN = 0x676D3263  # names the lock of PostgreSQL that writers of conditions share


def check_tag(tag: str) -> str:
    """A name that a tag may have.

    Raises
    ------
    ConditionsError
        It is empty, too long, or holds what cannot be seen (letters that turn the direction of writing included).
    """
    if not 0 < len(tag) <= _LONGEST_TAG or not tag.isprintable() or tag != tag.strip():
        raise ConditionsError(
            f"{tag[:40]!a} cannot name a tag: give 1 to {_LONGEST_TAG} printable characters, no space at the ends"
        )
    return tag


def check_comment(comment: str) -> str:
    """A text that may be kept beside a tag or an interval; lines and any writing are allowed.

    Raises
    ------
    ConditionsError
        It is too long or holds control characters.
    """
    wrong = next((one for one in comment if unicodedata.category(one) in _NEVER and one not in "\n\t"), None)
    if wrong is not None:
        raise ConditionsError(f"a comment cannot hold the character {wrong!a}: write it without")
    if len(comment) > _LONGEST_COMMENT:
        raise ConditionsError(f"a comment of {len(comment)} characters is too long: up to {_LONGEST_COMMENT} are kept")
    return comment


def find_tag(connection: sa.Connection, tag: str = "", *, lock: bool = False) -> Any:
    """The row of a tag; without a name that of the only one.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    tag : str
    lock : bool
        Nobody else may change it until the transaction ends.

    Raises
    ------
    ConditionsError
        There is no such tag, or there are several and none is named.
    """
    query = sa.select(TAGS)
    if tag:
        # A name that no tag may have is not in the database, and may be one that it cannot even be asked for.
        row = connection.execute(_locking(query.where(TAGS.c.tag == check_tag(tag)), lock)).first()
        if row is not None:
            return row
    names = connection.execute(sa.select(TAGS.c.tag).order_by(TAGS.c.tag)).scalars().all()
    if not names:
        raise ConditionsError("the database of conditions has no tag: `gm2sim conditions load` makes one")
    if tag:
        raise ConditionsError(f"there is no tag '{tag}': {nearest(tag, names[:1000])}")
    if len(names) > 1:
        raise ConditionsError(f"the database has {len(names)} tags: name one of them, for example '{names[0]}'")
    return connection.execute(_locking(query, lock)).one()


def tags(engine: sa.Engine) -> list[dict[str, Any]]:
    """One row for each tag: name, state, times, number of intervals, comment, parent, checksum."""
    with engine.connect() as connection:
        counts: dict[int, int] = {}
        for tables in FOLDER_TABLES.values():
            c = tables.tag_iovs.c
            for tag_id, number in connection.execute(sa.select(c.tag_id, sa.func.count()).group_by(c.tag_id)):
                counts[tag_id] = counts.get(tag_id, 0) + number
        return [
            {
                "tag": row.tag, "state": "frozen" if row.frozen else "open", "intervals": counts.get(row.tag_id, 0),
                "created": row.created, "frozen": row.frozen or "", "parent": row.parent or "", "comment": row.comment,
                "checksum": row.checksum or "",
            }
            for row in connection.execute(sa.select(TAGS).order_by(TAGS.c.tag))
        ]  # fmt: skip


def open_tag(connection: sa.Connection, tag: str, comment: str = "") -> int:
    """The number of an open tag, which is made if it is not there; locked until the transaction ends.

    Raises
    ------
    ConditionsError
        It is frozen, or its name cannot be.
    """
    values = {"tag": check_tag(tag), "comment": check_comment(comment), "created": now()}
    connection.execute(insert_new(connection, TAGS).values(**values))
    row = find_tag(connection, tag, lock=True)
    refuse_frozen(row)
    return int(row.tag_id)


def refuse_frozen(row: Any) -> None:
    """See that a tag may be changed; ConditionsError if not."""
    if row.frozen:
        raise ConditionsError(
            f"tag '{row.tag}' is frozen since {row.frozen}: clone it with `gm2sim conditions tag clone` and change "
            "the clone"
        )


def freeze(engine: sa.Engine, tag: str) -> str:
    """Freeze a tag: it can be used in runs and never changes again. A frozen one is left as it is.

    Returns
    -------
    str
        Its checksum.

    Raises
    ------
    ConditionsError
        There is no such tag.
    """
    with engine.begin() as connection:
        row = find_tag(connection, tag, lock=True)
        if row.frozen:
            return str(row.checksum)
        found = checksum(connection, row.tag_id)
        connection.execute(sa.update(TAGS).where(TAGS.c.tag_id == row.tag_id).values(frozen=now(), checksum=found))
        return found


def clone(engine: sa.Engine, tag: str, new: str, comment: str = "") -> None:
    """An open tag with the intervals of another; the constants are shared, not copied.

    Raises
    ------
    ConditionsError
        There is no such tag, or the new one is there already.
    """
    check_tag(new)
    with engine.begin() as connection:
        take_turn(connection)
        old = find_tag(connection, tag, lock=True)
        values = {"tag": new, "comment": check_comment(comment), "created": now(), "parent": old.tag}
        made = connection.execute(insert_new(connection, TAGS).values(**values).returning(TAGS.c.tag_id)).scalar()
        if made is None:
            raise ConditionsError(f"there is a tag '{new}' already: choose another name for the clone")
        for tables in FOLDER_TABLES.values():
            others = [column for column in tables.tag_iovs.c if column.key != "tag_id"]
            source = sa.select(sa.literal(made), *others).where(tables.tag_iovs.c.tag_id == old.tag_id)
            names = ["tag_id", *(str(column.key) for column in others)]
            connection.execute(sa.insert(tables.tag_iovs).from_select(names, source))


def drop(engine: sa.Engine, tag: str) -> None:
    """Remove an open tag and its intervals; constants stay, as other tags may share them.

    Raises
    ------
    ConditionsError
        There is no such tag, or it is frozen.
    """
    with engine.begin() as connection:
        row = find_tag(connection, check_tag(tag), lock=True)
        refuse_frozen(row)
        for tables in FOLDER_TABLES.values():
            connection.execute(sa.delete(tables.tag_iovs).where(tables.tag_iovs.c.tag_id == row.tag_id))
        connection.execute(sa.delete(TAGS).where(TAGS.c.tag_id == row.tag_id))


def checksum(connection: sa.Connection, tag_id: int) -> str:
    """SHA-256 over all intervals of a tag and the checksums of their constants; numbers of rows do not enter."""
    total = hashlib.sha256()
    for name in sorted(FOLDER_TABLES):
        tables = FOLDER_TABLES[name]
        c = tables.tag_iovs.c
        query = (
            sa.select(c.begin_time, c.begin_event, c.end_time, c.end_event, tables.sets.c.sha256)
            .join_from(tables.tag_iovs, tables.sets, c.iov_id == tables.sets.c.iov_id)
            .where(c.tag_id == tag_id)
            .order_by(c.begin_time, c.begin_event)
        )
        for rows in connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}).partitions():
            total.update("".join(f"{name} {' '.join(map(str, row))}\n" for row in rows).encode())
    return total.hexdigest()


def take_turn(connection: sa.Connection) -> None:
    """Wait until no other writer is at work, until the transaction ends; SQLite's transactions begin with that."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TURN)))


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that leaves a row alone that is there already, whoever has put it there meanwhile."""
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    return kind.insert(table).on_conflict_do_nothing()


def now() -> str:
    """The time (UTC) as it is kept."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _locking(query: Any, lock: bool) -> Any:
    return query.with_for_update() if lock else query
