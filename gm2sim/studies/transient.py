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

TIMES = fit_times(500)
"""When angles are compared [s]."""
_EVERY = 12  # turns between looks at the spins: below half a turn of the angle, 14
_PLACES = 8  # azimuths of the looks


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
        """Angle between spin and momentum that the change has added at :data:`TIMES`, (times, n) [rad].

        A field that lowers the dipole also makes the orbit longer: angles are compared at the same time, not in the
        same turn. A dipole that is not the same all around bends the closed orbit too, and at one azimuth its slope
        would come in, times a gamma, as it decays: the looks are averaged over azimuths, as the calorimeters are.
        """
        angle, time = self._angles(changes)
        base, at = self.plain
        added = angle - base - self.case.omega_a * (time - at)
        seen = [
            [np.interp(TIMES, t, one) for t, one in zip(times.T, angles.T, strict=True)]
            for times, angles in zip(at, added, strict=True)
        ]
        return np.asarray(np.mean(seen, axis=0).T)

    def _angles(self, changes: Changes | None) -> tuple[Floats, Floats]:
        """Angle [rad] and time [s] of each look, (azimuths, looks, n) each."""
        turns = math.ceil(TIMES[-1] / self.case.reference.period) + 2 * _EVERY
        result = self.case.track(
            self.muons, turns, self.tables, observers=tuple(2.0 * math.pi * np.arange(_PLACES) / _PLACES),
            every=_EVERY, collimators=False, changes=changes,
        )  # fmt: skip
        seen = result.samples
        assert seen is not None
        angle = spin_phase(seen.px, seen.py, seen.sx, seen.ss, self.muons.energy, self.tables.reference, axis=1)
        return angle, seen.time


def room_for_dipoles(case: Case) -> RingTables:
    """The ring in the uniform field with room for dipoles that change."""
    config = case.config
    return ring_tables(
        layout(config), quad_settings(config), case.storage, scheme=config.tracking.scheme,
        refine=config.tracking.refine, anomaly=config.physics.anomaly, magnetic_order=1,
    )  # fmt: skip


def weights(case: Case) -> Floats:
    """Weights of the angles at :data:`TIMES` in the shift of omega_a that a fit finds [1/s].

    The weighted straight line of :func:`precession.fitted_shift` is linear in the phase. Here its sums are integrals
    by the trapezoidal rule: a field that decays while it is fitted is sensitive to half a step at the begin.
    """
    weight = np.exp(-(TIMES - TIMES[0]) / case.lifetime)
    weight[[0, -1]] *= 0.5
    lever = weight * (TIMES - np.average(TIMES, weights=weight))
    return np.asarray(lever / np.sum(lever * TIMES))
