"""Frequency analysis against signals whose frequencies are known."""

import math

import numpy as np
import pytest

from tracking.frequency import (
    angular_frequency,
    beam_frequencies,
    cyclotron_frequency,
    smooth_mean,
    smooth_window,
    spin_phase,
    tune,
    tunes,
)
from tracking.muon import ANOMALY, reference

RING = reference(1.4513, 7.112)
TURNS = np.arange(2000)
NU_X, NU_Y = 0.9448782386, 0.3296037731


def test_smooth_window_sums_to_one_and_vanishes_at_both_ends() -> None:
    window = smooth_window(1000)
    assert abs(window.sum() - 1.0) < 1e-14
    assert window[0] == window[-1]
    assert window[0] < 1e-300  # exp(-1/s) at s = 1/2000


def test_smooth_mean_of_betatron_motion_is_the_closed_orbit() -> None:
    # The nearest line is 0.055 cycles a turn, 110 periods in 2000 turns: the window's transform there is of
    # the order exp(-2 sqrt(pi 110)) = 6e-17 of the amplitude; a plain mean keeps 1/(pi 110) of it at worst.
    x = 6e-3 + 0.01 * np.cos(2 * math.pi * NU_X * TURNS + 0.3) + 0.004 * np.cos(4 * math.pi * NU_X * TURNS)
    mean = smooth_mean(x)
    assert abs(float(mean.value) - 6e-3) < 1e-15
    assert float(mean.error) < 1e-12


def test_tune_of_one_line_is_exact_to_rounding() -> None:
    line = tune(0.01 * np.cos(2 * math.pi * NU_Y * TURNS + 0.7))
    # Rounding eps/sqrt(n) of the amplitude over the slope 2 pi n sigma_window of the phase: below 1e-18 *
    # 1e2.
    assert abs(line.tune - NU_Y) < 1e-14
    assert abs(line.amplitude - 0.01) < 1e-12
    assert abs(line.phase - 0.7) < 1e-10


def test_tune_is_not_pulled_by_another_line() -> None:
    # The other line is 440 resolution widths away: exp(-2 sqrt(pi 440)) = 5e-33 of its amplitude.
    signal = np.cos(2 * math.pi * NU_Y * TURNS) + 3.0 * np.cos(2 * math.pi * (1 - NU_X) * TURNS)
    assert abs(tune(signal, 0.25, 0.45).tune - NU_Y) < 1e-14
    assert abs(tune(signal, 0.02, 0.12).tune - (1 - NU_X)) < 1e-14


def test_stated_error_of_a_tune_covers_the_true_error() -> None:
    # 60 turns hold 3.3 periods of CBO and the mirror line is only 6.6 widths away: the estimate is visibly
    # wrong.
    for phase in np.linspace(0.0, math.pi, 7):
        line = tune(np.cos(2 * math.pi * (1 - NU_X) * np.arange(60) + phase), 0.02, 0.12)
        assert abs(line.tune - (1 - NU_X)) < 2.0 * line.error + 1e-9


def test_tune_of_noise_is_within_the_cramer_rao_scatter() -> None:
    # White noise r of the amplitude: sigma_tune = sqrt(6) r / (pi n^1.5) for a flat window (D. C. Rife, R. R.
    # Boorstyn 1974); the smooth window keeps about a third of the samples, so 5 sigma with 3^1.5.
    noise = np.random.default_rng(1).normal(0.0, 0.01, TURNS.size)
    sigma = 3.0**1.5 * math.sqrt(6.0) * 0.01 / (math.pi * TURNS.size**1.5)
    assert abs(tune(np.cos(2 * math.pi * NU_Y * TURNS) + noise).tune - NU_Y) < 5.0 * sigma


