"""One subrun: its raw file, the truth beside it, and the metadata that say that both are whole."""

import functools
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.laser import fire
from gm2sim import __version__
from gm2sim.calibration import RAW_FORMAT, Calibration
from gm2sim.calibration_fills import calibration_fill, crystal_records, in_fill_times, laser_crate, monitor_record
from gm2sim.chain import simulate_fill
from gm2sim.config import Config, RunError
from gm2sim.farm import Farm, LeftError
from gm2sim.faults import dark, faults_of, powered, probe_readings, without_crates
from gm2sim.monitors import monitor_settings
from gm2sim.outputs import SubrunPaths, write_metadata, write_timing
from gm2sim.raw import FillRecord, RunWriter, run_tree
from gm2sim.raw.record import STATIONS
from gm2sim.raw.stream import SUFFIXES
from gm2sim.records import (
    append_field,
    append_moments,
    append_monitors,
    append_truth,
    fill_record,
    readout,
    straw_record,
)
from gm2sim.resume import Progress
from gm2sim.setup import Setup
from gm2sim.summary import Clock, Tally
from gm2sim.timeline import FillTime, FillType, events, iso
from gm2sim.tracks.alignment import as_tree
from gm2sim.truth import TruthWriter
from gpu import cache
from gpu.rng import FillKey


def run_subrun(
    setup: Setup, paths: SubrunPaths, preset: str, tally: Tally, farm: Farm, *, resume: bool = False
) -> bool:
    """Simulate one subrun and write its three files, the metadata last.

    Parameters
    ----------
    setup : Setup
    paths : SubrunPaths
    preset : str
        Name for people.
    tally : Tally
        Counts and times are added to it.
    farm : Farm
        Told of every fill; says when to leave.
    resume : bool
        Go on behind the events that an earlier process has finished.

    Returns
    -------
    bool
        Whether the subrun is finished; if not, this process was asked to leave and another can go on.
    """
    setup = setup.in_subrun(paths.subrun)
    times = list(events(setup.config, paths.subrun))
    own = Tally()
    clock = Clock()
    with suppress(LeftError), Progress(paths, _identity(setup, preset), resume=resume) as progress:
        raw = _write_events(setup, paths, preset, times, progress, own, farm)
        if raw.written is None:
            raise RunError(f"'{paths.raw}' was not written")
        write_metadata(paths, setup.config, {
            "preset": preset, "backend": setup.backend, "conditions": setup.conditions.version,
            "first_event": times[0].serial, "last_event": times[-1].serial, "event_count": len(times),
            "start_time": iso(times[0].seconds), "end_time": iso(times[-1].seconds),
            "counts": own.counts, "raw": raw.written.facts(),
        })  # fmt: skip
        write_timing(paths, clock, own, events=len(times), resumed=progress.finished)
        own.raw_files, own.raw_bytes = 1, raw.written.size
        tally.add(own)
        return True
    return False


def _write_events(
    setup: Setup,
    paths: SubrunPaths,
    preset: str,
    times: list[FillTime],
    progress: Progress,
    tally: Tally,
    farm: Farm,
) -> RunWriter:
    """Raw file and truth, from where they are to their end."""
    config = setup.config
    begin = times[0].fill
    keys = {when.serial: FillKey(config.run.seed, paths.run, paths.subrun, when.fill - begin) for when in times}
    limit = config.daq.subrun_limit_mb * 1_000_000
    tree = _run_database(setup, paths, preset, keys, times, limit)
    histogram = setup.empty_histogram()
    with (
        TruthWriter(paths.truth, _truth_attributes(setup, paths, preset), progress.rows) as truth,
        progress.writer(tree, limit, times) as raw,
    ):
        append_field(truth, setup.ring.storage)
        progress.replay(truth, tally, histogram)
        farm.found(sum(when.fill_type == FillType.MUONS for when in times[: progress.finished]))
        leaving = farm.stopping
        for number, when in enumerate(times[progress.finished :], progress.finished + 1):
            if leaving:
                raise LeftError
            key = keys[when.serial]
            faults = faults_of(config, key)
            muons = when.fill_type == FillType.MUONS
            truth.append("faults", when.serial, faults.rows(muons=muons))
            here = setup.suffering(faults)
            if muons:
                _muon_fill(here, when, key, histogram, truth, raw, tally, farm)
            else:
                with tally.stage("laser and pedestals"):
                    _write(raw, calibration_fill(here.after(when.since_begin), when, key))
            pending = None if histogram is None or _flushes(config, key) else histogram
            leaving = farm.stopping  # asked once, so that no event is the last without its record saying so
            with tally.stage("checkpoint"):
                progress.note(number, raw, tally, pending, leaving=leaving)
    return raw


