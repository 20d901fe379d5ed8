"""A short trial of a campaign: a few shards of its own configuration, made as its jobs would make them, and timed.

The time of a shard is taken as ``first * setup + each + per_fill * fills + per_other * others``: tables of a run are
made by a rank once (first shard), files are opened and checked each time, and between the fills of muons stand events
of the laser and pedestals (others). What is not in shards is the start of the job.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from gm2sim.campaign.definition import Campaign, RunsSection, StageSection
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming, make_folder
from gm2sim.campaign.launch import write_definition
from gm2sim.campaign.located import GOOD
from gm2sim.campaign.runs import Run, config_of, runs, shards_of
from gm2sim.campaign.shard import Report, Shard
from gm2sim.errors import ConfigError, RunError
from gm2sim.text import one_line
from gm2sim.timeline import events, muon_fills

SHORT, LONG = 1, 4
"""Fills of a shard of the two trials; all long ones together hold the other events in their right number."""
_EACH = 2  # shards of a rank in a trial: one with the tables to make, one without
_JOB = "trial"
_MANY = 1000  # fills over which events are counted
_PATIENCE_S = 7200.0
_CROWD = 0.5  # processes beyond one a core


@dataclass(frozen=True)
class Sample:
    """One shard of the trial.

    Attributes
    ----------
    fills, others : int
        Fills of muons, and events of other kinds.
    first : bool
        Its rank made the tables of the run for it.
    wall_s, cpu_s : float
    bytes, files : int
        On the disk.
    memory_mb : float
        Largest of its rank so far.
    threads : int
        Cores of its rank.
    """

    fills: int
    others: int
    first: bool
    wall_s: float
    cpu_s: float
    bytes: int = 0
    files: int = 0
    memory_mb: float = 0.0
    threads: int = 1


@dataclass(frozen=True)
class Cost:
    """What a shard of a stage takes.

    Attributes
    ----------
    setup, each, per_fill, per_other : float
        Seconds: of a rank's first shard of a run, of any, of a fill, of another event.
    bytes_each, bytes_per_fill, bytes_per_other : float
    files_each : float
    spread : float
        Relative scatter of the time of a long shard.
    shards : int
        That were timed.
    memory_mb : float
        Most of a rank.
    busy : float
        Part of the time that its cores were at work.
    """

    setup: float = 0.0
    each: float = 0.0
    per_fill: float = 0.0
    per_other: float = 0.0
    bytes_each: float = 0.0
    bytes_per_fill: float = 0.0
    bytes_per_other: float = 0.0
    files_each: float = 0.0
    spread: float = 0.0
    shards: int = 0
    memory_mb: float = 0.0
    busy: float = 1.0

    def seconds(self, fills: float, others: float) -> float:
        """Of a shard whose rank has the tables [s]."""
        return self.each + self.per_fill * fills + self.per_other * others

    def bytes(self, fills: float, others: float) -> float:
        """On the disk."""
        return self.bytes_each + self.bytes_per_fill * fills + self.bytes_per_other * others


@dataclass(frozen=True)
class Trial:
    """What a trial has shown.

    Attributes
    ----------
    costs : dict of str to Cost
        By stage.
    start_s : float
        Of a job, until its ranks work, and from their end to its own [s].
    ranks : int
        That worked side by side.
    others_per_fill : float
        Events of other kinds.
    crowded : bool
        Others were at work on the machine: times are those of its cores, not of the clock.
    failed : dict of str to str
        Stages that so few fills are not enough for, and why.
    """

    costs: dict[str, Cost]
    start_s: float
    ranks: int
    others_per_fill: float
    crowded: bool = False
    failed: dict[str, str] = field(default_factory=dict)


def measure(
    campaign: Campaign, place: Path, farming: Farming, note: Callable[[str], None] = lambda text: None
) -> Trial:
    """Make a few short shards of the first run in a temporary folder, twice as long ones too, and fit what they took.

    A first shard that is not timed compiles what has to be compiled. A node of a campaign is its own: where others are
    at work on this machine, the time of its cores counts and not that of the clock.

    Parameters
    ----------
    campaign : Campaign
    place : Path
        Folder on the disk that the campaign will use.
    farming : Farming
        How ranks are started on this machine.
    note : callable
        Told what is going on.

    Raises
    ------
    ConfigError, RunError
        The first shard of the campaign cannot be made: says why.
    """
    run = runs(campaign)[0]
    others = others_per_fill(campaign, run)
    samples: dict[str, list[Sample]] = {stage.name: [] for stage in campaign.stages}
    failed: dict[str, str] = {}
    starts: list[tuple[float, float]] = []
    crowded = False
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".trial-", dir=place) as name:
        note("a first fill, which is not timed")
        warm = _Part(campaign, run, Path(name) / "warm", farming, subruns=1, fills=1)
        for stage in campaign.ordered_stages():
            warm.make(stage)
            if stage.kind == "simulate" and warm.failed:
                raise RunError(
                    f"the first shard of campaign '{campaign.name}' fails: {next(iter(warm.failed.values()))}"
                )
        for fills in (SHORT, LONG):
            subruns = _EACH * farming.ranks
            note(f"{subruns} shards of {fills} fill{'s' if fills > 1 else ''} on {farming.ranks} ranks")
            part = _Part(campaign, run, Path(name) / f"of{fills}", farming, subruns=subruns, fills=fills * subruns)
            for stage in campaign.ordered_stages():
                samples[stage.name] += part.make(stage)
            starts += part.starts
            failed |= part.failed
            crowded = crowded or os.getloadavg()[0] > len(os.sched_getaffinity(0)) + _CROWD
    costs = {stage: fit(found, cores=crowded) for stage, found in samples.items() if stage not in failed}
    # Ranks that wait for others do so at full speed: the least is the start.
    return Trial(costs, min(pair[crowded] for pair in starts), farming.ranks, others, crowded, failed)


def others_per_fill(campaign: Campaign, run: Run) -> float:
    """Events of other kinds behind a fill of muons, on average."""
    config = config_of(campaign, run)
    config = config.with_(run__subruns=1, run__fills=min(run.fills, _MANY))
    return sum(1 for _ in events(config, 0)) / config.run.fills - 1.0


def fit(samples: Sequence[Sample], *, cores: bool = False) -> Cost:
    """Times and sizes of shards as sums of parts, none of them negative (least squares).

    Parameters
    ----------
    samples : sequence of Sample
    cores : bool
        Times of the cores, not of the clock.
    """
    wall = np.array([one.cpu_s / one.threads if cores else one.wall_s for one in samples])
    size = np.array([float(one.bytes) for one in samples])
    first, fills, others = (
        np.array([float(getattr(one, name)) for one in samples]) for name in ("first", "fills", "others")
    )
    ones = np.ones_like(wall)
    parts = np.stack([first, ones, fills, others], axis=1)
    parts[:, 0] *= 0.0 if first.all() else 1.0  # cannot be told from what each takes
    times, _ = nnls(parts, wall)
    sizes, _ = nnls(parts[:, 1:], size)
    longest = fills == fills.max()
    freedom = max(1, int(longest.sum()) - 1)
    scatter = (wall - parts @ times)[longest]
    typical = float(wall[longest].mean())
    setup, each, per_fill, per_other = (float(value) for value in times)
    bytes_each, bytes_per_fill, bytes_per_other = (float(value) for value in sizes)
    return Cost(
        setup, each, per_fill, per_other, bytes_each, bytes_per_fill, bytes_per_other,
        files_each=float(np.mean([one.files for one in samples])),
        spread=float(np.sqrt(np.sum(scatter**2) / freedom)) / typical if typical > 0 else 0.0,
        shards=len(samples), memory_mb=max(one.memory_mb for one in samples),
        busy=sum(one.cpu_s / one.threads for one in samples) / max(1e-9, sum(one.wall_s for one in samples)),
    )  # fmt: skip


class _Part:
    """Shards of one length, stage by stage, in a folder of their own."""

    def __init__(
        self, campaign: Campaign, run: Run, folder: Path, farming: Farming, *, subruns: int, fills: int
    ) -> None:
        only = RunsSection(first_run=run.number, fills=fills, subruns=subruns, set=run.values)
        self._campaign = campaign.model_copy(update={"slices": (only,)})
        self._run = runs(self._campaign)[0]
        self._folder, self._farming = CampaignFolder(folder), farming
        self.starts: list[tuple[float, float]] = []  # by the clock, and by the cores
        self.failed: dict[str, str] = {}
        write_definition(self._campaign, self._folder)

    def make(self, stage: StageSection) -> list[Sample]:
        """Run a stage as a job does; what its shards took, nothing when they or a stage before them failed."""
        before = [name for name in stage.after if name in self.failed]
        if before:
            self.failed[stage.name] = f"stage '{before[0]}' failed"
            return []
        shards = list(shards_of(stage, self._run))
        files = self._files(stage)
        begin, cores = time.perf_counter(), _children_s()
        said = self._job(stage, shards)
        wall, cores = time.perf_counter() - begin, _children_s() - cores
        reports = [self._report(shard) for shard in shards]
        wrong = [one.reason for one in reports if one is not None and one.state not in GOOD]
        if wrong or None in reports:
            self.failed[stage.name] = wrong[0] if wrong else said
            return []
        told = [report for report in reports if report is not None]
        by_rank: dict[int, float] = {}
        for report in told:
            by_rank[report.rank] = by_rank.get(report.rank, 0.0) + report.wall_s
        cores = (cores - sum(report.cpu_s for report in told)) / self._farming.ranks / self._farming.threads
        self.starts.append((max(0.0, wall - max(by_rank.values())), max(0.0, cores)))
        new = (self._files(stage) - files) / len(shards)
        return list(self._samples(stage, shards, told, new))

    def _job(self, stage: StageSection, shards: Sequence[Shard]) -> str:
        """Its last line."""
        token = f"{_JOB}.{stage.name}"
        make_folder(self._folder, token, [shards], self._farming, time=stage.time, nodes=1)
        command = (*self._farming.command, "campaign", "work", str(self._folder.path), "--job", token, "--element", "0")
        threads = {"NUMBA_NUM_THREADS": str(self._farming.threads), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command, env=os.environ | threads, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_PATIENCE_S, check=False,
            )  # fmt: skip
        except OSError as err:
            raise ConfigError(f"'{command[0]}' cannot be started ({err.strerror}): see gm2sim doctor") from None
        except subprocess.TimeoutExpired:
            raise RunError(f"the trial is not over after {_PATIENCE_S:.0f} s: lower the muons of a fill") from None
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return one_line((lines or [f"exit code {done.returncode}"])[-1], 300)

    def _samples(
        self, stage: StageSection, shards: Iterable[Shard], reports: Sequence[Report], files: float
    ) -> Iterable[Sample]:
        config = config_of(self._campaign, self._run)
        first = {report.rank: min(one.began for one in reports if one.rank == report.rank) for report in reports}
        for shard, report in zip(shards, reports, strict=True):
            subruns = [shard.subrun] if stage.kind == "simulate" else range(self._run.subruns)
            counted = sum(1 for subrun in subruns for _ in events(config, subrun))
            fills = sum(len(muon_fills(config, subrun)) for subrun in subruns)
            yield Sample(
                fills, counted - fills, report.began == first[report.rank], report.wall_s, report.cpu_s,
                sum(int(facts["size"]) for facts in report.files.values()), round(files), report.peak_memory_mb,
                report.threads,
            )  # fmt: skip

    def _report(self, shard: Shard) -> Report | None:
        try:
            return Report.read(self._folder.report(shard))
        except (FileNotFoundError, ConfigError):
            return None

    def _files(self, stage: StageSection) -> int:
        """Files of a stage on the disk, reports and first looks too; only as many as matter for a rate."""
        path = self._folder.path
        places = (path / stage.name, path / "shards" / stage.name, path / "nearline" / stage.name)
        found = (one for place in places for one in place.rglob("*") if one.is_file())
        return sum(1 for _ in islice(found, _MANY))


def _children_s() -> float:
    """Time of cores that finished processes of ours have taken [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def serial(threads: int = 1) -> Farming:
    """One rank without MPI, for machines that may not start more."""
    return Farming(ranks=1, threads=threads, command=(sys.executable, "-m", "gm2sim"))
