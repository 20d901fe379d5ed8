"""Electromagnetic showers of positrons in the 6 x 9 PbF2 crystals of a calorimeter, and what leaks out.

The shower is drawn as spots of light around its axis, after G. Grindhammer and S. Peters, "The parameterized
simulation of electromagnetic showers in homogeneous and sampling calorimeters", hep-ex/0001020 (GP below):
a gamma distribution in depth whose maximum and shape fluctuate together, and a core and a tail in radius.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light

from gpu.fastmath import log, sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, philox4x32

if TYPE_CHECKING:
    from detectors.transport import Hits

COLUMNS = 9
ROWS = 6
CRYSTALS = COLUMNS * ROWS
CALORIMETERS = 24

_LAYER = 0.5  # [X0] thickness of a layer: GP's profiles vary over one X0 and more
_LAYERS = 40  # 20 X0 along the axis; the crystals end at 15 X0, more along a tilted axis
# Below this ln(E/Ec) (about 180 MeV) the fluctuations of GP, fitted above 1 GeV, would grow without bound.
_LN_Y_MIN = 3.0
_SPOTS_MAX = 4000.0
_STAGE = int(Stage.SHOWER)
_TO_UNIT = 2.0**-32
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class ShowerSettings:
    """Crystals and shower constants of a calorimeter.

    Sizes of the array: the box of 226.4 x 151.1 mm over 9 x 6 crystals of 25 mm, 140 mm deep
    (lyon-fnal/gm2geom @17163ed); the 0.16 mm of wrapping between crystals holds next to no matter and is
    given to the crystals.
    """

    pitch_u: float = 0.2264 / COLUMNS  # [m]
    pitch_v: float = 0.1511 / ROWS  # [m]
    length: float = 0.140  # [m]
    radiation_length: float = 0.0093  # [m] nkinnaird/Dissertation @8f8e9eb
    moliere_radius: float = 0.018  # [m] of Cherenkov light (22 mm for deposited energy): best estimate (recalled)
    critical_energy: float = 0.0085  # [GeV] GP eq. for Ec: 2.66 MeV (X0 Z/A)^1.1, Z/A of the mass-weighted mean
    z_effective: float = 70.7  # mass-weighted mean of Pb (0.845) and F (0.155)
    refractive_index: float = 1.8  # nkinnaird/Dissertation @8f8e9eb
    # The last two are not measured: they are set so that the whole chain (with 1.4 photoelectrons/MeV) has
    # the published resolution, sqrt((1.5 %)^2 + (4.5 %)^2 GeV/E) (nkinnaird/PrecessionFrequencyAnalysis
    # @54b9b45). GP fitted their spreads for energies of many GeV; at full size the light that leaks behind 15
    # X0 would alone fluctuate by 3.2 % at 3 GeV, more than the whole measured resolution.
    light_fluctuation: float = 0.72  # relative spread of the light of one spot (visible track length)
    profile_fluctuation: float = 0.45  # factor on GP's spreads of ln T and ln alpha

    def __post_init__(self) -> None:
        for name in ("light_fluctuation", "profile_fluctuation"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} = {value} is out of bounds: give 0 to 1.")


class CrystalDeposits(NamedTuple):
    """Light of the showers of a fill, one row per hit and crystal.

    Attributes
    ----------
    hit, number : int64 arrays
        Index in the hits handed in; number of the parent muon in the fill.
    calo, crystal : int64 arrays
        0 to 23; 0 to 53 (0 = bottom right, 8 = bottom left, 53 = top left, seen from the beam).
    energy : float64 array
        Light seen in the crystal, as the energy that makes it on average [GeV].
    time : float64 array
        When the light reaches the sensor, less the flight time of light over the whole crystal [s].
    """

    hit: NDArray[np.int64]
    number: NDArray[np.int64]
    calo: NDArray[np.int64]
    crystal: NDArray[np.int64]
    energy: NDArray[np.float64]
    time: NDArray[np.float64]


class _Medium(NamedTuple):
    pitch_u: float
    pitch_v: float
    length: float
    radiation_length: float
    moliere_radius: float
    critical_energy: float
    z_effective: float
    refractive_index: float
    light_fluctuation: float
    profile_fluctuation: float


class _Positron(NamedTuple):
    calo: NDArray[np.int64]
    number: NDArray[np.int64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    du: NDArray[np.float64]
    dv: NDArray[np.float64]
    energy: NDArray[np.float64]


@scalar
def profile_in_depth(ln_y, z, g, h):
    """Draw alpha, beta of GP eq. 2 (depth in X0) with GP's table for homogeneous media; also tau per X0."""
    mean_t = math.log(ln_y - 0.812)
    mean_a = math.log(0.81 + (0.458 + 2.26 / z) * ln_y)
    sigma_t = 1.0 / (-1.4 + 1.26 * ln_y)
    sigma_a = 1.0 / (-0.58 + 0.86 * ln_y)
    rho = 0.705 - 0.023 * ln_y
    plus, minus = math.sqrt(0.5 * (1.0 + rho)), math.sqrt(0.5 * (1.0 - rho))
    maximum = math.exp(mean_t + sigma_t * (plus * g + minus * h))
    alpha = max(1.1, math.exp(mean_a + sigma_a * (plus * g - minus * h)))
    beta = (alpha - 1.0) / maximum
    mean_alpha = math.exp(mean_a)
    # GP scale radial profiles with the centre of gravity alpha/beta of this very shower.
    tau_per_x0 = beta / alpha * mean_alpha / (mean_alpha - 1.0)
    return alpha, beta, maximum, tau_per_x0


