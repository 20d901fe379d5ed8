"""The cosine transform of the fast-rotation signal, with the covariance of its noise.

    F(f) = sum over t from t_s to t_m of [S(t) - 1] cos 2 pi f (t - t0) dt

for the t0 about which the bunch is symmetric (Y. F. Orlov, C. S. Ozben, Y. K. Semertzidis, NIM A 482 (2002) 767).
Both ends of the sum are ramps of one turn, straight lines from 0 to 1: a sharp end at t_s would leave the transform's
mirror image, at the sum of two revolution frequencies, and the harmonics of the bunch under the peak (7e-4 of it, 7 ppb
of C_e); averaged over one turn both vanish.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import zoom_fft

Floats = NDArray[np.float64]


class Transform(NamedTuple):
    """Cosine and sine transforms together, for any t0.

    Attributes
    ----------
    frequency : array (k,) [Hz]
        Equidistant.
    value : complex array (k,) [s]
        Sum of [S(t) - 1] exp(2 pi i f t) dt.
    noise : complex array (k, k) [s^2]
        Covariance <n n*> of the value's counting noise; products <n n> vanish but for the signal's own modulation.
    start, stop : float [s]
        Middles of the ramps.
    turn : float [s]
        Length of the ramps.
    """

    frequency: Floats
    value: NDArray[np.complex128]
    noise: NDArray[np.complex128]
    start: float
    stop: float
    turn: float

    def turned(self, t0: float) -> NDArray[np.complex128]:
        """Value for times counted from t0: its real part is the cosine transform, its imaginary part the sine one."""
        return np.asarray(self.value * np.exp(-2j * np.pi * self.frequency * t0))

    def error(self) -> Floats:
        """Standard deviation of the cosine transform at each frequency [s]."""
        return np.asarray(np.sqrt(0.5 * np.diag(self.noise).real))

    def draws(self, number: int, seed: int) -> NDArray[np.complex128]:
        """Samples of the noise, shape (number, k)."""
        size, vectors = np.linalg.eigh(self.noise)
        normal = np.random.default_rng(seed).standard_normal((2, number, len(size)))
        # Rounding leaves eigenvalues of about -1e-16: late times that no frequency step resolves.
        amplitude = np.sqrt(0.5 * np.maximum(size, 0.0)) * (normal[0] + 1j * normal[1])
        return np.asarray(amplitude @ vectors.T)


def transform(
    edges: Floats, signal: Floats, variance: Floats, frequency: Floats, *, start: float, stop: float, turn: float
) -> Transform:
    """Transform a signal between two times.

    Parameters
    ----------
    edges : array (m + 1,) [s]
        Bins of one width.
    signal, variance : arrays (m,)
        Counts over what they would be without bunches, and the variance of that.
    frequency : array (k,) [Hz]
        Equidistant.
    start, stop : float [s]
        The ends t_s and t_m.
    turn : float [s]
        Time of one turn.

    Raises
    ------
    ValueError
        If the bins do not reach from half a turn before the start to half a turn after the stop.
    """
    width = float(edges[-1] - edges[0]) / (len(edges) - 1)
    if not edges[0] <= start - turn < start < stop < stop + turn <= edges[-1]:
        raise ValueError(
            f"the transform from {start * 1e6:g} to {stop * 1e6:g} us needs the signal one turn further on both sides, "
            f"but its bins go from {edges[0] * 1e6:g} to {edges[-1] * 1e6:g} us: give later or earlier ends."
        )
    first, last = np.searchsorted(edges, [start - turn, stop + turn])
    t = 0.5 * (edges[first : last - 1] + edges[first + 1 : last])
    ramp = np.clip((t - start) / turn + 0.5, 0.0, 1.0) * np.clip((stop - t) / turn + 0.5, 0.0, 1.0)
    value = width * _fourier(ramp * (signal[first : last - 1] - 1.0), t[0], width, frequency)
    apart = frequency - frequency[0]
    row = width**2 * _fourier(ramp**2 * variance[first : last - 1], t[0], width, apart)
    index = np.arange(len(apart))
    difference = index[:, None] - index[None, :]
    noise = np.where(difference >= 0, row[np.abs(difference)], np.conj(row[np.abs(difference)]))
    return Transform(frequency, value, noise, start, stop, turn)


def _fourier(values: Floats, first: float, width: float, frequency: Floats) -> NDArray[np.complex128]:
    """Sum of values exp(2 pi i f t) at equidistant frequencies, by the chirp transform."""
    ends = [float(frequency[0]), float(frequency[-1])]
    spectrum = zoom_fft(values, ends, len(frequency), fs=1.0 / width, endpoint=True)
    return np.asarray(np.conj(spectrum) * np.exp(2j * np.pi * frequency * first))
