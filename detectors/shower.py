"""Electromagnetic showers of positrons and photons in the 6 x 9 PbF2 crystals of a calorimeter, and what leaks out.

The shower is drawn as spots of light around its axis, after G. Grindhammer and S. Peters, hep-ex/0001020 (GP; see
`detectors.shower_profile`): a gamma distribution in depth whose maximum and shape fluctuate together, and a core and
a tail in radius. It begins where the particle comes into the crystals, that of a photon where the photon converts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.crystals import (
    CALORIMETERS,
    COLUMNS,
    CRYSTALS,
    ROWS,
    CrystalDeposits,
    Leakage,
    ShowerSettings,
    check,
    collect,
    crystal_at,
)
from detectors.shower_profile import (
    LAYER,
    LAYERS,
    LN_Y_TRACK,
    axis,
    gammas_in_layer,
    profile_in_depth,
    profile_in_radius,
    track_in_layer,
)
from gpu.fastmath import log, sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, philox4x32, poisson, uniform2

if TYPE_CHECKING:
    from detectors.transport import Hits

__all__ = [
    "CALORIMETERS",
    "COLUMNS",
    "CRYSTALS",
    "ROWS",
    "CrystalDeposits",
    "Leakage",
    "ShowerSettings",
    "collect",
    "crystal_at",
    "deposit",
    "shower",
    "spread",
]

_SPOTS_MAX = 4000.0
_CONVERSION = 9.0 / 7.0  # mean path of a hard photon to its conversion [X0]
_CONVERSION_DRAW = 0xFFFF  # behind the draws of the spots
# Soft photons that go back out of the face and in again: best estimates.
_SOFT = 0.002  # mean energy of one [GeV]
_SOFT_DEPTH = 2.0  # mean depth at which it ends [X0]: 2 MeV in lead, 0.046 cm^2/g (NIST, XCOM)
_SOFT_HEIGHT = 0.070  # its place on the face is that of a cosine law seen from this height [m]
_SOFT_LARGEST = 0.1  # share of the energy that the soft photons of one particle may have
_POISSON_DRAWS = 64
_STAGE, _ALBEDO = int(Stage.SHOWER), int(Stage.ALBEDO)
_TO_UNIT = 2.0**-32
_MASK = 0xFFFFFFFF


class _Medium(NamedTuple):
    pitch_u: float
    pitch_v: float
    length: float
    radiation_length: float
    moliere_radius: float
    critical_energy: float
    z_effective: float
    light_fluctuation: float
    profile_fluctuation: float
    albedo: float
    attenuation: float
    centre: float

    @classmethod
    def of(cls, settings: ShowerSettings) -> _Medium:
        return cls._make(float(getattr(settings, name)) for name in cls._fields)


class _Particle(NamedTuple):
    calo: NDArray[np.int64]
    number: NDArray[np.int64]
    order: NDArray[np.int64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    du: NDArray[np.float64]
    dv: NDArray[np.float64]
    energy: NDArray[np.float64]
    depth: NDArray[np.float64]


@scalar
def _spot(words, tau_numbers, q):
    """Turn four random words into radius [Moliere radii], azimuth (sine, cosine) and light (mean 1)."""
    a, b, c, d = words
    core, tail, weight = tau_numbers
    u = (a + 0.5) * _TO_UNIT
    radius = (core if (b + 0.5) * _TO_UNIT < weight else tail) * math.sqrt(u / (1.0 - u))
    s, co = sincos(2.0 * math.pi * ((c + 0.5) * _TO_UNIT))
    light = 1.0 - q - q * log((d + 0.5) * _TO_UNIT)
    return radius, s, co, light


@scalar
def _leave(i, leaks, deep, length, energy):
    """Note energy that leaves the crystals at a depth."""
    if deep <= 0.0:
        leaks.front[i] += energy
    elif deep >= length:
        leaks.rear[i] += energy
    else:
        leaks.side[i] += energy


@scalar
def _lit(i, crystal, deep, value, light, depth):
    """Add light to a crystal."""
    light[i, crystal] += value
    depth[i, crystal] += value * deep


@scalar
def _shine_back(i, hits, medium, key, draw, light, depth, leaks):
    """Send soft photons out of the face and into crystals anywhere; returns the energy that they take [GeV]."""
    number, energy = hits.number[i], hits.energy[i]
    photons = poisson(
        key.seed, key.run, key.subrun, key.fill, _ALBEDO, number, draw, medium.albedo * energy / _SOFT
    )  # fmt: skip
    seed, subrun, fill = int(key.seed) & _MASK, int(key.subrun) & _MASK, int(key.fill) & _MASK
    k1 = ((int(key.run) << 8) | _ALBEDO) & _MASK
    taken = 0.0
    for k in range(photons):
        a, b, c, d = philox4x32(draw + _POISSON_DRAWS + k, int(number) & _MASK, fill, subrun, seed, k1)
        one = -_SOFT * log((d + 0.5) * _TO_UNIT)
        if taken + one > _SOFT_LARGEST * energy:
            break
        taken += one
        u = (a + 0.5) * _TO_UNIT
        radius = _SOFT_HEIGHT * math.sqrt(u / (1.0 - u))
        s, co = sincos(2.0 * math.pi * ((c + 0.5) * _TO_UNIT))
        deep = -_SOFT_DEPTH * medium.radiation_length * log((b + 0.5) * _TO_UNIT)
        crystal = crystal_at(
            hits.u[i] + radius * co, hits.v[i] + radius * s, deep, medium.pitch_u, medium.pitch_v, medium.length
        )
        if crystal >= 0:
            leaks.albedo[i] += one
            _lit(i, crystal, deep, one * math.exp((deep - medium.centre) * medium.attenuation), light, depth)
        else:
            leaks.front[i] += one
    return taken


@scalar
def _conversion(i, hits, medium, key, draw, n, leaks):
    """Return the path to where the shower begins [m]: 0 for a positron, -1 for a photon that never converts."""
    if hits.order[i] == 0:
        return 0.0
    u, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, hits.number[i], draw + _CONVERSION_DRAW)
    path = -_CONVERSION * medium.radiation_length * log(u)
    x, y, deep = hits.u[i] + n[0] * path, hits.v[i] + n[1] * path, hits.depth[i] + n[2] * path
    if crystal_at(x, y, deep, medium.pitch_u, medium.pitch_v, medium.length) >= 0:
        return path
    rest = (medium.length - hits.depth[i]) / n[2]
    at = medium.length * (1.0 - 1e-9)
    x, y = hits.u[i] + n[0] * rest, hits.v[i] + n[1] * rest
    if crystal_at(x, y, at, medium.pitch_u, medium.pitch_v, medium.length) >= 0:
        leaks.rear[i] += hits.energy[i]
    else:
        leaks.side[i] += hits.energy[i]
    return -1.0


@Kernel
def shower_step(i, hits, medium, key, light, depth, leaks):
    """Spread the light of hit i over its row of crystals; `depth` sums light times depth [GeV m]."""
    calo, number = hits.calo[i], hits.number[i]
    n, e1, e2 = axis(hits.du[i], hits.dv[i])
    # Each particle and each calorimeter that it meets has its own range of draws.
    draw = (int(calo) << 16) + (int(hits.order[i]) << 21)
    begin = _conversion(i, hits, medium, key, draw, n, leaks)
    if begin < 0.0:
        return
    energy = hits.energy[i] - _shine_back(i, hits, medium, key, draw, light, depth, leaks)
    z = medium.z_effective
    ln_e = log(hits.energy[i])
    in_critical = hits.energy[i] / medium.critical_energy
    ln_y = log(in_critical)
    g, h = normal2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, draw)
    scale = medium.profile_fluctuation
    alpha, beta, maximum, tau_per_x0 = profile_in_depth(max(ln_y, LN_Y_TRACK), z, scale * g, scale * h)
    norm = alpha * math.log(beta) - math.lgamma(alpha)
    # GP: the spots follow a second gamma distribution, earlier and wider than that of the energy.
    spot_alpha = max(1.05, alpha * (0.639 + 0.00334 * z))
    spot_beta = (spot_alpha - 1.0) / (maximum * (0.698 + 0.00212 * z))
    spot_norm = spot_alpha * math.log(spot_beta) - math.lgamma(spot_alpha)
    spots = min(_SPOTS_MAX, 93.0 * math.log(z) * math.exp(0.876 * ln_e))
    seed, subrun, fill = int(key.seed) & _MASK, int(key.subrun) & _MASK, int(key.fill) & _MASK
    k1 = ((int(key.run) << 8) | _STAGE) & _MASK
    x0, y0, z0 = hits.u[i] + n[0] * begin, hits.v[i] + n[1] * begin, hits.depth[i] + n[2] * begin

    rest = energy
    carry = 0.5
    for layer in range(LAYERS):
        share, of_spots = gammas_in_layer(layer, (alpha, beta, norm), (spot_alpha, spot_beta, spot_norm))
        # Rossi: a positron that makes no shower loses Ec in a radiation length.
        share = share if ln_y > LN_Y_TRACK else track_in_layer(layer, in_critical)
        part = min(energy * share, rest)
        rest -= part
        carry += spots * of_spots
        count = max(1, int(carry))
        carry -= int(carry)
        core_and_tail = profile_in_radius((layer + 0.5) * LAYER * tau_per_x0, ln_e, z)
        middle = z0 + n[2] * (layer + 0.5) * LAYER * medium.radiation_length
        seen = math.exp((middle - medium.centre) * medium.attenuation)
        for spot in range(count):
            draw += 1
            words = philox4x32(draw, int(number) & _MASK, fill, subrun, seed, k1)
            radius, s, c, weight = _spot(words, core_and_tail, medium.light_fluctuation)
            along = (layer + (spot + 0.5) / count) * LAYER * medium.radiation_length
            r1, r2 = radius * medium.moliere_radius * c, radius * medium.moliere_radius * s
            x = x0 + n[0] * along + r1 * e1[0] + r2 * e2[0]
            y = y0 + n[1] * along + r2 * e2[1]
            deep = z0 + n[2] * along + r1 * e1[1] + r2 * e2[2]
            crystal = crystal_at(x, y, deep, medium.pitch_u, medium.pitch_v, medium.length)
            if crystal >= 0:
                _lit(i, crystal, deep, part / count * weight * seen, light, depth)
            else:
                _leave(i, leaks, deep, medium.length, part / count)
    leaks.rear[i] += rest


@Kernel
def _crosstalk_step(i, share, light, depth):
    """Let neighbours exchange light, pair by pair: the sum stays, terms of share^2 are left out."""
    for crystal in range(CRYSTALS):
        for k in range(2):
            other = crystal + (1 if k == 0 else COLUMNS)
            if other < CRYSTALS and (k == 1 or crystal % COLUMNS < COLUMNS - 1):
                moved = share * (light[i, crystal] - light[i, other])
                light[i, crystal] -= moved
                light[i, other] += moved
                moved = share * (depth[i, crystal] - depth[i, other])
                depth[i, crystal] -= moved
                depth[i, other] += moved


def deposit(hits: Hits, key: FillKey, settings: ShowerSettings | None = None) -> CrystalDeposits:
    """Light of every particle that comes into a calorimeter; as `shower`, without the leakage."""
    return shower(hits, key, settings)[0]


def shower(hits: Hits, key: FillKey, settings: ShowerSettings | None = None) -> tuple[CrystalDeposits, Leakage]:
    """Shower every particle that comes into a calorimeter.

    Parameters
    ----------
    hits
        calo, u and v where it comes in [m], depth of that place behind the face [m], slopes du and dv to the face
        normal, energy [GeV], time [s], number, order (above 0: a photon).
    key
        The fill; random numbers of stages SHOWER and ALBEDO are counted per (parent muon, order, calorimeter).
    settings
        Crystals and shower constants.

    Returns
    -------
    CrystalDeposits
        Sorted by hit and crystal; crystals without light have no row.
    Leakage
        Energy that each hit loses.

    Raises
    ------
    ValueError
        A hit that cannot be: its row and column are named.
    """
    settings = settings or ShowerSettings()
    light, depth, leakage = spread(hits, key, settings)
    return collect(hits, light, depth, settings), leakage


def spread(hits: Hits, key: FillKey, settings: ShowerSettings) -> tuple[NDArray, NDArray, Leakage]:
    """Return light (n, 54) [GeV], light times depth (n, 54) [GeV m] and leakage, arrays (n,) [GeV]."""
    check(hits)
    n = len(hits.energy)
    light = np.zeros((n, CRYSTALS))
    depth = np.zeros((n, CRYSTALS))
    leakage = Leakage(*np.zeros((4, n)))
    whole = {"calo", "number", "order"}
    columns = _Particle._make(
        np.ascontiguousarray(getattr(hits, name), dtype=np.int64 if name in whole else np.float64)
        for name in _Particle._fields
    )
    shower_step(n, columns, _Medium.of(settings), key, light, depth, leakage)
    if settings.crosstalk > 0.0:
        _crosstalk_step(n, settings.crosstalk, light, depth)
    return light, depth, leakage
