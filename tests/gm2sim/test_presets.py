"""The presets: each value with its source, the published numbers of its data set, and a ring that shows them."""

import importlib.util
import math
from pathlib import Path

import pytest

from fields.synthetic import dipole_from_proton_frequency
from gm2sim.config import Config, load, presets, resolve
from gm2sim.machine import Ring, stored_beam
from gm2sim.report.published import DATA_SETS, LATER_SETS, data_set_of, mark, published, quantities
from tracking.match import Stored, stored
from tracking.muon import magic_momentum
from tracking.optics import Optics

ROOT = Path(__file__).resolve().parents[2]
SETS = (*DATA_SETS, *LATER_SETS)
MUONS = 20_000
CORRECTIONS = ("c_e_ppb", "c_p_ppb", "c_ml_ppb", "c_pa_ppb", "c_dd_ppb", "b_k_ppb", "b_q_ppb")


@pytest.fixture(scope="module")
def optics() -> dict[str, Optics]:
    """Optics of the preset of each data set."""
    return {name: Ring(load(name)).optics() for name in SETS}


def moments(name: str, optics: dict[str, Optics]) -> Stored:
    return stored(stored_beam(load(name)), optics[name], MUONS)


def value(key: str, name: str) -> float:
    theirs = published(key, name)
    assert theirs is not None, f"{key} of {name}"
    return theirs.value


def test_there_is_a_preset_for_each_data_set_beside_the_analytic_ring_and_the_gas_gun():
    assert set(presets()) == {*SETS, "ideal", "gasgun"}


@pytest.mark.parametrize("name", DATA_SETS)
def test_cbo_frequency_of_a_run1_preset_is_the_published_one_within_one_percent(name, optics):
    assert optics[name].f_cbo * 1e-3 == pytest.approx(value("cbo_khz", name), rel=0.01)


def test_ratio_of_the_cbo_frequencies_at_both_voltages_is_the_published_one_within_two_permille(optics):
    ours, theirs = (
        (f["run1b"] + f["run1c"]) / (f["run1a"] + f["run1d"])
        for f in ({name: optics[name].f_cbo for name in DATA_SETS}, {n: value("cbo_khz", n) for n in DATA_SETS})
    )
    assert ours == pytest.approx(theirs, rel=2e-3)


@pytest.mark.parametrize("name", LATER_SETS)
def test_field_index_of_a_later_preset_is_that_of_run1_scaled_with_the_voltage(name, optics):
    scaled = optics["run1a"].field_index * load(name).quads.voltage_kv / load("run1a").quads.voltage_kv
    # n is proportional to the voltage to first order; the lattice changes it by a share n of the 0.5 % step.
    assert optics[name].field_index == pytest.approx(scaled, rel=0.005 * 0.11)


@pytest.mark.parametrize("name", ["run2", "run3a", "run3b"])
def test_cbo_frequency_of_a_later_preset_is_where_fits_of_those_runs_start(name, optics):
    theirs = published("cbo_khz", name)
    assert optics[name].f_cbo * 1e-3 == pytest.approx(theirs.value, abs=theirs.error)


@pytest.mark.parametrize("name", SETS)
def test_stored_muons_of_a_preset_give_the_published_electric_field_correction(name, optics):
    ring, found = optics[name], moments(name, optics)
    n, reference = 1.0 - 1.0 / ring.momentum_compaction, ring.reference
    magic = ring.mean_dispersion * (magic_momentum() / reference.p0_gev - 1.0)
    mean, spread = found.x_e_mean - magic, found.x_e_sigma
    factor = 2.0 * n * (1.0 - n) * (reference.beta0 / reference.r0) ** 2 * 1e9
    # Errors of mean^2 + spread^2 from N muons of a Gaussian; the presets were matched with a million others.
    error = factor * math.hypot(2.0 * mean * spread, math.sqrt(2.0) * spread**2) / math.sqrt(MUONS)
    assert factor * (mean**2 + spread**2) == pytest.approx(value("c_e_ppb", name), abs=4.0 * error)


@pytest.mark.parametrize("name", DATA_SETS)
def test_stored_widths_of_a_run1_preset_are_those_that_the_trackers_see(name, optics):
    found = moments(name, optics)
    error = found.x_width / math.sqrt(2.0 * MUONS)  # of an RMS of N muons
    assert found.x_width * 1e3 == pytest.approx(value("rms_x_mm", name), abs=4e3 * error)
    assert found.y_width * 1e3 == pytest.approx(value("rms_y_mm", name), abs=4e3 * error)


@pytest.mark.parametrize("name", SETS)
def test_voltages_and_field_of_a_preset_are_the_published_ones(name):
    config = load(name)
    assert config.quads.voltage_kv == value("quad_kv", name)
    assert config.kickers.voltage_kv == (value("kicker_kv", name),) * 3
    frequency = published("proton_hz", name) or published("proton_hz", "run3b")
    assert config.magnet.field_t == pytest.approx(dipole_from_proton_frequency(frequency.value), abs=0.5001e-6)


@pytest.mark.parametrize("name", SETS)
def test_the_run_number_of_a_preset_is_one_of_its_data_set(name):
    assert data_set_of(load(name).run.run) == name


def test_only_run1_has_slow_resistors_each_set_its_own():
    found = {name: load(name).scraping.slow_resistors for name in presets()}
    assert found == {name: name.removeprefix("run") if name in DATA_SETS else "none" for name in presets()}


def test_every_data_set_has_every_correction_and_no_other_preset_has_any():
    for key in CORRECTIONS:
        assert all(published(key, name).error > 0.0 for name in SETS), key
        assert published(key, "ideal") is None
    assert set(CORRECTIONS) < set(quantities())
    assert data_set_of(1) == ""


def test_every_value_that_was_read_names_where():
    for name in presets():
        for key, note in resolve(name).note.items():
            if mark(note) == "read":
                assert "/" in note or "dissertation" in note, f"{key} of {name}: {note}"


def test_a_preset_reads_back_from_what_it_prints(tmp_path):
    for name in LATER_SETS:
        (tmp_path / "printed.toml").write_text("\n".join(resolve(name).lines()))
        again = load(tmp_path / "printed.toml")
        assert isinstance(again, Config)
        assert again == load(name)


def test_the_page_of_the_presets_is_what_they_say():
    spec = importlib.util.spec_from_file_location("presets_page", ROOT / "docs" / "presets.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    written = (ROOT / "docs" / "presets.md").read_text("utf-8")
    assert written == maker.page(), "docs/presets.md is behind: run python docs/presets.py"
