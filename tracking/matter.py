"""A muon through metal or plastic: energy loss with its fluctuation, and multiple scattering.

The loss is the most probable one of L. Landau with a Moyal distribution around it (J. E. Moyal, Phil. Mag. 46
(1955) 263, doi:10.1080/14786440308521076), of the same width at half height, plus rare single collisions with
atomic electrons above a least energy, of probability xi/E^2 dE; that least energy is the one with which the mean
of both is the mean loss of H. Bethe. Formulas and symbols are those of the review of particle physics (Particle
Data Group), "Passage of particles through matter": xi, most probable loss, density effect. Constants of metals are
those of D. E. Groom, N. V. Mokhov, S. I. Striganov, At. Data Nucl. Data Tables 78 (2001) 183, those of polystyrene, of
which fibres are, too; those of lead fluoride are made from its elements, see there.
"""

import math
from typing import NamedTuple

from gpu.fastmath import exp, log
from gpu.kernel import scalar
from gpu.rng import FillKey, Stage, normal2, uniform2
from tracking.muon import MASS, POSITRON_MASS

_STAGE = int(Stage.MUON_SCATTERING)
_DRAWS = 3  # random draws reserved for one crossing
_MOYAL_WIDTH = 4.018 / 3.586  # full widths at half height: Landau 4.018 xi, Moyal 3.586 sigma
_MOYAL_MEAN = 1.2703628454614782  # Euler's constant + log 2
_K = 0.307075e-3 * 0.1  # 4 pi N_A r_e^2 m_e c^2 [GeV m^2/kg]
_LEAST_MOMENTUM = 0.1  # a muon that would be slower stays at this [GeV/c]


class Metal(NamedTuple):
    """A material for muons of one momentum."""

    xi: float  # Landau's xi per length [GeV/m]
    peak: float  # most probable loss over xi, less log(xi/GeV)
    mean: float  # mean loss [GeV/m]
    most: float  # largest loss in one collision [GeV]
    radiation_length: float  # [m]


class _Constants(NamedTuple):
    density: float  # [kg/m^3]
    z_over_a: float
    excitation: float  # [GeV]
    radiation_length: float  # [kg/m^2]
    sternheimer: tuple[float, float, float, float, float]  # C, x0, x1, a, k of the density effect


_CONSTANTS = {
    "copper": _Constants(8960.0, 0.45636, 322.0e-9, 128.6, (4.4190, -0.0254, 3.2792, 0.14339, 2.9044)),
    "polystyrene": _Constants(1060.0, 0.53768, 68.7e-9, 437.9, (3.2999, 0.1647, 2.5031, 0.16454, 3.2224)),
    "aluminium": _Constants(2699.0, 0.48181, 166.0e-9, 240.1, (4.2395, 0.1708, 3.0127, 0.08024, 3.6345)),
    # PbF2. Mean excitation energy: Bragg's rule with 823 eV for lead, 112 eV for fluorine in solids (ICRU Report 37).
    # Density effect: general rule for solids of R. M. Sternheimer, R. F. Peierls, Phys. Rev. B 3 (1971) 3681, plasma
    # energy 28.816 eV sqrt(7.77 Z/A) = 51.30 eV. Density and radiation length: nkinnaird/Dissertation @8f8e9eb.
    "lead fluoride": _Constants(7770.0, 0.40784, 574.8e-9, 72.3, (5.8327, 0.4014, 3.0, 0.22705, 3.0)),
}


def metal(name: str, momentum: float) -> Metal:
    """Loss and scattering of a material.

    Parameters
    ----------
    name
        "copper", "aluminium", "polystyrene" or "lead fluoride".
    momentum
        Of the muons [GeV/c]; losses change by 1 % for 20 % of it.

    Raises
    ------
    ValueError
        For a material that is not known.
    """
    if name not in _CONSTANTS:
        raise ValueError(f"metal {name!r} is not known: choose one of {', '.join(_CONSTANTS)}.")
    material = _CONSTANTS[name]
    c, x0, x1, a, k = material.sternheimer
    energy = math.hypot(momentum, MASS)
    beta2, boost = (momentum / energy) ** 2, momentum / MASS
    x = math.log10(boost)
    density = 2.0 * math.log(10.0) * x - c + (a * (x1 - x) ** k if x < x1 else 0.0) if x > x0 else 0.0
    xi = 0.5 * _K * material.density * material.z_over_a / beta2
    hardest = 2.0 * POSITRON_MASS * boost**2
    ratio = POSITRON_MASS / MASS
    most = hardest / (1.0 + 2.0 * energy / MASS * ratio + ratio**2)
    stop = math.log(hardest / material.excitation)
    return Metal(
        xi=xi,
        peak=stop - math.log(material.excitation) + 0.2 - beta2 - density,
        mean=2.0 * xi * (0.5 * (stop + math.log(most / material.excitation)) - beta2 - 0.5 * density),
        most=most,
        radiation_length=material.radiation_length / material.density,
    )


