"""Settings of the front ends as their part of the online database: /Equipment/AMC13nn/Settings.

Names and structure as the public front end (jaca230/CaloReadoutAMC13 @7ff4424, amc13_odb.h), with the simulation's
values. What concerns hardware that does not exist here (addresses, tables of registers) is left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gm2sim.raw.fc7 import FIRMWARE as FC7_FIRMWARE
from gm2sim.raw.wfd5 import CHANNELS
from gm2sim.raw.wfd5 import FIRMWARE as WFD5_FIRMWARE

Tree = dict[str, Any]

LOSSLESS, BANK_BY_BANK = "FE Lossless Compression", "FEBankByBankLosslessCompression"
_MODES = {"event": LOSSLESS, "bank": BANK_BY_BANK}
_BLOCK_BYTES = 32_768


@dataclass(frozen=True)
class Readout:
    """Front-end settings that a reader of the file needs.

    Parameters
    ----------
    samples_per_fill : int
        Length of a muon fill [samples].
    sampling_mhz : int
        Digitisation frequency [MHz].
    columns, rows : int
        Crystals of a calorimeter.
    pre_samples, post_samples : int
        Samples kept before and after a threshold crossing.
    threshold_counts : int
        Threshold over the pedestal; pulses are negative [ADC counts].
    sum_decimation : int
        Samples summed into one word of the calorimeter sum.
    histogram_samples_per_bin : int
        Samples summed into one bin of the Q-method histogram.
    histogram_flush_fills : int
        Fills summed into one Q-method histogram.
    calo_sum, histogram : bool
        Whether these banks are written.
    ctag_threshold, ctag_sample : int
        Depth of a cluster that the front end counts [ADC counts], and the sample from which on.
    crates : int
        Calorimeter crates, numbered from 01.
    compression : str
        Of the calorimeters' front ends: "none", "event" (one bank FZnn a crate) or "bank" (bank by bank).
    laser, pedestal : tuple of int
        Waveforms, samples of each, samples between two, in events of these types.
    asynchronous : tuple of int
        Samples of a pulse, and how many of them before its trigger.

    Raises
    ------
    ValueError
        The compression is not known.
    """

    samples_per_fill: int = 560_000
    sampling_mhz: int = 800
    columns: int = 9
    rows: int = 6
    pre_samples: int = 8
    post_samples: int = 18
    threshold_counts: int = -300
    sum_decimation: int = 32
    histogram_samples_per_bin: int = 60
    histogram_flush_fills: int = 4
    calo_sum: bool = True
    histogram: bool = True
    ctag_threshold: int = 1000
    ctag_sample: int = 40_000
    crates: int = 24
    compression: str = "none"
    laser: tuple[int, int, int] = (4, 800, 400)
    pedestal: tuple[int, int, int] = (1, 800, 0)
    asynchronous: tuple[int, int] = (80, 4)

    def __post_init__(self) -> None:
        if self.compression not in ("none", *_MODES):
            raise ValueError(f"front ends do not know compression '{self.compression}': give none, event or bank")


def calorimeter(readout: Readout) -> Tree:
    """A calorimeter's crate."""
    crystals = readout.columns * readout.rows
    return {
        **_crate(readout.compression),
        "TQ01": _t_and_q_method(readout) | _crystal_map(readout),
        **_riders(range(crystals), readout, readout.samples_per_fill, "XTAL"),
    }


def auxiliary(channels: Iterable[int], samples: int, readout: Readout, pulses: Iterable[int] = ()) -> Tree:
    """A crate of whole waveforms.

    Parameters
    ----------
    channels : iterable of int
        5 (slot - 1) + channel of the board.
    samples : int
        Of a waveform in events of muons.
    readout : Readout
    pulses : iterable of int
        Channels on boards in asynchronous mode.
    """
    return {
        **_crate("none"),
        **_riders(channels, readout, samples, "AUX"),
        **_riders(pulses, readout, samples, "AUX", asynchronous=True),
    }


def clock_crate() -> Tree:
    """Crate 00: encoder and trigger."""
    return {
        **_crate("none"),
        "FC7-01": {"Common": _fc7("encoder"), "Encoder": {"WFD5 Async Mode Enabled": True}},
        "FC7-02": {"Common": _fc7("trigger"), "Trigger": {"Fills per supercyc (0->8 1->16)": dword(1)}},
    }


def mode_of(settings: Tree) -> str:
    """How the front end with these settings compresses."""
    globals_ = settings.get("Globals", {})
    return next((mode for mode, name in _MODES.items() if globals_.get(name) is True), "none")


def dword(value: int) -> str:
    """Unsigned words appear in MIDAS' JSON as hexadecimal strings."""
    return f"0x{value:08x}"


