"""From light to the height of a pulse: light yields, sag, double pulses, temperature, saturation."""

from dataclasses import replace

import numpy as np
from canvas import (
    HALO,
    KEY,
    OFF,
    ON,
    as_read,
    calibration,
    digitised,
    equal_pulses,
    fitted,
    mean_and_error,
    near,
    panels,
    picture,
    setup,
    steps,
)
from matplotlib.axes import Axes
from numpy.typing import NDArray

from detectors.calorimeter import light_of, whole_waveforms
from gm2sim.electronics import middle_of
from gm2sim.plots.style import MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.reco import fit_fill
from gm2sim.setup import Setup

_ENERGY = 2.0  # of the equal pulses [GeV]


@picture
def light_yields() -> Plot:
    """Photoelectrons of 1 GeV in all crystals, and the scatter of the heights that follows."""
    plot, axes = panels(8.4, 3.1, 2)
    edges = np.linspace(900.0, 2000.0, 56)
    dress(axes[0], "photoelectrons of 1 GeV", "crystals per 20", "one pulse in each crystal")
    dress(
        axes[1], "light yield of the crystal [1/GeV]", "RMS of 40 pulses of 1 GeV [%]", "resolution of single crystals"
    )
    for on, colour in ((False, OFF), (True, ON)):
        here = setup(sipm__light_yields=on)
        light = light_of(equal_pulses(1e-6 + 1e-6 * np.arange(40), 1.0), KEY, here.calorimeters, here.constants)
        label = f"sipm.light_yields = {'true' if on else 'false'}"
        steps(axes[0], edges, np.histogram(light.photoelectrons[:1296], edges)[0], colour, label)
        energy = light.energy.reshape(40, -1)
        rms = 100.0 * energy.std(axis=0, ddof=1) / energy.mean(axis=0)
        axes[1].plot(here.constants.light_yield.ravel(), rms, ".", color=colour, markersize=3.0, markeredgewidth=0)
    fine = np.linspace(950.0, 1950.0, 50)
    axes[1].plot(fine, 100.0 / np.sqrt(fine), color=ORANGE, linewidth=1.2, label="1/√n")
    axes[0].set_ylim(0.0, 1.2 * axes[0].get_ylim()[1])
    legend(axes[0], fontsize=8, loc="upper right")
    legend(axes[1], fontsize=8)
    return plot


@picture
def gain_sag() -> Plot:
    """Equal pulses through the fill and in a burst, with the sag corrected or not."""
    plot, axes = panels(8.4, 3.2, 2)
    off, on = setup(sipm__gain_sag=False), setup(sipm__gain_sag=True)
    times = 1e-6 * np.array([1.0, 2, 4, 7, 11, 16, 22, 30, 45, 70, 120, 250, 600])
    dress(axes[0], "time since injection [μs]", "found over true energy", "flash of the injection: one pulse a fill")
    dress(axes[1], "time since injection [μs]", "found over true energy", "true rate: 40 pulses of 2 GeV, 1 μs apart")
    burst = 200e-6 + 1e-6 * np.arange(40)
    after = np.array([245e-6, 255e-6, 275e-6, 300e-6])
    train = np.concatenate([burst, after])
    for here, corrected, colour, label in (
        (off, False, OFF, "gain_sag = false"),
        (on, False, ORANGE, "true, not corrected"),
        (on, True, ON, "true, corrected"),
    ):
        found = []
        for k, time in enumerate(times):
            key = KEY._replace(fill=k)
            (one,) = near(fitted(equal_pulses([time], _ENERGY), here, corrected=corrected, key=key), np.array([time]))
            found.append(mean_and_error(one.energy / _ENERGY))
        mean, error = np.array(found).T
        points(axes[0], 1e6 * times, mean, error, colour=colour, size=HALO if colour == OFF else 3.4, label=label)
        pulses = fitted(equal_pulses(train, _ENERGY), here, corrected=corrected)
        mean, error = np.array([mean_and_error(one.energy / _ENERGY) for one in near(pulses, train)]).T
        points(axes[1], 1e6 * train, mean, error, colour=colour, size=5.0 if colour == OFF else 2.6, label=label)
    known = on.constants
    fine = np.geomspace(0.8e-6, 700e-6, 200)
    sag = known.flash_amplitude[..., None] * np.exp(-fine / known.flash_time[..., None])
    # Who does not know of the sag takes a pulse that is lower for one that has fired fewer pixels.
    full = (on.calorimeters.sipm.pixels / known.light_yield)[..., None]
    lower = -full / _ENERGY * np.log1p((1.0 - sag) * np.expm1(-_ENERGY / full))
    axes[0].plot(
        1e6 * fine, lower.mean(axis=(0, 1)), color=ORANGE, linewidth=0.9, linestyle="--", label="as configured"
    )
    axes[0].set_xscale("log")
    axes[1].set_ylim(None, 1.008)
    legend(axes[0], fontsize=8, loc="lower right")
    legend(axes[1], fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.1))
    return plot


