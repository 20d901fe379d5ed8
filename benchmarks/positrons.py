"""Decay against closed forms with many decays, what the calorimeters see of them, by energy, and the time of showers.

``python -m benchmarks.positrons`` prints the tables; an argument is the number of decays (default 1e7).
"""

from __future__ import annotations

import math
import sys
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from decay import michel
from decay.positron import Positrons, decay
from detectors.geometry import Geometry
from detectors.shower import ShowerSettings, spread
from detectors.straws import CELLS, Stations
from detectors.transport import Fate, Hits, TransportSettings, fly_positrons, transport
from fields.quads import QuadSettings
from fields.storage import StorageField
from fields.total import FieldTables, field_tables
from gpu.rng import FillKey
from tracking.bunch import Bunch, State
from tracking.muon import reference

FloatArray = NDArray[np.float64]

_B0, _R0 = 1.4513, 7.112  # [T], [m]
_OMEGA_A = 2.0 * math.pi * 229.08e3  # [rad/s]
_BATCH = 1_000_000
_TOY_KNEE = 2.35  # energy at which the acceptance of the published toy stops rising [GeV]
_TOY_TOP = 0.75


class SpectrumCheck(NamedTuple):
    """Decays compared with the closed forms; chi2 probabilities, and the time of a decay."""

    decays: int
    number: float  # of N(E), unpolarised
    parallel: float  # of N (1 + A), spin along the momentum
    asymmetry: float  # of A(E), spin along against opposite
    unpolarised: float  # of zero asymmetry at polarisation 0
    nanoseconds: float  # a decay, one thread's CPU time


class Acceptance(NamedTuple):
    """What the calorimeters see, by energy; arrays over bins."""

    edges: FloatArray  # [GeV]
    by_born: FloatArray  # hits over decays, by the energy at birth
    by_seen: FloatArray  # hits of an energy over decays of that energy, as in the toy
    toy: FloatArray  # the toy of nkinnaird/PrecessionFrequencyAnalysis
    path: FloatArray  # mean path of those that hit, by the energy at birth [m]
    phase: FloatArray  # omega_a times their mean time of flight [mrad]
    fates: dict[str, int]
    nanoseconds: float  # a positron, one thread's CPU time
    everything: float  # the same with trackers, photons and entry through sides
    shares: dict[str, float]  # what these add


def _muons(n: int, spin: float, seed: int) -> Bunch:
    """Muons at the reference momentum, spread over ring and aperture, spin along or against the momentum."""
    rng = np.random.default_rng(seed)
    bunch = Bunch.empty(n).with_momentum(0.0, reference(_B0, _R0))
    bunch.state[:] = State.DECAYED
    bunch.ss[:] = spin
    radius, angle = 0.045 * np.sqrt(rng.uniform(size=n)), rng.uniform(0.0, 2.0 * math.pi, n)
    bunch.x[:], bunch.y[:] = radius * np.cos(angle), radius * np.sin(angle)
    bunch.theta[:] = rng.uniform(0.0, 2.0 * math.pi, n)
    return bunch


def _histogram(n: int, spin: float, polarization: float, fill: int, edges: FloatArray) -> tuple[FloatArray, float]:
    """Positrons by energy, and the CPU seconds that the decays took."""
    ring = reference(_B0, _R0)
    counts, seconds = np.zeros(edges.size - 1), 0.0
    for batch in range(math.ceil(n / _BATCH)):
        bunch = _muons(min(_BATCH, n - batch * _BATCH), spin, batch)
        begin = time.process_time()
        positrons = decay(bunch, ring, FillKey(1, 1, batch, fill), polarization)
        seconds += time.process_time() - begin
        counts += np.histogram(positrons.energy, edges)[0]
    return counts, seconds


