"""A raw file is there whole, with right checksums, or not at all."""

import dataclasses
import errno
import hashlib
import os
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crc32c
import numpy as np
import pytest

from gm2sim.raw import CalorimeterRecord, FillRecord, RunWriter, WaveformRecord, WrittenFile, check
from gm2sim.raw.banks import islands
from gm2sim.raw.odb import encode, ended

START = 1_522_022_400
Write = Callable[[Path, list[FillRecord]], WrittenFile]

FAULTS = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR, 524]


def test_checksums_and_size_are_those_of_the_file(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    written = write(tmp_path / "a.mid", fills)
    content = written.path.read_bytes()
    assert written.size == len(content)
    assert written.events == len(fills)
    assert written.sha256 == hashlib.sha256(content).hexdigest()
    assert written.adler32 == f"{zlib.adler32(content, 0):08x}"
    assert written.crc32c == f"{crc32c.crc32c(content):08x}"


def test_checksums_are_the_published_ones(tmp_path: Path) -> None:
    from gm2sim.raw.checksum import Checksums

    path = tmp_path / "nine"
    path.write_bytes(b"123456789")
    sums = Checksums.of_file(path)
    # CRC-32C: the check value of the Castagnoli polynomial. SHA-256: coreutils. Adler-32 from 0, by hand:
    # a = 49 + ... + 57 = 477, b = 9 x 49 + 8 x 50 + ... + 57 = 2325.
    assert sums.crc32c == "e3069283"
    assert sums.adler32 == "091501dd"
    assert sums.sha256 == "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"


def test_equal_inputs_give_equal_bytes(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    first = write(tmp_path / "a.mid", fills)
    second = write(tmp_path / "b.mid", fills)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.facts() == second.facts()


def test_existing_file_is_not_overwritten(raw_file: Path, fills: list[FillRecord], write: Write) -> None:
    before = raw_file.read_bytes()
    with pytest.raises(FileExistsError, match="not overwritten"):
        write(raw_file, fills)
    assert raw_file.read_bytes() == before
    assert list(raw_file.parent.iterdir()) == [raw_file]


def test_failure_in_the_block_leaves_nothing(tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any]) -> None:
    def fail_after_one_fill() -> None:
        with RunWriter(tmp_path / "a.mid", 17, 3, tree) as writer:
            writer.write_fill(fills[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_after_one_fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"serial": 2}, "event 2 cannot follow event 0"),
        ({"time_s": 1}, "earlier"),
        ({"fill_index": 16}, "fill index 16"),
        ({"trigger": 2**32}, "do not fit"),
    ],
)
def test_fill_out_of_line_is_refused(
    tmp_path: Path, fills: list[FillRecord], write: Write, change: dict[str, int], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        write(tmp_path / "a.mid", [fills[0], dataclasses.replace(fills[1], **change)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [1, 5_000, 30_000, 60_000])
def test_full_disk_leaves_nothing_and_names_the_file(
    tmp_path: Path, fills: list[FillRecord], write: Write, room: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match=r"a\.mid") as caught:
            write(tmp_path / "a.mid", fills)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_absent_folder_is_named(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent/a\.mid"):
        write(tmp_path / "absent" / "a.mid", fills)


class Faults:
    """Makes the n-th system call of a write fail, once; counts the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.fail_at = 0
        self.error = 0
        for name in ("open", "write", "fsync", "link", "close"):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def arm(self, fail_at: int, error: int) -> None:
        self.calls, self.fail_at, self.error = 0, fail_at, error

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls != self.fail_at:
                return real(*args, **options)
            if name == "close":
                real(*args)
            elif name == "write" and self.error != errno.EINTR:  # a signal before the first byte writes none
                real(args[0], args[1][: len(args[1]) // 2])
            raise OSError(self.error, os.strerror(self.error))

        return call


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with monkeypatch.context() as patch:
        yield Faults(patch)


@pytest.mark.parametrize("error", FAULTS)
def test_no_fault_of_any_system_call_leaves_a_file(
    tmp_path: Path, fills: list[FillRecord], write: Write, faults: Faults, error: int
) -> None:
    path = tmp_path / "a.mid"
    n = 0
    while not path.exists():
        n += 1
        faults.arm(n, error)
        failed = None
        try:
            write(path, fills)
        except OSError as err:
            failed = err
        if failed is not None:
            assert (failed.errno, failed.filename) == (error, str(path))
            assert list(tmp_path.iterdir()) == []
    # open, a write for each of 7 events, fsync, close, link, and open, fsync, close of the folder: each of these 14
    # calls has failed once before the write that succeeds; one that a signal interrupts is made again.
    assert n == (1 if error == errno.EINTR else 15)
    faults.arm(0, 0)
    assert check(path) == []
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_flushed_before_it_gets_its_name(
    tmp_path: Path, fills: list[FillRecord], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name in ("fsync", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (order.append(name), real(*args))[1])
    write(tmp_path / "a.mid", fills)
    assert order == ["fsync", "link", "fsync"]


def test_writes_cut_short_by_the_system_are_continued(
    tmp_path: Path, fills: list[FillRecord], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "a.mid", fills)
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[: max(1, min(len(data), 1000))]))
    assert write(tmp_path / "b.mid", fills).facts() == whole.facts()


def test_a_write_error_swallowed_inside_the_block_publishes_nothing(
    tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any], faults: Faults
) -> None:
    def swallow() -> None:
        with RunWriter(tmp_path / "a.mid", 17, 3, tree) as writer:
            faults.arm(1, errno.ENOSPC)
            with pytest.raises(OSError, match=r"a\.mid"):
                writer.write_fill(fills[0])
            faults.arm(0, 0)

    with pytest.raises(OSError, match=r"a\.mid"):
        swallow()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mid.gz", ".mid.lz4"])
def test_no_fault_leaves_a_compressed_file(
    tmp_path: Path, fills: list[FillRecord], write: Write, faults: Faults, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    n = 0
    while not path.exists():
        n += 1
        faults.arm(n, errno.EIO)
        failed = None
        try:
            write(path, fills)
        except OSError as err:
            failed = err
        if failed is not None:
            assert (failed.errno, failed.filename) == (errno.EIO, str(path))
            assert list(tmp_path.iterdir()) == []
    assert n > 8  # open, a write at least, fsync, close, rename, and open, fsync, close of the folder


def test_event_that_would_pass_the_limit_is_refused_before_it_is_written(
    tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any]
) -> None:
    with RunWriter(tmp_path / "all.mid", 17, 3, tree) as writer:
        sizes = [writer.content]
        for fill in fills:
            writer.write_fill(fill)
            sizes.append(writer.content)
    assert writer.written is not None
    limit = sizes[3] + sizes[0] + 256  # three fills, and the end of the run
    path = tmp_path / "some.mid"
    with RunWriter(path, 17, 3, tree, limit) as writer:
        for fill in fills[:3]:
            assert writer.room_for(fill)
            writer.write_fill(fill)
        assert not writer.room_for(fills[3])
        with pytest.raises(ValueError, match=r"some\.mid: event 3 of \d+ bytes would pass the limit of \d+ bytes"):
            writer.write_fill(fills[3])
        assert writer.content == sizes[3]
    assert writer.written is not None
    assert writer.written.events == 3
    assert path.stat().st_size <= limit


def test_limit_counts_the_content_and_not_the_compressed_file(
    tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any]
) -> None:
    rooms = []
    limit = 2 * len(encode(tree)) + 200_000
    for suffix in (".mid", ".mid.gz", ".mid.lz4"):
        with RunWriter(tmp_path / f"a{suffix}", 17, 3, tree, limit=limit) as writer:
            rooms.append([writer.room_for(dataclasses.replace(fills[0], waveforms=(whole(n),))) for n in (5, 60)])
    assert rooms == [[True, False]] * 3


def whole(channels: int, samples: int = 2000) -> WaveformRecord:
    made = np.random.default_rng(channels).integers(-2048, 2048, (channels, 1, samples)).astype(np.int16)
    return WaveformRecord(25, tuple(range(channels)), made)


def test_the_end_of_the_run_fits_below_the_limit(tmp_path: Path, tree: dict[str, Any], fills: list[FillRecord]) -> None:
    begin, end = encode(tree), encode(ended(tree, 2**32 - 1, 2**31))
    assert len(end) - len(begin) < 256


def test_asking_for_room_changes_nothing(tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any]) -> None:
    for name in ("asked", "not"):
        with RunWriter(tmp_path / f"{name}.mid", 17, 3, tree) as writer:
            for fill in fills:
                assert name == "not" or writer.room_for(dataclasses.replace(fill))
                assert name == "not" or writer.room_for(fill)
                writer.write_fill(fill)
    assert (tmp_path / "asked.mid").read_bytes() == (tmp_path / "not.mid").read_bytes()


def test_payloads_are_made_one_by_one_while_they_are_written(tmp_path: Path, tree: dict[str, Any]) -> None:
    # A scaled fill: 6 crates of 54 channels of 40,000 samples, 26 MB; a board's payload is 0.4 MB.
    noise = np.random.default_rng(1).integers(-2048, 2048, (54, 1, 40_000)).astype(np.int16)
    records = tuple(WaveformRecord(crate, tuple(range(54)), noise) for crate in range(1, 7))
    fill = FillRecord(0, 1, START, 0, 0, waveforms=records, fill_samples=40_000)
    with RunWriter(tmp_path / "a.mid", 17, 3, tree) as writer:
        tracemalloc.start()
        try:
            writer.write_fill(fill)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (tmp_path / "a.mid").stat().st_size > 25_000_000
    # A payload, a part of it with its bytes turned, and what the AMC13s of all crates say: 65 kB each.
    assert peak < 3_000_000


def test_islands_are_laid_out_without_a_loop_as_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    length = rng.integers(1, 60, 300).astype(np.int32)
    start = (np.cumsum(length) + np.arange(300)).astype(np.int32)
    samples = rng.integers(-2048, 2048, 54 * int(length.sum())).astype(np.int16)
    crate = CalorimeterRecord(start, length, samples, np.zeros(54, np.float32), ctag=3)
    wanted = [struct.pack("<ihhi", 4 * 300 + samples.size, 300, 54, 3)]
    first = 0
    for begin, size in zip(start.tolist(), length.tolist(), strict=True):
        wanted += [struct.pack("<ii", begin, size), samples[first : first + 54 * size].astype("<i2").tobytes()]
        first += 54 * size
    assert b"".join(bytes(part) for part in islands(crate)) == b"".join(wanted)


def test_raw_data_can_be_written_and_read_with_little_else_installed() -> None:
    code = (
        "import sys, gm2sim.raw, gm2sim.raw.writer; "
        "print([name for name in ('numba', 'pydantic', 'scipy', 'matplotlib', 'h5py', 'gm2sim.config') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
