"""The ring against the voltage of the quads."""

import math

import numpy as np

from gm2sim.panels import Curve, Panel
from gm2sim.report.published import data_set_of, published
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.optics import optics

_FACTORS = np.linspace(0.85, 1.25, 9)  # on the configured voltage
_DELTA = 1.5e-3  # of the pair that C_e is measured with
_SLOPE = 1.5e-3  # vertical slope of the muon that C_p is measured with, over p0
_TURNS = 1000
_KHZ, _PPB, _KV = 1e-3, 1e9, 1e-3
# Lines m nu_x + k nu_y = integer that a weakly focusing ring can meet between n = 0.09 and 0.14
# (Y. K. Semertzidis et al., NIM A 503 (2003) 458).
_RESONANCES = ((0, 3, 1), (1, -2, 0), (2, -2, 1), (1, 3, 2), (2, 1, 2), (1, 1, 1))


@study("n-scan", key="cbo_khz", muons=16)
def n_scan(case: Case) -> Finding:
    """Tunes, CBO frequency, C_e and C_p against the voltage of the quads.

    At each voltage: optics of the tracker, and three muons more: a pair at +-delta for C_e (the odd term
    cancels), one with a vertical slope for C_p. Formulas: nu_x = sqrt(1 - n), nu_y = sqrt(n), f_CBO = f_c (1 -
    nu_x), C_e = 2 n (1 - n) beta^2 x_e^2/R0^2 and C_p = psi_0^2/4 of a smooth ring with the mean gradient's n.
    Shifts of omega_a are quoted at x_e = 10 mm and a vertical amplitude of 10 mm.
    """
    reference = case.reference
    rows = []
    for factor in _FACTORS:
        tables = case.variant(voltage_scale=float(factor))
        ring = optics(tables)
        muons = Bunch.empty(4).with_momentum(np.array([0.0, _DELTA, -_DELTA, 0.0]) + case.delta_magic, reference)
        muons = muons._replace(py=np.array([0.0, 0.0, 0.0, _SLOPE]))
        omega = case.precession(muons, _TURNS, tables).omega
        x_e = ring.mean_dispersion * _DELTA
        c_e = -float(np.mean(omega[1:3] / omega[0] - 1.0)) * (0.01 / x_e) ** 2
        c_p = -float(omega[3] / omega[0] - 1.0) * (0.01 / (_SLOPE * float(ring.lattice.beta_y[0]))) ** 2
        n = tables.field_index
        smooth_e = 2.0 * n * (1.0 - n) * reference.beta0**2 * (0.01 / reference.r0) ** 2
        smooth_p = n * (0.01 / reference.r0) ** 2 / 4.0
        smooth_cbo = ring.f_c * (1.0 - math.sqrt(1.0 - n))
        rows.append((factor, n, ring.nu_x, ring.nu_y, ring.f_cbo, smooth_cbo, c_e, smooth_e, c_p, smooth_p))
    factors, n, nu_x, nu_y, cbo, smooth_cbo, c_e, smooth_e, c_p, smooth_p = np.array(rows).T
    here = optics(case.tables)
    index = case.tables.field_index
    voltage = case.config.quads.voltage_kv * factors
    theirs = published("field_index", data_set_of(case.config.run.run))
    crossed = resonances(voltage, nu_x, nu_y)
    table = (
        Number("f_CBO", here.f_cbo * _KHZ, unit="kHz", formula=here.f_c * (1.0 - math.sqrt(1.0 - index)) * _KHZ,
               remark="linear optics at the set voltage; formula: smooth ring"),
        Number("field index", here.field_index, formula=index, published=theirs,
               remark="1 - nu_x^2; formula: mean gradient"),
        Number("nu_x", here.nu_x, formula=math.sqrt(1.0 - index)),
        Number("nu_y", here.nu_y, formula=math.sqrt(index)),
        *(Number(f"voltage of {name}", at, unit="kV", remark="resonance") for name, at in crossed),
    )  # fmt: skip
    panels = (
        Panel("quad voltage [kV]", "tune", (
            Curve("ν_x", voltage, nu_x), Curve("ν_y", voltage, nu_y),
            Curve("√(1−n)", voltage, np.sqrt(1.0 - n), line=True), Curve("√n", voltage, np.sqrt(n), line=True),
        )),
        Panel("quad voltage [kV]", "f_CBO [kHz]", (
            Curve("tracker", voltage, cbo * _KHZ), Curve("smooth ring", voltage, smooth_cbo * _KHZ, line=True),
        )),
        Panel("quad voltage [kV]", "correction at 10 mm [ppb]", (
            Curve("C_e, tracked", voltage, c_e * _PPB), Curve("C_p, tracked", voltage, c_p * _PPB),
            Curve("C_e, formula", voltage, smooth_e * _PPB, line=True),
            Curve("C_p, formula", voltage, smooth_p * _PPB, line=True),
        )),
    )  # fmt: skip
    return Finding(
        table, panels, "The CBO frequency of a beam lies off that of linear optics by its amplitudes' detuning."
    )


def resonances(voltage: np.ndarray, nu_x: np.ndarray, nu_y: np.ndarray) -> list[tuple[str, float]]:
    """Resonances m nu_x + k nu_y = integer met inside the scan: name and voltage, by linear interpolation.

    Parameters
    ----------
    voltage, nu_x, nu_y : arrays (k,)
        In order of the voltage.
    """
    found = []
    for m, k, integer in _RESONANCES:
        off = m * nu_x + k * nu_y - integer
        for i in np.flatnonzero(off[1:] * off[:-1] < 0.0):
            at = voltage[i] - off[i] * (voltage[i + 1] - voltage[i]) / (off[i + 1] - off[i])
            terms = [f"{'' if abs(c) == 1 else abs(c)} nu_{axis}".strip() for c, axis in ((m, "x"), (k, "y")) if c]
            found.append((f"{(' - ' if k < 0 else ' + ').join(terms)} = {integer}", float(at)))
    return found
