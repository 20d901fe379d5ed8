"""Whole waveforms and straw hits: what was written comes back, and damage is found."""

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.raw import FillRecord, StrawRecord, WaveformRecord, WrittenFile, check, dump, ls, open_run
from gm2sim.raw.decode_waveforms import sums_of, waveforms
from gm2sim.raw.wfd5 import Trigger, payloads

Write = Callable[[Path, list[FillRecord]], WrittenFile]


def fail(offset: int, what: str) -> None:
    raise ValueError(f"{offset}: {what}")


def random_record(seed: int = 1, crate: int = 3, shape: tuple[int, int, int] = (54, 4, 800)) -> WaveformRecord:
    samples = np.random.default_rng(seed).integers(-2048, 2048, shape).astype(np.int16)
    return WaveformRecord(crate, tuple(range(shape[0])), samples, gap=400)


@given(
    channels=st.sets(st.integers(0, 59), min_size=1, max_size=20),
    number=st.integers(1, 5),
    bursts=st.integers(1, 6),
    trigger=st.integers(0, 2**24 - 1),
    clock=st.integers(0, 2**44 - 1),
    kind=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_any_waveforms_come_back(
    channels: set[int], number: int, bursts: int, trigger: int, clock: int, kind: int, seed: int
) -> None:
    shape = (len(channels), number, 8 * bursts)
    samples = np.random.default_rng(seed).integers(-(2**15), 2**15, shape).astype(np.int16)
    record = WaveformRecord(7, tuple(sorted(channels)), samples, gap=33)
    data = memoryview(b"".join(payloads(record, Trigger(trigger, kind, clock))))
    found = waveforms(data, fail)
    assert (found.fill_type, found.trigger, found.clock, found.gap) == (kind, trigger, clock, 33)
    assert found.channels == record.channels
    np.testing.assert_array_equal(np.stack(found.samples), samples)
    assert list(sums_of(data, fail)) == []


def test_words_are_where_the_firmware_puts_them() -> None:
    # mfpga command_manager.v, cfpga adc_dat_mux.v: fields by hand.
    samples = np.arange(16, dtype=np.int16).reshape(1, 2, 8)
    (payload,) = payloads(WaveformRecord(3, (7,), samples, gap=5), Trigger(0xABCDEF, 2, 0x123_4567_89AB))
    words = struct.unpack(f">{len(payload) // 8}Q", payload)
    size = 3 + 2 + 2 * (2 + 2) + 3 + 1
    assert len(words) == size
    assert words[0] == 2 << 56 | 0xABCDEF << 32 | 0x123 << 20 | size
    assert words[1] == 1 << (59 + 2) | 1 << 58 | 2 << 48 | 0x456789AB << 16 | 1 << 13 | 2
    assert words[2] == 2 << 16 | 3 << 8 | 5
    assert words[3] == 1 << 62 | 2 << 46 | 5 << 24 | 2 << 12
    assert words[4] == 1 << 27 | 2 << 24 | 0xABCDEF
    assert words[5] == 2 << 52 | 2 << 23 | 1
    assert words[6] == 1 << 62 | 2 << 34 | 5 << 12
    assert payload[8 * 7 : 8 * 9] == samples[0, 0].astype("<i2").tobytes()
    assert words[10] == words[6] | 1
    assert words[-1] & 0xFFFFFFFF == 0xEF << 24 | size


def test_waveforms_are_views_of_the_file(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    record = random_record()
    path = write(tmp_path / "a.mid", [dataclasses.replace(fills[0], waveforms=(record,))]).path
    found = next(iter(open_run(path))).waveforms(3)
    assert not any(one.flags.owndata for one in found.samples)
    np.testing.assert_array_equal(np.stack(found.samples), record.samples)


def test_fills_of_all_types_and_straws_in_one_file(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    straws = StrawRecord(np.array([0, 5, 5, 2047]), np.array([-3, 100, 2000, 7]))
    written = [
        dataclasses.replace(
            fills[0], straws=straws, waveforms=(random_record(2, 1, (3, 1, 3200)), random_record(3, 25))
        ),
        dataclasses.replace(
            fills[1], fill_type=2, muon_fill=0, calorimeters=(), waveforms=(random_record(4, 1), random_record(5, 2))
        ),
        dataclasses.replace(
            fills[2], fill_type=3, muon_fill=0, calorimeters=(), waveforms=(random_record(6, 2, (54, 1, 800)),)
        ),
    ]
    path = write(tmp_path / "a.mid", written).path
    assert check(path) == []
    muons, laser, pedestal = open_run(path)
    assert [event.fill_type for event in (muons, laser, pedestal)] == [1, 2, 3]
    assert [event.waveform_crates for event in (muons, laser, pedestal)] == [[1, 25], [1, 2], [2]]
    assert laser.crates == []
    hits = muons.straws()
    assert hits is not None
    assert laser.straws() is None
    np.testing.assert_array_equal(hits.channel, straws.channel)
    np.testing.assert_array_equal(hits.tdc, straws.tdc)
    assert [row["kind"] for row in ls(path)][1:4] == ["fill", "laser fill", "pedestal fill"]
    assert dump(path, 1, "LR02")["content"]["waveforms"][5]["channel"] == 1
    assert dump(path, 0, "STRW")["content"]["tdc"] == [-3, 100, 2000, 7]


@pytest.mark.parametrize(
    ("word", "change", "what"),
    [
        (0, 1, "a payload claims"),
        (1, 1 << 13, "is no digitiser"),
        (1, 1 << 58, "not little-endian"),
        (3, 1 << 46, "no header of channel"),
        (4, 1, "answers trigger"),
        (4, 1 << 40, "beyond its payload"),
        (5, 1, "another length or number"),
        (9, 1, "check sum"),
        (-1, 1 << 40, "check sum"),
        (-1, 1 << 25, "does not fit its header"),
    ],
)
def test_damage_is_named(word: int, change: int, what: str) -> None:
    content = bytearray(b"".join(payloads(random_record(shape=(2, 1, 64)), Trigger(9, 1, 1))))
    at = 8 * (word % (len(content) // 8))
    value = int.from_bytes(content[at : at + 8], "big") ^ change
    content[at : at + 8] = value.to_bytes(8, "big")
    data = memoryview(bytes(content))
    try:
        waveforms(data, fail)
        found = " ".join(sums_of(data, fail))
    except ValueError as err:
        found = str(err)
    assert what in found


@pytest.mark.parametrize("size", range(0, 200, 7))
def test_cut_payloads_are_refused(size: int) -> None:
    data = memoryview(next(iter(payloads(random_record(shape=(2, 1, 64)), Trigger(9, 1, 1)))))
    with pytest.raises(ValueError, match=r"payload|board"):
        waveforms(data[:size], fail)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"crate": 0}, "has no bank name"),
        ({"channels": (0, 0)}, "each once"),
        ({"channels": (0, 60)}, "each once"),
        ({"channels": (0,)}, "1 channel numbers for 2"),
        ({"samples": np.zeros((2, 1, 63), np.int16)}, "multiple of 8"),
        ({"samples": np.zeros((2, 0, 64), np.int16)}, "0 waveforms"),
        ({"samples": np.zeros((2, 64), np.int16)}, "must be int16"),
    ],
)
def test_impossible_waveforms_are_refused(change: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        dataclasses.replace(random_record(shape=(2, 1, 64)), **change)  # type: ignore[arg-type]


def test_straws_of_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="1 channels of straws but 2 times"):
        StrawRecord(np.zeros(1, np.int64), np.zeros(2, np.int64))
