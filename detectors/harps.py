"""Fibre harps: the light of the stored muons that cross their fibres, as waveforms, and the beam found back from it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.ibms import LIGHT_PER_METRE
from detectors.trace import Response, Trace, light_of, light_waveforms
from fields.ring import FibreHarp
from gpu.rng import FillKey
from tracking.crossings import Crossings

Floats = NDArray[np.float64]
RESPONSE = Response(60.0)  # best estimate: 5000 muons stay below half of the range
_BEFORE = 0.5e-6  # of injection: the first samples are quiet [s]
_QUIET = 200  # samples before any bunch


class HarpSignal(NamedTuple):
    """What a harp saw: muons on each fibre, shape (fibres,), and the turns of the beam, shape (fibres, turns)."""

    places: Floats  # of the fibres [m]
    muons: Floats  # in all
    by_turn: Floats


def harp_trace(duration: float) -> Trace:
    """Trace at 800 MHz from before injection until a time [s] after it."""
    samples = math.ceil((duration + _BEFORE) / (8 * 1.25e-9)) * 8
    return Trace(-_BEFORE, samples)


def harp_waveforms(
    crossings: Crossings, harps: tuple[FibreHarp, ...], first: int, trace: Trace, key: FillKey, crate: int
) -> NDArray[np.int16]:
    """Waveforms of all fibres of some harps that share a crate.

    Parameters
    ----------
    crossings : Crossings
        Of one fill.
    harps : tuple of FibreHarp
    first : int
        Number of the first of them in the ring.
    trace : Trace
    key : FillKey
    crate : int
        Names the random numbers.

    Returns
    -------
    int16 array (fibres of all, samples) [counts]
    """
    ends = np.cumsum([0] + [harp.fibres for harp in harps])
    mine = (crossings.harp >= first) & (crossings.harp < first + len(harps))
    row = ends[crossings.harp[mine] - first] + crossings.fibre[mine]
    sample = np.ceil((crossings.time[mine] - trace.start) / trace.period).astype(np.int64)
    inside = (sample >= 0) & (sample < trace.samples)
    path = np.zeros((int(ends[-1]), trace.samples))
    np.add.at(path, (row[inside], sample[inside]), crossings.path[mine][inside])
    channels = range(int(ends[-1]))
    return light_waveforms(LIGHT_PER_METRE * path, (RESPONSE,) * len(channels), trace, key, crate, channels)


def harp_signal(samples: ArrayLike, harp: FibreHarp, trace: Trace, period: float) -> HarpSignal:
    """Muons on each fibre, in all and turn by turn.

    Parameters
    ----------
    samples : array (fibres, samples) [counts]
        Of one harp.
    harp : FibreHarp
    trace : Trace
    period : float
        Of a turn [s]; the first begins when half of a turn has passed since injection, and the pulses' delay.
    """
    mean_light = LIGHT_PER_METRE * 0.25 * math.pi * harp.diameter
    muons = light_of(samples, _QUIET) / (RESPONSE.charge * mean_light)
    turn = np.floor((trace.times - RESPONSE.delay) / period - harp.theta / (2.0 * math.pi) + 0.5).astype(np.int64)
    kept = turn >= 0
    whole = int(turn[-1])  # the last turn may be cut
    by_turn = np.zeros((len(muons), whole + 1))
    for row, one in enumerate(muons):
        by_turn[row] = np.bincount(turn[kept], one[kept], whole + 1)
    return HarpSignal(harp.places, by_turn.sum(axis=1), by_turn[:, :whole])
