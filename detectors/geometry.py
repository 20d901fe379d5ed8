"""Where calorimeters, vacuum chamber, quad plates, kicker plates and collimators are, seen by a positron.

Global frame: X = rho cos(theta), Y up, Z = rho sin(theta), theta from the inflector exit downstream. The
chamber and the calorimeters repeat every 15 degrees; a *cell* is one such piece with its own axes, x
radially out and z downstream at its upstream end. Sources: G1 = lyon-fnal/gm2geom @17163ed (vac.fcl,
station.fcl: design of 2014), G2 = lyon-fnal/gm2ringsim @44aca36 (quad.fcl, collimator.fcl,
Station_service.cc); azimuths of plates and collimators come with the ring (as built, `fields.ring`).

The straw trackers and the extensions of the chamber around them come with `detectors.straws`. Left out: rails of the
trolley, cages and supports of the plates (Macor posts), inflector, fibre harps, and everything inside the ring of
calorimeters.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.overlaps import overlap, reaches_beyond
from fields.ring import B0_NOMINAL, RING, AzimuthOrigin, Ring

FloatArray = NDArray[np.float64]

N_CALORIMETERS = 24
CELL = math.radians(15.0)  # one scallop of the chamber and its calorimeter; G1
_INCH = 0.0254


@dataclass(frozen=True)
class Material:
    """What a positron loses in a metal."""

    radiation_length: float  # [m]
    ionisation: float  # mean loss of a minimum ionising particle [GeV/m]


# Particle Data Group, "Atomic and nuclear properties of materials" (2024).
ALUMINIUM = Material(radiation_length=0.08897, ionisation=1.615e-3 * 2.699 * 100)
COPPER = Material(radiation_length=0.01436, ionisation=1.403e-3 * 8.960 * 100)


@dataclass(frozen=True)
class Calorimeter:
    """Box that holds the crystals, as G1 station.fcl places it in a cell."""

    width: float = 0.2264  # along the face, nearly radial [m]
    height: float = 0.1511  # [m]
    depth: float = 0.150  # of the box [m]
    crystals: float = 0.140  # depth of the crystals behind the face [m]; G1 calorimeter.fcl
    corner_radius: float = 276.149 * _INCH  # outer corner of the front face [m]
    corner_phi: float = math.radians(11.96)  # its azimuth in the cell [rad]
    # Direction of the face, outwards: 3.53 deg from the radius at the inner corner, which is 0.12 deg
    # upstream: the face looks slightly away from the ring's centre, towards positrons that curl inwards.
    face_angle: float = math.radians(11.96 - 0.12 + 3.53)

    @property
    def along(self) -> tuple[float, float]:
        """Unit vector along the face, away from the ring's centre, in the cell's (x, z)."""
        return math.cos(self.face_angle), math.sin(self.face_angle)

    @property
    def normal(self) -> tuple[float, float]:
        """Unit vector across the face, downstream into the crystals, in the cell's (x, z)."""
        return -math.sin(self.face_angle), math.cos(self.face_angle)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the front face in the cell's (x, z) [m]."""
        along = self.along
        return (
            self.corner_radius * math.cos(self.corner_phi) - 0.5 * self.width * along[0],
            self.corner_radius * math.sin(self.corner_phi) - 0.5 * self.width * along[1],
        )


@dataclass(frozen=True)
class Chamber:
    """Vacuum chamber, aluminium. Inner wall of a cell: straight between corners, then on to the next cell.

    The segments are the slanted scallop wall, the window in front of the calorimeter, and the wall beside it.
    """

    corner_radius: tuple[float, ...] = tuple(r * _INCH for r in (275.916, 268.645, 276.707, 276.070))  # [m]
    corner_phi: tuple[float, ...] = (0.0, math.radians(11.80), math.radians(11.92), CELL)  # in the cell [rad]
    # Between the vacuum's and the metal's corners, across each segment, mean of both ends; G1 vac.fcl.
    thickness: tuple[float, ...] = (0.0094, 0.0052, 0.0014)  # [m]
    outer_radius: float = 284.370 * _INCH  # [m] G1
    half_height: float = 0.0690  # [m] G1


@dataclass(frozen=True)
class QuadPlates:
    """Aluminium plates of a quad; G2 quad.fcl."""

    half_gap: float = 0.050  # centre to the face of each plate [m]
    side_half_height: float = 0.02191  # inner and outer plate [m]
    side_thickness: float = 0.0005  # [m]
    q1_outer_thickness: float = 0.0001  # outer plates of Q1, thin for the beam that comes in [m]
    top_half_width: float = 0.0235  # top and bottom plate [m]
    top_thickness: float = 0.003  # [m]


