"""The main magnet outside the aperture."""

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fields.falloff import builtin_falloff, falloff_field, falloff_from_map
from fields.maps import RZMap, load_rz_map

B0 = 1.4513
TABLE = builtin_falloff(B0)
radii = st.floats(5.0, 8.0)
heights = st.floats(-0.15, 0.15)


def test_published_table_is_met_at_its_points() -> None:
    text = files("fields").joinpath("data/falloff.csv").read_text(encoding="utf-8")
    rows = np.array([line.split(",") for line in text.splitlines() if not line.startswith("#")], dtype=float)
    scale = B0 / 1.45115
    for r_cm, by_0, by_4, br_4, by_8, br_8 in rows:
        for y, br, by in ((0.0, 0.0, by_0), (0.04, br_4, by_4), (0.08, br_8, by_8)):
            got = falloff_field(0.01 * r_cm, y, TABLE)
            # all table points are grid points: rounding only
            assert got == pytest.approx((1e-4 * br * scale, 1e-4 * by * scale), abs=1e-12)


@given(r=radii, y=heights)
@settings(deadline=None)
def test_vertical_field_is_even_and_radial_field_odd(r: float, y: float) -> None:
    br_up, by_up = falloff_field(r, y, TABLE)
    br_down, by_down = falloff_field(r, -y, TABLE)
    assert by_up == by_down
    assert br_up == -br_down


@given(r=radii, y=heights)
@settings(deadline=None)
def test_field_is_bounded_everywhere(r: float, y: float) -> None:
    br, by = falloff_field(r, y, TABLE)
    # strongest point of the table: 16486 G
    assert 0.0 < by < 1.8
    assert abs(br) < 1.0


def test_field_falls_at_the_calorimeters() -> None:
    # 56 to 100 % of B0 from 6.8 to 7.0 m
    assert falloff_field(6.80, 0.0, TABLE)[1] / B0 == pytest.approx(0.56, abs=0.005)
    assert falloff_field(7.00, 0.0, TABLE)[1] / B0 == pytest.approx(1.0, abs=0.005)
    r = np.linspace(6.2, 6.95, 76)
    by = [falloff_field(value, 0.0, TABLE)[1] for value in r]
    assert np.all(np.diff(by) > 0.0)


@given(r=st.floats(5.9, 7.5), y=st.floats(-0.1, 0.1), step=st.floats(1e-9, 1e-6))
@settings(deadline=None)
def test_field_is_continuous(r: float, y: float, step: float) -> None:
    here = np.array(falloff_field(r, y, TABLE))
    # steepest slope of the table: 2500 G in 5 cm, and 6 T/m in y near the pole corner
    assert np.abs(np.array(falloff_field(r + step, y, TABLE)) - here).max() < 40.0 * step
    assert np.abs(np.array(falloff_field(r, y + step, TABLE)) - here).max() < 40.0 * step


@pytest.mark.parametrize("r", [6.5, 6.6, 6.7])
def test_radial_field_is_that_of_a_curl_free_field(r: float) -> None:
    # dB_r/dy = dB_y/dr on the midplane. Differences over 10 cm of an exponential of 19 cm: 1 %; the cubic in y through
    # two points: 2 %; slope of a cubic in r between rows 10 and 20 cm apart: 5 %
    slope_y = falloff_field(r, 0.005, TABLE)[0] / 0.005
    slope_r = (falloff_field(r + 0.05, 0.0, TABLE)[1] - falloff_field(r - 0.05, 0.0, TABLE)[1]) / 0.10
    assert slope_y == pytest.approx(slope_r, rel=0.08)


def test_map_of_the_user_is_resampled_and_scaled() -> None:
    r, y = np.linspace(6.0, 7.5, 151), np.linspace(0.0, 0.1, 11)
    # curl-free and divergence-free to first order: By = b + g (r - 7), Br = g y
    by = 2.0 + 0.5 * (r[:, None] - 7.0) + 0.0 * y
    br = 0.5 * y + 0.0 * r[:, None]
    table = falloff_from_map(RZMap(r, y, br, by), 1.4513)
    scale = 1.4513 / (2.0 + 0.5 * 0.112)
    got = falloff_field(6.9033, -0.0331, table)
    assert got == pytest.approx((-0.5 * 0.0331 * scale, (2.0 + 0.5 * (6.9033 - 7.0)) * scale), abs=1e-12)


@pytest.mark.parametrize(
    ("r_range", "height", "error"),
    [((6.1, 6.8), 0.04, 0.0045), ((6.8, 7.0), 0.04, 0.0090), ((7.0, 7.2), 0.04, 0.0010), ((7.22, 7.4), 0.04, 0.038)],
)
def test_builtin_table_is_as_near_to_the_full_map_as_documented(
    measured, r_range: tuple[float, float], height: float, error: float
) -> None:
    full = falloff_from_map(load_rz_map(measured("g2StorageFringeFieldMap.dat")), B0)
    for r in np.linspace(*r_range, 41):
        for y in np.linspace(0.0, height, 9):
            difference = np.subtract(falloff_field(r, y, TABLE), falloff_field(r, y, full))
            assert np.abs(difference).max() < error * B0
