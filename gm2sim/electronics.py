"""SiPMs and digitisers of a configuration: border units become SI settings, switches become folders to look up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.channels import ChannelConstants
from detectors.digitizer import DigitizerSettings
from detectors.gain import GainSettings
from detectors.laser import LaserSettings
from detectors.shower import CRYSTALS, ShowerSettings
from detectors.sipm import SipmSettings
from detectors.template import fit_template, read_template
from gm2sim.conditions.calorimeter import CALORIMETER_FOLDERS
from gm2sim.conditions.folders import (
    CHANNEL_STATUS,
    INFILL_GAIN,
    LASER_LIGHT,
    LIGHT_YIELD,
    OOF_CORRECTION,
    PULSE_TEMPLATE,
    STDP,
    TIME_ALIGNMENT,
)
from gm2sim.config import Config
from gm2sim.errors import ConfigError
from gm2sim.timeline import fill_time, muon_fills


def calorimeter_settings(config: Config) -> CalorimeterSettings:
    """Showers, light and digitisers of a configuration.

    Raises
    ------
    ConfigError
        The file of the average pulse cannot be read or holds something else, or light would be absorbed in a crystal.
    """
    return CalorimeterSettings(
        shower=_shower_settings(config),
        sipm=_sipm_settings(config),
        digitizer=_digitizer_settings(config),
        gain=_gain_settings(config),
        laser=laser_settings(config),
    )


def laser_settings(config: Config) -> LaserSettings:
    """The laser of a configuration."""
    laser = config.laser
    return LaserSettings(
        energy=laser.energy_gev,
        spread=laser.spread,
        jitter=laser.jitter,
        sync=laser.sync,
        sync_time=1e-6 * laser.sync_us,
        start=1e-6 * laser.start_us,
        spacing=1e-6 * laser.spacing_us,
        step=1e-6 * laser.step_us,
        steps=laser.steps,
    )


def _shower_settings(config: Config) -> ShowerSettings:
    shower, settings = config.shower, ShowerSettings()
    if 0.0 < shower.attenuation_length_mm < 1e3 * settings.length:
        raise ConfigError(
            f"shower.attenuation_length_mm = {shower.attenuation_length_mm:g} mm is shorter than the crystals of "
            f"{1e3 * settings.length:g} mm: give a longer one, or 0 for none"
        )
    return replace(
        settings,
        attenuation_length=shower.attenuation_length_mm * 1e-3,
        albedo=shower.albedo_percent * 1e-2,
        crosstalk=shower.crosstalk_percent * 1e-2,
        profile_fluctuation=shower.profile_fluctuation,
        light_fluctuation=shower.light_fluctuation,
    )


def _sipm_settings(config: Config) -> SipmSettings:
    sipm, detectors = config.sipm, config.detectors
    settings = SipmSettings(
        light_yield=detectors.light_yield_pe_per_mev * 1e3,
        light_yield_spread=sipm.light_yield_spread * sipm.light_yields,
        shape_spread=detectors.template_spread * detectors.templates,
    )
    if not detectors.template_file:
        return settings
    try:
        rise, fall = fit_template(*read_template(Path(detectors.template_file)))
    except ValueError as err:
        raise ConfigError(f"detectors.template_file: {err}") from None
    # The laser's pulses differ from those of particles as the built-in ones do.
    return replace(
        settings,
        rise_time=rise,
        fall_time=fall,
        laser_rise_time=rise * settings.laser_rise_time / settings.rise_time,
        laser_fall_time=fall * settings.laser_fall_time / settings.fall_time,
    )


def _gain_settings(config: Config) -> GainSettings:
    sipm = config.sipm
    return GainSettings(
        sag=sipm.gain_sag,
        flash_amplitude=sipm.flash_amplitude,
        flash_time=sipm.flash_us * 1e-6,
        drop_per_gev=sipm.drop_per_gev,
        drop_time=sipm.drop_us * 1e-6,
        double_pulse=sipm.double_pulse,
        recovery_time=sipm.recovery_ns * 1e-9,
        temperature=sipm.temperature,
        per_kelvin=sipm.gain_percent_per_k * 1e-2,
        kelvin_at_begin=sipm.begin_k,
        kelvin_per_hour=sipm.drift_k_per_hour,
        kelvin_of_day=sipm.day_swing_k,
    )


def _digitizer_settings(config: Config) -> DigitizerSettings:
    detectors = config.detectors
    return DigitizerSettings(
        zero_sample=detectors.injection_sample,
        pedestal=detectors.pedestal_counts,
        noise=detectors.noise_counts,
        common_noise=detectors.common_noise_counts,
        counts_per_gev=detectors.counts_per_gev,
        gain_spread=detectors.gain_spread,
        threshold=detectors.threshold_mev * 1e-3 * detectors.counts_per_gev,
        presamples=detectors.pre_samples,
        postsamples=detectors.post_samples,
        q_method=config.daq.q_method,
        q_decimation=config.daq.q_samples_per_bin,
        q_last_sample=DigitizerSettings.samples,
        clock_ppm=detectors.clock_ppm,
        calo_offset_spread=detectors.calo_offset_ns * 1e-9 * detectors.time_alignment,
        xtal_offset_spread=detectors.crystal_offset_ns * 1e-9 * detectors.time_alignment,
        dead_channels=detectors.dead_channels * detectors.channel_status,
        noisy_channels=detectors.noisy_channels * detectors.channel_status,
    )


def calorimeter_folders(config: Config) -> tuple[str, ...]:
    """Folders of conditions that the calorimeters of a configuration need: those of effects that are on."""
    sipm, detectors = config.sipm, config.detectors
    optional: dict[str, Any] = {
        INFILL_GAIN.name: sipm.gain_sag,
        STDP.name: sipm.double_pulse,
        OOF_CORRECTION.name: sipm.temperature,
        LIGHT_YIELD.name: sipm.light_yields,
        PULSE_TEMPLATE.name: detectors.templates,
        TIME_ALIGNMENT.name: detectors.time_alignment,
        CHANNEL_STATUS.name: detectors.channel_status,
        LASER_LIGHT.name: config.laser.sync or config.laser.in_fill_every or config.laser.fill_every,
    }
    return (*CALORIMETER_FOLDERS, *(name for name, on in optional.items() if on))


def middle_of(config: Config, subrun: int) -> float:
    """Time of the middle of a subrun since the begin of run [s]."""
    fills = muon_fills(config, subrun)
    ends = (fill_time(config, fill).since_begin for fill in (fills[0], fills[-1]))
    return 0.5 * sum(ends)


def at_time(constants: ChannelConstants, gain: GainSettings, middle: float, seconds: float) -> ChannelConstants:
    """Constants of a subrun some time after the begin of run: its gain drifts on with the temperature.

    The drift within a subrun is in the data and not in the conditions, as in the experiment; in the built-in
    weather it is 1e-8 in a subrun of a second.

    Parameters
    ----------
    constants : ChannelConstants
        Those of the subrun.
    gain : GainSettings
    middle, seconds : float
        Middle of the subrun and time of the fill since the begin of run [s].
    """
    change = gain.per_kelvin * (gain.kelvin(seconds) - gain.kelvin(middle))
    return constants._replace(out_of_fill=constants.out_of_fill * (1.0 + change)) if change else constants


def waveform_channels(config: Config, fill: int) -> NDArray[np.int64]:
    """Channels, 54 calo + crystal, whose whole waveforms are kept in a fill of a subrun, in order.

    Parameters
    ----------
    config : Config
    fill : int
        Number of the fill in its subrun, from 0.
    """
    named = (map(int, channel.split(":")) for channel in config.daq.waveform_channels)
    channels = {(calo - 1) * CRYSTALS + crystal for calo, crystal in named}
    if config.daq.waveform_prescale and fill % config.daq.waveform_prescale == 0:
        for calo in config.daq.waveform_calorimeters:
            channels.update(range((calo - 1) * CRYSTALS, calo * CRYSTALS))
    return np.array(sorted(channels), np.int64)
