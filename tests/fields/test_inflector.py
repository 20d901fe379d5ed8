"""The inflector: aperture, channel, leakage."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.inflector import InflectorChannel, InflectorExit, Leakage, inside_exit
from fields.ring import R0
from fields.storage import StorageField, storage_field

EXIT = InflectorExit()
TABLE = EXIT.table()
CORNERS = EXIT.polygon()


def _crossings(x: float, y: float) -> bool:
    """Inside the polygon by counting the edges that a ray outwards crosses."""
    inside = False
    for (xa, ya), (xb, yb) in itertools.pairwise(CORNERS):
        if (ya > y) != (yb > y) and x < xa + (y - ya) * (xb - xa) / (yb - ya):
            inside = not inside
    return inside


@given(x=st.floats(0.060, 0.095), y=st.floats(-0.035, 0.035))
@settings(deadline=None)
def test_point_is_inside_the_aperture_when_it_is_inside_its_polygon(x: float, y: float) -> None:
    edges = np.array([abs(x - 0.068), abs(x - 0.086), abs(abs(y) - 0.028), abs(abs(y) - 0.016)])
    tapered = abs(abs(y) - (0.028 - 0.012 * (x - 0.077) / 0.009))
    if min(edges.min(), tapered) > 1e-12:  # on an edge both answers are right
        assert bool(inside_exit(x, y, TABLE)) == _crossings(x, y)


def test_aperture_is_18_by_56_mm_with_the_outer_half_tapered_to_32_mm() -> None:
    assert np.ptp(CORNERS, axis=0) == pytest.approx([0.018, 0.056])
    assert CORNERS[:, 0].min() + CORNERS[:, 0].max() == pytest.approx(2 * 0.077)
    x, y = CORNERS[:-1].T
    area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    assert area == pytest.approx(0.009 * 0.056 + 0.009 * 0.5 * (0.056 + 0.032))  # positive: anticlockwise
    for point, wanted in [
        ((0.068, 0.028), True),
        ((0.0679, 0.0), False),
        ((0.077, 0.028), True),
        ((0.0859, 0.0161), True),
        ((0.0859, 0.0163), False),
        ((0.0861, 0.0), False),
        ((math.nan, 0.0), False),
        ((0.077, math.nan), False),
    ]:
        assert bool(inside_exit(*point, TABLE)) is wanted


def test_aperture_stays_clear_of_the_stored_beam() -> None:
    assert CORNERS[:, 0].min() > 0.045 + 0.020


def test_channel_is_a_straight_line_that_ends_at_the_exit() -> None:
    channel = InflectorChannel()
    distance = np.linspace(0.0, channel.length, 50)
    x, theta = channel.axis(distance)
    assert (x[0], theta[0]) == (pytest.approx(0.077), 0.0)
    points = np.array([(R0 + x) * np.cos(theta), (R0 + x) * np.sin(theta)])
    steps = np.diff(points, axis=1)
    np.testing.assert_allclose(np.hypot(*steps), distance[1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(steps[0] * steps[1, 0] - steps[1] * steps[0, 0]), 0.0, atol=1e-14)
    # the beam leaves 2.4 mrad outwards of the tangent
    beam = points[:, 0] - points[:, 1]
    assert math.atan2(beam[0], beam[1]) == pytest.approx(2.4e-3, rel=1e-6)


def test_leakage_is_nothing_unless_asked_for_and_then_what_was_asked_for() -> None:
    assert not Leakage().field(0.03, 0.01, -0.1).any()
    field = Leakage(2e-6).field(0.045, 0.0, 0.0)
    assert field == pytest.approx([0.0, 2e-6, 0.0], abs=1e-20)


def test_leakage_obeys_maxwells_equations() -> None:
    leakage = Leakage(1e-5)
    random = np.random.default_rng(8)
    h = 2e-4
    r, phi = 0.045 * np.sqrt(random.random(300)), random.uniform(0, 2 * math.pi, 300)
    x, y, s = r * np.cos(phi), r * np.sin(phi), random.uniform(-2.5, 0.5, 300)

    def field(dx: float, dy: float, ds: float) -> np.ndarray:
        return leakage.field(x + dx, y + dy, (s + ds) / R0)

    d = np.array([(8 * (field(*a) - field(*-a)) - (field(*2 * a) - field(*-2 * a))) / (12 * h) for a in h * np.eye(3)])
    (bx, _, bs), u = field(0, 0, 0), 1.0 + x / R0
    curl = [d[1, 2] - d[2, 1] / u, d[2, 0] / u - d[0, 2] - bs / (R0 * u), d[0, 1] - d[1, 0]]
    divergence = d[0, 0] + d[1, 1] + bx / (R0 * u) + d[2, 2] / u
    # five-point differences of B ~ rho^-2 at rho > 22 mm: h^4/30 * 720 B/rho^5
    bound = h**4 / 30 * 720 * 2e-5 / 0.022**5 + 1e-12
    assert np.abs(curl).max() < bound
    assert np.abs(divergence).max() < bound
    assert np.abs(d).max() > 1e4 * bound


def test_leakage_beside_a_long_channel_is_that_of_two_opposite_line_currents() -> None:
    # independent: wires with currents +-I at v = +-d/2, each B = mu0 I/(2 pi rho) around it, summed as they are;
    # d = 0.1 mm, next order (d/2 rho)^2 = 3e-6
    leakage = Leakage(1e-6, InflectorChannel(length=2000.0, swing=0.0))
    # near the exit, half a line: twice that far upstream; the line is straight, so go along it, not along the ring
    back = 100.0
    for v, y in ((-0.05, 0.0), (-0.06, 0.02), (-0.04, -0.03)):
        x = math.hypot(R0 + 0.077 + v, back) - R0
        theta = -math.atan2(back, R0 + 0.077 + v)
        b_x, b_y, b_s = leakage.field(x, y, theta)
        b_v = b_x * math.cos(theta) - b_s * math.sin(theta)
        d, wires = 1e-4, np.zeros(2)
        for side in (-0.5, 0.5):
            away = np.array([v - side * d, y])
            wires += np.sign(side) * np.array([-away[1], away[0]]) / (away @ away)
        wires *= 2.0 * 1e-6 * 0.032**2 / d
        assert (b_v, b_y) == pytest.approx(tuple(wires), rel=1e-5, abs=1e-15)


def test_leakage_as_a_storage_field_is_the_leakage() -> None:
    leakage = Leakage(1e-6)
    field = leakage.storage_field()
    table = field.table()
    for x, y, s in [(0.0, 0.0, -0.5), (0.02, 0.01, -1.0), (-0.03, 0.0, 0.0), (0.01, -0.02, 0.03), (0.0, 0.03, -1.72)]:
        here = storage_field(x, y, s / R0, table)
        # the series beyond the fifth order: (r/77 mm)^6 of the field, and what curves along the ring
        assert here == pytest.approx(tuple(leakage.field(x, y, s / R0)), abs=0.01e-6)


def test_leakage_as_a_storage_field_is_a_percent_off_on_the_midplane_and_more_above_it() -> None:
    leakage, random = Leakage(1e-6), np.random.default_rng(1)
    table = leakage.storage_field().table()

    def worst(radius: float, angles: np.ndarray) -> float:
        places = random.uniform(-2.2, 0.5, angles.size) / R0
        points = zip(radius * np.cos(angles), radius * np.sin(angles), places, strict=True)
        return max(np.abs(np.array(storage_field(*p, table)) - leakage.field(*p)).max() for p in points) / 1e-6

    assert worst(0.030, np.repeat([0.0, math.pi], 200)) < 0.012
    # (r/77 mm)^6 and on; the limits are those that the documentation states
    assert worst(0.020, random.uniform(0.0, 2 * math.pi, 400)) < 0.055
    assert worst(0.030, random.uniform(0.0, 2 * math.pi, 400)) < 0.17


def test_sum_of_two_storage_fields_is_both_everywhere() -> None:
    leakage = Leakage(1e-6).storage_field()
    main = StorageField.from_coefficients([1.45, 1e-5 + 2e-5j, 0.0, 3e-6j])
    both = main + leakage
    assert both.order == 5
    at = np.linspace(0.0, 7.0, 50)
    wanted = leakage.multipoles(at)
    wanted[:, :4] += main.multipoles(at)
    np.testing.assert_allclose(both.multipoles(at), wanted, atol=1e-15)
    np.testing.assert_allclose((leakage + main).c, both.c, atol=1e-15)


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: InflectorExit(width=0.0), "above 0 m"),
        (lambda: InflectorExit(outer_height=0.06), "give at most"),
        (lambda: InflectorExit(centre=math.nan), "finite sizes"),
        (lambda: InflectorChannel(length=-1.0), "above 0 m"),
        (lambda: InflectorChannel(swing=2.4), "swing below 0.1"),
        (lambda: Leakage(math.inf), "finite field"),
    ],
)
def test_bad_inflector_is_one_sentence(build, what: str) -> None:
    with pytest.raises(ValueError, match=what) as caught:
        build()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
