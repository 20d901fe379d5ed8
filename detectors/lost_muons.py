"""Muons that the ring has lost: their flight from where they left through one calorimeter after the other.

A lost muon spirals inwards with nearly all its momentum, as the fall-off of the magnet bends it. In each calorimeter
that it meets it leaves light like a minimum ionising particle, and goes on to the next one, 15 degrees and 6.2 ns
further: the coincidences by which the experiment counts lost muons (N. Kinnaird, dissertation 2020,
nkinnaird/Dissertation @8f8e9eb). Metal and crystals take energy as in `tracking.matter`; what a muon radiates (1 to 2 %
of its loss in a crystal) and its decay on the way (1 in 1000) are left out.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.boundary import (
    LID,
    cell_of,
    collimator_metal,
    face_distance,
    lengths_in_step,
    plane_crossing,
    plate_metal,
    vacuum_margin,
    wall_crossing,
)
from detectors.flight import is_away
from detectors.geometry import Geometry, GeometryTables
from detectors.mip import MuonHits, box_path
from detectors.path import advance
from detectors.shower import COLUMNS, ROWS, ShowerSettings
from fields.total import FieldTables
from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey
from tracking.bunch import Bunch, State, momentum
from tracking.matter import Metal, energy_loss, metal, scattering
from tracking.muon import LIGHT_SPEED, MASS, P_MAGIC, RIGIDITY, Reference

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CRYSTAL = "lead fluoride"
_PLANE, _WALL = 1, 2  # what a shortened step ends on
_BEHIND = 1e-9  # a flight begins behind the collimator at which it begins [rad]
_UPSTREAM = 1e-4  # a muon lost at the upstream end of plates has not gone through them [rad]
_BESIDE = 0.05  # so far beside a face a path may still come in through the side of the calorimeter [m]
_SHORTEST = 1e-4  # shorter paths in crystals are none [m]
_LEAST_KEPT = 0.1  # a muon that would be slower stays at this [GeV/c]

_COLLIMATOR, _PLATE = int(State.LOST_COLLIMATOR), int(State.LOST_PLATE)


class Way(IntEnum):
    """How the flight of a lost muon ended."""

    OUT = 0  # still in flight at the longest path
    PASSED = 1  # followed through as many calorimeters as asked for
    AWAY = 2  # left all calorimeters behind, or left the chamber through top, bottom or outer wall


_OUT, _PASSED, _AWAY = (int(way) for way in Way)


class LostMuons(NamedTuple):
    """Lost muons where they left, in the order of the bunch; all arrays have shape (n,)."""

    x: FloatArray  # radial offset from R0, outwards [m]
    y: FloatArray  # height [m]
    theta: FloatArray  # azimuth from the inflector exit, downstream [rad]
    px: FloatArray  # kinetic momentum in the local frame: radial, [GeV/c]
    py: FloatArray  # vertical, [GeV/c]
    ps: FloatArray  # and along the beam [GeV/c]
    time: FloatArray  # [s]
    state: IntArray  # State: why it is lost
    number: IntArray  # index of the muon in the fill
    crossings: IntArray  # passages through metal so far

    @classmethod
    def of(cls, bunch: Bunch, reference: Reference) -> Self:
        """Those of a tracked bunch, without the ones whose orbit left the range of numbers (LOST_WALL)."""
        gone = bunch.select((bunch.state > State.DECAYED) & (bunch.state != State.LOST_WALL))
        columns = (gone.x, gone.y, gone.theta, *momentum(gone, reference), gone.time)
        return cls(*columns, gone.state, gone.number, gone.crossings)

    @property
    def energy(self) -> FloatArray:
        """Total energies [GeV]."""
        return np.sqrt(self.px**2 + self.py**2 + self.ps**2 + MASS**2)


class Flights(NamedTuple):
    """What became of each lost muon; all arrays have shape (n,)."""

    way: IntArray  # Way
    calorimeters: IntArray  # calorimeters hit
    end_energy: FloatArray  # total energy at the end [GeV]
    end_time: FloatArray  # [s]
    path: FloatArray  # length of the flight [m]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` muons."""
        whole = {"way", "calorimeters"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)


