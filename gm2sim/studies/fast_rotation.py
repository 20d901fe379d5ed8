"""C_e of the fast-rotation analysis beside that of the muons' own momenta."""

from typing import NamedTuple

import numpy as np

from gm2sim.fast_rotation import (
    Comparison,
    JointComparison,
    JointFit,
    Revolution,
    Settings,
    analyse_muons,
    joint_fit_of_muons,
    measured_ring,
)
from gm2sim.fast_rotation.joint import fold
from gm2sim.panels import Curve, Panel
from gm2sim.studies.case import Case
from gm2sim.studies.injected import Fill
from gm2sim.studies.outcome import Finding, Floats, Number
from gm2sim.studies.precession import mean
from gm2sim.studies.registry import study
from tracking.muon import Reference
from tracking.optics import Optics

_PPB, _MM, _NS = 1e9, 1e3, 1e9
_SLOTS = 15  # of injection time, 10 ns
_FEWEST = 0.01  # share of the muons in a slot that is drawn
_GROUPS = 5  # of the jackknife of the joint fit, half a second each


class Momenta(NamedTuple):
    """What the analysis needs to know of the muons: arrays (n,), and their ring."""

    delta: Floats
    time: Floats  # at the inflector exit [s]
    optics: Optics
    reference: Reference

    @property
    def revolution(self) -> Revolution:
        """Revolution times of the tracker's closed orbits."""
        return measured_ring(self.optics.deltas, self.optics.periods, self.reference)

    def compare(self, *, corrected: bool) -> Comparison:
        """The cosine transform beside the truth."""
        return analyse_muons(
            self.delta, self.time, n=self.optics.field_index, reference=self.reference, corrected=corrected,
            revolution=self.revolution,
        )  # fmt: skip

    def joint(self, guide: str, groups: int = 0) -> JointComparison:
        """The joint fit beside the truth."""
        return joint_fit_of_muons(
            self.delta, self.time, n=self.optics.field_index, reference=self.reference, revolution=self.revolution,
            guide=guide, groups=groups,
        )  # fmt: skip


def momenta(case: Case) -> Momenta:
    """Muons of the configured source: stored ones as drawn, or those that are left 35 us after injection."""
    if case.config.beam.source == "injected":
        fill = Fill(case)
        kept = fill.stored
        return Momenta(fill.delta(fill.muons)[kept], fill.at_exit.time[kept], fill.optics, fill.ring.reference)
    muons = case.drawn()
    return Momenta(case.delta(muons), muons.time, case.optics, case.reference)


class Joint(NamedTuple):
    """The joint fit of momentum and injection time in its three ways."""

    own: JointComparison
    halves: JointComparison
    alone: JointComparison

    def rows(self) -> tuple[Number, ...]:
        """Differences to the momenta."""
        own, halves, alone = self
        return (
            Number("joint fit less momenta", own.difference_ppb, own.difference_error_ppb, "ppb", 0.0,
                   remark="given the time profile of each momentum"),
            Number("joint fit, profiles of other muons", halves.difference_ppb, halves.difference_error_ppb, "ppb", 0.0,
                   remark="each half of the muons with the other half's profiles"),
            Number("joint fit, signal alone", alone.difference_ppb, alone.fit.unseen_ppb, "ppb", 0.0,
                   remark="error: what the signal does not tell"),
        )  # fmt: skip


def joint(beam: Momenta) -> Joint:
    """The joint fit in its three ways; the signal alone without jackknife."""
    return Joint(beam.joint("own", _GROUPS), beam.joint("halves", _GROUPS), beam.joint("none"))


