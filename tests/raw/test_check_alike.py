"""Crates that are verified together: none passes that a look at each bank would complain of, and good ones do pass."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.raw import AsynchronousRecord, FillRecord, Problem, RunWriter, WaveformRecord, check, open_run
from gm2sim.raw.amc13 import Frame
from gm2sim.raw.asynchronous import boards_of as pulse_boards
from gm2sim.raw.check_alike import AlikeCheck
from gm2sim.raw.check_words import Trigger
from gm2sim.raw.payload import joined
from gm2sim.raw.trigger import Trigger as Told
from gm2sim.raw.wfd5 import boards_of
from tests.raw import packing
from tests.raw.conftest import make_fill
from tests.raw.packing import START

NUMBER, CLOCK = 0x1ABCDEF, 0x123_4567_89AB


def waveforms(crate: int, channels: tuple[int, ...], shape: tuple[int, int], gap: int = 400) -> WaveformRecord:
    samples = np.random.default_rng(crate).integers(-2048, 2048, (len(channels), *shape)).astype(np.int16)
    return WaveformRecord(crate, channels, samples, gap)


def pulses(crate: int, channels: tuple[int, ...], counts: list[int], lengths: tuple[int, ...]) -> AsynchronousRecord:
    rng = np.random.default_rng(crate)
    channel = np.repeat(channels, counts)
    time = np.concatenate([np.sort(rng.integers(0, 2**44, count)) for count in counts])
    length = rng.choice(lengths, channel.size)
    samples = rng.integers(-2048, 2048, int(length.sum())).astype(np.int16)
    return AsynchronousRecord(crate, channels, channel, time, length, samples)


def event_of(kind: int, *records: Any) -> FillRecord:
    waves = tuple(one for one in records if isinstance(one, WaveformRecord))
    own = tuple(one for one in records if isinstance(one, AsynchronousRecord))
    if kind == 1:
        return dataclasses.replace(make_fill(0), clock=CLOCK, waveforms=waves)
    return FillRecord(0, NUMBER, START, 5, 3, fill_type=kind, clock=CLOCK, waveforms=waves, asynchronous=own)


def written(path: Path, fill: FillRecord, compression: str = "none") -> Path:
    with RunWriter(path, 17, 3, packing.small_tree(3200, compression)) as writer:
        writer.write_fill(fill)
    return path


FULL = tuple(range(12))
EVENTS = {
    "laser": event_of(2, *(waveforms(crate, FULL, (4, 16)) for crate in (1, 2, 3, 4))),
    "laser, as many words in other channels": event_of(
        2, *(waveforms(crate, FULL[:crate] + FULL[crate + 1 :], (2, 8)) for crate in range(1, 5))
    ),
    "laser, boards of many kinds": event_of(
        2, waveforms(1, (0, 7, 9, 55), (3, 24)), waveforms(2, (59,), (1, 8), 2**22 - 1), waveforms(33, FULL, (2, 8))
    ),
    "laser, several blocks": event_of(2, *(waveforms(crate, (0, 1, 6, 10), (1, 32_000)) for crate in (1, 2))),
    "pedestal": event_of(3, *(waveforms(crate, FULL, (1, 40), 0) for crate in (1, 2, 3))),
    "muons, samples kept": event_of(1, waveforms(1, FULL, (1, 160), 0), waveforms(27, (0, 1), (2, 80))),
    "pulses": event_of(4, pulses(1, FULL, [3] * 12, (16,)), pulses(33, (20, 21, 25), [0, 40, 1], (80,))),
    "pulses, more than 4096 of unequal lengths": event_of(4, pulses(2, (3, 4, 5), [1, 5000, 8], (8, 16, 40))),
    "pulses, none": event_of(4, pulses(33, (20, 21), [0, 0], (80,))),
}  # fmt: skip


@pytest.mark.parametrize("compression", ["none", "event", "bank"])
@pytest.mark.parametrize("name", EVENTS)
def test_good_crates_pass_together(tmp_path: Path, name: str, compression: str) -> None:
    path = written(tmp_path / "a.mid", EVENTS[name], compression)
    (event,) = open_run(path)
    gps = event.gps
    assert gps is not None
    found = AlikeCheck().sound_banks(event, Trigger(event.trigger.number, event.fill_type, gps.clock))
    crates = [f"{one.crate:02d}" for one in (*EVENTS[name].waveforms, *EVENTS[name].asynchronous)]
    wanted = {bank for bank in event.banks if bank[2:] in crates and bank[1] in "RABZ"}
    assert found == wanted | {"TTCA", "TTCB", "TTCZ"}
    assert check(path) == []


def both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Problem], list[Problem]]:
    """What is told with and without the look at all crates together."""
    quick = check(path)
    with monkeypatch.context() as patch:
        patch.setattr(AlikeCheck, "sound_banks", lambda *_: set())
        return quick, check(path)


@pytest.mark.parametrize("name", ["laser", "muons, samples kept", "pulses"])
def test_flipped_bits_are_told_as_by_a_look_at_each_bank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = written(tmp_path / "a.mid", EVENTS[name])
    (event,) = open_run(path)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(7)
    for bank in event.banks.values():
        if bank.name[:3] != "TTC" and (bank.name[1] not in "RABZ" or bank.name[2:] not in ("01", "27")):
            continue
        for place in rng.integers(0, bank.data.nbytes, 8).tolist():
            at = bank.data_offset + place
            content[at] ^= 1 << place % 8
            path.write_bytes(content)
            quick, slow = both(path, monkeypatch)
            assert slow, (bank.name, place)
            assert quick == slow
            content[at] ^= 1 << place % 8


def test_another_trigger_is_told_of_every_crate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.mid", EVENTS["laser"])
    (event,) = open_run(path)
    content = bytearray(path.read_bytes())
    content[event.banks["TRIG"].data_offset] ^= 1
    path.write_bytes(content)
    quick, slow = both(path, monkeypatch)
    assert quick == slow
    assert {problem.bank for problem in slow} >= {f"LR{crate:02d}" for crate in (1, 2, 3, 4)}


def test_samples_of_13_bits_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (2048, -2049):
        records = [waveforms(crate, FULL, (4, 16)) for crate in (1, 2)]
        records[1].samples[11, 3, 15] = value
        own = pulses(3, FULL, [3] * 12, (16,))
        own.samples[77] = value
        for i, fill in enumerate((event_of(2, *records), event_of(4, own))):
            quick, slow = both(written(tmp_path / f"{value}{i}.mid", fill), monkeypatch)
            assert quick == slow
            assert [problem.what[-15:] for problem in slow] == ["outside 12 bits"]


def resealed(record: Any, trigger: Told, word: int, mask: int) -> dict[str, bytes]:
    """Banks R, A, Z of a crate with one channel, one word changed, and all check sums those of what is sent."""
    (board,) = pulse_boards(record) if isinstance(record, AsynchronousRecord) else boards_of(record)
    frame = Frame(record.crate, trigger, [board.board])
    words = joined(board.segments(trigger))
    trailer = words.size - 4
    for place in (word, trailer + (word - 3) % 2) if 3 <= word < trailer else (word,):
        words[place] = int(words[place]) ^ mask
    sent = b"".join(bytes(part) for part in frame.take(0, [words]))
    head, last = frame.close()
    return {"R": sent, "A": head.tobytes(), "Z": last.tobytes()}


def bits_of_headers() -> Iterator[tuple[int, int]]:
    """Word and every third bit of all headers of a payload with one channel that sent two times 8 samples."""
    for word in (0, 1, 2, 3, 4, 5, 6, 9, 10):
        yield from ((word, bit) for bit in range(word % 3, 64, 3))
    yield from ((15, bit) for bit in range(32, 64, 3))  # below is the clock at readout, of which nothing is known
    yield from ((16, bit) for bit in range(0, 32, 3))


@pytest.mark.parametrize(
    ("kind", "record"),
    [(2, waveforms(4, (5,), (2, 8))), (4, pulses(4, (5,), [2], (8,)))],
    ids=["laser", "pulses"],
)
def test_wrong_headers_with_right_sums_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, record: Any
) -> None:
    path = written(tmp_path / "a.mid", event_of(kind, record))
    (event,) = open_run(path)
    places = {bank.name[1]: bank.data_offset for bank in event.walk() if bank.name[2:] == "04"}
    content = bytearray(path.read_bytes())
    trigger, told = Told(NUMBER, kind, CLOCK), {}
    for word, bit in bits_of_headers():
        for letter, data in resealed(record, trigger, word, 1 << bit).items():
            content[places[letter] : places[letter] + len(data)] = data
        path.write_bytes(content)
        quick, slow = both(path, monkeypatch)
        assert quick == slow
        told[word, bit] = bool(slow)
    assert all(found for (word, _), found in told.items() if kind == 2 or word < 3), told
