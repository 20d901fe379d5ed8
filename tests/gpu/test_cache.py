"""Compiled code on disk: never stale, compiled once by many processes, no trouble where it cannot be kept."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import gpu
from gpu import cache

ROOT = Path(gpu.__file__).parent.parent

LAW = """
from gpu.kernel import scalar

@scalar
def law(x):
    return {factor} * x
"""
MOVER = """
import os
import sys
import numpy as np
from fields.law import law
from gpu import cache
from gpu.kernel import Kernel

@Kernel
def move(i, x):
    x[i] = law(x[i])

x = np.ones(3)
cache.ensure_compiled(lambda: move(3, x), sys.stderr.write)
os.write(1, f"{x[0]} {cache.tally.compiled} {cache.tally.loaded}\\n".encode())  # one piece, whoever else writes
"""

FORKED = """
import os
import sys
import gpu.kernel
from numba.core.registry import cpu_target

cpu_target.target_context.refresh()  # numba's start-up work, once for all
children = []
for _ in range(16):
    child = os.fork()
    if child == 0:
        import tracking.mover
        os._exit(0)
    children.append(child)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


@pytest.fixture
def tree(tmp_path):
    """A program of three packages beside a copy of gpu, as files that can be edited."""
    root = tmp_path / "tree"
    shutil.copytree(ROOT / "gpu", root / "gpu", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("fields", "tracking"):
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
    (root / "fields" / "law.py").write_text(LAW.format(factor=2.0))
    (root / "tracking" / "mover.py").write_text(MOVER)
    return root


def environment(root, home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG"))}
    return kept | {"PYTHONPATH": str(root), "HOME": str(home), "NUMBA_NUM_THREADS": "1"}


def start(root, home, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "tracking.mover"],
        cwd=home,
        env=environment(root, home) | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.strip(), err


def test_an_edited_function_in_another_file_takes_effect(tree, tmp_path):
    assert finish(start(tree, tmp_path))[0] == "2.0 1 0"
    out, err = finish(start(tree, tmp_path))
    assert out == "2.0 0 1"
    assert err == ""  # nothing is said when nothing is compiled
    (tree / "fields" / "law.py").write_text(LAW.format(factor=7.0))
    out, err = finish(start(tree, tmp_path))
    assert out == "7.0 1 0"
    assert "compiling for this machine" in err
    assert "compiled code is ready after" in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_sixteen_processes_that_need_a_function_at_once_compile_once(tree, tmp_path):
    # forked from one that has loaded numba: cheaper than 16 starts, and all reach the empty folder at once
    process = subprocess.run(
        [sys.executable, "-c", FORKED],
        cwd=tmp_path,
        env=environment(tree, tmp_path),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert sorted(process.stdout.splitlines()) == ["2.0 0 1"] * 15 + ["2.0 1 0"]


def test_a_home_that_cannot_be_written_is_no_trouble(tree, tmp_path):
    (tmp_path / ".cache").write_text("a file where the folder should be")
    spare = tmp_path / "spare"
    spare.mkdir()
    assert finish(start(tree, tmp_path, TMPDIR=str(spare)))[0] == "2.0 1 0"
    assert finish(start(tree, tmp_path, TMPDIR=str(spare)))[0] == "2.0 0 1"
    assert list(spare.glob(f"gm2sim-{os.getuid()}/*/locks"))


def test_code_is_compiled_in_memory_where_nothing_can_be_written(tree, tmp_path):
    (tmp_path / ".cache").write_text("a file where the folder should be")
    program = f"import tempfile; tempfile.tempdir = '{tmp_path}/.cache'; import tracking.mover"
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(tree, tmp_path), capture_output=True
    )
    assert process.stdout == b"2.0 1 0\n", process.stderr
    assert b"no folder for compiled code can be written" in process.stderr


def test_a_users_own_numba_folder_is_used_and_numba_settings_stay(tree, tmp_path):
    program = (
        "import numba\n@numba.njit\ndef first(x):\n    return x + 1\nfirst(1)\n"
        "before = numba.config.CACHE_DIR\n"
        "import tracking.mover\nassert numba.config.CACHE_DIR == before\n"
    )
    mine = tmp_path / "mine"
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(tree, tmp_path) | {"NUMBA_CACHE_DIR": str(mine)},
        capture_output=True,
        text=True,
    )
    assert process.stdout == "2.0 1 0\n", process.stderr
    assert list(mine.glob("gm2sim/*/*/*.nbi"))
    assert not (tmp_path / ".cache").exists()


def test_the_hash_of_the_sources_sees_names_and_contents_only(tmp_path):
    (tmp_path / "fields").mkdir()
    quads, ring = tmp_path / "fields" / "quads.py", tmp_path / "fields" / "ring.py"
    quads.write_text("a = 1")
    first = cache.sources_hash(tmp_path)
    os.utime(quads, (1.0, 1.0))
    (tmp_path / "fields" / "table.csv").write_text("not a source")
    (tmp_path / "other.py").write_text("not one of our packages")
    assert cache.sources_hash(tmp_path) == first
    quads.write_text("a = 2")
    second = cache.sources_hash(tmp_path)
    quads.rename(ring)
    third = cache.sources_hash(tmp_path)
    ring.unlink()
    assert len({first, second, third, cache.sources_hash(tmp_path)}) == 4


def test_compiled_code_depends_on_what_kernels_import_and_on_nothing_else(tmp_path):
    """A changed report compiles nothing again; a changed number three imports away from a kernel does."""
    for name, text in {
        "gpu/kernel.py": "",
        "tracking/mover.py": "from gpu.kernel import Kernel\nfrom fields import (\n    law,\n)\n",
        "fields/__init__.py": "",
        "fields/law.py": "def f():\n    import decay.numbers\n",
        "decay/numbers.py": "factor = 2\n",
        "gm2sim/report.py": "from tracking.mover import move\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    first, whole = cache.sources_hash(tmp_path, kernels=True), cache.sources_hash(tmp_path)
    (tmp_path / "gm2sim/report.py").write_text("changed = 1\n")
    assert cache.sources_hash(tmp_path, kernels=True) == first
    assert cache.sources_hash(tmp_path) != whole
    seen = {first}
    for name in ("gpu/kernel.py", "tracking/mover.py", "fields/__init__.py", "fields/law.py", "decay/numbers.py"):
        with (tmp_path / name).open("a") as file:
            file.write("other = 3\n")
        seen.add(cache.sources_hash(tmp_path, kernels=True))
    assert len(seen) == 6


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder of compiled code, used in this process until the test ends."""
    path = tmp_path / "gm2sim" / "0123456789abcdef0123"
    path.mkdir(parents=True)
    monkeypatch.setattr(cache, "folder", lambda: path)
    return path


def test_a_lock_falls_when_its_holder_is_killed(place):
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom gpu import cache\n"
        f"cache.folder = lambda: Path({str(place)!r})\n"
        "with cache.lock('x'):\n    sys.stdout.write('held'); sys.stdout.flush(); time.sleep(600)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.read(4) == b"held"
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    with cache.lock("x"):
        assert list(place.glob("locks/*.lock"))


def test_work_goes_on_without_a_lock_that_cannot_be_had(place, monkeypatch, caplog):
    (place / "locks").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING), cache.lock("x"):
        pass
    assert "going on without" in caplog.text


def test_a_stuck_holder_is_not_waited_for_for_ever(place, monkeypatch, caplog):
    monkeypatch.setattr(cache, "LOCK_SECONDS", 0.05)
    with cache.lock("x"), caplog.at_level(logging.WARNING), cache.lock("x"):
        pass
    assert "going on without" in caplog.text


def test_compiling_is_announced_once_and_only_when_it_happens(place):
    said, calls = [], []

    def compile_two():
        calls.append(1)
        cache.compiling("first")
        cache.compiling("second")

    cache.ensure_compiled(compile_two, said.append)
    assert [line.split()[0] for line in said] == ["compiling", "compiled"]
    assert str(place) in said[1]
    cache.ensure_compiled(lambda: calls.append(1), said.append)
    assert len(calls) == len(said) == 2


def test_waiting_for_another_process_is_announced(place):
    said, entered, leave = [], threading.Event(), threading.Event()

    def hold():
        with cache.lock("run"):
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    entered.wait(60)
    releaser = threading.Timer(0.1, leave.set)
    releaser.start()
    cache.ensure_compiled(lambda: None, said.append)
    other.join()
    assert [line.split()[0] for line in said] == ["waiting", "compiled"]


def test_a_warm_up_that_fails_leaves_no_ready_mark(place):
    with pytest.raises(ZeroDivisionError):
        cache.ensure_compiled(lambda: 1 / 0, lambda line: None, name="detectors")
    assert not cache.is_ready("detectors")
    cache.ensure_compiled(lambda: None, lambda line: None, name="detectors")
    assert cache.is_ready("detectors")
    assert not cache.is_ready("run")


def test_old_folders_go_and_recent_and_foreign_ones_stay(place):
    parent, now = place.parent, time.time()
    for k in range(1, 9):
        (parent / f"{k:020x}").mkdir()
        days = k if k > 6 else 0.1 * k
        os.utime(parent / f"{k:020x}", (now - days * 86400.0,) * 2)
    foreign = parent / "notes"
    foreign.mkdir()
    os.utime(foreign, (0.0, 0.0))
    assert sorted(path.name for path in cache.prune(place)) == [f"{k:020x}" for k in (7, 8)]
    assert foreign.exists()
    assert place.exists()
    assert len(list(parent.iterdir())) == 8


def test_a_folder_that_all_can_write_is_refused(tmp_path, caplog):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with caplog.at_level(logging.WARNING):
        assert not cache._usable(shared / "0123456789abcdef0123")
    assert "can be written by all: not used" in caplog.text


def test_the_folder_lies_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    places = list(cache._candidates("name"))
    assert places[0] == tmp_path / "gm2sim" / "name"
    assert places[-1] == Path(tempfile.gettempdir()) / f"gm2sim-{os.getuid()}" / "name"
