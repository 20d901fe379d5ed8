"""Which constants a tag has at a moment, by the index of its intervals."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa

from gm2sim.conditions.interval import Interval
from gm2sim.conditions.moment import Moment, as_interval
from gm2sim.conditions.schema import FolderTables, digest
from gm2sim.conditions.table import ConditionsError, Table

_AT_ONCE = 500  # names in one statement
_GIVEN = sa.tuple_(sa.bindparam("time", type_=sa.BigInteger()), sa.bindparam("event", type_=sa.BigInteger()))


class Held(NamedTuple):
    """An interval of a tag.

    Attributes
    ----------
    begin : Moment
    end : Moment or None
        First moment that is no longer in it: its own end, or the begin of the next one. None: it never ends.
    iov_id : int
        Which constants.
    comment : str
    """

    begin: Moment
    end: Moment | None
    iov_id: int
    comment: str


def as_tuple(when: Moment) -> sa.Tuple:
    """A moment to compare begin_time and begin_event with."""
    return sa.tuple_(sa.literal(when.time, sa.BigInteger()), sa.literal(when.event, sa.BigInteger()))


@cache
def at_or_before(tables: FolderTables) -> sa.Select[Any]:
    """The interval of ``tag_id`` that begins last, but not after ``time`` and ``event``; see :func:`named`."""
    c = tables.tag_iovs.c
    return (
        sa.select(c.begin_time, c.begin_event, c.end_time, c.end_event, c.iov_id, c.comment)
        .where(c.tag_id == sa.bindparam("tag_id"), sa.tuple_(c.begin_time, c.begin_event) <= _GIVEN)
        .order_by(c.begin_time.desc(), c.begin_event.desc())
        .limit(1)
    )


@cache
def first_after(tables: FolderTables) -> sa.Select[Any]:
    """Begin of the interval of ``tag_id`` that begins first after ``time`` and ``event``."""
    c = tables.tag_iovs.c
    return (
        sa.select(c.begin_time, c.begin_event)
        .where(c.tag_id == sa.bindparam("tag_id"), sa.tuple_(c.begin_time, c.begin_event) > _GIVEN)
        .order_by(c.begin_time, c.begin_event)
        .limit(1)
    )


@cache
def beside(tables: FolderTables) -> sa.Select[Any]:
    """Both at once: the interval, and where the next one begins (NULL if there is none)."""
    one, two = at_or_before(tables).subquery(), first_after(tables).subquery()
    return sa.select(one, two.c.begin_time.label("next_time"), two.c.begin_event.label("next_event")).join_from(
        one, two, sa.true(), isouter=True
    )


def named(tag_id: int, when: Moment) -> dict[str, int]:
    """The parameters of these statements."""
    return {"tag_id": tag_id, "time": when.time, "event": when.event}


def held_at(connection: sa.Connection, tables: FolderTables, tag_id: int, when: Moment) -> Held | None:
    """The interval that holds at a moment; None in a gap."""
    row = connection.execute(beside(tables), named(tag_id, when)).first()
    if row is None:
        return None
    found = _held(row, None if row.next_time is None else Moment(row.next_time, row.next_event))
    return found if found.end is None or when < found.end else None


def has_any(connection: sa.Connection, tables: FolderTables, tag_id: int) -> bool:
    """Whether a tag has any interval of a folder."""
    c = tables.tag_iovs.c
    return connection.execute(sa.select(c.iov_id).where(c.tag_id == tag_id).limit(1)).first() is not None


def intervals(
    connection: sa.Connection,
    tables: FolderTables,
    tag_id: int,
    since: Moment | None = None,
    until: Moment | None = None,
) -> Iterator[Held]:
    """The intervals of a tag in order, also those that hold in part from ``since`` to before ``until``."""
    c = tables.tag_iovs.c
    begin = sa.tuple_(c.begin_time, c.begin_event)
    query = sa.select(c.begin_time, c.begin_event, c.end_time, c.end_event, c.iov_id, c.comment)
    query = query.where(c.tag_id == tag_id).order_by(c.begin_time, c.begin_event)
    if since is not None:
        first = connection.execute(at_or_before(tables), named(tag_id, since)).first()
        from_there = since if first is None else Moment(first.begin_time, first.begin_event)
        query = query.where(begin >= as_tuple(from_there))
    if until is not None:
        query = query.where(begin < as_tuple(until))
    earlier = None
    for row in connection.execute(query):
        if earlier is not None and _within(found := _held(earlier, Moment(row.begin_time, row.begin_event)), since):
            yield found
        earlier = row
    if earlier is not None:
        following = _begin_after(connection, tables, tag_id, Moment(earlier.begin_time, earlier.begin_event))
        if _within(found := _held(earlier, following), since):
            yield found


def around(connection: sa.Connection, tables: FolderTables, tag_id: int, when: Moment) -> str:
    """The intervals on both sides of a gap, for a message."""
    found = []
    row = connection.execute(at_or_before(tables), named(tag_id, when)).first()
    following = _begin_after(connection, tables, tag_id, when)
    if row is not None:
        found.append(str(written(_held(row, following))))
    if following is not None:
        held = held_at(connection, tables, tag_id, following)
        found.append(str(written(held)) if held else str(following))
    return " and ".join(found) or "none"


def written(held: Held) -> str:
    """An interval for people."""
    if held.end is None:
        return f"from {held.begin} on"
    if held.begin.event or held.end.event:
        return f"{held.begin} to before {held.end}"
    return str(as_interval(held.begin, held.end))


def read_set(connection: sa.Connection, tables: FolderTables, iov_id: int, interval: Interval, where: str) -> Table:
    """The constants of a set, whole and to the bit those that were stored.

    Raises
    ------
    ConditionsError
        Rows are missing or changed.
    """
    folder = tables.folder
    known = connection.execute(sa.select(tables.sets.c.sha256).where(tables.sets.c.iov_id == iov_id)).scalar()
    query = sa.select(tables.data).where(tables.data.c.iov_id == iov_id).order_by(*tables.channel)
    rows = connection.execute(query).all()
    if len(rows) == int(np.prod(folder.shape)):
        places = list(zip(*rows, strict=True))
        first = 1 + len(folder.keys)
        numbers = places[first : first + len(folder.columns)]
        columns = {
            column.name: np.array(values, np.float64) for column, values in zip(folder.columns, numbers, strict=True)
        }
        texts = dict(zip((text.name for text in folder.texts), places[first + len(folder.columns) :], strict=True))
        table = Table.of(folder, interval, columns, texts)
        if digest(table) == known:
            return table
    raise ConditionsError(
        f"{where}: the constants of {folder.name} with iov_id {iov_id} are not those that were stored: take a copy of "
        "before"
    )


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Pieces that fit into one statement."""
    for at in range(0, len(items), _AT_ONCE):
        yield items[at : at + _AT_ONCE]


def _begin_after(connection: sa.Connection, tables: FolderTables, tag_id: int, when: Moment) -> Moment | None:
    row = connection.execute(first_after(tables), named(tag_id, when)).first()
    return None if row is None else Moment(row.begin_time, row.begin_event)


def _held(row: Any, following: Moment | None) -> Held:
    own = None if row.end_time is None else Moment(row.end_time, row.end_event)
    ends = [end for end in (own, following) if end is not None]
    return Held(Moment(row.begin_time, row.begin_event), min(ends, default=None), row.iov_id, row.comment)


def _within(held: Held, since: Moment | None) -> bool:
    return since is None or held.end is None or held.end > since
