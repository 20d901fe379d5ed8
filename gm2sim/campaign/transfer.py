"""Finished files of a campaign on their way home: copied, read back, recorded, declared; twice is once.

What has arrived is in a sealed file for each shard in ``transfers/`` of the campaign's folder: whoever starts again
goes on behind the last of them. The catalogue hears of a place only from such a record.
"""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from gm2sim.atomic import SEAL, check_seal, sealed, write_json
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.located import GOOD, reports
from gm2sim.campaign.places import Disk, Facts, Parcel, Place, Tape, TransferError, product
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report, Shard
from gm2sim.catalog import FileRecord, declare, read_subrun
from gm2sim.catalog.folder import user
from gm2sim.catalog.record import PREFIX
from gm2sim.errors import ConfigError, nearest, refuse_newer

FORMAT = 1
RECORDS = "transfers"
_GB = 1_000_000_000
_TAPE = "hpss:"


@dataclass(frozen=True)
class Arrived:
    """What is known of a shard at a place.

    Attributes
    ----------
    stage, shard, place, parcel : str
    state : str
        Of the shard: "done" or "flagged".
    when : float
        Unix time [s].
    files : dict
        By path below the campaign's folder: size, sha256 (as sent), read_back (as found there).
    """

    stage: str
    shard: str
    place: str
    parcel: str
    state: str
    when: float
    files: Facts

    @property
    def verified(self) -> bool:
        """Whether every file was read at the other end as it was sent."""
        return bool(self.files) and all(one["sha256"] == one["read_back"] for one in self.files.values())


@dataclass
class Transferred:
    """What a transfer has done.

    Attributes
    ----------
    copied, there : int
        Shards brought now, and those that had been brought before.
    waiting : int
        Shards that are not finished.
    bytes : int
        Copied now.
    declared : int
        Files whose place the catalogue has learnt.
    failed : list of (shard, why)
    """

    copied: int = 0
    there: int = 0
    waiting: int = 0
    bytes: int = 0
    declared: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def place_of(text: str, folder: CampaignFolder, scratch: Path | None = None) -> Place:
    """The place that a person has named.

    Parameters
    ----------
    text : str
        A folder, or ``hpss:/path``.
    folder : CampaignFolder
        What is brought from; it cannot hold the place.
    scratch : Path, optional
        Room for reading tapes back; the campaign's folder without.

    Raises
    ------
    ConfigError
    """
    if text.startswith(_TAPE):
        return Tape(text.removeprefix(_TAPE).rstrip("/"), scratch or folder.path)
    path, root = Path(text).absolute(), folder.path.absolute()
    if not text or path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"'{text}' lies in the campaign's own folder: give a place that outlives it")
    return Disk(path)


def transfer(
    folder: CampaignFolder,
    place: Place,
    *,
    stages: Collection[str] = (),
    only: Collection[tuple[str, str]] | None = None,
    parcel_gb: float = 100.0,
    engine: Engine | None = None,
    owner: str = "",
    note: Callable[[str], None] | None = None,
) -> Transferred:
    """Bring the files of finished shards to a place.

    Parameters
    ----------
    folder : CampaignFolder
    place : Place
    stages : collection of str
        Empty for all.
    only : collection of (stage, shard), optional
        No others.
    parcel_gb : float
        Size of a tar file for a tape [GB]; a disk takes shard by shard.
    engine : sqlalchemy.Engine, optional
        Catalogue that is told where the files of simulating stages lie now.
    owner : str
        On whose behalf; you without.
    note : callable, optional
        Told of each parcel.

    Returns
    -------
    Transferred
        A file that did not arrive is in ``failed``; the others go on.

    Raises
    ------
    ConfigError
        The request cannot be carried out.
    """
    campaign = read(folder.definition)
    wanted = _wanted(campaign, stages, only)
    if isinstance(place, Tape):
        place.require()
    done = Transferred()
    told = {shard: report for shard, report in reports(folder, wanted).items() if report.state in GOOD}
    done.waiting = len(wanted) - len(told)
    new = {}
    for shard, report in told.items():
        before = arrived(folder, place.name, shard)
        if before is not None and _same(before, _files(folder, shard, report), folder.path) and _held(place, before):
            done.there += 1
        else:
            new[shard] = report
    for parcel, inside in _parcels(folder, campaign, new, place, parcel_gb):
        if note:
            note(f"{parcel.name}: {len(parcel.files)} files to {place.name}")
        try:
            sums = place.keep(parcel, folder.path)
        except (TransferError, OSError) as err:
            done.failed += [(shard.name, str(err)) for shard in inside]
            continue
        for shard in inside:
            _record(folder, place, parcel, shard, new[shard], sums)
            done.copied += 1
            done.bytes += sum(int(one["size"]) for one in new[shard].files.values())
    if engine is not None:
        done.declared = _declare(engine, campaign, folder, place, told, owner or user())
    return done


