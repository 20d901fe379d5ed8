"""Lost muons in the chain: triple coincidences found again, and the loss of the beam over the fill."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from detectors.calorimeter import CalorimeterSettings
from detectors.mip import CONTAINED, MuonHits
from gm2sim.calibration import Calibration
from gm2sim.chain import detect_decays
from gm2sim.config import load
from gm2sim.lost_muons import (
    Losses,
    TripleCuts,
    fraction_lost,
    loss_function,
    loss_rate,
    lost_muon_triples,
    read_losses,
)
from gm2sim.match import read_true_hits
from gm2sim.plots import lost_muons
from gm2sim.raw import RunWriter, run_tree
from gm2sim.reco import Clusters, reconstruct
from gm2sim.records import append_truth, fill_record, readout
from gm2sim.setup import Setup
from gm2sim.subrun import simulation_tree
from gm2sim.summary import Tally
from gm2sim.timeline import fill_time
from gm2sim.triple_match import energy_peak, match_triples
from gm2sim.truth import TruthWriter
from gpu.rng import FillKey
from tracking.bunch import Bunch, State

KEY = FillKey(1, 1, 0, 0)
N = 600
LIFETIME = 64.4e-6


def clusters(rows: list[tuple[float, ...]]) -> Clusters:
    """Clusters from (fill, calo, time in ns[, energy in GeV[, crystals[, share]]])."""
    full = [(*row, *(0.17, 1.0, 1.0)[len(row) - 3 :]) for row in rows]
    fill, calo, time, energy, crystals, share = np.array(full, float).reshape(-1, 6).T
    zero = np.zeros(len(rows))
    return Clusters(
        fill.astype(np.int64), calo.astype(np.int64), energy, time * 1e-9, zero, zero, crystals.astype(np.int64), share
    )


def chain(*steps: float, fill: int = 0, calo: int = 3, start: float = 50_000.0) -> list[tuple[float, ...]]:
    times = start + np.cumsum([0.0, *steps])
    return [(fill, (calo + k) % 24, time) for k, time in enumerate(times)]


def test_three_calorimeters_in_a_row_are_one_lost_muon() -> None:
    found = lost_muon_triples(clusters(chain(6.1, 6.2))).found
    assert found.calo.tolist() == [3]
    assert found.time[0] == pytest.approx(50e-6)
    assert found.second[0] == pytest.approx(6.1e-9)
    assert found.third[0] == pytest.approx(12.3e-9)
    assert found.energy.tolist() == [[0.17, 0.17, 0.17]]


def test_more_than_three_count_once() -> None:
    found = lost_muon_triples(clusters(chain(6.1, 6.1, 6.1, 6.1))).found
    assert found.calo.tolist() == [3]


def test_calorimeter_one_comes_after_twenty_four() -> None:
    assert lost_muon_triples(clusters(chain(6.1, 6.1, calo=23))).found.calo.tolist() == [23]


@pytest.mark.parametrize(
    "rows",
    [
        chain(6.1),
        chain(6.1, 8.0),
        chain(4.9, 6.1),
        chain(7.4, 7.4),  # a deuteron
        chain(6.1)[:1] + chain(6.1, 6.1)[2:],
        [*chain(6.1), (1, 5, 50_012.2)],
        [*chain(6.1), (0, 5, 50_012.2, 0.26)],
        [*chain(6.1), (0, 5, 50_012.2, 0.09)],
        [*chain(6.1), (0, 5, 50_012.2, 0.17, 4)],
        [*chain(6.1), (0, 5, 50_012.2, 0.17, 2, 0.7)],
    ],
)
def test_other_clusters_are_no_lost_muon(rows: list[tuple[float, ...]]) -> None:
    assert lost_muon_triples(clusters(rows)).found.time.size == 0


def test_accidentals_beside_the_window_tell_those_within_it() -> None:
    rng = np.random.default_rng(2)
    fills, each = 60, 800
    n = fills * 24 * each
    one, zero = np.ones(n), np.zeros(n)
    group = np.repeat(np.arange(fills * 24), each)
    random = Clusters(
        group // 24, group % 24, 0.17 * one, rng.uniform(30e-6, 130e-6, n), zero, zero, group * 0 + 1, one
    )
    triples = lost_muon_triples(random)
    counts, error = triples.spectrum([30e-6, 130e-6])
    # Chance 0.02 a step, so 800 x 0.02^2 x 24 x 60 = 460; the cut on the third calorimeter takes 2.9 % of those found
    # and not of those beside, and 2 % follow another cluster.
    assert triples.found.time.size == pytest.approx(460, abs=5 * 460**0.5)
    assert abs(counts[0]) < 4 * error[0] + 0.05 * triples.found.time.size
    real = [row for k in range(200) for row in chain(6.1, 6.1, fill=k % fills, calo=k % 24, start=31_000.0 + 40.0 * k)]
    both = Clusters.concatenate([random, clusters(real)])
    with_muons, error = lost_muon_triples(both).spectrum([30e-6, 130e-6])
    assert with_muons[0] - counts[0] == pytest.approx(200, abs=25)


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup.of(load("gasgun", {"daq.q_method": False, "daq.calo_sum": False}))


@pytest.fixture(scope="module")
def lost_bunch(setup: Setup) -> Bunch:
    """Muons that leave inwards at a collimator, a third of a microsecond apart."""
    rng = np.random.default_rng(3)
    bunch = Bunch.empty(N).with_momentum(rng.normal(-5e-3, 1e-3, N), setup.ring.reference)
    bunch.state[:] = State.LOST_COLLIMATOR
    bunch.x[:], bunch.y[:] = rng.uniform(-0.060, -0.056, N), rng.normal(0.0, 0.012, N)
    bunch.px[:], bunch.py[:] = rng.normal(-4e-3, 2e-3, N), rng.normal(0.0, 5e-4, N)
    bunch.theta[:] = rng.choice([one.theta for one in setup.ring.layout.collimators], N)
    bunch.time[:] = 30e-6 + 1e-6 / 3.0 * np.arange(N)
    return bunch


@pytest.fixture(scope="module")
def written(setup: Setup, lost_bunch: Bunch, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, MuonHits]:
    """Raw file, truth file and true hits of a fill of lost muons only."""
    folder = tmp_path_factory.mktemp("lost")
    seen = detect_decays(setup, lost_bunch, KEY, None, Tally())
    when = fill_time(setup.config, 0)
    tree = run_tree(1, 0, when.seconds, readout(setup.config, setup.calorimeters), simulation_tree(setup, "gasgun"))
    with RunWriter(folder / "lost.mid", 1, 0, tree) as raw:
        raw.write_fill(fill_record(seen.digits, when, setup.config, setup.calorimeters, flush=False))
    with TruthWriter(folder / "lost.truth.h5", {}) as truth:
        append_truth(truth, 0, lost_bunch, [], seen)
    return folder / "lost.mid", folder / "lost.truth.h5", seen.muon_hits


def test_lost_muons_are_found_as_triples_in_the_raw_data(written: tuple[Path, Path, MuonHits]) -> None:
    raw, _, hits = written
    found = lost_muon_triples(reconstruct(raw)).found
    # What could be found: hits in three calorimeters in a row.
    first = (
        (hits.number[:-2] == hits.number[2:]) & (np.diff(hits.calo)[:-1] % 24 == 1) & (np.diff(hits.calo)[1:] % 24 == 1)
    )
    could = np.unique(hits.number[:-2][first])
    # No flight is longer than 40 m, 0.13 us; the next muon leaves after 0.33 us.
    which = np.floor((found.time - 30e-6) / (1e-6 / 3.0)).astype(int)
    assert np.isin(which, could).all()
    assert np.unique(which).size == which.size
    # The cuts on size, share and energy take paths that cross from crystal to crystal, each with some chance.
    assert 0.15 < found.time.size / could.size < 1.0
    assert np.median(found.second) == pytest.approx(6.1e-9, abs=0.1e-9)


def test_clusters_of_muons_peak_at_the_energy_of_the_experiment(written: tuple[Path, Path, MuonHits]) -> None:
    energy = reconstruct(written[0]).energy
    # The peak has a spread of 15 MeV: Landau's width and 225 photoelectrons; half of the clusters are within 20 MeV.
    counts, edges = np.histogram(energy, np.arange(0.05, 0.40, 0.02))
    assert 0.15 <= 0.5 * (edges[np.argmax(counts)] + edges[np.argmax(counts) + 1]) <= 0.19
    assert 0.160 < np.median(energy[(energy > 0.12) & (energy < 0.24)]) < 0.190


def test_triples_follow_the_true_losses_in_time_and_peak_where_the_experiment_sees_them(
    written: tuple[Path, Path, MuonHits],
) -> None:
    raw, truth, _ = written
    triples = lost_muon_triples(reconstruct(raw))
    compared = match_triples(triples, read_true_hits(truth), np.linspace(30e-6, 230e-6, 6))
    # Five bins, one efficiency: chi-square 4 +- 2.8.
    assert compared.chi2 < 4 + 4 * 8**0.5
    assert compared.found.sum() == triples.found.time.size
    # 170 MeV (N. Kinnaird, dissertation 2020); steps between 5.0 and 7.5 ns by the cut, 6.25 ns there.
    peak, error = energy_peak(triples.found.energy)
    assert peak == pytest.approx(0.170, abs=0.010 + 3 * error)
    assert np.all((triples.found.second > 5.5e-9) & (triples.found.second < 7.0e-9))


def test_the_scale_of_the_muons_is_that_of_the_reconstruction() -> None:
    known = Calibration.of(CalorimeterSettings())
    assert known.true_energy(CONTAINED * 0.170) == pytest.approx(0.170, rel=1e-3)


def test_the_truth_tells_muons_from_positrons(written: tuple[Path, Path, MuonHits]) -> None:
    _, path, hits = written
    with h5py.File(path) as truth:
        np.testing.assert_array_equal(truth["lost_muons/number"], np.arange(N))
        np.testing.assert_array_equal(truth["lost_muons/reason"], np.full(N, int(State.LOST_COLLIMATOR)))
        assert truth["lost_muons/calorimeters"][:].sum() == hits.calo.size == truth["muon_hits/calo"].size
        row = -1 - truth["crystals/hit"][:]
        assert (row >= 0).all()
        np.testing.assert_array_equal(truth["crystals/calo"][:], truth["muon_hits/calo"][:][row])
    losses = read_losses(path)
    assert losses.lost.size == N
    assert losses.other.size == 0


def test_without_lost_muons_the_truth_has_no_table_of_them(setup: Setup, tmp_path: Path) -> None:
    bunch = Bunch.empty(20).with_momentum(0.0, setup.ring.reference)
    bunch.state[:] = State.DECAYED
    seen = detect_decays(setup, bunch, KEY, None, Tally())
    with TruthWriter(tmp_path / "none.truth.h5", {}) as truth:
        append_truth(truth, 0, bunch, [], seen)
    with h5py.File(tmp_path / "none.truth.h5") as file:
        assert "lost_muons" not in file
        assert (file["crystals/hit"][:] >= 0).all()


def decaying(n: int, rate: float, seed: int = 1) -> Losses:
    """Muons that decay and are lost at a constant rate [1/s]."""
    rng = np.random.default_rng(seed)
    decay, lost = rng.exponential(LIFETIME, n), rng.exponential(1.0 / rate, n)
    return Losses(lost[lost < decay], decay[decay <= lost])


def test_fraction_lost_is_free_of_the_decays() -> None:
    rate = 200.0
    fraction, error = fraction_lost(decaying(400_000, rate), 30e-6, 100e-6)
    assert fraction == pytest.approx(1.0 - np.exp(-rate * 70e-6), abs=4 * error)
    # 400000 muons, 63 % of them beyond 30 us, and 1.4 % lost less those that decay first: some 2000.
    assert 0.01 < error / fraction < 0.05
    assert fraction_lost(Losses(np.zeros(0), np.array([1e-4])), 0.0, 1.0) == (0.0, 0.0)


def test_rate_of_losses_is_losses_over_time_lived() -> None:
    losses = decaying(5000, 2000.0)
    edges = np.array([0.0, 20e-6, 50e-6, 200e-6])
    rate, _ = loss_rate(losses, edges)
    everyone = np.concatenate(losses)
    for k, (a, b) in enumerate(pairwise(edges)):
        lived = np.clip(everyone - a, 0.0, b - a).sum()
        assert rate[k] == pytest.approx(((losses.lost >= a) & (losses.lost < b)).sum() / lived, rel=1e-9)


def test_loss_function_is_the_share_that_is_not_lost() -> None:
    rate, n = 400.0, 200_000
    losses = decaying(n, rate)
    edges = np.linspace(0.0, 200e-6, 401)
    counts, _ = np.histogram(losses.lost, edges)
    function = loss_function(counts, edges, LIFETIME)
    expected = np.exp(-rate * edges)
    # Variance of J/N: the integral of rate exp(t / lifetime) dt over N.
    error = np.sqrt(rate * LIFETIME * (np.exp(edges[-1] / LIFETIME) - 1.0) / n)
    assert np.abs(function(edges, 1.0 / n) - expected).max() < 4 * error
    # With the expected counts in place of drawn ones it is exact up to the slope within a bin of 0.5 us.
    both = rate + 1.0 / LIFETIME
    smooth = n * rate / both * -np.diff(np.exp(-both * edges))
    np.testing.assert_allclose(loss_function(smooth, edges, LIFETIME)(edges, 1.0 / n), expected, atol=1e-6)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="2 counts do not fit 2 edges"):
        loss_function([1, 2], [0.0, 1.0], LIFETIME)
    with pytest.raises(ValueError, match="lifetime = 0"):
        loss_function([1], [0.0, 1.0], 0.0)
    with pytest.raises(ValueError, match=r"step = .* is no window"):
        TripleCuts(step=(7e-9, 5e-9))


def test_plot_says_in_words_what_is_lost() -> None:
    plot = lost_muons(decaying(20_000, 100.0))
    fraction, error = fraction_lost(decaying(20_000, 100.0), 30e-6, 100e-6)
    assert f"{100 * fraction:.2f} +- {100 * error:.2f} % by 100 us" in plot.alt
    assert len(plot.table.columns) == 5
    assert "0.00 +- 0.00 %" in lost_muons(Losses(np.zeros(0), np.full(10, 1e-3))).alt
