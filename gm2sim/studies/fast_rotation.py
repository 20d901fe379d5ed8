"""C_e of the fast-rotation analysis beside that of the muons' own momenta."""

from typing import NamedTuple

import numpy as np

from gm2sim.fast_rotation import analyse_muons, measured_ring
from gm2sim.fast_rotation.muons import Comparison
from gm2sim.studies.case import Case
from gm2sim.studies.injected import Fill
from gm2sim.studies.outcome import Curve, Finding, Floats, Number, Panel
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study
from tracking.muon import Reference
from tracking.optics import Optics

_PPB, _MM, _NS = 1e9, 1e3, 1e9


class Momenta(NamedTuple):
    """What the analysis needs to know of the muons: arrays (n,), and their ring."""

    delta: Floats
    time: Floats  # at the inflector exit [s]
    optics: Optics
    reference: Reference

    def compare(self, *, corrected: bool) -> Comparison:
        """The analysis beside the truth, with the revolution times of the tracker's closed orbits."""
        ring = self.optics
        return analyse_muons(
            self.delta, self.time, n=ring.field_index, reference=self.reference, corrected=corrected,
            revolution=measured_ring(ring.deltas, ring.periods, self.reference),
        )  # fmt: skip


def momenta(case: Case) -> Momenta:
    """Muons of the configured source: stored ones as drawn, or those that are left 35 us after injection."""
    if case.config.beam.source == "injected":
        fill = Fill(case)
        kept = fill.stored
        return Momenta(fill.delta(fill.muons)[kept], fill.at_exit.time[kept], fill.optics, fill.ring.reference)
    muons = case.drawn()
    return Momenta(case.delta(muons), muons.time, case.optics, case.reference)


@study("fast-rotation", key="c_e_ppb", muons=300_000)
def fast_rotation(case: Case) -> Finding:
    """Fast-rotation analysis: distribution of x_e and C_e beside the momenta of the same muons.

    The cosine transform of the bunch structure with its t0 and background, as the experiment does it
    (:mod:`gm2sim.fast_rotation`), and the same with the bunch's own form factor for each momentum, which takes away
    the bias of a correlation of momentum and injection time. No counting noise; errors are those of the sampling of
    the muons (jackknife). The beam is the configured one, stored or injected.
    """
    beam = momenta(case)
    plain, corrected = beam.compare(corrected=False), beam.compare(corrected=True)
    truth = plain.truth.radii
    spread = float(np.std(beam.delta**2))
    error = truth.c_e_ppb * spread / float(np.mean(beam.delta**2)) / np.sqrt(beam.delta.size)
    time = beam.time - beam.time.mean()
    x_e = beam.optics.mean_dispersion * beam.delta
    slope = float(np.sum(time * x_e) / np.sum(time**2)) if np.any(time) else float("nan")
    found = plain.result
    table = (
        Number("C_e", found.c_e_ppb, error, "ppb", truth.c_e_ppb, None,
               "fast rotation; formula: momenta; error: sampling of the muons"),
        Number("fast rotation less momenta", plain.difference_ppb, plain.difference_error_ppb, "ppb", 0.0,
               remark="same muons"),
        Number("the same with form factor", corrected.difference_ppb, corrected.difference_error_ppb, "ppb", 0.0),
        Number("mean x_e", found.x_e_mean * _MM, mean(x_e)[1] * _MM, "mm", truth.mean * _MM),
        Number("width of x_e", found.x_e_width * _MM, truth.width * _MM / np.sqrt(2 * x_e.size), "mm",
               truth.width * _MM),
        Number("t0", found.t0 * _NS, unit="ns",
               remark=f"phase of the bunch; its mean is at {beam.time.mean() * _NS:.1f} ns"),
        Number("slope of x_e against injection time", slope * _MM / _NS, unit="mm/ns"),
        Number("muons analysed", float(beam.delta.size)),
    )  # fmt: skip
    radius = found.x_e * _MM
    per = np.gradient(found.revolution_frequency, radius)
    panels = (
        Panel("equilibrium radius x_e [mm]", "density [1/mm]", (
            Curve("fast rotation", radius, found.density * np.abs(per)),
            Curve("momenta", radius, plain.truth.density * np.abs(per), line=True),
            Curve("fast rotation, form factor", radius, corrected.result.density * np.abs(per)),
        )),
        Panel("frequency [kHz]", "cosine transform", (
            Curve("transform", found.frequency * 1e-3, found.cosine, line=True),
            Curve("background", found.frequency * 1e-3, found.background, line=True),
        )),
    )  # fmt: skip
    return Finding(table, panels, "In the run presets the width of x_e was chosen to give the published C_e.")
