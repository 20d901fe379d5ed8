"""A first look at a finished shard: clusters of its raw file, and whether they are what muons in this ring make.

The checks are wide and few: each window is what chance allows (one good shard in 10 000 is outside) and what the
expectation itself is not known to. A shard outside is flagged, and a person looks.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import poisson

from decay.michel import lab_energy_end, lab_spectrum
from gm2sim.analysis import design_reference, precession_frequency
from gm2sim.atomic import SEAL, check_seal, sealed, write_json
from gm2sim.clusters import Clusters
from gm2sim.config import Config
from gm2sim.outputs import SubrunPaths
from gm2sim.reco import reconstruct
from gm2sim.truth import open_truth
from gm2sim.wiggle import BIN_WIDTH
from tracking.muon import LIFETIME

Floats = NDArray[np.float64]
Check = dict[str, Any]

FORMAT = 1
ENERGY_EDGES = np.linspace(0.0, 3.6, 73)
"""Of the spectrum [GeV]."""
TIME_STEP = 4 * BIN_WIDTH
"""Of the spectrum of times [s]: few enough to read, seven in a period of the precession."""

# Share of positrons that reach a calorimeter, by energy [GeV]: `gm2sim study acceptance run1a`.
_ACCEPTANCE = ((0.0, 0.5, 1.0, 1.7, 2.4, 2.9, 3.2), (0.0, 0.204, 0.342, 0.554, 0.770, 0.841, 0.85))
_CHANCE = 1e-4  # of a good shard to be outside a window
_SIGMAS = 3.9  # the same for a normal distribution, both sides
# What the expectations are not known to: particles through sides and photons add 7 % of clusters and take 0.02 of
# asymmetry (docs/physics/reconstruction.md), twice; energy lost near edges; the map beside the configured field.
_RATE_KNOWN, _ASYMMETRY_KNOWN, _EDGE_KNOWN_GEV, _FIELD_KNOWN = 0.15, 0.05, 0.1, 1e-4
_FEWEST_WIGGLE, _FEWEST_EDGE = 400, 150  # clusters
_EDGE_FROM = 2.0  # GeV: above it the spectrum falls to its end
_SCALES = np.linspace(0.8, 1.2, 161)


@dataclass(frozen=True)
class Nearline:
    """What a shard, or several, look like.

    Attributes
    ----------
    fills, muons, clusters : int
    energy : list of int
        Clusters by energy, edges :data:`ENERGY_EDGES`.
    time : list of int
        Clusters above the threshold of the fit by time, in steps of :data:`TIME_STEP` from 0.
    checks : dict of str to dict
        ``value``, ``error``, ``expected``, ``low``, ``high``, ``good`` of each; one that needs more clusters is left
        out.
    raw : str
        SHA-256 of the raw file; empty for several.
    """

    fills: int
    muons: int
    clusters: int
    energy: list[int]
    time: list[int]
    checks: dict[str, Check]
    raw: str = ""

    @property
    def clusters_per_fill(self) -> float:
        """Mean number of clusters in a fill."""
        return self.clusters / self.fills if self.fills else 0.0

    def write(self, path: Path) -> None:
        """Write it as JSON with a sum of its own."""
        write_json(path, sealed({"format": FORMAT} | asdict(self)), replace=True)


def read_nearline(path: Path, raw: str | None = None) -> Nearline | None:
    """What was seen of a shard; None where nothing was, or of another raw file, or where the file is damaged.

    Parameters
    ----------
    path : Path
    raw : str, optional
        SHA-256 of the raw file.
    """
    try:
        text = path.read_text("utf-8")
        content = json.loads(text)
        check_seal(text, content)
        if content.pop("format") != FORMAT or (raw is not None and content["raw"] != raw):
            return None
        return Nearline(**{key: value for key, value in content.items() if key != SEAL})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def look(config: Config, paths: SubrunPaths, counts: Mapping[str, int], raw: str) -> Nearline:
    """Reconstruct a subrun and compare it with what is expected.

    Parameters
    ----------
    config : Config
    paths : SubrunPaths
    counts : mapping
        Of the subrun's metadata.
    raw : str
        SHA-256 of the raw file.

    Raises
    ------
    RawFormatError
        The raw file is damaged.
    """
    clusters = reconstruct(paths.raw)
    above = clusters.energy >= config.fit.threshold_gev
    end = config.tracking.fill_duration_us * 1e-6
    energy, _ = np.histogram(clusters.energy, bins=ENERGY_EDGES)
    bins = max(1, math.ceil(end / TIME_STEP))
    time, _ = np.histogram(clusters.time[above], bins=bins, range=(0.0, bins * TIME_STEP))
    return Nearline(
        int(counts["fills"]), int(counts["muons"]), len(clusters.time), energy.tolist(), time.tolist(),
        checks(config, clusters, int(counts["decayed"]), field_of(paths.truth)), raw,
    )  # fmt: skip


def bad(found: Mapping[str, Check]) -> str:
    """Which checks failed, in one line; empty when none did."""
    return "; ".join(
        f"{name} is {one['value']:.4g} +- {one['error']:.2g}, expected {one['low']:.4g} to {one['high']:.4g}"
        for name, one in found.items()
        if not one["good"]
    )


def field_of(truth: Path) -> float:
    """Mean field that the truth of a subrun tells of [T]."""
    with open_truth(truth) as file:
        return float(file.attrs["b0_t"])


def checks(config: Config, clusters: Clusters, decayed: int, field: float) -> dict[str, Check]:
    """Compare clusters with muons that decay in this ring.

    Parameters
    ----------
    config : Config
    clusters : Clusters
    decayed : int
        Muons that decayed in the fills.
    field : float [T]
    """
    gamma = float(design_reference(config).gamma0)
    start, end = _window(config)
    mine = clusters.select((clusters.time >= start) & (clusters.time < end))
    above = mine.select(mine.energy >= config.fit.threshold_gev)
    share, asymmetry = expected(config, gamma)
    found = {"rate": _rate(len(above.time), decayed * _decays_in(gamma, start, end), share)}
    if len(above.time) >= _FEWEST_WIGGLE:
        found["asymmetry"] = _asymmetry(config, gamma, above.time, start, end, asymmetry)
    if np.count_nonzero(mine.energy >= _EDGE_FROM) >= _FEWEST_EDGE:
        found["edge"] = _edge(gamma, mine.energy)
    magnet = config.magnet.field_t
    found["field"] = _check(field, 0.0, magnet, magnet * (1 - _FIELD_KNOWN), magnet * (1 + _FIELD_KNOWN))
    return found


def expected(config: Config, gamma: float) -> tuple[float, float]:
    """Share of the decays that make a cluster above the threshold of the fit, and the asymmetry of these.

    Parameters
    ----------
    config : Config
    gamma : float
        Lorentz factor of the muons.
    """
    energy = np.linspace(config.fit.threshold_gev, lab_energy_end(gamma), 2001)
    number, both = lab_spectrum(energy, gamma)
    seen = np.interp(energy, *_ACCEPTANCE)
    share = float(np.trapezoid(number * seen, energy))
    return share, config.beam.polarization * abs(float(np.trapezoid(both * seen, energy))) / share


def merged(parts: Iterable[Nearline]) -> Nearline | None:
    """Several shards together: sums, and of each check the mean weighted by its error; None of none."""
    listed = list(parts)
    if not listed:
        return None
    together: dict[str, Check] = {}
    for name in dict.fromkeys(name for one in listed for name in one.checks):
        together[name] = _mean([one.checks[name] for one in listed if name in one.checks])
    return Nearline(
        sum(one.fills for one in listed), sum(one.muons for one in listed), sum(one.clusters for one in listed),
        _sum([one.energy for one in listed]), _sum([one.time for one in listed]), together,
    )  # fmt: skip


def _mean(found: list[Check]) -> Check:
    errors = np.array([one["error"] for one in found], float)
    weights = np.where(errors > 0, 1.0 / np.where(errors > 0, errors, 1.0) ** 2, 1.0)
    weights = weights / weights.sum()

    def average(key: str) -> float:
        return float(sum(weight * one[key] for weight, one in zip(weights, found, strict=True)))

    error = float(np.sqrt(np.sum((weights * errors) ** 2)))
    return {
        "value": average("value"), "error": error, "expected": average("expected"), "low": average("low"),
        "high": average("high"), "good": all(one["good"] for one in found), "shards": len(found),
        "outside": sum(not one["good"] for one in found),
    }  # fmt: skip


def _sum(lists: list[list[int]]) -> list[int]:
    total = np.zeros(max(map(len, lists)), np.int64)
    for one in lists:
        total[: len(one)] += np.array(one, np.int64)
    return [int(number) for number in total]


def _check(value: float, error: float, expectation: float, low: float, high: float) -> Check:
    return {
        "value": value, "error": error, "expected": expectation, "low": low, "high": high,
        "good": bool(low <= value <= high),
    }  # fmt: skip


def _window(config: Config) -> tuple[float, float]:
    """Times that are looked at [s]: those of the fit, or of a short fill what lies behind its first quarter."""
    end = config.tracking.fill_duration_us * 1e-6
    return min(config.fit.start_us * 1e-6, 0.25 * end), min(config.fit.stop_us * 1e-6, end)


def _decays_in(gamma: float, start: float, end: float) -> float:
    """Share of the muons that have decayed by the end which did so from ``start`` on."""
    tau = gamma * LIFETIME
    return (math.exp(-start / tau) - math.exp(-end / tau)) / (1.0 - math.exp(-end / tau))


def _rate(number: int, decays: float, share: float) -> Check:
    """Clusters above the threshold over decays; chance by the distribution of Poisson, which few of them need."""
    if decays <= 0:
        return _check(0.0, 0.0, share, 0.0, 1.0)
    low = poisson.ppf(0.5 * _CHANCE, share * (1 - _RATE_KNOWN) * decays)
    high = poisson.ppf(1 - 0.5 * _CHANCE, share * (1 + _RATE_KNOWN) * decays)
    return _check(number / decays, math.sqrt(share / decays), share, float(low) / decays, float(high) / decays)


def _asymmetry(config: Config, gamma: float, times: Floats, start: float, end: float, expectation: float) -> Check:
    """Amplitude of the precession in the times, by least squares with everything else known: error sqrt(2/N)."""
    bins = max(3, int((end - start) / BIN_WIDTH))
    counts, edges = np.histogram(times, bins=bins, range=(start, start + bins * BIN_WIDTH))
    at = 0.5 * (edges[1:] + edges[:-1])
    decay, phase = np.exp(-at / (gamma * LIFETIME)), 2 * math.pi * precession_frequency(config) * at
    columns = np.stack([np.sqrt(decay), np.sqrt(decay) * np.cos(phase), np.sqrt(decay) * np.sin(phase)], axis=1)
    (level, cosine, sine), *_ = np.linalg.lstsq(columns, counts / np.sqrt(decay), rcond=None)
    error = math.sqrt(2.0 / max(counts.sum(), 1))
    value = math.hypot(cosine, sine) / level if level > 0 else 0.0
    room = _SIGMAS * error + _ASYMMETRY_KNOWN
    return _check(float(value), error, expectation, expectation - room, expectation + room)


def _edge(gamma: float, energies: Floats) -> Check:
    """End of the spectrum: that of the decay, smeared, stretched until it is most likely."""
    end = lab_energy_end(gamma)
    counts, edges = np.histogram(energies, bins=np.linspace(_EDGE_FROM, 3.6, 81))
    at = 0.5 * (edges[1:] + edges[:-1])
    likelihood = np.array([_log_likelihood(counts, at / scale, gamma) for scale in _SCALES])
    best = int(np.argmax(likelihood))
    # Where the logarithm falls by one half: from the parabola through the best and its neighbours.
    inner = min(max(best, 1), len(_SCALES) - 2)
    step = _SCALES[1] - _SCALES[0]
    bend = (2 * likelihood[inner] - likelihood[inner - 1] - likelihood[inner + 1]) / step**2
    error = end / math.sqrt(bend) if bend > 0 else end
    room = _SIGMAS * error + _EDGE_KNOWN_GEV
    return _check(float(_SCALES[best] * end), error, end, end - room, end + room)


def _log_likelihood(counts: NDArray[np.int64], energy: Floats, gamma: float) -> float:
    density = _seen_spectrum(energy, gamma)
    return float(np.sum(counts * np.log(np.maximum(density / density.sum(), 1e-7))))


def _seen_spectrum(energy: Floats, gamma: float) -> Floats:
    """Spectrum of clusters: decays that reach a calorimeter, with its resolution."""
    true = np.linspace(1.2, lab_energy_end(gamma), 191)
    number, _ = lab_spectrum(true, gamma)
    weight = number * np.interp(true, *_ACCEPTANCE)
    # sqrt(1.5 %^2 + 4.5 %^2 GeV / E): nkinnaird/PrecessionFrequencyAnalysis @54b9b45.
    width = true * np.sqrt(0.015**2 + 0.045**2 / true)
    half = 0.5 * (energy[1] - energy[0])
    inside = ndtr((energy[:, None] + half - true) / width) - ndtr((energy[:, None] - half - true) / width)
    return np.asarray(inside @ weight)
