"""Normal numbers for the samples of a waveform, four at a time and in single precision: most of a fill's arithmetic.

A sample is rounded to whole counts, so that 24 bits are plenty; eight numbers of single precision run together
where four of double precision would.
"""

from __future__ import annotations

import math

import numpy as np

from gpu.kernel import scalar
from gpu.rng import philox4x32

BLOCK = 4  # samples that share one Philox call
# Box-Muller with 24 bits for the radius: no noise is larger than sqrt(-2 log 2^-25) standard deviations, but for
# rounding.
NOISE_BOUND = math.sqrt(2.0 * 25.0 * math.log(2.0)) * (1.0 + 1e-6)

_MASK = 0xFFFFFFFF
_NEAREST_SINGLE, _NEAREST = np.float32(1.5 * 2.0**23), 1.5 * 2.0**52
_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_STEP, _HALF_STEP = np.float32(2.0**-24), np.float32(2.0**-25)
_QUARTER_TURN = np.float32(0.5 * math.pi * 2.0**-30)  # rad for the lowest of the 30 bits below the quadrant
_EIGHTH, _QUADRANT = np.int32(2**29), np.int32(30)
# fdlibm e_logf.c (Sun Microsystems 1993, I. L. Taylor): 1 + f between sqrt(1/2) and sqrt(2).
_SQRT_HALF, _FRACTION, _EXPONENT = np.int32(0x3F3504F3), np.int32(0x7FFFFF), np.int32(23)
_LN2 = np.float32(math.log(2.0))
_L1, _L2, _L3, _L4 = (np.float32(c) for c in (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841))
# S. L. Moshier, Cephes Mathematical Library 2.8 (2000), sinf.c.
_S1, _S2, _S3 = (np.float32(c) for c in (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4))
_C1, _C2, _C3 = (np.float32(c) for c in (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5))


@scalar(exact=True)
def nearest_single(x):
    """Return the whole number nearest to a number of single precision below 4e6 in size, even ones from halves."""
    return (x + _NEAREST_SINGLE) - _NEAREST_SINGLE


@scalar(exact=True)
def nearest(x):
    """Return the whole number nearest to a number below 2e15 in size, even ones from halves."""
    return (x + _NEAREST) - _NEAREST


@scalar(exact=True)
def log_single(x):
    """Return the natural logarithm of a number of single precision in (0, 1], to 2e-7 of itself or better."""
    bits = np.float32(x).view(np.int32) - _SQRT_HALF
    k = np.float32(bits >> _EXPONENT)
    f = np.int32((bits & _FRACTION) + _SQRT_HALF).view(np.float32) - _ONE
    s = f / (_TWO + f)
    z = s * s
    r = z * (_L1 + z * (_L2 + z * (_L3 + z * _L4)))
    h = _HALF * f * f
    return k * _LN2 - ((h - s * (h + r)) - f)


@scalar(exact=True)
def sincos_turn(w):
    """Return sine and cosine of w 2^-32 turns, w an int32; each to 1e-7."""
    quadrant = (w + _EIGHTH) >> _QUADRANT
    x = np.float32(np.int32(w - np.int32(quadrant << _QUADRANT))) * _QUARTER_TURN
    z = x * x
    s = x + x * z * (_S1 + z * (_S2 + z * _S3))
    c = _ONE - _HALF * z + z * z * (_C1 + z * (_C2 + z * _C3))
    swap = quadrant & np.int32(1)
    sine = c if swap else s
    cosine = s if swap else c
    return (
        -sine if quadrant & np.int32(2) else sine,
        -cosine if (quadrant + np.int32(1)) & np.int32(2) else cosine,
    )


@scalar(exact=True)
def _radius(word):
    """Return the radius of Box and Muller from a word of 32 bits, of which it takes the upper 24."""
    return math.sqrt(-_TWO * log_single(np.float32(np.int32(word >> 8)) * _STEP + _HALF_STEP))


@scalar(exact=True)
def noise4(seed, run, subrun, fill, channel, block, stage):
    """Return standard normal numbers of single precision for the four samples of a block.

    G. E. P. Box, M. E. Muller, Ann. Math. Statist. 29 (1958) 610, doi:10.1214/aoms/1177706645.
    """
    k1 = ((int(run) << 8) | int(stage)) & _MASK
    a, b, c, d = philox4x32(
        int(block) & _MASK, int(channel), int(fill) & _MASK, int(subrun) & _MASK, int(seed) & _MASK, k1
    )
    r1, r2 = _radius(a), _radius(c)
    s1, c1 = sincos_turn(np.int32(b))
    s2, c2 = sincos_turn(np.int32(d))
    return r1 * c1, r1 * s1, r2 * c2, r2 * s2
