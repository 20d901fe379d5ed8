"""Where the straws of the two tracker stations are.

A station stands in a scallop of the vacuum chamber, upstream of a calorimeter. *Station frame*: origin at the upstream
corner of the scallop's slanted wall, z downstream along that wall, y up, x across it towards the beam; the global frame
is that of `detectors.geometry`. Sources: G1 = lyon-fnal/gm2geom @17163ed (strawtracker.fcl, StrawTrackerGeometry.cc,
vac.fcl: design of 2014), AL = glukicov/alignTrack (AlignTracker_methods.h: as built).
"""

import functools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.geometry import Geometry, GeometryTables
from detectors.overlaps import overlap

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STATIONS, MODULES, LAYERS, WIRES = 2, 8, 4, 32  # layers of a module: U0, U1, V0, V1
PLANES = MODULES * LAYERS  # layers of a station
STATION_CHANNELS = PLANES * WIRES
CHANNELS = STATIONS * STATION_CHANNELS
CELLS = (12, 18)  # scallops of the stations, upstream of calorimeters 13 and 19; G1 whichScallopLocations
# Straws of a layer can come near those of so many next ones, where modules run into each other.
_NEIGHBOURS = 4
_BEFORE_FIRST = 0.0633  # the part of a module before its first layer, and the extension's wall [m]; G1
_LAST = 1e-3  # [m]


class StrawTables(NamedTuple):
    """The stations as numbers and small arrays for kernels; lengths [m]."""

    frames: FloatArray  # (2, 6) origin X, Z; x axis X, Z; z axis X, Z, in the global frame
    cells: IntArray  # (2,) cell of each station
    # (2, 32, 10) in the station frame, of each layer: middle of wire 0 (3), step from wire to wire (3), unit vector
    # along the wires, upwards (3), half length of a wire.
    layers: FloatArray
    gas_radius: float
    outer_radius: float
    start: float  # z where a positron is in the station
    inner: float  # x of the wall behind the straws
    half_height: float  # of the active region


@dataclass(frozen=True, eq=False)
class Misalignment:
    """Where modules and stations are instead of where they should be; no shift and no turn by default.

    Parameters
    ----------
    modules
        Of each module in its station's frame, shape (2, 8, 6): shifts in x, y, z [m], then small angles about x, y, z
        through the middle of the module [rad].
    stations
        The same of each station as a whole, about its middle, shape (2, 6).

    Raises
    ------
    ValueError
        If a shape is another one or a number is not finite or too large for small angles.
    """

    modules: FloatArray = field(default_factory=lambda: np.zeros((STATIONS, MODULES, 6)))
    stations: FloatArray = field(default_factory=lambda: np.zeros((STATIONS, 6)))

    def __post_init__(self) -> None:
        for name, shape in (("modules", (STATIONS, MODULES, 6)), ("stations", (STATIONS, 6))):
            value = np.asarray(getattr(self, name))
            if value.shape != shape:
                raise ValueError(f"misalignment of {name} has shape {value.shape}: give {shape}.")
            if not (np.abs(value) < 0.1).all():
                raise ValueError(f"misalignment of {name} is out of bounds: give less than 0.1 m and 0.1 rad.")


