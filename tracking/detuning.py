"""Amplitude detuning: how the tunes of a muon depend on the actions of its radial and vertical oscillation.

Measured on tracked muons, muon by muon, and in closed form to first order in the higher multipoles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fields.quads import QuadSettings
from fields.ring import R_REFERENCE
from fields.storage import StorageField
from tracking.bunch import Bunch
from tracking.frequency import tunes
from tracking.optics import Optics, optics
from tracking.stations import RingTables
from tracking.turns import track

FloatArray = NDArray[np.float64]
Row = tuple[str, float, float, str, str]

_MM2 = 1e-6
_NODES = 6  # amplitudes in each plane
_DEGREE = 4  # of the polynomial in the actions: that of the 20-pole, Phi_10 ~ J^5
_PER_QUAD = 6  # Gauss nodes on a quad: beta changes by a few percent along it
_AROUND = 72  # places for the field of the magnet


@dataclass(frozen=True, eq=False)
class Detuning:
    """Tunes against actions. J = A^2/(2 beta) for the amplitude A of the oscillation [m]."""

    slopes: FloatArray  # d(nu_x, nu_y) / d(J_x, J_y) at zero amplitude, shape (2, 2) [1/m]
    slope_errors: FloatArray
    nu: FloatArray  # tunes at zero amplitude (2,)
    mean_beta: FloatArray  # R0/nu of both planes (2,) [m]
    actions: FloatArray  # of each muon (n, 2) [m]
    tunes: FloatArray  # of each muon (n, 2)
    tune_errors: FloatArray  # (n, 2)

    @property
    def per_mm2(self) -> FloatArray:
        """d(nu_x, nu_y) / d(A_x^2, A_y^2) for amplitudes at the mean beta functions [1/mm^2], (2, 2)."""
        return np.asarray(self.slopes / (2.0 * self.mean_beta) * _MM2)

    @property
    def per_mm2_errors(self) -> FloatArray:
        """Errors of `per_mm2`."""
        return np.asarray(self.slope_errors / (2.0 * self.mean_beta) * _MM2)

    @property
    def amplitudes(self) -> FloatArray:
        """Amplitudes of each muon at the mean beta functions [m], (n, 2)."""
        return np.asarray(np.sqrt(2.0 * self.actions * self.mean_beta))

    def rows(self) -> list[Row]:
        """(name, value, error, unit, meaning) of every number, for printing."""
        rows: list[Row] = []
        for i, plane in enumerate("xy"):
            for j, by in enumerate("xy"):
                name = f"dnu_{plane}/dJ_{by}"
                value, error = float(self.slopes[i, j]), float(self.slope_errors[i, j])
                rows.append((name, value, error, "1/m", f"tune of {plane} by the action of {by}, at zero amplitude"))
        for i, plane in enumerate("xy"):
            for j, by in enumerate("xy"):
                name = f"dnu_{plane}/dA_{by}^2"
                value, error = float(self.per_mm2[i, j]), float(self.per_mm2_errors[i, j])
                rows.append((name, value, error, "1/mm^2", f"the same by the squared amplitude of {by} at R0/nu"))
        return rows


def detuning(tables: RingTables, amplitude: float = 0.015, turns: int = 1024) -> Detuning:
    """Amplitude detuning at zero amplitude, from tracked muons.

    The tunes of 6 x 6 muons, whose amplitudes reach up to `amplitude` in both planes, are found by the smooth-window
    analysis (:func:`tracking.frequency.tune`) and fitted by a polynomial of fourth degree in the two actions, which
    is what the 20-pole of the quads makes. The action is that of the measured line, not that at the start. The errors
    are those of the fit, from the scatter about it.

    Parameters
    ----------
    tables
        The ring.
    amplitude
        Largest amplitude in each plane [m].
    turns
        Turns of each muon.

    Raises
    ------
    ValueError
        If the amplitude is not between 1 and 32 mm (both planes together must stay inside 45 mm), no orbit closes or
        a plane is unstable.
    """
    if not 1e-3 <= amplitude <= R_REFERENCE / math.sqrt(2.0):
        raise ValueError(f"amplitude = {amplitude * 1e3:g} mm of the detuning is out of bounds: give 1 to 31.8 mm.")
    # Chebyshev nodes in the action: the polynomial does not swing between them.
    steps = np.cos(math.pi * (np.arange(_NODES) + 0.5) / _NODES)
    levels = amplitude * np.sqrt(0.5 * (1.0 + steps))
    grid = np.array([(a, b) for a in levels for b in levels])
    found = optics(tables, [])
    actions, nu, errors = tunes_of(tables, found, grid**2 / (2.0 * _mean_beta(found)), turns)
    unit = actions.max(axis=0)
    design = np.stack(
        [
            (actions[:, 0] / unit[0]) ** i * (actions[:, 1] / unit[1]) ** j
            for i in range(_DEGREE + 1)
            for j in range(_DEGREE + 1 - i)
        ],
        axis=1,
    )
    coefficients, _, rank, _ = np.linalg.lstsq(design, nu, rcond=None)
    scatter = np.sum((nu - design @ coefficients) ** 2, axis=0) / (len(nu) - rank)
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design))[:, None] * scatter)
    by_x, by_y = _DEGREE + 1, 1  # rows of J_x and J_y in the design
    return Detuning(
        slopes=np.stack([coefficients[by_x] / unit[0], coefficients[by_y] / unit[1]], axis=1),
        slope_errors=np.stack([spread[by_x] / unit[0], spread[by_y] / unit[1]], axis=1),
        nu=coefficients[0],
        mean_beta=_mean_beta(found),
        actions=actions,
        tunes=nu,
        tune_errors=errors,
    )


def tunes_of(
    tables: RingTables, found: Optics, actions: FloatArray, turns: int = 1024
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Tunes of muons of the reference momentum with given actions.

    Parameters
    ----------
    tables
        The ring.
    found
        Its optics.
    actions
        Radial and vertical actions at the start (n, 2) [m], above 0.
    turns
        Turns of each muon.

    Returns
    -------
    actions, tunes, errors
        Arrays (n, 2): the actions of the measured lines, A^2/(2 beta) at theta = 0 [m]; tunes in 0 to 1; their errors.
    """
    at = found.lattice
    bunch = Bunch.empty(len(actions)).with_momentum(0.0, found.reference)
    along_x, along_y = (np.sqrt(2.0 * actions[:, k] * beta[0]) for k, beta in enumerate((at.beta_x, at.beta_y)))
    bunch.x[:] = at.x[0] + along_x
    bunch.px[:] = at.px[0] - at.alpha_x[0] / at.beta_x[0] * along_x
    bunch.y[:] = at.y[0] + along_y
    bunch.py[:] = at.py[0] - at.alpha_y[0] / at.beta_y[0] * along_y
    return tracked_tunes(tables, found, bunch, turns)


