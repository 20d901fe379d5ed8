"""The auxiliary detectors of a configuration: which crate is what, and their waveforms in one fill.

Crates 25 T0, 26 to 28 IBMS 1 to 3, 29 kickers, 30 quads, 31 and 32 the harps at 180 and 270 deg.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors import t0
from detectors.field_traces import (
    COUNTS_PER_TESLA,
    COUNTS_PER_VOLT,
    KICKER_TRACE,
    QUAD_TRACE,
    kicker_waveforms,
    quad_channels,
    quad_waveforms,
)
from detectors.harps import RESPONSE as HARP_RESPONSE
from detectors.harps import harp_trace, harp_waveforms
from detectors.ibms import MONITORS, beam_at, ibms_waveforms
from detectors.ibms import RESPONSE as IBMS_RESPONSE
from detectors.ibms import TRACE as IBMS_TRACE
from detectors.t0 import Share, T0Settings, t0_waveforms
from detectors.trace import Trace
from gm2sim.bunch.fills import next_muons
from gm2sim.injection import bunch_profile, injected_beam, kickers
from gm2sim.raw import WaveformRecord
from gpu.rng import FillKey
from tracking.bunch_shape import moments, share_before
from tracking.crossings import Crossings

if TYPE_CHECKING:
    from gm2sim.setup import Setup

T0_CRATE, IBMS_CRATE, KICKER_CRATE, QUAD_CRATE, HARP_CRATE = 25, 26, 29, 30, 31  # the first of its kind
_HARPS_A_CRATE = 2
_MHZ, _NS = 1e-6, 1e9


class Crate(NamedTuple):
    """What the waveforms of one crate are.

    Attributes
    ----------
    detector : str
    channels : tuple of str
        Names, in order.
    trace : Trace
    unit : str
        Of a sample.
    per_count : tuple of float
        Unit for one count above the pedestal, channel by channel.
    """

    detector: str
    channels: tuple[str, ...]
    trace: Trace
    unit: str
    per_count: tuple[float, ...]


class Monitors(NamedTuple):
    """Auxiliary detectors in one fill.

    Attributes
    ----------
    records : tuple of WaveformRecord
        In order of the crates.
    truth : mapping of str to array (1,)
        What the waveforms were made from: columns of the truth's /monitors.
    crossings : Crossings
        Muons through the fibres of harps.
    """

    records: tuple[WaveformRecord, ...]
    truth: Mapping[str, NDArray[Any]]
    crossings: Crossings


def crates(setup: "Setup") -> dict[int, Crate]:
    """The crates of a configuration that send waveforms, in order."""
    wanted, layout = setup.config.monitors, setup.ring.layout
    found: dict[int, Crate] = {}
    if wanted.t0:
        counter = T0Settings()
        scale = tuple(-1.0 / one.charge for one in counter.responses)
        found[T0_CRATE] = Crate("T0", t0.CHANNELS, counter.trace, "photoelectrons", scale)
    if wanted.ibms:
        for crate, monitor in enumerate(MONITORS, IBMS_CRATE):
            names, scale = monitor.channels, (-1.0 / IBMS_RESPONSE.charge,) * len(monitor.channels)
            found[crate] = Crate(f"IBMS{monitor.number}", names, IBMS_TRACE, "photoelectrons", scale)
    if wanted.kicker_traces:
        names = tuple(kicker.name for kicker in layout.kickers)
        found[KICKER_CRATE] = Crate("kickers", names, KICKER_TRACE, "T", (1.0 / COUNTS_PER_TESLA,) * len(names))
    if wanted.quad_traces:
        names = quad_channels(_plate_voltages(setup))
        found[QUAD_CRATE] = Crate("quads", names, QUAD_TRACE, "V", (1.0 / COUNTS_PER_VOLT,) * len(names))
    for first in range(0, len(layout.harps), _HARPS_A_CRATE):
        pair = layout.harps[first : first + _HARPS_A_CRATE]
        names = tuple(f"{harp.name}{fibre + 1}" for harp in pair for fibre in range(harp.fibres))
        trace = harp_trace(wanted.harp_us * 1e-6)
        scale = (-1.0 / HARP_RESPONSE.charge,) * len(names)
        found[HARP_CRATE + first // _HARPS_A_CRATE] = Crate("harps", names, trace, "photoelectrons", scale)
    return found


def monitor_settings(setup: "Setup") -> dict[int, dict[str, Any]]:
    """What the run database says of each crate, under /Equipment/AMC13nn/Settings/Monitor."""
    return {
        crate: {
            "Detector": one.detector,
            "Channels": list(one.channels),
            "Sample rate (MHz)": _MHZ / one.trace.period,
            "First sample (ns)": one.trace.start * _NS,
            "Waveform length": one.trace.samples,
            "Pedestal (counts)": one.trace.pedestal,
            "Unit": one.unit,
            "Unit per count": list(one.per_count),
        }
        for crate, one in crates(setup).items()
    }


def simulate_monitors(setup: "Setup", key: FillKey, crossings: Crossings) -> Monitors:
    """Waveforms of the auxiliary detectors in one fill.

    Parameters
    ----------
    setup : Setup
    key : FillKey
        Names the fill: every random number is a function of it.
    crossings : Crossings
        Of the fibres of harps; none where they are out.
    """
    config, ring = setup.config, setup.ring
    beta = ring.reference.beta0
    share, mean, injected = _bunch(setup, key)
    beam = injected_beam(config, key.fill)
    samples: dict[int, NDArray[np.int16]] = {}
    wanted = crates(setup)
    if T0_CRATE in wanted:
        samples[T0_CRATE] = t0_waveforms(share, injected, beta, T0Settings(), key, T0_CRATE)
    if IBMS_CRATE in wanted:
        for crate, monitor in enumerate(MONITORS, IBMS_CRATE):
            samples[crate] = ibms_waveforms(monitor, beam, share, injected, beta, key, crate)
    if KICKER_CRATE in wanted:
        samples[KICKER_CRATE] = kicker_waveforms(kickers(config, ring.layout), key, KICKER_CRATE)
    if QUAD_CRATE in wanted:
        samples[QUAD_CRATE] = quad_waveforms(setup.voltage_program, _plate_voltages(setup), key, QUAD_CRATE)
    for first in range(0, len(ring.layout.harps), _HARPS_A_CRATE):
        crate = HARP_CRATE + first // _HARPS_A_CRATE
        pair = ring.layout.harps[first : first + _HARPS_A_CRATE]
        samples[crate] = harp_waveforms(crossings, pair, first, wanted[crate].trace, key, crate)
    records = tuple(
        WaveformRecord(crate, tuple(range(len(one))), np.ascontiguousarray(one[:, None, :]))
        for crate, one in samples.items()
    )
    truth: dict[str, NDArray[Any]] = {
        "injected": np.array([round(injected)]),
        "t0_time": np.array([mean - T0Settings().flight(beta)]),
    }
    for monitor in MONITORS:
        for axis in "xy":
            centre, width = beam_at(beam, monitor.place, axis)
            truth |= {f"ibms{monitor.number}_mean_{axis}": np.array([centre]),
                      f"ibms{monitor.number}_width_{axis}": np.array([width])}  # fmt: skip
    return Monitors(records, truth, crossings)


def _bunch(setup: "Setup", key: FillKey) -> tuple[Share, float, float]:
    """Share of the bunch that has left the inflector by a time, its mean time [s], and its number of particles."""
    config = setup.config
    each = 1.0 if setup.injected else config.monitors.injected_per_stored
    if setup.given is not None:
        times = np.sort(next_muons(setup.given, config, key).time)
        return lambda t: np.searchsorted(times, t, side="right") / times.size, float(times.mean()), each * times.size
    profile = bunch_profile(config, key.fill)
    muons = config.injection.muons_per_fill if setup.injected else config.beam.muons_per_fill
    return partial(share_before, profile), moments(profile)[0], each * muons


def _plate_voltages(setup: "Setup") -> dict[str, NDArray[np.float64]]:
    """Nominal voltages of the plates of each quad [V]."""
    return {quad.name: np.asarray(setup.ring.quads.plate_voltages(quad.name)) for quad in setup.ring.layout.quads}
