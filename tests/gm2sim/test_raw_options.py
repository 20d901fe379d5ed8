"""Options of raw files in runs: compression, the limit of a file, and readouts of boards that trigger themselves."""

import gzip
import json
import struct
from pathlib import Path

import lz4.frame
import numpy as np
import pytest

from detectors.laser import MONITOR_LEVEL
from gm2sim.config import ConfigError, RunError, load
from gm2sim.outputs import SubrunPaths
from gm2sim.run import run

SMALL = {
    "run.fills": 4,
    "run.subruns": 2,
    "beam.muons_per_fill": 50,
    "tracking.fill_duration_us": 60.0,
    "daq.calo_sum": False,
    "daq.q_method": False,
    "daq.pedestal_every": 0,
    "daq.async_every": 2,
    "laser.fill_every": 0,
}
NAMES = ("gm2_run00001_00000", "gm2_run00001_00001")
Banks = dict[str, bytes]


def events(content: bytes) -> list[tuple[int, int, Banks]]:
    """Event id, serial number and banks of all events."""
    found, place = [], 0
    while place < len(content):
        event_id, _, serial, _, size = struct.unpack_from("<HHIII", content, place)
        banks, inner = {}, place + 24
        while event_id == 1 and inner < place + 16 + size:
            name, _, length = struct.unpack_from("<4sII", content, inner)
            banks[name.decode()] = content[inner + 12 : inner + 12 + length]
            inner += 12 + length + -length % 8
        found.append((event_id, serial, banks))
        place += 16 + size
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw_options") / "plain"
    run(load("gasgun", SMALL), out, report=False)
    return out


@pytest.fixture(scope="module")
def content(plain: Path) -> list[bytes]:
    return [(plain / f"{name}.mid").read_bytes() for name in NAMES]


def test_sources_answer_once_every_so_many_fills(content: list[bytes]) -> None:
    kinds = [
        [
            next((name[0] for name in banks if name[1:] == "C33"), "")
            for event_id, _, banks in events(one)
            if event_id == 1
        ]
        for one in content
    ]
    assert kinds == [["C", "C", "A"], ["C", "C", "A"]]
    assert [serial for one in content for event_id, serial, _ in events(one) if event_id == 1] == list(range(6))


def test_sources_pulses_lie_in_the_time_since_the_last_readout(content: list[bytes]) -> None:
    for one, duration in zip(content, (0.010 + 0.009, 0.020), strict=True):
        banks = events(one)[3][2]
        boards = banks["AR33"]
        words = struct.unpack(f">{len(boards) // 8}Q", boards)
        assert (words[0] >> 56, words[1] >> 48 & 31, words[1] >> 12 & 3) == (5, 4, 3)
        place, times, samples = 3, [], []
        for _ in range(5):
            pulses = words[place] >> 16 & 0x7FFFFF
            for pulse in range(pulses):
                head = place + 2 + 22 * pulse
                times.append(words[head + 1] >> 11 & (2**44 - 1))
                samples.append(np.frombuffer(boards, "<i2", 80, 8 * (head + 2)))
            place += 2 + 22 * pulses + 3
        assert place + 1 == words[0] & 0xFFFFF
        assert all(time * 1.25e-9 <= duration for time in times)
        assert all(abs(float(one[:4].mean()) - MONITOR_LEVEL) < 6 for one in samples)


def test_database_says_which_boards_trigger_themselves(content: list[bytes]) -> None:
    size = struct.unpack_from("<I", content[0], 12)[0]
    odb = json.loads(content[0][16 : 16 + size])
    settings = odb["Equipment"]["AMC1333"]["Settings"]
    assert settings["Monitor"]["Asynchronous"]["Channel numbers"] == list(range(20, 26))
    assert settings["Rider05"]["Board"]["Async Mode: Enabled"] is True
    assert size < 1_500_000


@pytest.mark.parametrize(("compression", "suffix"), [("gz", ".mid.gz"), ("lz4", ".mid.lz4")])
def test_compressed_files_hold_the_same_events_and_a_run_goes_on_with_them(
    content: list[bytes], tmp_path: Path, compression: str, suffix: str
) -> None:
    config = load("gasgun", SMALL | {"daq.compression": compression})
    run(config, tmp_path / "out", report=False)
    unpack = gzip.decompress if compression == "gz" else lz4.frame.decompress
    made = [tmp_path / "out" / f"{name}{suffix}" for name in NAMES]
    for path, wanted in zip(made, content, strict=True):
        assert [banks for _, _, banks in events(unpack(path.read_bytes()))] == [banks for _, _, banks in events(wanted)]
        assert json.loads((path.parent / f"{path.name.partition('.')[0]}.json").read_text())["files"][path.name]
    before = [path.stat().st_mtime_ns for path in made]
    made[1].unlink()
    run(config, tmp_path / "out", report=False, resume=True)
    assert made[0].stat().st_mtime_ns == before[0]
    assert made[1].is_file()
    with pytest.raises(ConfigError, match="holds this run already"):
        run(config, tmp_path / "out", report=False)
    run(load("gasgun", SMALL | {"run.fills": 1, "run.subruns": 1}), tmp_path / "out", report=False, force=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("gm2_*.mid*")) == [f"{NAMES[0]}.mid"]


def test_front_ends_compress_the_calorimeters(content: list[bytes], tmp_path: Path) -> None:
    run(
        load("gasgun", SMALL | {"run.fills": 1, "run.subruns": 1, "daq.frontend_compression": "event"}),
        tmp_path / "o",
        report=False,
    )
    banks = events((tmp_path / "o" / f"{NAMES[0]}.mid").read_bytes())[1][2]
    plain = events(content[0])[1][2]
    assert [name for name in banks if name[:2] == "FZ"] == [f"FZ{crate:02d}" for crate in range(1, 25)]
    assert {name: data for name, data in banks.items() if name in plain} == {
        name: data for name, data in plain.items() if name in banks
    }


def test_run_that_needs_a_longer_file_says_so_and_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"gm2_run00001_00000\.mid' would pass daq\.subrun_limit_mb = 1 with event 0"):
        run(load("gasgun", SMALL | {"daq.subrun_limit_mb": 1}), tmp_path / "o", report=False)
    assert not list((tmp_path / "o").glob("gm2_*.mid*"))


def test_left_overs_of_a_subrun_are_cleared_whatever_their_compression(tmp_path: Path) -> None:
    paths = SubrunPaths(tmp_path, 1, 0, "lz4")
    assert paths.raw.name == "gm2_run00001_00000.mid.lz4"
    for suffix in (".mid", ".mid.gz", ".mid.lz4"):
        (tmp_path / f"gm2_run00001_00000{suffix}").touch()
    (tmp_path / "gm2_run00001_00001.mid").touch()
    paths.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["gm2_run00001_00001.mid"]
