"""Phase-acceptance of the beam that came through inflector, kickers and scraping, with damaged resistors or without."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, Fill
from gm2sim.studies.outcome import Estimate, Floats
from gm2sim.studies.phase_map import PhaseMap, powers
from gm2sim.studies.precession import FIT_START, FIT_STOP, fitted_shift, jackknife
from tracking.bunch import Bunch, State

INJECTED = 50  # muons that leave the inflector for each muon of the study's size: about one is stored
DRIFT_WINDOW = (50e-6, 350e-6)  # in which the trackers' drifts are quoted [s]
_PLACES = 8  # observers in equal steps: the phase of the coherent motion runs once around the ring, so that it cancels
_TRACKERS = [4, 6]  # those at 180 and 270 degrees, a few degrees from the tracker stations
# Turns between samples. Four times the tunes, and eight times the vertical one, are far from whole numbers.
_EVERY = 4
_WINDOWS = 7  # kept in memory at a time, muon by muon


class Drift(NamedTuple):
    """How a beam moves during the fit."""

    c_pa: float  # (d phi/dt)/omega_a
    kept: float  # the same of the muons that are not lost
    lost: float  # the rest: the edge of the beam leaves
    mean: float  # change of the mean height over the window, all around the ring [m/s]
    width: float  # and of the vertical RMS
    mean_seen: float  # the same at the trackers
    width_seen: float


class Watched(NamedTuple):
    """Moments of a beam in equal steps of time, each averaged over the coherent motion.

    Attributes
    ----------
    times : array (s,) [s]
        By turns of the reference muon, from the begin to the end of the fit.
    everyone, kept : array (blocks, 13, s)
        Sums over muons with numbers equal modulo the blocks, and over those of them that are not lost; columns of
        :func:`columns_of`.
    """

    times: Floats
    everyone: Floats
    kept: Floats

    def drift(self, case: Case, found: PhaseMap, which: NDArray[np.int64]) -> Drift:
        """Drift of the beam that is made of some blocks."""
        everyone, kept = self.everyone[which].sum(axis=0), self.kept[which].sum(axis=0)
        size = found.coefficients.size
        c_pa, stay = (drift_of_phase(case, self.times, found.coefficients @ sums[:size]) for sums in (everyone, kept))
        return Drift(
            c_pa, stay, c_pa - stay,
            *self._changes(everyone[0], *everyone[size : size + 2]),
            *self._changes(everyone[0], *everyone[size + 2 :]),
        )  # fmt: skip

    def _changes(self, count: Floats, y: Floats, y2: Floats) -> tuple[float, float]:
        """Change of mean height and vertical RMS from the begin to the end of the window, over its length [m/s]."""
        span = DRIFT_WINDOW[1] - DRIFT_WINDOW[0]
        mean = y / count
        begin, end = (
            np.array([np.interp(t, self.times, one) for one in (mean, np.sqrt(y2 / count - mean**2))])
            for t in DRIFT_WINDOW
        )
        change = (end - begin) / span
        return float(change[0]), float(change[1])


class Measured(NamedTuple):
    """A drift, with its errors from the muons and from the phase map."""

    value: Drift
    of_muons: Drift
    of_map: Drift

    def estimate(self, name: str) -> Estimate:
        """One of the numbers with both errors together."""
        value, *errors = (float(getattr(part, name)) for part in self)
        return value, math.hypot(*errors)


class Comparison(NamedTuple):
    """The beam with damaged resistors, the same with good ones, and the difference of the pairs."""

    slow: Measured
    static: Measured
    change: Measured
    stored: int


def compare(case: Case, found: PhaseMap) -> Comparison:
    """Follow the same injected muons with the configured resistors and with good ones, to the end of the fit."""
    sized = Case(case.config, INJECTED * case.muons, case.seed)
    slow, static = watch(sized, case.config.scraping.slow_resistors), watch(sized, "none")
    case.muon_turns += sized.muon_turns

    def both(which: NDArray[np.int64], map_: PhaseMap = found) -> Floats:
        a, b = (np.array(beam.drift(case, map_, which)) for beam in (slow, static))
        return np.stack([a, b, a - b])

    values, errors = jackknife(both, BLOCKS)
    everyone = np.arange(BLOCKS)
    maps = np.array([both(everyone, found.without(k)) for k in range(found.vectors.shape[0])])
    spread = np.sqrt(np.sum((maps - maps.mean(axis=0)) ** 2, axis=0) * (maps.shape[0] - 1) / maps.shape[0])
    slowly, statically, changed = (
        Measured(*(Drift(*map(float, row)) for row in rows)) for rows in zip(values, errors, spread, strict=True)
    )
    return Comparison(slowly, statically, changed, round(float(slow.everyone[:, 0, 0].sum())))


def drift_of_phase(case: Case, times: Floats, vector: NDArray[np.complex128]) -> float:
    """(d phi/dt)/omega_a of a beam whose positrons have the summed asymmetry V at some times."""
    return -fitted_shift(times, np.unwrap(-np.angle(vector)), case.lifetime) / case.omega_a


def watch(case: Case, resistors: str) -> Watched:
    """Moments at eight azimuths of the muons of a fill that never decay, from the begin to the end of the fit.

    Each moment is a mean with Hann's window over two periods of the CBO, of which the fit of the experiment takes
    care itself: the window has zeros at the CBO and at its multiples.
    """
    fill = Fill(case, scraping__slow_resistors=resistors)
    period = fill.ring.reference.period
    window = hann(2.0 / (fill.optics.f_cbo * period * _EVERY))
    step = window.size * _EVERY  # turns
    first = math.ceil(FIT_START / period)
    windows = math.floor((FIT_STOP / period - first) / step)
    begun = fill.follow(fill.kicked, first - fill.config.injection.kicked_turns)
    muons = begun.select(np.flatnonzero(begun.state == State.STORED))
    parts = []
    for done in range(0, windows, _WINDOWS):
        some = min(_WINDOWS, windows - done)
        muons, part = _stretch(fill, muons, window, some)
        parts.append(part)
    columns = np.concatenate(parts, axis=1)
    block = muons.number % BLOCKS
    kept = muons.state == State.STORED
    everyone, left = (
        np.array([columns[:, :, (block == k) & use].sum(axis=-1) for k in range(BLOCKS)])
        for use in (np.ones(muons.n, bool), kept)
    )
    times = np.asarray(period * (first + step * np.arange(windows) + 0.5 * _EVERY * (window.size - 1)), np.float64)
    return Watched(times, everyone, left)


def _stretch(fill: Fill, muons: Bunch, window: Floats, windows: int) -> tuple[Bunch, Floats]:
    """The muons some windows later, and their columns (13, windows, n)."""
    result = fill.ring.track(
        muons, windows * window.size * _EVERY, observers=tuple(2.0 * math.pi * k / _PLACES for k in range(_PLACES)),
        every=_EVERY, metal_key=fill.key, plates=not fill.ring.layout.has_full_collimator, progress=False,
    )  # fmt: skip
    fill.case.muon_turns += result.muon_turns
    assert result.samples is not None
    return result.bunch, columns_of(result.samples.x, result.samples.y, result.samples.alive, window)


def columns_of(x: Floats, y: Floats, alive: NDArray[np.bool_], window: Floats) -> Floats:
    """Moments of each muon: means over the places and over windows that follow one another.

    Parameters
    ----------
    x, y, alive : arrays (places, samples, n)
        [m], as :class:`tracking.turns.Motion` has them: 0 once a muon is lost.
    window : array (w,)
        Weights; there are a whole number of windows in the samples.

    Returns
    -------
    array (13, windows, n)
        Powers of the phase map, the first of which is the share of the window that the muon was there; y and y^2
        [m, m^2]; the same two at the trackers.
    """
    seen = y[_TRACKERS]
    rows = [*(powers(x, y) * alive).mean(axis=1), y.mean(axis=0), (y**2).mean(axis=0)]
    rows += [seen.mean(axis=0), (seen**2).mean(axis=0)]
    columns = np.array(rows).reshape(len(rows), -1, window.size, x.shape[-1])
    return np.asarray(np.einsum("cwsn,s->cwn", columns, window))


def hann(length: float) -> Floats:
    """Hann's window of a length in samples, sum 1: it has zeros at 2/length, 3/length, ... cycles a sample."""
    half = math.ceil(0.5 * length) - 1
    weight = 1.0 + np.cos(2.0 * math.pi * np.arange(-half, half + 1) / length)
    return np.asarray(weight / weight.sum())
