"""What goes wrong in a fill: drawn from its name alone, and what of it the muons and the detectors feel.

A fault is a pure function of (seed, run, subrun, fill): it is the same whichever rank simulates the subrun, and moves
no other random number.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.laser import Pulses
from detectors.shower import CALORIMETERS
from detectors.straw_drift import StrawHits
from detectors.straws import STATION_CHANNELS, STATIONS
from gm2sim.config import Config
from gm2sim.config.faults import FaultsSection
from gm2sim.raw import FillRecord
from gpu.rng import FillKey, Stage, normals, uniforms

Floats = NDArray[np.float64]
_WHOLE_SUBRUN = 0xFFFFFFFF  # number of a fill that no subrun has: what is drawn for all of its fills
_SOME = 1e-9  # of the eddy currents is kept without a kick, so that the same compiled tracker takes the fill
_PROBES = 99  # particle number of the noise of the field monitor
PROBE_NOISE = 0.02
"""Noise of the mean of the fixed probes in one fill [ppm]: 20 ppb, best estimate."""


class Kind(IntEnum):
    """What went wrong: as in the truth's /faults and as particle number of the draws. Never renumber."""

    QUAD_SPARK = 1
    MISSING_KICK = 2
    WEAK_KICK = 3
    DEAD_CRATE = 4
    TRACKER_TRIP = 5
    LASER_OFF = 6
    FIELD_JUMP = 7


@dataclass(frozen=True)
class FillFaults:
    """What is wrong in one fill of muons, and in the events of laser and pedestals behind it.

    Attributes
    ----------
    spark : float or None [s]
        When the quads break down.
    kick : float
        Amplitude of the kick over the set one.
    dead : tuple of int
        Calorimeter crates, 1 to 24, that send nothing.
    tripped : tuple of int
        Tracker stations without high voltage.
    dark : bool
        The laser gives no light.
    field : float
        Change of the magnetic field over the field.
    """

    spark: float | None = None
    kick: float = 1.0
    dead: tuple[int, ...] = ()
    tripped: tuple[int, ...] = ()
    dark: bool = False
    field: float = 0.0

    def rows(self, *, muons: bool) -> dict[str, NDArray[Any]]:
        """Columns of the truth's /faults: one row a fault.

        Parameters
        ----------
        muons : bool
            Of a fill of muons; other events have neither muons nor trackers.
        """
        rows: list[tuple[int, int, float, float]] = []
        if muons and self.spark is not None:
            rows.append((Kind.QUAD_SPARK, 0, self.spark, 0.0))
        if muons and self.kick != 1.0:
            rows.append((Kind.WEAK_KICK if self.kick else Kind.MISSING_KICK, 0, 0.0, self.kick))
        rows += [(Kind.DEAD_CRATE, crate, 0.0, 0.0) for crate in self.dead]
        if muons:
            rows += [(Kind.TRACKER_TRIP, station, 0.0, 0.0) for station in self.tripped]
        if self.dark:
            rows.append((Kind.LASER_OFF, 0, 0.0, 0.0))
        if muons and self.field:
            rows.append((Kind.FIELD_JUMP, 0, 0.0, 1e6 * self.field))
        columns = zip(*rows, strict=True) if rows else ((), (), (), ())
        return {name: np.array(column) for name, column in zip(("kind", "place", "time", "size"), columns, strict=True)}


NONE = FillFaults()


@lru_cache(maxsize=100_000)
def _draws(key: FillKey) -> Floats:
    """Two uniform numbers for each kind of fault, (2, kinds + 1): does it happen, and where or when."""
    return uniforms(key, Stage.FAULTS, np.arange(len(Kind) + 1))


def _happens(chance: float, key: FillKey, kind: Kind) -> bool:
    return chance > 0.0 and bool(_draws(key)[0, kind] < chance)


def _place(key: FillKey, kind: Kind, places: int) -> int:
    return int(places * _draws(key)[1, kind])


