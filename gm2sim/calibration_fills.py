"""Events without muons: pulses of the laser and looks at the empty channels, as whole waveforms of all crystals; and
the pulses of the sources at the laser's monitors, which trigger themselves.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import laser
from detectors.americium import AmericiumSettings, source_pulses
from detectors.calorimeter import short_waveforms
from detectors.digitizer import DigitizerSettings
from detectors.laser import (
    HEADS,
    MONITOR_HEIGHT,
    MONITOR_LEVEL,
    MONITORS,
    Pulses,
    fire,
    laser_deposits,
    monitor_waveforms,
)
from detectors.shower import CRYSTALS
from detectors.waveforms import Waveforms
from gm2sim.config import Config
from gm2sim.electronics import laser_settings
from gm2sim.faults import dark, without_crates
from gm2sim.raw import AsynchronousRecord, FillRecord, WaveformRecord
from gm2sim.raw.trigger import Trigger
from gm2sim.setup import Setup
from gm2sim.timeline import FillTime, FillType, has_laser, since_readout
from gpu.rng import FillKey

LASER_CRATE = 33
"""Crate of the monitors of the laser's sources."""
WAVEFORM = 800  # samples of a waveform: trigger types 2 and 3 of the front end (jaca230/CaloReadoutAMC13 @7ff4424)
GAP = 400  # samples between two waveforms of the laser (same)
LASER_PULSES = 4  # waveforms of a laser fill (same)
SOURCE_CHANNEL = 20
"""First of the channels of that crate that trigger themselves: boards of their own, in slots 5 and 6."""
PULSE_SAMPLE = 200  # of a waveform, where the pulse begins: best estimate
Floats = NDArray[np.float64]

_EVENTS = 1 << 30  # fills of the laser count their random numbers from here, events of types 3 and 4 from 2, 3 times it


