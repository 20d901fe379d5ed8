"""Ranks that start together: one reads for its node, each is the process that its launcher has started."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gm2sim import prepared, together
from gm2sim.config import load
from gm2sim.setup import Setup
from tests.mpi.alike import MUONS_MB
from tests.mpi.test_ranks import MPIEXEC, ROOT, RUN, checksums, launch, needs_mpi

ALIKE = Path(__file__).with_name("alike.py")
RANKS = 3


class Node:
    """A launcher that starts three processes, as on one node."""

    def __init__(self, what: str, folder: Path) -> None:
        self.folder = folder
        self.processes = []
        for rank in range(RANKS):
            told = folder / f"given-{rank}"
            told.write_text(f"for rank {rank}")
            given = os.open(told, os.O_RDONLY)
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, str(ALIKE), what, str(folder)],
                    env=os.environ
                    | {"PYTHONPATH": str(ROOT), "MPI_LOCALNRANKS": str(RANKS), "MPI_LOCALRANKID": str(rank)}
                    | {"PMI_FD": str(given)},
                    pass_fds=[given], stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip
            os.close(given)

    def ends(self) -> list[int]:
        self.said = [one.communicate(timeout=60)[0] for one in self.processes]
        return [one.returncode for one in self.processes]

    def wait_for(self, name: str) -> Path:
        end = time.monotonic() + 60.0
        while not (self.folder / name).exists() or not (self.folder / name).read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        return self.folder / name


def gone(process: int) -> bool:
    """Whether a process is over, waiting a while for it."""
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_one_reads_for_all_and_each_is_who_it_was_started_as(tmp_path: Path) -> None:
    node = Node("run", tmp_path)
    assert node.ends() == [10, 11, 12]
    assert len(list(tmp_path.glob("read-*"))) == 1
    facts = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(RANKS)]
    assert [one["told"] for one in facts] == [f"for rank {rank}" for rank in range(RANKS)]
    assert node.said == [f"rank {rank}\n" for rank in range(RANKS)]
    for one in facts:
        # The muons are in memory once: a share of them each, and none of its own.
        assert one["Private_Dirty"] < 1024 * MUONS_MB / 2
        assert one["Rss"] > 1024 * MUONS_MB
    assert sum(one["Pss"] for one in facts) < 1024 * MUONS_MB * 2


def test_a_copy_that_is_killed_ends_its_process_by_the_same_signal(tmp_path: Path) -> None:
    assert Node("die", tmp_path).ends() == [10, -signal.SIGKILL, 12]


def test_a_process_that_is_killed_takes_its_copy_with_it_and_signals_reach_the_copy(tmp_path: Path) -> None:
    node = Node("wait", tmp_path)
    copies = [int(node.wait_for(f"pid-{rank}").read_text()) for rank in range(RANKS)]
    assert copies[0] == node.processes[0].pid
    node.processes[1].kill()
    assert gone(copies[1])
    assert not (Path("/proc") / str(copies[2])).joinpath("stat").read_text().endswith("Z")
    node.processes[2].send_signal(signal.SIGUSR1)
    node.processes[0].send_signal(signal.SIGUSR1)
    assert node.ends() == [75, -signal.SIGKILL, 75]
    assert gone(copies[2])


def test_a_wrong_request_is_answered_once_for_all(tmp_path: Path) -> None:
    assert Node("refuse", tmp_path).ends() == [2, 2, 2]


def test_launchers_say_how_many_are_here() -> None:
    assert together.here({}) == 1
    assert together.here({"MPI_LOCALNRANKS": "4"}) == 4
    assert together.here({"SLURM_NODEID": "2", "SLURM_STEP_TASKS_PER_NODE": "4(x2),3"}) == 3
    assert together.here({"SLURM_NODEID": "9", "SLURM_STEP_TASKS_PER_NODE": "4(x2)"}) == 1


def test_what_is_read_before_the_ranks_part_is_what_they_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the muons of a file, which are most of what a rank holds."""
    config = load("gasgun")
    made = object()
    monkeypatch.setattr(Setup, "of", lambda *arguments: made)
    monkeypatch.setattr(prepared.cache, "ensure_compiled", lambda *arguments: 0.0)
    monkeypatch.setattr(prepared, "compiled_set", lambda setup: "none")
    monkeypatch.setattr(prepared, "_made", {})
    prepared.prepare(config, "cpu")
    assert prepared._made == {}
    monkeypatch.setattr(together, "_host", object())
    prepared.prepare(config, "gpu")
    assert prepared._made == {}
    prepared.prepare(config, "cpu")
    assert prepared.setup_of(config, "cpu") is made
    assert list(prepared._made) == [(config, "cpu")]


@needs_mpi
def test_no_file_of_the_program_is_opened_by_more_than_the_first(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install strace")
    traced = subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=openat", "-o", str(tmp_path / "opens"), str(MPIEXEC), "-n", str(RANKS),
         sys.executable, "-m", "gm2sim.start", "config", "gasgun"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "ptrace" in traced.stderr:
        pytest.skip("strace may not trace here")
    assert traced.returncode == 0, traced.stderr
    assert traced.stdout.count("# gasgun, sha256") == 1
    by_file: dict[str, set[str]] = {}
    for line in (tmp_path / "opens").read_text().splitlines():
        found = re.match(r'(\d+) +openat\(\w+, "([^"]+)", O_RDONLY.*\) = \d', line)
        if found and found[2].endswith((".py", ".pyc", ".so", ".toml")) and "/lib/python" not in found[2]:
            by_file.setdefault(found[2], set()).add(found[1])
    several = {Path(name).name.partition(".")[0] for name, who in by_file.items() if len(who) > 1}
    assert len(by_file) > 20
    assert several <= {"__init__", "start", "together"}


@needs_mpi
def test_ranks_that_start_together_make_the_same_bytes(tmp_path: Path) -> None:
    assert launch(2, *RUN, "--out", str(tmp_path / "apart")).returncode == 0
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, "-m", "gm2sim.start", *RUN, "--out", str(tmp_path / "together")],
        cwd=ROOT, env=os.environ | {"NUMBA_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "together" / "summary.json").read_text())["ranks"] == 2
    assert checksums(tmp_path / "together") == checksums(tmp_path / "apart")
