"""From the fast-rotation signal to the distribution of equilibrium radii and the electric-field correction.

Steps of the experiment's Fourier analysis (tjbarrett96/gm2fr and atc93/CornellFastRotationFourier): divide by the
signal without bunches, transform, find t0, take the background off, turn frequencies into radii,

    C_e = 2 n (1 - n) beta^2 <x_e^2> / R0^2.
"""

import cmath
import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from gm2sim.fast_rotation.background import Background, fit_background, own_shape
from gm2sim.fast_rotation.reference import Complexes, solve
from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Floats, Revolution, check_index, smooth_positrons, smooth_ring
from gm2sim.fast_rotation.transform import Transform, transform
from tracking.muon import Reference

PPB = 1e9
_SCAN = 60  # trial t0 in one turn: 2.5 ns, a sixtieth of a wave
_COARSE = 16  # the same where each one is a system of equations
_PRECISION = 1e-12  # of t0 [s]
_CLOSE = 5e-9  # bracket around a t0 that is known [s]


class Radii(NamedTuple):
    """Moments of a distribution of equilibrium radii: mean and standard deviation [m], correction [ppb]."""

    mean: float
    width: float
    c_e_ppb: float


@dataclass(frozen=True, eq=False)
class FastRotation:
    """Result of the analysis; errors are those of counting.

    Attributes
    ----------
    frequency, cosine, cosine_error, background : arrays (k,) [Hz], [s]
        Cosine transform about t0, its error, and its fitted background.
    revolution_frequency, x_e, delta : arrays (b,) [Hz], [m], []
        Frequencies of the window, equilibrium radius and momentum offset there.
    density, density_error : arrays (b,) [1/Hz]
        Distribution of revolution frequencies, area 1.
    t0, t0_error, t0_symmetric : float [s]
        t0 used, and the one of the symmetric background for comparison.
    x_e_mean, x_e_mean_error, x_e_width, x_e_width_error : float [m]
    c_e_ppb, c_e_error_ppb : float [ppb]
    background_parameters : dict
    chi2, ndf : float, int
        Of the background outside the window, correlations left out.
    settings : Settings
    """

    frequency: Floats
    cosine: Floats
    cosine_error: Floats
    background: Floats
    revolution_frequency: Floats
    x_e: Floats
    delta: Floats
    density: Floats
    density_error: Floats
    t0: float
    t0_error: float
    t0_symmetric: float
    x_e_mean: float
    x_e_mean_error: float
    x_e_width: float
    x_e_width_error: float
    c_e_ppb: float
    c_e_error_ppb: float
    background_parameters: dict[str, float]
    chi2: float
    ndf: int
    settings: Settings

    def summary(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "t0_ns": [self.t0 * 1e9, self.t0_error * 1e9],
            "t0_symmetric_ns": self.t0_symmetric * 1e9,
            "x_e_mean_mm": [self.x_e_mean * 1e3, self.x_e_mean_error * 1e3],
            "x_e_width_mm": [self.x_e_width * 1e3, self.x_e_width_error * 1e3],
            "c_e_ppb": [self.c_e_ppb, self.c_e_error_ppb],
            "background": {"form": self.settings.background, **self.background_parameters},
            "chi2": self.chi2,
            "ndf": self.ndf,
        }


class _Ring(NamedTuple):
    """What turns frequencies into the answer."""

    n: float
    reference: Reference
    revolution: Revolution


def electric_field_correction(x_e: ArrayLike, weight: ArrayLike, n: float, reference: Reference) -> Radii:
    """Moments of equilibrium radii, and C_e = 2 n (1 - n) beta^2 <x_e^2>/R0^2.

    Parameters
    ----------
    x_e : array (k,) [m]
    weight : array (k,)
        May be negative somewhere, as a transform's noise is, but not in sum.
    n
        Field index.
    reference
        Reference of the ring.

    Raises
    ------
    ValueError
        If the weights have no positive sum or `n` is not between 0 and 1.
    """
    check_index(n)
    radius, share = np.asarray(x_e, np.float64), np.asarray(weight, np.float64)
    total = float(share.sum())
    if not total > 0.0:
        raise ValueError("the distribution of equilibrium radii is empty: its weights have no positive sum.")
    mean, square = float((share * radius).sum()) / total, float((share * radius**2).sum()) / total
    factor = 2.0 * n * (1.0 - n) * reference.beta0**2 / reference.r0**2
    return Radii(mean, math.sqrt(max(square - mean**2, 0.0)), PPB * factor * square)


