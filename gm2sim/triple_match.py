"""Triple coincidences of lost muons beside the truth: is their spectrum in time that of muons that could be found?"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.geometry import N_CALORIMETERS
from gm2sim.lost_muons import LostMuonTriples
from gm2sim.match import Kind, TrueHits

Floats = NDArray[np.float64]

_WINDOW = 0.025  # [GeV] on each side of the peak: some widths of Landau's distribution and of the light
_STEPS, _SAMPLES = 100, 100


class TripleMatch(NamedTuple):
    """Triples in time bins beside the muons that crossed three calorimeters in a row; arrays (n,).

    Attributes
    ----------
    edges : array (n + 1,) [s]
    true : array
        Muons that could be found.
    found, found_error : arrays
        Triples, accidentals taken off.
    efficiency, efficiency_error : float
        Of all bins.
    chi2, ndf : float, int
        Of found against efficiency x true.
    """

    edges: Floats
    true: Floats
    found: Floats
    found_error: Floats
    efficiency: float
    efficiency_error: float
    chi2: float
    ndf: int


def true_triples(hits: TrueHits) -> Floats:
    """Times at which lost muons entered the first of three calorimeters in a row; a muon counts once [s].

    Parameters
    ----------
    hits : TrueHits
        From :func:`gm2sim.match.read_true_hits`.
    """
    muon = np.flatnonzero(hits.kind == Kind.MUON)
    order = muon[np.lexsort((hits.time[muon], hits.number[muon], hits.fill[muon]))]
    fill, number, calo, time = (column[order] for column in (hits.fill, hits.number, hits.calo, hits.time))
    same = (np.diff(fill) == 0) & (np.diff(number) == 0) & ((np.diff(calo) - 1) % N_CALORIMETERS == 0)
    row = np.flatnonzero(same[:-1] & same[1:])
    _, first = np.unique(np.stack([fill[row], number[row]]), axis=1, return_index=True)
    return np.asarray(time[row[first]])


def match_triples(triples: LostMuonTriples, hits: TrueHits, edges: ArrayLike) -> TripleMatch:
    """Compare the spectrum of triples with that of the muons that could be found.

    The muons found are some of the true ones: with one efficiency e for all bins their variance is e (1 - e) true, to
    which the accidentals add theirs.

    Parameters
    ----------
    triples : LostMuonTriples
    hits : TrueHits
        Of the same fills.
    edges : array (n + 1,) [s]
    """
    e = np.asarray(edges, float)
    true = np.histogram(true_triples(hits), e)[0].astype(np.float64)
    found, error = triples.spectrum(e)
    beside = np.histogram(triples.accidental.time, e)[0] * triples.scale**2
    total = float(true.sum())
    if not total:
        return TripleMatch(e, true, found, error, math.nan, math.nan, math.nan, 0)
    efficiency = float(found.sum()) / total
    spread = max(efficiency * (1.0 - efficiency), 0.0)
    # An accidental makes two variances, its own and that of the estimate, scale times each other.
    noise = beside * (1.0 + 1.0 / triples.scale)
    variance = spread * true + noise
    used = variance > 0
    chi2 = float(np.sum((found - efficiency * true)[used] ** 2 / variance[used]))
    own = math.sqrt(spread * total + float(noise.sum())) / total
    return TripleMatch(e, true, found, error, efficiency, own, chi2, max(int(used.sum()) - 1, 0))


def energy_peak(energy: ArrayLike) -> tuple[float, float]:
    """Place of the peak of muons' clusters and its error [GeV]: the mean within 25 MeV of itself, from the median on.

    The error is the spread over 100 samples drawn from the energies with replacement (B. Efron, Ann. Stat. 7 (1979) 1),
    always the same ones.

    Parameters
    ----------
    energy : array, any shape [GeV]
    """
    values = np.ravel(np.asarray(energy, float))
    if values.size < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(values.size)
    again = [_peak(rng.choice(values, values.size)) for _ in range(_SAMPLES)]
    return _peak(values), float(np.std(again, ddof=1))


def _peak(values: Floats) -> float:
    peak = float(np.median(values))
    for _ in range(_STEPS):
        moved = float(values[np.abs(values - peak) <= _WINDOW].mean())
        if moved == peak:
            break
        peak = moved
    return peak
