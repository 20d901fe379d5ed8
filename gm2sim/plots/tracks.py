"""The beam as the trackers see it, with the truth beside."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from gm2sim.plots.style import BLUE, COLOUR_MAP, INK, MM, ORANGE, US, Plot, dress, legend, points
from gm2sim.tracks.image import BeamImage

_APERTURE_MM = 45.0


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
