"""What a raw file holds, as rows and trees for the terminal: `gm2sim raw ls` and `gm2sim raw dump`.

Everything returned can go into JSON as it is; :func:`dump_lines` makes text of a tree.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gm2sim.errors import ConfigError, nearest
from gm2sim.raw.banks_of_event import RawBank
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, MESSAGE, Event
from gm2sim.raw.reader import RawRun, open_run

_KINDS = {BEGIN_OF_RUN: "begin of run", END_OF_RUN: "end of run", MESSAGE: "message"}
_WORDS = {4: "<u2", 5: "<i2", 6: "<u4", 7: "<i4", 9: "<f4", 10: "<f8", 17: "<i8", 18: "<u8"}
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
    return {2: "laser fill", 3: "pedestal fill"}.get(event.fill_type if "TRIG" in event.banks else 1, "fill")


def _kinds(event: Event) -> str:
    count: dict[str, int] = {}
    for name in event.banks:
        kind = f"{name[:2]}nn" if name[2:].isdecimal() else name
        count[kind] = count.get(kind, 0) + 1
    return ", ".join(kind if number == 1 else f"{number} {kind}" for kind, number in count.items())


def _bank(bank: RawBank) -> dict[str, Any]:
    return {"name": bank.name, "type": bank.type, "byte": bank.offset, "bytes": bank.data.nbytes}


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
    whole = bank.name in ("TRIG", "STRW")
    decoded = _DECODED.get(bank.name if whole else bank.name[:2])
    if decoded is not None and (whole or bank.name[2:].isdecimal()):
        return decoded(event, 0 if whole else int(bank.name[2:]))
    dtype = np.dtype(_WORDS.get(bank.type, "u1"))
    return np.frombuffer(bank.data[: bank.data.nbytes // dtype.itemsize * dtype.itemsize], dtype).tolist()


def _islands(event: Event, crate: int) -> dict[str, Any]:
    found = event.islands(crate)
    rows = [{"time": i.time, "length": i.length, "samples": i.samples.tolist()} for i in found]
    return {"ctag": found.ctag, "crystals": found.crystals, "islands": rows}


def _histogram(event: Event, crate: int) -> dict[str, Any]:
    found = event.q_histogram(crate)
    return {} if found is None else {**found._asdict(), "counts": found.counts.tolist()}


def _straws(event: Event) -> dict[str, Any]:
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


def _sum(event: Event, crate: int) -> list[int]:
    found = event.calo_sum(crate)
    return [] if found is None else found.tolist()


_DECODED: dict[str, Callable[[Event, int], Any]] = {
    "TRIG": lambda event, _: {**event.trigger._asdict(), "fill_index": event.fill_index},
    "CP": lambda event, crate: event.pedestals(crate).tolist(),
    "CS": _sum,
    "CT": _islands,
    "STRW": lambda event, _: _straws(event),
    **dict.fromkeys(("CR", "LR", "PR"), lambda event, crate: _waveforms(event, crate)),
    "CQ": _histogram,
}


def _short(value: Any, width: int) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) <= width:
        return text
    count = f" ({len(value)} numbers)" if isinstance(value, list) else ""
    return f"{text[: max(width - 20, 20)]} ...{count}"
