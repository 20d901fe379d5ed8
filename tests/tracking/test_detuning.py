"""Amplitude detuning of tracked muons against the phase average of the potential, term by term."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.special import eval_legendre

from fields.plates import PlateGeometry, plate_series
from fields.quads import POLARITY, QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.bunch import Bunch
from tracking.decoherence import cbo_frequencies, coherent, radial_tune_shift
from tracking.detuning import Detuning, _mean_beta, _slopes_of_mean, detuning, first_order, tracked_tunes, tunes_of
from tracking.optics import optics
from tracking.stations import RingTables, ring_tables

RING = Ring.e989()
B0 = 1.4513
_QUIET = 1e-15  # a 20-pole of no effect: every ring here runs through the same compiled loops
WIDE = {"electric_order": 10, "magnetic_order": 6}  # as Run-1a has: the loop compiled for its fills serves here too


@dataclass(frozen=True)
class Shaped(QuadSettings):
    """Quads of n = 0.108 with a quadrupole and some multipoles over it at 45 mm, hard edges at the plate ends."""

    shape: tuple[tuple[int, float], ...] = ()

    def plate_coefficients(self, quad_name: str) -> np.ndarray:
        series = np.zeros((4, 11), dtype=np.complex128)
        series[:, :3] = super().plate_coefficients(quad_name)
        for n, ratio in ((10, _QUIET), *self.shape):
            series[:, n] = ratio * series[:, 2]
        return series


def plate_ratio(n: int) -> float:
    """Multipole of the real plates over their quadrupole at 45 mm."""
    series = POLARITY @ plate_series(PlateGeometry(), 10)
    return float(series[n].real / series[2].real)


def quads(**orders: float) -> QuadSettings:
    """Quads of n = 0.108 with a quadrupole and the multipoles given, n4=... over the quadrupole at 45 mm."""
    shape = tuple((int(name[1:]), ratio) for name, ratio in orders.items())
    return Shaped(geometry=None, fringe=False, effective_scale=1.048, shape=shape)


@cache
def tables(scheme: str = "pefrl", refine: int = 2, **orders: float) -> RingTables:
    return ring_tables(RING, quads(**orders), StorageField.uniform(B0), scheme=scheme, refine=refine, spin=False)


@pytest.fixture(scope="module")
def real_plates() -> Detuning:
    shape = {f"n{n}": plate_ratio(n) for n in range(3, 11)}
    return detuning(tables(**shape))


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_phase_average_of_a_multipole_is_a_legendre_polynomial_of_the_amplitudes(m: int) -> None:
    # <Re z^2m> = C(2m, m)/4^m (a^2 + b^2)^m P_m((a^2 - b^2)/(a^2 + b^2)), and by summing over phases outright.
    a2, b2, step = np.array([[0.7]]), np.array([[0.4]]), 1e-4
    phases = 2.0 * math.pi * (np.arange(40) + 0.5) / 40  # more than 2m points: the sum is the integral

    def average(a2: float, b2: float) -> float:
        z = math.sqrt(a2) * np.cos(phases)[:, None] + 1j * math.sqrt(b2) * np.cos(phases)
        return float(np.mean((z ** (2 * m)).real))

    total = 1.1
    closed = math.comb(2 * m, m) / 4**m * total**m * eval_legendre(m, 0.3 / total)
    assert abs(average(0.7, 0.4) - closed) < 1e-14
    by_a2, by_b2 = _slopes_of_mean(m, a2, b2)
    # Central differences: step^2/6 of the third derivative.
    assert abs(float(by_a2[0, 0]) - (average(0.7 + step, 0.4) - average(0.7 - step, 0.4)) / (2 * step)) < 1e-6
    assert abs(float(by_b2[0, 0]) - (average(0.7, 0.4 + step) - average(0.7, 0.4 - step)) / (2 * step)) < 1e-6


@pytest.mark.parametrize(("order", "ratio"), [(4, -0.0076), (6, -0.0013), (10, -0.0194)])
def test_detuning_by_one_multipole_of_the_plates_is_its_phase_average(order: int, ratio: float) -> None:
    # A tenth of the multipole, with both signs: half the difference is free of its second order.
    rings = [tables(**{f"n{order}": sign * 0.1 * ratio}) for sign in (1, -1)]
    found = [optics(ring, []) for ring in rings]
    mean_beta = RING.radius / np.array([found[0].nu_x, found[0].nu_y])
    start = np.array([[0.020, 0.002], [0.002, 0.020], [0.020, 0.020]]) ** 2 / (2.0 * mean_beta)
    (up, above, _), (down, below, _) = (tunes_of(ring, at, start) for ring, at in zip(rings, found, strict=True))
    expected = first_order(rings[0], quads(**{f"n{order}": 0.1 * ratio}), 0.5 * (up + down))
    # Left out: the curvature of the ring, (x/R0)^2 = 1e-5, and twice that for the other powers of the action.
    assert np.allclose(0.5 * (above - below), expected, rtol=5e-5, atol=0.0)


def test_octupole_of_the_magnet_detunes_by_its_phase_average() -> None:
    # 100 ppm at 45 mm all around, with both signs; the fields of the ring are some ppm.
    ideal = QuadSettings.ideal(0.108, RING, B0, 0.99942)
    fields = [StorageField.from_coefficients([B0, 0, 0, sign * 100e-6 * B0]) for sign in (1, -1)]
    rings = [ring_tables(RING, ideal, field, scheme="pefrl", refine=2, map_stations=160, **WIDE) for field in fields]
    found = [optics(ring, []) for ring in rings]
    start = np.array([[0.010, 0.002], [0.002, 0.010], [0.010, 0.010]]) ** 2 / (2.0 * _mean_beta(found[0]))
    (up, above, _), (down, below, _) = (tunes_of(ring, at, start) for ring, at in zip(rings, found, strict=True))
    expected = first_order(rings[0], ideal, 0.5 * (up + down), storage=fields[0])
    # Left out: the weight (1 + x/R0) of the field. It makes a decupole of an octupole, which moves nothing at first
    # order. Coarser here than in a quad: the kicks of the free bends, (9 deg)^2/12 of the ripple of beta of 3 %.
    assert np.allclose(0.5 * (above - below), expected, rtol=3e-4, atol=0.0)


def test_tune_shift_of_muons_on_axis_is_that_of_the_even_multipoles() -> None:
    shape = {f"n{n}": plate_ratio(n) for n in range(3, 11)}
    ring, plates = tables(), quads(**shape)
    actions = np.array([[2e-4, 1e-5], [1e-5, 2e-4], [2e-4, 2e-4], [4e-4, 1e-4]]) * 0.1
    found = radial_tune_shift(ring, [plates, quads()], quads(), np.zeros(4), actions)
    # beta is its mean over the quads: its ripple of 3 % squared, times up to 10 for beta^5.
    assert np.allclose(found[0], first_order(ring, plates, actions)[:, 0], rtol=1e-2, atol=1e-9)
    assert not found[1].any()


def off_momentum(ring: RingTables, delta: np.ndarray, amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Actions (n, 2) and radial tunes of muons that start an amplitude off the closed orbit of their momentum."""
    found = optics(ring, [])
    at = found.lattice
    bunch = Bunch.empty(delta.size).with_momentum(delta, found.reference)
    bunch.x[:] = at.x[0] + at.dispersion[0] * delta + amplitude
    bunch.px[:] = at.px[0] + at.dispersion_px[0] * delta - at.alpha_x[0] / at.beta_x[0] * amplitude
    bunch.y[:], bunch.py[:] = 0.5 * amplitude, -0.5 * at.alpha_y[0] / at.beta_y[0] * amplitude
    actions, nu, _ = tracked_tunes(ring, found, bunch)
    return actions, nu[:, 0]


