"""Linear optics measured on the tracker itself: closed orbit, one-turn matrix, tunes, dispersion.

Nothing here knows a field: everything follows from the one-turn map of :mod:`tracking.one_turn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracking.muon import LIGHT_SPEED, MASS, Reference
from tracking.one_turn import STENCIL, TrackedTurn, Turn, closed_orbits, energy_of, jacobians
from tracking.stations import RingTables

FloatArray = NDArray[np.float64]
Row = tuple[str, float, str, str]

_DELTA_STEP = 5e-4
_SYMPLECTIC = np.kron(np.eye(3), np.array([[0.0, 1.0], [-1.0, 0.0]]))


class Lattice(NamedTuple):
    """Closed orbit and Courant-Snyder functions at some azimuths, theta = 0 first; arrays (k + 1,)."""

    theta: FloatArray  # azimuth [rad]
    x: FloatArray  # closed orbit of delta = 0 [m]
    px: FloatArray
    y: FloatArray  # [m]
    py: FloatArray
    beta_x: FloatArray  # [m]
    alpha_x: FloatArray
    beta_y: FloatArray  # [m]
    alpha_y: FloatArray
    phase_x: FloatArray  # phase advance from theta = 0 [cycles]
    phase_y: FloatArray
    dispersion: FloatArray  # d x_co / d delta [m]
    dispersion_px: FloatArray  # d px_co / d delta


@dataclass(frozen=True, eq=False)
class Optics:
    """What the ring does to a muon near the closed orbit; frequencies in Hz, lengths in m."""

    reference: Reference
    nu_x: float
    nu_y: float
    chromaticity_x: float
    chromaticity_y: float
    period: float  # of the closed orbit at delta = 0 [s]
    momentum_compaction: float
    matrix: FloatArray  # one turn in (x, px, y, py, ct, -e/p0) at theta = 0, shape (6, 6)
    orbits: FloatArray  # closed orbits (x, px, y, py) at theta = 0 for each delta, shape (len(deltas), 4)
    deltas: FloatArray
    tunes: FloatArray  # (nu_x, nu_y) for each delta
    periods: FloatArray  # time of one turn for each delta [s]
    lattice: Lattice

    @property
    def second_chromaticity_x(self) -> float:
        """Second derivative of the radial tune by delta."""
        return float(_second_derivative(self.tunes[:, 0]))

    @property
    def second_chromaticity_y(self) -> float:
        """Second derivative of the vertical tune by delta."""
        return float(_second_derivative(self.tunes[:, 1]))

    @property
    def f_c(self) -> float:
        """Cyclotron frequency."""
        return 1.0 / self.period

    @property
    def f_x(self) -> float:
        """Radial betatron frequency."""
        return self.nu_x * self.f_c

    @property
    def f_y(self) -> float:
        """Vertical betatron frequency."""
        return self.nu_y * self.f_c

    @property
    def f_cbo(self) -> float:
        """Frequency of the coherent radial motion seen at one azimuth, f_c - f_x."""
        return self.f_c - self.f_x

    @property
    def f_vw(self) -> float:
        """Frequency of the vertical width seen at one azimuth, f_c - 2 f_y."""
        return self.f_c - 2.0 * self.f_y

    @property
    def field_index(self) -> float:
        """Field index of the smooth ring with the same CBO frequency, 1 - nu_x^2."""
        return 1.0 - self.nu_x**2

    @property
    def mean_dispersion(self) -> float:
        """Dispersion averaged over the azimuth: x_e = mean_dispersion * delta."""
        return self.momentum_compaction * self.reference.r0

    @property
    def symplectic_error(self) -> float:
        """Largest element of M^T S M - S: how far the one-turn map is from keeping phase-space area."""
        return float(abs(self.matrix.T @ _SYMPLECTIC @ self.matrix - _SYMPLECTIC).max())

    def rows(self) -> list[Row]:
        """(name, value, unit, meaning) of every number, for printing."""
        at0 = Lattice(*(column[0] for column in self.lattice))
        return [
            ("n", self.field_index, "", "field index of the smooth ring with this radial tune, 1 - nu_x^2"),
            ("nu_x", self.nu_x, "", "radial tune"),
            ("nu_y", self.nu_y, "", "vertical tune"),
            ("chromaticity_x", self.chromaticity_x, "", "d nu_x / d delta"),
            ("chromaticity_y", self.chromaticity_y, "", "d nu_y / d delta"),
            ("chromaticity2_x", self.second_chromaticity_x, "", "d^2 nu_x / d delta^2"),
            ("chromaticity2_y", self.second_chromaticity_y, "", "d^2 nu_y / d delta^2"),
            ("f_c", self.f_c, "Hz", "cyclotron frequency"),
            ("f_x", self.f_x, "Hz", "radial betatron frequency"),
            ("f_y", self.f_y, "Hz", "vertical betatron frequency"),
            ("f_CBO", self.f_cbo, "Hz", "coherent betatron oscillation seen at one azimuth, f_c - f_x"),
            ("f_VW", self.f_vw, "Hz", "vertical width oscillation seen at one azimuth, f_c - 2 f_y"),
            ("T_c", self.period, "s", "time of one turn on the closed orbit"),
            ("x_co", float(at0.x), "m", "closed orbit at theta = 0, delta = 0: radial offset"),
            ("y_co", float(at0.y), "m", "closed orbit at theta = 0, delta = 0: height"),
            ("D", float(at0.dispersion), "m", "dispersion at theta = 0"),
            ("D_mean", self.mean_dispersion, "m", "dispersion averaged over the azimuth"),
            ("alpha_c", self.momentum_compaction, "", "momentum compaction"),
            ("beta_x", float(at0.beta_x), "m", "radial beta function at theta = 0"),
            ("alpha_x", float(at0.alpha_x), "", "radial alpha at theta = 0"),
            ("beta_y", float(at0.beta_y), "m", "vertical beta function at theta = 0"),
            ("alpha_y", float(at0.alpha_y), "", "vertical alpha at theta = 0"),
            (
                "symplectic_error",
                self.symplectic_error,
                "",
                "largest element of M^T S M - S of the one-turn matrix",
            ),
        ]


def optics(tables: RingTables, azimuths: int | Sequence[float] | FloatArray | None = None) -> Optics:
    """Optics of a ring as the tracker has it.

    Parameters
    ----------
    tables
        The ring, from :func:`tracking.stations.ring_tables`.
    azimuths
        Places of the lattice functions besides theta = 0 [rad]; the collimators if not given, as
        :func:`tracking.source.sample` wants it. A whole number k stands for k places in equal steps, theta = 0
        among them.

    Raises
    ------
    ValueError
        If no orbit closes, a plane is unstable, or the number of places is not positive.
    """
    if azimuths is None:
        azimuths = [collimator.theta for collimator in tables.ring.collimators]
    elif isinstance(azimuths, int):
        if azimuths < 1:
            raise ValueError(f"azimuths = {azimuths} is no number of places around the ring: give 1 or more.")
        azimuths = 2.0 * math.pi * np.arange(1, azimuths) / azimuths
    return measure(TrackedTurn(tables, azimuths), tables.reference)


def measure(turn: Turn, reference: Reference) -> Optics:
    """Optics of a ring given as its one-turn map.

    Parameters
    ----------
    turn
        One turn of the ring; its azimuths become the rows of the lattice.
    reference
        Reference of the ring.

    Raises
    ------
    ValueError
        If no orbit closes or a plane is unstable.
    """
    deltas = _DELTA_STEP * np.array([0.0] + [k for k, _ in STENCIL])
    orbits = closed_orbits(turn, reference, deltas)
    state = np.zeros((6, len(deltas)))
    state[:4] = orbits.T
    state[5] = energy_of(deltas, reference)
    around = turn(state)  # (k + 1, 6, m)
    matrices = jacobians(turn, state, reference, 6)  # (k + 1, 6, 6, m)
    tunes = np.array([_tunes(matrices[-1, :4, :4, i]) for i in range(len(deltas))])
    periods = around[-1, 4].copy()
    slip = _derivative(periods) / periods[0]
    chromaticity = _derivative(tunes)
    momentum = reference.p0_gev * (1.0 + deltas[0])
    return Optics(
        reference=reference,
        nu_x=float(tunes[0, 0]),
        nu_y=float(tunes[0, 1]),
        chromaticity_x=float(chromaticity[0]),
        chromaticity_y=float(chromaticity[1]),
        period=float(periods[0]),
        # dT/T = (alpha - 1/gamma^2) delta
        momentum_compaction=float(slip) + (MASS / math.hypot(momentum, MASS)) ** 2,
        matrix=_canonical(matrices[-1, :, :, 0], reference),
        orbits=orbits,
        deltas=deltas,
        tunes=tunes,
        periods=periods,
        lattice=_lattice(turn, around, matrices[..., 0]),
    )


def _derivative(values: FloatArray) -> FloatArray:
    """Derivative with respect to delta at 0 of values at the deltas of :func:`measure` (first axis)."""
    weights = np.array([0.0] + [w for _, w in STENCIL]) / _DELTA_STEP
    return np.asarray(np.tensordot(weights, values, axes=(0, 0)))


def _second_derivative(values: FloatArray) -> FloatArray:
    """Second derivative by delta at 0 of values at the deltas of :func:`measure` (first axis).

    Fourth-order central difference, Abramowitz and Stegun 25.3.24; the tunes round at 1e-12, the result at 1e-5.
    """
    weights = np.array([-5.0 / 2.0] + [{1: 4.0 / 3.0, 2: -1.0 / 12.0}[abs(k)] for k, _ in STENCIL]) / _DELTA_STEP**2
    return np.asarray(np.tensordot(weights, values, axes=(0, 0)))


def _canonical(matrix: FloatArray, reference: Reference) -> FloatArray:
    """One-turn matrix in (x, px, y, py, ct, -e/p0), in which the motion at fixed azimuth is Hamiltonian."""
    scale = np.array([1.0, 1.0, 1.0, 1.0, LIGHT_SPEED, -1.0 / reference.p0_gev])
    return np.asarray(matrix * scale[:, None] / scale[None, :])


def _tunes(matrix: FloatArray) -> tuple[float, float]:
    """Tunes in [0, 1) of a 4x4 one-turn matrix: its eigenvalues, each given to the plane it is nearest to."""
    angles = np.angle(np.linalg.eigvals(matrix)) / (2.0 * math.pi)
    found = []
    for start in (0, 2):
        smooth = _plane(matrix[start : start + 2, start : start + 2])[2]
        distance = np.mod(angles - smooth + 0.5, 1.0) - 0.5
        found.append(float(np.mod(smooth + distance[int(np.argmin(np.abs(distance)))], 1.0)))
    return found[0], found[1]


def _plane(block: FloatArray) -> tuple[float, float, float]:
    """beta [m], alpha and tune in [0, 1) of a 2x2 one-turn matrix: E. D. Courant, H. S. Snyder 1958."""
    half_trace = 0.5 * (block[0, 0] + block[1, 1])
    # sin^2 mu from the off-diagonal elements: 1 - cos^2 would lose digits near the integer tune.
    sin_squared = -block[0, 1] * block[1, 0] - 0.25 * (block[0, 0] - block[1, 1]) ** 2
    if not sin_squared > 0.0:
        raise ValueError(f"the motion is unstable: half the trace of a plane's one-turn matrix is {half_trace:.6g}.")
    sine = math.copysign(math.sqrt(sin_squared), block[0, 1])
    tune = math.atan2(sine, half_trace) / (2.0 * math.pi) % 1.0
    return float(block[0, 1]) / sine, float(block[0, 0] - block[1, 1]) / (2.0 * sine), tune


def _lattice(turn: Turn, around: FloatArray, matrices: FloatArray) -> Lattice:
    """Closed orbit, dispersion and Courant-Snyder functions at theta = 0 and at the azimuths of the turn."""
    places = np.roll(around, 1, axis=0)  # after the turn is theta = 0 again
    to_places = np.concatenate([np.eye(6)[None], matrices[:-1]])
    dispersion = _derivative(np.moveaxis(places[:, :2], -1, 0))
    (beta_x, alpha_x, phase_x), (beta_y, alpha_y, phase_y) = (
        _courant_snyder(matrices[-1, plane, plane], to_places[:, plane, plane]) for plane in (slice(0, 2), slice(2, 4))
    )
    columns = Lattice(
        theta=np.concatenate([[0.0], np.asarray(turn.azimuths, np.float64)]),
        x=places[:, 0, 0],
        px=places[:, 1, 0],
        y=places[:, 2, 0],
        py=places[:, 3, 0],
        beta_x=beta_x,
        alpha_x=alpha_x,
        beta_y=beta_y,
        alpha_y=alpha_y,
        phase_x=phase_x,
        phase_y=phase_y,
        dispersion=dispersion[:, 0],
        dispersion_px=dispersion[:, 1],
    )
    return Lattice(*(np.ascontiguousarray(column) for column in columns))


def _courant_snyder(one_turn: FloatArray, to_places: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """beta [m], alpha and phase advance [cycles] of one plane at the places that the matrices lead to."""
    beta0, alpha0, _ = _plane(one_turn)
    (m11, m12), (m21, m22) = np.moveaxis(to_places, 0, -1)
    along = beta0 * m11 - alpha0 * m12
    beta = (along**2 + m12**2) / beta0
    alpha = -(along * (beta0 * m21 - alpha0 * m22) + m12 * m22) / beta0
    # Both tunes of a weakly focusing ring are below 1, so the phase within a turn has no whole cycles.
    return beta, alpha, np.mod(np.arctan2(m12, along) / (2.0 * math.pi), 1.0)
