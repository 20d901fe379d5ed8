"""From a fitted track back to where it left the beam, and on to the calorimeter behind.

Backwards the path ends where it is tangent to a circle about the ring (N. Kinnaird, dissertation (2020)): its outermost
point, which a decay along the beam shares. Vacuum all the way: metal is noted, not undone.
"""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.boundary import COLLIMATOR, PLATE, face_distance, metal_in_step, theta_of, vacuum_margin
from detectors.geometry import GeometryTables
from detectors.straws import StrawTables
from fields.total import FieldTables
from gm2sim.tracks.path import PARAMETERS, move, start_in_ring
from gm2sim.tracks.residuals import Fitted
from gpu.kernel import Kernel, scalar
from tracking.muon import LIGHT_SPEED, POSITRON_MASS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

WALL = 4  # bit of `Vertices.metal`: the chamber's wall; the others are kinds of `detectors.boundary`
_COLUMNS = 6  # x, y, azimuth; u, v; nothing: what changes with the track
_WIDE, _LONG = 0.5, 1.5  # of the box of a station, in which the wall of the chamber is open [m]
_TRIES = 6  # of the secant to the tangent point, and to the face
_BELOW, _ABOVE = -1.2, 0.3  # of the distance from the design orbit where the field is known [m]
_HIGHEST = 0.1  # [m]
_BACKWARDS = 0.1  # least cosine to the face's normal
# Sizes of the steps of derivatives: x, y [m], slopes, 1/p [c/GeV].
_DX, _DS, _DQ = 2e-4, 2e-4, 2e-3


