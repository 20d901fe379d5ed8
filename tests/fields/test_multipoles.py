"""Series in (x + i y)/r0."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.multipoles import electric_field, magnetic_field, series_value, series_with_slope
from fields.ring import R_REFERENCE

coordinate = st.floats(-0.05, 0.05)
seeds = st.integers(0, 2**32 - 1)


def _coefficients(seed: int, order: int = 10) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=order + 1) + 1j * random.normal(size=order + 1)


def _rows(c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(c.real), np.ascontiguousarray(c.imag)


@given(x=coordinate, y=coordinate, seed=seeds)
@settings(deadline=None)
def test_series_equals_the_polynomial(x: float, y: float, seed: int) -> None:
    c = _coefficients(seed)
    z = (x + 1j * y) / R_REFERENCE
    re, im, slope_re, slope_im = series_with_slope(x, y, *_rows(c))
    polynomial = np.polynomial.Polynomial(c)
    size = float(np.sum(np.abs(c) * np.abs(z) ** np.arange(c.size))) + 1.0
    assert abs(re + 1j * im - polynomial(z)) < 1e-14 * size
    slope = polynomial.deriv()(z) / R_REFERENCE
    assert abs(slope_re + 1j * slope_im - slope) < 1e-13 * size * 10 / R_REFERENCE
    assert (re, im) == series_value(x, y, *_rows(c)) or abs(re - series_value(x, y, *_rows(c))[0]) < 1e-13 * size


@given(x=coordinate, y=coordinate, seed=seeds)
@settings(deadline=None, max_examples=50)
def test_any_magnetic_series_has_no_curl_and_no_divergence(x: float, y: float, seed: int) -> None:
    rows = _rows(_coefficients(seed, 5))
    h = 1e-4
    # five-point differences: error h^4/30 times the fifth derivative, |c| 120/r0^5 (50/45)^0 < 4/r0^5 120
    tolerance = h**4 / 30.0 * 5.0 * 120.0 / R_REFERENCE**5 + 1e-11 / h

    def slope(axis: int) -> np.ndarray:
        def at(k: int) -> np.ndarray:
            shift = k * h
            return np.array(magnetic_field(x + shift * (axis == 0), y + shift * (axis == 1), *rows))

        return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h)

    d_dx, d_dy = slope(0), slope(1)
    assert abs(d_dx[0] + d_dy[1]) < tolerance
    assert abs(d_dx[1] - d_dy[0]) < tolerance


def test_electric_field_is_minus_the_gradient_of_the_potential() -> None:
    rows = _rows(_coefficients(7))
    x, y, h = 0.021, -0.013, 1e-5
    phi = lambda a, b: electric_field(a, b, *rows)[0]  # noqa: E731
    _, ex, ey = electric_field(x, y, *rows)
    # central differences: h^2/6 times the third derivative, 10 9 8 |c|/r0^3 times (r/r0)^7 (0.55^7) < 3e6
    assert abs(ex + (phi(x + h, y) - phi(x - h, y)) / (2 * h)) < 1e-4
    assert abs(ey + (phi(x, y + h) - phi(x, y - h)) / (2 * h)) < 1e-4


def test_normal_and_skew_terms_have_the_usual_angles() -> None:
    n, strength = 3, 2.0e-5
    phi = np.linspace(0.0, 2.0 * np.pi, 13)
    for skew in (False, True):
        c = np.zeros(n + 1, dtype=complex)
        c[n] = -1j * strength if skew else strength
        by = [magnetic_field(R_REFERENCE * np.cos(p), R_REFERENCE * np.sin(p), *_rows(c))[1] for p in phi]
        expected = strength * (np.sin(n * phi) if skew else np.cos(n * phi))
        np.testing.assert_allclose(by, expected, atol=1e-18)
