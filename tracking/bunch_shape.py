"""Shape in time of the injected bunch: a piecewise-linear density and its inversion."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TimeTable = tuple[tuple[float, float], ...]
"""Nodes (time [s], weight) of a piecewise-linear density, times in rising order."""

POINT: TimeTable = ((0.0, 1.0), (0.0, 1.0))
"""All muons at t = 0."""

_T0_STEP = 10e-9
_T0_START = -110e-9
# Mean T0 trace of Run-2, peak 1; MT = anthh0/gm2mt @8df0bae, injection_profiles/pulseshape_avg_run2.
_T0_TRACE = (
    0.02, 0.05, 0.11, 0.19, 0.27, 0.29, 0.44, 0.68, 0.82, 0.94, 1.00, 0.91,
    0.74, 0.59, 0.48, 0.43, 0.33, 0.22, 0.14, 0.09, 0.07, 0.06, 0.05,
)  # fmt: skip


class Profile(NamedTuple):
    """A time profile as a kernel needs it: nodes, weights and distribution function, shape (k,) each."""

    time: NDArray[np.float64]
    weight: NDArray[np.float64]
    below: NDArray[np.float64]


def _t0_profile() -> TimeTable:
    """T0 trace as a table centred on its mean."""
    times = _T0_START + _T0_STEP * np.arange(len(_T0_TRACE))
    low, high = np.array(_T0_TRACE[:-1]), np.array(_T0_TRACE[1:])
    centres = times[:-1] + _T0_STEP * (low + 2.0 * high) / (3.0 * (low + high))  # of each trapezoid
    mean = np.average(centres, weights=low + high)
    return tuple((float(t - mean), w) for t, w in zip(times, _T0_TRACE, strict=True))


T0: TimeTable = _t0_profile()
"""Measured shape of the bunch: a trident of 40 ns RMS (single bunches: 28 to 43 ns), mean 0."""


def gaussian_profile(rms: float) -> TimeTable:
    """Gaussian bunch of the given width [s], cut at 4 sigma; a width of 0 is a point."""
    if rms < 0.0:
        raise ValueError(f"bunch width = {rms:g} s is negative: give 0 or more.")
    if rms == 0.0:
        return POINT
    steps = np.linspace(-4.0, 4.0, 81)
    return tuple((float(s) * rms, math.exp(-0.5 * float(s) ** 2)) for s in steps)


def flat_profile(length: float) -> TimeTable:
    """Uniform bunch of the given length [s]; one turn long, it leaves no fast rotation."""
    if length < 0.0:
        raise ValueError(f"bunch length = {length:g} s is negative: give 0 or more.")
    return ((-0.5 * length, 1.0), (0.5 * length, 1.0))


def distribution(table: TimeTable) -> Profile:
    """Nodes, weights and distribution function of a table; one without extent becomes a point.

    Raises
    ------
    ValueError
        If the times do not rise or a weight is negative.
    """
    time, weight = (np.array(column, np.float64) for column in zip(*table, strict=True))
    if time.size < 2 or (np.diff(time) < 0.0).any() or (weight < 0.0).any():
        raise ValueError("the bunch profile needs two or more times in rising order and weights of 0 or more.")
    areas = 0.5 * (weight[1:] + weight[:-1]) * np.diff(time)
    if not areas.sum() > 0.0:
        weight, areas = np.ones_like(weight), np.ones_like(areas)
    below = np.concatenate([[0.0], np.cumsum(areas) / areas.sum()])
    return Profile(time, weight, below)