def _crate(compression: str) -> Tree:
    return {
        "Globals": {
            "Sync": True,
            "Use AMC13 Simulator": True,
            "Send to Event Builder": True,
            LOSSLESS: compression == "event",
            BANK_BY_BANK: compression == "bank",
            "Raw Data Store": False,
            "Raw Data Prescale": dword(1),
            "Raw Data Prescale Offset": dword(1),
        },
        "Link01": {"Enabled": dword(1)},
        "AMC13": {
            "Header Size (bytes)": dword(4096),
            "AMC Block Size (bytes)": dword(_BLOCK_BYTES),
            "Tail Size (bytes)": dword(8),
            "Fake Data Mode Enabled": False,
        },
    }


def _riders(channels: Iterable[int], readout: Readout, samples: int, kind: str, *, asynchronous: bool = False) -> Tree:
    boards: Tree = {}
    for channel in channels:
        board, here = divmod(channel, CHANNELS)
        settings = boards.setdefault(f"Rider{board + 1:02d}", {"Board": _digitiser(readout, samples, asynchronous)})
        settings[f"Channel{here:02d}"] = {"Enabled": True, "Input Type": kind}
    return boards


def _digitiser(readout: Readout, samples: int, asynchronous: bool) -> Tree:
    length, before = readout.asynchronous
    types = ((1, samples, 0), readout.laser, readout.pedestal)
    triggers = {
        f"Trigger Type {number}: {name}": value
        for number, (count, size, gap) in enumerate(types, 1)
        for name, value in (
            ("Enabled", not asynchronous),
            ("Waveform Count", dword(count)),
            ("Waveform Length", dword(size)),
            ("Waveform Gap", dword(gap)),
        )
    }
    return {
        "Enabled": True,
        "FPGA Firmware Version Required": _version(WFD5_FIRMWARE),
        "Digitization Frequency (MHz)": str(readout.sampling_mhz),
        "ADC Data Endianness": "little",
        "Trigger Delay (ns)": dword(0),
        "Async Mode: Enabled": asynchronous,
        "Async Mode: Waveform Length": dword(length),
        "Async Mode: Waveform Presamples": dword(before),
        **triggers,
    }


def _fc7(board: str) -> Tree:
    return {
        "Enabled": True,
        "Board (encoder,fanout,trigger)": board,
        "FPGA Firmware Version Required": _version(FC7_FIRMWARE),
    }


def _version(numbers: tuple[int, int, int]) -> str:
    return ".".join(map(str, numbers))


def _crystal_map(readout: Readout) -> Tree:
    """Column and row of each channel, from 1."""
    boards: Tree = {}
    for crystal in range(readout.columns * readout.rows):
        board, channel = divmod(crystal, CHANNELS)
        row, column = divmod(crystal, readout.columns)
        boards.setdefault(f"Rider{board + 1:02d}", {})[f"Channel{channel:02d}"] = {
            "Det x-segmt (for array map)": column + 1,
            "Det y-segmt (for array map)": row + 1,
        }
    return boards


def _t_and_q_method(readout: Readout) -> Tree:
    return {
        "TQ Midas Bank prefix": "C",
        "TQ map type (0-array,1-enabled)": 0,
        "GPU T,Q,P bank processing": True,
        "waveform length": readout.samples_per_fill,
        "GPU first sample": 1,
        "GPU last sample": readout.samples_per_fill,
        "array x-segments": readout.columns,
        "array y-segments": readout.rows,
        "island presamples": readout.pre_samples,
        "island postsamples": readout.post_samples,
        "thres type 0-dt,1-sm,2-eg,3-wgt": 2,
        "global threshold value": readout.threshold_counts,
        "+ve(-ve) global thres xing Y(N)": False,
        "use individual thresholds Y(N)": False,
        "pedestal type 0-glbl,1-fbyf": 1,
        "Calo sum time decimation": readout.sum_decimation if readout.calo_sum else 0,
        "GPU H bank processing ": readout.histogram,
        "histo data subtract pedestal ": False,
        "histo data time decimation": readout.histogram_samples_per_bin,
        "histo data first sample index": 1,
        "histo data last sample index": readout.samples_per_fill,
        "histo data rebin intervals": 1,
        "histo data rebin multiplier": 1,
        "histo data flush period": readout.histogram_flush_fills,
        "histo data flush offset": 0,
        "histo data by seq num Y(N)": False,
        "run gpu fitter (1 yes, 0 no)": 0,
        "CTAG threshold": readout.ctag_threshold,
        "CTAG time cut": readout.ctag_sample,
        "T-method Mask": False,
        "Save full calo": True,
        "Save truncated calo": False,
        "Save xtal border": False,
        "Fill type": 1,
        "T-method prescale": 1,
    }
