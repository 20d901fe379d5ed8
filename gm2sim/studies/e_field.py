"""Electric-field correction."""

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import controlled_mean, mean
from gm2sim.studies.registry import study
from tracking.muon import MASS, Reference

DRAWN = 200_000  # muons of which formulas are averaged
_TURNS = 1000
_PPB, _MM = 1e9, 1e3


@study("e-field", key="c_e_ppb", muons=1024)
def e_field(case: Case) -> Finding:
    """Electric-field correction C_e, muon by muon against the same muon at the magic momentum.

    Muons off the magic momentum feel the radial field of the quads in their rest frame:
    C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2 (T. Albahri et al., Phys. Rev. Accel. Beams 24 (2021) 044002). Each muon
    is tracked a second time with the same betatron motion and the magic momentum; its C_e is what the frequency
    lacks. The index that belongs in the formula is that of the momentum compaction, n = 1 - 1/alpha_c: the
    radial force averages to zero on a closed orbit, so the mean electric field is x_e - R0 delta whatever the
    arrangement of quads. The next order is that of exact circular orbits, :func:`circular_shift`.
    """
    muons, many = case.stored(_TURNS), case.drawn(DRAWN)
    off = case.precession(muons, _TURNS)
    magic = case.precession(case.at_momentum(muons, case.delta_magic), _TURNS)
    tracked = 1.0 - off.omega / magic.omega

    reference, n = case.reference, 1.0 - 1.0 / case.optics.momentum_compaction

    def leading(x_e: Floats) -> Floats:
        return np.asarray(2.0 * n * (1.0 - n) * reference.beta0**2 * (x_e / reference.r0) ** 2)

    def next_order(delta: ArrayLike) -> Floats:
        return -circular_shift(delta, n, reference, case.config.physics.anomaly)

    exact, exact_many = next_order(case.delta(muons)), next_order(case.delta(many))
    value, error = controlled_mean(tracked, exact, exact_many)
    x_e, x_e_many = case.x_e(muons), case.x_e(many)
    formula = float(leading(x_e_many).mean())
    rest, rest_error = mean(tracked - exact)
    here, here_error = mean(tracked)
    table = (
        Number("C_e", value * _PPB, error * _PPB, "ppb", formula * _PPB, None, "formula: leading order"),
        Number("C_e, next order", exact_many.mean() * _PPB, mean(exact_many)[1] * _PPB, "ppb",
               remark="exact circular orbits, no tracking"),
        Number("tracked less next order", rest * _PPB, rest_error * _PPB, "ppb", 0.0, None, "mean over the muons"),
        Number("C_e of the tracked muons alone", here * _PPB, here_error * _PPB, "ppb",
               float(leading(x_e).mean()) * _PPB),
        Number("mean x_e", x_e_many.mean() * _MM, mean(x_e_many)[1] * _MM, "mm"),
        Number("spread of x_e", x_e_many.std() * _MM, x_e_many.std() * _MM / np.sqrt(2 * DRAWN), "mm"),
        Number("field index", n, formula=case.tables.field_index, remark="1 - 1/alpha_c; formula: mean gradient"),
        Number("numerical error", float(np.max(off.error / off.omega)) * _PPB, unit="ppb",
               remark="largest of any muon"),
    )  # fmt: skip
    order = np.argsort(x_e)
    fine = np.linspace(x_e.min(), x_e.max(), 101)
    panels = (
        Panel("equilibrium radius x_e [mm]", "shift of ω_a [ppb]", (
            Curve("tracked spins", x_e * _MM, -tracked * _PPB),
            Curve("−2n(1−n)β²x_e²/R0²", fine * _MM, -leading(fine) * _PPB, line=True),
        )),
        Panel("equilibrium radius x_e [mm]", "tracked − leading order [ppb]", (
            Curve("tracked spins", x_e * _MM, (leading(x_e) - tracked) * _PPB),
            Curve("next order", x_e[order] * _MM, (leading(x_e) - exact)[order] * _PPB, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "In the run presets the width of x_e was chosen to give the published C_e.")


def circular_shift(delta: ArrayLike, n: float, reference: Reference, anomaly: float) -> Floats:
    """Relative shift of omega_a on the circular orbit of a momentum in the continuous ring.

    Force balance p/r = e B0 - e E/(beta c), E = kappa x, and the Thomas-BMT rate with beta, B, E at right
    angles (J. D. Jackson, Classical Electrodynamics, eq. 11.171): omega_a = (e/m)[a B0 - (a - 1/(gamma^2 -
    1)) beta E/c]; exact, no expansion.

    Parameters
    ----------
    delta : array
        p/p0 - 1 outside the quads, at potential 0.
    n : float
        Field index kappa R0/(beta0 c B0).
    reference : Reference
    anomaly : float
    """
    mass = MASS / reference.p0_gev
    kappa = n * reference.beta0  # in units of c B0/R0
    outside = np.hypot(1.0 + np.asarray(delta, float), mass)
    u = np.asarray(delta, float) / (1.0 - n)
    energy = outside
    for _ in range(8):  # Newton's method: quadratic, exact after four steps
        energy = outside + 0.5 * kappa * u * u  # the potential is -kappa x^2/2
        p = np.sqrt(energy**2 - mass**2)
        miss = p / (1.0 + u) - 1.0 + kappa * u * energy / p
        u = u - miss / (kappa * energy / p - p / (1.0 + u) ** 2)
    beta, gamma = np.sqrt(1.0 - (mass / energy) ** 2), energy / mass
    return np.asarray(-(1.0 - 1.0 / (anomaly * (gamma**2 - 1.0))) * beta * kappa * u)
