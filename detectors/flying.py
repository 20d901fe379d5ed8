"""Particles in flight: positrons, electrons, photons; how their flights end; steps and switches."""

import math
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from decay.positron import Positrons
from detectors.geometry import GeometryTables
from gpu.fastmath import sincos
from gpu.kernel import Kernel
from tracking.muon import POSITRON_MASS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Fate(IntEnum):
    """What became of a positron."""

    OUT = 0  # still in flight at the longest path
    HIT = 1  # entered a calorimeter
    LOST_PLATE = 2  # left nearly all its energy in a plate of a quad or kicker
    LOST_COLLIMATOR = 3  # or in a collimator
    LOST_CHAMBER = 4  # stopped in the wall of the vacuum chamber, or left through it and met no calorimeter
    SLOW = 5  # born below the least momentum followed
    LOST_TRACKER = 6  # stopped in the manifolds of a tracker module
    LOST_CALORIMETER = 7  # stopped in a calorimeter that it met from behind
    STATION = 8  # came into the volume of a tracker station: no end, it flies on behind it


class Flying(NamedTuple):
    """Particles in flight, global frame; all arrays have shape (n,). A flight moves them to its end."""

    charge: IntArray  # 1 positron, -1 electron, 0 photon
    number: IntArray  # index of the parent muon in the fill
    order: IntArray  # 0 the positron itself; 1, 2, ... what it made
    inside: IntArray  # 1 in the vacuum of the chamber, 0 outside
    sheets: IntArray  # sheets of metal passed
    x: FloatArray  # place [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    dx: FloatArray  # unit vector
    dy: FloatArray
    dz: FloatArray
    energy: FloatArray  # total energy [GeV]
    time: FloatArray  # [s]
    path: FloatArray  # length of the path since the positron's birth [m]
    ahead: FloatArray  # of a photon: what it has to pass of the sheet it was radiated in [radiation lengths]
    ionised: FloatArray  # energy lost by ionisation [GeV]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` particles."""
        whole = {"charge", "number", "order", "inside", "sheets"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)

    def take(self, which: NDArray) -> "Flying":
        """Copies of the rows of an index or mask."""
        return Flying._make(np.ascontiguousarray(column[which]) for column in self)

    def put(self, rows: IntArray, other: "Flying") -> None:
        """Overwrite rows."""
        for column, values in zip(self, other, strict=True):
            column[rows] = values


class Faces(NamedTuple):
    """Where flights ended; calo, u, v, du, dv, depth are 0 without a hit; all arrays have shape (n,)."""

    fate: IntArray  # Fate
    calo: IntArray
    u: FloatArray  # [m]
    v: FloatArray  # [m]
    du: FloatArray
    dv: FloatArray
    depth: FloatArray  # [m]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` flights."""
        whole = {"fate", "calo"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)


class Limits(NamedTuple):
    """Settings for the kernel."""

    step: float  # [m]
    step_per_momentum: float  # [m / (GeV/c)]
    least_momentum: float  # [GeV/c]
    longest_path: float  # [m]
    most_steps: int
    material: int  # 1 or 0
    photons: int  # 1 or 0: whether what is radiated is kept
    photon_threshold: float  # [GeV]
    sides: int  # 1 or 0: whether a calorimeter can be entered through its sides


@Kernel
def _begin(i: int, born: Positrons, flying: Flying, radius: float) -> None:
    s, c = sincos(born.theta[i])
    rho = radius + born.x[i]
    px, py, ps = born.px[i], born.py[i], born.ps[i]
    momentum = math.sqrt(px * px + py * py + ps * ps)
    flying.x[i], flying.y[i], flying.z[i] = rho * c, born.y[i], rho * s
    flying.dx[i], flying.dy[i], flying.dz[i] = (px * c - ps * s) / momentum, py / momentum, (px * s + ps * c) / momentum
    flying.energy[i] = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
    flying.time[i], flying.number[i], flying.charge[i], flying.inside[i] = born.time[i], born.number[i], 1, 1


def begin(positrons: Positrons, geometry: GeometryTables, backend: str = "cpu") -> Flying:
    """Positrons as born, ready to fly."""
    flying = Flying.empty(positrons.n)
    _begin(positrons.n, positrons, flying, geometry.radius, backend=backend)
    return flying
