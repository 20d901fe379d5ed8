"""Shape in time of the injected bunch: a piecewise-linear density and its inversion."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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


_BUNCHES = 16
_NARROWEST, _WIDEST = 28e-9, 43e-9  # RMS of single bunches [s]; MT, RMSs_14112
_LOBE, _SPACING = 13.5e-9, 45e-9  # RMS of a spike and distance between spikes before scaling [s]: best estimate


def bunches() -> tuple[TimeTable, ...]:
    """Sixteen synthetic bunch shapes, one for each fill of a supercycle; always the same.

    Tridents (high middle spike, two side spikes, each a Gaussian) of mean 0, peak 1 and RMS 28 to 43 ns in equal
    steps, in mixed order; the side spikes, unequal, are 0.2 to 0.5 of the middle one. Real shapes differ from
    bunch to bunch in this way (MT; N. Kinnaird, dissertation 2020), but these are not measured ones.
    """
    return tuple(_trident(bunch) for bunch in range(_BUNCHES))


def _trident(bunch: int) -> TimeTable:
    wanted = _NARROWEST + (_WIDEST - _NARROWEST) * (5 * bunch % _BUNCHES) / (_BUNCHES - 1)
    turn = 2.0 * math.pi * bunch / _BUNCHES
    heights = (0.35 + 0.15 * math.cos(turn), 1.0, 0.35 + 0.15 * math.sin(3.0 * turn))
    t = np.linspace(-2.0 * _SPACING, 2.0 * _SPACING, 61)
    spikes = [h * np.exp(-0.5 * ((t - k * _SPACING) / _LOBE) ** 2) for k, h in zip((-1, 0, 1), heights, strict=True)]
    weight = np.sum(spikes, axis=0)
    weight[[0, -1]] = 0.0
    mean, rms = moments(tuple(zip(t, weight, strict=True)))
    times = (t - mean) * (wanted / rms)
    return tuple((float(a), float(w)) for a, w in zip(times, weight / weight.max(), strict=True))


def moments(table: TimeTable) -> tuple[float, float]:
    """Mean and RMS about it [s] of the piecewise-linear density, exactly; of a point its place."""
    t, w = (np.array(column, np.float64) for column in zip(*table, strict=True))
    a, b, low, high, h = t[:-1], t[1:], w[:-1], w[1:], np.diff(t)
    area = 0.5 * h * (low + high)
    if not area.sum() > 0.0:
        return float(t.mean()), 0.0
    first = h / 6.0 * (low * (2.0 * a + b) + high * (a + 2.0 * b))
    second = h / 12.0 * (low * (3.0 * a**2 + 2.0 * a * b + b**2) + high * (a**2 + 2.0 * a * b + 3.0 * b**2))
    mean = first.sum() / area.sum()
    return float(mean), float(math.sqrt(second.sum() / area.sum() - mean**2))


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


def share_before(table: TimeTable, t: ArrayLike) -> NDArray[np.float64]:
    """Share of the bunch that has passed by times `t` [s], shape of `t`: the integral of the density, exactly."""
    profile = distribution(table)
    at, time, weight = np.asarray(t, np.float64), profile.time, profile.weight
    k = np.clip(np.searchsorted(time, at, side="right") - 1, 0, time.size - 2)
    length = time[k + 1] - time[k]
    inside = np.clip(at - time[k], 0.0, length)
    area = inside * (weight[k] + 0.5 * (weight[k + 1] - weight[k]) * inside / np.where(length > 0.0, length, 1.0))
    whole = float((0.5 * (weight[1:] + weight[:-1]) * np.diff(time)).sum())
    below = profile.below[k] + (area / whole if whole > 0.0 else 0.0)
    return np.where(at >= time[-1], 1.0, np.where(at < time[0], 0.0, below))
