"""A third reader of raw files, written from docs/raw-format.md alone: the standard library, no numpy, no gm2sim.

``read(path)`` gives the events as plain dicts; each bank has its decoded ``content`` beside its bytes. It is slow and
meant to be: it is there to disagree. A word is cut by a string that repeats the line of the page: name high-low.
"""

import gzip
import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Fields = dict[str, Any]
Words = tuple[int, ...]

CDF = "mark 63-60 type 59-56 trigger 55-32 clock_high 31-20 source 19-8 zero 7-0"
CDF_END = "mark 63-60 words 55-32 crc 31-16 zero 15-12 status 11-8 throttling 7-4 last 3-0"
BLOCK = "version 63-60 boards 55-52 clock_low 35-4"
AMC = "zero 63-63 L 62-62 M 61-61 S 60-60 EPVC 59-56 size 55-32 block 27-20 slot 19-16 board_id 15-0"
BLOCK_END = "crc 63-32 block 27-20 trigger 19-12 clock_high 11-0"
BOARD = ("slot 59-56 trigger 55-32 clock_high 31-20 words 19-0",
         "enabled 63-59 little 58-58 alarms 57-54 empty 53-53 type 52-48 clock_low 47-16 board_type 15-13 bit12 12-12 "
         "bit11 11-11 low11 10-0", "major 23-16 minor 15-8 patch 7-0")  # fmt: skip
CHANNEL = ("mark 63-62 zero 61-58 channel 57-46 gap 45-24 traces 23-12 address_high 11-0",
           "address_low 63-50 bursts 49-27 type 26-24 trigger 23-0")  # fmt: skip
TRACE = ("traces 63-52 address 51-26 zero 25-25 type 24-23 bursts 22-0",
         "mark 63-62 zero 61-46 channel 45-34 gap 33-12 number 11-0")  # fmt: skip
LATE_CHANNEL = ("mark 63-62 zero 61-58 channel 57-46 traces 38-16 before 15-0", "bursts 49-27 type 26-24 trigger 23-0")
LATE_TRACE = ("number_low 63-52 address 51-26 type 25-23 before 22-11 bursts 10-0",
              "mark 63-62 channel 61-57 length_class 56-55 time 54-11 number_high 10-0")  # fmt: skip
CHANNEL_END = ("check_low 63-0", "check_high 63-0", "differs 63-32 readout 31-0")
BOARD_END = "crc 63-32 trigger 31-24 zero 23-20 words 19-0"
STRAWS = ("version 63-32 hits 31-0", "bin_ps 63-32 zero 31-0")
HIT = "mark 63-60 channel 59-48 width 47-32 tdc 31-0"


def cut(word: int, line: str) -> Fields:
    parts = line.split()
    places = [tuple(map(int, part.split("-"))) for part in parts[1::2]]
    return {name: word >> low & (1 << high - low + 1) - 1 for name, (high, low) in zip(parts[::2], places, strict=True)}


def cut_all(words: Words, lines: tuple[str, ...]) -> list[Fields]:
    return [cut(word, line) for word, line in zip(words, lines, strict=True)]


def read(path: Path) -> Iterator[Fields]:
    raw, at = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes(), 0
    while at < len(raw):
        event = dict(zip(("id", "mask", "serial", "time", "size"), struct.unpack_from("<HHIII", raw, at), strict=True))
        at += 16 + event["size"]
        body = raw[at - event["size"] : at]
        if event["id"] & 0x8000:
            event["odb"] = json.loads(body)
        else:
            size, event["flags"] = struct.unpack_from("<II", body)
            assert size == event["size"] - 8
            event["banks"] = list(banks(body[8:]))
        yield event


def banks(body: bytes) -> Iterator[Fields]:
    at = 0
    while at < len(body):
        name, kind, size = struct.unpack_from("<4sII", body, at)
        data, padding = body[at + 12 : at + 12 + size], body[at + 12 + size : at + 12 + size + -size % 8]
        assert (len(data), padding) == (size, bytes(-size % 8))
        yield {"name": name.decode(), "type": kind, "data": data, "content": content(name.decode(), data)}
        at += 12 + size + len(padding)


