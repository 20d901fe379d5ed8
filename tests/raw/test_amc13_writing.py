"""The words of a crate's AMC13 event, against a plain construction from the description of the format."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.raw import AsynchronousRecord, FillRecord, StrawRecord, WaveformRecord
from gm2sim.raw.banks import fill_banks
from gm2sim.raw.cyclic import Crc16, joined_crc32
from gm2sim.raw.trigger import Trigger
from gm2sim.raw.wfd5 import payloads

CLOCK, NUMBER = 0x123_4567_89AB, 0x1ABCDEF
Blocks = list[list[tuple[int, list[int]]]]  # block -> (slot, piece)


def banks_of(fill: FillRecord) -> dict[str, bytes]:
    return {bank.name: b"".join(bytes(part) for part in bank.parts) for bank in fill_banks(fill)}


def words_of(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 8}Q", data))


def crc16(data: bytes) -> int:
    """Bit by bit."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def crc32(words: list[int]) -> int:
    return zlib.crc32(struct.pack(f"<{len(words)}Q", *words))


def sealed(words: list[int]) -> list[int]:
    """The same payload with the CRC-32 in its last word."""
    low = words[-1] & 0xFFFFFFFF
    crc = zlib.crc32(struct.pack("<I", low), crc32(words[:-1]))
    return [*words[:-1], crc << 32 | low]


def split(bank: bytes) -> list[list[int]]:
    """Payloads of a bank."""
    words, found = words_of(bank), []
    while words:
        size = words[0] & 0xFFFFF
        found.append(words[:size])
        words = words[size:]
    return found


def sent(source: int, kind: int, boards: list[list[int]], *, summed: bool = True) -> tuple[list[int], int, list[int]]:
    """Frame, trailer and the whole event of a crate, as the page says."""
    pieces = [[board[i : i + 4096] for i in range(0, len(board), 4096)] for board in boards]
    number, high, low = NUMBER & 0xFFFFFF, CLOCK >> 32, CLOCK & 0xFFFFFFFF
    frame = [5 << 60 | kind << 56 | number << 32 | high << 20 | source << 8]
    event = frame[:]
    for block in range(max(map(len, pieces))):
        here = [(i, own) for i, own in enumerate(pieces) if block < len(own)]
        heads = [1 << 60 | len(here) << 52 | low << 4]
        for i, own in here:
            head = 1 << 62 | (block + 1 < len(own)) << 61 | (block > 0) << 60 | 0b1111 << 56
            size = len(own[block]) if block else len(boards[i])
            slot = boards[i][0] >> 56 & 15
            heads.append(head | size << 32 | (block % 256) << 20 | slot << 16 | boards[i][1] & 0x7FF)
        body = [word for _, own in here for word in own[block]]
        tail = (block % 256) << 20 | (NUMBER & 0xFF) << 12 | high
        if summed:
            tail |= zlib.crc32(struct.pack("<I", tail), crc32(heads + body)) << 32
        frame += [*heads, tail]
        event += [*heads, *body, tail]
    last = 10 << 60 | (len(event) + 1) << 32 | 8 << 4
    if summed:
        last |= crc16(struct.pack(f">{len(event) + 1}Q", *event, last)) << 16
    return frame, last, [*event, last]


def a_fill(kind: int = 1, **more: object) -> FillRecord:
    return FillRecord(0, NUMBER, 1_522_022_400, 7, 3, fill_type=kind, clock=CLOCK, **more)  # type: ignore[arg-type]


def random_waveforms(crate: int, channels: tuple[int, ...], waveforms: int, length: int) -> WaveformRecord:
    rng = np.random.default_rng([crate, length])
    samples = rng.integers(-2048, 2048, (len(channels), waveforms, length)).astype(np.int16)
    return WaveformRecord(crate, channels, samples, gap=16)


