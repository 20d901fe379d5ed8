"""The banks of an event: one function per kind, and the table that says what comes in which order.

Layouts as the experiment's calorimeter front end and master write them (jaca230/CaloReadoutAMC13 @7ff4424,
frontend.cpp; gm2-pisa/gm2daq @4e659df, MasterGM2/frontend.c). A kind is a row of :data:`CRATE_KINDS`; a new
one is a new function and a new row. Each returns the bank's words in pieces that are views of the record.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gm2sim.raw.midas import Bank, Buffer, Tid, words
from gm2sim.raw.record import CRYSTALS, CalorimeterRecord, FillRecord, StrawRecord
from gm2sim.raw.wfd5 import Trigger, payloads

FAMILIES = {1: "C", 2: "L", 3: "P"}
"""First letter of a crate's banks by type of fill: 1 muon, 2 laser, 3 pedestal."""
STRAW_VERSION = 0x47530001  # "GS", 1: the words of STRW are ours, those of the experiment are not public
MAX_ISLANDS = 2**15 - 1  # their number is a signed 16-bit word
_ISLAND_HEADER = 8  # bytes before the samples of an island
_SAMPLE = 2  # bytes

Parts = Sequence[Buffer]


def trigger(fill: FillRecord) -> Parts:
    """TRIG: trigger number, mask, and the times [s, us] of trigger, arrival and readout.

    Bit 0 of the mask is clear, which the master reads as "end of fill". The other bits are not public; here
    bits 1-3 hold the fill type and bits 4-7 the place in the supercycle. The simulated readout takes no time.
    """
    if not 0 <= fill.fill_index < 16:
        raise ValueError(f"fill index {fill.fill_index} is outside the supercycle's 0..15")
    if fill.fill_type not in FAMILIES:
        raise ValueError(f"fill type {fill.fill_type} is not known: give 1 (muon), 2 (laser) or 3 (pedestal)")
    mask = fill.fill_type << 1 | fill.fill_index << 4
    return [words([fill.trigger, mask, *[fill.time_s, fill.time_us] * 3], Tid.DWORD)]


def pedestals(crate: CalorimeterRecord) -> Parts:
    """CPnn: number of crystals, then their pedestals of this fill [ADC counts]."""
    return [words([CRYSTALS], Tid.FLOAT), words(crate.pedestals, Tid.FLOAT)]


def calo_sum(crate: CalorimeterRecord) -> Parts | None:
    """CSnn: number of words, then the waveform summed over the crystals and over groups of samples."""
    if crate.calo_sum is None:
        return None
    return [words([crate.calo_sum.size], Tid.DWORD), words(crate.calo_sum, Tid.DWORD)]


def islands(crate: CalorimeterRecord) -> Parts:
    """CTnn: 16-bit words after this header (32 bit), islands, crystals, ctag (32 bit); then each island.

    An island is its first sample number and its length (32 bit each) and 54 x length samples, crystal by
    crystal.
    """
    count = crate.start.size
    if count > MAX_ISLANDS:
        raise ValueError(f"{count} islands in one calorimeter, but the format counts to {MAX_ISLANDS}")
    sizes = CRYSTALS * _SAMPLE * crate.length.astype(np.int64)
    size = (_ISLAND_HEADER * count + int(sizes.sum())) // _SAMPLE
    headers = words(np.stack([crate.start, crate.length], axis=1), Tid.INT)
    samples = words(crate.samples, Tid.SHORT)
    parts: list[Buffer] = [words([size, CRYSTALS << 16 | count, crate.ctag], Tid.INT)]
    first = 0
    for i, end in enumerate(np.cumsum(sizes).tolist()):
        parts.append(headers[_ISLAND_HEADER * i : _ISLAND_HEADER * (i + 1)])
        parts.append(samples[first:end])
        first = end
    return parts


def q_histogram(crate: CalorimeterRecord) -> Parts | None:
    """CQnn: number of counts, first and last sample, samples a bin, 1, 1, crystals; counts [crystal][bin]."""
    histogram = crate.q_histogram
    if histogram is None:
        return None
    binning = [histogram.first_sample, histogram.last_sample, histogram.samples_per_bin, 1, 1]
    head = words([histogram.counts.size, *binning, CRYSTALS], Tid.DWORD)
    return [head, words(histogram.counts.reshape(-1), Tid.INT)]


def straw_hits(straws: StrawRecord) -> Parts:
    """STRW: version word, width of a TDC bin [ps], number of hits; then channel and TDC bin of each hit."""
    head = words([STRAW_VERSION, straws.bin_ps, straws.channel.size], Tid.DWORD)
    hits = np.stack([straws.channel, straws.tdc], axis=1).astype(np.int32)
    return [head, words(hits.view(np.uint32).reshape(-1), Tid.DWORD)]


class CrateKind(NamedTuple):
    """A kind of bank that every crate may send: prefix of the name, word type, and what fills it."""

    prefix: str
    tid: Tid
    parts: Callable[[CalorimeterRecord], Parts | None]


CRATE_KINDS = (
    CrateKind("CP", Tid.FLOAT, pedestals),
    CrateKind("CS", Tid.DWORD, calo_sum),
    CrateKind("CT", Tid.SHORT, islands),
    CrateKind("CQ", Tid.DWORD, q_histogram),
)


def fill_banks(fill: FillRecord) -> Iterator[Bank]:
    """All banks of a fill in the order of the merged event: the master's, the trackers', then crate by crate.

    Parameters
    ----------
    fill : FillRecord
    """
    yield Bank("TRIG", Tid.DWORD, trigger(fill))
    if fill.straws is not None:
        yield Bank("STRW", Tid.DWORD, straw_hits(fill.straws))
    told = Trigger(fill.trigger, fill.fill_type, fill.clock)
    whole = {record.crate: list(payloads(record, told)) for record in fill.waveforms}
    if len(whole) < len(fill.waveforms):
        raise ValueError("a crate has two records of waveforms: give it one")
    for number in sorted({*range(1, len(fill.calorimeters) + 1), *whole}):
        crate = fill.calorimeters[number - 1] if number <= len(fill.calorimeters) else None
        if crate is not None:
            for kind in CRATE_KINDS:
                parts = kind.parts(crate)
                if parts is not None:
                    yield Bank(f"{kind.prefix}{number:02d}", kind.tid, parts)
        if number in whole:
            yield Bank(f"{FAMILIES[fill.fill_type]}R{number:02d}", Tid.SHORT, whole[number])
