"""Where and when the calorimeters are hit: by calorimeter, over the crystals, and against time."""

import numpy as np
from matplotlib.axes import Axes

from detectors.geometry import N_CALORIMETERS, Calorimeter
from gm2sim.plots.style import BLUE, COLOUR_MAP, INK, MUTED, ORANGE, US, Plot, dress, legend, points
from gm2sim.reco import Clusters

_ROWS, _COLUMNS = 6, 9
_EDGES = np.concatenate(
    [np.arange(0.0, 60.0, 2.0), np.arange(60.0, 200.0, 10.0), np.arange(200.0, 701.0, 50.0)]
)  # [us]


def occupancy(clusters: Clusters, fills: int, threshold: float = 1.7) -> Plot:
    """Clusters a fill in each calorimeter and crystal, and their rate against time.

    Parameters
    ----------
    clusters : Clusters
    fills : int
        Fills that the clusters are from.
    threshold : float [GeV]
        Of the wiggle fit.
    """
    strong = clusters.energy >= threshold
    calos = np.arange(N_CALORIMETERS)
    each = np.bincount(clusters.calo, minlength=N_CALORIMETERS).astype(float)
    each_strong = np.bincount(clusters.calo[strong], minlength=N_CALORIMETERS).astype(float)
    per = fills * N_CALORIMETERS * np.diff(_EDGES)
    rates = [np.histogram(clusters.time[some] * US, _EDGES)[0] for some in (np.ones_like(strong), strong)]

    plot = Plot(8.4, 6.6)
    grid = plot.add_gridspec(2, 2)
    by_calo, by_crystal, by_time = (plot.add_subplot(place) for place in (grid[0, 0], grid[0, 1], grid[1, :]))
    dress(by_calo, "calorimeter [1 to 24]", "clusters per fill")
    points(by_calo, calos + 1, each / fills, np.sqrt(each) / fills, colour=INK, label="all")
    points(by_calo, calos + 1, each_strong / fills, np.sqrt(each_strong) / fills, colour=BLUE,
           label=f"above {threshold:g} GeV")  # fmt: skip
    by_calo.set_ylim(0, None)
    legend(by_calo, loc="center right")
    _face(plot, by_crystal, clusters, fills)
    dress(by_time, "time [μs]", "clusters per μs and calorimeter")
    middle = 0.5 * (_EDGES[1:] + _EDGES[:-1])
    for counts, colour, label in ((rates[0], INK, "all"), (rates[1], BLUE, f"above {threshold:g} GeV")):
        some = counts > 0
        points(by_time, middle[some], (counts / per)[some], (np.sqrt(counts) / per)[some], colour=colour, label=label)
    by_time.axvline(30.0, color=ORANGE, linewidth=0.8, linestyle="--")
    if len(clusters.time):
        by_time.set_yscale("log")
    legend(by_time)
    total = len(clusters.time)
    late = int((clusters.time >= 30e-6).sum())
    plot.describe(
        f"Occupancy of the calorimeters: {total / fills:.0f} clusters a fill, {late / fills:.0f} of them after 30 us. "
        f"By calorimeter {each.min() / fills:.1f} to {each.max() / fills:.1f} a fill. Over the face. "
        f"Against time: at 30 us {float(np.interp(30.0, middle, rates[0] / per)):.2f} per us and calorimeter.",
        **{
            "calorimeter": calos + 1,
            "clusters a fill": each / fills,
            f"above {threshold:g} GeV": each_strong / fills,
            "time [us]": middle,
            "clusters / us / calorimeter": rates[0] / per,
            "error": np.sqrt(rates[0]) / per,
        },
    )
    return plot


def _face(plot: Plot, axes: Axes, clusters: Clusters, fills: int) -> None:
    """Clusters over the crystals."""
    face = Calorimeter()
    across = np.linspace(-0.5 * face.width, 0.5 * face.width, _COLUMNS + 1)
    up = np.linspace(-0.5 * face.height, 0.5 * face.height, _ROWS + 1)
    crystals, _, _ = np.histogram2d(clusters.y, clusters.x, (up, across))
    dress(axes, "away from the ring centre [mm]", "height [mm]")
    axes.grid(visible=False)
    image = axes.imshow(
        crystals / (fills * N_CALORIMETERS), cmap=COLOUR_MAP, origin="lower", interpolation="nearest",
        extent=(1e3 * across[0], 1e3 * across[-1], 1e3 * up[0], 1e3 * up[-1]),
    )  # fmt: skip
    bar = plot.colorbar(image, ax=axes, location="top", fraction=0.08, aspect=30)
    bar.set_label("clusters per fill and calorimeter", color=INK, fontsize=9)
    bar.ax.tick_params(color=MUTED, labelcolor=MUTED, labelsize=8)
