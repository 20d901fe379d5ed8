"""Betatron resonances: where they are in the tune plane and in the field index, and what a beam loses on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import MASS
from tracking.optics import Optics, optics
from tracking.source import StoredBeam, sample
from tracking.stations import RingTables
from tracking.turns import track

FloatArray = NDArray[np.float64]

# Field indices that electrostatic rings have run at: 0.137 (BNL E821), 0.108 and 0.120 (Fermilab E989).
LOWEST_INDEX, HIGHEST_INDEX = 0.05, 0.2
_POLES = {1: "dipole", 2: "quadrupole", 3: "sextupole", 4: "octupole", 5: "decupole"}


class Resonance(NamedTuple):
    """m nu_x + l nu_y = k."""

    m: int
    l: int  # noqa: E741 (the letter of the formula)
    k: int

    @property
    def order(self) -> int:
        """|m| + |l|: the potential's power of x and y that drives it in first order."""
        return abs(self.m) + abs(self.l)

    @property
    def name(self) -> str:
        """As one writes it."""
        words = ""
        for factor, symbol in ((self.m, "νx"), (self.l, "νy")):
            if factor:
                sign = ("-" if factor < 0 else "") if not words else (" - " if factor < 0 else " + ")
                words += f"{sign}{abs(factor) if abs(factor) > 1 else ''}{symbol}"
        return f"{words} = {self.k}"

    @property
    def driven_by(self) -> str:
        """The field that drives it in first order.

        x^|m| y^|l| is in the potential of a normal multipole for even l, of a skew one for odd l (magnetic B_y + i B_x
        = c z^(order - 1) with c real or imaginary; electric Phi = Re a z^order likewise), in its azimuthal harmonic k.
        """
        kind = "skew" if self.l % 2 else "normal"
        pole = _POLES.get(self.order, f"{2 * self.order}-pole")
        return f"{kind} {pole}, harmonic {abs(self.k)}"

    def distance(self, nu_x: FloatArray | float, nu_y: FloatArray | float) -> FloatArray:
        """m nu_x + l nu_y - k."""
        return np.asarray(self.m * np.asarray(nu_x) + self.l * np.asarray(nu_y) - self.k)

    def field_indices(self, low: float = LOWEST_INDEX, high: float = HIGHEST_INDEX) -> tuple[float, ...]:
        """Field indices of the smooth ring, nu_x = sqrt(1 - n), nu_y = sqrt(n), on the resonance.

        With n = sin(t)^2 the condition is |(m, l)| cos(t - atan2(l, m)) = k.
        """
        reach = math.hypot(self.m, self.l)
        if abs(self.k) > reach:
            return ()
        centre, half = math.atan2(self.l, self.m), math.acos(self.k / reach)
        angles = {round(math.remainder(centre + sign * half, 2.0 * math.pi), 12) for sign in (1, -1)}
        found = sorted(math.sin(t) ** 2 for t in angles if 0.0 <= t <= 0.5 * math.pi)
        return tuple(n for n in found if low <= n <= high)


def resonance_lines(order: int = 4, low: float = LOWEST_INDEX, high: float = HIGHEST_INDEX) -> list[Resonance]:
    """Resonances up to an order that the smooth ring meets between two field indices, in the order of these.

    3 nu_y = 1 at n = 0.1111, nu_x + 3 nu_y = 2 at 0.1262, 2 nu_x - 2 nu_y = 1 at 0.1693, nu_x - 2 nu_y = 0 at 0.2, ...

    Raises
    ------
    ValueError
        If the order is not 1 to 12 or the field indices do not rise within 0 to 1.
    """
    if not 1 <= order <= 12:
        raise ValueError(f"order = {order} of the resonances is out of bounds: give 1 to 12.")
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"the field indices {low} to {high} must rise within 0 to 1.")
    found = [
        line
        for m in range(order + 1)
        for l in range(-order, order + 1)  # noqa: E741
        for k in range(-order, order + 1)
        if 1 <= m + abs(l) <= order and (m > 0 or l > 0) and math.gcd(m, l, k) == 1
        if (line := Resonance(m, l, k)).field_indices(low, high)
    ]
    return sorted(found, key=lambda line: (line.field_indices(low, high)[0], line.order))


