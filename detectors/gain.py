"""How much a SiPM amplifies: its recovery from earlier pulses, the sag within a fill, and the temperature.

Every effect is one scalar function, which the simulation applies and the reconstruction undoes with the same
numbers. Pulses of a channel are taken in the order of time: what a pulse does to later ones follows from its
own light, which is known once its own gain is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.kernel import Kernel, read_only, scalar

Floats = NDArray[np.float64]

# A channel without any charge left has no pulse to correct; real ones stay far below.
_MOST_MISSING = 0.99
_MOST_FIRED = 0.999  # of the pixels: beyond, the light cannot be told from the height
_DAY = 86400.0  # [s]


@dataclass(frozen=True)
class GainSettings:
    """Sizes of the effects on the gain, as the built-in constants have them; each effect is off unless asked for.

    The flash of the injection leaves a sag of a few percent, 5 to 20 us long, of which 1e-3 is left at 30 us; the
    published fits of amplitude and time constant are good to 25 %, which is taken as the spread of the channels
    (nkinnaird/Dissertation @8f8e9eb; the few percent: best estimate). Every pulse adds 4.27e-5 for 100 MeV, recovering
    in 18 us (toy of nanditaraha/Numerical-Analysis; at most 1e-4 a positron and 4 to 8 us in indico.psi.ch 16492
    contribution 58095). Pixels recover in about 15 ns (same; nkinnaird/Dissertation @8f8e9eb).
    """

    sag: bool = False
    flash_amplitude: float = 0.03
    flash_time: float = 8.8e-6  # [s]
    flash_time_spread: float = 0.05  # relative, our choice: 25 % of the time would leave up to 1e-2 at 30 us
    drop_per_gev: float = 4.27e-4  # [1/GeV]
    drop_time: float = 18e-6  # [s]
    spread: float = 0.25  # relative, of amplitudes
    double_pulse: bool = False
    recovery_time: float = 15e-9  # [s]
    recovery_spread: float = 0.1  # relative, our choice
    temperature: bool = False
    per_kelvin: float = -0.04  # best estimate (recalled)
    per_kelvin_spread: float = 0.1  # relative, our choice
    kelvin_at_begin: float = 0.5  # above the temperature of the calibration at the begin of run: our choice
    kelvin_per_hour: float = 0.05  # our choice
    kelvin_of_day: float = 0.3  # amplitude of the swing in 24 hours: our choice

    def __post_init__(self) -> None:
        for name in ("flash_time", "drop_time", "recovery_time"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} s is out of bounds: give a positive time.")
        if not 0.0 <= self.flash_amplitude < 1.0:
            raise ValueError(f"flash_amplitude = {self.flash_amplitude} is out of bounds: give 0 to 1, 1 excluded.")

    def kelvin(self, seconds: float) -> float:
        """Temperature of the SiPMs above that of the calibration, `seconds` after the begin of run [K]."""
        if not self.temperature:
            return 0.0
        swing = self.kelvin_of_day * math.sin(2.0 * math.pi * seconds / _DAY)
        return self.kelvin_at_begin + self.kelvin_per_hour * seconds / 3600.0 + swing


class GainConstants(NamedTuple):
    """What decides the gain of a pulse: flat arrays over 1296 channels.

    Attributes
    ----------
    flash_amplitude, flash_time [s]
        Sag after the flash of the injection, amplitude exp(-t/time), t since injection.
    drop_per_gev [1/GeV], drop_time [s]
        Sag that every pulse adds to later ones.
    missing_per_gev [1/GeV], recovery_time [s]
        Share of the pixels' charge that a pulse takes from later ones: 1 / (energy that fires every pixel).
    out_of_fill
        Gain over that of the calibration, the same in the whole fill.
    saturation [GeV]
        Energy that would fire every pixel once.
    """

    flash_amplitude: Floats
    flash_time: Floats
    drop_per_gev: Floats
    drop_time: Floats
    missing_per_gev: Floats
    recovery_time: Floats
    out_of_fill: Floats
    saturation: Floats


@scalar
def faded(value: float, interval: float, time_constant: float) -> float:
    """Return what is left of a sag or of missing charge some time later."""
    return value * math.exp(-interval / time_constant)


@scalar
def flash_sag(time: float, amplitude: float, time_constant: float) -> float:
    """Return the sag of the injection's flash at a time of the fill [s]; none before the injection."""
    return amplitude * math.exp(-time / time_constant) if time >= 0.0 else 0.0


@scalar
def gain_factor(missing: float, sag: float, out_of_fill: float) -> float:
    """Return the height of a pulse over that with all pixels charged at the full voltage of the calibration."""
    return (1.0 - missing) * (1.0 - sag) * out_of_fill


