"""From pulses to samples: templates, time offsets, the clock, noise, pedestals, dead and noisy channels."""

import numpy as np
from canvas import HALO, KEY, OFF, ON, equal_pulses, fitted, mean_and_error, near, panels, picture, setup, steps
from matplotlib.axes import Axes

from detectors.calorimeter import short_waveforms, whole_waveforms
from detectors.digitizer import pulse_table
from detectors.laser import fire, laser_deposits
from gm2sim.plots.style import INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.setup import Setup

_PERIOD = 1.25  # of a sample [ns]


def _shapes(here: Setup, laser: bool) -> tuple[np.ndarray, np.ndarray]:
    """Times [ns] and the pulses of all channels, (1296, n)."""
    shape = pulse_table(here.calorimeters.sipm, here.calorimeters.digitizer, here.constants)
    time = np.linspace(0.0, 14.0, 200)
    some = slice(1296, None) if laser else slice(0, 1296)
    age = time / _PERIOD
    rise, fall, height = (column[some, None] for column in shape[:3])
    return time, (1.0 - np.exp(-age / rise)) ** 3 * np.exp(-age / fall) / height


@picture
def templates() -> Plot:
    """Pulses of particles and of the laser in several channels, and what is different between channels."""
    plot, axes = panels(8.4, 3.2, 2)
    on, off = setup(detectors__templates=True), setup(detectors__templates=False)
    dress(
        axes[0], "time since the pulse began [ns]", "height over that of the peak", "12 channels, with their templates"
    )
    for laser, colour, label in ((False, ON, "particles"), (True, ORANGE, "laser")):
        time, pulses = _shapes(on, laser)
        for k, one in enumerate(pulses[::108]):
            axes[0].plot(time, one, color=colour, linewidth=0.7, label=label if k == 0 else None)
    dress(axes[1], "time since the pulse began [ns]", "less the pulse of the mean channel", "54 channels, particles")
    time, mean = _shapes(off, False)
    for here, colour, label in ((on, ON, "detectors.templates = true"), (off, OFF, "false: all the same")):
        _, pulses = _shapes(here, False)
        for k, one in enumerate(pulses[:54] - mean[0]):
            axes[1].plot(time, one, color=colour, linewidth=0.6, label=label if k == 0 else None)
    axes[1].set_ylim(-0.06, 0.06)
    legend(axes[0], fontsize=8)
    legend(axes[1], fontsize=8)
    return plot


@picture
def time_alignment() -> Plot:
    """Time of one flash of light in all channels before and after the correction."""
    plot, axes = panels(8.4, 3.1, 2, width_ratios=[2.2, 1])
    off, on = setup(detectors__time_alignment=False), setup(detectors__time_alignment=True)
    at = 10e-6
    dress(axes[0], "channel, 54 (calorimeter − 1) + crystal", "time found less true [ns]", "one pulse of 2 GeV in all")
    dress(axes[1], "time found less true [ns]", "crystals per 0.02 ns", "near 0")
    edges = np.linspace(-0.3, 0.3, 31)
    for here, bare, colour, label in (
        (on, True, ORANGE, "true, not corrected"),
        (off, False, OFF, "time_alignment = false"),
        (on, False, ON, "true, corrected"),
    ):
        pulses = fitted(equal_pulses([at], 2.0), here, corrected=True, bare=bare)
        late = 1e9 * (pulses.time - at)
        channel = 54 * pulses.calo + pulses.crystal
        rms = f"{late.std():.2f} ns" if bare else f"{1e3 * late.std():.0f} ps"
        axes[0].plot(channel, late, ".", color=colour, markersize=2.5, markeredgewidth=0, label=f"{label}: RMS {rms}")
        steps(axes[1], edges, np.histogram(late, edges)[0], colour, "", "-" if colour != ON else "--")
    axes[0].set_ylim(-8.5, 8.5)
    legend(axes[0], fontsize=8, ncols=2, markerscale=3)
    return plot


@picture
def clock() -> Plot:
    """Times in the fill with a detuned clock, by somebody who does not know its frequency and by somebody who does."""
    plot, axes = panels(8.4, 3.1, 1)
    times = 1e-6 * np.array([5.0, 50, 100, 200, 300, 400, 500, 600, 690])
    dress(axes[0], "time since injection [μs]", "time found less true [ns]", "a clock 20 ppm fast")
    fast, right = setup(detectors__clock_ppm=20.0), setup(detectors__clock_ppm=0.0)
    for here, knows, colour, label in (
        (right, False, OFF, "detectors.clock_ppm = 0"),
        (fast, False, ORANGE, "20, nominal frequency (before unblinding)"),
        (fast, True, ON, "20, true frequency (true_clock=True)"),
    ):
        digitizer = here.calorimeters.digitizer
        pulses = fitted(equal_pulses(times, 2.0), here, corrected=True)
        factor = digitizer.true_period / digitizer.sample_period if knows else 1.0
        shown = times * digitizer.sample_period / digitizer.true_period
        pairs = zip(near(pulses, shown), times, strict=True)
        found = [mean_and_error(1e9 * (one.time * factor - time)) for one, time in pairs]
        mean, error = np.array(found).T
        points(axes[0], 1e6 * times, mean, error, colour=colour, size=HALO if colour == OFF else 3.6, label=label)
    axes[0].plot([0, 700], [0, 14.0], color=ORANGE, linewidth=0.9, linestyle="--", label="20 ppm of the time")
    legend(axes[0], fontsize=8)
    return plot