class Vertices(NamedTuple):
    """Ends of paths; shape (n,) but for the last one."""

    found: IntArray  # 1 where there is a tangent point
    x: FloatArray  # radially from the design orbit, of the tangent point [m]
    y: FloatArray  # [m]
    theta: FloatArray  # azimuth, 0 to 2 pi [rad]
    time: FloatArray  # less that of the entrance [s]
    path: FloatArray  # from the vertex to the entrance [m]
    metal: IntArray  # bits: 1 plate, 2 collimator, 4 wall of the chamber
    reached: IntArray  # 1 where the path meets the plane of the calorimeter's face
    u: FloatArray  # there, along the face [m]
    v: FloatArray  # height [m]
    arrival: FloatArray  # time less that of the entrance [s]
    jacobian: FloatArray  # (n, 6, 5) of x, y, theta, u, v to the track at its entrance

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` tracks."""
        whole = {"found", "metal", "reached"}
        return cls._make(
            np.zeros(
                (n, _COLUMNS, PARAMETERS - 1) if name == "jacobian" else n, np.int64 if name in whole else np.float64
            )
            for name in cls._fields
        )


class _Reach(NamedTuple):
    step: float  # [m]
    longest: float  # [m]


@scalar
def radial(x: float, z: float, dx: float, dz: float) -> float:
    """Return the radial component of a direction."""
    return (x * dx + z * dz) / math.sqrt(x * x + z * z)


@scalar(inline=False)
def metal_passed(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, bx: float, by: float, bz: float, q: float, s: int,
    geometry: GeometryTables, straws: StrawTables,
) -> int:  # fmt: skip
    """Return the metal of a step from b to a place outside the station, as bits."""
    ox, oz = bx - straws.frames[s, 0], bz - straws.frames[s, 1]
    across = ox * straws.frames[s, 2] + oz * straws.frames[s, 3]
    down = ox * straws.frames[s, 4] + oz * straws.frames[s, 5]
    if abs(across) < _WIDE and straws.start < down < _LONG:
        return 0
    margin, _ = vacuum_margin(bx, by, bz, geometry)
    _, _, what, _ = metal_in_step(bx, by, bz, x, y, z, dx, dy, dz, 1.0 / q, -1, 1, geometry)
    return (WALL if margin < 0.0 else 0) | (what if what in (PLATE, COLLIMATOR) else 0)


@scalar(inline=False)
def back_to_tangent(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, q: float, t: float, s: int, look: int,
    fields: FieldTables, geometry: GeometryTables, straws: StrawTables, reach: _Reach,
) -> tuple[int, float, float, float, float, int]:  # fmt: skip
    """Return whether there is a tangent point, its x, y, azimuth, the length to it, and metal where `look` is 1."""
    radius, length, metal = geometry.radius, 0.0, 0
    slope = radial(x, z, dx, dz)
    while slope < 0.0 and length < reach.longest:
        bx, by, bz, ex, ey, ez = move(x, y, z, dx, dy, dz, q, t, -reach.step, radius, fields)
        off = math.sqrt(bx * bx + bz * bz) - radius
        if not _BELOW < off < _ABOVE or abs(by) > _HIGHEST:
            return 0, 0.0, 0.0, 0.0, length, metal
        rising = radial(bx, bz, ex, ez)
        if rising >= 0.0:
            break
        if look > 0:
            metal |= metal_passed(x, y, z, dx, dy, dz, bx, by, bz, q, s, geometry, straws)
        x, y, z, dx, dy, dz, slope = bx, by, bz, ex, ey, ez, rising
        length += reach.step
    # The radial component is nearly a straight line in the length: secants from the last point.
    h, last, ahead = -0.5 * reach.step, 0.0, slope
    for _ in range(_TRIES):
        bx, by, bz, ex, ey, ez = move(x, y, z, dx, dy, dz, q, t, h, radius, fields)
        rising = radial(bx, bz, ex, ez)
        if rising == ahead:
            break
        following = h - rising * (h - last) / (rising - ahead)
        last, ahead, h = h, rising, max(min(following, reach.step), -2.0 * reach.step)
    bx, by, bz, _, _, _ = move(x, y, z, dx, dy, dz, q, t, h, radius, fields)
    if look > 0:
        metal |= metal_passed(x, y, z, dx, dy, dz, bx, by, bz, q, s, geometry, straws)
    found = 1 if length < reach.longest else 0
    return found, math.sqrt(bx * bx + bz * bz) - radius, by, theta_of(bx, bz), length - h, metal


@scalar(inline=False)
def on_to_face(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, q: float, t: float, s: int, fields: FieldTables,
    geometry: GeometryTables, straws: StrawTables, reach: _Reach,
) -> tuple[int, float, float, float]:  # fmt: skip
    """Return whether a path meets the plane of the face behind station s, there u and v, and the length to it."""
    k, length = straws.cells[s], 0.0
    nx, nz = geometry.face[4], geometry.face[5]
    c, d = geometry.cells[k, 0], geometry.cells[k, 1]
    depth, u = face_distance(x, z, k, geometry)
    for _ in range(int(3.0 / reach.step) + _TRIES):
        along = (dx * c + dz * d) * nx + (dz * c - dx * d) * nz
        if along < _BACKWARDS or abs(y) > _HIGHEST:
            return 0, 0.0, 0.0, length
        h = min(-depth / along, reach.step)
        x, y, z, dx, dy, dz = move(x, y, z, dx, dy, dz, q, t, h, geometry.radius, fields)
        depth, u = face_distance(x, z, k, geometry)
        length += h
        if abs(depth) < 1e-9:
            return 1, u, y, length
    return 0, 0.0, 0.0, length


@Kernel
def _extrapolate(
    i: int,
    fitted: Fitted,
    station: IntArray,
    out: Vertices,
    fields: FieldTables,
    geometry: GeometryTables,
    straws: StrawTables,
    reach: _Reach,
) -> None:
    s, v, t = station[i], fitted.values, fitted.values[i, 5]
    for j in range(-1, PARAMETERS - 1):
        size = _DX if j < 2 else (_DS if j < 4 else _DQ)
        q = v[i, 4] + (size if j == 4 else 0.0)
        x, y, z, dx, dy, dz = start_in_ring(
            v[i, 0] + (size if j == 0 else 0.0), v[i, 1] + (size if j == 1 else 0.0),
            v[i, 2] + (size if j == 2 else 0.0), v[i, 3] + (size if j == 3 else 0.0), fitted.z[i], s, straws,
        )  # fmt: skip
        slowness = math.sqrt(1.0 + POSITRON_MASS * POSITRON_MASS * q * q) / LIGHT_SPEED
        look = 1 if j < 0 else 0
        found, r, h, theta, back, metal = back_to_tangent(
            x, y, z, dx, dy, dz, q, t, s, look, fields, geometry, straws, reach
        )
        reached, u, w, on = on_to_face(x, y, z, dx, dy, dz, q, t, s, fields, geometry, straws, reach)
        if j < 0:
            out.found[i], out.x[i], out.y[i], out.theta[i], out.metal[i] = found, r, h, theta, metal
            out.path[i], out.time[i] = back, -back * slowness
            out.reached[i], out.u[i], out.v[i], out.arrival[i] = reached, u, w, on * slowness
        else:
            turn = theta - out.theta[i]
            turn -= 2.0 * math.pi * math.floor(turn / (2.0 * math.pi) + 0.5)
            out.jacobian[i, 0, j], out.jacobian[i, 1, j] = (r - out.x[i]) / size, (h - out.y[i]) / size
            out.jacobian[i, 2, j] = turn / size
            out.jacobian[i, 3, j], out.jacobian[i, 4, j] = (u - out.u[i]) / size, (w - out.v[i]) / size


def extrapolate(
    fitted: Fitted,
    station: IntArray,
    fields: FieldTables,
    geometry: GeometryTables,
    straws: StrawTables,
    step: float,
    longest: float,
    backend: str = "cpu",
) -> Vertices:
    """Follow fitted tracks back to their tangent points and on to the calorimeter behind their station.

    Parameters
    ----------
    fitted
        n tracks.
    station
        Of each, shape (n,).
    fields, geometry, straws
        Tables of fields, chamber and stations.
    step, longest
        Of the path, back [m].
    backend
        "cpu" or "gpu".
    """
    out = Vertices.empty(fitted.z.size)
    _extrapolate(fitted.z.size, fitted, station, out, fields, geometry, straws, _Reach(step, longest), backend=backend)
    return out
