"""Triples of lost muons beside the muons that could be found, and the peak of their energies."""

import math

import numpy as np
import pytest

from gm2sim.lost_muons import LostMuonTriples, Triples, lost_muon_triples
from gm2sim.match import Kind, TrueHits
from gm2sim.reco import Clusters
from gm2sim.triple_match import energy_peak, match_triples, true_triples

NS, US = 1e-9, 1e-6


def muons(rows: list[tuple[float, ...]]) -> TrueHits:
    """Hits of lost muons from (fill, number, calo, time in ns)."""
    fill, number, calo, time = np.array(rows, float).reshape(-1, 4).T
    n = len(rows)
    zero = np.zeros(n)
    whole = [one.astype(np.int64) for one in (fill, calo, number)]
    return TrueHits(
        *whole, np.full(n, int(Kind.MUON)), zero + 0.16, time * NS, zero, zero, np.ones(n, np.int64)
    ).ordered()


def test_a_muon_in_three_calorimeters_in_a_row_could_be_found_once() -> None:
    rows = [(0, 7, 22 + k - 24 * (k > 1), 100 + 6.1 * k) for k in range(4)]
    rows += [(0, 8, 3, 200), (0, 8, 4, 206), (0, 9, 5, 212), (1, 7, 1, 300), (1, 7, 2, 306), (1, 7, 4, 318)]
    np.testing.assert_allclose(true_triples(muons(rows)), [100 * NS])
    assert true_triples(muons([])).size == 0


def simulated(n: int, efficiency: float, seed: int, late: float = 1.0) -> tuple[LostMuonTriples, TrueHits]:
    """Muons that fall off with 20 us, seen with an efficiency that is ``late`` times as much after 40 us."""
    rng = np.random.default_rng(seed)
    start = 1e4 + 20e3 * rng.exponential(1.0, n)
    fill, calo = rng.integers(0, 50, n), rng.integers(0, 24, n)
    step = 6.1 * np.arange(3)
    rows = np.stack([np.repeat(fill, 3), np.repeat(np.arange(n), 3), (calo[:, None] + np.arange(3)).ravel() % 24,
                     (start[:, None] + step).ravel()], axis=1)  # fmt: skip
    seen = rng.random(n) < efficiency * np.where(start > 4e4, late, 1.0)
    keep = np.repeat(seen, 3)
    clusters = Clusters(
        rows[keep, 0].astype(np.int64), rows[keep, 2].astype(np.int64), rng.normal(0.17, 0.01, keep.sum()),
        rows[keep, 3] * NS, np.zeros(keep.sum()), np.zeros(keep.sum()), np.ones(keep.sum(), np.int64),
        np.ones(keep.sum()),
    )  # fmt: skip
    return lost_muon_triples(clusters), muons([tuple(row) for row in rows])


def test_one_efficiency_describes_triples_in_all_bins() -> None:
    edges = np.array([10, 20, 30, 40, 60, 100]) * US
    chi2 = []
    for seed in range(12):
        found = match_triples(*simulated(1500, 0.4, seed), edges)
        assert found.efficiency == pytest.approx(0.4, abs=4 * found.efficiency_error)
        assert found.efficiency_error == pytest.approx(math.sqrt(0.24 / found.true.sum()), rel=0.1)
        chi2.append(found.chi2)
    # Twelve sums of four: 4 +- sqrt(8/12).
    assert np.mean(chi2) == pytest.approx(found.ndf, abs=4 * math.sqrt(8 / 12))


def test_an_efficiency_that_changes_shows_in_chi_square() -> None:
    edges = np.array([10, 20, 30, 40, 60, 100]) * US
    found = match_triples(*simulated(3000, 0.6, 30, late=0.5), edges)
    assert found.chi2 > found.ndf + 6 * math.sqrt(2 * found.ndf)


def test_nothing_to_find_is_said_so() -> None:
    none = np.zeros(0)
    empty = Triples(none.astype(int), none.astype(int), none, none, none, np.zeros((0, 3)))
    found = match_triples(LostMuonTriples(empty, empty, 1.25), muons([]), [0.0, 1.0])
    assert math.isnan(found.efficiency)
    assert found.ndf == 0


def test_the_peak_is_found_beside_a_tail() -> None:
    rng = np.random.default_rng(31)
    values = np.concatenate([rng.normal(0.170, 0.010, 900), rng.uniform(0.19, 0.25, 150)])
    peak, error = energy_peak(values)
    assert peak == pytest.approx(0.170, abs=0.0025)
    assert error == pytest.approx(0.010 / math.sqrt(900), rel=0.5)
    assert all(math.isnan(one) for one in energy_peak([]))
