"""Pages of the report about the auxiliary detectors: the first fill of the first raw file that has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.harps import harp_signal, harp_trace
from detectors.ibms import MONITORS, ibms_profile
from detectors.t0 import T0Settings, t0_time
from detectors.trace import light_of
from fields.ring import fibre_harps
from gm2sim.analysis import design_reference
from gm2sim.monitors import HARP_CRATE, IBMS_CRATE, KICKER_CRATE, QUAD_CRATE, T0_CRATE
from gm2sim.outputs import raw_files
from gm2sim.plots import Plot
from gm2sim.plots import monitors as draw
from gm2sim.raw import open_run
from gm2sim.report.load import RunFolder

_QUIET = 200  # samples before any bunch
Page = tuple[str, str, str, Callable[[], Plot | None]]


class _Waveforms:
    """Waveforms of the auxiliary crates in one fill, with what the run database says of them."""

    def __init__(self, path: Path) -> None:
        raw = open_run(path)
        branches = raw.odb.get("Equipment", {})
        settings = {
            int(name[5:]): branch["Settings"]["Monitor"]
            for name, branch in branches.items()
            if name[:5] == "AMC13" and "Monitor" in branch.get("Settings", {})
        }
        self.samples: dict[int, NDArray[np.int16]] = {}
        for event in raw if settings else ():
            here = set(settings).intersection(event.waveform_crates)
            self.samples = {crate: np.concatenate(event.waveforms(crate).samples) for crate in sorted(here)}
            if here:  # fills of the laser and of pedestals have none
                break
        self.settings: dict[int, dict[str, Any]] = {crate: settings[crate] for crate in self.samples}

    def times(self, crate: int) -> NDArray[np.float64]:
        """Of the samples [s]."""
        known = self.settings[crate]
        step = 1e-6 / known["Sample rate (MHz)"]
        return np.asarray(known["First sample (ns)"] * 1e-9 + step * np.arange(self.samples[crate].shape[1]))

    def values(self, crate: int) -> NDArray[np.float64]:
        """Samples in the unit of the crate."""
        known = self.settings[crate]
        above = self.samples[crate].astype(np.float64) - known["Pedestal (counts)"]
        return np.asarray(above * np.array(known["Unit per count"])[:, None])


def monitor_pages(run: RunFolder) -> list[Page]:
    """Name, title, caption and maker of each page; no page where there are no waveforms."""
    files = raw_files(run.folder)
    seen = _Waveforms(files[0])
    pages: dict[int, Page] = {
        T0_CRATE: ("t0", "The injected bunch in time", "The T0 counter in the first fill, with the times found in it.",
                   lambda: _t0(seen)),
        IBMS_CRATE: ("ibms", "The injected beam across", "The inflector beam monitors in the first fill: light of each "
                     "fibre, and a Gaussian.", lambda: _ibms(seen)),
        KICKER_CRATE: ("kickers", "Kicker traces", "The field of each kicker as digitised in the first fill.",
                       lambda: draw.kicker_traces(seen.times(KICKER_CRATE), seen.values(KICKER_CRATE),
                                                  seen.settings[KICKER_CRATE]["Channels"])),
        QUAD_CRATE: ("quads", "Quad voltages", "The voltages of all plates as digitised in the first fill.",
                     lambda: draw.quad_voltages(seen.times(QUAD_CRATE), seen.values(QUAD_CRATE),
                                                seen.settings[QUAD_CRATE]["Channels"])),
        HARP_CRATE: ("harps", "Fibre harps", "Muons on the fibres of the harps in the first fill, and their mean turn "
                     "by turn.", lambda: _harps(run, seen)),
    }  # fmt: skip
    return [page for crate, page in pages.items() if crate in seen.samples]


def _t0(seen: _Waveforms) -> Plot | None:
    """None where a channel saw no bunch."""
    counter, samples = T0Settings(), seen.samples[T0_CRATE]
    try:
        found = [t0_time(one, counter.trace, r) for one, r in zip(samples, counter.responses, strict=True)]
    except ValueError:
        return None
    light = light_of(samples, _QUIET)
    return draw.t0_trace(seen.times(T0_CRATE), light, seen.settings[T0_CRATE]["Channels"], found)


def _ibms(seen: _Waveforms) -> Plot | None:
    """None where a plane saw no beam."""
    planes = []
    for crate, monitor in enumerate(MONITORS, IBMS_CRATE):
        try:
            profiles = ibms_profile(monitor, seen.samples[crate])
        except ValueError:
            return None
        planes += [(f"IBMS {monitor.number} {axis}", monitor.fibres, one) for axis, one in profiles.items()]
    return draw.ibms_profiles(planes)


def _harps(run: RunFolder, seen: _Waveforms) -> Plot | None:
    period = design_reference(run.config).period
    trace = harp_trace(run.config.monitors.harp_us * 1e-6)
    signals, row = [], 0
    both = np.concatenate([samples for crate, samples in seen.samples.items() if crate in (HARP_CRATE, HARP_CRATE + 1)])
    for harp in fibre_harps():
        signals.append((harp.name, harp_signal(both[row : row + harp.fibres], harp, trace, period)))
        row += harp.fibres
    return draw.harp_signals(signals, period)
