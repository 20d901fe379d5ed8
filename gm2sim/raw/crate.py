"""What one crate sends for one trigger: payloads of its boards (xR) and the words that frame them (xA, xB, xZ, xC)."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from gm2sim.raw import asynchronous, wfd5
from gm2sim.raw.amc13 import Frame, cdf_header
from gm2sim.raw.midas import Bank, Buffer, Tid
from gm2sim.raw.payload import Payload, Words, joined, parts
from gm2sim.raw.record import CRYSTALS, FillRecord
from gm2sim.raw.trigger import Trigger
from gm2sim.raw.wfd5 import Digitiser

FAMILIES = {1: "C", 2: "L", 3: "P", 4: "A"}
"""First letter of a crate's banks by type of event: 1 muon, 2 laser, 3 pedestal, 4 asynchronous."""

_WORD = 8  # bytes
_STEP = 1000  # us that each step of the crate's readout takes
_BYTES_A_US = 1000  # from the crate to the front end
_STEPS_AFTER = 6  # behind the arrival of all data
_TIMES_AT, _TIMING_WORDS = 1, 22


class Answering(Protocol):
    """A crate's part in an event: see :class:`Answer` and :class:`Unkept`."""

    def banks(self) -> Iterator[Bank]:
        """xR, xA, xB, xZ in order, where they are sent."""

    @property
    def header(self) -> bytes:
        """The first word of the AMC13's event, as it is sent."""

    @property
    def words(self) -> int:
        """Of that event."""


class Answer:
    """Payloads that are kept, made one by one while they are written.

    Parameters
    ----------
    crate : int
    trigger : Trigger
    payloads : sequence of Payload
        In order of the slots.
    """

    def __init__(self, crate: int, trigger: Trigger, payloads: Sequence[Payload]) -> None:
        self._crate = crate
        self._trigger = trigger
        self._payloads = payloads
        self._frame = Frame(crate, trigger, [one.board for one in payloads])
        self.header, self.words = self._frame.header, self._frame.words
        self._heads: list[Words] = []
        self._closed: tuple[Words, Words] | None = None

    def banks(self) -> Iterator[Bank]:
        """The banks; the contents of xR are to be taken before those of the others."""
        family = FAMILIES[self._trigger.fill_type]
        size = _WORD * sum(one.board.words for one in self._payloads)
        yield Bank(f"{family}R{self._crate:02d}", Tid.SHORT, self._sent(), size)
        yield Bank(f"{family}A{self._crate:02d}", Tid.DWORD, self._frame_words(0), _WORD * self._frame.frame_words)
        if family == "C":
            picked = sum(len(one.picked) for one in self._payloads if isinstance(one, Digitiser))
            yield Bank(f"CB{self._crate:02d}", Tid.DWORD, self._picked(), _WORD * picked)
        yield Bank(f"{family}Z{self._crate:02d}", Tid.DWORD, self._frame_words(1), _WORD)

    def _sent(self) -> Iterator[Buffer]:
        """The payloads in parts; each may be overwritten by the next."""
        for place, one in enumerate(self._payloads):
            picked = one.picked if isinstance(one, Digitiser) else []
            begin = first = 0
            for part in self._frame.take(place, parts(one, self._trigger)):
                end = begin + len(part) // _WORD
                last = bisect_left(picked, end, first)
                if first < last:
                    self._heads.append(np.frombuffer(part, ">u8")[np.array(picked[first:last]) - begin])
                yield part
                begin, first = end, last

    def _frame_words(self, which: int) -> Iterator[Buffer]:
        if self._closed is None:
            self._closed = self._frame.close()
        yield self._closed[which].data.cast("B")

    def _picked(self) -> Iterator[Buffer]:
        yield joined(self._heads).data.cast("B")


