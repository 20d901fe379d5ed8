"""Kicker pulses: the shape in time of the field between the plates, and the three kickers together.

The field B(t) is positive where it kicks mu+ outwards, so that it *lowers* the vertical field: B_y = B0 - B. A
pulse is a table on equal steps, zero outside; built-in are three shapes of the experiment, peak 1 at t = 0.

Sources: MT = anthh0/gm2mt @8df0bae (measured pulses, their widths and values at the times below, default peak).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from fields.columns import read_columns
from fields.maps import FieldMapError
from fields.ring import B0_NOMINAL, R0, RING, TWO_PI, Ring

PEAK_FIELD = 0.0204  # achieved peak [T]; MT, default b_norm 204 G (a trace shows 194.6 G)
REVOLUTION = 149.1433e-9  # period of a muon at the magic momentum [s]; 1/6.704961 MHz at 1.4513 T
_NS = 1e-9
_AT_NS = (-100, -75, -50, -25, 0, 25, 50, 75, 100, 125, 149, 200, 250, 300, 350, 400, 450, 500, 600)
# Values at _AT_NS, then (rise, fall) at half height, placed so that the full width is the published 148.8, 146.8 and
# 158.0 ns, and at 10 %, published 235, 243 and 256 ns apart; the rise at 10 % is a best estimate. MT
_SHAPES = MappingProxyType(
    {
        "run2": (
            (.28, .55, .77, .91, 1, .88, .67, .44, .24, .11, .10, -.01, -.06, .01, .19, .07, -.23, -.24, -.13),
            (-80.1, 68.7), (-121.0, 114.0),
        ),
        "run3a": (
            (.35, .64, .85, .95, 1, .86, .59, .33, .17, .09, .08, .02, -.04, .03, .16, .05, -.21, -.24, -.09),
            (-87.8, 59.0), (-121.0, 122.0),
        ),
        "run3b": (
            (.28, .58, .80, .93, 1, .93, .72, .49, .31, .16, .04, -.02, .00, -.06, .01, .19, .15, -.07, -.23),
            (-83.6, 74.4), (-121.0, 135.0),
        ),
    }
)  # fmt: skip
_ZERO_BEFORE_NS = (-200.0, -140.0)  # best estimate: between 10 % at -121 ns and the quiet line of the traces
_RINGING_END_NS = (800.0, 1000.0)  # "to about 1 us"; from the last value at 600 ns on a best estimate


@dataclass(frozen=True, eq=False)
class KickerPulse:
    """A pulse on equal steps of time.

    Parameters
    ----------
    start, step
        Time of the first value and spacing [s].
    values
        Field over its nominal peak, shape (m,).
    cubic
        Between the values: False a straight line, True the cubic spline with flat ends.
    label
        Where the pulse comes from.
    """

    start: float
    step: float
    values: NDArray[np.float64]
    cubic: bool = False
    label: str = ""

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1 or values.size < 4 or not np.all(np.isfinite(values)):
            raise ValueError(f"kicker pulse {self.label!r} needs four or more finite values in a row: mend its table.")
        if not (math.isfinite(self.start) and math.isfinite(self.step) and self.step > 0.0):
            raise ValueError(f"kicker pulse {self.label!r} from {self.start:g} s in steps of {self.step:g} s: give ns.")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @classmethod
    def named(cls, name: str) -> KickerPulse:
        """Pulse of run2 (June 2019), run3a (December 2019) or run3b (and Run-4), through the published values.

        Raises
        ------
        ValueError
            If there is no such pulse.
        """
        if name not in _SHAPES:
            raise ValueError(f"kicker pulse {name!r} is not known: give one of {', '.join(_SHAPES)}.")
        heights, half, tenth = _SHAPES[name]
        nodes = dict(zip(map(float, _AT_NS), map(float, heights), strict=True))
        nodes.update({half[0]: 0.5, half[1]: 0.5, tenth[0]: 0.1, tenth[1]: 0.1})
        nodes.update(dict.fromkeys((*_ZERO_BEFORE_NS, *_RINGING_END_NS), 0.0))
        t = np.array(sorted(nodes))
        curve = PchipInterpolator(t, [nodes[at] for at in t])  # no overshoot between published values
        grid = np.arange(t[0], t[-1] + 0.5)
        return cls(float(t[0]) * _NS, _NS, curve(grid), True, name)

    @classmethod
    def square(cls, width: float, edge: float = 2e-9) -> KickerPulse:
        """Trapezoid of full width at half height `width`, centred on 0, with edges of length `edge` [s]."""
        if not 0.0 < edge <= width:
            raise ValueError(f"square pulse of {width:g} s with edges of {edge:g} s: give 0 < edge <= width.")
        step = edge / 8.0
        count = math.ceil(0.5 * (width + edge) / step) + 1
        t = step * np.arange(-count, count + 1)
        values = np.clip((0.5 * (width + edge) - np.abs(t)) / edge, 0.0, 1.0)
        return cls(-count * step, step, values, False, "square")

    @classmethod
    def lcr(cls, period: float, damping: float, duration: float, step: float = _NS) -> KickerPulse:
        """Discharge of a capacitor through an inductance: exp(-t/damping) sin(2 pi t/period), peak 1 at t = 0.

        Parameters
        ----------
        period, damping
            Of the damped oscillation [s].
        duration
            From the start on, after which the pulse is cut [s].
        step
            Of the table [s].
        """
        if not all(math.isfinite(s) and s > 0.0 for s in (period, damping, duration, step)):
            raise ValueError("an LCR pulse needs period, damping, duration and step above 0 s.")
        omega = TWO_PI / period
        to_peak = math.atan(omega * damping) / omega
        peak = math.exp(-to_peak / damping) * math.sin(omega * to_peak)
        t = step * np.arange(math.ceil(duration / step) + 1)
        return cls(-to_peak, step, np.exp(-t / damping) * np.sin(omega * t) / peak, False, "LCR")

    @property
    def stop(self) -> float:
        """Time of the last value [s]."""
        return self.start + self.step * (self.values.size - 1)

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of the values [s], shape (m,)."""
        return np.asarray(self.start + self.step * np.arange(self.values.size))

    def __call__(self, t: ArrayLike) -> NDArray[np.float64]:
        """Field over its nominal peak at times `t` [s] (zero outside the table), shape of `t`."""
        time = np.asarray(t, dtype=np.float64)
        if not self.cubic:
            return np.interp(time, self.times, self.values, left=0.0, right=0.0)
        inside = (time >= self.start) & (time <= self.stop)
        return np.where(inside, self._spline(np.clip(time, self.start, self.stop)), 0.0)

    @cached_property
    def _spline(self) -> CubicSpline:
        return CubicSpline(self.times, self.values, bc_type="clamped")

    def scaled(self, factor: float) -> KickerPulse:
        """Same shape, `factor` times as high."""
        return replace(self, values=factor * self.values)

    def width(self, level: float = 0.5) -> float:
        """Width [s] of the main lobe at `level` of the peak, from the crossings next to the highest value."""
        limit = level * float(self.values.max())
        top = int(self.values.argmax())
        below = np.flatnonzero(self.values < limit)
        left, right = below[below < top], below[below > top]
        if not (left.size and right.size):
            raise ValueError(f"kicker pulse {self.label!r} does not fall to {level:g} of its peak on both sides.")
        i, j = int(left[-1]), int(right[0])
        rise = i + (limit - self.values[i]) / (self.values[i + 1] - self.values[i])
        fall = j - 1 + (self.values[j - 1] - limit) / (self.values[j - 1] - self.values[j])
        return float(self.step * (fall - rise))

    def linear_error(self, step: float) -> float:
        """Bound on the error of straight lines between samples `step` [s] apart, over the nominal peak.

        step^2/8 times the largest second derivative for a cubic pulse. A pulse of straight lines has kinks:
        step/4 times the changes of slope that fit into one step (0 if the samples lie on its own values).
        """
        if self.cubic:
            return float(step**2 / 8.0 * np.abs(self._spline(self.times, 2)).max())
        slopes = np.diff(np.concatenate([[0.0], self.values, [0.0]])) / self.step
        kinks = np.abs(np.diff(slopes))
        together = min(math.ceil(step / self.step) + 1, kinks.size)
        most = np.convolve(kinks, np.ones(together)).max()
        return float(0.25 * step * most)


