"""Checkpoints: every cut and every turned bit leaves the records before it, and nothing else."""

import numpy as np
import pytest

from gm2sim.checkpoint import Checkpoint

ME = {"version": "test", "config_hash": "ab"}
EVENTS = 5


def write(path, *, events=EVENTS, identity=ME, first=0):  # type: ignore[no-untyped-def]
    """Records of some events; returns where each ends."""
    ends = []
    with Checkpoint(path, identity) as made:
        made.go_on(first)
        ends.append(path.stat().st_size)
        for event in range(first, events):
            made.append("hits", event, {"energy": np.arange(event, dtype=float), "calo": np.full(event, 3, np.int8)})
            histogram = np.full((2, 3), event, np.int32) if event % 2 else None
            made.note(event + 1, 100 * event, 7 * event, {"fills": event}, histogram, whole=event != 1)
            ends.append(path.stat().st_size)
    return ends


def found(path, identity=ME):  # type: ignore[no-untyped-def]
    return list(Checkpoint(path, identity).records())


def test_what_was_noted_is_found_again(tmp_path):
    path = tmp_path / "c"
    write(path)
    records = found(path)
    assert [one.events for one in records] == [1, 2, 3, 4, 5]
    assert [one.whole for one in records] == [True, False, True, True, True]
    assert (records[3].content, records[3].crc32c, records[3].counts) == (300, 21, {"fills": 3})
    assert records[1].histogram is None  # not whole
    np.testing.assert_array_equal(records[3].histogram, np.full((2, 3), 3))
    group, fill, columns = records[4].rows[0]
    assert (group, fill) == ("hits", 4)
    np.testing.assert_array_equal(columns["energy"], [0.0, 1.0, 2.0, 3.0])
    assert columns["calo"].dtype == np.int8
    assert columns["calo"].tolist() == [3, 3, 3, 3]


def test_every_cut_leaves_the_records_before_it(tmp_path):
    whole = tmp_path / "whole"
    ends = write(whole)
    content = whole.read_bytes()
    for size in range(len(content) + 1):
        cut = tmp_path / "cut"
        cut.write_bytes(content[:size])
        assert len(found(cut)) == max(0, sum(end <= size for end in ends) - 1)


def test_a_turned_bit_anywhere_leaves_the_records_before_it(tmp_path):
    whole = tmp_path / "whole"
    ends = write(whole)
    content = whole.read_bytes()
    rng = np.random.default_rng(1)
    for place in range(len(content)):
        turned = bytearray(content)
        turned[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "turned"
        path.write_bytes(turned)
        assert len(found(path)) == max(0, sum(end <= place for end in ends) - 1), place


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"gm2c" + b"\xff" * 60, b"g"])
def test_what_a_lost_machine_leaves_behind_the_last_record_is_no_record(tmp_path, tail):
    path = tmp_path / "c"
    write(path)
    path.write_bytes(path.read_bytes() + tail)
    assert len(found(path)) == EVENTS


def test_records_of_another_identity_are_not_gone_on_from(tmp_path):
    path = tmp_path / "c"
    write(path)
    assert not found(path, ME | {"config_hash": "cd"})
    assert not found(path, ME | {"more": 1})
    assert not found(tmp_path / "not there")
    (tmp_path / "empty").touch()
    assert not found(tmp_path / "empty")


@pytest.mark.parametrize("kept", range(EVENTS + 1))
def test_going_on_behind_any_record_gives_the_same_file(tmp_path, kept):
    whole, again = tmp_path / "whole", tmp_path / "again"
    write(whole)
    again.write_bytes(whole.read_bytes() + b"half a record")
    if kept:
        write(again, first=kept)
    else:
        write(again)
    assert again.read_bytes() == whole.read_bytes()
