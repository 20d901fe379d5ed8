"""The laser: its pulses before and inside fills, the gain that it measures, and the sources at its monitors."""

import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from canvas import HALO, OFF, ON, panels, picture
from numpy.typing import NDArray

from detectors.americium import AmericiumSettings
from detectors.laser import in_fill_times
from gm2sim.calibration import Calibration
from gm2sim.calibration_fills import SOURCE_CHANNEL, calibration_fill
from gm2sim.config import Config, load
from gm2sim.electronics import laser_settings
from gm2sim.laser import LaserGains, laser_gains
from gm2sim.plots.calorimeter import island_waveforms
from gm2sim.plots.style import INK, MUTED, ORANGE, Plot, dress, legend, points
from gm2sim.raw import open_run
from gm2sim.run import run
from gm2sim.setup import Setup
from gm2sim.timeline import FILLS_PER_CYCLE, FillType, fill_time, since_readout
from gpu.rng import FillKey

_FILLS = 16
_READOUTS = 20
_SHOWN = 5  # whose pulses are drawn
_SETTINGS = {
    "run.fills": _FILLS, "run.subruns": 1, "beam.muons_per_fill": 40, "tracking.fill_duration_us": 680.0,
    "laser.in_fill_every": 1, "laser.fill_every": 4, "daq.calo_sum": False, "daq.q_method": False,
    "sipm.temperature": False, "daq.pedestal_every": 0,
}  # fmt: skip


class _Run(NamedTuple):
    config: Config
    gains: LaserGains
    island: NDArray[np.int16]  # of the sync pulse in calorimeter 7, (54, samples)
    pedestals: NDArray[np.float32]
    time: float  # of its first sample [s]
    calibration: Calibration


@cache
def _measured(sag: bool) -> _Run:
    """Sixteen fills with few muons and the laser inside each, and fills of the laser."""
    config = load("gasgun", _SETTINGS | {"sipm.gain_sag": sag})
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "out"
        run(config, out, report=False)
        (path,) = out.glob("*.mid")
        raw = open_run(path)
        known = Calibration.from_odb(raw.odb)
        event = next(iter(raw))
        island = event.islands(7)[0]
        at = known.sample_period * (island.time - known.zero_sample)
        return _Run(config, laser_gains(path), island.samples.copy(), event.pedestals(7).copy(), at, known)


@picture
def laser_sync() -> Plot:
    """The island of the pulse before a fill in all crystals of a calorimeter."""
    found = _measured(True)
    return island_waveforms(
        found.island, time=found.time, sample_period=1.25e-9, counts_per_gev=found.calibration.counts_per_gev[6],
        pedestals=found.pedestals,
    )  # fmt: skip


@picture
def laser_pattern() -> Plot:
    """When the laser fires inside fills."""
    plot, axes = panels(8.4, 3.0, 1)
    found = _measured(True)
    settings = laser_settings(found.config)
    dress(axes[0], "time since injection [μs]", "fill with pulses inside, of 16")
    for k in range(settings.steps):
        times = in_fill_times(settings, k, 679e-6)
        axes[0].plot(1e6 * times, np.full(times.size, k), "o", color=OFF, markersize=7, markeredgewidth=0,
                     label="as configured" if k == 0 else None)  # fmt: skip
    fill = np.unique(found.gains.fill[found.gains.inside], return_inverse=True)[1]
    axes[0].plot(1e6 * found.gains.time[found.gains.inside], fill, ".", color=ON, markersize=6, markeredgewidth=0,
                 label="found in the raw file; the column at −0.5 μs is the sync pulse")  # fmt: skip
    axes[0].set_ylim(-0.8, 18.5)
    axes[0].set_yticks([0, 5, 10, 15])
    legend(axes[0], fontsize=8, ncols=2, loc="upper left")
    return plot


