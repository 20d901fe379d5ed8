"""From the slices of a campaign to its runs and shards: every muon once, none left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from gm2sim.campaign.definition import Campaign, RunsSection, StageSection
from gm2sim.campaign.shard import Shard
from gm2sim.config import Config, resolve
from gm2sim.errors import ConfigError

WHOLE = -1
"""Subrun of a shard that is a whole run."""


@dataclass(frozen=True)
class Run:
    """One run of a campaign.

    Attributes
    ----------
    number, fills, subruns : int
    values : dict
        Of the configuration, by dotted name, that differ from the preset.
    """

    number: int
    fills: int
    subruns: int
    values: dict[str, Any]

    def fills_of(self, subrun: int) -> int:
        """Fills of one subrun: spread evenly, the first ones longer by one if need be."""
        share, rest = divmod(self.fills, self.subruns)
        return share + (subrun < rest)


def runs(campaign: Campaign) -> list[Run]:
    """The runs of all slices, by number.

    Raises
    ------
    ConfigError
        Slices hold the same muon twice, or leave one out.
    """
    found: dict[int, Run] = {}
    held: dict[int, list[range]] = {}
    for one in campaign.slices:
        subruns = range(one.only[0], one.only[1] + 1) if one.only else range(one.subruns)
        for run in _expanded(one):
            if found.setdefault(run.number, run) != run:
                raise ConfigError(
                    f"run {run.number} stands in two slices with different settings: its muons would be made twice; "
                    "give one of them another first_run"
                )
            held.setdefault(run.number, []).append(subruns)
    for number, ranges in held.items():
        _refuse_holes(found[number], ranges)
    return [found[number] for number in sorted(found)]


def _expanded(one: RunsSection) -> Iterator[Run]:
    number = one.first_run
    for values in product(*one.grid.values()):
        for _ in range(one.runs):
            yield Run(number, one.fills, one.subruns, one.set | dict(zip(one.grid, values, strict=True)))
            number += 1


def _refuse_holes(run: Run, ranges: list[range]) -> None:
    """Each subrun must be in one range."""
    next_one = 0
    for held in sorted(ranges, key=lambda one: one.start):
        if held.start < next_one:
            last = min(next_one, held.stop) - 1
            raise ConfigError(
                f"the slices hold subruns {held.start} to {last} of run {run.number} twice: "
                "give each subrun to one slice"
            )
        if held.start > next_one:
            raise ConfigError(
                f"no slice holds subruns {next_one} to {held.start - 1} of run {run.number}: add them to a slice"
            )
        next_one = held.stop
    if next_one < run.subruns:
        raise ConfigError(
            f"no slice holds subruns {next_one} to {run.subruns - 1} of run {run.number}: add them to a slice"
        )


def shards(campaign: Campaign) -> Iterator[Shard]:
    """Every shard, stage by stage in an order in which they can be made."""
    all_runs = runs(campaign)
    for stage in campaign.ordered_stages():
        for run in all_runs:
            yield from shards_of(stage, run)


def shards_of(stage: StageSection, run: Run) -> Iterator[Shard]:
    """The shards of one run in one stage."""
    if stage.kind == "simulate":
        for subrun in range(run.subruns):
            yield Shard(stage.name, run.number, subrun, run.fills_of(subrun))
    else:
        yield Shard(stage.name, run.number, WHOLE, run.fills)


def config_of(campaign: Campaign, run: Run) -> Config:
    """The configuration of a run.

    Raises
    ------
    ConfigError
        The preset does not exist, or a value is unknown or out of bounds.
    """
    values = run.values | {
        "run.run": run.number, "run.fills": run.fills, "run.subruns": run.subruns, "run.seed": campaign.seed,
    }  # fmt: skip
    return resolve(campaign.preset, values, dict.fromkeys(run.values, f"run {run.number} of the campaign")).config
