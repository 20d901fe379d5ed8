"""One island of a calorimeter: 54 waveforms where the crystals are."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from gm2sim.plots.style import BLUE, GRID, INK, MUTED, Plot

ROWS, COLUMNS = 6, 9


def island_waveforms(
    samples: ArrayLike, *, time: float, sample_period: float, counts_per_gev: ArrayLike, pedestals: ArrayLike
) -> Plot:
    """All waveforms of one island in the layout of the calorimeter, seen from the beam.

    Parameters
    ----------
    samples : array (54, n) [ADC counts]
        Crystal 0 is at the bottom right.
    time : float [s]
        Time of the first sample since injection.
    sample_period : float [s]
    counts_per_gev, pedestals : arrays (54,) [ADC counts/GeV], [ADC counts]
    """
    raw = np.asarray(samples, float)
    length = raw.shape[1]
    depth = np.asarray(pedestals, float)[:, None] - raw
    energy = depth.max(axis=1) / np.asarray(counts_per_gev, float)
    scale = 0.82 / max(float(depth.max()), 1.0)
    plot = Plot(8.4, 4.3)
    axes = plot.subplots()
    lines: list[NDArray[np.float64]] = []
    quiet: list[NDArray[np.float64]] = []
    across = np.linspace(0.05, 0.95, length)
    for crystal in range(ROWS * COLUMNS):
        left, bottom = COLUMNS - 1 - crystal % COLUMNS, crystal // COLUMNS
        axes.add_patch(Rectangle((left, bottom), 1, 1, fill=False, edgecolor=GRID, linewidth=0.8))
        shape = np.column_stack([left + across, bottom + 0.92 - scale * depth[crystal]])
        (lines if energy[crystal] > 0.03 else quiet).append(shape)
        axes.text(left + 0.05, bottom + 0.06, str(crystal), color=MUTED, fontsize=7)
        if energy[crystal] > 0.03:
            axes.text(left + 0.95, bottom + 0.06, f"{energy[crystal]:.2f} GeV", color=INK, fontsize=7, ha="right")
    axes.add_collection(LineCollection(quiet, colors=MUTED, linewidths=0.7))
    axes.add_collection(LineCollection(lines, colors=BLUE, linewidths=1.2))
    axes.set(xlim=(-0.02, COLUMNS + 0.02), ylim=(-0.02, ROWS + 0.02))
    axes.patch.set_alpha(0.0)
    axes.set_aspect(0.72)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    width = 1e9 * sample_period * length
    axes.set_xlabel(
        f"left is away from the ring centre; a cell of 25 mm spans {width:.1f} ns",
        color=INK,
        fontsize=9.5,
    )
    axes.set_ylabel(f"a cell spans {depth.max() / 0.82:.0f} ADC counts", color=INK, fontsize=9.5)
    highest = int(np.argmax(energy))
    plot.describe(
        f"Waveforms of the 54 crystals of one island at {time * 1e6:.2f} us, {length} samples of "
        f"{sample_period * 1e9:.2f} ns. The highest, about {energy[highest]:.2f} GeV, is in crystal "
        f"{highest}.",
        **{"time [ns]": (time + sample_period * np.arange(length)) * 1e9}
        | {f"crystal {c} [ADC counts]": raw[c] for c in range(ROWS * COLUMNS)},
    )
    return plot
