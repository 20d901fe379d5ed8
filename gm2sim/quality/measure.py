"""What is measured of one event of a raw file, before anything is judged."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.laser import HEADS, MONITORS, monitor_brightness
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.straws import LAYERS, MODULES, STATION_CHANNELS, STATIONS, WIRES
from gm2sim.calibration import Calibration
from gm2sim.calibration_fills import LASER_CRATE, PULSE_SAMPLE
from gm2sim.clusters import Clusters
from gm2sim.lost_muons import lost_muon_triples
from gm2sim.monitors import KICKER_CRATE, QUAD_CRATE, T0_CRATE
from gm2sim.quality.traces import Channels, bunch_of, kick_of, plate_bins, plate_means, plate_times
from gm2sim.raw import Event, RawRun
from gm2sim.reco import LASER_CRYSTALS, gather
from gm2sim.timeline import FillType

Floats = NDArray[np.float64]
KICKERS = 3
READ_OUT = (FillType.MUONS, FillType.LASER, FillType.PEDESTAL)
"""Events that all calorimeters answer."""
HV_GROUPS = MODULES * LAYERS * 2  # high-voltage channels of a station: halves of layers, best estimate
_LIT = 0.3  # [GeV] in a crystal that sees the laser
_PULSE = 0.035  # [GeV]: a smaller signal of a crystal is noise
_FIRST_LOST = 20e-6  # lost muons are counted from here on, behind scraping [s]


class Measures(NamedTuple):
    """Measurements of events, one row each; NaN, 0 or -1 where there was nothing to measure.

    Attributes
    ----------
    run, subrun, event, fill_type, time, bunch : int64 arrays (n,)
        Event serial; type as the trigger says; Unix time [s]; place in the supercycle.
    kick : array (n, 3, 4)
        Peak [T], time, width and zero crossing [s] of each kicker.
    plates : float32 array (n, plates, bins) [V]
    crates : bool array (n, 24)
        Whether the calorimeter crate has sent what is due.
    monitors : bool array (n, 9)
        The same of crates 25 to 33.
    pedestals : float32 array (n, 24)
        Mean of the crystals [counts].
    ctags, islands, triples : int64 arrays (n,)
        Late positrons, islands, and triple coincidences of lost muons.
    t0, t0_area : arrays (n,)
        [s], [counts x samples]
    laser : array (n, 6)
        Brightness of each head in the first pulse.
    straws : int64 array (n, 2)
        Hits of each station; -1 where trackers are not read out.
    voltage : bool array (n, 2, 64)
        High-voltage groups with hits.
    field : array (n,) [ppm]
        By the fixed probes.
    """

    run: NDArray[np.int64]
    subrun: NDArray[np.int64]
    event: NDArray[np.int64]
    fill_type: NDArray[np.int64]
    time: NDArray[np.int64]
    bunch: NDArray[np.int64]
    kick: Floats
    plates: NDArray[np.float32]
    crates: NDArray[np.bool_]
    monitors: NDArray[np.bool_]
    pedestals: NDArray[np.float32]
    ctags: NDArray[np.int64]
    islands: NDArray[np.int64]
    triples: NDArray[np.int64]
    t0: Floats
    t0_area: Floats
    laser: Floats
    straws: NDArray[np.int64]
    voltage: NDArray[np.bool_]
    field: Floats

    @classmethod
    def stacked(cls, rows: Iterable["Measures"]) -> "Measures":
        """Rows of single events behind one another."""
        return cls(*(np.stack(columns) for columns in zip(*rows, strict=True)))

    @property
    def muons(self) -> NDArray[np.bool_]:
        """Which events are fills of muons."""
        return np.asarray(self.fill_type == FillType.MUONS)


class Reader:
    """Measures the events of one raw file.

    Parameters
    ----------
    raw : RawRun
    """

    def __init__(self, raw: RawRun) -> None:
        self._run, self._subrun = raw.run, raw.subrun or 0
        self._channels = {crate: Channels.of(raw.odb, crate) for crate in (T0_CRATE, KICKER_CRATE, QUAD_CRATE)}
        self._field = _probes(raw.odb)
        try:
            self._known: Calibration | None = Calibration.from_odb(raw.odb)
        except ValueError:
            self._known = None  # somebody else's file: no lost muons, all else is there

    @property
    def plate_times(self) -> Floats:
        """Begin of the steps in which the plates are averaged [s]; empty without quads."""
        channels = self._channels[QUAD_CRATE]
        return plate_times(channels) if channels is not None else np.zeros(0)

    def measure(self, event: Event) -> Measures:
        """The measurements of one event: a row without the first axis."""
        muons = event.fill_type == FillType.MUONS
        # Events of other types hold pulses of boards that trigger themselves, not whole waveforms.
        whole = set(event.waveform_crates) if event.fill_type in READ_OUT else set()
        calorimeters = event.crates if muons else sorted(whole)
        there = np.isin(np.arange(1, CALORIMETERS + 1), calorimeters)
        pedestals = np.full(CALORIMETERS, np.nan, np.float32)
        ctags = islands = 0
        if muons:
            for crate in event.crates:
                pedestals[crate - 1] = event.pedestals(crate).mean()
                found = event.islands(crate)
                ctags, islands = ctags + found.ctag, islands + len(found)
        t0, area = self._bunch(event) if T0_CRATE in whole else (np.nan, 0.0)
        straws, voltage = _straws(event)
        row = (
            self._run, self._subrun, event.serial, event.fill_type, event.time, event.fill_index,
            self._kick(event, whole), self._plates(event, whole), there,
            np.isin(np.arange(T0_CRATE, LASER_CRATE + 1), sorted(whole)), pedestals, ctags, islands,
            self._triples(event) if muons else 0, t0, area, _laser(event, whole), straws, voltage,
            self._field.get(event.serial, np.nan),
        )  # fmt: skip
        return Measures._make(np.asarray(value) for value in row)

    def _kick(self, event: Event, whole: set[int]) -> Floats:
        channels = self._channels[KICKER_CRATE]
        kick = np.full((KICKERS, 4), np.nan)
        if channels is None or KICKER_CRATE not in whole:
            return kick
        values = channels.values(np.concatenate(event.waveforms(KICKER_CRATE).samples))
        for row, trace in enumerate(values[:KICKERS]):
            kick[row] = kick_of(trace, channels)
        return kick

    def _plates(self, event: Event, whole: set[int]) -> NDArray[np.float32]:
        channels = self._channels[QUAD_CRATE]
        if channels is None:
            return np.zeros((0, 0), np.float32)
        if QUAD_CRATE not in whole:
            return np.full((len(channels.names), plate_bins(channels)), np.nan, np.float32)
        return plate_means(channels.values(np.concatenate(event.waveforms(QUAD_CRATE).samples)))

    def _bunch(self, event: Event) -> tuple[float, float]:
        return bunch_of(np.concatenate(event.waveforms(T0_CRATE).samples))

    def _triples(self, event: Event) -> int:
        if self._known is None or not event.crates:
            return 0
        found = lost_muon_triples(quick_clusters(event, self._known)).found
        return int((found.time > _FIRST_LOST).sum())


def quick_clusters(event: Event, known: Calibration) -> Clusters:
    """One cluster an island, from its highest samples alone: good enough to count muons, no fit is made.

    Parameters
    ----------
    event : Event
        A fill of muons.
    known : Calibration
    """
    waves = gather(event)
    n = len(waves.length)
    if not n:
        return Clusters.empty()
    rows = np.repeat(waves.length, CRYSTALS)
    first = np.cumsum(rows) - rows
    lowest = np.minimum.reduceat(waves.samples, first).reshape(n, CRYSTALS)
    height = (waves.pedestal[waves.calo] - lowest) / known.channels("counts_per_gev").reshape(-1, CRYSTALS)[waves.calo]
    keep = np.flatnonzero((np.count_nonzero(height > _LIT, axis=1) < LASER_CRYSTALS) & (height.max(axis=1) > _PULSE))
    height = np.where(height > _PULSE, height, 0.0)[keep]
    best = height.argmax(axis=1)
    at = np.array([
        waves.samples[begin : begin + length].argmin()
        for begin, length in zip(first.reshape(n, CRYSTALS)[keep, best], waves.length[keep], strict=True)
    ], np.int64)  # fmt: skip
    offset = known.channels("time_offset").reshape(-1, CRYSTALS)[waves.calo[keep], best]
    nothing = np.zeros(len(keep))
    energy = height.sum(axis=1)
    return Clusters(
        fill=np.full(len(keep), event.serial), calo=waves.calo[keep], energy=energy,
        time=(waves.time[keep] + at - known.zero_sample) * known.sample_period - offset, x=nothing, y=nothing,
        multiplicity=np.count_nonzero(height, axis=1), share=height.max(axis=1) / energy,
    )  # fmt: skip


def _laser(event: Event, whole: set[int]) -> Floats:
    """Brightness of the heads in the first pulse; 0 where the crate is silent."""
    if LASER_CRATE not in whole:
        return np.zeros(HEADS)
    found = event.waveforms(LASER_CRATE)
    samples = np.stack(found.samples)
    if len(samples) != HEADS * len(MONITORS):
        return np.zeros(HEADS)
    period = 1.25e-9
    return np.asarray(monitor_brightness(samples, PULSE_SAMPLE * period, period)[0])


def _straws(event: Event) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Hits of each station, and which high-voltage groups have any."""
    groups = np.zeros((STATIONS, HV_GROUPS), np.bool_)
    words = event.straws()
    if words is None:
        return np.full(STATIONS, -1), groups
    channel = words.channel.astype(np.int64)
    station, straw = np.divmod(channel, STATION_CHANNELS)
    groups[station, straw // (WIRES // 2)] = True
    return np.bincount(station, minlength=STATIONS), groups


def _probes(odb: Mapping[str, Any]) -> dict[int, float]:
    """Event -> reading of the fixed probes [ppm]; empty where the file has none."""
    try:
        return {int(serial): float(ppm) for serial, ppm in odb["Equipment"]["FixedProbes"]["Variables"]["Field (ppm)"]}
    except (KeyError, TypeError, ValueError):
        return {}
