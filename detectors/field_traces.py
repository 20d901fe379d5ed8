"""Traces of the kickers and of the quads: what their fields and voltages were in a fill, as digitised."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.trace import Trace, sampled
from fields.plates import PLATE_ORDER
from fields.pulse import Kickers
from fields.voltage import VoltageProgram
from gpu.rng import FillKey

Floats = NDArray[np.float64]

KICKER_TRACE = Trace(-0.5e-6, 3200, pedestal=0.0, noise=2.0)  # 800 MHz, 4 us: pulses ring for 1 us
COUNTS_PER_TESLA = 5e4  # 5 a gauss: 300 G, the design, are 1500: best estimate
# The whole fill and the charging before it. Rate of the ADC: best estimate, "slower" than 800 MHz.
QUAD_TRACE = Trace(-50e-6, 1504, period=0.5e-6, pedestal=0.0, noise=2.0)
COUNTS_PER_VOLT = 0.04  # 40 a kilovolt, 51 kV at most: best estimate


def kicker_waveforms(kickers: Kickers, key: FillKey, crate: int) -> NDArray[np.int16]:
    """The field between the plates of each kicker, outward kicks positive.

    Parameters
    ----------
    kickers : fields.pulse.Kickers
        The same from which the tracker's table is made.
    key : FillKey
    crate : int
        Names the random numbers.

    Returns
    -------
    int16 array (kickers, 3200) [counts]
    """
    field = kickers.fields(KICKER_TRACE.times)
    return sampled(COUNTS_PER_TESLA * field, KICKER_TRACE, key, crate, range(len(field)))


def quad_channels(quads: Mapping[str, ArrayLike]) -> tuple[str, ...]:
    """Names of the channels: four plates of each quad."""
    return tuple(f"{name} {plate}" for name in quads for plate in PLATE_ORDER)


def quad_waveforms(
    program: VoltageProgram, quads: Mapping[str, ArrayLike], key: FillKey, crate: int
) -> NDArray[np.int16]:
    """The voltages of all plates.

    Parameters
    ----------
    program : fields.voltage.VoltageProgram
        The same as the muons feel.
    quads : mapping
        Name of each quad -> nominal voltages of its plates [V], top, bottom, inner, outer.
    key : FillKey
    crate : int
        Names the random numbers.

    Returns
    -------
    int16 array (4 quads, 1504) [counts]
    """
    times = QUAD_TRACE.times
    volts = np.concatenate([program.voltages(name, nominal, times).T for name, nominal in quads.items()])
    return sampled(COUNTS_PER_VOLT * volts, QUAD_TRACE, key, crate, range(len(volts)))


def in_tesla(samples: ArrayLike) -> Floats:
    """Field of a kicker's waveform [T]."""
    return (np.asarray(samples, np.float64) - KICKER_TRACE.pedestal) / COUNTS_PER_TESLA


def in_volts(samples: ArrayLike) -> Floats:
    """Voltage of a plate's waveform [V]."""
    return (np.asarray(samples, np.float64) - QUAD_TRACE.pedestal) / COUNTS_PER_VOLT
