"""The T0 counter: a scintillator that the bunch passes before the inflector, seen through two filters and by a SiPM.

Its signal is the time profile of the injected bunch, earlier by the flight to the exit of the inflector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.trace import Response, Trace, count_particles, light_of, light_waveforms
from gpu.rng import FillKey
from tracking.muon import LIGHT_SPEED

Floats = NDArray[np.float64]
Share = Callable[[Floats], Floats]
"""Share of the bunch that has left the inflector by given times [s]."""

CHANNELS = ("PMT A", "PMT B", "SiPM")
_PARTICLES = 60  # address of the particles that all channels see
_QUIET = 200  # samples before any bunch
_REACH = 250e-9  # of the mean, on either side of the middle of the signal [s]


@dataclass(frozen=True)
class T0Settings:
    """The counter: best estimates but for the filters.

    Attributes
    ----------
    distance : float [m]
        Along the beam to the exit of the inflector: 1.7 m of inflector (lyon-fnal/gm2geom @17163ed) and the hole in
        the yoke, in all the length of the tangent from the exit, 7.189 m from the centre, to 8.2 m.
    light : tuple of float
        Photoelectrons a particle: the filters pass 1 % (A) and 10 % (B) (nkinnaird/Dissertation @8f8e9eb).
    responses : tuple of Response
        So that 100 000 muons use half of the range.
    """

    distance: float = 4.0
    light: tuple[float, float, float] = (0.2, 2.0, 0.5)
    responses: tuple[Response, Response, Response] = (Response(6.0), Response(0.6), Response(2.4, 1.5e-9, 8.0e-9))
    trace: Trace = field(default_factory=lambda: Trace(-500e-9, 800))

    def flight(self, beta: float) -> float:
        """Time from the counter to the exit of the inflector [s]."""
        return self.distance / (beta * LIGHT_SPEED)


class T0Time(NamedTuple):
    """When the bunch passed the counter, and how much of it [counts x samples]; times without the pulse's delay [s]."""

    mean: float  # of the whole signal
    half: float  # its front reaches half of its height
    area: float


def expected_light(share: Share, particles: float, beta: float, settings: T0Settings) -> Floats:
    """Photoelectrons that are expected in each channel before each sample, shape (3, samples)."""
    arriving = particles * np.diff(share(settings.trace.edges + settings.flight(beta)))
    return np.asarray(np.multiply.outer(settings.light, arriving))


def t0_waveforms(
    share: Share, particles: float, beta: float, settings: T0Settings, key: FillKey, crate: int
) -> NDArray[np.int16]:
    """Waveforms of the three channels of one fill.

    The channels see the same particles, whose number before each sample is Poisson distributed.

    Parameters
    ----------
    share : callable
        Share of the bunch that has left the inflector by given times.
    particles : float
        Of the bunch.
    beta : float
        Velocity over that of light.
    settings : T0Settings
    key : FillKey
    crate : int
        Names the random numbers.

    Returns
    -------
    int16 array (3, samples) [counts]
    """
    arriving = particles * np.diff(share(settings.trace.edges + settings.flight(beta)))
    found = count_particles(arriving[None], key, crate, [_PARTICLES])[0]
    light = np.asarray(np.multiply.outer(settings.light, found))
    return light_waveforms(light, settings.responses, settings.trace, key, crate, range(len(CHANNELS)))


def t0_time(samples: ArrayLike, trace: Trace, response: Response) -> T0Time:
    """Find back when the bunch passed the counter.

    Parameters
    ----------
    samples : array (samples,) [counts]
        Waveform of one channel.
    trace : Trace
    response : Response
        Of the channel: its mean delay is taken off.

    Raises
    ------
    ValueError
        There is no bunch in the waveform.
    """
    signal = light_of(samples, _QUIET)
    quiet = float(signal[:_QUIET].std())
    top = int(np.argmax(signal))
    if not signal[top] > 8.0 * max(quiet, 1.0):
        raise ValueError("the T0 waveform holds no bunch: its highest sample is noise.")
    below = np.flatnonzero(signal[: top + 1] < 0.5 * signal[top])
    first = int(below[-1]) if below.size else 0
    rise = (0.5 * signal[top] - signal[first]) / max(signal[first + 1] - signal[first], 1e-12)
    half = trace.start + trace.period * (first + float(np.clip(rise, 0.0, 1.0)))
    # The window is centred on the signal, not on its highest sample, which is anywhere in a flat bunch.
    strong = signal > 0.5 * signal[top]
    middle = float(trace.times[strong].mean())
    near = np.abs(trace.times - middle) <= _REACH
    area = float(signal[near].sum())
    mean = float((signal * trace.times)[near].sum() / area)
    return T0Time(mean - response.delay, half - response.delay, area)
