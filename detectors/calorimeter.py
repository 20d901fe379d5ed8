"""The 24 calorimeters in one fill: from the light in the crystals to what the front end writes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.digitizer import (
    ChannelConstants,
    DigitizerSettings,
    Pulses,
    Shape,
    channel_constants,
    digitiser_pulses,
    opens_islands,
    pulse_table,
    synthesise,
)
from detectors.gain import GainSettings
from detectors.islands import Islands, chop
from detectors.laser import LaserSettings
from detectors.shower import CALORIMETERS, CRYSTALS, CrystalDeposits, ShowerSettings
from detectors.sipm import LASER, Light, SipmSettings, detect, with_gains
from detectors.sums import add_q_histograms, calorimeter_sums, q_bins
from detectors.waveforms import Waveforms, pieces_of_all, waveforms_of
from detectors.windows import Windows, every_calorimeter, find_windows, rows_of
from gpu.rng import FillKey


@dataclass(frozen=True)
class CalorimeterSettings:
    """Everything about the calorimeters, from the shower to the front end."""

    shower: ShowerSettings = field(default_factory=ShowerSettings)
    sipm: SipmSettings = field(default_factory=SipmSettings)
    digitizer: DigitizerSettings = field(default_factory=DigitizerSettings)
    gain: GainSettings = field(default_factory=GainSettings)
    laser: LaserSettings = field(default_factory=LaserSettings)

    def constants(self, kelvin: float = 0.0) -> ChannelConstants:
        """Constants of all channels as these settings draw them, `kelvin` above the calibration's temperature."""
        return channel_constants(self.digitizer, self.sipm, self.gain, self.laser, kelvin)


@dataclass(frozen=True)
class FillDigits:
    """What the calorimeter front ends write for one muon fill.

    Attributes
    ----------
    islands : list of 24 Islands
        T-method islands (bank CT).
    pedestals : float32 array (24, 54)
        Mean of the first 100 samples of each channel [counts] (bank CP).
    calo_sum : uint32 array (24, 17500)
        Decimated calorimeter sums, bits of signed numbers (bank CS).
    q_histogram : int32 array (24, 54, bins) or None
        Q-method sums [counts] (bank CQ).
    ctag : int32 array (24,)
        Peaks above 1.8 GeV after 62.5 us.
    waveforms : Waveforms or None
        Whole waveforms of the channels that were asked for.
    """

    islands: list[Islands]
    pedestals: NDArray[np.float32]
    calo_sum: NDArray[np.uint32]
    q_histogram: NDArray[np.int32] | None
    ctag: NDArray[np.int32]
    waveforms: Waveforms | None = None


def light_of(
    deposits: CrystalDeposits,
    key: FillKey,
    settings: CalorimeterSettings,
    constants: ChannelConstants,
    laser: CrystalDeposits | None = None,
) -> Light:
    """Pulses as they leave the SiPMs in one fill, those of particles and of the laser, gains included."""
    light = detect(deposits, key, settings.sipm, constants.light_yield)
    if laser is not None:
        flashes = detect(laser, key, settings.sipm, constants.light_yield, LASER)
        light = Light(*(np.concatenate(columns) for columns in zip(light, flashes, strict=True)))
    return with_gains(light, constants.gains(settings.sipm.pixels))


def digitise_fill(
    deposits: CrystalDeposits,
    key: FillKey,
    settings: CalorimeterSettings | None = None,
    *,
    constants: ChannelConstants | None = None,
    q_histogram: NDArray[np.int32] | None = None,
    waveform_channels: NDArray[np.int64] | None = None,
    laser: CrystalDeposits | None = None,
) -> FillDigits:
    """Digitise all light of a fill as the front ends do.

    Pulses of all hits are summed per channel before anything else, so that pileup comes by itself. Waveforms
    are made only where a sample could pass the threshold; because a sample depends on nothing but the fill,
    the channel and its number, the result is exactly that of chopping whole waveforms.

    Parameters
    ----------
    deposits
        Light per hit and crystal.
    key
        The fill.
    settings
        Calorimeter, SiPM and digitiser.
    constants
        Channel constants; drawn from the settings if not given.
    q_histogram
        Histograms of earlier fills, (24, 54, q_bins), that this fill is added to in place.
    waveform_channels
        Channels, 54 calo + crystal, whose whole waveforms are wanted beside the islands.
    laser
        Light of the laser in the fill.

    Returns
    -------
    FillDigits
    """
    settings = settings or CalorimeterSettings()
    constants = constants or settings.constants()
    light = light_of(deposits, key, settings, constants, laser)
    return digitise_light(light, key, settings, constants, q_histogram=q_histogram, waveform_channels=waveform_channels)


