"""Corrections of tracked muons against their formulas."""

import math

import numpy as np
import pytest

from gm2sim.config import Config, load
from gm2sim.studies import differential_decay, e_field, momentum_time, muon_loss, n_scan, pitch
from gm2sim.studies.case import Case
from gm2sim.studies.differential_decay import injection_phase
from gm2sim.studies.e_field import circular_shift
from gm2sim.studies.muon_loss import reach
from gm2sim.studies.n_scan import resonances
from gm2sim.studies.outcome import Number, Outcome
from tracking.bunch import State
from tracking.muon import magic_momentum, reference


def row(found: Outcome, quantity: str) -> Number:
    return next(number for number in found.table if number.quantity == quantity)


def test_shift_on_circular_orbits_is_the_published_comparison() -> None:
    # Two independent codes, tests/tracking/test_continuous.py: ppm at delta = +-1e-3, +-5e-3, n = 0.108.
    anomaly = 0.00116592059
    ring = reference(magic_momentum(anomaly) / (0.299792458 * 7.112), 7.112)
    published = np.array([-0.2422006355, -0.2415411792, -6.0882559541, -6.0058206117])
    # There the momentum is that on the orbit, here that outside the quads: up to kappa u^2/2 more on it.
    u = np.array([-1e-3, 1e-3, -5e-3, 5e-3]) / (1 - 0.108)
    kinetic = 0.5 * 0.108 * ring.beta0 * u**2 / ring.beta0
    delta = np.array([-1e-3, 1e-3, -5e-3, 5e-3]) - kinetic
    assert circular_shift(delta, 0.108, ring, anomaly) * 1e6 == pytest.approx(published, rel=2e-5)


def test_electric_field_correction_of_a_beam_is_the_next_order_within_1_ppb(ideal: Config) -> None:
    found = e_field(ideal, muons=256)
    rest = row(found, "tracked less next order")
    assert abs(rest.value) < 1.0
    # What is left: the pitch of a muon of another momentum, 2 <delta> C_p = 0.3 ppb, within its scatter.
    assert rest.error < 0.2
    assert found.result.formula == pytest.approx(found.result.value, abs=2.0)  # leading order, 1e-3 of it
    assert found.muon_turns == 3 * 256 * 1000  # who is stored, at its momentum, at the magic one


def test_pitch_correction_of_a_beam_is_half_the_mean_square_slope(ideal: Config) -> None:
    found = pitch(ideal, muons=256)
    rest = row(found, "tracked less mean square slope")
    # The formula leaves out (omega_a/gamma omega_y)^2 and psi^2, a few 1e-5 of 170 ppb, and edge effects of none.
    assert abs(rest.value) < 0.05
    # A smooth ring: <psi^2>/2 and n <y^2>/(2 R0^2) are one.
    assert found.result.formula == pytest.approx(row(found, "C_p, mean square slope").value, rel=1e-5)


def test_differential_decay_is_slope_times_spread_squared(built: Config) -> None:
    found = differential_decay(built, muons=20_000)
    # The next order: as fast muons gain weight the spread changes by t delta/(gamma tau), 1 % over the fit.
    assert found.result.formula is not None
    assert abs(found.result.value - found.result.formula) < 4 * found.result.error + 0.02 * abs(found.result.formula)
    assert found.result.value < 0.0  # falling phase with momentum
    without = differential_decay(built.with_(beam__spin_phase_slope_mrad_per_percent=0.0), muons=2_000)
    assert abs(without.result.value) < 1e-6


def test_phase_of_injection_is_that_of_the_source(built: Config) -> None:
    case = Case(built, 200)
    muons = case.drawn()
    wanted = built.beam.spin_phase_rad - 1.03 * case.delta(muons)
    assert injection_phase(case, muons) == pytest.approx(wanted, abs=1e-12)


def test_muons_of_the_source_reach_to_the_edge_and_no_farther(built: Config) -> None:
    case = Case(built, 20_000)
    farthest = reach(case, case.drawn(edge=1e-3))
    assert farthest.max() <= 0.046 + 1e-12
    assert farthest.max() > 0.0459


def test_pairs_are_made_of_muons_that_the_collimators_let_pass() -> None:
    # The multipoles of the plates take muons that the linear motion keeps: at 20.4 kV some would fly out of all fields.
    case = Case(load("run1b"), 400)
    drawn, stored = case.drawn(), case.stored(200)
    assert 0.95 * drawn.n < stored.n < drawn.n
    again = case.track(stored, 200, spin=False)
    assert (again.bunch.state == State.STORED).all()
    assert np.isin(stored.number, drawn.number).all()


def test_losses_move_the_phase_by_the_momentum_that_is_lost(built: Config) -> None:
    found = muon_loss(built.with_(beam__edge_mm=2.0, run__run=1), muons=4_000)
    assert found.data_set == ""
    assert row(found, "lost from 30 to 100 us").value > 0.0
    # The formula takes the lost as if they left at random: both errors are those of a few dozen muons.
    assert abs(found.result.value - found.result.formula) < 5 * found.result.error
    still = muon_loss(built.with_(beam__edge_mm=2.0, beam__spin_phase_slope_mrad_per_percent=0.0), muons=500)
    assert abs(still.result.value) < 1e-6


def test_correlation_of_momentum_and_time_adds_its_variance_where_nothing_is_cut(built: Config) -> None:
    narrow = built.with_(
        beam__x_e_mean_mm=0.0, beam__x_e_sigma_mm=2.0, beam__betatron_x_sigma_mm=2.0, beam__betatron_y_sigma_mm=2.0,
        beam__bunch="t0", beam__x_e_time_slope_mm_per_ns=0.05,
    )  # fmt: skip
    found = momentum_time(narrow, muons=50_000)
    assert abs(found.result.value - found.result.formula) < 4 * found.result.error
    assert row(found, "slope stored").value == pytest.approx(0.05, abs=5 * row(found, "slope stored").error)


def test_scan_of_the_continuous_ring_follows_the_smooth_formulas(ideal: Config) -> None:
    found = n_scan(ideal)
    assert found.result.value == pytest.approx(found.result.formula, rel=1e-5)
    (tunes, _, corrections) = found.panels
    for tracked, smooth in ((0, 2), (1, 3)):
        assert tunes.curves[tracked].y == pytest.approx(tunes.curves[smooth].y, abs=1e-6)
    for tracked, smooth in ((0, 2), (1, 3)):
        # The splitting of the quads leaves 0.015 ppb at 10 mm.
        assert corrections.curves[tracked].y == pytest.approx(corrections.curves[smooth].y, abs=0.02)
    crossed = {number.quantity: number.value for number in found.table if number.remark == "resonance"}
    # 3 nu_y = 1 at n = 1/9; the straight line between steps of 5 % misses the root by (5 %)^2/16.
    assert crossed["voltage of 3 nu_y = 1"] == pytest.approx(8.254046097 * (1 / 9) / 0.108, rel=1.6e-4)


def test_resonance_is_found_where_the_tunes_cross_it() -> None:
    n = np.linspace(0.09, 0.14, 51)
    found = dict(resonances(n, np.sqrt(1 - n), np.sqrt(n)))
    assert found["3 nu_y = 1"] == pytest.approx(1 / 9, abs=1e-5)
    assert math.isclose(
        np.sqrt(1 - found["nu_x + 3 nu_y = 2"]) + 3 * np.sqrt(found["nu_x + 3 nu_y = 2"]), 2, abs_tol=1e-4
    )
