"""The beam as the trackers see it, with the truth beside."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from detectors.straws import PLANES, station_name
from gm2sim.plots.style import BLUE, COLOUR_MAP, INK, MM, ORANGE, US, Plot, dress, legend, points
from gm2sim.tracks.image import BeamImage
from gm2sim.tracks.reconstruct import Tracks

_APERTURE_MM = 45.0
_UM = 1e6
_WIDEST_UM = 500.0


def tracker_image(image: BeamImage, truth: BeamImage | None = None) -> Plot:
    """Cross-section of the beam over all times, its mean radius and its widths in bins of time.

    Parameters
    ----------
    image : BeamImage
        Of vertices of tracks.
    truth : BeamImage, optional
        Of the true decays, with the same time bins.
    """
    plot = Plot(8.4, 6.0)
    grid = plot.add_gridspec(2, 2)
    cross, radial, widths = (
        plot.add_subplot(grid[0, 0]), plot.add_subplot(grid[0, 1]), plot.add_subplot(grid[1, :]),
    )  # fmt: skip
    _cross_section(plot, cross, image)
    time = 0.5 * (image.edges[1:] + image.edges[:-1]) * US
    columns: dict[str, ArrayLike] = {"time [μs]": time, "tracks": image.tracks}
    dress(radial, "time since injection [μs]", "mean x, outward [mm]", "mean radius")
    dress(widths, "time since injection [μs]", "width, RMS [mm]", "widths")
    for name, axes, short, colour in (
        ("mean", radial, "x", BLUE), ("width", widths, "x", BLUE), ("width", widths, "y", ORANGE),
    ):  # fmt: skip
        value, error = (MM * getattr(image, f"{name}_{short}{end}") for end in ("", "_error"))
        label = {"x": "radial", "y": "vertical"}[short]
        points(axes, time, value, error, colour=colour, size=3.5, label=f"{label}, tracks")
        columns |= {f"{name} {short} [mm]": value, f"error of {name} {short} [mm]": error}
        if truth is not None:
            true = MM * getattr(truth, f"{name}_{short}")
            axes.stairs(true, image.edges * US, baseline=None, color=colour, linewidth=1.0, label=f"{label}, truth")
            columns |= {f"true {name} {short} [mm]": true}
        axes.autoscale_view()
        legend(axes, ncols=2)
    whole = np.average(image.mean_x, weights=np.maximum(image.tracks, 1e-9)) * MM
    plot.describe(
        f"The beam seen by {int(image.tracks.sum())} tracks: mean radius {whole:.1f} mm from the design orbit, and "
        "radial and vertical width in bins of time, with the truth as steps. The circle is the 45 mm aperture.",
        **columns,
    )
    return plot


def hit_residuals(tracks: Tracks) -> Plot:
    """Residuals of the hits of tracks, over all and by layer.

    Parameters
    ----------
    tracks : Tracks
        Good ones.
    """
    plot = Plot(8.4, 3.4)
    of_all, by_layer = plot.subplots(1, 2, width_ratios=(1, 1.5))
    kept = tracks.kept
    residual = tracks.residual[kept] * _UM
    layer = tracks.layer[kept] + PLANES * np.repeat(tracks.station, kept.sum(axis=1))
    counts, edges = np.histogram(residual, np.linspace(-_WIDEST_UM, _WIDEST_UM, 51))
    dress(of_all, "residual [μm]", f"hits in {edges[1] - edges[0]:g} μm", f"RMS {residual.std():.0f} μm")
    of_all.stairs(counts, edges, color=BLUE, fill=True, alpha=0.4)
    points(of_all, 0.5 * (edges[1:] + edges[:-1]), counts, np.sqrt(counts), colour=BLUE)
    number = np.bincount(layer, minlength=2 * PLANES)
    mean = np.bincount(layer, residual, 2 * PLANES) / np.maximum(number, 1)
    square = np.bincount(layer, residual**2, 2 * PLANES) / np.maximum(number, 1)
    error = np.sqrt(np.maximum(square - mean**2, 0.0) / np.maximum(number, 1))
    dress(by_layer, "layer along the beam", "mean residual [μm]", "by layer")
    for station, colour in enumerate((BLUE, ORANGE)):
        own = slice(PLANES * station, PLANES * (station + 1))
        some = number[own] > 1
        at = np.arange(PLANES)[some]
        points(by_layer, at, mean[own][some], error[own][some], colour=colour, size=3.0, label=station_name(station))
    by_layer.autoscale_view()
    legend(by_layer, ncols=2)
    plot.describe(
        f"Residuals of {residual.size} hits on {tracks.n} tracks, RMS {residual.std():.0f} μm, and their mean in each "
        "of the 32 layers of both stations.",
        **{
            "residual [μm]": 0.5 * (edges[1:] + edges[:-1]), "hits": counts, "layer": np.arange(2 * PLANES),
            "mean [μm]": mean, "error [μm]": error,
        },
    )  # fmt: skip
    return plot


def _cross_section(plot: Plot, axes: Axes, image: BeamImage) -> None:
    """The histogram over all times."""
    counts = image.counts.sum(axis=0)
    share = np.ma.masked_equal(100.0 * counts.T / max(counts.sum(), 1.0), 0.0)
    dress(axes, "x, outward [mm]", "y, up [mm]", f"{int(image.tracks.sum())} tracks")
    drawn = axes.pcolormesh(image.x_edges * MM, image.y_edges * MM, share, cmap=COLOUR_MAP, vmin=0.0, rasterized=True)
    axes.add_patch(Circle((0, 0), _APERTURE_MM, fill=False, color=ORANGE, linewidth=1.0))
    axes.grid(visible=False)
    axes.set_aspect("equal")
    bar = plot.colorbar(drawn, ax=axes, shrink=0.85, pad=0.02)
    size = MM * float(image.x_edges[1] - image.x_edges[0])
    bar.set_label(f"share per {size:g} mm square [%]", color=INK, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, color=INK)
