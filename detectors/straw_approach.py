"""Positrons from their birth to the tracker stations: the flight of `detectors.transport` up to the first straws.

The same steps, metal and random numbers, so a positron that reaches a calorimeter behind a station comes from there
with the momentum that it has here. A station's volume begins at the upstream end of the chamber's extension; there the
slanted wall of the chamber is open.
"""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from decay.positron import Positrons
from detectors.boundary import cell_of, metal_in_step, vacuum_margin, wall_crossing
from detectors.geometry import GeometryTables
from detectors.path import advance
from detectors.straws import STATIONS, Stations, StrawTables
from detectors.transport import Limits, TransportSettings, pass_metal
from fields.total import FieldTables
from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, RIGIDITY

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_STRONGEST = 1.65  # field that sets the step of slow positrons [T]


class Arrival(IntEnum):
    """Whether a positron came into the volume of a station."""

    ELSEWHERE = 0  # lost on the way, or gone past
    ARRIVED = 1


_ARRIVED = int(Arrival.ARRIVED)


class Entrances(NamedTuple):
    """Positrons where they come into a station's volume; global frame, all arrays have shape (n,)."""

    arrival: IntArray  # Arrival; the rest means nothing where it is ELSEWHERE
    station: IntArray  # 0 or 1
    x: FloatArray  # place in the global frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    dx: FloatArray  # unit vector
    dy: FloatArray
    dz: FloatArray
    energy: FloatArray  # total energy [GeV]
    time: FloatArray  # [s]
    path: FloatArray  # length of the path since birth [m]
    number: IntArray  # index of the parent muon in the fill

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` positrons."""
        whole = {"arrival", "station", "number"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)

    def select(self, which: NDArray[np.bool_]) -> "Entrances":
        """Rows for which `which`, shape (n,), is true."""
        return Entrances._make(np.ascontiguousarray(column[which]) for column in self)


@dataclass(frozen=True)
class ApproachSettings:
    """Which positrons are followed to the stations, and how.

    Parameters
    ----------
    transport
        Steps and material, as in the flight to the calorimeters.
    upstream
        Positrons born further upstream of a station's far end are not followed [rad]; the fastest reach it from 8 m
        (DragonDodo/gm2-EDMsim @315968f), 1.1 rad.
    """

    transport: TransportSettings = field(default_factory=TransportSettings)
    upstream: float = 1.5

    def __post_init__(self) -> None:
        if not 0.05 <= self.upstream <= 1.57:
            raise ValueError(f"upstream = {self.upstream} rad is out of bounds: give 0.05 to 1.57 rad.")


@scalar
def station_place(x: float, z: float, s: int, straws: StrawTables) -> tuple[float, float]:
    """Return x and z in the frame of station s of a place in the global frame [m]."""
    ox, oz = x - straws.frames[s, 0], z - straws.frames[s, 1]
    return (
        ox * straws.frames[s, 2] + oz * straws.frames[s, 3],
        ox * straws.frames[s, 4] + oz * straws.frames[s, 5],
    )


@scalar
def station_of(x: float, z: float, geometry: GeometryTables, straws: StrawTables) -> int:
    """Return the station in whose volume a point of the vacuum is, -1 for none."""
    k, phi = cell_of(x, z, geometry)
    for s in range(STATIONS):
        if k == straws.cells[s] and phi < geometry.corners[1, 2]:
            _, zs = station_place(x, z, s, straws)
            if zs >= straws.start:
                return s
    return -1


@Kernel
def _approach(
    i: int,
    born: Positrons,
    entrances: Entrances,
    fields: FieldTables,
    geometry: GeometryTables,
    straws: StrawTables,
    limits: Limits,
    key: FillKey,
) -> None:
    s, c = sincos(born.theta[i])
    rho = geometry.radius + born.x[i]
    x, y, z = rho * c, born.y[i], rho * s
    px, py, ps = born.px[i], born.py[i], born.ps[i]
    momentum = math.sqrt(px * px + py * py + ps * ps)
    dx, dy, dz = (px * c - ps * s) / momentum, py / momentum, (px * s + ps * c) / momentum
    energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
    t, path = born.time[i], 0.0
    sheets, on_wall, shortened, station = 0, 0, 0.0, -1
    entrances.number[i] = born.number[i]
    for _ in range(0 if momentum < limits.least_momentum else limits.most_steps):
        if on_wall == 0:
            station = station_of(x, z, geometry, straws)
            if station >= 0 or path > limits.longest_path:
                break
        h = shortened if on_wall > 0 else min(limits.step, limits.step_per_momentum * momentum)
        qx, qy, qz, ex, ey, ez, work = advance(x, y, z, dx, dy, dz, momentum, energy, t, h, geometry.radius, fields)
        if on_wall == 0:
            edge = wall_crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, 1, geometry)
            # A step across the wall of a station's scallop may end in the station, where that wall is open.
            if edge <= 1.0 and station_of(qx, qz, geometry, straws) < 0:
                on_wall, shortened = 1, max(edge * h, 1e-9)
                continue
        path += h
        t += h * energy / (momentum * LIGHT_SPEED)
        energy += work
        momentum = math.sqrt(energy * energy - POSITRON_MASS * POSITRON_MASS)
        wall = -1
        if on_wall > 0:
            _, wall = vacuum_margin(qx, qy, qz, geometry)
        thickness, ionised, _ = metal_in_step(x, y, z, qx, qy, qz, ex, ey, ez, momentum, wall, 1, geometry)
        x, y, z, dx, dy, dz = qx, qy, qz, ex, ey, ez
        if wall >= 0:
            break
        if thickness > 0.0 and limits.material > 0:
            dx, dy, dz, momentum = pass_metal(dx, dy, dz, momentum, thickness, ionised, born.number[i], sheets, key)
            energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
            sheets += 1
            if momentum < limits.least_momentum:
                break
        on_wall = 0
    if station >= 0:
        entrances.arrival[i], entrances.station[i] = _ARRIVED, station
        entrances.x[i], entrances.y[i], entrances.z[i] = x, y, z
        entrances.dx[i], entrances.dy[i], entrances.dz[i] = dx, dy, dz
        entrances.energy[i], entrances.time[i], entrances.path[i] = energy, t, path


def approach(
    positrons: Positrons,
    fields: FieldTables,
    stations: Stations,
    key: FillKey,
    settings: ApproachSettings | None = None,
    backend: str = "cpu",
) -> Entrances:
    """Follow positrons to the tracker stations.

    Those that a wall of the chamber meets first are left out, and so are those born too far away.

    Parameters
    ----------
    positrons
        As born.
    fields
        From `fields.total.field_tables`.
    stations
        The trackers, with the geometry around them.
    key
        Fill that the random numbers belong to (stage SCATTERING, the same numbers as in `detectors.transport`).
    settings
        Reach, steps and limits; the defaults where None.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Entrances
        Those that arrive, in the order of the positrons.
    """
    chosen = settings if settings is not None else ApproachSettings()
    flight = chosen.transport
    geometry, straws = stations.geometry.tables(), stations.tables()
    theta = np.mod(positrons.theta, 2.0 * math.pi)
    near = np.zeros(positrons.n, np.bool_)
    for azimuth in stations.geometry.cell_azimuths[straws.cells] + stations.geometry.chamber.corner_phi[1]:
        near |= np.mod(azimuth - theta, 2.0 * math.pi) <= chosen.upstream
    some = Positrons._make(np.ascontiguousarray(column[near]) for column in positrons)
    per_momentum = flight.bend / (RIGIDITY * _STRONGEST)
    shortest = min(flight.step, per_momentum * flight.least_momentum)
    longest = min(flight.longest_path, 1.2 * chosen.upstream * geometry.radius)
    limits = Limits(
        step=flight.step,
        step_per_momentum=per_momentum,
        least_momentum=flight.least_momentum,
        longest_path=longest,
        most_steps=int(2.0 * longest / shortest) + 1000,
        material=int(flight.material),
    )
    entrances = Entrances.empty(some.n)
    _approach(some.n, some, entrances, fields, geometry, straws, limits, key, backend=backend)
    return entrances.select(entrances.arrival == Arrival.ARRIVED)
