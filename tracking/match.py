"""What is stored of a beam once the collimators have cut it, and the beam that leaves what is wanted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from gpu.rng import FillKey
from tracking.muon import MASS
from tracking.optics import Optics
from tracking.source import StoredBeam, sample

_KEY = FillKey(0, 0, 0, 0)
_TOLERANCE = 0.05e-3  # a stored moment counts as reached [m]; half the last digit but one of published widths
_STEP = 0.4e-3  # of the differences [m]: well above the graininess of a finite sample

_WIDEST = 2.0  # a Gaussian as wide as the aperture fills it nearly evenly; wider ones store the same


class Stored(NamedTuple):
    """Moments of a stored beam [m], averaged over azimuth and many betatron periods."""

    x_e_mean: float  # equilibrium radius from R0
    x_e_sigma: float
    x_width: float  # RMS of the radius about its mean: momentum, coherent and incoherent motion together
    y_width: float
    cbo_amplitude: float  # of the mean radius in the first turns

    @property
    def x_e_rms(self) -> float:
        """The width from R0 that sets the electric-field correction."""
        return math.hypot(self.x_e_mean, self.x_e_sigma)


def stored(beam: StoredBeam, optics: Optics, n: int = 20_000) -> Stored:
    """Moments of what is stored of a beam.

    Parameters
    ----------
    beam, optics
        As for :func:`tracking.source.sample`.
    n
        Muons drawn, always the same ones; the errors are about the widths over sqrt(n).
    """
    bunch = sample(beam, _KEY, n, optics)
    start = optics.lattice
    delta = np.sqrt((bunch.energy - MASS) * (bunch.energy + MASS)) / optics.reference.p0_gev - 1.0
    x_e = optics.mean_dispersion * delta
    x = bunch.x - start.x[0] - start.dispersion[0] * delta
    px = bunch.px - start.px[0] - start.dispersion_px[0] * delta
    radial = _betatron(x, px, start.beta_x[0], start.alpha_x[0], optics.reference.r0 / optics.nu_x)
    vertical = _betatron(
        bunch.y - start.y[0], bunch.py - start.py[0], start.beta_y[0], start.alpha_y[0],
        optics.reference.r0 / optics.nu_y,
    )  # fmt: skip
    return Stored(
        x_e_mean=float(x_e.mean()),
        x_e_sigma=float(x_e.std()),
        x_width=math.sqrt(float(x_e.var() + 0.5 * np.mean(np.abs(radial) ** 2))),
        y_width=math.sqrt(0.5 * float(np.mean(np.abs(vertical) ** 2))),
        cbo_amplitude=float(abs(radial.mean())),
    )


def match(beam: StoredBeam, wanted: Stored, optics: Optics) -> StoredBeam:
    """The beam before the collimators of which the wanted moments are stored.

    Parameters
    ----------
    beam
        Where to start, and everything that is not fitted (phases, profile, aperture, kick correlation).
    wanted
        Stored moments to reach.
    optics
        As for :func:`tracking.source.sample`.

    Returns
    -------
    StoredBeam
        With x_e_mean, x_e_sigma, betatron sigmas and cbo_amplitude changed.

    Raises
    ------
    ValueError
        If the aperture does not let the wanted beam through.
    """

    free = 5 if wanted.cbo_amplitude > 0.0 else 4  # without coherent motion there is nothing to fit in it

    def changed(parameters: NDArray[np.float64]) -> StoredBeam:
        x_e_mean, x_e_sigma, sigma_x, sigma_y, *coherent = (float(p) for p in parameters)
        return replace(
            beam,
            x_e_mean=x_e_mean,
            x_e_sigma=x_e_sigma,
            betatron_x_sigma=sigma_x,
            betatron_y_sigma=sigma_y,
            cbo_amplitude=coherent[0] if coherent else 0.0,
        )

    def miss(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        reached = np.array(stored(changed(parameters), optics)[:free])
        return np.asarray((reached - np.array(wanted[:free])) / _TOLERANCE)

    def slopes(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        here = miss(parameters)
        return np.column_stack([miss(parameters + step) - here for step in _STEP * np.eye(free)]) / _STEP

    first = [wanted.x_e_mean, 1.3 * wanted.x_e_sigma, 0.02, 1.2 * wanted.y_width, 1.5 * wanted.cbo_amplitude]
    half = 0.5 * beam.aperture_radius
    lowest, highest = [-half, 0.0, 0.0, 0.0, 0.0], [half] + [_WIDEST * half] * 4
    found = least_squares(
        miss, first[:free], jac=slopes, bounds=(lowest[:free], highest[:free]), x_scale=5e-3, max_nfev=20
    )
    if np.abs(found.fun).max() > 1.0:
        nearest = stored(changed(found.x), optics)
        name = Stored._fields[int(np.argmax(np.abs(found.fun)))]
        raise ValueError(
            f"no beam leaves {name} = {getattr(wanted, name) * 1e3:.2f} mm inside the collimators together "
            f"with the other moments (nearest {getattr(nearest, name) * 1e3:.2f} mm): ask for a smaller beam."
        )
    return changed(found.x)


def _betatron(
    position: NDArray[np.float64], slope: NDArray[np.float64], beta: float, alpha: float, mean_beta: float
) -> NDArray[np.complex128]:
    """Betatron motion as a complex number whose modulus is the amplitude at the mean beta function [m]."""
    return np.asarray((position + 1j * (alpha * position + beta * slope)) * math.sqrt(mean_beta / beta))
