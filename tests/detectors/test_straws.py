"""Where the straws are."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from detectors.geometry import Geometry
from detectors.straws import (
    CELLS,
    CHANNELS,
    LAYERS,
    MODULES,
    PLANES,
    STATIONS,
    WIRES,
    Misalignment,
    Stations,
    channel_of,
    describe,
    segment_distance,
    to_global,
)

STATION = Stations()


def line_distance(p, u, q, v):
    across = np.cross(u, v)
    if np.linalg.norm(across) < 1e-9:
        return np.linalg.norm(np.cross(q - p, u))
    return abs((q - p) @ across) / np.linalg.norm(across)


def test_two_stations_have_2048_straws():
    centre, direction = STATION.wires()
    assert centre.shape == direction.shape == (STATIONS, PLANES, WIRES, 3)
    assert CHANNELS == 2048
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1.0, rtol=1e-15)


def test_neighbouring_wires_are_6_millimetres_apart_across_and_layers_half_a_pitch_staggered():
    centre, direction = STATION.wires()
    c, u = centre[0, 5], direction[0, 5]
    assert line_distance(c[3], u[3], c[4], u[4]) == pytest.approx(6.06e-3 * math.cos(math.radians(7.5)), rel=1e-12)
    other = centre[0, 4]
    assert c[3, 0] - other[3, 0] == pytest.approx(3.03e-3, rel=1e-12)
    assert c[3, 2] - other[3, 2] == pytest.approx(5.15e-3, rel=1e-12)
    assert centre[0, 6, 0, 2] - centre[0, 4, 0, 2] == pytest.approx(20.20e-3, rel=1e-12)
    assert centre[0, 4, 0, 2] - centre[0, 0, 0, 2] == pytest.approx(134.36e-3, rel=1e-12)


def test_views_lean_by_7_5_degrees_to_opposite_sides():
    _, direction = STATION.wires()
    lean = np.degrees(np.arctan2(direction[..., 0], direction[..., 1]))
    by_layer = lean.reshape(STATIONS, MODULES, LAYERS, WIRES)
    np.testing.assert_allclose(by_layer[:, :, :2], 7.5, rtol=1e-12)
    np.testing.assert_allclose(by_layer[:, :, 2:], -7.5, rtol=1e-12)


def test_stations_stand_right_upstream_of_calorimeters_13_and_19():
    centre, _ = STATION.wires_in_ring()
    geometry = Geometry()
    for s, cell in enumerate(CELLS):
        face, into = geometry.face_centres[cell], geometry.face_normals[cell]
        depth = (centre[s] - face) @ into
        assert (depth < -0.03).all()
        # The last layer is 0.16 m from the corner of the wall, the first one 0.94 m further.
        assert depth.max() > -0.25
        assert depth.min() == pytest.approx(-1.1, abs=0.1)
    assert [cell + 1 for cell in CELLS] == [13, 19]


def test_modules_follow_the_beam():
    centre, _ = STATION.wires_in_ring()
    radius = np.hypot(centre[..., 0], centre[..., 2])[..., -1].reshape(STATIONS, MODULES, LAYERS)
    outermost = radius.max(axis=2)
    # The middle of the module is where the clearance is set; its layers are 12 mm from there, at 13 degrees.
    np.testing.assert_allclose(7.112 - outermost, STATION.clearance, atol=3e-3)


def test_both_stations_are_alike_and_lie_90_degrees_apart():
    centre, _ = STATION.wires_in_ring()
    turned = np.stack([-centre[0, ..., 2], centre[0, ..., 1], centre[0, ..., 0]], axis=-1)
    np.testing.assert_allclose(turned, centre[1], atol=1e-12)


def test_the_way_to_the_global_frame_keeps_lengths_and_hands():
    frame = STATION.frames[1]
    axes = to_global(np.eye(3), frame, vectors=True)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    np.testing.assert_allclose(to_global(np.zeros(3), frame), [frame[0], 0.0, frame[1]])


def test_shifted_module_moves_alone_and_by_that_much():
    modules = np.zeros((STATIONS, MODULES, 6))
    modules[1, 3, :3] = 1e-4, -2e-4, 3e-4
    moved, _ = Stations(misalignment=Misalignment(modules=modules)).wires()
    change = (moved - STATION.wires()[0]).reshape(STATIONS, MODULES, LAYERS, WIRES, 3)
    np.testing.assert_allclose(change[1, 3], np.broadcast_to([1e-4, -2e-4, 3e-4], (LAYERS, WIRES, 3)), atol=1e-14)
    change[1, 3] = 0.0
    np.testing.assert_allclose(change, 0.0, atol=1e-14)


def test_turned_module_keeps_its_shape_and_its_middle():
    modules = np.zeros((STATIONS, MODULES, 6))
    modules[0, 2, 3:] = 1e-3, -2e-3, 1.5e-3
    centre, direction = Stations(misalignment=Misalignment(modules=modules)).wires()
    before, straight = STATION.wires()
    rows = slice(2 * LAYERS, 3 * LAYERS)
    a, b = (c[0, rows].reshape(-1, 3) for c in (before, centre))
    np.testing.assert_allclose(b.mean(axis=0), a.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(b - b[0], axis=1), np.linalg.norm(a - a[0], axis=1), atol=1e-14)
    # First order: a turn w moves r by w x r.
    turn = np.array([1e-3, -2e-3, 1.5e-3])
    np.testing.assert_allclose(b - a, np.cross(turn, a - a.mean(axis=0)), atol=0.1 * 3e-3**2)
    np.testing.assert_allclose(direction[0, rows] - straight[0, rows], np.cross(turn, straight[0, rows]), atol=3e-3**2)


def test_station_moves_as_a_whole():
    stations = np.zeros((STATIONS, 6))
    stations[0] = -1.5e-3, -0.55e-3, 0.0, 0.0, -1e-4, 0.0
    moved, _ = Stations(misalignment=Misalignment(stations=stations)).wires()
    before, _ = STATION.wires()
    np.testing.assert_array_equal(moved[1], before[1])
    shift = (moved[0] - before[0]).reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(shift, [-1.5e-3, -0.55e-3, 0.0], atol=1e-12)


def test_distance_of_segments_agrees_with_a_search():
    rng = np.random.default_rng(4)
    a, b, c, d = rng.normal(size=(4, 20, 3))
    d[0] = c[0] + (b[0] - a[0])  # parallel
    found = segment_distance(a, b, c, d)
    for k in range(20):
        best = min(
            minimize(
                lambda w, k=k: np.sum((a[k] + w[0] * (b[k] - a[k]) - c[k] - w[1] * (d[k] - c[k])) ** 2),
                start,
                bounds=[(0, 1), (0, 1)],
            ).fun
            for start in ([0.2, 0.2], [0.8, 0.8], [0.2, 0.8], [0.8, 0.2])
        )
        assert found[k] == pytest.approx(math.sqrt(best), abs=1e-5)


@pytest.mark.parametrize("wrong", [{"pitch": 5.0e-3}, {"layer_step": 3.5e-3}, {"outer_radius": 3.1e-3}])
def test_overlapping_straws_are_refused_with_their_names(wrong):
    with pytest.raises(
        ValueError, match=r"^straws station 12 module 0 U0 wire 0 and station 12 module 0 U\d .* overlap:"
    ):
        Stations(**wrong)


def test_modules_that_run_into_each_other_are_refused():
    modules = np.zeros((STATIONS, MODULES, 6))
    modules[1, 4, 2] = 0.099
    modules[1, 5, 2] = -0.010
    with pytest.raises(ValueError, match=r"station 18 module 4 .* station 18 module 5 .* overlap"):
        Stations(misalignment=Misalignment(modules=modules))


def test_straws_in_the_beam_are_refused():
    with pytest.raises(ValueError, match="storage aperture"):
        Stations(clearance=0.045)


def test_misalignment_of_another_shape_or_size_is_refused():
    with pytest.raises(ValueError, match="modules"):
        Misalignment(modules=np.zeros((8, 6)))
    with pytest.raises(ValueError, match="stations"):
        Misalignment(stations=np.full((2, 6), np.nan))


@pytest.mark.parametrize("wrong", [{"gas_radius": 3e-3}, {"module_z": (0.0,)}])
def test_numbers_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Stations(**wrong)


def test_channels_are_counted_along_stations_modules_layers_wires():
    assert channel_of(0, 0, 0, 0) == 0
    assert channel_of(1, 7, 3, 31) == CHANNELS - 1
    assert describe(channel_of(1, 2, 3, 4)) == "station 18 module 2 V1 wire 4"
