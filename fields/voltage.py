"""Voltages of the quad plates against time in the fill: charging, scraping, slow resistors, droop, RF.

Each plate has a voltage  V(t) = V_nominal c(t) s(t) r(t) d(t) + U(t):  c charging before injection, s scraping,
r a plate with a slow resistor, d the droop of the supply, U the RF. All but U are factors between 0 and 1 that
depend on the plate alone, so they follow any set point. t = 0 is when the centre of the bunch is at the
inflector exit; plates are in the order top, bottom, inner, outer.

Sources: G2 = lyon-fnal/gm2ringsim @44aca36 (scraping of E821), TH = N. Kinnaird, dissertation (2020), KN =
nkinnaird/PrecessionFrequencyAnalysis @54b9b45 (drift of the CBO frequency in Run-1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.quads import NORMAL_24KV
from fields.ring import R0, R_REFERENCE, RING, TWO_PI, Quad, Ring
from fields.spark import Spark

Plates = tuple[float, float, float, float]  # top, bottom, inner, outer
PLATES = ("top", "bottom", "inner", "outer")

SCRAPING_DEPTH = 7.0 / 24.0  # plates at 17 of 24 kV; G2, E821: best estimate for E989
SCRAPING_END = 8e-6  # [s] TH
RECOVERY = 5e-6  # time constant of a good resistor [s]; G2. KN's fits of the CBO frequency give 6.1 to 6.5 us
CHARGING_START = -40e-6  # [s] best estimate: eight time constants before injection
# Dipole field at the centre over the missing voltage of one plate [1/m]: skew term of order 1 of the quads with
# bottom plates at 17 of 24 kV is 2155 V at 45 mm; G2 quad/QuadField.cc
PLATE_DIPOLE = 2155.0 / 7000.0 / R_REFERENCE


class Mode(Enum):
    """What the RF does to the beam; the value is the sign on top, bottom, inner, outer plate.

    A positive voltage pushes mu+ away from its plate: HORIZONTAL pushes outwards, VERTICAL downwards, QUADRUPOLE
    adds to the focusing.
    """

    HORIZONTAL = (0.0, 0.0, 1.0, -1.0)
    VERTICAL = (1.0, -1.0, 0.0, 0.0)
    QUADRUPOLE = (1.0, 1.0, -1.0, -1.0)


def _check_plates(what: str, plates: Mapping[str, Plates]) -> MappingProxyType[str, Plates]:
    names = [quad.name for quad in RING.quads]
    for name, missing in plates.items():
        if name not in names:
            raise ValueError(f"{what} of quad {name!r}: there is no such quad; give one of {', '.join(names)}.")
        if len(missing) != len(PLATES) or not all(0.0 <= share <= 1.0 for share in missing):
            raise ValueError(f"{what} of quad {name!r} = {missing}: give four shares of 0 to 1, {', '.join(PLATES)}.")
    return MappingProxyType({name: tuple(map(float, missing)) for name, missing in plates.items()})  # type: ignore[misc]


def _check_positive(what: str, seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0.0):
        raise ValueError(f"{what} = {seconds:g} s: give a finite time above 0.")


@dataclass(frozen=True)
class Charging:
    """The quads charge before injection: 1 - exp(-(t - start)/time_constant), 0 before `start`; times in [s]."""

    start: float = CHARGING_START
    time_constant: float = RECOVERY

    def __post_init__(self) -> None:
        _check_positive("charging time constant", self.time_constant)
        if not (math.isfinite(self.start) and self.start <= 0.0):
            raise ValueError(f"charging starts at {self.start:g} s: give a finite time not after injection (0).")

    def factor(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the set voltage at times `t` [s], shape of `t`."""
        return -np.expm1(-np.clip(t - self.start, 0.0, None) / self.time_constant)


