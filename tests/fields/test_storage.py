"""The storage field: interpolation around the ring, integrals, Maxwell's equations between samples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from fields.ring import R0, R_REFERENCE, TWO_PI
from fields.storage import StorageField, storage_field

B0 = 1.4513


def _random_field(seed: int, harmonics: int = 30, samples: int = 720, order: int = 5) -> StorageField:
    """10 ppm per harmonic and order, normal and skew."""
    random = np.random.default_rng(seed)
    theta = TWO_PI * np.arange(samples) / samples
    waves = np.exp(1j * np.outer(theta, np.arange(harmonics + 1)))
    parts = [(waves @ (random.normal(size=(harmonics + 1, order + 1)) * 1e-5 * B0)).real for _ in range(2)]
    c = parts[0] + 1j * parts[1]
    c[:, 0] = c[:, 0].real + B0  # no radial dipole: the trolley does not see it
    return StorageField(c)


FIELD = _random_field(1)
TABLE = FIELD.table()


def test_uniform_field_is_a_dipole_everywhere() -> None:
    table = StorageField.uniform(B0).table()
    for theta in (0.0, 1.0, -3.0, 20.0):
        assert storage_field(0.03, -0.02, theta, table) == (0.0, B0, 0.0)


def test_samples_are_met_exactly() -> None:
    # the azimuth itself is rounded: 1e-15 rad times the slopes
    np.testing.assert_allclose(FIELD.multipoles(FIELD.theta), FIELD.c, rtol=0, atol=1e-16)


def test_interpolation_error_is_that_of_a_quintic_spline() -> None:
    h, samples = 36, 720
    theta = TWO_PI * np.arange(samples) / samples
    field = StorageField((B0 * (1.0 + 1e-5 * np.cos(h * theta)))[:, None] * np.array([[1.0, 0.0]]))
    between = theta + math.pi / samples
    error = np.abs(field.multipoles(between)[:, 0] - B0 * (1.0 + 1e-5 * np.cos(h * between))).max()
    # Favard constant of degree 5: 61/46080 step^6 max|f^(6)|, plus rounding of 1.45
    assert error < 61.0 / 46080.0 * (h * TWO_PI / samples) ** 6 * 1e-5 * B0 + 4e-16


@pytest.mark.parametrize("derivative", [1, 2, 3])
def test_derivatives_are_those_of_the_multipoles(derivative: int) -> None:
    theta = np.linspace(0.0, 7.0, 50)
    h = 1e-4
    lower = FIELD.multipoles(theta - h, derivative - 1), FIELD.multipoles(theta + h, derivative - 1)
    exact = FIELD.multipoles(theta, derivative)
    # h^2/6 times two derivatives more: 30^(k+2) * 30 harmonics * 1e-5; rounding 1e-14/h of the fourth power
    tolerance = h**2 / 6.0 * 30.0 ** (derivative + 2) * 30 * 1e-5 * 3 + 1e-15 * 30.0 ** (derivative - 1) / h
    np.testing.assert_allclose((lower[1] - lower[0]) / (2 * h), exact, atol=tolerance)


def test_average_of_the_spline_is_the_average_of_the_samples() -> None:
    np.testing.assert_allclose(FIELD.integral(0.0, TWO_PI), TWO_PI * FIELD.mean_field(), rtol=0, atol=1e-14)


@given(a=st.floats(-10.0, 10.0), b=st.floats(-10.0, 10.0), c=st.floats(-10.0, 10.0))
def test_integrals_add_up(a: float, b: float, c: float) -> None:
    total = FIELD.integral(a, b) + FIELD.integral(b, c)
    np.testing.assert_allclose(total, FIELD.integral(a, c), rtol=0, atol=1e-13)


def test_integral_agrees_with_gauss_quadrature() -> None:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    a, b = 1.234, 1.534  # nine waves of the highest harmonic: 40 nodes are exact to rounding
    at = 0.5 * (a + b) + 0.5 * (b - a) * nodes
    gauss = 0.5 * (b - a) * (weights @ FIELD.multipoles(at))
    np.testing.assert_allclose(FIELD.integral(a, b), gauss, rtol=0, atol=1e-13)


@given(count=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_hat_deposits_sum_to_the_integral_of_the_map(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    azimuths = (np.arange(count) + random.uniform(0.0, 0.99, count)) * TWO_PI / count
    random.shuffle(azimuths)
    deposit = FIELD.hat_deposit(azimuths)
    assert deposit.shape == (count, FIELD.order + 1)
    np.testing.assert_allclose(deposit.sum(axis=0), FIELD.integral(0.0, TWO_PI), rtol=0, atol=1e-12)


def test_hat_deposit_agrees_with_gauss_quadrature() -> None:
    stations = np.array([0.2, 0.5, 0.65, 3.0, 6.1])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    deposit = FIELD.hat_deposit(stations)
    for left, right, rising in ((0.2, 0.5, True), (0.5, 0.65, False)):
        at = 0.5 * (left + right) + 0.5 * (right - left) * nodes
        hat = 0.5 * (1.0 + nodes) if rising else 0.5 * (1.0 - nodes)
        deposit[1] -= 0.5 * (right - left) * ((weights * hat) @ FIELD.multipoles(at))
    np.testing.assert_allclose(deposit[1], 0.0, atol=1e-13)


def test_stations_at_the_same_azimuth_are_refused() -> None:
    with pytest.raises(ValueError, match="different azimuths"):
        FIELD.hat_deposit([0.1, 0.2, 0.1])


def _jacobian(x: float, y: float, s: float) -> tuple[np.ndarray, np.ndarray]:
    """Field and its derivatives along (x, y, s) by five-point differences; rows: derivative, columns: component."""
    h = 4e-4

    def field(point: np.ndarray) -> np.ndarray:
        return np.array(storage_field(point[0], point[1], point[2] / R0, TABLE))

    here = np.array([x, y, s])
    rows = []
    for axis in np.eye(3):
        at = {k: field(here + k * h * axis) for k in (-2, -1, 1, 2)}
        rows.append((8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * h))
    return field(here), np.array(rows)


# Five-point differences: h^4/30 times 120 |c_5|/r0^5 (c_5 < 1e-5 * 30 * 1.45), and rounding of 1.45 T over h.
_DIFFERENCE_ERROR = 4e-4**4 / 30.0 * 120.0 * 4.4e-4 / R_REFERENCE**5 + 4 * 1.45 * 2.3e-16 / 4e-4


def _divergence_bound(x: float, y: float, theta: float) -> float:
    """What the expansion leaves out: see the comments; multipoles of order >= 1, derivatives along s."""
    r, h = math.hypot(x, y), 1.0 / R0
    n = np.arange(FIELD.order + 1)
    m = n + 1
    power = (r / R_REFERENCE) ** n
    c, second, fourth = (np.abs(FIELD.multipoles(theta, k)) * h**k for k in (0, 2, 4))
    c[0] = 0.0  # a dipole needs no curvature term
    series = np.sum(fourth * r**3 * power / (4 * m * (m + 1)))  # the k = 2 term that is not there
    curvature = 3.0 * h**2 * r * np.sum(c * power)  # second order in h
    mixed = 4.0 * h * r**2 * np.sum(second * power)  # first order in h times second derivative along s
    return float(series + curvature + mixed)


@given(r=st.floats(0.0, 0.045), phi=st.floats(0.0, TWO_PI), theta=st.floats(0.0, TWO_PI))
@settings(deadline=None, max_examples=200)
def test_maxwells_equations_hold_between_the_samples(r: float, phi: float, theta: float) -> None:
    x, y = r * math.cos(phi), r * math.sin(phi)
    (bx, _, bs), d = _jacobian(x, y, R0 * theta)
    u = 1.0 + x / R0
    curl = (
        d[1, 2] - d[2, 1] / u,
        d[2, 0] / u - d[0, 2] - bs / (R0 * u),
        d[0, 1] - d[1, 0],
    )
    divergence = d[0, 0] + d[1, 1] + bx / (R0 * u) + d[2, 2] / u
    assert max(map(abs, curl)) < _DIFFERENCE_ERROR
    assert abs(divergence) < _divergence_bound(x, y, theta) + _DIFFERENCE_ERROR


def test_divergence_left_is_below_1e_3_of_the_gradients() -> None:
    random = np.random.default_rng(3)
    worst, gradient = 0.0, 0.0
    for _ in range(200):
        r, phi, theta = 0.045 * math.sqrt(random.random()), *random.uniform(0.0, TWO_PI, 2)
        x, y = r * math.cos(phi), r * math.sin(phi)
        (bx, _, _), d = _jacobian(x, y, R0 * theta)
        u = 1.0 + x / R0
        worst = max(worst, abs(d[0, 0] + d[1, 1] + bx / (R0 * u) + d[2, 2] / u))
        gradient = max(gradient, abs(d[0, 0]))
    assert worst < 1e-3 * gradient


def test_field_on_the_midplane_is_the_series_without_ripple() -> None:
    c = np.array([B0, 1e-5 + 2e-5j, -3e-5 + 1e-5j, 2e-5, 1e-5j, 5e-6])
    table = StorageField.from_coefficients(c).table()
    for x in (-0.04, 0.01, 0.045):
        bx, by, bs = storage_field(x, 0.0, 2.0, table)
        assert by + 1j * bx == pytest.approx(np.polynomial.polynomial.polyval(x / R_REFERENCE, c), abs=1e-15)
        assert bs == 0.0


def test_ripple_of_the_dipole_is_the_exact_bessel_solution() -> None:
    # psi = (2 B/k) I_1(k r) sin phi cos(k s) solves Laplace's equation in a straight magnet and has B_y = B cos(k s) on
    # the axis. At x = 0 the curvature adds nothing.
    h, ripple, samples = 36, 1e-5 * B0, 2880
    k = h / R0
    theta = TWO_PI * np.arange(samples) / samples
    table = StorageField((B0 + ripple * np.cos(h * theta))[:, None].astype(complex)).table()
    for y, s in ((0.045, 0.4), (-0.03, 2.0), (0.02, 11.0)):
        by = B0 + ripple * 2.0 * special.ivp(1, k * y) * math.cos(k * s)
        bs = -ripple * 2.0 * special.iv(1, k * y) * math.sin(k * s)
        got = storage_field(0.0, y, s / R0, table)
        # the k = 2 term left out: (k r)^4/192, five times in B_y; spline as in the test above; rounding
        left_out = ripple * 5.0 * (k * abs(y)) ** 4 / 192.0 + 1e-10 * ripple + 4e-16
        assert got[0] == pytest.approx(0.0, abs=1e-18)
        assert got[1] == pytest.approx(by, abs=left_out)
        assert got[2] == pytest.approx(bs, abs=left_out)


def test_longitudinal_field_follows_the_slope_of_the_dipole() -> None:
    # curl B = 0: dB_s/dy = dB_y/ds, so B_s = y dB_y/ds to first order; next order k^2 y^2/6 with k = 30/R0
    theta, y = 1.234, 0.01
    field = StorageField(FIELD.c[:, :1])
    bs = storage_field(0.0, y, theta, field.table())[2]
    slope = field.multipoles(theta, 1)[0].real / R0
    assert bs == pytest.approx(y * slope, rel=1e-3)


def test_low_pass_keeps_low_harmonics_and_removes_high_ones() -> None:
    theta = TWO_PI * np.arange(900) / 900
    low, high = np.cos(20 * theta), np.cos(200 * theta)
    field = StorageField((B0 * (1.0 + 1e-5 * low + 1e-5 * high))[:, None])
    smooth = field.low_pass(100)
    at = smooth.theta
    np.testing.assert_allclose(smooth.c[:, 0], B0 * (1.0 + 1e-5 * np.cos(20 * at)), rtol=0, atol=1e-15)
    assert smooth.b0 == pytest.approx(field.b0, rel=1e-15)


def test_scaling_sets_the_average_dipole_only() -> None:
    scaled = FIELD.scaled_to(1.5)
    assert scaled.b0 == pytest.approx(1.5, rel=1e-15)
    np.testing.assert_allclose(scaled.c / scaled.b0, FIELD.c / FIELD.b0, rtol=1e-14)


@pytest.mark.parametrize(
    ("c", "message"),
    [(np.ones((5, 3)), "5 azimuths cannot be interpolated"), (np.array([[1.45, np.nan]]), "not finite")],
)
def test_unusable_maps_are_refused(c: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StorageField(c)


def test_too_few_samples_for_the_harmonics_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold 50 harmonics"):
        FIELD.low_pass(50, samples=90)
