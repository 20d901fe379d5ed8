"""The stored beam has the moments, the times and the spins that were asked for, and stays stored."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from gpu.rng import FillKey
from tracking.bunch import State
from tracking.bunch_shape import POINT, T0, distribution, flat_profile, gaussian_profile
from tracking.frequency import spin_phase
from tracking.match import Stored, match, stored
from tracking.muon import LIFETIME, MASS
from tracking.optics import measure
from tracking.source import StoredBeam, sample

COLLIMATORS = np.radians([127.079, 155.074, 245.078, 307.079, 335.074])
KEY = FillKey(seed=7, run=1, subrun=2, fill=3)
N = 40_000
OPEN = StoredBeam(aperture_radius=10.0, kick_correlation=0.0)  # no collimator in reach: nothing is cut
# Run-1a: TH (nkinnaird/Dissertation @8f8e9eb) radial and vertical width at the trackers; equilibrium radius 6
# +- 9.3 mm and 12 mm of coherent motion, best estimates (recalled).
RUN1A = Stored(x_e_mean=6.0e-3, x_e_sigma=9.3e-3, x_width=18.43e-3, y_width=12.88e-3, cbo_amplitude=12e-3)


@pytest.fixture(scope="module")
def turn(linear_turn):
    return linear_turn(COLLIMATORS, discrete=True)


@pytest.fixture(scope="module")
def optics(turn, magic):
    return measure(turn, magic)


@pytest.fixture(scope="module")
def run1a(optics):
    return match(StoredBeam(), RUN1A, optics)


def delta_of(bunch, optics) -> np.ndarray:
    return np.sqrt(bunch.energy**2 - MASS**2) / optics.reference.p0_gev - 1.0


def phase_space(bunch) -> np.ndarray:
    return np.array([bunch.x, bunch.px, bunch.y, bunch.py, bunch.time, bunch.energy])


def test_muon_depends_only_on_fill_and_number(optics) -> None:
    short, long = sample(StoredBeam(), KEY, 10, optics), sample(StoredBeam(), KEY, 1000, optics)
    assert all(np.array_equal(a, b[:10]) for a, b in zip(short, long, strict=True))
    other = sample(StoredBeam(), KEY._replace(fill=4), 10, optics)
    assert not np.any(short.x == other.x)


SIMULATED = """
import pickle, sys
from gpu.rng import FillKey
from tracking.source import StoredBeam, sample

with open(sys.argv[1], "rb") as file:
    optics = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    pickle.dump(sample(StoredBeam(), FillKey(7, 1, 2, 3), 40, optics, backend="gpu"), file)
