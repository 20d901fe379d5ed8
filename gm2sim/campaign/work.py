"""What a job of a campaign runs: ranks that take shards, make them, read them back, and report on each.

Nothing here talks to a database: reports are files, and the manager reads them.
"""

import errno
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gm2sim import __version__
from gm2sim.campaign.claims import only_one
from gm2sim.campaign.definition import Campaign, read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.nearline import bad
from gm2sim.campaign.runs import config_of, runs
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.stages import Made, Stage, open_stage
from gm2sim.errors import ConfigError, NewerFormatError, RunError
from gm2sim.farm import GRACE_S, STALL_S, Farm, LeftError, StuckError, Watch, ranks
from gm2sim.prepared import prepare
from gm2sim.raw import RawFormatError
from gm2sim.run import backend_of
from gm2sim.summary import Clock, peak_memory_mb
from gm2sim.text import one_line
from gpu import threads

ELSEWHERE = "elsewhere"
"""Outcome of a shard that another live process works on."""
_LONGEST_REASON = 400


class FullDiskError(RunError):
    """No shard can be written any more."""


def work(
    folder: CampaignFolder,
    campaign: Campaign,
    stage: str,
    shards: Sequence[Shard],
    job: str = "",
    element: int = 0,
    *,
    backend: str = "auto",
    stall: float = STALL_S,
    grace: float = GRACE_S,
    watch: Watch | None = None,
) -> dict[str, int]:
    """Make shards of one stage; all ranks of an MPI job call it with the same arguments.

    A shard that fails is reported, and the others go on. One that another process works on is left to it.

    Parameters
    ----------
    folder : CampaignFolder
    campaign : Campaign
    stage : str
    shards : sequence of Shard
    job, element : str, int
        Name of the job and number in its array, for the reports.
    backend : str
        "cpu", "gpu" or "auto".
    stall, grace : float
        Longest time without a finished fill (of stages that simulate), and from a signal until having left [s].
    watch : Watch, optional
        Told about progress.

    Returns
    -------
    dict of str to int
        Shards by outcome: done, flagged, failed, elsewhere.

    Raises
    ------
    ConfigError
        The request cannot be carried out.
    LeftError
        A signal has asked to leave; whoever calls again goes on.
    FullDiskError
        The disk is full.
    """
    _refuse(campaign, stage, shards)
    simulates = campaign.stage(stage).kind == "simulate"
    if simulates and shards:
        _prepare(campaign, min(shards), backend)
    me = ranks()
    chosen = backend_of(backend, me.local_rank)
    if me.size > 1:
        threads.set_count(max(1, threads.count() // me.local_size))
    numbered = sorted(set(shards))
    number = {shard: place for place, shard in enumerate(numbered)}
    who = f"process {os.getpid()} on {os.uname().nodename}, campaign {campaign.name}" + (f", job {job}" if job else "")
    note = watch.note if watch and me.rank == 0 else None
    maker = open_stage(folder, campaign, stage, chosen, who, note)
    outcomes: dict[Shard, str] = {}
    reason = ""
    farm = Farm(
        me, f"campaign {campaign.name}", stall=stall if simulates else 0.0, grace=grace, watch=watch,
        called=lambda place: f"shard {numbered[place].name}",
    )  # fmt: skip
    with farm:
        if watch:
            watch.begin(sum(shard.fills for shard in numbered), f"{campaign.name} {stage}", me.rank == 0)
        rank = _Rank(folder, maker, farm, job, element)
        for shard in farm.hand_out(numbered, lambda one: one.fills, number.__getitem__):
            with farm.named():
                if outcome := rank.work_on(shard):
                    outcomes[shard] = outcome
                    reason = reason or rank.reason
        maker.close()
        gathered = me.broadcast(me.gather((outcomes, reason)))
        left = len(numbered) - sum(len(found) for found, _ in gathered)
        if left:
            raise LeftError(farm.farewell(left, "shard", "launch the campaign again"))
    return _counted(gathered, len(numbered))


def _counted(gathered: Sequence[tuple[dict[Shard, str], str]], number: int) -> dict[str, int]:
    """Shards of all ranks by outcome.

    Raises
    ------
    RunError
        Some have failed.
    """
    counted = Counter(dict.fromkeys((State.DONE, State.FLAGGED, State.FAILED, ELSEWHERE), 0))
    for found, _ in gathered:
        counted.update(found.values())
    if counted[State.FAILED]:
        first = next(text for _, text in gathered if text)
        raise RunError(f"{counted[State.FAILED]} of {number} shards failed, first {first}")
    return {str(state): counted[state] for state in counted}


def _prepare(campaign: Campaign, shard: Shard, backend: str) -> None:
    """Make what all ranks of a node need for a shard, before this process becomes them."""
    first = {run.number: run for run in runs(campaign)}.get(shard.run)
    if first is not None:
        prepare(config_of(campaign, first), backend)


def _refuse(campaign: Campaign, stage: str, shards: Sequence[Shard]) -> None:
    """See that the request makes sense, before any work."""
    campaign.stage(stage)
    if campaign.software and campaign.software != __version__:
        raise ConfigError(
            f"campaign '{campaign.name}' wants gm2sim {campaign.software}, and this is {__version__}: install that one"
        )
    for shard in shards:
        if shard.stage != stage:
            raise ConfigError(f"shard {shard.name} is of stage '{shard.stage}', not of '{stage}': give one stage a job")


class _Rank:
    """One rank at work on shards."""

    def __init__(self, folder: CampaignFolder, maker: Stage, farm: Farm, job: str, element: int) -> None:
        self._folder, self._maker, self._farm = folder, maker, farm
        self._job, self._element = job, element
        self.reason = ""  # of the first failure, with the name of the shard

    def work_on(self, shard: Shard) -> str:
        """Make a shard unless it is there, and report; how it ended, empty when this rank was asked to leave."""
        path, lock = self._folder.report(shard), self._folder.lock(shard)
        clock, began = Clock(), time.time()
        report = Report(shard.stage, shard.name, State.RUNNING, fills=shard.fills)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with only_one(lock) as mine:
                if not mine:
                    return ELSEWHERE
                before = _last(path)
                report = self._begun(shard, before, began)
                try:
                    return self._make(shard, before, report, clock, path)
                except (StuckError, LeftError):
                    raise
                except (RunError, ConfigError, RawFormatError, OSError) as err:
                    self._fail(report, clock, path, err)
        except OSError as err:  # not even a report can be written
            self._fail(report, clock, None, err)
        self.reason = self.reason or f"{shard.name}: {self._last_reason}"
        return State.FAILED

    def _make(self, shard: Shard, before: Report | None, report: Report, clock: Clock, path: Path) -> str:
        made = self._maker.there(shard, before)
        if made is not None and _says(before, made):
            return str(before.state) if before else ""
        if made is None:
            report.write(path)
            made = self._maker.make(shard, self._farm)
        if made is None:
            _ended(report, clock, reason="asked to leave: another goes on").write(path)
            return ""
        wrong = bad(made.checks)
        state = State.FLAGGED if wrong else State.DONE
        _ended(
            report, clock, state=state, reason=wrong, files=made.files, muons=made.muons, checks=dict(made.checks)
        ).write(path)  # fmt: skip
        return state

    def _begun(self, shard: Shard, before: Report | None, began: float) -> Report:
        return Report(
            stage=shard.stage, shard=shard.name, state=State.RUNNING, job=self._job, element=self._element,
            rank=self._farm.job.rank, host=os.uname().nodename, attempt=before.attempt + 1 if before else 1,
            began=began, threads=threads.count(), fills=shard.fills,
        )  # fmt: skip

    def _fail(self, report: Report, clock: Clock, path: Path | None, err: Exception) -> None:
        """Report a failure; a full disk, which would fail all others too, ends the job."""
        full = isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT)
        text = f"the disk is full at '{err.filename}'" if full and isinstance(err, OSError) else _sentence(err)
        self._last_reason = one_line(text, _LONGEST_REASON)
        if path is not None:
            with suppress(OSError):
                _ended(report, clock, state=State.FAILED, reason=self._last_reason).write(path)
        if full:
            raise FullDiskError(f"{text}: no half-written file has got its name; make room and launch again") from None


def _ended(report: Report, clock: Clock, **values: Any) -> Report:
    facts: dict[str, Any] = {"ended": time.time(), "peak_memory_mb": peak_memory_mb(), **clock.facts(), **values}
    return replace(report, **facts)


def _sentence(err: Exception) -> str:
    if isinstance(err, OSError) and err.errno is not None:
        return f"{err.strerror}: '{err.filename}'" if err.filename else str(err.strerror)
    return str(err)


def _says(before: Report | None, made: Made) -> bool:
    """Whether the last report says already what there is to say."""
    return (
        before is not None
        and before.state == (State.FLAGGED if bad(made.checks) else State.DONE)
        and (before.files, before.checks) == (made.files, dict(made.checks))
    )


def _last(path: Path) -> Report | None:
    """The last report on a shard; None where there is none that can be read."""
    try:
        return Report.read(path)
    except NewerFormatError:
        raise
    except (ConfigError, FileNotFoundError):
        return None


def read_shards(path: Path, element: int) -> list[Shard]:
    """The shards of one element of a job, from the file that has one line of JSON an element.

    Raises
    ------
    ConfigError
        The file cannot be read, or has no such element.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        told = json.loads(lines[element]) if 0 <= element < len(lines) else None
        if told is not None:
            return [Shard(told["stage"], *numbers) for numbers in told["shards"]]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"'{path}' does not say which shards the job has ({err}): recover the campaign") from None
    raise ConfigError(f"'{path}' has no element {element}: it has 0 to {len(lines) - 1}")


def main(folder: Path, stage: str, shard_file: Path, job: str, element: int, **options: Any) -> dict[str, int]:
    """The command of a job; leaves with exit code 75 when it was asked to, and 1 when shards have failed.

    Parameters
    ----------
    folder : Path
        Of the campaign.
    stage : str
        Empty for that of the shards.
    shard_file : Path
        As :func:`read_shards` reads it.
    job : str
        Its name.
    element : int
        Number in the array.
    options
        As of :func:`work`.
    """
    here = CampaignFolder(folder)
    shards = read_shards(shard_file, element)
    stage = stage or (shards[0].stage if shards else "")
    return work(here, read(here.definition), stage, shards, job, element, **options)
