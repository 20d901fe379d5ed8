"""Random numbers without state: Philox4x32-10 as a pure function of who asks and what for.

A number is fixed by (seed, run, subrun, fill; stage; particle; draw), so it does not depend on ranks,
threads, batches or devices, and switching one effect on or off leaves all others as they were. Layout:

    key     = (seed, run << 8 | stage)              32 bits each
    counter = (draw, particle, fill, subrun)        32 bits each; larger numbers are cut to their low 32 bits

One draw gives two doubles. Each stage counts its own draws of a particle from 0; the functions below take
plain integers (int64) in this order: seed, run, subrun, fill, stage, particle, draw.

Generator: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC11 (2011), doi:10.1145/2063384.2063405; its known answers are in the tests.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu.fastmath import exp, log, sincos
from gpu.kernel import Kernel, scalar


class Stage(IntEnum):
    """What a random number is for. Written into every simulated data set: add at the end, never renumber."""

    BEAM = 1  # phase space, momentum and injection time of the muons of a fill
    DECAY_TIME = 2  # proper lifetime of each muon
    DECAY_KINEMATICS = 3  # energy and direction of the positron
    SCATTERING = 4  # scattering and energy loss in collimators, plates, inflector and kicker
    SHOWER = 5  # fluctuations of the electromagnetic shower in a calorimeter
    PHOTOSTATISTICS = 6  # Cherenkov photons and fired pixels of a crystal
    NOISE = 7  # electronic noise of a waveform sample
    PEDESTAL = 8  # pedestal of a channel in a fill
    FILL = 9  # what all muons of a fill share: its number of muons, shape and jitter of its time profile
    MUON_SCATTERING = 10  # scattering and energy loss of muons in collimators and plates
    RESAMPLING = 11  # whole muons in place of the weighted ones of a file
    ALBEDO = 13  # soft photons that a shower sends back out of the face and into other crystals
    COMMON_NOISE = 14  # noise that all channels of a calorimeter share
    LASER = 15  # brightness of the laser's heads, noise of their monitors
    STRAW_SCATTERING = 20  # scattering and energy loss in the straws of the trackers
    STRAW_CLUSTERS = 21  # places and sizes of the primary clusters in a straw
    STRAW_DRIFT = 22  # diffusion of a cluster, jitter of the discriminator
    STRAW_CROSSTALK = 23  # hits in the neighbours of a straw
    STRAW_NOISE = 24  # hits of nobody
    STRAW_CONSTANTS = 25  # misalignment of the modules, dead straws
    MONITOR = 30  # particles, photoelectrons and noise of the auxiliary detectors
    HARP_SCATTERING = 31  # scattering and energy loss of muons in the fibres of the harps
    AMERICIUM = 40  # decays of the sources at the laser's monitors, noise of their pulses
    FAULTS = 41  # what goes wrong in a fill
    RANDOMISATION = 64  # analysis: cluster times moved within a cyclotron period


class FillKey(NamedTuple):
    """Names one fill and begins its random numbers: seed [32 bits], run [24], subrun [32], fill [32]."""

    seed: int
    run: int
    subrun: int
    fill: int

    def check(self) -> FillKey:
        """Return the key, or raise ValueError if a number does not fit into its bits."""
        for name, bits in (("seed", 32), ("run", 24), ("subrun", 32), ("fill", 32)):
            value = getattr(self, name)
            if not 0 <= value < 2**bits:
                raise ValueError(f"{name} = {value} is out of bounds: give 0 to {2**bits - 1}.")
        return self


Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]

_MASK = 0xFFFFFFFF
_MULTIPLIER_0, _MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_POISSON_DRAWS = 64
_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


@scalar(exact=True)
def philox4x32(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> tuple[int, int, int, int]:
    """Return four random words of 32 bits (as int64) for a counter and a key of such words."""
    # A product may run into the sign bit of int64; shift and mask still give its true high and low words.
    for _ in range(10):
        p0 = c0 * _MULTIPLIER_0
        p1 = c2 * _MULTIPLIER_1
        c0 = ((p1 >> 32) & _MASK) ^ c1 ^ k0
        c2 = ((p0 >> 32) & _MASK) ^ c3 ^ k1
        c1 = p1 & _MASK
        c3 = p0 & _MASK
        k0 = (k0 + _WEYL_0) & _MASK
        k1 = (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@scalar(exact=True)
def uniform2(seed: int, run: int, subrun: int, fill: int, stage: int, particle: int, draw: int) -> tuple[float, float]:
    """Return two independent uniform numbers in (0, 1).

    Each is (52 random bits + 1/2) / 2**52, so that 0 and 1 never come and all values are exact.
    """
    k0 = int(seed) & _MASK
    k1 = ((int(run) << 8) | int(stage)) & _MASK
    c0, c1 = int(draw) & _MASK, int(particle) & _MASK
    c2, c3 = int(fill) & _MASK, int(subrun) & _MASK
    a, b, c, d = philox4x32(c0, c1, c2, c3, k0, k1)
    u = float((a << 20) | (b >> 12))
    v = float((c << 20) | (d >> 12))
    return (u + 0.5) * 2.0**-52, (v + 0.5) * 2.0**-52


@scalar(exact=True)
def normal2(seed: int, run: int, subrun: int, fill: int, stage: int, particle: int, draw: int) -> tuple[float, float]:
    """Return two independent standard normal numbers, at most 8.6 in size.

    G. E. P. Box, M. E. Muller, Ann. Math. Statist. 29 (1958) 610, doi:10.1214/aoms/1177706645.
    """
    u, v = uniform2(seed, run, subrun, fill, stage, particle, draw)
    radius = math.sqrt(-2.0 * log(u))
    s, c = sincos((2.0 * math.pi) * v)
    return radius * c, radius * s


@scalar(exact=True)
def exponential(seed: int, run: int, subrun: int, fill: int, stage: int, particle: int, draw: int) -> float:
    """Return an exponential number of mean 1, at most 36.7."""
    u, _ = uniform2(seed, run, subrun, fill, stage, particle, draw)
    return float(-log(u))


@scalar(exact=True)
def log_factorial(k: float) -> float:
    """Return log(k!) for k >= 0, to 3e-13 or 2 ulp: Stirling's series at k + 8."""
    z = k + 8.0
    shift = (k + 1.0) * (k + 2.0) * (k + 3.0) * (k + 4.0) * (k + 5.0) * (k + 6.0) * (k + 7.0)
    w = 1.0 / (z * z)
    series = 1.0 / 1260.0 - w * (1.0 / 1680.0 - w * (1.0 / 1188.0))
    series = (1.0 / 12.0 - w * (1.0 / 360.0 - w * series)) / z
    return float((z - 0.5) * log(z) - z + _LOG_ROOT_2PI + series - log(shift))


