"""From the [quads] table of a configuration to the settings of the quads."""

import pytest

from fields.quads import QuadSettings
from fields.ring import Ring as Layout
from gm2sim.analysis import field_index
from gm2sim.config import ConfigError, load
from gm2sim.machine import Ring, layout, quad_settings

# f_CBO of the four Run-1 data sets [kHz]: nkinnaird/PrecessionFrequencyAnalysis @54b9b45
MEASURED = {"run1a": 372.04, "run1b": 415.98, "run1c": 415.30, "run1d": 371.69}


def test_high_voltage_and_plates_give_the_measured_cbo_frequencies() -> None:
    found = {preset: Ring(load(preset)).optics().f_cbo * 1e-3 for preset in MEASURED}
    for preset, value in MEASURED.items():
        assert load(preset).quads.effective_scale == 1.0
        # wanted to 0.5 %; the beam's average adds 0.1 %
        assert found[preset] == pytest.approx(value, rel=3e-3)
    assert found["run1b"] / found["run1a"] == pytest.approx(MEASURED["run1b"] / MEASURED["run1a"], rel=2e-3)


def test_ideal_preset_has_hyperbolic_plates_with_hard_ends() -> None:
    config = load("ideal")
    assert quad_settings(config) == QuadSettings(voltage=8254.046097, geometry=None, fringe=False)
    assert field_index(config) == pytest.approx(0.108, abs=1e-8)


def test_pure_quadrupoles_keep_the_field_index_of_the_plates() -> None:
    pure, whole = load("gasgun"), load("gasgun", {"quads.multipoles": True})
    assert field_index(pure) == field_index(whole)
    assert not quad_settings(pure).coefficients("Q1 long")[3:].any()


def test_collimators_are_full_half_or_out() -> None:
    assert layout(load("run1a")) == Layout.e989()
    kinds = ("full", "inner", "outer", "out", "full")
    found = layout(load("run1a").with_(ring__collimators=kinds)).collimators
    assert [(one.name, one.side) for one in found] == [("C1", 0), ("C2", -1), ("C3", 1), ("C5", 0)]


def test_displacements_go_to_their_quads() -> None:
    config = load("run1a", {"quads.offset_y_mm": [0, 0, 0.5, 0, 0, 0, 0, 0], "quads.roll_mrad": [0] * 7 + [2]})
    settings = quad_settings(config)
    assert set(settings.placement) == {"Q2 short", "Q4 long"}
    assert settings.placement["Q2 short"] == pytest.approx((0.0, 5e-4, 0.0))
    assert settings.placement["Q4 long"] == pytest.approx((0.0, 0.0, 2e-3))
    displaced = quad_settings(load("run1a", {"quads.q1_outer_plate": "displaced"}))
    assert displaced.plates("Q1 long").outer.dx == 0.020


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quads.offset_x_mm": [1.0, 2.0]}, ["quads.offset_x_mm", "2", "8 quads"]),
        ({"quads.roll_mrad": [99.0] * 8}, ["quads.roll_mrad", "99", "10", "mrad"]),
        ({"ring.layout": "continuous", "quads.offset_x_mm": [1.0] * 8}, ["quads.offset_x_mm", "8", "1 quads"]),
    ],
)
def test_displacements_that_fit_no_ring_are_refused(values, words) -> None:
    with pytest.raises(ConfigError) as caught:
        load("run1a", values)
    assert all(word in str(caught.value) for word in words)
