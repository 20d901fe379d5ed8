"""Straight frames of other programs in the ring: axes, named places, and the way to a plane."""

import math
from pathlib import Path

import numpy as np
import pytest

from fields.ring import RING
from gm2sim.bunch.frame import Frame, into_ring
from gm2sim.bunch.table import Table
from gm2sim.config import ConfigError
from tracking.muon import LIGHT_SPEED, MASS, reference

RING_REFERENCE = reference(1.4513, 7.112)
EPS = np.finfo(float).eps


def test_a_frame_has_x_outwards_y_up_and_z_along_the_beam_at_any_named_place() -> None:
    columns = {name: np.array([0.0]) for name in ("x", "y", "z", "px", "py", "pz", "time")}
    columns |= {"x": np.array([0.003]), "y": np.array([0.004]), "px": np.array([0.01]), "pz": np.array([3.09])}
    table = Table(Path("f"), columns)
    for place, azimuth, x0 in (
        ("design orbit", 0.0, 0.0),
        ("inflector exit", 0.0, 0.077),
        ("Q2 long", math.radians(129.077), 0.0),
        ("K1", math.radians(67.926), 0.0),
        ("C3", math.radians(245.078), 0.0),
    ):
        placed = into_ring(table, Frame.at(place, RING), RING_REFERENCE).columns
        assert placed["theta"] == azimuth
        assert placed["x"] == pytest.approx(x0 + 0.003, rel=2 * EPS)
        assert placed["y"] == 0.004
        assert placed["px"] == 0.01 / RING_REFERENCE.p0_gev
    with pytest.raises(ConfigError, match=r"'Q2 lon' .*did you mean 'Q2 long'"):
        Frame.at("Q2 lon", RING)


def test_the_way_to_the_plane_is_the_straight_line_at_the_muons_speed() -> None:
    """Against points of one straight world line, from the geometry of lines: all must land on the same place."""
    p = np.array([0.2, -0.1, 3.0])
    speed = p / math.sqrt(p @ p + MASS**2) * LIGHT_SPEED
    times = np.array([-2e-10, 0.0, 3e-10])
    points = np.array([0.01, 0.02, 1.0])[:, None] + speed[:, None] * times
    columns = dict(zip(("x", "y", "z"), points, strict=True)) | {"time": times}
    columns |= {name: np.full(3, value) for name, value in zip(("px", "py", "pz"), p, strict=True)}
    frame = Frame(yaw=0.05, plane=0.9, zero_time=0.0)
    found = into_ring(Table(Path("f"), columns), frame, RING_REFERENCE).columns
    # The plane s = 0 is (z - 0.9) cos a = x sin a.
    cosine, sine = math.cos(0.05), math.sin(0.05)
    when = -(0.1 * cosine - 0.01 * sine) / (speed[2] * cosine - speed[0] * sine)
    where = np.array([0.01, 0.02, 0.1]) + speed * when
    np.testing.assert_allclose(found["time"], when, rtol=1e-12)
    np.testing.assert_allclose(found["x"], where[0] * cosine + where[2] * sine, rtol=1e-12)
    np.testing.assert_allclose(found["y"], where[1], rtol=1e-12)
