"""Quad transient B_q: the plates ring under the pulsed voltage and change the field between them."""

import math
from functools import partial

import numpy as np

from fields.transients import FILLS, QuadTransient
from gm2sim.machine import layout
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study
from gm2sim.studies.transient import Watched, weights
from tracking.changes import Changes, DipoleChange

_PPB, _US = 1e9, 1e6


@study("quad-transient", key="b_q_ppb", muons=32)
def quad_transient(case: Case) -> Finding:
    """Quad transient B_q: shift of omega_a by vibrating plates in the fill of each of the sixteen bunches.

    The vibrations of :class:`fields.transients.QuadTransient`, a dipole along the quads; the same muons are tracked
    without it and once for each bunch. The amplitudes were chosen to give the published mean: what is tested is that
    spins on their orbits answer to the average over the ring.
    """
    ring = layout(case.config)
    transient = QuadTransient(ring=ring)
    watched, weight = Watched(case, case.drawn()), weights(case)
    per_bunch = []
    for bunch in range(FILLS):
        dipoles = tuple(
            DipoleChange(quad.theta_start, quad.theta_end, partial(transient.local, bunch=bunch)) for quad in ring.quads
        )
        per_bunch.append(weight @ watched.drift(Changes(math.inf, dipoles=dipoles)) / case.omega_a)
    shifts = np.array(per_bunch)  # (bunches, muons)
    b0 = case.reference.b0
    formula = transient.fitted_shifts(b0)
    value, error = mean(shifts.mean(axis=0))
    each, bars = (np.array(column) for column in zip(*(mean(one) for one in shifts), strict=True))
    table = (
        Number("B_q", value * _PPB, error * _PPB, "ppb", float(formula.mean()) * _PPB,
               remark="shift of omega_a, mean of the bunches"),
        Number("tracked less formula", (value - float(formula.mean())) * _PPB, error * _PPB, "ppb", 0.0),
        *(Number(f"bunch {k + 1}", float(each[k]) * _PPB, float(bars[k]) * _PPB, "ppb", float(formula[k]) * _PPB)
          for k in range(FILLS)),
    )  # fmt: skip
    number = np.arange(1, FILLS + 1)
    t = np.linspace(0.0, 650e-6, 300)
    panels = (
        Panel("bunch", "shift of ω_a [ppb]", (
            Curve("tracked", number, each * _PPB, bars * _PPB),
            Curve("field averaged over the ring", number, formula * _PPB, line=True),
        )),
        Panel("time [μs]", "ΔB/B averaged over the ring [ppb]", tuple(
            Curve(f"bunch {k + 1}", t * _US, transient.average(t, k) / b0 * _PPB, line=True) for k in (0, 1, 7, 15)
        )),
    )  # fmt: skip
    return Finding(table, panels, "Modes and amplitudes are best estimates, chosen for the published mean.")
