"""Two raw files side by side: byte by byte, and by what they mean."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.errors import ConfigError
from gm2sim.raw import FillRecord, RawFormatError, Readout, RunWriter, WrittenFile, run_tree
from gm2sim.raw.tools.diff import diff
from gm2sim.raw.tools.inject import inject

START = 1_522_022_400
Write = Callable[..., WrittenFile]


def other(path: Path, tree: dict[str, Any], fills: list[FillRecord]) -> Path:
    """A file of the same run in a folder of its own, with another tree."""
    path.parent.mkdir(exist_ok=True)
    with RunWriter(path, 17, 3, tree) as writer:
        for fill in fills:
            writer.write_fill(fill)
    return path


def test_file_is_the_same_as_itself(raw_file: Path) -> None:
    for of_bytes in (True, False):
        assert diff(raw_file, raw_file, of_bytes=of_bytes).same


def test_one_flip_is_found_with_event_bank_and_value(raw_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mid"
    change = inject(raw_file, ["bitflip:1:payload@2"], bad, seed=4)["faults"][0]
    found = diff(raw_file, bad, of_bytes=True)
    assert found.count == 1
    assert f"event 2, bank {change['bank']}" in found.shown[0].where
    assert f"first at byte {change['byte']}" in found.shown[0].what
    meant = diff(raw_file, bad)
    assert meant.count == 1
    assert meant.shown[0].where == f"event 2, bank {change['bank']}"


@pytest.mark.parametrize("suffix", [".mid.gz", ".mid.lz4"])
def test_bytes_are_those_inside_the_compression(raw_file: Path, tmp_path: Path, suffix: str) -> None:
    packed = tmp_path / f"packed{suffix}"
    inject(raw_file, ["swap:3,4"], tmp_path / "other.mid")
    inject(raw_file, ["bitflip:0"], packed)
    assert diff(raw_file, packed, of_bytes=True).same
    assert not diff(tmp_path / "other.mid", packed, of_bytes=True).same


def test_meaning_ignores_suffix_compression_and_file_name(raw_file: Path, tmp_path: Path, tree: dict[str, Any]) -> None:
    packed = tmp_path / "copy.mid.gz"
    packed.write_bytes(gzip.compress(raw_file.read_bytes(), 1))
    assert diff(raw_file, packed).same
    settings = tree["Logger"]["Channels"]["0"]["Settings"]
    settings["Current filename"] = "elsewhere.mid.gz"
    fills = [FillRecord(serial, serial + 1, START + serial, 0, 0) for serial in range(2)]
    a = other(tmp_path / "a" / "x.mid", tree, fills)
    b = other(tmp_path / "b" / "x.mid", {**tree, "Logger": {}}, fills)
    found = diff(a, b)
    assert [one.where for one in found.shown] == ["begin of run, /Logger/Channels", "end of run, /Logger/Channels"]
    settings["Current filename"] = "here.mid"
    tree["Equipment"]["AMC1301"]["Settings"]["Globals"]["FE Lossless Compression"] = True
    assert diff(a, other(tmp_path / "c" / "x.mid", tree, fills)).same


def test_changed_samples_and_islands_are_named(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    a = write(tmp_path / "a.mid", fills).path
    crate = fills[3].calorimeters[1]
    samples = crate.samples.copy()
    samples[int(crate.length[0]) * 5 + 0] ^= 1  # crystal 5, sample 0 of the first island
    longer = replace(crate, samples=samples, ctag=crate.ctag + 1)
    changed = replace(fills[3], calorimeters=(fills[3].calorimeters[0], longer))
    b = write(tmp_path / "b.mid", [*fills[:3], changed, fills[4]]).path
    found = diff(a, b)
    assert found.count == 2
    assert all(one.where == "event 3, bank CT02" for one in found.shown)
    assert found.shown[0].what == f"ctag {crate.ctag} and {crate.ctag + 1}"
    assert found.shown[1].what.startswith(f"island at sample {crate.start[0]}, [crystal, sample]: [5, 0] ")


def test_events_and_banks_of_one_file_only_are_named(raw_file: Path, tmp_path: Path) -> None:
    less, twice = tmp_path / "less.mid", tmp_path / "twice.mid"
    inject(raw_file, ["drop-event:2", "drop-bank:CQ01@1"], less)
    found = diff(raw_file, less)
    assert sorted((one.where, one.what) for one in found.shown) == [
        ("event 1, bank CQ01", f"only in {raw_file}"), ("event 2", f"only in {raw_file}")]  # fmt: skip
    inject(raw_file, ["duplicate:2"], twice)
    assert [(one.where, one.what) for one in diff(raw_file, twice).shown] == [
        ("event 2, come again", f"only in {twice}")]  # fmt: skip


def test_constants_in_the_run_database_are_compared_as_tables(tmp_path: Path, readout: Readout) -> None:
    gains = np.ones((24, 54))
    fills = [FillRecord(0, 1, START, 0, 0)]
    a = other(tmp_path / "a" / "x.mid", run_tree(17, 3, START, readout, {"gains": gains}), fills)
    gains[2, 5], gains[3, 0] = 1.5, 2.5
    b = other(tmp_path / "b" / "x.mid", run_tree(17, 3, START, readout, {"gains": gains}), fills)
    found = diff(a, b)
    assert found.count == 2  # begin and end of run
    assert found.shown[0] == ("", "begin of run, /Simulation/gains", "[2, 5] 1.0 and 1.5; [3, 0] 1.0 and 2.5")


def test_folders_are_compared_by_the_names_of_subruns(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    for folder, names in (("a", ("00000", "00001")), ("b", ("00000", "00002"))):
        (tmp_path / folder).mkdir()
        for name in names:
            write(tmp_path / folder / f"gm2_run00017_{name}.mid", fills)
    (tmp_path / "b" / "gm2_run00017_00000.mid").rename(tmp_path / "b" / "plain.mid")
    packed = gzip.compress((tmp_path / "b" / "plain.mid").read_bytes(), 1)
    (tmp_path / "b" / "gm2_run00017_00000.mid.gz").write_bytes(packed)
    for of_bytes in (True, False):
        found = diff(tmp_path / "a", tmp_path / "b", of_bytes=of_bytes)
        assert [(one.file, one.what) for one in found.shown] == [
            ("gm2_run00017_00001", f"only in {tmp_path / 'a'}"), ("gm2_run00017_00002", f"only in {tmp_path / 'b'}")
        ]  # fmt: skip


def test_what_is_shown_is_bounded_and_what_is_counted_is_not(raw_file: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mid"
    inject(raw_file, ["bitflip:3000:payload"], bad)
    found = diff(raw_file, bad, limit=3)
    assert len(found.shown) == 3
    assert found.count > 20
    assert max(len(str(one)) for one in diff(raw_file, bad, limit=10**6).shown) < 400


def test_what_cannot_be_compared_is_refused(raw_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give two files or two folders"):
        diff(raw_file, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no raw file"):
        diff(tmp_path / "empty", tmp_path / "empty")
    bad = tmp_path / "bad.mid"
    inject(raw_file, ["truncate:0.5"], bad)
    with pytest.raises(RawFormatError, match="cut short"):
        diff(raw_file, bad)
    found = diff(raw_file, bad, of_bytes=True)
    assert found.count == raw_file.stat().st_size - bad.stat().st_size
