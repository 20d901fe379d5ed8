"""Files that a purge of the scratch disk would take: who they are, how long they have, and the way out.

The limit is what the site says today, given by whoever asks; nothing is copied, moved or touched without being told.
"""

import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gm2sim.atomic import again, sync
from gm2sim.campaign.definition import read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.located import GOOD, reports
from gm2sim.campaign.places import Disk, TransferError, copy, product
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Shard
from gm2sim.campaign.transfer import arrived, transfer
from gm2sim.errors import ConfigError

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Endangered:
    """A file on scratch.

    Attributes
    ----------
    path : Path
    size : int
        [bytes]
    idle_days : float
        Since it was last read or written, by the clock of its disk [days].
    left_days : float
        Until the purge may take it; negative when it may already [days].
    shard : Shard or None
        That it belongs to; None for what the campaign itself keeps.
    safe : bool
        Whether a copy at the place that was asked for has been read back.
    """

    path: Path
    size: int
    idle_days: float
    left_days: float
    shard: Shard | None
    safe: bool


def endangered(
    folder: CampaignFolder,
    limit_days: float,
    *,
    within_days: float,
    place: Disk | None = None,
    now: float | None = None,
) -> list[Endangered]:
    """Files that the purge may take soon, those with the least time first; looks and touches nothing.

    Parameters
    ----------
    folder : CampaignFolder
    limit_days : float
        Idle time from which the site purges, as it says today [days].
    within_days : float
        How soon is soon [days].
    place : Disk, optional
        Where copies are looked for.
    now : float, optional
        Unix time [s].

    Raises
    ------
    ConfigError
        A limit that is none.
    """
    if not 0.0 < limit_days < 10_000.0 or within_days < 0.0:
        raise ConfigError(
            f"a purge after {limit_days:g} days, looked for {within_days:g} days ahead: give days above 0"
        )
    now = time.time() if now is None else now
    soon = _idle(folder.path, now, limit_days - within_days)  # first: to read the reports is to use them
    owners, safe = _owners(folder, place)
    found = []
    for path, (size, idle) in soon.items():
        shard = owners.get(path)
        found.append(Endangered(path, size, idle, limit_days - idle, shard, shard in safe))
    return sorted(found, key=lambda one: one.left_days)


def rescue(
    folder: CampaignFolder,
    found: list[Endangered],
    place: Disk,
    *,
    move: bool = False,
    note: Callable[[str], None] | None = None,
) -> list[tuple[str, str]]:
    """Copy endangered files to a folder that is not purged, and with ``move`` leave links in their place.

    Parameters
    ----------
    folder : CampaignFolder
    found : list of Endangered
        From :func:`endangered`.
    place : Disk
    move : bool
        Files of shards whose copies were read back become links to them.
    note : callable, optional
        Told of each shard.

    Returns
    -------
    list of (file or shard, why)
        What could not be saved; empty when all is safe.
    """
    wanted = {(one.shard.stage, one.shard.name) for one in found if one.shard is not None}
    failed = transfer(folder, place, only=wanted, note=note).failed if wanted else []
    for one in found:
        if one.shard is None:
            try:
                target = place.path / one.path.relative_to(folder.path)
                target.parent.mkdir(parents=True, exist_ok=True)
                copy(one.path, target)
            except FileNotFoundError:
                continue  # the campaign goes on meanwhile: what is gone needs no rescue
            except (TransferError, OSError) as err:
                failed.append((str(one.path), str(err)))
        elif move:
            kept = arrived(folder, place.name, one.shard)
            name = str(one.path.relative_to(folder.path))
            if kept is not None and kept.verified and name in kept.files and place.holds({name: one.size}):
                _become_link(one.path, place.path.absolute() / name)
    return failed


def _idle(root: Path, now: float, least_days: float) -> dict[Path, tuple[int, float]]:
    """Size [bytes] and idle time [days] of the files that nobody has used for some days; links are none."""
    found = {}
    for path in sorted(root.rglob("*")):
        with suppress(FileNotFoundError):
            facts = path.lstat()
            idle = (now - max(facts.st_atime, facts.st_mtime)) / _DAY_S
            if stat.S_ISREG(facts.st_mode) and idle >= least_days:
                found[path] = facts.st_size, idle
    return found


def _owners(folder: CampaignFolder, place: Disk | None) -> tuple[dict[Path, Shard], set[Shard | None]]:
    """The shard of each product, and the shards that are safe at a place."""
    owners: dict[Path, Shard] = {}
    safe: set[Shard | None] = set()
    if not folder.definition.is_file():
        raise ConfigError(f"'{folder.path}' holds no campaign (no campaign.toml): name its folder")
    for shard, report in reports(folder, shards(read(folder.definition))).items():
        if report.state not in GOOD:
            continue
        run = folder.run(shard.stage, shard.run)
        owners |= {product(folder.path, run, name): shard for name in report.files}
        if place is not None:
            kept = arrived(folder, place.name, shard)
            if kept is not None and kept.verified and place.holds(
                {name: int(one["size"]) for name, one in kept.files.items()}
            ):  # fmt: skip
                safe.add(shard)
    return owners, safe


def _become_link(path: Path, target: Path) -> None:
    """Put a link in the place of a file, in one step: whoever reads meanwhile finds the one or the other."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.link")
    temporary.symlink_to(target)
    try:
        again(os.replace, temporary, path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
