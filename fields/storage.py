"""Magnetic field of the storage region: multipoles that vary with azimuth, joined as Maxwell's equations ask.

At azimuth theta, B_y + i B_x = sum_n c_n(theta) (z/r0)^n, z = x + i y, r0 = 45 mm, c_n complex [T]:
multipoles of B itself, not of (1 + x/R0) B. c_0 holds the whole dipole; its average is B0. In the usual
normal and skew coefficients B_y = sum (r/r0)^n (b_n cos n phi + a_n sin n phi), c_n = b_n - i a_n. What the
curvature of the ring and the change along it add to this series is in `storage_field`: below 1e-2 of the
multipoles and of the ripple.

Between samples c_n(theta) is the periodic quintic spline: its average is exactly that of the samples, and its
fourth derivative is continuous, so that the longitudinal terms of the field exist everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.ring import B0_NOMINAL, R0, R_REFERENCE, TWO_PI
from gpu.kernel import scalar

_DEGREE = 5
# Derivatives 1 to 5 of the quintic B-spline of knot spacing 1 at the knots m = first, first + 1, ...; the fifth, which
# jumps there, inside the cell behind m. I. J. Schoenberg, Quart. Appl. Math. 4 (1946) 45.
_BSPLINE_DERIVATIVES = (
    (-2, (1 / 24, 10 / 24, 0.0, -10 / 24, -1 / 24)),
    (-2, (1 / 6, 1 / 3, -1.0, 1 / 3, 1 / 6)),
    (-2, (1 / 2, -1.0, 0.0, 1.0, -1 / 2)),
    (-2, (1.0, -4.0, 6.0, -4.0, 1.0)),
    (-3, (1.0, -5.0, 10.0, -10.0, 5.0, -1.0)),
)
_PER_R0 = 1.0 / R_REFERENCE


class StorageTable(NamedTuple):
    """Spline of the multipoles as arrays for kernels."""

    # (cells, 6, order + 1): coefficients of (theta - cell start)^k in the real and imaginary parts [T/rad^k]
    real: NDArray[np.float64]
    imag: NDArray[np.float64]
    cell: float  # width of a cell [rad]
    per_radius: float  # 1/R0: d/ds = per_radius d/dtheta [1/m]


@dataclass(frozen=True, eq=False)
class StorageField:
    """Storage field from multipoles at equidistant azimuths.

    Parameters
    ----------
    c
        Complex multipoles [T] at theta_j = 2 pi j/M, shape (M, order + 1); M = 1 is uniform in azimuth.
    label
        Where the field comes from (a file, "uniform", "synthetic ...").
    """

    c: NDArray[np.complex128]
    label: str = ""

    def __post_init__(self) -> None:
        c = np.array(self.c, dtype=np.complex128, ndmin=2)
        if 1 < c.shape[0] <= 2 * _DEGREE:
            raise ValueError(f"storage field with {c.shape[0]} azimuths cannot be interpolated: give 1 or at least 11.")
        if not np.all(np.isfinite(c)):
            raise ValueError("storage field has multipoles that are not finite: mend the input map.")
        c.flags.writeable = False
        object.__setattr__(self, "c", c)

    @classmethod
    def uniform(cls, b0: float = B0_NOMINAL, order: int = 5) -> StorageField:
        """Pure dipole `b0` [T], the same at all azimuths."""
        c = np.zeros((1, order + 1), dtype=np.complex128)
        c[0, 0] = b0
        return cls(c, "uniform")

    @classmethod
    def from_coefficients(cls, coefficients: ArrayLike, label: str = "constant multipoles") -> StorageField:
        """Multipoles c_n [T], the same at all azimuths; shape (order + 1,)."""
        return cls(np.asarray(coefficients, dtype=np.complex128)[None, :], label)

    @property
    def order(self) -> int:
        """Highest multipole order kept."""
        return int(self.c.shape[1]) - 1

    @property
    def theta(self) -> NDArray[np.float64]:
        """Azimuths of the samples [rad], shape (M,)."""
        return np.asarray(TWO_PI * np.arange(self.c.shape[0]) / self.c.shape[0])

    @property
    def b0(self) -> float:
        """Dipole averaged over azimuth [T]."""
        return float(self.mean_field()[0].real)

    def mean_field(self) -> NDArray[np.complex128]:
        """Multipoles averaged over azimuth [T], shape (order + 1,)."""
        return np.asarray(self.c.mean(axis=0))

    def scaled_to(self, b0: float) -> StorageField:
        """Same map, multiplied so that its average dipole is `b0` [T]."""
        return StorageField(self.c * (b0 / self.b0), self.label)

    def __add__(self, other: StorageField) -> StorageField:
        """Both together, on the azimuths of the finer one."""
        finer = max(self, other, key=lambda one: one.c.shape[0])
        c = np.zeros((finer.c.shape[0], max(self.order, other.order) + 1), dtype=np.complex128)
        for one in (self, other):
            c[:, : one.order + 1] += one.c if one is finer else one.multipoles(finer.theta)
        return StorageField(c, self.label)

    def low_pass(self, harmonics: int, samples: int | None = None) -> StorageField:
        """Keep azimuthal harmonics up to `harmonics`, and resample.

        Ripple shorter than the aperture is measurement noise: a field that varies as exp(i k s) grows across
        the aperture like a Bessel function of k r, and the series in r used here stops converging.

        Parameters
        ----------
        harmonics
            Highest harmonic kept (a wavelength of 44.7 m / harmonics).
        samples
            Number of azimuths of the result; default 8 per shortest wave.
        """
        size = self.c.shape[0]
        keep = min(harmonics, (size - 1) // 2)
        new_size = samples if samples is not None else max(8 * keep, 2 * _DEGREE + 2)
        if new_size <= 2 * keep:
            raise ValueError(f"{new_size} azimuths cannot hold {keep} harmonics: give more than {2 * keep}.")
        spectrum = np.fft.fft(self.c, axis=0) / size
        kept = np.zeros((new_size, self.c.shape[1]), dtype=np.complex128)
        kept[: keep + 1] = spectrum[: keep + 1]
        if keep > 0:
            kept[-keep:] = spectrum[-keep:]
        return StorageField(np.fft.ifft(kept * new_size, axis=0), f"{self.label}, {keep} harmonics")

    @cached_property
    def _spline(self) -> NDArray[np.complex128]:
        """Polynomials of the cells, shape (M, 6, order + 1), ascending powers of (theta - theta_j)."""
        cells, width = self.c.shape
        polynomials = np.zeros((cells, _DEGREE + 1, width), dtype=np.complex128)
        polynomials[:, 0] = self.c
        if cells == 1:
            return polynomials
        # The samples are B-spline coefficients seen through [1, 26, 66, 26, 1]/120: undone exactly by Fourier.
        angle = TWO_PI * np.arange(cells) / cells
        seen = (66.0 + 52.0 * np.cos(angle) + 2.0 * np.cos(2.0 * angle)) / 120.0
        mean = self.mean_field()
        coefficients = np.fft.ifft(np.fft.fft(self.c - mean, axis=0) / seen[:, None], axis=0)
        scale = 1.0
        for power, (first, weights) in enumerate(_BSPLINE_DERIVATIVES, start=1):
            scale *= cells / (TWO_PI * power)
            for m, weight in enumerate(weights, start=first):
                polynomials[:, power] += scale * weight * np.roll(coefficients, m, axis=0)
        return polynomials

    @cached_property
    def _ripple_spline(self) -> NDArray[np.complex128]:
        """Polynomials of the map minus its average over azimuth."""
        ripple = self._spline.copy()
        ripple[:, 0] -= self.mean_field()
        return ripple

    def multipoles(self, theta: ArrayLike, derivative: int = 0) -> NDArray[np.complex128]:
        """Multipoles or their derivative d^k/dtheta^k at any azimuth.

        Parameters
        ----------
        theta
            Azimuths [rad], shape (...).
        derivative
            Order k of the derivative, 0 to 5.

        Returns
        -------
        ndarray
            Shape (..., order + 1) [T/rad^k].
        """
        cell, t = self._locate(theta)
        value = np.zeros((*t.shape, self.c.shape[1]), dtype=np.complex128)
        for power in range(_DEGREE, derivative - 1, -1):
            falling = np.prod(np.arange(power - derivative + 1, power + 1))
            value = value * t[..., None] + falling * self._spline[cell, power]
        return value

    def integral(self, start: ArrayLike, stop: ArrayLike) -> NDArray[np.complex128]:
        """Exact integral of the multipoles from `start` to `stop` [rad]; shape (..., order + 1) [T rad].

        `stop` may be past a full turn or before `start`.
        """
        start, stop = np.asarray(start, dtype=np.float64), np.asarray(stop, dtype=np.float64)
        mean_part = (stop - start)[..., None] * self.mean_field()
        ripple = self._ripple_integrals(stop)[0] - self._ripple_integrals(start)[0]
        return np.asarray(mean_part + ripple)

    def hat_deposit(self, azimuths: ArrayLike) -> NDArray[np.complex128]:
        """Field shared among stations: integral of the map times the hat of each station.

        The hat of a station is 1 there and falls linearly to 0 at its two neighbours, so that the hats add up
        to 1 and the deposits to the integral of the map over the turn.

        Parameters
        ----------
        azimuths
            Azimuths of the stations [rad], shape (k,), in any order, all different modulo 2 pi.

        Returns
        -------
        ndarray
            Shape (k, order + 1) [T rad].
        """
        wrapped = np.mod(np.asarray(azimuths, dtype=np.float64), TWO_PI)
        order = np.argsort(wrapped)
        left = wrapped[order]
        right = np.append(left[1:], left[0] + TWO_PI)
        width = (right - left)[:, None]
        if left.size == 0 or np.any(width <= 0.0):
            raise ValueError("stations of a hat deposit must be at least one and all at different azimuths.")
        if left.size == 1:
            return TWO_PI * self.mean_field()[None, :]
        once_l, twice_l = self._ripple_integrals(left)
        once_r, twice_r = self._ripple_integrals(right)
        middle = (twice_r - twice_l) / width
        falling = middle - once_l  # integral of ripple * (right - theta)/width
        rising = once_r - middle
        half = 0.5 * width * self.mean_field()
        deposit = np.zeros((left.size, self.c.shape[1]), dtype=np.complex128)
        deposit += falling + half
        deposit += np.roll(rising + half, 1, axis=0)
        unsorted = np.empty_like(deposit)
        unsorted[order] = deposit
        return unsorted

    def table(self) -> StorageTable:
        """Arrays for kernels."""
        spline = self._spline
        return StorageTable(
            real=np.ascontiguousarray(spline.real),
            imag=np.ascontiguousarray(spline.imag),
            cell=TWO_PI / spline.shape[0],
            per_radius=1.0 / R0,
        )

    def _locate(self, theta: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Cell and distance from its start for each azimuth."""
        cells = self.c.shape[0]
        wrapped = np.mod(np.asarray(theta, dtype=np.float64), TWO_PI)
        cell = np.minimum((wrapped * (cells / TWO_PI)).astype(np.int64), cells - 1)
        return cell, wrapped - cell * (TWO_PI / cells)

    @cached_property
    def _integrated(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """First and second antiderivative of the ripple (map minus its average) at the cell starts.

        The first is 0 at theta = 0 and, as the ripple averages to zero, again at 2 pi.
        """
        ripple = self._ripple_spline
        width = TWO_PI / ripple.shape[0]
        powers = np.arange(_DEGREE + 1)
        step_1 = np.einsum("k,mkn->mn", width ** (powers + 1) / (powers + 1), ripple)
        step_2 = np.einsum("k,mkn->mn", width ** (powers + 2) / ((powers + 1) * (powers + 2)), ripple)
        once = np.zeros_like(step_1)
        once[1:] = np.cumsum(step_1, axis=0)[:-1]
        twice = np.zeros_like(once)
        twice[1:] = np.cumsum(step_2 + width * once, axis=0)[:-1]
        return once, twice

    def _ripple_integrals(self, theta: ArrayLike) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """First and second antiderivative of the ripple from 0 to `theta`, any number of turns."""
        theta = np.asarray(theta, dtype=np.float64)
        cell, t = self._locate(theta)
        turns = np.round((theta - np.mod(theta, TWO_PI)) / TWO_PI)
        once, twice = self._integrated
        ripple = self._ripple_spline[cell]
        first, second = once[cell], twice[cell] + t[..., None] * once[cell]
        power_t = np.ones_like(t)
        for power in range(_DEGREE + 1):
            power_t = power_t * t
            first = first + (power_t / (power + 1))[..., None] * ripple[..., power, :]
            second = second + (power_t * t / ((power + 1) * (power + 2)))[..., None] * ripple[..., power, :]
        last = once.shape[0] - 1
        width = TWO_PI / once.shape[0]
        over_turn = twice[last] + width * once[last]
        for power in range(_DEGREE + 1):
            weight = width ** (power + 2) / ((power + 1) * (power + 2))
            over_turn = over_turn + weight * self._ripple_spline[last, power]
        return first, second + turns[..., None] * over_turn


@scalar
def storage_field(x: float, y: float, theta: float, table: StorageTable) -> tuple[float, float, float]:
    """Magnetic field of the storage region at one point, with the terms Maxwell's equations ask for.

    The field is the gradient, in the coordinates of the ring, of psi = Im sum_m { [C_m - r^2/(4(m+1)) C_m'']
    z^m + h [D_m z - x C_m/2] z^m }, C_m = c_n/(m r0^n), m = n + 1, h = 1/R0, primes are d/ds, s = R0 theta.
    The term with C_m'' makes the field solenoidal where the multipoles change along the ring, the term with h
    where the ring is curved; D_m = (m Re C_m/(m+1) + i Im C_m)/2 keeps B_y + i B_x = sum c_n (x/r0)^n on the
    midplane. The curl vanishes identically; the divergence left is of relative order (r/R0)^2 in curvature,
    and r^3/8 times the fourth derivative of c_0 along s (r^2/(4(m+1)) d^4C_m/ds^4 z^m in general).

    Parameters
    ----------
    x, y
        Position [m], r up to about 60 mm.
    theta
        Azimuth from the inflector exit [rad], any turn.
    table
        `StorageTable`.

    Returns
    -------
    (float, float, float)
        bx, by, bs [T].
    """
    turns = theta * (1.0 / TWO_PI)
    wrapped = (turns - math.floor(turns)) * TWO_PI
    cell = min(int(wrapped / table.cell), table.real.shape[0] - 1)
    t = wrapped - cell * table.cell
    h = table.per_radius
    bx = 0.0
    by = 0.0
    bs = 0.0
    w_re = 1.0  # (z/r0)^n
    w_im = 0.0
    for n in range(table.real.shape[2]):
        re = _spline_with_derivatives(t, table.real, cell, n)
        im = _spline_with_derivatives(t, table.imag, cell, n)
        one_x, one_y, one_s = _one_order(x, y, n + 1.0, h, w_re, w_im, re, im)
        bx += one_x
        by += one_y
        bs += one_s
        w_re, w_im = (x * w_re - y * w_im) * _PER_R0, (x * w_im + y * w_re) * _PER_R0
    return bx, by, bs / (1.0 + x * h)


@scalar
def _one_order(
    x: float,
    y: float,
    m: float,
    h: float,
    w_re: float,
    w_im: float,
    re: tuple[float, float, float, float],
    im: tuple[float, float, float, float],
) -> tuple[float, float, float]:
    """Field of the order m - 1: w = (z/r0)^(m-1), `re` and `im` are c and three derivatives along theta."""
    c_re, c1_re, c2_re, c3_re = re
    c_im, c1_im, c2_im, c3_im = im
    zw_re = x * w_re - y * w_im
    zw_im = x * w_im + y * w_re
    q = 0.25 * h * h / (m + 1.0)
    rr = x * x + y * y
    # as in a straight magnet, the multipole weakened by its own second derivative
    e_re = c_re - q * rr * c2_re
    e_im = c_im - q * rr * c2_im
    ripple = -2.0 * q * (c2_re * zw_im + c2_im * zw_re) / m
    bx = e_re * w_im + e_im * w_re + x * ripple
    by = e_re * w_re - e_im * w_im + y * ripple
    along = ((c1_re - q * rr * c3_re) * zw_im + (c1_im - q * rr * c3_im) * zw_re) / m
    # curvature of the ring
    k = 0.5 * h
    d_im = c_im * (m + 1.0) / m
    inward = (c_re * zw_im + c_im * zw_re) / m + x * (c_re * w_im + c_im * w_re)
    bx += k * (c_re * zw_im + d_im * zw_re - inward)
    by += k * (c_re * zw_re - d_im * zw_im - x * (c_re * w_re - c_im * w_im))
    zzw_re = x * zw_re - y * zw_im
    zzw_im = x * zw_im + y * zw_re
    along += k * (c1_re * zzw_im / (m + 1.0) + c1_im * zzw_re / m)
    along -= k * x * (c1_re * zw_im + c1_im * zw_re) / m
    return bx, by, h * along


@scalar
def _spline_with_derivatives(
    t: float, polynomials: NDArray[np.float64], cell: int, n: int
) -> tuple[float, float, float, float]:
    """Value and first three derivatives of one multipole's polynomial at t [rad] into the cell."""
    a0 = polynomials[cell, 0, n]
    a1 = polynomials[cell, 1, n]
    a2 = polynomials[cell, 2, n]
    a3 = polynomials[cell, 3, n]
    a4 = polynomials[cell, 4, n]
    a5 = polynomials[cell, 5, n]
    value = ((((a5 * t + a4) * t + a3) * t + a2) * t + a1) * t + a0
    first = (((5.0 * a5 * t + 4.0 * a4) * t + 3.0 * a3) * t + 2.0 * a2) * t + a1
    second = ((20.0 * a5 * t + 12.0 * a4) * t + 6.0 * a3) * t + 2.0 * a2
    third = (60.0 * a5 * t + 24.0 * a4) * t + 6.0 * a3
    return value, first, second, third
