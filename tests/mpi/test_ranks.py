"""The same command on 1, 2 and 3 ranks: the same bytes, no work lost or doubled, errors end every rank."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gm2sim.farm import Ranks

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
RUN = (
    "run", "gasgun", "--fills", "4", "--subruns", "3", "--no-report",
    "--set", "beam.muons_per_fill=60", "--set", "tracking.fill_duration_us=40",
)  # fmt: skip

needs_mpi = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this python: pip install 'gm2sim[mpi]'")


def launch(ranks: int, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start the program on some ranks; one thread each, so that two cores are not oversubscribed."""
    command = [str(MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", "-m", "gm2sim", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NUMBA_NUM_THREADS": "1"} | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def checksums(folder: Path) -> dict[str, str]:
    wanted = [*folder.glob("*.mid"), *folder.glob("*.truth.h5")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wanted}


def test_ranks_share_all_items_without_overlap():
    items = list(range(11))
    for size in (1, 2, 3, 8):
        shares = [Ranks(rank, size).share(items) for rank in range(size)]
        assert sorted(item for share in shares for item in share) == items


@needs_mpi
def test_bytes_do_not_depend_on_the_number_of_ranks(tmp_path):
    found = {}
    for size in (1, 2, 3):
        out = tmp_path / str(size)
        done = launch(size, *RUN, "--out", str(out))
        assert done.returncode == 0, done.stderr
        found[size] = checksums(out)
        summary = json.loads((out / "summary.json").read_text())
        assert summary["ranks"] == size
        assert summary["counts"]["fills"] == 4
        assert summary["peak_memory_mb"] < 1000
    assert len(found[1]) == 6
    assert found[1] == found[2] == found[3]


@needs_mpi
def test_a_wrong_request_ends_all_ranks_with_one_sentence(tmp_path):
    done = launch(3, "run", "gasgum", "--out", str(tmp_path / "o"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("no preset 'gasgum'") == 1
    assert "Traceback" not in done.stderr


def test_processes_started_by_mpi_without_mpi4py_say_what_to_install(tmp_path):
    """A launcher's environment, and a Python that cannot import mpi4py: every process would do the whole job."""
    code = "import sys; sys.modules['mpi4py'] = None; from gm2sim.__main__ import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *RUN, "--out", str(tmp_path / "o")],
        cwd=ROOT, env=os.environ | {"PMI_SIZE": "4", "PMI_RANK": "0"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'gm2sim[mpi]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()
