"""Files enter the catalogue: twice the same is once, another file of the same name is refused, all or none are kept."""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Row, select, update

from gm2sim.catalog.query import whole_records
from gm2sim.catalog.record import FileRecord, checked
from gm2sim.catalog.schema import NO_RUN, NOWHERE, campaigns, copies, files, folders, parents, runs
from gm2sim.catalog.store import (
    campaign_id,
    chunks,
    folder_ids,
    indexes_built_after,
    next_id,
    settings_ids,
    store,
    writing,
)
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.catalog.times import now

MADE_HERE = ("raw", "truth", "metadata")
"""Tiers that the simulation writes: the first file of one of them makes its run the property of its campaign."""
_SAME = ("size", "tier", "run", "subrun", "adler32", "crc32c", "sha256")


class Declared(NamedTuple):
    """How many files a declaration brought."""

    new: int
    known: int


def declare(engine: Engine, records: Iterable[FileRecord]) -> Declared:
    """Put files into the catalogue, in one transaction.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        A database with the tables of the catalogue.
    records : iterable of FileRecord
        Parents have to be among them or in the catalogue.

    Returns
    -------
    Declared
        A file that is known already, with the same size and checksums, is not declared again; a folder that is new
        for it is added to its places.

    Raises
    ------
    CatalogError
        A record may not be kept; another file has this name; the campaign or the run belongs to somebody else; a
        parent is not known. Nothing is kept then.
    """
    wanted = _once(checked(record) for record in records)
    with writing(engine) as connection:
        campaign = {
            name: campaign_id(connection, name, owner)
            for name, owner in dict.fromkeys((record.campaign, record.owner) for record in wanted.values())
        }
        known = _known(connection, wanted)
        new = [record for record in wanted.values() if record.name not in known]
        claim_runs(connection, new, campaign)
        places = folder_ids(connection, (folder for record in wanted.values() for folder in record.folders))
        ids = {name: row.id for name, row in known.items()}
        ids |= _insert(connection, new, campaign, places)
        _add_copies(connection, wanted, known, ids, places)
        _add_parents(connection, new, ids)
    return Declared(len(new), len(known))


def describe_owner(connection: Connection, row: Row) -> str:
    """Whose a file is and where it lies, as a clause for a message."""
    owner = connection.execute(
        select(campaigns.c.owner, campaigns.c.name).where(campaigns.c.id == row.campaign_id)
    ).one()
    folder = connection.execute(select(folders.c.path).where(folders.c.id == row.folder_id)).scalar()
    return f"{quoted(owner.owner)} (campaign {owner.name}{'' if folder is None else ', folder ' + quoted(folder)})"


def _once(records: Iterable[FileRecord]) -> dict[str, FileRecord]:
    found: dict[str, FileRecord] = {}
    for record in records:
        other = found.setdefault(record.name, record)
        if other is not record and differing(other, record):
            raise CatalogError(
                f"two different files are named {record.name} (in {_where(other)} and in {_where(record)}): "
                "names are unique, rename one"
            )
        if other is not record:
            merged = tuple(dict.fromkeys((*other.folders, *record.folders)))
            found[record.name] = other._replace(folders=merged)
    return found


def differing(one: FileRecord, other: FileRecord) -> list[str]:
    """What tells two records of the same name apart; a checksum that one of them lacks tells nothing."""
    pairs = ((what, getattr(one, what), getattr(other, what)) for what in _SAME)
    found = [what for what, a, b in pairs if a != b and None not in (a, b)]
    found += [what for what in ("run",) if (one.run is None) != (other.run is None)]
    return found + ["parents"] * bool(one.parents and other.parents and set(one.parents) != set(other.parents))


def _where(record: FileRecord) -> str:
    return quoted(record.folders[0]) if record.folders else "an unknown folder"


def _known(connection: Connection, wanted: dict[str, FileRecord]) -> dict[str, Row]:
    """Rows of files that are there already; refuses those that are other files."""
    rows: dict[str, Row] = {}
    for piece in chunks(wanted):
        rows |= {row.name: row for row in connection.execute(select(files).where(files.c.name.in_(piece)))}
    for there in whole_records(connection, [row.id for row in rows.values()]):
        mine = wanted[there.name]
        different = differing(there, mine)
        if different:
            raise CatalogError(
                f"{there.name} is in the catalogue already and is another file ({', '.join(different)} differ): it "
                f"belongs to {describe_owner(connection, rows[there.name])}, this one to {quoted(mine.owner)} "
                f"(campaign {mine.campaign}, folder {_where(mine)}); give the run another number"
            )
        if there.campaign != mine.campaign:
            raise CatalogError(
                f"{there.name} is declared in campaign {there.campaign} of {quoted(there.owner)} already, now in "
                f"{mine.campaign} of {quoted(mine.owner)}: a file belongs to one campaign"
            )
    return rows


