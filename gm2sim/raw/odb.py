"""The online database (ODB) that travels in the begin-of-run and end-of-run events, as JSON.

Names and structures of /Equipment/AMC13nn/Settings follow the public front end (jaca230/CaloReadoutAMC13
@7ff4424, amc13_odb.h) with the simulation's values; /Simulation and the front ends' Settings/Monitor are our own. The
same inputs give the same bytes: no clock, no host name.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from gm2sim.raw import odb_settings
from gm2sim.raw.fc7 import TRACKER_SOURCE
from gm2sim.raw.odb_settings import Readout, Tree, dword

_STOPPED, _RUNNING = 1, 3  # /Runinfo/State
_ALIGNMENT = 4  # bytes: as banks are, whose headers have 12
_TRACKER_BUFFER = 60  # number of the first station's buffer of events: any that no crate has
_LOGGER_COMPRESSION = {".mid.gz": 1, ".mid.lz4": 100}  # as MIDAS' logger counts them (mlogger.cxx)


def run_tree(
    run: int,
    subrun: int,
    start_time: int,
    readout: Readout,
    simulation: Mapping[str, Any],
    auxiliary: Mapping[int, Mapping[str, Any]] | None = None,
    *,
    stations: Iterable[int] = (),
    bin_ps: int = 625,
    suffix: str = ".mid",
    limit: int = 2**31,
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
    stations : iterable of int
        Stations of the straw trackers that are read out.
    bin_ps : int
        Width of a bin of their TDCs [ps].
    suffix : str
        End of the file's name.
    limit : int
        Most bytes of the file's content.
    """
    calorimeter = odb_settings.calorimeter(readout)
    crates = {0: odb_settings.clock_crate(), **dict.fromkeys(range(1, readout.crates + 1), calorimeter)}
    crates |= {crate: _monitors(monitor, readout) for crate, monitor in (auxiliary or {}).items()}
    return {
        "Experiment": {"Name": "gm2sim", "MAX_EVENT_SIZE": dword(2**31)},
        "Runinfo": {
            "State": _RUNNING,
            "Online Mode": 0,
            "Run number": run,
            "Subrun number": subrun,
            "Start time": time.asctime(time.gmtime(start_time)),
            "Start time binary": dword(start_time),
            "Stop time": "",
            "Stop time binary": dword(0),
        },
        "Logger": {"Channels": {"0": _logger_channel(run, subrun, suffix, limit)}},
        "Equipment": {
            "EB": {"Common": _common(1, 0, "SYSTEM"), "Statistics": {"Events sent": 0}},
            "MasterGM2": {"Common": _common(1, 0xFFFF, "BUF99"), "Settings": {"Globals": {"Sync": True}}},
            **_trackers(stations, bin_ps),
            **{f"AMC13{crate:02d}": _front_end(crate, settings) for crate, settings in sorted(crates.items())},
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
    stopped = {
        "State": _STOPPED,
        "Stop time": time.asctime(time.gmtime(stop_time)),
        "Stop time binary": dword(stop_time),
    }
    equipment = tree.get("Equipment", {})
    builder = equipment.get("EB", {})
    statistics = builder.get("Statistics", {}) | {"Events sent": events}
    return {
        **tree,
        "Runinfo": tree.get("Runinfo", {}) | stopped,
        "Equipment": equipment | {"EB": builder | {"Statistics": statistics}},
    }


def encode(tree: Mapping[str, Any]) -> bytes:
    """JSON text of the database, ASCII, in the order of the tree: a line for each branch of the second level.

    Blanks before the last newline make its length a multiple of 4, so that the banks behind it stay aligned
    in the file, and readers that drop the last byte (some do, for the NUL of XML dumps) find valid JSON.

    Raises
    ------
    ValueError
        A number is not finite: JSON cannot hold it.
    """
    text = _lines(tree, lambda branch: _lines(branch, _text) if isinstance(branch, Mapping) else _text(branch))
    return (text + " " * (-(len(text) + 1) % _ALIGNMENT) + "\n").encode("ascii")


def compression(tree: Mapping[str, Any]) -> dict[int, str]:
    """How the front end of each calorimeter compresses, by crate: "event" or "bank"; others are left out."""
    found = {}
    for name, equipment in tree.get("Equipment", {}).items():
        settings = equipment.get("Settings", {})
        mode = odb_settings.mode_of(settings)
        if name.startswith("AMC13") and mode != "none":
            found[int(name[5:])] = mode
    return found


def start_time(tree: Mapping[str, Any]) -> int:
    """Unix time of the begin of the file [s], from /Runinfo."""
    return int(tree["Runinfo"]["Start time binary"], 16)


def _front_end(number: int, settings: Tree) -> Tree:
    return {"Common": _common(1, 0xFFFF, f"BUF{number:02d}"), "Settings": settings}


def _monitors(monitor: Mapping[str, Any], readout: Readout) -> Tree:
    """Settings of the crate of an auxiliary detector, which has as many channels as names."""
    names, pulses = monitor.get("Channels", ()), monitor.get("Asynchronous", {})
    samples = monitor.get("Waveform length", readout.samples_per_fill)
    boards = odb_settings.auxiliary(range(len(names)), samples, readout, pulses.get("Channel numbers", ()))
    return boards | {"Monitor": dict(monitor)}


def _trackers(stations: Iterable[int], bin_ps: int) -> Tree:
    settings = {"Globals": {"Sync": True, "Send to Event Builder": True}, "TDC bin (ps)": bin_ps}
    return {
        f"StrawTrackerDAQ{station + 1:02d}": {
            "Common": _common(1, 0xFFFF, f"BUF{_TRACKER_BUFFER + station:02d}"),
            "Settings": {**settings, "Station": station, "AMC13 source": dword(TRACKER_SOURCE + station)},
        }
        for station in stations
    }


def _common(event_id: int, mask: int, buffer: str) -> dict[str, Any]:
    return {"Event ID": event_id, "Trigger mask": mask, "Buffer": buffer, "Format": "MIDAS", "Enabled": True}


def _logger_channel(run: int, subrun: int, suffix: str, limit: int) -> Tree:
    template = f"gm2_run%05d_%05d{suffix}"
    return {
        "Settings": {
            "Active": True,
            "Type": "Disk",
            "Filename": template,
            "Current filename": template % (run, subrun),
            "ODB dump": True,
            "Subrun Byte limit": limit,
            "Compression": _LOGGER_COMPRESSION.get(suffix, 0),
        }
    }


def _lines(tree: Mapping[str, Any], text: Callable[[Any], str]) -> str:
    """A mapping with a line for each of its branches."""
    return "{" + ",\n".join(f"{_text(name)}: {text(branch)}" for name, branch in tree.items()) + "}"


def _text(branch: Any) -> str:
    # The encoder written in C makes no indented text; the other one would take longer than a fill.
    return json.dumps(branch, allow_nan=False, default=_plain)


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in a run database: numbers, strings, lists, mappings do")
