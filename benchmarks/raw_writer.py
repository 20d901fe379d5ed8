"""Writing raw data, against what the same core needs to copy and to hash the same bytes.

One thread. ``python -m benchmarks.raw_writer`` prints the rows; with ``--full`` also a fill of 24 x 54 x 560,000
samples (1.45 GB), with the memory that it takes beyond the record itself; with ``--passes`` also what each pass over
the bytes of whole waveforms costs alone.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import crc32c
import numpy as np

from benchmarks.row import Row, at_least, at_most, best_cpu
from gm2sim.raw import CalorimeterRecord, FillRecord, Readout, RunWriter, WaveformRecord, run_tree

GOAL = 500.0  # MB/s
MEMORY_GOAL = 100.0  # MB
CRATES, CRYSTALS, SAMPLES = 24, 54, 560_000
_BEGIN = 1_522_022_400
_PIECE = 1 << 18  # bytes, what a cache holds
_WORDS, _CALLS = 4096, 200


def a_fill(islands: int = 170) -> FillRecord:
    """A fill as full as those of the experiment: islands, sums, no histogram.

    Parameters
    ----------
    islands
        Of each calorimeter.
    """
    rng = np.random.default_rng(1)
    crates = []
    for _ in range(CRATES):
        length = rng.integers(26, 60, islands).astype(np.int32)
        start = np.sort(rng.choice(SAMPLES // 100, islands, replace=False)).astype(np.int32) * 100
        samples = rng.integers(-1800, -1700, CRYSTALS * int(length.sum())).astype(np.int16)
        sums = rng.integers(0, 2**24, SAMPLES // 32, np.uint32)
        crates.append(CalorimeterRecord(start, length, samples, np.zeros(CRYSTALS, np.float32), sums))
    return FillRecord(0, 1, _BEGIN, 0, 0, tuple(crates))


def whole_waveforms(crates: int, samples: int = SAMPLES) -> FillRecord:
    """A fill that keeps all samples of some calorimeters."""
    rng = np.random.default_rng(2)
    noise = rng.integers(-1800, -1700, (CRYSTALS, 1, samples)).astype(np.int16)
    records = tuple(WaveformRecord(crate + 1, tuple(range(CRYSTALS)), noise.copy()) for crate in range(crates))
    return FillRecord(0, 1, _BEGIN, 0, 0, waveforms=records, fill_samples=samples)


class Written(NamedTuple):
    """Bytes of content, and the time of one core that they took [s]."""

    size: int
    seconds: float

    @property
    def speed(self) -> float:
        """[MB/s]"""
        return 1e-6 * self.size / self.seconds


def written(fill: FillRecord, times: int, suffix: str = ".mid", frontend: str = "none") -> Written:
    """Write a fill so many times into one file, all that belongs to it but begin and end of run."""
    tree = run_tree(1, 0, _BEGIN, Readout(compression=frontend), {})
    fills = [replace(fill, serial=serial) for serial in range(times)]
    with tempfile.TemporaryDirectory() as folder, RunWriter(Path(folder) / f"bench{suffix}", 1, 0, tree) as raw:
        before, begin = raw.content, time.thread_time()
        for one in fills:
            raw.write_fill(one)
        return Written(raw.content - before, time.thread_time() - begin)


def _speed(fill: FillRecord, times: int, repeats: int, suffix: str = ".mid", frontend: str = "none") -> float:
    """Best of some repeats [MB/s of content]."""
    return max(written(fill, times, suffix, frontend).speed for _ in range(repeats + 1))


def _limits(repeats: int) -> tuple[float, float, float]:
    """What one core can copy, hash with SHA-256, and write with the three checksums of a file [MB/s]."""
    data = np.random.default_rng(3).integers(0, 256, 1 << 26, np.uint8)
    view, copy = data.data, np.empty(_PIECE, np.uint8)
    places = range(0, data.size, _PIECE)

    def copied() -> None:
        for place in places:
            np.copyto(copy, data[place : place + _PIECE])

    def hashed() -> None:
        digest = hashlib.sha256()
        for place in places:
            digest.update(view[place : place + _PIECE])

    def stored() -> float:
        with tempfile.TemporaryFile(buffering=0) as file:
            begin, digest = time.thread_time(), hashlib.sha256()
            for place in places:
                piece = view[place : place + _PIECE]
                digest.update(piece)
                zlib.adler32(piece)
                crc32c.crc32c(piece)
                file.write(piece)
            return time.thread_time() - begin

    fastest = min(stored() for _ in range(repeats + 1))
    return (
        1e-6 * data.size / best_cpu(copied, repeats),
        1e-6 * data.size / best_cpu(hashed, repeats),
        1e-6 * data.size / fastest,
    )


def measure(quick: bool = False) -> list[Row]:
    """Megabytes of raw data a second and core, all check sums included.

    Parameters
    ----------
    quick
        Fewer repeats.
    """
    repeats = 2 if quick else 5
    copy, sha, stored = _limits(repeats)
    fill, whole = a_fill(), whole_waveforms(1)
    size = written(fill, 1).size * 1e-6
    beside = f"limit: checksums and write alone, {stored:.0f} MB/s"
    return [
        Row("raw data: copy of memory", copy, "MB/s", "limit of one core"),
        Row("raw data: SHA-256 alone", sha, "MB/s", "limit of one core"),
        Row("raw data: the file's three checksums and its write alone", stored, "MB/s", "limit of one core"),
        at_least(f"raw data: fills of islands, {size:.0f} MB", _speed(fill, 3, repeats), "MB/s", GOAL, beside),
        at_least("raw data: whole waveforms", _speed(whole, 1, repeats), "MB/s", GOAL, beside),
        Row("raw data: fills of islands, .mid.lz4", _speed(fill, 2, repeats, ".mid.lz4"), "MB/s", "of content"),
        Row("raw data: fills of islands, .mid.gz", _speed(fill, 2, 1, ".mid.gz"), "MB/s", "of content"),
        Row("raw data: compressed by the front ends", _speed(fill, 2, 1, ".mid", "event"), "MB/s", "after it"),
    ]


def passes(repeats: int = 5) -> list[Row]:
    """What each pass over the bytes of whole waveforms costs, alone, on a piece that the cache holds [ns a byte]."""
    piece = np.random.default_rng(3).integers(0, 2**64, _WORDS, np.uint64).view(">u8")
    turned, digest, ring = np.empty(_WORDS, "<u8"), hashlib.sha256(), np.zeros(16 * _WORDS, np.uint8)
    view, shifted = piece.data.cast("B"), ring[115 : 115 + piece.nbytes]
    costs: dict[str, Callable[[], object]] = {
        "SHA-256": lambda: digest.update(view),
        "Adler-32": lambda: zlib.adler32(view),
        "CRC-32C": lambda: crc32c.crc32c(view),
        "CRC-32": lambda: zlib.crc32(view),
        "turning the bytes of words": lambda: np.copyto(turned, piece),
        "CRC-16": lambda: np.bitwise_xor(shifted, piece.view(np.uint8), out=shifted),
    }
    rows = []
    for name, cost in costs.items():
        seconds = best_cpu(lambda: [cost() for _ in range(_CALLS)], 4 * repeats)  # noqa: B023
        rows.append(Row(f"raw data: {name} alone", 1e9 * seconds / _CALLS / piece.nbytes, "ns/B", "limit of one core"))
    return rows


def full_size() -> list[Row]:
    """A fill with all samples of all crystals: speed, and memory beyond the record."""
    fill = whole_waveforms(CRATES)
    # The first time, a virtual machine may still have to get the memory that the system keeps the file in.
    found = max((written(fill, 1) for _ in range(3)), key=lambda one: one.speed)
    tracemalloc.start()
    written(fill, 1)
    more = 1e-6 * tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return [
        at_least(f"raw data: full-size fill, {found.size / 1e9:.2f} GB", found.speed, "MB/s", GOAL),
        at_most("raw data: memory for it beyond the record", more, "MB", MEMORY_GOAL),
    ]


if __name__ == "__main__":
    more = [*(passes() if "--passes" in sys.argv else []), *(full_size() if "--full" in sys.argv else [])]
    for row in [*measure("--quick" in sys.argv), *more]:
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
