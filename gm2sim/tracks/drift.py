"""How far from the wire a straw's drift time says that a track passed, and how well it says it."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.straw_crossings import Crossings
from detectors.straw_drift import StrawSettings, straw_hits
from detectors.straws import CHANNELS
from gpu.kernel import scalar
from gpu.rng import FillKey

FloatArray = NDArray[np.float64]

_BIN = 1e-9  # of drift times [s]
_ENOUGH = 200  # crossings in a bin that is used
_APART = 2e-6  # between crossings of a straw: beyond drift and dead time [s]
_LEAST_SIGMA = 2e-5  # a table never claims to be better [m]


class DriftTable(NamedTuple):
    """Distance from the wire against drift time, straight between knots and beyond them."""

    first: float  # drift time of the first knot [s]
    step: float  # between knots [s]
    distance: FloatArray  # mean distance of tracks with this drift time, shape (knots,) [m]
    slope: FloatArray  # change of the mean with time, shape (knots,) [m/s]
    sigma: FloatArray  # rms about it, shape (knots,) [m]


def linear_drift(settings: StrawSettings | None = None, resolution: float = 110e-6) -> DriftTable:
    """Return the relation r = v t of constant drift velocity.

    Parameters
    ----------
    settings
        Gas; the defaults where None.
    resolution
        The same everywhere [m]; arXiv 2111.02076.
    """
    velocity = (settings or StrawSettings()).drift_velocity
    times = 10e-9 * np.arange(8)
    return DriftTable(
        0.0,
        10e-9,
        np.asarray(velocity * times, np.float64),
        np.full(times.size, velocity),
        np.full(times.size, resolution),
    )


def tabulate_drift(drift_time: FloatArray, distance: FloatArray) -> DriftTable:
    """Average the distances of tracks in bins of drift time.

    The mean distance at a given time, not the time at a given distance inverted: so residuals have no mean at any
    time, and what delays the nearest cluster (close to the wire by up to 0.1 mm) is taken out.

    Parameters
    ----------
    drift_time
        Hit less track, shape (n,) [s].
    distance
        Of closest approach, without sign, shape (n,) [m].

    Raises
    ------
    ValueError
        If fewer than two bins of 1 ns have 200 tracks.
    """
    number = np.floor(np.asarray(drift_time) / _BIN + 0.5).astype(np.int64)
    low = int(number.min()) if number.size else 0
    counts = np.bincount(number - low)
    full = np.flatnonzero(counts >= _ENOUGH)
    if full.size < 2:
        raise ValueError(f"{number.size} tracks are too few for a drift table: give 200 per ns of drift time.")
    n = np.maximum(counts, 1)
    mean = np.bincount(number - low, weights=distance) / n
    square = np.bincount(number - low, weights=np.square(distance)) / n
    run = slice(int(full[0]), int(full[-1]) + 1)
    sigma = np.sqrt(np.maximum(square - mean**2, _LEAST_SIGMA**2))
    padded = np.pad(mean[run], 2, mode="reflect", reflect_type="odd")
    smooth = np.convolve(padded, np.full(3, 1.0 / 3.0), mode="valid")
    slope = (smooth[2:] - smooth[:-2]) / (2.0 * _BIN)
    return DriftTable((low + int(full[0])) * _BIN, _BIN, mean[run].copy(), slope, sigma[run].copy())


def calibrate_drift(settings: StrawSettings | None = None, key: FillKey | None = None, n: int = 200_000) -> DriftTable:
    """Make the drift table of a gas from simulated tracks that cross straws evenly, across the wires.

    Parameters
    ----------
    settings
        Gas and electronics, of which noise and crosstalk are left out; the defaults where None.
    key
        Of the random numbers; always the same where None.
    n
        Tracks; 200 000 give the table to 2 um and its sigma to 1 %.
    """
    gas = settings or StrawSettings()
    rows = np.arange(n)
    # Evenly spread distances, on both sides; a stride coprime to n so that channels do not see a pattern.
    distance = np.asarray(gas.gas_radius * (2.0 * ((rows * 0.6180339887498949) % 1.0) - 1.0), np.float64)
    crossed = Crossings.empty(n)._replace(
        channel=rows % CHANNELS,
        number=rows,
        distance=distance,
        path=2.0 * np.sqrt(gas.gas_radius**2 - distance**2),
        time=_APART * (1.0 + rows // CHANNELS) + gas.tdc_bin * ((rows * math.sqrt(2.0)) % 1.0),
    )
    hits = straw_hits(crossed, key or FillKey(1, 1, 0, 0), _alone(gas, float(crossed.time.max()) + _APART))
    time = hits.time - crossed.time[hits.crossing]
    return tabulate_drift(time, np.abs(distance[hits.crossing]))


def _alone(gas: StrawSettings, end: float) -> StrawSettings:
    """The same gas without hits of others."""
    return replace(gas, crosstalk=0.0, noise_rate=0.0, window=(0.0, end))


@scalar
def drift_at(t: float, table: DriftTable) -> tuple[float, float, float]:
    """Return distance [m], its change with time [m/s], and sigma [m] at a drift time; the distance may be negative."""
    at = (t - table.first) / table.step
    last = table.distance.shape[0] - 1
    k = int(min(max(at, 0.0), last - 1.0))
    f = min(max(at - k, 0.0), 1.0)
    slope = table.slope[k] + f * (table.slope[k + 1] - table.slope[k])
    distance = table.distance[k] + f * (table.distance[k + 1] - table.distance[k])
    sigma = table.sigma[k] + f * (table.sigma[k + 1] - table.sigma[k])
    return distance + (at - k - f) * table.step * slope, slope, sigma
