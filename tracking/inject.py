"""Injected beam: muons as they leave the inflector, drawn from Twiss parameters and cut by its exit aperture.

Numbers are pure functions of (fill, muon number), see :mod:`gpu.rng`. What happens to the muons next is in
:mod:`tracking.entry` (first quad, outside its plates) and :mod:`tracking.turns` (kickers, apertures, turns).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from fields.inflector import ExitTable, InflectorExit, inside_exit
from gpu.fastmath import sincos
from gpu.kernel import Kernel, scalar
from gpu.rng import FillKey, Stage, exponential, normal2, uniform2
from tracking.bunch import Bunch
from tracking.bunch_shape import T0, Profile, TimeTable, distribution
from tracking.draw import injection_time
from tracking.muon import LIFETIME, MASS, Reference

MAX_TRIES = 64
"""Draws of a muon before it is put at the centre of the aperture; a beam of which a tenth fits comes to this once
in a thousand muons, one of which a third fits once in 1e11."""
# Draw numbers of Stage.BEAM: 0 injection time, 1 spin, then three for each try.
_FIRST_TRY = 2
_DRAWS_PER_TRY = 3
_BEAM, _DECAY_TIME = int(Stage.BEAM), int(Stage.DECAY_TIME)


@dataclass(frozen=True)
class InjectedBeam:
    """Distribution of the muons at the inflector exit, before its aperture has cut it.

    Attributes
    ----------
    x_mean, angle_mean
        Mean radial offset from R0 [m] and mean slope px/p (outwards) [rad].
    emittance_x, beta_x, alpha_x
        Radial emittance (rms) [m] and Twiss parameters [m].
    dispersion, dispersion_angle
        Change of radial offset [m] and slope [rad] with the relative momentum.
    y_mean, angle_y_mean
        Mean height [m] and vertical slope [rad].
    emittance_y, beta_y, alpha_y
        Vertical emittance (rms) [m] and Twiss parameters [m].
    delta_mean, delta_sigma
        Relative momentum offset from p0: mean and width.
    delta_time_slope
        Change of the mean momentum offset with the injection time [1/s].
    phase, phase_slope, phase_spread
        Phase of the precession, as in :class:`tracking.source.StoredBeam`.
    profile
        Time profile of the bunch: (time [s], weight) nodes of a piecewise-linear density.
    exit
        Aperture of the inflector's exit.
    """

    x_mean: float = 0.0744
    angle_mean: float = -0.9e-3
    emittance_x: float = 11.8e-6
    beta_x: float = 1.5
    alpha_x: float = 0.0
    dispersion: float = 0.0
    dispersion_angle: float = 0.0
    y_mean: float = 0.0
    angle_y_mean: float = 0.0
    emittance_y: float = 8.0e-6
    beta_y: float = 10.0
    alpha_y: float = 0.0
    delta_mean: float = 0.0
    delta_sigma: float = 0.016
    delta_time_slope: float = 0.0
    phase: float = 2.08
    phase_slope: float = -1.03
    phase_spread: float = 0.0
    profile: TimeTable = T0
    exit: InflectorExit = field(default_factory=InflectorExit)

    def __post_init__(self) -> None:
        for name in ("emittance_x", "emittance_y", "delta_sigma", "phase_spread"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} = {getattr(self, name):g} of the injected beam is negative: give 0 or more.")
        for name in ("beta_x", "beta_y"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} = {getattr(self, name):g} m of the injected beam: give more than 0 m.")
        distribution(self.profile)


class Source(NamedTuple):
    """The beam as a kernel needs it."""

    x_mean: float
    angle_mean: float
    size_x: float  # sqrt(emittance beta) [m]
    slope_x: float  # sqrt(emittance/beta) [rad]
    alpha_x: float
    dispersion: float
    dispersion_angle: float
    y_mean: float
    angle_y_mean: float
    size_y: float
    slope_y: float
    alpha_y: float
    delta_mean: float
    delta_sigma: float
    delta_time_slope: float
    phase: float
    phase_slope: float
    phase_spread: float
    p0: float  # [GeV/c]


def sample_injected(beam: InjectedBeam, key: FillKey, n: int, reference: Reference, *, backend: str = "cpu") -> Bunch:
    """Draw the muons of one fill at the inflector exit.

    Parameters
    ----------
    beam
        The distribution.
    key
        Names the fill: with it and the muon's number every value is fixed.
    n
        Number of muons that leave the inflector, numbered from 0; a longer bunch begins with the same muons.
    reference
        Reference of the ring.
    backend
        "cpu" or "gpu".

    Returns
    -------
    Bunch
        n muons at theta = 0. Each decays at ``stop_time``, an exponential of its dilated lifetime after injection.

    Raises
    ------
    ValueError
        If n is negative.
    """
    if n < 0:
        raise ValueError(f"muons = {n} is negative: give 0 or more.")
    source = Source(
        x_mean=beam.x_mean,
        angle_mean=beam.angle_mean,
        size_x=math.sqrt(beam.emittance_x * beam.beta_x),
        slope_x=math.sqrt(beam.emittance_x / beam.beta_x),
        alpha_x=beam.alpha_x,
        dispersion=beam.dispersion,
        dispersion_angle=beam.dispersion_angle,
        y_mean=beam.y_mean,
        angle_y_mean=beam.angle_y_mean,
        size_y=math.sqrt(beam.emittance_y * beam.beta_y),
        slope_y=math.sqrt(beam.emittance_y / beam.beta_y),
        alpha_y=beam.alpha_y,
        delta_mean=beam.delta_mean,
        delta_sigma=beam.delta_sigma,
        delta_time_slope=beam.delta_time_slope,
        phase=beam.phase,
        phase_slope=beam.phase_slope,
        phase_spread=beam.phase_spread,
        p0=reference.p0_gev,
    )
    bunch = Bunch.empty(n)
    _draw(n, bunch, source, beam.exit.table(), distribution(beam.profile), *map(int, key), backend=backend)
    return bunch


@scalar
def _phase_space(
    seed: int, run: int, subrun: int, fill: int, particle: int, draw: int, time: float, source: Source
) -> tuple[float, float, float, float, float]:
    """x, slope, y, slope and momentum offset of one try."""
    a, b = normal2(seed, run, subrun, fill, _BEAM, particle, draw)
    c, d = normal2(seed, run, subrun, fill, _BEAM, particle, draw + 1)
    g, _ = normal2(seed, run, subrun, fill, _BEAM, particle, draw + 2)
    delta = source.delta_mean + source.delta_time_slope * time + source.delta_sigma * g
    x = source.x_mean + source.dispersion * delta + source.size_x * a
    slope_x = source.angle_mean + source.dispersion_angle * delta + source.slope_x * (b - source.alpha_x * a)
    y = source.y_mean + source.size_y * c
    return x, slope_x, y, source.angle_y_mean + source.slope_y * (d - source.alpha_y * c), delta


@Kernel
def _draw(
    i: int,
    bunch: Bunch,
    source: Source,
    aperture: ExitTable,
    profile: Profile,
    seed: int,
    run: int,
    subrun: int,
    fill: int,
) -> None:
    """Fill in muon i of a bunch at the inflector exit."""
    particle = bunch.number[i]
    u, _ = uniform2(seed, run, subrun, fill, _BEAM, particle, 0)
    time = injection_time(u, profile)
    x, slope_x, y, slope_y, delta = source.x_mean, source.angle_mean, source.y_mean, source.angle_y_mean, 0.0
    for attempt in range(MAX_TRIES):
        draw = _FIRST_TRY + _DRAWS_PER_TRY * attempt
        a, b, c, d, g = _phase_space(seed, run, subrun, fill, particle, draw, time, source)
        if inside_exit(a, c, aperture) and g > -0.5:
            x, slope_x, y, slope_y, delta = a, b, c, d, g
            break
    p = 1.0 + delta
    energy = math.sqrt(p * source.p0 * (p * source.p0) + MASS * MASS)
    across = 1.0 / math.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    bunch.x[i], bunch.px[i] = x, p * slope_x * across
    bunch.y[i], bunch.py[i] = y, p * slope_y * across
    bunch.time[i] = time
    bunch.energy[i] = energy
    g, _ = normal2(seed, run, subrun, fill, _BEAM, particle, 1)
    behind = source.phase + source.phase_slope * delta + source.phase_spread * g
    s, c = sincos(math.atan2(slope_x, 1.0) + behind)  # what lags the momentum stands outwards of it
    bunch.sx[i], bunch.sy[i], bunch.ss[i] = s, 0.0, c
    waited = exponential(seed, run, subrun, fill, _DECAY_TIME, particle, 0)
    bunch.stop_time[i] = time + LIFETIME * (energy / MASS) * waited
