"""The straw trackers: hits of nobody, dead straws, drift, misalignment, and the image of the beam."""

from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
from canvas import OFF, ON, panels, picture
from matplotlib.colors import LogNorm
from numpy.typing import NDArray
from transport_pictures import DECAYS, decayed, gasgun

from decay.positron import Positrons
from detectors.straw_constants import StrawConstantsSettings, straw_constants
from detectors.straw_drift import Source, StrawHits, StrawSettings, drift_distance, straw_hits
from detectors.straws import CELLS, LAYERS, MODULES, PLANES, WIRES
from detectors.transport import Flight, fly_positrons
from gm2sim.plots.style import COLOUR_MAP, INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.plots.tracks import tracker_image
from gm2sim.tracks import (
    Tracks,
    TrackSettings,
    acceptance,
    beam_image,
    calibrate_drift,
    find_and_fit,
    good_tracks,
    good_vertices,
)
from gpu.rng import FillKey

_KEY = FillKey(11, 1, 0, 0)
_NEAR = 200_000  # decays for the image, all upstream of the stations
_APART = 1e-3  # from fill to fill [s]
_FILLS = 40  # that the decays are of, 5000 each


def _in_fills(born: Positrons, each: int) -> Positrons:
    """The same, as fills of so many decays a millisecond apart, so that tracks meet as they do in a fill."""
    return born._replace(time=born.time + _APART * (born.number // each))


def _settings(fills: float = _FILLS) -> StrawSettings:
    """Straws that are read out as long as these fills take, with the noise of their 700 us."""
    return replace(gasgun().straws, window=(0.0, _APART * fills), noise_rate=0.7 * StrawSettings().noise_rate)


@cache
def _flight(misaligned: bool = True) -> Flight:
    """Decays around the ring past stations whose modules are where the built-in constants say, or in place."""
    here = gasgun()
    stations = here.stations if misaligned else here.designed
    born = _in_fills(decayed(), DECAYS // _FILLS)
    return fly_positrons(born, here.fields, here.geometry, _KEY, here.transport, stations)


def _hits(settings: StrawSettings, working: NDArray[np.bool_] | None = None) -> StrawHits:
    return straw_hits(_flight().crossings, _KEY, settings, working)


@picture
def straw_map() -> Plot:
    """Hits of all straws of a station without and with noise, crosstalk and dead straws."""
    dirty = _settings()
    clean = replace(dirty, noise_rate=0.0, crosstalk=0.0)
    dead = straw_constants(StrawConstantsSettings(dead_straws=20)).working
    plot, axes = panels(8.4, 3.7, 2, sharey=True)
    off = "noise_hz = 0, crosstalk_percent = 0,\nchannel_status = false"
    on = "noise_hz = 100, crosstalk_percent = 1,\nchannel_status = true: 20 dead straws"
    cases = ((axes[0], clean, None, off), (axes[1], dirty, dead, on))
    for panel, settings, working, title in cases:
        hits = _hits(settings, working)
        counts = np.bincount(hits.channel, minlength=2 * PLANES * WIRES).reshape(2, PLANES, WIRES)[0].T
        dress(panel, "layer along the station, 4 a module", "wire, outwards" if panel is axes[0] else "", title)
        panel.title.set_fontsize(8.5)
        panel.grid(visible=False)
        drawn = panel.pcolormesh(np.arange(PLANES + 1), np.arange(WIRES + 1), np.ma.masked_equal(counts, 0),
                                 norm=LogNorm(20, 400), cmap=COLOUR_MAP, rasterized=True)  # fmt: skip
        share = [100.0 * np.mean(hits.source == one) for one in (Source.CROSSTALK, Source.NOISE)]
        panel.text(0.98, 0.03, f"crosstalk {share[0]:.1f} %, noise {share[1]:.1f} %", transform=panel.transAxes,
                   ha="right", fontsize=8, color="white")  # fmt: skip
    bar = plot.colorbar(drawn, ax=axes, shrink=0.9, pad=0.01)
    bar.set_label(f"hits in {_FILLS} fills (white: none)", color=INK, fontsize=9)
    return plot


@picture
def drift() -> Plot:
    """Drift time against distance, with diffusion and jitter and without, and the relation of the reconstruction."""
    plot, axes = panels(8.4, 3.3, 2)
    settings = replace(_settings(), noise_rate=0.0, crosstalk=0.0)
    distance = np.abs(_flight().crossings.distance)
    table = calibrate_drift(settings)
    time = table.first + table.step * np.arange(table.distance.size)
    dress(axes[0], "drift time [ns]", "distance from the wire [mm]", "hits of tracks")
    dress(axes[1], "distance from the wire [mm]", "residual, mean and RMS [μm]", "drift distance less true distance")
    for changed, colour, label in (
        (settings, ON, "diffusion_um = 190, jitter_ns = 0.8"),
        (replace(settings, diffusion=0.0, jitter=0.0), OFF, "both 0"),
    ):
        hits = _hits(changed)
        drift_time = hits.time - _flight().crossings.time[hits.crossing]
        true = distance[hits.crossing]
        axes[0].plot(1e9 * drift_time[:2500], 1e3 * true[:2500], ".", color=colour, markersize=1.5, markeredgewidth=0,
                     label=label)  # fmt: skip
        off = 1e6 * (drift_distance(drift_time, settings) - true)
        bins = np.linspace(0.0, 2.5, 21)
        which = np.digitize(1e3 * true, bins) - 1
        some = [off[which == k] for k in range(20)]
        middle = 0.5 * (bins[1:] + bins[:-1])
        points(axes[1], middle, [one.mean() for one in some], [one.std() / np.sqrt(one.size) for one in some],
               colour=colour, size=3.0, label=f"mean; {label}")  # fmt: skip
        axes[1].plot(middle, [one.std() for one in some], color=colour, linewidth=1.1, label="RMS")
    axes[0].plot(1e9 * time, 1e3 * table.distance, color=ORANGE, linewidth=1.3, label="calibrated relation")
    legend(axes[0], fontsize=7.5, loc="upper left", markerscale=5)
    axes[0].set_ylim(0.0, 3.6)
    axes[1].set_ylim(-20, 330)
    legend(axes[1], fontsize=7.5)
    return plot


@cache
def _drift_table() -> TrackSettings:
    return TrackSettings(drift=calibrate_drift(gasgun().straws))


@cache
def _tracks(misaligned: bool, known: bool) -> tuple[Tracks, Flight, StrawHits]:
    """Tracks of all decays: modules out of place or not, known to the reconstruction or not."""
    here, flight = gasgun(), _flight(misaligned)
    hits = straw_hits(flight.crossings, _KEY, _settings())
    assumed = here.stations if misaligned and known else here.designed
    return find_and_fit(hits.channel, hits.time, assumed, here.fields, _drift_table()), flight, hits


@picture
def alignment() -> Plot:
    """Mean residuals of tracks module by module."""
    plot, axes = panels(8.4, 3.2, 2, sharey=True)
    for station, panel in enumerate(axes):
        dress(panel, "module, and half a step on for V", "mean of (hit − track) outwards [μm]" if station == 0 else "",
              f"station {(12, 18)[station]}")  # fmt: skip
        for misaligned, known, colour, label, shift in (
            (False, True, OFF, "straws.alignment = false", -0.08),
            (True, False, ORANGE, "true, not known", 0.0),
            (True, True, ON, "true, corrected", 0.08),
        ):
            tracks, _, hits = _tracks(misaligned, known)
            good = good_tracks(tracks) & (tracks.station == station)
            kept = tracks.kept[good]
            residual = 1e6 * (np.sign(tracks.distance[good]) * tracks.residual[good])[kept]
            layer = hits.channel[tracks.hit[good][kept]] // WIRES % PLANES
            view = layer // 2  # U and V of each module
            mean = np.array([residual[view == k].mean() for k in range(2 * MODULES)])
            error = np.array([residual[view == k].std() / np.sqrt((view == k).sum()) for k in range(2 * MODULES)])
            at = 0.5 * np.arange(2 * MODULES) + shift
            points(panel, at, mean, error, colour=colour, size=3.4, label=label)
        panel.axhline(0.0, color=MUTED, linewidth=0.6)
        panel.set_ylim(-45, 80)
        legend(panel, fontsize=7.5)
    assert PLANES == MODULES * LAYERS
    return plot


@cache
def _found() -> tuple[Positrons, Tracks, NDArray[np.int64]]:
    """Decays upstream of the stations, their good tracks, and which decay each of these is from."""
    here = gasgun()
    rng, born = np.random.default_rng(4), decayed(_NEAR, 3)
    first = here.geometry.cell_azimuths[np.array(CELLS)][rng.integers(0, 2, _NEAR)]
    born = born._replace(theta=np.mod(first + rng.uniform(-0.9, 0.15, _NEAR), 2.0 * np.pi))
    plain = replace(here.transport, photons=False)
    each = DECAYS // _FILLS // 3  # a third of the decays of a fill are so near
    flight = fly_positrons(_in_fills(born, each), here.fields, here.geometry, _KEY, plain, here.stations)
    hits = straw_hits(flight.crossings, _KEY, _settings(_NEAR / each))
    tracks = find_and_fit(hits.channel, hits.time, here.stations, here.fields, _drift_table())
    tracks = tracks.select(good_vertices(tracks))
    # The muon that most of its hits are from.
    rows = np.where(tracks.kept, tracks.hit, -1)
    crossing = np.where(rows >= 0, hits.crossing[rows], -1)
    number = np.where(crossing >= 0, flight.crossings.number[crossing], -1)
    return born, tracks, np.array([Counter(one[one >= 0].tolist()).most_common(1)[0][0] for one in number])


@picture
def beam_image_by_tracks() -> Plot:
    """The beam that tracks see, corrected for their acceptance, with the truth."""
    born, tracks, number = _found()
    x, y = born.x[number], born.y[number]
    # The acceptance and the resolution from the decays of even number, the image from the others.
    even, own = number % 2 == 0, born.number % 2 == 0
    accepted = acceptance(born.x[own], born.y[own], x[even], y[even])
    off = (tracks.vertex_x - x)[even], (tracks.vertex_y - y)[even]
    resolution = (float(off[0].std()), float(off[1].std()))
    edges = 1e-6 * np.array([0.0, 30, 60, 100, 160, 260])
    places = (tracks.vertex_x, tracks.vertex_y, np.mod(tracks.vertex_time, _APART))
    image = beam_image(*(one[~even] for one in places), edges, accepted, resolution)
    return tracker_image(image, beam_image(born.x, born.y, born.time, edges))