def load_pulse(path: str | Path, start: float = -200e-9, stop: float = 3e-6, step: float = _NS) -> KickerPulse:
    """Measured kicker pulse from a text file with two columns, time [ns] and field.

    The baseline (median of all that comes before `start`) is taken off, the peak is set to 1 and to t = 0, the
    trace is resampled to equal steps by straight lines, and tapered to 0 over the last tenth.

    Parameters
    ----------
    path
        Text file; comments may start with ``#``, ``!``, ``%`` or ``//``.
    start, stop
        What to keep, from the peak [s].
    step
        Of the result [s].

    Returns
    -------
    KickerPulse
        Straight lines between the values.

    Raises
    ------
    FieldMapError
        If the file is missing, broken, or does not reach from `start` to `stop`.
    """
    path = Path(path)
    table = read_columns(path, ("time [ns]", "field"), 16)
    time, field = _NS * table[:, 0], table[:, 1]
    time = time - time[field.argmax()]
    if time[0] > start or time[-1] < stop:
        what = f"covers {time[0] / _NS:.0f} to {time[-1] / _NS:.0f} ns about its peak"
        raise FieldMapError(path, 0, what, f"give a trace from {start / _NS:.0f} to {stop / _NS:.0f} ns, in ns")
    widest = float(np.diff(time[(time >= start) & (time <= stop)]).max())
    if widest > 10.0 * step:
        raise FieldMapError(
            path, 0, f"has a gap of {widest / _NS:.1f} ns", f"fill the gaps above {10 * step / _NS:g} ns"
        )
    field = field - np.median(field[time <= start])
    if not field.max() > 0.0:
        raise FieldMapError(path, 0, "has no peak above its baseline", "turn the sign of the trace")
    grid = start + step * np.arange(round((stop - start) / step) + 1)
    taper = np.clip(10.0 * (grid[-1] - grid) / (grid[-1] - grid[0]), 0.0, 1.0)
    rise = np.clip((grid - grid[0]) / (20.0 * step), 0.0, 1.0)
    values = np.interp(grid, time, field / field.max()) * taper * rise
    return KickerPulse(start, step, values, False, path.name)


