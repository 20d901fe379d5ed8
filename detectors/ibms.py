"""Inflector beam monitors: planes of scintillating fibres that see the injected beam in x and in y.

The beam at each of them is the one at the exit of the inflector, propagated along a straight line: a Gaussian whose
moments are those of a drift. Between the first monitor and the exit it really goes through the fringe of the magnet
and the inflector, whose field takes the place of none: both are left out, and so are the apertures, which cut the
tails. Saturation of the SiPMs is left out too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import curve_fit

from detectors.t0 import Share
from detectors.trace import Response, Trace, count_particles, light_of, light_waveforms
from fields.ring import RING
from gpu.rng import FillKey
from tracking.inject import InjectedBeam
from tracking.muon import LIGHT_SPEED

Floats = NDArray[np.float64]
FIBRES = 16  # of a plane: best estimate (recalled)
LIGHT_PER_METRE = 25e3  # photoelectrons of a fibre and metre of path: best estimate, 10 for the mean path in 0.5 mm
_QUIET = 200  # samples before any bunch


@dataclass(frozen=True)
class Ibms:
    """One monitor; its fibres are centred on the axis of the inflector.

    Attributes
    ----------
    number : int
    place : float [m]
        Along the beam from the exit of the inflector: best estimates.
    pitch : float [m]
        Distance of the fibres: best estimate (recalled for 1 and 2).
    axes : str
        "xy" or "x": of its planes.
    diameter : float [m]
        Of a fibre: best estimate (recalled).
    """

    number: int
    place: float
    pitch: float
    axes: str = "xy"
    diameter: float = 0.5e-3

    @property
    def fibres(self) -> Floats:
        """Places of the fibres across the beam from the axis of the inflector [m], shape (16,)."""
        return np.asarray(self.pitch * (np.arange(FIBRES) - 0.5 * (FIBRES - 1)))

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the fibres, plane by plane."""
        return tuple(f"{axis}{fibre + 1}" for axis in self.axes for fibre in range(FIBRES))


# Outside of the yoke, at the entrance of the inflector of 1.7 m, and beside the quads' chamber.
MONITORS = (Ibms(1, -3.9, 5.5e-3), Ibms(2, -1.75, 3.25e-3), Ibms(3, 0.15, 3.25e-3, "x"))
RESPONSE = Response(5.0)
TRACE = Trace(-500e-9, 800)


class Profile(NamedTuple):
    """The beam across one axis: mean and rms width [m], and what the fibres saw [counts x samples]."""

    mean: float
    width: float
    mean_error: float
    width_error: float
    areas: Floats


def beam_at(beam: InjectedBeam, place: float, axis: str) -> tuple[float, float]:
    """Mean and rms width [m] of the beam at a place, from the axis of the inflector.

    With s from the exit, sigma^2 = emittance (beta - 2 s alpha + s^2 (1 + alpha^2)/beta), and what the dispersion adds
    (E. D. Courant, H. S. Snyder, Ann. Phys. 3 (1958) 1).

    Parameters
    ----------
    beam : InjectedBeam
    place : float [m]
        From the exit, negative upstream.
    axis : str
        "x" or "y".
    """
    if axis == "y":
        mean, angle, emittance = beam.y_mean, beam.angle_y_mean, beam.emittance_y
        beta, alpha, dispersion = beam.beta_y, beam.alpha_y, 0.0
    else:
        mean, angle, emittance = beam.x_mean - RING.inflector.centre_offset, beam.angle_mean, beam.emittance_x
        beta, alpha = beam.beta_x, beam.alpha_x
        dispersion = beam.dispersion + place * beam.dispersion_angle
        mean, angle = (
            mean + beam.dispersion * beam.delta_mean,
            angle + beam.dispersion_angle * beam.delta_mean,
        )
    variance = emittance * (beta - 2.0 * place * alpha + place**2 * (1.0 + alpha**2) / beta)
    return mean + place * angle, math.sqrt(variance + (dispersion * beam.delta_sigma) ** 2)


