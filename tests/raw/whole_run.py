"""Small raw files that hold every bank there is: for the readers that are not ours."""

from pathlib import Path

import numpy as np

from gm2sim.raw import (
    AsynchronousRecord,
    CalorimeterRecord,
    FillRecord,
    HistogramRecord,
    Readout,
    RunWriter,
    StrawRecord,
    WaveformRecord,
    run_tree,
)

START = 1_522_022_400
CRYSTALS, STRAWS = 54, 2048
SAMPLES = 6720  # of a fill of muons: a board sends three blocks
LASER_CRATE, PULSE_CRATE = 30, 33  # auxiliary crates: synchronous, asynchronous
CLOCK = 0x9AB_89AB_CDEF  # all 44 bits of the first trigger differ from those of a small number
FIRST_TRIGGER = 0xFFFFFD  # the low 24 bits roll over in the third event


def write(path: Path, compression: str = "none", samples_per_fill: int = SAMPLES) -> Path:
    """Seven events: muons whose samples are kept or not, with a flush or not; laser; pedestals; asynchronous."""
    readout = Readout(samples_per_fill=samples_per_fill, histogram_samples_per_bin=64, histogram_flush_fills=2,
                      crates=2, compression=compression)  # fmt: skip
    tree = run_tree(
        17, 3, START, readout, {"note": 'äöü µ \\ " /', "small": 5e-324}, stations=(0, 1), suffix=path.suffix
    )
    kinds = (1, 1, 2, 3, 4, 1, 4)
    with RunWriter(path, 17, 3, tree) as writer:
        for serial, kind in enumerate(kinds):
            writer.write_fill(_event(serial, kind, samples_per_fill))
    return path


def _event(serial: int, kind: int, samples: int) -> FillRecord:
    rng = np.random.default_rng([7, serial])
    common = (serial, FIRST_TRIGGER + serial, START + serial, 999_000 + serial, serial % 16)
    clock = CLOCK + 4_000_000_000 * serial & (1 << 44) - 1
    if kind == 1:
        crates = tuple(_crate(rng, samples, flush=serial % 2 == 1) for _ in range(2))
        kept = (_waveforms(rng, 2, range(CRYSTALS), 1, samples),) if serial != 1 else ()
        monitor = (_waveforms(rng, 25, (0, 1, 5, 9), 1, 160),)
        stations = (0, 1) if serial == 0 else (1,)
        return FillRecord(*common, crates, kind, clock, (*kept, *monitor), _straws(rng, stations), muon_fill=serial,
                          fill_samples=samples)  # fmt: skip
    if kind == 4:
        return FillRecord(*common, (), kind, clock, asynchronous=(_pulses(rng, PULSE_CRATE),), fill_samples=samples)
    count, length, gap = (4, 800, 400) if kind == 2 else (1, 800, 0)
    records = tuple(_waveforms(rng, crate, range(CRYSTALS), count, length, gap) for crate in (1, 2))
    records += (_waveforms(rng, LASER_CRATE, (3, 4, 59), 3, 8, (1 << 22) - 1),)
    return FillRecord(*common, (), kind, clock, records, fill_samples=samples)


def _crate(rng: np.random.Generator, samples: int, flush: bool) -> CalorimeterRecord:
    length = rng.integers(1, 40, rng.integers(0, 6)).astype(np.int32)
    start = (np.cumsum(length + 7) - length).astype(np.int32)
    values = rng.integers(-2048, 2048, CRYSTALS * int(length.sum())).astype(np.int16)
    counts = rng.integers(-(2**31), 2**31, (CRYSTALS, samples // 64)).astype(np.int32)
    return CalorimeterRecord(
        start, length, values, rng.normal(1750.0, 5.0, CRYSTALS).astype(np.float32),
        rng.integers(0, 2**32, samples // 32, dtype=np.uint32), HistogramRecord(counts, 64) if flush else None,
        ctag=int(rng.integers(-(2**31), 2**31)),
    )  # fmt: skip


def _waveforms(
    rng: np.random.Generator, crate: int, channels: range | tuple[int, ...], count: int, length: int, gap: int = 0
) -> WaveformRecord:
    samples = rng.integers(-(2**15), 2**15, (len(channels), count, length)).astype(np.int16)
    return WaveformRecord(crate, tuple(channels), samples, gap)


def _straws(rng: np.random.Generator, stations: tuple[int, ...]) -> StrawRecord:
    channel = np.sort(rng.integers(STRAWS // 2 * stations[0], STRAWS // 2 * (stations[-1] + 1), 5000))
    tdc, width = rng.integers(-(2**31), 2**31, 5000), rng.integers(0, 2**16, 5000)
    order = np.lexsort((tdc, channel))  # 5000 hits: more words than a block of the AMC13 takes
    return StrawRecord(channel[order], tdc[order], 625, width[order], stations)


def _pulses(rng: np.random.Generator, crate: int) -> AsynchronousRecord:
    """A channel with more pulses than 11 bits count, one with few of different lengths, one with none."""
    counts = {0: 5000, 1: 3, 4: 0, 12: 17}
    channel = np.repeat(list(counts), list(counts.values()))
    length = 8 * rng.integers(1, 4, channel.size)
    length[5000] = 8 * (2**11 - 1)
    time = np.concatenate([np.sort(rng.integers(0, 2**44, count)) for count in counts.values()])
    samples = rng.integers(-(2**15), 2**15, int(length.sum())).astype(np.int16)
    return AsynchronousRecord(crate, tuple(counts), channel, time, length, samples, presamples=4)
