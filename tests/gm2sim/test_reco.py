"""Pulses and positrons found again in raw files whose content is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detectors.calorimeter import CalorimeterSettings, digitise_fill
from detectors.shower import deposit
from detectors.sipm import SipmSettings, pulse_shape
from detectors.transport import Hits
from gm2sim import reco
from gm2sim.calibration import Calibration
from gm2sim.pulsefit import Found, Waveforms, fit_pulses
from gm2sim.raw import CalorimeterRecord, FillRecord, Readout, RunWriter, run_tree
from gpu.kernel import read_only
from gpu.rng import FillKey

SIPM = SipmSettings()
PERIOD = 1.25e-9


def calibration(counts: float = 600.0, noise: float = 4.0) -> Calibration:
    gains = counts * (1 + 0.1 * np.sin(np.arange(24 * 54))).reshape(24, 54)
    return Calibration(gains, SIPM.rise_time, SIPM.fall_time, noise=noise)


def waveform(starts: list[float], heights: list[float], length: int = 40) -> np.ndarray:
    """Counts below the pedestal, starts in samples."""
    s = np.arange(length)
    return sum(h * pulse_shape((s - t) * PERIOD) for t, h in zip(starts, heights, strict=True))


def fit(rows: np.ndarray, noise: float = 4.0) -> Found:
    n, length = rows.shape
    samples = np.clip(np.rint(1750 - rows), -2048, 2047).astype(np.int16)
    found = Found.empty(n)
    waves = Waveforms(samples.ravel(), np.arange(n) * length, np.full(n, length), np.full(n, 1750.0), np.zeros(n, int))
    fit_pulses(n, read_only(waves), read_only(calibration(noise=noise).templates), found)
    return found


def write_run(path: Path, fills: list[FillRecord], tree: dict) -> None:
    readout = Readout(calo_sum=False, histogram=False)
    with RunWriter(path, 7, 0, run_tree(7, 0, 1_500_000_000, readout, tree)) as writer:
        for fill in fills:
            writer.write_fill(fill)


def record(serial: int, calorimeters: list[CalorimeterRecord]) -> FillRecord:
    return FillRecord(serial, serial + 1, 1_500_000_001 + serial, 0, serial % 16, tuple(calorimeters))


def test_single_pulses_are_unbiased_with_errors_of_the_linear_theory() -> None:
    rng = np.random.default_rng(1)
    n = 3000
    heights, starts = rng.uniform(60, 3000, n), 8 + rng.uniform(0, 1, n)
    rows = np.stack([waveform([t], [h]) for t, h in zip(starts, heights, strict=True)])
    found = fit(rows + rng.normal(0, 4, rows.shape))
    assert np.all((found.height > 0).sum(axis=1) == 1)
    error = found.height[:, 0] - heights
    # Linear theory: 4 counts/sqrt(sum T^2), sum T^2 = 1.9 samples, is 2.9; a little more with the time free.
    assert error.std() == pytest.approx(3.2, abs=0.3)
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(n)
    shift = (found.start[:, 0] - starts) * heights
    assert abs(shift.mean()) < 4 * shift.std() / np.sqrt(n)
    # Rounding adds 1/12 to a variance of 16; the pedestal costs less than a degree of freedom.
    assert found.chi2[:, 0].mean() == pytest.approx(1.04, abs=4 * np.sqrt(2 / 13 / n))


@pytest.mark.parametrize("separation_ns", [3.0, 5.0, 8.0, 20.0])
def test_two_pulses_of_a_crystal_are_split(separation_ns: float) -> None:
    rng = np.random.default_rng(2)
    n = 200
    h, g, t = rng.uniform(200, 1200, n), rng.uniform(200, 1200, n), 8 + rng.uniform(0, 1, n)
    late = t + separation_ns / 1.25
    rows = np.stack([waveform([a, b], [p, q]) for a, b, p, q in zip(t, late, h, g, strict=True)])
    found = fit(rows + rng.normal(0, 4, rows.shape))
    two = (found.height > 0).sum(axis=1) == 2
    assert two.mean() > 0.98
    order = np.argsort(found.start[two, :2], axis=1)
    first, second = np.take_along_axis(found.height[two, :2], order, axis=1).T
    # Noise of 4 counts on at least 200; neighbours 2.4 samples apart share some of it.
    assert np.median(np.abs(first / h[two] - 1)) < 0.02
    assert np.median(np.abs(second / g[two] - 1)) < 0.02


@pytest.mark.parametrize("ratio", [1.0, 0.1, 10.0])
@pytest.mark.parametrize("separation_ns", [5.0, 7.5, 10.0, 11.0, 12.5, 15.0])
def test_pulses_5_ns_and_more_apart_are_always_resolved(separation_ns: float, ratio: float) -> None:
    """From 0.5 GeV on if equal, and 0.2 GeV before or behind 2 GeV, where the window of one ends in the other."""
    rng = np.random.default_rng(6)
    n = 200
    first, second = {1.0: (306.0, 306.0), 0.1: (1224.0, 122.4), 10.0: (122.4, 1224.0)}[ratio]
    t = 8 + rng.uniform(0, 1, n)
    rows = np.stack([waveform([a, a + separation_ns / 1.25], [first, second]) for a in t])
    found = fit(rows + rng.normal(0, 4, rows.shape))
    assert ((found.height > 0).sum(axis=1) == 2).mean() >= (1.0 if ratio == 1.0 else 0.99)
    order = np.argsort(found.start[:, :2], axis=1)
    heights = np.take_along_axis(found.height[:, :2], order, axis=1)
    assert np.mean(np.abs(heights / [first, second] - 1.0).max(axis=1) < 0.2) >= 0.98


def test_overlapping_pulses_keep_their_summed_height() -> None:
    rows = np.stack([waveform([8.3, 8.3 + gap], [700.0, 500.0]) for gap in (0.4, 0.8, 1.2, 1.6)])
    found = fit(rows + np.random.default_rng(3).normal(0, 4, rows.shape))
    # Inseparable pulses are fitted as one, wider than the template: a few percent at 0.4 samples.
    np.testing.assert_allclose(found.height.sum(axis=1), 1200, rtol=0.03)


def test_clipped_samples_are_left_out() -> None:
    found = fit(np.stack([waveform([8.2], [4500.0]), waveform([8.7], [5000.0])]))
    np.testing.assert_allclose(found.height[:, 0], [4500, 5000], rtol=2e-3)


def test_empty_waveforms_give_no_pulse() -> None:
    assert not fit(np.zeros((4, 27))).height.any()


def test_island_becomes_the_positron_that_was_put_in(tmp_path: Path) -> None:
    known = calibration()
    share = {22: 1.3, 23: 0.4, 21: 0.2, 31: 0.1}
    start = 40_000.4
    rows = np.zeros((54, 27))
    for crystal, energy in share.items():
        rows[crystal] = waveform([8.4], [energy * known.counts_per_gev[4, crystal]], 27)
    late = np.zeros((54, 27))  # the same energy 5 ns later belongs to another positron
    late[40] = waveform([12.4], [0.9 * known.counts_per_gev[4, 40]], 27)
    noise = np.random.default_rng(4).normal(0, 4, (54, 27))
    samples = np.rint(1750 - rows - late + noise).astype(np.int16)
    empty = CalorimeterRecord(
        np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int16), np.full(54, 1750, np.float32)
    )
    full = replace(empty, start=np.array([39_992], np.int32), length=np.array([27], np.int32), samples=samples.ravel())
    path = tmp_path / "one.mid"
    write_run(path, [record(0, [empty] * 24), record(1, [empty] * 4 + [full] + [empty] * 19)],
              {"calibration": known.as_tree()})  # fmt: skip
    found = reco.reconstruct(path, save=tmp_path / "clusters.h5")
    np.testing.assert_array_equal(found.fill, [1, 1])
    np.testing.assert_array_equal(found.calo, [4, 4])
    # 5 quiet neighbours and 4 pulses with 5 MeV of noise each: 16 MeV.
    np.testing.assert_allclose(found.energy, [2.0, 0.9], atol=0.06)
    np.testing.assert_allclose(found.time, (start + np.array([0, 4]) - 800) * PERIOD, atol=50e-12)
    assert found.multiplicity.tolist() == [4, 1]
    # Crystal 22 is in the middle column of row 2; 40 is in column 4 of row 4.
    np.testing.assert_allclose(found.x, [0.001, 0.0], atol=0.002)
    np.testing.assert_allclose(found.y, (np.array([2, 4]) - 2.5) * 0.0252, atol=0.004)
    for saved, column in zip(reco.load_clusters(tmp_path / "clusters.h5"), found, strict=True):
        np.testing.assert_array_equal(saved, column)


def test_positrons_through_the_whole_calorimeter_chain_come_back(tmp_path: Path) -> None:
    settings = CalorimeterSettings()
    settings = replace(settings, digitizer=replace(settings.digitizer, q_method=False))
    rng = np.random.default_rng(5)
    n = 300
    number = np.arange(n)
    hits = Hits(
        calo=number % 24,
        u=rng.uniform(-0.08, 0.08, n),
        v=rng.uniform(-0.03, 0.03, n),
        du=np.zeros(n),
        dv=np.zeros(n),
        energy=np.full(n, 2.0),
        time=20e-6 + 2e-6 * number,
        number=number,
        depth=np.zeros(n),
        order=np.zeros(n, np.int64),
    )
    key = FillKey(5, 7, 0, 0)
    digits = digitise_fill(deposit(hits, key, settings.shower), key, settings)
    calorimeters = [
        CalorimeterRecord(i.start, i.length, i.samples, p)
        for i, p in zip(digits.islands, digits.pedestals, strict=True)
    ]
    path = tmp_path / "chain.mid"
    write_run(path, [record(0, calorimeters)], {"calibration": Calibration.of(settings).as_tree()})
    found = reco.reconstruct(path)
    assert len(found.time) == n
    order = np.argsort(found.time)
    np.testing.assert_array_equal(found.calo[order], hits.calo)
    ratio = found.energy[order] / hits.energy
    # Resolution at 2 GeV: sqrt(1.5^2 + 4.5^2/2) = 3.5 %, so 0.2 % on the scale; 1 % for places near edges.
    assert ratio.mean() == pytest.approx(1.0, abs=0.012)
    assert ratio.std() == pytest.approx(0.035, abs=0.007)
    assert np.std(found.time[order] - hits.time) < 50e-12
    assert abs(np.mean(found.time[order] - hits.time)) < 50e-12
    assert np.std(found.y[order] - hits.v) < 3e-3
    assert np.corrcoef(found.x[order], hits.u)[0, 1] > 0.99


def test_file_without_calibration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.mid"
    write_run(path, [record(0, [])], {})
    with pytest.raises(ValueError, match="no usable /Simulation/calibration"):
        reco.reconstruct(path)


def test_no_files_give_no_clusters() -> None:
    assert len(reco.reconstruct([]).time) == 0
