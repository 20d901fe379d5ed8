"""Studies of injected muons: quads of pure quadrupoles, so that two small loops are compiled for all of them."""

import math

import numpy as np
import pytest

from gm2sim.config import Config, load
from gm2sim.studies import injection_efficiency, kick_scan, momentum_time, muon_loss, scraping, sensitivity
from gm2sim.studies.case import Case
from gm2sim.studies.injected import QUANTITIES, Fill, difference, numbers, phasor
from gm2sim.studies.injection_efficiency import share
from gm2sim.studies.muon_loss_injected import drift
from gm2sim.studies.outcome import Number, Outcome
from gm2sim.studies.sensitivity import steps_of
from tracking.bunch import State

MUONS = 20_000


@pytest.fixture(scope="session")
def injected() -> Config:
    """Injection into quads of pure quadrupoles, scraped."""
    return load("gasgun").with_(
        beam__source="injected", beam__bunch="t0", beam__spin_phase_slope_mrad_per_percent=-10.3, run__run=15921
    )


@pytest.fixture(scope="session")
def fill(injected: Config) -> Fill:
    return Fill(Case(injected, MUONS))


def row(found: Outcome, quantity: str) -> Number:
    return next(number for number in found.table if number.quantity == quantity)


def test_every_muon_is_stored_or_lost_and_none_decays(fill: Fill) -> None:
    states = fill.muons.state
    assert not np.any(states == State.DECAYED)
    assert 0.005 < fill.stored.mean() < 0.07
    assert np.all(fill.muons.turn[fill.stored] == 235)
    assert np.array_equal(fill.muons.number, np.arange(MUONS))


def test_numbers_of_a_fill_are_those_of_its_stored_muons(fill: Fill) -> None:
    values, errors = fill.numbers()
    found = dict(zip((q.name for q in QUANTITIES), values, strict=True))
    x_e = fill.x_e[fill.stored]
    assert found["stored fraction"] == pytest.approx(100.0 * fill.stored.mean(), rel=1e-12)
    assert found["mean x_e"] == pytest.approx(1e3 * x_e.mean(), rel=1e-9)
    assert found["width of x_e"] == pytest.approx(1e3 * x_e.std(), rel=1e-9)
    n, ref = fill.optics.field_index, fill.ring.reference
    formula = 2e9 * n * (1 - n) * ref.beta0**2 * np.mean((x_e / ref.r0) ** 2)
    assert found["C_e"] == pytest.approx(formula, rel=1e-9)
    # The jackknife of a mean is its standard error; 40 parts know it to 1/sqrt(2 * 39).
    assert errors[1] == pytest.approx(1e3 * x_e.std() / math.sqrt(x_e.size), rel=4 / math.sqrt(78))


def test_oscillation_is_seen_against_time(fill: Fill) -> None:
    # A line through mean radii in narrow bins of time instead of through all passages: the weights differ only.
    time, x = fill.seen.time[0][fill.seen.alive[0]], fill.seen.x[0][fill.seen.alive[0]]
    edges = np.linspace(time.min(), time.max(), 201)
    count, total = np.histogram(time, edges)[0], np.histogram(time, edges, weights=x)[0]
    use = count > 0.2 * count.mean()
    middle, mean = 0.5 * (edges[1:] + edges[:-1])[use], total[use] / count[use]
    angle = 2 * math.pi * fill.frequency * (middle - 30e-6)
    design = np.stack([np.ones_like(middle), np.cos(angle), np.sin(angle)], axis=1)
    weight = np.sqrt(count[use])[:, None]
    _, a, b = np.linalg.lstsq(design * weight, mean * weight[:, 0], rcond=None)[0]
    assert 1e3 * math.hypot(a, b) == pytest.approx(fill.numbers()[0][5], rel=0.01)  # bins of 1/50 of a period


def test_phasor_is_that_of_a_pure_line() -> None:
    t = np.linspace(25e-6, 35e-6, 501)
    angle = 2 * math.pi * 0.37e6 * (t - 30e-6)
    x = 0.003 + 0.01 * np.cos(angle + 0.7)
    c, s = np.cos(angle), np.sin(angle)
    sums = np.array([one.sum() for one in (np.ones_like(t), c, s, c * c, c * s, s * s, x, x * c, x * s)])
    assert phasor(sums) == pytest.approx(0.01 * np.exp(0.7j), rel=1e-9)
    assert math.isnan(abs(phasor(np.zeros(9))))


