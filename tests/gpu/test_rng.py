"""Random numbers: published known answers, the layout of key and counter, and the distributions.

Statistical tests have fixed seeds. Each asks for a probability above 1e-3: a right generator fails one seed in
a thousand, and not the seed here.
"""

import math

import numpy as np
import pytest
from scipy import stats

from gpu import rng
from gpu.kernel import Kernel

KEY = rng.FillKey(seed=20, run=15, subrun=3, fill=8)
PARTICLES = 2**31 + np.arange(20).reshape(4, 5)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        # kat_vectors of Random123 1.14.0 (D. E. Shaw Research), lines "philox4x32 10"
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, answer):
    words = [int(word, 16) for word in f"{counter} {key}".split()]
    expected = [int(word, 16) for word in answer.split()]
    assert list(rng.philox4x32(*words)) == expected
    assert list(rng.philox4x32.py_func(*words)) == expected


def test_key_and_counter_have_the_documented_layout():
    seed, run, subrun, fill, stage, particle, draw = 0xA1B2C3D4, 0x123456, 77, 88, 0xAB, 2**32 - 1, 99
    a, b, c, d = rng.philox4x32(draw, particle, fill, subrun, seed, run << 8 | stage)
    u = ((a << 20 | b >> 12) + 0.5) / 2.0**52
    v = ((c << 20 | d >> 12) + 0.5) / 2.0**52
    assert rng.uniform2(seed, run, subrun, fill, stage, particle, draw) == (u, v)
    assert rng.uniform2.py_func(seed, run, subrun, fill, stage, particle, draw) == (u, v)


def test_stage_numbers_are_never_renumbered():
    assert {stage.name: stage.value for stage in rng.Stage} == {
        "BEAM": 1,
        "DECAY_TIME": 2,
        "DECAY_KINEMATICS": 3,
        "SCATTERING": 4,
        "SHOWER": 5,
        "PHOTOSTATISTICS": 6,
        "NOISE": 7,
        "PEDESTAL": 8,
        "FILL": 9,
        "MUON_SCATTERING": 10,
        "RESAMPLING": 11,
        "ALBEDO": 13,
        "COMMON_NOISE": 14,
        "LASER": 15,
        "STRAW_SCATTERING": 20,
        "STRAW_CLUSTERS": 21,
        "STRAW_DRIFT": 22,
        "STRAW_CROSSTALK": 23,
        "STRAW_NOISE": 24,
        "STRAW_CONSTANTS": 25,
        "MONITOR": 30,
        "HARP_SCATTERING": 31,
        "AMERICIUM": 40,
        "FAULTS": 41,
        "RANDOMISATION": 64,
    }