@scalar
def profile_in_radius(tau, ln_e, z):
    """Return core radius, tail radius [Moliere radii] and weight of the core at depth tau (GP)."""
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * z) * tau
    k4 = 0.3585 + 0.0421 * ln_e
    tail = (0.659 - 0.00309 * z) * (math.exp(-2.59 * (tau - 0.645)) + math.exp(k4 * (tau - 0.645)))
    x = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_e)
    weight = (2.632 - 0.00094 * z) * math.exp(x - math.exp(x))
    return max(core, 0.005), tail, min(max(weight, 0.0), 1.0)


@scalar
def gamma_in_layer(layer, alpha, beta, log_norm):
    """Integrate a gamma distribution over one layer by three Gauss points."""
    middle = (layer + 0.5) * _LAYER
    half = 0.3872983346207417 * _LAYER  # sqrt(3/5)/2
    total = 0.0
    for k in range(3):
        t = middle + (k - 1) * half
        weight = 8.0 / 18.0 if k == 1 else 5.0 / 18.0
        total += weight * math.exp(log_norm + (alpha - 1.0) * math.log(t) - beta * t)
    return total * _LAYER


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
def axis(du, dv):
    """Return the unit vector along the shower, and two unit vectors square to it: (nz, 0, -nx) and n x e1."""
    nz = 1.0 / math.sqrt(1.0 + du * du + dv * dv)
    nx, ny = du * nz, dv * nz
    across = 1.0 / math.sqrt(nx * nx + nz * nz)
    e1x, e1z = nz * across, -nx * across
    return (nx, ny, nz), (e1x, e1z), (ny * e1z, nz * e1x - nx * e1z, -ny * e1x)


@scalar
def crystal_at(x, y, depth, pitch_u, pitch_v, length):
    """Return the number of the crystal around a point [m], or -1 outside the array.

    Seen from the beam, outwards (u > 0) is to the left: crystal 0 is bottom right, 8 bottom left, 53 top
    left.
    """
    column = math.floor(x / pitch_u + 0.5 * COLUMNS)
    row = math.floor(y / pitch_v + 0.5 * ROWS)
    inside = 0 <= column < COLUMNS and 0 <= row < ROWS and 0.0 < depth < length
    return int(row) * COLUMNS + int(column) if inside else -1