def _run_database(
    setup: Setup, paths: SubrunPaths, preset: str, keys: Mapping[int, FillKey], times: list[FillTime], limit: int
) -> dict[str, Any]:
    """The online database at the begin of the subrun."""
    config = setup.config
    tree = run_tree(
        paths.run,
        paths.subrun,
        times[0].seconds,
        readout(config, setup.calorimeters),
        simulation_tree(setup, preset),
        monitor_settings(setup) | laser_crate(config),
        stations=range(STATIONS) if setup.designed is not None else (),
        bin_ps=round(setup.straws.tdc_bin * 1e12),
        suffix=SUFFIXES[config.daq.compression],
        limit=limit,
    )
    if config.faults.field_jump:
        fills = {when.serial: keys[when.serial] for when in times if when.fill_type == FillType.MUONS}
        tree["Equipment"]["FixedProbes"] = {"Variables": {"Field (ppm)": probe_readings(config, fills)}}
    return tree


def _identity(setup: Setup, preset: str) -> dict[str, Any]:
    """What the bytes of a subrun depend on; whoever goes on with it must be of the same."""
    return {
        "version": __version__,
        "sources": _sources(),
        "preset": preset,
        "config_hash": setup.config.hash,
        "conditions": setup.conditions.version,
        "backend": setup.backend,
    }


@functools.cache
def _sources() -> str:
    """Of the code that this process has loaded: read once, not with every subrun."""
    return cache.sources_hash()


def _flushes(config: Config, key: FillKey) -> bool:
    """Whether a fill carries the Q-method histograms, which are empty behind it."""
    return (key.fill + 1) % config.daq.q_flush_fills == 0


def _muon_fill(
    setup: Setup,
    when: FillTime,
    key: FillKey,
    histogram: NDArray[np.int32] | None,
    truth: TruthWriter,
    raw: RunWriter,
    tally: Tally,
    farm: Farm,
) -> None:
    """Simulate one fill of muons into the open files of its subrun."""
    config = setup.config
    start, before = time.perf_counter(), tally.counts["muon_turns"]
    faults = setup.faults
    laser = fire(in_fill_times(config, when), setup.calorimeters.laser, key)
    if faults.dark:
        laser = dark(laser)
    fill = simulate_fill(setup.after(when.since_begin), key, histogram, tally, laser)
    flush = _flushes(config, key)
    waveforms = (*crystal_records(fill.seen.digits.waveforms), *fill.monitors.records)
    if laser.time.size:
        waveforms += (monitor_record(laser, setup.calorimeters.digitizer, key),)
    if faults.tripped and fill.seen.straws is not None:
        fill = fill._replace(seen=fill.seen._replace(straws=powered(fill.seen.straws, faults.tripped)))
    digits, straws = fill.seen.digits, straw_record(fill.seen.straws, setup.straws, faults.tripped)
    record = fill_record(digits, when, config, setup.calorimeters, flush=flush, waveforms=waveforms, straws=straws)
    record = without_crates(record, faults.dead)
    with tally.stage("raw file"):
        _write(raw, record)
    with tally.stage("truth file"):
        append_truth(truth, when.serial, fill.muons, fill.snapshots, fill.seen)
        append_monitors(truth, when.serial, fill.monitors)
        for snapshot, stretch in zip(fill.snapshots, fill.stretches, strict=True):
            append_moments(truth, when.serial, snapshot.turn, stretch, setup.ring.reference)
    if flush and histogram is not None:
        histogram[:] = 0
    farm.advance((tally.counts["muon_turns"] - before) / (time.perf_counter() - start))


def _write(raw: RunWriter, record: FillRecord) -> None:
    """Append an event, or say what to do when the file is full: how a run is cut into subruns is part of its plan."""
    if not raw.room_for(record):
        raise RunError(
            f"'{raw.path}' would pass daq.subrun_limit_mb = {raw.limit // 1_000_000} with event {record.serial}: cut "
            "the run into more subruns (run.subruns)"
        )
    raw.write_fill(record)


def simulation_tree(setup: Setup, preset: str) -> dict[str, Any]:
    """What a raw file says of its making, under /Simulation of the run database."""
    return {
        "simulated": True,
        "format": RAW_FORMAT,
        "version": __version__,
        "preset": preset,
        "config_hash": setup.config.hash,
        "configuration": setup.config.model_dump(mode="json"),
        "conditions": setup.conditions.version,
        "calibration": Calibration.of(setup.calorimeters, setup.constants).as_tree(),
        **({"trackers": as_tree(setup.tracker_constants)} if setup.designed is not None else {}),
    }


def _truth_attributes(setup: Setup, paths: SubrunPaths, preset: str) -> dict[str, Any]:
    reference = setup.ring.reference
    return {
        "simulated": True, "version": __version__, "preset": preset, "run": paths.run, "subrun": paths.subrun,
        "seed": setup.config.run.seed, "config_hash": setup.config.hash, "config": setup.config.model_dump_json(),
        "anomaly": setup.config.physics.anomaly, "b0_t": reference.b0, "p0_gev": reference.p0_gev, "r0_m": reference.r0,
        "field": setup.ring.storage.label,
    }  # fmt: skip
