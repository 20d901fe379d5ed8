"""A small run that every raw-data test can write: two crates, a few islands, real bank layouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.raw import (
    CalorimeterRecord,
    FillRecord,
    HistogramRecord,
    Readout,
    RunWriter,
    WrittenFile,
    run_tree,
)

START = 1_522_022_400
CRYSTALS = 54


def make_crate(
    rng: np.random.Generator, lengths: list[int], samples_per_fill: int = 3200, flush: bool = False
) -> CalorimeterRecord:
    length = np.array(lengths, np.int32)
    gaps = rng.integers(0, 50, len(lengths))
    start = (np.cumsum(length + gaps) - length).astype(np.int32)
    samples = rng.integers(-2048, 2048, CRYSTALS * int(length.sum())).astype(np.int16)
    pedestals = rng.normal(1750.0, 5.0, CRYSTALS).astype(np.float32)
    calo_sum = rng.integers(0, 2**32, samples_per_fill // 32, dtype=np.uint32)
    counts = rng.integers(-(2**31), 2**31, (CRYSTALS, samples_per_fill // 64)).astype(np.int32)
    histogram = HistogramRecord(counts, samples_per_bin=64) if flush else None
    return CalorimeterRecord(start, length, samples, pedestals, calo_sum, histogram, ctag=len(lengths))


def make_fill(serial: int, seed: int = 1, crates: int = 2) -> FillRecord:
    rng = np.random.default_rng([seed, serial])
    flush = serial % 2 == 1
    records = tuple(
        make_crate(rng, [int(n) for n in rng.integers(1, 40, rng.integers(0, 6))], flush=flush) for _ in range(crates)
    )
    return FillRecord(serial, serial + 1, START + serial, 10 * serial, serial % 16, records)


@pytest.fixture
def readout() -> Readout:
    return Readout(samples_per_fill=3200, histogram_samples_per_bin=64, histogram_flush_fills=2, crates=2)


@pytest.fixture
def fills() -> list[FillRecord]:
    return [make_fill(serial) for serial in range(5)]


@pytest.fixture
def tree(readout: Readout) -> dict[str, Any]:
    return run_tree(17, 3, START, readout, {"version": "test", "seed": 1})


@pytest.fixture
def write(tree: dict[str, Any]) -> Callable[[Path, list[FillRecord]], WrittenFile]:
    """Write fills as run 17, subrun 3."""

    def write_file(path: Path, fills: list[FillRecord]) -> WrittenFile:
        with RunWriter(path, 17, 3, tree) as writer:
            for fill in fills:
                writer.write_fill(fill)
        assert writer.written is not None
        return writer.written

    return write_file


@pytest.fixture
def raw_file(tmp_path: Path, fills: list[FillRecord], write: Callable[..., WrittenFile]) -> Path:
    """Five fills of two crates, histograms in fills 1 and 3."""
    return write(tmp_path / "gm2_run00017_00003.mid", fills).path


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    """Under 4 kB: two fills of one crate, for damage at every byte."""
    readout = Readout(samples_per_fill=320, histogram_samples_per_bin=160, crates=1)
    tree = run_tree(17, 3, START, readout, {"seed": 1})
    crate = tree["Equipment"]["AMC1301"]
    del crate["Common"]
    keep = ("waveform length", "Calo sum time decimation")
    crate["Settings"] = {"TQ01": {name: crate["Settings"]["TQ01"][name] for name in keep}}
    rng = np.random.default_rng(3)
    path = tmp_path / "tiny" / "gm2_run00017_00003.mid"
    path.parent.mkdir()
    with RunWriter(path, 17, 3, tree) as writer:
        for serial, lengths in enumerate([[2, 1], []]):
            record = make_crate(rng, lengths, samples_per_fill=320)
            writer.write_fill(FillRecord(serial, serial + 1, START + serial, 7, serial, (record,)))
    return path
