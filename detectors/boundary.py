"""Where a step meets the calorimeters, the wall of the chamber, plates and collimators."""

import math

from detectors.extension import extension_margin, scallop_place
from detectors.geometry import CELL, N_CALORIMETERS, GeometryTables
from detectors.material import path_in_sheet
from detectors.path import hermite
from gpu.fastmath import atan2
from gpu.kernel import scalar
from tracking.muon import RIGIDITY

WINDOW = 1  # segment of the chamber's wall in front of the calorimeter
LID = 3  # top, bottom or outer wall
EXTENSION = 4  # back or end of the chamber's extension for a tracker
NOWHERE = 2.0  # a fraction of a step beyond its end
AT_CORNER = 1e-4  # azimuth from a corner of the wall to where a step that passes it is looked at [rad]
NOTHING, PLATE, COLLIMATOR, CHAMBER = 0, 1, 2, 3  # what metal a step passes


@scalar
def face_distance(x: float, z: float, k: int, geometry: GeometryTables) -> tuple[float, float]:
    """Return depth behind the face's plane and place u along the face of cell k's calorimeter [m]."""
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    ox, oz = x * c + z * s - geometry.face[0], z * c - x * s - geometry.face[1]
    return ox * geometry.face[4] + oz * geometry.face[5], ox * geometry.face[2] + oz * geometry.face[3]


@scalar
def cell_of(x: float, z: float, geometry: GeometryTables) -> tuple[int, float]:
    """Return the cell of a point, 0 to 23, and the azimuth in that cell [rad]."""
    phi = atan2(z, x) - geometry.cell_origin
    phi -= 2.0 * math.pi * math.floor(phi / (2.0 * math.pi))
    k = min(int(phi / CELL), N_CALORIMETERS - 1)
    return k, phi - k * CELL


@scalar
def vacuum_margin(x: float, y: float, z: float, geometry: GeometryTables) -> tuple[float, int]:
    """Return the distance to the nearest wall of the chamber, positive in the vacuum [m], and that wall."""
    k, phi = cell_of(x, z, geometry)
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    xc, zc = x * c + z * s, z * c - x * s
    corners = geometry.corners
    wall = 0 if phi < corners[1, 2] else (1 if phi < corners[2, 2] else 2)
    ax, az = corners[wall, 0], corners[wall, 1]
    bx, bz = corners[wall + 1, 0] - ax, corners[wall + 1, 1] - az
    margin = (bz * (xc - ax) - bx * (zc - az)) / math.sqrt(bx * bx + bz * bz)
    lid = min(geometry.half_height - abs(y), geometry.outer_radius - math.sqrt(x * x + z * z))
    if lid < margin:
        margin, wall = lid, LID
    if geometry.trackers[k, 1] > 0.0:
        xs, zs = scallop_place(xc, zc, geometry)
        box = extension_margin(xs, zs, geometry)
        top = geometry.half_height - abs(y)
        if min(box, top) > margin and xs < geometry.extension[2]:
            return (box, EXTENSION) if box < top else (top, LID)
    return margin, wall


@scalar
def extension_sine(x: float, z: float, dx: float, dz: float, geometry: GeometryTables) -> float:
    """Return the sine of the angle between a direction and the nearest wall of the extension."""
    k, _ = cell_of(x, z, geometry)
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    xs, zs = scallop_place(x * c + z * s, z * c - x * s, geometry)
    box = geometry.extension
    back = wall_sine(x, z, dx, dz, 0, geometry)
    if xs + box[2] < min(zs - box[0], box[1] - zs):
        return float(back)
    return float(math.sqrt(max(dx * dx + dz * dz - back * back, 0.0)))


@scalar
def in_station(x: float, z: float, geometry: GeometryTables) -> bool:
    """Return whether a point of the vacuum is in the volume of a tracker station."""
    k, _ = cell_of(x, z, geometry)
    if geometry.trackers[k, 1] <= 0.0:
        return False
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    _, zs = scallop_place(x * c + z * s, z * c - x * s, geometry)
    return bool(geometry.trackers[k, 0] <= zs < geometry.trackers[k, 1])


@scalar
def wall_sine(x: float, z: float, dx: float, dz: float, wall: int, geometry: GeometryTables) -> float:
    """Return the sine of the angle between a direction and an inner wall of the chamber."""
    k, _ = cell_of(x, z, geometry)
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    bx = geometry.corners[wall + 1, 0] - geometry.corners[wall, 0]
    bz = geometry.corners[wall + 1, 1] - geometry.corners[wall, 1]
    across = bz * (dx * c + dz * s) - bx * (dz * c - dx * s)
    return float(abs(across) / math.sqrt(bx * bx + bz * bz))


