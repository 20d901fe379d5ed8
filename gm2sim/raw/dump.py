"""What a raw file holds, as rows and trees for the terminal: `gm2sim raw ls` and `gm2sim raw dump`.

Everything returned can go into JSON as it is; :func:`dump_lines` makes text of a tree.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.errors import ConfigError, nearest
from gm2sim.raw.banks_of_event import RawBank
from gm2sim.raw.check_event import kind_of
from gm2sim.raw.decode_amc13 import Amc13
from gm2sim.raw.decode_boards import BoardHead
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, MESSAGE, Event
from gm2sim.raw.reader import RawRun, open_run
from gm2sim.raw.unpack import is_number

_KINDS = {BEGIN_OF_RUN: "begin of run", END_OF_RUN: "end of run", MESSAGE: "message"}
_WORDS = {4: "<u2", 5: "<i2", 6: "<u4", 7: "<i4", 9: "<f4", 10: "<f8", 17: "<i8", 18: "<u8"}
_FILLS = {2: "laser fill", 3: "pedestal fill", 4: "asynchronous readout"}
_TEXT_WIDTH = 110


def ls(path: Path | str) -> list[dict[str, Any]]:
    """One row an event: first byte, kind, serial number, Unix time, bytes, and how many banks of each kind.

    Raises
    ------
    FileNotFoundError
    RawFormatError
    """
    return [{**_head(event), "banks": _kinds(event)} for event in open_run(path).events()]


def dump(path: Path | str, event: str | int, bank: str | None = None) -> dict[str, Any]:
    """One event, or one bank of it decoded.

    Parameters
    ----------
    path : Path
    event : int or str
        Serial number, or ``begin`` or ``end`` for the run database.
    bank : str, optional
        For example ``CT05``; without it the list of banks.

    Raises
    ------
    ConfigError
        No such event or bank.
    RawFormatError
    """
    found = _find(open_run(path), str(event))
    if found.event_id == MESSAGE:
        return {**_head(found), "text": bytes(found.payload).rstrip(b"\0").decode("utf-8", "replace")}
    if not found.has_banks:
        return {**_head(found), "odb": found.text()}
    if bank is None:
        return {**_head(found), "banks": [_bank(raw) for raw in found.banks.values()]}
    raw = found.banks.get(bank)
    if raw is None:
        hint = nearest(bank, found.banks)
        raise ConfigError(f"event {found.serial} of {path} has no bank '{bank}': {hint}")
    return {"event": found.serial, **_bank(raw), "content": _content(found, raw)}


def dump_lines(tree: Any, indent: int = 0) -> Iterator[str]:
    """The tree of :func:`dump` as indented text, long lists cut with their length told."""
    pad = " " * indent
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict) or (isinstance(value, list) and isinstance((value or [0])[0], dict | list)):
            yield f"{pad}{key}:"
            yield from dump_lines(value, indent + 2)
        else:
            yield f"{pad}{key}: {_short(value, _TEXT_WIDTH - indent - len(str(key)))}"


def _head(event: Event) -> dict[str, Any]:
    return {
        "byte": event.offset,
        "kind": _KINDS.get(event.event_id, _fill(event) if event.event_id == 1 else f"event id {event.event_id}"),
        "serial": event.serial,
        "time": event.time,
        "bytes": event.size,
    }


def _fill(event: Event) -> str:
    known = any(bank.name == "TRIG" for bank in event.walk())
    return _FILLS.get(event.fill_type if known else 1, "fill")


def _kinds(event: Event) -> str:
    count: dict[str, int] = {}
    # As they lie in the file: nothing is inflated for a list.
    for bank in event.walk():
        kind = f"{bank.name[:2]}nn" if is_number(bank.name[2:]) else bank.name
        count[kind] = count.get(kind, 0) + 1
    return ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in count.items())


def _bank(bank: RawBank) -> dict[str, Any]:
    row = {"name": bank.name, "type": bank.type, "byte": bank.offset, "bytes": bank.data.nbytes}
    return {**row, "packed_in": bank.packed_in} if bank.packed_in else row


def _find(run: RawRun, wanted: str) -> Event:
    serials = []
    for event in run.events():
        if wanted == (str(event.serial) if event.has_banks else _KINDS[event.event_id].split()[0]):
            return event
        if event.has_banks:
            serials.append(event.serial)
    there = f"events {serials[0]} to {serials[-1]}" if serials else "no events"
    raise ConfigError(f"{run.path} has no event '{wanted}': there are {there}, and 'begin' and 'end' of the run")


def _content(event: Event, bank: RawBank) -> Any:
    kind = kind_of(bank.name)
    decoded = _DECODED.get(kind)
    if decoded is not None:
        return decoded(event, int(bank.name[2:]) if kind != bank.name else 0)
    dtype = np.dtype(_WORDS.get(bank.type, "u1"))
    return np.frombuffer(bank.data[: bank.data.nbytes // dtype.itemsize * dtype.itemsize], dtype).tolist()


def _islands(event: Event, crate: int) -> dict[str, Any]:
    found = event.islands(crate)
    rows = [{"time": i.time, "length": i.length, "samples": i.samples.tolist()} for i in found]
    return {"ctag": found.ctag, "crystals": found.crystals, "islands": rows}


def _histogram(event: Event, crate: int) -> dict[str, Any]:
    found = event.q_histogram(crate)
    return {} if found is None else {**found._asdict(), "counts": found.counts.tolist()}


def _straws(event: Event, _: int) -> dict[str, Any]:
    found = event.straws()
    return {} if found is None else {key: np.asarray(value).tolist() for key, value in found._asdict().items()}


def _waveforms(event: Event, crate: int) -> dict[str, Any]:
    found = event.waveforms(crate)
    rows = [
        {"channel": channel, "waveform": number, "samples": one.tolist()}
        for channel, samples in zip(found.channels, found.samples, strict=True)
        for number, one in enumerate(samples)
    ]
    head = {"fill_type": found.fill_type, "trigger": found.trigger, "clock": found.clock, "gap": found.gap}
    return {**head, "waveforms": rows}


def _pulses(event: Event, crate: int) -> dict[str, Any]:
    found = event.asynchronous(crate)
    rows = [
        {"channel": one.channel, "time": time, "samples": samples.tolist()}
        for one in found.pulses
        for time, samples in zip(one.time.tolist(), one.samples, strict=True)
    ]
    return {"trigger": found.trigger, "clock": found.clock, "pulses": rows}


def _sum(event: Event, crate: int) -> list[int]:
    found = event.calo_sum(crate)
    return [] if found is None else found.tolist()


def _gps(event: Event, _: int) -> dict[str, Any]:
    return event.gps._asdict() if event.gps is not None else {}


def _frame(found: Amc13) -> dict[str, Any]:
    head = {"fill_type": found.fill_type, "trigger": found.trigger, "clock": found.clock, "source": found.source}
    tail = {"words": found.words, "crc16": f"{found.crc:04x}", "status": found.status}
    boards = [{"slot": slot, "words": words} for slot, words in found.payloads.items()]
    return {**head, **tail, "blocks": len(found.blocks.boards), "boards": boards}


def _clock_frame(event: Event, _: int) -> dict[str, Any]:
    return _frame(event.clock_crate.frame) if event.clock_crate is not None else {}


def _clock_boards(event: Event, _: int) -> list[dict[str, Any]]:
    return [_board(head) for head in event.clock_crate.boards] if event.clock_crate is not None else []


def _board(head: BoardHead) -> dict[str, Any]:
    told = head._asdict()
    del told["first"], told["raw"]
    return {**told, "firmware": ".".join(map(str, head.firmware)), "crc": f"{head.crc:08x}"}


def _headers(event: Event, crate: int) -> list[dict[str, Any]]:
    rows = []
    for board in event.board_headers(crate):
        channels = [one._asdict() for one in board.channels]
        for one in channels:
            del one["first"], one["raw"]
            one["checksum"] = " ".join(f"{half:016x}" for half in one["checksum"])
        rows.append({**_board(board.head), "channels": channels})
    return rows


def _timing(event: Event, crate: int) -> dict[str, Any]:
    found = event.timing(crate)
    return {**found._asdict(), "header": f"{found.header:016x}", "times": list(found.times)}


_DECODED: dict[str, Callable[[Event, int], Any]] = {
    "TRIG": lambda event, _: {**event.trigger._asdict(), "fill_index": event.fill_index},
    "GPS0": _gps,
    "STRW": _straws,
    "TTCA": _clock_frame,
    "TTCB": _clock_boards,
    "CP": lambda event, crate: event.pedestals(crate).tolist(),
    "CS": _sum,
    "CT": _islands,
    "CQ": _histogram,
    "AR": _pulses,
    **dict.fromkeys(("CR", "LR", "PR"), _waveforms),
    **dict.fromkeys(("CA", "LA", "PA", "AA"), lambda event, crate: _frame(event.amc13(crate))),
    **dict.fromkeys(("CB", "LB", "PB", "AB"), _headers),
    **dict.fromkeys(("CC", "LC", "PC", "AC"), _timing),
}


def _short(value: Any, width: int) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) <= width:
        return text
    count = f" ({len(value)} numbers)" if isinstance(value, list) else ""
    return f"{text[: max(width - 20, 20)]} ...{count}"
