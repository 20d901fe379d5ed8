"""Events and banks laid out by hand, from the page of the format, and a small file of the writer's."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.raw import AsynchronousRecord, CalorimeterRecord, FillRecord, RunWriter, StrawRecord, WaveformRecord

START = 1_522_022_400


def event(event_id: int, mask: int, serial: int, time: int, payload: bytes) -> bytes:
    """Header and what follows it."""
    return struct.pack("<HHIII", event_id, mask, serial, time, len(payload)) + payload


def run_event(event_id: int, run: int, time: int, tree: dict[str, Any]) -> bytes:
    """Begin or end of run with its database."""
    return event(event_id, 0x494D, run, time, json.dumps(tree).encode())


def bank(name: str, kind: int, data: bytes) -> bytes:
    """Header, words, zeros."""
    return struct.pack("<4sII", name.encode(), kind, len(data)) + data + bytes(-len(data) % 8)


def data_event(serial: int, time: int, banks: bytes) -> bytes:
    """An event of banks."""
    return event(1, 0, serial, time, struct.pack("<II", len(banks), 0x11) + banks)


def trigger(serial: int, time: int, kind: int = 1) -> bytes:
    """The bank TRIG."""
    return bank("TRIG", 6, struct.pack("<8I", serial + 1, kind << 1, *[time, 7] * 3))


def old_fill(serial: int, time: int, crate: CalorimeterRecord) -> bytes:
    """A fill of muons of one crate as version 0.1 wrote it: without the words of an AMC13."""
    islands, place = b"", 0
    for first, length in zip(crate.start.tolist(), crate.length.tolist(), strict=True):
        samples = crate.samples[54 * place : 54 * (place + length)]
        islands += struct.pack("<ii", first, length) + samples.astype("<i2").tobytes()
        place += length
    assert crate.calo_sum is not None
    banks = trigger(serial, time)
    banks += bank("CP01", 9, struct.pack("<55f", 54, *crate.pedestals))
    banks += bank("CS01", 6, struct.pack("<I", crate.calo_sum.size) + crate.calo_sum.astype("<u4").tobytes())
    head = struct.pack("<ihhi", len(islands) // 2, crate.start.size, 54, crate.ctag)
    return data_event(serial, time, banks + bank("CT01", 5, head + islands))


def small_tree(samples: int, compression: str = "none") -> dict[str, Any]:
    """A run database with what the checker and the writer read of it, and no more."""
    packed = {
        "FE Lossless Compression": compression == "event",
        "FEBankByBankLosslessCompression": compression == "bank",
    }
    return {
        "Runinfo": {"Run number": 17, "Subrun number": 3, "Start time binary": f"0x{START:08x}"},
        "Equipment": {
            "AMC1301": {
                "Settings": {
                    "Globals": packed,
                    "TQ01": {"waveform length": samples, "Calo sum time decimation": 32},
                },
            },
        },
        "Simulation": {"seed": 1},
    }


def framed_file(path: Path, compression: str = "none") -> None:
    """Write under 4 kB: a laser fill and pulses of an asynchronous crate, with all that frames them."""
    rng = np.random.default_rng(4)
    samples = rng.integers(-2048, 2048, (2, 2, 8)).astype(np.int16)
    pulses = rng.integers(-2048, 2048, 24).astype(np.int16)
    laser = FillRecord(
        0, 1, START, 5, 3, fill_type=2, clock=11, waveforms=(WaveformRecord(1, (0, 5), samples),),
        straws=StrawRecord(np.array([7, 1030]), np.array([-3, 9]), width=np.array([0, 4])),
    )  # fmt: skip
    own = FillRecord(
        1, 2, START + 1, 5, 4, fill_type=4, clock=40_000_011,
        asynchronous=(AsynchronousRecord(26, (0, 1), np.array([1, 1]), np.array([5, 900]), np.array([8, 16]), pulses),),
    )  # fmt: skip
    with RunWriter(path, 17, 3, small_tree(3200, compression)) as writer:
        writer.write_fill(laser)
        writer.write_fill(own)


def old_file(path: Path) -> None:
    """Write under 4 kB: a fill of version 0.1 with two islands."""
    rng = np.random.default_rng(3)
    crate = CalorimeterRecord(
        np.array([5, 9], np.int32), np.array([2, 1], np.int32), rng.integers(-2048, 2048, 162).astype(np.int16),
        np.full(54, -1700, np.float32), np.arange(10, dtype=np.uint32),
    )  # fmt: skip
    tree = small_tree(320)
    events = [run_event(0x8000, 17, START, tree), old_fill(0, START, crate), run_event(0x8001, 17, START, tree)]
    path.write_bytes(b"".join(events))