def test_tune_shift_of_muons_of_other_momenta_is_that_of_tracked_ones() -> None:
    # A tenth of all multipoles of the plates, with both signs: half the difference is free of their second order.
    delta = np.array([-2e-3, -1e-3, 0.0, 1e-3, 2e-3])  # up to 16 mm off the axis
    shapes = [{f"n{n}": sign * 0.1 * plate_ratio(n) for n in range(3, 11)} for sign in (1, -1)]
    (up, above), (down, below) = (off_momentum(tables(**shape), delta, 0.015) for shape in shapes)
    found = radial_tune_shift(tables(), [quads(**shapes[0])], quads(), delta, 0.5 * (up + down))[0]
    tracked = 0.5 * (above - below)
    # Left out: ripples of beta and dispersion, 3 % squared times powers to 10, and the orbit's delta^2, 2e-3 of x.
    assert np.allclose(found, tracked, rtol=0.02, atol=0.01 * np.abs(tracked).max())
    assert np.ptp(tracked) > 0.5 * np.abs(tracked).max()  # the momentum matters


def test_cbo_frequency_in_time_falls_less_with_momentum_than_by_turns() -> None:
    # df/d(delta) = -xi f_c - eta f: the slip takes back a third to a half of what the chromaticity does.
    found = optics(tables(), [])
    step = 1e-4
    up, down = cbo_frequencies(found, [step, -step])
    slip = found.momentum_compaction - 1.0 / found.reference.gamma0**2
    slope = -found.chromaticity_x * found.f_c - slip * found.f_cbo
    # Central difference and the derivative from five momenta: third order, and rounding of differences of 1e-9.
    assert math.isclose(float(up - down) / (2.0 * step), slope, rel_tol=1e-4)
    assert 0.4 < slope / (-found.chromaticity_x * found.f_c) < 0.7
    assert cbo_frequencies(found, [0.0], [1e-3])[0] == pytest.approx(found.f_cbo - 1e-3 * found.f_c, rel=1e-9)


