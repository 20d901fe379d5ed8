"""The picture of a study: its curves side by side, whatever the study."""

from typing import TYPE_CHECKING

import numpy as np

from gm2sim.plots.style import INK, PALETTE, Plot, dress, legend, points

if TYPE_CHECKING:
    from gm2sim.studies.outcome import Outcome

_MANY = 200  # points: smaller and paler beyond


def study_plot(outcome: "Outcome") -> Plot:
    """Points are what was tracked, lines what a formula says.

    Parameters
    ----------
    outcome : Outcome
        Its panels are drawn from left to right.
    """
    panels = outcome.panels
    lines = max((len(panel.curves) for panel in panels if len(panel.curves) > 1), default=0)
    plot = Plot(4.2 * max(len(panels), 2), 3.6 + 0.17 * lines)
    columns: dict[str, np.ndarray] = {}
    for number, panel in enumerate(panels):
        axes = dress(plot.add_subplot(1, len(panels), number + 1), panel.x_label, panel.y_label, panel.title)
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
        if len(panel.curves) > 1:
            # Above the axes: some panels are full of points.
            legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2, fontsize=8)
    plot.suptitle(f"{outcome.study}{f', {outcome.data_set}' if outcome.data_set else ''}: {outcome.result}",
                  color=INK, fontsize=10.5, x=0.01, ha="left")  # fmt: skip
    plot.describe(f"{outcome.summary}. {outcome.result}.", **columns)
    return plot
