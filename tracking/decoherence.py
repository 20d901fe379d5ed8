r"""Loss of coherence of a radial swing in closed form: the CBO frequency of each muon, and what they make together.

A muon that passes a detector every T seconds is seen to swing at f = (1 - nu_x)/T. The mean radius of a beam is the sum
of such lines, and its envelope the Fourier transform of their distribution. Two things spread the lines:

- the momentum: df/d(delta) = -xi f_c - eta f, with the chromaticity xi and the slip eta = d ln T/d(delta). xi is
  negative, so that the two cancel in part. Counted by turns instead of time, the slip would be missing;
- the amplitudes, through the multipoles of the quads above the quadrupole, at the momentum of the muon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.quads import QuadSettings
from fields.ring import R_REFERENCE
from tracking.optics import Optics, optics
from tracking.stations import RingTables

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_PER_QUAD = 4  # Gauss nodes on a quad
_PHASES = 8  # Gauss-Chebyshev nodes of each phase: exact for polynomials of degree 15, a potential of order 14


def radial_tune_shift(
    tables: RingTables, quads: Sequence[QuadSettings], plain: QuadSettings, delta: ArrayLike, actions: ArrayLike
) -> FloatArray:
    r"""Radial tune shift of muons by what the potential of some quads has beyond that of plain ones, to first order.

    With x = D delta + a cos psi, y = b cos phi, a^2 = 2 J_x beta_x, b^2 = 2 J_y beta_y, and V the difference of the
    potentials over p0 c beta0, the mean of the Hamiltonian's extra term over both phases gives

    .. math:: \Delta\nu_x = \frac{1}{2\pi} \frac{d}{dJ_x} \oint \langle V \rangle ds
        = \frac{1}{2\pi} \oint \frac{\beta_x}{a} \langle \partial_x V \cos\psi \rangle ds

    (R. D. Ruth, AIP Conf. Proc. 153 (1987) 150). It is :func:`tracking.detuning.first_order` for muons of any momentum:
    on an orbit D delta off the axis every multipole makes all lower ones. beta and D are their means over the quads.

    Parameters
    ----------
    tables
        The ring, for its functions of azimuth; its closed orbit must be near the axis.
    quads
        Settings of its quads, for example at some times (k).
    plain
        Quads that the shift counts from.
    delta
        Momentum offsets (n,).
    actions
        Radial and vertical actions (n, 2) [m], above 0.

    Returns
    -------
    FloatArray
        Tune shifts (k, n).
    """
    reference = tables.reference
    nodes, weights = np.polynomial.legendre.leggauss(_PER_QUAD)
    edges = np.array([plain.effective_edges(quad) for quad in tables.ring.quads])
    half = 0.5 * (edges[:, 1] - edges[:, 0])
    places = (edges.mean(axis=1)[:, None] + half[:, None] * nodes).ravel()
    lattice = optics(tables, places).lattice
    share_of = dict(zip(places, (half[:, None] * weights).ravel(), strict=True))
    share = [share_of[theta] for theta in lattice.theta[1:]]
    beta_x, beta_y, dispersion = (
        float(np.average(column[1:], weights=share)) for column in (lattice.beta_x, lattice.beta_y, lattice.dispersion)
    )
    unit = 1e-9 / (reference.p0_gev * reference.beta0)
    lengths = dict(zip((quad.name for quad in tables.ring.quads), 2.0 * half * reference.r0 * unit, strict=True))
    beyond = [
        sum(length * (one.coefficients(name) - plain.coefficients(name)) for name, length in lengths.items())
        for one in quads
    ]
    j = np.asarray(actions, np.float64)
    a, b = np.sqrt(2.0 * j[:, 0] * beta_x), np.sqrt(2.0 * j[:, 1] * beta_y)
    cosine = np.cos(math.pi * (np.arange(_PHASES) + 0.5) / _PHASES)
    x = dispersion * np.asarray(delta, np.float64)[:, None, None] + a[:, None, None] * cosine[:, None]
    z = (x + 1j * b[:, None, None] * cosine) / R_REFERENCE
    order = np.arange(1, plain.order + 1)
    # d/dx of Re a_n z^n is Re n a_n z^(n-1)/r0: its mean with cos psi is linear in a_n.
    means = np.array([np.mean(z ** (n - 1) * cosine[:, None], axis=(1, 2)) for n in order])
    slopes = np.array(beyond)[:, 1:] * order / R_REFERENCE
    return np.asarray(beta_x / a * (slopes @ means).real / (2.0 * math.pi))


def cbo_frequencies(linear: Optics, delta: ArrayLike, shift: ArrayLike = 0.0) -> FloatArray:
    """CBO frequencies f = (1 - nu_x)/T of muons in time [Hz].

    Parameters
    ----------
    linear
        Optics of the ring with pure quadrupoles: its tunes and periods by momentum, as parabolas.
    delta
        Momentum offsets (n,).
    shift
        What is added to the radial tunes (n,), or (k, n).
    """
    offset = np.asarray(delta, np.float64)
    tune, period = (
        np.polyval(np.polyfit(linear.deltas, column, 2), offset) for column in (linear.tunes[:, 0], linear.periods)
    )
    return np.asarray((1.0 - tune - np.asarray(shift, np.float64)) / period)


def coherent(swings: ArrayLike, cycles: ArrayLike) -> ComplexArray:
    """Mean of the muons' swings, <Z exp(2 pi i c)>: for c = f t the Fourier transform of a beam's frequencies.

    Parameters
    ----------
    swings
        Phasor Z of each muon at the start (n,) [m].
    cycles
        Periods that each muon has gone through at some times (k, n).

    Returns
    -------
    ComplexArray
        Phasors of the mean radius (k,) [m]; their sizes are the envelope.
    """
    turned = np.exp(2j * math.pi * np.asarray(cycles, np.float64))
    return np.asarray(turned @ np.asarray(swings, np.complex128) / turned.shape[1])