@picture
def double_pulses() -> Plot:
    """Height of a second pulse against its distance from the first."""
    plot, axes = panels(8.4, 3.1, 1)
    off, on = setup(sipm__double_pulse=False), setup(sipm__double_pulse=True)
    apart = 1e-9 * np.array([7.5, 10, 12.5, 15, 20, 25, 30, 40, 50, 65, 80, 100])
    first = 20e-6 + 5e-6 * np.arange(apart.size)
    order = np.argsort(np.concatenate([first, first + apart]), kind="stable")
    time = np.concatenate([first, first + apart])[order]
    energy = np.concatenate([np.full(apart.size, 3.0), np.full(apart.size, 1.0)])[order]
    dress(axes[0], "separation [ns]", "second pulse, found over true energy", "1 GeV behind 3 GeV in one crystal")
    for here, corrected, colour, label in (
        (off, False, OFF, "sipm.double_pulse = false"),
        (on, False, ORANGE, "true, not corrected"),
        (on, True, ON, "true, corrected"),
    ):
        pulses = fitted(equal_pulses(time, energy), here, corrected=corrected)
        found = [mean_and_error(one.energy) for one in near(pulses, first + apart, 1.5e-9)]
        mean, error = np.array(found).T
        points(axes[0], 1e9 * apart, mean, error, colour=colour, size=HALO if colour == OFF else 3.6, label=label)
    known = on.constants
    fine = np.linspace(5e-9, 100e-9, 100)
    taken = 3.0 * known.missing_per_gev[..., None] * np.exp(-fine / known.recovery_time[..., None])
    axes[0].plot(1e9 * fine, 1.0 - taken.mean(axis=(0, 1)), color=ORANGE, linewidth=0.9, linestyle="--",
                 label="as configured")  # fmt: skip
    legend(axes[0], fontsize=8, loc="lower right")
    return plot


@picture
def temperature() -> Plot:
    """Gain of the subruns of a day, and pulses with it."""
    plot, axes = panels(8.4, 3.1, 2)
    hours, fills = 24, 1_036_800
    dress(axes[0], "time since begin of run [h]", "gain over that of the calibration", "oof_correction, mean and RMS")
    dress(axes[1], "time since begin of run [h]", "found over true energy", "one pulse of 2 GeV in each crystal")
    for on, colour in ((False, OFF), (True, ON)):
        day = setup(sipm__temperature=on, run__fills=fills, run__subruns=hours)
        time = np.array([middle_of(day.config, subrun) for subrun in range(hours)]) / 3600.0
        gain = np.array([day.in_subrun(subrun).constants.out_of_fill.ravel() for subrun in range(hours)])
        label = f"sipm.temperature = {'true' if on else 'false'}"
        axes[0].plot(time, gain.mean(axis=1), "o-", color=colour, markersize=2.5, linewidth=0.9, label=label)
        axes[0].fill_between(time, gain.mean(axis=1) - gain.std(axis=1), gain.mean(axis=1) + gain.std(axis=1),
                             color=colour, alpha=0.15, linewidth=0)  # fmt: skip
        for corrected, shade, words in ((False, ORANGE, "true, not corrected"), (True, ON, "true, corrected")):
            if on:
                _through_the_day(axes[1], day, time, corrected, shade, words)
            elif not corrected:
                _through_the_day(axes[1], day, time, corrected, OFF, "temperature = false")
    for panel in axes:
        panel.set_xlim(0.0, 24.0)
        legend(panel, fontsize=8)
    return plot


