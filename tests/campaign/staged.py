"""A campaign as a ledger would tell of it after some hours, made up without running anything; the same every time."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from sqlalchemy import Engine

from gm2sim.campaign import acting, job_book, registering, shard_book
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.nearline import ENERGY_EDGES, TIME_STEP, Nearline
from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.status_rows import FINISHED

BEGIN = 1_772_355_600.0  # 2026-03-01 09:00 UTC
NAME = "run1a-validation"
_NODES, _RANKS = 4, 8
_FILL_S = {"raw": 61.0, "reco": 0.6, "report": 0.25}  # of one rank
_MEMORY = {"raw": 742.0, "reco": 1180.0, "report": 420.0}
_CPU = {"raw": 0.94, "reco": 0.81, "report": 0.62}


def definition(folder: Path, runs: int = 8, subruns: int = 12, fills: int = 480) -> Campaign:
    """96 shards of raw data in 8 runs, which are reconstructed and reported."""
    return Campaign.model_validate({
        "name": NAME, "preset": "run1a", "folder": str(folder), "nodes": _NODES, "site": "perlmutter-cpu",
        "description": "Run-1a settings against the published numbers: 3840 fills, 19 million muons",
        "stage": [
            {"name": "raw", "kind": "simulate", "time": "02:00:00", "memory_mb": 1000},
            {"name": "reco", "kind": "reconstruct", "after": ["raw"], "memory_mb": 2000},
            {"name": "report", "kind": "report", "after": ["raw"], "memory_mb": 1000},
        ],
        "runs": [{"first_run": 15921, "runs": runs, "fills": fills, "subruns": subruns}],
    })  # fmt: skip


class Clock:
    """Tells the ledger when it is."""

    def __init__(self) -> None:
        self.at = BEGIN

    def __call__(self) -> int:
        return round(self.at * 1e6)


@contextmanager
def told_by(clock: Clock) -> Iterator[None]:
    """The ledger takes its times from a clock."""
    with ExitStack() as stack:
        for module in (acting, shard_book, job_book, registering):
            stack.enter_context(patch.object(module, "now", clock))
        yield


class Staged:
    """Fills a ledger job by job.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        A catalogue without campaigns.
    path : Path
        The campaign's folder to be.
    shown : Path, optional
        How reasons name it.
    """

    def __init__(self, engine: Engine, path: Path, shown: Path | None = None) -> None:
        self.folder, self.clock = CampaignFolder(path), Clock()
        self.campaign, self.shown = definition(path), shown or path
        self.ledger = Ledger(engine, "alice")
        self.draw = np.random.default_rng(7)
        self.jobs = 0
        path.mkdir(parents=True, exist_ok=True)
        with told_by(self.clock):
            self.ledger.register(self.campaign, path, "alice")

    @property
    def name(self) -> str:
        return self.campaign.name

    def waiting(self, stage: str, most: int) -> list[ShardRow]:
        """Shards that a launch would take."""
        return self.ledger.shards(self.name, stage, [State.WAITING])[:most]

    def job(
        self,
        rows: list[ShardRow],
        *,
        lost: dict[int, tuple[float, str, str]] | None = None,
        broken: dict[str, str] | None = None,
        flagged: dict[str, str] | None = None,
        until: float = float("inf"),
    ) -> str:
        """One job from its launch to its end, or as far as it has come.

        Parameters
        ----------
        rows : list of ShardRow
            Of one stage.
        lost : dict
            Element: after how long it goes [s], its state in Slurm, and the last line of its output.
        broken, flagged : dict
            Shard: why it fails, or which check it fails.
        until : float
            When it is looked at [s]; what is not finished then is at work or waits.
        """
        stage = rows[0].stage
        self.jobs += 1
        token = f"gm2.{self.name}.{stage}.{self.jobs:010x}"
        begin = self.clock.at
        with told_by(self.clock):
            self.ledger.begin_job(self.name, token, stage, [row.name for row in rows], _NODES)
            self.ledger.know_job(token, str(2417800 + 13 * self.jobs))
            events = []
            for element in range(_NODES):
                end, slurm, words = (lost or {}).get(element, (float("inf"), "", ""))
                mine = rows[element::_NODES]
                events += self._element(token, element, mine, begin + 40.0, begin + end, broken or {}, flagged or {})
                if slurm:
                    events.append((begin + end, None, (mine, f"{slurm} of job {token} element {element}: {words}")))
            for when, report, gone in sorted(events, key=lambda event: event[0]):
                if when <= until:
                    self._apply(when, report, gone, token)
            if until == float("inf"):
                self.ledger.end_job(token, f"COMPLETED {_NODES - len(lost or {})}")
            else:
                self.clock.at = until
        return token

    def _element(self, token, element, rows, begin, gone, broken, flagged):  # type: ignore[no-untyped-def]
        free = [begin] * _RANKS
        events = []
        for row in rows:
            rank = int(np.argmin(free))
            start = free[rank]
            took = row.fills * _FILL_S[row.stage] * self.draw.normal(1.0, 0.05)
            if row.name in broken:
                took *= 0.4
            free[rank] = start + took
            shared = {
                "job": token, "element": element, "rank": rank, "host": f"nid{4100 + element:06d}",
                "attempt": row.attempts + 1, "began": start, "threads": 2, "fills": row.fills,
            }  # fmt: skip
            if start < gone:
                events.append((start + 1, Report(row.stage, row.name, "running", **shared), None))
            if start + took < gone:
                events.append((start + took, self._report(row, took, shared, broken, flagged), None))
        return events

    def _report(self, row, took, shared, broken, flagged):  # type: ignore[no-untyped-def]
        state = "failed" if row.name in broken else "flagged" if row.name in flagged else "done"
        return Report(
            row.stage, row.name, state, broken.get(row.name, flagged.get(row.name, "")),
            ended=shared["began"] + took, wall_s=took,
            cpu_s=2 * took * min(0.995, self.draw.normal(_CPU[row.stage], 0.015)),
            peak_memory_mb=self.draw.normal(_MEMORY[row.stage], 0.03 * _MEMORY[row.stage]),
            muons=int(row.fills * self.draw.normal(5000, 5)) if state != "failed" else 0, **shared,
        )  # fmt: skip

    def _apply(self, when, report, gone, token):  # type: ignore[no-untyped-def]
        self.clock.at = when
        if report is not None:
            self.ledger.note_reports(self.name, [report])
            self._leave(report)
        else:
            rows, why = gone
            open_ones = {row.name for row in self.ledger.shards(self.name, None, [State.SUBMITTED, State.RUNNING])}
            names = [row.name for row in rows if row.name in open_ones]
            self.ledger.set_states(self.name, [(rows[0].stage, name, State.WAITING, why) for name in names])
            self.ledger.end_job(token, why.split(" ")[0], [row.name for row in rows])

    def _leave(self, report: Report) -> None:
        """What a finished shard leaves on the disk."""
        run, _, subrun = report.shard.removeprefix("run").partition("_")
        shard = Shard(report.stage, int(run), int(subrun or -1), report.fills)
        path = self.folder.report(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        report.write(path)
        if report.state not in ("done", "flagged"):
            return
        here = self.folder.run(report.stage, shard.run)
        here.mkdir(parents=True, exist_ok=True)
        if report.stage == "report":
            (here / "report.html").write_text(f"<!doctype html><title>run {shard.run}</title>")
            return
        with (here / f"gm2_{report.shard}.mid.lz4").open("wb") as file:
            file.truncate(report.fills * 1_830_000)  # takes no room: a hole
        if report.stage == "raw":
            place = self.folder.nearline(shard)
            place.parent.mkdir(parents=True, exist_ok=True)
            seen_like(self.draw, report.fills, report.muons, low=report.state == "flagged").write(place)

    def plan(self) -> None:
        """What the campaign was thought to cost."""
        told = {
            "shards": 112, "node_hours": 8.9, "node_hours_low": 7.4, "node_hours_high": 10.6, "terabytes": 0.0076,
            "files": 416, "measured": "4 fills on 1 core",
        }  # fmt: skip
        (self.folder.path / "plan.json").write_text(json.dumps(told))


def seen_like(draw: np.random.Generator, fills: int, muons: int, low: bool = False) -> Nearline:
    """What nearline could have seen of a shard; with too few clusters where it is to be flagged."""
    energy = 0.5 * (ENERGY_EDGES[1:] + ENERGY_EDGES[:-1])
    shape = np.clip(1.0 - energy / 3.05, 0.0, None) ** 1.3 * np.clip(energy / 0.8, 0.0, 1.0)
    time = (np.arange(1170) + 0.5) * TIME_STEP
    wiggle = np.exp(-time / 64.4e-6) * (1 + 0.36 * np.cos(2 * np.pi * 0.2290735e6 * time + 2.08))
    above = muons * 0.11 * (0.82 if low else 1.0)

    def check(value: float, error: float, room: float, shift: float = 0.0) -> dict[str, float | bool]:
        found = value + draw.normal(0.0, error) + shift
        return {
            "value": found, "error": error, "expected": value, "low": value - room, "high": value + room,
            "good": bool(abs(found - value) <= room),
        }  # fmt: skip

    return Nearline(
        fills, muons, int(muons * 0.3), draw.poisson(muons * 0.3 * shape / shape.sum()).tolist(),
        draw.poisson(above * wiggle / wiggle.sum()).tolist(),
        {
            "rate": check(0.110, 0.110 / above**0.5, 0.0182, -0.0203 if low else 0.0),
            "asymmetry": check(0.362, (2 / above) ** 0.5, 0.05 + 3.9 * (2 / above) ** 0.5),
            "edge": check(3.005, 0.004, 0.1 + 3.9 * 0.004), "field": check(1.4513, 0.0, 1.4e-4),
        },
    )  # fmt: skip


def afternoon(staged: Staged) -> Staged:
    """Three hours of work: nodes that were lost, a full disk, a flagged shard, all stages begun, some still to do."""
    staged.plan()
    staged.clock.at += 120.0
    first = staged.waiting("raw", 32)
    low = "rate is 0.0899 +- 0.00025, expected 0.0918 to 0.1282"
    full = f"the disk is full at '{staged.shown}/raw/run15922/.gm2_run15922_00004.mid.part'"
    staged.job(
        first,
        lost={2: (1500.0, "NODE_FAIL", "slurmstepd: error: *** STEP 2417813.0 ON nid004102 CANCELLED ***")},
        broken={"run15922_00004": full, "run15922_00005": full.replace("00004", "00005")},
        flagged={"run15921_00007": low},
    )  # fmt: skip
    staged.clock.at += 600.0
    staged.job(
        staged.waiting("raw", 32),
        lost={1: (2200.0, "OUT_OF_MEMORY", "slurmstepd: error: Detected 1 oom_kill event in StepId=2417826.0")},
    )
    staged.clock.at += 420.0
    third = staged.waiting("raw", 32)
    staged.job(third, broken={third[18].name: "fill 26: field is not finite at turn 1132, azimuth 2.1 rad"})
    staged.clock.at += 300.0
    to_go = {row.run for row in staged.ledger.shards(staged.name, "raw") if row.state not in FINISHED}
    for stage in ("reco", "report"):
        staged.job([row for row in staged.waiting(stage, 8) if row.run not in to_go])
    held = staged.ledger.shards(staged.name, "raw", [State.WAITING])[-2:]
    with told_by(staged.clock):
        staged.ledger.set_states(staged.name, [(row.stage, row.name, State.HELD, "held by bob") for row in held])
    staged.job(
        staged.waiting("raw", 24),
        lost={3: (1300.0, "PREEMPTED", "srun: forcing job termination, checkpoint of 5 fills kept")},
        until=staged.clock.at + 1700.0,
    )
    staged.clock.at += 95.0
    return staged
