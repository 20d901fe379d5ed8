"""The wiggle: positrons above a threshold against time, and the anomalous precession frequency in them.

    N(t) = N0 exp(-t/tau) [1 + A cos(omega_a t - phi)] [1 + A_c exp(-t/tau_c) cos(omega_c t - phi_c)]

with omega_a = 2 pi f_ref (1 + R 1e-6), as in G. W. Bennett et al., Phys. Rev. D 73 (2006) 072003, section IV,
and the public Run-1 fit functions nkinnaird/PrecessionFrequencyAnalysis @54b9b45 (TmethodFit.hh).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2 as chi2_distribution

from gpu.kernel import Kernel
from gpu.rng import Stage, uniform2

Floats = NDArray[np.float64]

BIN_WIDTH = 149.2e-9
"""Bin width [s]: the cyclotron period, rounded (PrecessionFrequencyAnalysis @54b9b45)."""
REFERENCE_FREQUENCY = 0.2291e6
"""Frequency [Hz] that R is counted from (PrecessionFrequencyAnalysis @54b9b45, blindingFa)."""
FIVE = ("n0", "tau_us", "asymmetry", "r_ppm", "phase_rad")
NINE = (*FIVE, "cbo_amplitude", "cbo_tau_us", "cbo_khz", "cbo_phase_rad")

# Analysis draws have stages above those of the simulation (gpu.rng.Stage): neither disturbs the other.
_TIME_RANDOMISATION = int(Stage.RANDOMISATION)
_FEWEST = 100  # positrons below which five parameters cannot be found
_MERGED = 20.0  # expected positrons of a merged bin of the chi-square test
# Fall of the deviance for four more parameters: 20 by chance in 5e-4, and 25 with some frequencies to choose from.
_WORTH_FOUR = 25.0
_GRID = 41  # trial frequencies of the start value, over +-2 %


class WiggleHistogram(NamedTuple):
    """Positrons per time bin, or sums of weights or of energy.

    Attributes
    ----------
    counts : array (n,)
    edges : array (n + 1,) [s]
    variance : array (n,), optional
        Expected variance of each bin where it is not that of a counted number: a smooth one, since one that fluctuates
        with its bin would draw the fit to bins that are low by chance.
    """

    counts: Floats
    edges: Floats
    variance: Floats | None = None

    @property
    def centres(self) -> Floats:
        """Middles of the bins [s]."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def positrons(self) -> float:
        """Positrons in all bins; of sums of weights, the number of positrons of equal weight with the same error."""
        total = float(self.counts.sum())
        return total if self.variance is None else total**2 / max(float(self.variance.sum()), 1e-300)


