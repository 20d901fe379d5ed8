"""The picture of a study: its curves side by side, whatever the study."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gm2sim.panels import Image, Panel
from gm2sim.plots.style import COLOUR_MAP, INK, PALETTE, Plot, dress, legend, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ABREAST = 4  # panels in a row
_MANY = 200  # points: smaller and paler beyond


def study_plot(panels: Sequence[Panel], *, title: str, alt: str) -> Plot:
    """Points are what was tracked, lines what a formula says.

    Parameters
    ----------
    panels : sequence of Panel
        Drawn from left to right.
    title : str
        Above all of them.
    alt : str
        Alternative text.
    """
    lines = max((len(panel.curves) for panel in panels if len(panel.curves) > 1), default=0)
    rows = math.ceil(len(panels) / _ABREAST)
    across = math.ceil(len(panels) / rows)
    plot = Plot(4.2 * max(across, 2), (3.6 + 0.17 * lines) * rows)
    columns: dict[str, np.ndarray] = {}
    for number, panel in enumerate(panels):
        axes = dress(plot.add_subplot(rows, across, number + 1), panel.x_label, panel.y_label, panel.title)
        for curve, colour in zip(panel.curves, (PALETTE * len(panel.curves))[: len(panel.curves)], strict=True):
            x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
            if curve.line:
                axes.plot(x, y, color=colour, linewidth=1.5, label=curve.label, zorder=2)
            elif curve.error is not None:
                points(axes, x, y, curve.error, colour=colour, size=3.0, label=curve.label, zorder=3)
            else:
                many = x.size > _MANY
                axes.plot(
                    x, y, "o", color=colour, markersize=1.6 if many else 4.0, markeredgewidth=0,
                    alpha=0.5 if many else 1.0, label=curve.label, zorder=2.5 if many else 3,
                )  # fmt: skip
            columns |= {f"{number + 1}: {panel.x_label}, {curve.label}": x}
            columns |= {f"{number + 1}: {panel.y_label}, {curve.label}": y}
        if panel.image is not None:
            columns |= _draw_image(plot, axes, panel.image, number + 1)
        if len(panel.curves) > 1:
            # Above the axes: some panels are full of points.
            legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, fontsize=8)
    plot.suptitle(title, color=INK, fontsize=10.5, x=0.01, ha="left")
    plot.describe(alt, **columns)
    return plot


def _draw_image(plot: Plot, axes: "Axes", image: Image, number: int) -> dict[str, np.ndarray]:
    """Draw an image with its scale; returns its columns for the table, a row for each cell that holds something."""
    x, y = np.asarray(image.x_edges, float), np.asarray(image.y_edges, float)
    values = np.ma.masked_invalid(np.asarray(image.values, float))
    mesh = axes.pcolormesh(x, y, values, cmap=COLOUR_MAP)
    axes.grid(visible=False)
    bar = plot.colorbar(mesh, ax=axes)
    bar.set_label(image.label, color=INK, fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, labelcolor=INK, color=INK)
    row, column = np.nonzero(~np.ma.getmaskarray(values))
    centre_x, centre_y = 0.5 * (x[1:] + x[:-1]), 0.5 * (y[1:] + y[:-1])
    return {
        f"{number}: {axes.get_xlabel()}": centre_x[column],
        f"{number}: {axes.get_ylabel()}": centre_y[row],
        f"{number}: {image.label}": np.asarray(values[row, column], float),
    }
