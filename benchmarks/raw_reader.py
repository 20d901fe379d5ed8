"""Speed of the reader and of the checker of raw data on fills as large as those of run 1.

One thread. ``python -m benchmarks.raw_reader`` prints the table. Limits of the machine in the same run: copying memory,
and the SHA-256, Adler-32 and CRC-32C that the checker has to take of every byte of a file with metadata beside it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.row import Row, at_least, best_cpu
from gm2sim.raw import (
    AsynchronousRecord,
    CalorimeterRecord,
    Event,
    FillRecord,
    Readout,
    RunWriter,
    WaveformRecord,
    check,
    ls,
    open_run,
    run_tree,
)
from gm2sim.raw.checksum import Checksums

START = 1_522_022_400
SAMPLES = 560_000
CRATES, CRYSTALS = 24, 54
PULSES = 40  # of a channel in an asynchronous readout
ISLANDS, LENGTH = 200, 40  # of a calorimeter in a fill: about 22 MB a fill, as the 2 GB every 8 s of the talk


def measure(quick: bool = False) -> list[Row]:
    """All rows; a shorter file when quick."""
    repeats, fills = (2, 3) if quick else (5, 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        muons = _write(folder / "gm2_run00017_00000.mid", [_muons(serial) for serial in range(fills)])
        laser = _write(folder / "gm2_run00017_00001.mid", [_laser(serial, 2, 4) for serial in range(fills)])
        pedestals = _write(folder / "gm2_run00017_00002.mid", [_laser(serial, 3, 1) for serial in range(3 * fills)])
        pulses = _write(folder / "gm2_run00017_00003.mid", [_pulses(serial) for serial in range(fills)])
        return [
            *_limits(muons, repeats),
            *_walks(muons, repeats),
            _rate("strict check, fills of muons, checksums beside", muons, lambda: check(muons), repeats, 0.3),
            _rate("strict check, fills of the laser (all waveforms), checksums beside", laser, lambda: check(laser),
                  repeats, 0.3),
            _rate("strict check, looks at the pedestals, checksums beside", pedestals, lambda: check(pedestals),
                  repeats, 0.3),
            _rate("strict check, asynchronous readouts of 24 crates, checksums beside", pulses, lambda: check(pulses),
                  repeats, 0.3),
        ]  # fmt: skip


def _muons(serial: int) -> FillRecord:
    rng = np.random.default_rng(serial)
    crates = []
    for _ in range(CRATES):
        start = np.sort(rng.choice(SAMPLES // 64, ISLANDS, replace=False)).astype(np.int32) * 64
        length = np.full(ISLANDS, LENGTH, np.int32)
        samples = rng.integers(-1760, -1700, CRYSTALS * ISLANDS * LENGTH).astype(np.int16)
        sums = rng.integers(0, 2**32, SAMPLES // 32, dtype=np.uint32)
        crates.append(CalorimeterRecord(start, length, samples, np.full(CRYSTALS, -1740, np.float32), sums))
    return FillRecord(
        serial, serial + 1, START + serial, 0, 0, tuple(crates), clock=40_000_000 * serial, muon_fill=serial,
        fill_samples=SAMPLES,
    )  # fmt: skip


def _laser(serial: int, fill_type: int, waveforms: int) -> FillRecord:
    """All channels with some waveforms of 800 samples: 4 in fills of the laser, 1 in looks at the pedestals."""
    rng = np.random.default_rng(serial)
    shape = (CRYSTALS, waveforms, 800)
    records = tuple(
        WaveformRecord(crate, tuple(range(CRYSTALS)), rng.integers(-1760, -1700, shape).astype(np.int16), gap=400)
        for crate in range(1, CRATES + 1)
    )
    return FillRecord(
        serial, serial + 1, START + serial, 0, 0, fill_type=fill_type, clock=40_000_000 * serial, waveforms=records
    )  # fmt: skip


def _pulses(serial: int) -> FillRecord:
    """All channels with as many pulses as make a crate's answer that of a fill of the laser."""
    rng = np.random.default_rng(serial)
    channel = np.repeat(np.arange(CRYSTALS), PULSES)
    length = np.full(channel.size, 80)
    records = tuple(
        AsynchronousRecord(
            crate, tuple(range(CRYSTALS)), channel, np.sort(rng.integers(0, 2**30, (CRYSTALS, PULSES))).ravel(), length,
            rng.integers(-1760, -1700, int(length.sum())).astype(np.int16),
        )
        for crate in range(1, CRATES + 1)
    )  # fmt: skip
    return FillRecord(
        serial, serial + 1, START + serial, 0, 0, fill_type=4, clock=40_000_000 * serial, asynchronous=records
    )  # fmt: skip


def _write(path: Path, fills: list[FillRecord]) -> Path:
    with RunWriter(path, 17, 0, run_tree(17, 0, START, Readout(), {"seed": 1})) as writer:
        for fill in fills:
            writer.write_fill(fill)
    assert writer.written is not None
    path.with_suffix(".json").write_text(json.dumps({"files": {path.name: writer.written.facts()}}))
    return path


def _limits(path: Path, repeats: int) -> list[Row]:
    content = np.fromfile(path, np.uint8)
    size = content.nbytes
    copy = best_cpu(lambda: content.copy(), repeats)
    sums = best_cpu(lambda: Checksums().update(content.data), repeats)
    return [
        Row("limit: copy of the file in memory", 1e-9 * size / copy, "GB/s"),
        Row("limit: SHA-256, Adler-32 and CRC-32C of the file", 1e-9 * size / sums, "GB/s"),
    ]


def _walks(path: Path, repeats: int) -> list[Row]:
    run = open_run(path)
    tolerant = open_run(path, damaged="skip")
    return [
        _rate("walk of events and banks", path, lambda: [list(event.walk()) for event in run.events()], repeats, 1.0),
        _rate("walk, damaged events skipped", path, lambda: [list(event.banks) for event in tolerant], repeats, 1.0),
        _rate("all islands as views", path, lambda: [_islands(event) for event in run], repeats, 1.0),
        _rate("gm2sim raw ls", path, lambda: ls(path), repeats, 1.0),
    ]


def _islands(event: Event) -> int:
    return sum(len(list(event.islands(crate))) for crate in event.crates)


def _rate(what: str, path: Path, action: Callable[[], object], repeats: int, goal: float) -> Row:
    action()
    return at_least(what, 1e-9 * path.stat().st_size / best_cpu(action, repeats), "GB/s", goal)


if __name__ == "__main__":
    for row in measure("--quick" in sys.argv):
        sys.stdout.write(f"{row.what:70} {row.value:10.4g} {row.unit:8} {row.met:4} {row.beside}\n")
