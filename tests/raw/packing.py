"""Events and banks laid out by hand, from the page of the format: no code of the writer."""

import json
import struct
from typing import Any

from gm2sim.raw import CalorimeterRecord


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
