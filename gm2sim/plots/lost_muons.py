"""Muon losses over the fill: the share lost per microsecond, and what is lost in all after 30 us."""

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.lost_muons import Losses, fraction_lost, loss_rate
from gm2sim.plots.style import BLUE, INK, MUTED, ORANGE, US, Plot, dress, legend, points

_START, _STOP = 30e-6, 100e-6  # between which the losses of the Run-1 sets are quoted [s]
_PUBLISHED = (0.20, 0.65)  # least and most of the four sets [%]; nkinnaird/Dissertation @8f8e9eb
_PERCENT = 100.0
_TICKS = (3, 5, 10, 20, 30, 50, 100, 200, 300)  # of the time on its logarithmic axis [us]


def lost_muons(losses: Losses, edges: ArrayLike | None = None) -> Plot:
    """Share of the stored muons lost per microsecond, and summed up after 30 us beside the published losses.

    Parameters
    ----------
    losses : Losses
        From :func:`gm2sim.lost_muons.read_losses`.
    edges : array (n + 1,) [s], optional
        Bins of the upper part; ever wider ones from 3 to 300 us when left out.
    """
    bins = np.geomspace(3e-6, 300e-6, 25) if edges is None else np.asarray(edges, float)
    rate, error = loss_rate(losses, bins)
    seen = rate > 0
    centres = np.sqrt(bins[:-1] * bins[1:])
    late = np.linspace(_START, 300e-6, 55)
    summed, spread = _PERCENT * np.array([fraction_lost(losses, _START, float(t)) for t in late]).T
    total, total_error = (_PERCENT * value for value in fraction_lost(losses, _START, _STOP))

    plot = Plot(8.4, 5.6)
    top, bottom = plot.subplots(2, 1)
    dress(top, "time [μs]", "lost per μs [%]")
    points(top, US * centres[seen], _PERCENT / US * rate[seen], _PERCENT / US * error[seen], colour=INK, size=3.0)
    top.set_xscale("log")
    top.set_yscale("log")
    top.set_xticks(_TICKS, [str(tick) for tick in _TICKS])
    top.minorticks_off()
    if seen.any():
        least = _PERCENT / US * rate[seen].min()
        top.set_ylim(0.3 * least, 3.0 * _PERCENT / US * rate[seen].max())
    top.set_xlim(US * bins[0], US * bins[-1])
    top.axvline(US * _START, color=MUTED, linewidth=0.8, linestyle="--")
    dress(bottom, "time [μs]", "lost since 30 μs [%]")
    bottom.fill_between(US * late, summed - spread, summed + spread, color=BLUE, alpha=0.25, linewidth=0)
    bottom.plot(US * late, summed, color=BLUE, linewidth=1.6, label="simulated, decay divided out")
    bottom.plot([US * _STOP] * 2, _PUBLISHED, color=ORANGE, linewidth=3.0, label="Run-1 sets, 70 μs after 30 μs")
    bottom.set_ylim(0, None)
    legend(bottom, loc="lower right")
    plot.describe(
        f"Muon losses. Above: the share of the stored muons lost per microsecond, against time on logarithmic axes. "
        f"Below: lost since 30 us, {total:.2f} +- {total_error:.2f} % by 100 us; published for the sets of Run-1 "
        f"{_PUBLISHED[0]:.2f} to {_PUBLISHED[1]:.2f} %.",
        **{
            "time [us]": US * centres,
            "lost per us [%]": _PERCENT / US * rate,
            "error [%]": _PERCENT / US * error,
            "time since injection [us]": US * late,
            "lost since 30 us [%]": summed,
        },
    )
    return plot
