"""Exact helices through the straws, to compare fitted tracks with."""

import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from detectors.straw_drift import StrawSettings
from detectors.straw_entrances import Entrances
from detectors.straws import (
    CELLS,
    STATION_CHANNELS,
    Stations,
)  # fmt: skip
from tracking.muon import LIGHT_SPEED, POSITRON_MASS, RIGIDITY

B0 = 1.4513
STATION = Stations()
VELOCITY = StrawSettings().drift_velocity


class Helix(NamedTuple):
    """A positron in a uniform vertical field, from a place in the ring."""

    start: np.ndarray
    direction: np.ndarray
    momentum: float
    station: int

    @property
    def radius(self) -> float:
        """Momentum over field, of the whole momentum [m]."""
        return self.momentum / (RIGIDITY * B0)

    @property
    def speed(self) -> float:
        return LIGHT_SPEED * self.momentum / math.hypot(self.momentum, POSITRON_MASS)

    def at(self, s: np.ndarray) -> np.ndarray:
        """Places after lengths s: a positive charge in B along +y."""
        d, r = self.direction, self.radius
        sin, cos = np.sin(s / r), np.cos(s / r)
        x = self.start[0] + r * (sin * d[0] - (1 - cos) * d[2])
        z = self.start[2] + r * (sin * d[2] + (1 - cos) * d[0])
        return np.stack([x, self.start[1] + s * d[1], z], axis=-1)

    def along(self, s: float) -> np.ndarray:
        """Direction after a length s."""
        d, r = self.direction, self.radius
        sin, cos = math.sin(s / r), math.cos(s / r)
        return np.array([cos * d[0] - sin * d[2], d[1], cos * d[2] + sin * d[0]])

    def crossings(self, stations: Stations = STATION) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Channels, distances with sign and lengths of the straws crossed: sampled, then Newton, all wires."""
        centre, wire = (a[self.station].reshape(-1, 3) for a in stations.wires_in_ring())
        coarse = np.arange(0.0, 1.3, 2e-3)
        offset = self.at(coarse)[:, None] - centre
        across = offset - (offset * wire).sum(-1)[..., None] * wire
        s = coarse[np.argmin((across**2).sum(-1), axis=0)]
        for _ in range(5):
            near = [self.at(s + h) - centre for h in (-1e-5, 0.0, 1e-5)]
            square = [((o - (o * wire).sum(-1)[:, None] * wire) ** 2).sum(-1) for o in near]
            s = s - 0.5e-5 * (square[2] - square[0]) / (square[2] - 2 * square[1] + square[0])
        offset = self.at(s) - centre
        along = (offset * wire).sum(-1)
        across = offset - along[:, None] * wire
        x_axis = np.array([STATION.frames[self.station, 2], 0.0, STATION.frames[self.station, 3]])
        distance = np.linalg.norm(across, axis=1) * np.sign(across @ x_axis)
        half = 0.5 * stations.height / math.cos(stations.stereo)
        # The sampling ends at a length that no track of the tests leaves the station before.
        hit = (np.abs(distance) < stations.gas_radius) & (np.abs(along) < half) & (s > 1e-4) & (s < 1.29)
        rows = np.flatnonzero(hit)
        return rows + self.station * STATION_CHANNELS, distance[rows], s[rows]


def in_station(one: Helix, z: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Place and direction in the station frame where a helix first meets the plane z on its way, and the length."""
    frame = STATION.frames[one.station]
    axes = np.array([[frame[2], 0, frame[3]], [0, 1, 0], [frame[4], 0, frame[5]]])
    origin = np.array([frame[0], 0.0, frame[1]])
    coarse = np.arange(-0.05, 6.0, 0.05)
    depth = (one.at(coarse) - origin) @ axes[2] - z
    s = coarse[np.argmax((depth[:-1] < 0.0) & (depth[1:] >= 0.0))]
    for _ in range(8):
        place, direction = axes @ (one.at(np.array(s)) - origin), axes @ one.along(s)
        s += (z - place[2]) / direction[2]
    return place, direction, s


def from_beam(station: int, decay: tuple[float, float, float], momentum: float, entrance: float) -> tuple[Helix, float]:
    """A decay along the beam whose positron enters the station at a place x, followed from there; and its azimuth."""

    def born(theta: float) -> Helix:
        x, y, rise = decay
        c, s, level = math.cos(theta), math.sin(theta), 1.0 / math.hypot(1.0, rise)
        start = np.array([(7.112 + x) * c, y, (7.112 + x) * s])
        return Helix(start, level * np.array([-s, rise, c]), momentum, station)

    def off(theta: float) -> float:
        return in_station(born(theta), 0.28)[0][0] - entrance

    # From decays close to the station, which enter it far out, backwards.
    near = float(STATION.geometry.cell_azimuths[CELLS[station]]) + 0.02
    while off(near) > 0.0:
        near -= 0.01
    theta = brentq(off, near, near + 0.01, xtol=1e-13)
    one = born(theta)
    s = in_station(one, 0.28)[2]
    return Helix(one.at(np.array(s)), one.along(s), momentum, station), theta % (2.0 * math.pi)


def hit_times(one: Helix, distance: np.ndarray, length: np.ndarray, start: float = 0.0) -> np.ndarray:
    return start + length / one.speed + np.abs(distance) / VELOCITY


def truth_of(one: Helix, z: float, start: float) -> np.ndarray:
    """Parameters of a fit at the plane z."""
    place, direction, s = in_station(one, z)
    return np.array([
        place[0], place[1], direction[0] / direction[2], direction[1] / direction[2], 1.0 / one.momentum,
        start + s / one.speed,
    ])  # fmt: skip


def enter(helices):
    """Positrons at the start of helices, a microsecond apart."""
    n = len(helices)
    entered = Entrances.empty(n)
    for name, axis in (("x", 0), ("y", 1), ("z", 2)):
        getattr(entered, name)[:] = [one.start[axis] for one in helices]
        getattr(entered, f"d{name}")[:] = [one.direction[axis] for one in helices]
    entered.station[:] = [one.station for one in helices]
    entered.energy[:] = [math.hypot(one.momentum, POSITRON_MASS) for one in helices]
    entered.time[:], entered.number[:] = 1e-6 * np.arange(1, n + 1), np.arange(n)
    return entered