def digitise_light(
    light: Light,
    key: FillKey,
    settings: CalorimeterSettings,
    constants: ChannelConstants,
    *,
    q_histogram: NDArray[np.int32] | None = None,
    waveform_channels: NDArray[np.int64] | None = None,
) -> FillDigits:
    """Digitise pulses of the SiPMs, of particles and of the laser; see :func:`digitise_fill`."""
    digitizer = settings.digitizer
    shape = pulse_table(settings.sipm, digitizer, constants)
    pulses = digitiser_pulses(light, constants, digitizer, shape)
    pedestals = measure_pedestals(pulses, shape, constants, digitizer, key)
    windows = find_windows(pulses, constants, pedestals, digitizer, shape)
    islands, ctag = chop_windows(windows, pulses, shape, constants, pedestals, digitizer, key)
    calo_sum = calorimeter_sums(pulses, shape, constants, pedestals, digitizer, key)
    if digitizer.q_method:
        if q_histogram is None:
            q_histogram = np.zeros((CALORIMETERS, CRYSTALS, q_bins(digitizer)), np.int32)
        add_q_histograms(q_histogram, pulses, shape, constants, digitizer, key)
    waveforms = None
    if waveform_channels is not None and len(waveform_channels):
        waveforms = waveforms_of(waveform_channels, pulses, shape, constants, digitizer, key)
    return FillDigits(islands, pedestals, calo_sum, q_histogram if digitizer.q_method else None, ctag, waveforms)


def whole_waveforms(
    deposits: CrystalDeposits,
    key: FillKey,
    settings: CalorimeterSettings,
    constants: ChannelConstants,
    channels: ArrayLike,
) -> NDArray[np.int16]:
    """All samples of chosen channels in one fill; islands are pieces of them.

    Parameters
    ----------
    deposits, key, settings, constants
        As for :func:`digitise_fill`.
    channels
        54 calo + crystal, in the order wanted.

    Returns
    -------
    int16 array (channels, 560000) [counts]

    Raises
    ------
    ValueError
        A channel does not exist.
    """
    shape = pulse_table(settings.sipm, settings.digitizer, constants)
    light = light_of(deposits, key, settings, constants)
    pulses = digitiser_pulses(light, constants, settings.digitizer, shape)
    wanted = np.atleast_1d(np.asarray(channels, np.int64))
    return waveforms_of(wanted, pulses, shape, constants, settings.digitizer, key).samples


def short_waveforms(
    laser: CrystalDeposits,
    first: NDArray[np.int64],
    length: int,
    key: FillKey,
    settings: CalorimeterSettings,
    constants: ChannelConstants,
) -> NDArray[np.int16]:
    """The same pieces of all channels in a fill without muons.

    Parameters
    ----------
    laser
        Light of the laser; no rows for a look at the pedestals.
    first, length
        First sample of each piece and samples of a piece; multiples of four.
    key, settings, constants
        As for :func:`digitise_fill`.

    Returns
    -------
    int16 array (24, 54, pieces, length) [counts]
    """
    shape = pulse_table(settings.sipm, settings.digitizer, constants)
    light = detect(laser, key, settings.sipm, constants.light_yield, LASER)
    # No injection, no flash: only what pulses do to each other, and the temperature.
    gains = constants.gains(settings.sipm.pixels)
    quiet = gains._replace(flash_amplitude=np.zeros_like(gains.flash_amplitude))
    pulses = digitiser_pulses(with_gains(light, quiet), constants, settings.digitizer, shape)
    return pieces_of_all(first, length, pulses, shape, constants, settings.digitizer, key)


def measure_pedestals(
    pulses: Pulses, shape: Shape, constants: ChannelConstants, settings: DigitizerSettings, key: FillKey
) -> NDArray[np.float32]:
    """Return the mean of the first samples of each channel, (24, 54) [counts]."""
    windows = every_calorimeter(0, settings.pedestal_samples - 1)
    rows, blocks, touching = rows_of(windows, pulses, settings, shape)
    samples = synthesise(rows, blocks, touching, shape, constants, settings, key)
    first = samples.reshape(CALORIMETERS, CRYSTALS, -1)[..., : settings.pedestal_samples]
    return np.asarray(first.mean(axis=2), dtype=np.float32)


def chop_windows(
    windows: Windows,
    pulses: Pulses,
    shape: Shape,
    constants: ChannelConstants,
    pedestals: NDArray[np.float32],
    settings: DigitizerSettings,
    key: FillKey,
) -> tuple[list[Islands], NDArray[np.int32]]:
    """Make the waveforms inside the windows and cut islands out of them; returns islands and tags."""
    rows, blocks, touching = rows_of(windows, pulses, settings, shape)
    samples = synthesise(rows, blocks, touching, shape, constants, settings, key)
    return chop(windows, rows, blocks, samples, pedestals, settings, opens_islands(constants, settings))
