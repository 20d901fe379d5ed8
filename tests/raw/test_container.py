"""The bytes themselves, against a layout written here by hand and walked here by hand."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.raw import CalorimeterRecord, FillRecord, HistogramRecord, RunWriter
from gm2sim.raw.banks import fill_banks

MINIMAL = {"Runinfo": {"Run number": 5, "Start time binary": "0x00000064"}}


def bank(name: bytes, tid: int, data: bytes) -> bytes:
    return name + struct.pack("<II", tid, len(data)) + data + bytes(-len(data) % 8)


def one_island_fill() -> FillRecord:
    crate = CalorimeterRecord(
        start=np.array([1000], np.int32),
        length=np.array([2], np.int32),
        samples=np.arange(108, dtype=np.int16) - 60,
        pedestals=np.full(54, 1750.5, np.float32),
        calo_sum=np.array([1, 2**32 - 1], np.uint32),
        q_histogram=HistogramRecord(np.arange(108, dtype=np.int32).reshape(54, 2), samples_per_bin=60),
        ctag=7,
    )
    return FillRecord(serial=0, trigger=1, time_s=101, time_us=999_999, fill_index=9, calorimeters=(crate,), clock=5)


def test_fill_is_written_byte_for_byte_as_the_format_says(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    with RunWriter(path, 5, 0, MINIMAL) as writer:
        writer.write_fill(one_island_fill())
    content = path.read_bytes()

    banks = bank(b"TRIG", 6, struct.pack("<8I", 1, 0b1001_0010, 101, 999_999, 101, 999_999, 101, 999_999))
    banks += bank(b"GPS0", 6, struct.pack("<8I", 0x47500001, 101, 999_999_000, 5, 0, 0, 0, 0))
    made = {one.name: b"".join(bytes(part) for part in one.parts) for one in fill_banks(one_island_fill())}
    # What the AMC13s send has tests of its own.
    for name, tid in (("TTCA", 6), ("TTCB", 5), ("TTCZ", 6)):
        banks += bank(name.encode(), tid, made[name])
    banks += bank(b"CP01", 9, struct.pack("<55f", 54.0, *[1750.5] * 54))
    banks += bank(b"CS01", 6, struct.pack("<3I", 2, 1, 0xFFFFFFFF))
    island = struct.pack("<ii", 1000, 2) + struct.pack("<108h", *range(-60, 48))
    banks += bank(b"CT01", 5, struct.pack("<ihhi", 4 + 108, 1, 54, 7) + island)
    head = struct.pack("<7I", 108, 1, 120, 60, 1, 1, 54)
    banks += bank(b"CQ01", 6, head + struct.pack("<108i", *range(108)))
    for name in ("CA01", "CB01", "CZ01", "CC01"):
        banks += bank(name.encode(), 6, made[name])
    event = struct.pack("<HHIII", 1, 0, 0, 101, 8 + len(banks)) + struct.pack("<II", len(banks), 0x11) + banks

    begin_size = struct.unpack_from("<I", content, 12)[0]
    assert content[:16] == struct.pack("<HHIII", 0x8000, 0x494D, 5, 100, begin_size)
    assert json.loads(content[16 : 16 + begin_size]) == MINIMAL
    assert content[16 + begin_size : 16 + begin_size + len(event)] == event
    end = 16 + begin_size + len(event)
    assert content[end : end + 16] == struct.pack("<HHIII", 0x8001, 0x494D, 5, 101, len(content) - end - 16)


def test_every_structure_of_a_run_tiles_the_file(raw_file: Path) -> None:
    content = raw_file.read_bytes()
    ids, names = [], []
    place = 0
    while place < len(content):
        event_id, mask, serial, _, size = struct.unpack_from("<HHIII", content, place)
        ids.append((event_id, mask, serial))
        assert place % 4 == 0
        if event_id == 1:
            total, flags = struct.unpack_from("<II", content, place + 16)
            assert (total, flags) == (size - 8, 0x11)
            inner = place + 24
            while inner < place + 16 + size:
                name, _, length = struct.unpack_from("<4sII", content, inner)
                names.append(name.decode())
                inner += 12 + (length + 7) // 8 * 8
            assert inner == place + 16 + size
        place += 16 + size
    assert place == len(content)
    assert ids == [(0x8000, 0x494D, 17), *[(1, 0, serial) for serial in range(5)], (0x8001, 0x494D, 17)]
    head = ["TRIG", "GPS0", "TTCA", "TTCB", "TTCZ"]
    plain = head + [f"C{kind}{crate}" for crate in ("01", "02") for kind in "PSTABZC"]
    flushed = head + [f"C{kind}{crate}" for crate in ("01", "02") for kind in "PSTQABZC"]
    assert names == [*plain, *flushed, *plain, *flushed, *plain]


def test_samples_are_aligned_in_the_file(raw_file: Path) -> None:
    content = raw_file.read_bytes()
    place = content.index(b"CT02")
    assert (place + 12) % 4 == 0


def test_run_database_survives_a_reader_that_drops_its_last_byte(raw_file: Path, tree: dict[str, Any]) -> None:
    content = raw_file.read_bytes()
    size = struct.unpack_from("<I", content, 12)[0]
    assert size % 4 == 0
    assert json.loads(content[16 : 16 + size - 1]) == tree


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"samples": np.zeros(107, np.int16)}, "need 108 samples"),
        ({"samples": np.zeros(108, np.int32)}, "must be int16"),
        ({"length": np.array([1, 1], np.int32)}, "1 island starts but 2"),
        ({"pedestals": np.zeros(53, np.float32)}, "53 pedestals"),
        ({"q_histogram": HistogramRecord(np.zeros((53, 2), np.int32), 1)}, "53 histogram rows"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(change: dict[str, Any], what: str) -> None:
    good = one_island_fill().calorimeters[0]
    with pytest.raises(ValueError, match=what):
        CalorimeterRecord(**{**good.__dict__, **change})
