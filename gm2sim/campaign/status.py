"""What became of a campaign, for people: every shard counted, what it costs, what went wrong and what to press.

Only the ledger and the disk are read: to ask reports and queue first, look (:mod:`gm2sim.campaign.harvest`). Whoever
may only read can see everything here.
"""

import json
import math
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, func, select

from gm2sim.campaign import job, job_book, pace, shard_book
from gm2sim.campaign.acting import campaign_number, transact
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.explained import explain, flags, groups
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.rows import JobRow, ShardRow
from gm2sim.campaign.runs import shards
from gm2sim.campaign.screen import render
from gm2sim.campaign.shard import State
from gm2sim.campaign.status_rows import (
    FINISHED,
    Disk,
    Flag,
    Group,
    Planned,
    Rate,
    Spread,
    StageStatus,
    Status,
    Told,
    Unexplained,
)
from gm2sim.campaign.tables import audit, locks
from gm2sim.campaign.timeline import Span, Timeline, Work, nodes, states_over_time
from gm2sim.text import one_line

__all__ = [
    "PLAN", "Disk", "Flag", "Group", "Planned", "Rate", "Spread", "StageStatus", "Status", "Told", "Unexplained",
    "look", "render",
]  # fmt: skip
PLAN = "plan.json"
"""What the campaign was thought to cost, in its folder."""


def look(
    ledger: Ledger,
    folder: CampaignFolder,
    name: str = "",
    *,
    target: str = "",
    disk: bool = True,
    history: bool = True,
    clock: Callable[[], float] = time.time,
) -> Status:
    """Count everything.

    Parameters
    ----------
    ledger : Ledger
        Of a person who may read.
    folder : CampaignFolder
    name : str
        Of the campaign; that of the definition in the folder without.
    target : str
        What names the campaign in commands that are shown; the folder without.
    disk : bool
        See how large the files are, which asks for the size of each.
    history : bool
        Count states over time too.
    clock : callable
        Tells the time [s].

    Raises
    ------
    LedgerError
        No such campaign is registered.
    ConfigError
        Without a name: there is no definition in the folder.
    """
    name, target = name or read(folder.definition).name, target or str(folder.path)
    at = clock()
    seen = transact(ledger.engine, lambda connection: _Seen.of(connection, name, at))
    row = next(one for one in ledger.campaigns() if one.name == name)
    holder = ledger.holder(name)
    on_disk = used(folder.path) if disk else None
    wanted = list(shards(row.definition))
    told, lost = explain(row.definition, wanted, seen.rows, {one.token: one for one in seen.jobs}, seen.live)
    expected = Counter(shard.stage for shard in wanted)
    stages, done = _stages(row.definition, expected, told, on_disk, at, bool(seen.live))
    planned, plan_remark = read_plan(folder.path / PLAN)
    return Status(
        campaign=name, owner=row.owner, description=row.definition.description, folder=str(folder.path),
        site=row.definition.site, target=target, at=at, told=seen.told,
        busy=f"{holder.who}: {holder.what}" if holder else "",
        stages=tuple(stages), shards=tuple(told), unexplained=tuple(lost),
        groups=tuple(groups(told, lost, target, partial(_last_words, ledger, folder, name))), flags=tuple(flags(told)),
        cpu=pace.spread(_all(one.cpu for one in done.values())),
        memory=pace.spread(_all(done[one.name].memory / one.memory_limit_mb for one in stages)),
        recent=_together(stages, "recent"), overall=_together(stages, "overall"),
        nodes=tuple(seen.nodes), running=tuple(seen.running),
        timeline=_timeline(ledger, name, row.registered, at) if history else None,
        planned=planned, plan_remark=plan_remark, disk=on_disk,
        left=pace.left(stages, seen.rows, done, seen.running, at), jobs=tuple(seen.jobs),
    )  # fmt: skip


class _Seen(NamedTuple):
    """What the ledger holds, from one connection."""

    rows: list[ShardRow]
    jobs: list[JobRow]
    live: set[str]
    running: list[Work]
    nodes: list[Span]
    told: float

    @classmethod
    def of(cls, connection: Connection, name: str, at: float) -> "_Seen":
        number = campaign_number(connection, name)
        # A job that ends while the shards are read has been live: asked before and after, neither is missed.
        live = {one.token for one in job_book.listed(connection, number) if one.live}
        rows = shard_book.listed(connection, number, None, None)
        jobs = job_book.listed(connection, number)
        running = pace.heard(connection, number)
        spans = nodes(connection, number, running, at)
        # Whoever looks takes the lock, also when nothing has changed.
        looked = connection.execute(select(locks.c.renewed).where(locks.c.campaign_id == number)).scalar() or 0
        written = connection.execute(select(func.max(audit.c.at)).where(audit.c.campaign_id == number)).scalar() or 0
        return cls(
            rows, jobs, live | {one.token for one in jobs if one.live}, running, spans, max(looked, written) / 1e6
        )


