"""What a reconstruction must know of the calorimeters; travels in the raw file's run database."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.calorimeter import CalorimeterSettings
from detectors.channels import ChannelConstants, ChannelStatus
from detectors.crystals import CALORIMETERS, CENTRE_ENERGY, CRYSTALS, ShowerSettings
from detectors.gain import GainConstants
from detectors.sipm import shape_height
from gm2sim.errors import NewerFormatError, refuse_newer
from gm2sim.pulsefit import Template, Templates

Floats = NDArray[np.float64]

RAW_FORMAT = 1
"""Of what /Simulation tells and of the banks that are ours; files without the number are of the first."""
CLUSTERED, CLUSTERED_SLOPE = 0.9629, 0.0056
"""Energy of a cluster over what `ShowerSettings.seen` says, at 2 GeV, and its relative change with ln(energy): light
beside 3 x 3 quiet crystals, side leakage, albedo (simulated showers through the whole chain)."""
LOWEST_SCALED = 0.5
"""Below this summed energy the scale stays as it is there [GeV]."""
SHOWER_DELAY = -0.145e-9
"""Start of the pulses less arrival at the face [s]: simulated showers at 2 GeV; -0.112 ns at 0.5 GeV."""
_PULSE_THRESHOLD = 5.0  # standard deviations of the noise
_SHAPE = (CALORIMETERS, CRYSTALS)
# Constants that files from before their effects do not have, by their names in the run database.
_NEUTRAL = {
    "flash_amplitude": 0.0,
    "flash_time_s": 1.0,
    "drop_per_gev": 0.0,
    "drop_time_s": 1.0,
    "missing_per_gev": 0.0,
    "recovery_time_s": 1.0,
    "out_of_fill": 1.0,
    "time_offset_s": 0.0,
    "status": 0.0,
    "laser_rise_time_s": 0.846e-9,
    "laser_fall_time_s": 1.6e-9,
    "laser_light": 1.0,
}


@dataclass(frozen=True)
class Calibration:
    """Constants of the calorimeters, under /Simulation/calibration in the raw file.

    Where an array (24, 54) is named, one number for all channels may stand.

    Attributes
    ----------
    counts_per_gev : array (24, 54) [ADC counts/GeV]
        Pulse height of 1 GeV in a SiPM of endless pixels.
    rise_time, fall_time : array (24, 54) [s]
        Of the pulse (1 - exp(-t/rise))^3 exp(-t/fall).
    sample_period : float [s]
        As the clock's nominal frequency has it.
    zero_sample : int
        Sample number of t = 0 in the fill.
    noise : array (24, 54) [ADC counts]
        RMS of a sample.
    saturation : array (24, 54) [GeV]
        Energy that would fire every pixel once: E = -saturation log(1 - height/saturation).
    delay : float [s]
        From the positron's arrival to the start of its pulses, taken off the times.
    energy_scale, energy_slope, energy_bend : float
        True over summed energy of a positron, for what leaks and for crystals below threshold:
        scale + slope x + bend x^2, x = ln(summed energy/2 GeV).
    flash_amplitude, flash_time, drop_per_gev, drop_time, missing_per_gev, recovery_time, out_of_fill : arrays
        Of the gain, see `detectors.gain.GainConstants`.
    time_offset : array (24, 54) [s]
        How late a channel shows a pulse, taken off the times.
    status : array (24, 54)
        `detectors.channels.ChannelStatus`.
    laser_rise_time, laser_fall_time : arrays (24, 54) [s]
        Of a pulse of the laser.
    laser_light : array (24, 54) [GeV]
        Of the laser's mean pulse, as the energy of a positron that makes as much light.
    clock_ppm : float
        How much faster than nominal the clock ran. Times are those of the nominal clock, as in the experiment
        before unblinding; see :meth:`with_true_clock`.
    """

    counts_per_gev: Floats
    rise_time: Floats | float
    fall_time: Floats | float
    sample_period: float = 1.25e-9
    zero_sample: int = 800
    noise: Floats | float = 4.0
    saturation: Floats | float = math.inf
    delay: float = 0.0
    energy_scale: float = 1.0
    energy_slope: float = 0.0
    energy_bend: float = 0.0
    flash_amplitude: Floats | float = 0.0
    flash_time: Floats | float = 1.0
    drop_per_gev: Floats | float = 0.0
    drop_time: Floats | float = 1.0
    missing_per_gev: Floats | float = 0.0
    recovery_time: Floats | float = 1.0
    out_of_fill: Floats | float = 1.0
    time_offset: Floats | float = 0.0
    status: Floats | float = 0.0
    laser_rise_time: Floats | float = 0.846e-9
    laser_fall_time: Floats | float = 1.6e-9
    laser_light: Floats | float = 1.0
    clock_ppm: float = 0.0

    def as_tree(self) -> dict[str, Any]:
        """Plain numbers for the run database."""
        return {
            "counts_per_gev": np.asarray(self.counts_per_gev, np.float64).tolist(),
            "pulse_rise_time_s": _plain(self.rise_time),
            "pulse_fall_time_s": _plain(self.fall_time),
            "sample_period_s": self.sample_period,
            "zero_sample": self.zero_sample,
            "noise_counts": _plain(self.noise),
            "saturation_gev": _plain(np.where(np.isfinite(self.saturation), self.saturation, 0.0)),
            "delay_s": self.delay,
            "energy_scale": self.energy_scale,
            "energy_slope": self.energy_slope,
            "energy_bend": self.energy_bend,
            "clock_ppm": self.clock_ppm,
            **{name: _plain(getattr(self, name.removesuffix("_s"))) for name in _NEUTRAL},
        }

    @classmethod
    def from_odb(cls, odb: Mapping[str, Any]) -> Self:
        """Read the calibration of a raw file.

        Raises
        ------
        ValueError
            If /Simulation/calibration is missing or incomplete.
        NewerFormatError
            A later version of the program wrote the file.
        """
        try:
            refuse_newer("the raw file", odb["Simulation"].get("format", 1), RAW_FORMAT)
            tree = odb["Simulation"]["calibration"]
            saturation = np.asarray(_constant(tree["saturation_gev"]))
            return cls(
                counts_per_gev=np.array(tree["counts_per_gev"], np.float64).reshape(-1, CRYSTALS),
                rise_time=_constant(tree["pulse_rise_time_s"]),
                fall_time=_constant(tree["pulse_fall_time_s"]),
                sample_period=float(tree["sample_period_s"]),
                zero_sample=int(tree["zero_sample"]),
                noise=_constant(tree["noise_counts"]),
                saturation=np.where(saturation > 0.0, saturation, math.inf),
                delay=float(tree["delay_s"]),
                energy_scale=float(tree["energy_scale"]),
                energy_slope=float(tree.get("energy_slope", 0.0)),
                energy_bend=float(tree.get("energy_bend", 0.0)),
                clock_ppm=float(tree.get("clock_ppm", 0.0)),
                **{name.removesuffix("_s"): _constant(tree.get(name, neutral)) for name, neutral in _NEUTRAL.items()},
            )
        except NewerFormatError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise ValueError(
                f"the run database has no usable /Simulation/calibration ({type(err).__name__}: {err}): "
                "reconstruct files that gm2sim has written"
            ) from None

    @classmethod
    def of(cls, settings: CalorimeterSettings, constants: ChannelConstants | None = None) -> Self:
        """The calibration that belongs to simulated calorimeters, as a perfect calibration run would find it.

        Parameters
        ----------
        settings : CalorimeterSettings
        constants : ChannelConstants, optional
            Those of the channels, where they are already drawn or looked up.
        """
        digitizer = settings.digitizer
        known = constants or settings.constants()
        scale, slope, bend = energy_curve(settings.shower)
        same = {name.removesuffix("_s") for name in _NEUTRAL}
        return cls(
            rise_time=known.rise_time,
            fall_time=known.fall_time,
            sample_period=digitizer.sample_period,
            zero_sample=digitizer.zero_sample,
            noise=np.hypot(digitizer.noise * known.noise_factor, digitizer.common_noise),
            saturation=settings.sipm.pixels / known.light_yield,
            delay=SHOWER_DELAY,
            energy_scale=scale,
            energy_slope=slope,
            energy_bend=bend,
            clock_ppm=digitizer.clock_ppm,
            **{name: getattr(known, name) for name in ("counts_per_gev", *sorted(same))},
        )

    def true_energy(self, summed: ArrayLike) -> Floats:
        """Energies of positrons [GeV] from those of their crystals [GeV], any shape."""
        energy = np.asarray(summed, np.float64)
        x = np.log(np.maximum(energy, LOWEST_SCALED) / CENTRE_ENERGY)
        return energy * (self.energy_scale + self.energy_slope * x + self.energy_bend * x**2)

    def channels(self, name: str) -> Floats:
        """One constant as a flat array over 1296 channels."""
        return np.ascontiguousarray(np.broadcast_to(getattr(self, name), _SHAPE), np.float64).ravel()

    @property
    def gains(self) -> GainConstants:
        """What the gain of a pulse is undone with."""
        return GainConstants(*(self.channels(name) for name in GainConstants._fields))

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Channels that show pulses, flat."""
        return np.asarray(self.channels("status") != ChannelStatus.DEAD)

    def without_gain(self) -> Self:
        """The same without any correction of the gain in the fill or with temperature."""
        return replace(self, flash_amplitude=0.0, drop_per_gev=0.0, missing_per_gev=0.0, out_of_fill=1.0)

    def with_true_clock(self) -> Self:
        """The same for somebody who knows the frequency of the clock: times become true ones."""
        return replace(self, sample_period=self.sample_period / (1.0 + 1e-6 * self.clock_ppm), clock_ppm=0.0)

    @property
    def templates(self) -> Templates:
        """The pulses of the channels in units of samples."""
        rise, fall, noise = self.channels("rise_time"), self.channels("fall_time"), self.channels("noise")
        q = rise / (rise + 3 * fall)
        # The pedestal of the file is known to about one count: as well as noise^2 samples know it.
        return Templates(
            rise=rise / self.sample_period,
            fall=fall / self.sample_period,
            height=shape_height(rise, fall),
            delay=-rise * np.log(q) / self.sample_period,
            noise=noise,
            threshold=_PULSE_THRESHOLD * noise,
            pedestal_weight=noise**2,
        )

    @property
    def laser_templates(self) -> Templates:
        """The same of the pulses of the laser."""
        return replace(self, rise_time=self.laser_rise_time, fall_time=self.laser_fall_time).templates

    @property
    def template(self) -> Template:
        """The mean pulse of the channels."""
        return Template(*(float(column.mean()) for column in self.templates))


