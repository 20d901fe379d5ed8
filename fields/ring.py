"""Where everything sits around the storage ring: quads, collimators, kickers, inflector, detectors.

Azimuths are in radians from the inflector exit, increasing downstream; the other two origins in use are
converted by name. Sources (also in ``fields/data/README.md``): MT = anthh0/gm2mt @8df0bae (as-built azimuths
of the injection tracker), G1 = lyon-fnal/gm2geom @17163ed, G2 = lyon-fnal/gm2ringsim @44aca36, TR = aetb/trfp
(trolley analysis).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

TWO_PI = 2.0 * math.pi
R0 = 7.112  # design radius [m]; G1
B0_NOMINAL = 1.4513  # storage field [T]; MT, and the same in the fast-rotation analysis tjbarrett96/gm2fr
R_REFERENCE = 0.045  # radius at which multipoles are quoted, and of the storage aperture [m]; G2, TR
KICKER_HALF_GAP = 0.0511  # from the centre to the face of a kicker plate [m]; G1
QUAD_HALF_GAP = 0.050  # from the centre to the face of a quad plate [m]; G1 quad.fcl


class AzimuthOrigin(Enum):
    """Origins of azimuth in use; the value is what that origin reads at the inflector exit [deg]."""

    INFLECTOR_EXIT = 0.0
    # Start of vacuum chamber 1, "12 o'clock"; all eight quads of G1 and MT agree with this to 0.004 deg.
    GEOMETRY = -5.752
    # Bar code of the trolley: (bar code - nominal azimuth) of the 72 fixed-probe stations of TR is +1.50 deg
    # on average, scatter 0.35 deg; best estimate, it takes TR's nominal azimuths to be in the geometry
    # origin.
    TROLLEY_BARCODE = -4.249


def convert_azimuth(azimuth: ArrayLike, origin: AzimuthOrigin, to: AzimuthOrigin) -> NDArray[np.float64]:
    """Azimuth in another origin.

    Parameters
    ----------
    azimuth
        Azimuth [rad] counted from `origin`.
    origin, to
        Origin of the input and of the result.

    Returns
    -------
    ndarray
        Azimuth [rad] in [0, 2 pi).
    """
    shifted = np.asarray(azimuth, dtype=np.float64) + math.radians(to.value - origin.value)
    wrapped = np.mod(shifted, TWO_PI)
    return np.where(wrapped >= TWO_PI, 0.0, wrapped)  # mod of a tiny negative number rounds up to 2 pi


@dataclass(frozen=True)
class Quad:
    """One electrostatic quadrupole section; azimuths of its plate ends [rad]."""

    name: str
    theta_start: float
    theta_end: float
    is_short: bool

    @property
    def length(self) -> float:
        """Azimuth covered [rad]."""
        return self.theta_end - self.theta_start


@dataclass(frozen=True)
class Collimator:
    """Ring of copper with a round hole, or half of one; azimuth [rad], radius of the hole, outer radius, thickness [m].

    Attributes
    ----------
    side
        0 for copper all around, -1 for a half on the inner side (copper at x < 0 only), 1 for one on the outer side
        (x > 0): the kinds FULL, HALF_SRO and HALF_LRO of G2 CollimatorGeometry. One that is out is not in the ring.
    """

    name: str
    theta: float
    radius: float = R_REFERENCE  # five collimators of 45 mm: best estimate (recalled), G1 rMin 45 mm
    outer_radius: float = 0.055  # G1 rMax
    thickness: float = 6.35e-3  # G1
    side: int = 0

    def __post_init__(self) -> None:
        if self.side not in (-1, 0, 1):
            raise ValueError(
                f"side of collimator {self.name} = {self.side}: give -1 (inner half), 0 or 1 (outer half)."
            )


@dataclass(frozen=True)
class Kicker:
    """One pair of kicker plates; azimuths of its ends [rad]."""

    name: str
    theta_start: float
    theta_end: float


@dataclass(frozen=True)
class FibreHarp:
    """A plane of parallel scintillating fibres that can be put into the beam.

    Attributes
    ----------
    theta
        Azimuth [rad]: 180 and 270 deg, taken in the origin of the geometry, as the trackers' are.
    upright
        Whether the fibres stand upright, side by side in x; else they lie, one above the other.
    fibres, pitch, diameter, length
        Number, distance, diameter and length of the fibres [m]; G1 fiberHarp.fcl. The middle one is at 0.
    """

    name: str
    theta: float
    upright: bool
    fibres: int = 7
    pitch: float = 0.013
    diameter: float = 0.5e-3
    length: float = 0.090

    def __post_init__(self) -> None:
        if not 0.0 < self.diameter < self.pitch or self.fibres < 1 or self.fibres % 2 == 0:
            raise ValueError(f"harp {self.name} of {self.fibres} fibres of {self.diameter:g} m, {self.pitch:g} m "
                             "apart: give an odd number that do not touch.")  # fmt: skip

    @property
    def places(self) -> NDArray[np.float64]:
        """x or y of the fibres [m], in rising order."""
        return np.asarray(self.pitch * (np.arange(self.fibres) - self.fibres // 2), np.float64)


@dataclass(frozen=True)
class Inflector:
    """Channel through which the beam enters; its exit is theta = 0."""

    length: float = 1.700  # [m] G1
    aperture_width: float = 0.018  # radial [m] G1
    aperture_height: float = 0.056  # vertical, on the ring side [m] G1
    centre_offset: float = 0.077  # centre of the exit aperture outside R0 [m] G1, MT


@dataclass(frozen=True)
class Station:
    """A detector at one azimuth: number as in the experiment, azimuth of its reference point [rad]."""

    number: int
    theta: float


_QUADS_DEG = (  # MT, azimuth from the inflector exit [deg]
    ("Q1 short", 22.075, 35.075, True),
    ("Q1 long", 39.075, 65.075, False),
    ("Q2 short", 112.078, 125.073, True),
    ("Q2 long", 129.077, 155.074, False),
    ("Q3 short", 202.074, 215.077, True),
    ("Q3 long", 219.073, 245.078, False),
    ("Q4 short", 292.078, 305.073, True),
    ("Q4 long", 309.077, 335.074, False),
)
_COLLIMATORS_DEG = (  # MT
    ("C1", 127.079),
    ("C2", 155.074),
    ("C3", 245.078),
    ("C4", 307.079),
    ("C5", 335.074),
)
_KICKERS_DEG = (("K1", 67.926, 78.157), ("K2", 82.915, 93.146), ("K3", 97.899, 108.130))  # MT
_HARPS_DEG = (180.0, 270.0)  # geometry origin [deg]: best estimate (recalled)
_CALORIMETER_PHI_DEG = 11.904  # front-face centre of calorimeter 1, geometry origin [deg]; G1 station.fcl
_TRACKERS = ((12, 180.0), (18, 270.0))  # station, start of its scallop in the geometry origin [deg]; G1


def _calorimeters() -> tuple[Station, ...]:
    azimuths = [math.radians(_CALORIMETER_PHI_DEG + 15.0 * i) for i in range(24)]
    thetas = convert_azimuth(azimuths, AzimuthOrigin.GEOMETRY, AzimuthOrigin.INFLECTOR_EXIT)
    return tuple(Station(i + 1, float(theta)) for i, theta in enumerate(thetas))


def _trackers() -> tuple[Station, ...]:
    azimuths = [math.radians(deg) for _, deg in _TRACKERS]
    thetas = convert_azimuth(azimuths, AzimuthOrigin.GEOMETRY, AzimuthOrigin.INFLECTOR_EXIT)
    return tuple(Station(number, float(theta)) for (number, _), theta in zip(_TRACKERS, thetas, strict=True))


def fibre_harps() -> tuple[FibreHarp, ...]:
    """The four harps: one of upright and one of lying fibres at 180 and at 270 deg."""
    thetas = convert_azimuth(np.radians(_HARPS_DEG), AzimuthOrigin.GEOMETRY, AzimuthOrigin.INFLECTOR_EXIT)
    return tuple(
        FibreHarp(f"{deg:.0f} {axis}", float(theta), axis == "x")
        for deg, theta in zip(_HARPS_DEG, thetas, strict=True)
        for axis in ("x", "y")
    )


@dataclass(frozen=True)
class Ring:
    """The ring as tracking and detectors see it.

    Use one of the factories: `Ring.e989` (as built), `Ring.reference` (four equal quarters, the ring of
    comparisons between codes), `Ring.continuous` (quads all around, with closed-form orbits).
    """

    name: str
    quads: tuple[Quad, ...]
    collimators: tuple[Collimator, ...]
    kickers: tuple[Kicker, ...]
    inflector: Inflector
    calorimeters: tuple[Station, ...]
    trackers: tuple[Station, ...]
    radius: float = R0
    harps: tuple[FibreHarp, ...] = ()  # those in the beam

    def __post_init__(self) -> None:
        edges = [edge for quad in self.quads for edge in (quad.theta_start, quad.theta_end)]
        inside = all(0.0 <= edge <= TWO_PI for edge in edges)
        if not inside or any(b < a for a, b in itertools.pairwise(edges)):
            raise ValueError(f"quads of ring {self.name!r} overlap or leave 0 to 2 pi rad: list them in order, apart.")

    @property
    def quad_coverage(self) -> float:
        """Fraction of the circumference inside quads."""
        return sum(quad.length for quad in self.quads) / TWO_PI

    @property
    def has_full_collimator(self) -> bool:
        """Whether a collimator has copper all around: whoever passes it in every turn stays inside the plates."""
        return any(collimator.side == 0 for collimator in self.collimators)

    @classmethod
    def e989(cls) -> Ring:
        """Ring as built at Fermilab, quads at the azimuths of MT."""
        quads = tuple(Quad(n, math.radians(a), math.radians(b), short) for n, a, b, short in _QUADS_DEG)
        return cls._with_quads("e989", quads)

    @classmethod
    def reference(cls) -> Ring:
        """Idealised ring 4 x [23.5 free, 13 quad, 4 free, 26 quad, 23.5 free] deg; theta = 0 is mid-gap."""
        quads = []
        for quarter in range(4):
            for name, start, end in (("short", 23.5, 36.5), ("long", 40.5, 66.5)):
                a, b = math.radians(90 * quarter + start), math.radians(90 * quarter + end)
                quads.append(Quad(f"Q{quarter + 1} {name}", a, b, name == "short"))
        return cls._with_quads("reference", tuple(quads))

    @classmethod
    def continuous(cls) -> Ring:
        """Analytic ring: one quad of 360 degrees."""
        return cls._with_quads("continuous", (Quad("Q all", 0.0, TWO_PI, False),))

    @classmethod
    def _with_quads(cls, name: str, quads: tuple[Quad, ...]) -> Ring:
        return cls(
            name=name,
            quads=quads,
            collimators=tuple(Collimator(n, math.radians(deg)) for n, deg in _COLLIMATORS_DEG),
            kickers=tuple(Kicker(n, math.radians(a), math.radians(b)) for n, a, b in _KICKERS_DEG),
            inflector=Inflector(),
            calorimeters=_calorimeters(),
            trackers=_trackers(),
        )


RING = Ring.e989()
