"""Whether volumes seen from above share space: convex outlines, and boxes behind the chamber's wall."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def overlap(one: FloatArray, other: FloatArray) -> bool:
    """Whether two convex outlines, corners in order of shapes (n, 2) and (m, 2) [m], share space.

    Separating axes: C. Ericson, Real-Time Collision Detection (2005), section 5.2.1.
    """
    for outline in (one, other):
        edges = np.roll(outline, -1, axis=0) - outline
        for normal in np.stack([edges[:, 1], -edges[:, 0]], axis=1):
            a, b = one @ normal, other @ normal
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


def reaches_beyond(outline: FloatArray, wall: FloatArray) -> bool:
    """Whether a convex outline reaches beyond a wall.

    Parameters
    ----------
    outline
        Corners in order, shape (n, 2) [m].
    wall
        Its corners by rising azimuth, shape (m, 2) [m]; what has a larger radius at the same azimuth is beyond. The
        outline's azimuths are among those of the wall.
    """
    azimuth = np.arctan2(wall[:, 1], wall[:, 0])
    for x, z in outline:
        k = int(np.clip(np.searchsorted(azimuth, np.arctan2(z, x)), 1, len(wall) - 1))
        a, b = wall[k - 1], wall[k]
        if (b[1] - a[1]) * (x - a[0]) > (b[0] - a[0]) * (z - a[1]):
            return True
    edges = np.roll(outline, -1, axis=0) - outline
    turn = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
    for x, z in wall:
        inward = turn * (edges[:, 0] * (z - outline[:, 1]) - edges[:, 1] * (x - outline[:, 0]))
        if (inward > 0.0).all():
            return True
    return False
