"""From the inflector exit through the first quad: outside its plates, through its outer plate, between its plates.

The beam enters 77 mm outside the design orbit and crosses the outer plates of Q1 on its way in, where the series
of multipoles of the tracker do not hold. This one passage is taken in many small steps through a table of the
field in the whole cross-section of the chamber. The magnetic field is the average dipole: at 77 mm it is that to
1e-4 (fall-off of the main magnet), which turns a muon by 0.1 mrad on the way, a thirtieth of the beam's spread.
A muon that is not between the plates where Q1 ends would hit the kickers and is lost there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fields.ring import KICKER_HALF_GAP, QUAD_HALF_GAP
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.matter import Metal, after_metal, metal
from tracking.muon import LIGHT_SPEED, MASS
from tracking.orbit import bend, electric_kick, inside
from tracking.spin import electric_turn, small_turn, spin_bend
from tracking.stations import RingTables

FloatArray = NDArray[np.float64]

_GRID = 1e-3  # step of the field table [m]
_STEP = math.radians(1.0)  # longest step in azimuth: 12 cm, in which the beam moves by 1 mm
_LOST_PLATE, _STORED = int(State.LOST_PLATE), int(State.STORED)
_LEAST_SLOPE = 1e-3  # a muon that runs along a plate is taken through it at this slope


@dataclass(frozen=True)
class OuterPlate:
    """The outer plate of one section of the first quad, as the beam crosses it.

    Attributes
    ----------
    theta_start, theta_end
        Azimuths of the field's ends [rad].
    x
        Radial position of the plate [m].
    half_height, thickness
        Of the plate [m].
    potential
        (x, y) arrays of points in the chamber [m] -> potential [V].
    """

    theta_start: float
    theta_end: float
    x: float
    half_height: float
    thickness: float
    potential: Callable[[FloatArray, FloatArray], FloatArray]


class EntryTable(NamedTuple):
    """The way in as arrays for the kernel, in the units of the tracker."""

    steps: FloatArray  # (k, 5): half the angle, its sine and cosine, length of the kick, section (-1: none)
    plates: FloatArray  # (sections, 3): position, half height, thickness [m]
    phi: FloatArray  # (sections, nx, ny) potential
    low_x: float  # first point of the grid
    low_y: float
    per_grid: float  # points per R0
    least_x: float  # the chamber: lost beyond
    most_x: float
    most_y: float
    end_x: float  # half width of what a muon must be inside where Q1 ends
    r0: float  # [m]
    p0: float  # [GeV/c]


def entry_table(tables: RingTables, plates: Sequence[OuterPlate], chamber: tuple[float, float, float]) -> EntryTable:
    """Tabulate the way from theta = 0 to the end of the last of some quad sections.

    Parameters
    ----------
    tables
        The ring.
    plates
        The sections of the first quad, in order.
    chamber
        Least and largest radial offset and half height of the vacuum chamber [m].
    """
    ref = tables.reference
    low, high, half = chamber
    steps: list[tuple[float, ...]] = []
    here = 0.0
    for number, plate in enumerate(plates):
        for start, end, section in ((here, plate.theta_start, -1), (plate.theta_start, plate.theta_end, number)):
            count = max(1, math.ceil((end - start) / _STEP))
            angle = 0.5 * (end - start) / count
            kick = 2.0 * angle if section >= 0 else 0.0
            steps += [(angle, math.sin(angle), math.cos(angle), kick, section)] * count
        here = plate.theta_end
    x = low + _GRID * np.arange(math.floor((high - low) / _GRID) + 1)
    y = -half + _GRID * np.arange(math.floor(2.0 * half / _GRID) + 1)
    grid_x, grid_y = np.meshgrid(x, y, indexing="ij")
    phi = np.array([plate.potential(grid_x, grid_y) for plate in plates]) * (1e-9 / ref.p0_gev)
    return EntryTable(
        steps=np.array(steps),
        plates=np.array([(plate.x, plate.half_height, plate.thickness) for plate in plates]),
        phi=np.ascontiguousarray(phi),
        low_x=float(x[0]) / ref.r0,
        low_y=float(y[0]) / ref.r0,
        per_grid=ref.r0 / _GRID,
        least_x=-QUAD_HALF_GAP / ref.r0,
        most_x=high / ref.r0,
        most_y=QUAD_HALF_GAP / ref.r0,
        end_x=KICKER_HALF_GAP / ref.r0,
        r0=ref.r0,
        p0=ref.p0_gev,
    )


def enter(bunch: Bunch, tables: RingTables, table: EntryTable, key: FillKey, *, backend: str = "cpu") -> Bunch:
    """Take injected muons from the inflector exit to the end of the first quad.

    Parameters
    ----------
    bunch
        Muons at theta = 0, from :func:`tracking.inject.sample_injected`.
    tables
        The ring.
    table
        From :func:`entry_table`.
    key
        Fill that the random numbers in the plate belong to.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Bunch
        At the azimuth where the quad ends, STORED or LOST_PLATE. The few muons that decay on the way (4e-4) are
        counted as decaying where it ends.
    """
    moved = bunch.copy()
    theta = float(table.steps[:, 0].sum() * 2.0)
    parameters = (tables.parameters[1], theta)
    matter = metal("aluminium", table.p0)
    _enter(bunch.n, moved, table, matter, FillKey(*(int(part) for part in key)), *parameters, backend=backend)
    np.maximum(moved.stop_time, moved.time, out=moved.stop_time)
    return moved


@scalar
def _potential(u: float, v: float, section: int, table: EntryTable) -> tuple[float, float, float]:
    """Potential and its gradient, from the biquadratic through the nine points around."""
    a = (u - table.low_x) * table.per_grid
    b = (v - table.low_y) * table.per_grid
    i = min(max(int(a + 0.5), 1), table.phi.shape[1] - 2)
    j = min(max(int(b + 0.5), 1), table.phi.shape[2] - 2)
    a -= i
    b -= j
    phi = 0.0
    phi_u = 0.0
    phi_v = 0.0
    for m in range(-1, 2):
        wa = 1.0 - a * a if m == 0 else 0.5 * a * (a + m)
        da = -2.0 * a if m == 0 else a + 0.5 * m
        for n in range(-1, 2):
            wb = 1.0 - b * b if n == 0 else 0.5 * b * (b + n)
            db = -2.0 * b if n == 0 else b + 0.5 * n
            value = table.phi[section, i + m, j + n]
            phi += wa * wb * value
            phi_u += da * wb * value
            phi_v += wa * db * value
    return phi, phi_u * table.per_grid, phi_v * table.per_grid


@Kernel
def _enter(i: int, bunch: Bunch, table: EntryTable, matter: Metal, key: FillKey, am: float, theta: float) -> None:
    r0, p0 = table.r0, table.p0
    u, px, v, py = bunch.x[i] / r0, bunch.px[i], bunch.y[i] / r0, bunch.py[i]
    tau = bunch.time[i] * LIGHT_SPEED / r0
    sx, sy, ss = bunch.sx[i], bunch.sy[i], bunch.ss[i]
    e, mass = bunch.energy[i] / p0, MASS / p0
    p = math.sqrt((e - mass) * (e + mass))
    dp, ip, ie = p - 1.0, 1.0 / p, 1.0 / (e + mass)
    fate = _STORED
    along = 0.0
    for k in range(table.steps.shape[0]):
        angle, sine, cosine, h = table.steps[k, 0], table.steps[k, 1], table.steps[k, 2], table.steps[k, 3]
        section = int(table.steps[k, 4])
        before = u
        for half in range(2):
            u, px, v, tau, chi, yaw0, yaw1, tilt = bend(u, px, v, py, tau, e, dp, ip, angle, sine, cosine)
            sx, sy, ss = spin_bend(sx, sy, ss, py, e, dp, ie, am, 0.0, False, chi, yaw0, yaw1, tilt)
            if half == 0 and section >= 0:
                phi, phi_u, phi_v = _potential(u, v, section, table)
                loss, ip_inside, slowness = inside(e, dp, ip, phi)
                dx, dy, dt = electric_kick(u, e, ip, h, loss, slowness, phi_u, phi_v)
                wx, wy, ws = electric_turn(
                    u, px + 0.5 * dx, py + 0.5 * dy, e, dp, ip, ie, am, h, phi, phi_u, phi_v, loss, ip_inside, slowness
                )
                sx, sy, ss = small_turn(sx, sy, ss, wx, wy, ws)
                px, py, tau = px + dx, py + dy, tau + dt
        along += 2.0 * angle
        if section >= 0:
            plate = table.plates[section, 0] / r0
            meets = (before - plate) * (u - plate) < 0.0 and abs(v) * r0 <= table.plates[section, 1]
            if meets and table.plates[section, 2] > 0.0:
                path = table.plates[section, 2] / max(abs(px), _LEAST_SLOPE)
                old = e
                px, py, sx, sy, ss, e, dp, ip, ie = after_metal(
                    px, py, sx, sy, ss, e, path, matter, p0, bunch.number[i], bunch.crossings[i], key
                )
                tau += (old - e) * along
                bunch.crossings[i] += 1
        if not (table.least_x <= u <= table.most_x and abs(v) <= table.most_y):
            fate = _LOST_PLATE
            break
    if fate == _STORED and not abs(u) <= table.end_x:
        fate = _LOST_PLATE
    bunch.x[i], bunch.px[i], bunch.y[i], bunch.py[i] = u * r0, px, v * r0, py
    bunch.time[i] = (tau + e * along) * r0 / LIGHT_SPEED
    bunch.sx[i], bunch.sy[i], bunch.ss[i] = sx, sy, ss
    bunch.energy[i] = e * p0
    bunch.theta[i] = theta if fate == _STORED else along
    bunch.state[i] = fate
