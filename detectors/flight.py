"""The flight of a positron, an electron or a photon: to a calorimeter, a tracker station, or where it is lost."""

import math

from detectors.boundary import (
    CHAMBER,
    COLLIMATOR,
    LID,
    cell_of,
    face_crossing,
    face_distance,
    in_station,
    metal_in_step,
    vacuum_margin,
    wall_crossing,
)
from detectors.flying import Faces, Fate, Flying, Limits
from detectors.geometry import GeometryTables
from detectors.material import converted, matter_ahead, radiated, scatter
from detectors.path import advance, hermite
from detectors.sides import side_crossing
from fields.total import FieldTables
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey
from tracking.muon import LIGHT_SPEED, POSITRON_MASS

ROOM = 4  # photons and electrons kept of one flight
_SHEETS = 1 << 20  # numbers of sheets, and so of random numbers, that each particle of a muon has for itself
_FACE, _SIDE, _WALL = 1, 2, 3  # what a shortened step ends on
_INNERMOST, _OUTERMOST, _HIGHEST = 6.70, 7.40, 0.20  # beyond these nothing can be hit any more [m]
_LEAST_KEPT = 1e-3  # momentum of a positron that stops in metal [GeV/c]
_LEAST_INTO = 0.05  # least cosine to the face's normal of what enters a calorimeter


# numba wants plain numbers
_OUT, _HIT, _LOST_PLATE, _LOST_COLLIMATOR, _LOST_CHAMBER, _SLOW, _, _LOST_CALORIMETER, _STATION = (int(f) for f in Fate)


@scalar
def pass_metal(
    dx: float,
    dy: float,
    dz: float,
    momentum: float,
    thickness: float,
    ionised: float,
    number: int,
    crossing: int,
    key: FillKey,
) -> tuple[float, float, float, float, float]:
    """Return direction, momentum and energy radiated [GeV] in `thickness` radiation lengths that ionise `ionised`."""
    after = momentum * radiated(thickness, number, crossing, key)
    kept = after - ionised
    if kept <= _LEAST_KEPT:
        return dx, dy, dz, _LEAST_KEPT, momentum - after
    ax, ay, az = scatter(dx, dy, dz, math.sqrt(momentum * kept), thickness, number, crossing, key)
    return ax, ay, az, kept, momentum - after


@scalar
def loss(what: int) -> int:
    """Return the fate of a positron that stops in the given kind of metal."""
    if what == CHAMBER:
        return _LOST_CHAMBER
    return _LOST_COLLIMATOR if what == COLLIMATOR else _LOST_PLATE


@scalar
def is_away(x: float, y: float, z: float, inside: int) -> bool:
    """Return whether a positron outside the chamber has left all calorimeters behind."""
    r = math.sqrt(x * x + z * z)
    return inside == 0 and (r < _INNERMOST or r > _OUTERMOST or abs(y) > _HIGHEST)


@scalar
def signed(charge: int, momentum: float) -> float:
    """Return the momentum with the sign of the charge; without charge one that nothing bends."""
    return charge * momentum if charge != 0 else math.inf


@scalar
def moved(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, charge: int, momentum: float, energy: float,
    t: float, h: float, radius: float, fields: FieldTables,
) -> tuple[float, float, float, float, float, float, float]:  # fmt: skip
    """Return place, direction and work of the fields after a step; a photon's is straight."""
    if charge == 0:
        return x + h * dx, y + h * dy, z + h * dz, dx, dy, dz, 0.0
    qx, qy, qz, ex, ey, ez, work = advance(x, y, z, dx, dy, dz, charge * momentum, energy, t, h, radius, fields)
    return qx, qy, qz, ex, ey, ez, work


@scalar
def _make(
    slot: int, made: Flying, number: int, charge: int, energy: float, x: float, y: float, z: float,
    dx: float, dy: float, dz: float, t: float, path: float, inside: int, ahead: float,
) -> None:  # fmt: skip
    """Write a photon or an electron."""
    made.charge[slot], made.energy[slot], made.inside[slot], made.ahead[slot] = charge, energy, inside, ahead
    made.number[slot] = number
    made.x[slot], made.y[slot], made.z[slot], made.time[slot], made.path[slot] = x, y, z, t, path
    made.dx[slot], made.dy[slot], made.dz[slot] = dx, dy, dz


