"""Electrostatic quadrupoles: from the high voltage on the plates to potential and field at a point.

In quad q the potential is Phi(x, y) = Re sum_n a_n (z/r0)^n, z = x + i y, r0 = 45 mm, a_n complex [V], for
mu+ (top and bottom plates positive). The a_n are sums over the four plates of voltage times the series of that
plate, from the geometry (`fields.plates`), moved with the quad where it is out of place. At the ends the field
falls off softly (`fields.fringe`); where hard edges are wanted, as in the tracker, they stand at the end of the
plates plus the effective extension.

Convention: the series are *straight* two-dimensional multipoles, as G2's fit to the plates and the reference
numbers of the discrete ring (Phi = -g/2 Re z^2) use them. With ``toroidal=True`` Phi is divided by sqrt(1 +
x/R0): that satisfies Laplace's equation in the curved ring to 1e-5 of the gradient per r0, instead of 6e-3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import constants
from scipy.special import comb

from fields.fringe import REACH, FringeProfile, effective_extension, fringe_field, fringe_profile
from fields.multipoles import Row, electric_field
from fields.plates import DISPLACED_OUTER, DISPLACED_OUTER_VOLTAGE, HIGHEST_ORDER, PlateGeometry, plate_series
from fields.ring import B0_NOMINAL, QUAD_HALF_GAP, R0, R_REFERENCE, RING, TWO_PI, Quad, Ring
from gpu.kernel import scalar

ComplexArray = NDArray[np.complex128]
PlateNumbers = tuple[float, float, float, float]  # of top, bottom, inner and outer plate

# Published potential of the plates at +-24 kV at r0 [V], cosine (normal) and sine (skew) terms of order 1, 2,
# ...: computed for the plates with the walls of the vacuum chamber. G2 quad/QuadField.cc, after the E821 quad
# paper (Semertzidis et al., NIM A 503 (2003) 458), table 5. There for mu-; here a_n = -(normal - i skew). Not
# used: what `fields.plates` is compared with.
TABLE_VOLTAGE = 24_000.0
NORMAL_24KV = (-12.0, 20177.8, -28.0, -153.0, -10.0, -26.0, 0.0, -5.5, 0.0, -391.3, 0.0, 18.0, 0.0, 52.3)
SKEW_24KV = (0.0, 0.1, 0.0, 0.1, -8.0, 0.1, 0.0, 0.2, 0.0, 0.1, 0.0, 0.0, 0.0, -0.1)
POLARITY = np.array([1.0, 1.0, -1.0, -1.0])  # top and bottom plates positive: focuses mu+ vertically


class Placement(NamedTuple):
    """Where a quad stands with respect to the design: centre [m], rotation about the beam, x toward y [rad]."""

    x: float = 0.0
    y: float = 0.0
    roll: float = 0.0


def pure_quadrupole() -> ComplexArray:
    """Series per volt of ideal hyperbolic plates at 50 mm, of which only a_2 is kept, shape (4, 3)."""
    series = np.zeros((4, 3), dtype=np.complex128)
    series[:, 2] = -0.25 * POLARITY * (R_REFERENCE / QUAD_HALF_GAP) ** 2  # Phi = -V Re z^2/d^2
    return series


def displaced_series(series: ComplexArray, placement: Placement) -> ComplexArray:
    """Series about the design centre of plates that are displaced and rolled: an exact re-expansion.

    With zeta = (z - d) exp(-i roll)/r0 in the frame of the plates, sum a_n zeta^n = sum b_m (z/r0)^m.

    Parameters
    ----------
    series
        a_n in the frame of the plates, orders along the last axis.
    placement
        d = x + i y and roll.

    Returns
    -------
    ndarray
        b_m, of the same shape.
    """
    n = np.arange(series.shape[-1])
    shift = -complex(placement.x, placement.y) / R_REFERENCE
    gap = np.maximum(n[:, None] - n[None, :], 0)
    matrix = comb(n[:, None], n[None, :]) * shift**gap  # comb is zero for m > n
    moved = (series * np.exp(-1j * placement.roll * n)) @ matrix
    moved[..., 0].imag = 0.0  # of a constant only the real part is seen
    return np.asarray(moved)


@dataclass(frozen=True)
class QuadSettings:
    """High voltage, plates and place of the quads.

    Parameters
    ----------
    voltage
        Set voltage V of the plates (+V top and bottom, -V inner and outer) [V].
    effective_scale
        Factor on all potentials, for studies; the plates as built need none.
    order
        Highest multipole kept, 2 to 14 (10 is the 20-pole).
    geometry
        Plates in the chamber; None for ideal hyperbolic plates at 50 mm, of which only a_2 is kept.
    multipoles
        False keeps of each plate's series only a_2.
    fringe
        Soft ends, and hard edges of the tracker moved out by the effective extension; False: hard edges at
        the ends of the plates.
    quad_geometry
        Quad name -> plates of that quad, where they differ.
    voltage_scale
        Quad name -> factor on the voltage of that quad; 1 where not named.
    plate_scale
        Quad name -> factors on the voltages of its top, bottom, inner and outer plate.
    plate_offset
        Quad name -> voltages added to its top, bottom, inner and outer plate [V].
    placement
        Quad name -> displacement and roll of that quad. The chamber is taken to move with it.
    toroidal
        Divide the potential by sqrt(1 + x/R0).
    """

    voltage: float = 18_300.0
    effective_scale: float = 1.0
    order: int = 10
    geometry: PlateGeometry | None = field(default_factory=PlateGeometry)
    multipoles: bool = True
    fringe: bool = True
    quad_geometry: Mapping[str, PlateGeometry] = field(default_factory=dict)
    voltage_scale: Mapping[str, float] = field(default_factory=dict)
    plate_scale: Mapping[str, PlateNumbers] = field(default_factory=dict)
    plate_offset: Mapping[str, PlateNumbers] = field(default_factory=dict)
    placement: Mapping[str, Placement] = field(default_factory=dict)
    toroidal: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.voltage) and 0.0 <= self.voltage <= 40_000.0):
            raise ValueError(f"quad voltage = {self.voltage} V is out of bounds: give 0 to 40000 V.")
        if not 2 <= self.order <= HIGHEST_ORDER:
            raise ValueError(f"quad order = {self.order} is out of bounds: give 2 (quadrupole) to {HIGHEST_ORDER}.")
        for name, where in self.placement.items():
            if not (abs(complex(where.x, where.y)) < 0.02 and abs(where.roll) < 0.2):
                raise ValueError(f"{name} is displaced by {where}: give less than 20 mm and 200 mrad.")

    def plates(self, quad_name: str) -> PlateGeometry:
        """Plates and chamber of one quad, for the potential outside the plates (`fields.plates.cross_section`).

        Raises
        ------
        ValueError
            For ideal plates, which have no shape.
        """
        found = self.quad_geometry.get(quad_name, self.geometry)
        if found is None:
            raise ValueError(f"the ideal plates of {quad_name} have no shape: give the quads a geometry.")
        return found

    def plate_coefficients(self, quad_name: str) -> ComplexArray:
        """Coefficients a_n per volt of top, bottom, inner and outer plate of a quad, shape (4, order + 1).

        About the design centre: displacement, roll and the effective scale are in them.
        """
        if self.geometry is None and quad_name not in self.quad_geometry:
            series = pure_quadrupole()
        else:
            series = plate_series(self.plates(quad_name), self.order)
            if not self.multipoles:
                series = np.where(np.arange(series.shape[1]) == 2, series, 0.0)
        where = self.placement.get(quad_name)
        return self.effective_scale * (series if where is None else displaced_series(series, where))

    def plate_voltages(self, quad_name: str) -> NDArray[np.float64]:
        """Static voltages of top, bottom, inner and outer plate of a quad [V], shape (4,)."""
        scale = np.array(self.plate_scale.get(quad_name, (1.0, 1.0, 1.0, 1.0)))
        offset = np.array(self.plate_offset.get(quad_name, (0.0, 0.0, 0.0, 0.0)))
        return np.asarray(self.voltage * self.voltage_scale.get(quad_name, 1.0) * POLARITY * scale + offset)

    def coefficients(self, quad_name: str) -> ComplexArray:
        """Potential coefficients a_n [V] of one quad, shape (order + 1,)."""
        return np.asarray(self.plate_voltages(quad_name) @ self.plate_coefficients(quad_name))

    def has_soft_ends(self, quad: Quad) -> bool:
        """Whether the ends of a quad fall off; a quad of a full turn has none."""
        return self.fringe and quad.length < TWO_PI - 2.0 * REACH / R0

    def effective_edges(self, quad: Quad) -> tuple[float, float]:
        """Azimuths of hard edges of equal integral: ends of the plates moved out by the extension [rad]."""
        outward = effective_extension() / R0 if self.has_soft_ends(quad) else 0.0
        return quad.theta_start - outward, quad.theta_end + outward

    @property
    def gradient(self) -> float:
        """Gradient k of a quad as designed, E_x = k x, E_y = -k y [V/m^2]."""
        series = pure_quadrupole() if self.geometry is None else plate_series(self.geometry, 2)
        return float(-2.0 * self.effective_scale * self.voltage * (POLARITY @ series[:, 2].real) / R_REFERENCE**2)

    def field_index(self, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> float:
        """Field index n = <k> R0/(beta c B0), averaged over the ring, effective lengths counted.

        Parameters
        ----------
        ring
            Gives the azimuth covered by each quad.
        b0
            Average field [T].
        beta
            Speed of the reference muon over c.
        """
        total = 0.0
        for quad in ring.quads:
            start, end = self.effective_edges(quad)
            total += (end - start) * float(self.coefficients(quad.name)[2].real)
        average = -2.0 * total / R_REFERENCE**2 / TWO_PI
        return float(average * ring.radius / (beta * constants.c * b0))

    def with_field_index(self, n: float, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> QuadSettings:
        """Same voltages, the effective scale chosen so that the ring has field index `n`."""
        unit = replace(self, effective_scale=1.0).field_index(ring, b0, beta)
        if unit == 0.0:
            raise ValueError(f"field index {n} cannot be reached with quad voltage 0 V: set a voltage.")
        return replace(self, effective_scale=n / unit)

    @classmethod
    def ideal(cls, n: float = 0.108, ring: Ring = RING, b0: float = B0_NOMINAL, beta: float = 1.0) -> QuadSettings:
        """Pure quadrupoles with hard edges at the plate ends that give `ring` the field index `n`."""
        pure = cls(voltage=18_300.0, geometry=None, fringe=False)
        return pure.with_field_index(n, ring, b0, beta)

    def with_displaced_outer_plate(self, quad_name: str = "Q1 long") -> QuadSettings:
        """Same quads, the outer plate of one 20 mm further out at 2.2 times the voltage.

        Best estimate, after the E989 map Q1LongE989 of G2.
        """
        return replace(
            self,
            quad_geometry={**self.quad_geometry, quad_name: DISPLACED_OUTER},
            plate_scale={**self.plate_scale, quad_name: (1.0, 1.0, 1.0, DISPLACED_OUTER_VOLTAGE)},
        )


def clear_collimators(ring: Ring, settings: QuadSettings) -> Ring:
    """The ring with the collimators that stand at a plate end moved to the effective edge there.

    C2, C3 and C5 stand where the plates end: 10 mm inside the hard edge of the tracker. There they would cut a
    slice of the quad in two; moved by 10 mm, the orbit at them changes by 0.07 mm at most (slopes stay below
    7e-3 inside the aperture).
    """
    edges = [(end, edge) for quad in ring.quads for end, edge in _ends(quad, settings)]

    def cleared(theta: float) -> float:
        for plate_end, edge in edges:
            if min(plate_end, edge) - 1e-6 < theta < max(plate_end, edge) + 1e-6:
                return edge
        return theta

    return replace(ring, collimators=tuple(replace(one, theta=cleared(one.theta)) for one in ring.collimators))


def _ends(quad: Quad, settings: QuadSettings) -> tuple[tuple[float, float], tuple[float, float]]:
    """(end of the plates, effective edge) of both ends of a quad [rad]."""
    start, end = settings.effective_edges(quad)
    return (quad.theta_start, start), (quad.theta_end, end)


class QuadTable(NamedTuple):
    """Quads as arrays for kernels; one row per quad, sorted by azimuth.

    Rows may differ from quad to quad (voltage, plates, position of the plates); a voltage that changes in
    time is a factor on a row, to be given per quad and turn by whoever steps through time.
    """

    theta_start: NDArray[np.float64]  # (q,) ends of the plates [rad]
    theta_end: NDArray[np.float64]  # (q,) [rad]
    reach: NDArray[np.float64]  # (q,) how far from an end its fringe is felt, 0 for hard edges [m]
    real: NDArray[np.float64]  # (q, order + 1) Re a_n [V]
    imag: NDArray[np.float64]  # (q, order + 1) Im a_n [V]
    curvature: float  # 1/R0 for toroidal potentials, 0 for straight ones [1/m]
    profile: FringeProfile


def quad_table(settings: QuadSettings, ring: Ring = RING) -> QuadTable:
    """Tabulate the potential of each quad of the ring, every quad with its own coefficients."""
    rows = [settings.coefficients(quad.name) for quad in ring.quads]
    a = np.zeros((len(rows), max((row.size for row in rows), default=3)), dtype=np.complex128)
    for q, row in enumerate(rows):
        a[q, : row.size] = row
    return QuadTable(
        theta_start=np.array([quad.theta_start for quad in ring.quads]),
        theta_end=np.array([quad.theta_end for quad in ring.quads]),
        reach=np.array([REACH if settings.has_soft_ends(quad) else 0.0 for quad in ring.quads]),
        real=np.ascontiguousarray(a.real),
        imag=np.ascontiguousarray(a.imag),
        curvature=1.0 / R0 if settings.toroidal else 0.0,
        profile=fringe_profile(),
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
def quad_end_potential(
    x: float, y: float, outward: float, real: Row, imag: Row, curvature: float, profile: FringeProfile
) -> tuple[float, float, float, float]:
    """As `quad_potential`, at the distance `outward` from the end of the plates [m].

    Returns phi [V], ex, ey and the component along the outward arc [V/m]: the length of an arc grows with the
    radius.
    """
    straight, ex, ey, es = fringe_field(x, y, outward, real, imag, profile)
    stretch = 1.0 / (1.0 + curvature * x)
    factor = math.sqrt(stretch)
    ex = factor * (ex + 0.5 * curvature * stretch * straight)
    return straight * factor, ex, factor * ey, factor * es / (1.0 + x * (1.0 / R0))


@scalar
def quad_field(x: float, y: float, theta: float, table: QuadTable) -> tuple[float, float, float, float]:
    """Field of the quads at one point: zero away from quads and outside the square between the plates.

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
    (float, float, float, float)
        phi [V], ex, ey, es [V/m].
    """
    phi = 0.0
    ex = 0.0
    ey = 0.0
    es = 0.0
    if abs(x) < QUAD_HALF_GAP and abs(y) < QUAD_HALF_GAP:
        for q in range(table.theta_start.size):
            before = (table.theta_start[q] - theta) * R0
            after = (theta - table.theta_end[q]) * R0
            outward = max(before, after)
            if outward <= -table.reach[q]:
                phi, ex, ey = quad_potential(x, y, table.real[q], table.imag[q], table.curvature)
            elif outward < table.reach[q]:
                phi, ex, ey, es = quad_end_potential(
                    x, y, outward, table.real[q], table.imag[q], table.curvature, table.profile
                )
                if before > after:
                    es = -es
    return phi, ex, ey, es
