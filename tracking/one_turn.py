"""One turn of the ring as a map, from the tracker itself: its derivatives and its closed orbits.

A few dozen muons around an orbit go once around the ring; their differences give the derivatives of the very
map that the bunch is tracked with. The coordinates are those of the tracker: x, px, y, py, time and total
energy at fixed azimuth. delta is the momentum offset of a muon outside the quads, sqrt(e^2 - m^2) = p0 (1 +
delta).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tracking.bunch import Bunch
from tracking.muon import MASS, Reference
from tracking.stations import RingTables
from tracking.turns import track

FloatArray = NDArray[np.float64]

# Steps of the differences in x, px, y, py, time, energy over p0. The formula below leaves (h / 45 mm)^4 of
# the kick's fifth derivative, the 12-pole; rounding grows as 1/h. Both are 5e-12 of the map of the transverse
# coordinates.
_STEPS = np.array([1.25e-4, 1.75e-5, 1.25e-4, 1.75e-5, 1e-9, 2.5e-5])
# Fourth-order central difference: f' = sum w f(x + k h) / h + O(h^4), Abramowitz and Stegun 25.3.6.
STENCIL = ((1, 2.0 / 3.0), (-1, -2.0 / 3.0), (2, -1.0 / 12.0), (-2, 1.0 / 12.0))
_MAX_NEWTON = 12
_ROUNDING = 1e-15  # Newton step below which nothing is gained [m]
_CONVERGED = 1e-12  # rounding of the turn, amplified by the inverse of 1 - M for tunes near an integer [m]


class Turn(Protocol):
    """One turn of the ring from theta = 0.

    ``azimuths`` [rad] are the k places where the motion is looked at, rising and above 0; the call takes the
    coordinates (6, n) of n muons at theta = 0 and returns (k + 1, 6, n): at the azimuths and after the whole
    turn.
    """

    @property
    def azimuths(self) -> FloatArray:
        """Places of the first k results [rad]."""

    def __call__(self, state: FloatArray, /) -> FloatArray:
        """Coordinates at the azimuths and after the turn."""


class TrackedTurn:
    """One turn through the tracker, without collimators.

    The spin goes along where the ring has it, so that the loop compiled for the run serves here too.

    Parameters
    ----------
    tables
        The ring.
    azimuths
        Places to look at [rad], above 0.
    """

    def __init__(self, tables: RingTables, azimuths: Sequence[float] | FloatArray) -> None:
        self.tables = tables
        self.azimuths = np.sort(np.asarray(azimuths, np.float64))

    def __call__(self, state: FloatArray, /) -> FloatArray:
        """Coordinates (k + 1, 6, n) at the azimuths and after the turn, from those at theta = 0."""
        n = state.shape[1]
        names = ("x", "px", "y", "py", "time", "energy")
        bunch = Bunch.empty(n)._replace(**{name: row.copy() for name, row in zip(names, state, strict=True)})
        result = track(
            bunch,
            self.tables,
            1,
            spin=self.tables.options.spin,
            observers=self.azimuths.tolist(),
            collimators=False,
        )
        around = np.empty((self.azimuths.size + 1, 6, n))
        around[:, 5] = state[5]
        for row, name in enumerate(names[:5]):
            around[-1, row] = getattr(result.bunch, name)
            if result.samples is not None:
                around[:-1, row] = getattr(result.samples, name)[:, 0]
        return around


def energy_of(delta: FloatArray | float, reference: Reference) -> FloatArray:
    """Total energy of momentum p0 (1 + delta) outside the quads [GeV]."""
    return np.hypot(reference.p0_gev * (1.0 + np.asarray(delta, np.float64)), MASS)


def closed_orbits(turn: Turn, reference: Reference, deltas: Sequence[float] | FloatArray) -> FloatArray:
    """Closed orbits at theta = 0 by Newton's method on the one-turn map.

    Parameters
    ----------
    turn
        One turn of the ring.
    reference
        Reference of the ring.
    deltas
        Momentum offsets, shape (m,).

    Returns
    -------
    FloatArray
        x, px, y, py, shape (m, 4).

    Raises
    ------
    ValueError
        If no orbit closes for some delta.
    """
    state = np.zeros((6, len(deltas)))
    state[5] = energy_of(np.asarray(deltas), reference)
    state[0] = 1.1 * reference.r0 * np.asarray(deltas)  # D = R0 / (1 - n) is near enough
    step = np.full((len(deltas), 4), np.inf)
    for _ in range(_MAX_NEWTON):
        miss = (turn(state)[-1, :4] - state[:4]).T
        matrices = np.moveaxis(jacobians(turn, state, reference, 4)[-1, :4], -1, 0)
        step = np.where(np.all(np.isfinite(matrices), axis=(1, 2))[:, None], 0.0, np.inf)
        if not np.isfinite(step).all():
            break
        # The least-squares solution also exists where a plane is not focused at all.
        step = (np.linalg.pinv(np.eye(4) - matrices) @ miss[:, :, None])[:, :, 0]
        state[:4] += step.T
        if np.abs(step).max() < _ROUNDING:
            break
    size = np.abs(step).max(axis=1)
    if not (size < _CONVERGED).all():
        worst = float(np.asarray(deltas)[int(np.argmax(np.nan_to_num(size, nan=np.inf)))])
        raise ValueError(f"no closed orbit at delta = {worst:g}: it leaves the aperture or a plane is unstable.")
    return state[:4].T.copy()


def jacobians(turn: Turn, state: FloatArray, reference: Reference, columns: int) -> FloatArray:
    """Derivatives by the first `columns` coordinates, shape (k + 1, 6, columns, m) like the turn's result."""
    m = state.shape[1]
    steps = _STEPS * np.array([1.0, 1.0, 1.0, 1.0, 1.0, reference.p0_gev])
    shifted = np.repeat(state[:, None, None, :], columns, axis=1).repeat(len(STENCIL), axis=2)
    for j in range(columns):
        for s, (k, _) in enumerate(STENCIL):
            shifted[j, j, s] += k * steps[j]
    results = turn(np.ascontiguousarray(shifted.reshape(6, -1)))
    results = results.reshape(results.shape[0], 6, columns, len(STENCIL), m)
    weights = np.array([w for _, w in STENCIL])
    return np.asarray(np.einsum("acjsm,s,j->acjm", results, weights, 1.0 / steps[:columns]))
