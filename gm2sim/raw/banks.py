"""The banks of an event: one function per kind, and the table that says what comes in which order.

Layouts as the experiment's calorimeter front end and master write them (jaca230/CaloReadoutAMC13 @7ff4424,
frontend.cpp; gm2-pisa/gm2daq @4e659df, MasterGM2/frontend.c). A kind is a row of :data:`CRATE_KINDS`; a new
one is a new function and a new row. Each returns the bank's words in pieces that are views of the record.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.compress import compressed
from gm2sim.raw.crate import FAMILIES, answers, small_event, timing
from gm2sim.raw.fc7 import CLOCK_BOARDS, CLOCK_CRATE, straw_events
from gm2sim.raw.midas import Bank, Buffer, Tid, words
from gm2sim.raw.record import CRYSTALS, CalorimeterRecord, FillRecord
from gm2sim.raw.trigger import Trigger

GPS_VERSION = 0x47500001  # "GP", 1: the words of GPS0 are ours, those of the experiment are not public
MAX_ISLANDS = 2**15 - 1  # their number is a signed 16-bit word
_BANK_HEAD, _ISLAND_HEAD = 3, 2  # 32-bit words
_GPS_EPOCH = 315_964_800  # 6 January 1980 in Unix time
_LEAP_SECONDS = 18  # of GPS before UTC, since 2017
_WEEK = 604_800  # s
_LOCKED = 1

Parts = Sequence[Buffer]


def trigger(fill: FillRecord) -> Parts:
    """TRIG: trigger number, mask, and the times [s, us] of trigger, arrival and readout.

    Bit 0 of the mask is clear, which the master reads as "end of fill". The other bits are not public; here
    bits 1-3 hold the fill type and bits 4-7 the place in the supercycle. The simulated readout takes no time.
    """
    if not 0 <= fill.fill_index < 16:
        raise ValueError(f"fill index {fill.fill_index} is outside the supercycle's 0..15")
    if fill.fill_type not in FAMILIES:
        raise ValueError(f"fill type {fill.fill_type} is not known: give 1 (muon), 2 (laser), 3 (pedestal) or 4 "
                         "(asynchronous)")  # fmt: skip
    mask = fill.fill_type << 1 | fill.fill_index << 4
    return [words([fill.trigger, mask, *[fill.time_s, fill.time_us] * 3], Tid.DWORD)]


def gps(fill: FillRecord) -> Parts:
    """GPS0: version word, UTC of the trigger [s, ns], clock (low 32 bits, high 12), GPS week, ms in it, status.

    Times before the GPS have neither week nor lock.
    """
    clock = fill.clock & (2**44 - 1)
    since = fill.time_s - _GPS_EPOCH + _LEAP_SECONDS
    week, second = divmod(since, _WEEK)
    told = [week, 1000 * second + fill.time_us // 1000, _LOCKED] if since >= 0 else [0, 0, 0]
    times = [fill.time_s, 1000 * fill.time_us, clock & 0xFFFFFFFF, clock >> 32]
    return [words([GPS_VERSION, *times, *told], Tid.DWORD)]


def pedestals(crate: CalorimeterRecord) -> Parts:
    """CPnn: number of crystals, then their pedestals of this fill [ADC counts]."""
    return [words([CRYSTALS], Tid.FLOAT), words(crate.pedestals, Tid.FLOAT)]


def calo_sum(crate: CalorimeterRecord) -> Parts | None:
    """CSnn: number of words, then the waveform summed over the crystals and over groups of samples."""
    if crate.calo_sum is None:
        return None
    return [words([crate.calo_sum.size], Tid.DWORD), words(crate.calo_sum, Tid.DWORD)]


def islands(crate: CalorimeterRecord) -> Iterator[Buffer]:
    """CTnn: 16-bit words after this header (32 bit), islands, crystals, ctag (32 bit); then each island.

    An island is its first sample number and its length (32 bit each) and 54 x length samples, crystal by
    crystal. The bank is made when it is written, so that the cache still holds it.
    """
    step = _island_steps(crate)
    first = _BANK_HEAD + np.cumsum(step) - step
    bank = np.empty(_BANK_HEAD + int(step.sum()), "<i4")
    is_sample = np.ones(bank.size, np.bool_)
    is_sample[:_BANK_HEAD] = is_sample[first] = is_sample[first + 1] = False
    bank[:_BANK_HEAD] = 2 * (bank.size - _BANK_HEAD), CRYSTALS << 16 | step.size, crate.ctag
    bank[first], bank[first + 1] = crate.start, crate.length
    bank[is_sample] = np.ascontiguousarray(crate.samples, "<i2").view("<i4")
    yield bank.data.cast("B")


def island_bytes(crate: CalorimeterRecord) -> int:
    """Size of CTnn."""
    if crate.start.size > MAX_ISLANDS:
        raise ValueError(f"{crate.start.size} islands in one calorimeter, but the format counts to {MAX_ISLANDS}")
    return 4 * (_BANK_HEAD + int(_island_steps(crate).sum()))


def _island_steps(crate: CalorimeterRecord) -> NDArray[np.int64]:
    """32-bit words of each island: the 54 samples of all crystals at one time are 27 of them."""
    return _ISLAND_HEAD + CRYSTALS // 2 * crate.length.astype(np.int64)


def q_histogram(crate: CalorimeterRecord) -> Parts | None:
    """CQnn: number of counts, first and last sample, samples a bin, 1, 1, crystals; counts [crystal][bin]."""
    histogram = crate.q_histogram
    if histogram is None:
        return None
    binning = [histogram.first_sample, histogram.last_sample, histogram.samples_per_bin, 1, 1]
    head = words([histogram.counts.size, *binning, CRYSTALS], Tid.DWORD)
    return [head, words(histogram.counts.reshape(-1), Tid.INT)]


class CrateKind(NamedTuple):
    """A kind of bank that every crate may send: prefix of the name, word type, what fills it, and how large it is.

    The size is that of the parts where these are a sequence.
    """

    prefix: str
    tid: Tid
    parts: Callable[[CalorimeterRecord], Iterable[Buffer] | None]
    size: Callable[[CalorimeterRecord], int] = lambda _: -1


CRATE_KINDS = (
    CrateKind("CP", Tid.FLOAT, pedestals),
    CrateKind("CS", Tid.DWORD, calo_sum),
    CrateKind("CT", Tid.SHORT, islands, island_bytes),
    CrateKind("CQ", Tid.DWORD, q_histogram),
)


def fill_banks(fill: FillRecord, compression: Mapping[int, str] | None = None) -> Iterator[Bank]:
    """All banks of a fill in the order of the merged event: the master's, the trackers', then crate by crate.

    Parameters
    ----------
    fill : FillRecord
    compression : mapping, optional
        Crate -> how its front end compresses (:data:`gm2sim.raw.compress.MODES`).
    """
    yield Bank("TRIG", Tid.DWORD, trigger(fill))
    yield Bank("GPS0", Tid.DWORD, gps(fill))
    told = Trigger(fill.trigger, fill.fill_type, fill.clock)
    if fill.straws is not None and fill.straws.stations:
        yield Bank("STRW", Tid.DWORD, list(straw_events(fill.straws, told)))
    bodies, frame, last = small_event(CLOCK_CRATE, told, CLOCK_BOARDS)
    yield Bank("TTCA", Tid.DWORD, [frame])
    yield Bank("TTCB", Tid.SHORT, [bodies])
    yield Bank("TTCZ", Tid.DWORD, [last])
    for number, answer in sorted(answers(fill, told).items()):
        own = chain(_physics(number, fill), answer.banks(), [timing(number, fill, answer)])
        yield from compressed(number, own, (compression or {}).get(number, "none"))


def _physics(number: int, fill: FillRecord) -> Iterator[Bank]:
    """What the front end of a calorimeter makes of its samples."""
    crate = fill.calorimeters[number - 1] if number <= len(fill.calorimeters) else None
    if crate is None:
        return
    for kind in CRATE_KINDS:
        parts = kind.parts(crate)
        if parts is not None:
            yield Bank(f"{kind.prefix}{number:02d}", kind.tid, parts, kind.size(crate))
