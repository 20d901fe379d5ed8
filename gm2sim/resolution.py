"""Efficiency, fakes, bias and resolution of matched clusters in bins, with errors.

Shares have Wilson intervals (E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209, eq. at one standard deviation: their
edges stay within 0 and 1, and they are right for few events). Bias is the median and resolution half the width of the
middle 68.27 %, which tails do not move; their errors are those of a normal distribution.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.geometry import Calorimeter
from gm2sim.match import Kind, Match, Status, neighbours

Floats = NDArray[np.float64]

LEAST_ENERGY = 0.5
"""Positrons below have no part in bins of anything but energy [GeV]."""
NEXT_TO = 20e-9
"""Particles in a bin of distance have another one of their calorimeter within this time [s]."""
_ENERGIES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.7, 2.0, 2.25, 2.5, 2.75, 3.2)  # [GeV]
_BEYOND = (3.2, 3.5, 4.5, 6.5)  # [GeV], of clusters: pileup only
_TIMES = (0.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0, 700.0)  # [us]
_EDGES = (-math.inf, 0.0, 3.0, 6.0, 12.5, 25.0, 50.0, 75.6)  # [mm]
_DISTANCES = (0.0, 25.0, 50.0, 75.0, 100.0, 280.0)  # [mm]
_SEPARATIONS = (0.0, 1.25, 2.5, 3.75, 5.0, 7.5, 10.0, 20.0, 50.0, 200.0, math.inf)  # [ns]
_INSIDE = 25e-3  # [m] from the edge, a crystal: the shower is contained
_FEWEST = 5  # pairs below which there is no resolution
_MIDDLE = (15.865525, 50.0, 84.134475)  # percentiles
# Errors of a median, sqrt(pi/2) sigma/sqrt(n), and of half the middle 68 %: quantiles p, q of n normal numbers have
# covariance p (1 - q)/(n f_p f_q), with density f = 0.24197 at one standard deviation.
_MEDIAN_ERROR, _WIDTH_ERROR = math.sqrt(math.pi / 2), 0.9617


class Share(NamedTuple):
    """A share of counted events with its interval of one standard deviation."""

    value: float
    low: float
    high: float


class Bin(NamedTuple):
    """What becomes of the particles of one bin, and of the clusters.

    Attributes
    ----------
    variable, unit : str
    low, high : float
        Edges, in the unit.
    particles, found, merged, missed : int
    efficiency : Share
        Found over particles.
    merged_share : Share
    clusters, fakes : int
        Clusters in the bin of the same variable, where they have it; else 0.
    fake_share : Share
    bias, bias_error : float
        Median of (cluster - true energy) over true energy, of clusters of one positron.
    resolution, resolution_error : float
        Half of the middle 68 % of the same.
    delay_ps, delay_error_ps, time_resolution_ps, time_resolution_error_ps : float
        The same of the time.
    """

    variable: str
    unit: str
    low: float
    high: float
    particles: int
    found: int
    merged: int
    missed: int
    efficiency: Share
    merged_share: Share
    clusters: int
    fakes: int
    fake_share: Share
    piled: int
    piled_share: Share
    bias: float
    bias_error: float
    resolution: float
    resolution_error: float
    delay_ps: float
    delay_error_ps: float
    time_resolution_ps: float
    time_resolution_error_ps: float

    def record(self) -> dict[str, Any]:
        """Plain numbers, intervals spread over three names; None where nothing could be counted."""
        flat: dict[str, Any] = {}
        for name, value in self._asdict().items():
            if isinstance(value, Share):
                flat |= {
                    name: _plain(value.value),
                    f"{name}_low": _plain(value.low),
                    f"{name}_high": _plain(value.high),
                }
            else:
                flat[name] = _plain(value)
        return flat


def share(some: int, of: int) -> Share:
    """Wilson's interval of one standard deviation; NaN of nothing.

    Parameters
    ----------
    some, of : int
        Events counted, among all.
    """
    if of <= 0:
        return Share(math.nan, math.nan, math.nan)
    p = some / of
    middle, half = (p + 0.5 / of) / (1 + 1 / of), math.sqrt(p * (1 - p) / of + 0.25 / of**2) / (1 + 1 / of)
    return Share(p, min(max(middle - half, 0.0), p), max(min(middle + half, 1.0), p))


def middle(values: ArrayLike) -> tuple[float, float, float, float]:
    """Median, its error, half of the middle 68 % and its error; NaN of fewer than five values."""
    v = np.asarray(values, float)
    if v.size < _FEWEST:
        return math.nan, math.nan, math.nan, math.nan
    low, median, high = np.percentile(v, _MIDDLE)
    half = 0.5 * float(high - low)
    root = math.sqrt(v.size)
    return float(median), _MEDIAN_ERROR * half / root, half, _WIDTH_ERROR * half / root


def edge_distance(u: ArrayLike, v: ArrayLike) -> Floats:
    """From the nearest edge of the face inwards [m]; below 0 outside it.

    Parameters
    ----------
    u, v : arrays (n,) [m]
    """
    face = Calorimeter()
    return np.minimum(0.5 * face.width - np.abs(u), 0.5 * face.height - np.abs(v))


def all_bins(found: Match, least_energy: float = LEAST_ENERGY) -> list[Bin]:
    """Bins of energy, time in the fill, distance from the edge, distance and separation in time from the next particle.

    Energy comes twice: of all positrons, and of those at least 25 mm inside the edge.

    Parameters
    ----------
    found : Match
    least_energy : float [GeV]
        Positrons below have no part in bins of anything but energy.
    """
    hits, clusters = found.hits, found.clusters
    positron = hits.kind == Kind.POSITRON
    strong = positron & (hits.energy >= least_energy)
    separation, distance = neighbours(hits)
    close = strong & (separation < NEXT_TO)
    loud = clusters.energy >= least_energy
    edge = edge_distance(hits.u, hits.v)
    inside = positron & (edge >= _INSIDE)
    return [
        *_bins(found, "energy", "GeV", _ENERGIES, positron, hits.energy, clusters.energy),
        *_bins(found, "energy", "GeV", _BEYOND, positron, hits.energy, clusters.energy),
        *_bins(found, "energy, inside", "GeV", _ENERGIES, inside, hits.energy),
        *_bins(found, "time in fill", "us", _TIMES, strong, hits.time * 1e6, clusters.time * 1e6, loud),
        *_bins(found, "from the edge", "mm", _EDGES, strong, edge * 1e3),
        *_bins(found, "from the next", "mm", _DISTANCES, close, distance * 1e3, alone=False),
        *_bins(found, "separation", "ns", _SEPARATIONS, strong, separation * 1e9, alone=False),
    ]


def whole(found: Match, above: float) -> Bin:
    """One bin of all positrons and clusters above an energy [GeV]."""
    hits, clusters = found.hits, found.clusters
    positron = hits.kind == Kind.POSITRON
    return next(_bins(found, "energy", "GeV", (above, math.inf), positron, hits.energy, clusters.energy))


def _bins(
    found: Match,
    variable: str,
    unit: str,
    edges: tuple[float, ...],
    used: NDArray[np.bool_],
    value: Floats,
    cluster_value: Floats | None = None,
    cluster_used: NDArray[np.bool_] | None = None,
    alone: bool = True,
) -> Iterator[Bin]:
    """Bins of one variable; resolutions of clusters of one particle only, or of all."""
    hits, clusters = found.hits, found.clusters
    inside = found.cluster >= 0
    of = np.where(inside, found.cluster, 0)
    pair = inside & (found.status == Status.FOUND)
    if alone and clusters.time.size:
        pair &= found.members[of] == 1
    change, delay = np.zeros(hits.time.size), np.zeros(hits.time.size)
    rows = np.flatnonzero(pair)
    true = found.true_energy[of[rows]]
    change[rows] = (clusters.energy[of[rows]] - true) / true
    delay[rows] = (clusters.time[of[rows]] - hits.time[rows]) * 1e12
    fake = found.particle < 0
    for low, high in pairwise(edges):
        here = used & (value >= low) & (value < high)
        found_here, merged, missed = (
            int((found.status[here] == status).sum()) for status in (Status.FOUND, Status.MERGED, Status.MISSED)
        )
        n = found_here + merged + missed
        seen = np.zeros(clusters.time.size, np.bool_)
        if cluster_value is not None:
            seen = (cluster_value >= low) & (cluster_value < high)
            if cluster_used is not None:
                seen &= cluster_used
        m, fakes, piled = (int(some.sum()) for some in (seen, seen & fake, seen & (found.members > 1)))
        some = here & pair
        yield Bin(
            variable, unit, low, high, n, found_here, merged, missed, share(found_here, n), share(merged, n),
            m, fakes, share(fakes, m), piled, share(piled, m), *middle(change[some]), *middle(delay[some]),
        )  # fmt: skip


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
