"""From what the physics packages return to what goes into the files: raw records and truth tables."""

from typing import Any

import numpy as np

from detectors.americium import AmericiumSettings
from detectors.calorimeter import CalorimeterSettings, FillDigits
from detectors.straw_crossings import Crossings
from detectors.straw_drift import StrawHits, StrawSettings
from detectors.straws import STATIONS
from fields.storage import StorageField
from gm2sim.calibration_fills import GAP, LASER_PULSES, WAVEFORM
from gm2sim.config import Config
from gm2sim.fill import Detected, Snapshot
from gm2sim.monitors import Monitors
from gm2sim.raw import CalorimeterRecord, FillRecord, HistogramRecord, Readout, StrawRecord, WaveformRecord
from gm2sim.raw.trigger import Trigger
from gm2sim.timeline import FillTime
from gm2sim.truth import TruthWriter
from tracking.bunch import Bunch
from tracking.muon import Reference
from tracking.turns import TrackResult

_PPM = 1e6


def readout(config: Config, settings: CalorimeterSettings) -> Readout:
    """Front-end settings as the run database shows them."""
    digitizer = settings.digitizer
    return Readout(
        samples_per_fill=digitizer.samples,
        sampling_mhz=round(1e-6 / digitizer.sample_period),
        pre_samples=digitizer.presamples,
        post_samples=digitizer.postsamples,
        threshold_counts=-round(digitizer.threshold),
        sum_decimation=digitizer.sum_decimation,
        histogram_samples_per_bin=digitizer.q_decimation,
        histogram_flush_fills=config.daq.q_flush_fills,
        calo_sum=config.daq.calo_sum,
        histogram=digitizer.q_method,
        ctag_threshold=round(digitizer.ctag_energy * digitizer.counts_per_gev),
        ctag_sample=digitizer.ctag_sample,
        compression=config.daq.frontend_compression,
        laser=(LASER_PULSES, WAVEFORM, GAP),
        pedestal=(1, WAVEFORM, 0),
        asynchronous=(AmericiumSettings.samples, AmericiumSettings.presamples),
    )


def fill_record(
    digits: FillDigits,
    when: FillTime,
    config: Config,
    settings: CalorimeterSettings,
    *,
    flush: bool,
    waveforms: tuple[WaveformRecord, ...] = (),
    straws: StrawRecord | None = None,
) -> FillRecord:
    """One fill of muons as the raw file takes it.

    Parameters
    ----------
    digits : FillDigits
    when : FillTime
    config : Config
    settings : CalorimeterSettings
    flush : bool
        Whether this fill carries the Q-method histograms.
    waveforms : tuple of WaveformRecord
        Whole waveforms beside the islands, in order of the crates.
    straws : StrawRecord, optional
        Hits of the trackers.
    """
    crates = []
    for calo, islands in enumerate(digits.islands):
        histogram = None
        if flush and digits.q_histogram is not None:
            histogram = HistogramRecord(digits.q_histogram[calo], settings.digitizer.q_decimation)
        crates.append(
            CalorimeterRecord(
                start=islands.start,
                length=islands.length,
                samples=islands.samples,
                pedestals=digits.pedestals[calo],
                calo_sum=digits.calo_sum[calo] if config.daq.calo_sum else None,
                q_histogram=histogram,
                ctag=int(digits.ctag[calo]),
            )
        )
    return FillRecord(
        serial=when.serial,
        trigger=when.serial + 1,
        time_s=when.seconds,
        time_us=when.microseconds,
        fill_index=when.sequence,
        calorimeters=tuple(crates),
        clock=Trigger.counts(when.since_begin, config.detectors.clock_ppm),
        waveforms=waveforms,
        straws=straws,
        muon_fill=when.fill,
        fill_samples=settings.digitizer.samples,
    )


def straw_record(hits: StrawHits | None, settings: StrawSettings, tripped: tuple[int, ...] = ()) -> StrawRecord | None:
    """Hits of the trackers as the raw file takes them; None where there are no trackers.

    Stations without high voltage send nothing.
    """
    if hits is None:
        return None
    on = tuple(station for station in range(STATIONS) if station not in tripped)
    return StrawRecord(hits.channel, hits.tdc, round(settings.tdc_bin * 1e12), stations=on)


def append_truth(truth: TruthWriter, serial: int, muons: Bunch, snapshots: list[Snapshot], seen: Detected) -> None:
    """Add everything that is known of one fill to the truth file."""
    truth.append("muons", serial, muons._asdict())
    for snapshot in snapshots:
        columns = snapshot._asdict() | {"turn": np.full(snapshot.x.size, snapshot.turn)}
        truth.append("profile", serial, columns)
    truth.append("positrons", serial, seen.positrons._asdict() | {"fate": seen.ends.fate})
    truth.append("hits", serial, seen.hits._asdict() | seen.leakage._asdict())
    truth.append("crystals", serial, seen.deposits._asdict())
    if seen.straws is not None:
        truth.append("straw_hits", serial, _straw_truth(seen.straws, seen.crossings))
    lost = seen.lost
    columns = lost._asdict() | seen.flights._asdict() | {"reason": lost.state, "energy": lost.energy}
    truth.append("lost_muons", serial, columns)
    truth.append("muon_hits", serial, seen.muon_hits._asdict() | {"deposit": seen.muon_hits.lost})


def _straw_truth(hits: StrawHits, crossings: Crossings) -> dict[str, Any]:
    """Columns of /straw_hits: whose hit it is, and how far from the wire that positron passed."""
    number, distance = np.full(hits.channel.size, -1), np.zeros(hits.channel.size)
    known = hits.crossing >= 0
    number[known] = crossings.number[hits.crossing[known]]
    distance[known] = crossings.distance[hits.crossing[known]]
    return {**hits._asdict(), "number": number, "distance": distance}


def append_monitors(truth: TruthWriter, serial: int, monitors: Monitors) -> None:
    """Add what the waveforms of the auxiliary detectors were made from."""
    if monitors.records:
        truth.append("monitors", serial, monitors.truth)
    truth.append("harp_crossings", serial, monitors.crossings._asdict())


def append_moments(truth: TruthWriter, serial: int, first_turn: int, result: TrackResult, reference: Reference) -> None:
    """Add the turn-by-turn moments that the observer saw in one stretch of turns."""
    seen = result.moments
    if seen is None:
        return
    turns = first_turn + result.turns
    # The variance of one muon, a difference of equal sums, may round to below zero.
    some = seen.count[0] > 0
    truth.append(
        "beam",
        serial,
        {
            "turn": turns[some],
            "count": seen.count[0][some],
            "time": ((turns + result.azimuths[0] / (2.0 * np.pi)) * reference.period)[some],
            "mean_x": seen.mean_x[0][some],
            "rms_x": np.sqrt(np.maximum(seen.variance_x[0][some], 0.0)),
            "mean_y": seen.mean_y[0][some],
            "rms_y": np.sqrt(np.maximum(seen.variance_y[0][some], 0.0)),
        },
    )


def append_field(truth: TruthWriter, storage: StorageField) -> None:
    """Add the storage field: multipoles at 45 mm over the azimuth in parts per million of the mean dipole."""
    theta = np.linspace(0.0, 2.0 * np.pi, 720, endpoint=False)
    relative = storage.multipoles(theta) / storage.b0
    relative[:, 0] -= 1.0
    truth.write_field(theta, relative.real * _PPM, -relative.imag * _PPM)
