"""The optics of the ring: functions of azimuth, tune diagram, detuning, the CBO in time, losses over n."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from fields.ring import Ring
from gm2sim.plots.style import BLUE, GREEN, INK, KHZ, MM, MUTED, ORANGE, PURPLE, US, Plot, dress, legend, points
from tracking.cbo import Lifetime, Windows
from tracking.optics import Lattice
from tracking.resonance import Scan, resonance_lines

_NARROW = 0.004  # field index: marks nearer than this are written on another line
_ORDERS = {1: INK, 2: INK, 3: ORANGE, 4: BLUE, 5: MUTED}


def lattice_functions(lattice: Lattice, layout: Ring) -> Plot:
    """Beta functions and dispersion around the ring, above a strip of quads, kickers and collimators.

    Parameters
    ----------
    lattice : tracking.optics.Lattice
        At rising azimuths.
    layout : fields.ring.Ring
    """
    azimuth = np.degrees(lattice.theta)
    plot = Plot(8.4, 5.2)
    strip, *panels = plot.subplots(4, 1, sharex=True, height_ratios=[0.35, 1, 1, 1])
    _strip(strip, layout)
    curves = (
        ("radial β [m]", lattice.beta_x, BLUE),
        ("vertical β [m]", lattice.beta_y, ORANGE),
        ("dispersion [m]", lattice.dispersion, GREEN),
    )
    for axes, (label, values, colour) in zip(panels, curves, strict=True):
        dress(axes, "", label)
        axes.plot(azimuth, values, color=colour, linewidth=1.2)
    _azimuth(panels[-1])
    words = [
        f"{label.split(' [')[0]} {v.min():.3f} to {v.max():.3f} m, mean {v.mean():.3f} m" for label, v, _ in curves
    ]
    plot.describe(
        f"Lattice functions over azimuth: {'; '.join(words)}. The strip above shows where the quads are: "
        f"{100 * layout.quad_coverage:.1f} % of the ring.",
        **{"azimuth [deg]": azimuth, "beta_x [m]": lattice.beta_x, "alpha_x": lattice.alpha_x,
           "beta_y [m]": lattice.beta_y, "alpha_y": lattice.alpha_y, "dispersion [m]": lattice.dispersion,
           "phase_x [cycles]": lattice.phase_x, "phase_y [cycles]": lattice.phase_y},
    )  # fmt: skip
    return plot


def closed_orbit(lattice: Lattice, layout: Ring) -> Plot:
    """Closed orbit of the reference momentum around the ring.

    Parameters
    ----------
    lattice : tracking.optics.Lattice
    layout : fields.ring.Ring
    """
    azimuth, x, y = np.degrees(lattice.theta), lattice.x * MM, lattice.y * MM
    plot = Plot(8.4, 3.6)
    strip, axes = plot.subplots(2, 1, sharex=True, height_ratios=[0.25, 2])
    _strip(strip, layout)
    dress(axes, "", "closed orbit [mm]")
    axes.plot(azimuth, x, color=BLUE, linewidth=1.2, label="radial x")
    axes.plot(azimuth, y, color=ORANGE, linewidth=1.2, label="vertical y")
    legend(axes, ncols=2, loc="best")
    _azimuth(axes)
    plot.describe(
        f"Closed orbit of the reference momentum over azimuth: x from {x.min():.3f} to {x.max():.3f} mm, mean "
        f"{x.mean():.3f} mm; y from {y.min():.3f} to {y.max():.3f} mm, mean {y.mean():.3f} mm.",
        **{"azimuth [deg]": azimuth, "x [mm]": x, "y [mm]": y},
    )
    return plot


def tune_diagram(nu_x: float, nu_y: float, footprint: ArrayLike = (), order: int = 5) -> Plot:
    """The tune plane about a working point, with resonances, the line of smooth rings and the tunes of a beam.

    Parameters
    ----------
    nu_x, nu_y : float
        Working point: tunes of small amplitudes.
    footprint : array (n, 2)
        Tunes of the muons of a beam.
    order : int
        Highest order of resonances drawn.
    """
    muons = np.asarray(footprint, float).reshape(-1, 2)
    plot = Plot(6.4, 5.2)
    axes = dress(plot.subplots(), "radial tune", "vertical tune")
    n = np.linspace(0.06, 0.19, 200)
    axes.plot(
        np.sqrt(1 - n), np.sqrt(n), color=MUTED, linewidth=0.9, linestyle=":", label="smooth ring, n 0.06 to 0.19"
    )
    left, right, low, high = 0.905, 0.968, 0.25, 0.43
    labels: dict[float, list[str]] = {}
    lines = sorted(resonance_lines(order, 0.06, 0.19), key=lambda line: line.order)
    for number, line in enumerate(lines):
        first = number == 0 or lines[number - 1].order != line.order
        ends = np.array([left, right])
        across = (line.k - line.m * ends) / line.l if line.l else np.array([low, high])
        axes.plot(
            ends, across, color=_ORDERS.get(line.order, MUTED), linewidth=1.3 if line.order <= 3 else 0.8,
            label=f"order {line.order}" if first else None,
        )  # fmt: skip
        labels.setdefault(round(line.field_indices(0.06, 0.19)[0], 6), []).append(line.name)
    for place, names in labels.items():
        at = (np.sqrt(1 - place), np.sqrt(place))
        if left < at[0] < right - 0.006 and low < at[1] < high:
            axes.annotate(", ".join(names), at, xytext=(4, 3), textcoords="offset points", color=INK, fontsize=8)
    if len(muons):
        axes.plot(
            muons[:, 0], muons[:, 1], "o", color=GREEN, markersize=2.2, markeredgewidth=0, alpha=0.6,
            label=f"{len(muons)} muons of the beam",
        )  # fmt: skip
    axes.plot([nu_x], [nu_y], "P", color=PURPLE, markersize=8, label="working point")
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    legend(axes, loc="lower left", fontsize=8)
    spread = ""
    if len(muons):
        spread = f" The beam's tunes spread by {muons[:, 0].std():.5f} and {muons[:, 1].std():.5f} (RMS)."
    plot.describe(
        f"Tune diagram: working point radial {nu_x:.5f}, vertical {nu_y:.5f}, with resonances up to order {order} that "
        f"the smooth ring meets.{spread}",
        nu_x=np.concatenate([[nu_x], muons[:, 0]]),
        nu_y=np.concatenate([[nu_y], muons[:, 1]]),
    )
    return plot


def detuning(
    amplitude: ArrayLike, along_x: ArrayLike, along_y: ArrayLike, expected_x: ArrayLike, expected_y: ArrayLike
) -> Plot:
    """Shift of both tunes against the amplitude of one plane, the other being small.

    Parameters
    ----------
    amplitude : array (n,) [m]
        At the mean beta function.
    along_x, along_y : arrays (n, 2)
        Shifts of (nu_x, nu_y) with the radial, the vertical amplitude.
    expected_x, expected_y : arrays (n, 2)
        The same to first order in the multipoles of quads and magnet.
    """
    a = np.asarray(amplitude, float) * MM
    plot = Plot(8.4, 3.6)
    panels = plot.subplots(1, 2, sharey=True)
    columns: dict[str, ArrayLike] = {"amplitude [mm]": a}
    words = []
    for axes, plane, values, curve in zip(
        panels, ("radial", "vertical"), (along_x, along_y), (expected_x, expected_y), strict=True
    ):
        found, first = np.asarray(values, float) * 1e3, np.asarray(curve, float) * 1e3
        dress(axes, f"{plane} amplitude [mm]", "tune shift [10⁻³]" if plane == "radial" else "")
        for k, (name, colour) in enumerate((("radial", BLUE), ("vertical", ORANGE))):
            axes.plot(a, first[:, k], color=colour, linewidth=1.0)
            axes.plot(a, found[:, k], "o", color=colour, markersize=3.5, markeredgewidth=0, label=f"{name} tune")
            columns[f"{name} tune by {plane} amplitude [1e-3]"] = found[:, k]
            columns[f"{name} tune by {plane} amplitude, first order [1e-3]"] = first[:, k]
        words.append(
            f"at {a[-1]:.0f} mm {plane} amplitude the tunes shift by {found[-1, 0]:+.3f} and {found[-1, 1]:+.3f}"
        )
    panels[0].plot([], [], color=INK, linewidth=1.0, label="first order, octupole to 20-pole")
    legend(panels[0], loc="lower left", fontsize=8.5)
    plot.describe(f"Amplitude detuning, in thousandths (radial, vertical tune): {'; '.join(words)}.", **columns)
    return plot


def cbo(found: Windows, life: Lifetime, f_cbo: float) -> Plot:
    """Envelope and frequency of the coherent radial oscillation against time.

    Parameters
    ----------
    found : tracking.cbo.Windows
    life : tracking.cbo.Lifetime
    f_cbo : float [Hz]
        Of the ring's closed orbit, drawn for comparison.
    """
    t = found.time * US
    plot = Plot(8.4, 4.6)
    top, bottom = plot.subplots(2, 1, sharex=True)
    dress(top, "", "CBO amplitude [mm]")
    points(top, t, found.amplitude * MM, found.amplitude_error * MM, colour=BLUE)
    decay = np.exp(-found.time / life.tau) if np.isfinite(life.tau) else np.ones_like(t)
    fitted = f"exponential, lifetime {life.tau * US:.0f} ± {life.tau_error * US:.0f} μs"
    top.plot(t, life.amplitude * decay * MM, color=ORANGE, linewidth=1.2, label=fitted)
    top.set_ylim(0, None)
    legend(top)
    dress(bottom, "time since injection [μs]", "CBO frequency [kHz]")
    # Where little is left of the amplitude the frequency is noise, and would set the scale.
    good = found.frequency_error < 0.01 * f_cbo
    points(bottom, t[good], found.frequency[good] * KHZ, found.frequency_error[good] * KHZ, colour=BLUE)
    bottom.axhline(f_cbo * KHZ, color=ORANGE, linewidth=1.0, linestyle="--", label="closed orbit")
    legend(bottom)
    mean = np.average(found.frequency, weights=found.amplitude) * KHZ
    plot.describe(
        f"Coherent betatron oscillation: amplitude {found.amplitude[0] * MM:.2f} mm at {t[0]:.0f} us and "
        f"{found.amplitude[-1] * MM:.2f} mm at {t[-1]:.0f} us, {fitted}; frequency about "
        f"{mean:.2f} kHz, of the closed orbit {f_cbo * KHZ:.2f} kHz.",
        **{"time [μs]": t, "amplitude [mm]": found.amplitude * MM, "amplitude error [mm]": found.amplitude_error * MM,
           "frequency [kHz]": found.frequency * KHZ, "frequency error [kHz]": found.frequency_error * KHZ},
    )  # fmt: skip
    return plot


def loss_scan(scan: Scan, order: int = 5) -> Plot:
    """Losses of a stored beam and growth of its emittances against the field index, with the resonances.

    Parameters
    ----------
    scan : tracking.resonance.Scan
    order : int
        Highest order of resonances marked, where the tunes of this ring cross them.
    """
    n, lost, error = scan.field_index, 100 * scan.lost, 100 * scan.lost_error
    plot = Plot(8.4, 4.8)
    top, bottom = plot.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
    dress(top, "", f"lost in {scan.turns} turns [%]")
    # A step without a loss is not known to be zero: one muon is the smallest error drawn.
    points(top, n, lost, np.maximum(error, 100 / scan.muons), colour=BLUE, size=3.5)
    top.plot(n, lost, color=BLUE, linewidth=0.8)
    marks = scan.positions(order)
    height = 1.05 * max(float((lost + error).max()), 0.1)
    last, level = -1.0, 0
    for line, place in marks:
        level = (level + 1) % 3 if place - last < _NARROW else 0
        last = place
        for axes in (top, bottom):
            axes.axvline(place, color=_ORDERS.get(line.order, MUTED), linewidth=0.9, linestyle=":", zorder=0)
        top.text(place, height * (1.02 + 0.08 * level), line.name, color=INK, fontsize=8, ha="center", va="bottom")
    top.set_ylim(0, height)
    dress(bottom, "field index n, averaged over the ring", "action, end / start")
    bottom.plot(n, scan.growth_x, "o-", color=BLUE, markersize=3, linewidth=0.8, label="radial")
    bottom.plot(n, scan.growth_y, "o-", color=ORANGE, markersize=3, linewidth=0.8, label="vertical")
    legend(bottom, ncols=2)
    peak = int(np.argmax(lost))
    words = ", ".join(f"{line.name} at n = {place:.4f}" for line, place in marks)
    plot.describe(
        f"Losses over the field index: most, {lost[peak]:.2f} +- {error[peak]:.2f} %, at n = {n[peak]:.4f}; least "
        f"{lost.min():.2f} %. Resonances crossed: {words or 'none'}.",
        **{"voltage [kV]": scan.voltage * 1e-3, "n": n, "nu_x": scan.nu_x, "nu_y": scan.nu_y, "lost [%]": lost,
           "error [%]": error, "radial action ratio": scan.growth_x, "vertical action ratio": scan.growth_y},
    )  # fmt: skip
    return plot


def _strip(axes: Axes, layout: Ring) -> None:
    """Quads, kickers and collimators along the azimuth."""
    for elements, colour, name in ((layout.quads, ORANGE, "quads"), (layout.kickers, BLUE, "kickers")):
        spans: Sequence[tuple[float, float]] = [(one.theta_start, one.theta_end) for one in elements]
        for start, end in spans:
            left, width = np.degrees(start), np.degrees(end - start)
            axes.add_patch(Rectangle((left, 0.15), width, 0.7, facecolor=colour, linewidth=0, alpha=0.75))
        axes.plot([], [], "s", color=colour, alpha=0.75, label=name)
    places: NDArray[np.float64] = np.degrees([one.theta for one in layout.collimators])
    axes.vlines(places, 0.0, 1.0, color=INK, linewidth=1.2, label="collimators")
    axes.set_ylim(0, 1)
    axes.axis("off")
    legend(axes, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8.5, borderaxespad=0.1)


def _azimuth(axes: Axes) -> None:
    axes.set_xlabel("azimuth from the inflector exit [deg]", color=INK, fontsize=10)
    axes.set_xlim(0, 360)
    axes.set_xticks(np.arange(0, 361, 45))
