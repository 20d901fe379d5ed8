"""A fill of injected muons that never decay: who is stored, and the beam that an observer sees around 30 us."""

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from gm2sim.injection import injected_beam
from gm2sim.machine import Ring
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Floats
from gm2sim.studies.precession import jackknife
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.entry import enter
from tracking.inject import sample_injected
from tracking.muon import MASS
from tracking.optics import Optics, optics
from tracking.turns import Motion

FIRST, LAST = 167, 235  # turns that the beam is watched for: 25 to 35 us
CENTRE = 30e-6  # of that time [s]
BLOCKS = 40  # of the jackknife: muons with numbers equal modulo 40
_PLACES = 48  # azimuths of the optics
_LINE = 0.05  # how far the CBO of a beam may lie off that of linear optics, relative


class Quantity(NamedTuple):
    """One number of a stored beam."""

    name: str
    unit: str
    scale: float  # from SI


QUANTITIES = (
    Quantity("stored fraction", "%", 1e2),
    Quantity("mean x_e", "mm", 1e3),
    Quantity("width of x_e", "mm", 1e3),
    Quantity("C_e", "ppb", 1e9),
    Quantity("C_p", "ppb", 1e9),
    Quantity("CBO amplitude", "mm", 1e3),
)


class Fill:
    """A fill in the uniform field of the configured strength, followed to 35 us; orbits only.

    Two fills of one case have the same muons, whatever their settings: every random number is a function of seed
    and muon number. Their differences have the errors of pairs, :func:`difference`.

    Parameters
    ----------
    case : Case
        Its ``muons`` leave the inflector.
    **changes
        Settings of the configuration to change, as for :meth:`gm2sim.config.Config.with_`.

    Attributes
    ----------
    at_exit : Bunch
        All muons at the inflector exit.
    entry_end : float
        Azimuth where the first quad ends [rad].
    kicked : Bunch
        All muons after the turns with kickers; those lost before where they ended.
    muons : Bunch
        All muons at 35 us.
    seen : Motion
        Stored muons at the observer's azimuth from 25 to 35 us.
    """

    def __init__(self, case: Case, **changes: object) -> None:
        fixed = {"beam__source": "injected", "magnet__map": "uniform", "magnet__map_file": "", "physics__spin": False}
        self.config = case.config.with_(**(fixed | changes))
        self.case = case
        self.ring = Ring(self.config)
        self.key = FillKey(case.seed, self.config.run.run, 0, 0)
        injection, turns = self.ring.injection, self.config.injection.kicked_turns
        exit_beam = injected_beam(self.config, bunch=self.key.fill)
        self.at_exit = sample_injected(exit_beam, self.key, case.muons, self.ring.reference)
        self.at_exit.stop_time[:] = np.inf
        self.entry_end = 2.0 * float(injection.entry.steps[:, 0].sum())
        entered = enter(self.at_exit, injection.tables, injection.entry, self.key)
        self.kicked = self.follow(entered, turns, kicked=True)
        self.muons = self.follow(self.kicked, FIRST - turns)
        stored = np.flatnonzero(self.muons.state == State.STORED)
        result = self.ring.track(
            self.muons.select(stored), LAST - FIRST, observers=(math.radians(self.config.tracking.observer_deg),),
            metal_key=self.key, progress=False,
        )  # fmt: skip
        case.muon_turns += result.muon_turns
        assert result.samples is not None
        self.seen: Motion = result.samples
        self.watched = stored
        ends = dict(zip(Bunch._fields, result.bunch, strict=True))
        columns = zip(Bunch._fields, self.muons, strict=True)
        self.muons = Bunch(*(_put(column, stored, ends[name]) for name, column in columns))

    def follow(self, bunch: Bunch, turns: int, *, kicked: bool = False) -> Bunch:
        """The bunch some turns later; muons go through the metal of collimators."""
        result = self.ring.track(bunch, turns, kicked=kicked, metal_key=self.key, progress=False)
        self.case.muon_turns += result.muon_turns
        return result.bunch

    @cached_property
    def optics(self) -> Optics:
        """Optics of the settled ring, at azimuths all around."""
        return optics(self.ring.tables, 2.0 * math.pi * np.arange(1, _PLACES) / _PLACES)

    @property
    def stored(self) -> NDArray[np.bool_]:
        """Which muons are stored at 35 us, shape (n,)."""
        return np.asarray(self.muons.state == State.STORED)

    def delta(self, bunch: Bunch) -> Floats:
        """Momentum offset outside the quads."""
        return np.asarray(np.sqrt((bunch.energy - MASS) * (bunch.energy + MASS)) / self.ring.reference.p0_gev - 1.0)

    @property
    def x_e(self) -> Floats:
        """Equilibrium radius less R0 of all muons, of use for those that are stored, shape (n,) [m]."""
        return self.optics.mean_dispersion * self.delta(self.muons)

    @cached_property
    def frequency(self) -> float:
        """Frequency of the coherent motion at 30 us, where its line leaves least of the radii [Hz]."""

        def left(f: float) -> float:
            return -abs(phasor(self._lines(f).sum(axis=0)))

        linear = self.optics.f_cbo
        low, high = (1.0 - _LINE) * linear, (1.0 + _LINE) * linear
        return float(minimize_scalar(left, bounds=(low, high), method="bounded", options={"xatol": 1e-4 * linear}).x)

    def _lines(self, frequency: float) -> Floats:
        """Sums for the least-squares line x = m + a cos + b sin through all passages, shape (blocks, 9)."""
        per_muon = line_columns(self.seen, frequency)
        return self._blocks(self.watched, per_muon)

    def _blocks(self, which: NDArray[np.int64], columns: Floats) -> Floats:
        """Sums of columns (k, m) of some muons over the blocks of the jackknife, shape (blocks, k)."""
        block = self.muons.number[which] % BLOCKS
        return np.array([np.bincount(block, column, BLOCKS) for column in columns]).T

    @cached_property
    def sums(self) -> Floats:
        """What :func:`numbers` is made of, shape (blocks, 14)."""
        everyone, stored = np.arange(self.muons.n), np.flatnonzero(self.stored)
        x_e, ring, reference = self.x_e[stored], self.optics, self.ring.reference
        n = ring.field_index
        around, muons = ring.lattice, self.muons.select(stored)
        y, py = muons.y - around.y[0], muons.py - around.py[0]
        action = (y**2 + (around.alpha_y[0] * y + around.beta_y[0] * py) ** 2) / around.beta_y[0]
        y2 = 0.5 * action * float(around.beta_y.mean()) + float(np.mean(around.y**2))
        c_e = 2.0 * n * (1.0 - n) * reference.beta0**2 * (x_e / reference.r0) ** 2
        c_p = 0.5 * n * y2 / reference.r0**2
        injected = self._blocks(everyone, np.ones((1, everyone.size)))
        beam = self._blocks(stored, np.array([np.ones(stored.size), x_e, x_e**2, c_e, c_p]))
        return np.concatenate([injected, beam, self._lines(self.frequency)], axis=1)

    def numbers(self) -> tuple[Floats, Floats]:
        """Values of :data:`QUANTITIES` in their units and their errors, shape (6,) each."""
        return jackknife(lambda which: numbers(self.sums[which].sum(axis=0)), BLOCKS)


