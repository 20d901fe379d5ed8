"""Precession in a field that changes during the fill: the same muons with and without the change."""

import math

import numpy as np

from gm2sim.machine import layout, quad_settings
from gm2sim.studies.case import Case
from gm2sim.studies.outcome import Floats
from gm2sim.studies.precession import fit_times
from tracking.bunch import Bunch
from tracking.changes import Changes
from tracking.frequency import spin_phase
from tracking.stations import RingTables, ring_tables

_EVERY = 8  # turns between looks at the spins: below half a turn of the angle, 14


class Watched:
    """Muons in the uniform field, followed to the end of the fit; then again with a field that changes.

    Parameters
    ----------
    case : Case
    muons : Bunch
    """

    def __init__(self, case: Case, muons: Bunch) -> None:
        self.case, self.muons = case, muons
        self.tables = room_for_dipoles(case)
        self.plain = self._angles(None)

    def drift(self, changes: Changes) -> Floats:
        """Angle between spin and momentum that the change has added at :func:`precession.fit_times`, (times, n) [rad].

        A field that lowers the dipole also makes the orbit longer: angles are compared at the same time, not in the
        same turn.
        """
        angle, time = self._angles(changes)
        base, at = self.plain
        added = angle - base - self.case.omega_a * (time - at)
        grid = fit_times()
        return np.array([np.interp(grid, t, one) for t, one in zip(at.T, added.T, strict=True)]).T

    def _angles(self, changes: Changes | None) -> tuple[Floats, Floats]:
        """Angle [rad] and time [s] of each look, (looks, n) each."""
        turns = math.ceil(fit_times()[-1] / self.case.reference.period) + 2 * _EVERY
        result = self.case.track(
            self.muons, turns, self.tables, observers=(0.0,), every=_EVERY, collimators=False, changes=changes
        )
        seen = result.samples
        assert seen is not None
        angle = spin_phase(seen.px[0], seen.py[0], seen.sx[0], seen.ss[0], self.muons.energy, self.tables.reference)
        return angle, seen.time[0]


def room_for_dipoles(case: Case) -> RingTables:
    """The ring in the uniform field with room for dipoles that change."""
    config = case.config
    return ring_tables(
        layout(config), quad_settings(config), case.storage, scheme=config.tracking.scheme,
        refine=config.tracking.refine, anomaly=config.physics.anomaly, magnetic_order=1,
    )  # fmt: skip


def weights(case: Case) -> Floats:
    """Weights of the angles at :func:`precession.fit_times` in the shift of omega_a that a fit finds [1/s].

    :func:`precession.fitted_shift` is linear in the phase: the angle added counts with these, over omega_a.
    """
    t = fit_times()
    weight = np.exp(-(t - t[0]) / case.lifetime)
    lever = weight * (t - np.average(t, weights=weight))
    return np.asarray(lever / np.sum(lever * t))
