"""Radial magnetic field: it lifts the beam until the quads push it back."""

import math

import numpy as np

from fields.storage import StorageField
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.registry import study
from tracking.bunch import Bunch
from tracking.optics import optics

_PPM = np.array([-100.0, -50.0, 50.0, 100.0])
_PLACES = 48
_TURNS = 1000
_PPB, _MM = 1e9, 1e3


@study("radial-field", muons=16)
def radial_field(case: Case) -> Finding:
    """Radial field: mean height of the beam and shift of omega_a per part per million of B_r.

    The vertical force of B_r is balanced by the quads: <y> = R0 B_r/(n B0). The closed orbit is that of the tracker,
    averaged over the azimuth; n is the mean gradient's. The axis of the precession leans with the field, which makes
    omega_a grow by (B_r/B0)^2/2 (G. W. Bennett et al., Phys. Rev. D 80 (2009) 052008, where the same tilt of the spin
    imitates an electric dipole moment); but in a ring a radial field that is the same everywhere has, by div B = 0,
    the vertical field B0 - B_r y/R0, and the beam stands at y = R0 B_r/(n B0): in all -(1/n - 1/2)(B_r/B0)^2. A muon
    at the magic momentum on its closed orbit, paired with B_r = 0.
    """
    radius, n, b0 = case.reference.r0, case.tables.field_index, case.reference.b0
    muon = Bunch.empty(1).with_momentum(case.delta_magic, case.reference)
    plain = None
    heights, shifts = [], []
    for ppm in (0.0, *_PPM):
        coefficients = np.zeros(6, np.complex128)
        coefficients[0] = b0 * (1.0 + 1e-6j * ppm)
        tables = case.variant(storage=StorageField.from_coefficients(coefficients))
        around = optics(tables, 2.0 * math.pi * np.arange(1, _PLACES) / _PLACES).lattice
        start = muon._replace(y=around.y[:1].copy(), py=around.py[:1].copy())
        omega = float(case.precession(start, _TURNS, tables).omega[0])
        plain = omega if plain is None else plain
        heights.append(float(around.y.mean()))
        shifts.append(omega / plain - 1.0)
    y, shift = np.array(heights[1:]), np.array(shifts[1:])
    slope = float(np.sum(_PPM * y) / np.sum(_PPM**2))
    formula = radius / n * 1e-6
    second = -(1.0 / n - 0.5)
    fine = np.linspace(-110.0, 110.0, 45)
    table = (
        Number("mean height per ppm", slope * _MM, unit="mm/ppm", formula=formula * _MM, remark="R0/(n B0)"),
        Number("ratio to the formula", slope / formula, formula=1.0),
        Number("shift of omega_a at 100 ppm", float(shift[-1]) * _PPB, unit="ppb", formula=second * 1e-8 * _PPB,
               remark="-(1/n - 1/2)(B_r/B0)^2"),
        Number("mean height without", heights[0] * _MM, unit="mm", formula=0.0),
    )  # fmt: skip
    panels = (
        Panel("radial field B_r/B0 [ppm]", "mean height [mm]", (
            Curve("closed orbit", _PPM, y * _MM), Curve("R0 B_r/(n B0)", fine, formula * fine * _MM, line=True),
        )),
        Panel("radial field B_r/B0 [ppm]", "shift of ω_a [ppb]", (
            Curve("tracked spins", _PPM, shift * _PPB),
            Curve("−(1/n − 1/2)(B_r/B0)²", fine, second * (1e-6 * fine) ** 2 * _PPB, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "No statistics: one muon on its closed orbit.")
