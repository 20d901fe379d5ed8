"""The main job: from a configuration to its subruns, shared among ranks; a subrun is in subrun.py."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gm2sim.atomic import write_json, write_text
from gm2sim.config import Config, ConfigError
from gm2sim.farm import GRACE_S, STALL_S, Farm, LeftError, Ranks, Watch, ranks
from gm2sim.outputs import SubrunPaths, claim_folder, describe, make_folder, read_metadata, subrun_is_done
from gm2sim.prepared import prepare, setup_of
from gm2sim.setup import Setup
from gm2sim.subrun import run_subrun
from gm2sim.summary import Tally, summarise
from gm2sim.text import one_line
from gm2sim.timeline import muon_fills
from gm2sim.warm import compiled_set, warm_up
from gpu import cache, threads
from gpu.device import choose, choose_backend

BACKENDS = ("auto", "cpu", "gpu")
OWNER = ".gm2sim.owner"
"""Says who holds the lock of a run's folder."""
LOCK = ".gm2sim.lock"
"""Held by the process that makes a run, or by those that make shards of it."""
_ELSEWHERE = "choose another --out"
_LONGEST_NAME = 200  # of a preset, in the files of a run


def run(
    config: Config,
    out: Path,
    *,
    preset: str = "",
    backend: str = "auto",
    resume: bool = False,
    force: bool = False,
    report: bool = True,
    watch: Watch | None = None,
    stall: float = STALL_S,
    grace: float = GRACE_S,
) -> dict[str, Any] | None:
    """Simulate all subruns of a configuration; under MPI the ranks share them.

    Parameters
    ----------
    config : Config
    out : Path
        Output folder.
    preset : str
        Name for people, kept in the metadata.
    backend : str
        "cpu", "gpu" (tracking; never falls back) or "auto" (gpu where there is one).
    resume, force : bool
        Go on with, or replace, the run that ``out`` holds.
    report : bool
        Write report.html at the end.
    watch : Watch, optional
        Told about progress.
    stall, grace : float
        Longest time without a finished fill, and from a signal to leave until having left [s].

    Returns
    -------
    dict or None
        The summary on rank 0, as in summary.json; None on other ranks.

    Raises
    ------
    ConfigError
        The request cannot be carried out.
    LeftError
        A signal has asked to leave; ``resume`` goes on.
    gpu.device.DeviceError
        backend "gpu" without a usable GPU.
    """
    started = time.perf_counter()
    preset = one_line(preset, _LONGEST_NAME)
    prepare(config, backend)
    job = ranks()
    chosen = backend_of(backend, job.local_rank)
    if job.size > 1:
        threads.set_count(max(1, threads.count() // job.local_size))
    setup = setup_of(config, chosen)
    with _claimed(out, config, job, resume=resume, force=force):
        compile_s = cache.ensure_compiled(
            lambda: warm_up(setup), watch.note if watch and job.rank == 0 else None, compiled_set(setup)
        )
        with Farm(job, f"seed {config.run.seed}", stall=stall, grace=grace, watch=watch) as farm:
            tallies = _simulate(setup, out, preset, farm, resume=resume)
        if job.rank:
            return None
        summary = summarise(config, preset, chosen, job.size, tallies, compile_s)
        summary["wall_s"] = time.perf_counter() - started
        write_json(out / "summary.json", summary, replace=True)
        if report:
            from gm2sim.report import report as build

            begin = time.perf_counter()
            summary["report"] = build(out).name
            summary["seconds"]["report"] = time.perf_counter() - begin
        summary["wall_s"] = time.perf_counter() - started
        write_json(out / "summary.json", summary, replace=True)
        return summary


def _simulate(setup: Setup, out: Path, preset: str, farm: Farm, *, resume: bool) -> list[Tally]:
    """Make the subruns that are not there yet.

    Returns
    -------
    list of Tally
        One a subrun, in order of the subruns, whoever made them; empty on all ranks but the first.
    """
    config, job = setup.config, farm.job
    made: dict[int, Tally] = {}
    todo = [SubrunPaths(out, config.run.run, subrun, config.daq.compression) for subrun in range(config.run.subruns)]
    if resume:
        mine = _finished(setup, job.share(todo), farm)
        made = {subrun: tally for found in job.broadcast(job.gather(mine)) for subrun, tally in found.items()}
        todo = [paths for paths in todo if paths.subrun not in made]
    if farm.watch:
        fills = sum(len(muon_fills(config, paths.subrun)) for paths in todo)
        farm.watch.begin(fills, preset or "run", job.rank == 0)
    for paths in farm.hand_out(todo, lambda one: len(muon_fills(config, one.subrun)), lambda one: one.subrun):
        tally = Tally()
        with farm.named():
            if run_subrun(setup, paths, preset, tally, farm, resume=resume):
                made[paths.subrun] = tally
    for share in job.gather(made):
        made |= share
    left = job.broadcast(config.run.subruns - len(made))
    if left:
        raise LeftError(farm.farewell(left))
    return [made[subrun] for subrun in sorted(made)] if job.rank == 0 else []


def _finished(setup: Setup, all_paths: list[SubrunPaths], farm: Farm) -> dict[int, Tally]:
    """What those of some subruns hold that are there, with every checksum right."""
    found = {}
    for paths in all_paths:
        farm.found(0)
        if subrun_is_done(paths, setup.config, setup.conditions.version):
            found[paths.subrun] = Tally()
            found[paths.subrun].add_finished(read_metadata(paths.metadata), paths.raw.name)
    return found


def backend_of(asked: str, local_rank: int) -> str:
    """The backend to use, with a GPU of its own for each rank of a node; "gpu" where there is none is an error."""
    if asked not in BACKENDS:
        raise ConfigError(f"--backend {asked} is not known: choose auto, cpu or gpu")
    backend = choose_backend(asked)
    if backend == "gpu":
        choose(local_rank)
    return backend


@contextmanager
def _claimed(out: Path, config: Config, job: Ranks, *, resume: bool, force: bool) -> Iterator[None]:
    """Hold the output folder for this job: rank 0 looks and locks, all ranks hear the same answer."""
    problem: str | None = None
    lock = None
    if job.rank == 0:
        try:
            make_folder(out)
            lock = _locked(out, config)
            claim_folder(out, config, resume=resume, force=force)
        except (ConfigError, OSError) as err:
            problem = str(err) if isinstance(err, ConfigError) else f"cannot write to '{out}' ({err}): {_ELSEWHERE}"
    try:
        problem = job.broadcast(problem)
        if problem:
            raise ConfigError(problem)
        yield
    finally:
        if lock is not None and lock.is_locked:
            # While held: whoever comes next makes new ones.
            for path in (out / OWNER, Path(lock.lock_file)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            lock.release()


def _locked(out: Path, config: Config) -> FileLock:
    """The lock of the output folder, with a note beside it that says who holds it."""
    lock = FileLock(out / LOCK)
    me = f"process {os.getpid()} on {os.uname().nodename}, {describe(config)}"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"another run is writing to '{out}' now, {holder_of(out)}, and this is {me}: wait for it or {_ELSEWHERE}"
        ) from None
    except (OSError, NotImplementedError) as err:
        raise ConfigError(f"'{out}' cannot be locked against other runs ({err}): {_ELSEWHERE}") from None
    try:
        write_text(out / OWNER, f"{me}\n", replace=True)
    except BaseException:
        lock.release()
        raise
    return lock


def holder_of(out: Path) -> str:
    """What the holder of the lock has said of itself."""
    try:
        return (out / OWNER).read_text("utf-8", "replace")[:200].strip() or "which does not say who it is"
    except OSError:
        return "which does not say who it is"
