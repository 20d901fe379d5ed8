"""T, A and Q histograms and their variances, against toys and the closed forms of the decay."""

import math
from pathlib import Path

import numpy as np
import pytest

from decay.michel import lab_energy_end, lab_spectrum
from gm2sim.analysis import analyse, named_method
from gm2sim.calibration import Calibration
from gm2sim.config import ConfigError
from gm2sim.methods import (
    A_RANGE,
    Method,
    closed_form_asymmetry,
    energy_bins,
    error_of_weight,
    event_histogram,
    smooth_variance,
    wiggle_edges,
)
from gm2sim.pileup import PileupSettings, above
from gm2sim.q_method import QSettings, bin_energies, energy_histogram, pulse_area
from gm2sim.raw import CalorimeterRecord, FillRecord, HistogramRecord, Readout, RunWriter, run_tree
from gm2sim.reco import Clusters
from gm2sim.wiggle import REFERENCE_FREQUENCY, WiggleHistogram, fit_wiggle

US = 1e-6
GAMMA = 29.3034
LIFETIME = 64.4e-6
OMEGA = 2 * math.pi * REFERENCE_FREQUENCY
PHASE = 2.08
START, STOP = 30.2876e-6, 250e-6


def acceptance(energy: np.ndarray) -> np.ndarray:
    """nkinnaird/PrecessionFrequencyAnalysis @54b9b45, ToyMC: 0.75 E/2.35 GeV up to 2.35 GeV, then 0.75."""
    return 0.75 * np.minimum(energy / 2.35, 1.0)


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, accepted number and asymmetry."""
    energy = np.linspace(0.05, lab_energy_end(GAMMA) - 1e-4, 4000)
    number, both = lab_spectrum(energy, GAMMA)
    return energy, number * acceptance(energy), both / number


def toy(n: int, seed: int) -> Clusters:
    """n positrons after 30 us with the energies, asymmetries and times of muon decay, in 24 calorimeters."""
    rng = np.random.default_rng(seed)
    e, number, asymmetry = grid()
    cumulative = np.cumsum(number)
    energy = np.interp(rng.random(3 * n), cumulative / cumulative[-1], e)
    time = START + rng.exponential(LIFETIME, 3 * n)
    wiggle = 1 + np.interp(energy, e, asymmetry) * np.cos(OMEGA * time - PHASE)
    kept = np.flatnonzero(2 * rng.random(3 * n) < wiggle)[:n]
    zero, whole = np.zeros(kept.size), np.arange(kept.size)
    return Clusters(whole // 2000, whole % 24, energy[kept], time[kept], zero, zero, whole * 0 + 1, zero + 1.0)


def gain() -> float:
    """Error of the A method over that of the T method, from the closed forms."""
    e, number, asymmetry = grid()
    threshold = error_of_weight(e, number, asymmetry, above(1.7)(e))
    return error_of_weight(e, number, asymmetry, closed_form_asymmetry(GAMMA)(e)) / threshold


def test_weighting_with_the_asymmetry_gains_about_a_tenth() -> None:
    assert 0.86 < gain() < 0.92


def test_no_weight_is_better_than_the_asymmetry() -> None:
    e, number, asymmetry = grid()
    best = error_of_weight(e, number, asymmetry, asymmetry)
    # A variance with a wiggle of its own takes some percent off.
    assert best == pytest.approx(math.sqrt(2 / (np.sum(number * asymmetry**2) / np.sum(number))), rel=0.06)
    for power in (0.4, 2.5):
        assert error_of_weight(e, number, asymmetry, np.sign(asymmetry) * np.abs(asymmetry) ** power) > best
    # For the T method with threshold t: sqrt(2) / (A sqrt(share)).
    share = number[e >= 1.7].sum() / number.sum()
    mean = (number * asymmetry)[e >= 1.7].sum() / number[e >= 1.7].sum()
    wiggle = (1 - math.sqrt(1 - mean**2)) / mean**2
    found = error_of_weight(e, number, asymmetry, above(1.7)(e))
    assert found == pytest.approx(1 / math.sqrt(share * wiggle) / mean, rel=1e-3)


def test_fits_of_toys_have_normal_pulls_and_errors_in_the_ratio_of_the_closed_form() -> None:
    pulls: dict[Method, list[float]] = {Method.T: [], Method.A: []}
    ratios = []
    for seed in range(12):
        clusters = toy(60_000, seed)
        errors = {}
        for method, found in pulls.items():
            data = event_histogram(clusters, method=method, start=START, stop=STOP, seed=seed).total
            fit = fit_wiggle(data)
            assert fit.valid
            assert fit.probability > 1e-4
            found.append(fit.r_ppm[0] / fit.r_ppm[1])
            errors[method] = fit.r_ppm[1]
        ratios.append(errors[Method.A] / errors[Method.T])
    # Errors follow the counts; of the ratio's some 1/sqrt(N) = 1 % most is common.
    assert np.mean(ratios) == pytest.approx(gain(), abs=0.01)
    for found in pulls.values():
        assert abs(np.mean(found)) < 3.5 / math.sqrt(12)
        assert np.std(found, ddof=1) == pytest.approx(1.0, abs=3.5 / math.sqrt(2 * 11))


def test_the_sum_is_that_of_the_calorimeters_and_counts_have_no_variance_of_their_own() -> None:
    clusters = toy(20_000, 20)
    for method, settings in (
        (Method.T, None),
        (Method.A, None),
        (Method.T, PileupSettings()),
        (Method.A, PileupSettings()),
    ):
        made = event_histogram(clusters, method=method, start=START, stop=STOP, pileup=settings)
        np.testing.assert_allclose(sum(one.counts for one in made.calorimeters), made.total.counts, atol=1e-9)
        assert (made.total.variance is None) == (method is Method.T and settings is None)
    counted = event_histogram(clusters, start=START, stop=STOP).total
    assert counted.positrons == (counted.counts.sum())


def test_pileup_is_subtracted_from_the_histograms_with_its_variance() -> None:
    rng = np.random.default_rng(21)
    n = 300_000
    group, zero = rng.integers(0, 24 * 60, n), np.zeros(n)
    # 208 positrons a calorimeter and fill: four times the experiment's.
    energy = rng.uniform(0.3, 2.9, n)
    time = START + rng.exponential(LIFETIME, n)
    clusters = Clusters(group // 24, group % 24, energy, time, zero, zero, np.ones(n, np.int64), zero + 1.0)
    corrected = event_histogram(clusters, start=START, stop=STOP, pileup=PileupSettings()).total
    assert corrected.variance is not None
    true = ((energy >= 1.7) & (time < STOP)).sum()
    assert corrected.counts.sum() == pytest.approx(true, abs=5e-4 * n)
    ratio = corrected.variance.sum() / corrected.counts.sum()
    assert 1.0 < ratio < 1.03


def test_smooth_variance_is_that_expected() -> None:
    rng = np.random.default_rng(22)
    edges = wiggle_edges(START, STOP, 149.2e-9)
    t = 0.5 * (edges[1:] + edges[:-1])
    for noise in (0.0, 40.0):
        expected = 500 * np.exp(-(t - START) / LIFETIME) * (1 + 0.5 * np.cos(OMEGA * t - 1.0)) + noise
        found = smooth_variance(rng.poisson(expected), edges, noise=True)
        np.testing.assert_allclose(found, expected, rtol=0.15, atol=3.0)
        assert np.all(found > 0)


def test_asymmetry_of_energies_is_that_of_the_decay() -> None:
    e, number, asymmetry = grid()
    edges = np.array([0.3, 0.8, 1.2, 1.7, 2.2, 2.6, 3.0])
    found = energy_bins(toy(400_000, 23), edges, start=START, stop=STOP)
    for k in range(edges.size - 1):
        inside = (e >= edges[k]) & (e < edges[k + 1])
        expected = np.sum((number * asymmetry)[inside]) / np.sum(number[inside])
        assert abs(found.asymmetry[k] - expected) < 4 * found.asymmetry_error[k]
        # Least error of an amplitude: sqrt(2 / n).
        assert found.asymmetry_error[k] == pytest.approx(math.sqrt(2 / found.number[k]), rel=0.15)
    seen = ~np.isnan(found.phase)
    assert np.all(np.abs(found.phase[seen]) < 4 * found.phase_error[seen])


def test_weight_of_the_asymmetry_method_ends_with_its_range() -> None:
    weight = closed_form_asymmetry(GAMMA)
    np.testing.assert_array_equal(weight(np.array([0.5, A_RANGE[0] - 1e-6, A_RANGE[1], 3.5])), 0.0)
    assert weight(np.array([1.2]))[0] < 0 < weight(np.array([1.4]))[0]


def histogram(rng: np.random.Generator, energies: dict[int, float], area_counts: float, noise: float) -> np.ndarray:
    """Q-method histogram of 54 crystals with energies [GeV] in some bins of crystal 5."""
    counts = rng.normal(60 * 1750.0, noise, (54, 400))
    for place, energy in energies.items():
        counts[5, place] -= energy * area_counts
    return np.rint(counts).astype(np.int32)


def test_bins_are_measured_from_a_pedestal_without_pulses() -> None:
    noise = 31.0
    counts = histogram(np.random.default_rng(24), {100: 1.0, 103: 2.0, 250: 0.02}, 2000.0, noise)
    found = bin_energies(counts, noise)
    assert np.flatnonzero(found[5]).tolist() == [100, 103]
    # Noise of the bin and of 15 bins of pedestal.
    np.testing.assert_allclose(found[5, [100, 103]], [2000, 4000], atol=4 * noise * math.sqrt(1 + 1 / 15))
    # 21600 bins beyond five standard deviations (4.85 of the bin's own): 0.01 expected.
    assert np.count_nonzero(found) == 2


def test_slow_pedestals_are_followed() -> None:
    counts = histogram(np.random.default_rng(25), {200: 1.0}, 2000.0, 31.0) - np.arange(400, dtype=np.int32) * 20
    found = bin_energies(counts, 31.0)
    assert np.flatnonzero(found[5]).tolist() == [200]
    assert found[5, 200] == pytest.approx(2000, abs=150)


def test_area_of_a_pulse_is_the_sum_of_its_samples() -> None:
    from detectors.sipm import SipmSettings, pulse_shape

    sipm = SipmSettings()
    known = Calibration(np.full((24, 54), 600.0), sipm.rise_time, sipm.fall_time)
    phases = np.arange(50) / 50  # of the pulse between samples: a single sum is within 3 % of the mean
    samples = [pulse_shape((np.arange(60) - start) * known.sample_period).sum() for start in phases]
    assert np.mean(samples) == pytest.approx(pulse_area(known)[3, 7], rel=1e-6)


def write_q_run(path: Path, known: Calibration, flushes: int, seed: int, laser: bool = False) -> float:
    """Raw file of fills with Q-method histograms of random energies; returns the energy between 30 and 90 us [GeV]."""
    rng = np.random.default_rng(seed)
    bins, samples_per_bin = 1400, 60
    counts_per_gev = known.counts_per_gev[0, 0] * pulse_area(known)[0, 0]
    noise = 4.0 * math.sqrt(samples_per_bin)
    tree = run_tree(1, 0, 1_500_000_000, Readout(calo_sum=False), {"calibration": known.as_tree()})
    centre = (np.arange(bins) + 0.5) * samples_per_bin * known.sample_period - known.zero_sample * known.sample_period
    inside = (centre > 30e-6) & (centre < 90e-6)
    total = 0.0
    empty = np.zeros(0, np.int32)
    with RunWriter(path, 1, 0, tree) as writer:
        for fill in range(flushes):
            crates = []
            for _ in range(24):
                energy = np.where(
                    rng.random(bins) < 0.1 * np.exp(-np.maximum(centre, 0) / LIFETIME), rng.uniform(0.8, 3.0, bins), 0
                )
                total += energy[inside].sum()
                counts = rng.normal(samples_per_bin * 1750.0, noise, (54, bins))
                counts[7] -= energy * counts_per_gev
                counts[:, 700] -= 2.0 * counts_per_gev * laser
                record = HistogramRecord(np.rint(counts).astype(np.int32), samples_per_bin)
                crates.append(
                    CalorimeterRecord(
                        empty, empty, np.zeros(0, np.int16), np.full(54, 1750, np.float32), q_histogram=record
                    )
                )
            writer.write_fill(FillRecord(fill, fill + 1, 1_500_000_001, 0, fill, tuple(crates)))
    return total


def test_energy_of_the_q_method_is_what_was_put_in_and_its_variance_is_the_scatter(tmp_path: Path) -> None:
    known = Calibration(np.full((24, 54), 600.0), 0.846e-9, 1.6e-9)
    true = write_q_run(tmp_path / "q.mid", known, 2, 26)
    made = energy_histogram(tmp_path / "q.mid", start=30e-6, stop=90e-6)
    assert made.total.variance is not None
    assert made.total.counts.sum() == pytest.approx(true, rel=0.01)
    # Of a Poisson number of energies from 0.8 to 3 GeV: the sum of their squares, less noise and the chance of two.
    squares = made.total.counts.sum() * np.mean(np.linspace(0.8, 3.0, 500) ** 2) / 1.9
    assert made.total.variance.sum() == pytest.approx(squares, rel=0.12)
    np.testing.assert_allclose(sum(one.counts for one in made.calorimeters), made.total.counts)
    assert np.diff(made.total.edges)[0] == pytest.approx(150e-9)


def test_a_pulse_of_the_laser_is_no_energy_of_positrons(tmp_path: Path) -> None:
    known = Calibration(np.full((24, 54), 600.0), 0.846e-9, 1.6e-9)
    sums = []
    for name, laser in (("off", False), ("on", True)):
        write_q_run(tmp_path / f"{name}.mid", known, 1, 27, laser)
        sums.append(energy_histogram(tmp_path / f"{name}.mid", start=30e-6, stop=90e-6).total.counts)
    # The bin of the pulse is left out; the same random numbers make all others equal.
    changed = np.flatnonzero(np.abs(sums[0] - sums[1]) > 0.5)
    assert changed.size <= 1
    assert np.all(sums[1][changed] < sums[0][changed])


def test_a_file_without_q_histograms_is_refused(tmp_path: Path) -> None:
    known = Calibration(np.full((24, 54), 600.0), 0.846e-9, 1.6e-9)
    tree = run_tree(1, 0, 1_500_000_000, Readout(histogram=False, calo_sum=False), {"calibration": known.as_tree()})
    with RunWriter(tmp_path / "none.mid", 1, 0, tree) as writer:
        writer.write_fill(FillRecord(0, 1, 1_500_000_001, 0, 0, ()))
    with pytest.raises(ValueError, match="no Q-method histogram"):
        energy_histogram(tmp_path / "none.mid")


def test_weighted_positrons_are_counted_by_their_effect() -> None:
    data = WiggleHistogram(np.full(10, 30.0), np.arange(11.0), np.full(10, 90.0))
    assert data.positrons == pytest.approx(300**2 / 900)


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--method X is not known: choose T, A or Q"):
        named_method("X")
    assert named_method("a") is Method.A
    with pytest.raises(ConfigError, match="--pileup has nothing to act on"):
        analyse(tmp_path, method="Q", pileup=True)
    with pytest.raises(ValueError, match="the Q method has no clusters"):
        event_histogram(Clusters.empty(), method=Method.Q)
    with pytest.raises(ValueError, match="window = 0 is out of bounds"):
        QSettings(window=0)
    with pytest.raises(ValueError, match="threshold = 0 is out of bounds"):
        QSettings(threshold=0.0)
