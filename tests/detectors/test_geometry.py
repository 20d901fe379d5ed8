"""Places of calorimeters, chamber, plates and collimators."""

import math
from dataclasses import replace

import numpy as np
import pytest

from detectors.boundary import LID, WINDOW, cell_of, collimator_metal, face_distance, plate_metal, vacuum_margin
from detectors.geometry import CELL, Geometry
from fields.ring import R0, RING

GEOMETRY = Geometry()
TABLES = GEOMETRY.tables()
ORIGIN = math.radians(5.752)  # theta of the geometry note's azimuth 0


def at(r: float, phi_deg: float) -> tuple[float, float]:
    """Global X, Z of a radius and an azimuth in the geometry origin."""
    theta = ORIGIN + math.radians(phi_deg)
    return r * math.cos(theta), r * math.sin(theta)


def test_face_centres_are_at_6901_mm_and_11_904_deg_every_15_deg():
    centres = GEOMETRY.face_centres
    radius = np.hypot(centres[:, 0], centres[:, 2])
    azimuth = np.degrees(np.unwrap(np.arctan2(centres[:, 2], centres[:, 0])) - ORIGIN)
    np.testing.assert_allclose(radius, 6.9012, atol=5e-5)
    np.testing.assert_allclose(azimuth, 11.904 + 15.0 * np.arange(24), atol=5e-4)
    assert (centres[:, 1] == 0).all()
    ring = [station.theta for station in RING.calorimeters]
    np.testing.assert_allclose(np.mod(np.radians(azimuth) + ORIGIN, 2 * math.pi), ring, atol=1e-5)


def test_faces_span_their_box_and_look_upstream_and_outwards():
    along, normal = GEOMETRY.face_along, GEOMETRY.face_normals
    centres = GEOMETRY.face_centres
    corner = centres + 0.5 * GEOMETRY.calorimeter.width * along
    inner = centres - 0.5 * GEOMETRY.calorimeter.width * along
    np.testing.assert_allclose(np.hypot(corner[:, 0], corner[:, 2]), R0 - 0.0978, atol=1e-4)
    np.testing.assert_allclose(np.hypot(inner[:, 0], inner[:, 2]), R0 - 0.3238, atol=1e-4)
    np.testing.assert_allclose((along * normal).sum(axis=1), 0.0, atol=1e-15)
    radial = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    downstream = np.stack([-radial[:, 2], np.zeros(24), radial[:, 0]], axis=1)
    assert ((normal * downstream).sum(axis=1) > 0.99).all()
    # 3.53 deg at the inner corner, less the 0.064 deg of azimuth from there to the centre.
    inwards = np.degrees(np.arcsin(-(normal * radial).sum(axis=1)))
    np.testing.assert_allclose(inwards, 3.53 - (11.904 - 11.84), atol=2e-3)


def test_kernel_tables_agree_with_the_global_faces():
    for k in range(24):
        point = GEOMETRY.face_centres[k] + 0.05 * GEOMETRY.face_along[k] - 0.02 * GEOMETRY.face_normals[k]
        depth, u = face_distance(point[0], point[2], k, TABLES)
        assert depth == pytest.approx(-0.02, abs=1e-14)
        assert u == pytest.approx(0.05, abs=1e-14)
        assert cell_of(point[0], point[2], TABLES)[0] == k


def test_wall_of_the_window_stands_just_before_the_face():
    # The vacuum ends 5.7 to 7.7 mm before the face: 5 mm of metal and a gap of 0.7 to 2.3 mm (G1).
    for u in (-0.07, 0.0, 0.1):
        point = GEOMETRY.face_centres[5] + u * GEOMETRY.face_along[5]
        before = point - 0.0080 * GEOMETRY.face_normals[5]
        after = point - 0.0050 * GEOMETRY.face_normals[5]
        assert vacuum_margin(before[0], 0.0, before[2], TABLES)[0] > 0
        margin, wall = vacuum_margin(after[0], 0.0, after[2], TABLES)
        assert margin < 0
        assert wall == WINDOW


@pytest.mark.parametrize(
    ("r", "phi", "y", "in_vacuum"),
    [
        (R0, 3.0, 0.0, True),
        (R0, 14.9, 0.0, True),
        (6.90, 11.0, 0.0, True),  # in the scallop
        (6.90, 1.0, 0.0, False),  # upstream of it
        (6.90, 12.5, 0.0, False),  # inside of the calorimeter
        (7.230, 5.0, 0.0, False),
        (R0, 5.0, 0.070, False),
        (R0, 5.0, -0.068, True),
    ],
)
def test_vacuum_is_where_the_chamber_says(r, phi, y, in_vacuum):
    for cell in range(24):
        x, z = at(r, phi + 15 * cell)
        assert (vacuum_margin(x, y, z, TABLES)[0] > 0) == in_vacuum


def test_margin_is_the_distance_to_the_nearest_lid_in_the_storage_region():
    x, z = at(R0, 4.0)
    margin, wall = vacuum_margin(x, 0.02, z, TABLES)
    assert wall == LID
    assert margin == pytest.approx(0.049, abs=1e-12)