class Unkept:
    """A calorimeter's answer in a fill of muons whose samples were not kept: all sizes, but no check sums.

    Parameters
    ----------
    crate : int
    trigger : Trigger
    full : FullEvent
    """

    def __init__(self, crate: int, trigger: Trigger, full: "FullEvent") -> None:
        self._crate = crate
        self._full = full
        self.header = cdf_header(crate, trigger).to_bytes(_WORD, "big")
        self.words = full.words

    def banks(self) -> Iterator[Bank]:
        """CA, CB, CZ."""
        full = self._full
        yield Bank(f"CA{self._crate:02d}", Tid.DWORD, [self.header, full.frame[_WORD:]])
        yield Bank(f"CB{self._crate:02d}", Tid.DWORD, [full.headers])
        yield Bank(f"CZ{self._crate:02d}", Tid.DWORD, [full.last])


class FullEvent:
    """What all calorimeters send alike when their samples are not kept.

    Parameters
    ----------
    trigger : Trigger
    samples : int
        Of a crystal.
    """

    def __init__(self, trigger: Trigger, samples: int) -> None:
        boards = wfd5.digitisers(tuple(range(CRYSTALS)), 1, samples)
        frame = Frame(0, trigger, [one.board for one in boards], summed=False)
        self.words = frame.words
        self.frame, self.last = (part.data.cast("B") for part in frame.close())
        self.headers = joined([one.headers(trigger) for one in boards]).data.cast("B")


def answers(fill: FillRecord, trigger: Trigger) -> dict[int, Answering]:
    """The crates that answer, by number.

    Raises
    ------
    ValueError
        A crate has two records, or pulses come in an event that is not asynchronous.
    """
    if fill.asynchronous and fill.fill_type != 4:
        raise ValueError(f"event {fill.serial}: asynchronous pulses belong in events of type 4, not {fill.fill_type}")
    found: dict[int, Answering] = {}
    for record in fill.waveforms:
        _put(found, record.crate, Answer(record.crate, trigger, wfd5.boards_of(record)))
    for pulses in fill.asynchronous:
        _put(found, pulses.crate, Answer(pulses.crate, trigger, asynchronous.boards_of(pulses)))
    full = None
    for crate, sent in enumerate(fill.calorimeters, 1):
        if sent is not None and crate not in found:
            full = full or FullEvent(trigger, fill.fill_samples)
            found[crate] = Unkept(crate, trigger, full)
    return found


def timing(crate: int, fill: FillRecord, answer: Answering) -> Bank:
    """xCnn: the header as received, then when each step of the readout was done, and numbers of the event.

    The crate counts all events, also those for which it has nothing to send.
    """
    words = np.zeros(_TIMING_WORDS, "<u8")
    words[:1] = np.frombuffer(answer.header, "<u8")
    header = _STEP
    arrived = header + _WORD * answer.words // _BYTES_A_US
    after = [0, header, arrived, *(arrived + _STEP * (step + 1) for step in range(_STEPS_AFTER))]
    times = fill.time_us + np.array(after, np.uint64)
    words[_TIMES_AT : _TIMES_AT + 2 * len(after) : 2] = fill.time_s + times // 1_000_000
    words[_TIMES_AT + 1 : _TIMES_AT + 1 + 2 * len(after) : 2] = times % 1_000_000
    words[-3:] = fill.serial, fill.serial, fill.muon_fill
    return Bank(f"{FAMILIES[fill.fill_type]}C{crate:02d}", Tid.DWORD, [words.data.cast("B")])


def small_event(source: int, trigger: Trigger, boards: Sequence[Payload]) -> tuple[Buffer, Buffer, Buffer]:
    """Payloads, frame and trailer of a crate that sends little, as they are kept in three banks."""
    frame = Frame(source, trigger, [one.board for one in boards])
    sent = b"".join(bytes(part) for place, one in enumerate(boards) for part in frame.take(place, parts(one, trigger)))
    words, last = frame.close()
    return sent, words.data.cast("B"), last.data.cast("B")


def _put(found: dict[int, Answering], crate: int, answer: Answering) -> None:
    if crate in found:
        raise ValueError(f"crate {crate} has two records of waveforms: give it one")
    found[crate] = answer
