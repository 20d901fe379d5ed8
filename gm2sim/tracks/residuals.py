"""Residuals of a track's hits, their covariance with scattering, and what changes of the track they ask for."""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.straw_crossings import HIGHLAND
from gm2sim.tracks.algebra import factorise, solve_lower, solve_upper
from gm2sim.tracks.drift import DriftTable, drift_at
from gm2sim.tracks.path import PARAMETERS, Work
from gpu.fastmath import exp
from gpu.kernel import scalar
from tracking.muon import LIGHT_SPEED, POSITRON_MASS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CUT = 12.5  # half the square of 5 sigma: hits further away from both sides count for nothing
# Rounds from which on errors of hits and matter, and sides of wires, stay: else some fits turn in circles, as errors
# depend on the drift time.
SAME_ERRORS, _SAME_SIDES = 2, 5
_NOTHING = 1e-6  # weight of a hit that does not count
_INVERSE, _INVERSE_SIGMA, _DRIFT_SIGMA = 0.7, 0.8, 10e-9  # of 1/p [c/GeV] and time [s], while annealing
_LOW, _HIGH = 0.2, 12.0  # 1/p that is followed [c/GeV]


class Fitted(NamedTuple):
    """Results of fits; shape (n,) but for the last ones."""

    status: IntArray
    z: FloatArray  # of the reference plane, that of the first hit, in the station frame [m]
    chi2: FloatArray
    ndf: IntArray
    rounds: IntArray
    crossed: IntArray  # layers between first and last hit whose straws the track crosses well inside
    missed: IntArray  # those of them without a hit
    values: FloatArray  # (n, 6) x, y [m], dx/dz, dy/dz, 1/p [c/GeV], time since that of the candidate [s]
    covariance: FloatArray  # (n, 6, 6)

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` tracks."""
        whole = {"status", "ndf", "rounds", "crossed", "missed"}
        shapes = {"values": (PARAMETERS,), "covariance": (PARAMETERS, PARAMETERS)}
        return cls._make(
            np.zeros((n, *shapes.get(name, ())), np.int64 if name in whole else np.float64) for name in cls._fields
        )


@scalar
def wrong_side(r: float, sigma: float) -> float:
    """Return how much the variance of a signed distance grows, on average, as its sign may be wrong [m2].

    A distance 2 r off with the probability that a normal deviate is beyond r / sigma, within 10 % 0.5 exp(-0.8 u -
    0.38 u^2), as the track is known about as well as the hit.
    """
    u = abs(r) / sigma
    return float(2.0 * r * r * exp(-min(u * (0.8 + 0.38 * u), 100.0)))


@scalar(inline=False)
def weigh(i: int, n: int, t: float, q: float, heat: float, turn: int, work: Work, drift: DriftTable) -> int:
    """Set what each hit measures, its variance and residual.

    While annealing a hit measures the mean of its places on both sides of the wire, by their probabilities, and has
    the probability of either against nothing as weight. In the end it has the side where the track is. In round
    `turn` it may keep its error and its side.
    """
    slowness = math.sqrt(1.0 + POSITRON_MASS * POSITRON_MASS * q * q) / LIGHT_SPEED
    for k in range(n):
        r, speed, sigma = drift_at(work.time[i, k] - t - work.length[i, k] * slowness, drift)
        d = work.distance[i, k] + work.shift[i, k]
        square = sigma * sigma + heat * heat
        if heat > 0.0:
            same, other = 0.5 * (r - d) * (r - d) / square, 0.5 * (r + d) * (r + d) / square
            low = min(same, other)
            near, far = exp(-min(same - low, 100.0)), exp(-min(other - low, 100.0))
            work.side[i, k] = (near - far) / (near + far)
            work.weight[i, k] = (near + far) / (near + far + exp(min(low - _CUT, 100.0)))
        else:
            square += wrong_side(r, sigma)
            if turn < _SAME_SIDES:
                work.side[i, k] = 1.0 if d >= 0.0 else -1.0
        work.radius[i, k] = r
        if turn < SAME_ERRORS:
            work.error[i, k] = math.sqrt(square)
        work.variance[i, k] = work.error[i, k] * work.error[i, k] / max(work.weight[i, k], _NOTHING)
        work.slopes[i, k, 5] = work.side[i, k] * speed
        work.solved[i, k, 6] = work.side[i, k] * r - work.distance[i, k]
    return 1


@scalar(inline=False)
def hit_covariance(i: int, n: int, q: float, scattering: int, work: Work) -> int:
    """Covariance of the residuals: errors of the hits, and scattering in all straws hit before both.

    Angles of rms theta_k at length l_k move hits j and m by theta_k (l_j - l_k) and theta_k (l_m - l_k), in two
    directions across the path.
    """
    zero, one, two = 0.0, 0.0, 0.0  # sums over straws before hit m of theta^2 times powers of length
    for m in range(n):
        at = work.length[i, m]
        for j in range(m, n):
            common = work.across[i, j] * work.across[i, m] + work.up[i, j] * work.up[i, m]
            work.covariance[i, j, m] = common * (zero * at * work.length[i, j] - one * (at + work.length[i, j]) + two)
        work.covariance[i, m, m] += work.variance[i, m]
        angle = HIGHLAND * q * HIGHLAND * q * work.thickness[i, m] * scattering
        zero, one, two = zero + angle, one + angle * at, two + angle * at * at
    return int(factorise(i, n, work.covariance))


@scalar(inline=False)
def improve(i: int, n: int, hot: int, work: Work, out: Fitted) -> float:
    """Solve for the changes of the parameters, in column 7 of `right`; return chi square after them, below 0 if none.

    While annealing, 1/p and time are drawn to what is usual.
    """
    for k in range(n):
        for c in range(PARAMETERS):
            work.solved[i, k, c] = work.slopes[i, k, c]
    solve_lower(i, n, work.covariance, work.solved, 0, PARAMETERS + 1)
    chi2 = 0.0
    for k in range(n):
        chi2 += work.solved[i, k, 6] * work.solved[i, k, 6]
    for r in range(PARAMETERS):
        for c in range(r + 1):
            total = 0.0
            for k in range(n):
                total += work.solved[i, k, r] * work.solved[i, k, c]
            work.normal[i, r, c] = total
        total = 0.0
        for k in range(n):
            total += work.solved[i, k, r] * work.solved[i, k, 6]
        work.right[i, r, 7] = total
    if hot > 0:
        work.normal[i, 4, 4] += 1.0 / (_INVERSE_SIGMA * _INVERSE_SIGMA)
        work.right[i, 4, 7] += (_INVERSE - out.values[i, 4]) / (_INVERSE_SIGMA * _INVERSE_SIGMA)
        work.normal[i, 5, 5] += 1.0 / (_DRIFT_SIGMA * _DRIFT_SIGMA)
    if factorise(i, PARAMETERS, work.normal) == 0:
        return -1.0
    # The first columns become the covariance; all are solved together.
    for r in range(PARAMETERS):
        for c in range(PARAMETERS):
            work.right[i, r, c] = 1.0 if r == c else 0.0
        work.right[i, r, 6] = 0.0
    solve_lower(i, PARAMETERS, work.normal, work.right, 0, 8)
    for r in range(PARAMETERS):
        chi2 -= work.right[i, r, 7] * work.right[i, r, 7]
    solve_upper(i, PARAMETERS, work.normal, work.right, 0, 8)
    return max(chi2, 0.0)


@scalar(inline=False)
def apply_changes(i: int, part: float, work: Work, out: Fitted) -> float:
    """Make a part of the changes of the parameters; return the largest change in units of its error."""
    largest = 0.0
    for r in range(PARAMETERS):
        change, error = work.right[i, r, 7], math.sqrt(max(work.right[i, r, r], 1e-30))
        largest = max(largest, abs(change) / error)
        out.values[i, r] += part * change
    out.values[i, 4] = min(max(out.values[i, 4], _LOW), _HIGH)
    return largest


@scalar(inline=False)
def settle(i: int, n: int, informed: int, work: Work) -> tuple[int, float]:
    """Tell what is residual and what scattering; return the worst hit and its residual in standard deviations.

    With residuals e after the changes, C e = W: the hit's part of it is its variance times (C^-1 e), the rest is
    scattering. `informed` 1 makes the information of each residual, for which C is inverted.
    """
    for k in range(n):
        total = work.solved[i, k, 6]
        for c in range(PARAMETERS):
            total -= work.solved[i, k, c] * work.right[i, c, 7]
        work.solved[i, k, 7] = total
    solve_upper(i, n, work.covariance, work.solved, 7, 8)
    worst, most = -1, 0.0
    for k in range(n):
        after = work.side[i, k] * work.radius[i, k] - work.distance[i, k]
        for c in range(PARAMETERS):
            after -= work.slopes[i, k, c] * work.right[i, c, 7]
        work.shift[i, k] = after - work.variance[i, k] * work.solved[i, k, 7]
        if informed > 0 and work.weight[i, k] > 0.5:
            work.information[i, k] = information_of(i, n, k, work)
            pull = abs(work.solved[i, k, 7]) / math.sqrt(work.information[i, k])
            if pull > most:
                worst, most = k, pull
    return worst, most


@scalar(inline=False)
def information_of(i: int, n: int, k: int, work: Work) -> float:
    """Variance of (C^-1 e)_k after the fit [1/m2]: that of a hit's residual to all others is one over it."""
    total = 0.0
    for c in range(PARAMETERS):
        work.right[i, c, 6] = 0.0
    for r in range(k, n):
        value = 1.0 if r == k else 0.0
        for m in range(k, r):
            value -= work.covariance[i, r, m] * work.scratch[i, m]
        value /= work.covariance[i, r, r]
        work.scratch[i, r] = value
        total += value * value
        for c in range(PARAMETERS):
            work.right[i, c, 6] += value * work.solved[i, r, c]
    for r in range(PARAMETERS):
        for c in range(PARAMETERS):
            total -= work.right[i, r, 6] * work.right[i, r, c] * work.right[i, c, 6]
    return max(total, 1e-3)