@dataclass(frozen=True)
class EddyTail:
    """Field of the eddy currents in plates and chamber that outlives the pulse.

    B(t) = field exp(-(t - 30 us)/time_constant) [1 - exp(-(t/onset)^2)] for t > 0, in the direction of the kick
    (currents that keep up the field as it falls). A smooth start: value and slope are 0 at t = 0.

    Parameters
    ----------
    field
        30 us after the pulse [T]: of order 10 mG, best estimate.
    time_constant
        [s]: about 60 to 70 us, best estimate.
    onset
        Time over which the tail builds up [s]: the length of the pulse, best estimate.
    """

    field: float = 1.0e-6
    time_constant: float = 65e-6
    onset: float = 150e-9

    def __post_init__(self) -> None:
        good = math.isfinite(self.field) and self.time_constant > 0.0 and self.onset > 0.0
        if not (good and math.isfinite(self.time_constant) and math.isfinite(self.onset)):
            raise ValueError("the eddy tail needs a finite field and finite times above 0 s: mend the settings.")

    def __call__(self, t: ArrayLike) -> NDArray[np.float64]:
        """Field [T] at times `t` [s] after the pulse's centre, shape of `t`."""
        after = np.clip(np.asarray(t, dtype=np.float64), 0.0, None)
        rise = -np.expm1(-((after / self.onset) ** 2))
        return self.field * np.exp(-(after - 30e-6) / self.time_constant) * rise


@dataclass(frozen=True)
class KickerUnit:
    """One kicker: peak field [T], delay of its peak [s], pulse, length [m] and azimuth of its centre [rad]."""

    amplitude: float
    offset: float
    pulse: KickerPulse
    length: float
    theta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amplitude) and math.isfinite(self.offset)):
            raise ValueError(f"kicker with peak {self.amplitude} T, offset {self.offset} s: give finite numbers.")
        if not self.length > 0.0:
            raise ValueError(f"kicker of length {self.length} m: give a length above 0.")


class KickTable(NamedTuple):
    """Field of the kickers on equal steps, for kernels; straight lines between."""

    start: float  # [s], fill time of the first column
    step: float  # [s]
    field: NDArray[np.float64]  # (kickers, m) [T], kick outwards positive


