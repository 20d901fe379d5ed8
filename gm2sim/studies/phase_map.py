"""Phase of the detected positrons by the place of the decay: A(x, y) exp(i phase) from decays on a grid."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decay.michel import ENERGY_END, rest_asymmetry
from decay.positron import Positrons, decay
from detectors.geometry import Geometry
from detectors.transport import Fate, transport
from fields.total import field_tables
from gm2sim.machine import quad_settings
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Floats
from gm2sim.studies.precession import BLOCKS
from gpu.march import plain
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import MASS, POSITRON_MASS

Vectors = NDArray[np.complex128]
_SPACING = 0.010  # of the grid [m]
_RADIUS = 0.0425  # its edge: muons beyond are few [m]
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
# Powers of x and y in the smooth map; ring and calorimeters are the same above and below the midplane.
_POWERS = ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 2), (0, 4), (1, 2), (2, 2))
_UNIT = 0.045  # [m]


@dataclass(frozen=True)
class PhaseMap:
    """Sum of the asymmetries of detected positrons as a smooth complex function of the place of decay.

    A muon at (x, y) whose spin is an angle alpha behind its momentum gives N [1 + A cos(alpha - psi)] positrons,
    V = N A exp(i psi); the phase of the wiggle N ~ 1 + A cos(omega_a t - phi) is that of injection less psi.

    Attributes
    ----------
    x, y : arrays (g,) [m]
        Grid.
    vectors : complex array (blocks, g)
        V at the grid, from each part of the decays.
    counts : array (g,)
        Detected positrons.
    coefficients : complex array (powers,)
        Of the smooth map.
    """

    x: Floats
    y: Floats
    vectors: Vectors
    counts: NDArray[np.int64]
    coefficients: Vectors

    def __call__(self, x: ArrayLike, y: ArrayLike) -> Vectors:
        """V at places [m], any shape."""
        return np.asarray(np.tensordot(self.coefficients, powers(x, y), axes=(0, 0)))

    def phase(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """What the place adds to the phase of the wiggle [rad]."""
        return -np.angle(self(x, y))

    def without(self, block: int) -> "PhaseMap":
        """The map with one part of the decays left out."""
        return _smooth(self.x, self.y, np.delete(self.vectors, block, axis=0), self.counts)


def phase_map(case: Case, decays: int) -> PhaseMap:
    """Positrons of the same decays, born at every point of a grid, flown to the calorimeters.

    Decays are isotropic in the muon's rest frame and spread evenly around the ring; each counts with the
    asymmetry of its own energy and direction, a (n_s + i n_x), which is the expectation over all spins: no spin
    is drawn, and the difference between two places is that of the same positrons.

    Parameters
    ----------
    case : Case
        Its threshold (``fit.threshold_gev``) is applied to the energy at the calorimeter's face.
    decays : int
        Before the threshold takes five out of six.
    """
    born, vector = isotropic_decays(case, decays, case.config.fit.threshold_gev)
    block = np.arange(born.n) * BLOCKS // born.n
    x, y = upper_grid()
    fields = field_tables(case.storage, quad_settings(case.config), case.tables.ring)
    geometry, key = Geometry(ring=case.tables.ring), FillKey(case.seed, case.config.run.run, 0, 0)
    vectors, counts = np.zeros((BLOCKS, x.size), np.complex128), np.zeros(x.size, np.int64)
    for g in range(x.size):
        placed = born._replace(x=np.full(born.n, x[g]), y=np.full(born.n, y[g]))
        _, ends = transport(placed, fields, geometry, key)
        seen = (ends.fate == Fate.HIT) & (ends.energy > case.config.fit.threshold_gev)
        where, what = block[seen], vector[seen]
        vectors[:, g] = np.bincount(where, what.real, BLOCKS) + 1j * np.bincount(where, what.imag, BLOCKS)
        counts[g] = int(seen.sum())
    return _smooth(x, y, vectors, counts)


def upper_grid() -> tuple[Floats, Floats]:
    """Places of the maps, 10 mm apart, on and above the midplane: ring and calorimeters are alike below."""
    side = np.arange(-4, 5) * _SPACING
    x, y = (axis.ravel() for axis in np.meshgrid(side, side[side >= -1e-9]))
    inside = np.hypot(x, y) < _RADIUS
    return x[inside], y[inside]


def isotropic_decays(case: Case, decays: int, least: float) -> tuple[Positrons, Vectors]:
    """Positrons of isotropic decays on the design orbit, and the asymmetry vector a (n_s + i n_x) of each.

    Parameters
    ----------
    case : Case
    decays : int
        Spread evenly around the ring.
    least : float [GeV]
        Only positrons above this energy are returned.
    """
    muons = Bunch.empty(decays).with_momentum(case.delta_magic, case.reference)
    muons = muons._replace(theta=2.0 * math.pi * np.mod(_GOLDEN * np.arange(decays), 1.0))
    muons.state[:] = State.DECAYED
    born = decay(muons, case.reference, FillKey(case.seed, case.config.run.run, 0, 0), 0.0)
    born = Positrons._make(np.ascontiguousarray(c[born.energy > least]) for c in born)
    gamma = float(muons.energy[0]) / MASS
    boost = math.sqrt(gamma**2 - 1.0)
    energy, along = gamma * born.energy - boost * born.ps, gamma * born.ps - boost * born.energy
    momentum = np.sqrt((energy - POSITRON_MASS) * (energy + POSITRON_MASS))
    strength = plain(rest_asymmetry)(energy / ENERGY_END, momentum / ENERGY_END)
    return born, strength * (along + 1j * born.px) / momentum


def _smooth(x: Floats, y: Floats, vectors: Vectors, counts: NDArray[np.int64]) -> PhaseMap:
    """Least squares of the polynomial."""
    found, *_ = np.linalg.lstsq(powers(x, y).T, vectors.sum(axis=0), rcond=None)
    return PhaseMap(x, y, vectors, counts, found)


def powers(x: ArrayLike, y: ArrayLike) -> Floats:
    """Powers of x and y that the smooth map is a sum of, shape (9, ...) for places [m] of shape (...)."""
    u, v = np.asarray(x, float) / _UNIT, np.asarray(y, float) / _UNIT
    return np.stack([u**j * v**k for j, k in _POWERS])