@pytest.mark.parametrize("size", [1, 2, 15, 32766, 32767, 32768, 70_001])
def test_crc16_in_pieces_of_any_order_is_that_bit_by_bit(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    found = Crc16(size)
    for first in reversed(range(0, size, 9000)):
        found.add(first, data[first : first + 9000])
    assert found.value() == crc16(data.tobytes())


def test_crc16_has_its_check_value() -> None:
    # CRC-16/CMS of the catalogue of parametrised CRC algorithms: 0x8005, start 0xffff, not reflected: 0xaee7.
    found = Crc16(9)
    found.add(0, np.frombuffer(b"123456789", np.uint8))
    assert found.value() == crc16(b"123456789") == 0xAEE7


@given(first=st.binary(max_size=50), size=st.sampled_from([0, 1, 8, 4096, 32_768, 32_776, 100_000]))
@settings(max_examples=40, deadline=None)
def test_crc32_of_two_strings_joins_to_that_of_both(first: bytes, size: int) -> None:
    second = np.random.default_rng(size).bytes(size)
    assert joined_crc32(zlib.crc32(first), zlib.crc32(second), size) == zlib.crc32(first + second)


@pytest.mark.parametrize(
    ("channels", "waveforms", "length"),
    [
        ((0, 1, 4, 12, 59), 3, 80),
        ((0, 5, 6), 1, 8 * 2042),  # the first board has 4096 words, the second 8183
        ((0, 5, 6), 1, 8 * 2044),  # the first 4100
        (tuple(range(7)), 2, 8 * 1021),  # 5 x (2 + 2 x 2044 + 3) + 4
        ((0, 1, 2, 3), 1, 8 * 508),  # 4096 words: one whole block
        ((0, 1, 2, 3), 1, 8 * 1020),  # 8192 words: two whole blocks
        ((7,), 1, 8 * 2043),  # 4097 words: the last alone in the second block
    ],
)
def test_frame_is_that_of_the_description(channels: tuple[int, ...], waveforms: int, length: int) -> None:
    record = random_waveforms(25, channels, waveforms, length)
    found = banks_of(a_fill(waveforms=(record,)))
    boards = split(found["CR25"])
    assert boards == [sealed(board) for board in boards]
    frame, last, _ = sent(25, 1, boards)
    assert words_of(found["CA25"]) == frame
    assert words_of(found["CZ25"]) == [last]


def test_longest_payload_takes_256_blocks_and_a_longer_one_is_refused() -> None:
    samples = np.zeros((5, 1, 8 * 104_850), np.int16)
    words = words_of(banks_of(a_fill(waveforms=(WaveformRecord(25, (0, 1, 2, 3, 4), samples),)))["CA25"])
    # Behind the first word three a block: header, header of the board, trailer.
    assert [word >> 20 & 0xFF for word in words[2::3]] == list(range(256))
    assert words[2] >> 32 & 0xFFFFFF == 4 + 5 * (7 + 2 * 104_850) < 2**20
    with pytest.raises(ValueError, match="one board of crate 25: the format counts to 1048575"):
        WaveformRecord(25, (0, 1, 2, 3, 4), np.zeros((5, 1, 8 * 104_860), np.int16))


@pytest.mark.parametrize(("kind", "family"), [(1, "C"), (2, "L"), (3, "P")])
def test_banks_of_a_crate_come_in_order(kind: int, family: str) -> None:
    names = list(banks_of(a_fill(kind, waveforms=(random_waveforms(25, (0, 9), 2, 16),))))
    head = ["TRIG", "GPS0", "TTCA", "TTCB", "TTCZ"]
    tail = [f"{family}{letter}25" for letter in ("RABZC" if kind == 1 else "RAZC")]
    assert names == [*head, *tail]


def test_addresses_headers_and_check_sums_of_a_board() -> None:
    record = random_waveforms(3, (6, 8), 3, 24)
    (payload,) = payloads(record, Trigger(NUMBER, 2, CLOCK))
    words = words_of(bytes(payload))
    step = 2 + 3 * (2 + 6) + 3
    assert len(words) == 3 + 2 * step + 1
    for row, channel in enumerate((1, 3)):
        own = words[3 + row * step : 3 + (row + 1) * step]
        assert own[0] == 1 << 62 | channel << 46 | 16 << 24 | 3 << 12
        assert own[1] == 3 << 27 | 2 << 24 | NUMBER & 0xFFFFFF
        sums = own[:2]
        for wave in range(3):
            head = own[2 + 8 * wave : 4 + 8 * wave]
            assert head == [3 << 52 | 4 * wave << 26 | 2 << 23 | 3, 1 << 62 | channel << 34 | 16 << 12 | wave]
            data = record.samples[row, wave].astype("<i2").tobytes()
            for burst in range(3):
                low, high = struct.unpack_from("<2Q", data, 16 * burst)
                sums = [sums[0] ^ low, sums[1] ^ high]
            sums = [sums[0] ^ head[0], sums[1] ^ head[1]]
        assert own[-3:] == [*sums, (CLOCK + 24 * 3 // 20) & 0xFFFFFFFF]


def test_cb_is_the_payloads_without_samples() -> None:
    record = random_waveforms(4, (0, 2, 5), 2, 40)
    found = banks_of(a_fill(waveforms=(record,)))
    wanted: list[int] = []
    for board, channels in zip(split(found["CR04"]), (2, 1), strict=True):
        step = 2 + 2 * (2 + 10) + 3
        wanted += board[:3]
        for row in range(channels):
            own = board[3 + row * step : 3 + (row + 1) * step]
            wanted += [*own[:4], *own[-3:]]
        wanted.append(board[-1])
    assert words_of(found["CB04"]) == wanted


def test_samples_that_are_not_kept_leave_all_sizes_and_no_check_sum(fills: list[FillRecord]) -> None:
    samples = 8 * 1100
    fill = dataclasses.replace(fills[0], trigger=NUMBER, clock=CLOCK, fill_samples=samples)
    found = banks_of(fill)
    full = WaveformRecord(1, tuple(range(54)), np.zeros((54, 1, samples), np.int16))
    boards = split(b"".join(bytes(one) for one in payloads(full, Trigger(NUMBER, 1, CLOCK))))
    frame, last, _ = sent(2, 1, boards, summed=False)
    assert (words_of(found["CA02"]), words_of(found["CZ02"])) == (frame, [last])
    picked = words_of(found["CB02"])
    step = 3 + 5 * 7 + 1
    assert len(picked) == 11 * step - 7
    step_in_board = 2 + 2 + samples // 4 + 3
    for slot, board in enumerate(boards):
        own = picked[slot * step : (slot + 1) * step]
        assert own[:3] == board[:3]
        assert own[-1] == board[-1] & 0xFFFFFFFF
        for channel in range(5 if slot < 10 else 4):
            theirs = board[3 + channel * step_in_board :][:step_in_board]
            assert own[3 + 7 * channel :][:7] == [*theirs[:4], 0, 0, theirs[-1]]
    assert "CR01" not in found


def test_full_fill_has_the_published_number_of_words(fills: list[FillRecord]) -> None:
    # 5 x (2 x 70,000 + 2 + 5) + 4 words from a board of five channels (PIONEER-Experiment/mfpga, command_manager.v).
    found = banks_of(dataclasses.replace(fills[0], fill_samples=560_000))
    first = words_of(found["CA01"])[2]
    assert first >> 32 & 0xFFFFFF == 5 * (140_000 + 7) + 4
    assert first >> 60 == 0b0110
    words = 10 * (5 * 140_007 + 4) + 4 * 140_007 + 4
    assert words_of(found["CZ01"])[0] >> 32 & 0xFFFFFF == words + len(found["CA01"]) // 8 + 1


def test_clock_crate_sends_two_boards_without_a_body() -> None:
    found = banks_of(a_fill(3))
    boards = split(found["TTCB"])
    for slot, board in enumerate(boards, 1):
        head = slot << 56 | (NUMBER & 0xFFFFFF) << 32 | (CLOCK >> 32) << 20 | 4
        second = 3 << 48 | (CLOCK & 0xFFFFFFFF) << 16 | 2 << 13 | slot << 11 | slot
        assert board == sealed([head, second, 3 << 16 | 2 << 8 | 1, (NUMBER & 0xFF) << 24 | 4])
    frame, last, _ = sent(0, 3, boards)
    assert (words_of(found["TTCA"]), words_of(found["TTCZ"])) == (frame, [last])


def straw_payload(hits: list[int], bin_ps: int) -> list[int]:
    words = 3 + 2 + len(hits) + 1
    head = 1 << 56 | (NUMBER & 0xFFFFFF) << 32 | (CLOCK >> 32) << 20 | words
    second = 1 << 48 | (CLOCK & 0xFFFFFFFF) << 16 | 2 << 13 | 3 << 11 | 1
    body = [0x47530002 << 32 | len(hits), bin_ps << 32, *hits]
    return sealed([head, second, 3 << 16 | 2 << 8 | 1, *body, (NUMBER & 0xFF) << 24 | words])


def test_straw_hits_are_split_by_station_and_ordered() -> None:
    straws = StrawRecord(
        np.array([2047, 1024, 5, 5, 0]),
        np.array([7, 2**31 - 1, 2000, -3, -(2**31)]),
        600,
        np.array([0, 9, 1, 2, 65535]),
    )
    found = banks_of(a_fill(straws=straws))["STRW"]
    first = [
        1 << 60 | 65535 << 32 | 2**31,
        1 << 60 | 5 << 48 | 2 << 32 | 0xFFFFFFFD,
        1 << 60 | 5 << 48 | 1 << 32 | 2000,
    ]
    second = [1 << 60 | 9 << 32 | 2**31 - 1, 1 << 60 | 1023 << 48 | 7]
    wanted: list[int] = []
    for source, hits in ((0x900, first), (0x901, second)):
        wanted += sent(source, 1, [straw_payload(hits, 600)])[2]
    assert list(struct.unpack(f"<{len(found) // 8}Q", found)) == wanted


def test_station_with_many_hits_is_cut_into_blocks() -> None:
    count = 10_000
    straws = StrawRecord(np.arange(count) % 1024, np.arange(count), stations=(0,))
    found = banks_of(a_fill(straws=straws))["STRW"]
    hits = sorted((i % 1024, i) for i in range(count))
    payload = straw_payload([1 << 60 | channel << 48 | time for channel, time in hits], 625)
    assert list(struct.unpack(f"<{len(found) // 8}Q", found)) == sent(0x900, 1, [payload])[2]


def test_station_that_is_off_sends_nothing_and_one_without_hits_its_frame() -> None:
    none = np.zeros(0, np.int64)
    both, one = (banks_of(a_fill(straws=StrawRecord(none, none, stations=on)))["STRW"] for on in ((0, 1), (1,)))
    assert list(struct.unpack(f"<{len(one) // 8}Q", one)) == sent(0x901, 1, [straw_payload([], 625)])[2]
    assert both[len(both) // 2 :] == one
    assert "STRW" not in banks_of(a_fill(straws=StrawRecord(none, none, stations=())))


def test_asynchronous_pulses_are_where_the_firmware_puts_them() -> None:
    rng = np.random.default_rng(3)
    length = np.array([80, 16, 80])
    samples = rng.integers(-2048, 2048, 176).astype(np.int16)
    record = AsynchronousRecord(33, (2, 3, 7), np.array([2, 2, 7]), np.array([5, 2**44 - 1, 0]), length, samples)
    found = banks_of(a_fill(4, asynchronous=(record,)))
    assert [name for name in found if name.endswith("33")] == ["AR33", "AA33", "AZ33", "AC33"]
    first, second = split(found["AR33"])
    low = NUMBER & 0xFFFFFF
    size = 3 + (2 + 2 * 2 + 24 + 3) + (2 + 3) + 1
    assert first[0] == 1 << 56 | low << 32 | (CLOCK >> 32) << 20 | size
    assert first[1] == 0b01100 << 59 | 1 << 58 | 4 << 48 | (CLOCK & 0xFFFFFFFF) << 16 | 1 << 13 | 1 << 12 | 1
    assert first[3:5] == [1 << 62 | 2 << 46 | 2 << 16 | 4, 12 << 27 | 4 << 24 | low]
    assert first[5:7] == [4 << 23 | 4 << 11 | 10, 1 << 62 | 2 << 57 | 5 << 11]
    assert first[27:29] == [1 << 52 | 11 << 26 | 4 << 23 | 4 << 11 | 2, 1 << 62 | 2 << 57 | (2**44 - 1) << 11]
    data = struct.pack(">24Q", *first[7:27], *first[29:33])
    assert data == samples[:96].astype("<i2").tobytes()
    sums = [first[3] ^ first[5] ^ first[27], first[4] ^ first[6] ^ first[28]]
    for burst in range(12):
        pair = struct.unpack_from("<2Q", data, 16 * burst)
        sums = [sums[0] ^ pair[0], sums[1] ^ pair[1]]
    assert first[33:36] == [*sums, CLOCK & 0xFFFFFFFF]
    empty = [1 << 62 | 3 << 46 | 4, 4 << 24 | low]
    assert first[36:41] == [*empty, *empty, CLOCK & 0xFFFFFFFF]
    assert [first, second] == [sealed(first), sealed(second)]
    frame, last, _ = sent(33, 4, [first, second])
    assert (words_of(found["AA33"]), words_of(found["AZ33"])) == (frame, [last])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"crate": 0}, "no bank name"),
        ({"channels": ()}, "leave it out"),
        ({"channels": (2, 60)}, "each once"),
        ({"channels": (3,)}, "channel that is off"),
        ({"channel": np.array([2, 2]), "time": np.array([5, 4])}, "order of channel and time"),
        ({"channel": np.array([3, 2])}, "order of channel and time"),
        ({"time": np.array([5])}, "2 channels, 1 times"),
        ({"time": np.array([5, 2**44])}, "times of pulses"),
        ({"length": np.array([8, 16])}, "pulses of 24 samples"),
        ({"length": np.array([4, 12])}, "multiple of 8"),
        ({"samples": np.zeros(16)}, "float64"),
        ({"presamples": 4096}, "samples before"),
    ],
)
def test_impossible_pulses_are_refused(change: dict[str, object], what: str) -> None:
    good = AsynchronousRecord(33, (2, 3), np.array([2, 3]), np.array([5, 6]), np.array([8, 8]), np.zeros(16, np.int16))
    with pytest.raises(ValueError, match=what):
        dataclasses.replace(good, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"width": np.zeros(1, np.int64)}, "2 channels of straws but 1 widths"),
        ({"stations": (0,)}, "in none of the stations"),
        ({"stations": (1, 0)}, "in order"),
        ({"tdc": np.array([0, 2**31])}, "tdc of a straw"),
        ({"width": np.array([0, 2**16])}, "width of a straw"),
        ({"bin_ps": 0}, "a bin of 0 ps"),
    ],
)
def test_impossible_straw_hits_are_refused(change: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        dataclasses.replace(StrawRecord(np.array([0, 1024]), np.array([1, 2])), **change)  # type: ignore[arg-type]


def test_pulses_outside_asynchronous_events_and_two_records_of_a_crate_are_refused() -> None:
    none = np.zeros(0, np.int64)
    pulses = AsynchronousRecord(33, (2,), none, none, none, np.zeros(0, np.int16))
    with pytest.raises(ValueError, match="belong in events of type 4"):
        banks_of(a_fill(2, asynchronous=(pulses,)))
    record = random_waveforms(33, (0,), 1, 8)
    with pytest.raises(ValueError, match="two records"):
        banks_of(a_fill(waveforms=(record, record)))


def test_gps_words_are_those_of_a_known_second() -> None:
    # 2018-03-26T00:00:00Z: Monday of GPS week 1994, 18 leap seconds after Sunday midnight + one day.
    fill = dataclasses.replace(a_fill(), time_us=123_456)
    found = struct.unpack("<8I", banks_of(fill)["GPS0"])
    clock = (CLOCK & 0xFFFFFFFF, CLOCK >> 32)
    assert found == (0x47500001, 1_522_022_400, 123_456_000, *clock, 1994, (86_400 + 18) * 1000 + 123, 1)


def test_times_before_the_gps_are_not_locked() -> None:
    fill = dataclasses.replace(a_fill(), time_s=101, time_us=0)
    assert struct.unpack("<8I", banks_of(fill)["GPS0"])[5:] == (0, 0, 0)


def test_times_of_a_crate_follow_from_the_size_of_its_event() -> None:
    fill = dataclasses.replace(
        a_fill(2, waveforms=(random_waveforms(7, (0,), 4, 800),)), time_us=998_000, serial=11, muon_fill=9
    )
    found = banks_of(fill)
    words = struct.unpack("<22Q", found["LC07"])
    size = 8 * (words_of(found["LZ07"])[0] >> 32 & 0xFFFFFF)
    assert size == len(found["LR07"]) + len(found["LA07"]) + 8
    assert found["LC07"][:8] == found["LA07"][:8]
    arrived = 998_000 + 1000 + size // 1000
    steps = [998_000, 999_000, *(arrived + 1000 * i for i in range(7))]
    times = [fill.time_s * 1_000_000 + step for step in steps]
    assert [s * 1_000_000 + us for s, us in zip(words[1:19:2], words[2:19:2], strict=True)] == times
    assert max(words[2:19:2]) < 1_000_000
    assert words[19:] == (11, 11, 9)


def test_crate_that_sent_nothing_is_left_out(fills: list[FillRecord]) -> None:
    fill = dataclasses.replace(fills[0], calorimeters=(None, fills[0].calorimeters[1]))
    crates = {name[2:] for name in banks_of(fill) if name[2:].isdecimal() and name != "GPS0"}
    assert crates == {"02"}
