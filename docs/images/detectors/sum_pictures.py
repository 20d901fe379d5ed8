"""What the front end keeps of a fill, and pileup with its correction."""

from functools import cache

import numpy as np
from canvas import KEY, OFF, ON, as_read, panels, picture
from transport_pictures import decayed, gasgun

from detectors.calorimeter import FillDigits, digitise_fill
from detectors.shower import deposit
from detectors.transport import Hits, fly_positrons
from gm2sim.calibration import Calibration
from gm2sim.config import load
from gm2sim.pileup import Pileup, above
from gm2sim.plots.style import INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.reco import Clusters, cluster, fit_fill
from gm2sim.setup import Setup
from gpu.rng import FillKey

_A_FILL = 10_000  # decays: twice those of a fill of Run-1, so that there is pileup to see
_FILLS = 40


@cache
def _hits() -> Hits:
    """Of all decays, with all switches as in a run."""
    here = gasgun()
    flight = fly_positrons(decayed(_A_FILL * _FILLS, 2), here.fields, here.geometry, FillKey(12, 1, 0, 0),
                           here.transport, here.stations)  # fmt: skip
    return flight.hits


def _fill(number: int) -> Hits:
    """The hits of a fill."""
    hits = _hits()
    own = hits.number // _A_FILL == number
    some = Hits._make(np.ascontiguousarray(column[own]) for column in hits)
    return some._replace(number=some.number - _A_FILL * number)


def digits_of(number: int, here: Setup) -> FillDigits:
    """What the front ends write of a fill."""
    key = KEY._replace(fill=number)
    return digitise_fill(deposit(_fill(number), key, here.calorimeters.shower), key, here.calorimeters,
                         constants=here.constants)  # fmt: skip


@cache
def clusters() -> Clusters:
    """Positrons found in all fills."""
    here = Setup.of(load("gasgun", {"daq.q_method": False}))
    known = Calibration.of(here.calorimeters, here.constants)
    found = []
    for number in range(_FILLS):
        waves = as_read(digits_of(number, here))
        found.append(cluster(fit_fill(waves, known), waves, known, number))
    return Clusters.concatenate(found)


@picture
def front_end() -> Plot:
    """Islands, Q-method histogram and sum of one calorimeter in one fill."""
    here = gasgun()
    digits, calo = digits_of(0, here), 6
    plot, axes = panels(8.4, 5.6, 1, 3, sharex=True)
    period, zero = 1.25e-3, here.calorimeters.digitizer.zero_sample
    islands = digits.islands[calo]
    known = Calibration.of(here.calorimeters, here.constants)
    waves = as_read(digits)
    found = cluster(fit_fill(waves, known), waves, known, 0)
    own = found.calo == calo
    dress(axes[0], "", "energy [GeV]", "islands (T method): always kept, here with the positrons found in them")
    axes[0].plot(period * (islands.start - zero), np.full(islands.start.size, -0.18), "|", color=MUTED, markersize=6)
    axes[0].vlines(1e6 * found.time[own], 0.0, found.energy[own], color=ON, linewidth=0.9)
    axes[0].set_ylim(-0.4, None)
    dress(axes[1], "", "below pedestal\n[1000 counts]", "Q-method histogram, 60 samples a bin (daq.q_method)")
    histogram = digits.q_histogram[calo].astype(np.float64)
    q = np.median(histogram, axis=1, keepdims=True) - histogram
    width = here.calorimeters.digitizer.q_decimation
    axes[1].step(period * (width * np.arange(q.shape[1]) - zero), 1e-3 * q.sum(axis=0), color=ON, linewidth=0.8)
    dress(
        axes[2],
        "time since injection [μs]",
        "below pedestal\n[1000 counts]",
        "calorimeter sum, 32 samples (daq.calo_sum)",
    )
    total = digits.calo_sum[calo].view(np.int32).astype(np.float64)
    axes[2].step(period * (32 * np.arange(total.size) - zero), 1e-3 * _below(total), color=ON, linewidth=0.8)
    axes[2].set_xlim(0.0, 60.0)
    return plot


def _below(total: np.ndarray) -> np.ndarray:
    """The sum with pulses upwards, its level at 0."""
    level = np.median(total)
    return total - level if total.max() - level > level - total.min() else level - total


@picture
def pileup() -> Plot:
    """Energies of clusters beyond what one positron can have, before and after the shadow correction."""
    found = Pileup(clusters())
    edges = np.arange(0.0, 6.21, 0.2)
    middle = 0.5 * (edges[1:] + edges[:-1])
    spectrum = found.energy_spectrum(edges, 0.0)
    plot, axes = panels(8.4, 3.3, 2)
    dress(axes[0], "energy of the cluster [GeV]", "clusters per 200 MeV", f"{_FILLS} fills of {_A_FILL} decays")
    for counts, error, colour, label in (
        (spectrum.measured, np.sqrt(spectrum.measured), OFF, "measured"),
        (spectrum.corrected, spectrum.error, ON, "shadow correction"),
    ):
        seen = counts > 0.5
        points(axes[0], middle[seen], counts[seen], np.minimum(error, counts - 0.1)[seen], colour=colour, size=3.4,
               label=label)  # fmt: skip
    axes[0].step(
        edges[:-1], np.abs(spectrum.pileup), where="post", color=ORANGE, linewidth=1.0, label="size of the pileup"
    )
    axes[0].axvline(3.1, color=MUTED, linewidth=0.8, linestyle="--")
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.5, None)
    legend(axes[0], fontsize=8)
    times = np.array([0.0, 8, 16, 24, 32, 48, 64, 96, 140, 200])
    at = 0.5 * (times[1:] + times[:-1])
    beyond = found.time_spectrum(1e-6 * times, above(3.2))
    width = np.diff(times)
    dress(axes[1], "time since injection [μs]", "clusters above 3.2 GeV per μs", "beyond the end of the spectrum")
    points(
        axes[1], at, beyond.measured / width, np.sqrt(beyond.measured) / width, colour=OFF, size=3.6, label="measured"
    )
    points(axes[1], at, beyond.corrected / width, beyond.error / width, colour=ON, size=3.6, label="shadow correction")
    fine = np.linspace(0.0, 200.0, 100)
    scale = beyond.measured.sum() / np.sum(width * np.exp(-at / 32.2))
    axes[1].plot(fine, scale * np.exp(-fine / 32.2), color=ORANGE, linewidth=0.9, linestyle="--",
                 label="exp(−2t/γτ)")  # fmt: skip
    axes[1].axhline(0.0, color=INK, linewidth=0.6)
    legend(axes[1], fontsize=8)
    return plot