@scalar
def missing_after(missing: float, height: float, per_gev: float) -> float:
    """Return the missing charge behind a pulse of a height at rest [GeV]: it takes its share of what is there.

    With per_gev = light yield / pixels this is the mean over the pixels, whether a pixel fires being independent
    of what it did before; pulses at one time together fire what their summed light would.
    """
    return min(missing + per_gev * height * (1.0 - missing), _MOST_MISSING)


@scalar
def saturated(light: float, saturation: float) -> float:
    """Return the height at rest [GeV] of a pulse of light [GeV]: pixels fire once."""
    return -saturation * math.expm1(-light / saturation) if saturation < math.inf else light


@scalar
def desaturated(height: float, saturation: float) -> float:
    """Return the light [GeV] that makes a height at rest [GeV]; the inverse of `saturated`."""
    return -saturation * math.log1p(-min(height / saturation, _MOST_FIRED)) if saturation < math.inf else height


@Kernel
def _apply_step(
    i: int,
    channel: NDArray,
    bounds: NDArray,
    time: Floats,
    height: Floats,
    light: Floats,
    g: GainConstants,
    seen: Floats,
) -> None:
    """Heights of the i-th channel's pulses as the gain leaves them."""
    c = channel[i]
    missing = drop = 0.0
    before = time[bounds[i]]
    for j in range(bounds[i], bounds[i + 1]):
        interval, before = time[j] - before, time[j]
        missing = faded(missing, interval, g.recovery_time[c])
        drop = faded(drop, interval, g.drop_time[c])
        sag = flash_sag(time[j], g.flash_amplitude[c], g.flash_time[c]) + drop
        seen[j] = height[j] * gain_factor(missing, sag, g.out_of_fill[c])
        missing = missing_after(missing, height[j], g.missing_per_gev[c])
        drop += g.drop_per_gev[c] * light[j]


@Kernel
def _undo_step(
    i: int, channel: NDArray, bounds: NDArray, time: Floats, seen: Floats, g: GainConstants, light: Floats
) -> None:
    """Light of the i-th channel's pulses from their heights: `_apply_step` the other way round."""
    c = channel[i]
    missing = drop = 0.0
    before = time[bounds[i]]
    for j in range(bounds[i], bounds[i + 1]):
        interval, before = time[j] - before, time[j]
        missing = faded(missing, interval, g.recovery_time[c])
        drop = faded(drop, interval, g.drop_time[c])
        sag = flash_sag(time[j], g.flash_amplitude[c], g.flash_time[c]) + drop
        height = seen[j] / gain_factor(missing, sag, g.out_of_fill[c])
        light[j] = desaturated(height, g.saturation[c])
        missing = missing_after(missing, height, g.missing_per_gev[c])
        drop += g.drop_per_gev[c] * light[j]


def _in_order(channel: NDArray[np.int64], time: Floats, height: Floats) -> tuple[NDArray, NDArray, NDArray]:
    """Order by channel and time, the channels that have pulses, and where each begins (and the end)."""
    order = np.lexsort((height, time, channel))
    found, first = np.unique(channel[order], return_index=True)
    return order, found.astype(np.int64), np.append(first, len(order)).astype(np.int64)


def apply_gains(
    channel: NDArray[np.int64], time: Floats, height: Floats, light: Floats, gains: GainConstants
) -> Floats:
    """Heights of pulses as recovery, sag and temperature leave them.

    Parameters
    ----------
    channel : int64 array (n,)
        54 calo + crystal, in any order.
    time : array [s]
        In the fill.
    height : array [GeV]
        In a SiPM at rest, as energy: of `light` with the pixels' saturation.
    light : array [GeV]
    gains : GainConstants

    Returns
    -------
    array (n,) [GeV]
        Exactly `height` where the constants are neutral.
    """
    seen = np.zeros(len(channel))
    if len(channel):
        order, channels, bounds = _in_order(channel, time, height)
        out = np.zeros(len(channel))
        _apply_step(len(channels), channels, bounds, time[order], height[order], light[order], read_only(gains), out)
        seen[order] = out
    return seen


def undo_gains(channel: NDArray[np.int64], time: Floats, seen: Floats, gains: GainConstants) -> Floats:
    """Light of pulses from their heights: the inverse of saturation and :func:`apply_gains`.

    Exact to rounding where every pulse of a channel is seen; a pulse that is missed leaves its sag in later ones.

    Parameters
    ----------
    channel, time, gains
        As in :func:`apply_gains`.
    seen : array (n,) [GeV]
        Heights as energy.
    """
    light = np.zeros(len(channel))
    if len(channel):
        order, channels, bounds = _in_order(channel, time, seen)
        out = np.zeros(len(channel))
        _undo_step(len(channels), channels, bounds, time[order], seen[order], read_only(gains), out)
        light[order] = out
    return light
