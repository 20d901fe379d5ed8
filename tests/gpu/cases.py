"""Kernels that exercise everything on the ground floor, for comparison between CPU, simulator and PTX.

Run as a script with a file name it writes the numbers of one backend: ``python cases.py gpu out.npz``.
"""

import sys
from typing import NamedTuple

import numpy as np

from gpu import fastmath, rng
from gpu.kernel import Kernel

KEY = rng.FillKey(2**32 - 1, 7, 2, 5)


class Points(NamedTuple):
    """Input and output of the functions, one point per particle."""

    x: np.ndarray
    y: np.ndarray
    sine: np.ndarray
    cosine: np.ndarray
    log: np.ndarray
    exp: np.ndarray
    angle: np.ndarray


class Draws(NamedTuple):
    """Random numbers of each particle."""

    number: np.ndarray
    uniform: np.ndarray
    normal: np.ndarray
    exponential: np.ndarray
    poisson: np.ndarray


@Kernel
def elementary(i, points):
    x = points.x[i]
    points.sine[i], points.cosine[i] = fastmath.sincos(x)
    points.log[i] = fastmath.log(x * x)
    points.exp[i] = fastmath.exp(x)
    points.angle[i] = fastmath.atan2(points.y[i], x)


@Kernel
def random_draws(i, key, draws, mean):
    number = draws.number[i]
    u, v = rng.uniform2(key.seed, key.run, key.subrun, key.fill, 1, number, 0)
    g, h = rng.normal2(key.seed, key.run, key.subrun, key.fill, 2, number, 0)
    draws.uniform[i] = u + v
    draws.normal[i] = g - h
    draws.exponential[i] = rng.exponential(key.seed, key.run, key.subrun, key.fill, 3, number, 0)
    draws.poisson[i] = rng.poisson(key.seed, key.run, key.subrun, key.fill, 4, number, 0, mean)


@Kernel
def add_from_table(i, source, target, table):
    target[i] = source[i] + table[i % table.size]


def empty_points(n, seed=3):
    generator = np.random.default_rng(seed)
    return Points(generator.uniform(-30.0, 30.0, n), generator.normal(size=n), *np.zeros((5, n)))


def empty_draws(n):
    return Draws(np.arange(n), *np.zeros((3, n)), np.zeros(n, dtype=np.int64))


def compute(n, backend="cpu"):
    """Run all kernels on n particles and return their arrays by name."""
    points, draws, rare = empty_points(n), empty_draws(n), empty_draws(n)
    elementary(n, points, backend=backend)
    random_draws(n, KEY, draws, 30.0, backend=backend)
    random_draws(n, KEY, rare, 0.7, backend=backend)
    grid = np.ones((n, 2))
    column, table = grid[:, 1], np.array([1.0, 10.0])
    table.flags.writeable = False
    add_from_table(n, column, column, table, backend=backend)  # one array twice, not contiguous; a read-only one
    return {"grid": grid} | points._asdict() | draws._asdict() | {"rare": rare.poisson}


if __name__ == "__main__":
    np.savez(sys.argv[2], **compute(20, backend=sys.argv[1]))
