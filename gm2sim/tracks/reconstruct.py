"""Tracks of a fill from the hits of its straws: find, fit, extrapolate."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from detectors.straws import CHANNELS, Stations
from fields.total import FieldTables
from gm2sim.tracks.finding import Candidates, Ordered, find_candidates, order_hits
from gm2sim.tracks.fit import Status, fit_candidates
from gm2sim.tracks.path import Work
from gm2sim.tracks.residuals import Fitted
from gm2sim.tracks.settings import Cuts, TrackSettings
from gm2sim.tracks.vertex import extrapolate

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_AT_ONCE = 2048  # tracks that are fitted together: bounds the memory


class Tracks(NamedTuple):
    """Tracks; shape (n,) where nothing else is said. What a fit gives means nothing where it has not ended well."""

    status: IntArray  # `gm2sim.tracks.fit.Status`
    station: IntArray  # 0 or 1
    island: IntArray  # number of the group of hits in time
    hits: IntArray  # that are fitted
    planes: IntArray  # layers with a fitted hit
    x: FloatArray  # at the entrance, the layer of the first hit, in the station frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # of that layer [m]
    dx: FloatArray  # slope dx/dz
    dy: FloatArray  # slope dy/dz
    momentum: FloatArray  # [GeV/c]
    time: FloatArray  # [s]
    covariance: FloatArray  # of x, y, dx, dy, 1/momentum [c/GeV], time, shape (n, 6, 6)
    chi2: FloatArray
    ndf: IntArray
    p_value: FloatArray
    crossed: IntArray  # layers between first and last hit whose straws the track crosses well inside
    missed: IntArray  # those of them without a hit
    vertex: IntArray  # 1 where there is a tangent point
    vertex_x: FloatArray  # radially from the design orbit, with the settings' shift [m]
    vertex_y: FloatArray  # [m]
    vertex_theta: FloatArray  # azimuth [rad]
    vertex_time: FloatArray  # [s]
    vertex_covariance: FloatArray  # of x, y, azimuth, shape (n, 3, 3)
    path: FloatArray  # from the vertex to the entrance [m]
    through_metal: IntArray  # bits: 1 plate, 2 collimator, 4 wall of the chamber
    reached: IntArray  # 1 where the track goes on to the plane of the calorimeter's face
    calo: IntArray  # that calorimeter, 0 to 23
    u: FloatArray  # on its face, along it [m]
    v: FloatArray  # and up [m]
    face_covariance: FloatArray  # of u, v, shape (n, 2, 2)
    arrival: FloatArray  # time there [s]
    hit: IntArray  # rows of the hits that were given, -1 for none, shape (n, 40); by layer
    layer: IntArray  # of these hits, 0 to 31, shape (n, 40)
    kept: BoolArray  # those that are fitted, shape (n, 40)
    distance: FloatArray  # of the track from the wire, with sign, scattering included, shape (n, 40) [m]
    residual: FloatArray  # drift distance less that of the track, shape (n, 40) [m]
    pull: FloatArray  # the residual in units of its own error, shape (n, 40)

    @property
    def n(self) -> int:
        """Number of tracks."""
        return int(self.status.size)

    def select(self, which: BoolArray) -> "Tracks":
        """Rows for which `which`, shape (n,), is true."""
        return Tracks._make(np.ascontiguousarray(column[which]) for column in self)


def find_and_fit(
    channel: IntArray,
    time: FloatArray,
    stations: Stations,
    fields: FieldTables,
    settings: TrackSettings | None = None,
    backend: str = "cpu",
) -> Tracks:
    """Find and fit the tracks of a fill.

    Parameters
    ----------
    channel
        Straws with a hit, 0 to 2047, shape (n,).
    time
        Of the hits, as measured [s], shape (n,).
    stations
        The trackers, with the misalignment that is known.
    fields
        From `fields.total.field_tables`.
    settings
        The defaults where None; a calibrated drift relation is better than the default one.
    backend
        "cpu" or "gpu", for fit and extrapolation.

    Returns
    -------
    Tracks
        Candidates in the order of their islands, also those whose fit has failed (`status`).

    Raises
    ------
    ValueError
        If the arrays do not fit together, a channel does not exist or a time is not finite.
    """
    chosen = settings or TrackSettings()
    channel, time = np.asarray(channel, np.int64), np.asarray(time, np.float64)
    if channel.ndim != 1 or channel.shape != time.shape:
        raise ValueError(f"hits have channels {channel.shape} and times {time.shape}: give two arrays of one length.")
    if channel.size and not (channel.min() >= 0 and channel.max() < CHANNELS):
        raise ValueError(f"hits have channels from {channel.min()} to {channel.max()}: give 0 to {CHANNELS - 1}.")
    if not np.isfinite(time).all():
        raise ValueError(f"{int((~np.isfinite(time)).sum())} hits have no finite time: leave them out.")
    hits, islands = order_hits(channel, time, stations, chosen)
    found = find_candidates(hits, islands, stations, chosen)
    parts = []
    for first in range(0, max(found.hits.size, 1), _AT_ONCE):
        some = Candidates._make(column[first : first + _AT_ONCE] for column in found)
        fitted, work = fit_candidates(some, hits, islands, fields, stations, chosen, backend)
        parts.append(_tracks(some, hits, fitted, work, fields, stations, chosen, backend))
    return Tracks._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _tracks(
    found: Candidates,
    hits: Ordered,
    fitted: Fitted,
    work: Work,
    fields: FieldTables,
    stations: Stations,
    settings: TrackSettings,
    backend: str,
) -> Tracks:
    """Put what finding, fit and extrapolation say into columns."""
    ended = fitted.status == Status.FITTED
    value = fitted.values
    time = found.time + value[:, 5]
    degrees = np.maximum(fitted.ndf, 1)
    on_track = _hits(found, hits, work, ended)
    return Tracks(
        status=fitted.status,
        station=found.station,
        island=found.island,
        hits=on_track["kept"].sum(axis=1),
        planes=_planes(work.layer, on_track["kept"]),
        x=value[:, 0],
        y=value[:, 1],
        z=fitted.z,
        dx=value[:, 2],
        dy=value[:, 3],
        momentum=1.0 / np.where(ended, value[:, 4], 1.0),
        time=time,
        covariance=fitted.covariance,
        chi2=fitted.chi2,
        ndf=fitted.ndf,
        p_value=np.where(ended, gammaincc(0.5 * degrees, 0.5 * np.maximum(fitted.chi2, 0.0)), 0.0),
        crossed=fitted.crossed,
        missed=fitted.missed,
        **_ends(found, fitted, time, fields, stations, settings, backend),
        **on_track,
    )


def _ends(
    found: Candidates,
    fitted: Fitted,
    time: FloatArray,
    fields: FieldTables,
    stations: Stations,
    settings: TrackSettings,
    backend: str,
) -> dict[str, Any]:
    """Columns of the vertex and of the calorimeter's face."""
    tables, geometry = stations.tables(), stations.geometry.tables()
    ended = fitted.status == Status.FITTED
    # What has not been fitted starts somewhere harmless.
    safe = fitted._replace(
        values=np.where(ended[:, None], fitted.values, [0.1, 0.0, 0.0, 0.0, 1.0, 0.0]),
        z=np.where(ended, fitted.z, 0.4),
    )
    ends = extrapolate(safe, found.station, fields, geometry, tables, settings.step, settings.longest_path, backend)
    spread = np.einsum("nai,nij,nbj->nab", ends.jacobian, fitted.covariance[:, :5, :5], ends.jacobian)
    return {
        "vertex": ends.found * ended,
        "vertex_x": ends.x + settings.radial_shift,
        "vertex_y": ends.y,
        "vertex_theta": ends.theta,
        "vertex_time": time + ends.time,
        "vertex_covariance": np.ascontiguousarray(spread[:, :3, :3]),
        "path": ends.path,
        "through_metal": ends.metal,
        "reached": ends.reached * ended,
        "calo": tables.cells[found.station],
        "u": ends.u,
        "v": ends.v,
        "face_covariance": np.ascontiguousarray(spread[:, 3:5, 3:5]),
        "arrival": time + ends.arrival,
    }


