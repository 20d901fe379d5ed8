"""Damage in the words of AMC13s, boards and clocks is found and named by field."""

import gzip
import hashlib
import struct
import zlib
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from gm2sim.raw import FillRecord, RawFormatError, RunWriter, check, open_run
from tests.raw import packing
from tests.raw.conftest import make_fill


def places(path: Path, serial: int = 0) -> dict[str, int]:
    """Byte where the data of each bank of an event begins."""
    event = next(event for event in open_run(path) if event.serial == serial)
    return {bank.name: bank.data_offset for bank in event.walk()}


def flip(path: Path, at: int, mask: int) -> None:
    """Change bits of the big-endian word at a byte of the file."""
    content = bytearray(path.read_bytes())
    word = int.from_bytes(content[at : at + 8], "big") ^ mask
    content[at : at + 8] = word.to_bytes(8, "big")
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("serial", "bank", "word", "mask", "what"),
    [
        (0, "LA01", 0, 1 << 40, "CDF header: trigger number"),
        (0, "LA01", 0, 1 << 20, "CDF header: high clock"),
        (0, "LA01", 0, 1 << 8, "CDF header: source"),
        (0, "LA01", 0, 1 << 3, "bits that mean nothing"),
        (0, "LA01", 1, 1 << 5, "header of block 0: clock"),
        (0, "LA01", 2, 1 << 57, "AMC header 0: flags"),
        (0, "LA01", 2, 1 << 61, "AMC header 0: M is 1, not 0"),
        (0, "LA01", 3, 1 << 32, "boards sent"),
        (0, "LA01", 3, 1, "slot, words and id"),
        (0, "LA01", 4, 1 << 40, "block 0 has check sum"),
        (0, "LA01", 4, 1 << 21, "trailer of block 0: block number"),
        (0, "LA01", 4, 1 << 13, "trailer of block 0: trigger number"),
        (0, "LZ01", 0, 1 << 33, "CDF trailer: size"),
        (0, "LZ01", 0, 1 << 17, "the event has check sum"),
        (0, "LZ01", 0, 1 << 4, "CDF trailer: throttling"),
        (0, "LR01", 0, 1 << 20, "slot 1, word 0: high clock"),
        (0, "LR01", 1, 1 << 16, "slot 1, word 1: clock"),
        (0, "LR01", 2, 1 << 8, "slot 1, word 2: firmware"),
        (0, "LR01", 4, 1 << 51, "slot 1, channel 0: low address"),
        (0, "LR01", 9, 1 << 26, "header of waveform 1: address"),
        (0, "LR01", 14, 1, "channel 0 of slot 1 has another check sum"),
        (0, "LR01", 15, 1 << 33, "found damaged by its board"),
        (0, "TTCA", 0, 1 << 33, "CDF header: trigger number"),
        (0, "TTCB", 1, 1 << 11, "asynchronous or kind"),
        (0, "TTCB", 3, 1 << 40, "check sum"),
        (0, "TTCZ", 0, 1 << 20, "the event has check sum"),
        (1, "AR26", 4, 1 << 27, "counts"),
        (1, "AR26", 13, 1 << 11, "check sum"),
        (1, "AC26", 0, 1 << 33, "its CDF header is another"),
    ],
)
def test_wrong_word_is_named(framed_file: Path, serial: int, bank: str, word: int, mask: int, what: str) -> None:
    flip(framed_file, places(framed_file, serial)[bank] + 8 * word, mask)
    found = [problem for problem in check(framed_file) if what in problem.what]
    assert found, check(framed_file)
    assert {problem.event for problem in found} == {serial}


@pytest.mark.parametrize(
    ("serial", "bank", "byte", "what"),
    [
        (0, "GPS0", 4, "differs from TRIG's"),
        (0, "GPS0", 9, "differs from TRIG's"),
        (1, "GPS0", 14, "the clock has counted"),
        (0, "GPS0", 20, "week"),
        (0, "GPS0", 28, "not locked"),
        (0, "STRW", 0, "station 0: CDF header"),
        (0, "STRW", 6, "station 0: CDF header: trigger number"),
        (0, "STRW", 66, "station 0: the payload of slot 1 has check sum"),
        (1, "AC26", 152, "became"),
        (1, "AC26", 8, "readout begins before the trigger|not in order"),
    ],
)
def test_wrong_value_is_found(framed_file: Path, serial: int, bank: str, byte: int, what: str) -> None:
    content = bytearray(framed_file.read_bytes())
    content[places(framed_file, serial)[bank] + byte] ^= 1
    framed_file.write_bytes(content)
    found = check(framed_file)
    assert any(part in problem.what for part in what.split("|") for problem in found), found


def test_any_flipped_bit_of_a_framed_file_is_found_or_is_a_time_of_the_readout(framed_file: Path) -> None:
    content = bytearray(framed_file.read_bytes())
    free = set()
    for event in open_run(framed_file).events():
        if not event.has_banks:
            free |= set(range(event.offset + 16, event.offset + event.size))
        for bank in event.walk():
            # Arrival and end of readout, when a crate did what, nanoseconds of the trigger: as good a little later.
            first, last = {"TRIG": (16, 32), "GPS0": (8, 9), "LC01": (8, 152), "AC26": (8, 176)}.get(bank.name, (0, 0))
            if bank.name == "LC01":
                last = 176  # its counters are the first of the file: nothing to compare them with
            free |= set(range(bank.data_offset + first, bank.data_offset + last))
    unseen = []
    with framed_file.open("r+b", buffering=0) as file:
        for place in sorted(set(range(0, len(content), 5)) - free):
            byte = content[place]
            file.seek(place)
            file.write(bytes([byte ^ 1 << place % 8]))
            if not check(framed_file):
                unseen.append(place)
            file.seek(place)
            file.write(bytes([byte]))
    assert unseen == []


