"""Rest-frame sampling and lab closed forms of the muon decay."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from decay import michel
from tracking.muon import MASS, POSITRON_MASS

GAMMA = 29.3


def rate(x: float) -> float:
    p = math.sqrt(max(x**2 - michel.X0**2, 0.0))
    return p * (3 * x - 2 * x**2 - michel.X0**2)


def test_end_point_follows_from_two_body_kinematics():
    # W + (momentum of the massless recoil) = m: W = m - sqrt(W^2 - m_e^2).
    recoil = math.sqrt(michel.ENERGY_END**2 - POSITRON_MASS**2)
    assert michel.ENERGY_END + recoil == pytest.approx(MASS, rel=1e-15)


@pytest.mark.parametrize("x", [0.01, 0.02, 0.1, 0.5, 0.9, 1.0])
def test_cumulative_is_the_integral_of_the_rate(x):
    integral, error = quad(rate, michel.X0, x, epsabs=1e-13, epsrel=1e-12)
    assert michel.cumulative(math.sqrt(x**2 - michel.X0**2)) == pytest.approx(integral, abs=error + 1e-13)


@settings(deadline=None)  # the first call compiles
@given(st.floats(min_value=1e-12, max_value=1.0 - 1e-12))
def test_sampled_energy_inverts_the_distribution(u):
    x, p = michel.sample_energy(u)
    # Rounding of the terms of the distribution function (order 1) over its total, 1/2.
    end = math.sqrt(1 - michel.X0**2)
    assert michel.cumulative(p) / michel.cumulative(end) == pytest.approx(u, abs=2e-15)
    assert x == pytest.approx(math.hypot(p, michel.X0), rel=1e-15)


@settings(deadline=None)  # the first call compiles
@given(st.floats(min_value=-1.0, max_value=1.0), st.floats(min_value=1e-15, max_value=1.0 - 1e-15))
def test_sampled_cosine_inverts_the_linear_distribution(a, v):
    c = michel.sample_cosine(a, v)
    # At a = -1, v = 1 (a = 1, v = 0) the root turns: c keeps half of the digits, its distribution all.
    assert (c + 1) / 2 + a * (c**2 - 1) / 4 == pytest.approx(v, abs=4e-15)
    assert abs(c) <= 1 + 4e-15


def test_asymmetry_is_one_at_the_end_point_and_the_rate_never_negative():
    end = math.sqrt(1 - michel.X0**2)
    # At x = 1 the rate is 1 - x0^2 and the polarised part sqrt(1 - x0^2)^2: exactly full polarisation.
    assert michel.rest_asymmetry(1.0, end) == pytest.approx(1.0, abs=1e-15)
    for x in np.linspace(michel.X0 + 1e-6, 1.0, 1001):
        assert abs(michel.rest_asymmetry(x, math.sqrt(x**2 - michel.X0**2))) <= 1 + 1e-15


def test_lab_spectrum_is_a_density_with_the_mean_energy_of_the_boost():
    end = michel.lab_energy_end(GAMMA)
    knots = [POSITRON_MASS, GAMMA * POSITRON_MASS, 0.05, 0.5, 1.5, 3.0, end]

    def moment(power: int, which: int) -> float:
        return sum(
            quad(lambda e: e**power * float(michel.lab_spectrum(e, GAMMA)[which]), a, b, epsabs=1e-12)[0]
            for a, b in pairwise(knots)
        )

    total = michel.cumulative(math.sqrt(1 - michel.X0**2))
    mean_x = quad(lambda x: x * rate(x), michel.X0, 1)[0] / total
    assert moment(0, 0) == pytest.approx(1.0, abs=1e-9)
    assert moment(0, 1) == pytest.approx(0.0, abs=1e-9)
    # E = gamma (E* + beta p* cos): unpolarised mean gamma <E*>, asymmetric mean gamma beta <p* a> / 3.
    assert moment(1, 0) == pytest.approx(GAMMA * michel.ENERGY_END * mean_x, rel=1e-8)

    def weighted(x: float) -> float:
        p = math.sqrt(x**2 - michel.X0**2)
        return p * rate(x) * michel.rest_asymmetry(x, p)

    mean_pa = quad(weighted, michel.X0 + 1e-12, 1)[0] / total
    boosted = math.sqrt(GAMMA**2 - 1) * michel.ENERGY_END * mean_pa / 3
    assert moment(1, 1) == pytest.approx(boosted, rel=1e-7)


def test_lab_spectrum_tends_to_the_massless_forms():
    # Corrections are of order 1/gamma^2 = 1.2e-3 and x0^2/y = 2e-3 at y = 0.05, both times numbers below 1.
    end = michel.lab_energy_end(GAMMA)
    y = np.linspace(0.05, 0.98, 50)
    n, na = michel.lab_spectrum(y * end, GAMMA)
    np.testing.assert_allclose(n * end, michel.number(y), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(na / n, michel.asymmetry(y), atol=2e-3)


def test_massless_asymmetry_crosses_zero_at_1_31_gev():
    zero = (1 + math.sqrt(33)) / 16
    assert michel.asymmetry(zero) == pytest.approx(0.0, abs=1e-15)
    assert michel.asymmetry(1.0) == pytest.approx(1.0)
    assert zero * michel.lab_energy_end(29.3034) == pytest.approx(1.31, abs=0.01)