@dataclass(frozen=True)
class FlightSettings:
    """How lost muons are followed.

    Parameters
    ----------
    step
        Longest step [m].
    calorimeters
        A muon is followed through so many.
    longest_path
        Where a muon still in flight is given up [m].
    material
        Whether metal and crystals take energy and scatter.
    """

    step: float = 0.06
    calorimeters: int = 12
    longest_path: float = 40.0
    material: bool = True

    def __post_init__(self) -> None:
        if not 1e-3 <= self.step <= 0.2:
            raise ValueError(f"flight step = {self.step} m is out of bounds: give 0.001 to 0.2 m.")
        # After a whole turn the draws of a channel's light would come a second time.
        if not 1 <= self.calorimeters <= 23:
            raise ValueError(f"calorimeters = {self.calorimeters} is out of bounds: give 1 to 23.")
        if not 0.1 <= self.longest_path <= 40.0:
            raise ValueError(f"longest_path = {self.longest_path} m is out of bounds: give 0.1 to 40 m.")


class _Matter(NamedTuple):
    on: int  # 1 or 0
    aluminium: Metal
    copper: Metal
    crystal: Metal
    half_u: float  # of the crystals [m]
    half_v: float  # [m]
    length: float  # [m]


class _Limits(NamedTuple):
    step: float  # [m]
    calorimeters: int
    longest_path: float  # [m]
    most_steps: int


def crystal_material() -> Metal:
    """Lead fluoride for muons of the magic momentum."""
    return metal(CRYSTAL, P_MAGIC)


@scalar
def turned(dx: float, dy: float, dz: float, sideways: float, upwards: float) -> tuple[float, float, float]:
    """Turn a direction, not vertical, by two small angles across it."""
    across = math.sqrt(dx * dx + dz * dz)
    # Axes across the direction: horizontal (dz, 0, -dx) / across and (-dx dy, across^2, -dy dz) / across.
    a, b = sideways / across, upwards / across
    ax = dx + a * dz - b * dx * dy
    ay = dy + b * across * across
    az = dz - a * dx - b * dy * dz
    scale = 1.0 / math.sqrt(ax * ax + ay * ay + az * az)
    return ax * scale, ay * scale, az * scale


@scalar
def through(
    dx: float,
    dy: float,
    dz: float,
    energy: float,
    path: float,
    material: Metal,
    number: int,
    crossing: int,
    key: FillKey,
) -> tuple[float, float, float, float]:
    """Return direction and energy of a muon behind a path [m] of a material."""
    kept = max(energy - energy_loss(path, material, number, crossing, key), math.sqrt(_LEAST_KEPT**2 + MASS**2))
    p = math.sqrt((energy - MASS) * (energy + MASS)) * math.sqrt((kept - MASS) * (kept + MASS))
    sideways, upwards = scattering(path, material, math.sqrt(p), number, crossing, key)
    ax, ay, az = turned(dx, dy, dz, sideways, upwards)
    return ax, ay, az, kept


@scalar
def first_metal(
    x: float, y: float, theta: float, sine: float, sine_y: float, momentum: float, state: int, geometry: GeometryTables
) -> tuple[float, float]:
    """Return the lengths of aluminium and copper [m] in what a muon was lost at.

    The tracker has taken muons through the copper of collimators where it follows them there; elsewhere a muon that
    missed the hole stands in front of it. One that is outside the plates has gone through a plate on the way from the
    centre, but at their upstream end.
    """
    rho = geometry.radius + x
    aluminium, copper = 0.0, 0.0
    if state == _COLLIMATOR:
        copper, _ = collimator_metal(rho, y, theta - _BEHIND, theta + _BEHIND, geometry)
    if state == _PLATE:
        bend = RIGIDITY * geometry.field / momentum - 1.0 / rho
        aluminium, _ = plate_metal(geometry.radius, 0.0, rho, y, theta - _UPSTREAM, sine, sine_y, bend, geometry)
    return aluminium, copper