def _timeline(ledger: Ledger, name: str, begin: float, at: float) -> Timeline:
    return transact(
        ledger.engine, lambda one: states_over_time(one, campaign_number(one, name), begin, at)
    )  # fmt: skip


def read_plan(path: Path) -> tuple[Planned | None, str]:
    """What the campaign was thought to cost, or why that is not known."""
    try:
        told = json.loads(path.read_text("utf-8"))
        planned = Planned(
            int(told["shards"]), float(told["node_hours"]), float(told["node_hours_low"]),
            float(told["node_hours_high"]), float(told["terabytes"]), int(told["files"]),
            one_line(told["measured"], 200),
        )  # fmt: skip
        if not all(math.isfinite(number) and number >= 0 for number in planned[:-1]):
            return None, f"'{path}' is damaged: plan again"
    except FileNotFoundError:
        return None, "no plan"
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as err:
        return None, f"'{path}' is damaged ({type(err).__name__}): plan again"
    return planned, ""


def used(folder: Path) -> Disk:
    """Bytes and files of each folder in a campaign's folder; what goes away meanwhile counts for nothing."""
    sizes: dict[str, int] = defaultdict(int)
    files: dict[str, int] = defaultdict(int)
    free = 0
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
    todo = [("", str(folder))]
    while todo:
        top, place = todo.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                with suppress(OSError):
                    name = top or entry.name
                    if entry.is_dir(follow_symlinks=False):
                        todo.append((name, entry.path))
                    else:
                        sizes[name] += entry.stat(follow_symlinks=False).st_size
                        files[name] += 1
    return Disk(dict(sizes), dict(files), free)


def _stages(
    campaign: Campaign, expected: Mapping[str, int], told: Sequence[Told], disk: Disk | None, at: float, live: bool
) -> tuple[list[StageStatus], dict[str, pace.Measured]]:
    rows: dict[str, list[ShardRow]] = {stage.name: [] for stage in campaign.ordered_stages()}
    for row, _ in told:
        rows.setdefault(row.stage, []).append(row)
    stages, done = [], {}
    for stage in campaign.ordered_stages():
        mine = rows[stage.name]
        done[stage.name] = one = pace.measured(mine)
        finished = sum(row.fills for row in mine if row.state in FINISHED)
        recent, overall = pace.rates(one, pace.bytes_of(disk, stage.name), finished, at, live)
        stages.append(
            StageStatus(
                stage.name, stage.kind, expected[stage.name], _counted(mine), sum(row.fills for row in mine), finished,
                sum(row.muons for row in mine if row.state in FINISHED), pace.spread(one.cpu), pace.spread(one.memory),
                stage.memory_mb, recent, overall,
            )
        )  # fmt: skip
    return stages, done


def _counted(rows: Iterable[ShardRow]) -> dict[State, int]:
    found = Counter(row.state for row in rows)
    return {state: found[state] for state in State if found[state]}


def _together(stages: Iterable[StageStatus], which: str) -> Rate:
    """Muons are made by the stages that simulate; bytes are bytes."""
    rates: list[tuple[StageStatus, Rate]] = [(one, getattr(one, which)) for one in stages]
    made = [rate for one, rate in rates if one.kind == "simulate"]
    return Rate(
        sum(rate.fills for rate in made), sum(rate.muons for rate in made), sum(rate.megabytes for _, rate in rates),
        max((rate.over_s for rate in made), default=0.0),
    )  # fmt: skip


def _all(parts: Iterable[pace.Floats]) -> pace.Floats:
    return np.concatenate([np.zeros(0), *parts])


def _last_words(ledger: Ledger, folder: CampaignFolder, name: str, row: ShardRow) -> str:
    """Last line of the output of the element that had a shard."""
    if not row.job:
        return ""
    for line in reversed(ledger.history(name, row.stage, row.name)):
        if line.element is not None and line.job == row.job:
            return job.last_line(folder, row.job, line.element)
    return ""