def correlation_panel(beam: Momenta, fits: Joint) -> Panel:
    """Mean x_e by injection time, of the muons and of the joint fits."""
    relation, chosen = beam.revolution, Settings(replicas=0)
    phase = fold(beam.time / relation.period_of(beam.delta), chosen, beam.reference)
    x_e = relation.x_e_of(beam.delta)
    slot = np.clip(np.floor((phase + 0.5) * _SLOTS).astype(int), 0, _SLOTS - 1)
    drawn = np.flatnonzero(np.bincount(slot, minlength=_SLOTS) > max(2.0, _FEWEST * slot.size))
    middle = ((np.arange(_SLOTS) + 0.5) / _SLOTS - 0.5) * beam.reference.period * _NS
    here, bars = (np.array(column) * _MM for column in zip(*(mean(x_e[slot == k]) for k in drawn), strict=True))

    def line(label: str, fit: JointFit) -> Curve:
        return Curve(label, middle[drawn], fit.mean_x_e(_SLOTS)[0][drawn] * _MM, line=True)

    return Panel("injection time within a turn [ns]", "mean x_e [mm]", (
        Curve("momenta", middle[drawn], here, bars),
        line("joint fit", fits.own.fit),
        line("joint fit, signal alone", fits.alone.fit),
    ))  # fmt: skip


@study("fast-rotation", key="c_e_ppb", muons=300_000)
def fast_rotation(case: Case) -> Finding:
    """Fast-rotation analysis: distribution of x_e and C_e beside the momenta of the same muons.

    The cosine transform of the bunch structure with its t0 and background, as the experiment does it
    (:mod:`gm2sim.fast_rotation`), the same with the bunch's own form factor for each momentum, which takes away the
    bias of a correlation of momentum and injection time, and the joint fit of both. Of an injected beam, where they
    are correlated, the joint fit is the result. No counting noise; errors are those of the sampling of the muons
    (jackknife). The beam is the configured one, stored or injected.
    """
    beam = momenta(case)
    plain, corrected, fits = beam.compare(corrected=False), beam.compare(corrected=True), joint(beam)
    truth = plain.truth.radii
    spread = float(np.std(beam.delta**2))
    error = truth.c_e_ppb * spread / float(np.mean(beam.delta**2)) / np.sqrt(beam.delta.size)
    time = beam.time - beam.time.mean()
    x_e = beam.optics.mean_dispersion * beam.delta
    slope = float(np.sum(time * x_e) / np.sum(time**2)) if np.any(time) else float("nan")
    found = plain.result
    best, how = found.c_e_ppb, "fast rotation"
    if case.config.beam.source == "injected":
        best, how = fits.own.fit.radii.c_e_ppb, "joint fit"
    table = (
        Number("C_e", best, error, "ppb", truth.c_e_ppb, None,
               f"{how}; formula: momenta; error: sampling of the muons"),
        Number("C_e by the cosine transform", found.c_e_ppb, error, "ppb", truth.c_e_ppb),
        Number("fast rotation less momenta", plain.difference_ppb, plain.difference_error_ppb, "ppb", 0.0,
               remark="same muons"),
        Number("the same with form factor", corrected.difference_ppb, corrected.difference_error_ppb, "ppb", 0.0),
        *fits.rows(),
        Number("mean x_e", found.x_e_mean * _MM, mean(x_e)[1] * _MM, "mm", truth.mean * _MM, None, "cosine transform"),
        Number("width of x_e", found.x_e_width * _MM, truth.width * _MM / np.sqrt(2 * x_e.size), "mm",
               truth.width * _MM, None, "cosine transform"),
        Number("t0", found.t0 * _NS, unit="ns",
               remark=f"phase of the bunch; its mean is at {beam.time.mean() * _NS:.1f} ns"),
        Number("slope of x_e against injection time", slope * _MM / _NS, unit="mm/ns"),
        Number("muons analysed", float(beam.delta.size)),
    )  # fmt: skip
    radius, shared = found.x_e * _MM, fits.own.fit
    per = np.gradient(found.revolution_frequency, radius)
    panels = (
        Panel("equilibrium radius x_e [mm]", "density [1/mm]", (
            Curve("fast rotation", radius, found.density * np.abs(per)),
            Curve("momenta", radius, plain.truth.density * np.abs(per), line=True),
            Curve("joint fit", shared.x_e * _MM, shared.density.sum(axis=1) / np.abs(np.gradient(shared.x_e * _MM))),
        )),
        Panel("frequency [kHz]", "cosine transform", (
            Curve("transform", found.frequency * 1e-3, found.cosine, line=True),
            Curve("background", found.frequency * 1e-3, found.background, line=True),
        )),
        correlation_panel(beam, fits),
    )  # fmt: skip
    return Finding(table, panels, "In the run presets the width of x_e was chosen to give the published C_e.")
