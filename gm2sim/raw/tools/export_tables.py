"""Rows of the exported tables, event by event: as they lie in the file, or as the reconstruction finds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.errors import ConfigError
from gm2sim.raw.event import Event
from gm2sim.raw.reader import RawRun, open_run
from gm2sim.raw.tools.export_columns import TABLES, Columns, Jagged

if TYPE_CHECKING:
    from gm2sim.calibration import Calibration
    from gm2sim.reco import Clusters, CrystalPulses, FillWaveforms
    from gm2sim.tracks.files import TracksOfFills
    from gm2sim.tracks.settings import TrackSettings

Ints = NDArray[np.int64]

_LAYERS, _WIRES, _MODULES, _VIEW_LAYERS = 4, 32, 8, 2  # of a module, layer, station, view
_MM, _NS, _MEV = 1e3, 1e9, 1e3


class Part(NamedTuple):
    """Rows of one table."""

    table: str
    columns: Columns


def parts(path: Path, what: tuple[str, ...], tracks: Tracking | None) -> Iterator[Part]:
    """All rows of one raw file, in parts of one event each; tracks behind all others.

    Parameters
    ----------
    path : Path
    what : tuple of str
        Names of tables.
    tracks : Tracking or None
        Needed for the tracks.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading.
    ConfigError
        The reconstruction lacks constants.
    """
    raw = open_run(path)
    known = _calibration(raw) if {"hits", "clusters"} & set(what) else None
    serials = []
    for event in raw:
        serials.append(event.serial)
        found: dict[str, Columns] = {}
        if "islands" in what:
            found["islands"] = _islands(event)
        if known is not None and event.crates:
            found |= _reconstructed(event, known, what)
        if "straws" in what:
            found["straws"] = _straws(event)
        for table, columns in found.items():
            yield Part(table, _labelled(table, columns, raw, event.serial))
    if "tracks" in what and tracks is not None:
        found_tracks, columns = _tracks(tracks.of(path, np.array(serials, np.int64)))
        yield Part("tracks", _labelled("tracks", columns, raw, found_tracks))


def _labelled(table: str, columns: Columns, raw: RawRun, event: int | Ints) -> Columns:
    """The columns with run, subrun and event before them, in order and type of the table."""
    rows = next(len(one.counts if isinstance(one, Jagged) else one) for one in columns.values())
    numbers = {"run": raw.run, "subrun": raw.subrun or 0, "event": event}
    whole: Columns = {key: np.broadcast_to(np.asarray(value), rows) for key, value in numbers.items()}
    whole |= columns
    return {
        name: values if isinstance(values := whole[name], Jagged) else np.ascontiguousarray(values, column.type)
        for name, column in TABLES[table].items()
    }


def _islands(event: Event) -> Columns:
    """One row a crystal of an island."""
    calo, island, time, length, crystals, traces = ([] for _ in range(6))
    for crate in event.crates:
        for number, one in enumerate(event.islands(crate)):
            calo.append(crate)
            island.append(number)
            time.append(one.time)
            length.append(one.length)
            crystals.append(len(one.samples))
            traces.append(one.samples.ravel())
    rows = np.array(crystals, np.int64)
    lengths = np.repeat(np.array(length, np.int32), rows)
    first = np.repeat(np.cumsum(rows) - rows, rows)
    return {
        "caloNum": np.repeat(np.array(calo, np.int64), rows),
        "xtalNum": np.arange(len(first)) - first,
        "islandNum": np.repeat(np.array(island, np.int64), rows),
        "time": np.repeat(np.array(time, np.int64), rows),
        "length": lengths,
        "trace": Jagged(np.concatenate([np.zeros(0, np.int16), *traces]), lengths),
    }


def _calibration(raw: RawRun) -> Calibration:
    from gm2sim.calibration import Calibration

    try:
        return Calibration.from_odb(raw.odb)
    except (ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{raw.path}: hits and clusters need the calibration that a simulated file has under "
                          f"/Simulation ({err}): leave them out of --what") from None  # fmt: skip


def _reconstructed(event: Event, known: Calibration, what: tuple[str, ...]) -> dict[str, Columns]:
    from gm2sim.reco import fit_fill, gather, reconstruct_fill

    found = {}
    if "hits" in what:
        waves = gather(event)
        found["hits"] = _hits(fit_fill(waves, known), waves)
    if "clusters" in what:
        found["clusters"] = _clusters(reconstruct_fill(event, known))
    return found


def _hits(pulses: CrystalPulses, waves: FillWaveforms) -> Columns:
    _, first = np.unique(waves.calo, return_index=True)
    before = np.zeros(24, np.int64)  # islands of the calorimeters before
    before[waves.calo[first]] = first
    return {
        "caloNum": pulses.calo + 1,
        "xtalNum": pulses.crystal,
        "islandNum": pulses.island - before[pulses.calo],
        "energy": pulses.energy * _MEV,
        "time": pulses.time * _NS,
        "pedestal": waves.pedestal[pulses.calo, pulses.crystal],
        "fitQuality": pulses.chi2,
    }


def _clusters(found: Clusters) -> Columns:
    return {
        "caloNum": found.calo + 1,
        "energy": found.energy * _MEV,
        "t0": found.time * _NS,
        "x0": found.x * _MM,
        "y0": found.y * _MM,
        "numHits": found.multiplicity,
        "seedShare": found.share,
    }


def _straws(event: Event) -> Columns:
    hits = event.straws()
    channel = np.zeros(0, np.int64) if hits is None else hits.channel.astype(np.int64)
    bin_ns = 0.0 if hits is None else 1e-3 * hits.bin_ps
    tdc, width = (np.zeros(0),) * 2 if hits is None else (hits.tdc.astype(np.float64), hits.width)
    plane = channel // _WIRES
    layer = plane % _LAYERS
    return {
        "station": plane // (_LAYERS * _MODULES),
        "module": plane // _LAYERS % _MODULES,
        "view": layer // _VIEW_LAYERS,
        "layer": layer % _VIEW_LAYERS,
        "straw": channel % _WIRES,
        "time": tdc * bin_ns,
        "width": width * bin_ns,
    }


class Tracking:
    """Tracks of raw files, out of a file that ``gm2sim tracks`` wrote or found now.

    Parameters
    ----------
    file : Path, optional
        The tracks of all events that will be asked for.
    """

    def __init__(self, file: Path | None = None) -> None:
        from gm2sim.tracks.files import load_tracks

        try:
            self._loaded = None if file is None else load_tracks(file)
        except (OSError, KeyError) as err:
            raise ConfigError(f"'{file}' is no file of tracks ({err}): make one with gm2sim tracks") from None
        self._settings: TrackSettings | None = None

    def of(self, path: Path, serials: Ints) -> TracksOfFills:
        """Of the events of one file."""
        from gm2sim.tracks.files import TracksOfFills

        if self._loaded is None:
            return self._find(path)
        here = np.isin(self._loaded.fill, serials)
        return TracksOfFills(self._loaded.fill[here], self._loaded.tracks.select(here))

    def _find(self, path: Path) -> TracksOfFills:
        from gm2sim.config import Config
        from gm2sim.setup import Setup
        from gm2sim.tracks.drift import calibrate_drift
        from gm2sim.tracks.files import tracks_of
        from gm2sim.tracks.settings import TrackSettings

        setup = Setup.of(Config.model_validate(open_run(path).odb["Simulation"]["configuration"]))
        if self._settings is None:
            self._settings = TrackSettings(drift=calibrate_drift(setup.straws))
        return tracks_of(path, self._settings, setup)


def _tracks(found: TracksOfFills) -> tuple[Ints, Columns]:
    from gm2sim.tracks import Status, good_tracks, good_vertices

    tracks = found.tracks
    return found.fill, {
        "station": tracks.station,
        "momentum": tracks.momentum * _MEV,
        "time": tracks.time * _NS,
        "x": tracks.x * _MM,
        "y": tracks.y * _MM,
        "z": tracks.z * _MM,
        "dxdz": tracks.dx,
        "dydz": tracks.dy,
        "chi_squared": tracks.chi2,
        "ndf": tracks.ndf,
        "pValue": tracks.p_value,
        "numHits": tracks.hits,
        "numPlanesHit": tracks.planes,
        "errorFlag": tracks.status != Status.FITTED,
        "passTrackQuality": good_tracks(tracks),
        "hasDecayVertex": tracks.vertex,
        "passVertexQuality": good_vertices(tracks),
        "decayVertexX": tracks.vertex_x * _MM,
        "decayVertexY": tracks.vertex_y * _MM,
        "decayVertexTheta": tracks.vertex_theta,
        "decayVertexTime": tracks.vertex_time * _NS,
        "caloNum": np.where(tracks.reached == 1, tracks.calo + 1, 0),
        "caloX": tracks.u * _MM,
        "caloY": tracks.v * _MM,
        "caloTime": tracks.arrival * _NS,
    }
