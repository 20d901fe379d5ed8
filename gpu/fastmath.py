"""Branch-free elementary functions that vectorise: sincos, log, exp, atan2.

The C library computes these one number at a time; here eight run together, on CPU and GPU from one source, so
that both agree to the last digits. Errors are stated in units in the last place (ulp) of the result, as
tested.
"""

from __future__ import annotations

import math

import numpy as np

from gpu.kernel import scalar

# pi/2 in three parts (fdlibm e_rem_pio2.c, Sun Microsystems 1993); the first two end in 20 zero bits, so that
# n * part is exact for |n| < 2**20 (W. J. Cody, W. Waite, Software Manual for the Elementary Functions,
# 1980).
_PIO2_1 = 1.57079632673412561417e00
_PIO2_2 = 6.07710050630396597660e-11
_PIO2_3 = 2.02226624879595063154e-21
_TWO_OVER_PI = 2.0 / math.pi
_NEAREST = 1.5 * 2.0**52  # adding and subtracting it rounds to the nearest integer

_LN2_HIGH = 6.93147180369123816490e-01  # ends in 20 zero bits
_LN2_LOW = 1.90821492927058770002e-10
_LOG2_E = 1.0 / math.log(2.0)
_SQRT_HALF = 0x3FE6A09E00000000  # bits of sqrt(1/2), to 20 binary digits
_FRACTION = 0x000FFFFFFFFFFFFF  # the bits after the binary point


@scalar(exact=True)
def sincos(x: float) -> tuple[float, float]:
    """Return sine and cosine of `x` [rad], each within 1 ulp for \\|x\\| < 1e6.

    Beyond, the error grows with \\|x\\|; above 1e9 the result means nothing. NaN and infinity give NaN.
    Polynomials of S. L. Moshier, Cephes Mathematical Library 2.8 (2000), sin.c.
    """
    n = (x * _TWO_OVER_PI + _NEAREST) - _NEAREST
    first = x - n * _PIO2_1
    second = first - n * _PIO2_2
    rest = n * _PIO2_3 - ((first - second) - n * _PIO2_2)
    r = second - rest
    tail = (second - r) - rest  # r + tail is the angle to about 70 bits
    z = r * r
    s = 1.58962301576546568060e-10
    s = s * z - 2.50507477628578072866e-8
    s = s * z + 2.75573136213857245213e-6
    s = s * z - 1.98412698295895385996e-4
    s = s * z + 8.33333333332211858878e-3
    s = s * z - 1.66666666666666307295e-1
    s = r + (r * (z * s) + tail)
    c = -1.13585365213876817300e-11
    c = c * z + 2.08757008419747316778e-9
    c = c * z - 2.75573141792967388112e-7
    c = c * z + 2.48015872888517045348e-5
    c = c * z - 1.38888888888730564116e-3
    c = c * z + 4.16666666666665929218e-2
    half = 0.5 * z
    w = 1.0 - half
    c = w + (((1.0 - w) - half) + (z * z * c - r * tail))
    quadrant = int(n)
    swap = quadrant & 1
    sine = c if swap else s
    cosine = s if swap else c
    return (-sine if quadrant & 2 else sine), (-cosine if (quadrant + 1) & 2 else cosine)


@scalar(exact=True)
def log(x: float) -> float:
    """Return the natural logarithm, within 1 ulp for normal numbers (fdlibm e_log.c, Sun Microsystems 1993).

    Zero and subnormal numbers give minus infinity, negative numbers NaN; infinity and NaN give themselves.
    """
    # x = 2**k (1 + f) with sqrt(1/2) < 1 + f < sqrt(2)
    bits = np.float64(x).view(np.int64) - _SQRT_HALF
    k = float(bits >> 52)
    f = np.int64((bits & _FRACTION) + _SQRT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.479819860511658591e-01
    r = r * z + 1.531383769920937332e-01
    r = r * z + 1.818357216161805012e-01
    r = r * z + 2.222219843214978396e-01
    r = r * z + 2.857142874366239149e-01
    r = r * z + 3.999999999940941908e-01
    r = r * z + 6.666666666666735130e-01
    r = r * z
    h = 0.5 * f * f
    y = k * _LN2_HIGH - ((h - (s * (h + r) + k * _LN2_LOW)) - f)
    result = y if x >= 2.2250738585072014e-308 else -math.inf
    result = result if x >= 0.0 else math.nan
    return result if x < math.inf else x


@scalar(exact=True)
def exp(x: float) -> float:
    """Return e to the power `x`, within 1 ulp for -708 < x < 709.7 (Taylor series to the 13th power).

    Below -745.2 the result is 0, above 709.8 infinity; NaN gives NaN.
    """
    y = 710.0 if x > 710.0 else x
    y = -746.0 if y < -746.0 else y
    n = (y * _LOG2_E + _NEAREST) - _NEAREST
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = 1.0 + (r + r * r * p)
    # 2**n in two factors, each a normal number
    k = int(n)
    half = k >> 1
    first = np.int64((half + 1023) << 52).view(np.float64)
    second = np.int64((k - half + 1023) << 52).view(np.float64)
    return p * first * second


@scalar(exact=True)
def atan2(y: float, x: float) -> float:
    """Return the angle of the point (x, y) [rad] in [-pi, pi], within 2.5 ulp; 0 at the origin.

    The signs of zeros are not kept; NaN gives NaN, two infinities give NaN. Rational function of S. L.
    Moshier, Cephes Mathematical Library 2.8 (2000), atan.c.
    """
    ax, ay = abs(x), abs(y)
    steep = ay > ax
    low = ax if steep else ay
    high = ay if steep else ax
    # tan(angle) = low/high <= 1; above tan(pi/8) turn back by pi/4
    turned = low > 0.41421356237309503 * high
    top = low - high if turned else low
    bottom = low + high if turned else high
    t = top / (bottom if bottom != 0.0 else 1.0)
    z = t * t
    p = -8.750608600031904122785e-1
    p = p * z - 1.615753718733365076637e1
    p = p * z - 7.500855792314704667340e1
    p = p * z - 1.228866684490136173410e2
    p = p * z - 6.485021904942025371773e1
    q = z + 2.485846490142306297962e1
    q = q * z + 1.650270098316988542046e2
    q = q * z + 4.328810604912902668951e2
    q = q * z + 4.853903996359136964868e2
    q = q * z + 1.945506571482613964425e2
    angle = t + t * (z * p / q)
    angle = (angle + 3.061616997868383e-17) + 0.25 * math.pi if turned else angle
    angle = 0.5 * math.pi - (angle - 6.123233995736766e-17) if steep else angle
    angle = math.pi - (angle - 1.2246467991473532e-16) if x < 0.0 else angle
    return -angle if y < 0.0 else angle