def _plain(value: Floats | float) -> Any:
    """A number where all channels have the same, else a list of lists."""
    array = np.asarray(value, np.float64)
    return float(array.flat[0]) if (array == array.flat[0]).all() else array.tolist()


def _constant(value: Any) -> Floats | float:
    """One number, or an array (24, 54)."""
    array = np.array(value, np.float64)
    return float(array) if array.ndim == 0 else array.reshape(_SHAPE)


def energy_curve(settings: ShowerSettings) -> tuple[float, float, float]:
    """Scale, slope and bend of `Calibration` for the energy, from the mean profile of the showers.

    The deeper a shower, the more leaks out of the rear, and the less of its light is absorbed on the way to the
    sensor: its depth grows by X0 with ln E, both shares are in closed form in `ShowerSettings.seen`. What lies beside
    the crystals of a cluster comes on top, linear in ln E. The quadratic in ln E is a fit from 0.5 to 3.1 GeV, good
    to 2e-4.
    """
    energy = np.geomspace(LOWEST_SCALED, 3.1, 16)
    summed = energy * np.array([settings.seen(one) for one in energy])
    summed *= CLUSTERED * (1.0 + CLUSTERED_SLOPE * np.log(energy / CENTRE_ENERGY))
    bend, slope, scale = np.polyfit(np.log(summed / CENTRE_ENERGY), energy / summed, 2)
    return float(scale), float(slope), float(bend)
