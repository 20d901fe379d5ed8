"""Subruns cut anew: every event as it was, files closed where they should be, whole or not there at all."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest

from gm2sim.errors import ConfigError
from gm2sim.raw import FillRecord, RawFormatError, Readout, RunWriter, check, open_run, run_tree
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.tools import output
from gm2sim.raw.tools.container import Frame, content, frames
from gm2sim.raw.tools.diff import diff
from gm2sim.raw.tools.inject import inject
from gm2sim.raw.tools.pack import pack

START = 1_522_022_400
RUN = 17


@pytest.fixture
def run(tmp_path: Path, readout: Readout, fills: list[FillRecord]) -> list[Path]:
    """Five events in two subruns of one run."""
    paths = []
    for subrun, some in enumerate((fills[:2], fills[2:])):
        path = tmp_path / "run" / f"gm2_run00017_{subrun:05d}.mid"
        path.parent.mkdir(exist_ok=True)
        tree = run_tree(RUN, subrun, some[0].time_s, readout, {"version": "test", "config_hash": "abc", "seed": 9})
        with RunWriter(path, RUN, subrun, tree) as writer:
            for fill in some:
                writer.write_fill(fill)
        paths.append(path)
    return paths


def data_events(paths: list[Path]) -> list[bytes]:
    found = []
    for path in paths:
        with content(path) as data:
            found += [bytes(data[one.offset : one.offset + one.size]) for one in frames(path, data) if one.is_data]
    return found


def first_frame(path: Path) -> Frame:
    with content(path) as data:
        return next(iter(frames(path, data)))


@pytest.mark.parametrize(("compression", "suffix"), [("none", ".mid"), ("gz", ".mid.gz"), ("lz4", ".mid.lz4")])
@pytest.mark.parametrize("limit", [1, 2, 3, None])
def test_every_event_is_there_once_byte_for_byte(
    run: list[Path], tmp_path: Path, compression: str, suffix: str, limit: int | None
) -> None:
    out = tmp_path / "packed"
    made = pack(run[::-1], out, fills=limit, compression=compression)
    paths = sorted(out.glob(f"gm2_run00017_*{suffix}"))
    assert data_events(paths) == data_events(run)
    assert len(paths) == len(made) == {1: 5, 2: 3, 3: 2, None: 1}[limit]
    assert [path.name for path in paths] == [f"gm2_run00017_{i:05d}{suffix}" for i in range(len(made))]
    assert not list(out.glob(".*"))


def test_new_files_are_good_and_count_right(run: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(run, out, fills=3)
    for number, (count, first) in enumerate(((3, 0), (2, 3))):
        path = out / f"gm2_run00017_{number:05d}.mid"
        assert check(path) == []
        raw = open_run(path)
        assert (raw.run, raw.subrun) == (RUN, number)
        assert raw.odb["Logger"]["Channels"]["0"]["Settings"]["Current filename"] == path.name
        assert raw.odb["Runinfo"]["Start time binary"] == f"0x{START + first:08x}"
        assert raw.odb_end["Runinfo"]["Stop time binary"] == f"0x{START + first + count - 1:08x}"
        assert raw.odb_end["Equipment"]["EB"]["Statistics"]["Events sent"] == count
        assert [event.serial for event in raw] == list(range(first, first + count))
        assert raw.odb["Equipment"] == open_run(run[0]).odb["Equipment"]


def test_metadata_hold_sums_parents_and_numbers(run: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "packed"
    made = pack(run, out, fills=3, compression="lz4")
    for one in made:
        beside = json.loads((out / f"gm2_run00017_{one['subrun']:05d}.json").read_text("utf-8"))
        assert beside == json.loads(json.dumps(one))
        ((name, facts),) = beside["files"].items()
        sums = Checksums.of_file(out / name)
        assert facts == {"size": sums.size, "sha256": sums.sha256, "adler32": sums.adler32, "crc32c": sums.crc32c}
        assert (beside["simulated"], beside["config_hash"], beside["run"]) == (True, "abc", RUN)
    assert [one["parents"] for one in made] == [[path.name for path in run], [run[1].name]]
    assert [(one["first_event"], one["last_event"], one["event_count"]) for one in made] == [(0, 2, 3), (3, 4, 2)]
    assert (made[0]["start_time"], made[1]["end_time"]) == ("2018-03-26T00:00:00Z", "2018-03-26T00:00:04Z")


@pytest.mark.parametrize("compression", ["none", "gz"])
def test_no_file_passes_the_limit_and_no_more_files_are_made_than_it_asks(
    run: list[Path], tmp_path: Path, compression: str
) -> None:
    sizes = [len(event) for event in data_events(run)]
    begin = first_frame(run[0]).size
    limit = 2 * begin + sum(sizes[:2]) + sizes[2] // 2  # two events and half of the third
    made = pack(run, tmp_path / "packed", limit_mb=1e-6 * limit, compression=compression)
    assert made[0]["event_count"] == 2
    for one in made:
        ((name, _),) = one["files"].items()
        with content(tmp_path / "packed" / name) as data:
            assert data.nbytes <= limit
        behind = one["last_event"] + 1
        if behind < len(sizes):
            # An end of run is reckoned with 256 bytes above the size of the begin.
            assert data.nbytes + sizes[behind] > limit - 512
    with pytest.raises(ConfigError, match="event 0 alone takes a file over --limit-mb"):
        pack(run, tmp_path / "small", limit_mb=1e-6 * (2 * begin + sizes[0] // 2))
    assert list((tmp_path / "small").iterdir()) == []


def test_packing_again_changes_nothing(run: list[Path], tmp_path: Path) -> None:
    pack(run, tmp_path / "one", fills=2)
    pack(sorted((tmp_path / "one").glob("*.mid")), tmp_path / "two", fills=2)
    assert diff(tmp_path / "one", tmp_path / "two", of_bytes=True).same


def test_compressed_files_are_what_the_page_says(run: list[Path], tmp_path: Path) -> None:
    pack(run, tmp_path / "none")
    plain = (tmp_path / "none" / "gm2_run00017_00000.mid").read_bytes()
    pack(run, tmp_path / "gz", compression="gz")
    packed = (tmp_path / "gz" / "gm2_run00017_00000.mid.gz").read_bytes()
    assert packed[:8] == b"\x1f\x8b\x08\x00" + bytes(4)  # deflate, no name, time 0
    inside = open_run(tmp_path / "gz" / "gm2_run00017_00000.mid.gz")
    settings = inside.odb["Logger"]["Channels"]["0"]["Settings"]
    assert len(gzip.decompress(packed)) - len(plain) in range(9)  # the name in it, told twice, is longer
    assert settings["Current filename"].endswith(".mid.gz")
    pack(run, tmp_path / "lz4", compression="lz4")
    frame = (tmp_path / "lz4" / "gm2_run00017_00000.mid.lz4").read_bytes()
    info = lz4.frame.get_frame_info(frame)
    assert info["block_size"] == 4 << 20
    assert not info["block_linked"]
    assert info["content_checksum"]


def test_constants_that_change_close_a_file(run: list[Path], tmp_path: Path, readout: Readout) -> None:
    fill = FillRecord(5, 6, START + 5, 0, 5)
    with RunWriter(run[0].with_name("gm2_run00017_00002.mid"), RUN, 2, run_tree(
        RUN, 2, START + 5, readout, {"version": "test", "config_hash": "abc", "seed": 9, "gain": np.ones(3)}
    )) as writer:  # fmt: skip
        writer.write_fill(fill)
    paths = [*run, writer.path]
    assert [one["event_count"] for one in pack(paths, tmp_path / "kept")] == [5, 1]
    assert [one["event_count"] for one in pack(paths, tmp_path / "mixed", mix=True)] == [6]
    assert open_run(tmp_path / "kept" / "gm2_run00017_00001.mid").odb["Simulation"]["made_as_subrun"] == 2


def test_missing_events_close_a_file(run: list[Path], tmp_path: Path) -> None:
    gap = tmp_path / "gap.mid"
    inject(run[1], ["drop-event:3"], gap)
    made = pack([run[0], gap], tmp_path / "packed")
    assert [(one["first_event"], one["last_event"]) for one in made] == [(0, 2), (4, 4)]
    assert all(check(path) == [] for path in (tmp_path / "packed").glob("*.mid"))


def refused(call: Callable[[], Any], out: Path, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
    assert not out.exists() or list(out.iterdir()) == []


def test_what_cannot_be_packed_leaves_nothing(run: list[Path], tmp_path: Path, raw_file: Path) -> None:
    out, bad = tmp_path / "packed", tmp_path / "bad.mid"
    refused(lambda: pack([*run, raw_file.parent / "none.mid"], out), out, FileNotFoundError, "none")
    refused(lambda: pack([run[0], run[0]], out), out, ConfigError, "are the same subrun, 0")
    refused(lambda: pack(run, out, compression="zip"), out, ConfigError, "choose none, gz, lz4")
    refused(lambda: pack(run, out, fills=0), out, ConfigError, "must be above zero")
    inject(run[1], ["truncate:0.9"], bad)
    refused(lambda: pack([run[0], bad], out, fills=1), out, RawFormatError, "cut short")
    (tmp_path / "twice").mkdir()
    inject(run[1], ["duplicate:3"], tmp_path / "twice" / "bad.mid")
    refused(lambda: pack([tmp_path / "twice" / "bad.mid"], out), out, ConfigError, "event 3 follows event 3")


def test_files_of_two_runs_are_not_mixed(run: list[Path], tmp_path: Path, readout: Readout) -> None:
    with RunWriter(tmp_path / "gm2_run00018_00000.mid", 18, 0, run_tree(18, 0, START, readout, {})) as writer:
        pass
    out = tmp_path / "packed"
    refused(lambda: pack([*run, writer.path], out), out, ConfigError, "of one run, got 2 runs")


def test_nothing_is_overwritten(run: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "packed"
    pack(run, out)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ConfigError, match="is there already and nothing is overwritten"):
        pack(run, out, compression="gz")
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_full_disk_leaves_nothing(run: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "packed"
    writes = 0

    def emit(self: output.RawOutput, data: bytes | memoryview) -> None:
        nonlocal writes
        writes += 1
        if writes > 9:
            raise OSError(28, "No space left on device", str(self.path))
        good(self, data)

    good = output.RawOutput._emit
    monkeypatch.setattr(output.RawOutput, "_emit", emit)
    refused(lambda: pack(run, out, fills=1), out, OSError, "No space left")
