"""Stored-beam source: muons as they circulate after injection, kick and scraping, drawn at theta = 0.

Injection itself is not tracked: the state it leaves is drawn. Every muon leaves the kickers as if it had
started from one *virtual injection point*, x_v at theta = 0, because inflector position and kick are the same
for all; a muon of equilibrium radius x_e then oscillates with the coherent amplitude x_v - x_e around it. So
muons of low momentum oscillate more and all turn back at about x_v on the outside, which gives the peak at
+18 mm and the inward tail of the radial profiles that the trackers see. Incoherent amplitudes (finite phase
space of the inflector) are added as a matched Gaussian, and muons that would touch a collimator in the long
run are drawn again.

Numbers are pure functions of (fill, muon number), see :mod:`gpu.rng`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gpu.rng import FillKey
from tracking.bunch import Bunch
from tracking.bunch_shape import T0, TimeTable, distribution
from tracking.draw import Place, Shape, Start, draw_muon
from tracking.optics import Optics


@dataclass(frozen=True)
class StoredBeam:
    """Distribution of the stored muons at theta = 0 before the collimators have cut it.

    Radial and vertical amplitudes are those at the mean beta function R0/nu. The cut makes the stored widths
    smaller than the sigmas given here; :mod:`tracking.match` says what is stored, and finds the parameters
    for what should be.

    Attributes
    ----------
    x_e_mean, x_e_sigma
        Equilibrium radius from R0: mean and width of the Gaussian before the cut [m].
    betatron_x_sigma, betatron_y_sigma
        Incoherent betatron position spread [m].
    cbo_amplitude
        Coherent radial amplitude of muons at x_e_mean [m].
    cbo_phase
        The mean radius at theta = 0 moves as cos(2 pi nu_x turn + cbo_phase) [rad].
    kick_correlation
        Fall of the coherent amplitude per unit of x_e: 1 for one virtual injection point, 0 for the same
        amplitude at every momentum.
    breathing_y
        Relative excess of the vertical spread at theta = 0 over its mean, missing a quarter period later;
        makes the vertical width oscillate at f_VW.
    y_offset
        Coherent vertical displacement at theta = 0, which oscillates at f_y [m]. (A *constant* offset of the
        beam is a closed orbit and comes from the ring's radial field.)
    phase, phase_slope, phase_spread
        Phase phi of the precession N(t) ~ 1 + A cos(omega_a t - phi): a muon enters with its spin in the
        horizontal plane, an angle phi behind its momentum [rad]; change of phi with delta [rad]; Gaussian
        spread [rad]. The spin of a forward mu+ is opposite to its momentum when the pion decays (neutrinos
        are left-handed), phi = pi, and gains a gamma (1 + delta) times the bend angle of the beam line: four
        turns of the delivery ring and the transfer lines, 31 rad, leave 2.08 rad and the slope -1.06 rad =
        -10.6 mrad per percent.
    profile
        Time profile of the bunch: (time [s], weight) nodes of a piecewise-linear density.
    x_e_time_slope
        Momentum-time correlation: x_e of the muons injected later minus earlier [m/s].
    aperture_radius
        Radius of the collimators [m].
    edge
        Muons are kept if they stay inside aperture_radius + edge [m]; above 0 it leaves muons to be lost.
    """

    x_e_mean: float = 6.0e-3
    x_e_sigma: float = 9.0e-3
    betatron_x_sigma: float = 10.0e-3
    betatron_y_sigma: float = 12.9e-3
    cbo_amplitude: float = 10.0e-3
    cbo_phase: float = 0.0
    kick_correlation: float = 1.0
    breathing_y: float = 0.0
    y_offset: float = 0.0
    phase: float = 2.08
    phase_slope: float = -1.03
    phase_spread: float = 0.0
    profile: TimeTable = T0
    x_e_time_slope: float = 0.0
    aperture_radius: float = 0.045
    edge: float = 0.0

    def __post_init__(self) -> None:
        widths = ("x_e_sigma", "betatron_x_sigma", "betatron_y_sigma", "cbo_amplitude", "phase_spread")
        for name in widths:
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} = {getattr(self, name):g} of the beam is negative: give 0 or more.")
        if not -1.0 <= self.breathing_y <= 1.0:
            raise ValueError(f"breathing_y = {self.breathing_y:g} of the beam is out of bounds: give -1 to 1.")
        if self.aperture_radius + self.edge <= abs(self.x_e_mean):
            raise ValueError(
                f"x_e_mean = {self.x_e_mean:g} m lies outside the aperture of "
                f"{self.aperture_radius + self.edge:g} m: no muon can be stored there."
            )
        distribution(self.profile)


def sample(beam: StoredBeam, key: FillKey, n: int, optics: Optics, *, backend: str = "cpu") -> Bunch:
    """Draw the stored muons of one fill.

    Parameters
    ----------
    beam
        The distribution.
    key
        Names the fill: with it and the muon's number every value is fixed.
    n
        Number of muons, numbered from 0; a longer bunch begins with the same muons.
    optics
        Optics of the ring, with the collimators as the azimuths of its lattice (all but theta = 0 count as
        apertures; if there are none, theta = 0 does).
    backend
        "cpu" or "gpu".

    Returns
    -------
    Bunch
        n stored muons at theta = 0 at their injection times. Each decays at ``stop_time``, an exponential of
        the lifetime dilated by its own energy outside the quads (Stage.DECAY_TIME).

    Raises
    ------
    ValueError
        If n is negative.
    """
    if n < 0:
        raise ValueError(f"muons = {n} is negative: give 0 or more.")
    bunch = Bunch.empty(n)
    shape, place, start = _tables(beam, optics)
    draw_muon(n, bunch, shape, place, start, distribution(beam.profile), *map(int, key), backend=backend)
    return bunch


def _tables(beam: StoredBeam, optics: Optics) -> tuple[Shape, Place, Start]:
    """Numbers for the kernel."""
    reference, at = optics.reference, optics.lattice
    mean_beta_x, mean_beta_y = reference.r0 / optics.nu_x, reference.r0 / optics.nu_y
    # x(turn) = u cos(2 pi nu turn) + v sin(2 pi nu turn)
    cosine, sine = math.cos(beam.cbo_phase), -math.sin(beam.cbo_phase)
    shape = Shape(
        x_e_mean=beam.x_e_mean,
        x_e_sigma=beam.x_e_sigma,
        sigma_x=beam.betatron_x_sigma,
        sigma_u_y=beam.betatron_y_sigma * (1.0 + beam.breathing_y),
        sigma_v_y=beam.betatron_y_sigma * (1.0 - beam.breathing_y),
        coherent_u=beam.cbo_amplitude * cosine,
        coherent_v=beam.cbo_amplitude * sine,
        correlation_u=beam.kick_correlation * cosine,
        correlation_v=beam.kick_correlation * sine,
        y_offset=beam.y_offset,
        phase=beam.phase,
        phase_slope=beam.phase_slope,
        phase_spread=beam.phase_spread,
        x_e_time_slope=beam.x_e_time_slope,
        radius=beam.aperture_radius + beam.edge,
        p0=reference.p0_gev,
        mean_dispersion=optics.mean_dispersion,
    )
    place = Place(
        x=at.x,
        y=at.y,
        dispersion=at.dispersion,
        scale_x=np.sqrt(at.beta_x / mean_beta_x),
        scale_y=np.sqrt(at.beta_y / mean_beta_y),
    )
    start = Start(
        px=float(at.px[0]),
        py=float(at.py[0]),
        dispersion_px=float(at.dispersion_px[0]),
        alpha_x=float(at.alpha_x[0]),
        alpha_y=float(at.alpha_y[0]),
        root_x=math.sqrt(float(at.beta_x[0]) * mean_beta_x),
        root_y=math.sqrt(float(at.beta_y[0]) * mean_beta_y),
    )
    return shape, place, start