def on_fibres(monitor: Ibms, beam: InjectedBeam) -> Floats:
    """Share of the beam that crosses each fibre, in the order of the channels.

    The density at the middle of the fibre times its diameter: right to (diameter/width)^2/24.
    """
    shares = []
    for axis in monitor.axes:
        mean, width = beam_at(beam, monitor.place, axis)
        u = (monitor.fibres - mean) / width
        shares.append(monitor.diameter / (math.sqrt(2.0 * math.pi) * width) * np.exp(-0.5 * u * u))
    return np.concatenate(shares)


def ibms_waveforms(
    monitor: Ibms, beam: InjectedBeam, share: Share, particles: float, beta: float, key: FillKey, crate: int
) -> NDArray[np.int16]:
    """Waveforms of all fibres of a monitor in one fill.

    Parameters
    ----------
    monitor : Ibms
    beam : InjectedBeam
        At the exit of the inflector.
    share : callable
        Share of the bunch that has left the inflector by given times [s].
    particles : float
        Of the bunch.
    beta : float
        Velocity over that of light.
    key : FillKey
    crate : int
        Names the random numbers.

    Returns
    -------
    int16 array (channels, 800) [counts]
    """
    arriving = particles * np.diff(share(TRACE.edges - monitor.place / (beta * LIGHT_SPEED)))
    channels = range(len(monitor.channels))
    crossing = count_particles(np.outer(on_fibres(monitor, beam), arriving), key, crate, channels)
    light = LIGHT_PER_METRE * 0.25 * math.pi * monitor.diameter * crossing
    return light_waveforms(light, (RESPONSE,) * len(channels), TRACE, key, crate, channels)


def ibms_profile(monitor: Ibms, samples: ArrayLike) -> dict[str, Profile]:
    """Find back mean and width of the beam: a Gaussian fitted to what the fibres saw, axis by axis.

    Errors are those of the fit, with the muons on each fibre as its statistics.

    Parameters
    ----------
    monitor : Ibms
    samples : array (channels, samples) [counts]

    Raises
    ------
    ValueError
        A plane saw no beam.
    """
    areas = light_of(samples, _QUIET)[:, _QUIET:].sum(axis=1).reshape(len(monitor.axes), FIBRES)
    return {axis: _fitted(monitor, area) for axis, area in zip(monitor.axes, areas, strict=True)}


def _fitted(monitor: Ibms, areas: Floats) -> Profile:
    """Gaussian through the areas of one plane."""
    z = monitor.fibres
    samples = TRACE.samples - _QUIET
    # Noise of the samples, and of the median that was taken off, whose variance is pi/2 of a mean's.
    empty = TRACE.noise * math.sqrt(samples + 0.5 * math.pi * samples**2 / _QUIET)
    light = LIGHT_PER_METRE * 0.25 * math.pi * monitor.diameter
    per_muon = RESPONSE.charge * light
    if not areas.max() > 8.0 * empty:
        raise ValueError(f"IBMS {monitor.number} saw no beam: no fibre stands above the noise.")
    strong = np.clip(areas, 0.0, None)
    mean = float(np.average(z, weights=strong))
    width = max(float(np.sqrt(np.average((z - mean) ** 2, weights=strong))), 0.5 * monitor.pitch)

    def gaussian(at: Floats, height: float, centre: float, sigma: float) -> Floats:
        return np.asarray(height * np.exp(-0.5 * ((at - centre) / sigma) ** 2))

    guess = (float(areas.max()), mean, width)
    for _ in range(3):  # the statistics of a fibre are those of the Gaussian, not of what it happened to see
        expected = np.clip(gaussian(z, *guess), 0.0, None)
        sigma = np.sqrt(expected * per_muon * (1.0 + 1.0 / light) + empty**2)
        guess, cov = curve_fit(gaussian, z, areas, guess, sigma, absolute_sigma=True)
    errors = np.sqrt(np.diag(cov))
    return Profile(float(guess[1]), abs(float(guess[2])), float(errors[1]), float(errors[2]), areas)
