"""Pileup in the energy spectrum, before and after the shadow-window correction, and its share against time."""

import numpy as np
from matplotlib.axes import Axes

from gm2sim.pileup import Pileup, above
from gm2sim.plots.style import BLUE, INK, MUTED, ORANGE, Plot, dress, legend, points

_START = 30e-6  # [s]
_ENERGIES = np.arange(0.0, 6.21, 0.2)  # [GeV]
_TIMES = np.array([0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 120.0, 200.0])  # [us]
_END = 3.1  # [GeV] no single positron has more
_LIFETIME = 64.4  # [us]


def pileup_spectrum(found: Pileup, threshold: float = 1.7) -> Plot:
    """Energies of clusters after 30 us, the shadows' estimate of pileup, and what is left; pileup against time.

    Parameters
    ----------
    found : Pileup
    threshold : float [GeV]
        Of the wiggle fit.
    """
    spectrum = found.energy_spectrum(_ENERGIES, _START)
    middle = 0.5 * (_ENERGIES[1:] + _ENERGIES[:-1])
    times = found.time_spectrum(_TIMES * 1e-6, above(threshold))
    at = 0.5 * (_TIMES[1:] + _TIMES[:-1])
    counted = times.measured > 0
    doublets = np.where(counted, times.doublets / np.where(counted, times.measured, 1.0), np.nan)
    error = np.where(counted, np.sqrt(times.doublets) / np.where(counted, times.measured, 1.0), np.nan)

    plot = Plot(8.4, 7.0)
    top, middle_axes, bottom = plot.subplots(3, 1, height_ratios=[2, 1, 1.3])
    dress(top, "", "clusters per 200 MeV")
    points(top, middle, spectrum.measured, np.sqrt(spectrum.measured), colour=INK, label="measured")
    points(top, middle, spectrum.corrected, spectrum.error, colour=BLUE, label="pileup subtracted")
    top.plot(middle, np.abs(spectrum.pileup), drawstyle="steps-mid", color=ORANGE, linewidth=1.2,
             label="size of the pileup, doublets less singlets")  # fmt: skip
    top.set_yscale("log")
    top.set_ylim(0.5, 2.0 * max(float(spectrum.measured.max()), 1.0))
    legend(top)
    dress(middle_axes, "energy [GeV]", "per 200 MeV")
    beyond = middle > _END + 0.05
    points(middle_axes, middle[beyond], spectrum.measured[beyond], np.sqrt(spectrum.measured[beyond]), colour=INK)
    points(middle_axes, middle[beyond], spectrum.corrected[beyond], spectrum.error[beyond], colour=BLUE)
    middle_axes.axhline(0, color=MUTED, linewidth=0.8)
    for axes in (top, middle_axes):
        axes.axvline(_END, color=MUTED, linewidth=0.8, linestyle="--")
        axes.set_xlim(0, _ENERGIES[-1])
    dress(bottom, "time [μs]", f"doublets above {threshold:g} GeV [%]")
    points(bottom, at[counted], 100 * doublets[counted], 100 * error[counted], colour=INK, size=3.0)
    scale = times.doublets.sum() / max(float(np.sum(times.measured * np.exp(-at / _LIFETIME))), 1e-300)
    _falling(bottom, 100 * scale)
    high = _ENERGIES[:-1] >= _END
    left, spread = float(spectrum.corrected[high].sum()), float(np.sqrt((spectrum.error[high] ** 2).sum()))
    plot.describe(
        f"Pileup by the shadow window, dead time {found.settings.dead_time * 1e9:g} ns. Beyond {_END:g} GeV, where no "
        f"single positron is, {spectrum.measured[high].sum():.0f} clusters are measured and {left:.1f} +- {spread:.1f} "
        f"left when pileup is subtracted. Doublets above {threshold:g} GeV are {100 * doublets[3]:.2f} +- "
        f"{100 * error[3]:.2f} % of the clusters from 20 to 30 us.",
        **{
            "energy [GeV]": middle,
            "measured": spectrum.measured,
            "pileup": spectrum.pileup,
            "corrected": spectrum.corrected,
            "error": spectrum.error,
            "time [us]": at,
            "doublets [%]": 100 * doublets,
            "its error [%]": 100 * error,
        },
    )
    return plot


def _falling(axes: Axes, start: float) -> None:
    """The fall of the share of pileup that the decay of the muons makes."""
    fine = np.linspace(_TIMES[0], _TIMES[-1], 200)
    axes.plot(fine, start * np.exp(-fine / _LIFETIME), color=ORANGE, linewidth=1.4, label="exp(−t / 64.4 μs)")
    axes.set_ylim(0, None)
    legend(axes)
