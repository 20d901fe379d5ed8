"""A million files at once, column by column: for catalogues of whole runs of the experiment."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from gm2sim.catalog.declare import claim_runs
from gm2sim.catalog.record import NAME, FileRecord, checked, file_name
from gm2sim.catalog.schema import NOWHERE, files
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
from gm2sim.catalog.text import CatalogError
from gm2sim.catalog.times import now

_TOO_LARGE = 2**31


class Columns(NamedTuple):
    """What is different in each file; all of one length, one entry a file.

    Attributes
    ----------
    name : sequence of str
    size : sequence of int
        [bytes]
    adler32, crc32c : sequence of int
    sha256 : sequence of bytes
        32 bytes each.
    run, subrun, first_event, last_event, begin_time, end_time : sequence of int
        Times in microseconds since 1970, UTC.
    """

    name: Sequence[str]
    size: Sequence[int]
    adler32: Sequence[int]
    crc32c: Sequence[int]
    sha256: Sequence[bytes]
    run: Sequence[int]
    subrun: Sequence[int]
    first_event: Sequence[int]
    last_event: Sequence[int]
    begin_time: Sequence[int]
    end_time: Sequence[int]


def declare_columns(engine: Engine, shared: FileRecord, columns: Columns) -> int:
    """Put many new files into the catalogue, in one transaction.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    shared : FileRecord
        Tier, format, campaign, owner, settings, folder, status and description of all of them; no parents.
    columns : Columns

    Returns
    -------
    int
        Files declared.

    Raises
    ------
    CatalogError
        A value may not be kept, a name is there twice or in the catalogue already, or a run belongs to somebody
        else. Nothing is kept then.
    """
    number = len(columns.name)
    _check(shared, columns)
    with writing(engine) as connection:
        campaign = campaign_id(connection, shared.campaign, shared.owner)
        _refuse_known(connection, columns.name)
        alike = (shared._replace(run=run, subrun=0) for run in np.unique(np.asarray(columns.run)).tolist())
        claim_runs(connection, list(alike), {shared.campaign: campaign})
        settings = settings_ids(connection, [shared.settings])[shared.settings]
        folder = folder_ids(connection, shared.folders)[shared.folders[0]] if shared.folders else NOWHERE
        first = next_id(connection, files)
        events = np.asarray(columns.last_event) - np.asarray(columns.first_event) + 1
        rows = zip(
            range(first, first + number), columns.name, columns.size, columns.adler32, columns.crc32c, columns.sha256,
            repeat(shared.tier), repeat(shared.format), columns.run, columns.subrun, columns.first_event,
            columns.last_event, events.tolist(), columns.begin_time, columns.end_time, repeat(campaign),
            repeat(settings), repeat(folder), repeat(shared.status), repeat(now()), repeat(shared.description),
        )  # fmt: skip
        with indexes_built_after(connection, number):
            store(connection, files, rows)
    return number


def _check(shared: FileRecord, columns: Columns) -> None:
    checked(shared)
    if len(shared.folders) > 1 or shared.parents:
        raise CatalogError("files that are declared together by columns have one folder and no parents")
    if {len(column) for column in columns} != {len(columns.name)}:
        raise CatalogError("the columns are not all of one length")
    # Whole columns are looked at; the name at fault is looked for only if there is one.
    if not all(map(NAME.fullmatch, columns.name)) or "pro" in "\n".join(columns.name).lower():
        for name in columns.name:
            file_name(name)
    if len(set(columns.name)) != len(columns.name):
        raise CatalogError("a name is there twice: names are unique")
    if set(map(len, columns.sha256)) - {32}:
        raise CatalogError("a sha256 does not have 32 bytes")
    limits = dict.fromkeys(("adler32", "crc32c"), 2**32) | dict.fromkeys(("run", "subrun"), _TOO_LARGE)
    for what, column in columns._asdict().items():
        if what not in ("name", "sha256"):
            _check_numbers(what, np.asarray(column), limits.get(what, 2**63))
    for first, last in (("first_event", "last_event"), ("begin_time", "end_time")):
        if np.any(np.asarray(getattr(columns, first)) > np.asarray(getattr(columns, last))):
            raise CatalogError(f"in some file {first} comes after {last}")


def _check_numbers(what: str, column: NDArray[Any], too_large: int) -> None:
    if column.dtype.kind not in "iu" or (column.size and (column.min() < 0 or int(column.max()) >= too_large)):
        raise CatalogError(f"{what} holds what is no whole number from 0 to {too_large - 1}")


def _refuse_known(connection: Connection, names: Sequence[str]) -> None:
    if next_id(connection, files) == 1:
        return
    for piece in chunks(names):
        name = connection.execute(select(files.c.name).where(files.c.name.in_(piece)).limit(1)).scalar()
        if name is not None:
            raise CatalogError(
                f"{name} is in the catalogue already: columns are for new files, declare the others singly"
            )
