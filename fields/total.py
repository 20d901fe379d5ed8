"""Electric and magnetic field at a point of the ring: all parts together, for detectors, plots and users."""

from __future__ import annotations

import math
from typing import NamedTuple

from fields.falloff import FalloffTable, builtin_falloff, falloff_field, falloff_from_map
from fields.maps import RZMap
from fields.quads import QuadSettings, QuadTable, quad_field, quad_table
from fields.ring import R0, R_REFERENCE, RING, TWO_PI, Ring
from fields.storage import StorageField, StorageTable, storage_field
from gpu.kernel import scalar

_BLEND_END = 0.060  # beyond this distance from the centre only the fall-off holds [m]


class FieldTables(NamedTuple):
    """All static fields as arrays for kernels."""

    storage: StorageTable
    quads: QuadTable
    falloff: FalloffTable


def field_tables(
    storage: StorageField,
    quads: QuadSettings,
    ring: Ring = RING,
    rz_map: RZMap | None = None,
) -> FieldTables:
    """Tabulate the fields of a run.

    Parameters
    ----------
    storage
        Field inside the aperture; its average dipole scales the fall-off.
    quads
        Quad voltages and shapes.
    ring
        Where the quads are.
    rz_map
        A full map of the main magnet; the built-in table where None.
    """
    falloff = builtin_falloff(storage.b0) if rz_map is None else falloff_from_map(rz_map, storage.b0)
    return FieldTables(storage=storage.table(), quads=quad_table(quads, ring), falloff=falloff)


@scalar
def field_at(
    x: float, y: float, theta: float, t: float, tables: FieldTables
) -> tuple[float, float, float, float, float, float]:
    """Electric and magnetic field at a point, along the local axes (x outward, y up, s downstream).

    Within 45 mm of the centre the magnetic field is that of the storage region, beyond 60 mm the fall-off of
    the magnet; in between they are blended with a weight whose first two derivatives are continuous.

    Parameters
    ----------
    x, y
        Position from the centre of the storage region [m]; x from -1.2 to 0.4, |y| up to 0.1.
    theta
        Azimuth from the inflector exit [rad], any turn.
    t
        Fill time [s]; the fields tabulated so far do not change with it.
    tables
        `FieldTables`.

    Returns
    -------
    (float, float, float, float, float, float)
        ex, ey, es [V/m], bx, by, bs [T].
    """
    turns = theta * (1.0 / TWO_PI)
    wrapped = (turns - math.floor(turns)) * TWO_PI
    _, ex, ey, es = quad_field(x, y, wrapped, tables.quads)
    distance = math.sqrt(x * x + y * y)
    bx = 0.0
    by = 0.0
    bs = 0.0
    weight = 0.0  # of the fall-off
    if distance < _BLEND_END:
        bx, by, bs = storage_field(x, y, wrapped, tables.storage)
    if distance > R_REFERENCE:
        u = min((distance - R_REFERENCE) * (1.0 / (_BLEND_END - R_REFERENCE)), 1.0)
        weight = u * u * u * (10.0 + u * (6.0 * u - 15.0))
        b_r, b_y = falloff_field(R0 + x, y, tables.falloff)
        bx += weight * (b_r - bx)
        by += weight * (b_y - by)
        bs -= weight * bs
    return ex, ey, es, bx, by, bs