def faults_of(config: Config, key: FillKey) -> FillFaults:
    """What goes wrong in one fill of muons.

    Parameters
    ----------
    config : Config
    key : FillKey
        Its ``fill`` counts the fills of muons of the subrun from 0.
    """
    settings = config.faults
    if not settings.any:
        return NONE
    kick = 1.0
    if _happens(settings.weak_kick, key, Kind.WEAK_KICK):
        kick = settings.weak_kick_factor
    if _happens(settings.missing_kick, key, Kind.MISSING_KICK):
        kick = 0.0
    spark = None
    if _happens(settings.quad_spark, key, Kind.QUAD_SPARK):
        spark = 1e-6 * config.tracking.fill_duration_us * float(_draws(key)[1, Kind.QUAD_SPARK])
    return FillFaults(
        spark=spark,
        kick=kick,
        dead=_dead(settings, key),
        tripped=_tripped(settings, key),
        dark=_happens(settings.laser_off, key, Kind.LASER_OFF),
        field=1e-6 * settings.field_jump_ppm * _jumps(settings, key),
    )


def _dead(settings: FaultsSection, key: FillKey) -> tuple[int, ...]:
    """Crates that are dead in this fill, or in all of the subrun."""
    own = ((settings.dead_crate, key), (settings.dead_crate_subrun, key._replace(fill=_WHOLE_SUBRUN)))
    dead = {1 + _place(one, Kind.DEAD_CRATE, CALORIMETERS) for p, one in own if _happens(p, one, Kind.DEAD_CRATE)}
    return tuple(sorted(dead))


def _tripped(settings: FaultsSection, key: FillKey) -> tuple[int, ...]:
    """Stations whose voltage tripped in this fill, or so few fills before that it is still off."""
    if not settings.tracker_trip:
        return ()
    before = (
        key._replace(fill=fill) for fill in range(max(key.fill - settings.tracker_trip_fills + 1, 0), key.fill + 1)
    )
    trips = (one for one in before if _happens(settings.tracker_trip, one, Kind.TRACKER_TRIP))
    return tuple(sorted({_place(one, Kind.TRACKER_TRIP, STATIONS) for one in trips}))


def _jumps(settings: FaultsSection, key: FillKey) -> int:
    """Jumps of the field since the begin of the subrun."""
    if not settings.field_jump:
        return 0
    fills = (key._replace(fill=fill) for fill in range(key.fill + 1))
    return sum(_happens(settings.field_jump, one, Kind.FIELD_JUMP) for one in fills)


def kicked(config: Config, factor: float) -> Config:
    """The configuration with the amplitudes of all kickers times a factor."""
    kickers = config.kickers
    changed = {
        "voltage_kv": tuple(factor * one for one in kickers.voltage_kv),
        "eddy_mg": max(factor, _SOME) * kickers.eddy_mg,
    }
    return config.model_copy(update={"kickers": kickers.model_copy(update=changed)})


def dark(pulses: Pulses) -> Pulses:
    """Pulses of a laser without light."""
    return pulses._replace(brightness=np.zeros_like(pulses.brightness))


def powered(hits: StrawHits, tripped: tuple[int, ...]) -> StrawHits:
    """The hits of the stations that have high voltage."""
    on = ~np.isin(hits.channel // STATION_CHANNELS, tripped)
    return StrawHits._make(column[on] for column in hits)


def without_crates(fill: FillRecord, dead: tuple[int, ...]) -> FillRecord:
    """The same fill when some calorimeter crates have sent nothing."""
    if not dead:
        return fill
    crates = tuple(None if number in dead else one for number, one in enumerate(fill.calorimeters, 1))
    waveforms = tuple(one for one in fill.waveforms if one.crate not in dead)
    return replace(fill, calorimeters=crates, waveforms=waveforms)


def probe_readings(config: Config, keys: dict[int, FillKey]) -> list[list[float]]:
    """What the fixed probes of the magnet show: event serial and change of the field since the begin [ppm].

    Parameters
    ----------
    config : Config
    keys : dict of int to FillKey
        Event serial of each fill of muons -> its name.
    """
    return [
        [serial, 1e6 * faults_of(config, key).field + PROBE_NOISE * float(normals(key, Stage.FAULTS, [_PROBES])[0, 0])]
        for serial, key in keys.items()
    ]
