"""Phase-acceptance of the beam that came through inflector, kickers and scraping, with damaged resistors or without."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.studies.case import Case
from gm2sim.studies.injected import BLOCKS, Fill
from gm2sim.studies.outcome import Estimate, Floats
from gm2sim.studies.phase_map import PhaseMap, terms
from gm2sim.studies.precession import FIT_START, FIT_STOP, fitted_shift, jackknife
from tracking.bunch import State

INJECTED = 50  # muons that leave the inflector for each muon of the study's size: about one is stored
DRIFT_WINDOW = (50e-6, 350e-6)  # in which the trackers' drifts are quoted [s]
_PLACES = 8  # observers in equal steps: the phase of the coherent motion runs once around the ring, so that it cancels
_TRACKERS = (4, 6)  # those at 180 and 270 degrees, a few degrees from the tracker stations
# Turns between samples. Neither tune, nor twice the vertical one, is near a multiple of 1/2: no slow alias.
_EVERY = 2
_STRETCH = 256  # turns kept in memory muon by muon


class Drift(NamedTuple):
    """How a beam moves during the fit."""

    c_pa: float  # (d phi/dt)/omega_a
    mean: float  # drift of the mean height, all around the ring [m/s]
    width: float  # and of the vertical RMS
    mean_seen: float  # the same at the trackers
    width_seen: float


class Watched(NamedTuple):
    """Moments of a beam in equal steps of time, smoothed over the coherent motion.

    Attributes
    ----------
    times : array (s,) [s]
        By turns of the reference muon, from the begin to the end of the fit.
    sums : array (blocks, places, s, 11)
        Over muons with numbers equal modulo the blocks: the powers of the phase map, y and y^2.
    """

    times: Floats
    sums: Floats

    def drift(self, case: Case, found: PhaseMap, which: NDArray[np.int64]) -> Drift:
        """Drift of the beam that is made of some blocks."""
        sums = self.sums[which].sum(axis=0)
        vector = np.tensordot(found.coefficients, sums[..., :-2].sum(axis=0), axes=(0, -1))
        phase = np.unwrap(-np.angle(vector))
        return Drift(
            -fitted_shift(self.times, phase, case.lifetime) / case.omega_a,
            *self._slopes(sums), *self._slopes(sums[list(_TRACKERS)]),
        )  # fmt: skip

    def _slopes(self, sums: Floats) -> tuple[float, float]:
        """Slopes of mean height and vertical RMS, averaged over places [m/s]."""
        inside = (self.times >= DRIFT_WINDOW[0]) & (self.times <= DRIFT_WINDOW[1])
        count, y, y2 = (sums[..., k] for k in (0, -2, -1))
        mean = y / count
        width = np.sqrt(y2 / count - mean**2)
        line = [np.polyfit(self.times[inside], one.mean(axis=0)[inside], 1)[0] for one in (mean, width)]
        return float(line[0]), float(line[1])


class Comparison(NamedTuple):
    """The beam with damaged resistors, the same with good ones, and the difference of the pairs."""

    slow: Drift
    static: Drift
    change: Drift
    slow_error: Drift
    static_error: Drift
    change_error: Drift
    map_error: float  # of C_pa of the beam with the damaged resistors, from the phase map
    change_map_error: float
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
    maps = np.array([both(everyone, found.without(k))[:, 0] for k in range(found.vectors.shape[0])])
    spread = np.sqrt(np.sum((maps - maps.mean(axis=0)) ** 2, axis=0) * (maps.shape[0] - 1) / maps.shape[0])
    stored = round(float(slow.sums[:, 0, 0, 0].sum()))
    drifts = [Drift(*map(float, row)) for row in (*values, *errors)]
    return Comparison(*drifts, float(spread[0]), float(spread[2]), stored)


def total(value: float, muons: float, map_: float) -> Estimate:
    """A value with its errors from muons and map together."""
    return value, math.hypot(muons, map_)


def watch(case: Case, resistors: str) -> Watched:
    """Moments at eight azimuths of the muons of a fill that never decay, from the begin to the end of the fit.

    The window of the smoothing is Hann's over two periods of the CBO, of which the fit of the experiment takes care
    itself: it has zeros at the CBO and at all its multiples.
    """
    fill = Fill(case, scraping__slow_resistors=resistors)
    period = fill.ring.reference.period
    window = hann(2.0 / (fill.optics.f_cbo * period * _EVERY))
    margin = window.size // 2
    first = math.ceil(FIT_START / period) - _EVERY * margin
    samples = math.floor((FIT_STOP / period - first) / _EVERY) + margin
    begun = fill.follow(fill.kicked, first - fill.config.injection.kicked_turns)
    muons = begun.select(np.flatnonzero(begun.state == State.STORED))
    block = muons.number % BLOCKS
    muons = muons.select(np.argsort(block, kind="stable"))
    edges = np.searchsorted(np.sort(block), np.arange(BLOCKS + 1))
    places = tuple(2.0 * math.pi * k / _PLACES for k in range(_PLACES))
    parts = []
    for turn in range(0, samples * _EVERY, _STRETCH):
        result = fill.ring.track(
            muons, min(_STRETCH, samples * _EVERY - turn), observers=places, every=_EVERY, metal_key=fill.key,
            plates=not fill.ring.layout.has_full_collimator, progress=False,
        )  # fmt: skip
        case.muon_turns += result.muon_turns
        assert result.samples is not None
        parts.append(block_sums(result.samples.x, result.samples.y, result.samples.alive, edges))
        muons = result.bunch
    smooth = smoothed(np.concatenate(parts, axis=2), window)
    return Watched(period * (first + _EVERY * (margin + np.arange(smooth.shape[2]))), smooth)


def block_sums(x: Floats, y: Floats, alive: NDArray[np.bool_], edges: NDArray[np.int64]) -> Floats:
    """Sums over neighbouring muons of the powers of the map, y and y^2.

    Parameters
    ----------
    x, y, alive : arrays (places, samples, n)
        [m], as :class:`tracking.turns.Motion` has them.
    edges : array (blocks + 1,)
        Where each block begins and ends.

    Returns
    -------
    array (blocks, places, samples, 11)
        Lengths of the last two in [m], [m^2].
    """
    columns = np.concatenate([terms(x, y) * alive, y[None], y[None] ** 2])
    running = np.concatenate([np.zeros((*columns.shape[:-1], 1)), np.cumsum(columns, axis=-1)], axis=-1)
    return np.ascontiguousarray(np.moveaxis(np.diff(running[..., edges], axis=-1), (0, -1), (-1, 0)))


def hann(length: float) -> Floats:
    """Hann's window of a length in samples, sum 1: it has zeros at 2/length, 3/length, ... cycles a sample."""
    half = math.ceil(0.5 * length) - 1
    weight = 1.0 + np.cos(2.0 * math.pi * np.arange(-half, half + 1) / length)
    return np.asarray(weight / weight.sum())


def smoothed(sums: Floats, window: Floats) -> Floats:
    """Running mean along the third axis, where the window fits."""
    kept = sums.shape[2] - window.size + 1
    found = np.zeros((*sums.shape[:2], kept, *sums.shape[3:]))
    for k, weight in enumerate(window):
        found += weight * sums[:, :, k : k + kept]
    return found
