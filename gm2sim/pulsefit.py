"""Template fit of the pulses in a waveform: linear in heights and pedestal, Newton steps in the times.

The least squares of the experiment (N. Kinnaird, dissertation 2020, nkinnaird/Dissertation @8f8e9eb) with the
pulse shape (1 - exp(-t/rise))^3 exp(-t/fall) in place of splines. Units: samples, ADC counts.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.kernel import Kernel, scalar

MOST_PULSES = 4  # of one crystal in one island
_BEFORE, _AFTER = (
    7,
    9,
)  # samples of the window around a maximum: a pulse has lost 99.6 % of its height after 9
_RISE = 3  # samples that a pulse takes to its maximum: one with its maximum behind the window reaches into it
_STEPS = 8  # Newton steps; a good start needs three
_SCRATCH = 36
_SPLIT = 0.8  # samples by which two pulses in one maximum are first moved apart
# A second pulse must gain so much chi-square for its two parameters: 5 standard deviations.
_GAIN = 30.0


class Waveforms(NamedTuple):
    """Waveforms in which a pulse is seen: one row per island and crystal.

    Attributes
    ----------
    samples : int16 array
        Flat samples of many islands [ADC counts].
    first, length : int64 arrays (n,)
        Where the row's samples begin, and how many they are.
    pedestal : array (n,) [ADC counts]
    channel : int64 array (n,)
        Which template is fitted.
    """

    samples: NDArray[np.int16]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    pedestal: NDArray[np.float64]
    channel: NDArray[np.int64]


class Template(NamedTuple):
    """Pulse shape and the noise it is fitted in.

    Attributes
    ----------
    rise, fall : float [samples]
    height : float
        Largest value of the bare shape.
    delay : float [samples]
        From the start of the pulse to its maximum.
    noise : float [ADC counts]
    threshold : float [ADC counts]
        Smallest height of a pulse.
    pedestal_weight : float
        Trust in the given pedestal, as the number of samples that would know it as well.
    """

    rise: float
    fall: float
    height: float
    delay: float
    noise: float
    threshold: float
    pedestal_weight: float


class Templates(NamedTuple):
    """A `Template` for each channel: arrays (channels,)."""

    rise: NDArray[np.float64]
    fall: NDArray[np.float64]
    height: NDArray[np.float64]
    delay: NDArray[np.float64]
    noise: NDArray[np.float64]
    threshold: NDArray[np.float64]
    pedestal_weight: NDArray[np.float64]


@scalar
def template_of(t: Templates, k: int) -> Template:
    """The template of one channel."""
    return Template(t.rise[k], t.fall[k], t.height[k], t.delay[k], t.noise[k], t.threshold[k], t.pedestal_weight[k])


class Found(NamedTuple):
    """Pulses of each row: arrays (n, MOST_PULSES), rows filled from the left.

    Attributes
    ----------
    start : array [samples]
        Start of the pulse, counted from the row's first sample.
    height : array [ADC counts]
        0 where there is no pulse.
    chi2 : array
        Of the window's fit over its degrees of freedom.
    scratch : array (n, 36)
    """

    start: NDArray[np.float64]
    height: NDArray[np.float64]
    chi2: NDArray[np.float64]
    scratch: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int) -> "Found":
        """Room for ``n`` rows."""
        start, height, chi2 = np.zeros((3, n, MOST_PULSES))
        return cls(start, height, chi2, np.zeros((n, _SCRATCH)))


@scalar
def _shape(age: float, t: Template) -> tuple[float, float]:
    """Value and slope of the template ``age`` samples after its start."""
    if age <= 0.0:
        return 0.0, 0.0
    q = math.exp(-age / t.rise)
    p = 1.0 - q
    common = p * p * math.exp(-age / t.fall) / t.height
    return p * common, common * (3.0 * q / t.rise - p / t.fall)


@scalar
def _depth(i: int, s: int, waves: Waveforms, t: Template, found: Found, pulses: int) -> tuple[float, float]:
    """Counts below the pedestal less the pulses found before, and the weight of the sample (0 if clipped)."""
    raw = waves.samples[waves.first[i] + s]
    d = waves.pedestal[i] - raw
    for k in range(pulses):
        value, _ = _shape(s - found.start[i, k], t)
        d -= found.height[i, k] * value
    return d, 0.0 if raw <= -2048 or raw >= 2047 else 1.0


@scalar
def _next_maximum(i: int, begin: int, end: int, waves: Waveforms, t: Template, found: Found, pulses: int) -> int:
    """First sample of a local maximum above threshold in [begin, end), or -1."""
    before = -1e9
    if begin > 0:
        before, _ = _depth(i, begin - 1, waves, t, found, pulses)
    here, _ = _depth(i, min(begin, end - 1), waves, t, found, pulses)
    for s in range(begin, end):
        after = -1e9
        if s + 1 < waves.length[i]:
            after, _ = _depth(i, s + 1, waves, t, found, pulses)
        if here > t.threshold and here >= before and here > after:
            return s
        before, here = here, after
    return -1


@scalar
def _single(
    i: int, begin: int, end: int, start: float, waves: Waveforms, t: Template, found: Found, pulses: int
) -> tuple[float, float, float]:
    """Fit one pulse and the pedestal in [begin, end): start, height, chi-square."""
    height, pedestal = 0.0, 0.0
    for _ in range(_STEPS):
        n, d1 = t.pedestal_weight, 0.0
        t1 = s1 = tt = ts = ss = dt = ds = 0.0
        for j in range(begin, end):
            d, w = _depth(i, j, waves, t, found, pulses)
            v, s = _shape(j - start, t)
            n += w
            d1 += w * d
            t1 += w * v
            s1 += w * s
            tt += w * v * v
            ts += w * v * s
            ss += w * s * s
            dt += w * d * v
            ds += w * d * s
        # The pedestal eliminated: a 2 x 2 system for the height and height times shift.
        tt -= t1 * t1 / n
        ts -= t1 * s1 / n
        ss -= s1 * s1 / n
        dt -= d1 * t1 / n
        ds -= d1 * s1 / n
        determinant = max(tt * ss - ts * ts, 1e-12)
        height = (dt * ss - ds * ts) / determinant
        slope = (ds * tt - dt * ts) / determinant
        pedestal = (d1 - height * t1 - slope * s1) / n
        if height <= 0.0:
            break
        step = min(max(-slope / height, -0.7), 0.7)
        start += step
        if abs(step) < 1e-4:
            break
    chi2 = t.pedestal_weight * pedestal * pedestal
    for j in range(begin, end):
        d, w = _depth(i, j, waves, t, found, pulses)
        v, _ = _shape(j - start, t)
        r = d - height * v - pedestal
        chi2 += w * r * r
    return start, height, chi2 / (t.noise * t.noise)


@scalar
def _largest_residual(
    i: int,
    begin: int,
    end: int,
    start: float,
    height: float,
    waves: Waveforms,
    t: Template,
    found: Found,
    pulses: int,
) -> float:
    """Sample of the largest positive residual of one pulse: where a second is looked for first."""
    worst, place = -1e9, begin
    for j in range(begin, end):
        d, _ = _depth(i, j, waves, t, found, pulses)
        v, _ = _shape(j - start, t)
        if d - height * v > worst:
            worst, place = d - height * v, j
    return float(place)


@scalar
def _solve(a: NDArray[np.float64], i: int, n: int) -> None:
    """Gauss elimination of row i of the scratch space: n x n positive matrix with its right side."""
    m = n + 1
    for c in range(n):
        pivot = max(a[i, c * m + c], 1e-9)
        for r in range(n):
            if r != c:
                factor = a[i, r * m + c] / pivot
                for k in range(c, m):
                    a[i, r * m + k] -= factor * a[i, c * m + k]
    for r in range(n):
        a[i, r * m + n] /= max(a[i, r * m + r], 1e-9)


@scalar
def _double(
    i: int, begin: int, end: int, u: float, v: float, waves: Waveforms, t: Template, found: Found, pulses: int
) -> tuple[float, float, float, float, float]:
    """Fit two pulses and the pedestal in [begin, end): starts u and v, heights, chi-square."""
    a = found.scratch
    g = h = pedestal = 0.0
    for _ in range(2 * _STEPS):
        for k in range(30):
            a[i, k] = 0.0
        a[i, 28] = t.pedestal_weight
        for j in range(begin, end):
            d, w = _depth(i, j, waves, t, found, pulses)
            p, q = _shape(j - u, t)
            r, s = _shape(j - v, t)
            a[i, 0] += w * p * p
            a[i, 1] += w * p * q
            a[i, 2] += w * p * r
            a[i, 3] += w * p * s
            a[i, 4] += w * p
            a[i, 5] += w * p * d
            a[i, 7] += w * q * q
            a[i, 8] += w * q * r
            a[i, 9] += w * q * s
            a[i, 10] += w * q
            a[i, 11] += w * q * d
            a[i, 14] += w * r * r
            a[i, 15] += w * r * s
            a[i, 16] += w * r
            a[i, 17] += w * r * d
            a[i, 21] += w * s * s
            a[i, 22] += w * s
            a[i, 23] += w * s * d
            a[i, 28] += w
            a[i, 29] += w * d
        for r_ in range(5):
            # A little damping keeps pulses at the same place apart from infinity.
            a[i, r_ * 7] += 1e-6
            for c in range(r_):
                a[i, r_ * 6 + c] = a[i, c * 6 + r_]
        _solve(a, i, 5)
        g, h, pedestal = a[i, 5], a[i, 17], a[i, 29]
        if g <= 0.0 or h <= 0.0:
            break
        step_u = min(max(-a[i, 11] / g, -0.5), 0.5)
        step_v = min(max(-a[i, 23] / h, -0.5), 0.5)
        u += step_u
        v += step_v
        if abs(step_u) + abs(step_v) < 1e-3:
            break
    chi2 = t.pedestal_weight * pedestal * pedestal
    for j in range(begin, end):
        d, w = _depth(i, j, waves, t, found, pulses)
        p, _ = _shape(j - u, t)
        r, _ = _shape(j - v, t)
        left = d - g * p - h * r - pedestal
        chi2 += w * left * left
    return u, v, g, h, chi2 / (t.noise * t.noise)


@Kernel
def fit_pulses(i: int, waves: Waveforms, templates: Templates, found: Found) -> None:
    """Find and fit the pulses of row i, window by window from the left; earlier pulses are subtracted."""
    t = template_of(templates, waves.channel[i])
    place, pulses = 0, 0
    length = waves.length[i]
    while pulses < MOST_PULSES:
        top = _next_maximum(i, place, length, waves, t, found, pulses)
        if top < 0:
            break
        begin, end = max(top - _BEFORE, 0), min(top + _AFTER, length)
        other = _next_maximum(i, top + 1, min(top + _AFTER + _RISE, length), waves, t, found, pulses)
        if other > 0:
            end = min(other + _AFTER, length)
        start, height, chi2 = _single(i, begin, end, top - t.delay, waves, t, found, pulses)
        freedom = max(end - begin - 3.0, 1.0)
        room = pulses + 1 < MOST_PULSES
        if room and (height > 0.0 or other > 0) and chi2 > freedom + _GAIN:
            u, v, g, h, both = _double(i, begin, end, start - _SPLIT, start + _SPLIT, waves, t, found, pulses)
            if both > freedom + _GAIN:
                far = float(other)
                if other < 0:
                    far = _largest_residual(i, begin, end, start, height, waves, t, found, pulses)
                u2, v2, g2, h2, both2 = _double(i, begin, end, top - t.delay, far - t.delay, waves, t, found, pulses)
                if both2 < both:
                    u, v, g, h, both = u2, v2, g2, h2, both2
            inside = begin - 2.0 < min(u, v) and max(u, v) < end
            if chi2 - both > _GAIN and min(g, h) > 0.5 * t.threshold and inside and abs(u - v) > 0.3:
                found.start[i, pulses], found.height[i, pulses] = u, g
                found.start[i, pulses + 1], found.height[i, pulses + 1] = v, h
                found.chi2[i, pulses] = found.chi2[i, pulses + 1] = both / max(freedom - 2.0, 1.0)
                pulses += 2
                place = max(int(max(u, v) + t.delay) + 2, top + 1)
                continue
        if height > 0.5 * t.threshold and begin - 2.0 < start and start < end:
            found.start[i, pulses], found.height[i, pulses] = start, height
            found.chi2[i, pulses] = chi2 / freedom
            pulses += 1
        place = top + 2


@scalar
def height_at(samples: NDArray[np.int16], first: int, length: int, pedestal: float, start: float, t: Template) -> float:
    """Height of a pulse whose start is known from elsewhere: linear, so noise alone gives 0 on average."""
    dt, tt = 0.0, 1e-9
    for j in range(max(int(start), 0), min(int(start) + _AFTER + 1, length)):
        v, _ = _shape(j - start, t)
        dt += v * (pedestal - samples[first + j])
        tt += v * v
    return dt / tt
