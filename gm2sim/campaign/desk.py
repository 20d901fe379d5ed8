"""Where a person acts on a campaign: its file or folder, its site, its ledger.

All that can be wrong is seen to before anything is submitted.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from gm2sim import __version__
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.limits import Limits, Room, limits, refuse_container, refuse_longer_jobs, room
from gm2sim.campaign.plan import Plan, plan, read_plan
from gm2sim.campaign.runs import config_of, runs
from gm2sim.campaign.sites import Site, site
from gm2sim.campaign.slurm import Slurm
from gm2sim.campaign.trial import measure, serial
from gm2sim.database import opened, upgrade
from gm2sim.errors import ConfigError


@dataclass(frozen=True)
class Desk:
    """A campaign that a person has named.

    Attributes
    ----------
    campaign : Campaign
    folder : CampaignFolder
        Absolute.
    beside : Path
        Folder that paths in its file are relative to.
    """

    campaign: Campaign
    folder: CampaignFolder
    beside: Path

    @classmethod
    def of(cls, where: Path) -> "Desk":
        """The campaign of a TOML file, or of the folder that it was launched into.

        Raises
        ------
        ConfigError
            There is none, its file is wrong, or its folder is another one's.
        """
        if where.is_dir():
            folder = CampaignFolder(where.resolve())
            if not folder.definition.exists():
                raise ConfigError(f"'{where}' is no folder of a campaign (no campaign.toml in it): give its TOML file")
            return cls(read(folder.definition), folder, folder.path)
        beside = where.resolve().parent
        campaign = _with_paths(read(where), beside)
        folder = CampaignFolder((beside / _expanded(campaign.folder)).resolve())
        if folder.definition.exists():
            there = read(folder.definition).name
            if there != campaign.name:
                raise ConfigError(
                    f"folder '{folder.path}' belongs to campaign '{there}', not to '{campaign.name}': choose another "
                    "'folder'"
                )
        return cls(campaign, folder, beside)

    def site(self, name: str = "", said: Mapping[str, str | None] | None = None) -> Site:
        """Where it runs, unless a name says otherwise, with what the user says of the site."""
        return site(name or self.campaign.site, Path() if name else self.beside).with_said(said or {})

    def catalog(self, db: str = "") -> str:
        """The catalogue: that of the campaign's file, unless a path or URL says otherwise."""
        if db:
            return db
        own = self.campaign.catalog
        return own if "://" in own else str(self.folder.path / _expanded(own))

    @contextmanager
    def ledger(self, db: str = "", *, create: bool = False, read_only: bool = False) -> Iterator[Ledger]:
        """The ledger of its catalogue.

        Parameters
        ----------
        db : str
            Instead of the campaign's own.
        create : bool
            A SQLite file that is not there is made.
        read_only : bool
            Nothing is to be written.

        Raises
        ------
        DatabaseError
            It cannot be reached, or is of an older or newer program.
        ConfigError
            There is none: the campaign was not launched.
        """
        where = self.catalog(db)
        new = "://" not in where and not Path(where).exists()
        if new and not create:
            raise ConfigError(f"campaign '{self.campaign.name}' has no catalogue '{where}': launch it first")
        if new:
            Path(where).parent.mkdir(parents=True, exist_ok=True)
        with opened(where, create=create, read_only=read_only) as engine:
            if new:
                upgrade(engine, "catalog")
            yield Ledger(engine)


@dataclass(frozen=True)
class Ready:
    """A campaign that may be launched.

    Attributes
    ----------
    site : Site
    farming : Farming
    told : Limits
    """

    site: Site
    farming: Farming
    told: Limits


def check(desk: Desk, where: Site, slurm: Slurm | None = None) -> Ready:
    """See to everything that can be wrong before anything is submitted.

    Parameters
    ----------
    desk : Desk
    where : Site
    slurm : Slurm, optional
        That jobs are to be submitted to; without, nothing is to be submitted.

    Raises
    ------
    ConfigError
        The first thing that is wrong: slices, settings, stages, version, container, template, Slurm, times, quotas.
    """
    campaign = desk.campaign
    check_work(campaign, desk.folder)
    if campaign.software and not campaign.container and campaign.software != __version__:
        raise ConfigError(
            f"campaign '{campaign.name}' wants gm2sim {campaign.software}, and this is {__version__}: install that "
            "one, or change 'software'"
        )
    refuse_container(where, campaign.container, campaign.software)
    memory = max(stage.memory_mb for stage in campaign.stages)
    farming = where.farming(campaign.container, desk.folder.path, memory)
    if slurm is None:
        return Ready(where, farming, limits(where))
    if not (files("nersc") / "templates" / where.template).is_file():
        raise ConfigError(f"there is no template '{where.template}' in nersc/templates: mend 'template' of the site")
    slurm.require()
    where.require_launcher()
    told = limits(where)
    refuse_longer_jobs(campaign, told)
    planned = read_plan(desk.folder, campaign)
    if planned is not None:
        planned.refuse_too_large(room(where, desk.folder.path), _done(desk))
    return Ready(where, replace(farming, longest_array=min(farming.longest_array, told.elements or 10**9)), told)


def check_work(campaign: Campaign, folder: CampaignFolder) -> None:
    """See that every muon is in one shard, settings can be resolved, and each stage comes after what it needs.

    Raises
    ------
    ConfigError
    """
    from gm2sim.campaign.stages import open_stage

    seen = set()
    for run in runs(campaign):
        key = json.dumps(run.values, sort_keys=True, default=str)
        if key not in seen:
            config_of(campaign, run)
            seen.add(key)
    for stage in campaign.stages:
        open_stage(folder, campaign, stage.name, "cpu", "", None).close()


def estimate(desk: Desk, where: Site, note: Callable[[str], None]) -> tuple[Plan, Room]:
    """Measure a short trial, plan the campaign with it, and keep the plan in its folder.

    Parameters
    ----------
    desk : Desk
    where : Site
    note : callable
        Told what is going on.

    Returns
    -------
    (Plan, Room)
        What it will take, and what still fits on its disk.

    Raises
    ------
    ConfigError
        The campaign is wrong, or its first shard cannot be made.
    """
    ready = check(desk, where)
    here = where.launcher[0] == "mpiexec"  # nodes of other sites are not ours to use without a job
    farming = ready.farming if here else serial()
    if here:
        where.require_launcher()
    trial = measure(desk.campaign, desk.folder.path, farming, note)
    found = plan(desk.campaign, trial, ready.farming, ready.told, same_machine=here)
    found.write(desk.folder)
    return found, room(where, desk.folder.path)


def _with_paths(campaign: Campaign, beside: Path) -> Campaign:
    """The campaign with the files that it names beside it by their whole paths: jobs run elsewhere."""
    found = {}
    for name in ("preset", "site"):
        path = getattr(campaign, name)
        if path.endswith(".toml"):
            found[name] = str((beside / _expanded(path)).resolve())
    return campaign.model_copy(update=found) if found else campaign


def _done(desk: Desk) -> float:
    """Part of the shards whose reports are there, which is what has its place on the disk already."""
    there = sum(1 for _ in (desk.folder.path / "shards").glob("*/*.json"))
    planned = read_plan(desk.folder, desk.campaign)
    return min(1.0, there / planned.shards) if planned and planned.shards else 0.0


def _expanded(path: str) -> str:
    """A path with ``~`` and ``$SCRATCH`` replaced."""
    found = os.path.expandvars(str(Path(path).expanduser()))
    if left := re.search(r"\$\{?(\w+)", found):
        raise ConfigError(f"'{path}' names ${left[1]}, which is not set here: set it, or write the path out")
    return found
