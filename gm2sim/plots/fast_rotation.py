"""The fast rotation: the signal early and late, its cosine transform, the equilibrium radii found in it."""

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.fast_rotation import FastRotation, Passages, Truth
from gm2sim.plots.style import BLUE, INK, KHZ, MM, MUTED, ORANGE, US, Plot, dress, legend, points

_WINDOWS = ((4e-6, 5.5e-6), (30e-6, 31.5e-6), (100e-6, 101.5e-6))  # ten turns each [s]


def fast_rotation_signal(signal: Passages) -> Plot:
    """Passages over what they would be without bunches, ten turns early, at the start of the fit, and late.

    Parameters
    ----------
    signal : Passages
        From about 4 us on; windows after its end stay away.
    """
    windows = [w for w in _WINDOWS if w[1] <= signal.edges[-1]]
    if not windows:
        raise ValueError("the fast-rotation signal ends before 5.5 us: make it longer to draw it.")
    ratio = signal.counts / np.where(signal.smooth > 0.0, signal.smooth, np.inf)
    middle = 0.5 * (signal.edges[1:] + signal.edges[:-1])
    top = 1.05 * float(ratio[(middle >= windows[0][0]) & (middle < windows[0][1])].max())
    plot = Plot(8.4, 1.7 * len(windows) + 0.6)
    words: list[str] = []
    columns: dict[str, ArrayLike] = {}
    for i, (begin, end) in enumerate(windows):
        axes = dress(
            plot.add_subplot(len(windows), 1, i + 1),
            "time since injection [μs]" if i == len(windows) - 1 else "",
            "S",
            f"from {begin * US:g} μs",
        )
        here = (middle >= begin) & (middle < end)
        axes.plot(middle[here] * US, ratio[here], color=BLUE, linewidth=0.8)
        axes.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
        axes.set_xlim(begin * US, end * US)
        axes.set_ylim(0.0, top)
        words.append(f"at {begin * US:g} us it swings between {ratio[here].min():.2f} and {ratio[here].max():.2f}")
        columns |= {f"time {i + 1} [μs]": middle[here] * US, f"S {i + 1}": ratio[here]}
    plot.describe(
        f"Passages at one azimuth per {(middle[1] - middle[0]) * 1e9:.0f} ns over what they would be without bunches: "
        f"{'; '.join(words)}. 1 means that the muons fill the ring evenly.",
        **columns,
    )
    return plot


def cosine_transform(result: FastRotation) -> Plot:
    """Cosine transform with its fitted background, and the frequencies of muons that pass the collimators.

    Parameters
    ----------
    result : FastRotation
    """
    f = result.frequency * KHZ
    scale = 1.0 / result.cosine.max()
    plot = Plot(8.4, 3.6)
    axes = dress(plot.subplots(), "revolution frequency [kHz]", "cosine transform / highest value")
    axes.axvspan(*(edge * KHZ for edge in result.settings.window), color=MUTED, alpha=0.08, linewidth=0)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    points(axes, f, result.cosine * scale, result.cosine_error * scale, label="cosine transform")
    name = result.settings.background
    axes.plot(f, result.background * scale, color=ORANGE, linewidth=1.4, label=f"background, form “{name}”")
    axes.set_xlim(f[0], f[-1])
    legend(axes, loc="upper right")
    lowest = float(result.background.min() * scale)
    plot.describe(
        f"Cosine transform of the fast rotation about t0 = {result.t0 * 1e9:.2f} ns: a peak at "
        f"{f[int(np.argmax(result.cosine))]:.0f} kHz on a background that goes down to {lowest:.2f} of its height, "
        f"fitted outside the shaded frequencies of stored muons, {result.settings.window[0] * KHZ:.1f} to "
        f"{result.settings.window[1] * KHZ:.1f} kHz; chi-square {result.chi2:.1f} for {result.ndf} degrees of freedom.",
        **{
            "frequency [kHz]": f,
            "cosine transform": result.cosine * scale,
            "error": result.cosine_error * scale,
            "background": result.background * scale,
        },
    )
    return plot


def equilibrium_radii(result: FastRotation, truth: Truth | None = None) -> Plot:
    """Distribution of equilibrium radii from the transform, beside that of the muons themselves.

    Parameters
    ----------
    result : FastRotation
    truth : Truth, optional
    """
    x = result.x_e * MM
    # A density per mm from one per Hz: radii and frequencies fall together, in equal steps but for a percent.
    per_mm = result.settings.step / np.abs(np.gradient(x))
    plot = Plot(8.4, 3.6)
    axes = dress(plot.subplots(), "equilibrium radius from R₀, outward [mm]", "muons per mm")
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    found = result.density * per_mm
    error = np.nan_to_num(result.density_error * per_mm)
    points(axes, x, found, error, colour=INK, label="from the fast rotation")
    columns = {"x_e [mm]": x, "density [1/mm]": found, "error [1/mm]": error}
    words = ""
    if truth is not None:
        true = truth.density * per_mm
        axes.plot(x, true, color=ORANGE, linewidth=1.4, drawstyle="steps-mid", label="the muons' own momenta")
        columns["truth [1/mm]"] = true
        words = (
            f" The muons' own momenta have mean {truth.radii.mean * MM:.2f} mm, width {truth.radii.width * MM:.2f} mm "
            f"and C_e = {truth.radii.c_e_ppb:.1f} ppb."
        )
    axes.set_xlim(float(x.min()), float(x.max()))
    legend(axes, loc="upper left")
    plot.describe(
        f"Distribution of equilibrium radii from the fast rotation: mean {result.x_e_mean * MM:.2f} mm, width "
        f"{result.x_e_width * MM:.2f} mm, electric-field correction C_e = {result.c_e_ppb:.1f} ppb.{words}",
        **columns,
    )
    return plot