@dataclass(frozen=True)
class Stations:
    """Both stations.

    Parameters
    ----------
    geometry
        The ring's; its chamber carries the stations.
    gas_radius, outer_radius
        Of a straw [m]; G1. Between them is the wall.
    pitch, stagger
        Along x, from wire to wire, and between the two layers of a view [m]; AL. (Across the wires the pitch is
        6.06 cos 7.5 deg = 6.008 mm, the 6.0 mm of G1.)
    layer_step, view_step
        Along z, between the layers of a view, and between the views [m]; AL.
    stereo
        Angle of the wires of U with the vertical, towards larger x above; V is mirrored [rad]; G1.
    height
        Of the active region [m]; G1: 137 mm less two manifolds of 22 mm.
    module_z
        First layer of each module from that of the first module [m]; AL.
    first_z
        First layer of the first module from the upstream corner of the wall [m]. G1: the extension of the chamber ends
        68.6 mm before the downstream corner; its wall has 19 mm, a module 114 mm, with its first layer at 44.3 mm.
    clearance
        Distance of each module's outermost wire from the design orbit at half height [m]. Best estimate: as the modules
        follow the beam in steps; the design of G1 has 53 to 96 mm, depending on module and version.
    extension
        How far the chamber's extension reaches behind the wall [m]; G1: 120.7 mm, less its wall of 19 mm.
    extension_wall, extension_gap
        Thickness of its wall, and from its outer end to the downstream corner of the chamber's wall [m]; G1.
    misalignment
        Of modules and stations.

    Raises
    ------
    ValueError
        If two straws overlap, a straw reaches into the storage aperture, or the extension into a calorimeter.
    """

    geometry: Geometry = field(default_factory=Geometry)
    gas_radius: float = 2.535e-3
    outer_radius: float = 2.55e-3
    pitch: float = 6.06e-3
    stagger: float = 3.03e-3
    layer_step: float = 5.15e-3
    view_step: float = 20.20e-3
    stereo: float = math.radians(7.5)
    height: float = 0.093
    module_z: tuple[float, ...] = (0.0, 0.13436, 0.26872, 0.40308, 0.53742, 0.67177, 0.80610, 0.94041)
    first_z: float = 0.3360
    clearance: float = 0.075
    extension: float = 0.1017
    extension_wall: float = 0.019
    extension_gap: float = 0.0686
    misalignment: Misalignment = field(default_factory=Misalignment)

    def __post_init__(self) -> None:
        if not 0.0 < self.gas_radius < self.outer_radius:
            raise ValueError(
                f"gas_radius = {self.gas_radius} m and outer_radius = {self.outer_radius} m do not fit: "
                "give 0 < gas_radius < outer_radius."
            )
        if len(self.module_z) != MODULES:
            raise ValueError(f"module_z has {len(self.module_z)} numbers: give {MODULES}.")
        self._refuse_overlaps()
        self._refuse_long_extension()

    @property
    def frames(self) -> FloatArray:
        """Origin, x axis and z axis of each station in the global (X, Z), shape (2, 6) [m]."""
        chamber = self.geometry.chamber
        r, phi = np.array(chamber.corner_radius[:2]), np.array(chamber.corner_phi[:2])
        azimuth = self.geometry.cell_azimuths[list(CELLS)][:, None] + phi
        corners = np.stack([r * np.cos(azimuth), r * np.sin(azimuth)], axis=2)
        z_axis = corners[:, 1] - corners[:, 0]
        z_axis /= np.linalg.norm(z_axis, axis=1)[:, None]
        x_axis = np.stack([z_axis[:, 1], -z_axis[:, 0]], axis=1)
        return np.concatenate([corners[:, 0], x_axis, z_axis], axis=1)

    def _outermost(self) -> FloatArray:
        """Where in x the outermost wire of each module is at half height, shape (8,) [m]."""
        origin, x_axis, z_axis = np.split(self.frames[0], 3)
        middle = self.first_z + np.array(self.module_z) + 0.5 * (self.layer_step + self.view_step)
        place = origin + middle[:, None] * z_axis
        along, target = place @ x_axis, self.geometry.ring.radius - self.clearance
        return np.asarray(np.sqrt(along**2 + target**2 - (place**2).sum(axis=1)) - along)

    def _nominal(self) -> tuple[FloatArray, FloatArray]:
        """Middle of wire 0, shape (32, 3) [m], and direction of the wires, shape (32, 3), of each layer, aligned."""
        steps = np.array([0.0, self.layer_step, self.view_step, self.view_step + self.layer_step])
        # U1 and V0 are moved outwards by half a pitch: xPositionStraw0 of G1, at half height.
        moved = self.stagger * (np.array([0, 1, 1, 0]) - 1)
        z = self.first_z + np.array(self.module_z)[:, None] + steps
        x = self._outermost()[:, None] - (WIRES - 1) * self.pitch + moved
        lean = np.tile(math.tan(self.stereo) * np.array([1, 1, -1, -1]), MODULES)
        direction = np.stack([lean, np.ones(PLANES), np.zeros(PLANES)], axis=1)
        centre = np.stack([x.ravel(), np.zeros(PLANES), z.ravel()], axis=1)
        return centre, direction / np.linalg.norm(direction, axis=1)[:, None]

    def layers(self) -> FloatArray:
        """Layers as in `StrawTables.layers`, with all misalignment, shape (2, 32, 10) [m]."""
        centre, direction = self._nominal()
        step = np.tile([self.pitch, 0.0, 0.0], (PLANES, 1))
        half = 0.5 * self.height / math.cos(self.stereo)
        middle = centre + 0.5 * (WIRES - 1) * step
        pivots = middle.reshape(MODULES, LAYERS, 3).mean(axis=1)
        out = np.empty((STATIONS, PLANES, 10))
        for s in range(STATIONS):
            moved = np.concatenate([centre, step, direction], axis=1)
            for m in range(MODULES):
                rows = slice(m * LAYERS, (m + 1) * LAYERS)
                moved[rows] = _moved(moved[rows], self.misalignment.modules[s, m], pivots[m])
            out[s, :, :9] = _moved(moved, self.misalignment.stations[s], pivots.mean(axis=0))
        out[:, :, 9] = half
        return out

    def wires(self) -> tuple[FloatArray, FloatArray]:
        """Wires in the station frame.

        Returns
        -------
        centre, direction
            Middle of each wire [m] and unit vector along it, upwards; shapes (2, 32, 32, 3): station, layer, wire.
        """
        layers = self.layers()
        count = np.arange(WIRES)[:, None]
        centre = layers[:, :, None, 0:3] + count * layers[:, :, None, 3:6]
        return centre, np.broadcast_to(layers[:, :, None, 6:9], centre.shape).copy()

    def wires_in_ring(self) -> tuple[FloatArray, FloatArray]:
        """As `wires`, in the global frame (X, Y, Z)."""
        centre, direction = self.wires()
        frames = self.frames
        return (
            np.stack([to_global(centre[s], frames[s]) for s in range(STATIONS)]),
            np.stack([to_global(direction[s], frames[s], vectors=True) for s in range(STATIONS)]),
        )

    def tables(self) -> StrawTables:
        """The stations for kernels."""
        return StrawTables(
            frames=self.frames,
            cells=np.array(CELLS, np.int64),
            layers=self.layers(),
            gas_radius=self.gas_radius,
            outer_radius=self.outer_radius,
            start=self.first_z - _BEFORE_FIRST,
            inner=-self.extension,
            half_height=0.5 * self.height,
        )

    def chamber_tables(self) -> GeometryTables:
        """The ring's geometry for kernels, with the chamber open and extended at the stations."""
        tables = self.geometry.tables()
        trackers = np.zeros_like(tables.trackers)
        # In front of its last layer a station ends for a positron that comes in; one that leaves it is behind.
        last = self.layers()[:, :, 2].max(axis=1) - _LAST
        trackers[list(CELLS)] = np.stack([np.full(STATIONS, self.tables().start), last], axis=1)
        low, high = self._extension_ends()
        wall = self.extension_wall
        return tables._replace(trackers=trackers, extension=np.array([low + wall, high - wall, self.extension, wall]))

    def _extension_ends(self) -> tuple[float, float]:
        """Begin and end of the extension along the slanted wall, outside [m]."""
        chamber = self.geometry.chamber
        r, phi = np.array(chamber.corner_radius[:2]), np.array(chamber.corner_phi[:2])
        length = math.hypot(*np.diff(r * np.cos(phi)), *np.diff(r * np.sin(phi)))
        return self.first_z - _BEFORE_FIRST, length - self.extension_gap

    def _refuse_long_extension(self) -> None:
        """Raise ValueError if the last layer is beyond the extension, or that reaches into the calorimeter."""
        low, high = self._extension_ends()
        last = self.layers()[:, :, 2].max() + self.outer_radius
        if last > high - self.extension_wall:
            raise ValueError(
                f"the last layer of straws, {last:.4f} m along the wall, is beyond the chamber's extension, which ends "
                f"at {high - self.extension_wall:.4f} m: give a smaller first_z, module_z or extension_gap."
            )
        depth = self.extension + self.extension_wall
        box = np.array([[0.0, 0.0, low], [0.0, 0.0, high], [-depth, 0.0, high], [-depth, 0.0, low]])
        for s, cell in enumerate(CELLS):
            outline = to_global(box, self.frames[s])[:, [0, 2]]
            for k in (cell - 1, cell):
                if overlap(outline, self.geometry.box_outline(k)):
                    raise ValueError(
                        f"the chamber's extension at {station_name(s)} overlaps calorimeter {k + 1}: "
                        "give a smaller extension or a larger extension_gap."
                    )

    def _refuse_overlaps(self) -> None:
        """Raise ValueError for the first two straws that are closer than their diameter, or one in the aperture."""
        centre, direction = self.wires()
        half = 0.5 * self.height / math.cos(self.stereo)
        shift = half * direction
        low, high = centre - shift, centre + shift
        for s in range(STATIONS):
            close = _closest(low[s].tobytes(), high[s].tobytes(), 2.0 * self.outer_radius)
            if close is not None:
                names = " and ".join(describe(s * STATION_CHANNELS + k) for k in close[:2])
                raise ValueError(
                    f"straws {names} overlap: their wires are {1e3 * close[2]:.3f} mm apart; "
                    f"give pitch, steps and misalignment that leave {2e3 * self.outer_radius:.2f} mm."
                )
            ends = to_global(np.stack([low[s], high[s]]), self.frames[s])
            nearest = self.geometry.ring.radius - np.hypot(ends[..., 0], ends[..., 2]).max()
            if nearest < 0.045 + self.outer_radius:
                raise ValueError(
                    f"a straw of {station_name(s)} comes within {1e3 * nearest:.1f} mm of the design orbit: "
                    "give a larger clearance, the storage aperture has 45 mm."
                )


