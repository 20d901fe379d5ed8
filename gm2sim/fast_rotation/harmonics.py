"""The bunch harmonics of the signal against time: all that it says of frequencies and injection times.

A muon of revolution frequency f, injected at time tau, goes by as the comb f sum_m exp(2 pi i m f (t - tau)), so the
m-th harmonic about the frequency f_c of the reference, averaged over a short window at time t, is the mean over the
muons of

    exp(2 pi i m [(f - f_c) t - phi]) W(m (f - f_c)),    phi = f tau mod 1,

with W the transform of the window. m = 0 is the smooth count, which knows nothing of f or phi.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.fast_rotation.signal import Floats, Passages
from tracking.muon import Reference

Complexes = NDArray[np.complex128]

_ORDERS = 4
_LAST = 100e-6  # latest order times time [s]: for x_e of 9 mm the harmonics have fallen to exp(-14) there
_WINDOW = 16  # half width of a window in turns, over the order: what a muon's harmonic turns in it is the same for all
_LEAST = 3  # turns; whole turns keep the other harmonics out


class Windows(NamedTuple):
    """Where harmonics are taken: triangles of whole turns, each order with shorter ones than the last; arrays (r,).

    Attributes
    ----------
    order : array
        m = 1 to 4.
    time, half : array [s]
        Middle, and half width at the base.
    turning : float [Hz]
        Frequency f_c that the harmonics are taken about.
    bin_width : float [s]
    """

    order: Floats
    time: Floats
    half: Floats
    turning: float
    bin_width: float

    @property
    def bin_variance(self) -> Floats:
        """Variance of one muon's harmonic, real or imaginary part, because bins move its passages by up to half a bin.

        A uniform distribution over a bin of width w has the variance w^2/12; of the phase 2 pi m f_c t half goes
        into each part.
        """
        return np.asarray((2.0 * np.pi * self.order * self.turning * self.bin_width) ** 2 / 24.0)

    def factors(self, frequency: Floats, step: float, phase: Floats, slot: float) -> tuple[Complexes, Complexes]:
        """Harmonics of evenly filled cells: factors (r, k) of the frequency and (r, l) of the phase."""
        m, t = self.order[:, None], self.time[:, None]
        off = m * (frequency[None, :] - self.turning)
        seen = np.sinc(off * self.half[:, None]) ** 2 * np.sinc(m * self.turning * self.bin_width)
        of_frequency = np.exp(2j * np.pi * off * t) * seen * np.sinc(m * step * t)
        of_phase = np.exp(-2j * np.pi * m * phase[None, :]) * np.sinc(m * slot)
        return of_frequency, of_phase


def windows(reference: Reference, start: float, bin_width: float) -> Windows:
    """Windows that follow each other from the start on, neighbours overlapping by half.

    Parameters
    ----------
    reference
        Reference of the ring.
    start, bin_width : float [s]
        Begin of the first windows; bin width of the signal.
    """
    order, middle, half = [], [], []
    for m in range(1, _ORDERS + 1):
        reach = max(_LEAST, round(_WINDOW / m)) * reference.period
        times = np.arange(start + reach, _LAST / m - reach, reach)
        order.append(np.full(times.shape, float(m)))
        middle.append(times)
        half.append(np.full(times.shape, reach))
    return Windows(
        np.concatenate(order), np.concatenate(middle), np.concatenate(half), 1.0 / reference.period, bin_width
    )


def harmonics(signal: Passages, where: Windows) -> Complexes:
    """Harmonics of S(t) in the windows, shape (r,).

    Parameters
    ----------
    signal : Passages
    where : Windows

    Raises
    ------
    ValueError
        If the signal does not cover the windows.
    """
    end = float((where.time + where.half).max())
    begin = float((where.time - where.half).min())
    if signal.edges[0] > begin or signal.edges[-1] < end:
        raise ValueError(
            f"the signal from {signal.edges[0] * 1e6:g} to {signal.edges[-1] * 1e6:g} us does not hold the bunch "
            f"harmonics: the joint fit needs it from {begin * 1e6:g} to {end * 1e6:g} us."
        )
    t = 0.5 * (signal.edges[1:] + signal.edges[:-1])
    used = t < end
    t, rest = t[used], signal.counts[used] / np.where(signal.smooth[used] > 0.0, signal.smooth[used], 1.0) - 1.0
    first = np.searchsorted(t, where.time - where.half)
    last = np.searchsorted(t, where.time + where.half)
    values = np.empty(where.time.shape, np.complex128)
    for m in np.unique(where.order):
        turned = rest * np.exp(-2j * np.pi * m * where.turning * t)
        for i in np.flatnonzero(where.order == m):
            part = slice(first[i], last[i])
            triangle = 1.0 - np.abs(t[part] - where.time[i]) / where.half[i]
            values[i] = (triangle @ turned[part]) / triangle.sum()
    return values
