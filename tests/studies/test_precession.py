"""What a fit makes of a drifting phase, and errors by leaving out parts."""

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit

from gm2sim.studies.precession import (
    FIT_START,
    FIT_STOP,
    controlled_mean,
    fit_times,
    fitted_shift,
    jackknife,
    jackknife_sums,
)

LIFETIME, OMEGA = 64.4e-6, 2 * math.pi * 0.2291e6


def drifting(t: np.ndarray) -> np.ndarray:
    """A phase like that of Run-1: it settles with 60 us and drifts on [rad]."""
    return 1e-3 * np.exp(-(t - FIT_START) / 60e-6) + 0.5 * (t - FIT_START)


def test_constant_drift_is_all_taken_for_frequency() -> None:
    times = fit_times()
    assert fitted_shift(times, 0.3 + 12.0 * times, LIFETIME) == pytest.approx(-12.0, rel=1e-12)


def test_fitted_shift_is_that_of_the_five_parameter_fit() -> None:
    t = np.arange(FIT_START, FIT_STOP, 149.2e-9)

    def counts(t: np.ndarray, n0: float, tau: float, a: float, shift: float, phi: np.ndarray | float) -> np.ndarray:
        scale = np.exp(-(t - FIT_START) / tau)
        return n0 * scale * (1 + a * np.cos(OMEGA * t + shift * t - phi))

    weight = np.sqrt(np.exp(-(t - FIT_START) / LIFETIME))
    data = counts(t, 1.0, LIFETIME, 0.37, 0.0, 2.0 + drifting(t))
    found, _ = curve_fit(counts, t, data, p0=(1.0, LIFETIME, 0.37, 0.0, 2.0), sigma=weight)
    wanted = fitted_shift(t, drifting(t), LIFETIME)
    # The weights of the fit hold 1/[1 + A cos], whose square averages over a period to 1/sqrt(1 - A^2)-like
    # factors common to numerator and denominator; what is left beats with omega_a: 1/(omega_a tau) = 1 %.
    assert found[3] == pytest.approx(wanted, rel=0.02)


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 4000)
    value, error = jackknife(lambda which: values[which].mean(), values.size)
    assert value == values.mean()
    # 40 parts know the error to 1/sqrt(2 * 39).
    assert error == pytest.approx(2.0 / math.sqrt(4000), rel=4 / math.sqrt(78))


def test_jackknife_of_sums_is_that_of_the_muons() -> None:
    vectors = np.exp(1j * np.random.default_rng(2).normal(1.0, 0.1, 4000))
    value, error = jackknife(lambda which: float(np.angle(vectors[which].sum())), 4000)
    sum_value, sum_error = jackknife_sums(np.angle, vectors.reshape(40, 100).sum(axis=1))
    assert sum_value == pytest.approx(value, rel=1e-12)
    assert sum_error == pytest.approx(error, rel=1e-9)


def test_controlled_mean_is_unbiased_and_sharper() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0.0, 1.0, 20_000)
    tracked = x[:500] ** 2 + 0.01 * x[:500]
    value, error = controlled_mean(tracked, x[:500] ** 2, x**2)
    assert error < 0.25 * tracked.std() / math.sqrt(500)
    assert abs(value - 1.0) < 4 * error