def claim_runs(connection: Connection, new: Sequence[FileRecord], campaign: dict[str, int]) -> None:
    """Make the runs of new files the property of their campaign, configuration and seed.

    Raises
    ------
    CatalogError
        A run belongs to others: names both owners.
    """
    claims: dict[int, FileRecord] = {}
    for record in new:
        if record.run is None or record.tier not in MADE_HERE:
            continue
        first = claims.setdefault(record.run, record)
        if _claim(first, campaign) != _claim(record, campaign):
            raise CatalogError(
                f"run {record.run} has two makers: {_maker(first)} and {_maker(record)}; give one another number"
            )
    owned: dict[int, Row] = {}
    for piece in chunks(claims):
        joined = runs.join(campaigns, campaigns.c.id == runs.c.campaign_id)
        found = select(runs, campaigns.c.name, campaigns.c.owner).select_from(joined).where(runs.c.run.in_(piece))
        owned |= {row.run: row for row in connection.execute(found)}
    for run, record in claims.items():
        row = owned.get(run)
        if row is not None and (row.campaign_id, row.config_hash, row.seed) != _claim(record, campaign):
            raise CatalogError(
                f"run {run} is declared already by {quoted(row.owner)} (campaign {row.name}, configuration "
                f"{quoted(row.config_hash[:8] or 'unknown')}, seed {row.seed}) and now by {_maker(record)}: "
                "give it another number"
            )
    store(connection, runs, [(run, *_claim(record, campaign)) for run, record in claims.items() if run not in owned])


def _claim(record: FileRecord, campaign: dict[str, int]) -> tuple[int, str, int | None]:
    return campaign[record.campaign], record.settings.config_hash, record.settings.seed


def _maker(record: FileRecord) -> str:
    return (
        f"{quoted(record.owner)} (campaign {record.campaign}, configuration "
        f"{quoted(record.settings.config_hash[:8] or 'unknown')}, seed {record.settings.seed})"
    )


def _insert(
    connection: Connection, new: Sequence[FileRecord], campaign: dict[str, int], places: dict[str, int]
) -> dict[str, int]:
    if not new:
        return {}
    first, declared = next_id(connection, files), now()
    shared = settings_ids(connection, (record.settings for record in new))
    with indexes_built_after(connection, len(new)):
        store(connection, files, (
            (
                first + place, record.name, record.size,
                None if record.adler32 is None else int(record.adler32, 16),
                None if record.crc32c is None else int(record.crc32c, 16),
                None if record.sha256 is None else bytes.fromhex(record.sha256),
                record.tier, record.format,
                NO_RUN if record.run is None else record.run, NO_RUN if record.subrun is None else record.subrun,
                record.first_event, record.last_event, record.events, record.begin_time, record.end_time,
                campaign[record.campaign], shared[record.settings],
                places[record.folders[0]] if record.folders else NOWHERE,
                record.status, declared, record.description,
            )
            for place, record in enumerate(new)
        ))  # fmt: skip
    return {record.name: first + place for place, record in enumerate(new)}


def _add_copies(
    connection: Connection,
    wanted: dict[str, FileRecord],
    known: dict[str, Row],
    ids: dict[str, int],
    places: dict[str, int],
) -> None:
    """Folders beyond the one in the row of the file."""
    held: set[tuple[int, int]] = set()
    for piece in chunks(row.id for row in known.values()):
        held |= {
            (row.file_id, row.folder_id)
            for row in connection.execute(select(copies).where(copies.c.file_id.in_(piece)))
        }
    rows = []
    for name, record in wanted.items():
        row = known.get(name)
        paths = [places[folder] for folder in record.folders]
        if row is not None and row.folder_id == NOWHERE and paths:
            connection.execute(update(files).where(files.c.id == row.id).values(folder_id=paths[0]))
        first = row.folder_id if row is not None and row.folder_id != NOWHERE else next(iter(paths), NOWHERE)
        rows += [(ids[name], path) for path in paths if path != first and (ids[name], path) not in held]
    store(connection, copies, rows)


def _add_parents(connection: Connection, new: Sequence[FileRecord], ids: dict[str, int]) -> None:
    missing = {parent for record in new for parent in record.parents} - ids.keys()
    for piece in chunks(sorted(missing)):
        ids |= {
            row.name: row.id
            for row in connection.execute(select(files.c.name, files.c.id).where(files.c.name.in_(piece)))
        }
    for record in new:
        for parent in record.parents:
            if parent not in ids:
                raise CatalogError(
                    f"{record.name} was made from {parent}, which is not in the catalogue: declare it first"
                )
    _refuse_circles(new)
    pairs = {(ids[record.name], ids[parent]) for record in new for parent in record.parents}
    store(connection, parents, sorted(pairs))


def _refuse_circles(new: Sequence[FileRecord]) -> None:
    """Files that are there have parents that are there: a circle can only be among the new ones."""
    try:
        TopologicalSorter({record.name: record.parents for record in new if record.parents}).prepare()
    except CycleError as err:
        raise CatalogError(f"{err.args[1][0]} is among its own ancestors: correct the parents") from None
