"""Faults put in on purpose: drawn from the fill's name alone, felt by muons and detectors, written into the truth."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from detectors.field_traces import QUAD_TRACE, in_tesla, in_volts
from detectors.straws import STATION_CHANNELS
from fields.spark import Spark
from fields.voltage import VoltageProgram
from gm2sim.chain import track_muons
from gm2sim.config import Config, load
from gm2sim.faults import NONE, FillFaults, Kind, faults_of
from gm2sim.monitors import simulate_monitors
from gm2sim.outputs import raw_files
from gm2sim.quality import BAD_FOR_POSITRONS, Flag, assess
from gm2sim.quality.folder import events_to_skip
from gm2sim.raw import open_run
from gm2sim.reco import reconstruct
from gm2sim.report.load import load_folder
from gm2sim.report.quality import quality_pages
from gm2sim.run import run
from gm2sim.setup import Setup
from gm2sim.timeline import FillType
from gpu.rng import FillKey
from tests.gm2sim.condition_files import gm2sim
from tracking.bunch import State
from tracking.crossings import Crossings

KEY = FillKey(5, 2, 0, 0)
CONFIG = {
    "run.fills": 16, "run.subruns": 2, "run.seed": 2, "beam.muons_per_fill": 120, "tracking.fill_duration_us": 400.0,
    "laser.fill_every": 4, "daq.pedestal_every": 0, "laser.in_fill_every": 0, "daq.q_method": False,
    "faults.quad_spark": 0.15, "faults.missing_kick": 0.15, "faults.dead_crate": 0.15, "faults.tracker_trip": 0.1,
    "faults.tracker_trip_fills": 2, "faults.laser_off": 0.2, "faults.weak_kick": 0.1, "faults.field_jump": 0.05,
}  # fmt: skip


def test_nothing_goes_wrong_unless_asked_for() -> None:
    assert not Config().faults.any
    assert faults_of(Config(), KEY) is NONE
    assert not NONE.rows(muons=True)["kind"].size


def test_faults_are_a_function_of_the_fill_alone_and_as_frequent_as_asked_for() -> None:
    config = load("ideal", {"faults.quad_spark": 0.1, "faults.missing_kick": 0.05, "faults.dead_crate": 0.02})
    n = 1500
    keys = [KEY._replace(fill=fill) for fill in range(n)]
    found = [faults_of(config, key) for key in keys]
    assert found[::-1] == [faults_of(config, key) for key in reversed(keys)]
    sparks = np.array([one.spark for one in found if one.spark is not None])
    for p, number in (
        (0.1, sparks.size),
        (0.05, sum(one.kick == 0.0 for one in found)),
        (0.02, sum(bool(one.dead) for one in found)),
    ):
        assert abs(number - p * n) < 5 * np.sqrt(n * p * (1 - p))
    # Any time of the fill is as likely: uniform from 0 to its end, RMS of the mean 1/sqrt(12 n).
    assert sparks.mean() / 700e-6 == pytest.approx(0.5, abs=5 / np.sqrt(12 * sparks.size))
    only = load("ideal", {"faults.quad_spark": 0.1})
    assert [faults_of(only, key).spark for key in keys] == [one.spark for one in found]


def test_a_trip_lasts_a_jump_stays_and_a_dead_crate_of_a_subrun_is_dead_in_all_of_it() -> None:
    changes = {
        "faults.tracker_trip": 0.05, "faults.tracker_trip_fills": 4, "faults.field_jump": 0.02,
        "faults.dead_crate_subrun": 0.5,
    }  # fmt: skip
    config = load("ideal", changes)
    found = [faults_of(config, KEY._replace(fill=fill)) for fill in range(300)]
    off = np.array([bool(one.tripped) for one in found])
    begins = np.flatnonzero(off[1:] & ~off[:-1]) + 1
    assert begins.size > 3
    assert all(off[begin : begin + 4].all() for begin in begins)
    field = np.array([one.field for one in found])
    assert (np.diff(field) >= 0.0).all()
    assert field[-1] > 0.0
    assert len({one.dead for one in found}) == 1
    dead = {faults_of(config, KEY._replace(subrun=subrun)).dead for subrun in range(40)}
    assert () in dead
    assert len(dead) > 5


def test_a_spark_takes_every_plate_and_its_rf_down_and_leaves_what_was_before_alone() -> None:
    times = np.linspace(-10e-6, 500e-6, 2001)
    plain, broken = VoltageProgram.run2(), VoltageProgram(
        VoltageProgram.run2().charging, VoltageProgram.run2().scraping, spark=Spark(100e-6, 2e-6)
    )  # fmt: skip
    nominal = [18e3, 18e3, -18e3, -18e3]
    volts, all_right = broken.voltages("Q2 long", nominal, times), plain.voltages("Q2 long", nominal, times)
    before = times <= 100e-6
    np.testing.assert_array_equal(volts[before], all_right[before])
    after = ~before & (times < 130e-6)
    expected = all_right[after] * np.exp(-(times[after] - 100e-6) / 2e-6)[:, None]
    np.testing.assert_allclose(volts[after], expected, rtol=1e-9)
    assert np.abs(volts[times > 150e-6]).max() < 1e-3
    with pytest.raises(ValueError, match="time constant"):
        Spark(1e-4, 0.0)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup.of(load("gasgun", CONFIG))


def test_muons_of_a_spark_are_lost_within_microseconds_and_the_same_before(setup: Setup) -> None:
    muons = setup.muons(KEY)
    when = 120e-6
    end, _, _ = track_muons(setup, muons, KEY)
    broken, _, _ = track_muons(setup.suffering(FillFaults(spark=when)), muons, KEY)
    # The fill is followed in other pieces, which move a muon by rounding: 1e-9 m after thousands of turns.
    before = end.time < when - 0.2e-6
    np.testing.assert_array_equal(broken.state[before], end.state[before])
    np.testing.assert_allclose(broken.time[before], end.time[before], rtol=0, atol=1e-15)
    np.testing.assert_allclose(broken.x[before], end.x[before], rtol=0, atol=1e-7)
    late = end.time > when + 30e-6
    assert late.sum() > 10
    assert (broken.state[late] > State.DECAYED).all()
    assert broken.time[late].max() < when + 30e-6
    delay = broken.time[late] - when
    assert np.median(delay) == pytest.approx(
        np.median(expected_delays(1e-6)), abs=5 * delay.std() / np.sqrt(late.sum())
    )


def expected_delays(time_constant: float) -> np.ndarray:
    """From spark to loss of muons in a smooth ring, y'' = -n exp(-t/tau) (c/R0)^2 y, up to a circle of 45 mm [s]."""
    rng = np.random.default_rng(1)
    n, turns, r0 = 3000, 0.108, 7.112
    y = rng.normal(0.0, 12.9e-3, n)
    slope = rng.normal(0.0, 12.9e-3 * np.sqrt(turns) / r0, n)
    x_e, amplitude, phase = rng.normal(6e-3, 9e-3, n), 14e-3 * np.sqrt(rng.chisquare(2, n)), rng.uniform(0, 7, n)
    delay, step = np.full(n, np.nan), 2e-9
    for k in range(15_000):
        t = k * step
        slope -= turns * np.exp(-t / time_constant) * y / r0**2 * 3e8 * step
        y += slope * 3e8 * step
        x = x_e + amplitude * np.cos(phase + 3e8 * t / r0)
        # Collimators stand at five places: a muon passes one every 30 ns.
        if k % 15 == 0:
            delay[np.isnan(delay) & (x**2 + y**2 > 45e-3**2) & (np.abs(y) > 20e-3)] = t
    return delay[np.isfinite(delay)]


def test_traces_show_what_went_wrong(setup: Setup) -> None:
    faults = FillFaults(spark=150e-6, kick=0.0)
    here = setup.suffering(faults)
    assert here.muons(KEY).n == 0
    samples = {one.crate: one.samples[:, 0] for one in simulate_monitors(here, KEY, Crossings.none()).records}
    well = {one.crate: one.samples[:, 0] for one in simulate_monitors(setup, KEY, Crossings.none()).records}
    assert np.abs(in_tesla(samples[29])).max() < 6 * 2.0 / 5e4  # noise of 2 counts
    assert in_tesla(well[29]).max() > 1e-2
    times = QUAD_TRACE.times
    assert np.abs(in_volts(samples[30])[:, times > 160e-6]).max() < 6 * 2.0 / 0.04
    np.testing.assert_array_equal(samples[30][:, times < 150e-6], well[30][:, times < 150e-6])
    np.testing.assert_array_equal(samples[25], well[25])
    weak = {one.crate: one.samples[:, 0] for one in simulate_monitors(
        setup.suffering(FillFaults(kick=0.8)), KEY, Crossings.none()).records}  # fmt: skip
    assert in_tesla(weak[29]).max() / in_tesla(well[29]).max() == pytest.approx(0.8, abs=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "out"
    run(load("gasgun", CONFIG), out, report=False)
    return out


def truth_of(folder: Path) -> set[tuple[int, int, int]]:
    """Event, kind and place of everything that the truth says went wrong."""
    found: set[tuple[int, int, int]] = set()
    for path in folder.glob("*.truth.h5"):
        with h5py.File(path) as file:
            if "faults" in file:
                columns = (file[f"faults/{name}"][:].tolist() for name in ("fill", "kind", "place"))
                found |= set(zip(*columns, strict=True))
    return found


def test_the_truth_says_what_the_raw_data_shows(folder: Path) -> None:
    truth = truth_of(folder)
    assert {kind for _, kind, _ in truth} == set(Kind)
    for path in sorted(folder.glob("*.mid")):
        raw = open_run(path)
        for event in raw:
            if event.fill_type == FillType.ASYNCHRONOUS:  # no calorimeter answers
                continue
            mine = {(kind, place) for fill, kind, place in truth if fill == event.serial}
            dead = {place for kind, place in mine if kind == Kind.DEAD_CRATE}
            sent = event.crates if event.fill_type == FillType.MUONS else event.waveform_crates
            assert set(range(1, 25)) - set(sent) == dead
            words = event.straws()
            if words is not None:
                off = {place for kind, place in mine if kind == Kind.TRACKER_TRIP}
                assert set(np.unique(words.channel // STATION_CHANNELS).tolist()) == {0, 1} - off
        jumps = [fill for fill, kind, _ in truth if kind == Kind.FIELD_JUMP]
        for serial, ppm in raw.odb["Equipment"]["FixedProbes"]["Variables"]["Field (ppm)"]:
            assert (ppm > 5.0) == (serial in jumps)


def test_every_fault_is_flagged_and_no_good_fill_is(folder: Path) -> None:
    found = assess(sorted(folder.glob("*.mid")))
    flag_of = {
        Kind.QUAD_SPARK: Flag.QUADS, Kind.MISSING_KICK: Flag.KICK, Kind.WEAK_KICK: Flag.KICK,
        Kind.DEAD_CRATE: Flag.CRATES, Kind.TRACKER_TRIP: Flag.TRACKERS, Kind.LASER_OFF: Flag.LASER,
        Kind.FIELD_JUMP: Flag.FIELD,
    }  # fmt: skip
    truth = truth_of(folder)
    for event, fill_type, bits in zip(found.measures.event, found.measures.fill_type, found.flags, strict=True):
        mine = {Kind(kind) for fill, kind, _ in truth if fill == event}
        if fill_type == FillType.MUONS and Kind.MISSING_KICK in mine:
            mine.discard(Kind.TRACKER_TRIP)  # without positrons nobody asks for hits
        due = Flag(0)
        for kind in mine:
            due |= flag_of[kind]
        assert Flag(int(bits)) & due == due
        # No muons, or only those before a spark, are few late positrons.
        follows = Flag.CTAGS if mine & {Kind.MISSING_KICK, Kind.QUAD_SPARK} else Flag(0)
        assert Flag(int(bits)) & ~(due | follows | Flag.LOSSES * bool(follows)) == Flag(0)


def test_commands_assess_show_report_and_skip(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def say(*arguments: str) -> list[dict[str, Any]]:
        assert gm2sim(*arguments, "--json") == 0
        told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return told

    book = str(folder / "quality.sqlite")
    live = say("quality", "assess", str(folder))
    assert live[0]["kept"] == 16
    flags = {row["event"]: row["flags"] for row in say("quality", "show", book, "--table", "fill_flags")}
    assert len(flags) == 21  # with four events of the laser and a readout of boards that trigger themselves
    assert flags[20] == 0
    assert gm2sim("quality", "report", str(folder)) == 0
    assert "late positrons" in capsys.readouterr().out
    assert json.loads((folder / "quality.json").read_text())["live"] == live
    assert (folder / "quality.png").stat().st_size > 1000
    (page,) = quality_pages(load_folder(folder, load("gasgun", CONFIG)))
    assert page[3]() is not None
    clusters = reconstruct(raw_files(folder), skip=events_to_skip(raw_files(folder), book))
    assert clusters.time.size
    assert all(not flags[fill] & BAD_FOR_POSITRONS for fill in clusters.fill.tolist())
    for arguments, problem in (
        (("fit", str(folder), "--method", "Q", "--quality", book), "cannot act on the Q method"),
        (("fit", str(folder), "--quality", str(folder / "none.sqlite")), "there is no database"),
        (("quality", "show", book, "--table", "fill_flag"), "did you mean 'fill_flags'"),
    ):
        assert gm2sim(*arguments) == 2
        assert problem in capsys.readouterr().err
