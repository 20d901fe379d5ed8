"""The main job: from a configuration to raw files with the truth beside them; the chain itself is in chain.py."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from detectors.laser import fire
from gm2sim import __version__
from gm2sim.atomic import write_json
from gm2sim.calibration import Calibration
from gm2sim.calibration_fills import calibration_fill, crystal_records, in_fill_times, monitor_record
from gm2sim.chain import simulate_fill
from gm2sim.config import Config, ConfigError, RunError
from gm2sim.machine import Setup
from gm2sim.monitors import monitor_settings
from gm2sim.mpi import Ranks, ranks
from gm2sim.outputs import SubrunPaths, claim_folder, make_folder, read_metadata, subrun_is_done, write_metadata
from gm2sim.raw import RunWriter, run_tree
from gm2sim.records import append_field, append_moments, append_monitors, append_truth, fill_record, readout
from gm2sim.summary import Tally, summarise
from gm2sim.timeline import FillTime, FillType, events, iso, muon_fills
from gm2sim.truth import TruthWriter
from gm2sim.warm import compiled_set, warm_up
from gpu import cache, threads
from gpu.device import choose, choose_backend
from gpu.rng import FillKey

BACKENDS = ("auto", "cpu", "gpu")


class Watch(Protocol):
    """Whoever wants to see the progress of a run."""

    def note(self, text: str, /) -> None:
        """A line of text."""

    def begin(self, fills: int, description: str, shown: bool) -> None:
        """The work of this rank is known."""

    def advance(self, muon_turns_per_second: float, /) -> None:
        """One more fill is done."""


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

    Returns
    -------
    dict or None
        The summary on rank 0, as in summary.json; None on other ranks.

    Raises
    ------
    ConfigError
        The request cannot be carried out.
    gpu.device.DeviceError
        backend "gpu" without a usable GPU.
    """
    started = time.perf_counter()
    job = ranks()
    chosen = _backend(backend, job.local_rank)
    if job.size > 1:
        threads.set_count(max(1, threads.count() // job.local_size))
    setup = Setup.of(config, chosen)
    with _claimed(out, config, job, resume=resume, force=force):
        compile_s = cache.ensure_compiled(
            lambda: warm_up(setup), watch.note if watch and job.rank == 0 else None, compiled_set(setup)
        )
        tally = Tally()
        todo = []
        for subrun in range(config.run.subruns):
            paths = SubrunPaths(out, config.run.run, subrun)
            if not (resume and subrun_is_done(paths, config, setup.conditions.version)):
                todo.append(paths)
            elif job.rank == 0:
                tally.add_finished(read_metadata(paths.metadata), paths.raw.name)
        mine = job.share(todo)
        if watch:
            fills = sum(len(muon_fills(config, paths.subrun)) for paths in mine)
            watch.begin(fills, preset or "run", job.rank == 0)
        for paths in mine:
            run_subrun(setup, paths, preset, tally, watch)
        tally.note_memory()
        tallies = job.gather(tally)
        if job.rank:
            return None
        summary = summarise(config, preset, chosen, tallies, compile_s)
        summary["wall_s"] = time.perf_counter() - started
        write_json(out / "summary.json", summary)
        if report:
            from gm2sim.report import report as build

            with tally.stage("report"):
                summary["report"] = build(out).name
            summary["seconds"]["report"] = tally.seconds["report"]
        summary["wall_s"] = time.perf_counter() - started
        write_json(out / "summary.json", summary)
        return summary


def run_subrun(setup: Setup, paths: SubrunPaths, preset: str, tally: Tally, watch: Watch | None = None) -> None:
    """Simulate one subrun and write its three files, the metadata last.

    Parameters
    ----------
    setup : Setup
    paths : SubrunPaths
    preset : str
        Name for people.
    tally : Tally
        Counts and times are added to it.
    watch : Watch, optional
    """
    setup = setup.in_subrun(paths.subrun)
    config = setup.config
    times = list(events(config, paths.subrun))
    begin, end = times[0], times[-1]
    own = Tally()
    paths.clear()
    tree = run_tree(
        paths.run,
        paths.subrun,
        begin.seconds,
        readout(config, setup.calorimeters),
        _simulation(setup, preset),
        monitor_settings(setup),
    )
    histogram = setup.empty_histogram()
    with (
        TruthWriter(paths.truth, _truth_attributes(setup, paths, preset)) as truth,
        RunWriter(paths.raw, paths.run, paths.subrun, tree) as raw,
    ):
        append_field(truth, setup.ring.storage)
        for when in times:
            key = FillKey(config.run.seed, paths.run, paths.subrun, when.fill - begin.fill)
            if when.fill_type == FillType.MUONS:
                _muon_fill(setup, when, key, histogram, truth, raw, own, watch)
            else:
                with own.stage("laser and pedestals"):
                    raw.write_fill(calibration_fill(setup, when, key))
    if raw.written is None:
        raise RunError(f"'{paths.raw}' was not written")
    write_metadata(paths, config, {
        "preset": preset, "backend": setup.backend, "conditions": setup.conditions.version,
        "first_event": begin.serial, "last_event": end.serial, "event_count": len(times),
        "start_time": iso(begin.seconds), "end_time": iso(end.seconds),
        "counts": own.counts, "seconds": dict(own.seconds), "raw": raw.written.facts(),
    })  # fmt: skip
    own.raw_files, own.raw_bytes = 1, raw.written.size
    tally.add(own)


def _muon_fill(
    setup: Setup,
    when: FillTime,
    key: FillKey,
    histogram: NDArray[np.int32] | None,
    truth: TruthWriter,
    raw: RunWriter,
    tally: Tally,
    watch: Watch | None,
) -> None:
    """Simulate one fill of muons into the open files of its subrun."""
    config = setup.config
    start, before = time.perf_counter(), tally.counts["muon_turns"]
    laser = fire(in_fill_times(config, when), setup.calorimeters.laser, key)
    fill = simulate_fill(setup.after(when.since_begin), key, histogram, tally, laser)
    flush = (key.fill + 1) % config.daq.q_flush_fills == 0
    waveforms = (*crystal_records(fill.seen.digits.waveforms), *fill.monitors.records)
    if laser.time.size:
        waveforms += (monitor_record(laser, setup.calorimeters.digitizer, key),)
    with tally.stage("raw file"):
        raw.write_fill(
            fill_record(fill.seen.digits, when, config, setup.calorimeters, flush=flush, waveforms=waveforms)
        )
    with tally.stage("truth file"):
        append_truth(truth, when.serial, fill.muons, fill.snapshots, fill.seen)
        append_monitors(truth, when.serial, fill.monitors)
        for snapshot, stretch in zip(fill.snapshots, fill.stretches, strict=True):
            append_moments(truth, when.serial, snapshot.turn, stretch, setup.ring.reference)
    if flush and histogram is not None:
        histogram[:] = 0
    if watch:
        watch.advance((tally.counts["muon_turns"] - before) / (time.perf_counter() - start))


def _backend(asked: str, local_rank: int) -> str:
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
            lock = FileLock(out / ".gm2sim.lock")
            lock.acquire(timeout=0)
            claim_folder(out, config, resume=resume, force=force)
        except ConfigError as err:
            problem = str(err)
        except Timeout:
            problem = f"another run is writing to '{out}' now: wait for it or choose another --out"
    try:
        problem = job.broadcast(problem)
        if problem:
            raise ConfigError(problem)
        yield
    finally:
        if lock is not None and lock.is_locked:
            Path(lock.lock_file).unlink(missing_ok=True)  # while held: whoever comes next makes a new one
            lock.release()


def _simulation(setup: Setup, preset: str) -> dict[str, Any]:
    """What a raw file says of its making, under /Simulation of the run database."""
    return {
        "simulated": True,
        "version": __version__,
        "preset": preset,
        "config_hash": setup.config.hash,
        "configuration": setup.config.model_dump(mode="json"),
        "conditions": setup.conditions.version,
        "calibration": Calibration.of(setup.calorimeters, setup.constants).as_tree(),
    }


def _truth_attributes(setup: Setup, paths: SubrunPaths, preset: str) -> dict[str, Any]:
    reference = setup.ring.reference
    return {
        "simulated": True, "version": __version__, "preset": preset, "run": paths.run, "subrun": paths.subrun,
        "seed": setup.config.run.seed, "config_hash": setup.config.hash, "config": setup.config.model_dump_json(),
        "anomaly": setup.config.physics.anomaly, "b0_t": reference.b0, "p0_gev": reference.p0_gev, "r0_m": reference.r0,
        "field": setup.ring.storage.label,
    }  # fmt: skip
