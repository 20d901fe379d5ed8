"""Transient fields, and what they do to the measured precession frequency."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from fields.pulse import EddyTail
from fields.ring import B0_NOMINAL, R0, RING, TWO_PI
from fields.storage import storage_field
from fields.transients import (
    FILLS,
    FIT_START,
    FIT_STOP,
    GAMMA_TAU,
    FieldDrift,
    KickerTransient,
    PlateMode,
    QuadTransient,
    fit_weight,
    fitted_shift,
    profile,
    storage_field_at,
)

OMEGA = TWO_PI * 229_081.0  # [rad/s]
BIN = 149.2e-9  # [s]


def brute_force(relative, tau: float = GAMMA_TAU, start: float = FIT_START, stop: float = FIT_STOP) -> float:
    """Frequency shift from a five-parameter fit of a whole histogram without noise, phase integrated numerically."""
    edges = np.arange(0.0, stop, BIN)
    fine = np.linspace(0.0, stop, 200_001)
    phase = OMEGA * integrate.cumulative_trapezoid(relative(fine), fine, initial=0.0)
    t = 0.5 * (edges[1:] + edges[:-1])
    t = t[(t > start) & (t < stop)]

    def counts(p, extra):
        n0, life, a, omega, phi = p
        return n0 * np.exp(-t / life) * (1.0 + a * np.cos(omega * t - phi + extra))

    truth = np.array([1e6, tau, 0.37, OMEGA, 2.1])
    data = counts(truth, np.interp(t, fine, phase))
    scale = np.array([1e6, tau, 0.37, OMEGA * 1e-6, 1e-3])

    def residuals(q):
        return (counts(truth + scale * q, 0.0) - data) / np.sqrt(data)

    fit = optimize.least_squares(residuals, np.zeros(5), method="lm", xtol=1e-14, ftol=1e-15, gtol=1e-15)
    return float(fit.x[3] * 1e-6)


SLOW = {
    "exponential": lambda t: -60e-9 * np.exp(-(t - 30e-6) / 65e-6),
    "short exponential": lambda t: 500e-9 * np.exp(-t / 20e-6),
    "line": lambda t: 100e-9 * (1.0 - t / 300e-6),
    "half a wave of 100 Hz": lambda t: 80e-9 * np.cos(TWO_PI * 100.0 * t + 0.4),
    "wave of 5 kHz": lambda t: 200e-9 * np.cos(TWO_PI * 5e3 * t),
}


@pytest.mark.parametrize("name", SLOW)
def test_shift_is_that_of_a_five_parameter_fit_of_the_histogram(name: str) -> None:
    relative = SLOW[name]
    # left out: what oscillates with omega_a, of relative order A/(omega_a tau) = 0.4 % of the largest change of field
    size = float(np.abs(relative(np.linspace(FIT_START, FIT_STOP, 1000))).max())
    assert fitted_shift(relative) == pytest.approx(brute_force(relative), abs=4e-3 * size)


def test_constant_field_change_shifts_by_itself() -> None:
    assert fitted_shift(lambda t: np.full_like(t, 7e-9)) == pytest.approx(7e-9, rel=1e-12)


@given(ratio=st.floats(0.05, 5.0), start=st.floats(0.0, 50e-6))
@settings(deadline=None, max_examples=40)
def test_exponential_in_a_long_fit_has_the_closed_form(ratio: float, start: float) -> None:
    # integral of u exp(-u) exp(-u/ratio) = 1/(1 + 1/ratio)^2
    tau = 64.4e-6
    shift = fitted_shift(lambda t: np.exp(-(t - start) / (ratio * tau)), start, start + 40.0 * tau, tau)
    assert shift == pytest.approx((1.0 + 1.0 / ratio) ** -2, rel=1e-6)


@given(stop=st.floats(60e-6, 2e-3), tau=st.floats(20e-6, 2e-4))
@settings(deadline=None, max_examples=30)
def test_weight_is_normalised_and_vanishes_at_both_ends(stop: float, tau: float) -> None:
    start = 30e-6
    t = np.linspace(start, stop, 20_001)
    weight = fit_weight(t, start, stop, tau)
    assert np.trapezoid(weight, t) == pytest.approx(1.0, rel=1e-5)
    assert np.abs(weight[[0, -1]]).max() < 1e-9 / tau
    assert (weight[1:-1] > 0.0).all()
    assert fit_weight(np.array([0.0, 3e-3]), start, stop, tau) == pytest.approx(0.0, abs=1e-9 / tau)


def test_slope_definition_and_weight_agree() -> None:
    # weighted straight line through the accumulated phase, integrated numerically
    relative = SLOW["wave of 5 kHz"]
    t = np.linspace(FIT_START, FIT_STOP, 400_001)
    phase = integrate.cumulative_trapezoid(relative(t), t, initial=0.0)
    w = np.exp(-t / GAMMA_TAU)
    mean = np.average(t, weights=w)
    slope = np.sum(w * (t - mean) * phase) / np.sum(w * (t - mean) ** 2)
    assert fitted_shift(relative) == pytest.approx(slope, rel=1e-4)


def test_kicker_transient_is_local_to_the_kickers_and_averages_over_the_ring() -> None:
    transient = KickerTransient()
    assert transient.coverage == pytest.approx(0.085, abs=5e-4)
    theta = TWO_PI * np.arange(7200) / 7200
    along = transient.field(30e-6, theta)
    assert along.mean() == pytest.approx(float(transient.average(30e-6)), rel=1e-12)
    centre = 0.5 * (RING.kickers[1].theta_start + RING.kickers[1].theta_end)
    assert transient.field(30e-6, centre) == pytest.approx(-1e-6, rel=1e-6)  # 10 mG, against B0
    assert transient.field(30e-6, math.pi) == 0.0


def test_kicker_transient_shifts_as_its_closed_form_and_as_published() -> None:
    transient = KickerTransient()
    start = float(transient.average(FIT_START)) / B0_NOMINAL
    # the fit ends u = 9.6 lifetimes later: u^2 exp(-u) = 6e-3
    assert transient.fitted_shift() == pytest.approx(start / (1.0 + GAMMA_TAU / 65e-6) ** 2, rel=6e-3)
    assert transient.fitted_shift() == pytest.approx(-14.8e-9, abs=0.1e-9)
    # B_k of Run-1: -27(37) ppb; 10 mG at 30 us is an order of magnitude
    assert abs(transient.fitted_shift() + 27e-9) < 37e-9


def test_shift_is_proportional_to_the_eddy_field() -> None:
    twice = KickerTransient(EddyTail(2e-6)).fitted_shift()
    assert twice == pytest.approx(2.0 * KickerTransient(EddyTail(1e-6)).fitted_shift(), rel=1e-12)


def test_quad_transient_is_the_motion_of_a_driven_oscillator() -> None:
    # independent: integrate v' of the oscillator q'' + 2 q'/tau + w0^2 q = force over several supercycles
    mode = PlateMode(70.0, 0.12, 1.0)  # slow decay: the last supercycle still rings
    quads = QuadTransient((mode,), pulse_length=2e-3)
    omega = TWO_PI * mode.frequency
    w2 = omega**2 + mode.decay_time**-2
    switches = sorted(
        (cycle * 1.4 + t + edge, sign)
        for cycle in range(3)
        for t in quads.bunch_times
        for edge, sign in ((quads.pulse_start, 1.0), (quads.pulse_start + quads.pulse_length, -1.0))
    )
    state, force, now = np.array([0.0, 0.0]), 0.0, -1.0
    # free motion between switches in closed form through the matrix exponential of one constant generator
    generator = np.array([[0.0, 1.0], [-w2, -2.0 / mode.decay_time]])

    def advance(q, seconds, pull):
        rest = np.array([pull / w2, 0.0])
        values, vectors = np.linalg.eig(generator)
        flow = (vectors * np.exp(values * seconds)) @ np.linalg.inv(vectors)
        return rest + (flow @ (q - rest)).real

    wanted = {2.8 + quads.bunch_times[b] + t: (b, t) for b in (0, 3, 8, 15) for t in (0.0, 350e-6, 700e-6)}
    for when, sign in [*switches, (9.0, 0.0)]:
        for at, (bunch, t) in wanted.items():
            if now <= at < when:
                velocity = advance(state, at - now, force)[1]
                assert quads.local(t, bunch) == pytest.approx(velocity * omega, rel=1e-6, abs=1e-5)
        state = advance(state, when - now, force)
        now, force = when, force + sign


def test_trains_of_eight_come_twice_in_1_4_s() -> None:
    times = QuadTransient().bunch_times
    assert times.shape == (FILLS,)
    np.testing.assert_allclose(np.diff(times[:8]), 0.010)
    np.testing.assert_allclose(times[8:] - times[:8], 0.267)
    assert pytest.approx(11.4, abs=0.05) == FILLS / 1.4


def test_quad_transient_differs_by_bunch_and_averages_to_the_published_shift() -> None:
    quads = QuadTransient()
    shifts = quads.fitted_shifts()
    # by choice of the amplitudes; B_q of Run-1: -17(92) ppb
    assert shifts.mean() == pytest.approx(-17e-9, abs=0.5e-9)
    assert np.ptp(shifts) > 20e-9
    # a train begins with quiet plates, a quarter of a second after the last one
    np.testing.assert_allclose(shifts[:8], shifts[8:], atol=0.1e-9)
    t = np.linspace(0.0, 700e-6, 71)
    local = np.array([quads.local(t, bunch) for bunch in range(FILLS)]) / B0_NOMINAL
    assert 50e-9 < np.abs(local).max() < 500e-9
    doubled = QuadTransient(strength=2.0)
    np.testing.assert_allclose(doubled.local(t, 3), 2.0 * quads.local(t, 3), rtol=1e-13)


def test_100_hz_builds_up_over_a_train_of_fills_10_ms_apart() -> None:
    shifts = QuadTransient((PlateMode(100.0, 0.030, 1e-7),)).fitted_shifts()[:8]
    assert (np.diff(shifts) > 0.0).all()
    # what each fill adds to the next is exp(-10/30) of it
    np.testing.assert_allclose(np.diff(shifts)[1:] / np.diff(shifts)[:-1], math.exp(-1 / 3), rtol=1e-3)


def test_quad_transient_acts_inside_the_quads_and_averages_over_the_ring() -> None:
    quads = QuadTransient()
    theta = TWO_PI * np.arange(7200) / 7200
    along = quads.field(200e-6, theta, 4)
    assert along.mean() == pytest.approx(float(quads.average(200e-6, 4)), rel=1e-9)
    middle = np.array([0.5 * (quad.theta_start + quad.theta_end) for quad in RING.quads])
    np.testing.assert_allclose(quads.field(200e-6, middle, 4), quads.local(200e-6, 4), rtol=1e-9)
    assert abs(quads.field(200e-6, 0.0, 4)) < 1e-30


@given(theta=st.floats(-20.0, 20.0))
def test_profile_is_periodic_and_between_0_and_1(theta: float) -> None:
    here, around = profile([theta, theta + TWO_PI], RING.quads, R0)
    assert here == pytest.approx(around, abs=1e-9)
    assert -1e-12 <= here <= 1.0 + 1e-12


@pytest.mark.parametrize("transient", [KickerTransient(), QuadTransient()], ids=["kicker", "quad"])
def test_transient_in_space_obeys_maxwells_equations(transient: KickerTransient | QuadTransient) -> None:
    local = -1.0e-6
    field = storage_field_at(local, transient)
    table = field.table()
    section = transient.ring.kickers[0] if isinstance(transient, KickerTransient) else transient.ring.quads[1]
    random = np.random.default_rng(5)
    h = 2e-4
    worst_curl, worst_divergence, steepest = 0.0, 0.0, 0.0
    for _ in range(60):
        r, phi = 0.045 * math.sqrt(random.random()), random.uniform(0.0, TWO_PI)
        here = np.array([r * math.cos(phi), r * math.sin(phi), R0 * section.theta_end + random.uniform(-0.2, 0.2)])

        def at(point: np.ndarray) -> np.ndarray:
            return np.array(storage_field(point[0], point[1], point[2] / R0, table))

        d = np.array([(at(here + h * axis) - at(here - h * axis)) / (2 * h) for axis in np.eye(3)])
        bx, _, bs = at(here)
        u = 1.0 + here[0] / R0
        curl = (d[1, 2] - d[2, 1] / u, d[2, 0] / u - d[0, 2] - bs / (R0 * u), d[0, 1] - d[1, 0])
        divergence = d[0, 0] + d[1, 1] + bx / (R0 * u) + d[2, 2] / u
        worst_curl = max(worst_curl, *map(abs, curl))
        worst_divergence = max(worst_divergence, abs(divergence))
        steepest = max(steepest, abs(d[2, 1]))
    # curl: differences only, h^2/6 third derivatives ~ 4/w^2. Divergence: the series stops at r^3/8 d^4B/ds^4, at
    # most 2.2 B/w^4 for an error function of w = 100 mm (0.025 B/w), and leaves 4 r^2/R0 d^2B/ds^2 (0.006 B/w)
    assert worst_curl < 1e-5 * steepest
    assert worst_divergence < 0.031 * abs(local) / 0.1
    # on the axis the series is the profile itself
    for theta in (section.theta_end, section.theta_end + 0.01, section.theta_start):
        by = storage_field(0.0, 0.0, theta, table)[1]
        assert by == pytest.approx(local * transient.along_ring(theta), abs=1e-6 * abs(local))


def test_drift_is_linear_and_that_of_the_60h_set() -> None:
    drift = FieldDrift()
    assert 1e6 * drift.rate * 3600.0 == pytest.approx(-0.0117, abs=1e-4)  # ppm/h
    np.testing.assert_allclose(drift.relative([0.0, 3 * 86_400.0]), [0.0, -0.84e-6])


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: PlateMode(0.0, 0.01, 1e-7), "above 0"),
        (lambda: PlateMode(50.0, 2.0, 1e-7), "decays in 2 s"),
        (lambda: PlateMode(50.0, 0.01, math.nan), "finite numbers"),
        (lambda: QuadTransient(pulse_length=0.02), "shorter than the spacing"),
        (lambda: QuadTransient(train_gap=0.05), "overlap"),
        (lambda: QuadTransient(strength=math.inf), "finite strength"),
        (lambda: QuadTransient().local(0.0, 16), "give 0 to 15"),
        (lambda: FieldDrift(math.nan), "finite number"),
        (lambda: fitted_shift(np.cos, 1.0, 1.0), "start < stop"),
    ],
)
def test_bad_transient_is_one_sentence(build, what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        build()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
