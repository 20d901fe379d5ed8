"""The path of a fitted track through its station: distances from the wires, and how they change with the track."""

import math
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.path import advance, curvature, global_field
from detectors.straw_crossings import GAS_RADIATION, WALL_RADIATION, matter_of, wire_approach
from detectors.straws import LAYERS, StrawTables
from fields.total import FieldTables
from gm2sim.tracks.finding import MOST_HITS
from gpu.kernel import scalar
from tracking.muon import POSITRON_MASS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PARAMETERS = 6  # x, y, dx/dz, dy/dz, 1/p, t
_NEAR = 3e-4  # from a plane to where the step to it ends [m]
_STEEPEST = 0.2  # least cosine between path and station axis
_TRIES = 100
_GRAZING = 0.97  # of the gas radius: closer to the wall the matter depends on more than is known of the track


class Work(NamedTuple):
    """Numbers of the hits of each track in the fit; shapes (n, MOST_HITS) but for the last ones."""

    layer: IntArray
    wire: IntArray
    time: FloatArray  # [s]
    weight: FloatArray  # 1 for a hit that counts, 0 for an outlier
    distance: FloatArray  # of the track, with sign [m]
    length: FloatArray  # along the track, from the reference plane [m]
    across: FloatArray  # horizontal and vertical part of the unit vector from wire to track
    up: FloatArray
    thickness: FloatArray  # of the straw [radiation lengths]
    shift: FloatArray  # by scattering, as fitted [m]
    radius: FloatArray  # that the drift time says [m]
    side: FloatArray  # 1 for the outer side of the wire, -1 for the inner, in between while not known
    error: FloatArray  # of the radius [m]
    variance: FloatArray  # the same squared, by weight [m2]
    information: FloatArray  # of the hit's residual [1/m2]
    scratch: FloatArray
    slopes: FloatArray  # (n, MOST_HITS, 6) of the distance less what is measured
    solved: FloatArray  # (n, MOST_HITS, 8) slopes and residual, whitened; a column for residuals
    covariance: FloatArray  # (n, MOST_HITS, MOST_HITS)
    normal: FloatArray  # (n, 6, 6)
    right: FloatArray  # (n, 6, 8)

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` tracks."""
        shapes = {
            "slopes": (MOST_HITS, PARAMETERS), "solved": (MOST_HITS, 8), "covariance": (MOST_HITS, MOST_HITS),
            "normal": (PARAMETERS, PARAMETERS), "right": (PARAMETERS, 8),
        }  # fmt: skip
        whole = {"layer", "wire"}
        return cls._make(
            np.zeros((n, *shapes.get(name, (MOST_HITS,))), np.int64 if name in whole else np.float64)
            for name in cls._fields
        )


@scalar
def start_in_ring(
    x: float, y: float, tx: float, ty: float, z: float, s: int, straws: StrawTables
) -> tuple[float, float, float, float, float, float]:
    """Return place [m] and unit vector in the global frame of a track at a plane z of station s."""
    f = straws.frames
    norm = 1.0 / math.sqrt(1.0 + tx * tx + ty * ty)
    return (
        f[s, 0] + x * f[s, 2] + z * f[s, 4],
        y,
        f[s, 1] + x * f[s, 3] + z * f[s, 5],
        norm * (tx * f[s, 2] + f[s, 4]),
        norm * ty,
        norm * (tx * f[s, 3] + f[s, 5]),
    )


@scalar(inline=False)
def move(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, q: float, t: float, h: float, radius: float,
    fields: FieldTables,
) -> tuple[float, float, float, float, float, float]:  # fmt: skip
    """Return place and direction a step further on, or back."""
    momentum = 1.0 / q
    energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
    x, y, z, dx, dy, dz, _ = advance(x, y, z, dx, dy, dz, momentum, energy, t, h, radius, fields)
    return x, y, z, dx, dy, dz


@scalar(inline=False)
def bend_at(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, q: float, t: float, radius: float,
    fields: FieldTables,
) -> tuple[float, float, float]:  # fmt: skip
    """Return the curvature vector of a path [1/m]."""
    momentum = 1.0 / q
    energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
    ex, ey, ez, fx, fy, fz = global_field(x, y, z, t, radius, fields)
    kx, ky, kz = curvature(dx, dy, dz, ex, ey, ez, fx, fy, fz, momentum, momentum / energy)
    return kx, ky, kz


@scalar(inline=False)
def note_hit(
    i: int, k: int, dx: float, dy: float, dz: float, distance: float, sine: float, s: int, fresh: int,
    work: Work, straws: StrawTables,
) -> int:  # fmt: skip
    """Note what scattering wants to know of a hit: direction from wire to track, and matter; in the station frame.

    With `fresh` 0 the matter stays.
    """
    layer = work.layer[i, k]
    ux, uy = straws.layers[s, layer, 6], straws.layers[s, layer, 7]
    level = math.sqrt(dx * dx + dz * dz)
    # The unit vector across wire and path, outwards, along the horizontal and the other axis across the path.
    nx, ny, nz = dz * uy / sine, -dz * ux / sine, (dy * ux - dx * uy) / sine
    work.across[i, k] = (nx * dz - nz * dx) / level
    work.up[i, k] = (ny * level * level - (nx * dx + nz * dz) * dy) / level
    if fresh > 0:
        gas, wall = matter_of(min(abs(distance), _GRAZING * straws.gas_radius), sine, straws)
        work.thickness[i, k] = gas * GAS_RADIATION + wall * WALL_RADIATION
    return 1


@scalar(inline=False)
def follow(
    i: int, n: int, column: int, size: float, x: float, y: float, tx: float, ty: float, q: float, t: float, z: float,
    s: int, fresh: int, work: Work, fields: FieldTables, radius: float, straws: StrawTables, longest: float,
) -> int:  # fmt: skip
    """Follow a track through the planes of its n hits; return 0 where it turns away.

    From module to module with the Runge-Kutta-Nystroem step; in a module, within 15 mm of its middle, a parabola is
    good to 1 um. With `column` below 0 distances are written, else how they changed when parameter `column` did, by
    `size`.
    """
    gx, gy, gz, dx, dy, dz = start_in_ring(x, y, tx, ty, z, s, straws)
    ox, oz = straws.frames[s, 0], straws.frames[s, 1]
    ax, az, bx, bz = straws.frames[s, 2], straws.frames[s, 3], straws.frames[s, 4], straws.frames[s, 5]
    module, length, kx, ky, kz = -1, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        layer = work.layer[i, k]
        if layer // LAYERS != module:
            module = layer // LAYERS
            plane = 0.5 * (straws.layers[s, LAYERS * module, 2] + straws.layers[s, LAYERS * module + LAYERS - 1, 2])
            for _ in range(_TRIES):
                along = dx * bx + dz * bz
                if along < _STEEPEST:
                    return 0
                left = plane - (gx - ox) * bx - (gz - oz) * bz
                if abs(left) < _NEAR:
                    break
                h = max(min(left / along, longest), -longest)
                gx, gy, gz, dx, dy, dz = move(gx, gy, gz, dx, dy, dz, q, t, h, radius, fields)
                length += h
            kx, ky, kz = bend_at(gx, gy, gz, dx, dy, dz, q, t, radius, fields)
        xs, zs = (gx - ox) * ax + (gz - oz) * az, (gx - ox) * bx + (gz - oz) * bz
        ds, dn = dx * ax + dz * az, dx * bx + dz * bz
        way, distance, _, sine = wire_approach(
            xs, gy, zs, ds, dy, dn, kx * ax + kz * az, ky, kx * bx + kz * bz, s, layer, work.wire[i, k], straws
        )
        if column < 0:
            work.distance[i, k], work.length[i, k] = distance, length + way
            note_hit(i, k, ds, dy, dn, distance, sine, s, fresh, work, straws)
        else:
            work.slopes[i, k, column] = (distance - work.distance[i, k]) / size
    return 1