@scalar
def _tangent(
    at: float, h: float, x0: float, y0: float, z0: float, dx0: float, dy0: float, dz0: float,
    x1: float, y1: float, z1: float, dx1: float, dy1: float, dz1: float,
) -> tuple[float, float, float, float, float, float]:  # fmt: skip
    """Return where a photon radiated at a fraction of a step is when the step ends, and its direction."""
    dx, dy, dz = dx0 + at * (dx1 - dx0), dy0 + at * (dy1 - dy0), dz0 + at * (dz1 - dz0)
    scale = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
    dx, dy, dz = scale * dx, scale * dy, scale * dz
    left = (1.0 - at) * h
    x, y, z = hermite(at, h, x0, dx0, x1, dx1), hermite(at, h, y0, dy0, y1, dy1), hermite(at, h, z0, dz0, z1, dz1)
    return x + left * dx, y + left * dy, z + left * dz, dx, dy, dz


@scalar
def _convert(
    i: int, count: int, made: Flying, energy: float, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    t: float, path: float, inside: int, thickness: float, number: int, crossing: int, limits: Limits, key: FillKey,
) -> tuple[int, float, int]:  # fmt: skip
    """Return charge and energy of a photon, or of the positron of its pair, behind a sheet; the electron is written."""
    share = converted(thickness, number, crossing, key)
    if share <= 0.0:
        return 0, energy, count
    left = (1.0 - share) * energy
    if left > limits.least_momentum and count < ROOM:
        _make(i * ROOM + count, made, number, -1, left, x, y, z, dx, dy, dz, t, path, inside, 0.0)
        count += 1
    return 1, share * energy, count


@scalar
def _brake(
    i: int, count: int, made: Flying, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    qx: float, qy: float, qz: float, ex: float, ey: float, ez: float, momentum: float, t: float, path: float,
    h: float, at: float, inside: int, thickness: float, ionised: float, number: int, crossing: int,
    limits: Limits, key: FillKey,
) -> tuple[float, float, float, float, float, int]:  # fmt: skip
    """Return direction, momentum, ionisation behind a sheet that a step from (q, e) to (x, d) met; write a photon."""
    fx, fy, fz, kept, photon = pass_metal(dx, dy, dz, momentum, thickness, ionised, number, crossing, key)
    if limits.photons > 0 and photon > limits.photon_threshold and count < ROOM:
        ahead = matter_ahead(thickness, number, crossing, key)
        sx, sy, sz, gx, gy, gz = _tangent(at, h, qx, qy, qz, ex, ey, ez, x, y, z, dx, dy, dz)
        _make(i * ROOM + count, made, number, 0, photon, sx, sy, sz, gx, gy, gz, t, path, inside, ahead)
        count += 1
    return fx, fy, fz, kept, momentum - photon - kept, count


@scalar
def _pass_sheet(
    i: int, count: int, made: Flying, charge: int, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    qx: float, qy: float, qz: float, ex: float, ey: float, ez: float, momentum: float, energy: float, t: float,
    path: float, h: float, at: float, inside: int, thickness: float, ionised: float, number: int, crossing: int,
    limits: Limits, key: FillKey,
) -> tuple[int, float, float, float, float, float, int]:  # fmt: skip
    """Return charge, direction, energy and ionisation behind a sheet, of what went in or of the positron of a pair."""
    if charge == 0:
        kind, kept, count = _convert(
            i, count, made, energy, x, y, z, dx, dy, dz, t, path, inside, thickness, number, crossing, limits, key
        )
        return kind, dx, dy, dz, kept, 0.0, count
    fx, fy, fz, kept, lost, count = _brake(
        i, count, made, x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, momentum, t, path, h, at, inside,
        thickness, ionised, number, crossing, limits, key,
    )  # fmt: skip
    return charge, fx, fy, fz, math.sqrt(kept * kept + POSITRON_MASS * POSITRON_MASS), lost, count


