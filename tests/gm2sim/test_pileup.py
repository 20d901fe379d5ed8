"""Shadow-window pileup correction on toys whose rate and spectrum are known."""

import math

import numpy as np
import pytest

from gm2sim.pileup import Pileup, PileupSettings, above, find_shadows, merge_close
from gm2sim.reco import Clusters

NS, US = 1e-9, 1e-6
LIFETIME = 64.4e-6


def clusters(rows: list[tuple[float, ...]]) -> Clusters:
    """Clusters from (fill, calo, time in ns, energy in GeV)."""
    fill, calo, time, energy = np.array(rows, float).reshape(-1, 4).T
    zero = np.zeros(len(rows))
    whole = np.ones(len(rows), np.int64)
    return Clusters(fill.astype(np.int64), calo.astype(np.int64), energy, time * NS, zero, zero, whole, zero + 1.0)


def poisson(
    rng: np.random.Generator, groups: int, mean: float, time: str = "flat", length: float = 20 * US
) -> Clusters:
    """Positrons of 0.3 to 2.9 GeV, a Poisson number in each calorimeter, at a steady or a falling rate."""
    n = rng.poisson(mean, groups)
    group = np.repeat(np.arange(groups), n)
    at = rng.uniform(0.0, length, group.size) if time == "flat" else 30 * US + rng.exponential(LIFETIME, group.size)
    zero = np.zeros(group.size)
    energy = rng.uniform(0.3, 2.9, group.size)
    return Clusters(group // 24, group % 24, energy, at, zero, zero, np.ones_like(group), zero + 1.0)


def test_clusters_within_the_dead_time_of_the_first_become_one() -> None:
    some = clusters([(0, 3, 100, 1.0), (0, 3, 104, 3.0), (0, 3, 106, 2.0), (0, 4, 101, 1.5), (1, 3, 101, 0.5)])
    merged = merge_close(some, 5 * NS)
    # 106 ns is 6 ns behind the first, and so begins a dead time of its own.
    np.testing.assert_allclose(merged.clusters.energy, [4.0, 2.0, 1.5, 0.5])
    np.testing.assert_allclose(merged.clusters.time, np.array([103, 106, 101, 101]) * NS)
    np.testing.assert_allclose(merged.first, np.array([100, 106, 101, 101]) * NS)
    assert merged.joined.tolist() == [2, 1, 1, 1]
    assert merged.clusters.multiplicity.tolist() == [2, 1, 1, 1]
    np.testing.assert_allclose(merged.clusters.share, [0.75, 1, 1, 1])


def test_a_long_row_of_clusters_is_cut_at_each_dead_time() -> None:
    merged = merge_close(clusters([(0, 0, 3.0 * k, 1.0) for k in range(9)]), 5 * NS)
    assert merged.joined.tolist() == [2, 2, 2, 2, 1]
    np.testing.assert_allclose(merged.first, np.array([0, 6, 12, 18, 24]) * NS)


def test_a_shadow_is_in_its_window_and_in_its_calorimeter() -> None:
    some = merge_close(
        clusters([(0, 1, 100, 2.0), (0, 1, 112, 1.0), (0, 2, 113, 1.0), (1, 1, 113, 1.0), (0, 1, 130, 1.0)]), 5 * NS
    )
    found = find_shadows(some)
    assert found.member.tolist() == [[0, 1]]
    # (2 x 100 + 1 x (112 - 10)) / 3
    assert found.time[0] == pytest.approx((200 + 102) / 3 * NS)
    assert found.energy.tolist() == [[2.0, 1.0]]
    assert not len(find_shadows(merge_close(clusters([(0, 1, 100, 2.0), (0, 1, 109, 1.0)]), 5 * NS)).time)
    assert not len(find_shadows(merge_close(clusters([(0, 1, 100, 2.0), (0, 1, 115.1, 1.0)]), 5 * NS)).time)


def test_shadows_are_as_many_as_rate_times_window() -> None:
    groups, mean, length = 2400, 40.0, 20 * US
    pileup = Pileup(poisson(np.random.default_rng(1), groups, mean, length=length))
    rate = mean / length
    # Pairs at a given distance: both begin a dead time, so each rate is lowered by 1 / (1 + rate x dead time).
    lowered = rate / (1 + rate * 5 * NS)
    expected = groups * length * lowered**2 * 5 * NS
    assert len(pileup.doublets.time) == pytest.approx(expected, abs=4 * math.sqrt(expected) + 0.001 * expected)
    merged = (pileup.merged.joined > 1).sum()
    expected = groups * length * lowered * -math.expm1(-rate * 5 * NS)
    assert merged == pytest.approx(expected, abs=4 * math.sqrt(expected))


def test_corrected_spectra_are_those_without_pileup_and_nothing_is_left_above_the_endpoint() -> None:
    rng = np.random.default_rng(2)
    true = poisson(rng, 9600, 40.0)
    edges = np.linspace(0.0, 6.0, 31)
    spectrum = Pileup(true).energy_spectrum(edges)
    expected, _ = np.histogram(true.energy, edges)
    seen = spectrum.error > 0
    pulls = (spectrum.corrected - expected)[seen] / spectrum.error[seen]
    # Errors hold the fluctuations of the true numbers, which both have: pulls below the endpoint are small.
    assert np.abs(pulls).max() < 4.0
    beyond = edges[:-1] >= 2.9
    assert spectrum.measured[beyond].sum() > 500
    left, error = spectrum.corrected[beyond].sum(), math.sqrt((spectrum.error[beyond] ** 2).sum())
    assert abs(left) < 4 * error
    assert error < 0.1 * spectrum.measured[beyond].sum()
    # Uncorrected, what is missing or too much is many times its error.
    assert np.sum(((spectrum.measured - expected)[seen] / spectrum.error[seen]) ** 2) > 2 * seen.sum()


@pytest.mark.parametrize("triples", [False, True])
def test_errors_are_the_spread_over_many_fills(triples: bool) -> None:
    rng = np.random.default_rng(3)
    edges = np.linspace(0.2 * US, 20.2 * US, 81)
    values, variances, plain = [], [], []
    for _ in range(50):
        # Rate x dead time is 0.04, eight times that at 30 us in the experiment.
        spectrum = Pileup(poisson(rng, 160, 163.2, length=20.4 * US), PileupSettings(triples=triples)).time_spectrum(
            edges, above(1.7)
        )
        values.append(spectrum.corrected)
        variances.append(spectrum.error**2)
        plain.append(spectrum.corrected)
    ratio = np.var(values, axis=0, ddof=1).mean() / np.mean(variances)
    # 80 variances of 50 numbers each have an error of sqrt(2/49/80) = 2.3 %; of second order are some 2 x 0.04^2.
    assert ratio == pytest.approx(1.0, abs=3 * 0.023)
    assert np.mean(variances) / np.mean(plain) > 1.04


def test_triples_take_the_second_order_along() -> None:
    rng = np.random.default_rng(4)
    true = poisson(rng, 3000, 326.4, length=20.4 * US)  # rate x dead time is 0.08
    expected = (true.energy >= 1.7).sum()
    edges = np.array([0.0, 1.0])
    first = Pileup(true).time_spectrum(edges, above(1.7)).corrected[0] / expected - 1
    both = Pileup(true, PileupSettings(triples=True)).time_spectrum(edges, above(1.7)).corrected[0] / expected - 1
    # 78000 doublets and as many shadows among 450000 fluctuate by 0.09 %; of third order are some 0.08^3 = 0.05 %.
    assert abs(first) > 4e-3
    assert abs(both) < 3e-3


def test_pileup_fraction_falls_with_the_lifetime_of_the_muons() -> None:
    rng = np.random.default_rng(5)
    # 200 positrons after 30 us in each calorimeter, four times the experiment's.
    true = poisson(rng, 9600, 200.0, "falling")
    edges = 30 * US + np.arange(0.0, 201.0, 10.0) * US
    spectrum = Pileup(true).time_spectrum(edges, above(1.7))
    centres = 0.5 * (edges[1:] + edges[:-1])
    weight = np.sqrt(spectrum.doublets)
    slope, _ = np.polyfit(centres, np.log(spectrum.doublets), 1, w=weight)
    # 10 us bins of exp(-2t/tau): 22000 doublets and their mean time give the lifetime to 1 %.
    assert -1 / slope == pytest.approx(LIFETIME / 2, rel=0.03)
    rate = 200.0 / LIFETIME * math.exp(-5 * US / LIFETIME)
    doublets = spectrum.doublets[0] / spectrum.measured[0]
    # Two of 0.3 to 2.9 GeV have at least 1.7 with chance 1 - (1.1/2.6)^2/2, one has it with 1.2/2.6.
    expected = rate * 5 * NS * (1 - 0.5 * (1.1 / 2.6) ** 2) / (1.2 / 2.6)
    assert doublets == pytest.approx(expected, rel=0.06)


def test_weights_and_shifts_go_with_the_trigger() -> None:
    some = Pileup(clusters([(0, 1, 100, 2.0), (0, 1, 112, 1.0)]))
    spectrum = some.time_spectrum(np.array([0, 50, 150]) * NS, lambda energy: energy**2, np.array([-80, 0]) * NS)
    assert spectrum.measured.tolist() == [4.0, 1.0]
    # D - S1 - S2 = 9 - 4 - 1 at the trigger's moved time.
    assert spectrum.pileup.tolist() == [4.0, 0.0]
    assert spectrum.doublets.tolist() == [9.0, 0.0]
    # 16 - (81 - 16 - 1) + 2 x 4^2: below zero here, where the pair is all there is.
    np.testing.assert_allclose(spectrum.error, [0.0, 1.0])
    other = some.time_spectrum(np.array([0, 50, 150]) * NS, above(1.7), calo=2)
    assert not other.measured.any()


def test_no_clusters_give_empty_spectra() -> None:
    empty = Pileup(Clusters.empty(), PileupSettings(triples=True))
    assert not empty.energy_spectrum(np.linspace(0, 6, 7)).measured.any()


@pytest.mark.parametrize(("name", "value"), [("dead_time", 0.0), ("window", -1e-9), ("energy_factor", 0.0)])
def test_numbers_out_of_bounds_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = .* is out of bounds"):
        PileupSettings(**{name: value})


def test_a_gap_shorter_than_the_dead_time_is_refused() -> None:
    with pytest.raises(ValueError, match="gap = 4 ns is shorter than dead_time = 5 ns"):
        PileupSettings(gap=4e-9)
