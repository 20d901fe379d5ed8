"""Kicker transient B_k: the eddy currents of the kick lower the field while the muons are counted."""

import math

import numpy as np

from fields.transients import KickerTransient
from gm2sim.injection import dipole_changes, eddy_tail
from gm2sim.machine import layout
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Finding, Number
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study
from gm2sim.studies.transient import TIMES, Watched, weights
from tracking.changes import Changes

_EDDY_MG = 10.0  # where the configuration has no eddy currents: best estimate
_PPB, _US, _URAD = 1e9, 1e6, 1e6


@study("kicker-transient", key="b_k_ppb", muons=256)
def kicker_transient(case: Case) -> Finding:
    """Kicker transient B_k: shift of omega_a by the eddy currents' field, same muons with and without it.

    The field decays along the kickers, 8.5 % of the ring; a fit takes the phase that it costs for a frequency, with
    the weights of :func:`fields.transients.fit_weight`. The formula is that of the field averaged over the ring.
    """
    kick = case.config.kickers
    config = case.config.with_(kickers__eddy_mg=kick.eddy_mg or _EDDY_MG)
    eddy = eddy_tail(config)
    assert eddy is not None
    ring = layout(config)
    transient = KickerTransient(eddy, ring)
    watched = Watched(case, case.drawn())
    added = watched.drift(Changes(math.inf, dipoles=dipole_changes(config, ring)))
    value, error = mean(weights(case) @ added / case.omega_a)
    b0 = case.reference.b0
    formula = transient.fitted_shift(b0)
    field_30 = float(transient.average(np.array([30e-6]))[0]) / b0
    table = (
        Number("B_k", value * _PPB, error * _PPB, "ppb", formula * _PPB,
               remark=f"shift of omega_a for {config.kickers.eddy_mg:g} mG at 30 us, {config.kickers.eddy_us:g} us"),
        Number("tracked less formula", (value - formula) * _PPB, error * _PPB, "ppb", 0.0),
        Number("per mG at 30 us", value * _PPB / config.kickers.eddy_mg, error * _PPB / config.kickers.eddy_mg,
               "ppb/mG", formula * _PPB / config.kickers.eddy_mg),
        Number("field at 30 us, averaged over the ring", field_30 * _PPB, unit="ppb"),
        Number("for the published value", -27.0 / (value * _PPB) * config.kickers.eddy_mg, unit="mG",
               remark="eddy field at 30 us that would give -27 ppb"),
    )  # fmt: skip
    phase = added.mean(axis=1)
    t = np.linspace(1e-6, 300e-6, 300)
    start = float(np.average(phase - case.omega_a * value * TIMES, weights=np.exp(-(TIMES - TIMES[0]) / case.lifetime)))
    panels = (
        Panel("time [μs]", "phase added [μrad]", (
            Curve("tracked", TIMES * _US, phase * _URAD, added.std(axis=1) / math.sqrt(watched.muons.n) * _URAD),
            Curve("line of the fit", TIMES * _US, (start + case.omega_a * value * TIMES) * _URAD, line=True),
        )),
        Panel("time [μs]", "ΔB/B averaged over the ring [ppb]", (
            Curve("eddy currents", t * _US, transient.average(t) / b0 * _PPB, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "The size of the eddy field is a best estimate; the shift is proportional to it.")
