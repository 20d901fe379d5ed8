"""Transverse shape of the kicker's field."""

import numpy as np
import pytest

from fields.kicker_plates import kicker_multipoles, kicker_section, kicker_shape
from fields.ring import R_REFERENCE, TWO_PI

# B_y over that at the centre, read from the map KickerE989 of lyon-fnal/gm2ringsim @44aca36
MIDPLANE = {0.010: 1.019, 0.020: 1.059, 0.030: 1.065, 0.040: 0.964}
VERTICAL = {0.015: 0.949, 0.030: 0.765, 0.045: 0.474}


def test_shape_is_that_of_the_published_map() -> None:
    for x, value in MIDPLANE.items():
        for side in (x, -x):
            bx, by = kicker_shape([side], [0.0])
            assert by[0] == pytest.approx(value, abs=4e-3)
            assert abs(bx[0]) < 1e-12
    for y, value in VERTICAL.items():
        assert kicker_shape([0.0], [y])[1][0] == pytest.approx(value, abs=4e-3)


def test_series_is_the_field_up_to_30_millimetres() -> None:
    z = 0.030 * np.exp(1j * TWO_PI * np.arange(60) / 60)
    bx, by = kicker_shape(z.real, z.imag)
    k = kicker_multipoles()
    assert k.shape == (11,)
    assert k[0] == 1.0
    assert not k[1::2].any()
    # first term left out: (30/45)^12 of a multipole below 0.3
    np.testing.assert_allclose(np.polynomial.polynomial.polyval(z / R_REFERENCE, k), by + 1j * bx, atol=2.5e-3)


def test_field_has_neither_sources_nor_currents_between_the_plates() -> None:
    # div B = 0 and curl B = 0 together: B_y + i B_x is analytic, its mean over a circle is its value at the centre
    x, y = np.array([0.0, 0.02, 0.03]), np.array([0.0, 0.02, -0.01])
    circle = 0.003 * np.exp(1j * TWO_PI * np.arange(32) / 32)
    around = kicker_shape(x[:, None] + circle.real, y[:, None] + circle.imag)
    for ring, here in zip(around, kicker_shape(x, y), strict=True):
        np.testing.assert_allclose(ring.mean(axis=1), here, atol=1e-12)


def test_no_field_line_crosses_a_plate() -> None:
    # A_z is the same all over a plate: along the inner face of the outer one
    angle = np.linspace(-0.55, 0.55, 23)
    on_face = kicker_section().potential(0.04493 * np.cos(angle), 0.04493 * np.sin(angle))
    # the face is a polygon: chords of 1.2 mm lie up to 4 um inside the arc, 4e-6 m of 20 to 60 per metre
    np.testing.assert_allclose(on_face[0], 1.0, atol=1e-3)
    np.testing.assert_allclose(on_face[1], 0.0, atol=1e-3)


def test_shape_agrees_with_the_whole_map(measured) -> None:
    rows = np.loadtxt(measured("KickerE989.dat"), comments="!", skiprows=2)
    centre = rows[np.argmin(np.hypot(rows[:, 0], rows[:, 1])), 3]
    inside = rows[np.hypot(rows[:, 0], rows[:, 1]) < 3.5]
    bx, by = kicker_shape(inside[:, 0] / 100.0, inside[:, 1] / 100.0)
    # noise of the map itself: 2e-3
    assert np.abs(by - inside[:, 3] / centre).max() < 0.02
    assert np.sqrt(np.mean((by - inside[:, 3] / centre) ** 2)) < 4e-3
    assert np.sqrt(np.mean((bx - inside[:, 2] / centre) ** 2)) < 4e-3
