"""One event of a raw file: its header, its banks, and their words when asked for.

Deliberately independent of the writer: plain integers from bytes, no shared layout.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw import decode
from gm2sim.raw.decode_waveforms import Waveforms, waveforms
from gm2sim.raw.errors import RawFormatError

BEGIN_OF_RUN, END_OF_RUN, MESSAGE = 0x8000, 0x8001, 0x8002
# Bank flags -> bytes of a bank header, bytes of its type and of its size.
_BANK_LAYOUTS = {0x01: (8, 2), 0x11: (12, 4), 0x31: (16, 4)}
_TYPES = range(1, 19)

T = TypeVar("T")


@dataclass(frozen=True)
class RawBank:
    """A bank as it lies in the file.

    Attributes
    ----------
    name : str
    type : int
        MIDAS type number.
    offset : int
        Byte of the file where its header begins.
    data_offset : int
        Byte of the file where its data begins.
    data : memoryview
        Without padding.
    """

    name: str
    type: int
    offset: int
    data_offset: int
    data: memoryview


@dataclass(frozen=True)
class Event:
    """One event. Banks are found when first asked for, words decoded when asked for.

    Attributes
    ----------
    path : Path
    offset : int
        Byte of the file where its header begins.
    event_id, trigger_mask, serial, time : int
        As in the header; ``time`` is Unix time [s].
    payload : memoryview
        Everything after the 16-byte header.
    """

    path: Path
    offset: int
    event_id: int
    trigger_mask: int
    serial: int
    time: int
    payload: memoryview

    @property
    def size(self) -> int:
        """Bytes in the file, header included."""
        return 16 + self.payload.nbytes

    @property
    def has_banks(self) -> bool:
        """False for begin of run, end of run and messages: those hold text."""
        return self.event_id not in (BEGIN_OF_RUN, END_OF_RUN, MESSAGE)

    @property
    def flags(self) -> int:
        """Bank format flags, 0 for text events."""
        return int.from_bytes(self.payload[4:8], "little") if self.has_banks else 0

    @cached_property
    def banks(self) -> dict[str, RawBank]:
        """All banks by name, in file order.

        Raises
        ------
        RawFormatError
            The sizes do not fit together, or a name appears twice.
        """
        found: dict[str, RawBank] = {}
        for bank in self.walk():
            if bank.name in found:
                raise RawFormatError(self.path, bank.offset, bank.name, "appears twice in the event")
            found[bank.name] = bank
        return found

    def walk(self) -> Iterator[RawBank]:
        """The banks in file order, each checked against the event's end."""
        if not self.has_banks:
            return
        size = self.payload.nbytes
        start = self.offset + 16
        claimed = int.from_bytes(self.payload[:4], "little")
        if size < 8 or claimed != size - 8:
            raise RawFormatError(
                self.path,
                start,
                "",
                f"event {self.serial} has {size - 8} bytes of banks but its header says {claimed}",
            )
        if self.flags not in _BANK_LAYOUTS:
            raise RawFormatError(self.path, start + 4, "", f"unknown bank format 0x{self.flags:x}")
        header, width = _BANK_LAYOUTS[self.flags]
        place = 8
        while place < size:
            head = bytes(self.payload[place : place + header])
            name = _printable(head[:4])
            if len(head) < header:
                raise RawFormatError(self.path, start + place, name, f"{len(head)} bytes cannot hold a bank header")
            kind = int.from_bytes(head[4 : 4 + width], "little")
            length = int.from_bytes(head[4 + width : 4 + 2 * width], "little")
            data = place + header
            if kind not in _TYPES:
                raise RawFormatError(self.path, start + place + 4, name, f"unknown type {kind}")
            if data + length > size:
                raise RawFormatError(
                    self.path,
                    start + place,
                    name,
                    f"claims {length} bytes but its event ends after {size - data}",
                )
            yield RawBank(name, kind, start + place, start + data, self.payload[data : data + length])
            place = data + length + -length % 8
            if place > size:
                raise RawFormatError(self.path, start + data + length, name, "its padding goes beyond the event's end")

    @property
    def crates(self) -> list[int]:
        """Numbers of the calorimeter crates that sent islands."""
        return sorted(int(name[2:]) for name in self.banks if name[:2] == "CT" and name[2:].isdecimal())

    @cached_property
    def trigger(self) -> decode.Trigger:
        """Trigger number, mask and time."""
        return self._decoded("TRIG", decode.trigger)

    @property
    def fill_index(self) -> int:
        """Place in the accelerator's supercycle, 0..15."""
        return self.trigger.fill_index

    @property
    def fill_type(self) -> int:
        """1 muon, 2 laser, 3 pedestal, 4 asynchronous."""
        return self.trigger.fill_type

    @property
    def waveform_crates(self) -> list[int]:
        """Numbers of the crates that sent whole waveforms, auxiliary detectors (above 24) among them."""
        return sorted(int(name[2:]) for name in self.banks if _is_raw(name))

    def waveforms(self, crate: int) -> Waveforms:
        """Whole waveforms of a crate of :attr:`waveform_crates`."""
        name = next((name for name in self.banks if _is_raw(name) and int(name[2:]) == crate), f"CR{crate:02d}")
        return self._decoded(name, waveforms)

    def straws(self) -> decode.StrawWords | None:
        """Hits of the straw trackers, or None when they were not written."""
        return self._decoded("STRW", decode.straw_words) if "STRW" in self.banks else None

    def islands(self, crate: int) -> decode.Islands:
        """Islands of crate 1..24, as a sequence of (time, length, samples (54, length))."""
        return self._decoded(f"CT{crate:02d}", decode.islands)

    def pedestals(self, crate: int) -> NDArray[np.float32]:
        """Pedestals of crate 1..24, array (54,) [ADC counts]."""
        return self._decoded(f"CP{crate:02d}", decode.pedestals)

    def calo_sum(self, crate: int) -> NDArray[np.uint32] | None:
        """Decimated sum waveform of crate 1..24, or None when it was not written."""
        return self._decoded(f"CS{crate:02d}", decode.calo_sum) if f"CS{crate:02d}" in self.banks else None

    def q_histogram(self, crate: int) -> decode.QHistogram | None:
        """Q-method histogram of crate 1..24, or None in a fill that did not flush it."""
        return self._decoded(f"CQ{crate:02d}", decode.q_histogram) if f"CQ{crate:02d}" in self.banks else None

    def text(self) -> dict[str, Any]:
        """The run database of a begin-of-run or end-of-run event.

        Raises
        ------
        RawFormatError
            It is not a JSON object.
        """
        start = self.offset + 16
        try:
            tree = json.loads(bytes(self.payload).rstrip(b"\0"))
        except (ValueError, RecursionError) as err:
            place = start + (err.pos if isinstance(err, json.JSONDecodeError) else 0)
            raise RawFormatError(self.path, place, "ODB", f"the run database is not JSON ({err})") from None
        if not isinstance(tree, dict):
            raise RawFormatError(self.path, start, "ODB", "the run database is not a tree")
        return tree

    def _decoded(self, name: str, decoder: Callable[[memoryview, decode.Fail], T]) -> T:
        bank = self.banks.get(name)
        if bank is None:
            raise RawFormatError(self.path, self.offset, name, f"event {self.serial} has no such bank")
        return decoder(bank.data, failure(self.path, bank))


def failure(path: Path, bank: RawBank) -> decode.Fail:
    """What a decoder calls when the words of ``bank`` make no sense: raises with the place in the file."""

    def fail(offset: int, what: str) -> NoReturn:
        raise RawFormatError(path, bank.data_offset + offset, bank.name, what)

    return fail


def _is_raw(name: str) -> bool:
    return name[0] in "CLPA" and name[1] == "R" and name[2:].isdecimal()


def _printable(name: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F else f"\\x{byte:02x}" for byte in name)