@scalar
def _crossing(
    x: float, y: float, z: float, dx: float, dy: float, dz: float,
    qx: float, qy: float, qz: float, ex: float, ey: float, ez: float,
    h: float, inside: int, geometry: GeometryTables, limits: Limits,
) -> tuple[int, float]:  # fmt: skip
    """Return what a step meets first, 0 for nothing, and at what fraction of it."""
    face = face_crossing(x, z, dx, dz, qx, qz, ex, ez, h, geometry)
    edge = wall_crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, inside, geometry)
    side = 2.0
    if limits.sides > 0 and face > 1.0:
        side = side_crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, geometry)
    first = min(face, min(side, edge))
    if first > 1.0:
        return 0, first
    if face <= min(side, edge):
        return _FACE, first
    return (_SIDE if side <= edge else _WALL), first


@scalar
def _at_calorimeter(event: int, x: float, y: float, z: float, dx: float, dz: float, geometry: GeometryTables) -> int:
    """Return the fate of a particle at a calorimeter's face or side, `OUT` for one that passes beside it."""
    k, _ = cell_of(x, z, geometry)
    if event == _FACE:
        _, u = face_distance(x, z, k, geometry)
        return _HIT if abs(u) <= geometry.face[6] and abs(y) <= geometry.face[7] else _OUT
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    into = (dx * c + dz * s) * geometry.face[4] + (dz * c - dx * s) * geometry.face[5]
    return _HIT if into > _LEAST_INTO else _LOST_CALORIMETER


@Kernel
def _follow(
    i: int, flying: Flying, faces: Faces, made: Flying, fields: FieldTables, geometry: GeometryTables,
    limits: Limits, key: FillKey,
) -> None:  # fmt: skip
    """Follow particle i to its end; photons and electrons that it makes are written from row i x ROOM on."""
    x, y, z, dx, dy, dz = flying.x[i], flying.y[i], flying.z[i], flying.dx[i], flying.dy[i], flying.dz[i]
    energy, t, path, ionisation = flying.energy[i], flying.time[i], flying.path[i], flying.ionised[i]
    charge, number, inside, sheets = flying.charge[i], flying.number[i], flying.inside[i], flying.sheets[i]
    draws = flying.order[i] * _SHEETS
    through_straws = flying.order[i] == 0
    mass = POSITRON_MASS if charge != 0 else 0.0
    momentum = math.sqrt(energy * energy - mass * mass)
    event, shortened, count, fate = 0, 0.0, 0, _OUT
    # What is left of the sheet in which a photon was radiated is the first metal that it meets.
    thickness, ionised, what, at = flying.ahead[i], 0.0, CHAMBER, 1.0
    wall, h = -1, 0.0
    qx, qy, qz, ex, ey, ez = x, y, z, dx, dy, dz
    slow = charge != 0 and momentum < limits.least_momentum
    if slow:
        fate = _SLOW
    for _ in range(0 if slow else limits.most_steps):
        if thickness > 0.0 and limits.material > 0:
            charge, dx, dy, dz, energy, lost, count = _pass_sheet(
                i, count, made, charge, x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, momentum, energy, t, path, h, at,
                inside, thickness, ionised, number, draws + sheets, limits, key,
            )  # fmt: skip
            ionisation += lost
            sheets += 1
            mass = POSITRON_MASS if charge != 0 else 0.0
            momentum = math.sqrt(max(energy * energy - mass * mass, 0.0))
            if charge != 0 and momentum < limits.least_momentum:
                fate = loss(what)
                break
        thickness = 0.0
        if is_away(x, y, z, inside):
            fate = _LOST_CHAMBER
            break
        if path > limits.longest_path:
            break
        if through_straws and event == 0 and inside > 0 and in_station(x, z, geometry):
            fate = _STATION
            break
        h = shortened if event > 0 else min(limits.step, limits.step_per_momentum * momentum)
        qx, qy, qz, ex, ey, ez, work = moved(
            x, y, z, dx, dy, dz, charge, momentum, energy, t, h, geometry.radius, fields
        )
        if event == 0:
            # A step that meets a face, a side or the wall is taken again, just as far as there.
            event, first = _crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, inside, geometry, limits)
            if event > 0:
                shortened = max(first * h, 1e-9)
                continue
        path += h
        t += h * energy / (momentum * LIGHT_SPEED)
        energy += work
        momentum = math.sqrt(energy * energy - mass * mass)
        wall = -1
        if event == _WALL:
            _, wall = vacuum_margin(qx, qy, qz, geometry)
        thickness, ionised, what, at = metal_in_step(
            x, y, z, qx, qy, qz, ex, ey, ez, signed(charge, momentum), wall, inside, geometry
        )
        # From here on (x, dx) is the end of the step and (qx, ex) its begin.
        x, qx, y, qy, z, qz = qx, x, qy, y, qz, z
        dx, ex, dy, ey, dz, ez = ex, dx, ey, dy, ez, dz
        if event in (_FACE, _SIDE):
            fate = _at_calorimeter(event, x, y, z, dx, dz, geometry)
            if fate != _OUT:
                break
        if wall == LID:
            fate = _LOST_CHAMBER
            break
        if wall >= 0:
            inside = 1 - inside
        event = 0
    flying.charge[i], flying.inside[i], flying.sheets[i], flying.ionised[i] = charge, inside, sheets, ionisation
    faces.fate[i] = fate
    if fate == _HIT:
        back = _enter(i, faces, event, x, y, z, dx, dy, dz, geometry)
        x, y, z, path = x + back * dx, y + back * dy, z + back * dz, path + back
        t += back * energy / (momentum * LIGHT_SPEED)
    flying.x[i], flying.y[i], flying.z[i], flying.dx[i], flying.dy[i], flying.dz[i] = x, y, z, dx, dy, dz
    flying.energy[i], flying.time[i], flying.path[i] = energy, t, path


