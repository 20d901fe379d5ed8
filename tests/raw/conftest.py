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
from tests.raw import packing
from tests.raw.packing import START

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
    return FillRecord(
        serial, serial + 1, START + serial, 10 * serial, serial % 16, records,
        clock=40_000_400 * serial, muon_fill=serial, fill_samples=3200,
    )  # fmt: skip


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
    """Under 4 kB: two fills of one crate as files of version 0.1 have them, for damage at every byte."""
    tree = packing.small_tree(320)
    rng = np.random.default_rng(3)
    events = [packing.run_event(0x8000, 17, START, tree)]
    for serial, lengths in enumerate([[2, 1], []]):
        crate = make_crate(rng, lengths, samples_per_fill=320)
        events.append(packing.old_fill(serial, START + serial, crate))
    tree["Runinfo"]["Stop time binary"] = f"0x{START + 1:08x}"
    path = tmp_path / "tiny" / "gm2_run00017_00003.mid"
    path.parent.mkdir()
    path.write_bytes(b"".join([*events, packing.run_event(0x8001, 17, START + 1, tree)]))
    return path


@pytest.fixture
def framed_file(tmp_path: Path) -> Path:
    """Under 4 kB: a laser fill and pulses of an asynchronous crate, with all that frames them."""
    path = tmp_path / "framed" / "gm2_run00017_00003.mid"
    path.parent.mkdir()
    packing.framed_file(path)
    return path
