"""Damage is found and told with byte and bank, never with a traceback or a huge allocation."""

import gzip
import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.raw import FillRecord, Problem, RawFormatError, WrittenFile, check, dump, ls, open_run

Damage = Callable[[bytearray, dict[str, int]], None]


def places(path: Path) -> dict[str, int]:
    """Byte of each event header (E0, E1, ..., begin, end) and of each bank header of the first fill."""
    found = {}
    for event in open_run(path).events():
        found[{0x8000: "begin", 0x8001: "end"}.get(event.event_id, f"E{event.serial}")] = event.offset
        if event.serial == 0:
            found.update({name: bank.offset for name, bank in event.banks.items()})
    return found


def decode_everything(path: Path) -> int:
    """Touch every word of a file the way a reconstruction does; returns a sum so that nothing is skipped."""
    total = 0
    run = open_run(path)
    for event in run:
        total += event.fill_index
        for crate in event.crates:
            total += sum(int(island.samples.sum()) for island in event.islands(crate))
            for array in (event.pedestals(crate), event.calo_sum(crate)):
                total += 0 if array is None else array.size
            event.q_histogram(crate)
    return total + len(run.odb_end)


def test_good_file_has_no_problems(raw_file: Path, tiny_file: Path) -> None:
    assert check(raw_file) == []
    assert check(tiny_file) == []
    assert check(tiny_file, strict=False) == []


def put(layout: str, key: str, step: int, *values: int | float) -> Damage:
    return lambda content, at: struct.pack_into(layout, content, at[key] + step, *values)


def swap_fills(content: bytearray, at: dict[str, int]) -> None:
    first, second = content[at["E0"] : at["E1"]], content[at["E1"] : at["E2"]]
    content[at["E0"] : at["E2"]] = second + first


def drop_fill(content: bytearray, at: dict[str, int]) -> None:
    del content[at["E1"] : at["E2"]]


def drop_last_fill(content: bytearray, at: dict[str, int]) -> None:
    del content[at["E4"] : at["end"]]


def swap_banks(content: bytearray, at: dict[str, int]) -> None:
    first, second = content[at["CP01"] : at["CS01"]], content[at["CS01"] : at["CT01"]]
    content[at["CP01"] : at["CT01"]] = second + first


def repeat_end(content: bytearray, at: dict[str, int]) -> None:
    content += content[at["end"] :]


