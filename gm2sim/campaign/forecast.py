"""A campaign followed through failing and preempted nodes without making it: a simulation, event by event.

What is followed is what launches and jobs really do: jobs of elements, an element a node, ranks that take shards in
turn, checkpoints behind every fill, elements that go back into the queue, looks that find lost shards again. Nodes fail
and are preempted at random at constant rates. Every random number is a pure function of the seed and of what it is for
(:mod:`gpu.rng`), so that the same forecast is the same everywhere.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.launch import seconds
from gm2sim.campaign.plan import Plan
from gm2sim.campaign.runs import runs, shards_of
from gm2sim.errors import ConfigError
from gpu.rng import FillKey, normals, uniforms

_PURPOSE = 255  # of our random numbers: none of gpu.rng.Stage, whose numbers belong to simulated data
_SHARD, _LIFE = 0, 1  # what a number is for: the time of a shard, the life of an element
_BLOCK = 4096  # lives whose numbers are made at once
_MOST_LIVES, _MOST_A_SHARD = 10_000, 10  # beyond which nothing gets on
_HOUR = 3600.0
_OF_THE_TIME = 0.7  # as launches fill the time of a job
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Assumed:
    """What a forecast takes for given.

    Attributes
    ----------
    nodes, ranks : int
        Nodes at once, and ranks of a node.
    start_s, setup_s : float
        Of an element until its ranks work, and of a rank's tables [s].
    each_s, fill_s : float
        Of a shard before its first fill, and of a fill, behind which stands a checkpoint [s].
    spread : float
        Relative scatter of the time of a shard.
    job_s : float
        After which an element is asked to leave [s].
    failures, preemptions : float
        Of a node, an hour.
    queue_s, requeue_s, look_s : float
        A job waits before it starts, an element that went back; and time between two launches [s].
    longest_array : int
        Most elements of a job.
    seed : int
    """

    nodes: int
    ranks: int
    start_s: float = 0.0
    setup_s: float = 0.0
    each_s: float = 0.0
    fill_s: float = 1.0
    spread: float = 0.0
    job_s: float = math.inf
    failures: float = 0.01
    preemptions: float = 0.02
    queue_s: float = 60.0
    requeue_s: float = 121.0  # Slurm lets what was requeued wait so long
    look_s: float = 300.0
    longest_array: int = 1000
    seed: int = 1


@dataclass
class Forecast:
    """What came out; times in hours, of nodes where a name says so.

    Attributes
    ----------
    assumed : dict of str to Assumed
        By stage.
    shards, lives, failures, preemptions, left, launches : int
        ``lives`` of elements, ``left`` of those at the end of their time.
    useful, used : float
        Node-hours that went into fills, and all.
    lost, started : float
        Node-hours of fills that were made twice, and of starts and tables.
    wall : float
        From the first launch to the last file [h].
    muons : float
    """

    assumed: dict[str, Assumed] = field(default_factory=dict)
    shards: int = 0
    lives: int = 0
    failures: int = 0
    preemptions: int = 0
    left: int = 0
    launches: int = 0
    useful: float = 0.0
    used: float = 0.0
    lost: float = 0.0
    started: float = 0.0
    wall: float = 0.0
    muons: float = 0.0

    @property
    def idle(self) -> float:
        """Node-hours of ranks that have nothing left to take."""
        return self.used - self.useful - self.lost - self.started

    @property
    def efficiency(self) -> float:
        """Useful part of the node-hours."""
        return self.useful / self.used if self.used else 1.0

    def record(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self) | {"idle": self.idle, "efficiency": self.efficiency, "simulated": True}


def forecast(campaign: Campaign, plan: Plan, **assumed: Any) -> Forecast:
    """Follow a planned campaign, stage behind stage.

    Parameters
    ----------
    campaign : Campaign
    plan : Plan
        With the measured times of its shards.
    assumed
        Values of :class:`Assumed` instead of its own.

    Raises
    ------
    ConfigError
        Failures come so often that it never ends.
    """
    found = Forecast(muons=plan.muons)
    all_runs = runs(campaign)
    for stage in campaign.ordered_stages():
        cost = plan.costs.get(stage.name)
        if cost is None:
            continue
        per_fill = cost.per_fill + cost.per_other * plan.others_per_fill
        values = {
            "nodes": campaign.nodes, "ranks": plan.ranks, "start_s": plan.start_s, "setup_s": cost.setup,
            "each_s": cost.each, "fill_s": per_fill, "spread": cost.spread, "seed": campaign.seed,
            "job_s": max(0.0, seconds(stage.time) - plan.leave_s),
        } | assumed  # fmt: skip
        fills = np.array([shard.fills for run in all_runs for shard in shards_of(stage, run)], dtype=np.float64)
        if stage.kind != "simulate":  # without checkpoints: all of a run or nothing
            typical = float(fills.mean())
            values |= {"fill_s": per_fill * typical}
            fills = fills / typical
        found.assumed[stage.name] = Assumed(**values)
        Simulation(found.assumed[stage.name], fills, found, len(found.assumed)).follow()
    return found


@dataclass
class _Element:
    """Shards of one node, those that are left."""

    shards: list[int]
    ready: float


class Simulation:
    """One stage on its nodes; adds to a forecast.

    Parameters
    ----------
    assumed : Assumed
    fills : array
        Of each shard.
    found : Forecast
    number : int
        Of the stage, for its random numbers.
    """

    def __init__(self, assumed: Assumed, fills: Floats, found: Forecast, number: int = 1) -> None:
        self._assumed, self._found, self._number = assumed, found, number
        order = np.argsort(-fills, kind="stable")  # the longest first
        draws, _ = normals(FillKey(assumed.seed, number, _SHARD, 0), _PURPOSE, order)
        # A scatter that is never negative, with a mean of 1.
        width = math.sqrt(math.log1p(assumed.spread**2))
        scatter = np.exp(width * draws - 0.5 * width**2)
        self._fill = (assumed.fill_s * scatter).tolist()
        self._work = (fills[order] * assumed.fill_s * scatter).tolist()  # that is left of each shard
        self._typical = float(assumed.each_s + np.mean(fills) * assumed.fill_s)
        self._waiting = list(range(len(fills)))
        self._queue: list[_Element] = []
        self._events: list[tuple[float, int, _Element | None]] = []
        self._running = self._lives = 0
        self._luck: Floats = np.empty((4, 0))
        found.shards += len(fills)
        found.useful += (sum(self._work) + len(fills) * assumed.each_s) / assumed.ranks / _HOUR

    def follow(self) -> None:
        """Until every shard is done.

        Raises
        ------
        ConfigError
            It never is.
        """
        now, serial = 0.0, 0
        looks = True  # a look is on its way
        heapq.heappush(self._events, (0.0, serial, None))
        while self._events:
            now, _, ended = heapq.heappop(self._events)
            if ended is None:
                looks = False
                self._launch(now)
            else:
                self._running -= 1
                if ended.shards:
                    self._queue.append(ended)
            if self._waiting and not looks:
                looks = True
                serial += 1
                heapq.heappush(self._events, (now + self._assumed.look_s, serial, None))
            while self._queue and self._running < self._assumed.nodes:
                serial += 1
                element = self._queue.pop(0)
                end = self._live(max(now, element.ready), element)
                self._running += 1
                heapq.heappush(self._events, (end, serial, element))
                if self._waiting and not looks:
                    looks = True
                    serial += 1
                    heapq.heappush(self._events, (end + self._assumed.look_s, serial, None))
        self._found.wall += now / _HOUR

    def _launch(self, now: float) -> None:
        """Group what waits into elements, as :func:`gm2sim.campaign.launch.plan` does."""
        one = self._assumed
        free = one.nodes - min(one.nodes, self._running + len(self._queue))
        if free <= 0 or not self._waiting:
            return
        limit = _OF_THE_TIME * one.job_s / self._typical
        waves = max(1, int(min(limit, 10**9)))
        size = one.ranks * max(1, min(waves, math.ceil(len(self._waiting) / (one.ranks * free))))
        taken = self._waiting[: size * one.longest_array]
        del self._waiting[: len(taken)]
        for begin in range(0, len(taken), size):
            self._queue.append(_Element(taken[begin : begin + size], now + one.queue_s))
        self._found.launches += 1

    def _live(self, begin: float, element: _Element) -> float:
        """One life of an element from its start; when it ends, with the shards that are left in it."""
        one, found = self._assumed, self._found
        u, v = self._next_life()
        fails = -math.log(u) / one.failures * _HOUR if one.failures > 0.0 else math.inf
        preempted = -math.log(v) / one.preemptions * _HOUR if one.preemptions > 0.0 else math.inf
        limit = min(fails, preempted, one.job_s)
        end, starts, lost, left = self._ranks(element.shards, limit, whole=limit == fails)
        found.lives += 1
        found.used += end / _HOUR
        found.started += starts / one.ranks / _HOUR
        found.lost += lost / one.ranks / _HOUR
        if left:
            found.failures += limit == fails
            found.preemptions += limit == preempted
            found.left += limit == one.job_s
        if left and limit == fails:  # a look finds them
            self._waiting += left
            left = []
        element.shards, element.ready = left, begin + end + one.requeue_s
        return begin + end

    def _ranks(self, shards: Sequence[int], limit: float, *, whole: bool) -> tuple[float, float, float, list[int]]:
        """Ranks take shards in turn until a limit.

        Returns
        -------
        (float, float, float, list of int)
            When the last rank is done; starts and tables, and lost fills, of all ranks [s]; shards that are left.
        """
        one = self._assumed
        if limit <= one.start_s:
            return limit, limit * one.ranks, 0.0, list(shards)
        ranks = [(one.start_s, rank) for rank in range(one.ranks)]
        fresh = [True] * one.ranks
        end, starts, lost, left = one.start_s, one.start_s * one.ranks, 0.0, list[int]()
        for place, shard in enumerate(shards):
            at, rank = heapq.heappop(ranks)
            if at >= limit:
                left += shards[place:]
                break
            tables = one.setup_s if fresh[rank] else 0.0
            fresh[rank] = False
            done = at + tables + one.each_s + self._work[shard]
            if done <= limit:
                starts += tables
                end = max(end, done)
                heapq.heappush(ranks, (done, rank))
                continue
            stop, spent, wasted = self._interrupted(shard, at, tables, limit, whole=whole)
            starts, lost, end = starts + spent, lost + wasted, max(end, stop)
            left.append(shard)
            heapq.heappush(ranks, (limit, rank))
        return (limit if whole and left else end), starts, lost, left

    def _interrupted(
        self, shard: int, at: float, tables: float, limit: float, *, whole: bool
    ) -> tuple[float, float, float]:
        """A rank in the middle of a shard: when it stops, its start that is spent in vain, and the fill that is lost.

        Who is asked to leave finishes its fill; who dies loses it.
        """
        spent = min(limit - at, tables + self._assumed.each_s)
        inside = limit - at - tables - self._assumed.each_s
        if inside <= 0.0:
            return limit, spent, 0.0
        fill = self._fill[shard]
        fills = math.floor(inside / fill) if whole else math.ceil(inside / fill)
        done = min(fills * fill, self._work[shard])
        self._work[shard] -= done
        if whole:
            return limit, spent, inside - done
        return limit - inside + done, spent, 0.0

    def _next_life(self) -> tuple[float, float]:
        """Two uniform numbers for the next life of an element."""
        place = self._lives % _BLOCK
        if place == 0:
            if self._lives > _MOST_LIVES + _MOST_A_SHARD * len(self._work):
                raise ConfigError("failures come faster than shards get done: make shards shorter, or fewer failures")
            numbers = np.arange(self._lives, self._lives + _BLOCK)
            self._luck = uniforms(FillKey(self._assumed.seed, self._number, _LIFE, 0), _PURPOSE, numbers)
        self._lives += 1
        return float(self._luck[0, place]), float(self._luck[1, place])


def shown_forecast(found: Forecast) -> list[tuple[str, str]]:
    """The forecast for people: what, and how much; what was assumed at the end."""
    parts = {"lost fills": found.lost, "starts and tables": found.started, "ranks without a shard": found.idle}
    rows = [
        ("muons", f"{found.muons:.4g}"),
        ("shards", f"{found.shards} in {found.lives} lives of elements, {found.launches} launches"),
        ("node-hours", f"{found.used:.4g}, of which {found.useful:.4g} useful"),
        ("efficiency", f"{100.0 * found.efficiency:.1f} %"),
        *((name, f"{100.0 * hours / found.used:.2f} %" if found.used else "0 %") for name, hours in parts.items()),
        ("time", f"{found.wall:.3g} hours"),
        ("nodes failed, preempted", f"{found.failures}, {found.preemptions}; {found.left} at the end of their time"),
    ]
    for stage, one in found.assumed.items():
        rows.append((
            f"assumed for {stage}",
            f"{one.nodes} nodes of {one.ranks} ranks; a fill {one.fill_s:.3g} s, a shard {one.each_s:.3g} s and tables "
            f"{one.setup_s:.3g} s more, scatter {100.0 * one.spread:.1f} % (measured); start {one.start_s:.3g} s "
            f"(measured); {one.failures:g} failures and {one.preemptions:g} preemptions a node-hour; queue "
            f"{one.queue_s:g} s, back in it {one.requeue_s:g} s; a launch every {one.look_s:g} s",
        ))  # fmt: skip
    return rows
