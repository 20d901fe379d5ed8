"""What a sheet of metal does: bremsstrahlung, ionisation, multiple scattering, conversion of photons."""

import math

from gpu.fastmath import exp, log
from gpu.kernel import scalar
from gpu.rng import FillKey, Stage, normal2, uniform2

_STAGE = int(Stage.SCATTERING)
_LN2 = math.log(2.0)
_DRAWS = 8  # random draws reserved for one sheet: fraction, two angles, up to ten exponentials, depth of a photon
_WHOLE = 10  # more than ten ln(2) radiation lengths leave nothing
_LARGEST = 8.0  # an energy fraction below exp(-8) is nothing
_TERMS = 40  # of the series at x = 8: the last is below 1e-12 of the sum


@scalar
def gamma_of(z: float) -> float:
    """Return the gamma function of z >= 1, to 2e-10 (C. Lanczos, SIAM J. Numer. Anal. B 1, 86 (1964))."""
    t = z + 4.5
    series = 1.000000000190015 + 76.18009172947146 / z - 86.50532032941677 / (z + 1.0)
    series += 24.01409824083091 / (z + 2.0) - 1.231739572450155 / (z + 3.0)
    series += 0.1208650973866179e-2 / (z + 4.0) - 0.5395239384953e-5 / (z + 5.0)
    return float(math.sqrt(2.0 * math.pi) * series * exp((z - 0.5) * log(t) - t))


@scalar
def gamma_deviate(shape: float, v: float) -> float:
    """Invert the gamma distribution of `shape` between 0 and 1 and unit scale, for a uniform `v` in (0, 1).

    Newton's method on the series of the incomplete gamma function, DLMF 8.11.4, from a lower bound; the
    function is concave, so every step stays below the root. Values below 1e-8 are returned as 0, above 8 as
    8.
    """
    if shape < 1e-9:
        return 0.0
    scale = gamma_of(1.0 + shape)
    start = log(v * scale) / shape
    if start < -18.0:
        return 0.0
    x = float(min(exp(start), _LARGEST))
    for _ in range(30):
        term = 1.0
        series = 1.0
        for k in range(1, _TERMS):
            term *= x / (shape + k)
            series += term
        front = exp(shape * log(x) - x) / scale
        step = (v - front * series) * x / (front * shape)
        x = float(min(x + step, _LARGEST))
        if abs(step) < 1e-10 * x:
            break
    return x


@scalar
def radiated(thickness: float, number: int, crossing: int, key: FillKey) -> float:
    """Draw what part of its energy a positron keeps after bremsstrahlung.

    -ln(kept) follows the gamma distribution of shape thickness / ln 2, thickness in radiation lengths: H.
    Bethe and W. Heitler, Proc. R. Soc. A 146, 83 (1934), with the mean exp(-thickness). Whole numbers of the
    shape are sums of exponentials.
    """
    shape = thickness / _LN2
    whole = int(min(shape, 1e6))
    if whole >= _WHOLE:
        return 0.0
    first = _DRAWS * crossing
    v, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, first)
    loss = gamma_deviate(shape - whole, v)
    for pair in range((whole + 1) // 2):
        a, b = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, first + 2 + pair)
        loss -= log(a)
        if 2 * pair + 1 < whole:
            loss -= log(b)
    return float(exp(-loss))


@scalar
def matter_ahead(thickness: float, number: int, crossing: int, key: FillKey) -> float:
    """Draw how much of a sheet is still in front of a photon radiated in it, evenly [radiation lengths]."""
    u, _ = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, _DRAWS * crossing + _DRAWS - 1)
    return float(thickness * u)


@scalar
def converted(thickness: float, number: int, crossing: int, key: FillKey) -> float:
    """Draw whether a photon becomes a pair: the positron's share of its energy, 0 where the photon goes on.

    Probability 1 - exp(-7/9 t) after t radiation lengths, its limit at high energy: Y.-S. Tsai, Rev. Mod. Phys. 46,
    815 (1974), as in the review of particle physics, "Passage of particles through matter". The share is even between
    0 and 1; Tsai's 1 - 4/3 x (1 - x) has its least, 2/3, in the middle.
    """
    u, v = uniform2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, _DRAWS * crossing)
    return float(v) if u < 1.0 - exp(-7.0 / 9.0 * thickness) else 0.0


@scalar
def scatter(
    dx: float, dy: float, dz: float, momentum: float, thickness: float, number: int, crossing: int, key: FillKey
) -> tuple[float, float, float]:
    """Turn a direction by multiple scattering.

    Two Gaussian angles of rms 13.6 MeV / p sqrt(t) (1 + 0.038 ln t): V. L. Highland, NIM 129, 497 (1975), as
    in the review of particle physics, "Passage of particles through matter".

    Parameters
    ----------
    dx, dy, dz
        Unit vector, not vertical.
    momentum
        [GeV/c].
    thickness
        Radiation lengths.
    """
    g, h = normal2(key.seed, key.run, key.subrun, key.fill, _STAGE, number, _DRAWS * crossing + 1)
    angle = 0.0136 / momentum * math.sqrt(thickness) * max(1.0 + 0.038 * log(thickness), 0.0)
    across = math.sqrt(dx * dx + dz * dz)
    # Axes across the direction: horizontal (dz, 0, -dx) / across and (-dx dy, across^2, -dy dz) / across.
    u, v = angle * g / across, angle * h / across
    ax = dx + u * dz - v * dx * dy
    ay = dy + v * across * across
    az = dz - u * dx - v * dy * dz
    scale = 1.0 / math.sqrt(ax * ax + ay * ay + az * az)
    return ax * scale, ay * scale, az * scale


@scalar
def path_in_sheet(thickness: float, sine: float, bend: float) -> float:
    """Length of a path through a sheet that it meets at an angle and bends further into.

    Parameters
    ----------
    thickness
        Of the sheet [m].
    sine
        Of the angle between path and sheet, 0 to 1.
    bend
        Curvature of the path towards the far side of the sheet, relative to the sheet [1/m]; negative away.
    """
    # depth = sine s + bend s^2 / 2: its root in the form that does not cancel.
    return 2.0 * thickness / (sine + math.sqrt(max(sine * sine + 2.0 * bend * thickness, 1e-6)))
