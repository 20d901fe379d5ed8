"""The gain of the calorimeters by the pulses of the laser."""

import numpy as np

from gm2sim.laser import LaserGains
from gm2sim.plots.style import BLUE, ORANGE, US, Plot, dress, legend, points


def laser_gain(gains: LaserGains) -> Plot:
    """Mean gain of all channels against time in the fill, and the gain of each channel in fills of the laser.

    Parameters
    ----------
    gains : LaserGains
        At least one pulse.
    """
    plot = Plot(8.4, 3.4)
    in_time, of_all = plot.subplots(1, 2, width_ratios=(1.5, 1))
    flat = gains.gain.reshape(len(gains.time), -1)
    mean = np.nanmean(flat, axis=1)
    error = np.nanstd(flat, axis=1) / np.sqrt(np.maximum(np.isfinite(flat).sum(axis=1), 1))
    inside, outside = gains.inside, ~gains.inside
    dress(in_time, "time in the fill [μs]", "mean gain", "fills of muons")
    points(in_time, gains.time[inside] * US, mean[inside], error[inside], colour=BLUE, size=3.5, label="laser pulses")
    if outside.any():
        level = float(mean[outside].mean())
        in_time.axhline(level, color=ORANGE, linewidth=1.0, label="fills of the laser")
    in_time.autoscale_view()
    legend(in_time)
    shown = np.nanmean(gains.gain[outside if outside.any() else inside], axis=0).ravel()
    shown = shown[np.isfinite(shown)]
    counts, edges = np.histogram(shown, 40)
    dress(of_all, "gain of a channel", "channels", f"mean {shown.mean():.4f}, RMS {shown.std():.4f}")
    of_all.stairs(counts, edges, color=BLUE, fill=True, alpha=0.4)
    points(of_all, 0.5 * (edges[1:] + edges[:-1]), counts, np.sqrt(counts), colour=BLUE)
    plot.describe(
        f"Mean gain of the crystals by {int(inside.sum())} pulses of the laser in fills of muons against time, and the "
        f"gain of {shown.size} channels, mean {shown.mean():.4f}.",
        **{"time [μs]": gains.time * US, "in a fill of muons": inside, "mean gain": mean, "error": error},
    )
    return plot