def analyse_fast_rotation(
    times: ArrayLike,
    counts: ArrayLike,
    *,
    n: float,
    reference: Reference,
    smooth: ArrayLike | None = None,
    revolution: Revolution | None = None,
    factor: ArrayLike | None = None,
    settings: Settings | None = None,
) -> FastRotation:
    """Distribution of equilibrium radii and C_e from a histogram of positrons, or of muons that pass by.

    Parameters
    ----------
    times : array (m + 1,) or (m,) [s]
        Edges or middles of bins of one width, about 1 ns.
    counts : array (m,)
        Counts; the errors are right if they are numbers of independent positrons.
    n
        Field index.
    reference
        Reference of the ring.
    smooth : array (m,), optional
        Counts expected without bunches, `Passages.smooth` for simulated passages. Not given, the wiggle is fitted.
    revolution
        Time of one turn against momentum; that of a smooth ring if not given.
    factor : complex array (b,), optional
        Form factor from :func:`gm2sim.fast_rotation.reference.form_factor`: corrects for the shape of the bunch and for
        a correlation of momentum and injection time; t0 is then the delay of the data against the reference.
    settings
        How the transform is made.

    Raises
    ------
    ValueError
        If times and counts do not fit together, are not finite, or cover too little; if nothing turns in the window.
    """
    chosen = Settings() if settings is None else settings
    check_index(n)
    edges, number = _histogram(times, counts)
    if smooth is None:
        # The divisor is fitted from two turns before t_s on: all that the transform uses, free of the flash.
        begin = chosen.start - 2.0 * reference.period
        divisor = smooth_positrons(edges, number, start=begin, cbo_frequency=chosen.cbo_frequency)
    else:
        divisor = np.asarray(smooth, np.float64)
        if divisor.shape != number.shape:
            raise ValueError(f"{divisor.size} smooth counts for {number.size} bins: give one for each bin.")
    used = (edges[:-1] >= chosen.start - 2.0 * reference.period) & (edges[1:] <= chosen.stop + 2.0 * reference.period)
    if not (divisor[used] > 0.0).all():
        raise ValueError("the counts without bunches must be above 0 from start to stop: end the transform earlier.")
    safe = np.where(divisor > 0.0, divisor, 1.0)
    ring = _Ring(n, reference, smooth_ring(n, reference) if revolution is None else revolution)
    spectrum = transform(
        edges, number / safe, 1.0 / safe, chosen.frequency, start=chosen.start, stop=chosen.stop, turn=reference.period
    )
    spectrum = spectrum._replace(value=spectrum.value * cmath.exp(-1j * chosen.azimuth))
    return _analyse(spectrum, ring, chosen, None if factor is None else np.asarray(factor, np.complex128))


def _histogram(times: ArrayLike, counts: ArrayLike) -> tuple[Floats, Floats]:
    """Edges and counts, checked."""
    at, number = np.asarray(times, np.float64), np.asarray(counts, np.float64)
    if at.ndim != 1 or number.ndim != 1 or at.size - number.size not in (0, 1) or number.size < 2:
        raise ValueError(f"{at.size} times for {number.size} counts: give the edges of the bins, or their middles.")
    if not (np.isfinite(at).all() and np.isfinite(number).all()):
        raise ValueError("the fast-rotation histogram has times or counts that are not finite: leave such bins out.")
    width = float(at[-1] - at[0]) / (at.size - 1)
    if not width > 0.0 or np.abs(np.diff(at) / width - 1.0).max() > 1e-3:
        raise ValueError("the bins of the fast-rotation histogram differ in width: give equidistant rising times [s].")
    if width > 20e-9:
        raise ValueError(f"bins of {width * 1e9:g} ns are too wide for a turn of 149 ns: give about 1 ns, times in s.")
    if at.size == number.size:
        at = at[0] + width * (np.arange(at.size + 1) - 0.5)
    return at, number