def test_envelope_of_a_gaussian_line_is_a_gaussian() -> None:
    rng = np.random.default_rng(3)
    time = np.array([0.0, 100e-6, 200e-6])
    spread, muons = 1e3, 40_000
    found = coherent(np.full(muons, 0.01j), np.outer(time, 370e3 + spread * rng.standard_normal(muons)))
    expected = 0.01j * np.exp(-0.5 * (2.0 * math.pi * spread * time) ** 2 + 2j * math.pi * 370e3 * time)
    assert np.allclose(found, expected, atol=4.0 * 0.01 / math.sqrt(muons))


def test_default_kicks_keep_the_octupole_detuning_to_what_their_commutator_leaves() -> None:
    # Left out of the scheme: (2 - sqrt 3)/6 h^2 g of the octupole's force, 6e-4, twice because J beta enters squared.
    coarse, fine = (detuning(tables(scheme, refine, n4=-0.0076)) for scheme, refine in (("saba2c", 1), ("pefrl", 2)))
    assert np.allclose(coarse.slopes, fine.slopes, rtol=1.5e-3)


def test_cross_terms_of_the_detuning_are_equal(real_plates: Detuning) -> None:
    # d nu_x/dJ_y = d nu_y/dJ_x = d^2 H/dJ_x dJ_y of the normal form. The polynomial leaves a few of its own errors.
    difference = real_plates.slopes[0, 1] - real_plates.slopes[1, 0]
    error = math.hypot(real_plates.slope_errors[0, 1], real_plates.slope_errors[1, 0])
    assert abs(difference) < 5.0 * error
    assert error < 1e-4 * abs(real_plates.slopes[0, 1])


def test_octupole_rules_the_detuning_of_small_amplitudes(real_plates: Detuning) -> None:
    # 12- and 20-pole come with J^2 and J^4, the sextupole in second order.
    small = 1e-9 * np.eye(2)
    shift = first_order(tables(n4=plate_ratio(4)), quads(n4=plate_ratio(4)), small)
    assert np.allclose(real_plates.slopes, shift.T / 1e-9, rtol=0.02)


def test_pure_quads_detune_by_the_curvature_of_the_orbit_only() -> None:
    # Of the order of 1/R0 * (1/R0) per unit of beta J: a few per cent of 1/R0, ten thousand times below the plates.
    found = detuning(tables())
    assert np.abs(found.slopes).max() < 0.1 / RING.radius
    assert abs(found.nu[0] - optics(tables(), []).nu_x) < 1e-9


def test_detuning_per_square_millimetre_counts_amplitudes_at_the_mean_beta(real_plates: Detuning) -> None:
    amplitude = 5e-3
    action = amplitude**2 / (2.0 * real_plates.mean_beta[1])
    assert math.isclose(real_plates.per_mm2[0, 1] * 25.0, real_plates.slopes[0, 1] * action, rel_tol=1e-12)
    assert {name for name, *_ in real_plates.rows()} >= {"dnu_x/dJ_x", "dnu_y/dA_x^2"}


def test_amplitude_that_reaches_the_plates_is_refused() -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        detuning(tables(), amplitude=0.040)