@scalar
def slopes(dx: float, dz: float, dy: float, k: int, geometry: GeometryTables) -> tuple[float, float]:
    """Return du / d depth and dv / d depth of a direction in cell k's calorimeter."""
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    xc, zc = dx * c + dz * s, dz * c - dx * s
    into = xc * geometry.face[4] + zc * geometry.face[5]
    return (xc * geometry.face[2] + zc * geometry.face[3]) / into, dy / into


@scalar
def through_metal(
    dx: float, dy: float, dz: float, energy: float, aluminium: float, copper: float,
    number: int, crossing: int, matter: _Matter, key: FillKey,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """Return direction, energy and passages of a muon behind lengths of metal [m], each of which may be 0."""
    if matter.on > 0 and aluminium > 0.0:
        dx, dy, dz, energy = through(dx, dy, dz, energy, aluminium, matter.aluminium, number, crossing, key)
        crossing += 1
    if matter.on > 0 and copper > 0.0:
        dx, dy, dz, energy = through(dx, dy, dz, energy, copper, matter.copper, number, crossing, key)
        crossing += 1
    return dx, dy, dz, energy, crossing


@scalar
def through_crystals(
    row: int, hits: MuonHits, k: int, x: float, y: float, z: float, dx: float, dy: float, dz: float, energy: float,
    time: float, number: int, crossing: int, geometry: GeometryTables, matter: _Matter, key: FillKey,
) -> tuple[float, float, float, float, int]:  # fmt: skip
    """Write the hit of a muon in the plane of cell k's face; return direction and energy behind it, and 1 for a hit."""
    _, u = face_distance(x, z, k, geometry)
    du, dv = slopes(dx, dz, dy, k, geometry)
    enter, leave = box_path(u, y, du, dv, matter.half_u, matter.half_v, matter.length)
    length = (leave - enter) * math.sqrt(1.0 + du * du + dv * dv)
    if length <= _SHORTEST:
        return dx, dy, dz, energy, 0
    ax, ay, az, kept = through(dx, dy, dz, energy, length, matter.crystal, number, crossing, key)
    hits.calo[row], hits.number[row] = k, number
    hits.u[row], hits.v[row], hits.du[row], hits.dv[row] = u, y, du, dv
    hits.enter[row], hits.leave[row] = enter, leave
    hits.energy[row], hits.lost[row], hits.time[row] = energy, energy - kept, time
    if matter.on > 0:
        return ax, ay, az, kept, 1
    return dx, dy, dz, energy, 1


@Kernel
def _fly(
    i: int, lost: LostMuons, flights: Flights, hits: MuonHits, fields: FieldTables, geometry: GeometryTables,
    matter: _Matter, limits: _Limits, key: FillKey,
) -> None:  # fmt: skip
    """Follow muon i; its hits are written from row i x limits.calorimeters on."""
    s, c = sincos(lost.theta[i] + _BEHIND)
    rho = geometry.radius + lost.x[i]
    x, y, z = rho * c, lost.y[i], rho * s
    px, py, ps = lost.px[i], lost.py[i], lost.ps[i]
    p = math.sqrt(px * px + py * py + ps * ps)
    dx, dy, dz = (px * c - ps * s) / p, py / p, (px * s + ps * c) / p
    energy = math.sqrt(p * p + MASS * MASS)
    t, path, number, crossing = lost.time[i], 0.0, lost.number[i], lost.crossings[i]
    aluminium, copper = first_metal(lost.x[i], y, lost.theta[i], px / p, py / p, p, lost.state[i], geometry)
    inside, event, shortened, passed, count, way = 1, 0, 0.0, -1, 0, _OUT
    for _ in range(limits.most_steps):
        dx, dy, dz, energy, crossing = through_metal(
            dx, dy, dz, energy, aluminium, copper, number, crossing, matter, key
        )
        aluminium, copper = 0.0, 0.0
        if count == limits.calorimeters or path > limits.longest_path or is_away(x, y, z, inside):
            way = _PASSED if count == limits.calorimeters else (_OUT if path > limits.longest_path else _AWAY)
            break
        p = math.sqrt((energy - MASS) * (energy + MASS))
        h = shortened if event > 0 else limits.step
        qx, qy, qz, ex, ey, ez, work = advance(x, y, z, dx, dy, dz, p, energy, t, h, geometry.radius, fields)
        k, _ = cell_of(x, z, geometry)
        if event == 0:
            # A step that meets the plane of a face or the wall is taken again, just as far as there.
            half = geometry.face[6] + _BESIDE
            plane = 2.0 if k == passed else plane_crossing(x, z, dx, dz, qx, qz, ex, ez, h, half, geometry)
            edge = wall_crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, inside, geometry)
            if min(plane, edge) <= 1.0:
                event = _PLANE if plane <= edge else _WALL
                shortened = max(min(plane, edge) * h, 1e-9)
                continue
        path += h
        t += h * energy / (p * LIGHT_SPEED)
        energy += work
        wall = -1
        if event == _WALL:
            _, wall = vacuum_margin(qx, qy, qz, geometry)
        aluminium, copper, _, _ = lengths_in_step(x, y, z, qx, qy, qz, ex, ey, ez, p, wall, inside, 1, geometry)
        x, y, z, dx, dy, dz = qx, qy, qz, ex, ey, ez
        if wall == LID:
            way = _AWAY
            break
        if wall >= 0:
            inside = 1 - inside
        if event == _PLANE:
            passed = k
            row = i * limits.calorimeters + count
            dx, dy, dz, energy, hit = through_crystals(
                row, hits, k, x, y, z, dx, dy, dz, energy, t, number, crossing, geometry, matter, key
            )
            count, crossing = count + hit, crossing + hit
        event = 0
    flights.way[i], flights.calorimeters[i] = way, count
    flights.end_energy[i], flights.end_time[i], flights.path[i] = energy, t, path