def test_slanted_wall_is_1434_mm_long_and_inclined_by_13_deg():
    corners = TABLES.corners
    edge = corners[1, :2] - corners[0, :2]
    assert np.hypot(*edge) == pytest.approx(1.4336, abs=1e-4)
    # G1 states 12.83 deg besides the corners, which lie 0.43 deg steeper (11 mm at the far end): corners are used.
    assert math.degrees(math.atan2(-edge[0], edge[1])) == pytest.approx(12.83, abs=0.45)


def test_outline_closes_on_itself_but_for_the_step_between_cells():
    outline = GEOMETRY.wall_outline(50)
    gaps = np.linalg.norm(np.diff(np.vstack([outline, outline[:1]]), axis=0), axis=1)
    # Pieces of the longest edge, 1.434 m / 50, and steps of 4 mm where a cell meets the next.
    assert gaps.max() < 0.0288


def test_plates_are_met_only_within_their_ends_and_heights():
    quad = RING.quads[0]
    middle = 0.5 * (quad.theta_start + quad.theta_end)
    args = (R0 - 0.049, 0.0, R0 - 0.051, 0.0)
    # At a slope of 1 a plate is crossed in its own thickness, within 1e-6 of curvature.
    assert plate_metal(*args, middle, -1.0, 0.0, 0.0, TABLES)[0] == pytest.approx(0.0005, rel=1e-5)
    assert plate_metal(*args, quad.theta_start - 1e-6, -1.0, 0.0, 0.0, TABLES)[0] == 0.0
    assert plate_metal(args[0], 0.03, args[2], 0.03, middle, -1.0, 0.0, 0.0, TABLES)[0] == 0.0
    outer = (R0 + 0.049, 0.0, R0 + 0.051, 0.0)
    assert plate_metal(*outer, middle, 1.0, 0.0, 0.0, TABLES)[0] == pytest.approx(0.0001, rel=1e-5)
    top = (R0, 0.049, R0, 0.051)
    assert plate_metal(*top, middle, 0.0, 1.0, 0.0, TABLES)[0] == pytest.approx(0.003, rel=1e-5)
    kicker = RING.kickers[1]
    inside = 0.5 * (kicker.theta_start + kicker.theta_end)
    deep = (R0 - 0.050, 0.035, R0 - 0.052, 0.035)
    assert plate_metal(*deep, inside, -1.0, 0.0, 0.0, TABLES)[0] == pytest.approx(0.00075, rel=1e-5)


def test_collimator_is_a_ring_from_45_to_55_mm():
    theta = RING.collimators[2].theta
    for distance, metal in ((0.044, 0.0), (0.046, 0.00635), (0.054, 0.00635), (0.056, 0.0)):
        assert collimator_metal(R0, distance, theta - 1e-3, theta + 1e-3, TABLES)[0] == metal
    assert collimator_metal(R0, 0.05, theta + 1e-3, theta + 2e-3, TABLES)[0] == 0.0


@pytest.mark.parametrize(("side", "inner", "outer"), [(-1, 0.00635, 0.0), (1, 0.0, 0.00635)])
def test_half_collimator_has_copper_on_its_side_only(side, inner, outer):
    one = replace(RING.collimators[2], side=side)
    tables = Geometry(ring=replace(RING, collimators=(one,))).tables()
    for x, metal in ((-0.050, inner), (0.050, outer)):
        assert collimator_metal(R0 + x, 0.0, one.theta - 1e-3, one.theta + 1e-3, tables)[0] == metal


def test_cells_cover_the_turn():
    for theta in np.linspace(0, 2 * math.pi, 400, endpoint=False):
        k, phi = cell_of(R0 * math.cos(theta), R0 * math.sin(theta), TABLES)
        assert 0 <= k < 24
        assert -1e-12 <= phi < CELL + 1e-12
        turned = GEOMETRY.cell_azimuths[k] + phi - theta
        assert math.remainder(turned, 2 * math.pi) == pytest.approx(0.0, abs=1e-12)


def test_fraction_of_a_step_at_a_plate_is_where_its_line_crosses_it():
    quad = RING.quads[2]
    middle = 0.5 * (quad.theta_start + quad.theta_end)
    _, at = plate_metal(R0 - 0.045, 0.0, R0 - 0.065, 0.0, middle, -0.3, 0.0, 0.0, TABLES)
    assert at == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"depth": 2.0}, "overlap their neighbours"),
        ({"corner_phi": math.radians(11.5)}, "vacuum chamber"),
        ({"corner_radius": 7.1}, "vacuum chamber"),
        ({"crystals": 0.2}, "do not fit"),
    ],
)
def test_calorimeter_that_does_not_fit_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        Geometry(calorimeter=replace(GEOMETRY.calorimeter, **wrong))


def test_crystals_lie_between_their_least_and_largest_radius():
    _, least, largest = TABLES.crystals
    box = GEOMETRY.calorimeter
    u, d = np.meshgrid(np.linspace(-0.5, 0.5, 201) * box.width, np.linspace(0.0, box.crystals, 50))
    x = box.centre[0] + u * box.along[0] + d * box.normal[0]
    z = box.centre[1] + u * box.along[1] + d * box.normal[1]
    assert least < np.hypot(x, z).min()
    assert largest > np.hypot(x, z).max()