@dataclass(frozen=True)
class WiggleFit:
    """A fitted wiggle; units are in the parameters' names.

    Attributes
    ----------
    names : tuple of str
        :data:`FIVE` or :data:`NINE`.
    values, errors : arrays (p,)
    covariance : array (p, p)
    chi2, ndf, probability : float, int, float
        Pearson's test on neighbouring bins merged to at least 20 expected positrons; NaN when ndf is 0.
    positrons : int
        Positrons in the fitted range.
    start, stop : float [s]
    reference_frequency : float [Hz]
    valid : bool
        Whether the minimum and its errors are trustworthy, as Minuit judges.
    """

    names: tuple[str, ...]
    values: Floats
    errors: Floats
    covariance: Floats
    chi2: float
    ndf: int
    probability: float
    positrons: int
    start: float
    stop: float
    reference_frequency: float
    valid: bool

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Value and error of one parameter."""
        i = self.names.index(name)
        return float(self.values[i]), float(self.errors[i])

    @property
    def r_ppm(self) -> tuple[float, float]:
        """R and its error [ppm]."""
        return self["r_ppm"]

    @property
    def omega_a(self) -> tuple[float, float]:
        """Anomalous precession frequency and its error [rad/s]."""
        r, error = self.r_ppm
        reference = 2 * math.pi * self.reference_frequency
        return reference * (1 + 1e-6 * r), reference * 1e-6 * error

    def summary(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "parameters": {name: list(self[name]) for name in self.names},
            "omega_a_rad_per_s": list(self.omega_a),
            "chi2": self.chi2,
            "ndf": self.ndf,
            "probability": self.probability,
            "positrons": self.positrons,
            "start_us": self.start * 1e6,
            "stop_us": self.stop * 1e6,
            "reference_frequency_hz": self.reference_frequency,
            "valid": self.valid,
        }


def histogram(
    time: ArrayLike,
    energy: ArrayLike,
    *,
    threshold: float = 1.7,
    ceiling: float = math.inf,
    start: float = 30.2876e-6,
    stop: float = 650.0644e-6,
    width: float = BIN_WIDTH,
) -> WiggleHistogram:
    """Count positrons of enough energy in time bins.

    Parameters
    ----------
    time, energy : arrays (n,) [s], [GeV]
    threshold, ceiling : float [GeV]
        Energies from threshold (included) to ceiling.
    start, stop, width : float [s]
        Only whole bins are kept.

    Raises
    ------
    ValueError
        If no whole bin lies between start and stop.
    """
    bins = math.floor((stop - start) / width + 1e-6)
    if bins < 1:
        raise ValueError(
            f"no bin of {width * 1e9:g} ns fits between {start * 1e6:g} and {stop * 1e6:g} us: give a later stop"
        )
    energies = np.asarray(energy)
    chosen = np.asarray(time)[(energies >= threshold) & (energies < ceiling)]
    edges: Floats = start + width * np.arange(bins + 1, dtype=np.float64)
    counts, _ = np.histogram(chosen, bins=bins, range=(edges[0], edges[-1]))
    return WiggleHistogram(counts.astype(np.float64), edges)


class _Draw(NamedTuple):
    time: Floats
    fill: NDArray[np.int64]
    row: NDArray[np.int64]
    out: Floats


@Kernel
def _shift(i: int, draw: _Draw, seed: int, width: float) -> None:
    u, _ = uniform2(seed, 0, 0, draw.fill[i], _TIME_RANDOMISATION, draw.row[i], 0)
    draw.out[i] = draw.time[i] + (u - 0.5) * width


def randomise_times(time: ArrayLike, fill: ArrayLike, seed: int, width: float = BIN_WIDTH) -> Floats:
    """Move every time by a uniform random part of one period, which washes the fast rotation out.

    Parameters
    ----------
    time : array (n,) [s]
    fill : array (n,)
        Fill of each entry; the random number depends on the seed, the fill and the entry's place within it.
    seed : int
    width : float [s]
        Full width of the shift, one cyclotron period unless given.
    """
    times = np.ascontiguousarray(time, np.float64)
    fills = np.ascontiguousarray(fill, np.int64)
    order = np.argsort(fills, kind="stable")
    ordered = fills[order]
    first = np.searchsorted(ordered, ordered)
    row = np.empty_like(fills)
    row[order] = np.arange(len(fills)) - first
    out = np.empty_like(times)
    _shift(len(times), _Draw(times, fills, row, out), int(seed), float(width))
    return out


def expectation(
    names: tuple[str, ...], values: ArrayLike, edges: Floats, reference_frequency: float = REFERENCE_FREQUENCY
) -> Floats:
    """Expected positrons per bin: the decay and precession averaged exactly over each bin, CBO at its middle.

    Parameters
    ----------
    names : tuple of str
        :data:`FIVE` or :data:`NINE`.
    values : array (p,)
    edges : array (n + 1,) [s]
        Bins of one width.
    reference_frequency : float [Hz]
    """
    p = np.asarray(values, np.float64)
    n0, tau, asymmetry, r, phase = p[:5]
    centre = 0.5e6 * (edges[1:] + edges[:-1])
    half = 0.5e6 * (edges[1] - edges[0])
    rate = -1.0 / tau
    omega = 2e-6 * math.pi * reference_frequency * (1 + 1e-6 * r)
    # The mean of exp(z t) over a bin is its value at the middle times sinh(z h)/(z h).
    z = complex(rate, omega) * half
    factor = complex(np.sinh(z) / z)
    still = math.sinh(rate * half) / (rate * half)
    wave = abs(factor) * np.cos(omega * centre - phase + math.atan2(factor.imag, factor.real))
    expected = n0 * np.exp(rate * centre) * (still + asymmetry * wave)
    if len(names) > 5:
        amplitude, tau_c, khz, phase_c = p[5:9]
        turning = np.cos(2e-3 * math.pi * khz * centre - phase_c)
        expected = expected * (1 + amplitude * np.exp(-centre / tau_c) * turning)
    return np.asarray(expected)


def fit_wiggle(
    data: WiggleHistogram,
    *,
    cbo_frequency: float | None = None,
    reference_frequency: float = REFERENCE_FREQUENCY,
) -> WiggleFit:
    """Fit the wiggle by the binned Poisson likelihood (S. Baker, R. D. Cousins, NIM 221 (1984) 437, eq. 11).

    Sums of weights, whose variance is given, are fitted by least squares.

    Parameters
    ----------
    data : WiggleHistogram
    cbo_frequency : float [Hz], optional
        Where the coherent betatron oscillation is looked for. Given, nine parameters are fitted as well, and kept
        if the deviance falls by more than 25: an oscillation that is not there has no frequency to be fitted.
    reference_frequency : float [Hz]
        Frequency that R is counted from.

    Raises
    ------
    ValueError
        With fewer than 100 positrons in the histogram.
    """
    from iminuit import Minuit

    positrons = round(data.positrons)
    if positrons < _FEWEST:
        raise ValueError(
            f"{positrons} positrons between {data.edges[0] * 1e6:g} and {data.edges[-1] * 1e6:g} us are too "
            f"few for a wiggle fit (at least {_FEWEST}): simulate more fills or lower the threshold"
        )
    names: tuple[str, ...] = FIVE
    start = _start_values(data, reference_frequency)
    minuit = _minimise(Minuit, _deviance(data, names, reference_frequency), start, names)
    if cbo_frequency is not None:
        five = np.array(minuit.values)
        start = np.concatenate([five, _start_cbo(data, five, cbo_frequency, reference_frequency)])
        more = _minimise(Minuit, _deviance(data, NINE, reference_frequency), start, NINE)
        if more.valid and minuit.fval - more.fval > _WORTH_FOUR:
            minuit, names = more, NINE
    values = np.array(minuit.values)
    expected = expectation(names, values, data.edges, reference_frequency)
    chi2, ndf = goodness(data.counts, expected, len(names), data.variance)
    return WiggleFit(
        names=names,
        values=values,
        errors=np.array(minuit.errors),
        covariance=_covariance(minuit, len(names)),
        chi2=chi2,
        ndf=ndf,
        probability=float(chi2_distribution.sf(chi2, ndf)) if ndf > 0 else math.nan,
        positrons=positrons,
        start=float(data.edges[0]),
        stop=float(data.edges[-1]),
        reference_frequency=reference_frequency,
        valid=bool(minuit.valid),
    )


def _deviance(data: WiggleHistogram, names: tuple[str, ...], reference_frequency: float) -> Callable[[Floats], float]:
    """What a fit makes small, as a function of its parameters."""
    counts, edges, variance = data
    observed = counts > 0
    seen = counts[observed]

    def deviance(values: Floats) -> float:
        expected = expectation(names, values, edges, reference_frequency)
        if variance is not None:
            return float(np.sum((counts - expected) ** 2 / variance))
        expected = np.maximum(expected, 1e-12)
        return float(2 * (np.sum(expected - counts) + np.sum(seen * np.log(seen / expected[observed]))))

    return deviance


def _covariance(minuit: Any, size: int) -> Floats:
    if minuit.covariance is None:
        return np.full((size, size), np.nan)
    return np.array(minuit.covariance)


def goodness(counts: Floats, expected: Floats, parameters: int, variance: Floats | None = None) -> tuple[float, int]:
    """Pearson's chi-square over bins merged to about 20 expected positrons, and degrees of freedom."""
    v = expected if variance is None else variance
    label = np.floor(np.cumsum(expected**2 / v) / _MERGED)
    first = np.flatnonzero(np.r_[True, np.diff(label) > 0])
    n, m, v = (np.add.reduceat(values, first) for values in (counts, expected, v))
    if len(m) > 1 and m[-1] ** 2 / v[-1] < 0.5 * _MERGED:
        n, m, v = (np.append(values[:-2], values[-2] + values[-1]) for values in (n, m, v))
    return float(np.sum((n - m) ** 2 / v)), max(len(m) - parameters, 0)