def _wanted(campaign: Campaign, stages: Collection[str], only: Collection[tuple[str, str]] | None) -> list[Shard]:
    """The shards that are asked for."""
    known = [stage.name for stage in campaign.stages]
    for name in stages:
        if name not in known:
            raise ConfigError(f"there is no stage '{name}': {nearest(name, known)}")
    return [
        shard
        for shard in shards(campaign)
        if (not stages or shard.stage in stages) and (only is None or (shard.stage, shard.name) in only)
    ]


def arrived(folder: CampaignFolder, place: str, shard: Shard) -> Arrived | None:
    """The record of a shard at a place; None where there is none that can be read.

    Raises
    ------
    NewerFormatError
        A later version of the program wrote it.
    """
    path = _path(folder, place, shard)
    try:
        text = path.read_text("utf-8")
        content = json.loads(text)
        check_seal(text, content)
    except (OSError, ValueError, AttributeError):
        return None
    refuse_newer(f"'{path}'", content.get("format"), FORMAT)
    try:
        return Arrived(**{key: value for key, value in content.items() if key not in ("format", SEAL)})
    except TypeError:
        return None


def _path(folder: CampaignFolder, place: str, shard: Shard) -> Path:
    key = hashlib.sha256(place.encode()).hexdigest()[:12]
    return folder.path / RECORDS / key / shard.stage / f"{shard.name}.json"


def _files(folder: CampaignFolder, shard: Shard, report: Report) -> dict[Path, dict[str, Any]]:
    run = folder.run(shard.stage, shard.run)
    return {product(folder.path, run, name): facts for name, facts in report.files.items()}


def _same(before: Arrived, files: dict[Path, dict[str, Any]], root: Path) -> bool:
    """Whether the record is of these very files."""
    now = {str(path.relative_to(root)): facts["sha256"] for path, facts in files.items()}
    return before.verified and {name: one["sha256"] for name, one in before.files.items()} == now


def _held(place: Place, before: Arrived) -> bool:
    return place.holds({name: int(one["size"]) for name, one in before.files.items()})


def _parcels(
    folder: CampaignFolder, campaign: Campaign, new: dict[Shard, Report], place: Place, parcel_gb: float
) -> Iterator[tuple[Parcel, list[Shard]]]:
    """A parcel a shard for a disk; for a tape shards of one stage together, up to a size."""
    limit = parcel_gb * _GB if isinstance(place, Tape) else 0.0
    for stage in campaign.stages:
        together: list[Shard] = []
        size = 0.0
        for shard in sorted(one for one in new if one.stage == stage.name):
            more = sum(int(one["size"]) for one in new[shard].files.values())
            if together and size + more > limit:
                yield _parcel(folder, campaign, together, new), together
                together, size = [], 0.0
            together.append(shard)
            size += more
        if together:
            yield _parcel(folder, campaign, together, new), together


def _parcel(folder: CampaignFolder, campaign: Campaign, inside: list[Shard], new: dict[Shard, Report]) -> Parcel:
    files = {path: facts for shard in inside for path, facts in _files(folder, shard, new[shard]).items()}
    # Of what is in it: the same shards made otherwise are another archive, and nothing is ever overwritten on tape.
    content = "".join(f"{path.name} {facts['sha256']}\n" for path, facts in files.items())
    key = hashlib.sha256(content.encode()).hexdigest()[:12]
    name = f"{campaign.name}.{inside[0].stage}.{inside[0].name}.{len(inside)}.{key}"
    return Parcel(name, inside[0].stage, files)


def _record(
    folder: CampaignFolder, place: Place, parcel: Parcel, shard: Shard, report: Report, sums: dict[str, str]
) -> None:
    files = {}
    for path, facts in _files(folder, shard, report).items():
        name = str(path.relative_to(folder.path))
        files[name] = {"size": facts["size"], "sha256": facts["sha256"], "read_back": sums[name]}
    one = Arrived(shard.stage, shard.name, place.name, parcel.name, report.state, time.time(), files)
    path = _path(folder, place.name, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, sealed({"format": FORMAT} | asdict(one)), replace=True)


def _declare(
    engine: Engine, campaign: Campaign, folder: CampaignFolder, place: Place, told: Iterable[Shard], owner: str
) -> int:
    """Tell the catalogue where the files of simulated shards lie, if they were read back there.

    Files of the stages behind have the same name in each run, which the catalogue does not take: their records stay in
    ``transfers/``.
    """
    simulating = {stage.name for stage in campaign.stages if stage.kind == "simulate"}
    found: list[FileRecord] = []
    for shard in told:
        one = arrived(folder, place.name, shard) if shard.stage in simulating else None
        if one is None or not one.verified:
            continue
        by_name = {Path(name).name: name for name in one.files}
        metadata = next((name for name in one.files if name.endswith(".json")), None)
        if metadata is None:
            continue
        # Sizes and sums of the metadata here are those that were read there: `verified` has compared them.
        for record in read_subrun(folder.path / metadata, f"{PREFIX}{campaign.name}", owner, trust=True):
            if record.name in by_name and record.sha256 == one.files[by_name[record.name]]["read_back"]:
                here = record.folders
                there = place.folder(one.parcel, by_name[record.name])
                found.append(record._replace(folders=(*here, there)))
    declare(engine, found)
    return len(found)
