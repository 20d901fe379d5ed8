"""Walking a file that may be damaged: one bad event loses only itself.

A header is trusted when its size leads to another header or to the end of the file, or when the sizes that it tells
twice agree. Where it cannot be trusted the next header is looked for: number 1 and mask 0, sizes that agree, flags of
a bank format, and a first bank with a name and a type. More than 100 bits have to fit, so that samples never do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

import numpy as np

from gm2sim.raw.banks_of_event import LAYOUTS, TYPES
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, MESSAGE, Event
from gm2sim.raw.source import Source

MAGIC = 0x494D  # trigger mask of begin and end of run
_EVENT = Struct("<HHII")  # number, mask, serial, time
_HEADS = Struct("<HHIIIII")  # and size; size of the banks, flags
_HEAD = 16  # bytes of an event header
_LOOK = 40  # bytes that are looked at: event header, sizes and flags, header of the first bank
_WORDS = 6  # of four bytes, that are compared for all places at once
_LARGE = 64 << 20  # an event that claims more must tell it twice before it is read
_FIRST_WINDOW, _WINDOW = 1 << 12, 1 << 20
_END = b"\x01\x80MI"
_TEXT = (BEGIN_OF_RUN, END_OF_RUN, MESSAGE)


@dataclass(frozen=True)
class Lost:
    """Bytes that a reader went over because they are damaged.

    Attributes
    ----------
    offset : int
        Byte of the file (of the inflated stream of a compressed one) where they begin.
    size : int
    what : str
        What is wrong.
    bank : str
        Empty outside banks.
    serial : int or None
        Number of the event as its header says, None where the header cannot be trusted.
    """

    offset: int
    size: int
    what: str
    bank: str = ""
    serial: int | None = None

    def __str__(self) -> str:
        event = "" if self.serial is None else f", event {self.serial}"
        bank = f", bank {self.bank}" if self.bank else ""
        return f"byte {self.offset}{event}{bank}: {self.what} ({self.size} bytes lost)"


def all_events(path: Path, source: Source) -> Iterator[Event]:
    """Every event in order; one that the file does not hold whole raises.

    Raises
    ------
    RawFormatError
        When reached.
    """
    place = 0
    while (head := bytes(source.peek(place, _HEAD + 8))) or place == 0:
        if not head:
            raise RawFormatError(path, 0, "", "the file is empty")
        size = _size(path, place, head)
        if size > _LARGE and int.from_bytes(head[:2], "little") not in _TEXT and not _sizes_agree(head):
            raise RawFormatError(path, place, "", _two_sizes(head))
        payload = source.take(place + _HEAD, size)
        if payload.nbytes < size:
            raise RawFormatError(path, place, "", _cut_short(size, payload.nbytes))
        yield event_of(path, place, head, payload)
        place += _HEAD + size


def events_and_losses(path: Path, source: Source) -> Iterator[Event | Lost]:
    """Every event that can be found, in order, and what lies between them.

    Events are given as their headers promise them: their banks may be damaged.
    """
    place = 0
    try:
        while head := bytes(source.peek(place, _HEAD + 8)):
            found, follows = _next(path, source, place, head)
            if isinstance(found, Lost):
                end = _search(source, follows)
                found = Lost(place, end - place, found.what, found.bank, found.serial)
                follows = end
            yield found
            place = follows
    except RawFormatError as err:
        yield Lost(err.offset, 0, err.what)
        return
    if place == 0:
        yield Lost(0, 0, "the file is empty")


def _next(path: Path, source: Source, place: int, head: bytes) -> tuple[Event | Lost, int]:
    """The event at ``place`` and where the next begins, or why there is none and from where to search."""
    if len(head) < _HEAD:
        return Lost(place, 0, f"{len(head)} bytes at the end cannot hold an event header: cut short"), place + 1
    size = int.from_bytes(head[12:16], "little")
    agree = _sizes_agree(head)
    if source.end is not None and size > source.end - place - _HEAD:
        return Lost(place, 0, _cut_short(size, source.end - place - _HEAD)), place + 1
    if not agree and size > _LARGE:
        return Lost(place, 0, _two_sizes(head)), place + 1
    payload = source.take(place + _HEAD, size)
    follows = place + _HEAD + size
    if payload.nbytes < size:
        source.back(place, head[:_HEAD], payload)
        return Lost(place, 0, _cut_short(size, payload.nbytes)), place + 1
    event = event_of(path, place, head, payload)
    if _leads_on(source, follows):
        return event, follows
    inside = _inside(source, place + _HEAD, payload)
    if inside is None and (agree or _is_whole_text(event)):
        return event, follows
    source.back(place, head[:_HEAD], payload)
    if inside is not None:
        return Lost(place, 0, f"another event begins inside it, at byte {inside}", serial=event.serial), inside
    return Lost(place, 0, _two_sizes(head)), follows


def _search(source: Source, place: int) -> int:
    """Where the next header begins at or behind ``place``; the end of the file when there is none."""
    window = _FIRST_WINDOW
    while True:
        block = source.peek(place, window)
        found = _first_header(block, place, source.end)
        if found is not None:
            return found
        if block.nbytes < window:
            return place + block.nbytes
        place += window - _LOOK + 1
        window = min(2 * window, _WINDOW)


def _inside(source: Source, place: int, payload: memoryview) -> int | None:
    """Where another event begins inside ``payload`` or goes beyond its end: bytes are missing there."""
    window, at = _FIRST_WINDOW, 0
    while at < payload.nbytes:
        found = _first_header(payload[at : at + window], place + at, source.end)
        if found is not None:
            return found
        at += window - _LOOK + 1
        window = min(2 * window, _WINDOW)
    tail = bytes(payload[-_LOOK:])
    seam = tail + bytes(source.peek(place + payload.nbytes, _LOOK))
    found = _first_header(memoryview(seam), place + payload.nbytes - len(tail), source.end)
    return found if found is not None and found < place + payload.nbytes else None


def _first_header(block: memoryview, base: int, end: int | None) -> int | None:
    """First place in ``block``, which begins at byte ``base`` of the file, where an event begins."""
    candidates = []
    for shift in range(4):
        count = (block.nbytes - shift) // 4 - _WORDS + 1
        if count < 1:
            break
        words = np.frombuffer(block, "<u4", count + _WORDS - 1, shift)
        here = np.flatnonzero(words[:count] == 1)
        here = here[words[here + 3] == words[here + 4] + np.uint32(8)]
        candidates += (4 * here + shift).tolist()
    text = bytes(block)
    at = text.find(_END)
    while at >= 0:
        candidates.append(at)
        at = text.find(_END, at + 1)
    for at in sorted(candidates):
        size = int.from_bytes(text[at + 12 : at + 16], "little")
        if end is not None and base + at + _HEAD + size > end:
            continue
        if _is_header(text[at : at + _LOOK]):
            return base + int(at)
    return None


def _leads_on(source: Source, place: int) -> bool:
    """Whether another event begins at ``place``, or the file ends there."""
    head = bytes(source.peek(place, _LOOK))
    if not head:
        return True
    if not _is_header(head, foreign=True):
        return False
    return source.end is None or place + _HEAD + int.from_bytes(head[12:16], "little") <= source.end


def _is_header(head: bytes, foreign: bool = False) -> bool:
    """Whether an event begins so; ``foreign`` numbers and masks of data events are as good as our own."""
    if len(head) < _HEAD + 8:
        return False
    number, mask, _, _, size, banks, flags = _HEADS.unpack_from(head)
    if number in _TEXT:
        return foreign if number == MESSAGE else mask == MAGIC and head[_HEAD] in b"{<"
    if size != banks + 8 or flags not in LAYOUTS or not (foreign or (number, mask) == (1, 0)):
        return False
    if banks == 0:
        return True
    if len(head) < _LOOK:
        return False
    name, kind, _ = LAYOUTS[flags].unpack_from(head, _HEAD + 8)
    return kind in TYPES and name.isascii() and all(0x20 < byte < 0x7F for byte in name)


def event_of(path: Path, place: int, head: bytes, payload: memoryview) -> Event:
    """The event whose header begins at byte ``place``."""
    number, mask, serial, time = _EVENT.unpack_from(head)
    return Event(path, place, number, mask, serial, time, payload)


def _size(path: Path, place: int, head: bytes) -> int:
    if len(head) < _HEAD:
        raise RawFormatError(path, place, "", f"{len(head)} bytes at the end cannot hold an event header: cut short")
    return int.from_bytes(head[12:16], "little")


def _sizes_agree(head: bytes) -> bool:
    """Whether an event of banks tells the same size twice, with flags of a known format."""
    if len(head) < _HEAD + 8:
        return False
    number, _, _, _, size, banks, _ = _HEADS.unpack_from(head)
    return number not in _TEXT and size == banks + 8


def _is_whole_text(event: Event) -> bool:
    """Whether a run database ends as one does."""
    text = bytes(event.payload[-8:]).rstrip(b"\0\n ")
    return event.event_id in (BEGIN_OF_RUN, END_OF_RUN) and text[-1:] in (b"}", b">")


def _two_sizes(head: bytes) -> str:
    size, banks = int.from_bytes(head[12:16], "little"), int.from_bytes(head[16:20], "little")
    return f"an event claims {size} bytes but its banks {banks}: one of them is damaged"


def _cut_short(size: int, left: int) -> str:
    return f"an event claims {size} bytes but {left} remain: cut short, or its size is damaged"