def tracked_tunes(
    tables: RingTables, found: Optics, bunch: Bunch, turns: int = 1024
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Actions, tunes and their errors, as :func:`tunes_of`, for the muons of a bunch: its tune footprint.

    Raises
    ------
    ValueError
        If a muon's orbit leaves the range in which it can be tracked.
    """
    seen = track(
        bunch._replace(stop_time=np.full(bunch.n, np.inf)), tables, turns,
        spin=tables.options.spin, observers=[0.0], collimators=False,
    ).samples  # fmt: skip
    assert seen is not None
    columns = []
    for signal, nu, beta in (
        (seen.x[0], found.nu_x, found.lattice.beta_x[0]),
        (seen.y[0], found.nu_y, found.lattice.beta_y[0]),
    ):
        # Samples once a turn show a tune above one half as its alias.
        lines = tunes(signal, *_range(nu if nu < 0.5 else 1.0 - nu))
        columns.append((lines.amplitude**2 / (2.0 * beta), lines.tune if nu < 0.5 else 1.0 - lines.tune, lines.error))
    actions, found_tunes, errors = (np.stack(pair, axis=1) for pair in zip(*columns, strict=True))
    return actions, found_tunes, errors


def first_order(
    tables: RingTables,
    quads: QuadSettings,
    actions: FloatArray,
    orders: Sequence[int] | None = None,
    storage: StorageField | None = None,
) -> FloatArray:
    r"""Detuning by the even multipoles above the quadrupole, to first order in them.

    In the Hamiltonian of :mod:`tracking.orbit` a quad adds V = phi/beta0 (per unit of s, with x/R0 and the slopes left
    out, which matter at second order), phi_n = Re a_n (z/r0)^n in units of p0 c; the magnet adds V = Re c_(n-1) z^n /
    (n r0^(n-1) B0 R0). On the linear motion x = sqrt(2 J_x beta_x) cos psi_x, y = sqrt(2 J_y beta_y) cos psi_y the
    average over both phases of Re z^(2m) is, with <cos^(2k)> = C(2k, k) / 4^k,

    .. math:: \langle \mathrm{Re}\, z^{2m} \rangle = \frac{C(2m, m)}{4^m} \sum_k (-1)^k C(m, k)^2
        (2 J_x \beta_x)^{m-k} (2 J_y \beta_y)^k

    (odd orders and skew terms average to zero), because C(2m, 2k) C(2m - 2k, m - k) C(2k, k) = C(2m, m) C(m, k)^2. The
    tune shifts by d/dJ of the integral of <V> around the ring over 2 pi (first-order canonical perturbation theory,
    R. D. Ruth, AIP Conf. Proc. 153 (1987) 150). The octupole gives slopes that do not depend on J, the 12-pole terms of
    J^2, the 20-pole of J^4.

    Parameters
    ----------
    tables
        The ring; its closed orbit must be near the axis.
    quads
        The quads that the tables were made of.
    actions
        Radial and vertical actions (n, 2) [m].
    orders
        Orders of the potential that count; all even ones above 2 if not given.
    storage
        The field of the magnet; nothing of it counts if not given.

    Returns
    -------
    FloatArray
        Tune shifts (n, 2).
    """
    reference = tables.reference
    nodes, weights = np.polynomial.legendre.leggauss(_PER_QUAD)
    edges = [quads.effective_edges(quad) for quad in tables.ring.quads]
    places = [start + 0.5 * (end - start) * (1.0 + nodes) for start, end in edges]
    even = 2.0 * math.pi * (np.arange(_AROUND) + 0.5) / _AROUND
    lattice = optics(tables, np.concatenate([*places, even])).lattice
    beta = dict(zip(lattice.theta, zip(lattice.beta_x, lattice.beta_y, strict=True), strict=True))

    def shift(at: FloatArray, length: FloatArray, strengths: dict[int, float]) -> FloatArray:
        counting = {
            n: strength for n, strength in strengths.items() if n > 2 and n % 2 == 0 and (orders is None or n in orders)
        }
        return _shift(actions, np.array([beta[theta] for theta in at]).T, length, counting)

    result = np.zeros((len(actions), 2))
    unit = 1e-9 / (reference.p0_gev * reference.beta0)
    for quad, (start, end), at in zip(tables.ring.quads, edges, places, strict=True):
        strengths = {n: unit * a.real / R_REFERENCE**n for n, a in enumerate(quads.coefficients(quad.name))}
        result += shift(at, 0.5 * (end - start) * reference.r0 * weights, strengths)
    if storage is not None:
        mean = storage.mean_field().real / (reference.b0 * reference.r0)
        strengths = {n + 1: c / ((n + 1) * R_REFERENCE**n) for n, c in enumerate(mean)}
        result += shift(even, np.full(_AROUND, 2.0 * math.pi * reference.r0 / _AROUND), strengths)
    return result


def _shift(actions: FloatArray, beta: FloatArray, length: FloatArray, strengths: dict[int, float]) -> FloatArray:
    """Tune shifts by potentials strength Re z^n over lengths at which the beta functions are `beta`, (2, places)."""
    total = np.zeros((len(actions), 2))
    for n, strength in strengths.items():
        slopes = _slopes_of_mean(n // 2, 2.0 * actions[:, :1] * beta[0], 2.0 * actions[:, 1:] * beta[1])
        total += strength * np.stack([2.0 * b * slope @ length for b, slope in zip(beta, slopes, strict=True)], axis=1)
    return total / (2.0 * math.pi)


def _slopes_of_mean(m: int, a2: FloatArray, b2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Derivatives of <Re z^(2m)> by the squared amplitudes of x and y."""
    factor = math.comb(2 * m, m) / 4**m
    by_a2, by_b2 = np.zeros(np.broadcast(a2, b2).shape), np.zeros(np.broadcast(a2, b2).shape)
    for k in range(m + 1):
        term = factor * (-1) ** k * math.comb(m, k) ** 2
        if k < m:
            by_a2 += term * (m - k) * a2 ** (m - k - 1) * b2**k
        if k > 0:
            by_b2 += term * k * a2 ** (m - k) * b2 ** (k - 1)
    return by_a2, by_b2


def _mean_beta(found: Optics) -> FloatArray:
    return found.reference.r0 / np.array([found.nu_x, found.nu_y])


def _range(nu: float) -> tuple[float, float]:
    """Search range of a tune about that of small amplitudes [cycles a turn]."""
    width = 0.8 * min(nu, 0.5 - nu, 0.06)
    return nu - width, nu + width