def _hits(found: Candidates, hits: Ordered, work: Work, ended: BoolArray) -> dict[str, Any]:
    """Columns of the hits of each track."""
    there = found.hit >= 0
    kept = there & (work.weight > 0.5) & ended[:, None]
    shifted = work.distance + work.shift
    noise = np.sqrt(np.where(kept, work.information, 1.0))
    side = np.where(shifted < 0.0, -1.0, 1.0)
    return {
        "hit": np.where(there, hits.row[np.maximum(found.hit, 0)], -1) if hits.row.size else found.hit,
        "layer": np.asarray(work.layer, np.int64),
        "kept": kept,
        "distance": np.where(there, shifted, 0.0),
        "residual": np.where(kept, work.radius - np.abs(shifted), 0.0),
        "pull": np.where(kept, side * work.solved[:, :, 7] / noise, 0.0),
    }


def _planes(layer: IntArray, kept: BoolArray) -> IntArray:
    """How many different layers the kept hits of each track are in; hits are in order of layers."""
    marks = np.where(kept, 1 << layer, 0)
    union = np.bitwise_or.reduce(marks, axis=1) if marks.size else np.zeros(marks.shape[0], np.int64)
    return np.asarray(np.bitwise_count(union), np.int64)


def good_tracks(tracks: Tracks, cuts: Cuts | None = None) -> BoolArray:
    """Return which tracks pass the cuts on the fit, shape (n,)."""
    cut = cuts or Cuts()
    low, high = cut.entrance_x
    return np.asarray(
        (tracks.status == Status.FITTED)
        & (tracks.p_value > cut.p_value)
        & (tracks.planes >= cut.planes)
        & (tracks.missed <= cut.missed * np.maximum(tracks.crossed, 1))
        & (tracks.x > low)
        & (tracks.x < high)
        & (np.abs(tracks.y) < cut.entrance_y)
        & (np.abs(tracks.residual).max(axis=1, initial=0.0) < cut.residual)
    )


def good_vertices(tracks: Tracks, cuts: Cuts | None = None) -> BoolArray:
    """Return which tracks pass all cuts, those on the vertex too, shape (n,)."""
    cut = cuts or Cuts()
    sigma_x, sigma_y = (np.sqrt(np.maximum(tracks.vertex_covariance[:, k, k], 0.0)) for k in range(2))
    good = good_tracks(tracks, cut) & (tracks.vertex > 0)
    for sigma, (low, high) in ((sigma_x, cut.sigma_x), (sigma_y, cut.sigma_y)):
        good &= (sigma > low) & (sigma < high)
    return good if cut.metal else good & (tracks.through_metal == 0)