def fly(
    lost: LostMuons,
    fields: FieldTables,
    geometry: Geometry,
    key: FillKey,
    settings: FlightSettings | None = None,
    crystals: ShowerSettings | None = None,
    backend: str = "cpu",
) -> tuple[MuonHits, Flights]:
    """Follow lost muons through the calorimeters.

    A calorimeter is hit where the straight path from the plane of its front face crosses the crystals, through the
    face or through a side; loss and scattering in them are applied in that plane.

    Parameters
    ----------
    lost
        From `LostMuons.of`.
    fields
        From `fields.total.field_tables`.
    geometry
        What they can meet.
    key
        Fill that the random numbers belong to (stage MUON_SCATTERING; they go on where the tracker left off).
    settings
        Steps and limits; the defaults where None.
    crystals
        Sizes of the array of crystals.
    backend
        "cpu" or "gpu".

    Returns
    -------
    MuonHits
        In the order of the muons, each muon's along its way.
    Flights
        How each of the n flights ended.
    """
    chosen = settings if settings is not None else FlightSettings()
    array = crystals if crystals is not None else ShowerSettings()
    n, most = lost.x.size, chosen.calorimeters
    # Each face, wall and sheet makes two steps of one; a few for each of a calorimeter's.
    limits = _Limits(chosen.step, most, chosen.longest_path, int(2.0 * chosen.longest_path / chosen.step) + 1000)
    matter = _Matter(
        on=int(chosen.material),
        aluminium=metal("aluminium", P_MAGIC),
        copper=metal("copper", P_MAGIC),
        crystal=crystal_material(),
        half_u=0.5 * COLUMNS * array.pitch_u,
        half_v=0.5 * ROWS * array.pitch_v,
        length=array.length,
    )
    whole = {"calo", "number"}
    rows = MuonHits._make(np.zeros(n * most, np.int64 if name in whole else np.float64) for name in MuonHits._fields)
    flights = Flights.empty(n)
    _fly(n, lost, flights, rows, fields, geometry.tables(), matter, limits, key, backend=backend)
    used = (np.arange(most) < flights.calorimeters[:, None]).ravel()
    return MuonHits._make(np.ascontiguousarray(column[used]) for column in rows), flights
