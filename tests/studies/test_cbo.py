"""CBO of a beam against time: windows, frequencies, lifetime, and the Fourier transform that they should be."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gm2sim.config import Config, load
from gm2sim.report.published import CBO_DRIFT
from gm2sim.studies import cbo
from gm2sim.studies.case import Case
from gm2sim.studies.cbo import drift_model
from gm2sim.studies.injected import BLOCKS
from gm2sim.studies.outcome import Number, Outcome
from gm2sim.studies.swing import WINDOW, WINDOWS, Swing, _sums, injected_swing, linear_optics
from tracking.turns import Motion

MUONS = 20_000
ALL = np.arange(BLOCKS)


@pytest.fixture(scope="session")
def injected() -> Config:
    """Injection into quads of pure quadrupoles, scraped, as one of the data sets of Run-1."""
    return load("gasgun").with_(beam__bunch="t0", beam__cbo_amplitude_mm=12.0, run__run=15921)


@pytest.fixture(scope="session")
def swing(injected: Config) -> Swing:
    return injected_swing(Case(injected, MUONS), "beam")


def passages(f_c: float, turns: int, muons: int) -> np.ndarray:
    """Times of muons that were injected within 120 ns (turns, muons) [s]."""
    return np.arange(167, 167 + turns)[:, None] / f_c + np.linspace(-60e-9, 60e-9, muons)


def motion(time: np.ndarray, x: np.ndarray) -> Motion:
    none = np.zeros((1, *time.shape))
    return Motion(x[None], none, none, none, time[None], none, none, none, np.ones(none.shape, bool))


def row(found: Outcome, quantity: str) -> Number:
    return next(number for number in found.table if number.quantity == quantity)


def test_windows_give_back_the_frequency_drift_and_lifetime_of_a_known_swing(swing: Swing) -> None:
    time = passages(6.705e6, 2300, 80)
    a, t_a, w0, tau = 2.8, 60e-6, 2.0 * math.pi * 372e3, 200e-6
    phase = w0 * time + a * np.exp(-time / t_a)
    seen = motion(time, 0.006 + 0.012 * np.exp(-time / tau) * np.cos(phase + 0.4))
    known = replace(swing, line=371e3, sums=_sums(seen, np.arange(80) % BLOCKS, 371e3))
    z = known.phasors(ALL)
    amplitude = 0.012 * np.exp(-known.time / tau)
    # A window of 10 us averages the decay, (10/200)^2/24, and the drift of the phase over it; the last is cut short.
    assert np.abs(z)[:-1] == pytest.approx(amplitude[:-1], rel=2e-3)
    at_30, at_50, late, *_ = known.frequencies(known.phase(ALL))
    expected = (w0 - a / t_a * np.exp(-np.array([30e-6, 50e-6]) / t_a)) / (2.0 * math.pi)
    assert at_50 == pytest.approx(expected[1], abs=30.0)  # third derivative: (10/60)^2/6 of 3.2 kHz
    assert at_30 == pytest.approx(expected[0], abs=100.0)  # twice that of 4.5 kHz, and the decay within windows
    assert late == pytest.approx(w0 / (2.0 * math.pi), abs=100.0)
    assert known.life(np.abs(z)).tau == pytest.approx(tau, rel=5e-3)
    found = known.drift(known.phase(ALL))
    assert (found.a, found.t_a) == (pytest.approx(a, rel=0.02), pytest.approx(t_a, rel=0.02))


def test_fast_rotation_is_not_taken_for_the_swing(swing: Swing) -> None:
    # A bunch of 120 ns leaves gaps in time; the radius has no swing at all, and must show none.
    time = passages(6.705e6, 2300, 80)
    flat = replace(swing, sums=_sums(motion(time, np.full(time.shape, 0.006)), np.arange(80) % BLOCKS, swing.line))
    assert np.abs(flat.phasors(ALL)).max() < 1e-12


def test_envelope_of_pure_quadrupoles_is_the_transform_of_the_muons_frequencies(swing: Swing, injected: Config) -> None:
    expected = np.abs(swing.expected(linear_optics(injected)))
    size = swing.amplitude(ALL)
    # The first window comes from the same passages: left is the amplitude of each within 10 us. Later the frequencies
    # count, and the pool of losses (per mille) and their second order in momentum.
    assert size == pytest.approx(expected, rel=0.02)
    assert not np.any(np.abs(np.diff(size)) > 0.05 * size[0])


def test_frequency_of_pure_quadrupoles_is_that_of_the_mean_momentum(swing: Swing, injected: Config) -> None:
    linear = linear_optics(injected)
    late = swing.frequencies(swing.phase(ALL))[2]
    expected = swing.frequencies(np.unwrap(np.angle(swing.expected(linear))))[2]
    assert late == pytest.approx(expected, abs=30.0)
    f_c, error = swing.cyclotron()
    delta = swing.delta[swing.there].mean()
    slip = linear.momentum_compaction - 1.0 / linear.reference.gamma0**2
    assert f_c == pytest.approx(linear.f_c * (1.0 - slip * delta), abs=4.0 * error)


def test_slow_resistors_make_the_frequency_start_low(injected: Config) -> None:
    found = cbo(injected.with_(scraping__slow_resistors="1a"), muons=250)
    drift, none = (row(found, f"drift of f_CBO, {name}") for name in ("as configured", "no damaged resistors"))
    assert drift.value - none.value > 1.0  # kHz; published 3.2
    # First order in the 2 % of the gradient that are missing: 1 % of the 4 kHz that they make; 0.2 kHz for the parabola
    # through the end of the recovery from scraping.
    early = row(found, "f_CBO at 30 us, as configured")
    assert early.value == pytest.approx(early.formula, abs=0.25)
    assert row(found, "A, resistors alone").value == pytest.approx(2.8, abs=1.5)
    assert row(found, "lifetime, no damaged resistors").value > 400.0
    names = [number.quantity for number in found.table]
    assert len(names) == len(set(names))
    assert not any("pure quadrupoles" in name for name in names)  # they are pure already
    assert found.result.published is not None
    assert len(found.panels) == 3


def test_published_drift_has_died_out_late() -> None:
    for fits in CBO_DRIFT.values():
        for fit in fits:
            model = drift_model(fit)
            assert model.frequency(700e-6) == pytest.approx(fit.khz * 1e3, abs=15.0)
            assert model.frequency(30e-6) < fit.khz * 1e3 - 3e3


def test_windows_reach_from_30_to_350_us(swing: Swing) -> None:
    assert swing.time[[0, -1]] == pytest.approx([30e-6, 350e-6])
    assert swing.sums.shape == (WINDOWS, BLOCKS, 9)
    count = swing.sums[:, :, 0].sum(axis=1)
    # Each muon passes 67 times in 10 us; who comes late misses one in the first window.
    per_muon = count / (WINDOW * swing.cyclotron()[0])
    assert per_muon.max() - per_muon.min() < 0.02 * per_muon.max()
