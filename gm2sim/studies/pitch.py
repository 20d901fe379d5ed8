"""Pitch correction."""

import math

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.e_field import DRAWN
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import controlled_mean, mean
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.optics import Lattice, optics

_TURNS = 1000
_PLACES = 48  # azimuths of the optics: the means have errors of 1/48^2 from the kinks at the ends of the quads
_PPB, _MM = 1e9, 1e3


@study("pitch", key="c_p_ppb", muons=1024)
def pitch(case: Case) -> Finding:
    """Pitch correction C_p, muon by muon against the same muon without vertical motion.

    Both have the magic momentum, so that this and the pairs of :mod:`gm2sim.studies.e_field` add up to the whole.

    A muon whose path is inclined by psi feels the field less: C_p = <psi^2>/2, which in a smooth ring is n
    <y^2>/(2 R0^2) (F. J. M. Farley, Phys. Lett. B 42 (1972) 66; T. Albahri et al., Phys. Rev. Accel. Beams 24
    (2021) 044002). The formula printed is that of the experiment, with n from the CBO frequency and <y^2> over
    azimuth and time; <psi^2>/2 follows from the same amplitudes and the Courant-Snyder functions, J = y_0^2/beta:
    <psi^2> = J <(1 + alpha^2)/beta>/2.
    """
    many = case.drawn(DRAWN)
    muons = case.at_momentum(case.stored(_TURNS), case.delta_magic)
    around = optics(case.tables, 2.0 * math.pi * np.arange(1, _PLACES) / _PLACES).lattice
    oscillating = case.precession(muons, _TURNS)
    start = case.optics.lattice
    level = muons._replace(y=np.full(muons.n, start.y[0]), py=np.full(muons.n, start.py[0]))
    flat = case.precession(level, _TURNS)
    tracked = 1.0 - oscillating.omega / flat.omega

    n, radius = case.optics.field_index, case.reference.r0
    mean_gamma, mean_beta = float(np.mean((1.0 + around.alpha_y**2) / around.beta_y)), float(around.beta_y.mean())
    slope, slope_many = (0.25 * _action(bunch, around) * mean_gamma for bunch in (muons, many))
    y2_many = 0.5 * _action(many, around) * mean_beta
    value, error = controlled_mean(tracked, slope, slope_many)
    rest, rest_error = mean(tracked - slope)
    here, here_error = mean(tracked)
    formula = n * float(y2_many.mean()) / (2.0 * radius**2)
    rms = math.sqrt(float(y2_many.mean()))
    table = (
        Number("C_p", value * _PPB, error * _PPB, "ppb", formula * _PPB,
               remark="formula: n <y^2>/(2 R0^2), n from the CBO"),
        Number("C_p, mean square slope", slope_many.mean() * _PPB, mean(slope_many)[1] * _PPB, "ppb",
               remark="<psi^2>/2, no tracking"),
        Number("tracked less mean square slope", rest * _PPB, rest_error * _PPB, "ppb", 0.0,
               remark="mean over the muons"),
        Number("C_p of the tracked muons alone", here * _PPB, here_error * _PPB, "ppb", float(slope.mean()) * _PPB),
        Number("vertical RMS", rms * _MM, rms * _MM / math.sqrt(2 * DRAWN), "mm"),
        Number("field index", n, remark="1 - nu_x^2, from the CBO frequency", formula=case.optics.nu_y**2),
    )  # fmt: skip
    amplitude2 = _action(muons, around) * mean_beta
    fine = np.linspace(0.0, float(amplitude2.max()), 51)
    panels = (
        Panel("vertical amplitude squared [mm²]", "shift of ω_a [ppb]", (
            Curve("tracked spins", amplitude2 * _MM**2, -tracked * _PPB),
            Curve("−n y0²/(4R0²)", fine * _MM**2, -n * fine / (4 * radius**2) * _PPB, line=True),
        )),
        Panel("vertical amplitude [mm]", "tracked − ⟨ψ²⟩/2 [ppb]", (
            Curve("tracked spins", np.sqrt(amplitude2) * _MM, (slope - tracked) * _PPB),
        )),
    )  # fmt: skip
    return Finding(table, panels, "The vertical width of the run presets is that of the trackers.")


def _action(bunch: Bunch, lattice: Lattice) -> Floats:
    """Courant-Snyder invariant of the vertical motion, amplitude^2/beta [m]."""
    y, py = bunch.y - lattice.y[0], bunch.py - lattice.py[0]
    beta, alpha = lattice.beta_y[0], lattice.alpha_y[0]
    return np.asarray((y**2 + (alpha * y + beta * py) ** 2) / beta)
