"""Raw files that another process has begun: gone on with to the same bytes, from whatever it has left."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from gm2sim.raw import RunWriter, check, open_run
from gm2sim.raw.partial import Begun, content, intact
from gm2sim.raw.stream import Stream
from tests.raw.conftest import START, make_fill

FILLS = 6


class CutError(Exception):
    """The process is gone."""


def write(path: Path, tree, begun: Begun, fills, leave=False):  # type: ignore[no-untyped-def]
    """Write fills behind those that are there; returns content and its CRC-32C behind each."""
    marks = []
    try:
        with RunWriter(path, 17, 3, tree, begun=begun) as writer:
            for fill in fills:
                writer.write_fill(fill)
                marks.append((writer.content, writer.content_crc32c))
            if leave:
                raise CutError
    except CutError:
        pass
    return marks


def after(path: Path, marks, held: int) -> Begun:  # type: ignore[no-untyped-def]
    """Where to go on behind the first ``held`` fills."""
    if not held:
        return Begun(path)
    return Begun(path, held, marks[held - 1][0], held - 1, START + held - 1)


@pytest.fixture(scope="module")
def events():  # type: ignore[no-untyped-def]
    return [make_fill(serial) for serial in range(FILLS)]


@pytest.mark.parametrize("suffix", [".mid", ".mid.gz", ".mid.lz4"])
def test_a_file_cut_anywhere_is_gone_on_with_to_the_same_bytes(tmp_path, tree, events, suffix):
    whole = tmp_path / f"whole{suffix}"
    write(whole, tree, Begun(tmp_path / "w.partial"), events)
    assert not (tmp_path / "w.partial").exists()
    expected = hashlib.sha256(whole.read_bytes()).hexdigest()
    left = tmp_path / "left.partial"
    marks = write(tmp_path / f"left{suffix}", tree, Begun(left), events, leave=True)
    there = left.read_bytes()
    assert not (tmp_path / f"left{suffix}").exists()
    rng = np.random.default_rng(2)
    seen = set()
    for trial, size in enumerate([0, 1, len(there), *rng.integers(0, len(there) + 1, 15).tolist()]):
        path, partial = tmp_path / f"{trial}{suffix}", tmp_path / f"{trial}.partial"
        partial.write_bytes(there[:size])
        held = intact(partial, path.suffix, marks)
        seen.add(held)
        again = write(path, tree, after(partial, marks, held), events[held:])
        assert again == marks[held:]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == expected
        assert not list(tmp_path.glob(f"{trial}.partial*"))
    assert not check(whole)
    if suffix == ".mid":
        assert len(seen) > 3  # a coder may keep all of so small a file until its end
        assert FILLS in seen


def test_a_turned_bit_in_what_is_there_leaves_the_fills_before_it(tmp_path, tree, events):
    left = tmp_path / "left.partial"
    marks = write(tmp_path / "left.mid", tree, Begun(left), events, leave=True)
    there = left.read_bytes()
    rng = np.random.default_rng(3)
    for place in rng.integers(0, marks[-1][0], 60).tolist():
        turned = bytearray(there)
        turned[place] ^= 1 << int(rng.integers(8))
        left.write_bytes(turned)
        assert intact(left, ".mid", marks) == sum(end <= place for end, _ in marks)


@pytest.mark.parametrize("suffix", [".gz", ".lz4"])
def test_damaged_compressed_files_are_held_as_far_as_they_can_be_read(tmp_path, suffix):
    rng = np.random.default_rng(4)
    pieces = [rng.integers(0, 8, 3_000_000, np.uint8).tobytes() for _ in range(4)]
    path, marks = tmp_path / f"x{suffix}", []
    stream = Stream(path, suffix)
    for piece in pieces:
        stream.write(piece)
        stream.flush()
        marks.append((stream.content, stream.content_crc32c))
    stream.finish()
    there = path.read_bytes()
    assert b"".join(bytes(part) for part in content(path, suffix)) == b"".join(pieces)
    assert intact(path, suffix, marks) == 4
    for place in rng.integers(40, len(there), 12).tolist():
        turned = bytearray(there)
        turned[place] ^= 16
        path.write_bytes(turned)
        held = intact(path, suffix, marks)
        assert 0 <= held <= 4
        path.write_bytes(there[:place])
        assert intact(path, suffix, marks) <= 4 * place // len(there) + 1
    # What holds is the beginning, whatever is behind it.
    path.write_bytes(there[: len(there) // 2] + b"\0" * 1000)
    held = intact(path, suffix, marks)
    got = b"".join(bytes(part) for part in content(path, suffix))[: marks[held - 1][0] if held else 0]
    assert got == b"".join(pieces)[: len(got)]


def test_nothing_holds_where_there_is_no_file(tmp_path):
    assert intact(tmp_path / "none", ".mid", [(10, 1)]) == 0
    assert intact(tmp_path / "none", ".gz", []) == 0


def test_a_begun_file_that_is_finished_reads_like_one_written_at_once(tmp_path, tree, events):
    left = tmp_path / "left.partial"
    marks = write(tmp_path / "a.mid", tree, Begun(left), events[:3], leave=True)
    write(tmp_path / "a.mid", tree, after(left, marks, 3), events[3:])
    assert [event.serial for event in open_run(tmp_path / "a.mid")] == list(range(FILLS))
