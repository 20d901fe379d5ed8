"""The stored beam: its cross-section at some times, its mean and width turn by turn."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from gm2sim.plots.style import BLUE, COLOUR_MAP, INK, MM, ORANGE, US, Plot, dress, legend, points

_APERTURE_MM = 45.0
_BIN_MM = 3.0
_WINDOW = 18  # samples: turns in which the radial oscillation slips by about one period, at n = 0.108


def beam_profiles(snapshots: Sequence[tuple[float, ArrayLike, ArrayLike]]) -> Plot:
    """Where the muons are in the cross-section of the storage region, at some times.

    Parameters
    ----------
    snapshots : sequence of (time [s], x (n,) [m], y (n,) [m])
    """
    plot = Plot(8.4, 3.3)
    panels = np.atleast_1d(plot.subplots(1, len(snapshots), sharex=True, sharey=True))
    edges = np.arange(-48.0, 48.0 + _BIN_MM, _BIN_MM)
    times, means, words = [], [], []
    image = None
    for i, (axes, (time, x, y)) in enumerate(zip(panels, snapshots, strict=True)):
        at_x, at_y = np.asarray(x, float) * MM, np.asarray(y, float) * MM
        counts, _, _ = np.histogram2d(at_x, at_y, bins=(edges, edges))
        share = np.ma.masked_equal(100 * counts.T / max(len(at_x), 1), 0)
        title = f"t = {time * US:.1f} μs, {len(at_x)} muons"
        dress(axes, "x, outward [mm]", "y, up [mm]" if i == 0 else "", title)
        image = axes.imshow(
            share, origin="lower", extent=(-48, 48, -48, 48), cmap=COLOUR_MAP, interpolation="nearest", vmin=0
        )
        axes.add_patch(Circle((0, 0), _APERTURE_MM, fill=False, color=ORANGE, linewidth=1.0))
        axes.grid(visible=False)
        axes.set_xticks([-40, -20, 0, 20, 40])
        axes.set_yticks([-40, -20, 0, 20, 40])
        times.append(time * US)
        means.append([len(at_x), *(f(v) if len(v) else np.nan for v in (at_x, at_y) for f in (np.mean, np.std))])
        words.append(f"at {time * US:.1f} us mean x {means[-1][1]:.1f} mm, width {means[-1][2]:.1f} mm")
    if image is not None:
        bar = plot.colorbar(image, ax=panels.tolist(), shrink=0.8, pad=0.01)
        bar.set_label(f"share of muons per {_BIN_MM:g} mm square [%]", color=INK, fontsize=9)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, labelcolor=INK, color=INK)
    rows = np.array(means).T
    plot.describe(
        f"Muons in the storage region's cross-section: {'; '.join(words)}. The circle is the 45 mm aperture.",
        **{"time [μs]": times, "muons": rows[0], "mean x [mm]": rows[1], "RMS x [mm]": rows[2],
           "mean y [mm]": rows[3], "RMS y [mm]": rows[4]},
    )  # fmt: skip
    return plot


def turn_by_turn(
    time: ArrayLike,
    count: ArrayLike,
    mean_x: ArrayLike,
    rms_x: ArrayLike,
    mean_y: ArrayLike,
    rms_y: ArrayLike,
) -> Plot:
    """Mean radius of the beam turn by turn, early and over the fill, with the widths.

    Parameters
    ----------
    time : array (n,) [s]
    count : array (n,)
        Muons behind each point.
    mean_x, rms_x, mean_y, rms_y : arrays (n,) [m]
    """
    t = np.asarray(time, float) * US
    n = np.asarray(count, float)
    x, sx, y, sy = (np.asarray(v, float) * MM for v in (mean_x, rms_x, mean_y, rms_y))
    error = sx / np.sqrt(np.maximum(n, 1))
    plot = Plot(8.4, 4.6)
    top, bottom = plot.subplots(2, 1)
    early = t <= min(30.0, t[-1])
    dress(top, "time since injection [μs]", "mean x [mm]", "the first 30 μs")
    points(top, t[early], x[early], error[early], colour=BLUE)
    top.plot(t[early], x[early], color=BLUE, linewidth=0.7)
    dress(bottom, "time since injection [μs]", "RMS [mm]", f"width, means of {_WINDOW} samples")
    enough = int(np.sum(n >= min(100, n.max()))) // _WINDOW * _WINDOW
    for values, colour, name in ((sx, BLUE, "radial"), (sy, ORANGE, "vertical")):
        at, width, muons = (v[:enough].reshape(-1, _WINDOW).mean(axis=1) for v in (t, values, n))
        # Turns of a window hold the same muons: averaging takes the swing away, not the statistical error.
        points(bottom, at, width, width / np.sqrt(2 * np.maximum(muons, 1)), colour=colour, label=name)
    legend(bottom, ncols=2)
    plot.describe(
        f"Mean radius turn by turn: {x[early].mean():.1f} mm on average in the first {t[early][-1]:.0f} us, "
        f"swinging between {x[early].min():.1f} and {x[early].max():.1f} mm by the coherent betatron oscillation. "
        f"Radial width {sx[0]:.1f} mm and vertical width {sy[0]:.1f} mm at the start.",
        **{"time [μs]": t, "muons": n, "mean x [mm]": x, "error [mm]": error, "RMS x [mm]": sx,
           "mean y [mm]": y, "RMS y [mm]": sy},
    )  # fmt: skip
    return plot