"""


def test_gpu_draws_the_same_muons(optics, run_python, tmp_path) -> None:
    pytest.importorskip("numba_cuda", reason="the CUDA simulator comes with numba-cuda")
    given, drawn = tmp_path / "optics", tmp_path / "bunch"
    given.write_bytes(pickle.dumps(optics))
    run_python(SIMULATED, str(given), str(drawn), NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    on_gpu, on_cpu = pickle.loads(drawn.read_bytes()), sample(StoredBeam(), KEY, 40, optics)
    for simulated, compiled in zip(on_gpu, on_cpu, strict=True):
        # Fused multiply-adds round differently: a few 2^-53 of each term.
        assert np.allclose(simulated, compiled, rtol=1e-13, atol=1e-16)


def test_bunch_starts_stored_at_theta_zero(optics) -> None:
    bunch = sample(StoredBeam(), KEY, 100, optics)
    assert np.all(bunch.state == State.STORED)
    assert np.all(bunch.theta == 0.0)
    assert np.array_equal(bunch.number, np.arange(100))


def test_stored_muons_never_reach_a_collimator(turn, optics, run1a) -> None:
    state = phase_space(sample(run1a, KEY, 2000, optics))
    for _ in range(300):  # 16 periods of the radial, 5 of the vertical motion modulo the turn
        around = turn(state)
        assert np.hypot(around[:-1, 0], around[:-1, 2]).max() < 0.045 + 1e-12
        state = around[-1]


def test_edge_leaves_muons_to_be_lost(turn, optics, run1a) -> None:
    state = phase_space(sample(replace(run1a, edge=1e-3), KEY, 2000, optics))
    lost = np.zeros(2000, bool)
    for _ in range(300):
        around = turn(state)
        lost |= (np.hypot(around[:-1, 0], around[:-1, 2]) > 0.045).any(axis=0)
        state = around[-1]
    # The density at the edge is of the order of the mean one: 4 dimensions give 4 * 1/45 of the muons in the
    # shell.
    assert 0.005 < lost.mean() < 0.15


def test_widths_at_the_trackers_are_the_published_ones(run1a, optics) -> None:
    found = stored(run1a, optics, N)
    # Fitted to 0.05 mm on another sample: 5 sigma of a width, sigma/sqrt(2N), of both.
    for value, wanted in zip(found, RUN1A, strict=True):
        assert abs(value - wanted) < 0.05e-3 + 5 * 18e-3 / math.sqrt(20_000)
    assert abs(found.x_e_rms - 11.07e-3) < 0.3e-3


def test_tracked_widths_at_the_trackers_are_the_published_ones(linear_turn, magic, optics, run1a) -> None:
    stations = linear_turn(np.radians([185.752, 275.752]), discrete=True)
    state = phase_space(sample(run1a, KEY, 4000, optics))
    samples = []
    for _ in range(200):
        around = stations(state)
        samples.append(around[:-1])
        state = around[-1]
    x, y = np.array(samples)[:, :, 0], np.array(samples)[:, :, 2]
    # 2 % for the beta and dispersion beat of the discrete ring, 5 sigma/sqrt(2N) for the sample.
    tolerance = 0.02 + 5 / math.sqrt(2 * 4000)
    assert abs(x.std() / RUN1A.x_width - 1) < tolerance
    assert abs(y.std() / RUN1A.y_width - 1) < tolerance


def test_radial_profile_leans_outwards_like_the_tracker_profiles(run1a, optics) -> None:
    bunch = sample(run1a, KEY, N, optics)
    delta = delta_of(bunch, optics)
    beta = optics.lattice.beta_x[0]
    centre = optics.lattice.dispersion[0] * delta
    amplitude = np.hypot(bunch.x - centre, beta * (bunch.px - optics.lattice.dispersion_px[0] * delta))
    x = centre + amplitude * np.cos(2 * math.pi * np.random.default_rng(1).random(N))
    skewness = np.mean((x - x.mean()) ** 3) / x.std() ** 3
    # Tracker samples (aetb/trfp, mu_avg, Run-1a): -0.46 in both stations, without correction for acceptance.
    assert -0.6 < skewness < -0.2


def test_equilibrium_radius_is_the_mean_radius_of_a_muon(linear_turn, optics) -> None:
    turn = linear_turn(np.linspace(0, 2 * math.pi, 33)[1:-1], discrete=True)
    beam = replace(OPEN, x_e_sigma=0.0, betatron_x_sigma=0.0, cbo_amplitude=0.0, betatron_y_sigma=0.0)
    around = turn(phase_space(sample(beam, KEY, 1, optics)))
    # 32 equal steps do not resolve the quad edges: 1/32 of the 0.7 % dispersion beat.
    assert abs(around[:, 0].mean() - beam.x_e_mean) < 6e-3 * 0.007 / 4


def test_uncut_beam_has_the_moments_asked_for(optics) -> None:
    bunch = sample(OPEN, KEY, N, optics)
    found = stored(OPEN, optics, N)
    error = 5 / math.sqrt(N)
    assert abs(found.x_e_mean - OPEN.x_e_mean) < error * OPEN.x_e_sigma
    assert abs(found.x_e_sigma - OPEN.x_e_sigma) < error * OPEN.x_e_sigma
    assert abs(found.y_width - OPEN.betatron_y_sigma) < error * OPEN.betatron_y_sigma
    assert abs(found.cbo_amplitude - OPEN.cbo_amplitude) < error * OPEN.betatron_x_sigma * 2
    width = math.sqrt(OPEN.x_e_sigma**2 + OPEN.betatron_x_sigma**2 + 0.5 * OPEN.cbo_amplitude**2)
    assert abs(found.x_width - width) < error * width
    assert abs(bunch.y.mean()) < error * bunch.y.std()


def test_coherent_motion_has_the_phase_asked_for(linear_turn, optics) -> None:
    phase = 0.7
    beam = replace(OPEN, cbo_phase=phase, x_e_mean=0.0, x_e_sigma=0.0, betatron_x_sigma=0.0)
    state = phase_space(sample(beam, KEY, 1, optics))
    for turns in range(20):
        scale = math.sqrt(optics.lattice.beta_x[0] * optics.nu_x / optics.reference.r0)
        expected = beam.cbo_amplitude * scale * math.cos(2 * math.pi * optics.nu_x * turns + phase)
        assert abs(state[0, 0] - expected) < 1e-12
        state = linear_turn(discrete=True)(state)[-1]


def test_breathing_beam_is_wide_at_theta_zero_and_narrow_a_quarter_period_later(linear_turn, optics) -> None:
    beam = replace(OPEN, breathing_y=0.2)
    quarter = linear_turn([0.25 * 2 * math.pi / math.sqrt(0.108)])  # of the continuous ring, beta = R0 / nu_y
    continuous = measure(quarter, optics.reference)
    around = quarter(phase_space(sample(beam, KEY, N, continuous)))
    wide = sample(beam, KEY, N, continuous).y.std()
    error = 5 / math.sqrt(2 * N)
    assert abs(wide / (1.2 * beam.betatron_y_sigma) - 1) < error
    assert abs(around[0, 2].std() / (0.8 * beam.betatron_y_sigma) - 1) < error


def test_kick_correlation_lets_all_muons_start_at_one_radius(optics) -> None:
    beam = replace(OPEN, kick_correlation=1.0, betatron_x_sigma=0.0)
    bunch = sample(beam, KEY, 1000, optics)
    # x_e + amplitude is the same for all; at theta = 0 dispersion and root beta are 0.9 and 1.1 % above their
    # means.
    assert bunch.x.std() < 0.01 * beam.x_e_sigma
    assert abs(bunch.x.mean() - (beam.x_e_mean + beam.cbo_amplitude)) < 0.02 * 16e-3


def test_default_bunch_has_the_shape_of_the_t0_trace(optics) -> None:
    time = sample(StoredBeam(), KEY, N, optics).time
    nodes, weights, below = distribution(T0)
    observed = np.histogram(time, bins=nodes)[0]
    expected = N * np.diff(below)
    chi2 = np.sum((observed - expected) ** 2 / expected)
    dof = len(expected) - 1
    assert abs(chi2 - dof) < 5 * math.sqrt(2 * dof)
    assert abs(time.mean()) < 5 * 40e-9 / math.sqrt(N)
    assert 28e-9 < time.std() < 43e-9  # the range of the sixteen bunches of Run-2
    assert weights.max() == 1.0


def test_time_profiles_have_their_widths(optics) -> None:
    point = sample(replace(OPEN, profile=POINT), KEY, 100, optics).time
    gauss = sample(replace(OPEN, profile=gaussian_profile(25e-9)), KEY, N, optics).time
    flat = sample(replace(OPEN, profile=flat_profile(149e-9)), KEY, N, optics).time
    assert np.all(point == 0.0)
    # Linear between nodes 0.1 sigma apart: the variance grows by 0.1^2 / 6 of sigma^2.
    assert abs(gauss.std() / 25e-9 - 1) < 0.001 + 5 / math.sqrt(2 * N)
    assert abs(flat.std() / (149e-9 / math.sqrt(12)) - 1) < 5 / math.sqrt(N)
    assert abs(flat).max() <= 74.5e-9


def test_decay_times_are_dilated_by_each_muons_own_energy(optics) -> None:
    bunch = sample(replace(OPEN, x_e_sigma=0.3), KEY, N, optics)  # 4 % of momentum spread, to see the dilation
    proper = (bunch.stop_time - bunch.time) * MASS / bunch.energy / LIFETIME
    # Exponential of mean 1: mean and variance are 1 with errors 1 and sqrt(8) over sqrt(N).
    assert abs(proper.mean() - 1) < 5 / math.sqrt(N)
    assert abs(proper.var() - 1) < 5 * math.sqrt(8 / N)
    assert abs(np.corrcoef(proper, bunch.energy)[0, 1]) < 5 / math.sqrt(N)
    assert abs(np.mean(proper < math.log(2)) - 0.5) < 5 * 0.5 / math.sqrt(N)


def test_spin_lags_the_momentum_by_the_precession_phase(optics) -> None:
    beam = StoredBeam()
    bunch = sample(beam, KEY, 1000, optics)
    assert np.allclose(bunch.sx**2 + bunch.sy**2 + bunch.ss**2, 1.0, atol=1e-14)
    assert np.all(bunch.sy == 0.0)
    ahead = np.array(
        [
            spin_phase(*([value] for value in muon), optics.reference)[0]
            for muon in zip(bunch.px, bunch.py, bunch.sx, bunch.ss, bunch.energy, strict=True)
        ]
    )
    wanted = -(beam.phase + beam.phase_slope * delta_of(bunch, optics))
    assert np.abs(np.mod(ahead - wanted + math.pi, 2 * math.pi) - math.pi).max() < 1e-9


def test_phase_slope_is_ten_milliradian_per_percent_of_momentum(optics) -> None:
    # TH: 10.3 +- 0.1 mrad per percent, higher momentum arriving with less remaining phase.
    assert StoredBeam().phase_slope == pytest.approx(-10.3e-3 / 0.01)


def test_late_muons_can_have_another_momentum(optics) -> None:
    beam = replace(OPEN, x_e_time_slope=2e-3 / 50e-9)
    bunch = sample(beam, KEY, N, optics)
    slope = np.polyfit(bunch.time, delta_of(bunch, optics) * optics.mean_dispersion, 1)[0]
    assert abs(slope - beam.x_e_time_slope) < 5 * beam.x_e_sigma / (math.sqrt(N) * bunch.time.std())


def test_beam_wider_than_the_aperture_is_still_inside_it(turn, optics) -> None:
    # Next to no try of such a beam fits, so that muons are shrunk to the edge.
    beam = StoredBeam(x_e_sigma=2.0, betatron_x_sigma=3.0, betatron_y_sigma=3.0)
    around = turn(phase_space(sample(beam, KEY, 500, optics)))
    assert np.hypot(around[:-1, 0], around[:-1, 2]).max() < 0.045 + 1e-9


def test_match_refuses_a_beam_that_the_aperture_cannot_hold(optics) -> None:
    with pytest.raises(ValueError, match="ask for a smaller beam"):
        match(StoredBeam(), RUN1A._replace(x_width=30e-3), optics)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_e_sigma": -1e-3}, "x_e_sigma = -0.001 of the beam is negative"),
        ({"breathing_y": 1.5}, "breathing_y = 1.5 of the beam is out of bounds"),
        ({"x_e_mean": 0.05}, "outside the aperture"),
        ({"profile": ((1.0, 1.0), (0.0, 1.0))}, "rising order"),
    ],
)
def test_impossible_beam_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        StoredBeam(**options)


def test_negative_number_of_muons_is_refused(optics) -> None:
    with pytest.raises(ValueError, match="muons = -1 is negative"):
        sample(StoredBeam(), KEY, -1, optics)
