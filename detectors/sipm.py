"""Silicon photomultipliers: from the light in a crystal to the height, time and shape of its pulse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.gain import GainConstants, apply_gains, saturated
from detectors.shower import CALORIMETERS, CRYSTALS, CrystalDeposits
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, normal2, poisson

_STAGE = int(Stage.PHOTOSTATISTICS)
_PER_ORDER = 20  # bits: draws of one hit, 1296 channels of 128
_DRAWS = 128  # draws of one crystal: 64 for the Poisson number, then one for the time
BEAM, LASER = 0, 1  # kinds of pulses: their shapes differ


@dataclass(frozen=True)
class SipmSettings:
    """Light yield, pixels and pulse shape of the SiPM on each crystal.

    The shape (1 - exp(-t/rise))^3 exp(-t/fall), cut at 25 ns, is ours: its two times give 0.4 of the charge
    in the highest 1.25 ns sample (hongran/QMethodUtilities) and a width at a tenth of the height between 5
    and 6 ns (5 ns: nkinnaird/Dissertation @8f8e9eb). The experiment uses splines per crystal, about 25 ns
    long, of their own for the laser, whose light comes through fibres and a diffuser: a little slower here.
    """

    light_yield: float = 1400.0  # photoelectrons per GeV: best estimate (recalled: 1 to 2 per MeV)
    pixels: int = 57344  # Hamamatsu S12642, 16 channels: best estimate (recalled)
    rise_time: float = 0.846e-9  # [s]
    fall_time: float = 1.6e-9  # [s]
    duration: float = 25e-9  # [s]
    light_yield_spread: float = 0.0  # relative, over the crystals
    shape_spread: float = 0.0  # relative, of rise and fall over the channels
    laser_rise_time: float = 0.93e-9  # [s] best estimate
    laser_fall_time: float = 1.6e-9  # [s] best estimate
    # Spread of the arrival of one photoelectron [s]; over sqrt(2800) it gives the published 20 ps at 2 GeV.
    transit_spread: float = 1.0e-9

    def __post_init__(self) -> None:
        for name in (
            "light_yield",
            "pixels",
            "rise_time",
            "fall_time",
            "laser_rise_time",
            "laser_fall_time",
            "duration",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} is out of bounds: give a positive number.")

    @property
    def height(self) -> float:
        """Largest value of the bare shape, which pulses are divided by."""
        return float(shape_height(self.rise_time, self.fall_time))

    @property
    def peak_time(self) -> float:
        """Time of the maximum after the start of the pulse [s]."""
        return self.rise_time * math.log1p(3.0 * self.fall_time / self.rise_time)

    @property
    def area(self) -> float:
        """Integral of a pulse of height 1 [s]."""
        rates = [1.0 / self.fall_time + j / self.rise_time for j in range(4)]
        return (1.0 / rates[0] - 3.0 / rates[1] + 3.0 / rates[2] - 1.0 / rates[3]) / self.height


class Light(NamedTuple):
    """Pulses of a fill as they leave the SiPMs.

    Attributes
    ----------
    channel : int64 array
        54 calo + crystal.
    time : float64 array
        Start of the pulse in fill time [s].
    energy : float64 array
        Height of the pulse, as the energy that makes it on average in a SiPM of endless pixels [GeV].
    photoelectrons : int64 array
    light : float64 array
        Energy of that many photoelectrons [GeV].
    kind : int64 array
        BEAM or LASER.
    """

    channel: NDArray[np.int64]
    time: NDArray[np.float64]
    energy: NDArray[np.float64]
    photoelectrons: NDArray[np.int64]
    light: NDArray[np.float64]
    kind: NDArray[np.int64]


def shape_height(rise: ArrayLike, fall: ArrayLike) -> NDArray[np.float64]:
    """Largest value of the bare shape (1 - exp(-t/rise))^3 exp(-t/fall), which pulses are divided by."""
    ratio = np.asarray(rise, np.float64) / np.asarray(fall, np.float64)
    q = ratio / (ratio + 3.0)
    return np.asarray((1.0 - q) ** 3 * np.exp(np.log(q) * ratio))


@Kernel
def detect_step(i, deposits, key, light_yield, pixels, transit_spread, count, fired, delay):
    """Draw the photoelectrons of deposit i, the pixels that they fire and the shift of the pulse [s]."""
    channel = deposits.calo[i] * CRYSTALS + deposits.crystal[i]
    first = (int(deposits.order[i]) << _PER_ORDER) + int(channel) * _DRAWS
    number = deposits.number[i]
    mean = light_yield[channel] * deposits.energy[i]
    n = poisson(key.seed, key.run, key.subrun, key.fill, _STAGE, number, first, mean)
    g, _ = normal2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, first + 64)
    count[i] = n
    fired[i] = saturated(float(n), pixels)
    delay[i] = transit_spread * g / math.sqrt(max(1.0, float(n)))


def detect(
    deposits: CrystalDeposits,
    key: FillKey,
    settings: SipmSettings | None = None,
    light_yield: NDArray[np.float64] | None = None,
    kind: int = BEAM,
) -> Light:
    """Turn light in crystals into pulses: photoelectrons, saturation of the pixels, time.

    Each deposit saturates the pixels by itself, fired = N (1 - exp(-n/N)); what earlier pulses have left of
    them is counted by `with_gains`.

    Parameters
    ----------
    deposits
        Light per hit and crystal.
    key
        The fill; random numbers of stage PHOTOSTATISTICS are counted per (parent muon, order of the hit, channel).
    settings
        Properties of the SiPMs.
    light_yield
        Photoelectrons per GeV of each channel, 1296 of them; that of the settings for all if not given.
    kind
        BEAM, or LASER for light of the laser.

    Returns
    -------
    Light
        One row per deposit with at least one photoelectron, in the order of the deposits.
    """
    settings = settings or SipmSettings()
    n = len(deposits.energy)
    channel = deposits.calo * CRYSTALS + deposits.crystal
    yields = np.full(CALORIMETERS * CRYSTALS, settings.light_yield) if light_yield is None else light_yield.ravel()
    count, fired, delay = np.zeros(n, np.int64), np.zeros(n), np.zeros(n)
    detect_step(
        n,
        deposits,
        key,
        yields,
        float(settings.pixels),
        float(settings.transit_spread),
        count,
        fired,
        delay,
    )
    lit = count > 0
    return Light(
        channel[lit],
        (deposits.time + delay)[lit],
        fired[lit] / yields[channel[lit]],
        count[lit],
        count[lit] / yields[channel[lit]],
        np.full(np.count_nonzero(lit), kind, np.int64),
    )


def with_gains(light: Light, gains: GainConstants) -> Light:
    """Pulses as recovery of the pixels, sag and temperature leave them; see `detectors.gain.apply_gains`."""
    return light._replace(energy=apply_gains(light.channel, light.time, light.energy, light.light, gains))


def linearised(energy: ArrayLike, settings: SipmSettings | None = None) -> NDArray[np.float64]:
    """Undo the saturation of the pixels on average.

    Parameters
    ----------
    energy
        Pulse height as energy, as in `Light.energy` [GeV].

    Returns
    -------
    ndarray
        Energy of the light [GeV].
    """
    settings = settings or SipmSettings()
    full = settings.pixels / settings.light_yield
    fraction = np.minimum(np.asarray(energy, dtype=np.float64) / full, 1.0 - 1e-9)
    return np.asarray(-full * np.log1p(-fraction))


@scalar
def decay_powers(age, rise_time, fall_time):
    """Return exp(-age/rise) and exp(-age/fall), the two numbers that `pulse` is made of."""
    return math.exp(-age / rise_time), math.exp(-age / fall_time)


@scalar
def pulse(q, f, height):
    """Return the pulse of height 1 from the two exponentials."""
    p = 1.0 - q
    return p * p * p * f / height


def pulse_shape(time: ArrayLike, settings: SipmSettings | None = None) -> NDArray[np.float64]:
    """Evaluate the pulse of height 1 at times after its start [s]; zero outside (0, duration)."""
    settings = settings or SipmSettings()
    t = np.asarray(time, dtype=np.float64)
    inside = (t > 0.0) & (t < settings.duration)
    age = np.where(inside, t, 0.0)
    value = (1.0 - np.exp(-age / settings.rise_time)) ** 3 * np.exp(-age / settings.fall_time)
    return np.where(inside, value / settings.height, 0.0)
