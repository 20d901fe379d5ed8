"""Reconstruction beside the truth: efficiency, fakes and pileup, and resolutions in energy and time."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike

from gm2sim.plots.style import BLUE, GREEN, INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.resolution import Bin, Share

_PERCENT = 100.0
_STOCHASTIC, _CONSTANT = 4.5, 1.5  # [% GeV^1/2], [%] nkinnaird/PrecessionFrequencyAnalysis @54b9b45
_LABELS = {
    "energy": "energy [GeV]",
    "time in fill": "time [μs]",
    "from the edge": "from the edge of the crystals [mm]",
    "from the next": "from the particle next in time [mm]",
    "separation": "from the particle next in time [ns]",
}


def match_efficiency(bins: Sequence[Bin]) -> Plot:
    """Efficiency, and the share of merged particles, in all bins; fakes and pileup among clusters.

    Parameters
    ----------
    bins : list of Bin
        From :func:`gm2sim.resolution.all_bins`.
    """
    plot = Plot(8.4, 7.8)
    axes = plot.subplots(3, 2).ravel()
    for one, variable in zip(axes, _LABELS, strict=False):
        some = [b for b in bins if b.variable == variable and b.particles]
        dress(one, _LABELS[variable], "share of the positrons [%]")
        _shares(one, some, lambda b: b.efficiency, BLUE, "found")
        _shares(one, some, lambda b: b.merged_share, ORANGE, "merged with a stronger one")
        one.set_ylim(-3, 103)
        if variable in ("time in fill", "separation") and some:
            one.set_xscale("log")
    legend(axes[0], loc="center right")
    last = axes[-1]
    some = [b for b in bins if b.variable == "energy" and b.clusters]
    dress(last, "cluster energy [GeV]", "share of the clusters [%]")
    _shares(last, some, lambda b: b.piled_share, ORANGE, "of more than one particle")
    _shares(last, some, lambda b: b.fake_share, GREEN, "of no particle")
    last.set_ylim(-3, 103)
    legend(last, loc="upper left")
    energy = [b for b in bins if b.variable == "energy" and b.particles]
    strong = [b for b in energy if b.low >= 1.7]
    n, found = sum(b.particles for b in strong), sum(b.found for b in strong)
    plot.describe(
        f"Efficiency of the reconstruction against energy, time in the fill, distance from the edge of the crystals, "
        f"and distance and time from the next particle. Above 1.7 GeV {found} of {n} positrons are found, "
        f"{sum(b.merged for b in strong)} merged with stronger ones; "
        f"{sum(b.fakes for b in some)} of {sum(b.clusters for b in some)} clusters belong to no particle.",
        **{
            "energy from [GeV]": np.array([b.low for b in energy]),
            "to [GeV]": np.array([b.high for b in energy]),
            "positrons": np.array([b.particles for b in energy]),
            "efficiency [%]": np.array([_PERCENT * b.efficiency.value for b in energy]),
            "merged [%]": np.array([_PERCENT * b.merged_share.value for b in energy]),
            "clusters": np.array([b.clusters for b in energy]),
            "fakes [%]": np.array([_PERCENT * b.fake_share.value for b in energy]),
            "of more than one [%]": np.array([_PERCENT * b.piled_share.value for b in energy]),
        },
    )
    return plot


def match_resolution(bins: Sequence[Bin]) -> Plot:
    """Bias and resolution in energy and time against energy, and in energy against the distance from the edge.

    Parameters
    ----------
    bins : list of Bin
        From :func:`gm2sim.resolution.all_bins`.
    """
    plot = Plot(8.4, 7.8)
    axes = plot.subplots(3, 2)
    energy = [b for b in bins if b.variable == "energy" and not math.isnan(b.resolution)]
    inside = [b for b in bins if b.variable == "energy, inside" and not math.isnan(b.resolution)]
    edge = [b for b in bins if b.variable == "from the edge" and not math.isnan(b.resolution)]
    fine = np.linspace(0.05, 3.2, 200)
    top = axes[0, 0]
    dress(top, _LABELS["energy"], "energy resolution [%]")
    _values(top, energy, lambda b: (_PERCENT * b.resolution, _PERCENT * b.resolution_error), label="all")
    _values(
        top, inside, lambda b: (_PERCENT * b.resolution, _PERCENT * b.resolution_error), GREEN, "25 mm inside the edge"
    )
    expected = np.hypot(_CONSTANT, _STOCHASTIC / np.sqrt(fine))
    top.plot(fine, expected, color=ORANGE, linewidth=1.6, label="√(1.5² + 4.5²/E[GeV]) %")
    top.set_ylim(0, 20)
    legend(top)
    for place, some, variable, label, value in (
        (axes[0, 1], energy, "energy", "energy bias [%]", lambda b: (_PERCENT * b.bias, _PERCENT * b.bias_error)),
        (axes[1, 0], energy, "energy", "time resolution [ps]",
         lambda b: (b.time_resolution_ps, b.time_resolution_error_ps)),
        (axes[1, 1], energy, "energy", "delay [ps]", lambda b: (b.delay_ps, b.delay_error_ps)),
        (axes[2, 0], edge, "from the edge", "energy resolution [%]",
         lambda b: (_PERCENT * b.resolution, _PERCENT * b.resolution_error)),
        (axes[2, 1], edge, "from the edge", "energy bias [%]",
         lambda b: (_PERCENT * b.bias, _PERCENT * b.bias_error)),
    ):  # fmt: skip
        dress(place, _LABELS[variable], label)
        place.axhline(0, color=MUTED, linewidth=0.8)
        _values(place, some, value)
    two = min(energy, key=lambda b: abs(_middle(b) - 2.0), default=None)
    words = ""
    if two is not None:
        words = (
            f" From {two.low:g} to {two.high:g} GeV: bias {_PERCENT * two.bias:.2f} +- {_PERCENT * two.bias_error:.2f} "
            f"%, resolution {_PERCENT * two.resolution:.2f} +- {_PERCENT * two.resolution_error:.2f} %, time "
            f"{two.time_resolution_ps:.0f} +- {two.time_resolution_error_ps:.0f} ps."
        )
    plot.describe(
        "Bias and resolution of reconstructed clusters of one positron, in energy and time." + words,
        **{
            "energy from [GeV]": np.array([b.low for b in energy]),
            "to [GeV]": np.array([b.high for b in energy]),
            "energy bias [%]": np.array([_PERCENT * b.bias for b in energy]),
            "its error [%]": np.array([_PERCENT * b.bias_error for b in energy]),
            "energy resolution [%]": np.array([_PERCENT * b.resolution for b in energy]),
            "its error  [%]": np.array([_PERCENT * b.resolution_error for b in energy]),
            "delay [ps]": np.array([b.delay_ps for b in energy]),
            "time resolution [ps]": np.array([b.time_resolution_ps for b in energy]),
        },
    )
    return plot


def _middle(one: Bin) -> float:
    """Middle of a bin, or its finite edge."""
    if math.isinf(one.low):
        return one.high
    return one.low if math.isinf(one.high) else 0.5 * (one.low + one.high)


def _shares(axes: Axes, bins: Sequence[Bin], part: Callable[[Bin], Share], colour: str, label: str) -> None:
    """Shares with their intervals."""
    at = np.array([_middle(b) for b in bins])
    value, low, high = _PERCENT * np.array([part(b) for b in bins]).reshape(-1, 3).T
    _bars(axes, at, low, high, colour)
    axes.plot(at, value, "o", color=colour, markersize=3.0, markeredgewidth=0, label=label)


def _values(
    axes: Axes, bins: Sequence[Bin], part: Callable[[Bin], tuple[float, float]], colour: str = BLUE, label: str = ""
) -> None:
    if bins:
        value, error = np.array([part(b) for b in bins]).T
        points(axes, [_middle(b) for b in bins], value, error, colour=colour, size=3.0, label=label or None)


def _bars(axes: Axes, at: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str = INK) -> None:
    x, a, b = (np.asarray(one, float) for one in (at, low, high))
    lines = np.stack([np.stack([x, a], 1), np.stack([x, b], 1)], 1)
    axes.add_collection(LineCollection(list(lines), colors=colour, linewidths=0.8))