def numbers(sums: Floats) -> Floats:
    """Values of :data:`QUANTITIES` in their units from sums over muons, shape (6,).

    C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2 from the true momenta and C_p = n <y^2>/(2 R0^2), n from the CBO
    frequency (T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002). The amplitude of the CBO is that of the
    line through the radii of all passages against TIME, as a detector sees it: by turn number muons that run ahead
    would be out of step.
    """
    injected, stored, x_e, x_e2, c_e, c_p = sums[:6]
    if stored == 0.0:
        return np.array([0.0, *[math.nan] * (len(QUANTITIES) - 1)])
    centre = x_e / stored
    width = math.sqrt(max(x_e2 / stored - centre**2, 0.0))
    values = [stored / injected, centre, width, c_e / stored, c_p / stored, abs(phasor(sums[6:]))]
    return np.array([value * quantity.scale for value, quantity in zip(values, QUANTITIES, strict=True)])


def line_columns(seen: Motion, frequency: float) -> Floats:
    """Sums over the passages of each muon that :func:`phasor` is made of, shape (9, n).

    Parameters
    ----------
    seen : Motion
        Of one observer.
    frequency : float
        Of the line [Hz]; its angle counts from 30 us.
    """
    angle = 2.0 * math.pi * frequency * (seen.time[0] - CENTRE)
    there = seen.alive[0].astype(np.float64)
    x, c, s = seen.x[0], np.cos(angle), np.sin(angle)
    return np.array([(there * column).sum(axis=0) for column in (1.0, c, s, c * c, c * s, s * s, x, x * c, x * s)])


def phasor(line: Floats) -> complex:
    """Z [m] of the line m + Re[Z exp(i 2 pi f (t - 30 us))] from its nine sums, by least squares."""
    one, c, s, cc, cs, ss, *right = line
    if one < 3.0:
        return complex(math.nan, math.nan)
    _, a, b = np.linalg.solve(np.array([[one, c, s], [c, cc, cs], [s, cs, ss]]), np.array(right))
    return complex(a, -b)


def difference(changed: Fill, base: Fill) -> tuple[Floats, Floats]:
    """Change of :data:`QUANTITIES` between two fills of the same muons, and its error from the pairs, shape (6,)."""

    def change(which: NDArray[np.int64]) -> Floats:
        return numbers(changed.sums[which].sum(axis=0)) - numbers(base.sums[which].sum(axis=0))

    return jackknife(change, BLOCKS)


def _put(column: NDArray, which: NDArray[np.int64], values: NDArray) -> NDArray:
    whole = column.copy()
    whole[which] = values
    return whole