def in_fill_times(config: Config, when: FillTime) -> Floats:
    """Times of the laser's pulses in a fill of muons, ascending [s]: before the injection, and inside some fills."""
    settings = laser_settings(config)
    every = config.laser.in_fill_every
    last = 1e-6 * config.tracking.fill_duration_us - WAVEFORM * DigitizerSettings.sample_period
    inside = laser.in_fill_times(settings, when.fill // every, last) if every and (when.fill + 1) % every == 0 else ()
    return np.array([*([settings.sync_time] if settings.sync else []), *inside])


def monitor_record(pulses: Pulses, settings: DigitizerSettings, key: FillKey, gap: int = 0) -> WaveformRecord:
    """What the monitors of the laser's sources send: a piece around each pulse, which is PULSE_SAMPLE inside."""
    period = settings.sample_period
    samples = monitor_waveforms(pulses, PULSE_SAMPLE * period, WAVEFORM, period, key)
    return WaveformRecord(LASER_CRATE, tuple(range(HEADS * len(MONITORS))), samples, gap)


def laser_crate(config: Config) -> dict[int, dict[str, Any]]:
    """What the run database says of the monitors' crate; nothing without a laser."""
    if not has_laser(config):
        return {}
    source = AmericiumSettings()
    numbers = SOURCE_CHANNEL + np.arange(HEADS)
    return {
        LASER_CRATE: {
            "Detector": "laser monitors",
            "Channels": [f"head {head + 1} {monitor}" for head in range(HEADS) for monitor in MONITORS],
            "Sample rate (MHz)": 1e-6 / DigitizerSettings.sample_period,
            "Pulse at sample": PULSE_SAMPLE,
            "Waveform length": WAVEFORM,
            "Pedestal (counts)": MONITOR_LEVEL,
            "Unit": "mean height of a pulse",
            "Unit per count": [1.0 / MONITOR_HEIGHT] * (HEADS * len(MONITORS)),
            "Asynchronous": {
                "Channels": [f"head {head + 1} americium" for head in range(HEADS)],
                "Channel numbers": numbers.tolist(),
                "Waveform length": source.samples,
                "Waveform presamples": source.presamples,
                "Mean height (counts)": source.height,
            },
        }
    }


def calibration_fill(setup: Setup, when: FillTime, key: FillKey) -> FillRecord:
    """A fill of the laser, a look at the pedestals or an asynchronous readout, as the raw file takes it.

    Parameters
    ----------
    setup : Setup
    when : FillTime
        Of any type but MUONS.
    key : FillKey
        Of the fill of muons before it; its random numbers are its own.
    """
    own = key._replace(fill=key.fill + _EVENTS * (when.fill_type - 1))
    waveforms: tuple[WaveformRecord, ...] = ()
    pulses: tuple[AsynchronousRecord, ...] = ()
    if when.fill_type == FillType.ASYNCHRONOUS:
        pulses = (_sources(setup, since_readout(setup.config, when), own),)
    else:
        waveforms = _laser(setup, own) if when.fill_type == FillType.LASER else _pedestals(setup, own)
    record = FillRecord(
        serial=when.serial,
        trigger=when.serial + 1,
        time_s=when.seconds,
        time_us=when.microseconds,
        fill_index=when.sequence,
        fill_type=int(when.fill_type),
        clock=Trigger.counts(when.since_begin, setup.config.detectors.clock_ppm),
        waveforms=waveforms,
        asynchronous=pulses,
        muon_fill=when.fill,
        fill_samples=setup.calorimeters.digitizer.samples,
    )
    return without_crates(record, setup.faults.dead)


def _laser(setup: Setup, key: FillKey) -> tuple[WaveformRecord, ...]:
    digitizer = setup.calorimeters.digitizer
    settings = setup.calorimeters.laser
    first = (WAVEFORM + GAP) * np.arange(LASER_PULSES)
    pulses = fire((first + PULSE_SAMPLE - digitizer.zero_sample) * digitizer.sample_period, settings, key)
    if setup.faults.dark:
        pulses = dark(pulses)
    deposits = laser_deposits(pulses, setup.constants.laser_light)
    samples = short_waveforms(deposits, first, WAVEFORM, key, setup.calorimeters, setup.constants)
    return (*_crates(samples), monitor_record(pulses, digitizer, key, GAP))


def _pedestals(setup: Setup, key: FillKey) -> tuple[WaveformRecord, ...]:
    dark = laser_deposits(fire([], setup.calorimeters.laser, key), setup.constants.laser_light)
    return _crates(short_waveforms(dark, np.zeros(1, np.int64), WAVEFORM, key, setup.calorimeters, setup.constants))


def _sources(setup: Setup, duration: float, key: FillKey) -> AsynchronousRecord:
    settings = AmericiumSettings()
    period = setup.calorimeters.digitizer.sample_period / (1.0 + 1e-6 * setup.config.detectors.clock_ppm)
    found = source_pulses(duration, period, settings, key)
    return AsynchronousRecord(
        crate=LASER_CRATE,
        channels=tuple(range(SOURCE_CHANNEL, SOURCE_CHANNEL + HEADS)),
        channel=SOURCE_CHANNEL + found.head,
        time=found.time,
        length=np.full(found.head.size, settings.samples),
        samples=found.samples.reshape(-1),
        presamples=settings.presamples,
    )


def _crates(samples: NDArray[np.int16]) -> tuple[WaveformRecord, ...]:
    """One record a calorimeter; crystal by crystal, five to a board."""
    gap = GAP if samples.shape[2] > 1 else 0
    return tuple(WaveformRecord(calo + 1, tuple(range(CRYSTALS)), one, gap) for calo, one in enumerate(samples))


def crystal_records(found: Waveforms | None) -> tuple[WaveformRecord, ...]:
    """Whole waveforms of chosen crystals, one record a calorimeter that has any."""
    if found is None:
        return ()
    records = []
    for calo in np.unique(found.channel // CRYSTALS):
        own = found.channel // CRYSTALS == calo
        crystals = (found.channel[own] % CRYSTALS).tolist()
        records.append(WaveformRecord(int(calo) + 1, tuple(crystals), found.samples[own][:, None]))
    return tuple(records)
