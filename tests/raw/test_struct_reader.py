"""gm2sim.raw beside the reader of the standard library (struct_reader.py), field by field, on a file of all banks.

The sums of the format are worked out here once more in plain Python, from the words that the AMC13 sent.
"""

import runpy
import struct
import zlib
from collections.abc import Iterator
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.raw import Event, open_run

HERE = Path(__file__).parent
READER = runpy.run_path(str(HERE / "struct_reader.py"))
WRITE = runpy.run_path(str(HERE / "whole_run.py"))["write"]
FAMILY = {1: "C", 2: "L", 3: "P", 4: "A"}
PIECE = 4096
Fields = dict[str, Any]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = WRITE(tmp_path_factory.mktemp("whole") / "gm2_run00017_00003.mid")
    return written


@pytest.fixture(scope="module")
def plain(path: Path) -> list[Fields]:
    return list(READER["read"](path))


@pytest.fixture(scope="module")
def pairs(path: Path, plain: list[Fields]) -> list[tuple[Event, dict[str, Any]]]:
    """Data events as gm2sim.raw reads them, and what the other reader has found in each bank."""
    others = [event for event in plain if "banks" in event]
    return [
        (event, {bank["name"]: bank["content"] for bank in other["banks"]})
        for event, other in zip(open_run(path), others, strict=True)
    ]


def clock(high: Fields, low: Fields) -> int:
    return int(high["clock_high"]) << 32 | int(low["clock_low"])


def test_the_file_has_every_kind_of_bank(plain: list[Fields]) -> None:
    names = {bank["name"] for event in plain for bank in event.get("banks", [])}
    kinds = {name if name[:3] in ("TRI", "GPS", "STR", "TTC") else name[:2] for name in names}
    assert kinds == {"TRIG", "GPS0", "STRW", "TTCA", "TTCB", "TTCZ", "CP", "CS", "CT", "CQ"} | {
        family + kind for family in "CLPA" for kind in ("R", "A", "Z", "C")
    } | {"CB"}


def test_headers_of_events_and_banks(path: Path, plain: list[Fields]) -> None:
    for event, other in zip(open_run(path).events(), plain, strict=True):
        head = (event.event_id, event.trigger_mask, event.serial, event.time, event.payload.nbytes)
        assert head == tuple(other[name] for name in ("id", "mask", "serial", "time", "size"))
        if event.has_banks:
            assert event.flags == other["flags"] == 0x11
        else:
            assert event.text() == other["odb"]
        own = [(bank.name, bank.type, bytes(bank.data)) for bank in event.walk()]
        assert own == [(bank["name"], bank["type"], bank["data"]) for bank in other.get("banks", [])]


