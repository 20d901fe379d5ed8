"""The wiggle fit against toy histograms whose parameters are known."""

import math

import numpy as np
import pytest

from gm2sim import wiggle

TRUTH = {"tau_us": 64.4, "asymmetry": 0.37, "r_ppm": -25.0, "phase_rad": 2.08}


def toy(seed: int, positrons: float, start: float = 30.2876e-6, cbo: float = 0.0) -> wiggle.WiggleHistogram:
    """Poisson counts drawn from the density integrated by a fine midpoint sum, not by the fitted function."""
    edges = start + wiggle.BIN_WIDTH * np.arange(math.floor((650e-6 - start) / wiggle.BIN_WIDTH) + 1)
    sub = (np.arange(16) + 0.5) / 16 * wiggle.BIN_WIDTH
    t = edges[:-1, None] + sub
    omega = 2 * math.pi * wiggle.REFERENCE_FREQUENCY * (1 + 1e-6 * TRUTH["r_ppm"])
    density = np.exp(-t / 64.4e-6) * (1 + 0.37 * np.cos(omega * t - 2.08))
    density *= 1 + cbo * np.exp(-t / 180e-6) * np.cos(2 * math.pi * 372e3 * t - 1.0)
    mean = density.mean(axis=1)
    rng = np.random.default_rng(seed)
    return wiggle.WiggleHistogram(rng.poisson(mean * positrons / mean.sum()).astype(float), edges)


def test_pulls_of_the_five_parameters_are_standard_normal() -> None:
    seeds = 24
    pulls = []
    for seed in range(seeds):
        fit = wiggle.fit_wiggle(toy(seed, 2e5))
        assert fit.valid
        pulls.append([(fit[name][0] - true) / fit[name][1] for name, true in TRUTH.items()])
    values = np.array(pulls)
    # Four means of 24 pulls: 3.5/sqrt(24) is passed with 0.998; a spread of 24 has error 0.147.
    assert np.all(np.abs(values.mean(axis=0)) < 3.5 / math.sqrt(seeds))
    assert np.all(np.abs(values.std(axis=0, ddof=1) - 1) < 3.5 * 0.147)


def test_error_of_omega_a_is_the_analytic_one() -> None:
    fit = wiggle.fit_wiggle(toy(3, 1e6))
    omega, error = fit.omega_a
    expected = math.sqrt(2) / (0.37 * 64.4e-6 * math.sqrt(fit.positrons))
    # First order in A: A^2/2 = 7 % of asymmetric weight and the stop at 650 us change it by a few percent.
    assert error == pytest.approx(expected, rel=0.1)
    assert abs(omega / (2 * math.pi * 0.2291e6 * (1 - 25e-6)) - 1) < 4 * error / omega
    assert error / omega * 1e6 == pytest.approx(fit.r_ppm[1], rel=1e-4)


def test_chi_square_is_sane_with_many_and_with_few_positrons_per_bin() -> None:
    for positrons in (3e6, 4e3):
        fit = wiggle.fit_wiggle(toy(11, positrons))
        assert abs(fit.chi2 - fit.ndf) < 4 * math.sqrt(2 * fit.ndf)
        assert 1e-4 < fit.probability < 1 - 1e-4


def test_cbo_is_found_and_no_longer_spoils_the_fit() -> None:
    data = toy(5, 5e6, cbo=0.01)
    five = wiggle.fit_wiggle(data)
    nine = wiggle.fit_wiggle(data, cbo_frequency=374e3)
    assert nine.valid
    cbo = {"cbo_amplitude": 0.01, "cbo_tau_us": 180.0, "cbo_khz": 372.0, "cbo_phase_rad": 1.0}
    for name, true in (TRUTH | cbo).items():
        value, error = nine[name]
        assert abs(value - true) < 4 * error, name
    # An amplitude of 0.01 adds N A^2/2 = 250, less the decay of the envelope with 180 us: > 60.
    assert five.chi2 - nine.chi2 > 60
    frequency, amplitude = wiggle.residual_spectrum(data, five)
    assert frequency[np.argmax(amplitude)] == pytest.approx(372e3, abs=3e3)
    _, clean = wiggle.residual_spectrum(data, nine)
    assert np.mean(clean**2) == pytest.approx(1.0, abs=5 / math.sqrt(len(clean)))


def test_cbo_that_is_not_there_is_not_fitted() -> None:
    for seed in range(4):
        fit = wiggle.fit_wiggle(toy(seed, 3e5), cbo_frequency=372e3)
        assert fit.names == wiggle.FIVE
        assert fit.valid


def test_histogram_keeps_whole_bins_and_energies_in_range() -> None:
    time = np.array([29.9e-6, 30.05e-6, 30.2e-6, 30.4e-6, 30.44e-6, 31e-6])
    energy = np.array([2.0, 1.7, 1.69, 3.3, 2.0, 2.0])
    data = wiggle.histogram(time, energy, ceiling=3.2, start=30e-6, stop=30.45e-6)
    assert len(data.counts) == 3  # 3 x 149.2 ns = 447.6 ns
    np.testing.assert_array_equal(data.counts, [1, 0, 1])


def test_standard_range_has_the_published_number_of_bins() -> None:
    assert len(wiggle.histogram([], []).counts) == 4154


def test_time_randomisation_is_uniform_over_one_period_and_belongs_to_the_fill() -> None:
    n = 40_000
    fill = np.repeat(np.arange(40), n // 40)
    moved = wiggle.randomise_times(np.zeros(n), fill, seed=9)
    half = wiggle.BIN_WIDTH / 2
    assert np.all(np.abs(moved) < half)
    # Uniform of full width w: mean error w/sqrt(12 n), variance w^2/12 with relative error sqrt(0.8/n).
    assert abs(moved.mean()) < 4 * 2 * half / math.sqrt(12 * n)
    assert moved.var() == pytest.approx(half**2 / 3, rel=4 * math.sqrt(0.8 / n))
    some = (fill == 7) | (fill == 31)
    np.testing.assert_array_equal(wiggle.randomise_times(np.zeros(n)[some], fill[some], seed=9), moved[some])
    assert not np.any(wiggle.randomise_times(np.zeros(n), fill, seed=10) == moved)


def test_too_few_positrons_are_refused_in_one_sentence() -> None:
    with pytest.raises(ValueError, match="too few for a wiggle fit"):
        wiggle.fit_wiggle(wiggle.histogram([40e-6], [2.0]))


def test_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="give a later stop"):
        wiggle.histogram([], [], start=30e-6, stop=30.1e-6)