@functools.lru_cache(maxsize=4 * STATIONS)
def _closest(low: bytes, high: bytes, diameter: float) -> tuple[int, int, float] | None:
    """First two straws of a station that are closer than their diameter, and their distance [m]; kept, as every fill
    makes the same stations again.

    Parameters
    ----------
    low, high
        Ends of the wires, the bytes of arrays of shape (32, 32, 3) [m].
    diameter
        Of a straw [m].
    """
    a, b = (np.frombuffer(ends).reshape(-1, 3) for ends in (low, high))
    first, second = _pairs()
    gap = segment_distance(a[first], b[first], a[second], b[second])
    close = np.flatnonzero(gap < diameter)
    if close.size == 0:
        return None
    return int(first[close[0]]), int(second[close[0]]), float(gap[close[0]])


def _pairs() -> tuple[IntArray, IntArray]:
    """Straws of a station that could touch: neighbours in a layer, and all of the next layers."""
    wire = np.arange(STATION_CHANNELS).reshape(PLANES, WIRES)
    first, second = [wire[:, :-1].ravel()], [wire[:, 1:].ravel()]
    for apart in range(1, _NEIGHBOURS + 1):
        a, b = wire[:-apart, :, None], wire[apart:, None, :]
        one, other = np.broadcast_arrays(a, b)
        first.append(one.ravel())
        second.append(other.ravel())
    return np.concatenate(first), np.concatenate(second)


