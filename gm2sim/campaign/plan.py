"""What a campaign will cost before anything is submitted: measured on a few shards of its own, with a range."""

import heapq
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gm2sim.atomic import write_json
from gm2sim.campaign.definition import Campaign, StageSection
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming
from gm2sim.campaign.launch import plan as group
from gm2sim.campaign.limits import Limits, Room
from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.runs import config_of, runs, shards_of
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.trial import Cost, Trial
from gm2sim.errors import ConfigError

PLAN = "plan.json"
"""Name of the file in the campaign's folder."""
FORMAT = 1
_HOUR = 3600.0
# Nodes of one kind differ, and cores of another machine from those of this one: best estimates.
_NODES, _OTHER_MACHINE = 0.05, 0.2
_CROWDED = 0.05  # waiting for the disk is not seen in the time of cores: best estimate
_SIGMAS = 2.0  # of the range


@dataclass(frozen=True)
class StagePlan:
    """One stage; ``bytes`` on the disk, ``measured`` False where a few fills are not enough for it."""

    stage: str
    shards: int
    files: int
    bytes: float
    node_hours: float
    measured: bool = True


@dataclass(frozen=True)
class Plan:
    """The whole campaign, as plan.json has it.

    Attributes
    ----------
    campaign, hash, site : str
        ``hash`` says of which campaign it is.
    stages : tuple of StagePlan
    runs, fills : int
    muons : float
        Stored ones; injected ones where fills are injected.
    shards, files : int
    terabytes : float
    node_hours, node_hours_low, node_hours_high : float
        Best guess and range.
    wall_hours : float
        On as many nodes as the campaign may use, without time in the queue.
    nodes, ranks : int
        Nodes at once, and ranks of a node.
    memory_mb : float
        Most of a rank.
    charged_hours, hours_left : float or None
        What the account pays, and what it has; None where the site does not say.
    measured : str
        How.
    costs : dict of str to Cost
        By stage.
    start_s, others_per_fill : float
        As of the trial.
    leave_s : int
        How long before its end a job is asked to leave [s].
    """

    campaign: str
    hash: str
    site: str
    stages: tuple[StagePlan, ...] = ()
    runs: int = 0
    fills: int = 0
    muons: float = 0.0
    shards: int = 0
    files: int = 0
    terabytes: float = 0.0
    node_hours: float = 0.0
    node_hours_low: float = 0.0
    node_hours_high: float = 0.0
    wall_hours: float = 0.0
    nodes: int = 1
    ranks: int = 1
    memory_mb: float = 0.0
    charged_hours: float | None = None
    hours_left: float | None = None
    measured: str = ""
    costs: dict[str, Cost] = field(default_factory=dict)
    start_s: float = 0.0
    others_per_fill: float = 0.0
    leave_s: int = 0

    def write(self, folder: CampaignFolder) -> Path:
        """Keep it in the campaign's folder."""
        folder.path.mkdir(parents=True, exist_ok=True)
        path = folder.path / PLAN
        write_json(path, content(self), replace=True)
        return path

    def refuse_too_large(self, room: Room, done: float = 0.0) -> None:
        """See that disk, files and hours are enough.

        Parameters
        ----------
        room : Room
        done : float
            Part of the campaign that is there already.

        Raises
        ------
        ConfigError
        """
        left = 1.0 - done
        if self.terabytes * left > room.bytes / 1e12:
            raise ConfigError(
                f"campaign '{self.campaign}' will write {self.terabytes * left:.3g} TB, and the disk or your quota has "
                f"{room.bytes / 1e12:.3g} TB left: make room, or choose another 'folder'"
            )
        if room.files is not None and self.files * left > room.files:
            raise ConfigError(
                f"campaign '{self.campaign}' will write {self.files * left:.0f} files, and the disk or your quota has "
                f"{room.files:.0f} left: make fewer subruns, or choose another 'folder'"
            )
        charged = (self.charged_hours or 0.0) * left
        if self.hours_left is not None and charged > self.hours_left:
            raise ConfigError(
                f"campaign '{self.campaign}' will be charged {charged:.3g} hours, and the account has "
                f"{self.hours_left:.3g} left: make it smaller, or choose another --account"
            )


