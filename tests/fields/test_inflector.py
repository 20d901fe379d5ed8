"""The inflector: aperture, windows, channel, leakage, measured files."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from fields.falloff import builtin_falloff, falloff_field
from fields.inflector import (
    CHANNEL_FIELD,
    WINDOW,
    InflectorChannel,
    InflectorExit,
    Leakage,
    inside_exit,
    load_channel_field,
    load_magnet_edge,
)
from fields.maps import FieldMapError
from fields.ring import B0_NOMINAL, R0

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


def test_window_is_a_fifteenth_of_a_radiation_length() -> None:
    assert WINDOW.radiation_lengths == pytest.approx(0.066, abs=0.001)
    # Highland: 13.6 MeV/3.094 GeV sqrt(0.066) [1 + 0.038 ln 0.066] = 1.01 mrad
    assert WINDOW.scattering_angle(3.094) == pytest.approx(1.01e-3, abs=0.01e-3)


@pytest.mark.parametrize(("index", "lowest"), [(0, 1.615), (1, 1.403)])
def test_mean_energy_loss_lies_on_the_relativistic_rise(index: int, lowest: float) -> None:
    # minimum ionisation of Al and Cu [MeV cm^2/g], Particle Data Group; the density effect holds the rise to 25 %
    layer = WINDOW.layers[index]
    per_gram = 1e3 * layer.energy_loss(3.094) / (0.1 * layer.density * layer.thickness)
    assert lowest < per_gram < 1.26 * lowest
    # below the density effect (here 0.30 GeV/c) the formula is at its minimum, to 3 %
    at_minimum = min(layer.energy_loss(p) for p in np.linspace(0.2, 0.6, 41))
    assert 1e3 * at_minimum / (0.1 * layer.density * layer.thickness) == pytest.approx(lowest, rel=0.05)


def test_muon_loses_2_mev_in_one_end_of_the_inflector() -> None:
    assert WINDOW.energy_loss(3.094) == pytest.approx(1.9e-3, abs=0.1e-3)


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


def _write(folder: Path, text: str) -> Path:
    path = folder / "inflector.dat"
    path.write_bytes(text.encode())
    return path


CHANNEL = "\n".join(f"  -{mm}   {min(1.0, 0.5 + mm / 200, 0.5 + (1700 - mm) / 200):.4f}" for mm in range(0, 1701, 50))
EDGE = "\n".join(f"{mm}.000\t{1.45 - 1e-5 * mm**2:.7f}\t{-2e-2 * mm:.5f}" for mm in range(0, 310, 10))


def test_channel_field_is_read_with_rising_distance(tmp_path: Path) -> None:
    channel = load_channel_field(_write(tmp_path, CHANNEL + "\n     -1700     0.5\n"))
    assert channel.distance[[0, -1]] == pytest.approx([0.0, 1.7])
    assert (np.diff(channel.distance) > 0.0).all()
    assert channel.field([0.85, 0.025, -0.1, 1.8], 1.4) == pytest.approx([1.4, 1.4 * 0.625, 0.0, 0.0])


def test_magnet_edge_leaves_out_rows_without_a_field(tmp_path: Path) -> None:
    edge = load_magnet_edge(_write(tmp_path, EDGE + "\n   580.         -0.             -0.\n   600.   -0.   -0."))
    assert edge.x[-1] == pytest.approx(0.300)
    assert edge.gradient[10] == pytest.approx(-2.0)


@pytest.mark.parametrize(
    ("load", "text", "line", "what"),
    [
        (load_channel_field, CHANNEL.replace("-850", "-850 1"), 18, "3 numbers where"),
        (load_channel_field, CHANNEL.replace("-850", "x"), 18, "is not numbers"),
        (load_channel_field, CHANNEL.replace("  -", "  "), 0, "covers -1.7"),
        (load_channel_field, "\n".join(row + "e4" for row in CHANNEL.split("\n")), 0, "in the middle"),
        (load_channel_field, "-1 1\n", 0, "holds 1 rows"),
        (load_magnet_edge, EDGE.replace("1.4500000", "inf"), 1, "not finite"),
        (load_magnet_edge, EDGE.replace("\t-", "\t"), 0, "third column"),
        (load_magnet_edge, "1 0 0\n2 0 0\n3 0 0\n4 0 0\n", 0, "holds 0 rows with a field"),
    ],
)
def test_broken_inflector_file_names_file_line_and_reason(
    tmp_path: Path, load, text: str, line: int, what: str
) -> None:
    with pytest.raises(FieldMapError, match=what) as caught:
        load(_write(tmp_path, text))
    message = str(caught.value)
    assert "inflector.dat" in message
    assert message.endswith(".")
    assert "\n" not in message
    if line:
        assert caught.value.line == line


def test_measured_channel_field_is_symmetric_and_cancels_the_main_field(measured) -> None:
    channel = load_channel_field(measured("g2InflectorFieldMap.dat"))
    at = np.linspace(0.002, 0.85, 200)
    np.testing.assert_allclose(channel.field(at), channel.field(1.7 - at), atol=0.02 * CHANNEL_FIELD)
    assert channel.field(0.85) == pytest.approx(0.98 * B0_NOMINAL, abs=0.01)


def test_file_called_storage_fringe_is_the_main_magnet_seen_from_the_incoming_beam(measured) -> None:
    edge = load_magnet_edge(measured("g2InflectorStorageFringeMap.dat"))
    assert edge.x[-1] == pytest.approx(0.57)
    falloff = builtin_falloff()
    near = edge.x < 0.28  # to R = 7.39 m; the table's error outside 7.22 m is 4 % of B0
    main = np.array([falloff_field(R0 + x, 0.0, falloff)[1] for x in edge.x[near]])
    np.testing.assert_allclose(edge.by[near], main, atol=0.04 * B0_NOMINAL)
    # and its third column is the gradient: integrated it gives back the second, to the steps of 10 mm
    integral = integrate.cumulative_trapezoid(edge.gradient, edge.x, initial=0.0)
    np.testing.assert_allclose(edge.by[0] + integral, edge.by, atol=0.005)


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
