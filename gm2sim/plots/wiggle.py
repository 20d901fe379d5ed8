"""The wiggle modulo 100 us with its fit and pulls, and the Fourier spectrum of what the fit leaves."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gm2sim.plots.style import BLUE, INK, MHZ, MUTED, ORANGE, US, Plot, dress, legend, points
from gm2sim.wiggle import WiggleFit, WiggleHistogram, expectation

_MODULO = 100.0  # us
_REBIN = 4  # 0.6 us a point: seven points on a precession period


def wiggle_modulo(data: WiggleHistogram, fit: WiggleFit) -> Plot:
    """Positrons against time, wrapped every 100 us, with the fitted function and its pulls.

    Parameters
    ----------
    data : WiggleHistogram
    fit : WiggleFit
        From the same histogram.
    """
    bins = len(data.counts) // _REBIN * _REBIN
    expected = expectation(fit.names, fit.values, data.edges, fit.reference_frequency)
    n, m = (v[:bins].reshape(-1, _REBIN).sum(axis=1) for v in (data.counts, expected))
    t = data.edges[:bins].reshape(-1, _REBIN).mean(axis=1) * US + 0.5 * (data.edges[1] - data.edges[0]) * US
    pulls = (n - m) / np.sqrt(np.maximum(m, 1e-12))

    plot = Plot(8.4, 6.4)
    grid = plot.add_gridspec(2, 2, height_ratios=[3.2, 1], width_ratios=[4, 1])
    top = dress(
        plot.add_subplot(grid[0, :]),
        f"time modulo {_MODULO:.0f} μs [μs]",
        f"positrons per {_width(data):.0f} ns",
    )
    fine = data.centres * US
    floor = max(0.5, 0.5 * float(m.min()))
    for wrap in range(math.floor(t[0] / _MODULO), math.floor(t[-1] / _MODULO) + 1):
        begin, end = wrap * _MODULO, (wrap + 1) * _MODULO
        here = (t >= begin) & (t < end)
        # With less than one expected positron a point, a logarithmic axis shows nothing but ones.
        if not here.any() or m[here].mean() < min(1.0, m.max()):
            continue
        full = here & (n > 0)
        points(top, t[full] - begin, n[full], np.minimum(np.sqrt(n[full]), n[full] - 0.1), size=1.9)
        curve = (fine >= begin) & (fine < end)
        top.plot(fine[curve] - begin, _REBIN * expected[curve], color=ORANGE, linewidth=1.0)
        if end <= t[-1]:
            level = float(np.exp(np.log(np.maximum(m[here][-8:], floor)).mean()))
            top.annotate(
                f"{begin:.0f}–{end:.0f} μs", (_MODULO + 0.8, level), color=MUTED, fontsize=8, va="center",
                annotation_clip=False,
            )  # fmt: skip
    top.set_yscale("log")
    top.set_ylim(floor, 1.8 * max(float(n.max()), float(m.max())))
    top.set_xlim(0, _MODULO)
    top.plot([], [], color=ORANGE, linewidth=1.4, label=f"fit, {len(fit.names)} parameters")
    top.plot([], [], "o", color=INK, markersize=3, label="reconstructed positrons")
    legend(top, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    _pulls(plot, grid, t, pulls, m)
    r, error = fit.r_ppm
    plot.describe(
        f"Positrons above threshold against time modulo 100 us with the fit. {fit.positrons} positrons, "
        f"R = {r:.1f} +- {error:.1f} ppm from {fit.reference_frequency:.0f} Hz, chi-square {fit.chi2:.1f} "
        f"for {fit.ndf} degrees of freedom, probability {fit.probability:.3f}.",
        **{"time [μs]": t, "positrons": n, "fit": m, "pull": pulls},
    )
    return plot


def residual_fft(frequency: ArrayLike, amplitude: ArrayLike, marks: Mapping[str, float]) -> Plot:
    """Fourier spectrum of the fit's pulls, with the frequencies where beam motion would show.

    Parameters
    ----------
    frequency, amplitude : arrays (n,) [Hz], [] (1 for counting noise)
    marks : mapping of str to float [Hz]
    """
    f, a = np.asarray(frequency, float) * MHZ, np.asarray(amplitude, float)
    plot = Plot(8.4, 3.2)
    axes = dress(plot.subplots(), "frequency [MHz]", "amplitude / noise")
    axes.plot(f, a, color=BLUE, linewidth=0.8)
    # The largest of n exponential powers of mean 1 is below ln(n/0.05) in 95 % of all pure-noise spectra.
    limit = math.sqrt(math.log(len(a) / 0.05))
    axes.axhline(limit, color=ORANGE, linewidth=1.0, linestyle="--", label="95 % of noise maxima are below")
    height = max(limit, float(a.max())) * 1.3
    for i, (name, place) in enumerate(marks.items()):
        if 0 < place * MHZ < f[-1]:
            axes.axvline(place * MHZ, color=MUTED, linewidth=0.8, linestyle=":")
            axes.text(
                place * MHZ,
                height * (1.0 + 0.075 * (i % 2)),
                name,
                color=MUTED,
                fontsize=8.5,
                ha="center",
                va="bottom",
            )
    axes.set_ylim(0, height)
    axes.set_xlim(0, f[-1])
    legend(axes, loc="upper right")
    peak = int(np.argmax(a))
    plot.describe(
        f"Fourier spectrum of the fit's residuals: highest amplitude {a[peak]:.2f} at {f[peak]:.4f} MHz; "
        f"pure counting noise stays below {limit:.2f} in 95 of 100 cases.",
        **{"frequency [MHz]": f, "amplitude / noise": a},
    )
    return plot


def _width(data: WiggleHistogram) -> float:
    return _REBIN * float(data.edges[1] - data.edges[0]) * 1e9


def _pulls(
    plot: Plot, grid: object, t: NDArray[np.float64], pulls: NDArray[np.float64], m: NDArray[np.float64]
) -> None:
    """Pulls over time, and their distribution beside a unit Gaussian, where 5 positrons are expected."""
    enough = m >= min(5.0, float(m.max()))
    left = dress(plot.add_subplot(grid[1, 0]), "time since injection [μs]", "pull")  # type: ignore[index]
    left.plot(t[enough], pulls[enough], "o", color=INK, markersize=1.6, markeredgewidth=0)
    left.axhline(0, color=ORANGE, linewidth=1.2)
    left.set_ylim(-4.5, 4.5)
    right = dress(plot.add_subplot(grid[1, 1], sharey=left), "points", "")  # type: ignore[index]
    edges = np.linspace(-4.5, 4.5, 19)
    counts, _ = np.histogram(pulls[enough], edges)
    right.stairs(counts, edges, orientation="horizontal", color=INK, linewidth=1.0)
    v = np.linspace(-4.5, 4.5, 91)
    gauss = counts.sum() * (edges[1] - edges[0]) * np.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)
    right.plot(gauss, v, color=ORANGE, linewidth=1.2)
    right.set_xlim(0, None)