def residual_spectrum(data: WiggleHistogram, fit: WiggleFit) -> tuple[Floats, Floats]:
    """Fourier amplitudes of the fit's pulls, 1 on average for a good fit.

    Returns
    -------
    frequency, amplitude : arrays (n // 2,) [Hz], []
        Amplitude is the root of the periodogram, so that pure counting noise has mean square 1.
    """
    pulls = residuals(data, fit)
    amplitude = np.abs(np.fft.rfft(pulls)) / math.sqrt(len(pulls))
    frequency = np.fft.rfftfreq(len(pulls), data.edges[1] - data.edges[0])
    return frequency[1:], amplitude[1:]


def residuals(data: WiggleHistogram, fit: WiggleFit) -> Floats:
    """Pulls (n - m)/sqrt(m) of every bin, or over the root of its variance."""
    expected = np.maximum(expectation(fit.names, fit.values, data.edges, fit.reference_frequency), 1e-12)
    return np.asarray((data.counts - expected) / np.sqrt(expected if data.variance is None else data.variance))


def _start_values(data: WiggleHistogram, reference_frequency: float) -> Floats:
    """N0, tau, A, R, phi by linear least squares for each trial frequency near the reference."""
    t = data.centres * 1e6
    tau = min(max(float(np.average(t, weights=data.counts) - t[0]), 10.0), 64.4)
    decay = np.exp(-t / tau)
    weight = 1 / np.maximum(decay, 1e-12)  # the variance is as the expectation
    best = (-1.0, np.zeros(5))
    for shift in np.linspace(-2e4, 2e4, _GRID):
        angle = 2e-6 * math.pi * reference_frequency * (1 + 1e-6 * shift) * t
        shapes = np.stack([decay, decay * np.cos(angle), decay * np.sin(angle)])
        a, c, s = np.linalg.solve((shapes * weight) @ shapes.T, (shapes * weight) @ data.counts)
        size = math.hypot(c, s)
        if size > best[0]:
            best = size, np.array([a, tau, min(size / a, 0.95), shift, math.atan2(s, c) % (2 * math.pi)])
    return best[1]


