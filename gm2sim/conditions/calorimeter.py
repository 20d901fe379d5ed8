"""From tables of conditions to what the calorimeters want: SI units, and neutral numbers for effects that are off."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from detectors.calorimeter import CalorimeterSettings
from detectors.channels import ChannelConstants
from detectors.gain import GainSettings
from gm2sim.conditions.folders import (
    CALO_GAIN,
    CALO_PEDESTAL,
    CHANNEL_STATUS,
    INFILL_GAIN,
    LASER_LIGHT,
    LIGHT_YIELD,
    OOF_CORRECTION,
    PULSE_TEMPLATE,
    STDP,
    TIME_ALIGNMENT,
)
from gm2sim.conditions.table import Conditions, Floats

CALORIMETER_FOLDERS = (CALO_GAIN.name, CALO_PEDESTAL.name)
"""What every run needs."""


class Source(NamedTuple):
    """Which column a constant comes from, and the unit of that column in SI and GeV."""

    folder: str
    column: str
    unit: float = 1.0


SOURCES: Mapping[str, Source] = {
    "counts_per_gev": Source(CALO_GAIN.name, "counts_per_gev"),
    "pedestal": Source(CALO_PEDESTAL.name, "pedestal"),
    "even_odd": Source(CALO_PEDESTAL.name, "even_odd"),
    "flash_amplitude": Source(INFILL_GAIN.name, "amplitude"),
    "flash_time": Source(INFILL_GAIN.name, "tau", 1e-6),
    "drop_per_gev": Source(INFILL_GAIN.name, "drop_per_gev"),
    "drop_time": Source(INFILL_GAIN.name, "tau_pulse", 1e-6),
    "missing_per_gev": Source(STDP.name, "amplitude"),
    "recovery_time": Source(STDP.name, "tau", 1e-9),
    "out_of_fill": Source(OOF_CORRECTION.name, "gain"),
    "light_yield": Source(LIGHT_YIELD.name, "light_yield"),
    "rise_time": Source(PULSE_TEMPLATE.name, "rise", 1e-9),
    "fall_time": Source(PULSE_TEMPLATE.name, "fall", 1e-9),
    "laser_rise_time": Source(PULSE_TEMPLATE.name, "laser_rise", 1e-9),
    "laser_fall_time": Source(PULSE_TEMPLATE.name, "laser_fall", 1e-9),
    "calo_offset": Source(TIME_ALIGNMENT.name, "calo_offset", 1e-9),
    "xtal_offset": Source(TIME_ALIGNMENT.name, "xtal_offset", 1e-9),
    "status": Source(CHANNEL_STATUS.name, "status"),
    "noise_factor": Source(CHANNEL_STATUS.name, "noise_factor"),
    "laser_light": Source(LASER_LIGHT.name, "light"),
}
"""Where each constant of a channel is kept."""


def as_columns(constants: ChannelConstants) -> dict[str, dict[str, Floats]]:
    """Constants as columns of folders, in the units of those."""
    folders: dict[str, dict[str, Floats]] = {}
    for name, (folder, column, unit) in SOURCES.items():
        folders.setdefault(folder, {})[column] = getattr(constants, name) / unit
    return folders


def calorimeter_constants(
    conditions: Conditions,
    run: int,
    subrun: int = 0,
    *,
    settings: CalorimeterSettings | None = None,
    folders: Iterable[str] = CALORIMETER_FOLDERS,
) -> ChannelConstants:
    """Constants of all channels in one subrun.

    Parameters
    ----------
    conditions : Conditions
    run, subrun : int
    settings : CalorimeterSettings, optional
        Light yield and pulse shape where no folder has them.
    folders : iterable of str
        What is looked up: those of the effects that are on. The constants of all others are neutral.

    Returns
    -------
    ChannelConstants
        Arrays (24, 54).

    Raises
    ------
    ConditionsError
        They are missing for the subrun.
    """
    tables = {name: conditions.table(name, run, subrun) for name in folders}
    found = {
        name: tables[folder][column] * unit for name, (folder, column, unit) in SOURCES.items() if folder in tables
    }
    return _neutral(settings or CalorimeterSettings())._replace(**found)


def _neutral(settings: CalorimeterSettings) -> ChannelConstants:
    """Constants without any effect: means, nothing drawn that differs between channels but what is looked up."""
    sipm = replace(settings.sipm, light_yield_spread=0.0, shape_spread=0.0)
    digitizer = replace(
        settings.digitizer, calo_offset_spread=0.0, xtal_offset_spread=0.0, dead_channels=0, noisy_channels=0
    )
    return CalorimeterSettings(sipm=sipm, digitizer=digitizer, gain=GainSettings()).constants()
