"""Positrons on their way: trackers in it, photons, entry through the sides, metal."""

from dataclasses import replace
from functools import cache

import numpy as np
from canvas import OFF, ON, panels, picture, steps
from matplotlib.axes import Axes

from decay.positron import Positrons, decay
from detectors.transport import Flight, TransportSettings, fly_positrons
from gm2sim.config import load
from gm2sim.plots.style import INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.setup import Setup
from gpu.rng import FillKey
from tracking.bunch import Bunch, State

DECAYS = 200_000
_KEY = FillKey(11, 1, 0, 0)
_LIFETIME = 64.4e-6  # [s]
_LAST = 690e-6  # [s]


@cache
def gasgun() -> Setup:
    """The ring and all detectors, uniform field."""
    return Setup.of(load("gasgun"))


@cache
def decayed(n: int = DECAYS, seed: int = 1) -> Positrons:
    """Positrons of unpolarised muons that decay all around the ring, in a round beam, with the muons' lifetime."""
    rng = np.random.default_rng(seed)
    reference = gasgun().ring.reference
    muons = Bunch.empty(n).with_momentum(rng.normal(0.0008, 0.0012, n), reference)
    x, y = rng.normal(0.006, 0.017, n), rng.normal(0.0, 0.013, n)
    shrink = np.minimum(1.0, 0.045 / np.hypot(x, y))
    muons.x[:], muons.y[:] = x * shrink, y * shrink
    muons.theta[:] = rng.uniform(0.0, 2.0 * np.pi, n)
    muons.time[:] = -_LIFETIME * np.log1p(-rng.uniform(0.0, -np.expm1(-_LAST / _LIFETIME), n))
    muons.state[:] = State.DECAYED
    return decay(muons, reference, _KEY, 0.0)


@cache
def flown(trackers: bool = True, **changes: bool) -> Flight:
    """The flight of all of them, with some switches changed."""
    here = gasgun()
    settings: TransportSettings = replace(here.transport, **changes)
    return fly_positrons(decayed(), here.fields, here.geometry, _KEY, settings, here.stations if trackers else None)


@picture
def trackers_in_the_way() -> Plot:
    """Hits of each calorimeter with the trackers and without."""
    plot, axes = panels(8.4, 3.1, 2)
    calos = np.arange(1, 25)
    for panel, least in zip(axes, (0.0, 1.7), strict=True):
        dress(panel, "calorimeter", "hits per 1000 decays", f"positrons above {least:g} GeV" if least else "positrons")
        for on, colour, shift in ((False, OFF, -0.12), (True, ON, 0.12)):
            hits = flown(on).hits
            own = (hits.order == 0) & (hits.energy > least)
            count = np.bincount(hits.calo[own], minlength=24)
            scale = 1000.0 / DECAYS
            label = f"transport.trackers = {'true' if on else 'false'}"
            points(panel, calos + shift, scale * count, scale * np.sqrt(count), colour=colour, size=3.6, label=label)
        for calo in (13, 19):
            panel.axvline(calo, color=ORANGE, linewidth=0.8, linestyle=":")
        panel.set_xticks([1, 7, 13, 19, 24])
        low, high = panel.get_ylim()
        panel.set_ylim(low, high + 0.25 * (high - low))
        legend(panel, fontsize=8, loc="upper left")
    return plot


@picture
def photons_and_sides() -> Plot:
    """Energy of hits, with photons and entry through the sides switched on one by one."""
    plot, axes = panels(8.4, 3.3, 2)
    edges = np.linspace(0.0, 3.1, 63)
    scale = 1.0 / DECAYS / (edges[1] - edges[0])
    dress(axes[0], "energy of the hit [GeV]", "hits per decay and GeV", "switches one by one")
    cases = (
        ("both off", OFF, False, False), ("photons", ORANGE, True, False),
        ("side_entry", "#009e73", False, True), ("both on", ON, True, True),
    )  # fmt: skip
    for label, colour, photons, sides in cases:
        energy = flown(photons=photons, side_entry=sides).hits.energy
        steps(axes[0], edges, scale * np.histogram(energy, edges)[0], colour, label)
    axes[0].set_yscale("log")
    axes[0].set_ylim(0.01, 1.5)
    legend(axes[0], fontsize=8)
    hits = flown(photons=True, side_entry=True).hits
    face, side = (hits.order == 0) & (hits.depth == 0.0), (hits.order == 0) & (hits.depth > 0.0)
    dress(axes[1], "energy of the hit [GeV]", "hits per decay and GeV", "both on: what the hits are")
    for which, label, colour in (
        (face, "positrons, face", INK), (side, "positrons, sides", "#009e73"),
        (hits.order > 0, "photons, pairs", ORANGE),
    ):  # fmt: skip
        steps(axes[1], edges, scale * np.histogram(hits.energy[which], edges)[0], colour, label)
    axes[1].set_ylim(0.0, None)
    legend(axes[1], fontsize=8)
    return plot


@picture
def metal() -> Plot:
    """Energy of the positrons at the calorimeters with metal and without, and what straws do."""
    plot, axes = panels(8.4, 3.1, 2)
    edges = np.linspace(0.0, 3.1, 63)
    scale = 1.0 / DECAYS / (edges[1] - edges[0])
    dress(axes[0], "energy of the hit [GeV]", "hits per decay and GeV", "positrons through the face")
    for on, colour in ((False, OFF), (True, ON)):
        hits = flown(material=on, photons=False, side_entry=False).hits
        counts = np.histogram(hits.energy, edges)[0]
        steps(axes[0], edges, scale * counts, colour, f"transport.material = {'true' if on else 'false'}")
    axes[0].set_ylim(0.0, None)
    legend(axes[0], fontsize=8)
    _straw_matter(axes[1])
    return plot


def _straw_matter(axes: Axes) -> None:
    """Vertical place of each positron at the end of its station, with matter in the straws less without."""
    here = gasgun()
    straws = replace(here.transport.straws, scattering=False, loss=False)
    without = fly_positrons(
        decayed(), here.fields, here.geometry, _KEY, replace(here.transport, straws=straws), here.stations
    )
    dress(axes, "straws crossed", "vertical deflection [mm]", "end of a tracker station, scaled to 1.9 GeV/c")
    with_, same = flown().passages, without.passages
    names = flown().entrances.number, without.entrances.number
    _, mine, theirs = np.intersect1d(*names, return_indices=True)
    momentum = flown().entrances.energy[mine]
    whole = (with_.z[mine] > 1.2) & (same.z[theirs] > 1.2) & (momentum > 1.0)
    off = (1e3 * (with_.y[mine] - same.y[theirs]) * momentum / 1.9)[whole]
    crossed = with_.straws[mine][whole]
    bins = np.arange(4, 41, 4)
    which = np.digitize(crossed, bins) - 1
    for k in range(bins.size - 1):
        some = off[which == k]
        if some.size < 30:
            continue
        # Half of the middle 68 %: bremsstrahlung and large angles make a tail.
        low, high = np.percentile(some, [15.87, 84.13])
        width = 0.5 * (high - low)
        label = "transport.straw_material = true" if k == 0 else None
        points(axes, [bins[k] + 1.5], [width], [width / np.sqrt(some.size)], colour=ON, size=3.8, label=label)
    axes.axhline(0.0, color=OFF, linewidth=1.3, label="false")
    axes.axhline(0.2, color=MUTED, linewidth=0.9, linestyle="--", label="published for a whole station")
    axes.set_xlim(0, 40)
    legend(axes, fontsize=8)
