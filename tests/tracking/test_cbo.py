"""Envelope, lifetime and drift of oscillations that are known, and of a beam tracked in the ring."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from gpu.rng import FillKey
from tracking.bunch_shape import POINT
from tracking.cbo import Windows, drift, lifetime, windows
from tracking.coherent import coherent_motion
from tracking.optics import optics
from tracking.source import StoredBeam, sample
from tracking.stations import ring_tables

PERIOD = 149.1433e-9  # [s]
TIME = PERIOD * np.arange(2000)
F_CBO, TAU = 372.04e3, 150e-6


def decaying(noise: float = 0.0, seed: int = 1) -> np.ndarray:
    scatter = np.random.default_rng(seed).normal(0.0, noise, TIME.size) if noise else 0.0
    return 6e-3 + 12e-3 * np.exp(-TIME / TAU) * np.cos(2 * math.pi * F_CBO * TIME + 0.4) + scatter


def test_windows_follow_amplitude_frequency_and_phase_of_a_decaying_line() -> None:
    found = windows(decaying(), PERIOD)
    # A decaying line in a symmetric window: its frequency is kept, its amplitude is averaged, a second-order effect of
    # (window width / tau)^2 / 24 = 4e-4 of 15 us in 150 us; the mirror line leaves 1e-5.
    assert np.allclose(found.frequency, F_CBO, rtol=3e-5)
    assert np.allclose(found.amplitude, 12e-3 * np.exp(-found.time / TAU), rtol=1e-3)
    assert np.allclose(found.phase - 2 * math.pi * F_CBO * found.time, 0.4, atol=1e-3)


def test_amplitude_error_of_windows_is_the_scatter_of_noise() -> None:
    found = [windows(decaying(3e-4, seed), PERIOD, step=100) for seed in range(20)]
    scatter = np.std([one.amplitude for one in found], axis=0).mean()
    stated = np.mean([one.amplitude_error for one in found])
    # 20 windows of 20 seeds: the mean scatter is known to 1/sqrt(2 * 400) = 3.5 %; the smooth window's own to a few.
    assert abs(scatter / stated - 1) < 0.2


def test_lifetime_is_found_within_its_error() -> None:
    pulls = []
    for seed in range(12):
        found = lifetime(windows(decaying(3e-4, seed), PERIOD, step=100))
        assert abs(found.tau / TAU - 1) < 0.05
        pulls.append((found.tau - TAU) / found.tau_error)
    # Mean square of 12 pulls: 1 +- sqrt(2/12).
    assert 0.2 < np.mean(np.square(pulls)) < 3.0


def test_oscillation_that_does_not_decay_has_no_lifetime() -> None:
    steady = 12e-3 * np.cos(2 * math.pi * F_CBO * TIME)
    assert math.isinf(lifetime(windows(steady, PERIOD)).tau)


def test_drift_of_the_run_1_tracker_fits_is_found_again() -> None:
    # 60h, station 12: w0/2pi = 372.04 kHz, A 2.79 rad, tA 61.1 us, B 5.63 rad, tB 6.07 us (nkinnaird/
    # PrecessionFrequencyAnalysis @54b9b45).
    w0, a, t_a, b, t_b = 2 * math.pi * F_CBO, 2.79, 61.1e-6, 5.63, 6.07e-6
    phase = w0 * TIME + a * np.exp(-TIME / t_a) + b * np.exp(-TIME / t_b)
    found = drift(windows(12e-3 * np.cos(phase), PERIOD, turns=60, step=15))
    # In the first window the frequency changes by a third, which the window averages: the fast term is the rougher.
    assert abs(found.w0 / w0 - 1) < 1e-4
    assert abs(found.t_a / t_a - 1) < 0.03
    assert abs(found.a / a - 1) < 0.03
    assert abs(found.t_b / t_b - 1) < 0.15
    late = np.array([30e-6, 100e-6, 250e-6])
    true = (w0 - a / t_a * np.exp(-late / t_a) - b / t_b * np.exp(-late / t_b)) / (2 * math.pi)
    assert np.allclose(found.frequency(late), true, rtol=2e-4)
    steps = found.phase(late + 1e-9) - found.phase(late - 1e-9)
    assert np.allclose(found.frequency(late), steps / (4 * math.pi * 1e-9), rtol=1e-6)


def test_phase_without_drift_is_fitted_by_its_frequency() -> None:
    found = drift(windows(decaying(), PERIOD), terms=1)
    assert abs(found.w0 / (2 * math.pi * F_CBO) - 1) < 1e-3
    assert found.rms < 1e-3
    assert found.b == 0.0


def test_too_few_windows_are_refused() -> None:
    few = Windows(*(np.ones(4) for _ in Windows._fields))
    with pytest.raises(ValueError, match="too few for a lifetime"):
        lifetime(few)
    with pytest.raises(ValueError, match="too few for a drift"):
        drift(few)
    with pytest.raises(ValueError, match="terms = 3"):
        drift(few, terms=3)
    with pytest.raises(ValueError, match="do not fit"):
        windows(np.zeros(50), PERIOD)


@pytest.fixture(scope="module")
def ring_and_beam():
    layout = Ring.e989()
    quads = replace(
        QuadSettings.ideal(0.108, layout, 1.4513, 0.99942), multipoles=(0j, 0j, 1 + 0j, *[0j] * 7, 1e-15 + 0j)
    )
    tables = ring_tables(layout, quads, StorageField.uniform(1.4513), spin=False)
    beam = StoredBeam(
        x_e_mean=5e-3, x_e_sigma=5e-3, betatron_x_sigma=6e-3, betatron_y_sigma=8e-3, cbo_amplitude=10e-3,
        kick_correlation=0.0, y_offset=2e-3, breathing_y=0.1, profile=POINT,
    )  # fmt: skip
    return tables, beam, optics(tables)


@pytest.fixture(scope="module")
def motion(ring_and_beam):
    tables, beam, found = ring_and_beam
    return coherent_motion(sample(beam, FillKey(5, 1, 0, 0), 2048, found), tables, 1000)


def test_beam_shows_the_frequencies_of_the_ring(motion, ring_and_beam) -> None:
    _, _, found = ring_and_beam
    lines = motion.frequencies
    # Beside the statistical error: the mean momentum shifts nu by its chromaticity, 0.13 and 0.2 of 6e-4 (x_e = 5 mm).
    shift = 0.2 * 1e-3 * found.f_c
    assert abs(lines.cbo - found.f_cbo) < 4 * lines.cbo_error + shift
    assert abs(lines.vertical - found.f_y) < 4 * lines.vertical_error + shift
    assert abs(lines.width - found.f_vw) < 4 * lines.width_error + 2 * shift


def test_cyclotron_frequency_of_the_beam_is_that_of_its_mean_momentum(motion, ring_and_beam) -> None:
    tables, beam, found = ring_and_beam
    bunch = sample(beam, FillKey(5, 1, 0, 0), 2048, found)
    gamma = bunch.energy / 0.1056583755
    delta = np.mean(np.sqrt(1 - 1 / gamma**2) * bunch.energy) / tables.reference.p0_gev - 1
    slip = found.momentum_compaction - 1 / tables.reference.gamma0**2
    # Betatron motion lengthens the path by its squared slope, (5 mm/R0)^2; delta^2 = 1e-6 likewise.
    assert abs(motion.f_c * found.period * (1 + slip * delta) - 1) < 5e-6


def test_cbo_of_linear_quads_outlives_the_look_at_it(motion) -> None:
    # Only the chromaticity spreads the tunes, by 0.13 of sigma_delta = 6e-4: 1000 turns turn the phases by 0.5 rad rms.
    amplitude = motion.windows.amplitude
    assert amplitude[-1] > 0.7 * amplitude[0]
    assert motion.lost == 0
    assert motion.time.size == motion.passed.size == 1000


def test_statistical_error_of_the_cbo_amplitude_is_that_of_the_muons(motion) -> None:
    # Each quadrature of the mean amplitude scatters by sigma / sqrt(N), sigma = 6 mm cut by the aperture; the jackknife
    # of 8 parts knows it to 1/sqrt(2 * 7) = 27 % in one window, and neighbouring windows share it.
    stated = np.median(motion.windows.amplitude_error)
    assert 0.4 < stated / (6e-3 / math.sqrt(2048)) < 2.0


def test_too_short_a_look_at_the_beam_is_refused(ring_and_beam) -> None:
    tables, beam, found = ring_and_beam
    bunch = sample(beam, FillKey(5, 1, 0, 0), 32, found)
    with pytest.raises(ValueError, match="too few for an envelope"):
        coherent_motion(bunch, tables, 200)
    with pytest.raises(ValueError, match="8 muons are too few"):
        coherent_motion(bunch.select(np.arange(8)), tables, 500)
