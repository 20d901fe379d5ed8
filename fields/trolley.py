"""Trolley run: readings of 17 NMR probes around the ring, and the least-squares fit of multipoles to them.

A probe measures the size of the field, which is B_y to second order in the tilt (1e-9 for 50 ppm). The fit is
linear: B_y = b_0 + sum_n (r/r0)^n (b_n cos n phi + a_n sin n phi), r0 = 45 mm. Twelve probes at 35 mm and
four at 17.5 mm fix the orders up to 5 and the normal 14-pole; the skew 14-pole vanishes at all outer probes,
and at 18 poles and above the outer twelve cannot tell orders n and 12 - n apart. Terms in the order of TR
(aetb/trfp, matrices.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.ring import R_REFERENCE, TWO_PI
from fields.storage import StorageField

_INNER_RADIUS, _OUTER_RADIUS = 0.0175, 0.035  # [m]; TR geometry.py
SINGLE_PROBE_NOISE = 20e-9  # relative noise of one reading, order of magnitude: best estimate
# (order n, is skew); names below
TERMS: tuple[tuple[int, bool], ...] = (
    (0, False),
    (1, False),
    (1, True),
    (2, True),
    (2, False),
    (3, False),
    (3, True),
    (4, False),
    (4, True),
    (5, False),
    (5, True),
    (6, False),
)
TERM_NAMES = (
    "dipole",
    "normal quadrupole",
    "skew quadrupole",
    "skew sextupole",
    "normal sextupole",
    "normal octupole",
    "skew octupole",
    "normal decupole",
    "skew decupole",
    "normal 12-pole",
    "skew 12-pole",
    "normal 14-pole",
)


def probe_positions() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions (x, y) [m] of the 17 probes: centre, 4 inner, 12 outer; TR geometry.py."""
    x, y = [0.0], [0.0]
    for radius, count in ((_INNER_RADIUS, 4), (_OUTER_RADIUS, 12)):
        angle = TWO_PI * np.arange(count) / count
        x.extend(radius * np.sin(angle))
        y.extend(-radius * np.cos(angle))
    return np.array(x), np.array(y)