@dataclass(frozen=True)
class Kickers:
    """All kickers of the ring with their timing and what they leave behind.

    Parameters
    ----------
    units
        One for each kicker, in order of azimuth.
    delay
        Common delay of all pulses [s].
    eddy
        Tail added in each kicker; None leaves it out.
    """

    units: tuple[KickerUnit, ...]
    delay: float = 0.0
    eddy: EddyTail | None = None

    def __post_init__(self) -> None:
        if not self.units or not math.isfinite(self.delay):
            raise ValueError(
                f"kickers need one or more units and a finite delay (is {self.delay} s): mend the settings."
            )

    @classmethod
    def e989(
        cls,
        pulse: KickerPulse,
        amplitude: float | tuple[float, ...] = PEAK_FIELD,
        delay: float = 0.0,
        eddy: EddyTail | None = None,
        ring: Ring = RING,
    ) -> Kickers:
        """Equal pulses, each with its peak when the centre of the bunch is in the middle of its kicker.

        `amplitude` is the peak field [T], one for all or one for each kicker; `ring` gives azimuths and lengths.
        """
        count = len(ring.kickers)
        peaks = amplitude if isinstance(amplitude, tuple) else (amplitude,) * count
        if len(peaks) != count:
            raise ValueError(f"{len(peaks)} kicker amplitudes for {count} kickers: give one, or one for each.")
        units = []
        for kicker, peak in zip(ring.kickers, peaks, strict=True):
            centre = 0.5 * (kicker.theta_start + kicker.theta_end)
            length = ring.radius * (kicker.theta_end - kicker.theta_start)
            units.append(KickerUnit(peak, centre / TWO_PI * REVOLUTION, pulse, length, centre))
        return cls(tuple(units), delay, eddy)

    def fields(self, t: ArrayLike) -> NDArray[np.float64]:
        """Field [T] of each kicker at fill times `t` [s], shape (kickers, *shape of t)."""
        time = np.asarray(t, dtype=np.float64)
        rows = []
        for unit in self.units:
            since = time - self.delay - unit.offset
            tail = self.eddy(since) if self.eddy is not None else 0.0
            rows.append(unit.amplitude * unit.pulse(since) + tail)
        return np.array(rows)

    def integrated_kick(self, t: ArrayLike) -> NDArray[np.float64]:
        """Integral of B ds [T m] over one turn for a muon that passes theta = 0 at fill times `t` [s], shape of `t`.

        Each kicker is met at its centre, REVOLUTION * theta/2 pi later.
        """
        time = np.asarray(t, dtype=np.float64)
        total = np.zeros_like(time)
        for k, unit in enumerate(self.units):
            total += unit.length * self.fields(time + unit.theta / TWO_PI * REVOLUTION)[k]
        return total

    def table(self, step: float, duration: float) -> KickTable:
        """Field of each kicker on equal steps, from before the first pulse on.

        Straight lines between the samples are off by at most `linear_error(step)` [T].

        Raises
        ------
        ValueError
            If `step` or `duration` [s] is not above 0.
        """
        if not (math.isfinite(duration) and 0.0 < step <= duration):
            raise ValueError(f"kicker table of {duration:g} s in steps of {step:g} s: give 0 < step <= duration.")
        # a step of the pulse earlier: the first sample is 0
        start = self.delay + min(unit.offset + min(unit.pulse.start - unit.pulse.step, 0.0) for unit in self.units)
        times = start + step * np.arange(math.ceil(duration / step) + 1)
        return KickTable(start, step, np.ascontiguousarray(self.fields(times)))

    def linear_error(self, step: float) -> float:
        """Bound [T] on the error of straight lines between samples `step` [s] apart."""
        tail = 0.0
        if self.eddy is not None:
            # second derivative of 1 - exp(-u^2) is at most 2, the decay is slow beside it
            tail = step**2 / 4.0 * abs(self.eddy.field) * math.exp(30e-6 / self.eddy.time_constant) / self.eddy.onset**2
        return max(abs(unit.amplitude) * unit.pulse.linear_error(step) for unit in self.units) + tail


def kick_angle(integral: float, b0: float = B0_NOMINAL, radius: float = R0) -> float:
    """Angle [rad] by which an integral of B ds [T m] turns the reference muon, whose p/q is b0 * radius [T m]."""
    return integral / (b0 * radius)


def ideal_kick_angle(offset: float = RING.inflector.centre_offset, n: float = 0.0, radius: float = R0) -> float:
    """Kick [rad] that puts a muon from `offset` [m] outside the ring, parallel to it, on the central orbit.

    x = offset cos(nu theta) crosses 0 a quarter of a betatron wave on, 90 deg/nu, with the slope
    -nu offset/R0, nu = sqrt(1 - n): 10.8 mrad from 77 mm without quads.
    """
    return math.sqrt(1.0 - n) * offset / radius