@scalar
def face_crossing(
    x0: float,
    z0: float,
    dx0: float,
    dz0: float,
    x1: float,
    z1: float,
    dx1: float,
    dz1: float,
    h: float,
    geometry: GeometryTables,
) -> float:
    """Return the fraction of a step at which it enters a calorimeter's face, 2 if it does not."""
    half = geometry.face[6] + 1e-3  # the chord strays from the path by less than a millimetre in a step
    return float(plane_crossing(x0, z0, dx0, dz0, x1, z1, dx1, dz1, h, half, geometry))


@scalar
def plane_crossing(
    x0: float,
    z0: float,
    dx0: float,
    dz0: float,
    x1: float,
    z1: float,
    dx1: float,
    dz1: float,
    h: float,
    half: float,
    geometry: GeometryTables,
) -> float:
    """Return the fraction of a step at which it passes the plane of a face within `half` of its centre [m], else 2."""
    k, _ = cell_of(x0, z0, geometry)
    before, u0 = face_distance(x0, z0, k, geometry)
    after, u1 = face_distance(x1, z1, k, geometry)
    if before >= -1e-9 or after < 0.0:
        return NOWHERE
    f = before / (before - after)
    if abs(u0 + f * (u1 - u0)) > half:
        return NOWHERE
    c, s = geometry.cells[k, 0], geometry.cells[k, 1]
    slope0 = (dx0 * c + dz0 * s) * geometry.face[4] + (dz0 * c - dx0 * s) * geometry.face[5]
    slope1 = (dx1 * c + dz1 * s) * geometry.face[4] + (dz1 * c - dx1 * s) * geometry.face[5]
    low, high = 0.0, 1.0
    for _ in range(8):
        depth = hermite(f, h, before, slope0, after, slope1)
        low, high = (f, high) if depth < 0.0 else (low, f)
        guess = f - depth / (h * (slope0 + f * (slope1 - slope0)))
        f = guess if low < guess < high else 0.5 * (low + high)
    return float(f)


@scalar
def wall_crossing(
    x0: float,
    y0: float,
    z0: float,
    dx0: float,
    dy0: float,
    dz0: float,
    x1: float,
    y1: float,
    z1: float,
    dx1: float,
    dy1: float,
    dz1: float,
    h: float,
    inside: int,
    geometry: GeometryTables,
) -> float:
    """Return the fraction of a step at which it passes the wall of the chamber, 2 if it does not."""
    margin, _ = vacuum_margin(x1, y1, z1, geometry)
    high = 1.0
    if (margin > 0.0) == (inside > 0):
        # Only at the corners that stand out into the vacuum can a step leave it and come back: behind the window,
        # and where the next cell begins.
        k0, phi0 = cell_of(x0, z0, geometry)
        k1, phi1 = cell_of(x1, z1, geometry)
        end = phi1 if k1 == k0 else phi1 + CELL
        corner = geometry.corners[2, 2] + AT_CORNER if phi0 < geometry.corners[2, 2] else CELL - AT_CORNER
        if not phi0 < corner < end:
            return NOWHERE
        high = (corner - phi0) / (end - phi0)
        x = hermite(high, h, x0, dx0, x1, dx1)
        y = hermite(high, h, y0, dy0, y1, dy1)
        z = hermite(high, h, z0, dz0, z1, dz1)
        margin, _ = vacuum_margin(x, y, z, geometry)
        if (margin > 0.0) == (inside > 0):
            return NOWHERE
    low = 0.0
    for _ in range(20):  # 60 mm / 2^20: 0.06 micrometres
        f = 0.5 * (low + high)
        x = hermite(f, h, x0, dx0, x1, dx1)
        y = hermite(f, h, y0, dy0, y1, dy1)
        z = hermite(f, h, z0, dz0, z1, dz1)
        margin, _ = vacuum_margin(x, y, z, geometry)
        low, high = (f, high) if (margin > 0.0) == (inside > 0) else (low, f)
    return high


@scalar
def plate_metal(
    r0: float,
    y0: float,
    r1: float,
    y1: float,
    theta: float,
    sine: float,
    sine_y: float,
    bend: float,
    geometry: GeometryTables,
) -> tuple[float, float]:
    """Return the length of metal [m] in the plates that a step crosses, 0 if none, and the fraction at the last one.

    Parameters
    ----------
    r0, y0, r1, y1
        Distance from the axis of the ring and height at the step's ends [m].
    theta
        Azimuth of its end, 0 to 2 pi [rad].
    sine, sine_y
        Radial and vertical component of the direction.
    bend
        Curvature of the path inwards, relative to a circle around the ring [1/m].
    """
    plates = geometry.plates
    metal, at = 0.0, 1.0
    for p in range(plates.shape[0]):
        if plates[p, 0] <= theta <= plates[p, 1]:
            for side in range(2):
                sign = 2.0 * side - 1.0
                a = r0 - geometry.radius - sign * plates[p, 2]
                b = r1 - geometry.radius - sign * plates[p, 2]
                if (a > 0.0) != (b > 0.0) and abs(y0 + (y1 - y0) * a / (a - b)) < plates[p, 3]:
                    metal += path_in_sheet(plates[p, 4 + side], abs(sine), bend if b < a else -bend)
                    at = a / (a - b)
                a, b = y0 - sign * plates[p, 6], y1 - sign * plates[p, 6]
                if (a > 0.0) != (b > 0.0):
                    x = r0 + (r1 - r0) * a / (a - b) - geometry.radius
                    if abs(x) < plates[p, 7]:
                        metal += path_in_sheet(plates[p, 8], abs(sine_y), 0.0)
                        at = a / (a - b)
    return metal, at


