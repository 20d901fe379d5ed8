"""Whatever the writer may be given comes back bit for bit: all types of event, compressions and kinds of file."""

import bz2
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gm2sim.raw import (
    AsynchronousRecord,
    CalorimeterRecord,
    Event,
    FillRecord,
    HistogramRecord,
    Readout,
    RunWriter,
    StrawRecord,
    WaveformRecord,
    check,
    dump,
    ls,
    open_run,
    run_tree,
)

START = 1_600_000_000
SAMPLES = 640  # of a fill of muons
KINDS = {1: "C", 2: "L", 3: "P", 4: "A"}


def calorimeter(rng: np.random.Generator, flush: bool) -> CalorimeterRecord:
    length = rng.integers(1, 20, rng.integers(0, 5)).astype(np.int32)
    start = (np.cumsum(length + rng.integers(0, 9, length.size)) - length).astype(np.int32)
    counts = rng.integers(-(2**31), 2**31, (54, 4)).astype(np.int32)
    return CalorimeterRecord(
        start, length, rng.integers(-2048, 2048, 54 * int(length.sum())).astype(np.int16),
        rng.normal(-1700, 5, 54).astype(np.float32), rng.integers(0, 2**32, SAMPLES // 32, dtype=np.uint32),
        HistogramRecord(counts, 160) if flush else None, int(rng.integers(0, 99)),
    )  # fmt: skip


def waveforms(rng: np.random.Generator, crate: int, channels: tuple[int, ...], most: int) -> WaveformRecord:
    shape = (len(channels), int(rng.integers(1, 4)), 8 * int(rng.integers(1, most + 1)))
    samples = rng.integers(-2048, 2048, shape).astype(np.int16)
    return WaveformRecord(crate, channels, samples, gap=int(rng.integers(0, 2**22)))


def pulses(rng: np.random.Generator, crate: int) -> AsynchronousRecord:
    channels = tuple(sorted(set(rng.integers(0, 60, 6).tolist())))
    number = rng.integers(0, 5, len(channels))
    channel = np.repeat(channels, number)
    time = np.concatenate([np.sort(rng.integers(0, 2**44, n)) for n in number] or [[]]).astype(np.int64)
    length = 8 * rng.integers(1, 12, channel.size)
    samples = rng.integers(-2048, 2048, int(length.sum())).astype(np.int16)
    return AsynchronousRecord(crate, channels, channel, time, length, samples)


def straws(rng: np.random.Generator) -> StrawRecord:
    stations = ((0,), (1,), (0, 1))[int(rng.integers(3))]
    k = int(rng.integers(0, 40))
    channel = np.sort(rng.choice(stations, k) * 1024 + rng.integers(0, 1024, k))
    tdc = rng.integers(-(2**31), 2**31, k)
    return StrawRecord(channel, tdc, 625, rng.integers(0, 2**16, k), stations)


def fill(rng: np.random.Generator, serial: int, kind: int, muons: int, most: int) -> FillRecord:
    whole = tuple(range(54))
    some = tuple(sorted(set(rng.integers(0, 60, 8).tolist())))
    # Times of whole microseconds: 40 counts of the clock each.
    time = FillRecord(
        serial, 2**24 - 2 + serial, START + serial, int(rng.integers(10**6)), int(rng.integers(16)), fill_type=kind,
        muon_fill=muons, fill_samples=SAMPLES,
    )  # fmt: skip
    clock = 2**32 - 10**8 + 40 * (10**6 * serial + time.time_us)
    if kind == 1:
        calorimeters = tuple(calorimeter(rng, flush=serial % 2 == 1) for _ in range(2))
        kept = (waveforms(rng, 1, whole, most),) if rng.random() < 0.5 else ()
        extra = {"calorimeters": calorimeters, "waveforms": (*kept, waveforms(rng, 25, some, most))}
    elif kind == 4:
        extra = {"asynchronous": tuple(pulses(rng, crate) for crate in (1, 26))}
    else:
        extra = {"waveforms": tuple(waveforms(rng, crate, whole, 2) for crate in (1, 2))}
    hits = straws(rng) if rng.random() < 0.7 else None
    return dataclasses.replace(time, clock=clock, straws=hits, **extra)


def run_of(path: Path, seed: int, kinds: list[int], compression: str, most: int = 3) -> list[FillRecord]:
    """Write events of these types; most: bursts of a waveform."""
    rng = np.random.default_rng(seed)
    tree = run_tree(17, 3, START, Readout(samples_per_fill=SAMPLES, crates=2, compression=compression), {"seed": seed})
    fills = []
    path.unlink(missing_ok=True)
    with RunWriter(path, 17, 3, tree) as writer:
        for serial, kind in enumerate(kinds):
            muons = kinds[: serial + 1].count(1)
            fills.append(fill(rng, serial, kind, muons, most))
            writer.write_fill(fills[-1])
    return fills


def assert_same(event: Event, wanted: FillRecord) -> None:
    trigger, gps, clock = event.trigger, event.gps, event.clock_crate
    assert gps is not None
    assert clock is not None
    assert (event.serial, trigger.number, event.fill_type, event.fill_index) == (
        wanted.serial, wanted.trigger, wanted.fill_type, wanted.fill_index,
    )  # fmt: skip
    assert (gps.seconds, gps.nanoseconds, gps.clock) == (wanted.time_s, 1000 * wanted.time_us, wanted.clock)
    assert [(head.kind, head.firmware) for head in clock.boards] == [(1, (3, 2, 1)), (2, (3, 2, 1))]
    frames = {0: clock.frame, **{crate: event.amc13(crate) for crate in event.framed_crates}}
    for crate, frame in frames.items():
        told = (frame.trigger, frame.fill_type, frame.clock, frame.source)
        assert told == (wanted.trigger & 0xFFFFFF, wanted.fill_type, wanted.clock, crate)
    for crate in event.framed_crates:
        timing = event.timing(crate)
        assert (timing.received, timing.processed, timing.muon_fills) == (
            wanted.serial,
            wanted.serial,
            wanted.muon_fill,
        )
        assert timing.header == frames[crate].header
    assert_same_samples(event, wanted)
    assert_same_hits(event, wanted)


def assert_same_samples(event: Event, wanted: FillRecord) -> None:
    assert event.crates == [i for i, _ in enumerate(wanted.calorimeters, 1)]
    assert event.waveform_crates == [one.crate for one in wanted.waveforms]
    for i, one in enumerate(wanted.calorimeters, 1):
        assert one.calo_sum is not None
        found = event.islands(i)
        samples = np.concatenate([np.empty(0, np.int16), *(island.samples.ravel() for island in found)])
        for ours, theirs in (
            (found.time, one.start), (found.length, one.length), (samples, one.samples),
            (event.pedestals(i), one.pedestals), (event.calo_sum(i), one.calo_sum),
        ):  # fmt: skip
            np.testing.assert_array_equal(ours, theirs)
        histogram = event.q_histogram(i)
        assert (histogram is None) == (one.q_histogram is None)
        if histogram is not None and one.q_histogram is not None:
            np.testing.assert_array_equal(histogram.counts, one.q_histogram.counts)
        boards = event.board_headers(i)
        assert sum(len(board.channels) for board in boards) == 54
        assert {board.head.slot: board.head.words for board in boards} == event.amc13(i).payloads
    for record in wanted.waveforms:
        answer = event.waveforms(record.crate)
        assert (answer.channels, answer.gap) == (record.channels, record.gap)
        assert (answer.fill_type, answer.trigger) == (wanted.fill_type, wanted.trigger & 0xFFFFFF)
        np.testing.assert_array_equal(np.stack(answer.samples), record.samples)


def assert_same_hits(event: Event, wanted: FillRecord) -> None:
    assert event.asynchronous_crates == [one.crate for one in wanted.asynchronous]
    for record in wanted.asynchronous:
        sent = event.asynchronous(record.crate).pulses
        assert tuple(one.channel for one in sent) == record.channels
        np.testing.assert_array_equal(np.concatenate([one.time for one in sent]), record.time)
        np.testing.assert_array_equal([s.size for one in sent for s in one.samples], record.length)
        samples = [np.empty(0, np.int16), *(s for one in sent for s in one.samples)]
        np.testing.assert_array_equal(np.concatenate(samples), record.samples)
        assert {one.before for one in sent} == {record.presamples}
    hits = event.straws()
    assert (hits is None) == (wanted.straws is None)
    if hits is not None and wanted.straws is not None:
        assert wanted.straws.width is not None
        order = np.lexsort((wanted.straws.tdc, wanted.straws.channel))
        assert (hits.stations, hits.bin_ps) == (wanted.straws.stations, 625)
        np.testing.assert_array_equal(hits.channel, wanted.straws.channel[order])
        np.testing.assert_array_equal(hits.tdc, wanted.straws.tdc[order])
        np.testing.assert_array_equal(hits.width, wanted.straws.width[order])


@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=5),
    compression=st.sampled_from(["none", "event", "bank"]),
    suffix=st.sampled_from([".mid", ".mid.gz", ".mid.lz4"]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_events_come_back_and_pass_the_checker(
    tmp_path: Path, seed: int, kinds: list[int], compression: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    fills = run_of(path, seed, kinds, compression)
    events = list(open_run(path))
    for event, wanted in zip(events, fills, strict=True):
        assert_same(event, wanted)
    assert check(path) == []


def test_boards_of_many_blocks_come_back_and_their_sums_are_good(tmp_path: Path) -> None:
    # 5 x 300 x 3 bursts and more: boards of 4 blocks and others of one.
    path = tmp_path / "a.mid"
    fills = run_of(path, 5, [1, 1, 1], "none", most=900)
    assert max(event.amc13(25).blocks.header.size for event in open_run(path)) > 1
    for event, wanted in zip(open_run(path), fills, strict=True):
        assert_same(event, wanted)
    assert check(path) == []


def test_bzip2_is_read_too(tmp_path: Path) -> None:
    plain = tmp_path / "a.mid"
    fills = run_of(plain, 1, [1, 4], "none")
    packed = tmp_path / "a.mid.bz2"
    packed.write_bytes(bz2.compress(plain.read_bytes()))
    for event, wanted in zip(open_run(packed), fills, strict=True):
        assert_same(event, wanted)
    assert check(packed) == []


@pytest.mark.parametrize("compression", ["none", "event", "bank"])
def test_every_bank_can_be_dumped_and_names_do_not_tell_how_it_was_compressed(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.mid"
    run_of(path, 2, [1, 2, 3, 4], compression)
    names = [list(event.banks) for event in open_run(path)]
    plain = tmp_path / "plain.mid"
    run_of(plain, 2, [1, 2, 3, 4], "none")
    assert names == [list(event.banks) for event in open_run(plain)]
    for serial, here in enumerate(names):
        for name in here:
            ours, theirs = (dump(file, serial, name)["content"] for file in (path, plain))
            assert ours == theirs, name
    rows = ls(path)
    wanted = ["begin of run", "fill", "laser fill", "pedestal fill", "asynchronous readout", "end of run"]
    assert [row["kind"] for row in rows] == wanted
    assert ("2 FZnn" in rows[1]["banks"]) == (compression == "event")


def test_compressed_banks_are_opened_when_asked_for(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "a.mid"
    run_of(path, 2, [1], "event")
    opened = []
    from gm2sim.raw import banks_of_event

    inflate = banks_of_event.inflate
    monkeypatch.setattr(banks_of_event, "inflate", lambda data, fail: opened.append(len(data)) or inflate(data, fail))
    (event,) = open_run(path)
    assert event.trigger.number
    assert event.gps is not None
    assert opened == []
    event.islands(2)
    event.pedestals(2)
    assert len(opened) == 1
    assert "CT01" in event.banks
    assert "CT09" not in event.banks
    assert len(opened) == 2


def test_samples_are_views_of_a_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    run_of(path, 3, [1, 4], "none")
    muons, own = open_run(path)
    for samples in (*muons.waveforms(25).samples, *(s for one in own.asynchronous(26).pulses for s in one.samples)):
        assert not samples.flags.owndata
        assert not samples.flags.writeable