@scalar
def _enter(
    i: int, faces: Faces, event: int, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    geometry: GeometryTables,
) -> float:  # fmt: skip
    """Write place and slopes of a hit; return the path from its last place to the plane of the face, 0 for a side."""
    k, _ = cell_of(x, z, geometry)
    face = geometry.face
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    xc, zc = dx * c + dz * s, dz * c - dx * s
    into = xc * face[4] + zc * face[5]
    depth, _ = face_distance(x, z, k, geometry)
    # The last step ends some nanometres off the face, as the cubic that sought it is not the step itself.
    back = -depth / into if event == _FACE else 0.0
    _, u = face_distance(x + back * dx, z + back * dz, k, geometry)
    faces.calo[i], faces.u[i], faces.v[i] = k, u, y + back * dy
    faces.du[i], faces.dv[i] = (xc * face[2] + zc * face[3]) / into, dy / into
    faces.depth[i] = depth if event == _SIDE else 0.0
    return back


def follow(
    flying: Flying, fields: FieldTables, geometry: GeometryTables, limits: Limits, key: FillKey, backend: str = "cpu"
) -> tuple[Faces, Flying]:
    """Fly particles on, in place.

    Parameters
    ----------
    flying
        n particles; they stand at their ends afterwards.
    fields, geometry
        Tables of `fields.total` and of `detectors.geometry`, or of `detectors.straws` with stations.
    limits
        Steps and switches.
    key
        Fill that the random numbers belong to (stage SCATTERING, with ranges of its own for each order).
    backend
        "cpu" or "gpu".

    Returns
    -------
    Faces
        How and where each of the n flights ended.
    Flying
        Room for ROOM times n photons and electrons that were made, row i x ROOM the first one of particle i; those
        that are there have an energy. No room without photons.
    """
    n = flying.x.size
    faces, made = Faces.empty(n), Flying.empty(n * ROOM if limits.photons > 0 else 0)
    _follow(n, flying, faces, made, fields, geometry, limits, key, backend=backend)
    return faces, made
