"""Which straws a positron crosses in a tracker station, how far from their wires, and what they do to it."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.geometry import GeometryTables
from detectors.material import gamma_deviate
from detectors.path import advance, curvature, global_field
from detectors.straw_entrances import Entrances, station_place
from detectors.straws import PLANES, STATION_CHANNELS, WIRES, Stations, StrawTables
from fields.total import FieldTables
from gpu.fastmath import exp
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, uniform2
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, RIGIDITY

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST = 96  # rows kept for a positron: 32 layers, and some more straws for those that cross at a slant
_STAGE = int(Stage.STRAW_SCATTERING)
_DRAWS = 2  # reserved for a layer: two angles, what is radiated
_NEAR = 3e-4  # from the plane of a layer to where its straws are looked at [m]
_TRIES = 400  # steps to one layer at most
_STEEPEST = 0.2  # least cosine between path and station axis that is followed
_MARGIN = 0.03  # of the search, in wires: bending and misalignment within a layer
_STRONGEST = 1.65  # field that sets the step of slow positrons [T]
_LN2 = math.log(2.0)

# Particle Data Group, "Atomic and nuclear properties of materials" (2024); gas at 20 C and 1 atm, Ar:C2H6 50:50 by
# volume. Per length: radiation lengths [1/m], mean loss of a minimum ionising particle [GeV/m].
WALL_RADIATION, _WALL_LOSS = 1.0 / 0.2854, 1.848e-3 * 1.40 * 100.0  # Mylar
_ARGON, _ETHANE = 0.5 * 1.662e-3, 0.5 * 1.263e-3  # [g/cm3]
GAS_RADIATION = 100.0 * (_ARGON / 19.55 + _ETHANE / 45.66)
_GAS_LOSS = 0.1 * (1.519 * _ARGON + 2.304 * _ETHANE)
# Highland's logarithm belongs to all the matter of a track, not to each straw (review of particle physics, "Passage of
# particles through matter"): 16 straws of 1.3e-4 radiation lengths.
HIGHLAND = 0.0136 * (1.0 + 0.038 * math.log(16 * 1.3e-4))


class Way(IntEnum):
    """How the passage of a station ended."""

    PASSED = 0  # beyond the last layer
    WALL = 1  # at the wall behind the straws, or at top or bottom of the chamber
    MANIFOLD = 2  # in the manifolds above and below the straws
    TURNED = 3  # bent too far away from the axis of the station, or too slow


_PASSED, _WALL, _MANIFOLD, _TURNED = (int(way) for way in Way)


class Crossings(NamedTuple):
    """Straws crossed; all arrays have shape (n,), in the order of the positrons, each one's along its way."""

    channel: IntArray  # straw, as in `detectors.straws.channel_of`
    number: IntArray  # index of the parent muon in the fill
    distance: FloatArray  # of closest approach to the wire, positive on its outer side [m]
    path: FloatArray  # length in the gas [m]
    along: FloatArray  # place along the wire from its middle, upwards [m]
    time: FloatArray  # at the closest approach [s]
    momentum: FloatArray  # [GeV/c]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` crossings."""
        whole = {"channel", "number"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)


