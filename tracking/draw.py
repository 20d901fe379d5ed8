"""Draw of one stored muon: the kernel of :mod:`tracking.source`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import Stage, exponential, normal2, uniform2
from tracking.bunch import Bunch
from tracking.bunch_shape import Profile
from tracking.muon import LIFETIME, MASS

FloatArray = NDArray[np.float64]

MAX_TRIES = 64
"""Draws of a muon before it is shrunk to fit; a beam of which a third fits reaches this once in 1e11 muons."""
# Draw numbers of Stage.BEAM: 0 injection time, 1 spin, then three for each try.
_FIRST_TRY = 2
_DRAWS_PER_TRY = 3
_BEAM, _DECAY_TIME = int(Stage.BEAM), int(Stage.DECAY_TIME)


class Shape(NamedTuple):
    """What the kernel needs of the beam, as numbers."""

    x_e_mean: float
    x_e_sigma: float
    sigma_x: float
    sigma_u_y: float
    sigma_v_y: float
    coherent_u: float  # coherent amplitude at x_e_mean, normalised coordinates x and alpha x + beta px [m]
    coherent_v: float
    correlation_u: float  # and its change per x_e
    correlation_v: float
    y_offset: float
    phase: float
    phase_slope: float
    phase_spread: float
    x_e_time_slope: float
    radius: float
    p0: float  # [GeV/c]
    mean_dispersion: float  # [m]


class Place(NamedTuple):
    """Optics at theta = 0 (index 0) and at the collimators; scale: sqrt of beta over its mean."""

    x: FloatArray
    y: FloatArray
    dispersion: FloatArray
    scale_x: FloatArray
    scale_y: FloatArray


class Start(NamedTuple):
    """Optics at theta = 0 that turn normalised coordinates into momenta."""

    px: float
    py: float
    dispersion_px: float
    alpha_x: float
    alpha_y: float
    root_x: float  # sqrt(beta at theta = 0 times mean beta) [m]
    root_y: float


@scalar
def injection_time(u: float, profile: Profile) -> float:
    """Invert the distribution function at u in (0, 1): time [s]."""
    k = 0
    while k < profile.time.size - 2 and u >= profile.below[k + 1]:
        k += 1
    share = (u - profile.below[k]) / (profile.below[k + 1] - profile.below[k])
    low, high = profile.weight[k], profile.weight[k + 1]
    area = share * 0.5 * (low + high)
    # Root of low s + (high - low) s^2 / 2 = area, written without a difference of nearly equal numbers.
    s = 2.0 * area / (low + math.sqrt(low * low + 2.0 * (high - low) * area))
    time: float = profile.time[k] + min(max(s, 0.0), 1.0) * (profile.time[k + 1] - profile.time[k])
    return time


@scalar
def _reach_squared(
    x_e: float, amplitude_x: float, amplitude_y: float, mean_dispersion: float, place: Place, k: int
) -> float:
    """Largest distance from the axis, squared, that the muon comes to at one place, over all phases."""
    delta = x_e / mean_dispersion
    x: float = abs(place.x[k] + place.dispersion[k] * delta) + place.scale_x[k] * amplitude_x
    y: float = abs(place.y[k]) + place.scale_y[k] * amplitude_y
    return x * x + y * y


@scalar
def _phase_space(
    seed: int, run: int, subrun: int, fill: int, particle: int, draw: int, time: float, shape: Shape
) -> tuple[float, float, float, float, float]:
    """Equilibrium radius and normalised betatron coordinates (x, y planes) of one try."""
    g, _ = normal2(seed, run, subrun, fill, _BEAM, particle, draw)
    x_e = shape.x_e_mean + shape.x_e_time_slope * time + shape.x_e_sigma * g
    a, b = normal2(seed, run, subrun, fill, _BEAM, particle, draw + 1)
    c, d = normal2(seed, run, subrun, fill, _BEAM, particle, draw + 2)
    offset = x_e - shape.x_e_mean
    u_x = shape.coherent_u - shape.correlation_u * offset + shape.sigma_x * a
    v_x = shape.coherent_v - shape.correlation_v * offset + shape.sigma_x * b
    return x_e, u_x, v_x, shape.y_offset + shape.sigma_u_y * c, shape.sigma_v_y * d


@scalar
def _worst_reach(x_e: float, u_x: float, v_x: float, u_y: float, v_y: float, shape: Shape, place: Place) -> float:
    """Largest reach of a muon over the collimators [m]."""
    amplitude_x = math.sqrt(u_x * u_x + v_x * v_x)
    amplitude_y = math.sqrt(u_y * u_y + v_y * v_y)
    worst = 0.0
    for k in range(min(1, place.x.size - 1), place.x.size):  # without collimators, theta = 0 stands for them
        worst = max(worst, _reach_squared(x_e, amplitude_x, amplitude_y, shape.mean_dispersion, place, k))
    return math.sqrt(worst)


@Kernel
def draw_muon(
    i: int,
    bunch: Bunch,
    shape: Shape,
    place: Place,
    start: Start,
    profile: Profile,
    seed: int,
    run: int,
    subrun: int,
    fill: int,
) -> None:
    """Fill in muon i of a bunch at theta = 0."""
    particle = bunch.number[i]
    u, _ = uniform2(seed, run, subrun, fill, _BEAM, particle, 0)
    time = injection_time(u, profile)
    x_e, u_x, v_x, u_y, v_y, reach = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for attempt in range(MAX_TRIES):
        draw = _FIRST_TRY + _DRAWS_PER_TRY * attempt
        x_e, u_x, v_x, u_y, v_y = _phase_space(seed, run, subrun, fill, particle, draw, time, shape)
        reach = _worst_reach(x_e, u_x, v_x, u_y, v_y, shape, place)
        if reach <= shape.radius:
            break
    # Reach is convex and at most the closed orbit's for a shrunk muon, so this brings the last try inside.
    shrink = min(1.0, shape.radius / max(reach, 1e-12))
    x_e, u_x, v_x, u_y, v_y = x_e * shrink, u_x * shrink, v_x * shrink, u_y * shrink, v_y * shrink

    delta = x_e / shape.mean_dispersion
    p = shape.p0 * (1.0 + delta)
    energy = math.sqrt(p * p + MASS * MASS)
    px = start.px + start.dispersion_px * delta + (v_x - start.alpha_x * u_x) / start.root_x
    py = start.py + (v_y - start.alpha_y * u_y) / start.root_y
    bunch.x[i] = place.x[0] + place.dispersion[0] * delta + place.scale_x[0] * u_x
    bunch.px[i] = px
    bunch.y[i] = place.y[0] + place.scale_y[0] * u_y
    bunch.py[i] = py
    bunch.time[i] = time
    bunch.energy[i] = energy

    g, _ = normal2(seed, run, subrun, fill, _BEAM, particle, 1)
    behind = shape.phase + shape.phase_slope * delta + shape.phase_spread * g
    # Angles count from the beam axis outwards; the muons turn inwards, so what lags stands outwards of the
    # momentum.
    angle = math.atan2(px, math.sqrt((1.0 + delta) * (1.0 + delta) - px * px - py * py)) + behind
    s, c = sincos(angle)
    bunch.sx[i], bunch.sy[i], bunch.ss[i] = s, 0.0, c
    waited = exponential(seed, run, subrun, fill, _DECAY_TIME, particle, 0)
    bunch.stop_time[i] = time + LIFETIME * (energy / MASS) * waited
