"""Pages of the report about the auxiliary detectors: there when their waveforms are, with the numbers found."""

from pathlib import Path

import numpy as np
import pytest

from gm2sim.config import load
from gm2sim.monitors import monitor_settings, simulate_monitors
from gm2sim.raw import FillRecord, Readout, RunWriter, run_tree
from gm2sim.report.load import RunFolder
from gm2sim.report.monitors import monitor_pages
from gm2sim.setup import Setup
from gpu.rng import FillKey
from tracking.crossings import Crossings


def folder_of(path: Path, **monitors: object) -> RunFolder:
    changes = {f"monitors.{name}": value for name, value in monitors.items()}
    config = load("run1a", {"magnet.map": "uniform", "monitors.harp_us": 20.0, **changes})
    setup = Setup.of(config)
    n = 2000
    rng = np.random.default_rng(3)
    turn = rng.integers(0, 100, n)
    crossed = Crossings(
        np.arange(n), rng.integers(0, 4, n).astype(np.int8), rng.integers(0, 7, n).astype(np.int8), turn,
        (turn + 0.6) * 149.2e-9, np.full(n, 0.4e-3),
    )  # fmt: skip
    made = simulate_monitors(setup, FillKey(1, 1, 0, 0), crossed)
    tree = run_tree(1, 0, 1_500_000_000, Readout(crates=0), {}, monitor_settings(setup))
    with RunWriter(path / "gm2_run00001_00000.mid", 1, 0, tree) as writer:
        writer.write_fill(FillRecord(0, 1, 1_500_000_000, 0, 0, waveforms=made.records))
    return RunFolder(path, config, {}, [], {}, {})


def test_each_kind_of_detector_has_a_page_with_words_and_numbers(tmp_path: Path) -> None:
    pages = monitor_pages(folder_of(tmp_path, harps="in"))
    assert [name for name, *_ in pages] == ["t0", "ibms", "kickers", "quads", "harps"]
    for name, _, caption, make in pages:
        plot = make()
        assert plot is not None, name
        assert plot.alt
        assert caption
        assert np.isfinite(plot.table.rows[0]).all(), name
        assert len(plot.table.columns) == plot.table.rows.shape[1]


def test_words_tell_the_time_and_the_width_that_were_put_in(tmp_path: Path) -> None:
    pages = {name: make for name, _, _, make in monitor_pages(folder_of(tmp_path))}
    assert set(pages) == {"t0", "ibms", "kickers", "quads"}
    t0, kickers = pages["t0"](), pages["kickers"]()
    assert t0 is not None
    assert kickers is not None
    mean = float(t0.alt.split("PMT B mean ")[1].split(" ns")[0])
    assert mean == pytest.approx(-4.0 / 0.299792458 / 0.99942, abs=1.5)  # 4 m before the exit
    peak = float(kickers.alt.split("K1 peaks at ")[1].split(" G")[0])
    assert peak == pytest.approx(130 * 1.40, abs=2.0)  # and three times the noise of 0.4 G


def test_a_file_without_waveforms_has_no_page(tmp_path: Path) -> None:
    off = {"t0": False, "ibms": False, "kicker_traces": False, "quad_traces": False}
    assert monitor_pages(folder_of(tmp_path, **off)) == []