@dataclass(frozen=True)
class Scraping:
    """Plates held below their set point in the first microseconds, to move the beam against the collimators.

    Parameters
    ----------
    missing
        Quad name -> missing share of the voltage of top, bottom, inner, outer plate (0 to 1).
    steps
        (end [s], level): until `end` the plates aim at 1 - level * missing; ends rise. One entry is one-step
        scraping, two are two-step. After the last they aim at the set voltage.
    time_constant
        Of the approach to each aim [s]; the first step is reached before injection.
    """

    missing: Mapping[str, Plates]
    steps: tuple[tuple[float, float], ...] = ((SCRAPING_END, 1.0),)
    time_constant: float = RECOVERY

    def __post_init__(self) -> None:
        object.__setattr__(self, "missing", _check_plates("scraping", self.missing))
        _check_positive("scraping time constant", self.time_constant)
        ends = [end for end, _ in self.steps]
        rising = all(a < b for a, b in itertools.pairwise(ends))
        if not ends or not rising or not all(math.isfinite(end) for end in ends):
            raise ValueError(f"scraping steps end at {ends} s: give one or more finite times in rising order.")
        if not all(0.0 <= level <= 1.0 for _, level in self.steps):
            raise ValueError(f"scraping levels {[level for _, level in self.steps]}: give shares of 0 to 1.")

    def level(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is left of the scraping at times `t` [s]: 1 is all of `missing`; shape of `t`."""
        ends = [end for end, _ in self.steps]
        aims = [level for _, level in self.steps] + [0.0]
        result = np.full(t.shape, aims[0])
        at_end = aims[0]
        for k, end in enumerate(ends):
            decay = np.exp(-np.clip(t - end, 0.0, None) / self.time_constant)
            result = np.where(t > end, aims[k + 1] + (at_end - aims[k + 1]) * decay, result)
            if k + 1 < len(ends):
                at_end = aims[k + 1] + (at_end - aims[k + 1]) * math.exp(-(ends[k + 1] - end) / self.time_constant)
        return result

    @classmethod
    def e989(cls, depth: float = SCRAPING_DEPTH, end: float = SCRAPING_END) -> Scraping:
        """One-step scraping: bottom plates everywhere, with the inner ones of Q2 and the outer ones of Q4.

        The scheme is E821's (G2: "one side" has the bottom plate low, "both" the bottom and one side plate),
        taken over by E989; the depth is a best estimate.
        """
        sides = {"Q2": (0.0, depth, depth, 0.0), "Q4": (0.0, depth, 0.0, depth)}
        missing = {quad.name: sides.get(quad.name[:2], (0.0, depth, 0.0, 0.0)) for quad in RING.quads}
        return cls(missing, ((end, 1.0),))


@dataclass(frozen=True)
class SlowPlates:
    """Plates behind damaged resistors, still short of their set point at injection and slow to reach it.

    Parameters
    ----------
    missing
        Quad name -> missing share of the voltage at t = 0 of top, bottom, inner, outer plate (0 to 1). Before
        t = 0 it is held.
    time_constant
        Of the recovery [s]: of order 100 us instead of 5 us (best estimate).
    """

    missing: Mapping[str, Plates]
    time_constant: float = 100e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "missing", _check_plates("slow plates", self.missing))
        _check_positive("time constant of slow plates", self.time_constant)

    def level(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is left of `missing` at times `t` [s], shape of `t`."""
        return np.exp(-np.clip(t, 0.0, None) / self.time_constant)


@dataclass(frozen=True)
class PlateRF:
    """Oscillating voltage on the plates that damps (or drives) a coherent motion.

    O. Kim et al., New J. Phys. 22 (2020) 063002 (arXiv:1902.02959): a field at the CBO frequency over the first
    microseconds, in antiphase to the oscillation. U(t) = amplitude sin(2 pi frequency t + phase), on <= t < off.

    Parameters
    ----------
    frequency, amplitude, phase
        [Hz], [V], [rad].
    on, off
        [s]; `off` may be infinite.
    mode
        Which sign on which plate.
    quads
        Names of the quads that have it; none named means all.
    """

    frequency: float
    amplitude: float
    phase: float = 0.0
    on: float = 0.0
    off: float = math.inf
    mode: Mode = Mode.HORIZONTAL
    quads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.frequency, self.amplitude, self.phase, self.on))):
            raise ValueError("RF on the plates needs finite frequency, amplitude, phase and start: mend the settings.")
        if not (self.frequency > 0.0 and self.off > self.on):
            what = f"RF on the plates at {self.frequency:g} Hz from {self.on:g} to {self.off:g} s"
            raise ValueError(f"{what}: give a frequency above 0 and an end after the start.")
        _check_plates("RF", dict.fromkeys(self.quads, (0.0, 0.0, 0.0, 0.0)))

    def voltages(self, quad_name: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voltage [V] on the four plates of a quad at times `t` [s], shape (len(t), 4)."""
        here = not self.quads or quad_name in self.quads
        running = here & (t >= self.on) & (t < self.off)
        wave = self.amplitude * np.sin(TWO_PI * self.frequency * t + self.phase)
        return np.outer(np.where(running, wave, 0.0), self.mode.value)


@dataclass(frozen=True)
class VoltageProgram:
    """Voltages of all plates against time; without parts they are static.

    Parameters
    ----------
    charging, scraping, slow_plates, rf, spark
        Parts; None (or no RF) leaves one out. A spark takes the RF with it.
    droop_time
        The supply sags as exp(-t/droop_time) from t = 0 on [s]; infinite by default (best estimate: the storage
        capacitors hold the voltage over 700 us).
    label
        Where the program comes from.
    """

    charging: Charging | None = None
    scraping: Scraping | None = None
    slow_plates: SlowPlates | None = None
    rf: tuple[PlateRF, ...] = ()
    droop_time: float = math.inf
    label: str = field(default="static", compare=False)
    spark: Spark | None = None

    def __post_init__(self) -> None:
        if not self.droop_time > 0.0:
            raise ValueError(f"droop time = {self.droop_time:g} s: give a time above 0, or infinity for none.")

    def factors(self, quad_name: str, t: ArrayLike) -> NDArray[np.float64]:
        """Share of the nominal voltage of the plates of a quad at times `t` [s], RF left out; shape (len(t), 4)."""
        time = np.atleast_1d(np.asarray(t, dtype=np.float64))
        result = np.ones((time.size, len(PLATES)))
        for part in (self.scraping, self.slow_plates):
            if part is not None and quad_name in part.missing:
                result *= 1.0 - np.outer(part.level(time), part.missing[quad_name])
        common = np.exp(-np.clip(time, 0.0, None) / self.droop_time)
        if self.charging is not None:
            common *= self.charging.factor(time)
        if self.spark is not None:
            common *= self.spark.factor(time)
        return result * common[:, None]

    def voltages(self, quad_name: str, nominal: ArrayLike, t: ArrayLike) -> NDArray[np.float64]:
        """Voltages of the plates of one quad.

        Parameters
        ----------
        quad_name
            As in `fields.ring`.
        nominal
            Static voltages of top, bottom, inner, outer plate, signs included [V], shape (4,).
        t
            Times in the fill [s], shape (m,).

        Returns
        -------
        ndarray
            [V], shape (m, 4).

        Raises
        ------
        ValueError
            If `nominal` is not four finite voltages.
        """
        static = np.asarray(nominal, dtype=np.float64)
        if static.shape != (len(PLATES),) or not np.all(np.isfinite(static)):
            raise ValueError(f"nominal voltages {static.tolist()} V: give four finite ones, {', '.join(PLATES)}.")
        time = np.atleast_1d(np.asarray(t, dtype=np.float64))
        result = static * self.factors(quad_name, time)
        left = self.spark.factor(time) if self.spark is not None else np.ones(time.size)
        for rf in self.rf:
            result += rf.voltages(quad_name, time) * left[:, None]
        return result

    def constant_after(self, tolerance: float) -> float:
        """Time [s] after which every plate stays within `tolerance` (relative) of its nominal voltage.

        0 for a program that never leaves it after injection, infinite for one that never comes back (droop, RF
        without end). RF counts until it is off, whatever its amplitude.
        """
        if not tolerance > 0.0:
            raise ValueError(f"tolerance = {tolerance:g}: give a number above 0.")
        rf_end = max((rf.off for rf in self.rf if rf.amplitude != 0.0), default=0.0)
        if math.isfinite(self.droop_time) or math.isinf(rf_end) or self.spark is not None:
            return math.inf
        last_step = max(0.0, self.scraping.steps[-1][0] if self.scraping else 0.0)
        if self._worst(last_step) <= tolerance and self._largest_missing() <= tolerance:
            return max(0.0, rf_end)
        low, high = last_step, last_step + 1e-6
        while self._worst(high) > tolerance:  # every factor rises to 1 after the last step
            low, high = high, 2.0 * high
        while self._worst(low) > tolerance and high - low > 1e-12 + 1e-9 * high:
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._worst(middle) > tolerance else (low, middle)
        settled = low if self._worst(low) <= tolerance else high
        return max(settled, rf_end)

    def _worst(self, t: float) -> float:
        return max(float(1.0 - self.factors(quad.name, t).min()) for quad in RING.quads)

    def _largest_missing(self) -> float:
        """Largest deviation from the nominal voltage that any plate can have from t = 0 on."""
        start = 0.0 if self.charging is None else 1.0 - float(self.charging.factor(np.zeros(1))[0])
        worst = 0.0
        for quad in RING.quads:
            rest = np.full(len(PLATES), 1.0 - start)
            if self.scraping is not None:
                level = max(level for _, level in self.scraping.steps)
                rest *= 1.0 - level * np.array(self.scraping.missing.get(quad.name, (0.0,) * 4))
            if self.slow_plates is not None:
                rest *= 1.0 - np.array(self.slow_plates.missing.get(quad.name, (0.0,) * 4))
            worst = max(worst, float(1.0 - rest.min()))
        return worst

    @classmethod
    def none(cls) -> VoltageProgram:
        """Static plates."""
        return cls()

    @classmethod
    def run2(cls) -> VoltageProgram:
        """Run-2 and later: charging, scraping until 8 us, recovery with 5 us."""
        return cls(Charging(), Scraping.e989(), label="run2")

    @classmethod
    def run1(cls, dataset: str = "1a") -> VoltageProgram:
        """Run-1: as `run2`, with the `slow_plates` of Q1 long, whose amplitude is a best estimate."""
        return cls(Charging(), Scraping.e989(), slow_plates(dataset), label=f"run1 {dataset}")


# Slow part of the CBO frequency, w(t) = w0 + A exp(-t/tA)/t: A [rad], tA [s], w0/2 pi [Hz]; KN (station 12)
_CBO_DRIFT = MappingProxyType(
    {
        "1a": (2.79, 61.1e-6, 372.04e3),
        "1b": (2.88, 49.2e-6, 415.98e3),
        "1c": (2.80, 56.6e-6, 415.30e3),
        "1d": (6.82, 78.3e-6, 371.69e3),
    }
)
_FALL = 0.3e-3  # fall of the vertical mean over _FALL_WINDOW [m]: about 1 mm/ms, TH
_FALL_WINDOW = (50e-6, 350e-6)  # [s] TH


def gradient_shift(quad: Quad, missing: Plates, ring: Ring = RING) -> float:
    """First-order shift dn/n of the ring's field index when plates of one quad miss shares of their voltage.

    Each of the four plates gives a quarter of the quadrupole of its quad (the 24 kV table of the quads with one
    plate at 17 kV: 18706 V against 20177.8 V is 0.2500 of 7/24), each quad its share of the covered length.
    """
    return -0.25 * sum(missing) * quad.length / (TWO_PI * ring.quad_coverage)


def vertical_shift(quad: Quad, missing: Plates, ring: Ring = RING) -> float:
    """First-order shift [m] of the vertical closed orbit, averaged over the ring.

    The missing voltage d V of a plate leaves a dipole field E_y = PLATE_DIPOLE d V, a kick q E_y L/(beta p c).
    A kick alpha moves the smooth-ring orbit by R0 alpha cos(nu(pi - |theta|))/(2 nu sin(pi nu)), on average
    by R0 alpha/(2 pi nu^2) (E. D. Courant, H. S. Snyder, Ann. Phys. 3 (1958) 1, eq. 4.8). With nu^2 = n the
    voltage and the momentum cancel: y = E_y L/(2 pi R0 <kappa>). Upwards where the top plate is weak.
    """
    gradient = 2.0 * NORMAL_24KV[1] / 24_000.0 / R_REFERENCE**2 * ring.quad_coverage  # <kappa> per volt [1/m^2]
    dipole = PLATE_DIPOLE * (missing[0] - missing[1]) * quad.length * R0  # integral of E_y per volt
    return dipole / (TWO_PI * R0 * gradient)


def slow_plates(dataset: str = "1a") -> SlowPlates:
    """Two damaged resistors of Run-1, on the top and bottom plates of Q1 long: best estimate.

    Two numbers from two observations, to first order. The fitted CBO phase w(t) t runs slow by
    (A/tA) exp(-t/tA) in frequency, and w0 is proportional to n within 3 %: with `gradient_shift` that gives the
    sum of the two missing shares. The vertical mean falls by 0.3 mm from 50 to 350 us: with `vertical_shift`
    that gives their difference; the top plate is the weaker one. Where the difference would exceed the sum, the
    bottom plate is good. The time constant is tA.

    Raises
    ------
    ValueError
        If `dataset` is not one of 1a, 1b, 1c, 1d.
    """
    if dataset not in _CBO_DRIFT:
        raise ValueError(f"Run-1 dataset {dataset!r} is not known: give one of {', '.join(_CBO_DRIFT)}.")
    phase, tau, frequency = _CBO_DRIFT[dataset]
    q1_long = next(quad for quad in RING.quads if quad.name == "Q1 long")
    one_plate = (1.0, 0.0, 0.0, 0.0)
    both = (phase / tau) / (TWO_PI * frequency) / -gradient_shift(q1_long, one_plate)
    recovered = math.exp(-_FALL_WINDOW[0] / tau) - math.exp(-_FALL_WINDOW[1] / tau)
    difference = min(_FALL / (vertical_shift(q1_long, one_plate) * recovered), both)
    top, bottom = 0.5 * (both + difference), 0.5 * (both - difference)
    return SlowPlates({q1_long.name: (top, bottom, 0.0, 0.0)}, tau)