@dataclass(frozen=True)
class KickerPlates:
    """Aluminium plates of a kicker, inside and outside of the beam; G1 kicker."""

    half_gap: float = 0.0511  # [m]
    half_height: float = 0.040  # [m]
    thickness: float = 0.00075  # [m]


@dataclass(frozen=True)
class CollimatorRing:
    """Copper ring of each collimator; G2 collimator.fcl. The hole's radius comes with the ring."""

    outer_radius: float = 0.055  # [m]
    thickness: float = 0.00635  # [m]


class GeometryTables(NamedTuple):
    """The geometry as numbers and small arrays for kernels; lengths [m], angles [rad]."""

    radius: float  # of the design orbit
    field: float  # that bends on it, for the length of grazing paths in metal [T]
    cell_origin: float  # azimuth theta where cell 0 begins
    cells: FloatArray  # (24, 2) cosine and sine of the azimuth theta where each cell begins
    face: FloatArray  # (8,) centre x, z; along x, z; normal x, z; half width, half height
    corners: FloatArray  # (4, 3) inner wall of a cell: x, z, azimuth in the cell
    crystals: FloatArray  # (3,) their depth behind the face; least and largest radius at which they are
    wall_thickness: FloatArray  # (3,)
    outer_radius: float
    half_height: float
    plates: FloatArray  # (sections, 9), columns of `_section`
    collimators: FloatArray  # (collimators, 5) theta, radius of the hole, outer radius, thickness, side
    aluminium: FloatArray  # (2,) radiation length, ionisation [GeV/m]
    copper: FloatArray  # (2,)
    trackers: FloatArray  # (24, 2) of each cell: where along the slanted wall a station begins and ends; 0, 0 without
    extension: FloatArray  # (4,) of the chamber there: begin and end along that wall, depth behind it, its own wall


