"""What one core of this machine can do: the limits of fused multiply-adds and of memory, same compiler."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from gpu.kernel import compiled, scalar

FloatArray = NDArray[np.float64]

_LANES = 128
_CHAIN = 8


@scalar(exact=True)
def _chain(x: float, b: float, c: float) -> float:
    """Eight dependent multiply-adds, which the compiler may fuse but not fold."""
    for _ in range(_CHAIN):
        x = x * b + c
    return x


@compiled  # type: ignore[arg-type]
def _multiply_add(numbers: FloatArray, repeats: int, b: float, c: float) -> None:
    for _ in range(repeats):
        for j in range(_LANES):
            numbers[j] = _chain(numbers[j], b, c)


@compiled  # type: ignore[arg-type]
def _triad(a: FloatArray, b: FloatArray, c: FloatArray, scale: float) -> None:
    for j in range(a.size):
        a[j] = b[j] + scale * c[j]


def fma_limit(trials: int = 20) -> float:
    """Fused multiply-adds that one core sustains in a vectorised loop [flop/s, two for each].

    The chains of different vectors are independent, so that the core overlaps them; best of the trials, in time of
    this thread on the CPU.

    Parameters
    ----------
    trials
        Number of measurements of about a millisecond.
    """
    numbers = np.linspace(0.0, 1.0, _LANES)
    repeats = 50_000
    _multiply_add(numbers, 1, 0.999, 1e-3)
    best = np.inf
    for _ in range(trials):
        begin = time.thread_time()
        _multiply_add(numbers, repeats, 0.999, 1e-3)
        best = min(best, time.thread_time() - begin)
    return 2.0 * _CHAIN * _LANES * repeats / best


def memory_limit(trials: int = 5, megabytes: int = 128) -> float:
    """Bandwidth of one core to memory in a = b + s c over arrays beyond the caches [bytes/s].

    Counts two reads and one write for each element, not the read that a write may cause.

    Parameters
    ----------
    trials
        Number of passes.
    megabytes
        Size of each of the three arrays.
    """
    size = megabytes * 2**20 // 8
    a, b, c = np.zeros(size), np.ones(size), np.ones(size)
    best = np.inf
    for trial in range(trials + 1):
        begin = time.perf_counter()
        _triad(a, b, c, 2.0)
        best = min(best, time.perf_counter() - begin) if trial > 0 else best
    return 24.0 * size / best
