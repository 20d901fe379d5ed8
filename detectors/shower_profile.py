"""Shape of an electromagnetic shower in a homogeneous medium: in depth, in radius, and as the track of a soft one.

G. Grindhammer, S. Peters, "The parameterized simulation of electromagnetic showers in homogeneous and sampling
calorimeters", hep-ex/0001020 (GP below). Depths are in radiation lengths, radii in Moliere radii.
"""

from __future__ import annotations

import math

from gpu.fastmath import exp, log
from gpu.kernel import scalar

LAYER = 0.5  # [X0] thickness of a layer: GP's profiles vary over one X0 and more
LAYERS = 40  # 20 X0 along the axis; the crystals end at 15 X0, more along a tilted axis
# Below this ln(E/Ec) (about 180 MeV) the spreads of GP, fitted above 1 GeV, would grow without bound.
_LN_Y_SPREAD = 3.0
_TAU_MOST = 0.6  # of tau per X0: the radii of soft showers would run away
LN_Y_TRACK = math.log(3.0)
"""Below this ln(E/Ec) a positron makes no shower: it loses its energy along its own track."""


@scalar
def profile_in_depth(ln_y, z, g, h):
    """Draw alpha, beta of GP eq. 2 (depth in X0) with GP's table for homogeneous media; also tau per X0.

    ln_y is to be above LN_Y_TRACK; the means go down to there (the maximum then lies at 0.3 X0), the spreads stay.
    """
    spread = max(ln_y, _LN_Y_SPREAD)
    mean_t = math.log(ln_y - 0.812)
    mean_a = math.log(0.81 + (0.458 + 2.26 / z) * ln_y)
    sigma_t = 1.0 / (-1.4 + 1.26 * spread)
    sigma_a = 1.0 / (-0.58 + 0.86 * spread)
    rho = 0.705 - 0.023 * spread
    plus, minus = math.sqrt(0.5 * (1.0 + rho)), math.sqrt(0.5 * (1.0 - rho))
    maximum = math.exp(mean_t + sigma_t * (plus * g + minus * h))
    alpha = max(1.1, math.exp(mean_a + sigma_a * (plus * g - minus * h)))
    beta = (alpha - 1.0) / maximum
    mean_alpha = math.exp(mean_a)
    # GP scale radial profiles with the centre of gravity alpha/beta of this very shower.
    tau_per_x0 = beta / alpha * mean_alpha / (mean_alpha - 1.0)
    return alpha, beta, maximum, min(tau_per_x0, _TAU_MOST)


@scalar
def profile_in_radius(tau, ln_e, z):
    """Return core radius, tail radius [Moliere radii] and weight of the core at depth tau (GP)."""
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * z) * tau
    k4 = 0.3585 + 0.0421 * ln_e
    tail = (0.659 - 0.00309 * z) * (math.exp(-2.59 * (tau - 0.645)) + math.exp(k4 * (tau - 0.645)))
    x = (0.401 + 0.00187 * z - tau) / (1.313 - 0.0686 * ln_e)
    weight = (2.632 - 0.00094 * z) * math.exp(x - math.exp(x))
    return max(core, 0.005), tail, min(max(weight, 0.0), 1.0)


@scalar
def gammas_in_layer(layer, first, second):
    """Integrate two gamma distributions (alpha, beta, log of the norm) over one layer by three Gauss points."""
    middle = (layer + 0.5) * LAYER
    half = 0.3872983346207417 * LAYER  # sqrt(3/5)/2
    one = two = 0.0
    for k in range(3):
        t = middle + (k - 1) * half
        ln_t = log(t)
        weight = 8.0 / 18.0 if k == 1 else 5.0 / 18.0
        one += weight * exp(first[2] + (first[0] - 1.0) * ln_t - first[1] * t)
        two += weight * exp(second[2] + (second[0] - 1.0) * ln_t - second[1] * t)
    return one * LAYER, two * LAYER


@scalar
def track_in_layer(layer: float, length: float) -> float:
    """Return the share of a track of a `length` [X0] that lies in a layer."""
    return min(max(length - layer * LAYER, 0.0), LAYER) / length


@scalar
def axis(du, dv):
    """Return the unit vector along the shower, and two unit vectors square to it: (nz, 0, -nx) and n x e1."""
    nz = 1.0 / math.sqrt(1.0 + du * du + dv * dv)
    nx, ny = du * nz, dv * nz
    across = 1.0 / math.sqrt(nx * nx + nz * nz)
    e1x, e1z = nz * across, -nx * across
    return (nx, ny, nz), (e1x, e1z), (ny * e1z, nz * e1x - nx * e1z, -ny * e1x)