def _analyse(spectrum: Transform, ring: _Ring, chosen: Settings, factor: Complexes | None) -> FastRotation:
    window = chosen.inside
    if factor is not None and factor.shape != (int(window.sum()),):
        raise ValueError(
            f"a form factor of {factor.size} values for {int(window.sum())} frequencies: use these settings."
        )
    t0 = _find(spectrum, chosen, factor) if chosen.t0 is None else chosen.t0
    cosine, error = spectrum.turned(t0).real, spectrum.error()
    half, background, parameters = _take_off(spectrum, t0, chosen, factor)
    density, radii = _distribution(half, ring, chosen)
    noise = _replicas(spectrum, t0, ring, chosen, factor)
    outside = (cosine - background)[~window] / error[~window]
    f = chosen.frequency[window]
    return FastRotation(
        frequency=chosen.frequency,
        cosine=cosine,
        cosine_error=error,
        background=background,
        revolution_frequency=f,
        x_e=ring.revolution.x_e_at(f),
        delta=ring.revolution.delta_at(f),
        density=density,
        density_error=noise.density,
        t0=t0,
        t0_error=noise.t0,
        t0_symmetric=find_t0(spectrum, replace(chosen, t0_method="symmetry")),
        x_e_mean=radii.mean,
        x_e_mean_error=noise.radii.mean,
        x_e_width=radii.width,
        x_e_width_error=noise.radii.width,
        c_e_ppb=radii.c_e_ppb,
        c_e_error_ppb=noise.radii.c_e_ppb,
        background_parameters=parameters,
        chi2=float((outside**2).sum()),
        ndf=int(outside.size) - len(parameters),
        settings=chosen,
    )


def _take_off(
    spectrum: Transform, t0: float, chosen: Settings, factor: Complexes | None
) -> tuple[Floats, Floats, dict[str, float]]:
    """Half the density at the frequencies of the window, background everywhere, parameters of the background."""
    if factor is None:
        background = _background(spectrum, t0, chosen)
        half = (spectrum.turned(t0).real - background.values)[chosen.inside]
        return half, background.values, background.parameters
    solved = solve(spectrum, chosen.inside, factor, t0)
    rest = solved.model.copy()
    rest[chosen.inside] -= 0.5 * solved.density * factor.real
    return 0.5 * solved.density, rest, {}


def _find(spectrum: Transform, chosen: Settings, factor: Complexes | None) -> float:
    if factor is None:
        return find_t0(spectrum, chosen)
    trial = chosen.t0_near + spectrum.turn * (np.arange(_COARSE) / _COARSE - 0.5)
    tried = [solve(spectrum, chosen.inside, factor, float(t)) for t in trial]
    misfit = [one.misfit if one.density.sum() > 0.0 else math.inf for one in tried]
    best = float(trial[int(np.argmin(misfit))])
    return _minimum(lambda t0: solve(spectrum, chosen.inside, factor, t0).misfit, best, spectrum.turn / _COARSE)


def _background(spectrum: Transform, t0: float, chosen: Settings) -> Background:
    cosine = spectrum.turned(t0).real
    gap = spectrum.start - t0
    return fit_background(chosen.background, spectrum.frequency, cosine, chosen.inside, gap=gap, turn=spectrum.turn)


def _distribution(half: Floats, ring: _Ring, chosen: Settings) -> tuple[Floats, Radii]:
    """Density of frequencies and its moments from the density of passages at the frequencies of the window."""
    f = chosen.frequency[chosen.inside]
    # A muon that turns faster passes more often: the transform holds f times the density of muons.
    weight = half / f
    radii = electric_field_correction(ring.revolution.x_e_at(f), weight, ring.n, ring.reference)
    return weight / (weight.sum() * chosen.step), radii


