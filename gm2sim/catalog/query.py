"""What a query finds: how many, how large, by name, page by page, or whole records."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, select, tuple_

from gm2sim.catalog.compile import ORDER, select_ids, where
from gm2sim.catalog.parser import parse
from gm2sim.catalog.record import FileRecord, Settings, file_name
from gm2sim.catalog.schema import NO_RUN, NOWHERE, campaigns, copies, files, folders, parents, settings
from gm2sim.catalog.syntax import Query
from gm2sim.catalog.text import CatalogError, quoted

PAGE = 1000
"""Records that are read at once."""


def count(connection: Connection, query: str) -> tuple[int, int]:
    """How many files a query finds and their size together [bytes]."""
    found = select(func.count(), func.coalesce(func.sum(files.c.size), 0))
    whole = _chosen(connection, parse(query), found)
    number, size = connection.execute(whole).one()
    return int(number), int(size)


def names(connection: Connection, query: str) -> list[str]:
    """Names of all files that a query finds, in the order run, subrun, declaration."""
    found = _chosen(connection, parse(query), select(files.c.name)).order_by(*ORDER)
    return list(connection.execute(found).scalars())


def page(connection: Connection, query: str, limit: int = PAGE, after: str | None = None) -> list[FileRecord]:
    """The next files that a query finds.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    query : str
    limit : int
        At most so many.
    after : str, optional
        The name of the last file of the page before; the first page without. Pages are found through the index by the
        place of that file, so that the thousandth costs no more than the first.

    Raises
    ------
    CatalogError
        There is no file ``after``, or the query cannot be read.
    """
    return [record for _, record in _read(connection, parse(query), limit, _place(connection, after))]


def records(connection: Connection, query: str) -> Iterator[FileRecord]:
    """Every file that a query finds; few are in memory at a time."""
    tree, place = parse(query), None
    while rows := _read(connection, tree, PAGE, place):
        yield from (record for _, record in rows)
        place = rows[-1][0]


def page_statement(
    connection: Connection, query: Query, limit: int, place: tuple[int, int, int] | None = None
) -> Select[Any]:
    """The statement of one page: numbers, in order, behind a place (run, subrun, number)."""
    found = _chosen(connection, query, select(*ORDER))
    if place is not None:
        found = found.where(tuple_(*ORDER) > tuple_(*(literal(number) for number in place)))
    return found.order_by(*ORDER).limit(limit)


def record(connection: Connection, name: str) -> FileRecord:
    """The file of that name, whatever its status.

    Raises
    ------
    CatalogError
        There is none.
    """
    return whole_records(connection, [file_id(connection, name)])[0]


def file_id(connection: Connection, name: str) -> int:
    """The number of the file of that name.

    Raises
    ------
    CatalogError
        There is none.
    """
    found = connection.execute(select(files.c.id).where(files.c.name == file_name(name))).scalar()
    if found is None:
        raise CatalogError(f"there is no file {quoted(name)} in the catalogue: see `gm2sim catalog query`")
    return int(found)


def whole_records(connection: Connection, ids: list[int]) -> list[FileRecord]:
    """The records of files by their numbers, in this order."""
    found: dict[int, FileRecord] = {}
    for first in range(0, len(ids), PAGE):
        found |= _whole(connection, ids[first : first + PAGE])
    return [found[number] for number in ids]


def _chosen(connection: Connection, query: Query, found: Select[Any]) -> Select[Any]:
    if query.limit is None and not query.offset:
        return found.where(where(connection, query))
    return found.where(files.c.id.in_(select(select_ids(connection, query).cte().c.id)))


def _place(connection: Connection, name: str | None) -> tuple[int, int, int] | None:
    if name is None:
        return None
    run, subrun, number = connection.execute(select(*ORDER).where(files.c.id == file_id(connection, name))).one()
    return run, subrun, number


def _read(
    connection: Connection, query: Query, limit: int, place: tuple[int, int, int] | None
) -> list[tuple[tuple[int, int, int], FileRecord]]:
    places = [
        (row.run, row.subrun, row.id) for row in connection.execute(page_statement(connection, query, limit, place))
    ]
    return list(zip(places, whole_records(connection, [number for _, _, number in places]), strict=True))


def _whole(connection: Connection, ids: list[int]) -> dict[int, FileRecord]:
    joined = files.join(campaigns, campaigns.c.id == files.c.campaign_id).join(
        settings, settings.c.id == files.c.settings_id
    )
    columns = (
        files, campaigns.c.name.label("campaign"), campaigns.c.owner, settings.c.version, settings.c.config_hash,
        settings.c.seed, settings.c.preset, settings.c.conditions,
    )  # fmt: skip
    rows = connection.execute(select(*columns).select_from(joined).where(files.c.id.in_(ids))).all()
    made_from, places = _parents(connection, ids), _folders(connection, ids, rows)
    return {row.id: _record(row, tuple(made_from.get(row.id, ())), tuple(places.get(row.id, ()))) for row in rows}


def _parents(connection: Connection, ids: list[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    pairs = (
        select(parents.c.child_id, files.c.name)
        .join(files, files.c.id == parents.c.parent_id)
        .where(parents.c.child_id.in_(ids))
        .order_by(files.c.id)
    )
    for child, name in connection.execute(pairs):
        found.setdefault(child, []).append(name)
    return found


def _folders(connection: Connection, ids: list[int], rows: Any) -> dict[int, list[str]]:
    places = [(row.id, row.folder_id) for row in rows if row.folder_id != NOWHERE]
    further = select(copies.c.file_id, copies.c.folder_id).where(copies.c.file_id.in_(ids)).order_by(copies.c.folder_id)
    places += [(number, folder) for number, folder in connection.execute(further)]
    known = {folder for _, folder in places}
    paths = {
        row.id: row.path
        for row in connection.execute(select(folders.c.id, folders.c.path).where(folders.c.id.in_(known)))
    }
    found: dict[int, list[str]] = {}
    for number, folder in places:
        found.setdefault(number, []).append(paths[folder])
    return found


def _record(row: Row[Any], made_from: tuple[str, ...], places: tuple[str, ...]) -> FileRecord:
    has_run = row.run != NO_RUN
    return FileRecord(
        row.name, row.size, row.tier, row.campaign, row.owner, row.format,
        adler32=None if row.adler32 is None else f"{row.adler32:08x}",
        crc32c=None if row.crc32c is None else f"{row.crc32c:08x}",
        sha256=None if row.sha256 is None else bytes(row.sha256).hex(),
        run=row.run if has_run else None, subrun=row.subrun if has_run else None,
        first_event=row.first_event, last_event=row.last_event, events=row.events,
        begin_time=row.begin_time, end_time=row.end_time, parents=made_from,
        settings=Settings(row.version, row.config_hash, row.seed, row.preset, row.conditions),
        folders=places, status=row.status, description=row.description,
    )  # fmt: skip
