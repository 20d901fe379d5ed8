"""What a detector at one azimuth sees of a tracked beam: its frequencies, with the errors of a finite beam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracking.bunch import Bunch
from tracking.cbo import Lifetime, Windows, lifetime, windows
from tracking.frequency import BeamFrequencies, beam_frequencies, cyclotron_frequency
from tracking.stations import RingTables
from tracking.turns import track

FloatArray = NDArray[np.float64]

_PASSAGES = 256  # turns for the cyclotron frequency
_BATCHES = 8  # parts of a bunch for the jackknife


@dataclass(frozen=True, eq=False)
class CoherentMotion:
    """What a detector at one azimuth sees of a beam."""

    azimuth: float  # [rad]
    period: float  # mean time of a turn of the beam [s]
    period_error: float
    frequencies: BeamFrequencies
    passed: FloatArray  # muons that passed in each turn (turns,)
    mean_x: FloatArray  # [m]
    mean_y: FloatArray  # [m]
    variance_x: FloatArray  # [m^2]
    variance_y: FloatArray  # [m^2]
    windows: Windows
    lifetime: Lifetime
    lost: int  # muons lost on the way
    muons: int

    @property
    def f_c(self) -> float:
        """Cyclotron frequency of the beam [Hz]."""
        return 1.0 / self.period

    @property
    def time(self) -> FloatArray:
        """Time of each turn since the first passage [s]."""
        return np.asarray(np.arange(self.passed.size) * self.period)

    def rows(self) -> list[tuple[str, float, float, str, str]]:
        """(name, value, error, unit, meaning) of every number, for printing."""
        found, life = self.frequencies, self.lifetime
        error = self.period_error / self.period**2
        return [
            ("f_c", self.f_c, error, "Hz", "cyclotron frequency, from the mean times of passage"),
            ("f_CBO", found.cbo, found.cbo_error, "Hz", "swing of the mean radius"),
            ("f_x", self.f_c - found.cbo, found.cbo_error, "Hz", "radial betatron frequency, f_c - f_CBO"),
            ("f_y", found.vertical, found.vertical_error, "Hz", "swing of the mean height"),
            ("f_VW", found.width, found.width_error, "Hz", "oscillation of the vertical width"),
            ("A_CBO", life.amplitude, life.amplitude_error, "m", "amplitude of the CBO at t = 0, exponential fit"),
            ("tau_CBO", life.tau, life.tau_error, "s", "lifetime of the CBO, exponential fit"),
        ]


class _Seen(NamedTuple):
    """Moments of a bunch at one azimuth, once a turn; arrays (..., turns)."""

    passed: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    variance_x: FloatArray
    variance_y: FloatArray

    def pooled(self) -> _Seen:
        """Moments of all batches (first axis) together."""
        total = self.passed.sum(axis=0)
        x, y = (np.sum(self.passed * mean, axis=0) / total for mean in (self.mean_x, self.mean_y))
        xx, yy = (
            np.sum(self.passed * (variance + mean**2), axis=0) / total
            for variance, mean in ((self.variance_x, self.mean_x), (self.variance_y, self.mean_y))
        )
        return _Seen(total, x, y, xx - x**2, yy - y**2)

    def without(self, batch: int) -> _Seen:
        """Moments of all batches but one."""
        return _Seen(*(np.delete(column, batch, axis=0) for column in self)).pooled()


def coherent_motion(
    bunch: Bunch, tables: RingTables, turns: int = 2000, azimuth: float = math.pi, *, window: int = 100
) -> CoherentMotion:
    """Frequencies, envelope and lifetime of the coherent motion of a beam tracked in the ring, its decay divided out.

    The statistical errors of a finite beam are not those of a noise that is new each turn, because the muons are the
    same: they come from the jackknife over 8 parts of the bunch, whatever is derived from their moments.

    Parameters
    ----------
    bunch
        Stored muons at theta = 0; their stop times are not looked at.
    tables
        The ring.
    turns
        Turns to follow, at least 4 windows.
    azimuth
        Where the beam is seen [rad].
    window
        Turns of a window of the envelope.

    Raises
    ------
    ValueError
        If there are too few turns or muons, or all muons of a part are lost.
    """
    if turns < 4 * window:
        raise ValueError(f"turns = {turns} are too few for an envelope: give at least {4 * window}.")
    if bunch.n < 2 * _BATCHES:
        raise ValueError(f"{bunch.n} muons are too few for a beam: give at least {2 * _BATCHES}.")
    forever = bunch._replace(stop_time=np.full(bunch.n, np.inf))
    batches = _batches(forever, tables, turns, azimuth)
    period, period_error = _period(forever, tables, min(turns, _PASSAGES), azimuth)

    def derived(seen: _Seen) -> tuple[BeamFrequencies, Windows, Lifetime]:
        envelope = windows(seen.mean_x, period, turns=window)
        return beam_frequencies(seen.mean_x, seen.mean_y, seen.variance_y, period), envelope, lifetime(envelope)

    whole = batches.pooled()
    parts = [derived(batches.without(k)) for k in range(_BATCHES)]
    frequencies, envelope, _ = derived(whole)
    errors = BeamFrequencies(*_jackknife([np.array(part[0]) for part in parts]))
    spread = Windows(*_jackknife([np.array(part[1]) for part in parts]))
    envelope = envelope._replace(
        frequency_error=np.hypot(envelope.frequency_error, spread.frequency),
        amplitude_error=np.hypot(envelope.amplitude_error, spread.amplitude),
    )
    return CoherentMotion(
        azimuth=azimuth,
        period=period,
        period_error=period_error,
        frequencies=_widened(frequencies, errors),
        passed=whole.passed,
        mean_x=whole.mean_x,
        mean_y=whole.mean_y,
        variance_x=whole.variance_x,
        variance_y=whole.variance_y,
        windows=envelope,
        lifetime=_widened_lifetime(lifetime(envelope), [part[2] for part in parts]),
        lost=int(bunch.n - whole.passed[-1]),
        muons=bunch.n,
    )


def _batches(bunch: Bunch, tables: RingTables, turns: int, azimuth: float) -> _Seen:
    """Moments of every 8th muon, beginning with the first, the second, and so on; arrays (8, turns)."""
    found = []
    for k in range(_BATCHES):
        moments = track(
            bunch.select(np.arange(k, bunch.n, _BATCHES)), tables, turns,
            spin=tables.options.spin, observers=[azimuth], moments=True,
        ).moments  # fmt: skip
        assert moments is not None
        if moments.count[0, -1] == 0:
            raise ValueError(f"all muons of a part are lost within {turns} turns: look at the optics of the ring.")
        found.append(moments)
    names = ("count", "mean_x", "mean_y", "variance_x", "variance_y")
    return _Seen(*(np.concatenate([getattr(one, name) for one in found]).astype(np.float64) for name in names))


def _period(bunch: Bunch, tables: RingTables, turns: int, azimuth: float) -> tuple[float, float]:
    """Mean time of a turn of the beam and its error: that of the mean over muons with a spread of momenta [s]."""
    seen = track(bunch, tables, turns, spin=tables.options.spin, observers=[azimuth], collimators=False).samples
    assert seen is not None
    f_c = cyclotron_frequency(seen.time[0])
    own = np.diff(seen.time[0], axis=0).mean(axis=0)
    period = 1.0 / float(f_c.value)
    return period, math.hypot(float(f_c.error) * period**2, float(own.std()) / math.sqrt(bunch.n))


def _widened(found: BeamFrequencies, errors: BeamFrequencies) -> BeamFrequencies:
    """Frequencies whose errors hold the scatter of the parts too."""
    return found._replace(
        cbo_error=math.hypot(found.cbo_error, errors.cbo),
        vertical_error=math.hypot(found.vertical_error, errors.vertical),
        width_error=math.hypot(found.width_error, errors.width),
    )


def _widened_lifetime(life: Lifetime, parts: list[Lifetime]) -> Lifetime:
    """A lifetime whose errors are at least the scatter of those without each part."""
    spread = _jackknife([np.array((part.amplitude, 1.0 / part.tau)) for part in parts])
    return life._replace(
        amplitude_error=max(life.amplitude_error, float(spread[0])),
        tau_error=max(life.tau_error, float(spread[1]) * life.tau**2) if math.isfinite(life.tau) else math.inf,
    )


def _jackknife(parts: list[FloatArray]) -> FloatArray:
    """Errors of numbers of which each element was made without one part of the data (B. Efron 1982)."""
    values = np.stack(parts)
    n = len(parts)
    return np.asarray(np.sqrt((n - 1) / n * np.sum((values - values.mean(axis=0)) ** 2, axis=0)))
