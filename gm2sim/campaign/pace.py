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
from gm2sim.campaign.timeline import Work, at_work

Floats = NDArray[np.float64]
HOUR_S = 3600.0
_BINS = 24  # of the time since the first shard, to see how many ranks were at work
_PERCENT = (5.0, 50.0, 95.0)
_AHEAD = frozenset({State.WAITING, State.SUBMITTED, State.RUNNING})
_LATE = _BINS // 4  # bins that tell how many ranks there have been of late
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


def heard(connection: Connection, number: int) -> list[Work]:
    """Ranks at work, of those that have been heard."""
    told = (
        select(shards.c.stage, shards.c.name, history.c.job, history.c.element, func.max(history.c.began))
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number, shards.c.state == State.RUNNING.value, history.c.job == shards.c.job)
        .where(history.c.began.is_not(None))
        .group_by(shards.c.id, shards.c.stage, shards.c.name, history.c.job, history.c.element)
    )
    return [Work(stage, name, job, place, began / 1e6) for stage, name, job, place, began in connection.execute(told)]


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

    return edges, at_work(begun, ended, edges)


def left(
    stages: Iterable[StageStatus],
    rows: Iterable[ShardRow],
    done: Mapping[str, Measured],
    running: Sequence[Work],
    at: float,
) -> Left:
    """How much longer what is not finished takes, with as many ranks as so far.

    The range is that of the ranks at work now, of late and on average, and of how well the time of a fill is known
    (twice its standard error; for the longest shard, the 5th to 95th percentile).
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
    if not known or not len(ranks):
        return Left(math.nan, math.nan, math.nan, f"not known before a shard of stage {names} is finished")
    if unknown:
        remark = "; ".join(filter(None, [remark, f"without stage {names}, of which nothing is finished yet"]))
    late = float(ranks[-_LATE:].mean())
    often = [max(speed, 0.5) for speed in (late, float(ranks.mean()), float(len(running)) or late)]
    begun = {(one.stage, one.shard): at - one.began for one in running}
    low, best, high = (
        max(sum(one.work for one in found) / speed, *(one.longest for one in found))
        for found, speed in (
            ([_stage_left(known, name, done, begun, which) for name in {row.stage for row in known}], speed)
            for which, speed in ((-1, max(often)), (0, often[0]), (1, min(often)))
        )
    )
    return Left(min(low, best), best, max(best, high), remark)


class _StageLeft(NamedTuple):
    """Time of ranks that a stage still takes, and that of its longest shard [s]."""

    work: float
    longest: float


def _stage_left(
    ahead: Iterable[ShardRow],
    stage: str,
    done: Mapping[str, Measured],
    begun: Mapping[tuple[str, str], float],
    which: int,
) -> _StageLeft:
    """At best (-1), as likely as not (0), or at worst (1)."""
    per_fill = done[stage].wall_s / np.maximum(done[stage].fills, 1.0)
    mean = float(per_fill.mean())
    error = float(per_fill.std(ddof=1) / math.sqrt(len(per_fill))) if len(per_fill) >= _FEWEST else 0.5 * mean
    one_shard = float(np.percentile(per_fill, _PERCENT[1 + which]))
    mine = [(row.fills, begun.get((row.stage, row.name), 0.0)) for row in ahead if row.stage == stage]
    return _StageLeft(
        sum(max(0.0, fills * max(0.0, mean + 2 * which * error) - since) for fills, since in mine),
        max(max(0.0, fills * one_shard - since) for fills, since in mine),
    )


def bytes_of(disk: Disk | None, stage: str) -> int:
    """What a stage has on the disk; 0 where nobody looked."""
    return disk.bytes.get(stage, 0) if disk else 0