def _fractions(edges: FloatArray, gamma: float) -> tuple[FloatArray, FloatArray]:
    """Integrals over bins of the closed forms N and N A."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    n, na = michel.lab_spectrum(edges[:-1, None] + half * (1.0 + nodes), gamma)
    return (n * weights * half).sum(axis=1), (na * weights * half).sum(axis=1)


def check_spectrum(n: int = 10_000_000, bins: int = 300) -> SpectrumCheck:
    """Compare histograms of N(E) and A(E) with the closed forms.

    Parameters
    ----------
    n
        Decays in each of the histograms.
    bins
        Bins from zero to the endpoint.
    """
    gamma = reference(_B0, _R0).gamma0
    edges = np.linspace(0.0, michel.lab_energy_end(gamma), bins + 1)
    number, polarised = _fractions(edges, gamma)

    def probability(counts: FloatArray, expected: FloatArray) -> float:
        return float(chi2.sf(((counts - expected) ** 2 / expected).sum(), bins - 1))

    def of_asymmetry(up: FloatArray, down: FloatArray, a: FloatArray) -> float:
        both = up + down
        residual = (up - down) / both - a
        return float(chi2.sf((residual**2 * both / (1.0 - a**2)).sum(), bins))

    _histogram(1000, 1.0, 1.0, 0, edges)  # compiles
    plain, seconds = _histogram(n, 1.0, 0.0, 1, edges)
    plain_down, _ = _histogram(n, -1.0, 0.0, 2, edges)
    up, _ = _histogram(n, 1.0, 1.0, 3, edges)
    down, _ = _histogram(n, -1.0, 1.0, 4, edges)
    return SpectrumCheck(
        decays=n,
        number=probability(plain, n * number),
        parallel=probability(up, n * (number + polarised)),
        asymmetry=of_asymmetry(up, down, polarised / number),
        unpolarised=of_asymmetry(plain, plain_down, np.zeros(bins)),
        nanoseconds=seconds / n * 1e9,
    )


def measure_acceptance(n: int = 1_000_000, width: float = 0.1) -> Acceptance:
    """Follow the positrons of `n` unpolarised muons and count hits by energy, in bins of `width` [GeV]."""
    key = FillKey(2, 1, 0, 0)
    fields, geometry = field_tables(StorageField.uniform(_B0), QuadSettings()), Geometry()
    positrons = decay(_muons(n, 1.0, 0), reference(_B0, _R0), key, 0.0)
    transport(Positrons._make(column[:1].copy() for column in positrons), fields, geometry, key)  # compiles
    begin = time.process_time()
    hits, ends = transport(positrons, fields, geometry, key)
    seconds = time.process_time() - begin
    every, more = _with_everything(positrons, fields, geometry, key)
    edges = np.arange(0.0, 3.1 + 0.5 * width, width)
    middle = 0.5 * (edges[:-1] + edges[1:])
    hit = ends.fate == Fate.HIT
    born, flight = positrons.energy, ends.time - positrons.time
    decays = np.histogram(born, edges)[0]
    arrived = np.histogram(born[hit], edges)[0]
    return Acceptance(
        edges=edges,
        by_born=arrived / decays,
        by_seen=np.histogram(hits.energy, edges)[0] / decays,
        toy=np.minimum(_TOY_TOP * middle / _TOY_KNEE, _TOY_TOP),
        path=np.histogram(born[hit], edges, weights=ends.path[hit])[0] / arrived,
        phase=1e3 * _OMEGA_A * np.histogram(born[hit], edges, weights=flight[hit])[0] / arrived,
        fates={fate.name: int((ends.fate == fate).sum()) for fate in Fate},
        nanoseconds=seconds / n * 1e9,
        everything=every / n * 1e9,
        shares=more,
    )


def _with_everything(
    positrons: Positrons, fields: FieldTables, geometry: Geometry, key: FillKey
) -> tuple[float, dict[str, float]]:
    """CPU seconds, and what comes with photons, sides and trackers."""
    settings, stations = TransportSettings(photons=True, side_entry=True), Stations(geometry=geometry)
    begin = time.process_time()
    flight = fly_positrons(positrons, fields, geometry, key, settings, stations)
    seconds = time.process_time() - begin
    hits, n = flight.hits, positrons.n
    own = hits.order == 0
    in_trackers = np.isin(hits.calo, CELLS)
    return seconds, {
        "hits a decay": hits.calo.size / n,
        "of positrons": own.sum() / n,
        "of positrons through a side": (own & (hits.depth > 0.0)).sum() / n,
        "of photons and pairs": (~own).sum() / n,
        "mean energy of hits [GeV]": float(hits.energy.mean()),
        "of positrons [GeV]": float(hits.energy[own].mean()),
        "hits of calorimeters 13 and 19 over the others": float(in_trackers.mean() / (~in_trackers).mean() * 11.0),
        "entrances to trackers a decay": flight.entrances.station.size / n,
    }


def time_of_showers(energy: float, n: int = 2000) -> tuple[float, float]:
    """Microseconds a shower, and nanoseconds a spot, of one thread's CPU time."""
    settings, zero, number = ShowerSettings(), np.zeros(n), np.arange(n)
    hits = Hits(number % 24, zero, zero, zero, zero, zero + energy, zero, number, zero, np.zeros(n, np.int64))
    key = FillKey(3, 1, 0, 0)
    spread(Hits._make(column[:1].copy() for column in hits), key, settings)  # compiles
    best = math.inf
    for _ in range(3):
        begin = time.process_time()
        spread(hits, key, settings)
        best = min(best, time.process_time() - begin)
    spots = max(40.0, 93.0 * math.log(settings.z_effective) * energy**0.876)  # one in each of 40 layers at least
    return best / n * 1e6, best / n / spots * 1e9


def main(n: int) -> None:
    """Print both tables."""
    check = check_spectrum(n)
    write = sys.stdout.write
    write(f"{check.decays:.0e} decays, {check.nanoseconds:.0f} ns each; chi2 probabilities\n")
    write(f"  N(E) unpolarised          {check.number:.4f}\n")
    write(f"  N(E) spin along momentum  {check.parallel:.4f}\n")
    write(f"  A(E)                      {check.asymmetry:.4f}\n")
    write(f"  A(E) at polarisation 0    {check.unpolarised:.4f}\n")
    seen = measure_acceptance(max(n // 10, 1000))
    write(f"transport: {seen.nanoseconds:.0f} ns a positron; {seen.fates}\n")
    write(f"with trackers, photons and sides: {seen.everything:.0f} ns a positron\n")
    for what, share in seen.shares.items():
        write(f"  {what:50s} {share:.4f}\n")
    write("  E [GeV]  hits/decays by E at birth  by E seen   toy   path [m]  phase [mrad]\n")
    columns = (seen.by_born, seen.by_seen, seen.toy, seen.path, seen.phase)
    for low, high, *row in zip(seen.edges[:-1], seen.edges[1:], *columns, strict=True):
        born, measured, toy, path, phase = row
        write(f"  {low:.1f}-{high:.1f}  {born:25.3f} {measured:10.3f} {toy:5.3f} {path:10.2f} {phase:13.1f}\n")

    for energy in (0.2, 1.0, 2.0, 3.0):
        shower, spot = time_of_showers(energy)
        write(f"shower of {energy:g} GeV: {shower:.1f} us, {spot:.0f} ns a spot\n")


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if len(sys.argv) > 1 else 10_000_000)
