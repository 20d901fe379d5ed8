"""The TOML file of a campaign: read, checked, and nothing else."""

import hashlib
import json
import re
import tomllib
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from gm2sim.config.section import Section
from gm2sim.errors import ConfigError, nearest

NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_SITE = r"^[A-Za-z0-9~/.][A-Za-z0-9~/._-]{0,200}$"
_TIME = r"^(\d+-)?\d{1,2}:\d\d:\d\d$"
Kind = Literal["simulate", "reconstruct", "report"]


class StageSection(Section):
    """One step from a run to its files."""

    name: str = Field(pattern=NAME, description="what the stage is called, and its folder")
    kind: Kind = Field(description="simulate: raw data and truth; reconstruct: both passes; report: report.html")
    after: tuple[str, ...] = Field((), description="stages that a run must have finished before")
    retries: int = Field(2, ge=0, le=100, description="attempts after the first, for faults that may pass")
    time: str = Field("01:00:00", pattern=_TIME, description="longest time of a job ([days-]hours:minutes:seconds)")
    memory_mb: int = Field(2000, ge=100, description="most memory that a rank may take")


class RunsSection(Section):
    """A slice of the campaign: runs that share their settings."""

    first_run: int = Field(ge=1, lt=2**24, description="number of the first run")
    runs: int = Field(1, ge=1, le=100_000, description="how many, numbered on from the first")
    fills: int = Field(ge=1, lt=2**31, description="fills of each run")
    subruns: int = Field(1, ge=1, lt=100_000, description="subruns of each run, one shard each")
    only: tuple[int, ...] = Field((), description="first and last subrun, when other slices hold the rest of the run")
    set: dict[str, Any] = Field({}, description="values of the configuration, by dotted name")
    grid: dict[str, tuple[Any, ...]] = Field(
        {}, description="lists of values by dotted name: runs for every combination, numbered on"
    )

    @model_validator(mode="after")
    def _range_of_subruns(self) -> "RunsSection":
        if self.only and not (len(self.only) == 2 and 0 <= self.only[0] <= self.only[1] < self.subruns):
            raise ConfigError(
                f"only = {list(self.only)} is no range of the {self.subruns} subruns of run {self.first_run}: give the "
                f"first and the last of 0 to {self.subruns - 1}"
            )
        return self


class Campaign(Section):
    """A campaign as its file describes it."""

    name: str = Field(pattern=NAME, description="unique in the catalogue")
    description: str = Field("", description="one line for people")
    preset: str = Field(description="preset or TOML file that the runs start from")
    seed: int = Field(1, ge=0, lt=2**32, description="seed of every random number")
    software: str = Field("", description="version of gm2sim that must be installed; empty for any")
    container: str = Field("", description="image that jobs run in; empty for none")
    site: str = Field("local", pattern=_SITE, description="where it runs: a name in nersc/sites.toml, or a TOML file")
    folder: str = Field(description="folder of everything it makes; relative to the file")
    catalog: str = Field("catalog.sqlite", description="the catalogue: a file, relative to the folder, or a URL")
    nodes: int = Field(1, ge=1, le=10_000, description="most nodes at work at once")
    draining: bool = Field(False, description="runs may be added later: launch takes up what is new")
    stages: tuple[StageSection, ...] = Field(min_length=1, alias="stage", description="in any order")
    slices: tuple[RunsSection, ...] = Field(min_length=1, alias="runs", description="one table a slice")

    @model_validator(mode="after")
    def _stages_agree(self) -> "Campaign":
        names = [stage.name for stage in self.stages]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"two stages are called '{name}': give each a name of its own")
        for stage in self.stages:
            for before in stage.after:
                if before not in names:
                    raise ConfigError(
                        f"stage '{stage.name}' comes after '{before}', which is no stage: {nearest(before, names)}"
                    )
        self.ordered_stages()
        return self

    def ordered_stages(self) -> list[StageSection]:
        """Stages such that each stands behind those it comes after.

        Raises
        ------
        ConfigError
            They wait for each other in a circle.
        """
        left, done = list(self.stages), list[StageSection]()
        while left:
            free = [stage for stage in left if all(name in {one.name for one in done} for name in stage.after)]
            if not free:
                circle = ", ".join(f"'{stage.name}'" for stage in left)
                raise ConfigError(f"the stages {circle} wait for each other: take one 'after' out of the circle")
            done.append(free[0])
            left.remove(free[0])
        return done

    def stage(self, name: str) -> StageSection:
        """A stage by its name."""
        for one in self.stages:
            if one.name == name:
                return one
        raise ConfigError(f"there is no stage '{name}': {nearest(name, [one.name for one in self.stages])}")

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that decides what is made; sites, limits and descriptions do not."""
        told = self.model_dump(mode="json", by_alias=True, include={"name", "preset", "seed", "software", "slices"})
        told["stages"] = [[one.name, one.kind, sorted(one.after)] for one in self.stages]
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(path: Path) -> Campaign:
    """Read a campaign's file.

    Raises
    ------
    ConfigError
        It cannot be read, or something in it is wrong: says what, where, and how to mend it.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no campaign file '{path}': give the path of a TOML file") from None
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"'{path}' cannot be read ({err}): give a TOML file") from None
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"'{path}' is no TOML ({err}): see docs/campaign.md") from None
    try:
        return Campaign.model_validate(content)
    except ValidationError as err:
        raise ConfigError(f"'{path}': {_sentence(err)}") from None


def _sentence(err: ValidationError) -> str:
    """The first thing that is wrong, with its place in the file."""
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"'{where}' is unknown: {nearest(str(first['loc'][-1]), _known(first['loc']))}"
    if first["type"] == "missing":
        return f"'{where}' is missing: give it"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    given = re.sub(r"\s+", " ", repr(first["input"]))[:60]
    return f"{where} = {given}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _known(place: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[Section]] = {"stage": StageSection, "runs": RunsSection}
    model = tables.get(str(place[0]), Campaign) if len(place) > 1 else Campaign
    return [field.alias or name for name, field in model.model_fields.items()]
