"""Constants of the muon and the reference orbit that the tracker measures everything against."""

import math
from typing import NamedTuple

from scipy.constants import physical_constants, speed_of_light

LIGHT_SPEED: float = speed_of_light
"""Speed of light [m/s]; exact."""

MASS: float = physical_constants["muon mass energy equivalent in MeV"][0] * 1e-3
"""Muon mass [GeV]; CODATA 2022, 105.6583755(23) MeV."""

POSITRON_MASS: float = physical_constants["electron mass energy equivalent in MeV"][0] * 1e-3
"""Positron mass [GeV]; CODATA 2022, 0.51099895069(16) MeV."""

LIFETIME: float = 2.1969803e-6
"""Mean life of the muon at rest [s]; MuLan, Phys. Rev. Lett. 106, 041803 (2011): 2196980.3(2.2) ps."""

ANOMALY: float = 1.165920705e-3
"""Magnetic anomaly a_mu; combined Fermilab Muon g-2 result, arXiv:2506.03069 (2025): 1165920705(148)e-12."""

RIGIDITY: float = LIGHT_SPEED * 1e-9
"""Momentum of a unit charge per magnetic rigidity [GeV/c / (T m)]."""


def magic_momentum(anomaly: float = ANOMALY, mass: float = MASS) -> float:
    """Momentum at which an electric field leaves the anomalous precession alone, m / sqrt(a) [GeV/c]."""
    return mass / math.sqrt(anomaly)


P_MAGIC: float = magic_momentum()
"""Magic momentum of the muon [GeV/c]."""


class Reference(NamedTuple):
    """The particle that circles at the design radius: units of the tracker and origin of its coordinates."""

    p0_gev: float  # momentum p0 = e B0 R0 [GeV/c]
    b0: float  # azimuthal average of the vertical field [T]
    r0: float  # design radius [m]
    beta0: float  # velocity over c
    gamma0: float  # Lorentz factor
    energy0: float  # total energy [GeV]

    @property
    def period(self) -> float:
        """Time of one turn [s]."""
        return 2.0 * math.pi * self.r0 / (self.beta0 * LIGHT_SPEED)


def reference(b0: float, r0: float) -> Reference:
    """Reference of a muon that bends with radius ``r0`` in the field ``b0``.

    Parameters
    ----------
    b0
        Azimuthal average of the vertical field [T].
    r0
        Design radius [m].
    """
    p0 = RIGIDITY * b0 * r0
    energy = math.hypot(p0, MASS)
    return Reference(p0, b0, r0, p0 / energy, energy / MASS, energy)
