"""What a status tells people of a campaign: numbers only, counted from the ledger and the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gm2sim.campaign.definition import Kind
from gm2sim.campaign.rows import JobRow, ShardRow
from gm2sim.campaign.shard import State
from gm2sim.campaign.timeline import Span, Timeline, Work

FINISHED = (State.DONE, State.FLAGGED)
"""States whose files are there and verified."""


class Told(NamedTuple):
    """A shard, and why it is not finished (of a flagged one: which check failed)."""

    row: ShardRow
    why: str


class Unexplained(NamedTuple):
    """A shard that nothing explains; there must be none."""

    stage: str
    shard: str
    why: str


class Spread(NamedTuple):
    """5th, 50th and 95th percentile of so many shards."""

    low: float
    median: float
    high: float
    shards: int


class Rate(NamedTuple):
    """How much gets finished.

    Attributes
    ----------
    fills, muons : float [1/h]
    megabytes : float [MB/s]
    over_s : float
        Over how long it was counted [s].
    """

    fills: float
    muons: float
    megabytes: float
    over_s: float


class Group(NamedTuple):
    """Shards of a stage that are not finished for the same reason.

    Attributes
    ----------
    stage : str
    state : State
    reason : str
        Without names and numbers that differ from shard to shard.
    shards : int
    example : str
        One of them.
    last_line : str
        Of the output of its job, where that tells something.
    command : str
        What to press; empty where there is nothing to do but wait.
    fault : bool
        Whether something went wrong.
    """

    stage: str
    state: State
    reason: str
    shards: int
    example: str
    last_line: str
    command: str
    fault: bool


class Flag(NamedTuple):
    """A physics check with the finished shards that fail it."""

    stage: str
    check: str
    shards: int
    example: str
    reason: str


class Planned(NamedTuple):
    """What ``gm2sim campaign plan`` has said; see :mod:`gm2sim.campaign.plan`."""

    shards: int
    node_hours: float
    node_hours_low: float
    node_hours_high: float
    terabytes: float
    files: int
    measured: str


class Disk(NamedTuple):
    """What the campaign's folder takes: bytes and files of each folder in it, and what is free."""

    bytes: Mapping[str, int]
    files: Mapping[str, int]
    free: int


class Left(NamedTuple):
    """How much longer it takes [s], at the pace so far.

    Attributes
    ----------
    low, best, high : float
        NaN where it is not known.
    remark : str
        What the numbers leave out, or why there are none.
    """

    low: float
    best: float
    high: float
    remark: str


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    Attributes
    ----------
    name, kind : str
    expected : int
        Shards that the campaign's definition has.
    states : mapping of State to int
        Shards in the ledger; states without any are left out.
    fills, fills_done : int
    muons : int
        In finished shards.
    cpu : Spread or None
        CPU time over time of the cores [1]; None before anything is finished.
    memory : Spread or None
        Largest memory of a rank [MB].
    memory_limit_mb : int
    recent, overall : Rate
        Of the last hour, and from the first shard to the last.
    """

    name: str
    kind: Kind
    expected: int
    states: Mapping[State, int]
    fills: int
    fills_done: int
    muons: int
    cpu: Spread | None
    memory: Spread | None
    memory_limit_mb: int
    recent: Rate
    overall: Rate

    @property
    def present(self) -> int:
        """Shards whose files are there."""
        return sum(self.states.get(state, 0) for state in FINISHED)


@dataclass(frozen=True)
class Status:
    """A campaign at one moment; times are Unix times [s].

    Attributes
    ----------
    campaign, owner, description, folder, site : str
    target : str
        What names the campaign in commands.
    at, told : float
        When the ledger was asked, and when somebody last looked at files and queue for it.
    busy : str
        Who acts on it at this moment; empty when nobody does.
    stages : tuple of StageStatus
    shards : tuple of Told
        All of the ledger.
    unexplained : tuple of Unexplained
    groups : tuple of Group
        Every unfinished shard is in one; faults first, the largest first.
    flags : tuple of Flag
    cpu, memory : Spread or None
        Of all stages; memory as share of the limit [1].
    recent, overall : Rate
        Fills and muons of the stages that simulate, bytes of all.
    nodes : tuple of (float, float)
        When each node of each job reported first and last [s].
    running : tuple of Work
        Ranks at work, of those that were heard.
    timeline : Timeline or None
        None where it was not asked for.
    planned : Planned or None
    plan_remark : str
        Why there is no plan.
    disk : Disk or None
        None where it was not asked for.
    left : Left
    jobs : tuple of JobRow
    """

    campaign: str
    owner: str
    description: str
    folder: str
    site: str
    target: str
    at: float
    told: float
    busy: str
    stages: tuple[StageStatus, ...]
    shards: tuple[Told, ...]
    unexplained: tuple[Unexplained, ...]
    groups: tuple[Group, ...]
    flags: tuple[Flag, ...]
    cpu: Spread | None
    memory: Spread | None
    recent: Rate
    overall: Rate
    nodes: tuple[Span, ...]
    running: tuple[Work, ...]
    timeline: Timeline | None
    planned: Planned | None
    plan_remark: str
    disk: Disk | None
    left: Left
    jobs: tuple[JobRow, ...]

    @property
    def node_hours(self) -> float:
        """Used so far, as far as reports tell."""
        return sum(end - begin for begin, end in self.nodes) / 3600.0

    @property
    def expected(self) -> int:
        """Shards that the campaign's definition has."""
        return sum(stage.expected for stage in self.stages)

    @property
    def present(self) -> int:
        """Shards whose files are there and were verified."""
        return sum(stage.present for stage in self.stages)

    @property
    def explained(self) -> int:
        """Shards that are not there, with a state and a reason."""
        return sum(group.shards for group in self.groups)

    @property
    def adds_up(self) -> bool:
        """Whether every shard is present or explained."""
        return not self.unexplained and self.expected == self.present + self.explained

    @property
    def finished(self) -> bool:
        """Whether every shard is there."""
        return self.adds_up and self.present == self.expected

    @property
    def states(self) -> dict[State, int]:
        """Shards of all stages by state."""
        return {state: count for state in State if (count := sum(stage.states.get(state, 0) for stage in self.stages))}

    @property
    def sentence(self) -> str:
        """Expected = present + explained, in words."""
        told = f"{self.expected:,} expected = {self.present:,} present + {self.explained:,} explained"
        if self.adds_up:
            return told
        off = self.expected - self.present - self.explained
        return (
            f"THE COUNT DOES NOT COME OUT: {told}{f' {off:+,} in no list' if off else ''}; "
            f"{len(self.unexplained):,} shards that nothing explains"
        )
