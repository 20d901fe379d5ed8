"""One step of a positron through the fields, in the global frame."""

import math

from fields.total import FieldTables, field_at
from gpu.fastmath import atan2
from gpu.kernel import scalar
from tracking.muon import LIGHT_SPEED, RIGIDITY

_ELECTRIC = 1e-9  # energy per charge and potential [GeV/V]


@scalar
def global_field(
    x: float, y: float, z: float, t: float, radius: float, tables: FieldTables
) -> tuple[float, float, float, float, float, float]:
    """Return E [V/m] and B [T] at a point of the global frame, as six components in that frame."""
    rho = math.sqrt(x * x + z * z)
    er, ey, es, br, by, bs = field_at(rho - radius, y, atan2(z, x), t, tables)
    c, s = x / rho, z / rho
    return er * c - es * s, ey, er * s + es * c, br * c - bs * s, by, br * s + bs * c


@scalar
def curvature(
    dx: float,
    dy: float,
    dz: float,
    ex: float,
    ey: float,
    ez: float,
    bx: float,
    by: float,
    bz: float,
    momentum: float,
    beta: float,
) -> tuple[float, float, float]:
    """Return the change of direction per length [1/m] of a unit charge, across the direction.

    dp/ds = E / beta + c d x B in eV/c per metre; the part along the direction changes the energy only.
    """
    along = ex * dx + ey * dy + ez * dz
    electric = _ELECTRIC / (momentum * beta)
    magnetic = RIGIDITY / momentum
    kx = electric * (ex - dx * along) + magnetic * (dy * bz - dz * by)
    ky = electric * (ey - dy * along) + magnetic * (dz * bx - dx * bz)
    kz = electric * (ez - dz * along) + magnetic * (dx * by - dy * bx)
    return kx, ky, kz


@scalar
def advance(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, momentum: float, energy: float, t: float,
    h: float, radius: float, tables: FieldTables,
) -> tuple[float, float, float, float, float, float, float]:  # fmt: skip
    """Move a positron, or an electron, along its path by the length `h`.

    Fourth-order Runge-Kutta-Nystroem step with three fields (E. J. Nystroem 1925; for tracks L. Bugge and J.
    Myrheim, NIM 179, 365 (1981)). The size of the momentum is kept over the step, and the work of the
    electric field, of relative size 1e-6, is given back for the end.

    Parameters
    ----------
    x, y, z
        Place in the global frame [m].
    dx, dy, dz
        Unit vector.
    momentum, energy
        [GeV/c], with the sign of the charge; [GeV].
    t
        Time [s].
    h
        Length of the step [m].
    radius
        Design radius of the ring [m].
    tables
        FieldTables.

    Returns
    -------
    x, y, z, dx, dy, dz, work
        At the end of the step; work of the electric field [GeV].
    """
    beta = abs(momentum) / energy
    slowness = 1.0 / (beta * LIGHT_SPEED)
    ex, ey, ez, bx, by, bz = global_field(x, y, z, t, radius, tables)
    work = ex * dx + ey * dy + ez * dz
    ax, ay, az = curvature(dx, dy, dz, ex, ey, ez, bx, by, bz, momentum, beta)
    half = 0.5 * h
    eighth = 0.125 * h * h
    mx = x + half * dx + eighth * ax
    my = y + half * dy + eighth * ay
    mz = z + half * dz + eighth * az
    ex, ey, ez, bx, by, bz = global_field(mx, my, mz, t + half * slowness, radius, tables)
    px, py, pz = dx + half * ax, dy + half * ay, dz + half * az
    work += 4.0 * (ex * px + ey * py + ez * pz)
    kx, ky, kz = curvature(px, py, pz, ex, ey, ez, bx, by, bz, momentum, beta)
    px, py, pz = dx + half * kx, dy + half * ky, dz + half * kz
    cx, cy, cz = curvature(px, py, pz, ex, ey, ez, bx, by, bz, momentum, beta)
    px, py, pz = dx + h * cx, dy + h * cy, dz + h * cz
    qx = x + h * dx + 0.5 * h * h * cx
    qy = y + h * dy + 0.5 * h * h * cy
    qz = z + h * dz + 0.5 * h * h * cz
    ex, ey, ez, bx, by, bz = global_field(qx, qy, qz, t + h * slowness, radius, tables)
    work += ex * px + ey * py + ez * pz
    gx, gy, gz = curvature(px, py, pz, ex, ey, ez, bx, by, bz, momentum, beta)
    sixth = h / 6.0
    x += h * (dx + sixth * (ax + kx + cx))
    y += h * (dy + sixth * (ay + ky + cy))
    z += h * (dz + sixth * (az + kz + cz))
    dx += sixth * (ax + 2.0 * (kx + cx) + gx)
    dy += sixth * (ay + 2.0 * (ky + cy) + gy)
    dz += sixth * (az + 2.0 * (kz + cz) + gz)
    scale = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
    return x, y, z, dx * scale, dy * scale, dz * scale, work * sixth * math.copysign(_ELECTRIC, momentum)


@scalar
def hermite(f: float, h: float, x0: float, d0: float, x1: float, d1: float) -> float:
    """Return the coordinate at fraction `f` of a step: the cubic of ends x and slopes d over length h."""
    g = 1.0 - f
    return g * g * ((1.0 + 2.0 * f) * x0 + f * h * d0) + f * f * ((3.0 - 2.0 * f) * x1 - g * h * d1)
