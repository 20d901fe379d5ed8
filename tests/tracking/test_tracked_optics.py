"""Optics and frequencies of the tracker against published numbers and exact orbits of the same rings."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy.optimize import brentq

from fields.quads import QuadSettings
from fields.ring import R0, Ring
from fields.storage import StorageField
from tracking.bunch import Bunch
from tracking.frequency import angular_frequency, beam_frequencies, cyclotron_frequency, spin_phase, tune
from tracking.muon import LIGHT_SPEED, MASS, RIGIDITY, magic_momentum, reference
from tracking.one_turn import TrackedTurn, closed_orbits, energy_of, jacobians
from tracking.optics import optics
from tracking.stations import ring_tables
from tracking.turns import track

# The numbers of the comparisons were made with this anomaly, at its magic momentum.
ANOMALY = 0.00116592059
N = 0.108
RING = reference(magic_momentum(ANOMALY) / (RIGIDITY * R0), R0)
GRADIENT = N * RING.beta0 * LIGHT_SPEED * RING.b0 / R0  # of the continuous quads [V/m^2]
TURNS = 1000


class Circle(NamedTuple):
    """A circular orbit of the continuous ring, from the balance of forces without expansion."""

    x: float  # [m]
    omega_a: float  # [rad/s]
    energy: float  # total [GeV]


def circle(delta: float) -> Circle:
    """Exact circular orbit of a muon with kinetic momentum p0 (1 + delta) on it."""
    p = RING.p0_gev * (1 + delta)
    energy = math.hypot(p, MASS)
    beta, gamma = p / energy, energy / MASS
    x = brentq(
        lambda x: p * beta / (R0 + x) - RIGIDITY * (beta * RING.b0 - GRADIENT * x / LIGHT_SPEED), -0.1, 0.1, xtol=1e-16
    )
    field = ANOMALY * RING.b0 - (ANOMALY - 1 / (gamma**2 - 1)) * beta * GRADIENT * x / LIGHT_SPEED
    return Circle(x, LIGHT_SPEED * RIGIDITY / MASS * field, energy - 0.5e-9 * GRADIENT * x**2)


def tables_of(ring: Ring, scheme: str, refine: int):
    quads = QuadSettings.ideal(N, ring, RING.b0, RING.beta0)
    return ring_tables(ring, quads, StorageField.uniform(RING.b0), scheme=scheme, refine=refine, anomaly=ANOMALY)


@pytest.fixture(scope="module")
def fine_continuous():
    return tables_of(Ring.continuous(), "pefrl", 4)


@pytest.fixture(scope="module")
def fine_discrete():
    return optics(tables_of(Ring.reference(), "pefrl", 4))


def test_discrete_ring_has_the_tunes_of_independent_trackers(fine_discrete) -> None:
    # RF-Track 2.7.3 and MAD-NG 1.1.14 with the magnetic twin; theta-stepped RK4 with the real quads:
    # 0.32960377313.
    assert abs(fine_discrete.nu_x - 0.94487823899) < 1e-10
    assert abs(fine_discrete.nu_y - 0.32960377314) < 1.2e-10  # what 192 kicks leave
    assert abs(fine_discrete.lattice.dispersion[0] - 8.0381046) < 1e-7


def test_default_kicks_keep_the_tunes_of_the_discrete_ring(fine_discrete) -> None:
    coarse = optics(tables_of(Ring.reference(), "saba2c", 1))
    # The fourth-order remainder of 24 kicks.
    assert abs(coarse.nu_x - fine_discrete.nu_x) < 3e-7
    assert abs(coarse.nu_y - fine_discrete.nu_y) < 3e-7


def test_chromaticity_is_that_of_electric_quads(fine_discrete) -> None:
    # RK4 reference, half the difference of the tunes at delta = +-1e-3 printed to 1e-8 and 1e-9: +-1e-5 and
    # 1e-6; the difference over a finite step adds 1e-6. (Magnetic quads of the same tunes have another
    # chromaticity.)
    assert abs(fine_discrete.chromaticity_x + 0.130255) < 1.2e-5
    assert abs(fine_discrete.chromaticity_y - 0.204361) < 2e-6


def test_off_momentum_orbits_of_the_discrete_ring_are_those_of_electric_quads() -> None:
    turn = TrackedTurn(tables_of(Ring.reference(), "pefrl", 4), [])
    orbits = closed_orbits(turn, RING, [-1e-3, 0.0, 1e-3])
    # RK4 reference to 1e-12 m; 192 kicks are good to 10 pm.
    assert np.allclose(orbits[:, 0], [-8.036379494e-3, 0.0, 8.039831000e-3], atol=1e-11)


def test_discrete_ring_beats_in_beta_and_dispersion(fine_discrete) -> None:
    lattice = fine_discrete.lattice
    # Midway between quads beta_x and dispersion are largest; the C1 collimator sits inside Q2 in this ring.
    assert np.argmax(lattice.beta_x) == 0
    assert np.all(np.diff(lattice.phase_x) > 0.0)
    assert abs(lattice.dispersion[0] / fine_discrete.mean_dispersion - 1.0089) < 1e-4


@pytest.mark.parametrize(("scheme", "refine", "tolerance"), [("saba2c", 1, 1e-7), ("pefrl", 4, 1e-9)])
def test_continuous_ring_has_the_tunes_of_the_smooth_formulas(scheme, refine, tolerance) -> None:
    found = optics(tables_of(Ring.continuous(), scheme, refine))
    assert abs(found.nu_x - math.sqrt(1 - N)) < tolerance
    assert abs(found.nu_y - math.sqrt(N)) < tolerance
    assert abs(found.lattice.dispersion[0] / (R0 / (1 - N)) - 1) < tolerance
    assert found.symplectic_error < 1e-9  # rounding of times of 45 m/c over steps of 1e-4 in energy


def test_off_momentum_orbits_of_the_continuous_ring_are_the_exact_circles(fine_continuous) -> None:
    wanted = [circle(delta) for delta in (-5e-3, -1e-3, 1e-3, 5e-3)]
    energy = np.array([orbit.energy for orbit in wanted])
    deltas = np.sqrt((energy - MASS) * (energy + MASS)) / RING.p0_gev - 1
    orbits = closed_orbits(TrackedTurn(fine_continuous, []), RING, deltas)
    assert np.allclose(orbits[:, 0], [orbit.x for orbit in wanted], atol=1e-10)
    # 22.9 mm of the exact dispersion curve: what is printed for the same ring elsewhere.
    assert np.allclose(
        [o.x * 1e3 for o in wanted], [-39.838479780, -7.9720133549, 7.9741755735, 39.892535365], atol=1e-8
    )


@pytest.fixture(scope="module")
def spinning(fine_continuous):
    """Muons on exact circles (0-4), with vertical (5, 6) and radial (7) oscillations; rates of their spin phase."""
    circles = [circle(delta) for delta in (0.0, -5e-3, -1e-3, 1e-3, 5e-3)]
    bunch = Bunch.empty(8)
    bunch.energy[:] = RING.energy0
    bunch.energy[:5] = [orbit.energy for orbit in circles]
    bunch.x[:5] = [orbit.x for orbit in circles]
    bunch.y[5:7] = 0.01, 0.02
    bunch.x[7] = 0.01
    seen = track(bunch, fine_continuous, TURNS, observers=[0.0], collimators=False).samples
    phase = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], bunch.energy, RING)
    return seen, angular_frequency(phase, seen.time[0]), circles


def test_omega_a_on_axis_is_a_times_e_over_m_times_b(spinning) -> None:
    _, omega, circles = spinning
    assert abs(circles[0].omega_a / 1439340.1528 - 1) < 1e-10  # printed to 1e-4 rad/s
    # The phase of 215 rad rounds at 3e-14 a sample.
    assert abs(omega.value[0] / circles[0].omega_a - 1) < 1e-14 / 1e-3
    assert np.all(omega.error / omega.value < 1e-12)


def test_electric_field_shifts_omega_a_as_on_the_exact_circles(spinning) -> None:
    _, omega, circles = spinning
    shift = omega.value[1:5] / omega.value[0] - 1
    exact = np.array([orbit.omega_a for orbit in circles[1:]]) / circles[0].omega_a - 1
    assert np.allclose(shift, exact, atol=1e-11)  # 1e-5 ppm
    assert np.allclose(exact * 1e6, [-6.0882559541, -0.2422006355, -0.2415411792, -6.0058206117], atol=2e-10)
    # The formula of the correction, -2 n (1 - n) beta^2 x_e^2 / R0^2, is the mean of +-delta up to (x_e/R0)^2
    # n.
    formula = -2 * N * (1 - N) * RING.beta0**2 * np.mean([circles[2].x ** 2, circles[3].x ** 2]) / R0**2
    assert abs(np.mean(shift[1:3]) / formula - 1) < 1e-5


def test_pitch_lowers_omega_a_by_a_quarter_n_of_the_height_squared(spinning) -> None:
    _, omega, _ = spinning
    shift = omega.value[5:7] / omega.value[0] - 1
    formula = -N * np.array([0.01, 0.02]) ** 2 / (4 * R0**2)
    # RF-Track and two RK4 codes find 1.000013 of the formula for electric focusing at the magic momentum.
    assert np.allclose(shift / formula, 1.000013, atol=1e-6)


def test_radial_oscillation_at_the_magic_momentum_leaves_omega_a_alone(spinning) -> None:
    _, omega, _ = spinning
    assert abs(omega.value[7] / omega.value[0] - 1) < 1e-12


def test_tunes_from_samples_are_those_of_the_one_turn_matrix(spinning, fine_continuous) -> None:
    seen, _, _ = spinning
    found = optics(fine_continuous)
    vertical = tune(seen.y[0, :, 5], 0.25, 0.45)
    # 10 mm of amplitude moves the tunes by a few (x/R0)^2 = 2e-6; the line itself is good to rounding.
    assert abs(vertical.tune - found.nu_y) < 5e-6
    assert vertical.error < 1e-12
    assert abs(tune(seen.x[0, :, 7], 0.02, 0.12).tune - (1 - found.nu_x)) < 5e-6


def test_moments_of_a_bunch_oscillate_at_the_frequencies_of_the_optics(fine_continuous) -> None:
    rng = np.random.default_rng(3)
    bunch = Bunch.empty(2000)
    bunch.energy[:] = RING.energy0
    bunch.x[:] = 0.010 + 0.002 * rng.standard_normal(2000)
    bunch.y[:] = 0.005 + 0.004 * rng.standard_normal(2000)
    moments = track(bunch, fine_continuous, 500, observers=[0.0], moments=True).moments
    found = optics(fine_continuous)
    measured = beam_frequencies(moments.mean_x[0], moments.mean_y[0], moments.variance_y[0], found.period)
    # Amplitude detuning as above.
    assert abs(measured.cbo - found.f_cbo) < 5e-6 * found.f_c
    assert abs(measured.vertical - found.f_y) < 5e-6 * found.f_c
    assert abs(measured.width - found.f_vw) < 1e-5 * found.f_c


PPM = 1e-6


def disturbed(ring: Ring, refine: int = 1, harmonic: float = 0.0, radial: float = 0.0):
    """Optics at 120 azimuths of a ring whose field has a first harmonic cos(theta) and a radial part, over B0."""
    quads = QuadSettings.ideal(N, ring, RING.b0, RING.beta0)
    theta = 2 * math.pi * np.arange(36) / 36
    c = np.zeros((theta.size, 4), complex)
    c[:, 0] = RING.b0 * (1 + harmonic * np.cos(theta) + 1j * radial)
    tables = ring_tables(
        ring, quads, StorageField(c), refine=refine, map_stations=40 * refine, spin=False, anomaly=ANOMALY
    )
    return optics(tables, 120)


def first_harmonic_response(ring: Ring, refine: int = 1) -> tuple[float, float]:
    """Amplitude of cos(theta) in the closed orbit per ppm of a first harmonic of the field [m], and the radial tune."""
    up, down = (disturbed(ring, refine, harmonic=sign * PPM) for sign in (1, -1))  # the difference has no second order
    x = 0.5 * (up.lattice.x - down.lattice.x)
    return 2 * float(np.mean(x * np.cos(up.lattice.theta))), up.nu_x


# x'' + nu_x^2 x = -R0 (B1/B0) cos(theta): x = R0 B1 / (B0 (1 - nu_x^2)) cos(theta), outwards where the field is strong
# (E. D. Courant, H. S. Snyder, Ann. Phys. 3 (1958) 1, section 4).
@pytest.mark.parametrize(("refine", "tolerance"), [(1, 1e-5), (4, 5e-8)])
def test_first_harmonic_of_the_field_moves_the_orbit_of_the_continuous_ring_as_the_formula_says(
    refine, tolerance
) -> None:
    found, nu_x = first_harmonic_response(Ring.continuous(), refine)
    assert abs(found / (R0 * PPM / (1 - nu_x**2)) - 1) < tolerance  # kicks instead of a field: (13 deg)^4/refine^4
    assert abs(found / (R0 * PPM / N) - 1) < tolerance


def test_first_harmonic_of_the_field_moves_the_orbit_of_the_real_ring_within_one_per_cent() -> None:
    found, nu_x = first_harmonic_response(Ring.e989())
    assert abs(found / (R0 * PPM / N) - 1) < 0.01
    # With the tune of the discrete ring only the beat of the beta function is left, its square: (3 %)^2.
    assert abs(found / (R0 * PPM / (1 - nu_x**2)) - 1) < 1e-3


def test_radial_field_lifts_the_beam_by_r0_over_n() -> None:
    # y'' + n y = R0 B_r/B0.
    smooth = disturbed(Ring.continuous(), radial=PPM)
    assert abs(smooth.lattice.y.mean() / (R0 * PPM / N) - 1) < 1e-9
    real = disturbed(Ring.e989(), radial=PPM)
    assert abs(real.lattice.y.mean() / (R0 * PPM / N) - 1) < 0.01
    assert abs(real.lattice.y.mean() / (R0 * PPM / real.nu_y**2) - 1) < 1e-3


def test_phase_advances_by_the_integral_of_one_over_beta(fine_discrete) -> None:
    lattice = optics(tables_of(Ring.reference(), "pefrl", 4), 720).lattice
    ends = (
        (lattice.phase_x, lattice.beta_x, fine_discrete.nu_x),
        (lattice.phase_y, lattice.beta_y, fine_discrete.nu_y),
    )
    for phase, beta, nu in ends:
        # Sum over equal steps of a function with kinks in its second derivative: step^2 of its ripple of 3 %.
        assert abs(R0 * np.mean(1 / beta) / nu - 1) < 1e-6
        rate = np.diff(phase) * 2 * math.pi / (R0 * np.diff(lattice.theta))
        assert np.allclose(rate, 0.5 * (1 / beta[1:] + 1 / beta[:-1]), rtol=1e-4)
    # beta' = -2 alpha
    slope = np.gradient(lattice.beta_x, R0 * lattice.theta)
    assert np.allclose(slope[1:-1], -2 * lattice.alpha_x[1:-1], atol=2e-3)


def test_dispersion_averages_to_the_momentum_compaction(fine_discrete) -> None:
    # alpha_c = <D>/R0 in a ring whose bend is everywhere the same; the difference over delta = 1e-3 leaves its square.
    lattice = optics(tables_of(Ring.reference(), "pefrl", 4), 360).lattice
    assert abs(lattice.dispersion.mean() / fine_discrete.mean_dispersion - 1) < 1e-5


def test_second_chromaticity_is_the_curvature_of_the_tunes(fine_discrete) -> None:
    turn = TrackedTurn(tables_of(Ring.reference(), "pefrl", 4), [])
    far = optics(turn.tables).tunes[0], *(tune_at(turn, delta) for delta in (3e-3, -3e-3))
    curvature = (far[1] + far[2] - 2 * far[0]) / 9e-6
    found = np.array([fine_discrete.second_chromaticity_x, fine_discrete.second_chromaticity_y])
    assert np.allclose(found, curvature, rtol=1e-2)  # the next even order over 3e-3


def tune_at(turn: TrackedTurn, delta: float) -> np.ndarray:
    """Tunes of the orbit of a momentum offset, from the trace of its own matrix."""
    orbits = closed_orbits(turn, RING, [delta])
    state = np.zeros((6, 1))
    state[:4] = orbits.T
    state[5] = energy_of(delta, RING)
    matrix = jacobians(turn, state, RING, 4)[-1, :4, :, 0]
    x, y = (math.acos(0.5 * np.trace(matrix[k : k + 2, k : k + 2])) / (2 * math.pi) for k in (0, 2))
    return np.array([1 - x, y])


def test_no_azimuth_at_all_is_refused(fine_continuous) -> None:
    with pytest.raises(ValueError, match="azimuths = 0"):
        optics(fine_continuous, 0)


def test_cyclotron_frequency_of_a_bunch_is_that_of_its_mean_orbit(fine_continuous) -> None:
    deltas = np.array([-1e-3, 0.0, 1e-3, 2e-3])
    bunch = Bunch.empty(deltas.size).with_momentum(deltas, RING)
    bunch.x[:] = R0 / (1 - N) * deltas + 0.005
    seen = track(bunch, fine_continuous, 1000, observers=[0.0], collimators=False, every=2).samples
    found = optics(fine_continuous)
    slip = found.momentum_compaction - 1 / RING.gamma0**2
    measured = cyclotron_frequency(seen.time[0], every=2)
    # The squares of delta and of the 5 mm: (x/R0)^2.
    assert abs(float(measured.value) * found.period * (1 + slip * deltas.mean()) - 1) < 5e-6
    assert float(measured.error) < 1e-9 * found.f_c