def content(name: str, data: bytes) -> Any:
    if name[:2] == "FZ" or name[0].islower():
        inner = zlib.decompressobj().decompress(data[16:])  # a full flush and no final block
        assert hashlib.md5(inner, usedforsecurity=False).digest() == data[:16]
        if name[:2] == "FZ":
            assert struct.unpack_from("<II", inner) == (len(inner) - 8, 0x11)
            return list(banks(inner[8:]))
        title, kind, size = struct.unpack_from("<4sII", inner)
        assert (title.decode(), size) == (name[0].upper() + name[1:], len(inner) - 12)
        return {"type": kind, "data": inner[12:], "content": content(title.decode(), inner[12:])}
    letter, count = name[3] if name[:3] == "TTC" else name[1], len(data) // 4
    formats = {"P": f"<{count}f", "S": f"<{count}I", "Q": f"<7I{count - 7}i", "C": "<22Q"}
    if name in ("TRIG", "GPS0") or letter in formats:
        return struct.unpack(formats[letter] if name[2:].isdecimal() else "<8I", data)
    if letter == "T" and name != "STRW":
        return islands(data)
    if name == "STRW":
        return straws(struct.unpack(f"<{len(data) // 8}Q", data))
    words = struct.unpack(f">{len(data) // 8}Q", data)
    if letter == "Z":
        return [cut(word, CDF_END) for word in words]
    return heads(words) if letter == "A" else list(payloads(words, None if letter == "B" and name != "TTCB" else data))


def islands(data: bytes) -> Fields:
    size, count, crystals, ctag = struct.unpack_from("<ihhi", data)
    found, at = [], 12
    for _ in range(count):
        first, length = struct.unpack_from("<ii", data, at)
        found.append({"first": first, "samples": struct.unpack_from(f"<{crystals * length}h", data, at + 8)})
        at += 8 + 2 * crystals * length
    assert at == len(data) == 2 * (size + 6)
    return {"crystals": crystals, "ctag": ctag, "islands": found}


def heads(words: Words) -> Fields:
    blocks, at = [], 1
    while at < len(words):
        block = cut(words[at], BLOCK)
        end = at + 1 + block["boards"]
        amc = [cut(word, AMC) for word in words[at + 1 : end]]
        blocks.append({**block, "amc": amc, "end": cut(words[end], BLOCK_END)})
        at = end + 1
    return {"cdf": cut(words[0], CDF), "blocks": blocks}


def payloads(words: Words, data: bytes | None) -> Iterator[Fields]:
    """Boards one after the other; without ``data`` they have one trace a channel and no samples (CB)."""
    at = 0
    while at < len(words):
        first, board, channels = at, cut_all(words[at : at + 3], BOARD), []
        late = board[1]["bit12"] and board[1]["board_type"] == 1
        at += 3
        for _ in range(board[1]["enabled"].bit_count()):
            channel, traces = cut_all(words[at : at + 2], LATE_CHANNEL if late else CHANNEL), []
            at += 2
            for _ in range(channel[0]["traces"] if data is not None else 1):
                trace = cut_all(words[at : at + 2], LATE_TRACE if late else TRACE)
                at, size = at + 2, 0 if data is None else trace[0]["bursts"]
                samples = struct.unpack_from(f"<{8 * size}h", data or b"", 8 * at) if size else ()
                traces.append({"head": trace, "samples": samples})
                at += 2 * size
            channels.append({"head": channel, "traces": traces, "end": cut_all(words[at : at + 3], CHANNEL_END)})
            at += 3
        yield {"head": board, "channels": channels, "end": cut(words[at], BOARD_END), "words": words[first : at + 1]}
        assert data is None or at + 1 - first == board[0]["words"]
        at += 1


def straws(words: Words) -> list[Fields]:
    found, at = [], 0
    while at < len(words):
        cdf, blocks, payload, more, start = cut(words[at], CDF), [], (), 1, at
        while more:
            block, amc = cut(words[at + 1], BLOCK), cut(words[at + 2], AMC)
            more, size = amc["M"], 4096 if amc["M"] else amc["size"]
            payload += words[at + 3 : at + 3 + size]
            at += 3 + size
            blocks.append({**block, "amc": [amc], "end": cut(words[at], BLOCK_END)})
        end, at = cut(words[at + 1], CDF_END), at + 2
        assert (end["words"], blocks[0]["amc"][0]["size"]) == (at - start, len(payload))
        head, body = cut_all(payload[:3], BOARD), cut_all(payload[3:5], STRAWS)
        hits = [cut(word, HIT) for word in payload[5:-1]]
        found.append({"cdf": cdf, "blocks": blocks, "head": head, "body": body, "hits": hits,
                      "end": cut(payload[-1], BOARD_END), "cdf_end": end})  # fmt: skip
    return found
