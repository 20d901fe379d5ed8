"""The debunching fit: a second way from the fast rotation to the equilibrium radii, which uses no Fourier transform.

Muons are put into cells of revolution frequency j and injection time m; evenly filled cells pass the detector in a way
that follows from the frequency alone, and the signal is their sum,

    S(t) = sum_jm a_j b_m S_jm(t),   a_j, b_m >= 0,

with one bunch shape b for all frequencies (E821: G. W. Bennett et al., Phys. Rev. D 73 (2006) 072003, section III D).
The least-squares fit starts by alternating between a and b, linear in each, and ends with Gauss-Newton steps in both:
alternating alone creeps along the valley of "later bunch, lower frequencies". All harmonics of the bunch take part, its
shape comes out as well, and no t0 nor background is needed.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares, nnls

from gm2sim.fast_rotation.analysis import Radii, electric_field_correction
from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Floats, Passages, Revolution, passages, smooth_ring
from tracking.muon import Reference

_CELLS = 24  # of frequency: 3.5 kHz, 3.8 mm
_SLOTS = 15  # of time, one turn in all: muons a whole turn apart come by together
_FINE = 16  # muons a side that fill a cell: steps of 5.5 ps of period, 2 ns after 400 turns
_ROUNDS = 3  # of alternating fits
_GROUP = 10  # bins of the signal that are fitted as one
_STOP = 60e-6  # when the fast rotation has gone [s]


class Debunching(NamedTuple):
    """Result of the debunching fit.

    Attributes
    ----------
    x_e, share : arrays (24,) [m], []
        Middles of the cells of frequency, as radii, and the share of muons in each.
    slot, shape : arrays (15,) [s], []
        Middles of the cells of injection time, within half a turn of `Settings.t0_near`, and their shares of muons.
    radii : Radii
    misfit : float
        Root mean square of S less its fit.
    """

    x_e: Floats
    share: Floats
    slot: Floats
    shape: Floats
    radii: Radii
    misfit: float


def debunch(
    signal: Passages,
    *,
    n: float,
    reference: Reference,
    revolution: Revolution | None = None,
    settings: Settings | None = None,
) -> Debunching:
    """Fit radii and bunch shape together.

    Parameters
    ----------
    signal : Passages
        Bins of 1 ns, to 60 us or longer; a histogram of positrons does with `smooth` from the wiggle.
    n
        Field index.
    reference
        Reference of the ring.
    revolution
        Time of one turn against momentum; that of a smooth ring if not given.
    settings
        Its start, window, azimuth and t0_near.

    Raises
    ------
    ValueError
        If the signal ends before 60 us.
    """
    chosen = Settings() if settings is None else settings
    relation = smooth_ring(n, reference) if revolution is None else revolution
    if signal.edges[-1] < _STOP:
        raise ValueError(f"the signal ends at {signal.edges[-1] * 1e6:g} us: the debunching fit needs it to 60 us.")
    first = int(np.searchsorted(signal.edges, chosen.start))
    bins = int((_STOP - signal.edges[first]) / (_GROUP * (signal.edges[1] - signal.edges[0])))
    used = slice(first, first + bins * _GROUP)
    counts, smooth = (np.asarray(v)[used].reshape(bins, _GROUP).sum(axis=1) for v in (signal.counts, signal.smooth))
    begin, end = float(signal.edges[first]), float(signal.edges[first + bins * _GROUP])
    edges = np.linspace(*chosen.window, _CELLS + 1)
    borders = chosen.t0_near + reference.period * (np.arange(_SLOTS + 1) / _SLOTS - 0.5)
    cells = _cells(edges, borders, relation, reference, chosen.azimuth, begin, end, bins)
    ratio = counts / smooth
    share, shape = np.full(_CELLS, 1.0 / _CELLS), _first_turn(ratio, begin, end, borders, reference.period)
    for _ in range(_ROUNDS):
        share, _ = nnls(np.tensordot(shape, cells, axes=(0, 1)).T, ratio)
        share /= share.sum()
        shape, _ = nnls(np.tensordot(share, cells, axes=(0, 0)).T, ratio)
    share, shape, rest = _both(cells, ratio, share, shape)
    middle = 0.5 * (edges[1:] + edges[:-1])
    weight = share / middle  # cells of passages, not of muons
    x_e, width = relation.x_e_at(middle), np.abs(np.diff(relation.x_e_at(edges)))
    # An evenly filled cell has its own second moment about its middle, width^2/12.
    effective = np.concatenate([x_e - width / np.sqrt(12.0), x_e + width / np.sqrt(12.0)])
    radii = electric_field_correction(effective, np.concatenate([weight, weight]), n, reference)
    slot = 0.5 * (borders[1:] + borders[:-1])
    return Debunching(x_e, weight / weight.sum(), slot, shape / shape.sum(), radii, rest)


def _both(cells: Floats, ratio: Floats, share: Floats, shape: Floats) -> tuple[Floats, Floats, float]:
    """Least squares in shares and shape together, from good ones."""

    def left(x: Floats) -> Floats:
        return np.asarray(x[:_CELLS] @ np.tensordot(x[_CELLS:], cells, axes=(0, 1)) - ratio)

    def slope(x: Floats) -> Floats:
        rows = np.tensordot(x[_CELLS:], cells, axes=(0, 1)), np.tensordot(x[:_CELLS], cells, axes=(0, 0))
        return np.concatenate(rows).T

    start = np.maximum(np.concatenate([share, shape]), 1e-4)
    fit = least_squares(left, start, slope, bounds=(0.0, np.inf), x_scale=0.05)
    return fit.x[:_CELLS], fit.x[_CELLS:], float(np.sqrt(2.0 * fit.cost / len(ratio)))


def _first_turn(ratio: Floats, begin: float, end: float, borders: ArrayLike, period: float) -> Floats:
    """Shape of the bunch as the signal's first turns show it."""
    t = np.linspace(begin, end, len(ratio), endpoint=False) + 0.5 * (end - begin) / len(ratio)
    early = t < begin + 4.0 * period
    places = np.asarray(borders)
    wrapped = (t[early] - places[0]) % period + places[0]
    sums, _ = np.histogram(wrapped, places, weights=ratio[early])
    return np.asarray(sums / sums.sum())


def _cells(
    edges: Floats,
    borders: Floats,
    relation: Revolution,
    reference: Reference,
    azimuth: float,
    begin: float,
    end: float,
    bins: int,
) -> Floats:
    """Signal of every evenly filled cell, shape (cells, slots, bins)."""
    cells = np.empty((len(edges) - 1, len(borders) - 1, bins))
    inner = (np.arange(_FINE) + 0.5) / _FINE
    width = (end - begin) / bins
    for j, (low, high) in enumerate(itertools.pairwise(edges)):
        delta = np.repeat(relation.delta_at(low + (high - low) * inner), _FINE)
        for m, (early, late) in enumerate(itertools.pairwise(borders)):
            time = np.tile(early + (late - early) * inner, _FINE)
            part = passages(
                delta, time, relation, reference, azimuth=azimuth, start=begin, stop=end + 0.01 * width, width=width
            )
            cells[j, m] = part.counts / part.smooth
    return cells
