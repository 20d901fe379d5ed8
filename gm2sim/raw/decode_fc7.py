"""FC7 boards: those of the clock and control crate (TTCB), and those of the straw trackers (STRW).

Written from the format's page and not from the writer, so that reading back is a test of the writing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.decode import Fail
from gm2sim.raw.decode_amc13 import Amc13, Framed, framed
from gm2sim.raw.decode_boards import FC7, HEAD, WORD, BoardHead, head_of, payloads

STATION_SOURCE = 0x900
TRACKER = 3  # kind of FC7
_OLD_STRAWS, _STRAWS = 0x47530001, 0x47530002
_STATION_CHANNELS = 8 * 4 * 32
_STATIONS = 2


class ClockCrate(NamedTuple):
    """What the clock and control crate (00) sent for one trigger.

    Attributes
    ----------
    frame : Amc13
    boards : tuple of BoardHead
        Encoder (kind 1) and trigger (kind 2).
    """

    frame: Amc13
    boards: tuple[BoardHead, ...]


class StrawWords(NamedTuple):
    """The STRW bank.

    Attributes
    ----------
    channel : int32 array (k,)
        ((station 8 + module) 4 + layer) 32 + wire.
    tdc : int32 array (k,)
        Bins since the bunch centre left the inflector.
    bin_ps : int
        Width of a bin [ps]; 0 when no station has sent.
    width : int32 array (k,)
        Of the pulse in bins; 0 where it was not measured.
    stations : tuple of int
        Those that have sent an event; both in files of version 1, which do not say.
    """

    channel: NDArray[np.int32]
    tdc: NDArray[np.int32]
    bin_ps: int
    width: NDArray[np.int32]
    stations: tuple[int, ...]


class StrawEvent(NamedTuple):
    """One station of version 2.

    Attributes
    ----------
    station : int
    event : Framed
    head : BoardHead
        Of its FC7.
    bin_ps : int
    hits : uint64 array (k,)
    """

    station: int
    event: Framed
    head: BoardHead
    bin_ps: int
    hits: NDArray[np.uint64]


def fc7_boards(data: memoryview, fail: Fail) -> tuple[BoardHead, ...]:
    """Decode TTCB: payloads of FC7 boards; what they hold between head and last word is not looked at."""
    found = tuple(head for head, _ in payloads(data, fail))
    for head in found:
        if head.board_type != FC7:
            fail(head.first + WORD, f"board type {head.board_type} in slot {head.slot} is no FC7")
    return found


def straw_words(data: memoryview, fail: Fail) -> StrawWords:
    """Decode STRW of both versions."""
    if data.nbytes >= 4 and int.from_bytes(data[:4], "little") == _OLD_STRAWS:
        return _first_version(data, fail)
    events = straw_events(data, fail)
    widths = sorted({one.bin_ps for one in events})
    if len(widths) > 1:
        fail(0, f"stations with bins of {widths[0]} and {widths[1]} ps")
    hits = np.concatenate([np.empty(0, np.uint64), *(one.hits for one in events)])
    stations = np.repeat([one.station for one in events], [one.hits.size for one in events]).astype(np.int32)
    return StrawWords(
        (hits >> 48 & 0xFFF).astype(np.int32) + stations * np.int32(_STATION_CHANNELS),
        (hits & 0xFFFFFFFF).astype(np.uint32).view(np.int32),
        widths[0] if widths else 0,
        (hits >> 32 & 0xFFFF).astype(np.int32),
        tuple(one.station for one in events),
    )


def straw_events(data: memoryview, fail: Fail) -> list[StrawEvent]:
    """The AMC13 events of a bank STRW of version 2, one a station."""
    if data.nbytes % WORD:
        fail(0, f"{data.nbytes} bytes are no whole number of 8-byte words")
    words = np.frombuffer(data, "<u8")
    found: list[StrawEvent] = []
    place = 0
    while place < words.size:
        event = framed(words, place, fail)
        found.append(_station(event, WORD * place, fail))
        place += event.words.size
    stations = [one.station for one in found]
    if stations != sorted(set(stations)):
        fail(0, "stations are not in order, or come twice")
    return found


def _station(event: Framed, place: int, fail: Fail) -> StrawEvent:
    station = event.frame.source - STATION_SOURCE
    if not 0 <= station < _STATIONS:
        fail(place, f"source 0x{event.frame.source:x} is no station of straws")
    words = event.payloads.get(1)
    if words is None or len(event.payloads) != 1 or words.size < HEAD + 3:
        fail(place, f"station {station} has not one board in slot 1 with {HEAD + 3} words at least")
    head = head_of([*words[:HEAD].tolist(), int(words[-1])], place)
    if head.board_type != FC7 or head.kind != TRACKER:
        fail(place, f"board type {head.board_type}, kind {head.kind}, of station {station} is no FC7 of straws")
    if head.words != words.size or head.raw[3] & 0xFFFFF != words.size:
        fail(place, f"the board of station {station} sent {words.size} words, its header says {head.words}")
    version, count = int(words[HEAD]) >> 32, int(words[HEAD]) & 0xFFFFFFFF
    if version != _STRAWS:
        fail(place, f"version word 0x{version:08x} is not known")
    hits = words[HEAD + 2 : -1]
    if count != hits.size:
        fail(place, f"station {station} counts {count} hits, there are words of {hits.size}")
    if np.any(hits >> 60 != 1):
        fail(place, f"hit {int(np.argmax(hits >> 60 != 1))} of station {station} is no hit")
    width = int(words[HEAD + 1]) >> 32
    if width <= 0:
        fail(place, f"bins of {width} ps cannot be")
    return StrawEvent(station, event, head, width, hits)


def _first_version(data: memoryview, fail: Fail) -> StrawWords:
    """Columns are views: pairs of channel and time."""
    if data.nbytes % 4:
        fail(0, f"{data.nbytes} bytes are no whole number of 4-byte words")
    words = np.frombuffer(data, "<i4")
    if words.size < 3:
        fail(0, f"{words.size} words are fewer than the 3 of its header")
    _, width, count = words[:3].tolist()
    if width <= 0:
        fail(4, f"bins of {width} ps cannot be")
    if words.size != 3 + 2 * count:
        fail(8, f"{count} hits need {3 + 2 * count} words, there are {words.size}")
    hits = words[3:].reshape(-1, 2)
    return StrawWords(hits[:, 0], hits[:, 1], width, np.zeros(count, np.int32), tuple(range(_STATIONS)))
