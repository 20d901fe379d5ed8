"""What a reconstruction must know of the calorimeters; travels in the raw file's run database."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.crystals import CENTRE_ENERGY, CRYSTALS, ShowerSettings
from detectors.digitizer import channel_constants
from gm2sim.pulsefit import Template

Floats = NDArray[np.float64]

CLUSTERED, CLUSTERED_SLOPE = 0.9629, 0.0056
"""Energy of a cluster over what `ShowerSettings.seen` says, at 2 GeV, and its relative change with ln(energy): light
beside 3 x 3 quiet crystals, side leakage, albedo (simulated showers through the whole chain)."""
LOWEST_SCALED = 0.5
"""Below this summed energy the scale stays as it is there [GeV]."""
SHOWER_DELAY = -0.145e-9
"""Start of the pulses less arrival at the face [s]: simulated showers at 2 GeV; -0.112 ns at 0.5 GeV."""
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
    energy_scale, energy_slope, energy_bend : float
        True over summed energy of a positron, for what leaks and for crystals below threshold:
        scale + slope x + bend x^2, x = ln(summed energy/2 GeV).
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
    energy_slope: float = 0.0
    energy_bend: float = 0.0

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
            "energy_slope": self.energy_slope,
            "energy_bend": self.energy_bend,
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
                energy_slope=float(tree.get("energy_slope", 0.0)),
                energy_bend=float(tree.get("energy_bend", 0.0)),
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
            **energy_curve(settings.shower),
        )

    def true_energy(self, summed: ArrayLike) -> Floats:
        """Energies of positrons [GeV] from those of their crystals [GeV], any shape."""
        energy = np.asarray(summed, np.float64)
        x = np.log(np.maximum(energy, LOWEST_SCALED) / CENTRE_ENERGY)
        return energy * (self.energy_scale + self.energy_slope * x + self.energy_bend * x**2)

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


def energy_curve(settings: ShowerSettings) -> dict[str, float]:
    """Coefficients of `Calibration` for the energy scale, from the mean profile of the showers.

    The deeper a shower, the more leaks out of the rear, and the less of its light is absorbed on the way to the
    sensor: its depth grows by X0 with ln E, both shares are in closed form in `ShowerSettings.seen`. What lies beside
    the crystals of a cluster comes on top, linear in ln E. The quadratic in ln E is a fit from 0.5 to 3.1 GeV, good
    to 2e-4.
    """
    energy = np.geomspace(LOWEST_SCALED, 3.1, 16)
    summed = energy * np.array([settings.seen(one) for one in energy])
    summed *= CLUSTERED * (1.0 + CLUSTERED_SLOPE * np.log(energy / CENTRE_ENERGY))
    bend, slope, scale = np.polyfit(np.log(summed / CENTRE_ENERGY), energy / summed, 2)
    return {"energy_scale": float(scale), "energy_slope": float(slope), "energy_bend": float(bend)}
