"""Tracks of whole raw files."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from detectors.straw_constants import StrawConstants
from gm2sim.config import Config, ConfigError
from gm2sim.hdf5 import new_file
from gm2sim.raw import open_run
from gm2sim.setup import Setup
from gm2sim.tracks.alignment import from_odb
from gm2sim.tracks.drift import DriftTable, calibrate_drift
from gm2sim.tracks.fit import Status
from gm2sim.tracks.reconstruct import Tracks, find_and_fit, good_tracks, good_vertices
from gm2sim.tracks.settings import TrackSettings


class TracksOfFills(NamedTuple):
    """Tracks of several fills behind one another.

    Attributes
    ----------
    fill : int64 array (n,)
        Event serial.
    tracks : Tracks
        Rows of `hit` count the hits of their own fill.
    """

    fill: NDArray[np.int64]
    tracks: Tracks


def tracks_of(
    paths: Path | str | Iterable[Path | str],
    settings: TrackSettings | None = None,
    setup: Setup | None = None,
    *,
    skip: Collection[int] = (),
    constants_of: Callable[[int], StrawConstants] | None = None,
) -> TracksOfFills:
    """Find and fit the tracks of raw files, with the alignment that travels in them.

    Parameters
    ----------
    paths : path or several
        Raw files.
    settings : TrackSettings, optional
        The defaults, with a drift relation calibrated for the gas of the files, where None.
    setup : Setup, optional
        Ring and fields; those of the configuration in the first file where None.
    skip : collection of int
        Serial numbers of events that are left out, for data quality.
    constants_of : function of a subrun, optional
        Alignment in place of what travels in the files.

    Raises
    ------
    FileNotFoundError, RawFormatError
        As when reading raw files.
    ConfigError
        A file without the trackers' constants.
    """
    listed = [paths] if isinstance(paths, Path | str) else list(paths)
    fills, parts = [], []
    drift: DriftTable | None = None
    for path in listed:
        raw = open_run(path)
        constants = from_odb(raw.odb) if constants_of is None else constants_of(raw.subrun or 0)
        setup = setup or Setup.of(Config.model_validate(raw.odb["Simulation"]["configuration"]))
        if setup.designed is None:
            raise ConfigError(f"{path}: its configuration has no trackers (transport.trackers = false)")
        if settings is None:
            drift = drift or calibrate_drift(setup.straws)
        chosen = settings or TrackSettings(drift=drift or calibrate_drift(setup.straws))
        stations = replace(setup.designed, misalignment=constants.misalignment)
        for event in raw:
            hits = event.straws() if event.serial not in skip else None
            if hits is None:
                continue
            channel, time = hits.channel.astype(np.int64), hits.tdc.astype(np.float64) * (1e-12 * hits.bin_ps)
            found = find_and_fit(channel, time, stations, setup.fields, chosen)
            fills.append(np.full(found.n, event.serial, np.int64))
            parts.append(found)
    if not parts:
        raise ConfigError(f"{listed[0]}: no event has hits of straw trackers")
    return TracksOfFills(
        np.concatenate(fills), Tracks._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
    )


UNITS = {
    "x": "m", "y": "m", "z": "m", "momentum": "GeV/c", "time": "s", "vertex_x": "m", "vertex_y": "m",
    "vertex_theta": "rad", "vertex_time": "s", "path": "m", "u": "m", "v": "m", "arrival": "s", "distance": "m",
    "residual": "m",
}  # fmt: skip
"""Units of the columns of a file of tracks; the others have none, or several (covariances)."""


def save_tracks(path: Path, found: TracksOfFills) -> Path:
    """Write tracks to an HDF5 file, one data set per column of :class:`Tracks` with its unit, and ``good`` flags.

    Parameters
    ----------
    path : Path
        Replaced if it is there.
    found : TracksOfFills
    """
    with new_file(path, replace=True) as file:
        put_tracks(file, found)
    return path


def put_tracks(file: h5py.File, found: TracksOfFills) -> None:
    """Write tracks into an open HDF5 file, under /tracks."""
    flags = {"good_track": good_tracks(found.tracks), "good_vertex": good_vertices(found.tracks)}
    for name, values in ({"fill": found.fill} | found.tracks._asdict() | flags).items():
        column = file.create_dataset(f"tracks/{name}", data=values, compression="gzip", shuffle=True)
        column.attrs["unit"] = UNITS.get(name, "")


def load_tracks(path: Path) -> TracksOfFills:
    """Read tracks back that :func:`save_tracks` wrote."""
    with h5py.File(path, "r") as file:
        columns = {name: file[f"tracks/{name}"][:] for name in ("fill", *Tracks._fields)}
    return TracksOfFills(columns.pop("fill"), Tracks(**columns))


def summary(found: TracksOfFills) -> dict[str, float]:
    """What a person asks first: how many, how good, and the beam that they show [mm], [um]."""
    tracks = found.tracks
    fitted, good, vertex = tracks.status == Status.FITTED, good_tracks(tracks), good_vertices(tracks)
    facts: dict[str, float] = {
        "candidates": tracks.n, "fitted": int(fitted.sum()), "good tracks": int(good.sum()),
        "good vertices": int(vertex.sum()),
    }  # fmt: skip
    if vertex.any():
        residual = tracks.residual[good][tracks.kept[good]]
        x, y = tracks.vertex_x[vertex] * 1e3, tracks.vertex_y[vertex] * 1e3
        facts |= {
            "residual RMS [um]": float(residual.std() * 1e6), "mean x [mm]": float(x.mean()),
            "RMS x [mm]": float(x.std()), "mean y [mm]": float(y.mean()), "RMS y [mm]": float(y.std()),
        }  # fmt: skip
    return facts
