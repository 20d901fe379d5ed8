"""Files and folders that a person names, as records; who they are and where their catalogue is."""

import getpass
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gm2sim.catalog.record import PREFIX, FileRecord
from gm2sim.catalog.sidecar import beside, describe, metadata_files, read_subrun
from gm2sim.catalog.text import CatalogError, quoted


def user() -> str:
    """Name of the person who types."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "nobody"


def own_campaign(owner: str) -> str:
    """The campaign of files for which none is named: one for each owner."""
    return PREFIX + (re.sub(r"[^A-Za-z0-9._+=-]", "_", owner)[:100] or "_")


def read_paths(
    paths: Sequence[Path],
    campaign: str,
    owner: str,
    *,
    trust: bool = False,
    tier: str | None = None,
    parents: Iterable[str] = (),
    **known: Any,
) -> list[FileRecord]:
    """Records of files: of whole folders, of subruns by one of their files, of others as they are.

    Parameters
    ----------
    paths : sequence of Path
        Folders hold the metadata of subruns, also in folders below; other files in them are not taken.
    campaign, owner : str
    trust : bool
        Do not read the files that have metadata.
    tier, parents, known
        Of files that have no metadata beside them.

    Raises
    ------
    CatalogError
        A path is not there, a folder holds no subrun, or a file is not what its metadata say.
    """
    subruns: dict[Path, None] = {}
    others: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = metadata_files(path)
            if not found:
                raise CatalogError(f"{quoted(path)} holds no subrun (gm2_run*.json): name a run's folder, or its files")
            subruns |= dict.fromkeys(found)
        elif not path.is_file():
            raise CatalogError(f"there is no {quoted(path)}: check the path")
        elif (metadata := beside(path)) is not None:
            subruns[metadata] = None
        else:
            others.append(path)
    records = [record for metadata in subruns for record in read_subrun(metadata, campaign, owner, trust=trust)]
    made_from = tuple(parents)
    return records + [describe(path, campaign, owner, tier=tier, parents=made_from, **known) for path in others]
