"""Flags of data quality against the fill."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gm2sim.plots.style import BLUE, ORANGE, Plot, dress
from gm2sim.quality.flags import MEANING

_FEW = 100  # events that are drawn with bigger marks


def flags_by_event(rows: Sequence[dict[str, Any]]) -> Plot:
    """Which events fail which cut.

    Parameters
    ----------
    rows : sequence of dict
        Of the table ``fill_flags``, at least one.
    """
    event = np.array([row["event"] for row in rows])
    bits = np.array([row["flags"] for row in rows], np.int64)
    plot = Plot(8.4, 3.4)
    axes = plot.subplots()
    dress(axes, "event", "", f"{int((bits != 0).sum())} of {len(rows)} events have a flag")
    for place, flag in enumerate(MEANING):
        bad = event[(bits & int(flag)) != 0]
        axes.plot(bad, np.full(bad.size, place), "|", color=ORANGE, markersize=12 if len(rows) < _FEW else 7)
        axes.axhline(place, color=BLUE, linewidth=0.3)
    axes.set_yticks(range(len(MEANING)), list(MEANING.values()))
    axes.set_xlim(float(event.min()) - 0.5, float(event.max()) + 0.5)
    axes.set_ylim(len(MEANING) - 0.5, -0.5)
    plot.describe(
        f"Flags of data quality of {len(rows)} events; those with a mark fail the cut.", event=event, flags=bits
    )
    return plot
