"""The auxiliary detectors in one fill: the injected bunch, kickers and quads, fibre harps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from detectors.harps import HarpSignal
from detectors.ibms import Profile
from detectors.t0 import T0Time
from gm2sim.plots.style import BLUE, MM, ORANGE, PALETTE, US, Plot, dress, legend, points
from gm2sim.text import label

_NS = 1e9
_BUNCH_NS = 250.0  # shown on either side of the bunch
_GAUSS, _KV = 1e4, 1e-3
_EARLY_TURNS = 60


def t0_trace(times: ArrayLike, light: ArrayLike, channels: Sequence[str], found: Sequence[T0Time]) -> Plot:
    """The bunch as the T0 counter sees it, with the times found in its waveforms.

    Parameters
    ----------
    times : array (n,) [s]
    light : array (channels, n)
        Signal above the pedestal [counts].
    channels : sequence of str
    found : sequence of T0Time
        One for each channel.
    """
    t, signal = np.asarray(times, float) * _NS, np.asarray(light, float)
    near = np.abs(t - found[0].mean * _NS) < _BUNCH_NS
    plot = Plot(8.4, 3.6)
    axes = dress(plot.subplots(), "time since the bunch centre left the inflector [ns]", "signal [ADC counts]")
    for one, name, colour in zip(signal, channels, PALETTE, strict=False):
        axes.plot(t[near], one[near], color=colour, linewidth=1.0, label=label(name))
    axes.axvline(found[0].mean * _NS, color=BLUE, linewidth=0.8, linestyle="--")
    axes.axvline(found[0].half * _NS, color=BLUE, linewidth=0.8, linestyle=":")
    legend(axes)
    words = "; ".join(
        f"{name} mean {one.mean * _NS:.2f} ns, half height {one.half * _NS:.2f} ns"
        for name, one in zip(channels, found, strict=True)
    )
    plot.describe(
        f"Waveforms of the T0 counter in one fill. Times found, delays of the pulses taken off: {words}. Dashed: the "
        f"mean of the first channel, dotted: half of its height.",
        **{"time [ns]": t[near]}
        | {f"{name} [ADC counts]": one[near] for name, one in zip(channels, signal, strict=True)},
    )  # fmt: skip
    return plot


def ibms_profiles(seen: Sequence[tuple[str, ArrayLike, Profile]]) -> Plot:
    """Profiles of the injected beam at the inflector beam monitors.

    Parameters
    ----------
    seen : sequence of (name of the plane, places of its fibres [m], Profile)
    """
    plot = Plot(8.4, 4.6)
    columns = -(-len(seen) // 2)
    panels = np.ravel(plot.subplots(2, columns))
    table: dict[str, ArrayLike] = {}
    words = []
    for axes, (name, places, profile) in zip(panels, seen, strict=False):
        z = np.asarray(places, float) * MM
        share = 100 * profile.areas / profile.areas.sum()
        dress(axes, f"{name[-1]} from the axis [mm]", "share of light [%]", name[:-2])
        axes.plot(z, share, "o", color=BLUE, markersize=3.0)
        fine = np.linspace(z[0], z[-1], 200)
        shape = np.exp(-0.5 * ((fine - profile.mean * MM) / (profile.width * MM)) ** 2)
        norm = np.exp(-0.5 * ((z - profile.mean * MM) / (profile.width * MM)) ** 2).sum()
        axes.plot(fine, 100 * shape / norm, color=ORANGE, linewidth=1.0)
        table |= {f"{name} [mm]": z, f"{name} light [%]": share}
        words.append(f"{name}: mean {profile.mean * MM:.2f} +- {profile.mean_error * MM:.2f} mm, width "
                     f"{profile.width * MM:.2f} +- {profile.width_error * MM:.2f} mm")  # fmt: skip
    for axes in panels[len(seen) :]:
        axes.set_visible(False)
    plot.describe(f"Profiles of the injected beam, with a Gaussian. {'; '.join(words)}.", **table)
    return plot


def kicker_traces(times: ArrayLike, field: ArrayLike, kickers: Sequence[str]) -> Plot:
    """The field of each kicker against time.

    Parameters
    ----------
    times : array (n,) [s]
    field : array (kickers, n) [T]
    kickers : sequence of str
    """
    t, gauss = np.asarray(times, float) * _NS, np.asarray(field, float) * _GAUSS
    near = (t > -200.0) & (t < 1000.0)
    plot = Plot(8.4, 3.6)
    axes = dress(plot.subplots(), "time since the bunch centre left the inflector [ns]", "field, outward kick [G]")
    for one, name, colour in zip(gauss, kickers, PALETTE, strict=False):
        axes.plot(t[near], one[near], color=colour, linewidth=0.9, label=label(name))
    legend(axes)
    tops = [(name, one.max(), t[int(np.argmax(one))]) for name, one in zip(kickers, gauss, strict=True)]
    plot.describe(
        "Traces of the kickers in one fill: "
        + "; ".join(f"{name} peaks at {top:.0f} G, {at:.0f} ns" for name, top, at in tops) + ".",
        **{"time [ns]": t[near]} | {f"{name} [G]": one[near] for name, one in zip(kickers, gauss, strict=True)},
    )  # fmt: skip
    return plot


def quad_voltages(times: ArrayLike, volts: ArrayLike, plates: Sequence[str]) -> Plot:
    """The voltages of the plates of all quads against time, early and over the fill.

    Parameters
    ----------
    times : array (n,) [s]
    volts : array (plates, n) [V]
    plates : sequence of str
        Name of the quad and of the plate, which is the last word.
    """
    t, kv = np.asarray(times, float) * US, np.abs(np.asarray(volts, float)) * _KV
    kinds = list(dict.fromkeys(name.rpartition(" ")[2] for name in plates))
    plot = Plot(8.4, 3.6)
    left, right = plot.subplots(1, 2, sharey=True)
    for axes, inside, title in ((left, t < 40.0, "charging and scraping"), (right, t > 0.0, "the whole fill")):
        dress(axes, "time since injection [μs]", "voltage, size [kV]" if axes is left else "", title)
        drawn = set()
        for name, one in zip(plates, kv, strict=True):
            kind = name.rpartition(" ")[2]
            label = kind if kind not in drawn else None
            drawn.add(kind)
            axes.plot(t[inside], one[inside], color=PALETTE[kinds.index(kind) % 4], linewidth=0.7, label=label)
    legend(left)
    settled = t > 200.0
    plot.describe(
        f"Voltages of the {len(plates)} plates of the quads in one fill: {kv[:, settled].mean():.2f} kV on average "
        f"after 200 us, and {kv[:, (t > 3) & (t < 6)].mean(axis=1).min():.2f} kV on the lowest one from 3 to 6 us.",
        **{"time [μs]": t} | {f"{name} [kV]": one for name, one in zip(plates, kv, strict=True)},
    )
    return plot


def harp_signals(seen: Sequence[tuple[str, HarpSignal]], period: float) -> Plot:
    """What the fibre harps saw: the profile of the stored beam, and its first turns.

    Parameters
    ----------
    seen : sequence of (name of the harp, HarpSignal)
    period : float
        Of a turn [s].
    """
    plot = Plot(8.4, 4.6)
    top, bottom = plot.subplots(2, 1)
    dress(top, "place of the fibre [mm]", "muons", "in all")
    dress(bottom, "turn", "mean place [mm]", f"the first {_EARLY_TURNS} turns")
    table: dict[str, ArrayLike] = {}
    words = []
    for (name, one), colour in zip(seen, PALETTE, strict=False):
        muons = np.clip(one.muons, 0.0, None)
        points(top, one.places * MM, muons, np.sqrt(muons), colour=colour, size=4.0, label=label(name))
        early = np.clip(one.by_turn[:, :_EARLY_TURNS], 0.0, None)
        total = np.maximum(early.sum(axis=0), 1e-9)
        mean = (one.places[:, None] * MM * early).sum(axis=0) / total
        bottom.plot(np.arange(mean.size), mean, color=colour, linewidth=0.9)
        table |= {f"{name} place [mm]": one.places * MM, f"{name} muons": one.muons, f"{name} mean [mm]": mean}
        whole = max(float(muons.sum()), 1e-9)
        words.append(f"{name}: {whole:.0f} muons, mean {(muons * one.places).sum() / whole * MM:.1f} mm")
    legend(top, ncols=2)
    plot.describe(
        f"Fibre harps in one fill, turns of {period * _NS:.1f} ns. {'; '.join(words)}. The mean of the upright fibres "
        "swings with the coherent betatron oscillation.",
        **table,
    )
    return plot
