"""One event of a raw file: its header, its banks, and their words when asked for.

Deliberately independent of the writer: plain integers from bytes, no shared layout.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw import decode
from gm2sim.raw.banks_of_event import Banks, RawBank, failure, walk
from gm2sim.raw.decode_amc13 import Amc13, amc13
from gm2sim.raw.decode_async import Asynchronous, asynchronous
from gm2sim.raw.decode_boards import Board, headers
from gm2sim.raw.decode_fc7 import ClockCrate, StrawWords, fc7_boards, straw_words
from gm2sim.raw.decode_waveforms import Waveforms, waveforms
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.unpack import is_number

BEGIN_OF_RUN, END_OF_RUN, MESSAGE = 0x8000, 0x8001, 0x8002
_CLOCK_CRATE = ("TTCA", "TTCB", "TTCZ")

T = TypeVar("T")


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
    def banks(self) -> Banks:
        """All banks by name, in file order, as if the front end had compressed none.

        Raises
        ------
        RawFormatError
            The sizes do not fit together, or a name appears twice.
        """
        return Banks(self.path, self.walk())

    def walk(self) -> Iterator[RawBank]:
        """The banks as they lie in the file, in order, each checked against the event's end."""
        if self.has_banks:
            yield from walk(self.path, self.offset + 16, self.payload, f"event {self.serial}")

    @property
    def crates(self) -> list[int]:
        """Numbers of the calorimeter crates that sent islands."""
        return self._numbers("T", "C")

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

    @cached_property
    def gps(self) -> decode.Gps | None:
        """Time by GPS and by the 40 MHz clock, or None in files that have none."""
        return self._decoded("GPS0", decode.gps) if "GPS0" in self.banks else None

    @property
    def clock_crate(self) -> ClockCrate | None:
        """What the clock and control crate sent, or None in files that have none."""
        if "TTCA" not in self.banks:
            return None
        return ClockCrate(self._amc13("TTCA", "TTCZ"), self._decoded("TTCB", fc7_boards))

    @property
    def framed_crates(self) -> list[int]:
        """Numbers of the crates that sent headers of their AMC13."""
        return self._numbers("A")

    def amc13(self, crate: int) -> Amc13:
        """Headers and trailers of the AMC13 of a crate of :attr:`framed_crates`."""
        name = self._name("A", crate)
        return self._amc13(name, f"{name[0]}Z{name[2:]}")

    def board_headers(self, crate: int) -> list[Board]:
        """Headers and trailers of the digitisers of a crate, kept when their samples are not (banks CBnn)."""
        return self._decoded(self._name("B", crate), headers)

    def timing(self, crate: int) -> decode.Timing:
        """When a crate of :attr:`framed_crates` did what, and how many events it has counted."""
        return self._decoded(self._name("C", crate), decode.timing)

    @property
    def waveform_crates(self) -> list[int]:
        """Numbers of the crates that sent whole waveforms, auxiliary detectors (above 24) among them."""
        return self._numbers("R", "CLP")

    def waveforms(self, crate: int) -> Waveforms:
        """Whole waveforms of a crate of :attr:`waveform_crates`."""
        return self._decoded(self._name("R", crate, "CLP"), waveforms)

    @property
    def asynchronous_crates(self) -> list[int]:
        """Numbers of the crates that sent pulses on which they triggered themselves."""
        return self._numbers("R", "A")

    def asynchronous(self, crate: int) -> Asynchronous:
        """Pulses of a crate of :attr:`asynchronous_crates`."""
        return self._decoded(f"AR{crate:02d}", asynchronous)

    def straws(self) -> StrawWords | None:
        """Hits of the straw trackers, or None when they were not written."""
        return self._decoded("STRW", straw_words) if "STRW" in self.banks else None

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

    def _amc13(self, head: str, tail: str) -> Amc13:
        bank, trailer = self._bank(head), self._bank(tail)
        return amc13(bank.data, trailer.data, failure(self.path, bank), failure(self.path, trailer))

    def _decoded(self, name: str, decoder: Callable[[memoryview, decode.Fail], T]) -> T:
        bank = self._bank(name)
        return decoder(bank.data, failure(self.path, bank))

    def _bank(self, name: str) -> RawBank:
        bank = self.banks.get(name)
        if bank is None:
            raise RawFormatError(self.path, self.offset, name, f"event {self.serial} has no such bank")
        return bank

    def _name(self, kind: str, crate: int, letters: str = "CLPA") -> str:
        """Name of the crate's bank of a kind, whatever the type of the event."""
        names = [f"{letter}{kind}{crate:02d}" for letter in letters]
        return next((name for name in names if name in self.banks), names[0])

    def _numbers(self, kind: str, letters: str = "CLPA") -> list[int]:
        return sorted(
            int(name[2:])
            for name in self.banks
            if name[0] in letters and name[1] == kind and is_number(name[2:]) and name not in _CLOCK_CRATE
        )