def design_matrix(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """B_y of each term with unit strength at r0, at points x, y [m]; shape (points, terms)."""
    z = (np.asarray(x, dtype=np.float64) + 1j * np.asarray(y, dtype=np.float64)) / R_REFERENCE
    columns = [(z**n).imag if skew else (z**n).real for n, skew in TERMS]
    return np.stack(columns, axis=-1)


@dataclass(frozen=True, eq=False)
class TrolleyRun:
    """Readings of one trolley run.

    Parameters
    ----------
    theta
        Azimuths from the inflector exit [rad], shape (M,).
    readings
        Field at each probe [T], shape (M, 17).
    noise
        Standard deviation of one reading [T].
    """

    theta: NDArray[np.float64]
    readings: NDArray[np.float64]
    noise: float

    def __post_init__(self) -> None:
        if self.readings.shape != (self.theta.size, 17):
            shape = self.readings.shape
            raise ValueError(f"trolley readings have shape {shape}: give ({self.theta.size} azimuths, 17).")
        if not self.noise > 0.0:
            raise ValueError(f"trolley noise = {self.noise} T is out of bounds: give more than 0 T.")


@dataclass(frozen=True, eq=False)
class MultipoleFit:
    """Multipoles fitted at each azimuth of a trolley run.

    Attributes
    ----------
    theta
        Azimuths [rad], shape (M,).
    coefficients
        Strengths at r0 [T] in the order of `TERMS`, shape (M, 12).
    covariance
        Of the coefficients, the same at all azimuths [T^2], shape (12, 12).
    residuals
        Reading minus fit [T], shape (M, 17).
    chi2
        Sum over probes of (residual/noise)^2, shape (M,).
    degrees_of_freedom
        Of each chi2.
    """

    theta: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]
    residuals: NDArray[np.float64]
    chi2: NDArray[np.float64]
    degrees_of_freedom: int

    @property
    def errors(self) -> NDArray[np.float64]:
        """Standard errors of the coefficients at r0 [T], shape (12,)."""
        return np.sqrt(np.diag(self.covariance))

    def field_error(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Standard error of the fitted B_y [T] at x, y [m]; beyond the probes it grows as (r/35 mm)^n."""
        rows = design_matrix(x, y)
        return np.asarray(np.sqrt(np.einsum("...i,ij,...j->...", rows, self.covariance, rows)))

    def average(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Multipoles averaged over azimuth (each weighted with the arc around it) and their errors [T]."""
        weights = _arc_weights(self.theta)
        return np.einsum("a,am->m", weights, self.coefficients), self.errors * np.sqrt((weights**2).sum())

    def storage_field(self, harmonics: int = 100, samples: int | None = None) -> StorageField:
        """Smooth storage field from the fit.

        Parameters
        ----------
        harmonics
            Azimuthal harmonics kept; 100 is a wavelength of 45 cm.
        samples
            Number of azimuths of the result.
        """
        order_of_azimuth = np.argsort(self.theta)
        theta = self.theta[order_of_azimuth]
        count = theta.size
        c = np.zeros((count, max(n for n, _ in TERMS) + 1), dtype=np.complex128)
        uniform = TWO_PI * np.arange(count) / count
        for k, (n, skew) in enumerate(TERMS):
            values = np.interp(uniform, theta, self.coefficients[order_of_azimuth, k], period=TWO_PI)
            c[:, n] += -1j * values if skew else values
        return StorageField(c, f"trolley fit, {count} azimuths").low_pass(harmonics, samples)


def simulate_run(field: StorageField, azimuths: int = 4350, noise: float | None = None, seed: int = 1) -> TrolleyRun:
    """Readings the trolley would give in a field.

    Parameters
    ----------
    field
        True field.
    azimuths
        Number of readings per probe; about 4350 in a real run (TR).
    noise
        Standard deviation of one reading [T]; default `SINGLE_PROBE_NOISE` of the average dipole.
    seed
        Of the noise.
    """
    sigma = SINGLE_PROBE_NOISE * field.b0 if noise is None else noise
    random = np.random.Generator(np.random.Philox(key=seed))
    theta = TWO_PI * (np.arange(azimuths) + 0.5) / azimuths
    x, y = probe_positions()
    z = (x + 1j * y) / R_REFERENCE
    powers = z[None, :] ** np.arange(field.order + 1)[:, None]
    truth = np.einsum("an,np->ap", field.multipoles(theta), powers).real
    return TrolleyRun(theta, truth + sigma * random.standard_normal(truth.shape), sigma)


def fit_multipoles(run: TrolleyRun) -> MultipoleFit:
    """Least-squares multipoles at each azimuth.

    Parameters
    ----------
    run
        Readings; all probes have the same noise.

    Returns
    -------
    MultipoleFit
        12 multipoles with errors, residuals and chi2 per azimuth (5 degrees of freedom).
    """
    rows = design_matrix(*probe_positions())
    # All azimuths share the same rows: one pseudo-inverse fits them all.
    coefficients = np.einsum("ap,mp->am", run.readings, np.linalg.pinv(rows))
    residuals = run.readings - coefficients @ rows.T
    return MultipoleFit(
        theta=run.theta,
        coefficients=coefficients,
        covariance=run.noise**2 * np.asarray(np.linalg.inv(rows.T @ rows), dtype=np.float64),
        residuals=residuals,
        chi2=((residuals / run.noise) ** 2).sum(axis=1),
        degrees_of_freedom=rows.shape[0] - rows.shape[1],
    )


def _arc_weights(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the ring nearest to each azimuth."""
    order = np.argsort(theta)
    ordered = theta[order]
    after = np.diff(np.append(ordered, ordered[0] + TWO_PI))
    weights = np.empty_like(theta)
    weights[order] = 0.5 * (after + np.roll(after, 1)) / TWO_PI
    return weights
