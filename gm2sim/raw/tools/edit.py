"""A raw file under change: what happens to each of its events, made real only when it is written out."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gm2sim.raw.tools.container import EVENT_HEADER, Frame, Place, banks

_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Change:
    """Something that was done to a file.

    Attributes
    ----------
    kind : str
    index : int or None
        Of the event in the file that was given.
    byte : int or None
        Of the file that was given.
    bank, what : str
    more : dict
        ``out``: the byte in the changed file, where ``byte`` is None.
    """

    kind: str
    index: int | None
    byte: int | None
    bank: str
    what: str
    more: dict[str, Any]


@dataclass
class Draft:
    """The events of a file with the changes to make: one event at a time is in memory when they are made.

    Attributes
    ----------
    order : list of int
        Indices of the events in the order in which they are written.
    cut : int or None
        Bytes that are written at most.
    holes : list of (first, end)
        Bytes of what is written that become zero.
    """

    path: Path
    data: memoryview
    events: list[Frame]
    changes: list[Change] = field(default_factory=list)
    cut: int | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.order = list(range(len(self.events)))
        self._flips: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._words: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._gone: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self._starts = [frame.offset for frame in self.events]
        self.banks = lru_cache(maxsize=64)(self._banks)

    def _banks(self, index: int) -> list[Place]:
        """Banks of an event of the file that was given."""
        return list(banks(self.path, self.data, self.events[index]))

    def at(self, byte: int) -> int:
        """Index of the event in which a byte of the given file lies."""
        return bisect_right(self._starts, byte) - 1

    def bank_at(self, index: int, byte: int) -> str:
        """Name of the bank in which it lies, header and padding included; empty outside banks."""
        found = self.banks(index)
        which = bisect_right(found, byte, key=lambda bank: bank.offset) - 1
        return found[which].name if which >= 0 else ""

    def flip(self, index: int, byte: int, bits: int) -> None:
        """Turn bits of a byte of the given file."""
        self._flips[index].append((byte - self.events[index].offset, bits))

    def put(self, index: int, byte: int, word: int) -> None:
        """Write a 32-bit word over four bytes of the given file."""
        self._words[index].append((byte - self.events[index].offset, word & _MASK))

    def drop(self, index: int, first: int, end: int) -> None:
        """Leave out bytes of an event, whose sizes are made to fit."""
        origin = self.events[index].offset
        if (first - origin, end - origin) not in self._gone[index]:
            self._gone[index].append((first - origin, end - origin))

    def length(self, index: int) -> int:
        """Bytes of an event as it will be written."""
        return self.events[index].size - sum(end - first for first, end in self._gone[index])

    @property
    def size(self) -> int:
        """Bytes of all events as they will be written, before the cut."""
        return sum(map(self.length, self.order))

    def first_byte(self, index: int) -> int | None:
        """Where an event will begin; None where it is left out."""
        if index not in self.order:
            return None
        return sum(map(self.length, self.order[: self.order.index(index)]))

    def pieces(self) -> Iterator[bytearray | memoryview]:
        """The changed file, event by event."""
        place = 0
        end = self.size if self.cut is None else self.cut
        for index in self.order:
            piece = self._made(index)
            for first, last in self.holes:
                inside = slice(max(first - place, 0), max(min(last - place, len(piece)), 0))
                if inside.start < inside.stop:
                    piece = bytearray(piece)
                    piece[inside] = bytes(inside.stop - inside.start)
            yield piece[: max(end - place, 0)]
            place += len(piece)

    def _made(self, index: int) -> bytearray | memoryview:
        frame = self.events[index]
        whole = self.data[frame.offset : frame.offset + frame.size]
        if not (self._flips[index] or self._words[index] or self._gone[index]):
            return whole
        changed = bytearray(whole)
        for step, word in self._words[index]:
            changed[step : step + 4] = word.to_bytes(4, "little")
        for step, bits in self._flips[index]:
            changed[step] ^= bits
        for first, end in sorted(self._gone[index], reverse=True):
            del changed[first:end]
            for place in (12, EVENT_HEADER):
                size = int.from_bytes(changed[place : place + 4], "little") - (end - first)
                changed[place : place + 4] = (size & _MASK).to_bytes(4, "little")
        return changed

    def told(self, change: Change) -> dict[str, Any]:
        """A change for people and JSON, its byte as it counts in the changed file."""
        frame = None if change.index is None else self.events[change.index]
        more = dict(change.more)
        byte = more.pop("out", None)
        if byte is None and frame is not None and change.byte is not None:
            byte = self._moved(change, frame)
        if byte is not None and self.cut is not None and byte >= self.cut and change.kind != "truncate":
            byte = None
        bank = change.bank
        if frame is None and byte is not None:
            frame, bank = self._lying_at(byte)
        event = frame.serial if frame is not None and frame.is_data else None
        name = "" if frame is None else frame.name
        return {"kind": change.kind, "byte": byte, "event": event, "where": name, "bank": bank, "what": change.what,
                **more}  # fmt: skip

    def _lying_at(self, byte: int) -> tuple[Frame | None, str]:
        """Event and bank in which a byte of the changed file lies; no bank where banks of that event were left out."""
        for index in self.order:
            if byte < self.length(index):
                frame = self.events[index]
                return frame, "" if self._gone[index] else self.bank_at(index, frame.offset + byte)
            byte -= self.length(index)
        return None, ""

    def _moved(self, change: Change, frame: Frame) -> int | None:
        assert change.index is not None
        assert change.byte is not None
        first = self.first_byte(change.index)
        step = change.byte - frame.offset
        gone = self._gone[change.index]
        if first is None or (change.kind != "drop-bank" and any(a <= step < b for a, b in gone)):
            return None
        return first + step - sum(b - a for a, b in gone if b <= step)