def read_plan(folder: CampaignFolder, campaign: Campaign) -> Plan | None:
    """The plan that lies in a campaign's folder, if it is one of this campaign."""
    try:
        content = json.loads((folder.path / PLAN).read_text("utf-8"))
        if content.pop("format") != FORMAT or content["hash"] != campaign.hash:
            return None
        content["stages"] = tuple(StagePlan(**one) for one in content["stages"])
        content["costs"] = {name: Cost(**one) for name, one in content["costs"].items()}
        return Plan(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def plan(
    campaign: Campaign, trial: Trial, farming: Farming, told: Limits | None = None, *, same_machine: bool = True
) -> Plan:
    """Count shards, files and bytes, and follow the jobs that a launch would submit.

    Parameters
    ----------
    campaign : Campaign
    trial : Trial
    farming : Farming
        How a node is put to work.
    told : Limits, optional
        What the site says.
    same_machine : bool
        The trial ran on a node like those of the site, with as many ranks.

    Raises
    ------
    ConfigError
        The slices hold a muon twice, or leave one out.
    """
    told = told or Limits()
    all_runs = runs(campaign)
    others = trial.others_per_fill
    stages, used, wall = [], 0.0, 0.0
    most = 1
    for stage in campaign.ordered_stages():
        shards = [shard for run in all_runs for shard in shards_of(stage, run)]
        cost = trial.costs.get(stage.name, Cost())
        times = list(elements(campaign, stage, shards, cost, trial, farming))
        hours = sum(times) / _HOUR
        fills = sum(shard.fills for shard in shards)
        size = cost.bytes_each * len(shards) + (cost.bytes_per_fill + cost.bytes_per_other * others) * fills
        stages.append(
            StagePlan(
                stage.name, len(shards), round(len(shards) * cost.files_each), size, hours, stage.name in trial.costs
            )
        )
        used += hours
        wall += together(times, campaign.nodes) / _HOUR
        most = max(most, min(campaign.nodes, len(times)))
    below, above = _range(trial, same_machine)
    found = Plan(
        campaign.name, campaign.hash, campaign.site, tuple(stages), len(all_runs),
        sum(run.fills for run in all_runs), _muons(campaign), sum(one.shards for one in stages),
        sum(one.files for one in stages), sum(one.bytes for one in stages) / 1e12,
        used, used * below, used * above, wall, most, farming.ranks,
        max((one.memory_mb for one in trial.costs.values()), default=0.0),
        hours_left=told.hours_left, measured=_how(trial, same_machine), costs=trial.costs,
        start_s=trial.start_s, others_per_fill=others, leave_s=farming.leave_s,
    )  # fmt: skip
    return replace(found, charged_hours=used * told.charge if told.charge is not None else None)


def elements(
    campaign: Campaign, stage: StageSection, shards: Sequence[Shard], cost: Cost, trial: Trial, farming: Farming
) -> Iterator[float]:
    """Time of each element of the jobs that launches would submit for a stage [s].

    The first launch knows no times and gives each rank one shard; later ones fill the time of a job.
    """
    left = [waiting(shard) for shard in shards]
    known: list[ShardRow] = []
    alone = campaign.model_copy(update={"stages": (stage.model_copy(update={"after": ()}),)})
    while left:
        batch = group(alone, known, left, farming, free=campaign.nodes)[0]
        for shards_of_element in batch.elements:
            yield trial.start_s + makespan(shards_of_element, cost, trial.others_per_fill, farming.ranks)
        taken = {shard.name for shard in batch.shards}
        left = [row for row in left if row.name not in taken]
        longest = max(shard.fills for shard in shards)
        known = [_timed(waiting(shards[0]), longest, cost.seconds(longest, longest * trial.others_per_fill))]


def makespan(shards: Iterable[Shard], cost: Cost, others: float, ranks: int) -> float:
    """Until the last of some ranks is done that take shards in turn [s]."""
    free = [(0.0, rank, -1) for rank in range(ranks)]  # when, who, run whose tables it has
    end = 0.0
    for shard in shards:
        at, rank, run = heapq.heappop(free)
        at += cost.seconds(shard.fills, others * shard.fills) + (cost.setup if run != shard.run else 0.0)
        end = max(end, at)
        heapq.heappush(free, (at, rank, shard.run))
    return end


def together(times: Iterable[float], nodes: int) -> float:
    """Until all elements are done that nodes take in turn [s]."""
    free = [0.0] * nodes
    for time in times:
        heapq.heappush(free, heapq.heappop(free) + time)
    return max(free)


def _timed(row: ShardRow, fills: int, wall_s: float) -> ShardRow:
    """A row as of a shard that is done and took so long."""
    return row._replace(fills=fills, wall_s=wall_s, state=State.DONE)


def waiting(shard: Shard) -> ShardRow:
    """A shard that waits, as the ledger tells of it."""
    return ShardRow(
        shard.stage, shard.run, shard.subrun, shard.name, shard.fills, State.WAITING, 0, "", "", 0.0, 0.0, 1, 0.0, 0.0,
        0, 0,
    )  # fmt: skip


def _muons(campaign: Campaign) -> float:
    """Of all runs; settings of a grid may differ from run to run."""
    total, known = 0.0, dict[str, int]()
    for run in runs(campaign):
        key = json.dumps(run.values, sort_keys=True, default=str)
        if key not in known:
            config = config_of(campaign, run)
            known[key] = config.injection.muons_per_fill if config.injected else config.beam.muons_per_fill
        total += float(run.fills) * known[key]
    return total


def _range(trial: Trial, same_machine: bool) -> tuple[float, float]:
    """Factors from the best guess to its range: scatter of the trial's mean, and of machines."""
    mean = max((cost.spread / math.sqrt(max(1, cost.shards / 2)) for cost in trial.costs.values()), default=0.0)
    machines = _NODES if same_machine else _OTHER_MACHINE
    width = _SIGMAS * math.hypot(mean, machines, _CROWDED if trial.crowded else 0.0)
    return max(0.0, 1.0 - width), 1.0 + width


def _how(trial: Trial, same_machine: bool) -> str:
    timed = sum(cost.shards for cost in trial.costs.values())
    text = f"{timed} short shards on {trial.ranks} rank{'s' if trial.ranks > 1 else ''} of this machine"
    if trial.crowded:
        busy = min((cost.busy for cost in trial.costs.values()), default=1.0)
        text += f", by the time of its cores, of which others have left us {100.0 * busy:.0f} %"
    text += "" if same_machine else "; nodes of the site may be faster or slower"
    for stage, why in trial.failed.items():
        text += f"; stage {stage} is not counted: {why}"
    return text


def shown(found: Plan, room: Room) -> list[tuple[str, str]]:
    """The plan for people: what, and how much."""
    rows = [
        ("runs, fills", f"{found.runs}, {found.fills}"),
        ("muons", f"{found.muons:.4g}"),
        ("shards", ", ".join(f"{one.shards} {one.stage}" for one in found.stages)),
        ("node-hours", f"{found.node_hours:.3g} ({found.node_hours_low:.3g} to {found.node_hours_high:.3g})"),
        ("time", f"{_span(found.wall_hours)} on {found.nodes} nodes of {found.ranks} ranks, without the queue"),
        ("files", f"{found.files}" + (f" ({room.files:.0f} left)" if room.files is not None else "")),
        ("disk", f"{_size(found.terabytes)} ({_size(room.bytes / 1e12)} left)"),
        ("memory of a rank", f"{found.memory_mb:.0f} MB"),
    ]
    if found.charged_hours is not None:
        rows.append(("charge", f"{found.charged_hours:.3g} hours" + _left(found.hours_left)))
    return [*rows, ("measured", found.measured)]


def _left(hours: float | None) -> str:
    return f" of {hours:.3g} left" if hours is not None else ", what is left is not known"


def _span(hours: float) -> str:
    return f"{hours * 60.0:.3g} minutes" if hours < 2.0 else f"{hours:.3g} hours"


def _size(terabytes: float) -> str:
    return f"{terabytes * 1e3:.3g} GB" if terabytes < 1.0 else f"{terabytes:.3g} TB"


def content(found: Plan) -> dict[str, Any]:
    """As plan.json has it."""
    return {"format": FORMAT} | asdict(found)