class Passages(NamedTuple):
    """How each positron passed its station; all arrays have shape (n,)."""

    way: IntArray  # Way
    straws: IntArray  # straws crossed
    energy: FloatArray  # total energy at the end [GeV]
    time: FloatArray  # [s]
    x: FloatArray  # place at the end in the station frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    matter: FloatArray  # radiation lengths of straws crossed
    dx: FloatArray  # direction at the end in the station frame, a unit vector
    dy: FloatArray
    dz: FloatArray
    path: FloatArray  # length of the path in the station [m]
    ionised: FloatArray  # energy lost by ionisation [GeV]

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` positrons."""
        whole = {"way", "straws"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)


@dataclass(frozen=True)
class CrossingSettings:
    """How positrons are followed through a station.

    Parameters
    ----------
    step
        Longest step [m].
    bend
        Largest angle turned in a step [rad].
    least_momentum
        Slower positrons are given up [GeV/c].
    scattering, loss
        Whether walls and gas of the straws scatter, and take energy.
    """

    step: float = 0.06
    bend: float = 0.1
    least_momentum: float = 0.05
    scattering: bool = True
    loss: bool = True

    def __post_init__(self) -> None:
        if not 1e-3 <= self.step <= 0.2:
            raise ValueError(f"crossing step = {self.step} m is out of bounds: give 0.001 to 0.2 m.")
        if not 1e-3 <= self.bend <= 0.5:
            raise ValueError(f"crossing bend = {self.bend} rad is out of bounds: give 0.001 to 0.5 rad.")
        if not self.least_momentum >= 0.005:
            raise ValueError(f"least_momentum = {self.least_momentum} GeV/c is too low: give 0.005 or more.")


class _Limits(NamedTuple):
    step: float  # [m]
    step_per_momentum: float  # [m / (GeV/c)]
    least_momentum: float  # [GeV/c]
    scattering: int  # 1 or 0
    loss: int


@scalar
def closest(
    ax: float, ay: float, az: float, bx: float, by: float, bz: float, cx: float, cy: float, cz: float
) -> tuple[float, float]:
    """Return where the parabola a + b s + c s^2 / 2 comes closest to the origin, and how close; Newton from its line.

    Components are those across a wire, so the origin is the wire.
    """
    s = -(ax * bx + ay * by + az * bz) / (bx * bx + by * by + bz * bz)
    for _ in range(3):
        px, py, pz = (
            ax + s * (bx + 0.5 * s * cx),
            ay + s * (by + 0.5 * s * cy),
            az + s * (bz + 0.5 * s * cz),
        )
        vx, vy, vz = bx + s * cx, by + s * cy, bz + s * cz
        s -= (px * vx + py * vy + pz * vz) / (vx * vx + vy * vy + vz * vz + px * cx + py * cy + pz * cz)
    px, py, pz = ax + s * (bx + 0.5 * s * cx), ay + s * (by + 0.5 * s * cy), az + s * (bz + 0.5 * s * cz)
    return s, math.sqrt(px * px + py * py + pz * pz)


@scalar
def wire_approach(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, kx: float, ky: float, kz: float,
    s: int, layer: int, wire: int, straws: StrawTables,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Return length along the path to the closest approach, signed distance, place along the wire, sine to the wire.

    Place, direction and curvature vector [1/m] of the path are in the frame of station s; lengths [m].
    """
    rows = straws.layers
    ux, uy, uz = rows[s, layer, 6], rows[s, layer, 7], rows[s, layer, 8]
    rx = x - rows[s, layer, 0] - wire * rows[s, layer, 3]
    ry = y - rows[s, layer, 1] - wire * rows[s, layer, 4]
    rz = z - rows[s, layer, 2] - wire * rows[s, layer, 5]
    ru, du, ku = rx * ux + ry * uy + rz * uz, dx * ux + dy * uy + dz * uz, kx * ux + ky * uy + kz * uz
    ax, ay, az = rx - ru * ux, ry - ru * uy, rz - ru * uz
    bx, by, bz = dx - du * ux, dy - du * uy, dz - du * uz
    cx, cy, cz = kx - ku * ux, ky - ku * uy, kz - ku * uz
    way, distance = closest(ax, ay, az, bx, by, bz, cx, cy, cz)
    # Which side: the component of the offset along the step from wire to wire.
    px, py, pz = ax + way * (bx + 0.5 * way * cx), ay + way * (by + 0.5 * way * cy), az + way * (bz + 0.5 * way * cz)
    side = px * rows[s, layer, 3] + py * rows[s, layer, 4] + pz * rows[s, layer, 5]
    along = ru + way * (du + 0.5 * way * ku)
    return way, distance if side >= 0.0 else -distance, along, math.sqrt(bx * bx + by * by + bz * bz)


@scalar
def wire_number(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, s: int, layer: int, straws: StrawTables
) -> tuple[float, float, float]:
    """Return the wire at which a path meets a layer's plane, as a real number; the place along it [m]; the reach.

    Straws whose number is further away than the reach cannot be crossed near the plane.
    """
    rows = straws.layers
    on = (rows[s, layer, 2] - z) / dz
    ox, oy = x + on * dx - rows[s, layer, 0], y + on * dy - rows[s, layer, 1]
    px, py, ux, uy = rows[s, layer, 3], rows[s, layer, 4], rows[s, layer, 6], rows[s, layer, 7]
    area = px * uy - py * ux
    slope = (dx * uy - dy * ux) / dz
    reach = straws.outer_radius * math.sqrt(1.0 + slope * slope) / area + _MARGIN
    return (ox * uy - oy * ux) / area, (px * oy - py * ox) / area, reach


@scalar
def matter_of(distance: float, sine: float, straws: StrawTables) -> tuple[float, float]:
    """Return lengths in gas and wall [m] of a path at a distance from the wire, at an angle of this sine to it."""
    r, d = straws.outer_radius, distance
    whole = 2.0 * math.sqrt(max(r * r - d * d, 0.0)) / sine
    r = straws.gas_radius
    gas = 2.0 * math.sqrt(max(r * r - d * d, 0.0)) / sine
    return gas, whole - gas


@scalar
def scattered(
    dx: float, dy: float, dz: float, momentum: float, thickness: float, number: int, draw: int, key: FillKey
) -> tuple[float, float, float]:
    """Turn a direction, not vertical, by two Gaussian angles (V. L. Highland, NIM 129, 497 (1975))."""
    g, h = normal2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, draw)
    across = math.sqrt(dx * dx + dz * dz)
    angle = HIGHLAND / momentum * math.sqrt(thickness) / across
    u, v = angle * g, angle * h
    # Axes across the direction: horizontal (dz, 0, -dx) / across and (-dx dy, across^2, -dy dz) / across.
    ax, ay, az = dx + u * dz - v * dx * dy, dy + v * across * across, dz - u * dx - v * dy * dz
    scale = 1.0 / math.sqrt(ax * ax + ay * ay + az * az)
    return ax * scale, ay * scale, az * scale


@scalar(inline=False)
def kept_energy(thickness: float, number: int, draw: int, key: FillKey) -> float:
    """Return what part of its energy a positron keeps after bremsstrahlung, as in `detectors.material.radiated`."""
    v, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, draw)
    return float(exp(-gamma_deviate(thickness / _LN2, v)))


@scalar(inline=False)
def look_at_layer(
    first: int, count: int, crossings: Crossings, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    kx: float, ky: float, kz: float, t: float, momentum: float, number: int, s: int, layer: int, straws: StrawTables,
) -> tuple[int, float, float]:  # fmt: skip
    """Write the straws of a layer that a path near its plane crosses; return their count, gas and wall passed [m]."""
    at, _, reach = wire_number(x, y, z, dx, dy, dz, s, layer, straws)
    slowness = math.sqrt(1.0 + POSITRON_MASS * POSITRON_MASS / (momentum * momentum)) / LIGHT_SPEED
    gas, wall = 0.0, 0.0
    low, high = int(max(math.ceil(at - reach), 0.0)), int(min(math.floor(at + reach), WIRES - 1.0))
    for wire in range(low, high + 1):
        way, distance, along, sine = wire_approach(x, y, z, dx, dy, dz, kx, ky, kz, s, layer, wire, straws)
        if abs(distance) >= straws.outer_radius or abs(along) > straws.layers[s, layer, 9]:
            continue
        in_gas, in_wall = matter_of(abs(distance), sine, straws)
        gas, wall = gas + in_gas, wall + in_wall
        if in_gas > 0.0 and count < MOST:
            row = first + count
            crossings.channel[row] = s * STATION_CHANNELS + layer * WIRES + wire
            crossings.number[row], crossings.momentum[row] = number, momentum
            crossings.distance[row], crossings.path[row], crossings.along[row] = distance, in_gas, along
            crossings.time[row] = t + way * slowness
            count += 1
    return count, gas, wall


@scalar
def is_stopped(x: float, y: float, z: float, dx: float, dy: float, dz: float, s: int, layer: int,
               geometry: GeometryTables, straws: StrawTables) -> int:  # fmt: skip
    """Return the Way in which a path ends in front of a layer, -1 if it goes on."""
    if dz < _STEEPEST:
        return _TURNED
    if x < straws.inner or abs(y) > geometry.half_height:
        return _WALL
    at, along, _ = wire_number(x, y, z, dx, dy, dz, s, layer, straws)
    # Modules are closed above and below their straws, and end a little beyond the outermost.
    return _MANIFOLD if abs(along) > straws.layers[s, layer, 9] and at < WIRES else -1


@Kernel
def _cross(
    i: int, entrances: Entrances, passages: Passages, crossings: Crossings, fields: FieldTables,
    geometry: GeometryTables, straws: StrawTables, limits: _Limits, key: FillKey,
) -> None:  # fmt: skip
    """Follow positron i; its crossings are written from row i x MOST on."""
    s, number = entrances.station[i], entrances.number[i]
    ax, az, bx, bz = straws.frames[s, 2], straws.frames[s, 3], straws.frames[s, 4], straws.frames[s, 5]
    x, y, z = entrances.x[i], entrances.y[i], entrances.z[i]
    dx, dy, dz = entrances.dx[i], entrances.dy[i], entrances.dz[i]
    energy, t, count, matter, way = entrances.energy[i], entrances.time[i], 0, 0.0, -1
    path, ionised = 0.0, 0.0
    for layer in range(PLANES):
        xs, zs = station_place(x, z, s, straws)
        plane = straws.layers[s, layer, 2]
        if plane < zs - straws.outer_radius:
            continue
        for _ in range(_TRIES):
            along = dx * bx + dz * bz
            momentum = math.sqrt((energy - POSITRON_MASS) * (energy + POSITRON_MASS))
            if abs(plane - zs) < _NEAR or along < _STEEPEST:
                break
            longest = min(limits.step, limits.step_per_momentum * momentum)
            h = min((plane - zs) / along, longest)
            x, y, z, dx, dy, dz, work = advance(x, y, z, dx, dy, dz, momentum, energy, t, h, geometry.radius, fields)
            t += h * energy / (momentum * LIGHT_SPEED)
            path += h
            energy += work
            xs, zs = station_place(x, z, s, straws)
        ds, dn = dx * ax + dz * az, dx * bx + dz * bz
        way = is_stopped(xs, y, zs, ds, dy, dn, s, layer, geometry, straws)
        if way >= 0 or momentum < limits.least_momentum:
            way = _TURNED if way < 0 else way
            break
        ex, ey, ez, fx, fy, fz = global_field(x, y, z, t, geometry.radius, fields)
        kx, ky, kz = curvature(dx, dy, dz, ex, ey, ez, fx, fy, fz, momentum, momentum / energy)
        count, gas, wall = look_at_layer(
            i * MOST, count, crossings, xs, y, zs, ds, dy, dn, kx * ax + kz * az, ky, kx * bx + kz * bz,
            t, momentum, number, s, layer, straws,
        )  # fmt: skip
        thickness = gas * GAS_RADIATION + wall * WALL_RADIATION
        matter += thickness
        draw = _DRAWS * (s * PLANES + layer)
        if thickness > 0.0 and limits.scattering > 0:
            dx, dy, dz = scattered(dx, dy, dz, momentum, thickness, number, draw, key)
        if thickness > 0.0 and limits.loss > 0:
            radiating = energy * kept_energy(thickness, number, draw + 1, key)
            energy = max(radiating - gas * _GAS_LOSS - wall * _WALL_LOSS, 2.0 * POSITRON_MASS)
            ionised += radiating - energy
    xs, zs = station_place(x, z, s, straws)
    passages.way[i] = way if way >= 0 else _PASSED
    passages.straws[i], passages.energy[i], passages.time[i], passages.matter[i] = count, energy, t, matter
    passages.x[i], passages.y[i], passages.z[i] = xs, y, zs
    passages.dx[i], passages.dy[i], passages.dz[i] = dx * ax + dz * az, dy, dx * bx + dz * bz
    passages.path[i], passages.ionised[i] = path, ionised


def cross_straws(
    entrances: Entrances,
    fields: FieldTables,
    stations: Stations,
    key: FillKey,
    settings: CrossingSettings | None = None,
    backend: str = "cpu",
) -> tuple[Crossings, Passages]:
    """Follow positrons through their station, layer by layer.

    In front of each layer the path is a parabola; the straws that it can reach are compared with it. Scattering and
    loss of what was crossed are applied in the plane of the layer.

    Parameters
    ----------
    entrances
        From `detectors.transport.fly_positrons`, n of them.
    fields
        From `fields.total.field_tables`.
    stations
        The trackers.
    key
        Fill that the random numbers belong to (stage STRAW_SCATTERING).
    settings
        Steps and material; the defaults where None.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Crossings
        Straws whose gas was crossed.
    Passages
        How each of the n positrons passed.
    """
    chosen = settings if settings is not None else CrossingSettings()
    n = entrances.x.size
    limits = _Limits(
        chosen.step,
        chosen.bend / (RIGIDITY * _STRONGEST),
        chosen.least_momentum,
        int(chosen.scattering),
        int(chosen.loss),
    )
    rows, passages = Crossings.empty(n * MOST), Passages.empty(n)
    tables = stations.geometry.tables(), stations.tables()
    _cross(n, entrances, passages, rows, fields, *tables, limits, key, backend=backend)
    used = (np.arange(MOST) < passages.straws[:, None]).ravel()
    return Crossings._make(np.ascontiguousarray(column[used]) for column in rows), passages
