"""Short fills and their whole waveforms, to compare with what is made only where it is needed."""

from dataclasses import replace

import numpy as np

from detectors.calorimeter import CalorimeterSettings
from detectors.digitizer import (
    DigitizerSettings,
    Pulses,
    channel_constants,
    digitiser_pulses,
    pulse_table,
    synthesise,
)
from detectors.gain import GainSettings
from detectors.shower import CALORIMETERS, CRYSTALS, CrystalDeposits
from detectors.sipm import SipmSettings, detect
from detectors.windows import every_calorimeter, rows_of
from gpu.rng import FillKey

SAMPLES = 6003  # not a whole number of blocks
SHORT = DigitizerSettings(samples=SAMPLES, q_last_sample=6000)
SETTINGS = CalorimeterSettings(digitizer=SHORT)
CONSTANTS = channel_constants(SHORT)
SHAPE = pulse_table(SETTINGS.sipm, SHORT)
# Every effect at once, as no run has it: the noise is lower by what the channels share.
CROWD = CalorimeterSettings(
    sipm=SipmSettings(light_yield_spread=0.1, shape_spread=0.05),
    digitizer=replace(
        SHORT, noise=3.0, common_noise=1.0, clock_ppm=20.0, calo_offset_spread=3e-9, xtal_offset_spread=2e-9,
        dead_channels=20, noisy_channels=30,
    ),
    gain=GainSettings(sag=True, double_pulse=True, temperature=True),
)  # fmt: skip


def pulses_of(deposits: CrystalDeposits, key: FillKey, settings: DigitizerSettings = SHORT) -> Pulses:
    """Return the pulses of a fill as the digitiser sees them."""
    return digitiser_pulses(detect(deposits, key), CONSTANTS, settings, pulse_table(SipmSettings(), settings))


def pulse(calo: int, crystal: int, start: float, height: float) -> Pulses:
    """Return one pulse."""
    channel = np.array([calo * CRYSTALS + crystal])
    return Pulses(channel, np.array([start]), np.array([height]), channel)


def every_waveform(pulses: Pulses, key: FillKey, settings: DigitizerSettings = SHORT) -> np.ndarray:
    """Make every sample of every channel, (24, 54, samples) [counts]."""
    windows = every_calorimeter(0, settings.samples - 1)
    rows, blocks, touching = rows_of(windows, pulses, settings, SHAPE)
    samples = synthesise(rows, blocks, touching, SHAPE, CONSTANTS, settings, key)
    return samples.reshape(CALORIMETERS, CRYSTALS, -1)[..., : settings.samples]
