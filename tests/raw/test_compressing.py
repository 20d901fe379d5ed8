"""Compression: of files by their suffix, and of banks by the front ends. What comes out is what went in."""

import dataclasses
import gzip
import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest

from gm2sim.raw import FillRecord, Readout, RunWriter, WaveformRecord, WrittenFile, run_tree
from gm2sim.raw.banks import fill_banks
from gm2sim.raw.checksum import Checksums

Write = Callable[[Path, list[FillRecord]], WrittenFile]
Banks = dict[str, tuple[int, bytes]]
START = 1_522_022_400

UNPACK: dict[str, Callable[[bytes], bytes]] = {".mid.gz": gzip.decompress, ".mid.lz4": lz4.frame.decompress}


def banks_of(fill: FillRecord, mode: str = "none") -> Banks:
    compression = dict.fromkeys(range(1, 25), mode)
    return {one.name: (one.tid, b"".join(bytes(part) for part in one.parts)) for one in fill_banks(fill, compression)}


def unpacked(data: bytes) -> bytes:
    """What a bank holds behind its MD5, which must be right; the stream has no end."""
    stream = zlib.decompressobj()
    content = stream.decompress(data[16:])
    assert not stream.eof
    assert not stream.unconsumed_tail
    assert data[16:18] == b"\x78\x01"  # zlib header: window of 32 kB, fastest level
    assert data[-4:] == b"\x00\x00\xff\xff"  # the empty block of a full flush
    assert hashlib.md5(content, usedforsecurity=False).digest() == data[:16]
    return content


def laid_out(name: str, tid: int, data: bytes) -> bytes:
    return name.encode() + struct.pack("<II", tid, len(data)) + data + bytes(-len(data) % 8)


@pytest.fixture
def full(fills: list[FillRecord]) -> FillRecord:
    """Two calorimeters with everything, and an auxiliary crate."""
    rng = np.random.default_rng(5)
    records = tuple(
        WaveformRecord(crate, (0, 1, 7), rng.integers(-2048, 2048, (3, 1, 800)).astype(np.int16)) for crate in (2, 25)
    )
    return dataclasses.replace(fills[1], waveforms=records)


def test_a_crate_becomes_one_bank_where_its_first_was(full: FillRecord) -> None:
    plain, found = banks_of(full), banks_of(full, "event")
    head = ["TRIG", "GPS0", "TTCA", "TTCB", "TTCZ"]
    assert list(found) == [*head, "FZ01", "CC01", "FZ02", "CC02", *(f"C{kind}25" for kind in "RABZC")]
    for crate in ("01", "02"):
        tid, data = found[f"FZ{crate}"]
        inside = b"".join(laid_out(name, *bank) for name, bank in plain.items() if name[2:] == crate and name[1] != "C")
        assert tid == 1
        assert unpacked(data) == struct.pack("<II", len(inside), 0x11) + inside
    assert {name: found[name] for name in found if name in plain} == {
        name: plain[name] for name in found if name in plain
    }


def test_bank_by_bank_the_first_letter_becomes_small(full: FillRecord) -> None:
    plain, found = banks_of(full), banks_of(full, "bank")
    small = {f"C{kind}0{crate}" for kind in "STQ" for crate in (1, 2)} | {"CR02"}
    assert list(found) == [name[0].lower() + name[1:] if name in small else name for name in plain]
    for name in small:
        tid, data = found[name[0].lower() + name[1:]]
        original_tid, original = plain[name]
        assert tid == 1
        assert unpacked(data) == name.encode() + struct.pack("<II", original_tid, len(original)) + original


@pytest.mark.parametrize("mode", ["event", "bank"])
def test_check_sums_of_the_frame_do_not_see_the_compression(full: FillRecord, mode: str) -> None:
    assert banks_of(full, mode)["CZ25"] == banks_of(full)["CZ25"]
    assert banks_of(full, mode)["CC02"] == banks_of(full)["CC02"]


@pytest.mark.parametrize("suffix", UNPACK)
def test_compressed_files_hold_the_same_bytes(
    tmp_path: Path, fills: list[FillRecord], tree: dict[str, Any], write: Write, suffix: str
) -> None:
    plain = write(tmp_path / "a.mid", fills)
    written = write(tmp_path / f"a{suffix}", fills)
    content = written.path.read_bytes()
    assert UNPACK[suffix](content) == plain.path.read_bytes()
    sums = Checksums.of_file(written.path)
    assert written.facts() == {
        "size": len(content), "sha256": sums.sha256, "adler32": sums.adler32, "crc32c": sums.crc32c
    }  # fmt: skip
    assert written.events == len(fills)
    again = write(tmp_path / f"b{suffix}", fills)
    assert again.path.read_bytes() == content


def test_gzip_member_has_neither_time_nor_name(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    head = write(tmp_path / "a.mid.gz", fills[:1]).path.read_bytes()[:10]
    assert head[:3] == b"\x1f\x8b\x08"
    assert head[3] == 0  # no name, no comment, nothing extra
    assert head[4:8] == bytes(4)


def test_lz4_frame_has_independent_blocks_and_a_content_checksum(
    tmp_path: Path, fills: list[FillRecord], write: Write
) -> None:
    info = lz4.frame.get_frame_info(write(tmp_path / "a.mid.lz4", fills[:1]).path.read_bytes())
    assert (info["block_size"], info["block_linked"], info["content_checksum"]) == (4 << 20, False, True)


def test_lz4_blocks_do_not_depend_on_how_the_content_was_cut(tmp_path: Path) -> None:
    from gm2sim.raw.stream import Stream

    content = np.random.default_rng(1).integers(0, 5, 9_000_000, np.uint8).tobytes()
    files = []
    for step in (100_000, 3_000_001):
        stream = Stream(tmp_path / str(step), ".lz4")
        for first in range(0, len(content), step):
            stream.write(content[first : first + step])
        stream.finish()
        files.append((tmp_path / str(step)).read_bytes())
    assert files[0] == files[1]
    assert lz4.frame.decompress(files[0]) == content


@pytest.mark.parametrize("mode", ["none", "event", "bank"])
def test_run_database_decides_what_the_front_ends_do(tmp_path: Path, fills: list[FillRecord], mode: str) -> None:
    readout = Readout(samples_per_fill=3200, crates=2, compression=mode)
    with RunWriter(tmp_path / "a.mid", 17, 3, run_tree(17, 3, START, readout, {})) as writer:
        writer.write_fill(fills[0])
    content = (tmp_path / "a.mid").read_bytes()
    assert (b"FZ01" in content, b"cT01" in content) == (mode == "event", mode == "bank")
