"""Auxiliary detectors of a run: what is sent, what the file says of it, and that a switch moves nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from detectors.field_traces import KICKER_TRACE, QUAD_TRACE, in_tesla, in_volts
from detectors.t0 import T0Settings, t0_time
from gm2sim.chain import track_muons
from gm2sim.config import Config, ConfigError, load
from gm2sim.injection import changes, kicker_pulses
from gm2sim.monitors import Monitors, crates, monitor_settings, simulate_monitors
from gm2sim.raw import FillRecord, Readout, RunWriter, check, open_run, run_tree
from gm2sim.setup import Setup
from gpu import threads
from gpu.rng import FillKey
from tracking.bunch_shape import bunches, moments
from tracking.crossings import Crossings, joined

KEY = FillKey(3, 1, 0, 0)
FEW = {"beam.muons_per_fill": 300, "tracking.fill_duration_us": 6.0, "magnet.map": "uniform"}


def simulated(setup: Setup, key: FillKey = KEY) -> dict[int, np.ndarray]:
    found = simulate_monitors(setup, key, Crossings.none())
    return {record.crate: record.samples[:, 0] for record in found.records}


def setup_of(preset: str = "run1a", **changes: object) -> Setup:
    return Setup.of(load(preset, FEW | {name.replace("__", "."): value for name, value in changes.items()}))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return setup_of(monitors__harps="in")


def test_crates_send_what_the_run_database_says(setup: Setup) -> None:
    samples = simulated(setup)
    told = monitor_settings(setup)
    assert list(samples) == list(told) == [25, 26, 27, 28, 29, 30, 31, 32]
    for crate, one in samples.items():
        settings = told[crate]
        assert one.shape == (len(settings["Channels"]), settings["Waveform length"])
        assert len(set(settings["Channels"])) == len(settings["Channels"]) == len(settings["Unit per count"])
    assert [told[crate]["Detector"] for crate in told] == [
        "T0", "IBMS1", "IBMS2", "IBMS3", "kickers", "quads", "harps", "harps",
    ]  # fmt: skip
    assert told[30]["Sample rate (MHz)"] == 2.0
    beam_monitors = sum(samples[crate].nbytes for crate in range(25, 31))
    assert beam_monitors < 300_000  # of a fill of some megabytes


def test_a_file_with_monitors_is_sound_and_reads_back(setup: Setup, tmp_path: Path) -> None:
    made = simulate_monitors(setup, KEY, Crossings.none())
    tree = run_tree(1, 0, 1_500_000_000, Readout(crates=0), {}, monitor_settings(setup))
    path = tmp_path / "gm2_run00001_00000.mid"
    with RunWriter(path, 1, 0, tree) as writer:
        writer.write_fill(FillRecord(0, 1, 1_500_000_000, 0, 0, waveforms=made.records))
    assert check(path) == []
    run = open_run(path)
    (event,) = run
    assert event.waveform_crates == [25, 26, 27, 28, 29, 30, 31, 32]
    assert run.odb["Equipment"]["AMC1326"]["Settings"]["Monitor"]["Detector"] == "IBMS1"
    assert "TQ01" not in run.odb["Equipment"]["AMC1326"]["Settings"]
    np.testing.assert_array_equal(np.concatenate(event.waveforms(26).samples), made.records[1].samples[:, 0])
    json.dumps(tree)


@pytest.mark.parametrize(
    ("switch", "gone"), [("t0", {25}), ("ibms", {26, 27, 28}), ("kicker_traces", {29}), ("quad_traces", {30})]
)
def test_a_switch_takes_its_crates_away_and_leaves_the_others_as_they_were(
    setup: Setup, switch: str, gone: set[int]
) -> None:
    every = simulated(setup)
    rest = simulated(setup.with_config(setup.config.with_(**{f"monitors__{switch}": False})))
    assert set(every) - set(rest) == gone
    for crate, samples in rest.items():
        np.testing.assert_array_equal(samples, every[crate])


def test_waveforms_do_not_depend_on_threads_and_differ_from_fill_to_fill(setup: Setup) -> None:
    before = threads.count()
    first = simulated(setup)
    threads.set_count(3)
    try:
        again = simulated(setup)
    finally:
        threads.set_count(before)
    other = simulated(setup, KEY._replace(fill=1))
    for crate, samples in first.items():
        np.testing.assert_array_equal(samples, again[crate])
        assert (samples != other[crate]).any()


def test_each_fill_shows_its_own_bunch(setup: Setup) -> None:
    sixteen = setup.with_config(setup.config.with_(beam__bunch="bunches", beam__muons_per_fill=5000))
    counter = T0Settings()
    times = counter.trace.times
    for fill in (0, 3, 7):
        samples = simulated(sixteen, KEY._replace(fill=fill))[25][1]
        signal = np.clip(np.median(samples[:200]) - samples.astype(float), 0.0, None) * (np.abs(times) < 200e-9)
        mean = (signal * times).sum() / signal.sum()
        rms = np.sqrt((signal * (times - mean) ** 2).sum() / signal.sum())
        # the pulse adds its own width; bunches are 28 to 43 ns wide, in steps of 1 ns
        pulse = np.hypot(counter.responses[1].rise, counter.responses[1].fall)
        assert rms == pytest.approx(np.hypot(moments(bunches()[fill])[1], pulse), abs=1e-9)


@pytest.mark.parametrize("bunch", ["point", "gaussian", "flat", "t0"])
def test_t0_time_is_that_of_the_truth(setup: Setup, bunch: str) -> None:
    one = setup.with_config(setup.config.with_(beam__bunch=bunch))
    made = simulate_monitors(one, KEY, Crossings.none())
    counter = T0Settings()
    injected = int(made.truth["injected"][0])
    assert injected == 6000
    found = t0_time(made.records[0].samples[1, 0], counter.trace, counter.responses[1])
    # 45 ns at most of 6000 muons, and noise of 4 counts below some 200 (see the tests of the counter itself)
    assert abs(found.mean - made.truth["t0_time"][0]) < 5 * np.hypot(45e-9 / np.sqrt(6000), 0.5e-9)


def test_kicker_and_quad_traces_are_what_the_tracker_is_given() -> None:
    setup = setup_of("run1a", beam__source="injected", injection__muons_per_fill=100)
    samples = simulated(setup)
    pulses = kicker_pulses(setup.config, setup.ring.layout)
    t = pulses.start + pulses.step * np.arange(pulses.field.shape[1])
    inside = (KICKER_TRACE.times > t[0]) & (KICKER_TRACE.times < t[-1])
    for trace, field in zip(in_tesla(samples[29]), pulses.field, strict=True):
        # noise of 2 counts of 0.02 mT; the tracker's field is that which is added, so it is negative
        assert np.abs(trace + np.interp(KICKER_TRACE.times, t, field))[inside].max() < 2.5e-4
    felt = changes(setup.config, setup.ring.quads, setup.ring.layout)
    assert felt is not None
    assert felt.potential is not None
    late = QUAD_TRACE.times >= 0.0
    for quad, volts in zip(setup.ring.layout.quads, in_volts(samples[30]).reshape(8, 4, -1), strict=True):
        theirs = felt.potential(quad.name, QUAD_TRACE.times[late])[:, 2].real
        ours = (volts[:, late].T @ setup.ring.quads.plate_coefficients(quad.name))[:, 2].real
        assert np.abs(ours / theirs - 1.0).max() < 5.5 * 50.0 / 18300.0


def test_harps_leave_the_beam_and_its_lifetimes_alone_and_are_felt() -> None:
    bare, with_harps = setup_of(), setup_of(monitors__harps="in")
    start, other = bare.muons(KEY), with_harps.muons(KEY)
    np.testing.assert_array_equal(start.stop_time, other.stop_time)
    np.testing.assert_allclose(start.x, other.x, atol=1e-9)  # the optics is measured with bends cut elsewhere
    end, stretches, _ = track_muons(with_harps, other, KEY)
    crossed = joined([one.crossings for one in stretches if one.crossings is not None])
    assert crossed.turn.size > 500
    assert crossed.turn.max() > 30
    assert np.all(end.energy[np.unique(crossed.number)] < other.energy[np.unique(crossed.number)])
    made: Monitors = simulate_monitors(with_harps, KEY, crossed)
    assert [record.crate for record in made.records][-2:] == [31, 32]
    light = (1750.0 - made.records[-1].samples[:, 0].astype(float)).sum(axis=1)
    assert light.max() > 10 * 4.0 * np.sqrt(made.records[-1].samples.shape[2])
    assert 31 not in crates(bare)


def test_harps_in_a_ring_without_free_space_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs free space"):
        Config().with_(ring__layout="continuous", monitors__harps="in")
