"""How fast a campaign goes, what it costs, and how much longer it takes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.shard import State
from gm2sim.campaign.status_rows import FINISHED, Disk, Left, Rate, Spread, StageStatus
from gm2sim.campaign.tables import history, shards

Floats = NDArray[np.float64]
HOUR_S = 3600.0
_BINS = 24  # of the time since the first shard, to see how many ranks were at work
_PERCENT = (5.0, 50.0, 95.0)
_AHEAD = frozenset({State.WAITING, State.SUBMITTED, State.RUNNING})
_FEWEST = 3  # finished shards of a stage that a range is made of


class Measured(NamedTuple):
    """The finished shards of a stage; arrays (n,).

    Attributes
    ----------
    ended, wall_s : array [s]
    cpu, memory : array
        CPU time over time of the cores [1], largest memory of a rank [MB].
    fills, muons : array
    """

    ended: Floats
    wall_s: Floats
    cpu: Floats
    memory: Floats
    fills: Floats
    muons: Floats

    @property
    def began(self) -> Floats:
        """When the last attempt began [s]."""
        return self.ended - self.wall_s


class Work(NamedTuple):
    """A rank at work on a shard: whose report says that it runs."""

    stage: str
    job: str
    element: int
    began: float


def measured(rows: Iterable[ShardRow]) -> Measured:
    """Arrays of the finished shards among some that a rank has reported."""
    told = [
        (
            row.ended, row.wall_s, row.cpu_s / max(row.wall_s * row.threads, 1e-9), row.peak_memory_mb, row.fills,
            row.muons,
        )
        for row in rows
        if row.state in FINISHED and row.wall_s > 0
    ]  # fmt: skip
    return Measured(*np.array(told, float).reshape(-1, 6).T)


def spread(values: Floats) -> Spread | None:
    """Percentiles; None of nothing."""
    if not len(values):
        return None
    low, median, high = np.percentile(values, _PERCENT)
    return Spread(float(low), float(median), float(high), len(values))


def rate(done: Measured, bytes_per_fill: float, begin: float, end: float) -> Rate:
    """What got finished between two times."""
    long = max(end - begin, 1e-9)
    inside = (done.ended > begin) & (done.ended <= end)
    fills, muons = float(done.fills[inside].sum()), float(done.muons[inside].sum())
    return Rate(fills / long * HOUR_S, muons / long * HOUR_S, fills * bytes_per_fill / long * 1e-6, end - begin)


def rates(done: Measured, disk_bytes: int, fills_done: int, at: float, live: bool) -> tuple[Rate, Rate]:
    """Of the last hour, and from the first shard to now, or to the last when nothing is under way."""
    per_fill = disk_bytes / fills_done if fills_done else 0.0
    if not len(done.ended):
        nothing = Rate(0.0, 0.0, 0.0, 0.0)
        return nothing, nothing
    begin, last = float(done.began.min()), float(done.ended.max())
    end = max(at, last) if live else last
    return rate(done, per_fill, max(begin, end - HOUR_S), end), rate(done, per_fill, begin, end)


def at_work(connection: Connection, number: int) -> list[Work]:
    """Ranks at work, of those that have been heard."""
    told = (
        select(shards.c.stage, history.c.job, history.c.element, func.max(history.c.began))
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number, shards.c.state == State.RUNNING.value, history.c.job == shards.c.job)
        .where(history.c.began.is_not(None))
        .group_by(shards.c.id, shards.c.stage, history.c.job, history.c.element)
    )
    return [Work(stage, job, element, began / 1e6) for stage, job, element, began in connection.execute(told)]


def node_hours(connection: Connection, number: int, running: Iterable[Work], at: float) -> float:
    """Time of nodes from the first report to the last of each element of each job; of one at work until now [h].

    An element of a job is one node.
    """
    told = (
        select(func.min(history.c.began), func.max(history.c.ended), history.c.job, history.c.element)
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number, history.c.began > 0)
        .group_by(history.c.job, history.c.element)
    )
    going = {(one.job, one.element) for one in running}
    seconds = 0.0
    for began, ended, job, element in connection.execute(told):
        end = at if (job, element) in going else ended / 1e6
        seconds += max(0.0, end - began / 1e6)
    return seconds / HOUR_S


def concurrency(done: Iterable[Measured], running: Sequence[Work], at: float) -> tuple[Floats, Floats]:
    """Ranks at work over the time from the first shard to now.

    Parameters
    ----------
    done : iterable of Measured
    running : sequence of Work
    at : float [s]

    Returns
    -------
    edges : array (n + 1,) [s]
    ranks : array (n,)
        Mean number in each bin; empty before anything has run.
    """
    begun = np.concatenate([*(one.began for one in done), [one.began for one in running]])
    ended = np.concatenate([*(one.ended for one in done), [at] * len(running)])
    if not len(begun):
        return np.zeros(0), np.zeros(0)
    end = at if running else float(ended.max())
    edges = np.linspace(float(begun.min()), max(end, float(begun.min()) + 1.0), _BINS + 1)

    def until(times: Floats) -> Floats:
        """Sum over all of the time behind it, at each edge."""
        ordered = np.sort(times)
        before = np.searchsorted(ordered, edges)
        sums = np.concatenate([[0.0], np.cumsum(ordered - edges[0])])
        return np.asarray(before * (edges - edges[0]) - sums[before])

    return edges, np.diff(until(begun) - until(np.maximum(ended, begun))) / np.diff(edges)


def left(
    stages: Iterable[StageStatus],
    rows: Iterable[ShardRow],
    done: Mapping[str, Measured],
    running: Sequence[Work],
    at: float,
) -> Left:
    """How much longer what is not finished takes, with as many ranks as so far.

    The range is that of the ranks at work over the time (5th to 95th percentile), of how well the time of a fill is
    known (twice its standard error), and of how far the shards at work may have come (nothing to all).
    """
    ahead = [row for row in rows if row.state in _AHEAD]
    kept = sum(stage.states.get(state, 0) for stage in stages for state in (State.FAILED, State.HELD, State.CANCELLED))
    remark = f"without {kept:,} shards that wait for a person" if kept else ""
    if not ahead:
        return Left(0.0, 0.0, 0.0, remark)
    unknown = sorted({row.stage for row in ahead if not len(done[row.stage].wall_s)})
    names = " and ".join(f"'{name}'" for name in unknown)
    known = [row for row in ahead if row.stage not in unknown]
    _, ranks = concurrency(done.values(), running, at)
    busy = ranks[ranks > 0.5]
    if not known or not len(busy):
        return Left(math.nan, math.nan, math.nan, f"not known before a shard of stage {names} is finished")
    if unknown:
        remark = "; ".join(filter(None, [remark, f"without stage {names}, of which nothing is finished yet"]))
    low, best, high = _seconds(known, done, busy)
    return Left(low, best, high, remark)


def _seconds(ahead: Sequence[ShardRow], done: Mapping[str, Measured], ranks: Floats) -> tuple[float, float, float]:
    work = {State.RUNNING: 0.0, State.WAITING: 0.0}
    longest = variance = 0.0
    for stage in dict.fromkeys(row.stage for row in ahead):
        one = done[stage]
        pace = float(one.wall_s.sum() / max(one.fills.sum(), 1.0))
        of_stage = [row for row in ahead if row.stage == stage]
        fills = {
            state: float(sum(row.fills for row in of_stage if (row.state is State.RUNNING) == (state is State.RUNNING)))
            for state in work
        }
        for state in work:
            work[state] += pace * fills[state]
        longest = max(longest, *(pace * row.fills for row in of_stage))
        each = one.wall_s / np.maximum(one.fills, 1.0)
        error = float(each.std(ddof=1) / math.sqrt(len(each))) if len(each) >= _FEWEST else pace
        variance += (error * sum(fills.values())) ** 2
    few, now, many = np.percentile(ranks, _PERCENT)
    room = 2.0 * math.sqrt(variance)
    waiting, running = work[State.WAITING], work[State.RUNNING]
    low = max(0.0, waiting - room) / many
    best = max((waiting + 0.5 * running) / now, 0.5 * longest)
    high = max((waiting + running + room) / few, longest)
    return min(low, best), best, max(best, high)


def bytes_of(disk: Disk | None, stage: str) -> int:
    """What a stage has on the disk; 0 where nobody looked."""
    return disk.bytes.get(stage, 0) if disk else 0
