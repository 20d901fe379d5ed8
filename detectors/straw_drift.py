"""From crossed straws to TDC hits: primary clusters, drift, discriminator, crosstalk, noise, dead time."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.straw_crossings import Crossings
from detectors.straws import CHANNELS, WIRES
from gpu.fastmath import exp, log
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, poisson, uniform2

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_CLUSTERS, _DRIFT = int(Stage.STRAW_CLUSTERS), int(Stage.STRAW_DRIFT)
_CROSSTALK, _NOISE = int(Stage.STRAW_CROSSTALK), int(Stage.STRAW_NOISE)
_DRAWS = 128  # reserved for a straw and positron in the stages of clusters and drift
_MOST_CLUSTERS = 100  # looked at; a path of 5 mm has 18
_JITTER = _DRAWS - 1
_AFTER_COUNT = 64  # draws that `gpu.rng.poisson` keeps for itself
# A cluster in argon has at least k > 1 electrons with probability 0.344 (2 / k)^1.4: within 10 % of the measurement of
# H. Fischle, J. Heintze, B. Schmidt, NIM A 301 (1991) 202 up to k = 9. Best estimate: half of the gas is ethane.
_SEVERAL, _POWER = 0.344, 1.4
_LARGEST = 1000.0  # electrons


class Source(IntEnum):
    """What made a hit."""

    TRACK = 0
    CROSSTALK = 1
    NOISE = 2


class StrawHits(NamedTuple):
    """Hits of the TDCs, ordered by channel and time; all arrays have shape (n,)."""

    channel: IntArray  # straw, as in `detectors.straws.channel_of`
    tdc: IntArray  # time in bins of the TDC
    time: FloatArray  # the same [s]
    source: IntArray  # Source
    crossing: IntArray  # row of the crossing that made it, -1 for noise


@dataclass(frozen=True)
class StrawSettings:
    """Gas and electronics. Each effect is off where its number is 0 and leaves the random numbers of the others.

    Parameters
    ----------
    gas_radius
        [m].
    clusters
        Primary clusters per length of path [1/m]. Best estimate: 25 per cm in argon and 48 in ethane (review of
        particle physics, "Particle detectors at accelerators"), mean of equal volumes.
    threshold
        Electrons that have to arrive for the discriminator to fire; best estimate.
    drift_velocity
        [m/s]; nkinnaird/GeaneTrackingCode @2bd5dd8: 54.6 um/ns.
    diffusion
        Spread of an electron after a drift of 1 m, growing with the root of the drift [m]. Best estimate: with the
        jitter it gives the resolution of 110 um (arXiv 2111.02076).
    jitter
        Of the discriminator [s]; best estimate.
    dead_time
        Of a discriminator after a hit [s]. Best estimate: the longest drift, so that a track gives one hit in a straw.
    tdc_bin
        [s]; PoS(ICHEP2016)1163 has 0.6 ns.
    crosstalk
        Chance that a hit makes another one, in either neighbour in its layer; best estimate.
    crosstalk_delay
        Of that hit [s]; best estimate.
    noise_rate
        Hits of nobody in a straw [1/s]; best estimate.
    window
        Begin and end of the time that is read out [s].
    """

    gas_radius: float = 2.535e-3
    clusters: float = 3650.0
    threshold: int = 2
    drift_velocity: float = 5.46e4
    diffusion: float = 1.9e-3
    jitter: float = 0.8e-9
    dead_time: float = 50e-9
    tdc_bin: float = 625e-12
    crosstalk: float = 0.01
    crosstalk_delay: float = 2e-9
    noise_rate: float = 100.0
    window: tuple[float, float] = (0.0, 700e-6)

    def __post_init__(self) -> None:
        bounds = {
            "gas_radius": (1e-3, 1e-2), "clusters": (0.0, 1e5), "threshold": (1, 100), "drift_velocity": (1e3, 1e6),
            "diffusion": (0.0, 0.1), "jitter": (0.0, 1e-7), "dead_time": (0.0, 1e-5), "tdc_bin": (1e-12, 1e-7),
            "crosstalk": (0.0, 1.0), "crosstalk_delay": (0.0, 1e-6), "noise_rate": (0.0, 1e6),
        }  # fmt: skip
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} of the straws = {value} is out of bounds: give {low:g} to {high:g}.")
        if not self.window[0] < self.window[1]:
            raise ValueError(f"window of the straws = {self.window} s ends before it begins: give begin, end.")


class _Gas(NamedTuple):
    radius: float  # [m]
    clusters: float  # [1/m]
    threshold: int
    drift_velocity: float  # [m/s]
    diffusion: float  # [m per root of 1 m]
    jitter: float  # [s]
    crosstalk: float


class _Signals(NamedTuple):
    fired: IntArray  # 1 where the discriminator fires
    time: FloatArray  # [s]
    below: IntArray  # 1 where the lower neighbour fires, too
    above: IntArray


@scalar
def cluster_size(u: float) -> float:
    """Return the electrons in a cluster for a uniform number in (0, 1)."""
    if u >= _SEVERAL:
        return 1.0
    return float(min(math.floor(2.0 * exp(log(_SEVERAL / u) / _POWER)), _LARGEST))


@Kernel
def _drift(i: int, crossings: Crossings, signals: _Signals, gas: _Gas, key: FillKey) -> None:
    """Clusters are met from the closest approach outwards on both sides: the threshold is passed with the n-th one."""
    d, half = crossings.distance[i], 0.5 * crossings.path[i]
    number, channel = crossings.number[i], crossings.channel[i]
    first = channel * _DRAWS
    away, electrons = 0.0, 0.0
    for k in range(_MOST_CLUSTERS if gas.clusters > 0.0 else 0):
        u, v = uniform2(key.seed, key.run, key.subrun, key.fill, _CLUSTERS, number, first + k)
        away -= log(u) / (2.0 * gas.clusters)
        if away > half:
            break
        electrons += cluster_size(v)
        if electrons >= gas.threshold:
            part = away / half
            r = math.sqrt(d * d + part * part * max(gas.radius * gas.radius - d * d, 0.0))
            g, _ = normal2(key.seed, key.run, key.subrun, key.fill, _DRIFT, number, first + k)
            h, _ = normal2(key.seed, key.run, key.subrun, key.fill, _DRIFT, number, first + _JITTER)
            r = max(r + g * gas.diffusion * math.sqrt(r), 0.0)
            signals.fired[i] = 1
            signals.time[i] = crossings.time[i] + r / gas.drift_velocity + h * gas.jitter
            break
    if signals.fired[i] > 0:
        u, v = uniform2(key.seed, key.run, key.subrun, key.fill, _CROSSTALK, number, channel)
        wire = channel % WIRES
        signals.below[i] = 1 if u < gas.crosstalk and wire > 0 else 0
        signals.above[i] = 1 if v < gas.crosstalk and wire < WIRES - 1 else 0


@Kernel
def _count_noise(i: int, counts: IntArray, mean: float, key: FillKey) -> None:
    counts[i] = poisson(key.seed, key.run, key.subrun, key.fill, _NOISE, i, 0, mean)


@Kernel
def _time_noise(
    i: int, counts: IntArray, ends: IntArray, channels: IntArray, times: FloatArray,
    begin: float, length: float, key: FillKey,
) -> None:  # fmt: skip
    for k in range(counts[i]):
        row = ends[i] - counts[i] + k
        u, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _NOISE, i, _AFTER_COUNT + k)
        channels[row], times[row] = i, begin + length * u


@Kernel
def _survive(i: int, ends: IntArray, counts: IntArray, times: FloatArray, kept: IntArray, dead_time: float) -> None:
    """Discriminator of channel i: after a hit that it passes on it is dead for a while."""
    free = -math.inf
    for row in range(ends[i] - counts[i], ends[i]):
        if times[row] >= free:
            kept[row] = 1
            free = times[row] + dead_time


def drift_distance(drift_time: FloatArray, settings: StrawSettings) -> FloatArray:
    """Distances from the wire [m] that belong to drift times [s], within the straw; as a track fit would take them."""
    return np.clip(np.asarray(drift_time) * settings.drift_velocity, 0.0, settings.gas_radius)


def _noise(settings: StrawSettings, key: FillKey, backend: str) -> tuple[IntArray, FloatArray]:
    """Channels and times of hits of nobody."""
    begin, end = settings.window
    counts = np.zeros(CHANNELS, np.int64)
    if settings.noise_rate > 0.0:
        _count_noise(CHANNELS, counts, settings.noise_rate * (end - begin), key, backend=backend)
    n = int(counts.sum())
    channels, times = np.zeros(n, np.int64), np.zeros(n)
    if n > 0:
        _time_noise(CHANNELS, counts, np.cumsum(counts), channels, times, begin, end - begin, key, backend=backend)
    return channels, times


def _neighbours(
    crossings: Crossings, signals: _Signals, settings: StrawSettings
) -> tuple[IntArray, FloatArray, IntArray]:
    """Channels, times and crossings of hits in neighbours of straws with a hit."""
    below, above = np.flatnonzero(signals.below), np.flatnonzero(signals.above)
    rows = np.concatenate([below, above])
    channels = np.concatenate([crossings.channel[below] - 1, crossings.channel[above] + 1])
    return channels, signals.time[rows] + settings.crosstalk_delay, rows


def _read_out(
    channel: IntArray,
    time: FloatArray,
    source: IntArray,
    crossing: IntArray,
    alive: BoolArray,
    settings: StrawSettings,
    backend: str,
) -> StrawHits:
    """What discriminators and TDCs make of signals in any order."""
    order = np.lexsort((source, time, channel))
    order = order[alive[channel[order]] & (time[order] >= settings.window[0]) & (time[order] < settings.window[1])]
    channel, crossing, source = channel[order], crossing[order], source[order]
    time = np.asarray(time[order], np.float64)
    counts = np.bincount(channel, minlength=CHANNELS)
    kept = np.zeros(channel.size, np.int64)
    _survive(CHANNELS, np.cumsum(counts), counts, time, kept, settings.dead_time, backend=backend)
    keep = kept > 0
    tdc = np.floor(time[keep] / settings.tdc_bin + 0.5).astype(np.int64)
    seen = np.asarray(tdc * settings.tdc_bin, np.float64)
    return StrawHits(channel[keep], tdc, seen, source[keep].astype(np.int64), crossing[keep])


def straw_hits(
    crossings: Crossings,
    key: FillKey,
    settings: StrawSettings | None = None,
    working: BoolArray | None = None,
    backend: str = "cpu",
) -> StrawHits:
    """Make the hits of a fill.

    The drift goes radially to the wire at constant speed; the n-th nearest cluster, with which enough electrons have
    arrived, sets the time, with the diffusion of one of its electrons. A path with too few clusters makes no hit.

    Parameters
    ----------
    crossings
        From `detectors.straw_crossings.cross_straws`, of the whole fill.
    key
        Fill that the random numbers belong to (stages STRAW_CLUSTERS, STRAW_DRIFT, STRAW_CROSSTALK, STRAW_NOISE).
    settings
        Gas and electronics; the defaults where None.
    working
        Which channels are alive, shape (2048,); all where None.
    backend
        "cpu" or "gpu".

    Returns
    -------
    StrawHits

    Raises
    ------
    ValueError
        If `working` has another shape.
    """
    chosen = settings if settings is not None else StrawSettings()
    alive = np.ones(CHANNELS, np.bool_) if working is None else np.asarray(working, np.bool_)
    if alive.shape != (CHANNELS,):
        raise ValueError(f"working channels of the straws have shape {alive.shape}: give ({CHANNELS},).")
    n = crossings.channel.size
    signals = _Signals(np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64))
    gas = _Gas(
        chosen.gas_radius, chosen.clusters, int(chosen.threshold), chosen.drift_velocity, chosen.diffusion,
        chosen.jitter, chosen.crosstalk,
    )  # fmt: skip
    _drift(n, crossings, signals, gas, key, backend=backend)
    own = np.flatnonzero(signals.fired)
    beside, beside_times, beside_rows = _neighbours(crossings, signals, chosen)
    noisy, noise_times = _noise(chosen, key, backend)
    sizes = own.size, beside.size, noisy.size
    return _read_out(
        np.concatenate([crossings.channel[own], beside, noisy]),
        np.concatenate([signals.time[own], beside_times, noise_times]),
        np.repeat([int(Source.TRACK), int(Source.CROSSTALK), int(Source.NOISE)], sizes),
        np.concatenate([own, beside_rows, np.full(noisy.size, -1)]),
        alive,
        chosen,
        backend,
    )
