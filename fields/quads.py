"""Electrostatic quadrupoles: from the high voltage on the plates to potential and field at a point.

In quad q the potential is Phi(x, y) = Re sum_n a_n (z/r0)^n, z = x + i y, r0 = 45 mm, a_n complex [V], for
mu+ (top and bottom plates positive). Edges are hard, at the ends of the plates.

Convention: the series are *straight* two-dimensional multipoles, as G2's fit to the plates and the reference
numbers of the discrete ring (Phi = -g/2 Re z^2) use them. With ``toroidal=True`` Phi is divided by sqrt(1 +
x/R0): that satisfies Laplace's equation in the curved ring to 1e-5 of the gradient per r0, instead of 6e-3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from fields.multipoles import Row, electric_field
from fields.ring import B0_NOMINAL, QUAD_HALF_GAP, R0, R_REFERENCE, RING, Ring
from gpu.kernel import scalar

# Potential of the plates at +-24 kV at r0 [V], cosine (normal) and sine (skew) terms of order 1, 2, ...:
# computed for the real plates with the walls of the vacuum chamber. G2 quad/QuadField.cc, after the E821 quad
# paper (Semertzidis et al., NIM A 503 (2003) 458), table 5. There for mu-; the sign is turned for mu+ below.
TABLE_VOLTAGE = 24_000.0
NORMAL_24KV = (-12.0, 20177.8, -28.0, -153.0, -10.0, -26.0, 0.0, -5.5, 0.0, -391.3, 0.0, 18.0, 0.0, 52.3)
SKEW_24KV = (0.0, 0.1, 0.0, 0.1, -8.0, 0.1, 0.0, 0.2, 0.0, 0.1, 0.0, 0.0, 0.0, -0.1)
# Real over simple gradient (2 V/d^2, d = 50 mm) with which 18.3 kV gives n = 0.108 in the ring as built (and
# 20.4 kV 0.1204): the plates act as if their voltage were 4 % higher (Valetov and Berz, OSTI 1561533). The
# CBO frequencies measured in Run-1a to 1d, 372.04, 415.98, 415.30 and 371.69 kHz (KN =
# nkinnaird/PrecessionFrequencyAnalysis @54b9b45), want 1.0477, 1.0481, 1.0465 and 1.0467 in its linear
# optics.
EFFECTIVE_SCALE = 1.0409
# Outer plate of Q1 long, thinner and displaced for the injected beam: extra multipoles over the quadrupole,
# from E_r at 45 mm, n = 3 +0.9 %, n = 5 +2.3 % (map Q1LongE989 of G2); a_n/a_2 = (2/n) of that ratio.
Q1_OUTER_PLATE = MappingProxyType({3: 0.009 * 2 / 3, 5: 0.023 * 2 / 5})


def plate_multipoles(order: int = 10) -> tuple[complex, ...]:
    """Shape of the real plates: a_n over a_2 for n = 0 to `order` (index 2 is 1)."""
    if not 2 <= order <= len(NORMAL_24KV):
        raise ValueError(f"quad order = {order} is out of bounds: give 2 (quadrupole) to {len(NORMAL_24KV)}.")
    ratios = [0j] * (order + 1)
    for n in range(1, order + 1):
        # Re[(N - i S) z^n] = N cos n phi + S sin n phi at unit radius
        ratios[n] = (NORMAL_24KV[n - 1] - 1j * SKEW_24KV[n - 1]) / NORMAL_24KV[1]
    ratios[2] = 1.0 + 1j * ratios[2].imag
    return tuple(ratios)


def pure_quadrupole() -> tuple[complex, ...]:
    """Shape of ideal hyperbolic plates: only a_2."""
    return (0j, 0j, 1.0 + 0j)


@dataclass(frozen=True)
class QuadSettings:
    """High voltage and shape of the quads.

    Parameters
    ----------
    voltage
        Set voltage V of the plates (+V top and bottom, -V inner and outer) [V].
    effective_scale
        Gradient over that of ideal plates, 2 V/d^2 with d = 50 mm.
    multipoles
        a_n/a_2, n = 0 to order.
    extra_multipoles
        Quad name -> {order: extra a_n/a_2}: what distinguishes one quad.
    voltage_scale
        Quad name -> factor on the voltage of that quad; 1 where not named.
    toroidal
        Divide the potential by sqrt(1 + x/R0).
    """

    voltage: float = 18_300.0
    effective_scale: float = EFFECTIVE_SCALE
    multipoles: tuple[complex, ...] = field(default_factory=plate_multipoles)
    extra_multipoles: Mapping[str, Mapping[int, complex]] = field(default_factory=dict)
    voltage_scale: Mapping[str, float] = field(default_factory=dict)
    toroidal: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.voltage) and 0.0 <= self.voltage <= 40_000.0):
            raise ValueError(f"quad voltage = {self.voltage} V is out of bounds: give 0 to 40000 V.")
        if len(self.multipoles) < 3:
            raise ValueError("quad multipoles need orders 0 to 2 at least: a_2 carries the quadrupole.")

    @property
    def gradient(self) -> float:
        """Gradient k of a quad, E_x = k x, E_y = -k y [V/m^2]."""
        return 2.0 * self.effective_scale * self.voltage / QUAD_HALF_GAP**2

    def field_index(self, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> float:
        """Field index n = <k> R0/(beta c B0), averaged over the ring.

        Parameters
        ----------
        ring
            Gives the azimuth covered by each quad.
        b0
            Average field [T].
        beta
            Speed of the reference muon over c.
        """
        weighted = sum(quad.length * self.voltage_scale.get(quad.name, 1.0) for quad in ring.quads)
        average = self.gradient * weighted / (2.0 * math.pi)
        return float(average * ring.radius / (beta * constants.c * b0))

    def with_field_index(self, n: float, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> QuadSettings:
        """Same voltages, the effective scale chosen so that the ring has field index `n`."""
        unit = replace(self, effective_scale=1.0).field_index(ring, b0, beta)
        if unit == 0.0:
            raise ValueError(f"field index {n} cannot be reached with quad voltage 0 V: set a voltage.")
        return replace(self, effective_scale=n / unit)

    @classmethod
    def ideal(cls, n: float = 0.108, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> QuadSettings:
        """Pure quadrupoles that give `ring` the field index `n`."""
        pure = cls(voltage=18_300.0, effective_scale=1.0, multipoles=pure_quadrupole())
        return pure.with_field_index(n, ring, b0, beta)

    def coefficients(self, quad_name: str) -> NDArray[np.complex128]:
        """Potential coefficients a_n [V] of one quad, shape (order + 1,)."""
        extra = self.extra_multipoles.get(quad_name, {})
        order = max([len(self.multipoles) - 1, *extra])
        shape = np.zeros(order + 1, dtype=np.complex128)
        shape[: len(self.multipoles)] = self.multipoles
        for n, ratio in extra.items():
            shape[n] += ratio
        quadrupole = -0.5 * self.gradient * R_REFERENCE**2  # Phi = -k/2 Re z^2
        return quadrupole * self.voltage_scale.get(quad_name, 1.0) * shape


class QuadTable(NamedTuple):
    """Quads as arrays for kernels; one row per quad, sorted by azimuth.

    Rows may differ from quad to quad (voltage, plates, position of the plates); a voltage that changes in
    time is a factor on a row, to be given per quad and turn by whoever steps through time.
    """

    theta_start: NDArray[np.float64]  # (q,) [rad]
    theta_end: NDArray[np.float64]  # (q,) [rad]
    real: NDArray[np.float64]  # (q, order + 1) Re a_n [V]
    imag: NDArray[np.float64]  # (q, order + 1) Im a_n [V]
    curvature: float  # 1/R0 for toroidal potentials, 0 for straight ones [1/m]


def quad_table(settings: QuadSettings, ring: Ring = RING) -> QuadTable:
    """Tabulate the potential of each quad of the ring, every quad with its own coefficients."""
    rows = [settings.coefficients(quad.name) for quad in ring.quads]
    a = np.zeros((len(rows), max((row.size for row in rows), default=3)), dtype=np.complex128)
    for q, row in enumerate(rows):
        a[q, : row.size] = row
    return QuadTable(
        theta_start=np.array([quad.theta_start for quad in ring.quads]),
        theta_end=np.array([quad.theta_end for quad in ring.quads]),
        real=np.ascontiguousarray(a.real),
        imag=np.ascontiguousarray(a.imag),
        curvature=1.0 / R0 if settings.toroidal else 0.0,
    )


@scalar
def quad_potential(x: float, y: float, real: Row, imag: Row, curvature: float) -> tuple[float, float, float]:
    """Potential and field of one quad's cross-section.

    Parameters
    ----------
    x, y
        Position [m].
    real, imag
        Row of the quad table [V].
    curvature
        1/R0 or 0 [1/m].

    Returns
    -------
    (float, float, float)
        phi [V], ex [V/m], ey [V/m].
    """
    straight, ex, ey = electric_field(x, y, real, imag)
    stretch = 1.0 / (1.0 + curvature * x)
    factor = math.sqrt(stretch)
    return straight * factor, factor * (ex + 0.5 * curvature * stretch * straight), factor * ey


@scalar
def quad_field(x: float, y: float, theta: float, table: QuadTable) -> tuple[float, float, float]:
    """Field of the quads at one point: zero between quads and outside the square between the plates.

    Parameters
    ----------
    x, y
        Position [m].
    theta
        Azimuth from the inflector exit, 0 to 2 pi [rad].
    table
        `QuadTable`.

    Returns
    -------
    (float, float, float)
        phi [V], ex [V/m], ey [V/m].
    """
    phi = 0.0
    ex = 0.0
    ey = 0.0
    if abs(x) < QUAD_HALF_GAP and abs(y) < QUAD_HALF_GAP:
        for q in range(table.theta_start.size):
            if table.theta_start[q] <= theta <= table.theta_end[q]:
                phi, ex, ey = quad_potential(x, y, table.real[q], table.imag[q], table.curvature)
    return phi, ex, ey