def test_times_of_the_trigger(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    for event, banks in pairs:
        number, mask, *times = banks["TRIG"]
        assert event.trigger == (number, mask, *times[:2])
        assert event.fill_type == mask >> 1 & 7
        version, seconds, nanoseconds, low, high, week, milliseconds, status = banks["GPS0"]
        assert version == 0x47500001
        assert event.gps == (seconds, nanoseconds, high << 32 | low, week, milliseconds, status == 1)
        gps_epoch, leap = 315_964_800, 18
        assert divmod(seconds + leap - gps_epoch, 604_800) == (week, milliseconds // 1000)


def test_what_the_front_end_makes_of_the_samples(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    seen = 0
    for event, banks in pairs:
        for crate in event.crates:
            count, *values = banks[f"CP{crate:02d}"]
            assert (count, values) == (54, event.pedestals(crate).tolist())
            count, *values = banks[f"CS{crate:02d}"]
            assert (count, values) == (len(values), np.asarray(event.calo_sum(crate)).tolist())
            own, other = event.islands(crate), banks[f"CT{crate:02d}"]
            assert (own.crystals, own.ctag, len(own)) == (other["crystals"], other["ctag"], len(other["islands"]))
            for mine, theirs in zip(own, other["islands"], strict=True):
                assert (mine.time, tuple(mine.samples.reshape(-1).tolist())) == (theirs["first"], theirs["samples"])
                seen += 1
            histogram = event.q_histogram(crate)
            if histogram is None:
                assert f"CQ{crate:02d}" not in banks
                continue
            size, first, last, per_bin, one, step, crystals, *counts = banks[f"CQ{crate:02d}"]
            assert (one, step, size) == (1, 1, histogram.counts.size)
            assert (first, last, per_bin) == histogram[1:]
            assert np.array_equal(histogram.counts, np.reshape(counts, (crystals, -1)))
    assert seen


def frames(event: Event, banks: dict[str, Any]) -> Iterator[tuple[str, Any, Fields, Fields]]:
    """Name, frame of gm2sim.raw, heads and last word of the other reader, of every AMC13."""
    family = FAMILY[event.fill_type]
    for crate in event.framed_crates:
        yield (
            f"{family}R{crate:02d}",
            event.amc13(crate),
            banks[f"{family}A{crate:02d}"],
            banks[f"{family}Z{crate:02d}"][0],
        )
    assert event.clock_crate is not None
    yield "TTCB", event.clock_crate.frame, banks["TTCA"], banks["TTCZ"][0]


def test_words_of_the_amc13(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    for event, banks in pairs:
        for _, own, heads, last in frames(event, banks):
            cdf, blocks = heads["cdf"], heads["blocks"]
            assert (own.fill_type, own.trigger, own.source) == (cdf["type"], cdf["trigger"], cdf["source"])
            assert own.clock == clock(cdf, blocks[0])
            assert (own.words, own.crc, own.status) == (last["words"], last["crc"], last["status"])
            assert (cdf["mark"], cdf["zero"], last["mark"]) == (5, 0, 10)
            assert (last["throttling"], last["zero"], last["last"]) == (8, 0, 0)
            rows = [(block["boards"], block["clock_low"], *block["end"].values()) for block in blocks]
            columns = own.blocks
            assert rows == list(zip(
                columns.boards.tolist(), columns.clock.tolist(), columns.crc.tolist(), columns.number.tolist(),
                columns.trigger.tolist(), columns.clock_high.tolist(), strict=True,
            ))  # fmt: skip
            told = [(i, amc) for i, block in enumerate(blocks) for amc in block["amc"]]
            assert all((amc["L"], amc["zero"], amc["EPVC"]) == (1, 0, 15) for _, amc in told)
            names = ("slot", "board_id", "size", "M", "S", "block")
            rows = [(i, *(amc[name] for name in names)) for i, amc in told]
            each = own.boards
            assert rows == list(zip(
                each.block.tolist(), each.slot.tolist(), each.board_id.tolist(), each.words.tolist(),
                each.more.tolist(), each.continued.tolist(), each.number.tolist(), strict=True,
            ))  # fmt: skip


def head_of(board: Fields) -> tuple[Any, ...]:
    first, second, third = board["head"]
    kind = second["board_type"] == 2
    low = second["low11"] if kind else second["bit11"] << 11 | second["low11"]
    bits = second["bit12"] << 1 | second["bit11"]
    return (first["slot"], first["trigger"], clock(first, second), first["words"], second["type"],
            second["board_type"], low, bits if kind else 0, not kind and bool(second["bit12"]), bool(second["little"]),
            bool(second["empty"]), second["enabled"], tuple(third.values()), board["end"]["crc"])  # fmt: skip


def numbers_of(own: Any) -> tuple[Any, ...]:
    return tuple(own.head)[1:-1]


def test_digitisers(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    from gm2sim.raw.decode_boards import boards

    for event, banks in pairs:
        for name in banks:
            if name[1] not in "RB" or name[0] not in "CLP":
                continue
            crate = int(name[2:])
            own = boards(event.banks[name].data, pytest.fail) if name[1] == "R" else event.board_headers(crate)
            for board, other in zip(own, banks[name], strict=True):
                assert numbers_of(board) == head_of(other)
                assert (other["end"]["trigger"], other["end"]["words"]) == (board.head.trigger & 255, board.head.words)
                for one, theirs in zip(board.channels, other["channels"], strict=True):
                    (first, second), (low, high, last) = theirs["head"], theirs["end"]
                    assert (one.number, one.waveforms, one.gap) == (first["channel"], first["traces"], first["gap"])
                    assert one.length == 8 * second["bursts"]
                    assert one.address == first["address_high"] << 14 | second["address_low"] == 0
                    assert one.checksum == (low["check_low"], high["check_high"])
                    assert (one.readout, one.intact) == (last["readout"], last["differs"] == 0)
                    _traces(one, board.head, theirs["traces"])
            if name[1] == "R":
                samples = [
                    trace["samples"] for other in banks[name] for one in other["channels"] for trace in one["traces"]
                ]
                mine = [tuple(trace.tolist()) for channel in event.waveforms(crate).samples for trace in channel]
                assert mine == samples


def _traces(one: Any, head: Any, traces: list[Fields]) -> None:
    for index, trace in enumerate(traces):
        first, second = trace["head"]
        assert (second["channel"], second["gap"], second["number"]) == (one.number, one.gap, index)
        assert (first["traces"], first["type"]) == (one.waveforms, head.fill_type & 3)
        assert (first["bursts"], first["address"]) == (one.length // 8, index * (1 + one.length // 8))


def test_asynchronous_pulses(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    seen = 0
    for event, banks in pairs:
        for crate in event.asynchronous_crates:
            others = [(board, one) for board in banks[f"AR{crate:02d}"] for one in board["channels"]]
            own = event.asynchronous(crate)
            for mine, (board, theirs) in zip(own.pulses, others, strict=True):
                first, second = theirs["head"]
                slot = board["head"][0]["slot"]
                assert (own.trigger, own.clock) == (board["head"][0]["trigger"], clock(*board["head"][:2]))
                assert (mine.channel, mine.before) == (5 * (slot - 1) + first["channel"], first["before"])
                assert first["traces"] == len(mine.samples)
                assert 8 * second["bursts"] == sum(samples.size for samples in mine.samples)
                assert (second["type"], second["trigger"]) == (4, own.trigger)
                assert mine.checksum == (theirs["end"][0]["check_low"], theirs["end"][1]["check_high"])
                address = 0
                for index, (time, samples, pulse) in enumerate(
                    zip(mine.time, mine.samples, theirs["traces"], strict=True)
                ):
                    one, two = pulse["head"]
                    assert (time, tuple(samples.tolist())) == (two["time"], pulse["samples"])
                    assert (one["type"], one["before"], one["address"]) == (4, first["before"], address)
                    assert (two["channel"], two["number_high"] << 12 | one["number_low"]) == (first["channel"], index)
                    address = address + 1 + one["bursts"] & 2**26 - 1
                    seen += 1
    assert seen > 2**12


def test_clock_crate_and_straws(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    for event, banks in pairs:
        assert event.clock_crate is not None
        assert [tuple(head)[1:-1] for head in event.clock_crate.boards] == [head_of(board) for board in banks["TTCB"]]
        straws = event.straws()
        if straws is None:
            assert "STRW" not in banks
            continue
        others = banks["STRW"]
        assert straws.stations == tuple(one["cdf"]["source"] - 0x900 for one in others)
        assert {one["body"][0]["version"] for one in others} == {0x47530002}
        assert {one["body"][1]["bin_ps"] for one in others} == {straws.bin_ps}
        hits = [(hit["channel"] + 1024 * (one["cdf"]["source"] - 0x900), hit["width"], hit["tdc"], hit["mark"])
                for one in others for hit in one["hits"]]  # fmt: skip
        own = zip(straws.channel.tolist(), straws.width.tolist(), straws.tdc.view(np.uint32).tolist(), strict=True)
        assert hits == [(*hit, 1) for hit in own]


def test_times_of_the_crates(pairs: list[tuple[Event, dict[str, Any]]]) -> None:
    for event, banks in pairs:
        for crate in event.framed_crates:
            own, (first, *words) = event.timing(crate), banks[f"{FAMILY[event.fill_type]}C{crate:02d}"]
            header = int.from_bytes(struct.pack("<Q", first), "big")  # as received, the other words are the host's
            assert (own.header, own.received, own.processed, own.muon_fills) == (header, *words[18:])
            assert own.header == event.amc13(crate).header
            assert np.allclose(
                own.times, [s + 1e-6 * us for s, us in zip(words[:18:2], words[1:18:2], strict=True)], rtol=1e-15
            )


CRC16_TABLE = [0] * 256
for value in range(256):
    remainder = value << 8
    for _ in range(8):
        remainder = (remainder << 1 ^ 0x8005 if remainder & 0x8000 else remainder << 1) & 0xFFFF
    CRC16_TABLE[value] = remainder


def crc16(words: list[int]) -> int:
    crc = 0xFFFF
    for byte in struct.pack(f">{len(words)}Q", *words):
        crc = (crc << 8 & 0xFFFF) ^ CRC16_TABLE[crc >> 8 ^ byte]
    return crc


def crc32(words: list[int]) -> int:
    """Of words and the low half of the last one."""
    return zlib.crc32(
        struct.pack("<I", words[-1] & 0xFFFFFFFF), zlib.crc32(struct.pack(f"<{len(words) - 1}Q", *words[:-1]))
    )


def sent(heads: tuple[int, ...], payloads: dict[int, tuple[int, ...]], last: int) -> tuple[list[int], list[list[int]]]:
    """All words of an AMC13 event as they were sent, and its blocks: the front end's work undone."""
    blocks, at, taken = [], 1, dict.fromkeys(payloads, 0)
    while at < len(heads):
        boards = heads[at] >> 52 & 15
        block = list(heads[at : at + 1 + boards])
        for word in heads[at + 1 : at + 1 + boards]:
            slot, more, rest = word >> 16 & 15, word >> 61 & 1, word >> 60 & 1
            left = len(payloads[slot]) - taken[slot]
            assert (more, rest) == (left > PIECE, taken[slot] > 0)
            size = min(PIECE, left)
            assert word >> 32 & 0xFFFFFF == (size if rest else left)
            block += payloads[slot][taken[slot] : taken[slot] + size]
            taken[slot] += size
        blocks.append([*block, heads[at + 1 + boards]])
        at += 2 + boards
    assert taken == {slot: len(words) for slot, words in payloads.items()}
    return [heads[0], *(word for block in blocks for word in block), last], blocks


def test_sizes_and_sums_of_what_the_amc13_sent(plain: list[Fields]) -> None:
    checked = several = 0
    for event in plain[1:-1]:
        banks = {bank["name"]: bank for bank in event["banks"]}
        for name, bank in banks.items():
            if name == "TRIG" or (name[1] != "R" and name != "TTCB"):
                continue
            names = ("TTCA", "TTCZ") if name == "TTCB" else (f"{name[0]}A{name[2:]}", f"{name[0]}Z{name[2:]}")
            heads, (last,) = (struct.unpack(f">{len(banks[one]['data']) // 8}Q", banks[one]["data"]) for one in names)
            payloads = {board["head"][0]["slot"]: board["words"] for board in bank["content"]}
            words, blocks = sent(heads, payloads, last)
            assert last >> 32 & 0xFFFFFF == len(words)
            assert last >> 16 & 0xFFFF == crc16([*words[:-1], last & ~(0xFFFF << 16)])
            for block in [*blocks, *payloads.values()]:
                assert block[-1] >> 32 == crc32(list(block))
                checked += 1
            several += len(blocks) > 1
    assert checked > 100
    assert several


def test_sizes_and_sums_of_what_the_straws_sent(plain: list[Fields]) -> None:
    stations = 0
    for bank in (bank for event in plain[1:-1] for bank in event["banks"] if bank["name"] == "STRW"):
        words, at = list(struct.unpack(f"<{len(bank['data']) // 8}Q", bank["data"])), 0
        for station in bank["content"]:
            sent_words = words[at : at + station["cdf_end"]["words"]]
            last = sent_words[-1]
            assert last >> 16 & 0xFFFF == crc16([*sent_words[:-1], last & ~(0xFFFF << 16)])
            place, payload = 1, []
            for block in station["blocks"]:
                size = PIECE if block["amc"][0]["M"] else block["amc"][0]["size"]
                assert block["end"]["crc"] == crc32(sent_words[place : place + 3 + size])
                payload += sent_words[place + 2 : place + 2 + size]
                place += 3 + size
            assert station["end"]["crc"] == crc32(payload)
            assert station["end"]["words"] == station["head"][0]["words"] == len(payload)
            at += len(sent_words)
            stations += 1
    assert stations > 2


def test_sums_of_channels(plain: list[Fields]) -> None:
    """Exclusive or of headers, and of samples with their bytes as they were before the board turned them."""
    for bank in (bank for event in plain[1:-1] for bank in event["banks"] if bank["name"][1] == "R"):
        for board in () if bank["name"] == "TRIG" else bank["content"]:
            at = 3
            for one in board["channels"]:
                low = high = 0
                for trace in [{"samples": ()}, *one["traces"]]:
                    low, high, at = low ^ board["words"][at], high ^ board["words"][at + 1], at + 2
                    turned = struct.unpack(
                        f"<{len(trace['samples']) // 4}Q", struct.pack(f"<{len(trace['samples'])}h", *trace["samples"])
                    )
                    low, high, at = reduce(xor, turned[::2], low), reduce(xor, turned[1::2], high), at + len(turned)
                assert (low, high) == (one["end"][0]["check_low"], one["end"][1]["check_high"])
                at += 3


def test_events_whose_samples_are_not_kept_have_their_sizes_and_no_sums(plain: list[Fields]) -> None:
    event = plain[2]
    banks = {bank["name"]: bank["content"] for bank in event["banks"]}
    assert "CR01" not in banks
    size = 3 + 5 * (2 + 2 + 6720 // 4 + 3) + 1
    last_size = 3 + 4 * (2 + 2 + 6720 // 4 + 3) + 1
    sizes = [block["size"] for block in banks["CA01"]["blocks"][0]["amc"]]
    assert sizes == [size] * 10 + [last_size]
    pieces = [-(-words // PIECE) for words in sizes]
    assert len(banks["CA01"]["blocks"]) == max(pieces)
    assert banks["CZ01"][0]["words"] == 2 + 2 * max(pieces) + sum(pieces) + sum(sizes)
    assert {block["end"]["crc"] for block in banks["CA01"]["blocks"]} == {banks["CZ01"][0]["crc"]} == {0}
    assert {board["end"]["crc"] for board in banks["CB01"]} == {0}
    ends = [one["end"] for board in banks["CB01"] for one in board["channels"]]
    assert {(end[0]["check_low"], end[1]["check_high"], end[2]["differs"]) for end in ends} == {(0, 0, 0)}


@pytest.mark.parametrize("compression", ["event", "bank"])
def test_compressed_banks_hold_those_of_the_file_without_compression(
    tmp_path: Path, plain: list[Fields], compression: str
) -> None:
    path = WRITE(tmp_path / "gm2_run00017_00003.mid.gz", compression)
    packed = list(READER["read"](path))
    kinds = set()
    for event, other, own in zip(plain[1:-1], packed[1:-1], open_run(path), strict=True):
        opened = {}
        for bank in other["banks"]:
            kinds.add("FZ" if bank["name"][:2] == "FZ" else bank["name"][0].islower())
            inner = bank["content"] if bank["name"][:2] == "FZ" else [bank]
            for one in inner:
                one = one["content"] | {"name": one["name"]} if one["name"][0].islower() else one
                opened[one["name"][0].upper() + one["name"][1:]] = (one["type"], one["data"])
        assert list(opened) == list(own.banks) or sorted(opened) == sorted(own.banks)
        assert opened == {bank["name"]: (bank["type"], bank["data"]) for bank in event["banks"]}
        assert opened == {name: (bank.type, bytes(bank.data)) for name, bank in own.banks.items()}
    assert kinds == ({"FZ", False} if compression == "event" else {True, False})
