"""Bad data on purpose: at the places that are told, the same for the same seed, and found by the check."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gm2sim.errors import ConfigError
from gm2sim.raw import FillRecord, WrittenFile, check
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.tools.container import banks, content, frames
from gm2sim.raw.tools.faults import KINDS, Fault
from gm2sim.raw.tools.inject import inject


def inside(path: Path) -> bytes:
    with content(path) as data:
        return bytes(data)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "bad").mkdir()
    return tmp_path / "bad" / "bad.mid"


@pytest.mark.parametrize(
    "fault",
    ["drop-bank:CT*", "bitflip:9", "truncate", "swap", "duplicate", "drop-event", "wrong-serial", "wrong-size",
     "zero-block:512"],
)  # fmt: skip
def test_same_seed_gives_the_same_bytes_and_another_seed_others(raw_file: Path, tmp_path: Path, fault: str) -> None:
    made = []
    for number, seed in enumerate([7, 7, *range(20)]):
        out = tmp_path / f"bad{number}.mid"
        inject(raw_file, [fault], out, seed)
        made.append(out.read_bytes())
    assert made[0] == made[1]
    assert len(set(made)) > 2
    assert raw_file.read_bytes() not in made


def test_flips_turn_the_bits_that_are_told_and_no_other(raw_file: Path, out: Path) -> None:
    record = inject(raw_file, ["bitflip:40"], out, seed=3)
    expected = bytearray(raw_file.read_bytes())
    for change in record["faults"]:
        expected[change["byte"]] ^= 1 << change["bit"]
    assert len(record["faults"]) == 40
    assert out.read_bytes() == expected


def test_flips_stay_where_they_are_wanted(raw_file: Path, tmp_path: Path) -> None:
    with content(raw_file) as data:
        found = {
            (frame.serial, bank.name): bank for frame in frames(raw_file, data) for bank in banks(raw_file, data, frame)
        }
    headers = inject(raw_file, ["bitflip:200:headers"], tmp_path / "h.mid")["faults"]
    payload = inject(raw_file, ["bitflip:200:payload@2"], tmp_path / "p.mid")["faults"]
    for change in payload:
        bank = found[2, change["bank"]]
        assert bank.data <= change["byte"] < bank.data + bank.size
    in_banks = [change for change in headers if change["bank"]]
    assert 0 < len(in_banks) < 200
    for change in in_banks:
        bank = found[change["event"], change["bank"]]
        assert bank.offset <= change["byte"] < bank.data


def test_number_of_flips_follows_the_rate(raw_file: Path, tmp_path: Path) -> None:
    bits, rate = 8 * raw_file.stat().st_size, 1e-4
    counts = [len(inject(raw_file, ["bitflip:1e-4"], tmp_path / f"{seed}.mid", seed)["faults"]) for seed in range(20)]
    assert abs(np.mean(counts) - bits * rate) < 5 * np.sqrt(bits * rate / 20)


def test_banks_that_are_dropped_leave_sizes_that_fit(raw_file: Path, out: Path) -> None:
    record = inject(raw_file, ["drop-bank:C[PSTQ]02@3"], out)
    with content(raw_file) as data, content(out) as less:
        whole = {frame.serial: [bank.name for bank in banks(raw_file, data, frame)] for frame in frames(raw_file, data)}
        left = {frame.serial: [bank.name for bank in banks(out, less, frame)] for frame in frames(out, less)}
    dropped = [change["bank"] for change in record["faults"]]
    assert dropped == ["CP02", "CS02", "CT02", "CQ02"]
    assert left.pop(3) == [name for name in whole.pop(3) if name not in dropped]
    assert left == whole


def test_events_are_moved_whole(raw_file: Path, tmp_path: Path) -> None:
    good = inside(raw_file)
    with content(raw_file) as data:
        at = {frame.name: slice(frame.offset, frame.offset + frame.size) for frame in frames(raw_file, data)}
    pieces = {name: good[place] for name, place in at.items()}
    begin, *events, end = pieces.values()

    def made(fault: str) -> bytes:
        out = tmp_path / f"{fault.replace(':', '_')}.mid"
        inject(raw_file, [fault], out)
        return out.read_bytes()

    assert made("swap:1,3") == b"".join([begin, events[0], events[3], events[2], events[1], events[4], end])
    assert made("duplicate:2") == b"".join([begin, *events[:3], events[2], *events[3:], end])
    assert made("drop-event:0") == b"".join([begin, *events[1:], end])
    assert made("truncate:1000") == good[:1000]
    assert made("truncate:0.25") == good[: len(good) // 4]


def test_hole_is_zero_and_the_rest_is_as_it_was(raw_file: Path, out: Path) -> None:
    good = raw_file.read_bytes()
    change = inject(raw_file, ["zero-block:4096"], out, seed=2)["faults"][0]
    first = change["byte"]
    assert first % 4096 == 0
    assert first > 0
    assert out.read_bytes() == good[:first] + bytes(4096) + good[first + 4096 :]


def test_places_are_told_as_they_are_in_the_copy(raw_file: Path, out: Path) -> None:
    faults = ["drop-bank:CT01@1", "swap:2,4", "wrong-serial:4", "bitflip:5:payload@3"]
    record = inject(raw_file, faults, out, seed=1)
    bad, good = inside(out), inside(raw_file)
    by_kind = {change["kind"]: change for change in record["faults"]}
    serial = by_kind["wrong-serial"]
    assert f"made {int.from_bytes(bad[serial['byte'] : serial['byte'] + 4], 'little')}" in serial["what"]
    with content(raw_file) as data:
        third = next(frame for frame in frames(raw_file, data) if frame.name == "event 3")
    start = bad.index(good[third.offset : third.offset + 16])
    changed = [place for place in range(third.size) if bad[start + place] != good[third.offset + place]]
    assert [start + place for place in changed] == sorted(
        change["byte"] for change in record["faults"] if change["kind"] == "bitflip"
    )


def test_what_a_cut_takes_away_has_no_place(raw_file: Path, out: Path) -> None:
    record = inject(raw_file, ["truncate:1000", "wrong-serial:3"], out)
    assert [change["byte"] for change in record["faults"]] == [None, 1000]
    assert out.stat().st_size == 1000


@pytest.mark.parametrize("suffix", [".mid.gz", ".mid.lz4"])
def test_compressed_copies_hold_the_same_bytes(raw_file: Path, tmp_path: Path, suffix: str) -> None:
    plain, packed, again = tmp_path / "a.mid", tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    inject(raw_file, ["bitflip:5"], plain, seed=1)
    inject(raw_file, ["bitflip:5"], packed, seed=1)
    assert inside(packed) == plain.read_bytes()
    # Flipping the same bits back gives the file that was damaged, read through its compression.
    inject(packed, ["bitflip:5"], again, seed=1)
    assert inside(again) == raw_file.read_bytes()


def test_list_beside_the_copy_says_what_was_done(raw_file: Path, out: Path) -> None:
    record = inject(raw_file, ["bitflip:2", "drop-event"], out, seed=5)
    beside = json.loads(out.with_name("bad.mid.faults.json").read_text("utf-8"))
    assert beside == json.loads(json.dumps(record))
    assert beside["damaged_on_purpose"]
    assert beside["sha256"] == Checksums.of_file(out).sha256
    assert beside["asked_for"] == ["bitflip:2", "drop-event"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["bad.mid", "bad.mid.faults.json"]


def test_copy_cannot_be_taken_for_a_good_file(raw_file: Path, tmp_path: Path, out: Path) -> None:
    raw_file.with_suffix(".json").write_text("{}", "utf-8")
    with pytest.raises(ConfigError, match="for which it could be taken: call it bad_gm2_run"):
        inject(raw_file, ["swap"], tmp_path / "bad" / raw_file.name)
    inject(raw_file, ["swap"], out)
    assert not out.with_suffix(".json").exists()


def test_nothing_is_overwritten(raw_file: Path, out: Path) -> None:
    for name in ("bad.mid", "bad.mid.faults.json"):
        held = out.with_name(name)
        held.write_text("mine", "utf-8")
        with pytest.raises(ConfigError, match="exists already and is not overwritten"):
            inject(raw_file, ["swap"], out)
        assert held.read_text("utf-8") == "mine"
        held.unlink()
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("bitflips:3", "no kind 'bitflips': did you mean 'bitflip'"),
        ("bitflip:-1", "is not understood: behind 'bitflip:' stands how many flips"),
        ("bitflip:2:tails", "is not understood"),
        ("bitflip:2.5", "a rate below 1"),
        ("bitflip:99999999", "a number up to 1000000"),
        ("truncate:2.5", "is not understood"),
        ("truncate:999999999", "byte 999999999 is not inside"),
        ("swap:1", "is not understood"),
        ("swap:1,1", "has not both of these events"),
        ("swap@1", "is not understood"),
        ("drop-bank", "is not understood: behind 'drop-bank:' stands a bank name"),
        ("drop-bank:CR*", "has no bank 'CR*' to act on"),
        ("drop-event:99", "has no event 99"),
        ("duplicate:1@2", "is not understood"),
        ("zero-block:0", "is not understood"),
        ("wrong-serial:two", "is not understood"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(raw_file: Path, out: Path, fault: str, what: str) -> None:
    with pytest.raises(ConfigError) as refused:
        inject(raw_file, [fault], out)
    assert what in str(refused.value)
    assert list(out.parent.iterdir()) == []


def test_faults_read_back_as_they_were_written() -> None:
    for text in ("swap:1,2", "bitflip:1e-6:payload@3", "truncate@7", "drop-bank:CT*", "wrong-size:CT01@2", "duplicate"):
        assert str(Fault.of(text)) == text
    assert Fault.of("duplicate:3") == Fault("duplicate", "", 3)
    assert Fault.of("bitflip:headers").flips == (1.0, False, "headers")


FOUND = {
    "drop-bank:CT*": "missing",
    "truncate": "cut short",
    "truncate@2": "cut short",
    "swap": "missing or swapped",
    "duplicate": "missing or swapped",
    "drop-event:0": "but the file holds 4",
    "drop-event:2": "missing or swapped",
    "wrong-serial": "missing or swapped",
    "wrong-size": "",
    "wrong-size:CT01": "",
    "bitflip:3:headers": "",
}


@pytest.mark.parametrize("fault", FOUND)
def test_check_finds_each_kind_without_checksums(raw_file: Path, tmp_path: Path, fault: str) -> None:
    for seed in range(15):
        out = tmp_path / f"{seed}.mid"
        inject(raw_file, [fault], out, seed)
        problems = check(out)
        assert problems, f"seed {seed}"
        assert any(FOUND[fault] in problem.what for problem in problems), problems
    assert fault.partition(":")[0].partition("@")[0] in KINDS


def test_sums_beside_the_file_find_every_flip_swap_cut_and_hole(
    tmp_path: Path, fills: list[FillRecord], write: Callable[..., WrittenFile]
) -> None:
    """The small form of 22,000 of 22,000; flips and holes among samples decode well, only the sums tell."""
    written = write(tmp_path / "gm2_run00017_00003.mid", fills)
    sums = written.facts()
    found = asked = 0
    for kind, count in (("bitflip:1", 200), ("swap", 10), ("truncate", 40), ("zero-block:512", 40)):
        for seed in range(count):
            out = tmp_path / f"{kind.partition(':')[0]}{seed}.mid"
            inject(written.path, [kind], out, seed)
            (tmp_path / f"{out.stem}.json").write_text(json.dumps({"files": {out.name: sums}}), "utf-8")
            found += any("sha256" in problem.what for problem in check(out, strict=False))
            asked += 1
    assert (found, asked) == (290, 290)