def rewritten(path: Path, keep: Any) -> None:
    """The same file with the banks of its events changed."""
    pieces = []
    for event in open_run(path).events():
        if event.has_banks:
            banks = b"".join(packing.bank(*one) for bank in event.walk() for one in keep(bank))
            pieces.append(packing.data_event(event.serial, event.time, banks))
        else:
            pieces.append(packing.run_event(event.event_id, event.serial, event.time, event.text()))
    path.write_bytes(b"".join(pieces))


@pytest.mark.parametrize("name", ["TRIG", "GPS0", "TTCA", "TTCB", "TTCZ", "LR01", "LA01", "LZ01", "LC01", "AR26"])
def test_missing_bank_is_named(framed_file: Path, name: str) -> None:
    rewritten(framed_file, lambda b: [] if b.name == name else [(b.name, b.type, bytes(b.data))])
    assert ("missing", name) in [(problem.what, problem.bank) for problem in check(framed_file)]


@pytest.fixture
def muon_file(tmp_path: Path) -> Path:
    """Two fills of two crates, samples not kept."""
    path = tmp_path / "muons" / "gm2_run00017_00003.mid"
    path.parent.mkdir()
    with RunWriter(path, 17, 3, packing.small_tree(3200)) as writer:
        fills: list[FillRecord] = [make_fill(serial) for serial in range(2)]
        for fill in fills:
            writer.write_fill(fill)
    return path


@pytest.mark.parametrize(
    ("bank", "word", "mask", "what"),
    [
        ("CB01", 0, 1 << 32, "answers trigger"),
        ("CB01", 2, 1, "slot 1, word 2: firmware"),
        ("CB01", 5, 1 << 3, "slot 1, channel 0: bursts"),
        ("CB01", 7, 1, "is not kept, but it has a check sum|are not kept"),
        ("CB02", 38, 1 << 60, "CRC-32|check sum"),
        ("CA01", 13, 1 << 40, "its samples are not kept, but it has a CRC"),
        ("CA02", 2, 1 << 35, "AMC header|do not fit together"),
        ("CZ01", 0, 1 << 18, "its samples are not kept, but it has a CRC"),
    ],
)
def test_wrong_word_of_an_event_without_samples_is_named(
    muon_file: Path, bank: str, word: int, mask: int, what: str
) -> None:
    assert check(muon_file) == []
    flip(muon_file, places(muon_file)[bank] + 8 * word, mask)
    found = check(muon_file)
    assert any(part in problem.what for part in what.split("|") for problem in found), found


def packed(name: str, content: bytes, *, level: int = 1, strategy: int = zlib.Z_HUFFMAN_ONLY) -> tuple[str, int, bytes]:
    """A compressed bank as the page says."""
    stream = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    data = stream.compress(content) + stream.flush(zlib.Z_FULL_FLUSH)
    return name, 1, hashlib.md5(content, usedforsecurity=False).digest() + data


def one_bank_file(path: Path, bank: tuple[str, int, bytes]) -> Path:
    tree = {"Runinfo": {"Run number": 17}}
    banks = packing.trigger(0, packing.START) + packing.bank(*bank)
    path.write_bytes(packing.run_event(0x8000, 17, packing.START, tree) + packing.data_event(0, packing.START, banks))
    return path


def test_compressed_banks_laid_out_by_hand_are_read(tmp_path: Path) -> None:
    words = struct.pack("<I10I", 10, *range(10))
    inner = packing.bank("CS05", 6, words)
    alone = packed("cS05", inner[: 12 + len(words)])
    whole = packed("FZ05", struct.pack("<II", len(inner), 0x11) + inner)
    for bank in (alone, whole, packed("cs05", inner[: 12 + len(words)])):
        (event,) = open_run(one_bank_file(tmp_path / "a.mid", bank))
        assert list(event.banks) == ["TRIG", "CS05"]
        sums = event.calo_sum(5)
        assert sums is not None
        assert sums.tolist() == list(range(10))


def test_damage_in_compressed_banks_is_told(tmp_path: Path) -> None:
    inner = packing.bank("CS05", 6, struct.pack("<2I", 1, 5))
    good = packed("cS05", inner[:20])
    wrong_sum = (good[0], 1, bytes([good[2][0] ^ 1]) + good[2][1:])
    bomb = packed("cS05", bytes(1 << 24), level=9, strategy=zlib.Z_DEFAULT_STRATEGY)
    other = packed("cS06", inner[:20])
    cut = (good[0], 1, good[2][:12])
    for bank, what in (
        (wrong_sum, "MD5"), (bomb, "expands to more than"), (other, "is no bank CS06"), (cut, "cannot hold a sum"),
        ((good[0], 1, good[2][:20] + b"\xff\xff" + good[2][22:]), "deflate|MD5"),
    ):  # fmt: skip
        path = one_bank_file(tmp_path / "a.mid", bank)
        (event,) = open_run(path)
        with pytest.raises(RawFormatError) as caught:
            event.calo_sum(int(bank[0][2:]))
        assert any(part in str(caught.value) for part in what.split("|")), caught.value
        assert any(problem.bank[1:3].upper() == "S0" for problem in check(path))


@pytest.mark.parametrize("name", ["a.mid.gz", "a.mid.lz4"])
def test_bombs_are_refused_before_they_take_memory(tmp_path: Path, name: str) -> None:
    content = struct.pack("<HHIII", 0x8000, 0x494D, 1, 0, 2**31) + bytes(100 << 20)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else lz4.frame.compress(content))
    with pytest.raises(RawFormatError, match="expands more than 200 times"):
        open_run(path)
