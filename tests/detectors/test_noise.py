"""Single-precision normal numbers against the same formula in double precision."""

import math

import numpy as np

from detectors.noise import NOISE_BOUND, log_single, nearest, nearest_single, noise4, sincos_turn
from gpu.rng import Stage, philox4x32


def test_logarithm_is_good_to_single_precision() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([
        np.float32(2.0) ** -rng.uniform(0, 25, 4000), 1.0 - np.arange(1, 50) * 2.0**-24, [2.0**-25, 1.0]
    ]).astype(np.float32)  # fmt: skip
    found = np.array([log_single(one) for one in x], np.float64)
    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2.5e-7)


def test_rounding_is_that_of_numpy() -> None:
    x = np.concatenate([np.random.default_rng(3).uniform(-4e6, 4e6, 1000), np.arange(-8, 8) * 0.5])
    single = x.astype(np.float32)
    assert np.array_equal([nearest_single(one) for one in single], np.rint(single))
    assert np.array_equal([nearest(one) for one in x], np.rint(x))


def test_sine_and_cosine_of_all_quadrants() -> None:
    rng = np.random.default_rng(2)
    edges = np.array([0, 2**29, -(2**29), 2**30, -(2**30), 2**31 - 1, -(2**31), 3 * 2**29, 2**29 - 1])
    words = np.concatenate([rng.integers(-(2**31), 2**31, 4000), edges]).astype(np.int32)
    angle = 2.0 * math.pi * 2.0**-32 * words.astype(np.float64)
    found = np.array([sincos_turn(word) for word in words])
    # rounding of a 30-bit angle to 24 bits: 5e-8, and of the result
    np.testing.assert_allclose(found, np.transpose([np.sin(angle), np.cos(angle)]), atol=1.5e-7)


def test_noise_is_box_and_muller_of_the_words_of_its_block() -> None:
    largest = 0.0
    for block in range(2000):
        a, b, c, d = philox4x32(block, 77, 3, 2, 1, (5 << 8) | int(Stage.NOISE))
        expected = []
        for radius, turn in ((a, b), (c, d)):
            r = math.sqrt(-2.0 * math.log(((radius >> 8) + 0.5) * 2.0**-24))
            angle = 2.0 * math.pi * 2.0**-32 * turn
            expected += [r * math.cos(angle), r * math.sin(angle)]
        found = noise4(1, 5, 2, 3, 77, block, int(Stage.NOISE))
        np.testing.assert_allclose(found, expected, atol=2e-6)
        largest = max(largest, *np.abs(found))
    assert largest < NOISE_BOUND
