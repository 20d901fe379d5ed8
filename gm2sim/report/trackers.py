"""Pages of the report about the straw trackers: residuals of the tracks' hits, and the beam that they see."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.outputs import raw_files
from gm2sim.plots import Plot
from gm2sim.plots.tracks import hit_residuals, tracker_image
from gm2sim.raw import open_run
from gm2sim.report.load import RunFolder
from gm2sim.setup import Setup
from gm2sim.tracks import Acceptance, BeamImage, Tracks, acceptance, beam_image, good_tracks, good_vertices
from gm2sim.tracks.files import TracksOfFills, tracks_of
from gm2sim.truth import open_truth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Page = tuple[str, str, str, Callable[[], Plot | None]]

_FEWEST = 30  # tracks below which nothing is drawn
_FOR_ACCEPTANCE = 300  # tracks: the polynomial is then known to about 15 % where the beam is
_IN_A_BIN = 80  # vertices of a time bin
_MOST_BINS = 12
_RESOLUTION = (2.4e-3, 2.4e-3)  # of a vertex in x and y [m]: docs/physics/tracks.md
_LAST = 400e-6  # end of the time bins [s]


class _Decays(NamedTuple):
    """True decays of a run, and whose hit each straw hit is."""

    fill: Ints
    number: Ints
    x: Floats
    y: Floats
    time: Floats
    owner: dict[int, Ints]  # fill -> number of the muon of each straw hit


def tracker_pages(run: RunFolder) -> list[Page]:
    """Name, title, caption and maker of each page; none where the run has no trackers."""
    if not any(event.straws() is not None for path in raw_files(run.folder)[:1] for event in open_run(path)):
        return []
    seen = _Seen(run)
    return [
        ("tracks", "Hits of the tracks", "Distance of the track from the wire less that of the drift time, over all "
         "hits of good tracks, and its mean layer by layer.", seen.residuals),
        ("image", "The beam by the trackers", "Vertices of good tracks beside the true decays, corrected for the "
         "acceptance that the other half of the fills has if that has enough tracks.", seen.image),
    ]  # fmt: skip


class _Seen:
    """Tracks of all raw files of a run, with the true decays where the truth is there."""

    def __init__(self, run: RunFolder) -> None:
        self._config = run.config
        self._files = raw_files(run.folder)

    @cached_property
    def tracks(self) -> TracksOfFills:
        """Event serial of each track, and the tracks."""
        return tracks_of(self._files, setup=Setup.of(self._config))

    def residuals(self) -> Plot | None:
        """Residuals of the hits of good tracks."""
        _, tracks = self.tracks
        good = good_tracks(tracks)
        return hit_residuals(tracks.select(good)) if good.sum() >= _FEWEST else None

    def image(self) -> Plot | None:
        """The beam in bins of time, with as many vertices in each."""
        fill, tracks = self.tracks
        good = good_vertices(tracks)
        fill, tracks = fill[good], tracks.select(good)
        if tracks.n < _FEWEST:
            return None
        time = np.sort(tracks.vertex_time)
        bins = min(max(tracks.n // _IN_A_BIN, 1), _MOST_BINS)
        edges = np.unique(np.minimum(np.quantile(time, np.linspace(0.0, 1.0, bins + 1)), _LAST))
        edges[-1] += 1e-9
        decays = _true_decays(self._files)
        if decays is None:
            return tracker_image(beam_image(tracks.vertex_x, tracks.vertex_y, tracks.vertex_time, edges))
        truth = beam_image(decays.x, decays.y, decays.time, edges)
        return tracker_image(_corrected(fill, tracks, decays, edges), truth)


def _corrected(fill: Ints, tracks: Tracks, decays: _Decays, edges: Floats) -> BeamImage:
    """Image of all vertices, each half of the fills weighted by the acceptance that the other half has."""
    owner = _owners(fill, tracks, decays)
    place = {(int(f), int(n)): k for k, (f, n) in enumerate(zip(decays.fill, decays.number, strict=True))}
    row = np.array([place.get((int(f), int(n)), -1) for f, n in zip(fill, owner, strict=True)], np.int64)
    x, y, known = tracks.vertex_x, tracks.vertex_y, np.ones(tracks.n)
    for half in (0, 1):
        mine, other = fill % 2 == half, (fill % 2 != half) & (row >= 0)
        accepted = _acceptance(decays, row[other], decays.fill % 2 != half)
        if accepted is not None:
            known[mine] = accepted.at(x[mine], y[mine])
    return beam_image(x, y, tracks.vertex_time, edges, known, _RESOLUTION)


def _acceptance(decays: _Decays, found: Ints, born: NDArray[np.bool_]) -> Acceptance | None:
    """Acceptance in some fills; None where they have too few tracks for its ten coefficients."""
    if found.size < _FOR_ACCEPTANCE:
        return None
    try:
        return acceptance(decays.x[born], decays.y[born], decays.x[found], decays.y[found])
    except ValueError:
        return None


def _owners(fill: Ints, tracks: Tracks, decays: _Decays) -> Ints:
    """Muon whose positron has made most of a track's hits, -1 for none."""
    owner = np.full(tracks.n, -1, np.int64)
    for k in range(tracks.n):
        rows = tracks.hit[k][tracks.kept[k]]
        numbers = decays.owner[int(fill[k])][rows]
        numbers = numbers[numbers >= 0]
        if numbers.size:
            values, counts = np.unique(numbers, return_counts=True)
            owner[k] = values[np.argmax(counts)]
    return owner


def _true_decays(files: list[Path]) -> _Decays | None:
    """Decays in the truth beside raw files; None where a file has no truth, or no straw hits."""
    parts: list[list[NDArray[np.generic]]] = []
    owner: dict[int, Ints] = {}
    for path in files:
        truth = path.with_name(path.name.partition(".mid")[0] + ".truth.h5")
        if not truth.is_file():
            return None
        with open_truth(truth) as file:
            if "straw_hits" not in file:
                return None
            born = file["positrons"]
            parts.append([born[name][:] for name in ("fill", "number", "x", "y", "time")])
            fills, numbers = file["straw_hits/fill"][:], file["straw_hits/number"][:]
        owner |= {int(one): numbers[fills == one].astype(np.int64) for one in np.unique(fills)}
    fill, number, x, y, time = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _Decays(fill, number, x, y, time, owner)