def test_arrays_hold_the_numbers_of_the_scalar_functions():
    u = rng.uniforms(KEY, rng.Stage.BEAM, PARTICLES, draw=4)
    g = rng.normals(KEY, rng.Stage.BEAM, PARTICLES, draw=4)
    assert u.shape == g.shape == (2, 4, 5)
    for place in np.ndindex(PARTICLES.shape):
        arguments = (*KEY, 1, int(PARTICLES[place]), 4)
        assert tuple(u[:, *place]) == rng.uniform2(*arguments)
        # vector and scalar code may contract different multiply-adds: a few units in the last place
        np.testing.assert_allclose(g[:, *place], rng.normal2(*arguments), rtol=2e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 2**32}, "seed = 4294967296 is out of bounds: give 0 to 4294967295"),
        ({"run": 2**24}, "run = 16777216 is out of bounds"),
        ({"fill": -1}, "fill = -1 is out of bounds"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        rng.uniforms(KEY._replace(**change), rng.Stage.BEAM, [0])


def test_uniform_numbers_are_uniform():
    u, v = rng.uniforms(KEY, rng.Stage.DECAY_TIME, np.arange(100_000))
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(v, "uniform").pvalue > 1e-3
    # the low bits too: the last 8 of 52
    for numbers in (u, v):
        low = (numbers * 2.0**52).astype(np.int64) & 255
        assert stats.chisquare(np.bincount(low, minlength=256)).pvalue > 1e-3


def test_normal_numbers_are_normal_and_independent():
    g, h = rng.normals(KEY, rng.Stage.NOISE, np.arange(100_000))
    assert stats.kstest(g, "norm").pvalue > 1e-3
    assert stats.kstest(h, "norm").pvalue > 1e-3
    assert stats.kstest(g**2 + h**2, stats.chi2(2).cdf).pvalue > 1e-3
    # kurtosis 3 within 4 sigma = 4 sqrt(24/n)
    assert abs(stats.kurtosis(np.concatenate([g, h]))) < 4 * math.sqrt(24 / 200_000)


@pytest.mark.parametrize("other", ["draw", "particle", "fill", "subrun", "run", "seed", "stage"])
def test_streams_that_differ_in_one_number_are_independent(other):
    particles = np.arange(40_000)
    first, _ = rng.uniforms(KEY, rng.Stage.BEAM, particles)
    if other == "draw":
        second, _ = rng.uniforms(KEY, rng.Stage.BEAM, particles, draw=1)
    elif other == "particle":
        second, _ = rng.uniforms(KEY, rng.Stage.BEAM, particles + 1)
    elif other == "stage":
        second, _ = rng.uniforms(KEY, rng.Stage.DECAY_TIME, particles)
    else:
        changed = KEY._replace(**{other: getattr(KEY, other) + 1})
        second, _ = rng.uniforms(changed, rng.Stage.BEAM, particles)
    counts, *_ = np.histogram2d(first, second, bins=20, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3
    # correlation below 4 / sqrt(n)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(particles.size)


def test_switching_a_stage_off_leaves_the_others_as_they_were():
    before = rng.uniforms(KEY, rng.Stage.SHOWER, np.arange(10))
    rng.uniforms(KEY, rng.Stage.SCATTERING, np.arange(10))
    assert np.array_equal(before, rng.uniforms(KEY, rng.Stage.SHOWER, np.arange(10)))


@Kernel
def draw_exponential(i, out):
    out[i] = rng.exponential(1, 2, 3, 4, 5, i, 6)


@Kernel
def draw_poisson(i, out, mean):
    out[i] = rng.poisson(1, 2, 3, 4, 5, i, 6, mean)


@Kernel
def fill_log_factorial(i, out):
    out[i] = rng.log_factorial(float(i))


def test_exponential_numbers_are_exponential():
    x = np.empty(100_000)
    draw_exponential(x.size, x)
    assert stats.kstest(x, "expon").pvalue > 1e-3


@pytest.mark.parametrize("mean", [0.01, 0.5, 3.0, 9.99, 10.0, 10.01, 35.0, 1000.0, 1e6])
def test_poisson_numbers_follow_the_poisson_law(mean):
    n = 200_000
    numbers = np.empty(n, dtype=np.int64)
    draw_poisson(n, numbers, mean)
    law = stats.poisson(mean)
    # bins of about equal probability, none with less than about 20 expected
    edges = np.unique(law.ppf(np.linspace(1e-4, 1 - 1e-4, 60)))
    index = np.searchsorted(edges, numbers)
    cumulative = np.concatenate([[0.0], law.cdf(edges), [1.0]])
    expected, seen = n * np.diff(cumulative), np.bincount(index, minlength=edges.size + 1)
    used = expected > 5.0
    expected, seen = (
        np.append(expected[used], expected[~used].sum()),
        np.append(seen[used], seen[~used].sum()),
    )
    if expected[-1] < 1.0:
        expected, seen = expected[:-1], seen[:-1]
    assert stats.chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 1e-3
    # mean and variance within 4 standard errors; the variance of the variance is (mean + 2 mean^2) / n
    assert abs(numbers.mean() - mean) < 4 * math.sqrt(mean / n)
    assert abs(numbers.var() - mean) < 4 * math.sqrt((mean + 2 * mean**2) / n)


def test_poisson_of_no_mean_is_zero_and_of_a_large_one_near_it():
    assert [rng.poisson(1, 2, 3, 4, 5, 6, 0, mean) for mean in (0.0, -1.0, math.nan)] == [0, 0, 0]
    # 6 standard deviations of the largest mean that is promised
    assert abs(rng.poisson(1, 2, 3, 4, 5, 6, 0, 1e9) - 1e9) < 6 * math.sqrt(1e9)


def test_log_factorial_agrees_with_the_gamma_function():
    out = np.empty(2000)
    fill_log_factorial(out.size, out)
    exact = np.array([math.lgamma(k + 1.0) for k in range(out.size)])
    # the first term left out of the series, 691/360360/8^11 = 2.2e-13, and two roundings
    np.testing.assert_allclose(out, exact, rtol=5e-16, atol=3e-13)