@pytest.mark.parametrize(
    ("samples", "low", "high", "message"),
    [
        (np.ones(3), 0.0, 0.5, "at least 16"),
        (np.full(20, np.nan), 0.0, 0.5, "finite"),
        (np.ones(20), 0.3, 0.2, "must rise"),
    ],
)
def test_tune_refuses_what_it_cannot_analyse(samples: np.ndarray, low: float, high: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tune(samples, low, high)


def test_omega_a_is_free_of_the_alias_that_spoils_a_line_fit() -> None:
    omega, period = 1.4393e6, RING.period
    time = period * (TURNS[:400] + 1e-4 * np.cos(2 * math.pi * NU_X * TURNS[:400]))
    # A beat at 1 - 2 nu_y - nu_x + ... close to 0.02 cycles a turn with the size of the 20 mm pitch wobble.
    wobble = 2e-5 * np.cos(2 * math.pi * 0.02 * TURNS[:400] + 1.0)
    phase = omega * time + wobble
    mean = angular_frequency(phase, time)
    # 8 periods in 400 turns: exp(-2 sqrt(pi 8)) = 4e-5 of wobble rate 2 pi 0.02 2e-5 / 0.2147 = 1.2e-5.
    assert abs(float(mean.value) / omega - 1.0) < 2e-9
    fitted = np.polyfit(time - time.mean(), phase - phase.mean(), 1)[0]
    assert abs(fitted / omega - 1.0) > 20.0 * abs(float(mean.value) / omega - 1.0)


def test_omega_a_of_many_muons_at_once_has_one_value_each() -> None:
    time = RING.period * np.arange(300)[:, None] * np.array([1.0, 1.001])
    phase = time * np.array([1.4e6, 1.5e6])
    mean = angular_frequency(phase, time)
    assert np.allclose(mean.value, [1.4e6, 1.5e6], rtol=1e-12)
    assert mean.error.shape == (2,)


def test_spin_phase_grows_at_a_gamma_per_turn_when_the_spin_turns_inwards() -> None:
    # A spin that starts along the beam and runs ahead of a momentum that curves towards -x.
    advance = ANOMALY * RING.gamma0 * 2 * math.pi * np.arange(100)
    phase = spin_phase(0.0 * advance, 0.0 * advance, -np.sin(advance), np.cos(advance), RING.energy0, RING)
    assert np.allclose(phase, advance, atol=1e-12)


def test_spin_phase_is_measured_from_the_momentum() -> None:
    slope = 3e-3
    phase = spin_phase([slope], [0.0], [math.sin(slope)], [math.cos(slope)], RING.energy0, RING)
    # px/p0 is the sine of the angle for a muon of the reference momentum
    assert abs(float(phase[0]) - (math.asin(slope) - slope)) < 1e-12


def test_beam_frequencies_from_moments_of_the_smooth_ring() -> None:
    n, f_c = 0.108, 6.704961e6
    nu_x, nu_y = math.sqrt(1 - n), math.sqrt(n)
    mean_x = 6e-3 + 0.01 * np.cos(2 * math.pi * nu_x * TURNS)
    mean_y = 1e-3 * np.cos(2 * math.pi * nu_y * TURNS)
    var_y = 1.6e-4 + 2e-5 * np.cos(4 * math.pi * nu_y * TURNS)
    found = beam_frequencies(mean_x, mean_y, var_y, 1.0 / f_c)
    assert abs(found.cbo - (1 - nu_x) * f_c) < 1e-6
    assert abs(found.vertical - nu_y * f_c) < 1e-6
    assert abs(found.width - (1 - 2 * nu_y) * f_c) < 1e-6


def test_tunes_of_many_signals_are_those_of_each_alone() -> None:
    signals = np.stack([np.cos(2 * math.pi * nu * TURNS[:500] + 0.3) for nu in (0.31, 0.33, 0.352)], axis=1)
    found = tunes(signals, 0.25, 0.45)
    for k in range(3):
        alone = tune(signals[:, k], 0.25, 0.45)
        assert abs(found.tune[k] - alone.tune) < 1e-15
        assert abs(found.phase[k] - alone.phase) < 1e-12


def test_tunes_refuse_one_signal_without_its_axis() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        tunes(np.ones(100))


def test_cyclotron_frequency_is_free_of_the_betatron_motion() -> None:
    wobble = 1e-4 * np.cos(2 * math.pi * NU_X * TURNS)[:, None] * np.array([1.0, 0.3])
    time = RING.period * (TURNS[:, None] + wobble + np.array([0.0, 0.4]))
    found = cyclotron_frequency(time)
    assert abs(float(found.value) * RING.period - 1.0) < 1e-13
    assert abs(float(cyclotron_frequency(time[::4], every=4).value) * RING.period - 1.0) < 1e-13


def test_cyclotron_frequency_refuses_a_bunch_that_is_lost() -> None:
    with pytest.raises(ValueError, match="choose the muons"):
        cyclotron_frequency(np.zeros((50, 0)))
