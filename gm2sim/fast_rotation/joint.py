"""The joint distribution of momentum and injection time from the bunch harmonics of the signal.

The signal at turn k is the projection of rho(f, phi) along a line that leans by k: tomography. Its harmonics, linear in
rho (:mod:`gm2sim.fast_rotation.harmonics`), give everything of it but one thing: muons of one frequency that fill the
turn evenly make no signal. So a prior has to say how much of each frequency is invisible,

    rho(f, phi) = a(f) c(phi | f) [1 + e(f, phi)],    <e e'> = A^2 k(f - f') + B^2 k(f - f') k(phi - phi') + ...

and the muons are a Poisson sample of rho. a(f) is found by repeating the fit; c(phi | f) is the bunch of each frequency
in a simulation (`conditional`), whose part is that of the experiment's reference distributions (tjbarrett96/gm2fr,
Corrector.py), or without one a single bunch shape for all frequencies, found as well: the debunching fit is the special
case e = 0. For Gaussian e and N muons the best estimate of rho is linear in the signal (Wiener filter, with the
covariance of a Cox process; C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, ch. 2),
and it comes with the variance of what the signal does not tell.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.fast_rotation.analysis import PPB, Radii, electric_field_correction
from gm2sim.fast_rotation.harmonics import Complexes, Windows, harmonics, windows
from gm2sim.fast_rotation.settings import Settings
from gm2sim.fast_rotation.signal import Floats, Passages, Revolution, smooth_ring
from tracking.muon import Reference

_CELLS, _SLOTS = 60, 30  # of frequency, 1.4 kHz or 1.5 mm; of phase, 5 ns
# Prior: standard deviations of e and its lengths. A frequency's share is free; the bunch of each frequency may differ
# from a common one by a third, from that of a simulation by a hundredth.
_SHARE, _SHARE_LENGTH = 1.0, 6e3  # [1], [Hz]
_ALONE, _GUIDED = 0.3, 0.01
_FREQUENCY_LENGTH, _PHASE_LENGTH = 10e3, 0.12  # [Hz], [turns]: 11 mm, 18 ns
_SHAPE, _SHAPE_LENGTH = 0.3, 0.06  # of the common bunch [1], [turns]
_REPEATS_ALONE, _REPEATS = 8, 3
_FIRST_WIDTH = 9e3  # of the first a(f) [Hz]
_SMOOTH_SHARE = 1e3  # a(f) of the next fit is smoothed by this [Hz]
_FLOOR = 1e-7  # of a(f): far out it would count with 30 times its share
_SMOOTH_FREQUENCY, _SMOOTH_PHASE = 2e3, 0.01  # of the bunches of a simulation [Hz], [turns]
_COMMON = 1e-3  # share of the mean bunch in that of each frequency: where there are no muons
_TINY = 1e-12  # variance of the sum of shares


class JointFit(NamedTuple):
    """Joint distribution of frequency and phase.

    Attributes
    ----------
    frequency, x_e : arrays (k,) [Hz], [m]
        Middles of the cells.
    phase : array (l,)
        Injection time over the time of a turn, within half a turn of `Settings.t0_near`; times a whole turn apart are
        the same.
    density : array (k, l)
        Shares of muons, sum 1. May be negative by noise.
    radii : Radii
    unseen_ppb : float [ppb]
        Standard deviation of C_e for what the signal does not tell, after the prior.
    """

    frequency: Floats
    x_e: Floats
    phase: Floats
    density: Floats
    radii: Radii
    unseen_ppb: float

    def mean_x_e(self, slots: int = _SLOTS) -> tuple[Floats, Floats]:
        """Mean equilibrium radius and share of muons by phase, slots joined to so many, shape (slots,) each [m], []."""
        joined = self.density.reshape(len(self.x_e), slots, -1).sum(axis=2)
        share = joined.sum(axis=0)
        return np.asarray(self.x_e @ joined / share), np.asarray(share)


class _Grid(NamedTuple):
    """Cells, and the harmonics that muons in them make; last row: the sum of shares."""

    frequency: Floats
    phase: Floats
    rows: Floats  # (r, k, l)
    noise: Floats  # variance of a muon (r,)


class _Prior(NamedTuple):
    """Covariance of e."""

    share: Floats  # (k, k)
    bunch_frequency: Floats  # (k, k)
    bunch_phase: Floats  # (l, l)
    shape: Floats  # (l, l)

    def times(self, values: Floats) -> Floats:
        """Covariance times arrays (..., k, l)."""
        out = np.matmul(self.bunch_frequency, values @ self.bunch_phase)
        out += (values.sum(axis=-1) @ self.share)[..., :, None]
        out += (values.sum(axis=-2) @ self.shape)[..., None, :]
        return np.asarray(out)


def joint_fit(
    signal: Passages,
    *,
    n: float,
    reference: Reference,
    muons: float,
    revolution: Revolution | None = None,
    bunches: ArrayLike | None = None,
    settings: Settings | None = None,
) -> JointFit:
    """Fit the joint distribution of momentum and injection time.

    Parameters
    ----------
    signal : Passages
        Bins of 1 ns, from 4 us or earlier to 100 us or later.
    n
        Field index.
    reference
        Reference of the ring.
    muons : float
        Muons that made the signal, each passing again and again: as few as there are, as coarse is the distribution.
    revolution
        Time of one turn against momentum; that of a smooth ring if not given.
    bunches : array (k, l), optional
        Distribution of phases at each frequency in a simulation, from :func:`conditional`. Without it the fit begins
        with one shape for all frequencies, and C_e is known to some 10 ppb only, see `unseen_ppb`.
    settings
        Its start, window, azimuth and t0_near.

    Raises
    ------
    ValueError
        If the signal does not reach from the start to 100 us, or `bunches` is not of the grid.
    """
    chosen = Settings(replicas=0) if settings is None else settings
    relation = smooth_ring(n, reference) if revolution is None else revolution
    where = windows(reference, chosen.start, float(signal.edges[1] - signal.edges[0]))
    values = harmonics(signal, where) * np.exp(1j * where.order * chosen.azimuth)
    grid = _grid(where, chosen, reference)
    given = None if bunches is None else np.asarray(bunches, np.float64)
    if given is not None and given.shape != grid.rows.shape[1:]:
        raise ValueError(
            f"bunches of shape {given.shape} for {_CELLS} frequencies and {_SLOTS} phases: take those of conditional()."
        )
    data = np.concatenate([values.real, values.imag, [1.0]])
    x_e = relation.x_e_at(grid.frequency)
    density, variance = _repeat(data, grid, given, _first(values, where, grid.phase), x_e**2, muons)
    density = density / grid.frequency[:, None]  # shares of passages, not of muons
    share = density.sum(axis=1)
    # An evenly filled cell has its own second moment about its middle.
    inner = np.abs(np.gradient(x_e)) / np.sqrt(12.0)
    radii = electric_field_correction(
        np.concatenate([x_e - inner, x_e + inner]), np.concatenate([share, share]), n, reference
    )
    unseen = 2.0 * n * (1.0 - n) * (reference.beta0 / reference.r0) ** 2 * np.sqrt(variance) * PPB
    return JointFit(grid.frequency, x_e, grid.phase, density / density.sum(), radii, float(unseen))


def conditional(
    delta: ArrayLike,
    time: ArrayLike,
    revolution: Revolution,
    reference: Reference,
    *,
    weight: ArrayLike | None = None,
    settings: Settings | None = None,
) -> Floats:
    """Distribution of phases at each frequency, from simulated muons, smoothed by 2 kHz and a hundredth of a turn.

    Parameters
    ----------
    delta : array (n,)
        Momentum offsets.
    time : array (n,) [s]
        When each muon is at theta = 0 for the first time.
    revolution
        Time of one turn against momentum.
    reference
        Reference of the ring.
    weight : array (n,), optional
    settings
        Of the analysis: its window and t0_near.

    Returns
    -------
    array (k, l)
        Each row has the sum 1; a row without muons is the bunch of all.

    Raises
    ------
    ValueError
        If no muon is in the window.
    """
    chosen = Settings(replicas=0) if settings is None else settings
    edges, slots, frequency, phase = _cells(chosen, reference)
    turning = 1.0 / revolution.period_of(delta)
    folded = fold(np.asarray(time, np.float64) * turning, chosen, reference)
    share = np.ones_like(turning) if weight is None else np.asarray(weight, np.float64)
    cell = np.searchsorted(edges, turning, side="right") - 1
    slot = np.clip(np.searchsorted(slots, folded, side="right") - 1, 0, _SLOTS - 1)
    inside = (cell >= 0) & (cell < _CELLS)
    counts = np.bincount(cell[inside] * _SLOTS + slot[inside], share[inside], _CELLS * _SLOTS).reshape(_CELLS, _SLOTS)
    if not counts.sum() > 0.0:
        raise ValueError("no muon of the reference turns within the physical window: check momenta and window.")
    smoothed = _bell(frequency, _SMOOTH_FREQUENCY) @ counts @ _ring_bell(phase, _SMOOTH_PHASE)
    everyone = smoothed.sum(axis=0) * _COMMON / len(frequency)
    smoothed += everyone
    return np.asarray(smoothed / smoothed.sum(axis=1, keepdims=True))


def fold(phase: Floats, settings: Settings, reference: Reference) -> Floats:
    """Phases within half a turn of that of `Settings.t0_near`."""
    low = settings.t0_near / reference.period - 0.5
    return np.asarray((phase - low) % 1.0 + low)


def _cells(chosen: Settings, reference: Reference) -> tuple[Floats, Floats, Floats, Floats]:
    """Edges of frequency and phase, middles of both."""
    edges = np.linspace(*chosen.window, _CELLS + 1)
    slots = chosen.t0_near / reference.period + np.linspace(-0.5, 0.5, _SLOTS + 1)
    return edges, slots, 0.5 * (edges[1:] + edges[:-1]), 0.5 * (slots[1:] + slots[:-1])


def _grid(where: Windows, chosen: Settings, reference: Reference) -> _Grid:
    edges, _, frequency, phase = _cells(chosen, reference)
    of_frequency, of_phase = where.factors(frequency, float(edges[1] - edges[0]), phase, 1.0 / _SLOTS)
    cells: Complexes = of_frequency[:, :, None] * of_phase[:, None, :]
    rows = np.concatenate([cells.real, cells.imag, np.ones((1, *cells.shape[1:]))])
    return _Grid(frequency, phase, rows, np.concatenate([where.bin_variance, where.bin_variance, [0.0]]))


def _bell(at: Floats, length: float) -> Floats:
    return np.asarray(np.exp(-0.5 * ((at[:, None] - at[None, :]) / length) ** 2))


def _ring_bell(phase: Floats, length: float) -> Floats:
    """The same where phases a whole turn apart are one."""
    apart = phase[:, None] - phase[None, :]
    return np.asarray(sum(np.exp(-0.5 * ((apart + k) / length) ** 2) for k in (-1, 0, 1)))


def _prior(grid: _Grid, *, alone: bool) -> _Prior:
    free = _ALONE if alone else _GUIDED
    return _Prior(
        _SHARE**2 * _bell(grid.frequency, _SHARE_LENGTH),
        free**2 * _bell(grid.frequency, _FREQUENCY_LENGTH),
        _ring_bell(grid.phase, _PHASE_LENGTH),
        (_SHAPE if alone else 0.0) ** 2 * _ring_bell(grid.phase, _SHAPE_LENGTH),
    )


def _first(values: Complexes, where: Windows, phase: Floats) -> tuple[float, Floats]:
    """Mean frequency [Hz] and a first bunch shape, from size and phase of the first harmonic in time."""
    first = np.flatnonzero(where.order == 1.0)
    wave, t = values[first], where.time[first]
    angle, size = np.unwrap(np.angle(wave)), np.abs(wave)
    early = size > 0.3 * size[0]  # before the bunch has gone, the angle is a straight line
    slope, _ = np.polyfit(t[early], angle[early], 1, w=size[early])
    centre = -(angle[0] - slope * t[0]) / (2.0 * np.pi)
    shape = 1.0 + min(0.9, 2.0 * float(size[0])) * np.cos(2.0 * np.pi * (phase - centre))
    return where.turning + float(slope) / (2.0 * np.pi), np.asarray(shape / shape.sum())


def _repeat(
    data: Floats, grid: _Grid, given: Floats | None, first: tuple[float, Floats], square: Floats, muons: float
) -> tuple[Floats, float]:
    """Fit with the shares, and without a simulation the bunch shape, of the fit before."""
    prior = _prior(grid, alone=given is None)
    near = _bell(grid.frequency, _SMOOTH_SHARE)
    share = np.exp(-0.5 * ((grid.frequency - first[0]) / _FIRST_WIDTH) ** 2)
    shape = np.tile(first[1], (_CELLS, 1)) if given is None else given
    for _ in range(_REPEATS_ALONE if given is None else _REPEATS):
        density, variance = _wiener(data, grid, prior, share[:, None] * shape / share.sum(), square, muons)
        share = near @ np.maximum(density.sum(axis=1), _FLOOR)
        if given is None:
            common = np.maximum(density.sum(axis=0), _COMMON / _SLOTS)
            shape = np.tile(common / common.sum(), (_CELLS, 1))
    return density, variance


def _wiener(
    data: Floats, grid: _Grid, prior: _Prior, expected: Floats, square: Floats, muons: float
) -> tuple[Floats, float]:
    """Best linear estimate of the density, and the variance that it leaves to the mean of `square` (of x_e)."""
    rows = grid.rows.reshape(len(data), -1)
    spread = prior.times(grid.rows * expected) * expected + grid.rows * expected / muons
    flat = spread.reshape(len(data), -1)
    covariance = rows @ flat.T
    covariance[np.diag_indices_from(covariance)] += grid.noise / muons + _TINY
    wanted = np.repeat(square[:, None], expected.shape[1], axis=1)
    towards = flat @ wanted.ravel()
    missing = data - rows @ expected.ravel()
    solved = np.linalg.solve(covariance, np.stack([missing, towards], axis=1))
    before = prior.times(wanted * expected) * expected + wanted * expected / muons
    variance = float((before * wanted).sum() - towards @ solved[:, 1])
    return expected + (solved[:, 0] @ flat).reshape(expected.shape), max(variance, 0.0)
