"""Decay mu+ -> e+ nu_e anti-nu_mu at tree level, electron mass kept: sampling, and closed forms in the lab.

In the muon's rest frame, with x the positron's energy over its largest value W, x0 = m_e / W,
p = sqrt(x^2 - x0^2) and theta the angle between positron and muon spin,

    d2N / (dx dcos theta) ~ p [3 x - 2 x^2 - x0^2 + P cos(theta) p (2 x - 2 + sqrt(1 - x0^2))],

which is the rate of the review "Muon Decay Parameters" in R. L. Workman et al. (Particle Data Group),
Prog. Theor. Exp. Phys. 2022, 083C01, its F_IS and F_AS, with the standard model's rho = delta = 3/4, eta = 0
and xi = 1.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu.fastmath import exp, log
from gpu.kernel import scalar
from gpu.march import plain
from tracking.muon import MASS, POSITRON_MASS

FloatArray = NDArray[np.float64]

ENERGY_END: float = (MASS**2 + POSITRON_MASS**2) / (2.0 * MASS)
"""Largest energy W of the positron in the muon's rest frame [GeV]."""

X0: float = POSITRON_MASS / ENERGY_END
"""Positron mass over W, the lowest x."""

_P_END = math.sqrt(1.0 - X0**2)
_NEWTON_STEPS = 6  # quadratic from a start within 0.02: rounding is reached after four


@scalar
def cumulative(p: float) -> float:
    """Integral of the isotropic rate p (3 x - 2 x^2 - x0^2) dx up to the x whose momentum is `p`.

    With p dp = x dx all terms integrate in closed form; not normalised.
    """
    x = math.sqrt(p * p + X0 * X0)
    rapidity: float = log((x + p) / X0)
    return p * p * p * (1.0 - 0.5 * x) - 0.75 * X0 * X0 * (x * p - X0 * X0 * rapidity)


_TOTAL: float = plain(cumulative)(_P_END)  # in plain Python: importing compiles nothing


@scalar
def sample_energy(u: float) -> tuple[float, float]:
    """Invert the distribution of the positron's energy, whatever the muon's spin.

    Parameters
    ----------
    u
        Uniform number in (0, 1).

    Returns
    -------
    x, p
        Energy and momentum in the rest frame over W; exact to rounding after a fixed number of Newton steps.
    """
    # The massless distribution x^3 (2 - x) = u gives the start, one substitution away from exact.
    t = exp(log(u) / 3.0)
    p = t * _P_END * exp(-log(2.0 - t) / 3.0)
    for _ in range(_NEWTON_STEPS):
        x = math.sqrt(p * p + X0 * X0)
        density = p * p * (3.0 - 2.0 * x - X0 * X0 / x)
        p = min(max(p - (cumulative(p) - u * _TOTAL) / density, 0.5 * p), _P_END)
    return math.sqrt(p * p + X0 * X0), p


@scalar
def rest_asymmetry(x: float, p: float) -> float:
    """Coefficient of P cos(theta) at energy `x` and momentum `p` over W."""
    return p * (2.0 * x - 2.0 + _P_END) / (3.0 * x - 2.0 * x * x - X0 * X0)


@scalar
def sample_cosine(asymmetry: float, v: float) -> float:
    """Invert the distribution of density (1 + asymmetry c) / 2 on -1 < c < 1, for a uniform `v` in (0, 1)."""
    root = math.sqrt(max(1.0 - asymmetry * (2.0 - asymmetry - 4.0 * v), 0.0))
    return (4.0 * v - 2.0 + asymmetry) / (1.0 + root)


def number(y: ArrayLike) -> FloatArray:
    """Positrons per unit of y in the lab, massless and beta = 1, integral 1: N(y) = (y-1)(4y^2-5y-5)/3.

    Parameters
    ----------
    y
        Lab energy over its largest value, 0 to 1.
    """
    y = np.asarray(y, np.float64)
    return (y - 1.0) * (4.0 * y**2 - 5.0 * y - 5.0) / 3.0


def asymmetry(y: ArrayLike) -> FloatArray:
    """Asymmetry in the lab, massless positron and beta = 1: A(y) = (1+y-8y^2)/(4y^2-5y-5).

    The rate of positrons is N(y) [1 + P A(y) cos(angle between the muon's spin and momentum)], as in
    G. W. Bennett et al., Phys. Rev. D 73, 072003 (2006), for mu+.

    Parameters
    ----------
    y
        Lab energy over its largest value, 0 to 1.
    """
    y = np.asarray(y, np.float64)
    return (1.0 + y - 8.0 * y**2) / (4.0 * y**2 - 5.0 * y - 5.0)


def lab_energy_end(gamma: float) -> float:
    """Largest lab energy of the positron of a muon with Lorentz factor `gamma` [GeV]."""
    return ENERGY_END * (gamma + math.sqrt(gamma**2 - 1.0) * _P_END)


def lab_spectrum(energy: ArrayLike, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Number and asymmetry in the lab with the positron's mass and the muon's true velocity.

    At fixed x a lab energy E means cos = (E / gamma - x W) / (beta p W) about the muon's direction; the
    rest-frame rate, divided by 2 gamma beta p W, is then a polynomial in x and integrates in closed form over
    the x that can reach E.

    Parameters
    ----------
    energy
        Lab energies [GeV], any shape.
    gamma
        Lorentz factor of the muon.

    Returns
    -------
    n
        Decays per energy, integral 1 [1/GeV]; zero where no positron can be.
    na
        Number times asymmetry [1/GeV]: the rate is n + P na cos(angle between the muon's spin and momentum).
    """
    energy = np.asarray(energy, np.float64)
    beta = math.sqrt(1.0 - 1.0 / gamma**2)
    momentum = np.sqrt(np.maximum(energy**2 - POSITRON_MASS**2, 0.0))
    low = gamma * (energy - beta * momentum) / ENERGY_END
    high = np.minimum(gamma * (energy + beta * momentum) / ENERGY_END, 1.0)
    allowed = (high > low) & (energy > POSITRON_MASS)
    scale = 1.0 / (2.0 * gamma * beta * ENERGY_END * _TOTAL)
    e = energy / (gamma * ENERGY_END)
    offset = 2.0 - _P_END

    def isotropic(x: FloatArray) -> FloatArray:
        return 1.5 * x**2 - 2.0 / 3.0 * x**3 - X0**2 * x

    def polarised(x: FloatArray) -> FloatArray:
        return (-2.0 / 3.0 * x**3 + (e + 0.5 * offset) * x**2 - offset * e * x) / beta

    n = np.where(allowed, scale * (isotropic(high) - isotropic(low)), 0.0)
    return n, np.where(allowed, scale * (polarised(high) - polarised(low)), 0.0)
