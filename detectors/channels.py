"""Constants of every crystal channel, and how the built-in ones are drawn."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.gain import GainConstants, GainSettings
from detectors.laser import LaserSettings, crystal_light
from detectors.sampling import DigitizerSettings
from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.sipm import SipmSettings
from gpu.kernel import Kernel
from gpu.rng import Stage, normal2

Floats = NDArray[np.float64]

CHANNELS = CALORIMETERS * CRYSTALS
_PAIRS = 8  # of normal numbers a channel


class ChannelStatus(IntEnum):
    """Fate of a channel; what a file of conditions writes as a number."""

    GOOD = 0
    DEAD = 1  # pedestal and noise, no pulses
    NOISY = 2  # opens no islands, as a channel that is masked in the front end


class ChannelConstants(NamedTuple):
    """Constants of every crystal channel, as a calibration would know them: arrays of shape (24, 54).

    Attributes
    ----------
    counts_per_gev
        Height of the pulse of 1 GeV in a SiPM of endless pixels [counts/GeV].
    pedestal, even_odd
        Mean of the empty channel; pedestal of even samples minus that of odd samples [counts].
    flash_amplitude, flash_time, drop_per_gev, drop_time, missing_per_gev, recovery_time, out_of_fill
        See `detectors.gain.GainConstants` [s, 1/GeV].
    light_yield
        Photoelectrons per GeV [1/GeV].
    rise_time, fall_time, laser_rise_time, laser_fall_time
        Shape of the pulses of particles and of the laser [s].
    calo_offset, xtal_offset
        Their sum is how much later than the light the channel shows a pulse [s].
    status
        A `ChannelStatus`.
    noise_factor
        Noise over that of the settings.
    laser_light
        Light of the laser's mean pulse, as the energy of a positron that makes as much [GeV].
    """

    counts_per_gev: Floats
    pedestal: Floats
    even_odd: Floats
    flash_amplitude: Floats
    flash_time: Floats
    drop_per_gev: Floats
    drop_time: Floats
    missing_per_gev: Floats
    recovery_time: Floats
    out_of_fill: Floats
    light_yield: Floats
    rise_time: Floats
    fall_time: Floats
    laser_rise_time: Floats
    laser_fall_time: Floats
    calo_offset: Floats
    xtal_offset: Floats
    status: Floats
    noise_factor: Floats
    laser_light: Floats

    @property
    def time_offset(self) -> Floats:
        """How much later than the light a channel shows a pulse [s]."""
        return np.asarray(self.calo_offset + self.xtal_offset)

    def gains(self, pixels: float) -> GainConstants:
        """Constants of the gain, flat, for SiPMs of so many pixels."""
        taken = {name: getattr(self, name).ravel() for name in GainConstants._fields if name != "saturation"}
        return GainConstants(**taken, saturation=pixels / self.light_yield.ravel())


@Kernel
def _constants_step(i: int, seed: int, stage: int, normals: Floats) -> None:
    for draw in range(_PAIRS):
        normals[i, 2 * draw], normals[i, 2 * draw + 1] = normal2(seed, 0, 0, 0, stage, i, draw)


def _log_normal(mean: float, spread: float, normal: Floats) -> Floats:
    """Positive numbers of a mean and a relative spread; exactly the mean without spread."""
    if spread == 0.0:
        return np.full_like(normal, mean)
    variance = math.log1p(spread**2)
    return np.asarray(mean * np.exp(math.sqrt(variance) * normal - 0.5 * variance))


def channel_constants(
    settings: DigitizerSettings | None = None,
    sipm: SipmSettings | None = None,
    gain: GainSettings | None = None,
    laser: LaserSettings | None = None,
    kelvin: float = 0.0,
) -> ChannelConstants:
    """Draw the constants of all channels; the same for every run with the same `constants_seed`.

    Scales follow log-normal distributions of the given means and spreads, so that none is negative. An effect
    that is off has neutral constants and leaves those of all others as they are.

    Parameters
    ----------
    settings
        Gains, pedestals, offsets, noise, dead and noisy channels.
    sipm
        Light yield and pulse shape.
    gain
        Effects on the gain.
    laser
        Its light.
    kelvin
        Temperature above that of the calibration [K].
    """
    settings, sipm, gain = settings or DigitizerSettings(), sipm or SipmSettings(), gain or GainSettings()
    drawn = np.zeros((CHANNELS + CALORIMETERS, 2 * _PAIRS))
    _constants_step(len(drawn), settings.constants_seed, int(Stage.PEDESTAL), drawn)
    normal = drawn[:CHANNELS].T.reshape(2 * _PAIRS, CALORIMETERS, CRYSTALS)
    light_yield = _log_normal(sipm.light_yield, sipm.light_yield_spread, normal[9])
    status, noise_factor = _bad_channels(settings, normal[15])
    per_kelvin = gain.per_kelvin * (1.0 + gain.per_kelvin_spread * normal[8])
    constants = ChannelConstants(
        counts_per_gev=_log_normal(settings.counts_per_gev, settings.gain_spread, normal[0]),
        pedestal=settings.pedestal + settings.pedestal_spread * normal[1],
        even_odd=settings.even_odd_spread * normal[2],
        flash_amplitude=np.minimum(_log_normal(gain.flash_amplitude, gain.spread, normal[4]), 0.9) * gain.sag,
        flash_time=_log_normal(gain.flash_time, gain.flash_time_spread, normal[5]),
        drop_per_gev=_log_normal(gain.drop_per_gev, gain.spread, normal[6]) * gain.sag,
        drop_time=_log_normal(gain.drop_time, gain.spread, normal[7]),
        missing_per_gev=light_yield / sipm.pixels * gain.double_pulse,
        recovery_time=_log_normal(gain.recovery_time, gain.recovery_spread, normal[3]),
        out_of_fill=np.clip(1.0 + per_kelvin * kelvin * gain.temperature, 0.1, 10.0),
        light_yield=light_yield,
        rise_time=_log_normal(sipm.rise_time, sipm.shape_spread, normal[10]),
        fall_time=_log_normal(sipm.fall_time, sipm.shape_spread, normal[11]),
        laser_rise_time=_log_normal(sipm.laser_rise_time, sipm.shape_spread, normal[12]),
        laser_fall_time=_log_normal(sipm.laser_fall_time, sipm.shape_spread, normal[13]),
        calo_offset=np.repeat(settings.calo_offset_spread * drawn[CHANNELS:, 14:15], CRYSTALS, axis=1),
        xtal_offset=settings.xtal_offset_spread * normal[14],
        status=status,
        noise_factor=noise_factor,
        laser_light=crystal_light(laser or LaserSettings()),
    )
    for array in constants:
        array.flags.writeable = False
    return constants


def _bad_channels(settings: DigitizerSettings, normal: Floats) -> tuple[Floats, Floats]:
    """Status and noise of the channels: those with the smallest numbers are dead, the next ones noisy."""
    rank = np.argsort(np.argsort(normal, axis=None)).reshape(normal.shape)
    dead = rank < settings.dead_channels
    noisy = ~dead & (rank < settings.dead_channels + settings.noisy_channels)
    status = np.where(dead, ChannelStatus.DEAD, np.where(noisy, ChannelStatus.NOISY, ChannelStatus.GOOD))
    return status.astype(np.float64), np.where(noisy, settings.noisy_factor, 1.0)
