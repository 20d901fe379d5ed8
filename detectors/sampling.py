"""Settings of the digitisers and of the front end behind them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.noise import NOISE_BOUND

MARGIN = 3.0
"""Rounding, even-odd offset and error of the pedestal that a threshold must allow [counts]."""


@dataclass(frozen=True)
class DigitizerSettings:
    """WFD5 digitisers and the front end behind them.

    Frequency, length, range: DAQ papers of E989; pedestal, noise, and a scale at which two 3.1 GeV positrons
    fit: the official simulation's digitiser as taken over by another experiment; decimations, pre-samples,
    the 100 samples of a pedestal: jaca230/CaloReadoutAMC13 @7ff4424.
    """

    sample_period: float = 1.25e-9  # [s]
    samples: int = 560_000
    zero_sample: int = 800  # sample of fill time 0: best estimate
    minimum: int = -2048
    maximum: int = 2047
    pedestal: float = 1750.0  # [counts]
    pedestal_spread: float = 5.0  # RMS over the channels [counts]: best estimate
    even_odd_spread: float = 0.5  # RMS of pedestal(even) - pedestal(odd) [counts]: best estimate
    noise: float = 4.0  # of each channel by itself [counts]
    common_noise: float = 0.0  # shared by all channels of a calorimeter [counts]: no number is published
    counts_per_gev: float = 612.0  # (1750 + 2048)/6.2: pulse height of 1 GeV in one crystal
    gain_spread: float = 0.17  # RMS over the channels: jlabounty/g-2 mipEnergyCalibration29927.fcl
    threshold: float = 31.0  # counts below the pedestal: 50 MeV, best estimate (recalled)
    presamples: int = 8  # best estimate (recalled); public front end: 8
    postsamples: int = 18  # best estimate (recalled); public front end: 16
    pedestal_samples: int = 100
    sum_decimation: int = 32
    q_method: bool = True
    q_decimation: int = 16
    q_last_sample: int = 252_000  # 315 us, as in Run-2
    ctag_energy: float = 1.8  # [GeV]
    ctag_sample: int = 50_000
    clock_ppm: float = 0.0  # how much faster than nominal the 40 MHz clock runs; at most about 25: best estimate
    calo_offset_spread: float = 0.0  # RMS of the time offsets of calorimeters [s]
    xtal_offset_spread: float = 0.0  # RMS of those of the crystals in them [s]
    dead_channels: int = 0
    noisy_channels: int = 0
    noisy_factor: float = 3.0  # noise of a noisy channel over that of others: our choice
    constants_seed: int = 989  # names the set of channel constants; not the seed of a run

    def __post_init__(self) -> None:
        for name in ("sample_period", "counts_per_gev", "pedestal_samples", "sum_decimation", "q_decimation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give a positive number.")
        smallest = NOISE_BOUND * (self.noise + self.common_noise) + MARGIN
        if self.threshold < smallest:
            raise ValueError(
                f"threshold = {self.threshold} counts is within reach of the noise: "
                f"give at least {smallest:.1f} counts."
            )
        if not 0 < self.samples < 2**30:
            raise ValueError(f"samples = {self.samples} is out of bounds: give 1 to 2^30.")
        if self.q_last_sample > self.samples:
            raise ValueError(f"q_last_sample = {self.q_last_sample} lies behind the last of {self.samples} samples.")

    @property
    def true_period(self) -> float:
        """Time between samples [s]: that of the detuned clock."""
        return self.sample_period / (1.0 + 1e-6 * self.clock_ppm)

    def noise_reach(self, noise_factor: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest noise of channels [counts]."""
        return np.asarray(NOISE_BOUND * (self.noise * noise_factor + self.common_noise))