@Kernel
def shower_step(i, hits, medium, key, light, depth, leaked):
    """Spread the light of hit i over its row of crystals; `depth` sums light times depth [GeV m]."""
    energy, calo, number = hits.energy[i], hits.calo[i], hits.number[i]
    z = medium.z_effective
    ln_e = log(energy)
    ln_y = max(_LN_Y_MIN, log(energy / medium.critical_energy))
    draw = int(calo) << 16  # each calorimeter that a positron meets has its own range of draws
    g, h = normal2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, draw)
    scale = medium.profile_fluctuation
    alpha, beta, maximum, tau_per_x0 = profile_in_depth(ln_y, z, scale * g, scale * h)
    norm = alpha * math.log(beta) - math.lgamma(alpha)
    # GP: the spots follow a second gamma distribution, earlier and wider than that of the energy.
    spot_alpha = max(1.05, alpha * (0.639 + 0.00334 * z))
    spot_beta = (spot_alpha - 1.0) / (maximum * (0.698 + 0.00212 * z))
    spot_norm = spot_alpha * math.log(spot_beta) - math.lgamma(spot_alpha)
    spots = min(_SPOTS_MAX, 93.0 * math.log(z) * math.exp(0.876 * ln_e))
    n, e1, e2 = axis(hits.du[i], hits.dv[i])
    seed, subrun, fill = int(key.seed) & _MASK, int(key.subrun) & _MASK, int(key.fill) & _MASK
    k1 = ((int(key.run) << 8) | _STAGE) & _MASK

    inside = 0.0
    carry = 0.5
    for layer in range(_LAYERS):
        part = energy * gamma_in_layer(layer, alpha, beta, norm)
        carry += spots * gamma_in_layer(layer, spot_alpha, spot_beta, spot_norm)
        count = max(1, int(carry))
        carry -= int(carry)
        core_and_tail = profile_in_radius((layer + 0.5) * _LAYER * tau_per_x0, ln_e, z)
        for spot in range(count):
            draw += 1
            words = philox4x32(draw, int(number) & _MASK, fill, subrun, seed, k1)
            radius, s, c, weight = _spot(words, core_and_tail, medium.light_fluctuation)
            along = (layer + (spot + 0.5) / count) * _LAYER * medium.radiation_length
            r1, r2 = radius * medium.moliere_radius * c, radius * medium.moliere_radius * s
            x = hits.u[i] + n[0] * along + r1 * e1[0] + r2 * e2[0]
            y = hits.v[i] + n[1] * along + r2 * e2[1]
            deep = n[2] * along + r1 * e1[1] + r2 * e2[2]
            crystal = crystal_at(x, y, deep, medium.pitch_u, medium.pitch_v, medium.length)
            if crystal >= 0:
                light[i, crystal] += part / count * weight
                depth[i, crystal] += part / count * weight * deep
                inside += part / count
    leaked[i] = energy - inside


def deposit(hits: Hits, key: FillKey, settings: ShowerSettings | None = None) -> CrystalDeposits:
    """Shower every positron that hits a calorimeter face.

    Parameters
    ----------
    hits
        calo, u and v on the face [m], slopes du and dv to the face normal, energy [GeV], time [s], number.
    key
        The fill; random numbers of stage SHOWER are counted per (parent muon, calorimeter).
    settings
        Crystals and shower constants.

    Returns
    -------
    CrystalDeposits
        Sorted by hit and crystal; crystals without light have no row.
    """
    settings = settings or ShowerSettings()
    light, depth, _ = spread(hits, key, settings)
    return collect(hits, light, depth, settings)


def spread(hits: Hits, key: FillKey, settings: ShowerSettings) -> tuple[NDArray, NDArray, NDArray]:
    """Return light (n, 54) [GeV], light times depth (n, 54) [GeV m] and leaked energy (n,) [GeV]."""
    n = len(hits.energy)
    light = np.zeros((n, CRYSTALS))
    depth = np.zeros((n, CRYSTALS))
    leaked = np.zeros(n)
    columns = _Positron(
        np.ascontiguousarray(hits.calo, dtype=np.int64),
        np.ascontiguousarray(hits.number, dtype=np.int64),
        *(np.ascontiguousarray(getattr(hits, name), dtype=np.float64) for name in _Positron._fields[2:]),
    )
    shower_step(n, columns, _Medium(*astuple(settings)), key, light, depth, leaked)
    return light, depth, leaked


def collect(hits: Hits, light: NDArray, depth: NDArray, settings: ShowerSettings) -> CrystalDeposits:
    """Keep the lit crystals, and find the mean time of their light at the sensor."""
    hit, crystal = (np.ascontiguousarray(index) for index in np.nonzero(light))
    energy = light[hit, crystal]
    mean_depth = depth[hit, crystal] / energy
    # The shower moves with c, its light onwards with c/n: what is made deeper arrives earlier.
    delay = (1.0 - settings.refractive_index) * mean_depth / speed_of_light
    return CrystalDeposits(
        hit,
        np.asarray(hits.number, dtype=np.int64)[hit],
        np.asarray(hits.calo, dtype=np.int64)[hit],
        crystal,
        energy,
        np.asarray(hits.time, dtype=np.float64)[hit] + delay,
    )
