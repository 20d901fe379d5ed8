"""Waveforms longer than the part of a payload that passes all sums at once."""

import itertools
import zlib
from pathlib import Path

import numpy as np

from gm2sim.raw import FillRecord, Readout, RunWriter, WaveformRecord, check, open_run, run_tree
from gm2sim.raw.cyclic import PART, PIECE, behind_pieces, joined_crc32, pieces_of
from gm2sim.raw.trigger import Trigger
from gm2sim.raw.wfd5 import payloads

TIME = 1_522_022_400


def test_crc32_of_pieces_come_out_of_those_up_to_their_ends() -> None:
    data = np.random.default_rng(8).bytes(8 * (3 * PIECE + 5))
    cuts = [*range(0, len(data), 8 * PIECE), len(data)]
    own = [zlib.crc32(data[first:last]) for first, last in itertools.pairwise(cuts)]
    assert pieces_of([zlib.crc32(data[:end]) for end in cuts[1:]], 40).tolist() == own
    assert pieces_of(own[:1], 8 * PIECE).tolist() == own[:1]
    behind = behind_pieces(np.array(own, np.uint32)).tolist()
    assert behind == [joined_crc32(one, 0, 8 * PIECE) for one in own]


def long_waveforms(waveforms: int, words: int) -> WaveformRecord:
    """Of three channels on two boards; the samples do not lie one behind the other in memory."""
    samples = np.random.default_rng([waveforms, words]).integers(-2048, 2048, (3, waveforms, 8 * words), np.int16)
    return WaveformRecord(25, (0, 1, 5), samples[:, :, ::2], gap=16)


def test_samples_and_channel_sums_are_right_wherever_a_waveform_is_cut() -> None:
    for waveforms, words in ((1, 2 * PART + 10), (1, 2 * PART - 6), (3, PART // 2 + 2), (5, PART // 2 - 2)):
        record = long_waveforms(waveforms, words)
        first, second = payloads(record, Trigger(1, 1, 5))
        step = 2 + waveforms * (2 + words) + 3
        for samples, data, place in zip(record.samples, (first, first, second), (3, 3 + step, 3), strict=True):
            own = np.frombuffer(data, ">u8")[place : place + step]
            rows = own[2:-3].reshape(waveforms, -1)
            assert rows[:, 2:].tobytes() == samples.astype("<i2").tobytes()
            wanted = own[:2].astype("u8") ^ np.bitwise_xor.reduce(rows[:, :2].astype("u8"), axis=0)
            wanted ^= np.bitwise_xor.reduce(rows[:, 2:].astype(">u8").view("<u8").reshape(-1, 2), axis=0)
            assert own[-3:-1].tolist() == wanted.tolist()


def test_reader_finds_all_sums_of_long_waveforms_right(tmp_path: Path) -> None:
    path = tmp_path / "gm2sim_run00001_00000.mid"
    records = [long_waveforms(waveforms, words) for waveforms, words in ((1, 2 * PART + 10), (2, PART // 2 + 2))]
    with RunWriter(path, 1, 0, run_tree(1, 0, TIME, Readout(), {})) as raw:
        for serial, record in enumerate(records):
            raw.write_fill(FillRecord(serial, serial + 1, TIME, 0, 0, fill_type=2, waveforms=(record,)))
    assert not check(path)
    found = [event.waveforms(25) for event in open_run(path) if event.has_banks]
    for one, record in zip(found, records, strict=True):
        assert np.array_equal(np.stack(one.samples), record.samples)