@pytest.mark.parametrize(
    ("damage", "where", "bank", "what"),
    [
        (put("<H", "begin", 2, 0), "begin", "", "mask 0x0000"),
        (put("<I", "end", 4, 18), "end", "", "run number 18, but the file began with run 17"),
        (put("<I", "end", 8, 2**31), "end", "", "differs from /Runinfo/Stop time binary"),
        (put("<B", "end", 16, 44), "end+16", "ODB", "not JSON"),
        (repeat_end, "size", "", "follows the end-of-run event"),
        (put("<I", "E0", 12, 2**32 - 1), "E0", "", "claims 4294967295 bytes"),
        (put("<I", "E0", 16, 12), "E0+16", "", "header says 12"),
        (put("<I", "E0", 20, 0x77), "E0+20", "", "unknown bank format 0x77"),
        (put("<H", "E0", 0, 2), "E0", "", "unknown event id 2"),
        (put("<H", "E0", 2, 4), "E0", "", "trigger mask 0x0004"),
        (put("<I", "E1", 4, 7), "E1", "", "follows event 0: events are missing or swapped"),
        (put("<I", "E1", 8, 5), "E1", "", "its time 5 is before"),
        (swap_fills, None, "", "is before the last"),
        (drop_fill, "E1", "", "follows event 0"),
        (drop_last_fill, "E4+16", "ODB", "counts 5 events but the file holds 4"),
        (put("<I", "CT01", 4, 99), "CT01+4", "CT01", "unknown type 99"),
        (put("<I", "CT01", 4, 4), "CT01", "CT01", "words of type 4, not 5"),
        (put("<I", "CT01", 8, 2**32 - 1), "CT01", "CT01", "claims 4294967295 bytes"),
        (put("<4s", "CT01", 0, b"XX01"), "CT01", "XX01", "unknown kind of bank"),
        (put("<4s", "CT01", 0, b"CP01"), "CT01", "CP01", "appears twice"),
        (swap_banks, None, "CP01", "out of order"),
        (put("<f", "CP01", 12, 53.0), "CP01+12", "CP01", "must count the 54"),
        (put("<f", "CP01", 20, float("nan")), "CP01+12", "CP01", "not a number"),
        (put("<B", "CP01", 12 + 220, 1), "CP01+232", "CP01", "padding is not zero"),
        (put("<I", "CS01", 12, 99), "CS01+12", "CS01", "must count the 100"),
        (put("<i", "CT01", 12, -1), "CT01+12", "CT01", "header counts -1 words"),
        (put("<h", "CT01", 16, 3000), None, "CT01", "begins beyond the bank's end"),
        (put("<h", "CT01", 16, -1), "CT01+16", "CT01", "-1 islands"),
        (put("<h", "CT01", 18, 0), "CT01+16", "CT01", "of 0 crystals"),
        (put("<i", "CT01", 20, -4), "CT01+12", "CT01", "-4 late clusters"),
        (put("<i", "CT01", 24, 4000), "CT01+12", "CT01", "not inside the fill"),
        (put("<i", "CT01", 24, 1500), "CT01+12", "CT01", "begins before the one before has ended"),
        (put("<i", "CT01", 28, 2**31 - 1), "CT01+28", "CT01", "claims 2147483647 samples"),
        (put("<i", "CT01", 28, 0), "CT01+28", "CT01", "claims 0 samples"),
        (put("<h", "CT01", 32, 2048), "CT01+12", "CT01", "outside 12 bits"),
        (put("<I", "TRIG", 12, 9), "E1", "TRIG", "trigger 2 follows trigger 9"),
        (put("<I", "TRIG", 20, 9), "TRIG+12", "TRIG", "its time 9 differs"),
        (put("<I", "TRIG", 24, 10**6), "TRIG+24", "TRIG", "microseconds"),
    ],
)
def test_damage_is_told_with_byte_and_bank(
    raw_file: Path, damage: Damage, where: str | None, bank: str, what: str
) -> None:
    content = bytearray(raw_file.read_bytes())
    at = {**places(raw_file), "size": len(content)}
    damage(content, at)
    raw_file.write_bytes(content)
    found = check(raw_file)
    told = [problem for problem in found if what in problem.what and problem.bank == bank]
    assert told, found
    if where is not None:
        key, _, step = where.partition("+")
        wanted = at[key] + int(step or 0)
        assert told[0].offset == wanted or (bank == "TRIG" and told[0].offset == at[key] + 36), told[0]
    assert all("\n" not in str(problem) for problem in found)


@pytest.mark.parametrize("name", ["x.mid", "x.mid.gz"])
def test_file_cut_at_any_byte_is_found(tiny_file: Path, tmp_path: Path, name: str) -> None:
    content = tiny_file.read_bytes()
    assert len(content) < 4096
    path = tmp_path / name
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)
    assert check(path) == []
    for size in range(len(content) - 1, -1, -1):
        os.truncate(path, size)
        assert check(path), size
        assert check(path, strict=False), size


def test_any_flipped_bit_is_found_or_harmless(tiny_file: Path) -> None:
    content = bytearray(tiny_file.read_bytes())
    # A flip may go unseen only where a value is as good as another: inside words and the run database.
    values = np.zeros(len(content), bool)
    for event in open_run(tiny_file).events():
        if not event.has_banks:
            values[event.offset + 16 : event.offset + event.size] = True
        for bank in event.banks.values():
            values[bank.data_offset : bank.data_offset + bank.data.nbytes] = True
    found = harmless = 0
    with tiny_file.open("r+b", buffering=0) as file:
        for place, byte in enumerate(content):
            # Every bit of the container; of the values one bit a byte, another one from byte to byte.
            for bit in [place % 8] if values[place] else range(8):
                file.seek(place)
                file.write(bytes([byte ^ 1 << bit]))
                if check(tiny_file):
                    found += 1
                else:
                    assert values[place], (place, bit)
                    decode_everything(tiny_file)
                    harmless += 1
            file.seek(place)
            file.write(bytes([byte]))
    assert found >= 8 * np.count_nonzero(~values)
    assert found + harmless == 8 * np.count_nonzero(~values) + np.count_nonzero(values)


