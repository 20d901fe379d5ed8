"""Files as other MIDAS programs write them: the other bank formats, messages, odd lengths, NUL-terminated dumps."""

import struct
from pathlib import Path

import pytest

from gm2sim.raw import check, dump, ls, open_run

FORMATS = {0x01: "<4sHH", 0x11: "<4sII", 0x31: "<4sIIxxxx"}


def event(event_id: int, mask: int, serial: int, payload: bytes) -> bytes:
    return struct.pack("<HHIII", event_id, mask, serial, 50, len(payload)) + payload


def foreign_file(path: Path, flags: int) -> Path:
    banks = b""
    for name, tid, data in ((b"TRIG", 6, struct.pack("<8I", 1, 0x12, 50, 1, 50, 1, 50, 1)), (b"ODD1", 1, b"abc")):
        banks += struct.pack(FORMATS[flags], name, tid, len(data)) + data + bytes(-len(data) % 8)
    path.write_bytes(
        event(0x8000, 0x494D, 9, b'{"Runinfo": {"Run number": 9}}\0')
        + event(0x8002, 0, 0, b"a message\0")
        + event(1, 0, 0, struct.pack("<II", len(banks), flags) + banks)
        + event(0x8001, 0x494D, 9, b'{"Runinfo": {"Run number": 9}}\0')
    )
    return path


@pytest.mark.parametrize("flags", FORMATS)
def test_all_bank_formats_are_read(tmp_path: Path, flags: int) -> None:
    path = foreign_file(tmp_path / "foreign.mid", flags)
    (fill,) = open_run(path)
    assert fill.trigger.number == 1
    assert bytes(fill.banks["ODD1"].data) == b"abc"
    assert dump(path, 0, "ODD1")["content"] == [97, 98, 99]
    assert check(path, strict=False) == []


def test_strict_check_tells_what_differs_from_the_experiment(tmp_path: Path) -> None:
    found = check(foreign_file(tmp_path / "foreign.mid", 0x31))
    assert [problem.what for problem in found] == ["unknown kind of bank", "bank format 0x31, not 0x11"]


def test_messages_and_run_databases_are_shown(tmp_path: Path) -> None:
    path = foreign_file(tmp_path / "foreign.mid", 0x11)
    assert [row["kind"] for row in ls(path)] == ["begin of run", "message", "fill", "end of run"]
    assert dump(path, "message")["text"] == "a message"
    assert dump(path, "begin")["odb"] == dump(path, "end")["odb"] == {"Runinfo": {"Run number": 9}}
