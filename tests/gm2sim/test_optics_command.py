"""gm2sim optics: what it prints, writes and refuses, on the analytic ring."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gm2sim.__main__ import main
from gm2sim.config import ConfigError, load
from gm2sim.machine import Ring
from gm2sim.optics import RingOptics, loss_over_voltage, optics
from gm2sim.optics_pictures import plots, write_plots
from tracking.resonance import Scan

N = 0.108
R0 = 7.112


@pytest.fixture
def gm2sim(capsys) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def ideal() -> RingOptics:
    config = load("ideal", {"beam.cbo_amplitude_mm": 8.0})
    return optics(config, 36, beam=True)


def test_json_holds_every_number_and_the_functions_of_azimuth(gm2sim) -> None:
    code, out, _ = gm2sim("optics", "ideal", "--json", "--azimuths", "12")
    assert code == 0
    content = json.loads(out)
    # 24 and more kicks a turn leave 1e-7 of the smooth formulas.
    assert abs(content["nu_x"] - math.sqrt(1 - N)) < 1e-6
    functions = content["functions"]
    assert functions["theta_deg"] == pytest.approx(np.arange(12) * 30.0)
    assert functions["beta_y_m"] == pytest.approx([R0 / math.sqrt(N)] * 12, rel=1e-5)
    assert functions["dispersion_m"] == pytest.approx([R0 / (1 - N)] * 12, rel=1e-5)
    assert all(len(column) == 12 for column in functions.values())
    assert content["errors"].keys() >= {"dnu_x/dJ_x", "dnu_y/dJ_y"}
    assert "beam f_CBO" not in content


def test_table_prints_value_error_unit_and_meaning(gm2sim) -> None:
    code, out, _ = gm2sim("optics", "ideal", "--azimuths", "4")
    assert code == 0
    for word in ("nu_x", "chromaticity2_y", "dnu_x/dJ_y", "±", "f_CBO", "Hz"):
        assert word in out


def test_beam_swings_at_the_frequency_of_the_ring(ideal: RingOptics) -> None:
    assert ideal.beam is not None
    lines = ideal.beam.frequencies
    # The mean momentum, x_e = 6 mm, moves the tune by its chromaticity, at most 0.3 of 0.8e-3.
    assert abs(lines.cbo - ideal.around.f_cbo) < 4 * lines.cbo_error + 3e-4 * ideal.around.f_c
    content = ideal.content()
    assert content["beam f_CBO"] == lines.cbo
    assert content["errors"]["beam f_CBO"] == lines.cbo_error


def test_every_picture_says_what_it_shows_and_carries_its_numbers(ideal: RingOptics) -> None:
    drawn = plots(ideal)
    assert drawn.keys() == {
        "lattice", "closed_orbit", "detuning", "tunes", "cbo", "turn_by_turn", "cross_section",
    }  # fmt: skip
    for plot in drawn.values():
        assert len(plot.alt) > 60
        assert plot.table.rows.shape[1] == len(plot.table.columns)
    lattice = drawn["lattice"].table
    assert lattice.rows[-1, 0] == 360.0
    assert lattice.rows[-1, lattice.columns.index("phase_x [cycles]")] == ideal.around.nu_x


def test_pictures_are_written_whole_in_either_format(ideal: RingOptics, tmp_path: Path) -> None:
    small = replace(ideal, beam=None)
    for kind, head in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        files = write_plots(small, tmp_path / kind, kind)
        assert [path.name for path in files] == [f"{name}.{kind}" for name in plots(small)]
        assert all(path.read_bytes().startswith(head) for path in files)
        assert sorted((tmp_path / kind).iterdir()) == sorted(files)  # nothing half-written beside them
    with pytest.raises(ConfigError, match="--format pdf"):
        write_plots(small, tmp_path, "pdf")


def test_losses_are_drawn_with_the_resonances_that_the_tunes_cross(ideal: RingOptics) -> None:
    n = np.linspace(0.10, 0.13, 16)
    lost = 0.002 + 0.3 * np.exp(-(((n - 1 / 9) / 0.001) ** 2))
    error = np.sqrt(lost * (1 - lost) / 1000)
    found = Scan(n * 1e5, n, np.sqrt(1 - n), np.sqrt(n), lost, error, 1 + lost, 1 + 2 * lost, 1000, 500)
    plot = plots(replace(ideal, beam=None, scan=found))["losses"]
    assert "3νy = 1 at n = 0.111" in plot.alt
    assert "νx + 3νy = 2 at n = 0.126" in plot.alt
    content = replace(ideal, beam=None, scan=found).content()
    assert content["scan"]["lost"] == pytest.approx(lost)
    assert content["resonances"]["3νy = 1"] == pytest.approx(1 / 9, abs=1e-5)


def test_voltage_scan_reaches_the_field_indices_that_it_promises() -> None:
    ring = Ring(load("ideal"))
    found = loss_over_voltage(ring, 2, muons=64)
    assert found.field_index == pytest.approx([0.098, 0.144])
    assert found.nu_y == pytest.approx(np.sqrt([0.098, 0.144]), abs=1e-6)
    assert np.all(found.lost == 0.0)  # a linear ring


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--azimuths", "0"), ("--azimuths 0", "1 to 7200")),
        (("--azimuths", "many"), ("--azimuths", "integer")),
        (("--scan", "1"), ("--scan 1", "2 or more")),
        (("--set", "quads.voltage_kv=0"), ("quads.voltage_kv = 0", "unstable")),
    ],
)
def test_wrong_request_is_one_sentence_and_exit_code_2(gm2sim, arguments, words) -> None:
    code, _, err = gm2sim("optics", "ideal", *arguments)
    assert code == 2
    assert err.strip().count("\n") == 0
    for word in words:
        assert word in err