@scalar
def energy_loss(path: float, metal: Metal, number: int, crossing: int, key: FillKey) -> float:
    """Draw the energy that a muon loses on a path [m] through a metal [GeV]."""
    return float(_loss(path, metal, number, crossing, key, _STAGE))


@scalar
def _loss(path: float, metal: Metal, number: int, crossing: int, key: FillKey, stage: int) -> float:
    """The same with the random numbers of a stage."""
    xi = metal.xi * path
    peak = xi * (metal.peak + log(xi))
    width = _MOYAL_WIDTH * xi
    first = _DRAWS * crossing
    g, _ = normal2(key.seed, key.run, key.subrun, key.fill, stage, number, first)
    u, v = uniform2(key.seed, key.run, key.subrun, key.fill, stage, number, first + 1)
    loss = max(peak - 2.0 * width * log(max(abs(g), 1e-8)), 0.0)
    rare = max((metal.mean * path - peak - _MOYAL_MEAN * width) / xi, 0.0)
    least = metal.most * exp(-rare)
    if u < xi / least - xi / metal.most:
        loss += least / (1.0 - v * (1.0 - least / metal.most))
    return float(loss)


@scalar
def scattering(
    path: float, metal: Metal, momentum: float, number: int, crossing: int, key: FillKey
) -> tuple[float, float]:
    """Draw the two projected angles of multiple scattering on a path [m] [rad].

    Gaussian of rms 13.6 MeV/p sqrt(t) (1 + 0.038 ln t), t in radiation lengths: V. L. Highland, NIM 129 (1975)
    497, doi:10.1016/0029-554X(75)90743-0, with the constants of the review of particle physics.
    """
    a, b = _angles(path, metal, momentum, number, crossing, key, _STAGE)
    return a, b


@scalar
def _angles(
    path: float, metal: Metal, momentum: float, number: int, crossing: int, key: FillKey, stage: int
) -> tuple[float, float]:
    """The same with the random numbers of a stage."""
    t = path / metal.radiation_length
    g, h = normal2(key.seed, key.run, key.subrun, key.fill, stage, number, _DRAWS * crossing + 2)
    angle = 0.0136 / momentum * math.sqrt(t) * max(1.0 + 0.038 * log(t), 0.0)
    return angle * g, angle * h


@scalar
def after_metal(
    px: float, py: float, sx: float, sy: float, ss: float, e: float, path: float, metal: Metal, p0: float,
    number: int, crossing: int, key: FillKey,
) -> tuple[float, float, float, float, float, float, float, float, float]:  # fmt: skip
    """Momenta, spin and energy of a muon that has passed the metal of a collimator or plate; see `after_matter`."""
    return after_matter(  # type: ignore[no-any-return]
        px, py, sx, sy, ss, e, path, metal, p0, number, crossing, key, _STAGE
    )


@scalar
def after_matter(
    px: float, py: float, sx: float, sy: float, ss: float, e: float, path: float, metal: Metal, p0: float,
    number: int, crossing: int, key: FillKey, stage: int,
) -> tuple[float, float, float, float, float, float, float, float, float]:  # fmt: skip
    """Momenta, spin and energy of a muon that has passed matter, in the units of the tracker.

    The spin turns with the momentum: at the magic momentum an electric field, also that of a nucleus, turns both
    alike.

    Returns
    -------
    px, py, sx, sy, ss
        After the metal.
    e, dp, ip, ie
        New constants of the muon.
    """
    mass = MASS / p0
    before = math.sqrt((e - mass) * (e + mass))
    lost = _loss(path, metal, number, crossing, key, stage) / p0
    slowest = math.sqrt((_LEAST_MOMENTUM / p0) ** 2 + mass * mass)
    e = max(e - lost, slowest)
    after = math.sqrt((e - mass) * (e + mass))
    ax, ay = _angles(path, metal, after * p0, number, crossing, key, stage)
    shrink = after / before
    px = px * shrink + after * ax
    py = py * shrink + after * ay
    # Small angles: the rotation that carries s towards x by ax and towards y by ay.
    sx, sy, ss = sx + ax * ss, sy + ay * ss, ss - ax * sx - ay * sy
    length = 1.0 / math.sqrt(sx * sx + sy * sy + ss * ss)
    return px, py, sx * length, sy * length, ss * length, e, after - 1.0, 1.0 / after, 1.0 / (e + mass)