def segment_distance(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray) -> FloatArray:
    """Shortest distances between segments ab and cd, ends of shape (n, 3) [m].

    C. Ericson, Real-Time Collision Detection (2005), section 5.1.9.
    """
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = (u * u).sum(1), (v * v).sum(1), (u * v).sum(1)
    uw, vw = (u * w).sum(1), (v * w).sum(1)
    across = uu * vv - uv * uv
    parallel = across < 1e-12 * uu * vv
    s = np.where(parallel, 0.5, np.clip((uv * vw - uw * vv) / np.where(parallel, 1.0, across), 0.0, 1.0))
    t = np.clip((uv * s + vw) / vv, 0.0, 1.0)
    s = np.clip((uv * t - uw) / uu, 0.0, 1.0)
    t = np.clip((uv * s + vw) / vv, 0.0, 1.0)
    apart = w + s[:, None] * u - t[:, None] * v
    return np.asarray(np.sqrt((apart * apart).sum(1)))


def _moved(rows: FloatArray, by: FloatArray, pivot: FloatArray) -> FloatArray:
    """Shift and turn rows of (place, step, direction), shape (n, 9), about a pivot."""
    turn = _rotation(by[3], by[4], by[5])
    place = (rows[:, 0:3] - pivot) @ turn.T + pivot + by[:3]
    return np.concatenate([place, rows[:, 3:6] @ turn.T, rows[:, 6:9] @ turn.T], axis=1)


def _rotation(a: float, b: float, c: float) -> FloatArray:
    """Rotation about x by a, then y by b, then z by c [rad], right-handed."""
    ca, sa, cb, sb, cc, sc = math.cos(a), math.sin(a), math.cos(b), math.sin(b), math.cos(c), math.sin(c)
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float64)


def to_global(places: FloatArray, frame: FloatArray, vectors: bool = False) -> FloatArray:
    """Take places, or vectors, of a station's frame to the global frame.

    Parameters
    ----------
    places
        Shape (..., 3).
    frame
        Row of `Stations.frames`, shape (6,).
    vectors
        Whether to leave out the origin.
    """
    origin = np.zeros(2) if vectors else frame[:2]
    x, y, z = places[..., 0], places[..., 1], places[..., 2]
    return np.stack([origin[0] + x * frame[2] + z * frame[4], y, origin[1] + x * frame[3] + z * frame[5]], axis=-1)


def channel_of(station: int, module: int, layer: int, wire: int) -> int:
    """Number of a straw, 0 to 2047: stations of 1024, modules of 128, layers of 32."""
    return ((station * MODULES + module) * LAYERS + layer) * WIRES + wire


def station_name(station: int) -> str:
    """The experiment's name of station 0 or 1."""
    return f"station {CELLS[station]}"


def describe(channel: int) -> str:
    """Name of a straw in words: station, module, layer, wire."""
    station, inside = divmod(channel, STATION_CHANNELS)
    module, inside = divmod(inside, LAYERS * WIRES)
    layer, wire = divmod(inside, WIRES)
    return f"{station_name(station)} module {module} {('U0', 'U1', 'V0', 'V1')[layer]} wire {wire}"