def find_t0(spectrum: Transform, settings: Settings) -> float:
    """Time about which the bunch is symmetric, to a picosecond, within half a turn of `settings.t0_near` [s].

    The misfit of the background that the distribution itself makes has one minimum a turn where the transform is
    positive, and is scanned; the method that the settings ask for is then refined around it.

    Raises
    ------
    ValueError
        If the window of frequencies is empty.
    """
    window, near = settings.inside, settings.t0_near

    def of_own_shape(t0: float) -> float:
        left = spectrum.turned(t0).real
        return float(((shape.left @ left) ** 2).sum())

    shape = own_shape(spectrum.frequency, window, spectrum.start - near, spectrum.turn)
    trial = near + spectrum.turn * (np.arange(_SCAN) / _SCAN - 0.5)
    cosines = np.stack([spectrum.turned(float(t)).real for t in trial])
    positive = (cosines @ shape.inverse.T).sum(axis=1) > 0.0
    if not positive.any():
        raise ValueError("no fast rotation is seen between the frequencies of the window: check times and window.")
    misfit = np.where(positive, ((cosines @ shape.left.T) ** 2).sum(axis=1), np.inf)
    best = _minimum(of_own_shape, float(trial[int(np.argmin(misfit))]))
    shape = own_shape(spectrum.frequency, window, spectrum.start - best, spectrum.turn)
    best = _minimum(of_own_shape, best)
    if settings.t0_method == "symmetry":
        centre = _centre(shape.inverse @ spectrum.turned(best).real, spectrum.frequency[window])
        return _minimum(lambda t0: _asymmetry(spectrum, t0, centre, settings), best)
    if settings.background == "own":
        return best
    return _minimum(lambda t0: _background(spectrum, t0, settings).misfit, best)


def _minimum(function: Any, near: float, reach: float = _CLOSE) -> float:
    found = minimize_scalar(
        function, bounds=(near - reach, near + reach), method="bounded", options={"xatol": _PRECISION}
    )
    return float(found.x)


def _centre(half: Floats, frequency: Floats) -> float:
    return float((half * frequency).sum() / half.sum())


def _asymmetry(spectrum: Transform, t0: float, centre: float, settings: Settings) -> float:
    """Squared difference of the cosine transform at equal distances below and above the centre, outside the window."""
    f, cosine = spectrum.frequency, spectrum.turned(t0).real
    near = max(centre - settings.window[0], settings.window[1] - centre)
    far = min(centre - f[0], f[-1] - centre)
    apart = np.arange(near, far, settings.step)
    below, above = np.interp(centre - apart, f, cosine), np.interp(centre + apart, f, cosine)
    return float(((below - above) ** 2).sum())


class _Spread(NamedTuple):
    density: Floats
    t0: float
    radii: Radii


def _replicas(spectrum: Transform, t0: float, ring: _Ring, chosen: Settings, factor: Complexes | None) -> _Spread:
    """Spread of the results over samples of the counting noise.

    Without a form factor t0 is found anew in each, and the background is the distribution's own. With one t0 stays: a
    reference pins it to some 10 ps, and C_e hardly depends on it.
    """
    solved = None if factor is None else solve(spectrum, chosen.inside, factor, t0)
    shape = own_shape(spectrum.frequency, chosen.inside, spectrum.start - t0, spectrum.turn)
    times, densities, radii = [], [], []
    draws = spectrum.draws(chosen.replicas, chosen.seed) if chosen.replicas else ()
    for noise in draws:
        noisy = spectrum._replace(value=spectrum.value + noise)

        def misfit(t: float, noisy: Transform = noisy) -> float:
            return float(((shape.left @ noisy.turned(t).real) ** 2).sum())

        at = t0 if chosen.t0 is not None or solved is not None else _minimum(misfit, t0)
        turned = noisy.turned(at)
        if solved is None:
            half = shape.inverse @ turned.real
        else:
            half = solved.inverse @ np.concatenate([turned.real, turned.imag])
        density, moments = _distribution(half, ring, chosen)
        times.append(at)
        densities.append(density)
        radii.append(moments)
    if len(times) < 2:
        nothing = math.nan
        return _Spread(np.full(int(chosen.inside.sum()), nothing), nothing, Radii(nothing, nothing, nothing))
    spread = Radii(*np.std(radii, axis=0, ddof=1).tolist())
    return _Spread(np.std(densities, axis=0, ddof=1), float(np.std(times, ddof=1)), spread)
