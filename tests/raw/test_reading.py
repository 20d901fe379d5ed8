"""What was written comes back equal, as views of the file."""

import dataclasses
import gzip
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gm2sim.raw import CalorimeterRecord, Event, FillRecord, RawFormatError, open_run

Write = Callable[[Path, list[FillRecord]], Any]


def assert_same_crate(event: Event, number: int, crate: CalorimeterRecord) -> None:
    islands = event.islands(number)
    np.testing.assert_array_equal(islands.time, crate.start)
    np.testing.assert_array_equal(islands.length, crate.length)
    assert islands.ctag == crate.ctag
    read = np.concatenate([island.samples.ravel() for island in islands] or [np.empty(0, np.int16)])
    np.testing.assert_array_equal(read, crate.samples)
    np.testing.assert_array_equal(event.pedestals(number), crate.pedestals)
    if crate.calo_sum is None:
        assert event.calo_sum(number) is None
    else:
        np.testing.assert_array_equal(event.calo_sum(number), crate.calo_sum)
    histogram = event.q_histogram(number)
    if crate.q_histogram is None:
        assert histogram is None
    else:
        assert histogram is not None
        np.testing.assert_array_equal(histogram.counts, crate.q_histogram.counts)
        assert histogram.samples_per_bin == crate.q_histogram.samples_per_bin
        assert (histogram.first_sample, histogram.last_sample) == (1, 3200)


def assert_same_fill(event: Event, fill: FillRecord) -> None:
    assert (event.event_id, event.trigger_mask, event.serial, event.time) == (1, 0, fill.serial, fill.time_s)
    trigger = event.trigger
    assert (trigger.number, trigger.time_s, trigger.time_us) == (fill.trigger, fill.time_s, fill.time_us)
    assert (trigger.fill_type, event.fill_index) == (1, fill.fill_index)
    assert event.crates == list(range(1, len(fill.calorimeters) + 1))
    for number, crate in enumerate(fill.calorimeters, start=1):
        assert_same_crate(event, number, crate)


def test_everything_written_comes_back_equal(raw_file: Path, fills: list[FillRecord]) -> None:
    run = open_run(raw_file)
    assert len(run) == len(fills)
    for event, fill in zip(run, fills, strict=True):
        assert_same_fill(event, fill)


def test_gzipped_file_reads_the_same(raw_file: Path, fills: list[FillRecord]) -> None:
    packed = raw_file.with_name(raw_file.name + ".gz")
    with gzip.open(packed, "wb") as target, raw_file.open("rb") as source:
        shutil.copyfileobj(source, target)
    run = open_run(packed)
    assert run.odb_end == open_run(raw_file).odb_end
    for event, fill in zip(run, fills, strict=True):
        assert_same_fill(event, fill)


def test_run_database_is_there_at_begin_and_end(raw_file: Path, tree: dict[str, Any]) -> None:
    run = open_run(raw_file)
    assert (run.run, run.subrun) == (17, 3)
    assert run.odb == tree
    end = run.odb_end
    assert end["Equipment"]["EB"]["Statistics"]["Events sent"] == 5
    assert (end["Runinfo"]["State"], run.odb["Runinfo"]["State"]) == (1, 3)
    assert end["Simulation"] == tree["Simulation"]
    assert run.odb["Simulation"]["simulated"] is True
    assert end["Runinfo"]["Stop time"] == "Mon Mar 26 00:00:04 2018"


def test_samples_are_read_only_views_of_the_file(raw_file: Path) -> None:
    run = open_run(raw_file)
    for event in run:
        for number in event.crates:
            for island in event.islands(number):
                assert island.samples.shape == (54, island.length)
                assert not island.samples.flags.owndata
                assert not island.samples.flags.writeable
                assert island.samples.flags.aligned


def test_views_outlive_the_reader(raw_file: Path, fills: list[FillRecord]) -> None:
    crate = fills[0].calorimeters[0]
    pedestals = next(iter(open_run(raw_file))).pedestals(1)
    np.testing.assert_array_equal(pedestals, crate.pedestals)


def test_fill_without_islands_and_sums_is_allowed(tmp_path: Path, fills: list[FillRecord], write: Write) -> None:
    none = np.empty(0, np.int32)
    bare = CalorimeterRecord(none, none, np.empty(0, np.int16), np.zeros(54, np.float32))
    fill = dataclasses.replace(fills[0], calorimeters=(bare, bare))
    event = next(iter(open_run(write(tmp_path / "bare.mid", [fill]).path)))
    assert_same_fill(event, fill)
    assert len(event.islands(1)) == 0


crates = st.lists(st.tuples(st.integers(0, 99), st.integers(1, 12)), max_size=6)


@given(islands=crates, serial=st.integers(0, 2**32 - 1), index=st.integers(0, 15), ctag=st.integers(0, 2**31 - 1))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_islands_come_back_equal(
    tmp_path: Path, write: Write, islands: list[tuple[int, int]], serial: int, index: int, ctag: int
) -> None:
    length = np.array([length for _, length in islands], np.int32)
    start = np.cumsum([gap + length for gap, length in islands], dtype=np.int32)
    samples = np.random.default_rng(serial).integers(-(2**15), 2**15, 54 * int(length.sum())).astype(np.int16)
    crate = CalorimeterRecord(start, length, samples, np.linspace(-1, 1, 54, dtype=np.float32), ctag=ctag)
    fill = FillRecord(serial, 2**32 - 1, 2**32 - 1, 999_999, index, (crate,))
    path = tmp_path / "any.mid"
    path.unlink(missing_ok=True)
    assert_same_fill(next(iter(open_run(write(path, [fill]).path))), fill)


def test_error_names_file_byte_and_bank_and_survives_pickling(raw_file: Path) -> None:
    event = next(iter(open_run(raw_file)))
    with pytest.raises(RawFormatError, match=r"byte .*, bank CT24: event 0 has no such bank") as caught:
        event.islands(24)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.path, again.offset, again.bank) == (raw_file, event.offset, "CT24")


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\0" * 64, b"PK\x03\x04" * 20, b"{" * 40])
@pytest.mark.parametrize("name", ["x.mid", "x.mid.gz"])
def test_files_of_another_kind_are_refused_in_one_sentence(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RawFormatError, match="byte 0") as caught:
        open_run(path)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mid"):
        open_run(tmp_path / "nowhere.mid")
