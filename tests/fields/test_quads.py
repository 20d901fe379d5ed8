"""Electrostatic quadrupoles: voltage, field index, multipoles, displacement, ends."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import constants

from fields.fringe import REACH, effective_extension
from fields.plates import Chamber, PlateGeometry, plate_series
from fields.quads import (
    POLARITY,
    Placement,
    QuadSettings,
    clear_collimators,
    displaced_series,
    pure_quadrupole,
    quad_end_potential,
    quad_field,
    quad_potential,
    quad_table,
)
from fields.ring import B0_NOMINAL, QUAD_HALF_GAP, R0, R_REFERENCE, TWO_PI, Ring

BETA = 0.99941755  # of a muon at the magic momentum
E989 = Ring.e989()


@pytest.mark.parametrize(("voltage", "n"), [(18_300.0, 0.108), (20_400.0, 0.120)])
def test_set_voltages_give_the_published_field_indices(voltage: float, n: float) -> None:
    # published are smooth-ring values of the measured f_CBO, rounded to 1e-3; the discrete ring takes 0.7 % more
    assert QuadSettings(voltage=voltage).field_index(beta=BETA) == pytest.approx(n, rel=0.012)


def test_effective_voltage_is_the_two_dimensional_gradient_times_the_longer_plates() -> None:
    ideal = QuadSettings(geometry=None, fringe=False)
    gradient = QuadSettings(fringe=False)
    whole = QuadSettings()
    two_dimensional = gradient.field_index(beta=BETA) / ideal.field_index(beta=BETA)
    ends = whole.field_index(beta=BETA) / gradient.field_index(beta=BETA)
    length = sum(quad.length for quad in E989.quads) * R0
    # "about 4 %" (Valetov and Berz); the table of G2 has 20177.8 V/(24 kV 0.81) = 1.0380
    assert two_dimensional == pytest.approx(1.0380, abs=1e-3)
    assert ends == pytest.approx(1.0 + 16.0 * effective_extension() / length, rel=1e-9)
    assert two_dimensional * ends == pytest.approx(1.047, abs=1.5e-3)


@given(n=st.floats(0.05, 0.2), ring=st.sampled_from([Ring.e989(), Ring.reference(), Ring.continuous()]))
def test_field_index_asked_for_is_the_field_index_got(n: float, ring: Ring) -> None:
    settings_n = QuadSettings().with_field_index(n, ring, B0_NOMINAL, BETA)
    assert settings_n.field_index(ring, B0_NOMINAL, BETA) == pytest.approx(n, rel=1e-14)


def test_gradient_of_the_reference_ring() -> None:
    # kappa R0/(beta c B0) averaged = 0.108 -> kappa in the quads 15.2382 MV/m^2 at B0 = 1.4512993 T, p_magic
    quads = QuadSettings.ideal(0.108, Ring.reference(), 1.4512993, 0.999417545)
    kappa = 0.108 * 0.999417545 * constants.c * 1.4512993 / R0 * 360.0 / 156.0
    assert quads.gradient == pytest.approx(kappa, rel=1e-14)
    assert quads.gradient == pytest.approx(1.52382e7, rel=1e-5)


def test_ideal_quads_focus_vertically_and_linearly() -> None:
    ring = Ring.reference()
    quads = QuadSettings.ideal(0.108, ring)
    table = quad_table(quads, ring)
    x, y = 0.012, -0.034
    phi, ex, ey, es = quad_field(x, y, math.radians(30.0), table)
    assert ex == pytest.approx(quads.gradient * x, rel=1e-13)
    assert ey == pytest.approx(-quads.gradient * y, rel=1e-13)
    assert phi == pytest.approx(-0.5 * quads.gradient * (x * x - y * y), rel=1e-13)
    assert es == 0.0


def test_hyperbolic_plates_at_their_faces_have_the_voltage() -> None:
    quads = QuadSettings(voltage=1.0, geometry=None)
    a = quads.coefficients("Q1 short")
    assert a[2].real * (QUAD_HALF_GAP / R_REFERENCE) ** 2 == pytest.approx(-1.0, rel=1e-14)
    assert quads.gradient == pytest.approx(2.0 / QUAD_HALF_GAP**2, rel=1e-14)
    assert pure_quadrupole().shape == (4, 3)


def test_top_and_bottom_plates_are_positive() -> None:
    table = quad_table(QuadSettings())
    inside = math.radians(50.0)
    assert quad_field(0.0, 0.045, inside, table)[0] > 10_000.0
    assert quad_field(0.0, -0.045, inside, table)[0] > 10_000.0
    assert quad_field(0.045, 0.0, inside, table)[0] < -10_000.0


def test_coefficients_are_the_plates_at_their_voltages() -> None:
    quads = QuadSettings(
        voltage=20_000.0,
        voltage_scale={"Q3 short": 0.5, "Q4 long": 0.0},
        plate_scale={"Q2 long": (1.0, 13.0 / 20.0, 1.0, 1.0)},
        plate_offset={"Q1 long": (0.0, 0.0, 0.0, -300.0)},
    )
    np.testing.assert_array_equal(quads.plate_voltages("Q2 short"), [20e3, 20e3, -20e3, -20e3])
    np.testing.assert_array_equal(quads.plate_voltages("Q3 short"), [10e3, 10e3, -10e3, -10e3])
    np.testing.assert_allclose(quads.plate_voltages("Q2 long"), [20e3, 13e3, -20e3, -20e3], rtol=1e-15)
    np.testing.assert_array_equal(quads.plate_voltages("Q1 long"), [20e3, 20e3, -20e3, -20.3e3])
    plain = quads.coefficients("Q2 short")
    assert plain.shape == (11,)
    np.testing.assert_allclose(quads.coefficients("Q3 short"), 0.5 * plain, rtol=1e-14)
    assert not quads.coefficients("Q4 long").any()
    outer = plate_series(PlateGeometry(), 10)[3]
    np.testing.assert_allclose(quads.coefficients("Q1 long") - plain, -300.0 * outer, atol=1e-9)
    table = quad_table(quads)
    np.testing.assert_array_equal(table.real[0] + 1j * table.imag[0], plain)


def test_lower_bottom_plate_steers_as_published() -> None:
    # One plate at 17 of 24 kV (bottom): G2 has normal n = 2 18706, skew n = 1 -2155, n = 3 837, n = 5 -117 [V], for
    # mu-; here a_n = -(normal - i skew).
    quads = QuadSettings(voltage=24_000.0, plate_scale={"Q2 long": (1.0, 17.0 / 24.0, 1.0, 1.0)})
    a = quads.coefficients("Q2 long")
    assert -a[2].real == pytest.approx(18706.0, rel=0.01)
    assert abs(a[1].imag) == pytest.approx(2155.0, rel=0.03)
    assert abs(a[3].imag) == pytest.approx(837.0, rel=0.03)
    assert abs(a[5].imag) == pytest.approx(117.0, rel=0.2)
    # the higher top pushes mu+ down: E_y < 0 at the centre
    table = quad_table(quads)
    assert quad_field(0.0, 0.0, math.radians(140.0), table)[2] == pytest.approx(-2155.0 / 0.045, rel=0.03)


def test_a_moved_quad_is_the_solution_of_moved_plates() -> None:
    dx, dy = 0.0012, -0.0008
    bare = PlateGeometry(rails=False)
    moved = {name: replace(getattr(bare, name), dx=dx, dy=dy) for name in ("top", "bottom", "inner", "outer")}
    # the chamber is only moved in x: its height is symmetric
    sideways = {name: replace(plate, dy=0.0) for name, plate in moved.items()}
    chamber = Chamber(-0.0762 + dx, 0.1110 + dx, 0.0690)
    solved = plate_series(PlateGeometry(**sideways, chamber=chamber, rails=False), 6)
    expanded = displaced_series(plate_series(bare, 14), Placement(dx, 0.0))[:, :7]
    # what the 15th order feeds down: 15 (1.2/45) of 1e-3
    np.testing.assert_allclose(expanded, solved, atol=2e-5)
    # vertically the walls stay: 0.8 of 19 mm from plate to wall changes the potential by 1 % of the displacement's part
    lifted = {name: replace(plate, dx=0.0) for name, plate in moved.items()}
    solved = POLARITY @ plate_series(PlateGeometry(**lifted, rails=False), 3)
    expanded = POLARITY @ displaced_series(plate_series(bare, 14), Placement(0.0, dy))[:, :4]
    assert solved[1].imag == pytest.approx(expanded[1].imag, rel=0.05)


@given(x=st.floats(-0.003, 0.003), y=st.floats(-0.003, 0.003), roll=st.floats(-0.05, 0.05), px=st.floats(-0.03, 0.03))
@settings(deadline=None, max_examples=40)
def test_potential_moves_with_the_quad(x: float, y: float, roll: float, px: float) -> None:
    plain = QuadSettings(toroidal=False)
    moved = replace(plain, placement={"Q1 short": Placement(x, y, roll)})
    a, b = plain.coefficients("Q1 short"), moved.coefficients("Q1 short")
    z = complex(px, 0.01)
    here = (z - complex(x, y)) * np.exp(-1j * roll)
    n = np.arange(a.size)
    expected = (a * (here / R_REFERENCE) ** n).sum().real
    assert (b * (z / R_REFERENCE) ** n).sum().real == pytest.approx(expected, abs=1e-9 * 18_300.0)


def test_displaced_quadrupole_makes_the_dipole_of_its_gradient() -> None:
    moved = replace(QuadSettings.ideal(), placement={"Q1 long": Placement(0.0, 0.001)})
    table = quad_table(moved)
    # E_y = -k (y - 1 mm)
    assert quad_field(0.0, 0.0, math.radians(50.0), table)[2] == pytest.approx(moved.gradient * 1e-3, rel=1e-12)


def test_displaced_outer_plate_keeps_the_quadrupole() -> None:
    quads = QuadSettings().with_displaced_outer_plate()
    a, plain = quads.coefficients("Q1 long"), quads.coefficients("Q1 short")
    assert a[2].real == pytest.approx(plain[2].real, rel=0.006)
    assert quads.plate_voltages("Q1 long")[3] == pytest.approx(-2.22 * 18_300.0)
    assert quads.plates("Q1 long").outer.dx == 0.020
    assert quads.plates("Q1 short") == PlateGeometry()


def test_without_multipoles_only_the_quadrupole_is_left() -> None:
    a = QuadSettings(multipoles=False).coefficients("Q2 long")
    assert np.flatnonzero(a).tolist() == [2]
    assert a[2] == QuadSettings().coefficients("Q2 long")[2]


@given(x=st.floats(-0.045, 0.045), y=st.floats(-0.045, 0.045), toroidal=st.booleans())
@settings(deadline=None, max_examples=50)
def test_field_is_minus_the_gradient_and_satisfies_gauss(x: float, y: float, toroidal: bool) -> None:
    quads = QuadSettings(toroidal=toroidal)
    table = quad_table(quads)
    row = (table.real[1], table.imag[1], table.curvature)
    # Five-point differences: rounding 1e-16 * 2e4 V/h = 1e-8 V/m; truncation h^4/30 d5: the 20-pole at 64 mm,
    # 300 V 30240/r0^5 (64/45)^5, h = 2e-4: 3 V/m of 1e6; of the field one order more, 6/r0 times: 4e2 V/m^2 of 3e7.
    h = 2e-4

    def slope(axis: int) -> np.ndarray:
        def at(k: int) -> np.ndarray:
            return np.array(quad_potential(x + k * h * (axis == 0), y + k * h * (axis == 1), *row))

        return (8.0 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12.0 * h)

    d_dx, d_dy = slope(0), slope(1)
    phi, ex, ey = quad_potential(x, y, *row)
    assert abs(ex + d_dx[0]) < 5.0
    assert abs(ey + d_dy[0]) < 5.0
    curvature_term = ex / (R0 + x) if toroidal else 0.0
    # what sqrt(1 + u) leaves: phi/(4 R0^2)
    left = abs(phi) / (4.0 * R0**2) * 1.1 if toroidal else 0.0
    assert abs(d_dx[1] + d_dy[2] + curvature_term) < 1500.0 + left


@given(x=st.floats(-0.04, 0.04), y=st.floats(-0.04, 0.04), s=st.floats(-0.1, 0.1), toroidal=st.booleans())
@settings(deadline=None, max_examples=50)
def test_field_at_the_ends_is_minus_the_gradient_in_the_curved_ring(
    x: float, y: float, s: float, toroidal: bool
) -> None:
    table = quad_table(QuadSettings(toroidal=toroidal))
    h = 2e-4

    def phi(dx: float, dy: float, ds: float) -> float:
        row = (table.real[1], table.imag[1], table.curvature, table.profile)
        return float(quad_end_potential(x + dx, y + dy, s + ds, *row)[0])

    def slope(*axis: int) -> float:
        at = [phi(*(k * h * one for one in axis)) for k in (-2, -1, 1, 2)]
        return (8.0 * (at[2] - at[1]) - (at[3] - at[0])) / (12.0 * h)

    _, ex, ey, es = quad_end_potential(x, y, s, table.real[1], table.imag[1], table.curvature, table.profile)
    assert abs(ex + slope(1, 0, 0)) < 5.0
    assert abs(ey + slope(0, 1, 0)) < 5.0
    assert abs(es * (1.0 + x / R0) + slope(0, 0, 1)) < 5.0


def test_ends_push_outward_where_the_potential_is_positive() -> None:
    table = quad_table(QuadSettings())
    quad = E989.quads[2]
    upstream, downstream = quad.theta_start - 0.01 / R0, quad.theta_end + 0.01 / R0
    assert quad_field(0.0, 0.02, upstream, table)[3] < -1e4
    assert quad_field(0.0, 0.02, downstream, table)[3] > 1e4
    # the two ends are mirror images
    np.testing.assert_allclose(
        np.array(quad_field(0.0, 0.02, downstream, table)) * [1, 1, 1, -1],
        quad_field(0.0, 0.02, upstream, table),
        rtol=1e-9, atol=1e-6,
    )  # fmt: skip


def test_field_joins_smoothly_where_the_fringe_begins_and_ends() -> None:
    table = quad_table(QuadSettings())
    quad = E989.quads[1]
    for edge in (quad.theta_start + REACH / R0, quad.theta_start - REACH / R0):
        below, above = (np.array(quad_field(0.03, 0.02, edge + d, table)) for d in (-1e-9, 1e-9))
        # F differs from 0 or 1 by 2e-4 there; of 500 kV/m and 15 kV
        assert np.abs(below - above)[1:].max() < 3e-4 * 5e5
        assert abs(below - above)[0] < 3e-4 * 1.5e4


def test_between_quads_and_outside_the_plates_there_is_no_field() -> None:
    table = quad_table(QuadSettings())
    nothing = (0.0, 0.0, 0.0, 0.0)
    assert quad_field(0.02, 0.02, math.radians(37.0), table) == nothing
    assert quad_field(0.051, 0.0, math.radians(30.0), table) == nothing
    assert quad_field(0.0, -0.051, math.radians(30.0), table) == nothing


def test_hard_edges_have_the_integral_of_the_soft_ends() -> None:
    quads = QuadSettings(multipoles=False)
    table, quad = quad_table(quads), E989.quads[3]
    theta = np.linspace(quad.theta_start - 0.2 / R0, quad.theta_end + 0.2 / R0, 20_001)
    # a 2 mm offset: the second derivative of F, whose integral vanishes anyway, is 1e-3 of the field
    slope = np.array([quad_field(0.002, 0.0, float(one), table)[1] for one in theta]) / 0.002
    start, end = quads.effective_edges(quad)
    # cut at 160 mm, where 2e-4 is left over some 20 mm: 4e-6 m of 3 m
    assert np.trapezoid(slope, theta) == pytest.approx(quads.gradient * (end - start), rel=5e-6)
    assert (end - start - quad.length) * R0 == pytest.approx(2.0 * effective_extension(), rel=1e-9)


def test_quads_all_around_and_ideal_quads_have_no_ends() -> None:
    around = Ring.continuous()
    assert QuadSettings().effective_edges(around.quads[0]) == (0.0, TWO_PI)
    assert QuadSettings.ideal().effective_edges(E989.quads[0]) == (E989.quads[0].theta_start, E989.quads[0].theta_end)
    assert not quad_table(QuadSettings(), around).reach.any()
    assert not quad_table(QuadSettings.ideal()).reach.any()


def test_collimators_at_plate_ends_stand_at_the_effective_edge() -> None:
    quads = QuadSettings()
    cleared = {c.name: c.theta for c in clear_collimators(E989, quads).collimators}
    plain = {c.name: c.theta for c in E989.collimators}
    for name, quad in (("C2", E989.quads[3]), ("C3", E989.quads[5]), ("C5", E989.quads[7])):
        assert cleared[name] == quads.effective_edges(quad)[1]
        assert (cleared[name] - plain[name]) * R0 == pytest.approx(effective_extension(), rel=1e-9)
    assert (cleared["C1"], cleared["C4"]) == (plain["C1"], plain["C4"])
    assert clear_collimators(E989, QuadSettings.ideal()) == E989


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuadSettings(voltage=-1.0), "voltage = -1.0 V is out of bounds: give 0 to 40000 V"),
        (lambda: QuadSettings(voltage=float("nan")), "voltage = nan V"),
        (lambda: QuadSettings(order=1), "quad order = 1 is out of bounds: give 2"),
        (lambda: QuadSettings(order=15), "quad order = 15 is out of bounds"),
        (lambda: QuadSettings(placement={"Q1 long": Placement(0.03)}), "Q1 long is displaced by .* less than 20 mm"),
        (lambda: QuadSettings(placement={"Q1 long": Placement(roll=math.nan)}), "Q1 long is displaced"),
        (lambda: QuadSettings.ideal().plates("Q1 long"), "ideal plates of Q1 long have no shape"),
        (lambda: QuadSettings(voltage=0.0).with_field_index(0.1), "set a voltage"),
    ],
)
def test_impossible_settings_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
