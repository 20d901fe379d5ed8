"""Showers in the crystals: attenuation, albedo, crosstalk, fluctuations."""

from dataclasses import replace

import numpy as np
from canvas import HALO, KEY, OFF, ON, panels, picture, steps
from numpy.typing import ArrayLike, NDArray

from detectors.crystals import COLUMNS, CRYSTALS, ROWS, ShowerSettings
from detectors.shower import deposit
from detectors.transport import Hits
from gm2sim.plots.style import ORANGE, Plot, dress, legend, points

Floats = NDArray[np.float64]


def square_hits(n: int, energy: float, depth: ArrayLike = 0.0, spread: float = 0.0) -> Hits:
    """Positrons parallel to the crystals near the middle of one in the middle of calorimeter 1; lengths in metres."""
    rng = np.random.default_rng(3)
    settings = ShowerSettings()
    u = rng.uniform(-spread, spread, n)
    v = 0.5 * settings.pitch_v + rng.uniform(-spread, spread, n)
    zero, count = np.zeros(n), np.zeros(n, np.int64)
    deep = np.broadcast_to(np.asarray(depth, np.float64), n)
    return Hits(count, u, v, zero, zero, zero + energy, zero, np.arange(n), np.ascontiguousarray(deep), count.copy())


def light(hits: Hits, settings: ShowerSettings) -> Floats:
    """Light of each hit in each crystal, (n, 54) [GeV]."""
    found = deposit(hits, KEY, settings)
    table = np.zeros((hits.u.size, CRYSTALS))
    np.add.at(table, (found.number, found.crystal), found.energy)
    return table


def _distance(settings: ShowerSettings) -> Floats:
    """Of the middle of each crystal from that of the one that is hit [m]."""
    crystal = np.arange(CRYSTALS)
    u = (crystal % COLUMNS - 0.5 * (COLUMNS - 1)) * settings.pitch_u
    v = (crystal // COLUMNS - 0.5 * ROWS) * settings.pitch_v
    return np.asarray(np.hypot(u, v))


@picture
def attenuation() -> Plot:
    """Light of soft positrons against the depth at which they come in, with attenuation and without."""
    off = ShowerSettings(attenuation_length=0.0, albedo=0.0)
    on = replace(off, attenuation_length=ShowerSettings().attenuation_length)
    plot, axes = panels(8.4, 3.1, 2)
    depth, each = np.linspace(0.0, 0.110, 11), 4000
    dress(axes[0], "depth of entry [mm]", "light over energy", "positrons of 20 MeV")
    hits = square_hits(depth.size * each, 0.02, np.repeat(depth, each))
    both = [light(hits, one).sum(axis=1).reshape(depth.size, each) / 0.02 for one in (off, on)]
    for seen, colour, label in zip(both, (OFF, ON), ("attenuation_length_mm = 0", "1000"), strict=True):
        error = seen.std(axis=1) / np.sqrt(each)
        points(axes[0], 1e3 * depth, seen.mean(axis=1), error, colour=colour, size=3.6, label=label)
    fine = np.linspace(0.0, 0.110, 50)
    # Their light is 11 mm further in on average (docs/physics/showers.md).
    expected = both[0].mean() * np.exp((fine + 0.011 - off.centre) / on.attenuation_length)
    axes[0].plot(1e3 * fine, expected, color=ORANGE, linewidth=0.9, linestyle="--", label="exp((d − d₀)/λ)")
    axes[0].set_ylim(0.92, 1.10)
    legend(axes[0], fontsize=8, loc="upper left")
    dress(axes[1], "energy of the positron [GeV]", "light over energy", "through the middle of the face")
    energies = np.array([0.1, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0, 2.5, 3.0])
    for settings, colour, label in ((off, OFF, "attenuation_length_mm = 0"), (on, ON, "1000")):
        seen = [light(square_hits(3000, energy), settings).sum(axis=1) / energy for energy in energies]
        mean, error = [one.mean() for one in seen], [one.std() / np.sqrt(one.size) for one in seen]
        points(axes[1], energies, mean, error, colour=colour, size=3.6, label=label)
        above = np.linspace(0.7, 3.0, 30)
        form = mean[6] / settings.seen(2.0) * np.array([settings.seen(energy) for energy in above])
        axes[1].plot(above, form, color=colour, linewidth=0.9, linestyle="--",
                     label="by depth alone" if colour == OFF else None)  # fmt: skip
    legend(axes[1], fontsize=8)
    return plot


@picture
def albedo_and_crosstalk() -> Plot:
    """Light of crystals against their distance from the shower."""
    plain = ShowerSettings(albedo=0.0)
    plot, axes = panels(8.4, 3.1, 2, sharey=True)
    distance = 1e3 * _distance(plain)
    hits = square_hits(8000, 2.0)
    base = light(hits, plain)
    cases = (
        (axes[0], replace(plain, albedo=0.005), "albedo_percent = 0", "0.5 (default)"),
        (axes[1], replace(plain, crosstalk=0.02), "crosstalk_percent = 0 (default)", "2"),
    )
    for panel, settings, without, with_ in cases:
        dress(panel, "distance of the crystal from the one hit [mm]", "mean light [MeV]" if panel is axes[0] else "")
        changed = light(hits, settings)
        for seen, colour, label, size in (
            (base, OFF, without, HALO), (changed, ON, with_, 3.4), (changed - base, ORANGE, "added", 3.4),
        ):  # fmt: skip
            mean, error = 1e3 * seen.mean(axis=0), 1e3 * seen.std(axis=0) / np.sqrt(len(seen))
            lit = mean > np.maximum(0.01, error)
            points(panel, distance[lit], mean[lit], np.minimum(error, 0.9 * mean)[lit], colour=colour, size=size,
                   label=label)  # fmt: skip
        panel.set_yscale("log")
        legend(panel, fontsize=8)
    return plot


@picture
def shower_fluctuations() -> Plot:
    """Light of equal positrons: fluctuations of the profile and of the light of a spot."""
    plot, axes = panels(8.4, 3.1, 2)
    edges = np.linspace(0.84, 1.06, 67)
    for panel, energy in zip(axes, (1.0, 3.0), strict=True):
        hits = square_hits(6000, energy, spread=0.010)
        for label, colour, change in (
            ("both 0", OFF, {"profile_fluctuation": 0.0, "light_fluctuation": 0.0}),
            ("profile_fluctuation = 0.45", "#009e73", {"light_fluctuation": 0.0}),
            ("and light_fluctuation = 0.66", ON, {}),
        ):
            seen = light(hits, replace(ShowerSettings(), **change)).sum(axis=1) / energy
            counts = 100.0 * np.histogram(seen, edges)[0] / seen.size
            steps(panel, edges, counts, colour, f"{label}: RMS {100 * seen.std() / seen.mean():.1f} %")
        dress(
            panel, "light over energy", "share of positrons per bin [%]" if panel is axes[0] else "", f"{energy:g} GeV"
        )
        panel.set_ylim(0.0, 1.35 * panel.get_ylim()[1])
        legend(panel, fontsize=7.5, loc="upper left")
    return plot