def _through_the_day(
    axes: Axes, day: Setup, time: NDArray[np.float64], corrected: bool, colour: str, label: str
) -> None:
    found = []
    some = np.arange(1, time.size, 3)
    for subrun in some:
        pulses = fitted(equal_pulses([300e-6], _ENERGY), day.in_subrun(int(subrun)), corrected=corrected,
                        key=KEY._replace(subrun=int(subrun)))  # fmt: skip
        found.append(mean_and_error(pulses.energy / _ENERGY))
    mean, error = np.array(found).T
    points(axes, time[some], mean, error, colour=colour, size=HALO if colour == OFF else 3.4, label=label)


@picture
def saturation_and_clipping() -> Plot:
    """Height of pulses against their light, and the waveform of one that clips."""
    plot, axes = panels(8.4, 3.1, 2)
    here = setup(sipm__double_pulse=False)
    energies = np.array([0.5, 1, 2, 3, 4, 5, 6, 7, 8])
    dress(axes[0], "light in one crystal [GeV]", "found over true energy", "few pixels, 12 bits")
    times = 20e-6 + 20e-6 * np.arange(energies.size)
    known = calibration(here)
    for saturation, colour, label in ((np.inf, ORANGE, "pixels not corrected"), (known.saturation, ON, "corrected")):
        pulses = fit_fill(
            as_read(digitised(equal_pulses(times, energies), here)), replace(known, saturation=saturation)
        )
        found = [mean_and_error(one.energy / energy) for one, energy in zip(near(pulses, times), energies, strict=True)]
        mean, error = np.array(found).T
        points(axes[0], energies, mean, error, colour=colour, size=HALO if colour == OFF else 3.6, label=label)
    fine = np.linspace(0.3, 8.0, 50)
    full = here.calorimeters.sipm.pixels / here.constants.light_yield.flat[0]
    axes[0].plot(fine, -full / fine * np.expm1(-fine / full), color=MUTED, linewidth=0.9, linestyle="--",
                 label="57344 pixels")  # fmt: skip
    legend(axes[0], fontsize=8, loc="lower left")
    _clipped(axes[1], here)
    return plot


def _clipped(axes: Axes, here: Setup) -> None:
    times = 1e-6 * np.array([1.0, 2.0, 3.0])
    dress(axes, "time since the pulse began [ns]", "sample [ADC counts]", "one crystal")
    (samples,) = whole_waveforms(equal_pulses(times, [3.0, 6.0, 9.0]), KEY, here.calorimeters, here.constants, [30])
    period = here.calorimeters.digitizer.sample_period
    for time, energy, colour in zip(times, (3, 6, 9), (OFF, ORANGE, ON), strict=True):
        first = int(time / period) + here.calorimeters.digitizer.zero_sample - 4
        piece = samples[first : first + 28]
        axes.plot(1e9 * period * (np.arange(28) - 4), piece, "o-", color=colour, markersize=2.5, linewidth=0.9,
                  label=f"{energy} GeV")  # fmt: skip
    axes.axhline(-2048, color=MUTED, linewidth=0.8, linestyle="--", label="lowest code, −2048")
    legend(axes, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.1))
