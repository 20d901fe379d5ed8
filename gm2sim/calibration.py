"""What a reconstruction must know of the calorimeters; travels in the raw file's run database."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.digitizer import channel_constants
from detectors.shower import CRYSTALS
from gm2sim.pulsefit import Template

Floats = NDArray[np.float64]

ENERGY_SCALE = 1.059
"""True over summed energy at 2 GeV, 1/0.944: what leaks or lies outside 3 x 3 quiet crystals (simulated)."""
SHOWER_DELAY = -0.14e-9
"""Start of the pulses less arrival at the face [s]: simulated showers at 2 GeV; -0.10 ns at 0.5 GeV."""
_PULSE_THRESHOLD = 5.0  # standard deviations of the noise


@dataclass(frozen=True)
class Calibration:
    """Constants of the calorimeters, under /Simulation/calibration in the raw file.

    Attributes
    ----------
    counts_per_gev : array (24, 54) [ADC counts/GeV]
        Pulse height of 1 GeV in a SiPM of endless pixels.
    rise_time, fall_time : float [s]
        Of the pulse (1 - exp(-t/rise))^3 exp(-t/fall).
    sample_period : float [s]
    zero_sample : int
        Sample number of t = 0 in the fill.
    noise : float [ADC counts]
        RMS of a sample.
    saturation : float [GeV]
        Energy that would fire every pixel once: E = -saturation log(1 - height/saturation).
    delay : float [s]
        From the positron's arrival to the start of its pulses, taken off the times.
    energy_scale : float
        True over summed energy of a positron, for what leaks and for crystals below threshold.
    """

    counts_per_gev: Floats
    rise_time: float
    fall_time: float
    sample_period: float = 1.25e-9
    zero_sample: int = 800
    noise: float = 4.0
    saturation: float = math.inf
    delay: float = 0.0
    energy_scale: float = 1.0

    def as_tree(self) -> dict[str, Any]:
        """Plain numbers for the run database."""
        return {
            "counts_per_gev": np.asarray(self.counts_per_gev, np.float64).tolist(),
            "pulse_rise_time_s": self.rise_time,
            "pulse_fall_time_s": self.fall_time,
            "sample_period_s": self.sample_period,
            "zero_sample": self.zero_sample,
            "noise_counts": self.noise,
            "saturation_gev": self.saturation if math.isfinite(self.saturation) else 0.0,
            "delay_s": self.delay,
            "energy_scale": self.energy_scale,
        }

    @classmethod
    def from_odb(cls, odb: Mapping[str, Any]) -> Self:
        """Read the calibration of a raw file.

        Raises
        ------
        ValueError
            If /Simulation/calibration is missing or incomplete.
        """
        try:
            tree = odb["Simulation"]["calibration"]
            return cls(
                counts_per_gev=np.array(tree["counts_per_gev"], np.float64).reshape(-1, CRYSTALS),
                rise_time=float(tree["pulse_rise_time_s"]),
                fall_time=float(tree["pulse_fall_time_s"]),
                sample_period=float(tree["sample_period_s"]),
                zero_sample=int(tree["zero_sample"]),
                noise=float(tree["noise_counts"]),
                saturation=float(tree["saturation_gev"]) or math.inf,
                delay=float(tree["delay_s"]),
                energy_scale=float(tree["energy_scale"]),
            )
        except (KeyError, TypeError, ValueError) as err:
            raise ValueError(
                f"the run database has no usable /Simulation/calibration ({type(err).__name__}: {err}): "
                "reconstruct files that gm2sim has written"
            ) from None

    @classmethod
    def of(cls, settings: CalorimeterSettings, counts_per_gev: Floats | None = None) -> Self:
        """The calibration that belongs to simulated calorimeters, as a perfect calibration run would find it.

        Parameters
        ----------
        settings : CalorimeterSettings
        counts_per_gev : array (24, 54), optional
            The channel constants, where they are already drawn.
        """
        digitizer, sipm = settings.digitizer, settings.sipm
        if counts_per_gev is None:
            counts_per_gev = channel_constants(digitizer).counts_per_gev
        return cls(
            counts_per_gev=counts_per_gev,
            rise_time=sipm.rise_time,
            fall_time=sipm.fall_time,
            sample_period=digitizer.sample_period,
            zero_sample=digitizer.zero_sample,
            noise=digitizer.noise,
            saturation=sipm.pixels / sipm.light_yield,
            delay=SHOWER_DELAY,
            energy_scale=ENERGY_SCALE,
        )

    @property
    def template(self) -> Template:
        """The pulse in units of samples."""
        rise, fall = self.rise_time / self.sample_period, self.fall_time / self.sample_period
        q = rise / (rise + 3 * fall)
        # The pedestal of the file is known to about one count: as well as noise^2 samples know it.
        return Template(
            rise=rise,
            fall=fall,
            height=(1 - q) ** 3 * q ** (rise / fall),
            delay=-rise * math.log(q),
            noise=self.noise,
            threshold=_PULSE_THRESHOLD * self.noise,
            pedestal_weight=self.noise**2,
        )
