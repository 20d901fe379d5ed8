"""Wrong requests: one sentence that names what, where and how to mend it, exit code 2 (1 under way), no traceback."""

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from gm2sim.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--fills", "1", "--subruns", "1", "--set", "beam.muons_per_fill=20", "--set", "tracking.fill_duration_us=20")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def gm2sim(capsys) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return run


def one_sentence(outcome: Outcome, code: int, *words: str) -> None:
    message = outcome.err.strip()
    assert outcome.code == code, message
    assert message.startswith("gm2sim: ")
    assert "\n" not in message
    assert "Traceback" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "run1x"), ("no preset 'run1x'", "did you mean 'run1")),
        (("run", "run1a", "--set", "quads.voltage_kb=3"), ("quads.voltage_kb", "--set", "quads.voltage_kv")),
        (("run", "run1a", "--set", "quads.voltage_kv"), ("--set quads.voltage_kv", "'='")),
        (("run", "run1a", "--set", "quads.voltage_kv=99"), ("quads.voltage_kv", "99", "40", "kV")),
        (("run", "run1a", "--fills", "-2"), ("run.fills", "-2", "--fills", "1")),
        (("run", "run1a", "--fills", "1", "--subruns", "2"), ("run.subruns", "run.fills")),
        (("run", "run1a", "--fills", "two"), ("--fills", "integer")),
        (("run", "no/such.toml"), ("no configuration file 'no/such.toml'",)),
        (("run", "run1a", "--backend", "fpga"), ("fpga", "cpu", "gpu")),
        (("rum", "run1a"), ("rum", "--help")),
        (("optics", "run1a", "--sett", "a=b"), ("--sett",)),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_code_2(gm2sim, arguments, words, tmp_path):
    arguments = (*arguments, "--out", str(tmp_path / "o")) if arguments[0] == "run" else arguments
    one_sentence(gm2sim(*arguments), 2, *words)
    assert not (tmp_path / "o").exists()


def test_a_missing_map_file_is_named(gm2sim, tmp_path):
    sets = ("--set", "magnet.map=file", "--set", f"magnet.map_file={tmp_path}/nowhere.dat")
    one_sentence(gm2sim("run", "run1a", *SMALL, *sets, "--out", str(tmp_path / "o")), 2, "nowhere.dat")


def test_a_missing_falloff_map_is_named(gm2sim, tmp_path):
    sets = ("--set", f"magnet.falloff_file={tmp_path}/nowhere.dat")
    one_sentence(gm2sim("run", "gasgun", *SMALL, *sets, "--out", str(tmp_path / "o")), 2, "nowhere.dat")


def test_a_truncated_map_file_is_named_with_its_line(gm2sim, tmp_path):
    broken = tmp_path / "map.dat"
    broken.write_text("# header\n1 0.0\n1.45 1e-6 2e-6 3e-6 4e-6 1e-6 2e-6 3e-6 4e-6\n2 0.1\n1.45 1e-6\n")
    sets = ("--set", "magnet.map=file", "--set", f"magnet.map_file={broken}")
    one_sentence(gm2sim("run", "run1a", *SMALL, *sets, "--out", str(tmp_path / "o")), 2, "map.dat", "5")


def test_a_gpu_that_is_not_there_is_never_replaced_by_the_cpu(gm2sim, tmp_path):
    from gpu.device import devices

    if devices():
        pytest.skip("this machine has a GPU")
    outcome = gm2sim("run", "gasgun", *SMALL, "--backend", "gpu", "--out", str(tmp_path / "o"))
    one_sentence(outcome, 2, "gpu", "gm2sim[gpu-cu12]")
    assert not list(tmp_path.rglob("*.mid"))


def test_a_folder_that_holds_a_run_is_not_overwritten(gm2sim, tmp_path):
    out = str(tmp_path / "o")
    assert gm2sim("run", "gasgun", *SMALL, "--no-report", "--out", out).code == 0
    made = {path.name: path.read_bytes() for path in Path(out).glob("gm2_run*")}
    one_sentence(gm2sim("run", "gasgun", *SMALL, "--out", out), 2, "--resume", "--force")
    one_sentence(gm2sim("run", "gasgun", *SMALL, "--seed", "2", "--resume", "--out", out), 2, "another run", "--force")
    assert {path.name: path.read_bytes() for path in Path(out).glob("gm2_run*")} == made


def test_a_folder_that_another_process_writes_to_is_left_alone_even_with_force(gm2sim, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "gm2_run00001_00000.mid").write_text("being written")
    with FileLock(out / ".gm2sim.lock"):
        outcome = gm2sim("run", "gasgun", *SMALL, "--force", "--out", str(out))
    one_sentence(outcome, 2, "another run is writing", "--out")
    assert (out / "gm2_run00001_00000.mid").read_text() == "being written"


def test_an_output_that_is_a_file_is_refused(gm2sim, tmp_path):
    (tmp_path / "o").write_text("mine")
    one_sentence(gm2sim("run", "gasgun", *SMALL, "--out", str(tmp_path / "o")), 2, "not a folder", "--out")
    assert (tmp_path / "o").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; the next test runs as another user")
def test_no_permission_is_said(gm2sim, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    one_sentence(gm2sim("run", "gasgun", *SMALL, "--out", str(tmp_path / "o")), 2, "no permission", "--out")


def test_no_permission_is_said_by_the_folder_check(tmp_path, monkeypatch):
    from gm2sim.config import ConfigError
    from gm2sim.outputs import make_folder

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match="no permission to write in"):
        make_folder(tmp_path / "o")


def test_a_full_disk_leaves_nothing_half_written_and_is_gone_on_from(tmp_path):
    """RLIMIT_FSIZE makes the kernel refuse the write that would pass the limit, as a full disk does."""
    out = tmp_path / "o"
    limit = 4_000_000  # more than any file of compiled code, less than a raw file of 5000 muons
    command = [sys.executable, "-m", "gm2sim", "run", "gasgun", "--fills", "1", "--subruns", "1", "--no-report"]
    done = subprocess.run(
        [*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "gm2sim: " in done.stderr
    begun = {".gm2_run00001_00000.mid.partial", ".gm2_run00001_00000.checkpoint"}
    left = {path.name for path in out.rglob("*")}
    assert left <= {"config.toml", *begun}, left
    room = subprocess.run(
        [*command, "--resume", "--out", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert room.returncode == 0, room.stderr
    left = {path.name for path in out.rglob("*")}
    assert not left & begun
    assert "gm2_run00001_00000.mid" in left


def test_a_corrupt_raw_file_is_named_with_its_place(gm2sim, tmp_path):
    out = tmp_path / "o"
    assert gm2sim("run", "gasgun", *SMALL, "--no-report", "--out", str(out)).code == 0
    (raw,) = out.glob("*.mid")
    assert gm2sim("raw", "check", str(raw)).code == 0
    whole = raw.read_bytes()
    cut = tmp_path / "cut.mid"
    cut.write_bytes(whole[: len(whole) // 2])
    outcome = gm2sim("raw", "check", str(cut))
    assert outcome.code == 1
    assert "cut.mid" in outcome.out
    assert "byte" in outcome.out
    assert "Traceback" not in outcome.out + outcome.err
    one_sentence(gm2sim("raw", "ls", str(tmp_path / "none.mid")), 2, "none.mid")
    one_sentence(gm2sim("raw", "dump", str(raw), "--bank", "XX99"), 2, "XX99")