@dataclass(frozen=True)
class Geometry:
    """All that a positron can meet.

    Parameters
    ----------
    ring
        Azimuths of quads, kickers and collimators.
    calorimeter, chamber, quad_plates, kicker_plates, collimator_ring
        Cross-sections.

    Raises
    ------
    ValueError
        If a calorimeter overlaps its neighbour or reaches into the vacuum.
    """

    ring: Ring = RING
    calorimeter: Calorimeter = Calorimeter()
    chamber: Chamber = Chamber()
    quad_plates: QuadPlates = QuadPlates()
    kicker_plates: KickerPlates = KickerPlates()
    collimator_ring: CollimatorRing = CollimatorRing()

    def __post_init__(self) -> None:
        box = self.calorimeter
        if not 0.0 < box.crystals <= box.depth:
            raise ValueError(f"crystals = {box.crystals} m do not fit into a calorimeter of depth = {box.depth} m.")
        if overlap(self.box_outline(0), self.box_outline(1)):
            raise ValueError(
                f"calorimeters of width {box.width:g} m and depth {box.depth:g} m overlap their neighbours: "
                "give a smaller box."
            )
        wall = self.wall_outline(2)[: 2 * 2 * 3]
        if reaches_beyond(self.box_outline(0), wall):
            raise ValueError(
                f"calorimeter with its corner at {box.corner_radius:g} m and {math.degrees(box.corner_phi):g} deg "
                "reaches into the vacuum chamber: move it inwards or downstream."
            )

    def box_outline(self, cell: int) -> FloatArray:
        """Corners of a calorimeter's box seen from above, in the global (X, Z), shape (4, 2) [m]."""
        box = self.calorimeter
        centre, along, normal = np.array(box.centre), np.array(box.along), np.array(box.normal)
        half = 0.5 * box.width * along
        corners = np.stack([centre - half, centre + half, centre + half, centre - half])
        corners[2:] += box.depth * normal
        azimuth = self.cell_azimuths[cell]
        c, s = math.cos(azimuth), math.sin(azimuth)
        return np.stack([corners[:, 0] * c - corners[:, 1] * s, corners[:, 0] * s + corners[:, 1] * c], axis=1)

    @property
    def cell_azimuths(self) -> FloatArray:
        """Azimuth theta at which each of the 24 cells begins, shape (24,) [rad]; the last one passes 2 pi."""
        first = math.radians(-AzimuthOrigin.GEOMETRY.value)
        return np.asarray(first + CELL * np.arange(N_CALORIMETERS), np.float64)

    def _to_global(self, x: float, z: float, y: float = 0.0) -> FloatArray:
        """A vector of a cell, in the global frame for all 24 cells, shape (24, 3)."""
        c, s = np.cos(self.cell_azimuths), np.sin(self.cell_azimuths)
        return np.stack([x * c - z * s, np.full(N_CALORIMETERS, y), x * s + z * c], axis=1)

    @property
    def face_centres(self) -> FloatArray:
        """Centres of the calorimeters' front faces in the global frame, shape (24, 3) [m]."""
        return self._to_global(*self.calorimeter.centre)

    @property
    def face_along(self) -> FloatArray:
        """Unit vectors of the face coordinate u, away from the ring's centre, shape (24, 3)."""
        return self._to_global(*self.calorimeter.along)

    @property
    def face_normals(self) -> FloatArray:
        """Unit vectors into the crystals, downstream, shape (24, 3)."""
        return self._to_global(*self.calorimeter.normal)

    def wall_outline(self, points: int = 20) -> FloatArray:
        """Inner wall of the chamber around the ring, for drawings.

        Parameters
        ----------
        points
            Points on each straight piece.

        Returns
        -------
        ndarray
            X and Z in the global frame, shape (72 `points`, 2) [m].
        """
        r, phi = np.array(self.chamber.corner_radius), np.array(self.chamber.corner_phi)
        corners = np.stack([r * np.cos(phi), r * np.sin(phi)], axis=1)
        t = np.arange(points)[:, None] / points
        cell = np.concatenate([a + t * (b - a) for a, b in pairwise(corners)])
        c, s = np.cos(self.cell_azimuths)[:, None], np.sin(self.cell_azimuths)[:, None]
        x, z = cell[:, 0], cell[:, 1]
        return np.stack([x * c - z * s, x * s + z * c], axis=2).reshape(-1, 2)

    def tables(self) -> GeometryTables:
        """The geometry for kernels."""
        azimuths = self.cell_azimuths
        box, chamber = self.calorimeter, self.chamber
        r, phi = np.array(chamber.corner_radius), np.array(chamber.corner_phi)
        ring = self.collimator_ring
        collimators = [
            (c.theta, c.radius, ring.outer_radius, ring.thickness, float(c.side)) for c in self.ring.collimators
        ]
        return GeometryTables(
            radius=self.ring.radius,
            field=B0_NOMINAL,
            cell_origin=float(azimuths[0]),
            cells=np.stack([np.cos(azimuths), np.sin(azimuths)], axis=1),
            face=np.array([*box.centre, *box.along, *box.normal, 0.5 * box.width, 0.5 * box.height]),
            corners=np.stack([r * np.cos(phi), r * np.sin(phi), phi], axis=1),
            crystals=np.array([box.crystals, *self._crystal_radii()]),
            wall_thickness=np.array(chamber.thickness),
            outer_radius=chamber.outer_radius,
            half_height=chamber.half_height,
            plates=np.array(_sections(self)).reshape(-1, 9),
            collimators=np.array(collimators).reshape(-1, 5),
            aluminium=np.array([ALUMINIUM.radiation_length, ALUMINIUM.ionisation]),
            copper=np.array([COPPER.radiation_length, COPPER.ionisation]),
            trackers=np.zeros((N_CALORIMETERS, 2)),
            extension=np.zeros(4),
        )

    def _crystal_radii(self) -> tuple[float, float]:
        """Least and largest distance of the crystals from the axis of the ring [m]."""
        outline = self.box_outline(0)
        # The nearest point of a face lies between its corners where the face looks along the radius.
        points = np.concatenate(
            [a + np.linspace(0.0, 1.0, 50)[:, None] * (b - a) for a, b in pairwise((*outline, outline[0]))]
        )
        radii = np.hypot(points[:, 0], points[:, 1])
        return float(radii.min()) - 1e-3, float(radii.max()) + 1e-3


def _sections(geometry: Geometry) -> list[tuple[float, ...]]:
    """Rows of plates: azimuths of the ends; side plates: offset, half height, thickness inside and outside.

    The last three are offset, half width and thickness of the top and bottom plates, which a kicker has not.
    """
    quad, kicker = geometry.quad_plates, geometry.kicker_plates
    rows: list[tuple[float, ...]] = []
    for q in geometry.ring.quads:
        outer = quad.q1_outer_thickness if q.name.startswith("Q1") else quad.side_thickness
        sides = (quad.half_gap, quad.side_half_height, quad.side_thickness, outer)
        rows.append((q.theta_start, q.theta_end, *sides, quad.half_gap, quad.top_half_width, quad.top_thickness))
    for k in geometry.ring.kickers:
        sides = (kicker.half_gap, kicker.half_height, kicker.thickness, kicker.thickness)
        rows.append((k.theta_start, k.theta_end, *sides, kicker.half_gap, 0.0, 0.0))
    return rows