@scalar
def collimator_metal(r: float, y: float, theta0: float, theta1: float, geometry: GeometryTables) -> tuple[float, float]:
    """Return the length of metal [m] of the collimator between two azimuths of a step, 0 if none, and its fraction.

    The place (r, y) [m] is that of the step's end: within a step a path moves across by a few millimetres.
    """
    collimators = geometry.collimators
    metal, at = 0.0, 1.0
    for k in range(collimators.shape[0]):
        if theta0 < collimators[k, 0] <= theta1:
            x = r - geometry.radius
            distance = math.sqrt(x * x + y * y)
            if collimators[k, 1] < distance < collimators[k, 2] and not x * collimators[k, 4] < 0.0:
                metal += collimators[k, 3]
                at = (collimators[k, 0] - theta0) / (theta1 - theta0)
    return metal, at


@scalar
def theta_of(x: float, z: float) -> float:
    """Return the azimuth of a point, 0 to 2 pi [rad]."""
    theta = atan2(z, x)
    return float(theta + 2.0 * math.pi if theta < 0.0 else theta)


@scalar
def metal_in_step(
    x0: float,
    y0: float,
    z0: float,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    momentum: float,
    wall: int,
    inside: int,
    geometry: GeometryTables,
) -> tuple[float, float, int, float]:
    """Add up the metal that a step passes; parameters as in :func:`lengths_in_step`.

    Returns
    -------
    thickness, ionised, what, at
        Radiation lengths, mean energy lost by ionisation [GeV], what kind of thing (NOTHING, PLATE, ...), and at what
        fraction of the step.
    """
    # What is radiated in front of the calorimeter enters it right behind: there the window takes nothing.
    aluminium, copper, what, at = lengths_in_step(x0, y0, z0, x, y, z, dx, dy, dz, momentum, wall, inside, 0, geometry)
    thickness = aluminium / geometry.aluminium[0] + copper / geometry.copper[0]
    return thickness, aluminium * geometry.aluminium[1] + copper * geometry.copper[1], what, at


@scalar
def lengths_in_step(
    x0: float, y0: float, z0: float, x: float, y: float, z: float, dx: float, dy: float, dz: float,
    momentum: float, wall: int, inside: int, window: int, geometry: GeometryTables,
) -> tuple[float, float, int, float]:  # fmt: skip
    """Add up the metal that a step passes.

    Parameters
    ----------
    x0, y0, z0, x, y, z
        Ends of the step [m].
    dx, dy, dz
        Direction at its end.
    momentum
        [GeV/c], with the sign of the charge, infinite without.
    wall
        Segment of the chamber's wall on which the step ends, -1 for none.
    inside
        1 if the step was in the vacuum.
    window
        1 if the window in front of a calorimeter counts.

    Returns
    -------
    aluminium, copper, what, at
        Lengths of the path in them [m], what kind of thing (NOTHING, PLATE, ...), and at what fraction of the step.
    """
    r0, r = math.sqrt(x0 * x0 + z0 * z0), math.sqrt(x * x + z * z)
    theta = theta_of(x, z)
    curvature = RIGIDITY * geometry.field / momentum
    aluminium, copper, what, at = 0.0, 0.0, NOTHING, 1.0
    if inside > 0:
        sine = (x * dx + z * dz) / r
        aluminium, at = plate_metal(r0, y0, r, y, theta, sine, dy, curvature - 1.0 / r, geometry)
        what = PLATE if aluminium > 0.0 else NOTHING
        copper, along = collimator_metal(r, y, theta_of(x0, z0), theta, geometry)
        if copper > 0.0:
            what, at = COLLIMATOR, along
    takes = wall >= 0 and wall != LID
    if wall == WINDOW and window == 0:
        k, _ = cell_of(x, z, geometry)
        _, u = face_distance(x, z, k, geometry)
        takes = abs(u) > geometry.face[6]
    if takes:
        what, at = CHAMBER, 1.0
        bend = curvature if inside > 0 else -curvature
        if wall == EXTENSION:
            sine, thickness = extension_sine(x, z, dx, dz, geometry), geometry.extension[3]
        else:
            sine, thickness = wall_sine(x, z, dx, dz, wall, geometry), geometry.wall_thickness[wall]
        aluminium += path_in_sheet(thickness, sine, bend)
    return aluminium, copper, what, at
