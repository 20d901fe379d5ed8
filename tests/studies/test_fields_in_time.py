"""Fields that change during the fill: eddy currents, vibrating quads, RF on the plates; and misaligned quads."""

import math

import numpy as np
import pytest

from fields.transients import KickerTransient, QuadTransient, fitted_shift
from fields.voltage import Scraping, gradient_shift, vertical_shift
from gm2sim.config import Config, ConfigError, load
from gm2sim.injection import changes, eddy_tail, kicker_pulses, kickers, main_lobe, radio_frequency
from gm2sim.machine import Ring, layout, quad_settings
from gm2sim.studies import fast_rotation, kicker_transient, quad_misalignment, quad_transient, rf_damping
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Number, Outcome
from gm2sim.studies.scraping import held
from gm2sim.studies.transient import TIMES, weights
from tracking.optics import optics


def row(found: Outcome, quantity: str) -> Number:
    return next(number for number in found.table if number.quantity == quantity)


def test_eddy_currents_act_during_the_whole_fill_and_once(built: Config) -> None:
    config = built.with_(kickers__eddy_mg=10.0)
    ring, quads = layout(config), quad_settings(config)
    assert changes(built, quads, ring) is None
    found = changes(config, quads, ring)
    assert found is not None
    assert found.until == math.inf
    assert found.potential is None
    assert [(one.theta_start, one.theta_end) for one in found.dipoles] == [
        (kicker.theta_start, kicker.theta_end) for kicker in ring.kickers
    ]
    t = np.array([1e-6, 30e-6, 300e-6])
    tail = eddy_tail(config)
    assert tail is not None
    delay = config.kickers.delay_ns * 1e-9
    for one, unit in zip(found.dipoles, kickers(config, ring).units, strict=True):
        assert one.field(t) == pytest.approx(-tail(t - delay - unit.offset), rel=1e-12)  # it lowers the field
    with_, without = kicker_pulses(config, ring), kicker_pulses(built, ring)
    assert np.array_equal(with_.field, without.field)
    assert Ring(config).tables.options.magnetic == 1
    assert Ring(built).tables.options.magnetic == -1


def test_main_lobe_ends_where_the_pulse_first_is_zero(built: Config) -> None:
    pulse = kickers(built, layout(built)).units[0].pulse
    cut = main_lobe(pulse)
    t = np.linspace(-100e-9, 180e-9, 50)
    assert cut(t) == pytest.approx(pulse(t), abs=1e-6)
    later = np.array([350e-9, 450e-9])  # the ringing
    assert abs(pulse(later)).min() > 0.1
    assert cut(later) == pytest.approx([0.0, 0.0], abs=1e-12)


def test_rf_is_on_the_plates_that_were_asked_for(built: Config) -> None:
    config = built.with_(rf__on=True, rf__quad="Q3", rf__frequency_khz=370.0, rf__amplitude_kv=2.0)
    (found,) = radio_frequency(config)
    t = np.array([10e-6, 40e-6])
    volts = found.voltages("Q3 short", t)
    wave = 2000.0 * math.sin(2 * math.pi * 3.7)
    assert volts[0] == pytest.approx([0.0, 0.0, wave, -wave])
    assert not volts[1].any()
    assert not found.voltages("Q2 long", t).any()
    assert radio_frequency(built) == ()
    assert radio_frequency(config.with_(rf__quad="all"))[0].voltages("Q1 long", t)[0].any()
    with pytest.raises(ConfigError, match="give a later end"):
        config.with_(rf__off_us=5.0)


def test_weights_give_the_shift_of_the_fit(ideal: Config) -> None:
    case = Case(ideal, 16)
    tau = 60e-6
    added = -tau * np.exp(-TIMES / tau)  # integral of the relative change exp(-t/tau)
    wanted = fitted_shift(lambda t: np.exp(-t / tau), gamma_tau=case.lifetime)
    # Trapezoidal rule with steps of 1.2 us: (step/tau)^2/12.
    assert weights(case) @ added == pytest.approx(wanted, rel=2e-4)


def test_kicker_transient_is_that_of_the_field_averaged_over_the_ring(ideal: Config) -> None:
    found = kicker_transient(ideal, muons=16)
    formula = KickerTransient(ring=layout(ideal)).fitted_shift(ideal.magnet.field_t)
    assert found.result.formula == pytest.approx(1e9 * formula, rel=1e-9)
    # What is left: slopes of the orbit that eight azimuths do not average, and muons off the magic momentum.
    assert abs(found.result.value - found.result.formula) < 4 * found.result.error + 0.003 * abs(found.result.formula)


def test_quad_transient_follows_the_bunches(ideal: Config) -> None:
    found = quad_transient(ideal, muons=16)
    formula = 1e9 * QuadTransient(ring=layout(ideal)).fitted_shifts(ideal.magnet.field_t)
    each = [row(found, f"bunch {k + 1}") for k in range(16)]
    for number, wanted in zip(each, formula, strict=True):
        assert number.formula == pytest.approx(wanted, rel=1e-9)
        assert abs(number.value - wanted) < 4 * number.error + 0.003 * abs(formula).max()


@pytest.fixture(scope="session")
def real() -> Config:
    """Ring of Run-1a in a uniform field, with the series of its plates."""
    return load("run1a")


def test_displaced_quad_moves_the_orbit_as_a_dipole_kick(real: Config) -> None:
    found = quad_misalignment(real, muons=16)
    for name in ("x 1 mm", "y 1 mm"):
        # First order in the displacement; sixteen thin lenses for the quad.
        assert row(found, f"orbit over its formula, {name}").value == pytest.approx(1.0, abs=0.01)
    for name in ("height per radial offset after a turn", "height per radial slope after a turn"):
        number = row(found, name)
        assert number.value == pytest.approx(number.formula, rel=0.02)


def test_configured_displacement_is_the_one_that_is_studied(real: Config) -> None:
    moved = real.with_(quads__offset_y_mm=(0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0))
    found = quad_misalignment(moved, muons=16)
    assert row(found, "orbit over its formula, y 2 mm").value == pytest.approx(1.0, abs=0.01)
    assert not any("x 1 mm" in number.quantity for number in found.table)
    assert found.remark.startswith("Q3 short")


def test_rf_in_antiphase_takes_most_of_the_oscillation_away(real: Config) -> None:
    found = rf_damping(real, muons=400)
    assert found.result.value < 0.3  # what the detuning of the muons leaves
    assert row(found, "amplitude without RF").value > 3.0


def test_scraped_orbit_sinks_as_its_plates_say(real: Config) -> None:
    ring = Ring(real.with_(magnet__map="uniform"))
    plain, scraped = optics(ring.tables), held(ring)
    missing = Scraping.e989().missing
    sinks = sum(vertical_shift(quad, missing[quad.name]) for quad in ring.layout.quads)
    softer = sum(gradient_shift(quad, missing[quad.name]) for quad in ring.layout.quads)
    # First order of a smooth ring against the ring as built, whose gradient is a tenth softer while scraped.
    assert scraped.lattice.y.mean() == pytest.approx(sinks, rel=0.25)
    assert scraped.field_index / plain.field_index - 1.0 == pytest.approx(softer, rel=0.15)


def test_fast_rotation_of_the_stored_beam_agrees_with_its_momenta(built: Config) -> None:
    found = fast_rotation(built.with_(beam__bunch="t0"), muons=20_000)
    assert abs(row(found, "fast rotation less momenta").value) < 4 * row(found, "fast rotation less momenta").error + 5
    assert found.result.value == pytest.approx(found.result.formula, abs=4 * found.result.error + 5)