def test_a_fill_differs_from_itself_by_nothing_and_pairs_are_sharper(fill: Fill, injected: Config) -> None:
    change, error = difference(fill, fill)
    assert not change.any()
    assert not error.any()
    other = Fill(Case(injected, MUONS), kickers__gauss_per_kv=1.01 * injected.kickers.gauss_per_kv)
    change, error = difference(other, fill)
    assert np.all(np.abs(change) < 8 * error + 1e-9 + 0.05 * np.abs(fill.numbers()[0]))
    assert np.all(error[:4] < 0.7 * fill.numbers()[1][:4])


def test_nothing_stored_has_no_beam() -> None:
    found = numbers(np.array([100.0, *[0.0] * 14]))
    assert found[0] == 0.0
    assert np.isnan(found[1:]).all()


def test_efficiency_counts_everyone_once(fill: Fill, injected: Config) -> None:
    found = injection_efficiency(injected, muons=MUONS)
    assert found.result.value == pytest.approx(100 * fill.stored.mean(), rel=1e-12)
    for words in ("lost at ", "lost in", "lost from"):
        assert any(number.quantity.startswith(words) for number in found.table)
    by_place = sum(n.value for n in found.table if n.quantity.startswith("lost at"))
    by_time = sum(n.value for n in found.table if n.quantity.split()[1] in ("in", "from", "after"))
    assert by_place + found.result.value == pytest.approx(100.0)
    assert by_time == pytest.approx(by_place)


def test_share_has_its_binomial_error() -> None:
    assert share(np.arange(100) < 20) == pytest.approx((0.2, 0.04))
    assert share(np.zeros(100, bool)) == pytest.approx((0.0, 0.01))


def test_more_kick_brings_the_beam_inwards(injected: Config) -> None:
    found = kick_scan(injected, muons=4_000)
    assert row(found, "change of mean x_e").value < 0.0  # too weak a kick leaves muons outside
    stored = found.panels[0].curves[0]
    assert np.asarray(stored.y)[-1] > np.asarray(stored.y)[0]
    assert len(found.panels) == 4


def test_sensitivity_has_a_row_for_each_step_and_quantity(injected: Config) -> None:
    found = sensitivity(injected, muons=1_500)
    steps = steps_of(injected)
    assert len(found.table) == len(QUANTITIES) * (1 + len(steps))
    assert {number.remark for number in found.table[len(QUANTITIES) :]} == {f"change for {one.name}" for one in steps}
    for step in steps:  # every step moves something, and is a valid configuration
        assert injected.with_(**step.settings) != injected


def test_injected_beam_goes_through_the_fast_rotation_analysis(injected: Config) -> None:
    found = momentum_time(injected, muons=MUONS)
    assert row(found, "bias with form factor").value == pytest.approx(
        0.0, abs=5 * row(found, "bias with form factor").error + 15.0
    )
    assert row(found, "muons stored").value > 100


def test_losses_of_the_injected_beam_are_counted_against_time(injected: Config) -> None:
    found = muon_loss(injected, muons=1_000)
    assert found.result.quantity == "C_ml, resistors of 1a"
    assert row(found, "muons stored").value > 20
    rate = found.panels[0].curves[0]
    assert np.all(np.asarray(rate.y) >= 0.0)


def test_scraping_costs_muons_at_once(injected: Config) -> None:
    found = scraping(injected, muons=MUONS)
    assert row(found, "change of stored fraction").value < 0.0
    left = [np.asarray(curve.y) for curve in found.panels[1].curves]
    assert left[0][-1] < left[1][-1]


def test_phase_drifts_as_muons_leave() -> None:
    times = np.array([0.0, 1.0, 2.0])
    found = drift(times, np.array([0.5, 1.5, np.inf]), np.array([0.3, 0.0, 0.0]))
    assert found == pytest.approx([np.angle(2 + np.exp(0.3j)), 0.0, 0.0])