@picture
def laser_gain() -> Plot:
    """Gain that the pulses inside fills measure, beside the sag as configured."""
    plot, axes = panels(8.4, 3.3, 2, width_ratios=[1.6, 1])
    dress(axes[0], "time since injection [μs]", "mean gain of 1296 crystals", "pulses inside 16 fills")
    dress(axes[1], "time since injection [μs]", "measured less configured [10⁻³]", "difference")
    for sag, colour, label in ((False, OFF, "sipm.gain_sag = false"), (True, ON, "true")):
        found = _measured(sag)
        gains = found.gains
        inside = gains.inside & (gains.time > 0.0)
        # The temperature is off, so that the gain at rest is 1.
        ratio = gains.gain[inside].reshape(inside.sum(), -1)
        mean = np.nanmean(ratio, axis=1)
        error = np.nanstd(ratio, axis=1) / np.sqrt(ratio.shape[1])
        time = gains.time[inside]
        points(axes[0], 1e6 * time, mean, error, colour=colour, size=HALO if not sag else 3.4, label=label)
        expected = _expected(found, time)
        points(axes[1], 1e6 * time, 1e3 * (mean - expected), 1e3 * error, colour=colour, size=3.8)
        if sag:
            fine = np.geomspace(3e-6, 680e-6, 200)
            axes[0].plot(1e6 * fine, _expected(found, fine), color=ORANGE, linewidth=0.9, label="as configured")
    axes[1].axhline(0.0, color=INK, linewidth=0.6)
    for panel in axes:
        panel.set_xscale("log")
    axes[0].axvline(30.0, color=MUTED, linewidth=0.7, linestyle=":")
    legend(axes[0], fontsize=8, loc="lower right")
    return plot


@picture
def laser_sources() -> Plot:
    """Pulses of the sources at the monitors of the laser, in asynchronous readouts of an empty run."""
    plot, axes = panels(8.4, 3.1, 2, width_ratios=[1, 1.5])
    config = load("gasgun", {"daq.async_every": FILLS_PER_CYCLE})
    setup = Setup.of(config)
    dress(axes[0], "time since the trigger [ns]", "ADC counts", "pulses of head 1: of one readout")
    dress(axes[1], "time since the begin of run [s]", "above the presamples [counts]", f"of {_READOUTS} readouts")
    for readout in range(_READOUTS):
        fill = FILLS_PER_CYCLE * (readout + 1) - 1
        when = fill_time(config, fill, FillType.ASYNCHRONOUS)
        (found,) = calibration_fill(setup, when, FillKey(config.run.seed, config.run.run, 0, fill)).asynchronous
        before = found.presamples
        samples = found.samples.reshape(found.time.size, -1)[found.channel == SOURCE_CHANNEL]
        period = setup.calorimeters.digitizer.sample_period
        late = when.since_begin - since_readout(config, when) + period * found.time[found.channel == SOURCE_CHANNEL]
        if readout == _SHOWN:
            axes[0].plot(1e9 * period * (np.arange(samples.shape[1]) - before), samples.T, color=ON, linewidth=0.8)
        axes[1].plot(late, samples.max(axis=1) - samples[:, :before].mean(axis=1), "o", color=ON, markersize=3,
                     markeredgewidth=0, label="highest sample" if readout == 0 else None)  # fmt: skip
    axes[1].axhline(AmericiumSettings().height, color=ORANGE, linewidth=0.9, label="mean height as configured")
    axes[1].set_ylim(0.0, None)
    legend(axes[1], fontsize=8, loc="lower right")
    return plot


def _expected(found: _Run, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean gain as configured: flash, and what the pulse before it has left (the sync pulse, or one 320 us before)."""
    known = Setup.of(found.config).constants
    flash = known.flash_amplitude[..., None] * np.exp(-time / known.flash_time[..., None])
    drop = (known.drop_per_gev * known.laser_light)[..., None]
    laser = found.config.laser
    since = time - 1e-6 * laser.sync_us
    sag = flash + drop * np.exp(-since / known.drop_time[..., None])
    return np.asarray(1.0 - sag.mean(axis=(0, 1)))
