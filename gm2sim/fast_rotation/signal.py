"""The fast-rotation signal: how often muons pass an azimuth, in bins of a nanosecond.

Muon i comes by at t_i + (k + theta/2 pi) T_i, k = 0, 1, 2...: a bunch that debunches because the time T of one turn
depends on the momentum. G. W. Bennett et al., Phys. Rev. D 73 (2006) 072003, section III D.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gm2sim import wiggle
from gpu.kernel import compiled
from tracking.muon import LIFETIME, LIGHT_SPEED, MASS, Reference

Floats = NDArray[np.float64]

WIDTH = 1e-9
"""Bin width of the signal [s] (tjbarrett96/gm2fr, atc93/CornellFastRotationFourier: 1 ns)."""
# Momenta that a relation covers: +-60 mm of equilibrium radius at n = 0.12, a third more than the aperture.
_REACH = 7.5e-3
_NODES = 1501
_TURNS = 16  # 2400 bins of 1 ns are 19 kB
_FOURTH = 4  # order of the expansion in the spread of the lifetimes
_CELL = 149e-9  # bins of the wiggle fit [s]: whole bins of 1 ns, within 1e-3 of the cyclotron period


class Revolution(NamedTuple):
    """Time of one turn against momentum, as a table between whose nodes one may interpolate linearly.

    Attributes
    ----------
    delta : array (k,)
        Relative momentum offset (p - p0)/p0, rising.
    period : array (k,) [s]
        Rising: of two muons the faster one in momentum takes longer, it has the longer way (gamma > gamma_t).
    x_e : array (k,) [m]
        Equilibrium radius less R0: of the circle that is as long as the orbit, T beta c / 2 pi - R0.
    """

    delta: Floats
    period: Floats
    x_e: Floats

    def period_of(self, delta: ArrayLike) -> Floats:
        """Time of one turn [s] of muons of some momentum offsets."""
        return np.asarray(np.interp(np.asarray(delta, np.float64), self.delta, self.period))

    def x_e_of(self, delta: ArrayLike) -> Floats:
        """Equilibrium radius [m] of muons of some momentum offsets."""
        return np.asarray(np.interp(np.asarray(delta, np.float64), self.delta, self.x_e))

    def delta_at(self, frequency: ArrayLike) -> Floats:
        """Momentum offset of muons of some revolution frequencies [Hz]."""
        return np.asarray(np.interp(1.0 / np.asarray(frequency, np.float64), self.period, self.delta))

    def x_e_at(self, frequency: ArrayLike) -> Floats:
        """Equilibrium radius [m] of muons of some revolution frequencies [Hz]."""
        return np.asarray(np.interp(1.0 / np.asarray(frequency, np.float64), self.period, self.x_e))


class Passages(NamedTuple):
    """How often muons pass an azimuth.

    Attributes
    ----------
    edges : array (m + 1,) [s]
    counts : array (m,)
        Sum of the weights of the passages in each bin.
    smooth : array (m,)
        What it would be with the muons spread over the ring: the exact divisor that leaves the fast rotation.
    """

    edges: Floats
    counts: Floats
    smooth: Floats


def smooth_ring(n: float, reference: Reference) -> Revolution:
    """Relation of a ring with the same field index everywhere: x_e = R0 delta/(1 - n), T = 2 pi (R0 + x_e)/(beta c).

    Parameters
    ----------
    n
        Field index, between 0 and 1.
    reference
        Reference of the ring.

    Raises
    ------
    ValueError
        If `n` is not between 0 and 1.
    """
    check_index(n)
    length = reference.r0 / (1.0 - n)
    return _relation(lambda delta: length * delta, reference)


def measured_ring(delta: ArrayLike, period: ArrayLike, reference: Reference) -> Revolution:
    """Relation through given points, as `tracking.optics.Optics` has them in `deltas` and `periods`.

    x_e is a polynomial of the momentum offset, of third order at most, so that the closed orbits of a few small
    offsets serve for the whole aperture.

    Parameters
    ----------
    delta, period : arrays (k,), k >= 2
        Momentum offsets and times of one turn [s].
    reference
        Reference of the ring.

    Raises
    ------
    ValueError
        If there are fewer than two points, or the times do not rise with the momentum.
    """
    at, turn = np.asarray(delta, np.float64), np.asarray(period, np.float64)
    if at.ndim != 1 or at.shape != turn.shape or len(np.unique(at)) < 2:
        raise ValueError(
            f"revolution times of shape {turn.shape} for momenta of shape {at.shape}: give two or more pairs."
        )
    radius = turn * LIGHT_SPEED * _beta(at, reference) / (2.0 * math.pi) - reference.r0
    x_e = np.polynomial.Polynomial.fit(at, radius, min(3, len(np.unique(at)) - 1))
    return _relation(x_e, reference)


def _relation(x_e: Callable[[Floats], Floats], reference: Reference) -> Revolution:
    delta = np.linspace(-_REACH, _REACH, _NODES)
    radius = np.asarray(x_e(delta))
    period = 2.0 * math.pi * (reference.r0 + radius) / (_beta(delta, reference) * LIGHT_SPEED)
    if not (np.diff(period) > 0.0).all():
        raise ValueError("the revolution time does not rise with the momentum: check momenta and times of its table.")
    return Revolution(delta, period, radius)


def _beta(delta: Floats, reference: Reference) -> Floats:
    momentum = reference.p0_gev * (1.0 + delta)
    return np.asarray(momentum / np.hypot(momentum, MASS))


def check_index(n: float) -> None:
    """Refuse a field index with which no muon is stored.

    Raises
    ------
    ValueError
        If `n` is not between 0 and 1.
    """
    if not 0.0 < n < 1.0:
        raise ValueError(f"field index n = {n:g} is out of bounds: give 0 to 1, the experiment has 0.108 or 0.120.")


def delta_of_energy(energy: ArrayLike, reference: Reference) -> Floats:
    """Relative momentum offset of muons of some total energies [GeV], outside the quads.

    Raises
    ------
    ValueError
        If an energy is not above the mass of the muon.
    """
    total = np.asarray(energy, np.float64)
    if not (total > MASS).all():
        raise ValueError(f"total energies must be above the muon mass, {MASS:.4f} GeV: the unit here is GeV.")
    return np.asarray(np.sqrt((total - MASS) * (total + MASS)) / reference.p0_gev - 1.0)


def passages(
    delta: ArrayLike,
    time: ArrayLike,
    revolution: Revolution,
    reference: Reference,
    *,
    weight: ArrayLike | None = None,
    stop_time: ArrayLike | None = None,
    decay: bool = False,
    azimuth: float = 0.0,
    start: float = 0.0,
    stop: float = 305e-6,
    width: float = WIDTH,
) -> Passages:
    """Count the passages of muons at an azimuth; each is put in its bin at its own exact time.

    One passage takes 2 to 3 ns: 1e5 muons over 2000 turns half a second, 1e6 five seconds.

    Parameters
    ----------
    delta : array (n,)
        Momentum offset (p - p0)/p0; see :func:`delta_of_energy`.
    time : array (n,) [s]
        When each muon is at theta = 0 for the first time.
    revolution
        Time of one turn, from :func:`smooth_ring` or :func:`measured_ring`.
    reference
        Reference of the ring.
    weight : array (n,), optional
        Weight of each muon, 0 or more; 1 if not given.
    stop_time : array (n,), optional [s]
        When each muon decays or is lost; from then on it no longer comes by.
    decay : bool
        Weigh each passage with the chance to be alive, exp(-t/(gamma tau)) with the muon's own gamma; not together
        with stop times.
    azimuth : float [rad]
        Where they are counted, from theta = 0 downstream.
    start, stop, width : float [s]
        Bins; only whole ones are kept.

    Raises
    ------
    ValueError
        If arrays differ in length, a number is not finite, a weight is negative, a momentum is beyond the relation, or
        the bins are none.
    """
    offset, at = np.atleast_1d(np.asarray(delta, np.float64)), np.atleast_1d(np.asarray(time, np.float64))
    share = np.ones_like(offset) if weight is None else np.atleast_1d(np.asarray(weight, np.float64))
    end = np.full_like(offset, np.inf) if stop_time is None else np.atleast_1d(np.asarray(stop_time, np.float64))
    _check(offset, at, share, end, revolution)
    if decay and stop_time is not None:
        raise ValueError("decay = True together with stop times would let muons decay twice: give one of them.")
    edges = _edges(start, stop, width)
    period = revolution.period_of(offset)
    rate = 1.0 / (LIFETIME * np.hypot(reference.p0_gev * (1.0 + offset), MASS) / MASS) if decay else 0.0 * offset
    first = at + azimuth / (2.0 * math.pi) * period
    counts = np.zeros(edges.size - 1)
    _deposit(
        first, period, share * np.exp(-rate * (first - at)), np.exp(-rate * period), end.copy(), start, width, counts
    )
    smooth = _smooth(0.5 * (edges[1:] + edges[:-1]), at, share * width / period, rate, end)
    return Passages(edges, counts, smooth)


def _edges(start: float, stop: float, width: float) -> Floats:
    """Edges of the whole bins."""
    bins = math.floor((stop - start) / width + 1e-6)
    if bins < 1:
        raise ValueError(f"no bin of {width:g} s fits between {start:g} and {stop:g} s: give a later stop.")
    edges: Floats = start + width * np.arange(bins + 1, dtype=np.float64)
    return edges


def _check(offset: Floats, at: Floats, share: Floats, end: Floats, revolution: Revolution) -> None:
    for name, column in (("times", at), ("weights", share), ("stop times", end)):
        if column.shape != offset.shape:
            raise ValueError(f"{column.size} {name} for {offset.size} momenta of muons: give one for each.")
    if (
        offset.size == 0
        or not (np.isfinite(offset) & np.isfinite(at) & np.isfinite(share)).all()
        or np.isnan(end).any()
    ):
        raise ValueError(
            "the muons of the fast rotation need finite momenta, times and weights, and at least one muon."
        )
    if (share < 0.0).any():
        raise ValueError(f"the weight {share.min():g} of a muon is negative: give 0 or more.")
    low, high = revolution.delta[[0, -1]]
    if offset.min() < low or offset.max() > high:
        raise ValueError(
            f"momentum offsets from {offset.min():g} to {offset.max():g} go beyond {low:g} to {high:g}, where muons "
            "can be stored: give (p - p0)/p0."
        )


@compiled  # type: ignore[arg-type]
def _deposit(
    first: Floats,
    period: Floats,
    value: Floats,
    factor: Floats,
    end: Floats,
    start: float,
    width: float,
    counts: Floats,
) -> None:
    """Add every passage to its bin; `value` ends as what is left of each weight.

    Some turns of all muons come before the next turns of any, so that the bins in use stay in the first cache.
    """
    last = start + width * counts.size
    per_width = 1.0 / width
    skipped = max(0.0, math.floor((start - first.max()) / period.max()))
    for i in range(first.size):
        value[i] *= factor[i] ** skipped
        end[i] = min(end[i], last)
    turns = math.ceil((last - first.min()) / period.min()) + 1.0
    while skipped < turns:
        for i in range(first.size):
            alive = value[i]
            for k in range(_TURNS):
                t = first[i] + (skipped + k) * period[i]
                if start <= t < end[i]:
                    counts[min(int((t - start) * per_width), counts.size - 1)] += alive
                alive *= factor[i]
            value[i] = alive
        skipped += _TURNS


def _smooth(t: Floats, at: Floats, rate_of_passing: Floats, rate: Floats, end: Floats) -> Floats:
    """Passages a bin of muons without bunches: those alive, or their chance to be."""
    order = np.argsort(end)
    gone = np.concatenate([[0.0], np.cumsum(rate_of_passing[order])])[np.searchsorted(end[order], t)]
    total = float(rate_of_passing.sum())
    if not rate.any():
        return np.asarray(total - gone)
    mean = float(np.average(rate, weights=rate_of_passing))
    weight = rate_of_passing * np.exp(rate * at) / total
    # sum_i w_i exp(-(r_i - r) t) in powers of t: (r_i - r) t stays below 0.03.
    moments = [float((weight * (mean - rate) ** k).sum()) / math.factorial(k) for k in range(_FOURTH + 1)]
    return np.asarray(total * np.exp(-mean * t) * np.polynomial.polynomial.polyval(t, moments))


def smooth_positrons(
    edges: ArrayLike, counts: ArrayLike, *, start: float, cbo_frequency: float | None = None
) -> Floats:
    """Positrons a bin without fast rotation: the wiggle fitted to cells of one turn, in the finer bins.

    The experiment divides its 1 ns histogram by the fitted 9-parameter function (tjbarrett96/gm2fr, WiggleFit).

    Parameters
    ----------
    edges : array (m + 1,) [s]
        Bins of one width, a whole fraction of 149 ns.
    counts : array (m,)
        Positrons.
    start : float [s]
        Where the fit begins.
    cbo_frequency : float [Hz], optional
        Where the coherent betatron oscillation is looked for.

    Raises
    ------
    ValueError
        If the bins do not fit into cells of 149 ns, or there are too few positrons for a fit.
    """
    fine, number = np.asarray(edges, np.float64), np.asarray(counts, np.float64)
    group = round(_CELL / (fine[1] - fine[0]))
    if group < 1 or abs(group * (fine[1] - fine[0]) / _CELL - 1.0) > 1e-6:
        raise ValueError(f"bins of {fine[1] - fine[0]:g} s are no whole fraction of 149 ns: give bins of 1 ns.")
    begin = int(np.searchsorted(fine, start - 0.5 * (fine[1] - fine[0])))
    cells = (len(number) - begin) // group
    stop = begin + cells * group
    data = wiggle.WiggleHistogram(number[begin:stop].reshape(cells, group).sum(axis=1), fine[begin : stop + 1 : group])
    fit = wiggle.fit_wiggle(data, cbo_frequency=cbo_frequency)
    return np.asarray(wiggle.expectation(fit.names, fit.values, fine, fit.reference_frequency) / group)
