"""Walks files and compares them with what is recorded; looks whether the tables agree with each other."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Column, Engine, Table, exists, func, select

from gm2sim.catalog.query import page
from gm2sim.catalog.record import FileRecord, file_name
from gm2sim.catalog.schema import campaigns, copies, files, folders, parents, settings, snapshot_files, snapshots
from gm2sim.catalog.sidecar import KINDS, beside, compare, metadata_files, read_json
from gm2sim.catalog.text import CatalogError, quoted

_SUBRUN_FILES = tuple(end for end in KINDS if ".mid" in end or ".truth" in end)


class Verified(NamedTuple):
    """A file that was looked at; ``wrong`` is empty when it is as recorded."""

    path: str
    wrong: str


def verify_catalog(engine: Engine, query: str = "name like %") -> Iterator[Verified]:
    """Every place of every file that a query finds: size, CRC-32C, Adler-32 and SHA-256 as recorded.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    query : str
        Files that are retired are left out unless it asks for them.
    """
    last = None
    while found := _next_page(engine, query, last):
        for record in found:
            sums = {"adler32": record.adler32, "crc32c": record.crc32c, "sha256": record.sha256}
            if not record.folders:
                yield Verified(record.name, "has no folder recorded")
            for folder in record.folders:
                path = Path(folder) / record.name
                yield Verified(str(path), "; ".join(compare(path, record.size, sums)))
        last = found[-1].name


def verify_folder(folder: Path) -> Iterator[Verified]:
    """Every file of a run's folder against the metadata beside it."""
    named: set[Path] = set()
    for metadata in metadata_files(folder):
        try:
            content = read_json(metadata)
            stated = {file_name(name): facts for name, facts in content["files"].items()}
            sizes = {name: int(facts["size"]) for name, facts in stated.items()}
        except (CatalogError, KeyError, TypeError, ValueError, AttributeError) as err:
            yield Verified(str(metadata), f"is no readable metadata ({quoted(err)})")
            continue
        yield Verified(str(metadata), "")
        for name, facts in stated.items():
            path = metadata.parent / name
            named.add(path)
            sums = {what: facts.get(what) for what in ("adler32", "crc32c", "sha256")}
            yield Verified(str(path), "; ".join(compare(path, sizes[name], sums)))
    for path in sorted(folder.rglob("gm2_run*")):
        if path.name.endswith(_SUBRUN_FILES) and path not in named:
            has = beside(path)
            yield Verified(str(path), "has no metadata" if has is None else f"is not named in {quoted(has.name)}")


def check_tables(engine: Engine, *, thorough: bool = False) -> list[str]:
    """What is wrong with the tables of a catalogue; nothing when all is well.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    thorough : bool
        On SQLite every entry of every index is looked up too (several times slower).
    """
    found = []
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pragma = "PRAGMA integrity_check(10)" if thorough else "PRAGMA quick_check(10)"
            said = [str(row[0]) for row in connection.exec_driver_sql(pragma)]
            found += [f"the database file is damaged: {one}" for one in said if one != "ok"]
        for what, column, table in _LINKS:
            # Each number once, through an index: the tables named are small or looked up by their key.
            numbers = select(column.label("number")).distinct().subquery()
            lost = select(func.count()).select_from(numbers).where(~exists().where(table.c.id == numbers.c.number))
            if what == "folder":
                lost = lost.where(numbers.c.number != 0)
            if count := connection.execute(lost).scalar_one():
                found.append(f"{count} of {column.table.name}.{column.name} name a {what} that is not there")
    return found


def _next_page(engine: Engine, query: str, last: str | None) -> list[FileRecord]:
    # A connection for each page: reading the files takes long, and no transaction stays open meanwhile.
    with engine.connect() as connection:
        return page(connection, query, after=last)


_LINKS: tuple[tuple[str, Column[int], Table], ...] = (
    ("campaign", files.c.campaign_id, campaigns),
    ("record of settings", files.c.settings_id, settings),
    ("folder", files.c.folder_id, folders),
    ("file", copies.c.file_id, files),
    ("folder", copies.c.folder_id, folders),
    ("file", parents.c.child_id, files),
    ("file", parents.c.parent_id, files),
    ("snapshot", snapshot_files.c.snapshot_id, snapshots),
    ("file", snapshot_files.c.file_id, files),
)
