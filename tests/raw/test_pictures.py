"""Pictures of banks: what is drawn is what the file holds, with units on the axes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.errors import ConfigError
from gm2sim.plots.raw import picture, write_picture
from gm2sim.plots.style import Plot
from gm2sim.raw import FillRecord, RunWriter, WaveformRecord, WrittenFile, open_run

START = 1_522_022_400


def drawn(path: Path, serial: int, bank: str, **more: Any) -> Plot:
    run = open_run(path)
    return picture(run, next(event for event in run if event.serial == serial), bank, **more)


def test_island_has_a_panel_for_each_crystal_where_the_beam_sees_it(raw_file: Path, fills: list[FillRecord]) -> None:
    crate = fills[3].calorimeters[1]
    plot = drawn(raw_file, 3, "CT02", island=0)

    samples = crate.samples[: 54 * int(crate.length[0])].reshape(54, -1)
    by_name = {axes.get_title(loc="right"): axes for axes in plot.axes}
    assert len(by_name) == 54
    for crystal, of_crystal in enumerate(samples):
        (line,) = by_name[str(crystal)].lines
        assert np.array_equal(line.get_ydata(), of_crystal)
        assert line.get_xdata() == pytest.approx(1.25 * np.arange(samples.shape[1]))
    at = {name: axes.get_position() for name, axes in by_name.items()}
    assert at["0"].x0 > at["8"].x0  # 0 bottom right, 8 bottom left, 53 top left, seen from the beam
    assert at["0"].y0 == at["8"].y0 < at["53"].y0
    assert at["53"].x0 == at["8"].x0
    assert (plot.get_supxlabel(), plot.get_supylabel()) == (
        "time from the island's first sample [ns]", "sample [ADC counts]")  # fmt: skip
    assert f"{crate.start[0] * 1.25e-3:.3f} μs" in plot.get_suptitle()


def test_island_with_the_deepest_pulse_is_drawn_when_none_is_named(raw_file: Path) -> None:
    event = next(event for event in open_run(raw_file) if event.serial == 3)
    deepest = int(np.argmin([one.samples.min() for one in event.islands(2)]))
    assert f"island {deepest} of {len(event.islands(2))}" in drawn(raw_file, 3, "CT02").get_suptitle()


def test_sum_and_histogram_are_over_the_time_in_the_fill(raw_file: Path, fills: list[FillRecord]) -> None:
    total = fills[1].calorimeters[0].calo_sum
    assert total is not None
    plot = drawn(raw_file, 1, "CS01")
    (line,) = plot.axes[0].lines
    assert np.array_equal(line.get_ydata(), total.view(np.int32))
    assert line.get_xdata()[:2] == pytest.approx([0.02, 0.06])  # middle of 32 samples of 1.25 ns [us]
    assert plot.axes[0].get_xlabel() == "time in the fill [μs]"
    histogram = fills[1].calorimeters[0].q_histogram
    assert histogram is not None
    plot = drawn(raw_file, 1, "CQ01")
    assert np.array_equal(np.asarray(plot.axes[1].images[0].get_array()), histogram.counts)
    assert np.array_equal(plot.axes[0].lines[0].get_ydata(), histogram.counts.sum(axis=0, dtype=np.int64))


def test_long_waveforms_keep_their_lowest_sample(tmp_path: Path, tree: dict[str, Any]) -> None:
    samples = np.full((2, 1, 80_000), 1700, np.int16)
    samples[1, 0, 43_210] = -1500
    path = tmp_path / "a.mid"
    with RunWriter(path, 17, 3, tree) as writer:
        writer.write_fill(FillRecord(0, 1, START, 0, 0, waveforms=(WaveformRecord(26, (0, 7), samples),)))
    plot = drawn(path, 0, "CR26")
    (band,) = plot.axes[1].collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == -1500
    assert corners[np.argmin(corners[:, 1]), 0] == pytest.approx(43_210 * 1.25e-3, abs=0.05)
    assert plot.axes[1].get_title(loc="right") == "channel 7"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_picture_is_written_whole(raw_file: Path, tmp_path: Path, suffix: str) -> None:
    write_picture(raw_file, 1, "CS02", tmp_path / f"a{suffix}")
    assert (tmp_path / f"a{suffix}").stat().st_size > 2000
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        write_picture(raw_file, 1, "CS02", tmp_path / f"a{suffix}")


def test_what_has_no_picture_is_refused(raw_file: Path, tmp_path: Path, write: Callable[..., WrittenFile]) -> None:
    out = tmp_path / "a.png"
    for arguments, match in (
        ((9, "CT01"), "no event '9'"),
        ((0, "CT09"), "has no bank 'CT09': did you mean"),
        ((0, "TRIG"), "no picture of TRIG"),
        ((0, "CT01", out, 99), "no island 99"),
        ((0, "CS01", out, 1), "--island belongs to a bank CT"),
        ((0, "CT01", tmp_path / "a.bmp"), "does not end in .png"),
    ):
        serial, bank, *rest = arguments
        with pytest.raises(ConfigError, match=match):
            write_picture(raw_file, serial, bank, *(rest or [out]))
    empty = write(tmp_path / "empty.mid", [FillRecord(0, 1, START, 0, 0)]).path
    with pytest.raises(ConfigError, match="has no bank 'CT01'"):
        write_picture(empty, 0, "CT01", out)
    assert not out.exists()
