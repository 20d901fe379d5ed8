"""Field changes that the muons see and the trolley does not: kicker eddy currents, vibrating quads, slow drift.

B_k: the kick leaves eddy currents; their field decays over the first hundred microseconds, along the kickers.
B_q: each pulse of the high voltage pulls at the quad plates, which ring at 50 to 100 Hz and, being conductors
that move in 1.45 T, change the field inside the quads during this fill and the next ones.

Along the ring a transient is a dipole B_y with smooth ends, `along_ring`; `storage_field_at` makes it a
`StorageField`, whose three-dimensional field obeys Maxwell's equations. How the measured precession frequency
changes is `fitted_shift`.

Sources: TH = N. Kinnaird, dissertation (2020) (bunches), TR = aetb/trfp (drift of the field).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf

from fields.pulse import EddyTail
from fields.ring import B0_NOMINAL, QUAD_HALF_GAP, RING, TWO_PI, Ring
from fields.storage import StorageField
from fields.voltage import CHARGING_START

FILLS = 16  # bunches of one supercycle, in two trains of 8; TH
_TRAIN = 8
_SUPERCYCLE = 1.4  # [s] TH
FIT_START, FIT_STOP = 30.2876e-6, 650.0644e-6  # range of the precession fit [s]; N. Kinnaird, Run-1 analysis
GAMMA_TAU = 64.44e-6  # lifetime in the precession fits [s], same source
_PANELS, _NODES = 64, leggauss(16)
_EXTENT = 2.0 * QUAD_HALF_GAP  # over which a field falls off at the end of its source: the gap, best estimate [m]


class Section(Protocol):
    """A piece of the ring between two azimuths [rad]."""

    @property
    def theta_start(self) -> float: ...
    @property
    def theta_end(self) -> float: ...


def profile(theta: ArrayLike, sections: tuple[Section, ...], radius: float) -> NDArray[np.float64]:
    """Share of a localised field at azimuths `theta` [rad]: 1 in the sections, 0 outside, error functions between.

    The ends are [1 + erf(d/w)]/2, d the distance inside the end, w = 100 mm: the average over the ring is the
    covered share exactly. Shape of `theta`.
    """
    at = np.asarray(theta, dtype=np.float64)
    per_width = radius / _EXTENT
    result = np.zeros_like(at)
    for section in sections:
        middle = 0.5 * (section.theta_start + section.theta_end)
        half = 0.5 * (section.theta_end - section.theta_start)
        inside = np.mod(at - middle + math.pi, TWO_PI) - math.pi
        result += 0.5 * (erf((inside + half) * per_width) - erf((inside - half) * per_width))
    return result


@dataclass(frozen=True)
class KickerTransient:
    """Field B_k of the eddy currents after the kick, along the kickers (8.5 % of the ring); it lowers B_y.

    Parameters
    ----------
    eddy
        Field against time after the kick; its sign is that of the kick (outwards).
    ring
        Gives the kickers.
    """

    eddy: EddyTail = field(default_factory=EddyTail)
    ring: Ring = RING

    @property
    def coverage(self) -> float:
        """Share of the circumference inside kickers."""
        return sum(k.theta_end - k.theta_start for k in self.ring.kickers) / TWO_PI

    def local(self, t: ArrayLike) -> NDArray[np.float64]:
        """Change of B_y [T] inside the kickers at fill times `t` [s], shape of `t`."""
        return np.asarray(-self.eddy(t))

    def average(self, t: ArrayLike) -> NDArray[np.float64]:
        """Change of B_y [T] averaged over the ring at fill times `t` [s], shape of `t`."""
        return self.coverage * self.local(t)

    def along_ring(self, theta: ArrayLike) -> NDArray[np.float64]:
        """Share of `local` that acts at azimuths `theta` [rad], shape of `theta`."""
        return profile(theta, self.ring.kickers, self.ring.radius)

    def field(self, t: ArrayLike, theta: ArrayLike) -> NDArray[np.float64]:
        """Change of B_y [T] on the axis at fill times `t` [s] and azimuths `theta` [rad], broadcast together."""
        return self.local(t) * self.along_ring(theta)

    def fitted_shift(self, b0: float = B0_NOMINAL) -> float:
        """Relative shift of the measured omega_a (negative: the field is lower), over the range of the fits."""
        return fitted_shift(lambda t: self.average(t) / b0)


@dataclass(frozen=True)
class PlateMode:
    """One vibration of the plates.

    Parameters
    ----------
    frequency, decay_time
        [Hz], [s].
    amplitude
        Field [T] inside a quad for a plate that follows a sudden, lasting pull: amplitude exp(-t/decay_time)
        sin(2 pi frequency t), the velocity of a damped oscillator after a step of force.
    """

    frequency: float
    decay_time: float
    amplitude: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.amplitude) and math.isfinite(self.frequency) and self.frequency > 0.0):
            raise ValueError(f"plate mode of {self.frequency:g} Hz, {self.amplitude:g} T: give finite numbers above 0.")
        if not 0.0 < self.decay_time <= _SUPERCYCLE:
            raise ValueError(f"plate mode decays in {self.decay_time:g} s: give 0 to {_SUPERCYCLE} s.")


# Best estimates: the ends of the 50 to 100 Hz that are reported, decay over a few fills, amplitudes that give a local
# field of order 100 ppb and the published -17 ppb of Run-1 on average over the fills (arXiv:2104.03201, recalled).
# 100 Hz comes back in phase every 10 ms and builds up over a train; 50 Hz alternates from bunch to bunch.
MODES = (PlateMode(50.0, 0.030, 4.0e-7), PlateMode(100.0, 0.015, -0.65e-7))


@dataclass(frozen=True)
class QuadTransient:
    """Field B_q of the quad plates that vibrate under the pulsed high voltage.

    Each fill pulls at the plates from `pulse_start` to `pulse_start + pulse_length` (force ~ V^2); each edge
    starts every mode anew, and what is left of all earlier fills, also of the last supercycles, adds.

    Parameters
    ----------
    modes
        Vibrations.
    spacing, train_gap
        Time between bunches of a train: 10 ms (TH: more than 10 ms), and from the first bunch of one train to
        that of the other: 267 ms, best estimate [s].
    pulse_start, pulse_length
        High voltage, from injection on [s]; best estimate.
    strength
        Factor on all modes.
    ring
        Gives the quads.
    """

    modes: tuple[PlateMode, ...] = MODES
    spacing: float = 0.010
    train_gap: float = 0.267
    pulse_start: float = CHARGING_START
    pulse_length: float = 0.9e-3
    strength: float = 1.0
    ring: Ring = RING

    def __post_init__(self) -> None:
        if not 0.0 < self.pulse_length < self.spacing:
            what = f"high voltage of {self.pulse_length:g} s in fills {self.spacing:g} s apart"
            raise ValueError(f"{what}: give a pulse shorter than the spacing.")
        if not (_TRAIN * self.spacing <= self.train_gap <= _SUPERCYCLE - _TRAIN * self.spacing):
            raise ValueError(f"trains {self.train_gap:g} s apart overlap with {_TRAIN} fills of {self.spacing:g} s.")
        if not (math.isfinite(self.strength) and math.isfinite(self.pulse_start)):
            raise ValueError("quad transient needs a finite strength and start: mend the settings.")

    @property
    def bunch_times(self) -> NDArray[np.float64]:
        """Injection times of the bunches in the supercycle [s], shape (16,)."""
        bunch = np.arange(FILLS)
        return np.asarray(self.train_gap * (bunch // _TRAIN) + self.spacing * (bunch % _TRAIN))

    def local(self, t: ArrayLike, bunch: int) -> NDArray[np.float64]:
        """Change of B_y [T] inside the quads in the fill of one bunch.

        Parameters
        ----------
        t
            Fill times [s].
        bunch
            0 to 15.

        Returns
        -------
        ndarray
            [T], shape of `t`.

        Raises
        ------
        ValueError
            If there is no such bunch.
        """
        if not 0 <= bunch < FILLS:
            raise ValueError(f"bunch {bunch} is not one of a supercycle: give 0 to {FILLS - 1}.")
        time = np.asarray(t, dtype=np.float64)
        since = self.bunch_times[bunch] - self.bunch_times  # negative: that bunch came in the last supercycle
        since = np.where(since < 0.0, since + _SUPERCYCLE, since)
        age = time[..., None] + since - self.pulse_start
        total = np.zeros_like(time)
        for mode in self.modes:
            rings = self._step(mode, age) - self._step(mode, age - self.pulse_length)
            total += mode.amplitude * rings.sum(axis=-1)
        return self.strength * total

    @staticmethod
    def _step(mode: PlateMode, age: NDArray[np.float64]) -> NDArray[np.float64]:
        """Response to steps of force `age` [s] ago, and to the same in all earlier supercycles (a geometric sum)."""
        rate = complex(-1.0 / mode.decay_time, TWO_PI * mode.frequency)
        earlier = 1.0 / (1.0 - np.exp(rate * _SUPERCYCLE))
        weight = np.where(age > 0.0, earlier, earlier - 1.0)
        return np.asarray((weight * np.exp(rate * age)).imag)

    def average(self, t: ArrayLike, bunch: int) -> NDArray[np.float64]:
        """Change of B_y [T] averaged over the ring at fill times `t` [s], shape of `t`."""
        return self.ring.quad_coverage * self.local(t, bunch)

    def along_ring(self, theta: ArrayLike) -> NDArray[np.float64]:
        """Share of `local` that acts at azimuths `theta` [rad], shape of `theta`."""
        return profile(theta, self.ring.quads, self.ring.radius)

    def field(self, t: ArrayLike, theta: ArrayLike, bunch: int) -> NDArray[np.float64]:
        """Change of B_y [T] on the axis at fill times `t` [s] and azimuths `theta` [rad], broadcast together."""
        return self.local(t, bunch) * self.along_ring(theta)

    def fitted_shifts(self, b0: float = B0_NOMINAL) -> NDArray[np.float64]:
        """Relative shift of the measured omega_a in the fills of each bunch, in the range of the fits, shape (16,)."""

        def in_fills_of(bunch: int) -> float:
            return fitted_shift(lambda t: self.average(t, bunch) / b0)

        return np.array([in_fills_of(bunch) for bunch in range(FILLS)])


@dataclass(frozen=True)
class FieldDrift:
    """Slow linear drift of the whole field.

    Parameters
    ----------
    rate
        Relative change per second: -0.84 ppm in 3 days within the 60h set (TR).
    """

    rate: float = -0.84e-6 / (3 * 86_400.0)

    def __post_init__(self) -> None:
        if not math.isfinite(self.rate):
            raise ValueError(f"field drift of {self.rate} per second: give a finite number.")

    def relative(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """dB/B `seconds` [s] after the map was taken, shape of `seconds`."""
        return self.rate * np.asarray(seconds, dtype=np.float64)


def storage_field_at(
    local: float, transient: KickerTransient | QuadTransient, samples: int = 3600, label: str = "transient"
) -> StorageField:
    """Transient at one instant as a storage field (dipole only) that obeys Maxwell's equations off the axis too.

    Parameters
    ----------
    local
        Change of B_y [T] inside the kickers or quads at that time.
    transient
        Says where along the ring.
    samples
        Azimuths; 3600 are 12 mm apart, an eighth of the width of the ends.
    label
        Of the result.
    """
    theta = TWO_PI * np.arange(samples) / samples
    shape = transient.along_ring(theta)
    return StorageField((local * shape)[:, None].astype(np.complex128), label)


def fit_weight(t: ArrayLike, start: float, stop: float, gamma_tau: float) -> NDArray[np.float64]:
    """Weight S(t) [1/s] of the field at time `t` [s] in a fit from `start` to `stop`; its integral is 1.

    A phase error psi(t) in N = N0 exp(-t/tau)(1 + A cos(omega t - phi + psi)) changes the fitted phase and
    frequency like the straight line that fits psi best with the weight w = exp(-t/tau) (variance ~ N; what
    oscillates with omega averages out, to order (omega tau)^-1 of the result). Its slope is <(t - <t>) psi>/
    <(t - <t>)^2>. With psi = omega * integral of dB/B, by parts, the slope over omega is the integral of dB/B S,

    S(t) = integral_t^stop w(t') (t' - <t>) dt' / integral w (t' - <t>)^2 dt'.

    For stop -> infinity S = u exp(-u)/tau, u = (t - start)/tau. Zero outside start..stop; shape of `t`.
    """
    u = (np.asarray(t, dtype=np.float64) - start) / gamma_tau
    end = (stop - start) / gamma_tau
    cut = math.exp(-end)
    m0, m1, m2 = 1.0 - cut, 1.0 - (1.0 + end) * cut, 2.0 - (end**2 + 2.0 * end + 2.0) * cut
    mean = m1 / m0
    spread = m2 - m1 * mean
    inside = np.clip(u, 0.0, end)
    return ((inside + 1.0 - mean) * np.exp(-inside) - (end + 1.0 - mean) * cut) / (spread * gamma_tau)


def fitted_shift(
    relative: Callable[[NDArray[np.float64]], ArrayLike],
    start: float = FIT_START,
    stop: float = FIT_STOP,
    gamma_tau: float = GAMMA_TAU,
) -> float:
    """Relative shift of the omega_a that a five-parameter fit finds when the field changes during the fill.

    Parameters
    ----------
    relative
        dB/B averaged over the ring at fill times [s]; array in, array of the same shape out; smooth over a
        thousandth of the fit range.
    start, stop
        Range of the fit [s].
    gamma_tau
        Lifetime [s].

    Returns
    -------
    float
        d(omega_a)/omega_a; see `fit_weight`.

    Raises
    ------
    ValueError
        If the range or the lifetime is not positive.
    """
    if not (math.isfinite(stop) and start < stop and gamma_tau > 0.0):
        what = f"fit from {start:g} to {stop:g} s with lifetime {gamma_tau:g} s"
        raise ValueError(f"{what}: give start < stop and a lifetime above 0.")
    half = 0.5 * (stop - start) / _PANELS
    middles = start + half * (2.0 * np.arange(_PANELS) + 1.0)
    t = (middles[:, None] + half * _NODES[0]).ravel()
    weights = np.tile(half * _NODES[1], _PANELS)
    return float(np.sum(weights * fit_weight(t, start, stop, gamma_tau) * np.asarray(relative(t))))