def _start_cbo(data: WiggleHistogram, five: Floats, cbo_frequency: float, reference_frequency: float) -> Floats:
    """Amplitude and phase of the residual's strongest oscillation within 5 % of the expected frequency."""
    t = data.centres * 1e6
    expected = expectation(FIVE, five, data.edges, reference_frequency)
    tau = 150.0
    envelope = np.exp(-t / tau)
    trial = 1e-3 * cbo_frequency * np.linspace(0.95, 1.05, _GRID)
    wave = np.exp(1j * 2e-3 * math.pi * np.outer(trial, t))
    power = wave @ ((data.counts - expected) * envelope)
    best = int(np.argmax(np.abs(power)))
    size = 2 * abs(power[best]) / float(np.sum(expected * envelope**2))
    return np.array([size, tau, trial[best], float(np.angle(power[best])) % (2 * math.pi)])


def _minimise(minuit_class: Any, deviance: Any, start: Floats, names: tuple[str, ...]) -> Any:
    minuit = minuit_class(deviance, start, name=names)
    minuit.errordef = 1.0  # the deviance grows by one at one standard deviation
    minuit.limits["tau_us"] = (5.0, 1000.0)
    minuit.limits["n0"] = (1e-9, None)
    minuit.errors["r_ppm"] = 200.0
    minuit.errors["phase_rad"] = 0.02
    if len(names) > 5:
        minuit.limits["cbo_tau_us"] = (10.0, 1000.0)
        minuit.limits["cbo_khz"] = (0.9 * start[7], 1.1 * start[7])
        minuit.errors["cbo_tau_us"] = 20.0
        minuit.errors["cbo_khz"] = 0.5
        minuit.errors["cbo_phase_rad"] = 0.2
    minuit.strategy = 1
    minuit.migrad()
    minuit.hesse()
    return minuit
