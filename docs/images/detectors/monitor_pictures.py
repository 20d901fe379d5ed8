"""The auxiliary detectors in one injected fill, and fibre harps in the stored beam."""

from functools import cache

import numpy as np
from canvas import OFF, ON, panels, picture
from matplotlib.axes import Axes
from numpy.typing import NDArray

from detectors.harps import harp_signal, harp_trace
from detectors.ibms import MONITORS, ibms_profile
from detectors.t0 import T0Settings, t0_time
from detectors.trace import light_of
from gm2sim.config import load
from gm2sim.monitors import HARP_CRATE, IBMS_CRATE, KICKER_CRATE, QUAD_CRATE, T0_CRATE, Crate, crates, simulate_monitors
from gm2sim.plots import monitors as draw
from gm2sim.plots.style import MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.setup import Setup
from gpu.rng import FillKey
from tracking.bunch import State
from tracking.crossings import Crossings

_KEY = FillKey(3, 1, 0, 0)
_QUIET = 200  # samples before any bunch
_MUONS = 2000
_TURNS = 800


@cache
def _injected() -> tuple[dict[int, Crate], dict[int, NDArray[np.int16]]]:
    """Crates and their waveforms in one fill of Run-1a."""
    here = Setup.of(load("run1a", {"beam.source": "injected", "injection.muons_per_fill": 100_000}))
    found = simulate_monitors(here, _KEY, Crossings.none())
    return crates(here), {record.crate: np.asarray(record.samples)[:, 0] for record in found.records}


def _values(crate: int) -> NDArray[np.float64]:
    """Samples in the unit of the crate."""
    known, samples = (one[crate] for one in _injected())
    return np.asarray((samples.astype(np.float64) - known.trace.pedestal) * np.array(known.per_count)[:, None])


@picture
def t0() -> Plot:
    """The bunch in the three channels of T0."""
    known, samples = (one[T0_CRATE] for one in _injected())
    counter = T0Settings()
    found = [t0_time(one, counter.trace, r) for one, r in zip(samples, counter.responses, strict=True)]
    return draw.t0_trace(known.trace.times, light_of(samples, _QUIET), known.channels, found)


@picture
def ibms() -> Plot:
    """Profiles of the injected beam."""
    planes = []
    for crate, monitor in enumerate(MONITORS, IBMS_CRATE):
        for axis, one in ibms_profile(monitor, _injected()[1][crate]).items():
            planes.append((f"IBMS {monitor.number} {axis}", monitor.fibres, one))
    return draw.ibms_profiles(planes)


@picture
def kicker_traces() -> Plot:
    """The field of each kicker."""
    known = _injected()[0][KICKER_CRATE]
    return draw.kicker_traces(known.trace.times, _values(KICKER_CRATE), known.channels)


@picture
def quad_traces() -> Plot:
    """The voltages of the plates."""
    known = _injected()[0][QUAD_CRATE]
    return draw.quad_voltages(known.trace.times, _values(QUAD_CRATE), known.channels)


@picture
def harps() -> Plot:
    """Stored muons with the harps out and in, and what the harps see."""
    plot, axes = panels(8.4, 3.3, 2)
    dress(axes[0], "time since injection [μs]", "muons stored", f"{_MUONS} muons of Run-1a, with their decays")
    for position, colour in (("out", OFF), ("in", ON)):
        here = Setup.of(load("run1a", {"monitors.harps": position, "beam.muons_per_fill": _MUONS}))
        period = here.ring.reference.period
        result = here.ring.track(here.muons(_KEY), _TURNS, every=_TURNS, moments=True, harp_key=_KEY, progress=False)
        muons = result.bunch
        end = np.where(muons.state == State.STORED, np.inf, muons.time)
        time = np.linspace(0.0, _TURNS * period, 25)
        left = (end[:, None] > time).sum(axis=0)
        points(
            axes[0], 1e6 * time, left, np.sqrt(left), colour=colour, size=3.4, label=f'monitors.harps = "{position}"'
        )
        if position == "out":
            fine = np.linspace(0.0, _TURNS * period, 60)
            axes[0].plot(1e6 * fine, _MUONS * np.exp(-fine / 64.4e-6), color=MUTED, linewidth=0.9, linestyle="--",
                         label="decay alone, 64.4 μs")  # fmt: skip
        else:
            _seen_by_harps(axes[1], here, result.crossings)
    axes[0].set_ylim(0.0, None)
    legend(axes[0], fontsize=8)
    return plot


def _seen_by_harps(axes: Axes, here: Setup, crossings: Crossings | None) -> None:
    """Muons on the fibres of two harps."""
    samples = {
        record.crate: np.asarray(record.samples)[:, 0]
        for record in simulate_monitors(here, _KEY, crossings or Crossings.none()).records
    }
    dress(axes, "place of the fibre [mm]", "muons seen", "fibre harps at 180°, by their light")
    trace, row = harp_trace(here.config.monitors.harp_us * 1e-6), 0
    for harp, colour in zip(here.ring.layout.harps[:2], (ON, ORANGE), strict=True):
        found = harp_signal(samples[HARP_CRATE][row : row + harp.fibres], harp, trace, here.ring.reference.period)
        row += harp.fibres
        muons = np.clip(found.muons, 0.0, None)
        kind = "upright fibres, x" if harp.upright else "lying fibres, y"
        points(axes, 1e3 * found.places, muons, np.sqrt(muons), colour=colour, size=4.0, label=kind)
    axes.set_ylim(0.0, None)
    legend(axes, fontsize=8)