def test_any_flipped_bit_is_found_with_the_checksum_beside(tiny_file: Path) -> None:
    content = bytearray(tiny_file.read_bytes())
    rng = np.random.default_rng(11)
    record(tiny_file)
    assert check(tiny_file) == []
    for bit in rng.choice(8 * len(content), 400, replace=False).tolist():
        content[bit // 8] ^= 1 << bit % 8
        tiny_file.write_bytes(content)
        assert any("sha256" in problem.what for problem in check(tiny_file, strict=False)), bit
        content[bit // 8] ^= 1 << bit % 8


def test_random_words_in_headers_never_break_the_reader(tiny_file: Path) -> None:
    good = tiny_file.read_bytes()
    rng = np.random.default_rng(5)
    nasty = [0, 1, 2, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
    outcomes = {"found": 0, "harmless": 0}
    for _ in range(1500):
        content = bytearray(good)
        for place in rng.integers(0, len(good) - 4, rng.integers(1, 5)).tolist():
            struct.pack_into("<I", content, place // 4 * 4, nasty[rng.integers(len(nasty))])
        tiny_file.write_bytes(content)
        error = None
        try:
            decode_everything(tiny_file)
            dump_everything(tiny_file)
        except RawFormatError as err:
            error = err
        assert error is None or 0 <= error.offset <= len(content)
        outcomes["found" if check(tiny_file) else "harmless"] += 1
    assert outcomes["found"] > outcomes["harmless"]


def dump_everything(path: Path) -> None:
    for row in ls(path):
        if row["kind"] != "fill":
            continue
        for bank in dump(path, row["serial"])["banks"]:
            dump(path, row["serial"], bank["name"])


@pytest.mark.parametrize("name", ["x.mid", "x.mid.gz"])
def test_false_sizes_allocate_nothing(tiny_file: Path, tmp_path: Path, name: str) -> None:
    content = bytearray(tiny_file.read_bytes())
    struct.pack_into("<I", content, places(tiny_file)["E0"] + 12, 2**32 - 16)
    path = tmp_path / name
    path.write_bytes(gzip.compress(bytes(content)) if path.suffix == ".gz" else content)
    tracemalloc.start()
    found = check(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert any("claims 4294967280 bytes" in problem.what for problem in found)
    assert peak < 16 << 20  # two read buffers of 1 MB and the decompressor, with room


def test_compression_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mid.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(struct.pack("<HHIII", 0x8000, 0x494D, 1, 0, 2**31))
        for _ in range(80):
            file.write(bytes(1 << 20))
    with pytest.raises(RawFormatError, match="expands more than 200 times"):
        open_run(path)


def test_deep_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.mid"
    text = b'{"a":' * 200_000
    path.write_bytes(struct.pack("<HHIII", 0x8000, 0x494D, 1, 0, len(text)) + text)
    with pytest.raises(RawFormatError, match="bank ODB: the run database is not JSON"):
        open_run(path)


def record(path: Path, **facts: Any) -> Path:
    from gm2sim.raw.checksum import Checksums

    sums = Checksums.of_file(path)
    known = {"size": sums.size, "sha256": sums.sha256, "adler32": sums.adler32, "crc32c": sums.crc32c}
    metadata = path.with_suffix(".json")
    metadata.write_text(json.dumps({"files": {path.name: known | facts}}))
    return metadata


@pytest.mark.parametrize("key", ["size", "sha256", "adler32", "crc32c"])
def test_wrong_recorded_number_is_found(raw_file: Path, key: str) -> None:
    metadata = record(raw_file)
    assert check(raw_file) == []
    recorded = json.loads(metadata.read_text())["files"][raw_file.name][key]
    wrong = recorded + 1 if key == "size" else ("0" if recorded[0] != "0" else "1") + recorded[1:]
    record(raw_file, **{key: wrong})
    assert [problem.what.split()[0] for problem in check(raw_file)] == [key]


def test_metadata_that_cannot_be_read_is_a_problem(raw_file: Path) -> None:
    raw_file.with_suffix(".json").write_text("{")
    assert "records no checksum" in check(raw_file)[0].what
    assert check(raw_file, strict=False) == []


def test_written_facts_are_what_check_verifies(
    tmp_path: Path, fills: list[FillRecord], write: Callable[..., WrittenFile]
) -> None:
    written = write(tmp_path / "a.mid", fills)
    written.path.with_suffix(".json").write_text(json.dumps({"files": {"a.mid": written.facts()}}))
    assert check(written.path) == []


def test_problem_reads_as_one_line() -> None:
    assert str(Problem(12, "is wrong", 3, "CT05")) == "byte 12, event 3, bank CT05: is wrong"
