"""Correlation of momentum and injection time: the form factor of the bunch at each frequency.

Muons of revolution frequency f' that were injected at times tau give S(t) - 1 the part

    2 Re rho(f') exp(2 pi i f' t) Q(f'),    Q(f') = <exp(-2 pi i f' tau)>,

so that the transform from t_s to t_m at any f is the sum over f' of rho(f') Q*(f') int exp 2 pi i (f - f') t dt. The
cosine transform takes Q for a positive number, the same at all frequencies: a bunch symmetric about t0, and no
correlation. With Q from a simulation, or from the measured shape of the bunch, rho follows by least squares from cosine
and sine transform together. It does what the terms A(f), B(f) of the experiment's correction do (tjbarrett96/gm2fr,
Corrector.py), in one step.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Floats, Revolution
from gm2sim.fast_rotation.transform import Transform

Complexes = NDArray[np.complex128]

# Frequency step times length of the signal: cosine and sine of n frequencies hold n numbers if it is above 1/2.
_RESOLVED = 0.55
_TINY = 1e-13


class Solved(NamedTuple):
    """Density of frequencies with a given form factor.

    Attributes
    ----------
    density : array (b,)
        Area 1 but for noise, of passages and not of muons.
    model : array (k,) [s]
        Cosine transform that it makes.
    misfit : float [s^2]
        Sum of squared residuals.
    inverse : array (b, 2 k)
        Cosine and sine transform, one after the other -> density.
    """

    density: Floats
    model: Floats
    misfit: float
    inverse: Floats


def form_factor(
    delta: ArrayLike,
    time: ArrayLike,
    revolution: Revolution,
    settings: Settings,
    *,
    weight: ArrayLike | None = None,
) -> Complexes:
    """Form factor of simulated muons, or of a measured bunch shape with any momenta that fill the window.

    Parameters
    ----------
    delta : array (n,)
        Momentum offsets.
    time : array (n,) [s]
        When each muon is at theta = 0 for the first time.
    revolution
        Time of one turn against momentum.
    settings
        Of the analysis: its frequencies.
    weight : array (n,), optional

    Returns
    -------
    complex array (b,)
        <exp(-2 pi i f tau)> at the frequencies of the window, 0 where there are no muons.

    Raises
    ------
    ValueError
        If no muon is in the window.
    """
    f = settings.frequency[settings.inside]
    turning = 1.0 / revolution.period_of(delta)
    at = np.asarray(time, np.float64)
    share = np.ones_like(turning) if weight is None else np.asarray(weight, np.float64)
    # Each muon counts for the two frequencies of the transform that it lies between.
    place = (turning - f[0]) / settings.step
    low = np.floor(place).astype(np.int64)
    total, waves = np.zeros(len(f)), np.zeros(len(f), np.complex128)
    for node, part in ((low, low + 1.0 - place), (low + 1, place - low)):
        ok = (node >= 0) & (node < len(f))
        wave = share[ok] * part[ok] * np.exp(-2j * np.pi * f[node[ok]] * at[ok])
        total += np.bincount(node[ok], share[ok] * part[ok], len(f))
        waves += np.bincount(node[ok], wave.real, len(f)) + 1j * np.bincount(node[ok], wave.imag, len(f))
    if not total.any():
        raise ValueError("no muon of the reference turns within the physical window: check momenta and window.")
    return np.asarray(waves / np.where(total > 0.0, total, 1.0))


def solve(spectrum: Transform, inside: NDArray[np.bool_], factor: Complexes, t0: float) -> Solved:
    """Least squares for the density of frequencies.

    Parameters
    ----------
    spectrum
        Transform of the signal.
    inside : boolean array (k,)
        Frequencies of the window.
    factor : complex array (b,)
        Form factor for injection times counted from `t0`.
    t0 : float [s]
        Delay of the data against the reference.

    Raises
    ------
    ValueError
        If the frequency step is so fine, or the stop so early, that the window has more unknowns than the data.
    """
    length = spectrum.stop - spectrum.start
    if float(spectrum.frequency[1] - spectrum.frequency[0]) * length < _RESOLVED:
        raise ValueError(
            f"{length * 1e6:g} us of signal do not resolve the frequency step with a form factor: give a step of "
            f"{_RESOLVED / length * 1e-3:.1f} kHz or more."
        )
    f = spectrum.frequency
    apart = f[:, None] - f[None, inside]
    # int exp(2 pi i x t) dt between the middles of the ramps, times what the ramps of one turn leave.
    middle = 0.5 * (spectrum.start + spectrum.stop) - t0
    between = length * np.sinc(apart * length) * np.exp(2j * np.pi * apart * middle) * np.sinc(apart * spectrum.turn)
    step = float(f[1] - f[0])
    design = step * between * np.conj(factor)
    data = spectrum.turned(t0)
    rows, right = np.concatenate([design.real, design.imag]), np.concatenate([data.real, data.imag])
    normal = rows.T @ rows
    # Frequencies without muons have columns of 0: the small term makes their density 0, and nothing else.
    normal += _TINY * np.trace(normal) * np.eye(len(normal))
    inverse = np.asarray(np.linalg.solve(normal, rows.T), np.float64)
    density = inverse @ right
    fitted = rows @ density
    return Solved(density, fitted[: len(f)], float(((right - fitted) ** 2).sum()), inverse)
