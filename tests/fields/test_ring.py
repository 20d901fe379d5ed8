"""Where things are around the ring."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fields.ring import TWO_PI, AzimuthOrigin, Quad, Ring, convert_azimuth

ORIGINS = list(AzimuthOrigin)
RINGS = [Ring.e989(), Ring.reference(), Ring.continuous()]


def test_quads_as_built_cover_43_percent_of_the_ring() -> None:
    # 19.363 m of 44.686 m, from the same source's lengths in metres, rounded to 1 mm each: 8 * 0.5 mm / 44.7 m
    assert Ring.e989().quad_coverage == pytest.approx(19.363 / 44.686, abs=1e-4)


def test_reference_ring_has_four_equal_quarters() -> None:
    ring = Ring.reference()
    starts = np.degrees([quad.theta_start for quad in ring.quads])
    np.testing.assert_allclose(starts[2:] - starts[:-2], 90.0, atol=1e-12)
    assert ring.quad_coverage == pytest.approx(156.0 / 360.0, rel=1e-14)


def test_continuous_ring_is_all_quad() -> None:
    assert Ring.continuous().quad_coverage == 1.0


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
def test_collimators_kickers_and_detectors_lie_on_the_ring(ring: Ring) -> None:
    assert len(ring.collimators) == 5
    assert len(ring.kickers) == 3
    assert len(ring.calorimeters) == 24
    azimuths = [c.theta for c in ring.collimators] + [c.theta for c in ring.calorimeters]
    assert all(0.0 <= theta < TWO_PI for theta in azimuths)


def test_collimator_is_full_or_half() -> None:
    ring = Ring.e989()
    assert ring.has_full_collimator
    halves = tuple(replace(one, side=-1) for one in ring.collimators)
    assert not replace(ring, collimators=halves).has_full_collimator
    with pytest.raises(ValueError, match="side of collimator C1 = 2: give -1"):
        replace(ring.collimators[0], side=2)


def test_kickers_of_the_ring_as_built_are_between_quads() -> None:
    ring = Ring.e989()
    for kicker, quad in itertools.product(ring.kickers, ring.quads):
        assert kicker.theta_end < quad.theta_start or kicker.theta_start > quad.theta_end


def test_calorimeters_are_15_degrees_apart() -> None:
    thetas = np.array([c.theta for c in Ring.e989().calorimeters])
    np.testing.assert_allclose(np.mod(np.diff(thetas), TWO_PI), math.radians(15.0), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "phi_g_deg"), [("Q1 short", 16.323), ("Q2 short", 106.326), ("Q3 long", 213.321), ("Q4 long", 303.325)]
)
def test_quads_agree_with_the_geometry_note(name: str, phi_g_deg: float) -> None:
    quad = next(quad for quad in Ring.e989().quads if quad.name == name)
    phi = convert_azimuth(quad.theta_start, AzimuthOrigin.INFLECTOR_EXIT, AzimuthOrigin.GEOMETRY)
    # both sources round to 0.001 deg and agree to 0.004 deg
    assert math.degrees(float(phi)) == pytest.approx(phi_g_deg, abs=0.005)


@given(
    azimuth=st.floats(0.0, TWO_PI, exclude_max=True),
    origin=st.sampled_from(ORIGINS),
    to=st.sampled_from(ORIGINS),
)
def test_azimuth_conversion_is_undone_by_its_inverse(azimuth: float, origin: AzimuthOrigin, to: AzimuthOrigin) -> None:
    there = convert_azimuth(azimuth, origin, to)
    back = float(convert_azimuth(there, to, origin))
    assert 0.0 <= float(there) < TWO_PI
    # equal modulo a turn, to the rounding of numbers near 2 pi
    assert math.cos(back - azimuth) == pytest.approx(1.0, abs=1e-14)


def test_overlapping_quads_are_refused() -> None:
    ring = Ring.continuous()
    half = Quad("Q extra", 3.0, 4.0, True)
    with pytest.raises(ValueError, match="overlap"):
        Ring(
            "bad", (*ring.quads, half), ring.collimators, ring.kickers, ring.inflector, ring.calorimeters, ring.trackers
        )
