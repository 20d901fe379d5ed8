"""One way for every file to appear: what it promises beyond the faults of test_faults.py."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest

from gm2sim import atomic
from gm2sim.atomic import atomic_path, inside, write_json, write_text
from gm2sim.config import ConfigError
from gm2sim.hdf5 import new_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, MemoryError, ValueError, GeneratorExit])
def test_no_error_leaves_a_temporary_file(tmp_path: Path, kind: type[BaseException]) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise kind

    with pytest.raises(kind):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_at_any_call_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Ctrl-C where it hurts: in the middle of every call to the system."""
    for name in ("open", "write", "fsync", "link", "unlink", "close"):
        real = getattr(os, name)

        def interrupted(*arguments: object, real: object = real) -> object:
            real(*arguments)
            raise KeyboardInterrupt

        with mock.patch.object(os, name, interrupted), pytest.raises(KeyboardInterrupt):
            write_text(tmp_path / "a.txt", "whole")
        assert {path.name for path in tmp_path.iterdir()} <= {"a.txt"}, name
        if (tmp_path / "a.txt").exists():
            assert (tmp_path / "a.txt").read_text() == "whole"
            (tmp_path / "a.txt").unlink()


def test_a_file_system_without_links_works_too(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with mock.patch.object(os, "link", refuse):
        write_text(tmp_path / "a.txt", "first")
        with pytest.raises(FileExistsError):
            write_text(tmp_path / "a.txt", "second")
    assert (tmp_path / "a.txt").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_that_answers_late_has_been_made(tmp_path: Path) -> None:
    """Network file systems repeat a call whose answer was lost: the second finds the name of the first."""
    real = os.link

    def twice(*arguments: object) -> None:
        real(*arguments)
        real(*arguments)

    with mock.patch.object(os, "link", twice):
        write_text(tmp_path / "a.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path: Path) -> None:
    real = os.fsync

    def refuse(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(handle)

    with mock.patch.object(os, "fsync", refuse):
        write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").read_text() == "{}\n"


@pytest.mark.parametrize(
    "name", ["..", ".", "", "a/b", "/etc/passwd", "a\0b", "a\nb", "\x1b[31m", "a" * 256, "é" * 200]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="no name of a file"):
        inside(tmp_path, name)


def test_the_longest_name_still_has_a_temporary_one(tmp_path: Path) -> None:
    for name in ("a" * 255, "é" * 127):
        write_text(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one\r\ntwo\n\u2028é")
    assert (tmp_path / "a.txt").read_bytes() == "one\r\ntwo\n\u2028é".encode()


def test_rights_follow_the_umask_as_for_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
        write_text(tmp_path / "b.txt", "x", read_only=True)
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b.txt").stat().st_mode & 0o777 == 0o440


def test_hdf5_through_python_holds_what_hdf5_itself_would_write(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=50_000)

    def fill(file: h5py.File) -> None:
        data = file.create_dataset(
            "g/x", (0,), "f8", maxshape=(None,), chunks=(1000,), compression="gzip", shuffle=True
        )
        for begin in range(0, values.size, 7000):
            data.resize((min(begin + 7000, values.size),))
            data[begin:] = values[begin : begin + 7000]
        file.attrs["text"] = "é" * 70_000

    with new_file(tmp_path / "ours.h5") as file:
        fill(file)
    with h5py.File(tmp_path / "theirs.h5", "w", libver=("v110", "v110")) as file:
        fill(file)
    with h5py.File(tmp_path / "ours.h5") as ours, h5py.File(tmp_path / "theirs.h5") as theirs:
        np.testing.assert_array_equal(ours["g/x"][:], theirs["g/x"][:])
        assert ours.attrs["text"] == theirs.attrs["text"]


def test_what_a_killed_process_left_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from gm2sim.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as temporary:\n    temporary.write_text('half'); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "gm2_run.mid")], cwd=ROOT)
    limit = time.monotonic() + 60
    while not list(tmp_path.glob(".*.part")) and time.monotonic() < limit:
        time.sleep(0.01)
    atomic.remove_left_overs(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1  # it is alive
    process.send_signal(signal.SIGKILL)
    process.wait()
    atomic.remove_left_overs(tmp_path)
    assert list(tmp_path.iterdir()) == []
