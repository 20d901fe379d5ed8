"""Positrons from their birth to the first calorimeter face they cross, or to where they are lost."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from decay.positron import Positrons
from detectors.boundary import (
    CHAMBER,
    COLLIMATOR,
    LID,
    cell_of,
    face_crossing,
    face_distance,
    metal_in_step,
    vacuum_margin,
    wall_crossing,
)
from detectors.geometry import Geometry, GeometryTables
from detectors.material import radiated, scatter
from detectors.path import advance
from fields.total import FieldTables
from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, RIGIDITY

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FACE, _WALL = 1, 2  # what a shortened step ends on
_STRONGEST = 1.65  # field that sets the step of slow positrons [T]
_INNERMOST, _OUTERMOST, _HIGHEST = 6.70, 7.40, 0.20  # beyond these nothing can be hit any more [m]
_LEAST_KEPT = 1e-3  # momentum of a positron that stops in metal [GeV/c]


class Fate(IntEnum):
    """What became of a positron."""

    OUT = 0  # still in flight at the longest path
    HIT = 1  # crossed the front face of a calorimeter
    LOST_PLATE = 2  # left nearly all its energy in a plate of a quad or kicker
    LOST_COLLIMATOR = 3  # or in a collimator
    LOST_CHAMBER = 4  # stopped in the wall of the vacuum chamber, or left through it and met no calorimeter
    SLOW = 5  # born below the least momentum followed


# numba wants plain numbers
_OUT, _HIT, _LOST_PLATE, _LOST_COLLIMATOR, _LOST_CHAMBER, _SLOW = (int(fate) for fate in Fate)


class Hits(NamedTuple):
    """Positrons on the front faces of calorimeters; all arrays have shape (n,)."""

    calo: IntArray  # calorimeter, 0 to 23
    u: FloatArray  # horizontal place on the face from its centre, away from the ring's centre [m]
    v: FloatArray  # height on the face [m]
    du: FloatArray  # slopes with respect to the face's normal, du / d depth
    dv: FloatArray  # and dv / d depth
    energy: FloatArray  # total energy [GeV]
    time: FloatArray  # [s]
    number: IntArray  # index of the parent muon in the fill
    depth: FloatArray  # where the particle enters, behind the plane of the face [m]: above 0 through a side
    order: IntArray  # 0 the positron itself; 1, 2, ... photons that it made on its way


class Ends(NamedTuple):
    """End of each positron's path, in the order of the positrons; calo, u, v, du, dv are 0 without a hit."""

    fate: IntArray  # Fate
    calo: IntArray
    u: FloatArray  # [m]
    v: FloatArray  # [m]
    du: FloatArray
    dv: FloatArray
    energy: FloatArray  # [GeV]
    time: FloatArray  # [s]
    path: FloatArray  # length of the path [m]
    x: FloatArray  # place in the global frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    sheets: IntArray  # sheets of metal passed

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` positrons."""
        whole = {"fate", "calo", "sheets"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)

    def hits(self, number: IntArray) -> Hits:
        """The positrons that hit a calorimeter; `number` is that of their muons, shape (n,)."""
        hit = self.fate == Fate.HIT
        columns = (self.calo, self.u, self.v, self.du, self.dv, self.energy, self.time, number,
                   np.zeros(number.size), np.zeros(number.size, np.int64))  # fmt: skip
        return Hits._make(np.ascontiguousarray(column[hit]) for column in columns)


@dataclass(frozen=True)
class TransportSettings:
    """How positrons are followed.

    Parameters
    ----------
    step
        Longest step [m].
    bend
        Largest angle turned in a step [rad].
    least_momentum
        Slower positrons are not followed: no crystal triggers on them [GeV/c].
    longest_path
        Where a positron still in flight is given up [m].
    material
        Whether metal takes energy and scatters; without, plates, collimators and inner walls are transparent.
    """

    step: float = 0.06
    bend: float = 0.1
    least_momentum: float = 0.05
    longest_path: float = 30.0
    material: bool = True

    def __post_init__(self) -> None:
        if not 1e-4 <= self.step <= 0.2:
            raise ValueError(f"transport step = {self.step} m is out of bounds: give 0.0001 to 0.2 m.")
        if not 1e-4 <= self.bend <= 0.5:
            raise ValueError(f"transport bend = {self.bend} rad is out of bounds: give 0.0001 to 0.5 rad.")
        if not self.least_momentum >= 0.005:
            raise ValueError(f"least_momentum = {self.least_momentum} GeV/c is too low: give 0.005 or more.")
        if not 0.1 <= self.longest_path <= 1000.0:
            raise ValueError(f"longest_path = {self.longest_path} m is out of bounds: give 0.1 to 1000 m.")


class Limits(NamedTuple):
    """Settings for the kernel."""

    step: float  # [m]
    step_per_momentum: float  # [m / (GeV/c)]
    least_momentum: float  # [GeV/c]
    longest_path: float  # [m]
    most_steps: int
    material: int  # 1 or 0


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
) -> tuple[float, float, float, float]:
    """Return direction and momentum after `thickness` radiation lengths and the loss `ionised` [GeV]."""
    kept = momentum * radiated(thickness, number, crossing, key) - ionised
    if kept <= _LEAST_KEPT:
        return dx, dy, dz, _LEAST_KEPT
    ax, ay, az = scatter(dx, dy, dz, math.sqrt(momentum * kept), thickness, number, crossing, key)
    return ax, ay, az, kept


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


@Kernel
def _follow(
    i: int,
    born: Positrons,
    ends: Ends,
    fields: FieldTables,
    geometry: GeometryTables,
    limits: Limits,
    key: FillKey,
) -> None:
    s, c = sincos(born.theta[i])
    rho = geometry.radius + born.x[i]
    x, y, z = rho * c, born.y[i], rho * s
    px, py, ps = born.px[i], born.py[i], born.ps[i]
    momentum = math.sqrt(px * px + py * py + ps * ps)
    dx, dy, dz = (px * c - ps * s) / momentum, py / momentum, (px * s + ps * c) / momentum
    energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
    t, path = born.time[i], 0.0
    inside, sheets, event, shortened = 1, 0, 0, 0.0
    slow = momentum < limits.least_momentum
    fate = _SLOW if slow else _OUT
    for _ in range(0 if slow else limits.most_steps):
        h = shortened if event > 0 else min(limits.step, limits.step_per_momentum * momentum)
        qx, qy, qz, ex, ey, ez, work = advance(x, y, z, dx, dy, dz, momentum, energy, t, h, geometry.radius, fields)
        if event == 0:
            # A step that meets a face or the wall is taken again, just as far as there.
            face = face_crossing(x, z, dx, dz, qx, qz, ex, ez, h, geometry)
            edge = wall_crossing(x, y, z, dx, dy, dz, qx, qy, qz, ex, ey, ez, h, inside, geometry)
            if min(face, edge) <= 1.0:
                event = _FACE if face <= edge else _WALL
                shortened = max(min(face, edge) * h, 1e-9)
                continue
        path += h
        t += h * energy / (momentum * LIGHT_SPEED)
        energy += work
        momentum = math.sqrt(energy * energy - POSITRON_MASS * POSITRON_MASS)
        wall = -1
        if event == _WALL:
            _, wall = vacuum_margin(qx, qy, qz, geometry)
        thickness, ionised, what = metal_in_step(x, y, z, qx, qy, qz, ex, ey, ez, momentum, wall, inside, geometry)
        x, y, z, dx, dy, dz = qx, qy, qz, ex, ey, ez
        if event == _FACE:
            k, _ = cell_of(x, z, geometry)
            _, u = face_distance(x, z, k, geometry)
            if abs(u) <= geometry.face[6] and abs(y) <= geometry.face[7]:
                fate = _HIT
                break
        if wall == LID:
            fate = _LOST_CHAMBER
            break
        if wall >= 0:
            inside = 1 - inside
        if thickness > 0.0 and limits.material > 0:
            dx, dy, dz, momentum = pass_metal(dx, dy, dz, momentum, thickness, ionised, born.number[i], sheets, key)
            energy = math.sqrt(momentum * momentum + POSITRON_MASS * POSITRON_MASS)
            sheets += 1
            if momentum < limits.least_momentum:
                fate = loss(what)
                break
        event = 0
        if is_away(x, y, z, inside):
            fate = _LOST_CHAMBER
            break
        if path > limits.longest_path:
            break
    _record(i, ends, fate, x, y, z, dx, dy, dz, energy, t, path, sheets, geometry)


@scalar
def _record(
    i: int,
    ends: Ends,
    fate: int,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
    energy: float,
    t: float,
    path: float,
    sheets: int,
    geometry: GeometryTables,
) -> None:
    """Write the end of a path, and for a hit its place and slopes on the face."""
    ends.fate[i], ends.energy[i], ends.sheets[i] = fate, energy, sheets
    if fate == _HIT:
        k, _ = cell_of(x, z, geometry)
        face = geometry.face
        c, s = geometry.cells[k, 0], geometry.cells[k, 1]
        xc, zc = dx * c + dz * s, dz * c - dx * s
        into = xc * face[4] + zc * face[5]
        depth, _ = face_distance(x, z, k, geometry)
        # The last step ends some nanometres off the face, as the cubic that sought it is not the step itself.
        back = -depth / into
        x, y, z = x + back * dx, y + back * dy, z + back * dz
        path += back
        t += back * energy / (math.sqrt(energy * energy - POSITRON_MASS * POSITRON_MASS) * LIGHT_SPEED)
        _, u = face_distance(x, z, k, geometry)
        ends.calo[i], ends.u[i], ends.v[i] = k, u, y
        ends.du[i], ends.dv[i] = (xc * face[2] + zc * face[3]) / into, dy / into
    ends.time[i], ends.path[i] = t, path
    ends.x[i], ends.y[i], ends.z[i] = x, y, z


def transport(
    positrons: Positrons,
    fields: FieldTables,
    geometry: Geometry,
    key: FillKey,
    settings: TransportSettings | None = None,
    backend: str = "cpu",
) -> tuple[Hits, Ends]:
    """Follow positrons to the calorimeters.

    A positron flies through the fields until it crosses the front face of a calorimeter. On its way plates,
    collimators and the chamber's inner wall take energy by bremsstrahlung and ionisation, and scatter; the
    photons are not followed. Whoever enters a calorimeter through its side counts as lost.

    Parameters
    ----------
    positrons
        As born, n of them.
    fields
        From `fields.total.field_tables`.
    geometry
        What they can meet.
    key
        Fill that the random numbers belong to (stage SCATTERING).
    settings
        Steps and limits; the defaults where None.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Hits
        Those that reached a calorimeter, in the order of the positrons.
    Ends
        Where each of the n positrons ended, and why.
    """
    chosen = settings if settings is not None else TransportSettings()
    per_momentum = chosen.bend / (RIGIDITY * _STRONGEST)
    shortest = min(chosen.step, per_momentum * chosen.least_momentum)
    limits = Limits(
        step=chosen.step,
        step_per_momentum=per_momentum,
        least_momentum=chosen.least_momentum,
        longest_path=chosen.longest_path,
        most_steps=int(2.0 * chosen.longest_path / shortest) + 1000,
        material=int(chosen.material),
    )
    ends = Ends.empty(positrons.n)
    _follow(positrons.n, positrons, ends, fields, geometry.tables(), limits, key, backend=backend)
    return ends.hits(positrons.number), ends