@scalar(exact=True)
def _poisson_by_inversion(u: float, mean: float) -> int:
    """Return the Poisson number whose distribution function first reaches `u`; for means below 10."""
    p = exp(-mean)
    k = 0
    while u > p and k < 80:  # beyond 80 no u below 1 - 2**-53 can lead
        u -= p
        k += 1
        p *= mean / k
    return k


@scalar(exact=True, inline=False)
def poisson(seed: int, run: int, subrun: int, fill: int, stage: int, particle: int, draw: int, mean: float) -> int:
    """Return a Poisson number; the 64 draws from `draw` on are reserved for it.

    Exact for means up to 1e9; 0 for means that are not positive. Below 10 by inversion with one draw, above
    by the transformed rejection PTRS of W. Hormann, Insurance: Mathematics and Economics 12 (1993) 39,
    doi:10.1016/0167-6687(93)90997-4, which accepts a try with a chance above 0.8: 64 refusals in a row
    (chance below 1e-44, answered with the rounded mean) are never seen.
    """
    if not mean > 0.0:
        return 0
    if mean < 10.0:
        u, _ = uniform2(seed, run, subrun, fill, stage, particle, draw)
        return int(_poisson_by_inversion(u, mean))
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = log(mean)
    for attempt in range(_POISSON_DRAWS):
        u, v = uniform2(seed, run, subrun, fill, stage, particle, draw + attempt)
        u -= 0.5
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return int(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        log_ratio = log(v * inverse_alpha / (a / (us * us) + b))
        if log_ratio <= k * log_mean - mean - log_factorial(float(k)):
            return int(k)
    return int(mean + 0.5)


@Kernel
def _fill_uniforms(i: int, key: FillKey, stage: int, particles: Integers, draw: int, u: Doubles, v: Doubles) -> None:
    u[i], v[i] = uniform2(key.seed, key.run, key.subrun, key.fill, stage, particles[i], draw)


@Kernel
def _fill_normals(i: int, key: FillKey, stage: int, particles: Integers, draw: int, g: Doubles, h: Doubles) -> None:
    g[i], h[i] = normal2(key.seed, key.run, key.subrun, key.fill, stage, particles[i], draw)


def _two_arrays(kernel: Kernel, key: FillKey, stage: int, particles: ArrayLike, draw: int) -> Doubles:
    numbers = np.ascontiguousarray(particles, dtype=np.int64)
    out = np.empty((2, numbers.size))
    key = FillKey(*(int(part) for part in key.check()))
    kernel(numbers.size, key, int(stage), numbers.reshape(-1), int(draw), out[0], out[1])
    return out.reshape((2, *numbers.shape))


def uniforms(key: FillKey, stage: int, particles: ArrayLike, draw: int = 0) -> Doubles:
    """Return the two uniform numbers of `uniform2` for each particle number.

    Parameters
    ----------
    key
        The fill.
    stage
        What the numbers are for.
    particles
        Numbers of the particles, any shape.
    draw
        Number of the draw.

    Returns
    -------
    array
        Shape (2, *shape of particles).

    Raises
    ------
    ValueError
        If a number of the key does not fit into its bits.
    """
    return _two_arrays(_fill_uniforms, key, stage, particles, draw)


def normals(key: FillKey, stage: int, particles: ArrayLike, draw: int = 0) -> Doubles:
    """Return the two standard normal numbers of `normal2` for each particle; arguments as in `uniforms`."""
    return _two_arrays(_fill_normals, key, stage, particles, draw)
