"""What is wrong with a tag: gaps, overlaps, constants that are not those that were stored."""

from typing import Any

import sqlalchemy as sa

from gm2sim.conditions.interval import EVERY_RUN
from gm2sim.conditions.lookup import Held, intervals, read_set, written
from gm2sim.conditions.moment import Moment, moment
from gm2sim.conditions.schema import FOLDER_TABLES, FolderTables
from gm2sim.conditions.table import ConditionsError
from gm2sim.conditions.tags import checksum, find_tag
from gm2sim.database import require_schema, shown


def check(engine: sa.Engine, tag: str = "", runs: tuple[int, int] | None = None) -> list[dict[str, Any]]:
    """Look through a tag.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    tag : str
        May be left out where there is only one.
    runs : (first, last), optional
        Gaps are told within these runs; without, between the intervals.

    Returns
    -------
    list of dict
        One row for each finding: ``folder``, ``kind`` ("gap", "overlap" or "damage"), ``where`` and ``what``. Empty
        when there is nothing to say. Folders in which the tag has nothing are not told.

    Raises
    ------
    ConditionsError
        There is no such tag.
    """
    require_schema(engine, "conditions")
    found: list[dict[str, Any]] = []
    with engine.connect() as connection:
        row = find_tag(connection, tag)
        if row.frozen and checksum(connection, row.tag_id) != row.checksum:
            found.append(_row("", "damage", row.tag, "the intervals are not those that were frozen"))
        for tables in FOLDER_TABLES.values():
            held = list(intervals(connection, tables, row.tag_id))
            if held:
                found += _gaps(tables.folder.name, held, runs)
                found += _overlaps(connection, tables, row.tag_id)
                found += _damage(connection, tables, held, f"database '{shown(engine.url)}'")
    return found


def _gaps(folder: str, held: list[Held], runs: tuple[int, int] | None) -> list[dict[str, Any]]:
    """Stretches without constants."""
    if runs is None:
        since, until = held[0].begin, held[-1].begin
    else:
        since, until = moment(runs[0]), moment(runs[1] + 1)
    found = []
    for one in held:
        if since < one.begin and since < until:
            found.append(_row(folder, "gap", written(Held(since, min(one.begin, until), 0, "")), "no constants"))
        if one.end is None:
            return found
        since = max(since, one.end)
    if runs is not None and since < until:
        found.append(_row(folder, "gap", written(Held(since, until, 0, "")), "no constants"))
    return found


def _overlaps(connection: sa.Connection, tables: FolderTables, tag_id: int) -> list[dict[str, Any]]:
    """Intervals that do not end before the next: the database refuses them, a damaged one may have some."""
    c = tables.tag_iovs.c
    order = (c.begin_time, c.begin_event)
    each = (
        sa.select(
            c.begin_time, c.begin_event, c.end_time, c.end_event,
            sa.func.lead(c.begin_time).over(order_by=order).label("next_time"),
            sa.func.lead(c.begin_event).over(order_by=order).label("next_event"),
        ).where(c.tag_id == tag_id).subquery().c
    )  # fmt: skip
    query = sa.select(each.begin_time, each.begin_event, each.next_time, each.next_event).where(
        sa.tuple_(each.end_time, each.end_event) > sa.tuple_(each.next_time, each.next_event)
    )
    return [
        _row(
            tables.folder.name,
            "overlap",
            f"from {Moment(row.begin_time, row.begin_event)}",
            f"reaches beyond {Moment(row.next_time, row.next_event)}, where the next begins",
        )
        for row in connection.execute(query)
    ]


def _damage(connection: sa.Connection, tables: FolderTables, held: list[Held], where: str) -> list[dict[str, Any]]:
    """Sets of constants that differ from their checksums."""
    found = []
    for iov_id in sorted({one.iov_id for one in held}):
        try:
            read_set(connection, tables, iov_id, EVERY_RUN, where)
        except ConditionsError as err:
            found.append(_row(tables.folder.name, "damage", f"iov_id {iov_id}", str(err)))
    return found


def _row(folder: str, kind: str, where: str, what: str) -> dict[str, Any]:
    return {"folder": folder, "kind": kind, "where": where, "what": what}
