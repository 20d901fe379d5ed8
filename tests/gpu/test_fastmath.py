"""Elementary functions against 64-bit-mantissa arithmetic, in units of the last place (ulp) of the result."""

import math

import numpy as np
import pytest

from gpu import fastmath
from gpu.kernel import Kernel

N = 200_000
EXTENDED = np.longdouble

needs_extended = pytest.mark.skipif(
    np.finfo(EXTENDED).nmant < 63, reason="numpy's long double is no wider than a double here"
)


@Kernel
def fill_sincos(i, x, s, c):
    s[i], c[i] = fastmath.sincos(x[i])


@Kernel
def fill_log(i, x, out):
    out[i] = fastmath.log(x[i])


@Kernel
def fill_exp(i, x, out):
    out[i] = fastmath.exp(x[i])


@Kernel
def fill_atan2(i, y, x, out):
    out[i] = fastmath.atan2(y[i], x[i])


def run(kernel, *inputs, outputs=1):
    results = np.empty((outputs, inputs[0].size))
    kernel(inputs[0].size, *inputs, *results)
    return results


def worst_ulp(values, exact):
    spacing = np.spacing(np.maximum(np.abs(exact.astype(float)), np.finfo(float).tiny))
    return float(np.max(np.abs((values.astype(EXTENDED) - exact) / spacing)))


@needs_extended
@pytest.mark.parametrize("limit", [0.8, 10.0, 1e3, 1e6])
def test_sincos_is_good_to_one_ulp_below_a_million(limit):
    x = np.random.default_rng(1).uniform(-limit, limit, N)
    s, c = run(fill_sincos, x, outputs=2)
    assert worst_ulp(s, np.sin(x.astype(EXTENDED))) < 1.0
    assert worst_ulp(c, np.cos(x.astype(EXTENDED))) < 1.0


@needs_extended
def test_sincos_is_good_to_a_little_over_one_ulp_beside_multiples_of_a_quarter_turn():
    x = np.arange(1, 600_000) * (math.pi / 2)
    s, c = run(fill_sincos, x, outputs=2)
    assert worst_ulp(s, np.sin(x.astype(EXTENDED))) < 1.1
    assert worst_ulp(c, np.cos(x.astype(EXTENDED))) < 1.1


def test_sincos_degrades_as_stated_outside():
    x = np.random.default_rng(2).uniform(-1e9, 1e9, N)
    s, c = run(fill_sincos, x, outputs=2)
    # n pi/2 with n < 2**30 loses 10 bits beyond the 20 that are exact
    np.testing.assert_allclose(s, np.sin(x), atol=1e-12)
    np.testing.assert_allclose(c, np.cos(x), atol=1e-12)
    for bad in (math.nan, math.inf, -math.inf):
        assert np.isnan(run(fill_sincos, np.array([bad]), outputs=2)).all()
    assert run(fill_sincos, np.array([0.0]), outputs=2).ravel().tolist() == [0.0, 1.0]


@needs_extended
def test_log_is_good_to_one_ulp_for_all_normal_numbers():
    generator = np.random.default_rng(3)
    for x in (generator.uniform(0.0, 2.0, N), np.exp(generator.uniform(-708.0, 709.7, N))):
        assert worst_ulp(run(fill_log, x)[0], np.log(x.astype(EXTENDED))) < 1.0
    assert run(fill_log, np.array([1.0]))[0, 0] == 0.0


def test_log_outside_the_normal_numbers_is_as_stated():
    x = np.array([0.0, 1e-310, -1.0, -math.inf, math.inf, math.nan])
    expected = [-math.inf, -math.inf, math.nan, math.nan, math.inf, math.nan]
    np.testing.assert_array_equal(run(fill_log, x)[0], expected)


@needs_extended
def test_exp_is_good_to_one_ulp():
    generator = np.random.default_rng(4)
    for limit in (1.0, 30.0, 708.0):
        x = generator.uniform(-limit, limit, N)
        assert worst_ulp(run(fill_exp, x)[0], np.exp(x.astype(EXTENDED))) < 1.0


def test_exp_at_its_ends_is_as_stated():
    x = np.array([0.0, 709.7, 709.8, 1e300, math.inf, -746.0, -1e300, -math.inf, math.nan])
    expected = [1.0, math.exp(709.7), math.inf, math.inf, math.inf, 0.0, 0.0, 0.0, math.nan]
    # 709.7 is rounded at 2**-44, which the exponential turns into 1.1e-13
    np.testing.assert_allclose(run(fill_exp, x)[0], expected, rtol=2e-13)


@needs_extended
def test_atan2_is_good_to_two_and_a_half_ulp_all_around():
    generator = np.random.default_rng(5)
    angle = generator.uniform(-math.pi, math.pi, N)
    radius = np.exp(generator.uniform(-100.0, 100.0, N))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    exact = np.arctan2(y.astype(EXTENDED), x.astype(EXTENDED))
    assert worst_ulp(run(fill_atan2, y, x)[0], exact) < 2.5


def test_atan2_on_the_axes_is_as_stated():
    y = np.array([0.0, 0.0, 1.0, -1.0, 0.0, math.nan, 1e-300, 1.0])
    x = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 1.0])
    expected = [0.0, math.pi, math.pi / 2, -math.pi / 2, 0.0, math.nan, math.pi, math.pi / 4]
    np.testing.assert_array_equal(run(fill_atan2, y, x)[0], expected)


def test_the_plain_functions_give_the_same_numbers():
    for x in (0.3, 2.5, 11.0):
        np.testing.assert_allclose(fastmath.sincos.py_func(x), (math.sin(x), math.cos(x)), rtol=4e-16)
        assert fastmath.log.py_func(x) == pytest.approx(math.log(x), rel=4e-16)
        assert fastmath.exp.py_func(x) == pytest.approx(math.exp(x), rel=4e-16)
        assert fastmath.atan2.py_func(x, -2.0) == pytest.approx(math.atan2(x, -2.0), rel=4e-16)
