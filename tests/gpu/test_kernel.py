"""Kernels: same numbers for any number of particles and threads, flags that work, clear refusals."""

import math
from typing import NamedTuple

import numba
import numpy as np
import pytest

from gpu import cache, threads
from gpu.fingerprint import fingerprint
from gpu.kernel import Kernel, compiled, read_only, scalar


class Oscillator(NamedTuple):
    x: np.ndarray
    p: np.ndarray


@scalar
def turn(x, p, c, s):
    return c * x + s * p, c * p - s * x


@Kernel
def rotate(i, particles, angles, scale):
    """Rotate phase space by an angle from a table."""
    c, s = math.cos(angles[i % 3]), math.sin(angles[i % 3])
    x, p = turn(particles.x[i], particles.p[i], c, s)
    particles.x[i] = scale * x
    particles.p[i] = scale * p


def test_a_kernel_steps_each_particle_once(device):
    n = 1000
    particles = Oscillator(np.arange(n, dtype=float), np.ones(n))
    angles = np.array([0.1, 0.2, 0.3])
    rotate(n, particles, angles, 2.0, backend=device)
    angle = angles[np.arange(n) % 3]
    # two products and a sum: three roundings of numbers below 2 n
    np.testing.assert_allclose(particles.x, 2.0 * (np.arange(n) * np.cos(angle) + np.sin(angle)), atol=2 * n * 4e-16)
    np.testing.assert_allclose(particles.p, 2.0 * (np.cos(angle) - np.arange(n) * np.sin(angle)), atol=2 * n * 4e-16)


def test_a_kernel_leaves_particles_beyond_n_alone(device):
    particles = Oscillator(np.ones(10), np.ones(10))
    rotate(4, particles, np.zeros(3), 2.0, backend=device)
    assert particles.x.tolist() == [2.0] * 4 + [1.0] * 6
    rotate(0, particles, np.zeros(3), 2.0, backend=device)
    assert particles.x.tolist() == [2.0] * 4 + [1.0] * 6


def test_arrays_that_are_only_read_need_one_version_whether_they_could_be_written_or_not():
    @Kernel
    def copy_first(i, table, out):
        out[i] = table.x[i]

    out = np.zeros(3)
    free, broadcast = np.arange(3.0), np.broadcast_to(7.0, 3).copy()
    broadcast.flags.writeable = False
    for x, p in ((free, free), (broadcast, free), (free, broadcast)):
        copy_first(3, read_only(Oscillator(x, p)), out)
        assert out.tolist() == x.tolist()
    assert len(copy_first.on_cpu.signatures) == 1
    assert free.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        read_only(Oscillator(free, free)).x[0] = 1.0


def test_a_kernel_keeps_the_name_and_description_of_its_step():
    assert rotate.__name__ == "rotate"
    assert "phase space" in rotate.__doc__


@pytest.mark.parametrize("n", [1, 7, 8, 31, 64, 255])
def test_a_particle_gets_the_same_bits_whatever_the_number_of_particles(cases, n):
    # vectors and the scalar rest of the loop must round alike
    all_points, all_draws = cases.empty_points(256), cases.empty_draws(256)
    points, draws = cases.empty_points(256), cases.empty_draws(256)
    for count, p, d in ((256, all_points, all_draws), (n, points, draws)):
        cases.elementary(count, p)
        cases.random_draws(count, cases.KEY, d, 30.0)
    for few, many in zip((*points, *draws), (*all_points, *all_draws), strict=True):
        assert few[:n].tobytes() == many[:n].tobytes()


def test_the_number_of_threads_does_not_change_a_bit(cases):
    n, before = 10_000, threads.count()
    results = []
    try:
        for count in (1, 2, 3):
            threads.set_count(count)
            points = cases.empty_points(n)
            cases.elementary(n, points)
            results.append(np.array(points).tobytes())
    finally:
        threads.set_count(before)
    assert results[0] == results[1] == results[2]


def test_an_unknown_backend_and_a_negative_number_are_refused():
    with pytest.raises(ValueError, match="'cuda' is not known: choose 'cpu' or 'gpu'"):
        rotate(1, Oscillator(np.ones(1), np.ones(1)), np.zeros(3), 1.0, backend="cuda")
    with pytest.raises(ValueError, match="n = -1 particles is out of bounds"):
        rotate(-1, Oscillator(np.ones(1), np.ones(1)), np.zeros(3), 1.0)


@scalar
def fast_residue(a, b):
    return (a + b) - a


@scalar(exact=True)
def exact_residue(a, b):
    return (a + b) - a


@scalar
def inside(x, limit):
    return 1 if x * x < limit * limit else 0


@scalar
def square_plus(x, y):
    return x * x + y


def test_exact_functions_keep_the_written_order_of_operations():
    # 1 is lost beside 2**53 and stays lost; the fast flags let the compiler find it again
    assert exact_residue(2.0**53, 1.0) == 0.0
    assert fast_residue(2.0**53, 1.0) == 1.0
    assert exact_residue.py_func(2.0**53, 1.0) == 0.0


def test_a_nan_is_never_inside():
    assert inside(0.5, 1.0) == 1
    assert inside(math.nan, 1.0) == 0
    assert inside(math.inf, 1.0) == 0


def test_the_plain_function_takes_complex_numbers():
    # complex step: the derivative of x**2 at 3 without a difference
    assert square_plus.py_func(3.0 + 1e-30j, 1.0).imag / 1e-30 == pytest.approx(6.0, rel=1e-15)


def multiplier(factor):
    @scalar
    def times(x):
        return x * factor

    @Kernel
    def multiply(i, x):
        x[i] = times(x[i])

    return multiply


def test_kernels_made_in_a_loop_with_different_constants_do_not_share_code_on_disk():
    double, triple = multiplier(2.0), multiplier(3.0)
    results = np.ones((2, 4))
    double(4, results[0])
    triple(4, results[1])
    assert results[:, 0].tolist() == [2.0, 3.0]
    assert double.on_cpu.py_func.__qualname__ != triple.on_cpu.py_func.__qualname__
    assert fingerprint(multiplier(2.0).step.py_func) == fingerprint(double.step.py_func)


def test_one_version_of_a_function_serves_all_constants():
    @scalar
    def scaled(x, k):
        return k * x

    for constant in (2, 3):
        scaled.get_call_template((numba.float64, numba.types.literal(constant)), {})
    assert scaled.get_overload((numba.float64, numba.int64))
    with pytest.raises(KeyError):
        scaled.get_overload((numba.float64, numba.types.literal(2)))
    # What kernels call is compiled without a way in from Python, which has a version of its own.
    assert scaled.signatures == []
    assert scaled(1.5, 2) == 3.0


def test_array_functions_release_the_interpreter_and_are_counted_when_compiled():
    @compiled
    def total(x):
        result = 0.0
        for k in range(x.size):
            result += x[k]
        return result

    before = cache.tally.compiled + cache.tally.loaded
    assert total(np.arange(5.0)) == 10.0
    assert total(np.arange(6.0)) == 15.0
    assert cache.tally.compiled + cache.tally.loaded == before + 1
    assert total.targetoptions["nogil"]
