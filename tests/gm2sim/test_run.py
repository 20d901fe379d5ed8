"""The main job: whole files, the same bytes however it is run, nothing lost when it is killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from gm2sim.config import load
from gm2sim.outputs import SubrunPaths, read_metadata, subrun_is_done
from gm2sim.raw import open_run
from gm2sim.run import run
from gm2sim.timeline import FillType, events, muon_fills

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"beam.muons_per_fill": 100, "tracking.fill_duration_us": 100.0, "run.fills": 4, "run.subruns": 2}
SMALL_ARGUMENTS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]


def sums(folder: Path) -> dict[str, str]:
    data = [*folder.glob("*.mid"), *folder.glob("*.truth.h5")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A finished small run: two subruns of two fills of 100 muons."""
    out = tmp_path_factory.mktemp("run") / "out"
    run(load("gasgun", SMALL), out, preset="gasgun", report=False)
    return out


def test_fills_are_spread_over_the_subruns_in_order():
    config = load("gasgun", {"run.fills": 11, "run.subruns": 4})
    spread = [muon_fills(config, subrun) for subrun in range(4)]
    assert [serial for part in spread for serial in part] == list(range(11))
    assert {len(part) for part in spread} == {2, 3}


def test_a_run_leaves_whole_documented_files(small):
    names = {path.name for path in small.iterdir()}
    ends = (".mid", ".truth.h5", ".json", ".timing")
    assert names == {"config.toml", "summary.json"} | {f"gm2_run00001_0000{k}{end}" for k in (0, 1) for end in ends}
    summary = json.loads((small / "summary.json").read_text())
    assert summary["counts"]["muons"] == 400
    assert summary["raw_files"] == 2
    assert summary["raw_bytes"] == sum(path.stat().st_size for path in small.glob("*.mid"))


def test_metadata_names_every_file_with_sums_that_hold(small):
    for path in small.glob("gm2_run*.json"):
        metadata = read_metadata(path)
        assert metadata["simulated"] is True
        for name, facts in metadata["files"].items():
            content = (small / name).read_bytes()
            assert len(content) == facts["size"]
            assert hashlib.sha256(content).hexdigest() == facts["sha256"]


def test_truth_and_raw_data_describe_the_same_fills(small):
    config = load("gasgun", SMALL)
    for subrun in (0, 1):
        paths = SubrunPaths(small, 1, subrun)
        expected = list(muon_fills(config, subrun))
        raw = open_run(paths.raw)
        with h5py.File(paths.truth) as truth:
            assert [event.serial for event in raw] == [when.serial for when in events(config, subrun)]
            fills = [event for event in raw if event.fill_type == FillType.MUONS]
            assert [event.serial for event in fills] == expected
            assert sorted(set(truth["muons/fill"][:])) == expected
            zero = raw.odb["Simulation"]["calibration"]["zero_sample"]
            strong = truth["hits/energy"][:] > 1.0
            for event in fills:
                mine = strong & (truth["hits/fill"][:] == event.serial)
                for calo, at in zip(truth["hits/calo"][mine], truth["hits/time"][mine], strict=True):
                    sample = zero + at / 1.25e-9
                    islands = event.islands(int(calo) + 1)
                    inside = (islands.time <= sample + 4) & (sample <= islands.time + islands.length)
                    assert inside.any(), f"a positron of more than 1 GeV has no island in fill {event.serial}"


def test_the_same_configuration_gives_the_same_bytes_for_any_thread_count(small, tmp_path):
    for threads in ("1", "2"):
        out = tmp_path / threads
        command = [sys.executable, "-m", "gm2sim", "run", str(small / "config.toml"), "--no-report", "--out", str(out)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"NUMBA_NUM_THREADS": threads}, check=True, timeout=300)
        # The preset's name is for people and part of the files; all physics comes from the configuration.
        name = "gm2_run00001_00000.truth.h5"
        with h5py.File(out / name) as again, h5py.File(small / name) as first:
            for column in ("muons/x", "muons/sx", "hits/energy", "crystals/energy"):
                np.testing.assert_array_equal(again[column][:], first[column][:])
    assert sums(tmp_path / "1") == sums(tmp_path / "2")


def test_a_killed_run_goes_on_to_the_same_bytes(small, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "gm2sim", "run", "gasgun", *SMALL_ARGUMENTS, "--no-report", "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 200
    while not list(out.glob("*_00000.json")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "gm2_run00001_00000.json").exists()
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True, timeout=300)
    assert sums(out) == sums(small)
    assert not list(out.glob(".*.part"))
    summary, whole = (json.loads((folder / "summary.json").read_text()) for folder in (out, small))
    assert {key: summary[key] for key in ("counts", "raw_files", "raw_bytes")} == {
        key: whole[key] for key in ("counts", "raw_files", "raw_bytes")
    }


@pytest.mark.parametrize("damage", ["empty", "cut", "one bit", "other seed"])
def test_resume_trusts_sums_and_not_names(small, tmp_path, damage):
    config = load("gasgun", SMALL)
    paths = SubrunPaths(tmp_path, 1, 0)
    for path in small.glob("gm2_run00001_00000*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert subrun_is_done(paths, config)
    content = bytearray(paths.raw.read_bytes())
    if damage == "empty":
        paths.raw.write_bytes(b"")
    elif damage == "cut":
        paths.raw.write_bytes(content[:-8])
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        paths.raw.write_bytes(content)
    else:
        config = config.with_(run__seed=99)
    assert not subrun_is_done(paths, config)


def test_another_seed_gives_other_muons_and_the_same_machine(small, tmp_path):
    run(load("gasgun", SMALL | {"run.seed": 5, "run.fills": 1, "run.subruns": 1}), tmp_path / "o", report=False)
    name = "gm2_run00001_00000.truth.h5"
    with h5py.File(tmp_path / "o" / name) as other, h5py.File(small / name) as first:
        assert not np.array_equal(other["muons/x"][:100], first["muons/x"][:100])
        np.testing.assert_array_equal(other["field/normal"][:], first["field/normal"][:])
