"""A million files at once, column by column: for catalogues of whole runs of the experiment."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, Engine, select

from gm2sim.catalog.columns import Columns, checked_columns
from gm2sim.catalog.declare import claim_runs
from gm2sim.catalog.loading import store_columns
from gm2sim.catalog.record import FileRecord, checked
from gm2sim.catalog.schema import NOWHERE, files
from gm2sim.catalog.store import (
    campaign_id,
    chunks,
    folder_ids,
    indexes_built_after,
    next_id,
    settings_ids,
    writing,
)
from gm2sim.catalog.text import CatalogError
from gm2sim.catalog.times import now


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
    checked(shared)
    if len(shared.folders) > 1 or shared.parents:
        raise CatalogError("files that are declared together by columns have one folder and no parents")
    own = checked_columns(columns)
    with writing(engine) as connection:
        campaign = campaign_id(connection, shared.campaign, shared.owner)
        _refuse_known(connection, columns.name)
        alike = (shared._replace(run=run, subrun=0) for run in np.unique(own["run"]).tolist())
        claim_runs(connection, list(alike), {shared.campaign: campaign})
        own["id"] = next_id(connection, files) + np.arange(number)
        own["events"] = own["last_event"] - own["first_event"] + 1
        the_same = {
            "tier": shared.tier,
            "format": shared.format,
            "campaign_id": campaign,
            "settings_id": settings_ids(connection, [shared.settings])[shared.settings],
            "folder_id": folder_ids(connection, shared.folders)[shared.folders[0]] if shared.folders else NOWHERE,
            "status": shared.status,
            "declared": now(),
            "description": shared.description,
        }
        with indexes_built_after(connection, number):
            store_columns(connection, files, own, the_same)
    return number


def _refuse_known(connection: Connection, names: Sequence[str]) -> None:
    if next_id(connection, files) == 1:
        return
    for piece in chunks(names):
        name = connection.execute(select(files.c.name).where(files.c.name.in_(piece)).limit(1)).scalar()
        if name is not None:
            raise CatalogError(
                f"{name} is in the catalogue already: columns are for new files, declare the others singly"
            )