@picture
def noise() -> Plot:
    """Quiet neighbours with white noise alone and with noise that they share."""
    plot, axes = panels(8.4, 3.4, 3, width_ratios=[1, 1, 0.8])
    crystals = np.array([21, 22, 30, 31])
    scatter = axes[2]
    dress(scatter, "crystal 21 [counts]", "crystal 22 [counts]", "shifted by ∓15 counts")
    for panel, common, colour in ((axes[0], 0.0, OFF), (axes[1], 3.0, ON)):
        here = setup(detectors__common_noise_counts=common, detectors__threshold_mev=80.0)
        samples = whole_waveforms(equal_pulses([], []), KEY, here.calorimeters, here.constants, crystals)
        level = samples - samples.mean(axis=1, keepdims=True)
        dress(panel, "time since injection [ns]", "sample less pedestal, shifted [counts]" if common == 0.0 else "",
              f"common_noise_counts = {common:g}")  # fmt: skip
        for k, one in enumerate(level):
            panel.plot(_PERIOD * np.arange(120), one[800:920] + 25.0 * k, color=colour, linewidth=0.8)
            panel.text(151, 25.0 * k, str(crystals[k]), color=MUTED, fontsize=8, va="center", clip_on=False)
        panel.set_xlim(0, 150)
        panel.set_ylim(-20, 98)
        together = np.corrcoef(level[:2])[0, 1]
        shift = -15.0 if common == 0.0 else 15.0
        scatter.plot(
            level[0, :400] + shift, level[1, :400], ".", color=colour, markersize=2.5, markeredgewidth=0,
            label=f"correlation {together:.2f}",
        )  # fmt: skip
    scatter.set_ylim(-22, 30)
    legend(scatter, fontsize=8, markerscale=4)
    return plot


@picture
def even_odd() -> Plot:
    """Pedestals of even and odd samples of the channels of a calorimeter."""
    plot, axes = panels(8.4, 3.1, 2)
    here = setup()
    crystals = np.arange(54)
    samples = whole_waveforms(equal_pulses([], []), KEY, here.calorimeters, here.constants, crystals).astype(np.float64)
    even, odd = samples[:, ::2], samples[:, 1::2]
    found = even.mean(axis=1) - odd.mean(axis=1)
    error = np.hypot(even.std(axis=1), odd.std(axis=1)) / np.sqrt(even.shape[1])
    dress(axes[0], "crystal of calorimeter 1", "even less odd samples [counts]", "one fill without pulses")
    axes[0].plot(crystals, here.constants.even_odd[0], "_", color=ORANGE, markersize=7, label="constant, calo_pedestal")
    points(axes[0], crystals, found, error, colour=ON, size=3.0, label="measured")
    legend(axes[0], fontsize=8)
    worst = int(np.argmax(np.abs(found)))
    dress(axes[1], "sample [counts]", "share of samples [%]", f"crystal {worst}")
    middle = round(float(samples[worst].mean()))
    edges = np.arange(middle - 18, middle + 19) - 0.5
    for some, colour, label in ((even, ON, "even samples"), (odd, ORANGE, "odd samples")):
        steps(axes[1], edges, 100.0 * np.histogram(some[worst], edges)[0] / some.shape[1], colour, label)
    axes[1].ticklabel_format(axis="x", useOffset=False)
    legend(axes[1], fontsize=8)
    return plot


@picture
def bad_channels() -> Plot:
    """Noise and height of a pulse of the laser in all channels."""
    plot, axes = panels(8.4, 3.2, 2, sharey=True)
    for panel, on in zip(axes, (False, True), strict=True):
        here = setup(detectors__channel_status=on)
        _noise_and_height(panel, here)
        panel.set_title(f"detectors.channel_status = {'true' if on else 'false'}", color=INK, fontsize=10.5, loc="left")
    axes[1].set_ylabel("")
    return plot


def _noise_and_height(axes: Axes, here: Setup) -> None:
    pulses = fire([0.25e-6], here.calorimeters.laser, KEY)
    deposits = laser_deposits(pulses, here.constants.laser_light)
    first = here.calorimeters.digitizer.zero_sample
    samples = short_waveforms(deposits, np.array([first]), 400, KEY, here.calorimeters, here.constants)
    quiet = samples[..., 0, :190].astype(np.float64)
    height = quiet.mean(axis=2) - samples[..., 0, :].min(axis=2)
    dress(axes, "RMS of 190 samples [counts]", "height of a pulse of the laser [counts]")
    status = here.constants.status
    for kind, label, colour, marker in ((0, "good", OFF, "."), (1, "dead", ORANGE, "v"), (2, "noisy", ON, "D")):
        some = status == kind
        if some.any():
            axes.plot(quiet.std(axis=2)[some], height[some], marker, color=colour, markersize=3 if kind == 0 else 6,
                      linestyle="", markeredgewidth=0, label=f"{some.sum()} {label}")  # fmt: skip
    axes.set_xlim(3.0, 14.0)
    legend(axes, fontsize=8)
