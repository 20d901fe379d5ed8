"""The online database (ODB) that travels in the begin-of-run and end-of-run events, as JSON.

Names and structures of /Equipment/AMC13nn/Settings follow the public front end (jaca230/CaloReadoutAMC13
@7ff4424, amc13_odb.h) with the simulation's values; /Simulation is our own. The same inputs give the same
bytes: no clock, no host name.
"""

import json
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

_STOPPED, _RUNNING = 1, 3  # /Runinfo/State
_ALIGNMENT = 4  # bytes: as banks are, whose headers have 12


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
    crates : int
        Calorimeter crates, numbered from 01.
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
    crates: int = 24


def run_tree(
    run: int,
    subrun: int,
    start_time: int,
    readout: Readout,
    simulation: Mapping[str, Any],
    auxiliary: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The database at the begin of a subrun file.

    Parameters
    ----------
    run, subrun : int
    start_time : int
        Unix time of the begin of this file, from the run's time line [s].
    readout : Readout
    simulation : mapping
        Becomes /Simulation: version, resolved configuration and its hash, seed, calibration constants. Arrays
        and numpy numbers are welcome.
    auxiliary : mapping, optional
        Crate of each auxiliary detector -> what its waveforms mean: becomes /Equipment/AMC13nn/Settings/Monitor.
    """
    equipment = {f"AMC13{crate:02d}": _crate(crate, readout) for crate in range(1, readout.crates + 1)}
    for crate, settings in (auxiliary or {}).items():
        equipment[f"AMC13{crate:02d}"] = {
            "Common": _common(1, 0xFFFF, f"BUF{crate:02d}"), "Settings": {"Monitor": dict(settings)}
        }  # fmt: skip
    return {
        "Experiment": {"Name": "gm2sim", "MAX_EVENT_SIZE": _dword(2**31)},
        "Runinfo": {
            "State": _RUNNING,
            "Online Mode": 0,
            "Run number": run,
            "Subrun number": subrun,
            "Start time": time.asctime(time.gmtime(start_time)),
            "Start time binary": _dword(start_time),
            "Stop time": "",
            "Stop time binary": _dword(0),
        },
        "Logger": {"Channels": {"0": _logger_channel(run, subrun)}},
        "Equipment": {
            "EB": {"Common": _common(1, 0, "SYSTEM"), "Statistics": {"Events sent": 0}},
            **equipment,
        },
        "Simulation": {"simulated": True, "run": run, "subrun": subrun, **simulation},
    }


def ended(tree: Mapping[str, Any], stop_time: int, events: int) -> dict[str, Any]:
    """The database at the end of the same file.

    Parameters
    ----------
    tree : mapping
        As given at the begin; not changed.
    stop_time : int
        Unix time of the last event [s].
    events : int
        Events between the begin-of-run and the end-of-run event.
    """
    end = deepcopy(dict(tree))
    end.setdefault("Runinfo", {}).update(
        {
            "State": _STOPPED,
            "Stop time": time.asctime(time.gmtime(stop_time)),
            "Stop time binary": _dword(stop_time),
        }
    )
    builder = end.setdefault("Equipment", {}).setdefault("EB", {})
    builder.setdefault("Statistics", {})["Events sent"] = events
    return end


def encode(tree: Mapping[str, Any]) -> bytes:
    """JSON text of the database, ASCII, in the order of the tree.

    Blanks before the last newline make its length a multiple of 4, so that the banks behind it stay aligned
    in the file, and readers that drop the last byte (some do, for the NUL of XML dumps) find valid JSON.

    Raises
    ------
    ValueError
        A number is not finite: JSON cannot hold it.
    """
    text = json.dumps(tree, indent=1, allow_nan=False, default=_plain)
    return (text + " " * (-(len(text) + 1) % _ALIGNMENT) + "\n").encode("ascii")


def start_time(tree: Mapping[str, Any]) -> int:
    """Unix time of the begin of the file [s], from /Runinfo."""
    return int(tree["Runinfo"]["Start time binary"], 16)


def _crate(crate: int, readout: Readout) -> dict[str, Any]:
    return {
        "Common": _common(1, 0xFFFF, f"BUF{crate:02d}"),
        "Settings": {
            "Globals": {
                "Sync": True,
                "Use AMC13 Simulator": True,
                "Send to Event Builder": True,
                "FE Lossless Compression": False,
                "FEBankByBankLosslessCompression": False,
                "Raw Data Store": False,
            },
            "TQ01": _t_and_q_method(readout),
            **{f"Rider{board:02d}": {"Board": _digitiser_board(readout)} for board in range(1, 12)},
        },
    }


def _t_and_q_method(readout: Readout) -> dict[str, Any]:
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
        "histo data rebin intervals": 1,
        "histo data rebin multiplier": 1,
        "histo data flush period": readout.histogram_flush_fills,
        "run gpu fitter (1 yes, 0 no)": 0,
        "Save full calo": True,
        "Save truncated calo": False,
        "Fill type": 1,
        "T-method prescale": 1,
    }


def _digitiser_board(readout: Readout) -> dict[str, Any]:
    return {
        "Enabled": True,
        "Digitization Frequency (MHz)": str(readout.sampling_mhz),
        "ADC Data Endianness": "little",
        "Async Mode: Enabled": False,
        "Trigger Type 1: Enabled": True,
        "Trigger Type 1: Waveform Count": _dword(1),
        "Trigger Type 1: Waveform Length": _dword(readout.samples_per_fill),
    }


def _common(event_id: int, mask: int, buffer: str) -> dict[str, Any]:
    return {"Event ID": event_id, "Trigger mask": mask, "Buffer": buffer, "Format": "MIDAS", "Enabled": True}


def _logger_channel(run: int, subrun: int) -> dict[str, Any]:
    name = f"gm2_run{run:05d}_{subrun:05d}.mid"
    template = "gm2_run%05d_%05d.mid"
    return {
        "Settings": {
            "Active": True,
            "Type": "Disk",
            "Filename": template,
            "Current filename": name,
            "ODB dump": True,
        }
    }


def _dword(value: int) -> str:
    """Unsigned words appear in MIDAS' JSON as hexadecimal strings."""
    return f"0x{value:08x}"


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a run database: numbers, strings, lists, mappings do")