@dataclass(frozen=True, eq=False)
class Scan:
    """Tunes and losses of a stored beam against the voltage of the quads; arrays (voltages,)."""

    voltage: FloatArray  # [V]
    field_index: FloatArray  # of the quads, averaged over the ring
    nu_x: FloatArray
    nu_y: FloatArray
    lost: FloatArray  # fraction of the muons
    lost_error: FloatArray  # binomial
    growth_x: FloatArray  # mean action at the end over that at the start, of the muons that are left
    growth_y: FloatArray
    muons: int
    turns: int

    def positions(self, order: int = 4) -> list[tuple[Resonance, float]]:
        """Resonances that the tunes of this ring cross, with the field index of the quads there, in its order."""
        found = []
        for line in resonance_lines(order, 0.0, 1.0):
            away = line.distance(self.nu_x, self.nu_y)
            for i in np.flatnonzero(away[:-1] * away[1:] <= 0.0):
                if away[i] != away[i + 1]:
                    share = away[i] / (away[i] - away[i + 1])
                    found.append((line, float(self.field_index[i] + share * np.diff(self.field_index)[i])))
        return sorted(found, key=lambda one: (one[1], one[0].order))


def scan(
    tables_at: Callable[[float], RingTables],
    voltages: Sequence[float] | FloatArray,
    beam: StoredBeam,
    *,
    muons: int = 2000,
    turns: int = 1000,
    key: FillKey | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scan:
    """Tunes and losses of a stored beam over the voltage of the quads.

    At each voltage the beam is drawn anew from the same random numbers, matched to the optics there, inside the
    collimators over all phases of the linear motion: what is lost is lost by nonlinear motion. Muons do not decay.

    Parameters
    ----------
    tables_at
        The ring at a voltage [V]; without spin it is tracked twice as fast.
    voltages
        Voltages, rising [V].
    beam
        The distribution.
    muons, turns
        Size of the beam and how long it is followed.
    key
        Random numbers; a fixed one if not given.
    progress
        Called with (voltages done, voltages).

    Raises
    ------
    ValueError
        If there are fewer than 2 voltages or they do not rise, or the ring is unstable at one of them.
    """
    steps = np.asarray(voltages, np.float64)
    if steps.ndim != 1 or steps.size < 2 or not np.all(np.diff(steps) > 0.0):
        raise ValueError("a scan needs at least 2 voltages that rise.")
    rows = []
    for i, voltage in enumerate(steps):
        tables = tables_at(float(voltage))
        found = optics(tables)
        bunch = sample(beam, key or FillKey(0, 0, 0, 0), muons, found)
        bunch = bunch._replace(stop_time=np.full(muons, np.inf))
        end = track(bunch, tables, turns, spin=tables.options.spin).bunch
        left = end.state == State.STORED
        lost = 1.0 - float(np.mean(left))
        growth = np.full(2, np.nan)
        if left.any():
            growth = np.mean(_actions(end.select(left), found), 0) / np.mean(_actions(bunch.select(left), found), 0)
        rows.append((tables.field_index, found.nu_x, found.nu_y, lost, math.sqrt(lost * (1.0 - lost) / muons), *growth))
        if progress is not None:
            progress(i + 1, steps.size)
    index, nu_x, nu_y, lost_part, error, growth_x, growth_y = np.array(rows).T
    return Scan(steps, index, nu_x, nu_y, lost_part, error, growth_x, growth_y, muons, turns)


def matched(beam: StoredBeam) -> StoredBeam:
    """The beam without coherent motion, so that the same aperture is filled at every voltage."""
    return replace(beam, cbo_amplitude=0.0, kick_correlation=0.0, y_offset=0.0, breathing_y=0.0)


def _actions(bunch: Bunch, found: Optics) -> FloatArray:
    """Radial and vertical Courant-Snyder actions at theta = 0 about the orbit of each muon's momentum (n, 2) [m]."""
    at = found.lattice
    delta = np.sqrt((bunch.energy - MASS) * (bunch.energy + MASS)) / found.reference.p0_gev - 1.0
    x, px = bunch.x - at.x[0] - at.dispersion[0] * delta, bunch.px - at.px[0] - at.dispersion_px[0] * delta
    y, py = bunch.y - at.y[0], bunch.py - at.py[0]
    planes = ((x, px, at.beta_x[0], at.alpha_x[0]), (y, py, at.beta_y[0], at.alpha_y[0]))
    return np.stack([0.5 * (q**2 + (alpha * q + beta * p) ** 2) / beta for q, p, beta, alpha in planes], axis=1)
