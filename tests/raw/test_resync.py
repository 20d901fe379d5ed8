"""One damaged event loses only itself: the reader finds the next one and names what it went over."""

import gzip
import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest

from gm2sim.raw import RawFormatError, check, open_run
from tests.raw import packing

FILLS, FILES = 2000, 150  # a thousand files by hand: fuzz.py
START = 1_522_022_400
TREE = {"Runinfo": {"Run number": 9}}


def small_fill(rng: np.random.Generator, serial: int) -> bytes:
    """A fill of a few islands' size: words of any value, some of them small as counters are."""
    words = rng.integers(0, 2**32, int(rng.integers(4, 30)), dtype=np.uint32)
    words[::3] &= 0x13
    banks = packing.trigger(serial, START) + packing.bank("CS01", 6, words.tobytes())
    return packing.data_event(serial, START, banks + packing.bank("ODD1", 1, bytes(serial % 9)))


def write(path: Path) -> list[int]:
    """A file of many small fills; returns where each event begins, and where the file ends."""
    rng = np.random.default_rng(1)
    pieces = [packing.run_event(0x8000, 9, START, TREE)]
    pieces += [small_fill(rng, serial) for serial in range(FILLS)]
    pieces.append(packing.run_event(0x8001, 9, START, TREE))
    path.write_bytes(b"".join(pieces))
    return np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).tolist()


def kept(path: Path) -> tuple[set[int], list[int]]:
    """Places of the events that a reader gives, and of what it has lost."""
    run = open_run(path, damaged="skip")
    places = {event.offset for event in run.events()}
    return places, [one.offset for one in run.lost]


def lose(path: Path, files: int) -> int:
    """Damage a file of 2000 fills again and again, two of its fills at a time; returns how many events were lost."""
    begin = write(path)
    content = path.read_bytes()
    rng = np.random.default_rng(2)
    lost_events = 0
    for i in range(files):
        # Two of 2000 fills: one anywhere, one in its header.
        places = [int(rng.integers(begin[1], begin[-2])), begin[int(rng.integers(1, FILLS))] + int(rng.integers(24))]
        damage = [(place, rng.bytes(int(rng.integers(1, 9)))) for place in places]
        with path.open("r+b", buffering=0) as file:
            for place, data in damage:
                file.seek(place)
                file.write(data)
            found, lost = kept(path)
            for place, data in damage:
                file.seek(place)
                file.write(content[place : place + len(data)])
        touched = {b for b, e in itertools.pairwise(begin)
                   if any(place < e and place + len(data) > b for place, data in damage)}  # fmt: skip
        missing = set(begin[:-1]) - found
        assert missing <= touched, (i, damage)
        assert missing <= set(lost), (i, damage)
        assert set(lost) <= touched, (i, damage)
        lost_events += len(missing)
    return lost_events


def test_damaged_files_lose_their_damaged_events_only(tmp_path: Path) -> None:
    assert lose(tmp_path / "a.mid", FILES) > FILES // 2


def cut(content: bytes, at: int) -> bytes:
    return content[: at + 40] + content[at + 47 :]


def cut_at_its_end(content: bytes, at: int) -> bytes:
    end = at + 16 + struct.unpack_from("<I", content, at + 12)[0]
    return content[: end - 5] + content[end:]


def add(content: bytes, at: int) -> bytes:
    return content[: at + 50] + b"\x01\0\0" + content[at + 50 :]


def add_before(content: bytes, at: int) -> bytes:
    return content[:at] + b"\x01\0\0\0\0" + content[at:]


def blot(content: bytes, at: int) -> bytes:
    return content[: at + 4] + bytes(60) + content[at + 64 :]


def large(content: bytes, at: int) -> bytes:
    return content[: at + 12] + struct.pack("<I", 300) + content[at + 16 :]


def huge(content: bytes, at: int) -> bytes:
    return content[: at + 12] + struct.pack("<I", 2**32 - 8) + content[at + 16 :]


def both(content: bytes, at: int) -> bytes:
    return content[: at + 12] + struct.pack("<II", 5000, 4992) + content[at + 20 :]


def none(content: bytes, at: int) -> bytes:
    return content[: at + 12] + bytes(4) + content[at + 16 :]


DAMAGES = [cut, cut_at_its_end, add, add_before, blot, large, huge, both, none]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["a.mid", "a.mid.gz", "a.mid.lz4"])
def test_bytes_lost_or_added_lose_one_event(tmp_path: Path, damage: Callable[[bytes, int], bytes], name: str) -> None:
    path = tmp_path / name
    begin = write(tmp_path / "good.mid")
    content = damage((tmp_path / "good.mid").read_bytes(), begin[700])
    squeeze = {".gz": gzip.compress, ".lz4": lz4.frame.compress}.get(path.suffix, bytes)
    path.write_bytes(squeeze(content))
    run = open_run(path, damaged="skip")
    serials = [event.serial for event in run]
    assert set(range(FILLS)) - set(serials) <= {699}
    assert [one.offset for one in run.lost] == [begin[700]] if len(serials) < FILLS else run.lost
    assert f"byte {begin[700]}" in str(run.lost[0])
    found = check(path, strict=False)
    assert any(problem.offset >= begin[700] for problem in found)
    assert not any("end-of-run" in problem.what for problem in found)


def test_a_damaged_begin_of_run_is_replaced_by_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    write(path)
    content = bytearray(path.read_bytes())
    content[5:40] = bytes(35)
    path.write_bytes(content)
    with pytest.raises(RawFormatError):
        open_run(path)
    run = open_run(path, damaged="skip")
    assert (run.run, run.odb) == (9, TREE)
    assert len(run) == FILLS
    assert [one.offset for one in run.lost] == [0]


def test_a_file_cut_short_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    begin = write(path)
    path.write_bytes(path.read_bytes()[: begin[1000] + 33])
    run = open_run(path, damaged="skip")
    assert len(run) == 999
    assert [(one.offset, one.size) for one in run.lost] == [(begin[1000], 33)]


def test_a_stream_that_ends_in_damage_keeps_what_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "a.mid.gz"
    begin = write(tmp_path / "a.mid")
    content = gzip.compress((tmp_path / "a.mid").read_bytes())
    path.write_bytes(content[: len(content) // 2])
    run = open_run(path, damaged="skip")
    assert FILLS // 3 < len(run) < FILLS
    assert "damaged gzip data" in run.lost[-1].what
    assert run.lost[-1].offset <= begin[-1]


def test_an_undamaged_file_has_lost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    write(path)
    run = open_run(path, damaged="skip")
    assert len(run) == FILLS
    assert run.lost == []
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        open_run(path, damaged="ignore")  # type: ignore[arg-type]
