"""The extension of the vacuum chamber behind a scallop's slanted wall, in which a tracker stands."""

import math

from detectors.geometry import GeometryTables
from gpu.kernel import scalar


@scalar
def scallop_place(xc: float, zc: float, geometry: GeometryTables) -> tuple[float, float]:
    """Return the place of a point of a cell in front of the slanted wall and along it: the frame of a station [m]."""
    ax, az = geometry.corners[0, 0], geometry.corners[0, 1]
    bx, bz = geometry.corners[1, 0] - ax, geometry.corners[1, 1] - az
    length = math.sqrt(bx * bx + bz * bz)
    return (bz * (xc - ax) - bx * (zc - az)) / length, (bx * (xc - ax) + bz * (zc - az)) / length


@scalar
def extension_margin(xs: float, zs: float, geometry: GeometryTables) -> float:
    """Return the distance to the nearest wall of the chamber's extension, positive inside [m]; it is open in front."""
    box = geometry.extension
    return float(min(min(zs - box[0], box[1] - zs), xs + box[2]))
