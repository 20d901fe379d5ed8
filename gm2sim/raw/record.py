"""What one fill hands to the raw data: the digitiser's arrays and the numbers that label the event."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gm2sim.raw.asynchronous import AsynchronousRecord
from gm2sim.raw.wfd5 import WaveformRecord

CRYSTALS = 54  # 9 columns x 6 rows a calorimeter
STRAWS_OF_STATION = 1024
STATIONS = 2


@dataclass(frozen=True)
class HistogramRecord:
    """Q-method histogram of one calorimeter, summed over fills.

    Parameters
    ----------
    counts : int32 array (54, bins)
        Sum of the samples of each bin, crystal by crystal [ADC counts].
    samples_per_bin : int
        Samples summed into one bin.
    first_sample : int
        First sample of the fill in the histogram, counted from 1 as the front end does.
    """

    counts: NDArray[np.int32]
    samples_per_bin: int
    first_sample: int = 1

    @property
    def last_sample(self) -> int:
        """Last sample of the fill in the histogram, counted from 1."""
        return self.first_sample + int(self.counts.shape[1]) * self.samples_per_bin - 1


@dataclass(frozen=True)
class CalorimeterRecord:
    """Everything one calorimeter crate sends for one fill.

    Parameters
    ----------
    start, length : int32 arrays (k,)
        First sample number in the fill and number of samples of each island.
    samples : int16 array (sum of 54 length,)
        ADC counts in the order island, crystal, sample.
    pedestals : float32 array (54,)
        Pedestals of this fill [ADC counts].
    calo_sum : uint32 array (m,) or None
        Waveform summed over the 54 crystals and over ``fill length / m`` samples; None leaves the bank out.
    q_histogram : HistogramRecord or None
        Only in the fills that flush the histogram.
    ctag : int
        The front end's count of high-energy clusters at late times.

    Raises
    ------
    ValueError
        The arrays do not fit together.
    """

    start: NDArray[np.int32]
    length: NDArray[np.int32]
    samples: NDArray[np.int16]
    pedestals: NDArray[np.float32]
    calo_sum: NDArray[np.uint32] | None = None
    q_histogram: HistogramRecord | None = None
    ctag: int = 0

    def __post_init__(self) -> None:
        if self.start.shape != self.length.shape:
            raise ValueError(f"{self.start.size} island starts but {self.length.size} island lengths")
        wanted = CRYSTALS * int(self.length.sum(dtype=np.int64))
        if self.samples.size != wanted:
            raise ValueError(f"islands of {CRYSTALS} crystals need {wanted} samples, got {self.samples.size}")
        if self.samples.dtype != np.int16:
            raise ValueError(f"samples must be int16, got {self.samples.dtype}")
        if self.pedestals.size != CRYSTALS:
            raise ValueError(f"{self.pedestals.size} pedestals for {CRYSTALS} crystals")
        if self.q_histogram is not None and self.q_histogram.counts.shape[0] != CRYSTALS:
            raise ValueError(f"{self.q_histogram.counts.shape[0]} histogram rows for {CRYSTALS} crystals")


@dataclass(frozen=True)
class StrawRecord:
    """Hits of both tracker stations in one fill.

    Parameters
    ----------
    channel : int array (k,)
        ((station 8 + module) 4 + layer) 32 + wire.
    tdc : int array (k,)
        Time in bins since the bunch centre left the inflector; it may be negative.
    bin_ps : int
        Width of a bin [ps].
    width : int array (k,), optional
        Width of each pulse in bins, 0 where it was not measured.
    stations : tuple of int
        Those that are on: each sends an event, with or without hits.

    Raises
    ------
    ValueError
        The arrays do not fit together, or a number does not fit its word.
    """

    channel: NDArray[np.integer]
    tdc: NDArray[np.integer]
    bin_ps: int = 625
    width: NDArray[np.integer] | None = None
    stations: tuple[int, ...] = tuple(range(STATIONS))

    def __post_init__(self) -> None:
        if self.channel.shape != self.tdc.shape:
            raise ValueError(f"{self.channel.size} channels of straws but {self.tdc.size} times")
        if self.width is not None and self.width.shape != self.channel.shape:
            raise ValueError(f"{self.channel.size} channels of straws but {self.width.size} widths")
        if not 0 < self.bin_ps < 2**32:
            raise ValueError(f"a bin of {self.bin_ps} ps: give 1 to {2**32 - 1}")
        if list(self.stations) != sorted(set(self.stations)) or not set(self.stations) <= set(range(STATIONS)):
            raise ValueError(f"stations {self.stations}: give those of 0 to {STATIONS - 1} that are on, in order")
        if not np.isin(self.channel // STRAWS_OF_STATION, self.stations).all():
            raise ValueError(f"hits of a straw that is in none of the stations {self.stations}")
        for name, low, high in (("tdc", -(2**31), 2**31), ("width", 0, 2**16)):
            values = getattr(self, name)
            if values is not None and np.any((values < low) | (values >= high)):
                raise ValueError(f"{name} of a straw's hit must be {low} to {high - 1}")

    def words(self) -> NDArray[np.uint64]:
        """A word for each hit: mark, straw of its station, width and time."""
        straw = (self.channel % STRAWS_OF_STATION).astype(np.int64)
        width = np.zeros(straw.size, np.int64) if self.width is None else self.width.astype(np.int64)
        return (1 << 60 | straw << 48 | width << 32 | self.tdc.astype(np.int64) & 0xFFFFFFFF).astype(np.uint64)


@dataclass(frozen=True)
class FillRecord:
    """One event as it goes into the raw file: muons, a pulse of the laser, a look at the pedestals, or pulses of none.

    Parameters
    ----------
    serial : int
        Event number in the run, from 0.
    trigger : int
        Trigger number of the master, from 1.
    time_s, time_us : int
        Unix time of the fill: seconds and microseconds, from the run's time line.
    fill_index : int
        Place of the fill in the accelerator's supercycle, 0..15.
    calorimeters : tuple of CalorimeterRecord or None
        The crates 01, 02, ... in order, None for one that sent nothing; empty in events without muons.
    fill_type : int
        1 muon, 2 laser, 3 pedestal, 4 asynchronous.
    clock : int
        Counts of the 40 MHz clock at the trigger since the begin of run.
    waveforms : tuple of WaveformRecord
        Whole waveforms, one a crate at most.
    straws : StrawRecord, optional
    asynchronous : tuple of AsynchronousRecord
        Pulses, one record a crate at most; in events of type 4 only.
    muon_fill : int
        Number of the fill of muons in the run, from 0: this one, or the one before.
    fill_samples : int
        Samples of a crystal in a fill of muons, whether they are kept or not: a multiple of 8.
    """

    serial: int
    trigger: int
    time_s: int
    time_us: int
    fill_index: int
    calorimeters: tuple[CalorimeterRecord | None, ...] = ()
    fill_type: int = 1
    clock: int = 0
    waveforms: tuple[WaveformRecord, ...] = ()
    straws: StrawRecord | None = None
    asynchronous: tuple[AsynchronousRecord, ...] = ()
    muon_fill: int = 0
    fill_samples: int = 560_000
