"""The background of the cosine transform: what the missing first microseconds leave.

With g(t) the envelope of the fast rotation about t0, that is the cosine transform of the frequency distribution rho,
the transform from t_s on is rho/2 less

    b(f) = int_0^(t_s - t0) g(t) cos 2 pi (f - f_c) t dt,

broader than the distribution, so that it can be fitted where no stored muon turns and taken off. Three forms are those
of the experiment's analysis (tjbarrett96/gm2fr, BackgroundModels.py): "sinc" for g = 1, "error" for a Gaussian
distribution, "triangle" for a triangular one. The fourth, "own", takes the distribution that is being found itself: rho
lives on the frequencies of the physical window only, so that cosine transform = (1/2 - kernel) rho at *all* frequencies
is a linear system, more equations than unknowns, whose solution is where the experiment's iteration would end.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MODELS = ("own", "sinc", "error", "triangle")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)  # 48 nodes: exact to rounding below 30 rad of phase
# Envelopes for a distribution of width s [Hz], at times t [s].
_ENVELOPES: dict[str, Callable[[Floats, float], Floats]] = {
    "sinc": lambda t, s: np.ones_like(t),
    "error": lambda t, s: np.exp(-0.5 * (2.0 * np.pi * s * t) ** 2),
    "triangle": lambda t, s: np.sinc(np.sqrt(6.0) * s * t) ** 2,  # half base sqrt(6) sigma
}


class Background(NamedTuple):
    """A fitted background.

    Attributes
    ----------
    values : array (k,) [s]
        To be taken off the cosine transform, all frequencies.
    parameters : dict
        "amplitude" [1] of the form over what the distribution found with it asks for; centre and width [Hz].
    misfit : float [s^2]
        Sum of squared residuals: outside the window; for "own" of the whole linear system, which is zero inside but for
        the compromise.
    """

    values: Floats
    parameters: dict[str, float]
    misfit: float


class OwnShape(NamedTuple):
    """The linear system of the background that is made by the distribution itself.

    Attributes
    ----------
    inverse : array (b, k)
        Cosine transform -> rho/2 at the frequencies of the window.
    kernel : array (k, b)
        rho/2 -> background.
    left : array (k, k)
        Cosine transform -> residuals.
    """

    inverse: Floats
    kernel: Floats
    left: Floats


def own_shape(frequency: Floats, window: Mask, gap: float, turn: float) -> OwnShape:
    """Build and invert the linear system.

    Parameters
    ----------
    frequency : array (k,) [Hz]
        Equidistant.
    window : boolean array (k,)
        Where muons can be stored.
    gap : float [s]
        t_s - t0.
    turn : float [s]
        Length of the ramp around t_s.
    """
    apart = frequency[:, None] - frequency[None, window]
    step = float(frequency[1] - frequency[0])
    kernel = -2.0 * step * gap * np.sinc(2.0 * apart * gap) * np.sinc(apart * turn)
    design = kernel.copy()
    design[np.flatnonzero(window), np.arange(design.shape[1])] += 1.0
    # No small eigenvalues while the gap is short against the inverse width of the window, 12 us.
    inverse = np.asarray(np.linalg.solve(design.T @ design, design.T), np.float64)
    return OwnShape(inverse, kernel, np.eye(len(frequency)) - design @ inverse)


def fit_background(
    model: str, frequency: Floats, cosine: Floats, window: Mask, *, gap: float, turn: float, own: OwnShape | None = None
) -> Background:
    """Fit one form of background to a cosine transform.

    Parameters
    ----------
    model
        One of :data:`MODELS`.
    frequency, cosine : arrays (k,) [Hz], [s]
    window : boolean array (k,)
        Where muons can be stored; the form is fitted outside.
    gap, turn : float [s]
        t_s - t0, and the length of the ramp around t_s.
    own
        The linear system for this gap, if it is known already.
    """
    if model == "own":
        system = own_shape(frequency, window, gap, turn) if own is None else own
        half = system.inverse @ cosine
        values = system.kernel @ half
        outside = values[~window]
        amplitude = float(outside @ cosine[~window] / (outside @ outside))
        return Background(values, {"amplitude": amplitude}, float(((system.left @ cosine) ** 2).sum()))
    return _fit_form(model, frequency, cosine, window, gap, turn)


def _fit_form(model: str, frequency: Floats, cosine: Floats, window: Mask, gap: float, turn: float) -> Background:
    """Amplitude, centre and width of a form outside the window, by least squares."""
    step = float(frequency[1] - frequency[0])
    inside = np.maximum(cosine[window], 0.0)
    centre = float(np.average(frequency[window], weights=inside))
    width = float(np.sqrt(np.average((frequency[window] - centre) ** 2, weights=inside)))
    height = 2.0 * step * float(inside.sum())
    at = 0.5 * gap * (_NODES + 1.0)

    def form(numbers: Floats) -> Floats:
        amplitude, shift, stretch = numbers
        apart = frequency - centre - shift * width
        # The sinc has no width: there it is the gap that stretches, as in gm2fr.
        t, s = (at * stretch, width) if model == "sinc" else (at, stretch * width)
        weight = _WEIGHTS * 0.5 * gap * (stretch if model == "sinc" else 1.0) * _ENVELOPES[model](t, s)
        waves = np.cos(2.0 * np.pi * apart[:, None] * t[None, :])
        return np.asarray(-amplitude * height * (waves @ weight) * np.sinc(apart * turn))

    scale = float(np.abs(cosine).max())
    fit = least_squares(lambda numbers: (form(numbers) - cosine)[~window] / scale, [1.0, 0.0, 1.0])
    amplitude, shift, stretch = fit.x
    values = form(fit.x)
    found = 2.0 * step * float((cosine - values)[window].sum())
    return Background(
        values,
        {"amplitude": amplitude * height / found, "centre": centre + shift * width, "width": abs(stretch) * width},
        float(((cosine - values)[~window] ** 2).sum()),
    )
