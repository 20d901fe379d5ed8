"""The 6 x 9 PbF2 crystals of a calorimeter: their sizes and settings, and the light and leakage of what hits them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.constants import speed_of_light
from scipy.special import gammainc

from detectors.shower_profile import LN_Y_TRACK, profile_in_depth
from gpu.kernel import scalar
from gpu.march import plain

if TYPE_CHECKING:
    from detectors.transport import Hits

COLUMNS = 9
ROWS = 6
CRYSTALS = COLUMNS * ROWS
CALORIMETERS = 24
MOST_PHOTONS = 1023
"""Largest `order` of a hit: more would need random numbers that belong to others."""

CENTRE_ENERGY = 2.0
"""Attenuation leaves the light from the mean depth of a shower of this energy as it is [GeV]."""


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
    # The next two are not measured: they are set so that the whole chain (with 1.4 photoelectrons/MeV) has
    # the published resolution, sqrt((1.5 %)^2 + (4.5 %)^2 GeV/E) (nkinnaird/PrecessionFrequencyAnalysis
    # @54b9b45). GP fitted their spreads for energies of many GeV; at full size the light that leaks behind 15
    # X0 would alone fluctuate by 3.2 % at 3 GeV, more than the whole measured resolution.
    light_fluctuation: float = 0.66  # relative spread of the light of one spot (visible track length)
    profile_fluctuation: float = 0.45  # factor on GP's spreads of ln T and ln alpha
    attenuation_length: float = 1.0  # [m] of the light on its way to the sensor: best estimate; 0 for none
    albedo: float = 0.005  # share of the energy that soft photons carry from the face to all crystals: best estimate
    crosstalk: float = 0.0  # share of a crystal's light that each neighbour sees: none through the black wrapping

    def __post_init__(self) -> None:
        bounds = {
            "pitch_u": (0.001, 1.0, " m"), "pitch_v": (0.001, 1.0, " m"), "length": (0.01, 10.0, " m"),
            "radiation_length": (0.001, 1.0, " m"), "moliere_radius": (0.001, 1.0, " m"),
            "critical_energy": (1e-3, 0.1, " GeV"), "z_effective": (1.0, 100.0, ""),
            "refractive_index": (1.0, 3.0, ""), "light_fluctuation": (0.0, 1.0, ""),
            "profile_fluctuation": (0.0, 1.0, ""), "attenuation_length": (0.0, math.inf, " m"),
            "albedo": (0.0, 0.05, ""), "crosstalk": (0.0, 0.1, ""),
        }  # fmt: skip
        for name, (low, high, unit) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                wanted = f"{low:g} to {high:g}{unit}" if math.isfinite(high) else f"{low:g}{unit} or more"
                raise ValueError(f"{name} = {value} is out of bounds: give {wanted}.")
        if 0.0 < self.attenuation_length < self.length:
            raise ValueError(
                f"attenuation_length = {self.attenuation_length} m is shorter than the crystals, {self.length} m: "
                "give a longer one, or 0 for none."
            )

    @property
    def centre(self) -> float:
        """Mean depth of the energy that a mean shower of 2 GeV leaves in the crystals [m]: where light counts as 1."""
        alpha, beta, end = self._profile(CENTRE_ENERGY)
        return float(alpha / beta * gammainc(alpha + 1.0, end) / gammainc(alpha, end) * self.radiation_length)

    def _profile(self, energy: float) -> tuple[float, float, float]:
        """Alpha, beta of the mean shower, and the end of the crystals in its units."""
        ln_y = max(math.log(energy / self.critical_energy), LN_Y_TRACK)
        alpha, beta, _, _ = plain(profile_in_depth)(ln_y, self.z_effective, 0.0, 0.0)
        return alpha, beta, beta * self.length / self.radiation_length

    def seen(self, energy: float) -> float:
        """Light over energy of the mean shower of a positron, as far as depth decides it: rear leakage, attenuation.

        The gamma distribution of depths t (in X0) times exp(k t), k = X0/attenuation length, is again one:
        int_0^L = (beta/(beta - k))^alpha P(alpha, (beta - k) L), P the regularised incomplete gamma function.

        Parameters
        ----------
        energy
            Of the positron [GeV].
        """
        alpha, beta, end = self._profile(energy)
        fewer = 1.0 - self.attenuation * self.radiation_length / beta
        return float(fewer**-alpha * gammainc(alpha, fewer * end) * math.exp(-self.attenuation * self.centre))

    @property
    def attenuation(self) -> float:
        """Inverse of the attenuation length [1/m]."""
        return 1.0 / self.attenuation_length if self.attenuation_length > 0.0 else 0.0


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
    order : int64 array
        Of the hit: a positron and its photons may light one crystal, each with random numbers of its own.
    """

    hit: NDArray[np.int64]
    number: NDArray[np.int64]
    calo: NDArray[np.int64]
    crystal: NDArray[np.int64]
    energy: NDArray[np.float64]
    time: NDArray[np.float64]
    order: NDArray[np.int64]


class Leakage(NamedTuple):
    """Where the energy of each hit goes that does not stay with its shower; all arrays have shape (n,) [GeV].

    The energy in the crystals, that of the albedo among it, is the energy of the hit less front, rear and side.

    Attributes
    ----------
    front : float64 array
        Out of the face.
    rear : float64 array
        Out of the rear; also what a shower has left after 20 radiation lengths, and a photon that never converts.
    side : float64 array
        Out of the four sides.
    albedo : float64 array
        Carried to any crystal by soft photons: light of the calorimeter, but far from the shower.
    """

    front: NDArray[np.float64]
    rear: NDArray[np.float64]
    side: NDArray[np.float64]
    albedo: NDArray[np.float64]


@scalar
def crystal_at(x: float, y: float, depth: float, pitch_u: float, pitch_v: float, length: float) -> int:
    """Return the number of the crystal around a point [m], or -1 outside the array.

    Seen from the beam, outwards (u > 0) is to the left: crystal 0 is bottom right, 8 bottom left, 53 top
    left.
    """
    column = math.floor(x / pitch_u + 0.5 * COLUMNS)
    row = math.floor(y / pitch_v + 0.5 * ROWS)
    inside = 0 <= column < COLUMNS and 0 <= row < ROWS and 0.0 < depth < length
    return int(row) * COLUMNS + int(column) if inside else -1


def check(hits: Hits) -> None:
    """Refuse hits that cannot be; calorimeters, energies, places, and the order of photons.

    Raises
    ------
    ValueError
        Names the first bad row.
    """
    calo, order, energy, depth = (np.asarray(getattr(hits, name)) for name in ("calo", "order", "energy", "depth"))
    tests = (
        ("calo", (calo >= 0) & (calo < CALORIMETERS), f"0 to {CALORIMETERS - 1}"),
        ("order", (order >= 0) & (order <= MOST_PHOTONS), f"0 to {MOST_PHOTONS}"),
        ("energy", (energy > 0.0) & np.isfinite(energy), "a positive number [GeV]"),
        ("depth", (depth >= 0.0) & np.isfinite(depth), "0 or more [m]"),
        *((name, np.isfinite(getattr(hits, name)), "a number") for name in ("u", "v", "du", "dv", "time")),
    )
    for name, good, wanted in tests:
        if not np.all(good):
            row = int(np.argmin(good))
            raise ValueError(f"hit {row} has {name} = {getattr(hits, name)[row]}, which cannot be: give {wanted}.")


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
        np.asarray(hits.order, dtype=np.int64)[hit],
    )
