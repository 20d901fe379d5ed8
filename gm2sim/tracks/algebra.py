"""Small symmetric systems of equations in workspaces of kernels: entry i of a three-dimensional array is one matrix."""

import math

import numpy as np
from numpy.typing import NDArray

from gpu.kernel import scalar

FloatArray = NDArray[np.float64]


@scalar(inline=False)
def factorise(i: int, n: int, a: FloatArray) -> int:
    """Put the Cholesky factor of matrix i, n x n, in place of its lower triangle; return 0 if it is not positive."""
    for r in range(n):
        for c in range(r + 1):
            total = a[i, r, c]
            for k in range(c):
                total -= a[i, r, k] * a[i, c, k]
            if c < r:
                a[i, r, c] = total / a[i, c, c]
            elif total > 0.0:
                a[i, r, r] = math.sqrt(total)
            else:
                return 0
    return 1


@scalar(inline=False)
def solve_lower(i: int, n: int, a: FloatArray, b: FloatArray, first: int, last: int) -> int:
    """Solve L X = B in place for columns first to last - 1 of b[i], L the factor in a[i]."""
    for r in range(n):
        for k in range(r):
            factor = a[i, r, k]
            for j in range(first, last):
                b[i, r, j] -= factor * b[i, k, j]
        for j in range(first, last):
            b[i, r, j] /= a[i, r, r]
    return 1


@scalar(inline=False)
def solve_upper(i: int, n: int, a: FloatArray, b: FloatArray, first: int, last: int) -> int:
    """Solve L^T X = B in place for columns first to last - 1 of b[i]."""
    for m in range(n):
        r = n - 1 - m
        for j in range(first, last):
            b[i, r, j] /= a[i, r, r]
        for k in range(r):
            factor = a[i, r, k]
            for j in range(first, last):
                b[i, k, j] -= factor * b[i, r, j]
    return 1
