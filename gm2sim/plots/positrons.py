"""Energies of the positrons: at the decay beside the closed form, and as reconstructed."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2 as chi2_distribution

from gm2sim.plots.style import BLUE, INK, ORANGE, Plot, dress, legend, points

_WIDTH = 0.05  # GeV
_EDGES = np.arange(0.0, 3.6 + 0.5 * _WIDTH, _WIDTH)


def energy_spectrum(
    decay_energy: ArrayLike,
    cluster_energy: ArrayLike,
    density: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    endpoint: float,
    threshold: float = 1.7,
) -> Plot:
    """Positron energies at the decay beside the closed form N(E), and as reconstructed from the raw data.

    Parameters
    ----------
    decay_energy, cluster_energy : arrays (n,), (m,) [GeV]
    density : function
        Closed form N(E) of an array of energies [GeV], any normalisation.
    endpoint : float [GeV]
        Highest energy of a decay positron.
    threshold : float [GeV]
        Where the wiggle fit starts.
    """
    truth, _ = np.histogram(np.asarray(decay_energy, float), _EDGES)
    found, _ = np.histogram(np.asarray(cluster_energy, float), _EDGES)
    # N(E) rises from nothing within the first MeV: fine enough to see it.
    fine = (np.arange(200) + 0.5) / 200
    inside = np.minimum(_EDGES[:-1, None] + _WIDTH * fine, endpoint)
    mean = np.where(_EDGES[:-1] < endpoint, density(inside.ravel()).reshape(inside.shape).mean(axis=1), 0.0)
    # The bin of the endpoint is only partly filled; it and energies beyond are left out of the comparison.
    used = _EDGES[1:] <= endpoint
    expected = np.where(used, mean * truth[used].sum() / max(mean[used].sum(), 1e-300), 0.0)
    centres = 0.5 * (_EDGES[1:] + _EDGES[:-1])
    pulls = (truth - expected)[used] / np.sqrt(np.maximum(expected[used], 1))
    compared = expected[used] >= 10
    chi2, ndf = float(np.sum(pulls[compared] ** 2)), max(int(compared.sum()) - 1, 0)
    probability = float(chi2_distribution.sf(chi2, ndf)) if ndf else math.nan

    plot = Plot(8.4, 4.6)
    top, bottom = plot.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    dress(top, "", f"positrons per {_WIDTH * 1e3:.0f} MeV")
    dress(bottom, "energy [GeV]", "pull")
    top.plot(centres[used], expected[used], color=ORANGE, linewidth=1.6, label="closed form N(E)")
    points(top, centres, truth, np.sqrt(truth), colour=INK, label="at the decay")
    points(top, centres, found, np.sqrt(found), colour=BLUE, label="reconstructed from the raw data")
    top.axvline(threshold, color=INK, linewidth=0.8, linestyle="--")
    top.text(threshold, top.get_ylim()[1], f"  {threshold:g} GeV", color=INK, fontsize=9, va="top")
    top.set_ylim(0, None)
    legend(top)
    points(bottom, centres[used], pulls, np.ones_like(pulls))
    bottom.axhline(0, color=ORANGE, linewidth=1.2)
    bottom.set_ylim(-4.5, 4.5)
    bottom.set_xlim(0, _EDGES[-1])
    plot.describe(
        f"Positron energies. At the decay: {truth.sum()} positrons, chi-square against the closed form "
        f"{chi2:.1f} "
        f"for {ndf} degrees of freedom, probability {probability:.3f}. Reconstructed: {found.sum()}, "
        f"of which "
        f"{int(np.sum(np.asarray(cluster_energy) >= threshold))} above {threshold:g} GeV.",
        **{"energy [GeV]": centres, "at the decay": truth, "closed form": expected, "reconstructed": found},
    )
    return plot
