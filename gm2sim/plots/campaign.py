"""A campaign in pictures: its shards and its speed against time, what they cost, and a first look at its muons."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from gm2sim.plots.style import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PALETTE, PURPLE, US, Plot, dress, legend, points
from gm2sim.text import label

Floats = NDArray[np.float64]
_HOUR_S, _DAY_S = 3600.0, 86_400.0
_DAYS_FROM = 3 * _DAY_S  # a campaign that lasts longer is drawn over days
# From the bottom of the picture; how strongly each is painted.
STATE_COLOURS = {
    "done": (GREEN, 0.85), "flagged": (PURPLE, 0.85), "running": (BLUE, 0.85), "submitted": (BLUE, 0.4),
    "waiting": (GRID, 1.0), "held": (MUTED, 0.5), "cancelled": (MUTED, 0.8), "failed": (ORANGE, 0.9),
}  # fmt: skip
"""Of the states of shards, here and in tables."""


def states_over_time(times: Floats, shards: Mapping[str, Floats]) -> Plot:
    """Shards by state, one on the other.

    Parameters
    ----------
    times : array (n,) [s]
        Since the campaign was registered.
    shards : mapping of str to array (n,)
    """
    scale, unit = _units(times[-1])
    there = [name for name in STATE_COLOURS if name in shards]
    plot = Plot(8.4, 3.4)
    axes = dress(plot.subplots(), f"time since the campaign was registered [{unit}]", "shards")
    stack = axes.stackplot(times / scale, *(shards[name] for name in there), step="post", linewidth=0)
    for area, name in zip(stack, there, strict=True):
        colour, alpha = STATE_COLOURS[name]
        area.set(facecolor=colour, alpha=alpha, label=name)
    axes.set_xlim(0, times[-1] / scale)
    axes.set_ylim(0, sum(shards[name][-1] for name in there) or 1)
    _outside(axes)
    last = ", ".join(f"{shards[name][-1]:.0f} {name}" for name in there)
    plot.describe(f"Shards by state against time; at the end {last}.", **{f"time [{unit}]": times / scale}, **shards)
    return plot


def throughput(
    edges: Floats, fills: Mapping[str, Floats], megabytes: Floats, rank_edges: Floats, ranks: Floats
) -> Plot:  # fmt: skip
    """How fast finished shards were made, and how many ranks were at work.

    Parameters
    ----------
    edges : array (n + 1,) [s]
        Since the first shard.
    fills : mapping of str to array (n,) [1/h]
        Of each stage.
    megabytes : array (n,) [MB/s]
        Of all stages.
    rank_edges : array (m + 1,) [s]
    ranks : array (m,)
    """
    scale, unit = _units(edges[-1])
    plot = Plot(8.4, 5.4)
    first, second, third = plot.subplots(3, 1, sharex=True)
    dress(first, "", "fills/h")
    for (name, values), colour in zip(fills.items(), PALETTE * 8, strict=False):
        first.stairs(
            np.where(values > 0, values, np.nan), edges / scale, color=colour, linewidth=1.3, label=label(name)
        )
    legend(first)
    first.set_yscale("log")  # stages differ by orders of magnitude
    dress(second, "", "MB/s").stairs(megabytes, edges / scale, color=INK, linewidth=1.2)
    dress(third, f"time since the first shard [{unit}]", "ranks at work")
    third.stairs(ranks, rank_edges / scale, color=INK, fill=True, alpha=0.25)
    third.stairs(ranks, rank_edges / scale, color=INK, linewidth=1.2)
    for axes in (second, third):
        axes.set_ylim(bottom=0)
    middle = 0.5 * (edges[1:] + edges[:-1]) / scale
    named = {f"{name} [fills/h]": values for name, values in fills.items()}
    plot.describe(
        f"Fills per hour by stage, megabytes per second, and ranks at work; {ranks.mean():.3g} on average.",
        **{f"time [{unit}]": middle}, **named, **{"all stages [MB/s]": megabytes},
        **{f"from [{unit}]": rank_edges[:-1] / scale, "ranks at work": ranks},
    )  # fmt: skip
    return plot


def efficiency(cpu: Mapping[str, Floats], memory: Mapping[str, Floats], limits: Mapping[str, float]) -> Plot:
    """CPU efficiency and memory of each finished shard.

    Parameters
    ----------
    cpu : mapping of str to array (n,) [%]
        By stage.
    memory : mapping of str to array (n,) [MB]
    limits : mapping of str to float [MB]
    """
    plot = Plot(8.4, 3.4)
    left, right = plot.subplots(1, 2)
    dress(left, "CPU time / time of its cores [%]", "shards")
    dress(right, "largest memory of a rank [MB]", "shards")
    top = 1.05 * max([*limits.values(), *(float(values.max()) for values in memory.values())])
    # Clocks may find cores a little more than busy.
    shares = np.linspace(0, max(100.0, *(float(values.max()) for values in cpu.values())), 41)
    megabytes = np.linspace(0, top, 41)
    columns: dict[str, Floats] = {"CPU from [%]": shares[:-1], "memory from [MB]": megabytes[:-1]}
    for (name, values), colour in zip(cpu.items(), PALETTE * 8, strict=False):
        columns[f"{name} by CPU"] = _histogram(left, values, shares, colour, name)
        columns[f"{name} by memory"] = _histogram(right, memory[name], megabytes, colour, name)
        right.axvline(limits[name], color=colour, linewidth=1.0, linestyle="--")
    legend(left)
    right.set_xlim(0, top)
    words = "; ".join(
        f"{name}: median {np.median(values):.1f} %, {np.median(memory[name]):.0f} MB of {limits[name]:.0f} MB"
        for name, values in cpu.items()
    )
    plot.describe(f"CPU efficiency and memory of finished shards. {words}. Dashed: the limit of memory.", **columns)
    return plot


def cost(times: Floats, used: Floats, planned: tuple[float, float, float] | None) -> Plot:
    """Node-hours used against the plan.

    Parameters
    ----------
    times : array (n,) [s]
        Since the first shard.
    used : array (n,) [h]
    planned : (low, best, high) [h] or None
    """
    scale, unit = _units(times[-1])
    plot = Plot(8.4, 3.0)
    axes = dress(plot.subplots(), f"time since the first shard [{unit}]", "node-hours")
    words = f"{used[-1]:.3g} node-hours used"
    if planned is not None:
        low, best, high = planned
        axes.axhspan(low, high, color=ORANGE, alpha=0.18, linewidth=0)
        axes.axhline(best, color=ORANGE, linewidth=1.2, label="planned for the whole campaign, with its range")
        words += f" of {best:.3g} planned, {low:.3g} to {high:.3g}"
    axes.plot(times / scale, used, color=BLUE, linewidth=1.6, label="used")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, times[-1] / scale)
    legend(axes, loc="lower right")
    plot.describe(f"{words}.", **{f"time [{unit}]": times / scale, "node-hours used": used})
    return plot


def checks_by_run(runs: Floats, checks: Mapping[str, Mapping[str, Floats]], names: Mapping[str, str]) -> Plot:
    """What nearline has measured in each run, with what is expected, and flags.

    Parameters
    ----------
    runs : array (n,)
    checks : mapping of str to mapping of str to array (n,)
        By name of the check: ``value``, ``error``, ``low``, ``high``, ``outside`` (shards that are outside); NaN where
        a run has none.
    names : mapping of str to str
        Words and unit of a check.
    """
    plot = Plot(8.4, 2.0 * len(checks) + 0.6)
    panels = np.ravel(plot.subplots(len(checks), 1, sharex=True))
    columns: dict[str, Floats] = {"run": runs}
    words = []
    along = np.concatenate([[runs[0] - 0.5], runs, [runs[-1] + 0.5]])
    for axes, (name, of) in zip(panels, checks.items(), strict=True):
        dress(axes, "", names.get(name, name))
        low, high = (np.pad(of[side], 1, mode="edge") for side in ("low", "high"))
        axes.fill_between(along, low, high, color=GREEN, alpha=0.14, linewidth=0, step="mid")
        axes.ticklabel_format(useOffset=False, style="plain")
        flagged = of["outside"] > 0
        points(axes, runs[~flagged], of["value"][~flagged], of["error"][~flagged], colour=BLUE, size=4.0)
        points(axes, runs[flagged], of["value"][flagged], of["error"][flagged], colour=ORANGE)
        axes.plot(runs[flagged], of["value"][flagged], "D", color=ORANGE, markersize=6.0, markeredgewidth=0)
        columns |= {f"{name} {what}": values for what, values in of.items()}
        words.append(f"{name}: {int(of['outside'].sum())} shards outside")
    panels[-1].set_xlabel("run", color=INK, fontsize=10)
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    panels[-1].set_xlim(along[0], along[-1])
    plot.describe(f"Checks of nearline by run with what is expected of a shard (band); {'; '.join(words)}.", **columns)
    return plot


def spectra(energy_edges: Floats, energy: Sequence[int], step: float, time: Sequence[int]) -> Plot:
    """Clusters of all shards by energy and time.

    Parameters
    ----------
    energy_edges : array (n + 1,) [GeV]
    energy : sequence of int (n,)
    step : float [s]
        Of the bins of time, from 0.
    time : sequence of int (m,)
        Above the threshold of the fit.
    """
    plot = Plot(8.4, 3.4)
    left, right = plot.subplots(1, 2)
    dress(left, "cluster energy [GeV]", "clusters per bin")
    some, timed = (np.where(np.asarray(counts) > 0, counts, np.nan) for counts in (energy, time))
    left.stairs(some, energy_edges, color=BLUE, linewidth=1.2)
    edges = np.arange(len(time) + 1) * step * US
    dress(right, "time in the fill [μs]", f"clusters per {step * US:.2f} μs")
    right.stairs(timed, edges, color=BLUE, linewidth=0.6)
    for axes in (left, right):
        axes.set_yscale("log")
    plot.describe(
        f"Clusters of all shards: {sum(energy)} by energy, {sum(time)} above the threshold by time.",
        **{"energy [GeV]": energy_edges[:-1], "clusters": np.asarray(energy)},
        **{"time [μs]": edges[:-1], "above threshold": np.asarray(time)},
    )
    return plot


def _histogram(axes: Axes, values: Floats, bins: Floats, colour: str, name: str) -> Floats:
    counts, edges = np.histogram(values, bins=bins)
    axes.stairs(counts, edges, color=colour, fill=True, alpha=0.3)
    axes.stairs(counts, edges, color=colour, linewidth=1.2, label=label(name))
    return counts.astype(float)


def _outside(axes: Axes) -> None:
    """The legend beside the picture, in its order."""
    handles, names = axes.get_legend_handles_labels()
    legend(axes, handles=handles[::-1], labels=names[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _units(seconds: float) -> tuple[float, str]:
    return (_DAY_S, "d") if seconds > _DAYS_FROM else (_HOUR_S, "h")
