"""Where a step comes into the crystals of a calorimeter through a side."""

import math

from detectors.boundary import NOWHERE, cell_of, face_distance
from detectors.geometry import GeometryTables
from detectors.path import hermite
from gpu.kernel import scalar


@scalar
def is_in_crystals(x: float, y: float, z: float, k: int, geometry: GeometryTables) -> bool:
    """Return whether a point is in the crystals of cell k's calorimeter."""
    depth, u = face_distance(x, z, k, geometry)
    return bool(0.0 < depth < geometry.crystals[0] and abs(u) < geometry.face[6] and abs(y) < geometry.face[7])


@scalar
def side_crossing(
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
    geometry: GeometryTables,
) -> float:
    """Return the fraction of a step at which it enters the crystals of a calorimeter, 2 if it does not.

    An edge that the path, but not its chord, cuts off by a fraction of a millimetre is not seen.
    """
    r0, r1 = math.sqrt(x0 * x0 + z0 * z0), math.sqrt(x1 * x1 + z1 * z1)
    if min(r0, r1) > geometry.crystals[2] or max(r0, r1) < geometry.crystals[1]:
        return NOWHERE
    k, _ = cell_of(x1, z1, geometry)
    d0, u0 = face_distance(x0, z0, k, geometry)
    d1, u1 = face_distance(x1, z1, k, geometry)
    middle = 0.5 * geometry.crystals[0]
    low, high = between(0.0, 1.0, d0 - middle, d1 - middle, middle)
    low, high = between(low, high, u0, u1, geometry.face[6])
    low, high = between(low, high, y0, y1, geometry.face[7])
    high = 0.5 * (low + high) if low < high else 0.0
    x = hermite(high, h, x0, dx0, x1, dx1)
    y = hermite(high, h, y0, dy0, y1, dy1)
    z = hermite(high, h, z0, dz0, z1, dz1)
    if not is_in_crystals(x, y, z, k, geometry):
        return NOWHERE
    low = 0.0
    for _ in range(20):  # 60 mm / 2^20: 0.06 micrometres
        f = 0.5 * (low + high)
        x = hermite(f, h, x0, dx0, x1, dx1)
        y = hermite(f, h, y0, dy0, y1, dy1)
        z = hermite(f, h, z0, dz0, z1, dz1)
        low, high = (low, f) if is_in_crystals(x, y, z, k, geometry) else (f, high)
    return high


@scalar
def between(low: float, high: float, a: float, b: float, half: float) -> tuple[float, float]:
    """Cut the fractions of a straight step to where a coordinate that goes from a to b is within `half` of 0."""
    if a == b:
        return (low, high) if abs(a) < half else (high, low)
    first, last = (-half - a) / (b - a), (half - a) / (b - a)
    return max(low, min(first, last)), min(high, max(first, last))
