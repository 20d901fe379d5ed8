"""Conductors in the cross-section of the vacuum chamber: from the shape of the plates to potential and multipoles.

In the plane the potential of charges on the surfaces is Phi(z) = -sum_j q_j int ln|z - z'| ds', z = x + i y. The
surfaces are cut into straight panels of constant charge, finer toward the edges, where the charge diverges
(as the inverse cube root of the distance at a right angle); the integral over a panel is exact, and the charges
follow from the known potential at the middle of each panel: boundary elements by collocation (C. A. Brebbia,
"The boundary element method for engineers", 1978).

The cross-section is straight: the bend of the chamber changes the field by x/R0, 6e-3 at the edge of the
aperture, as `fields.quads` says.

Where the numbers come from: G1 = lyon-fnal/gm2geom @17163ed, G2 = lyon-fnal/gm2ringsim @44aca36 (quad/quad.fcl),
VB = evvaletov/mterms @88453de, the programme of E. Valetov and M. Berz (E. Valetov, thesis, doi:10.2172/1416546,
chapter 3; OSTI 1561533).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.ring import QUAD_HALF_GAP, R_REFERENCE

ComplexArray = NDArray[np.complex128]
FloatArray = NDArray[np.float64]

GROUND = -1  # owner of an outline that is at zero
PLATE_ORDER = ("top", "bottom", "inner", "outer")
HIGHEST_ORDER = 14  # of the series of a quad
_CHUNK = 1_000_000  # complex numbers in one step of an evaluation


class Outline(NamedTuple):
    """Closed polygon of one conductor."""

    owner: int  # number of the conductor whose voltage it carries, or GROUND
    corners: tuple[complex, ...]  # [m]
    panels: tuple[int, ...]  # panels on the edge that begins at each corner
    grading: float = 3.0  # panels shrink toward both ends of an edge with this power; 1: all alike


@dataclass(frozen=True)
class Plate:
    """A plate seen end on; the face is toward the beam.

    Parameters
    ----------
    width
        Along the face [m].
    thickness
        [m]
    gap
        From the centre to the face [m].
    dx, dy
        Displacement from that place, radially out and up [m].
    """

    width: float
    thickness: float
    gap: float = QUAD_HALF_GAP
    dx: float = 0.0
    dy: float = 0.0

    def __post_init__(self) -> None:
        if not (self.width > 0.0 and self.thickness > 0.0 and self.gap > 0.0):
            raise ValueError(f"plate of {self.width} x {self.thickness} m at {self.gap} m: give lengths above zero.")
        if not (math.isfinite(self.dx) and math.isfinite(self.dy)):
            raise ValueError(f"displacement ({self.dx}, {self.dy}) m of a plate is not a number: give metres.")


@dataclass(frozen=True)
class Chamber:
    """Vacuum chamber of rectangular cross-section: inner radius 7035.8, outer 7223.0 mm, half height 69.0 mm; G1."""

    x_inner: float = -0.0762
    x_outer: float = 0.1110
    half_height: float = 0.0690


# Top and bottom plates 47 x 3 mm. The side plates are 0.5 mm thick and 43.82 mm tall with a curl of 1.57 mm
# outer radius along either edge, 46.96 mm in all: G2. Curls are taken as flat parts of the plate, as the
# published calculations do (VB: four flat plates of 47 mm); modelled round they move the 20-pole by 2.3 % and
# the octupole-like term by 0.14 % of the quadrupole.
HORIZONTAL = Plate(width=0.0470, thickness=0.0030)
VERTICAL = Plate(width=0.04696, thickness=0.0005)
# Grounded rails of the trolley in the four corners, with the blocks that carry them, one quadrant [m]: VB; the
# E989 map of G2 shows them as places without field.
RAIL = (0.04125 + 0.03875j, 0.0525 + 0.0500j, 0.0700 + 0.0500j, 0.0700, 0.0500, 0.0500 + 0.0525j, 0.03875 + 0.04125j)


@dataclass(frozen=True)
class PlateGeometry:
    """The four plates of a quad in the chamber."""

    top: Plate = HORIZONTAL
    bottom: Plate = HORIZONTAL
    inner: Plate = VERTICAL
    outer: Plate = VERTICAL
    chamber: Chamber = field(default_factory=Chamber)
    rails: bool = True

    def __post_init__(self) -> None:
        chamber = self.chamber
        for name, (x0, x1, y0, y1) in zip(PLATE_ORDER, self.boxes(), strict=True):
            if x0 <= chamber.x_inner or x1 >= chamber.x_outer or max(-y0, y1) >= chamber.half_height:
                raise ValueError(
                    f"the {name} plate reaches x = {x0:.4f} to {x1:.4f} m, y = {y0:.4f} to {y1:.4f} m, outside the "
                    f"chamber: give a smaller displacement."
                )
            lower, upper, height = RAIL[-1].real, RAIL[2].real, RAIL[0].imag
            beside = max(x0, -upper) < min(x1, -lower) or max(x0, lower) < min(x1, upper)
            if self.rails and beside and (y1 > height or y0 < -height):
                raise ValueError(f"the {name} plate touches a rail in the corner: give a smaller displacement.")

    def boxes(self) -> tuple[tuple[float, float, float, float], ...]:
        """Rectangles (x from, x to, y from, y to) [m] of top, bottom, inner and outer plate."""
        found = []
        for plate, sign in ((self.top, 1.0), (self.bottom, -1.0)):
            faces = sorted((sign * plate.gap + plate.dy, sign * (plate.gap + plate.thickness) + plate.dy))
            found.append((plate.dx - 0.5 * plate.width, plate.dx + 0.5 * plate.width, faces[0], faces[1]))
        for plate, sign in ((self.inner, -1.0), (self.outer, 1.0)):
            faces = sorted((sign * plate.gap + plate.dx, sign * (plate.gap + plate.thickness) + plate.dx))
            found.append((faces[0], faces[1], plate.dy - 0.5 * plate.width, plate.dy + 0.5 * plate.width))
        return tuple(found)

    def outlines(self, density: float = 1.0) -> list[Outline]:
        """All surfaces; `density` multiplies the number of panels."""
        chamber = self.chamber
        count = [max(2, round(density * n)) for n in (32, 5, 7, 24)]
        outlines = []
        for owner, (x0, x1, y0, y1) in enumerate(self.boxes()):
            wide, high = (count[0], count[1]) if x1 - x0 > y1 - y0 else (count[1], count[0])
            outlines.append(Outline(owner, rectangle(x0, x1, y0, y1), (wide, high, wide, high)))
        if self.rails:
            corners = [z + 1j * chamber.half_height * (z.imag == 0.0) for z in map(complex, RAIL)]
            for sx, sy in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
                turned = tuple(complex(sx * z.real, sy * z.imag) for z in corners)
                outlines.append(Outline(GROUND, turned, (count[2],) * 6 + (max(2, count[2] // 2),)))
        box = rectangle(chamber.x_inner, chamber.x_outer, -chamber.half_height, chamber.half_height)
        outlines.append(Outline(GROUND, box, (count[3],) * 4, grading=1.0))
        return outlines


def rectangle(x0: float, x1: float, y0: float, y1: float) -> tuple[complex, ...]:
    """Corners of a rectangle [m], counter-clockwise from the lower left."""
    return complex(x0, y0), complex(x1, y0), complex(x1, y1), complex(x0, y1)


@dataclass(frozen=True, eq=False)
class CrossSection:
    """Charges of conductors, each in turn at 1 V and all others grounded; the field they make.

    Attributes
    ----------
    start, end
        Ends of the panels [m], shape (panels,).
    charge
        Charge of the panels over 2 pi epsilon0 for one volt on each conductor [per m], shape (conductors, panels).
    """

    start: ComplexArray
    end: ComplexArray
    charge: FloatArray

    def multipoles(self, order: int = HIGHEST_ORDER) -> ComplexArray:
        """Coefficients a_n per volt of Phi = Re sum_n a_n (z/r0)^n, r0 = 45 mm, for each conductor.

        From -ln(z' - z) = -ln z' + sum_n (z/z')^n/n, integrated over each panel; the series converges up to the
        nearest charge.

        Parameters
        ----------
        order
            Highest n.

        Returns
        -------
        ndarray
            Shape (conductors, order + 1).
        """
        a, b = self.start / R_REFERENCE, self.end / R_REFERENCE
        along = (b - a) / abs(b - a)
        moments = np.empty((order + 1, a.size), dtype=np.complex128)
        moments[0] = -_log_integral(np.zeros(1, np.complex128), self.start, self.end)[0]
        for n in range(1, order + 1):
            power = np.log(b / a) if n == 1 else (b ** (1 - n) - a ** (1 - n)) / (1 - n)
            moments[n] = R_REFERENCE * power / (along * n)
        return _weighted(self.charge, moments)

    def potential(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Potential per volt at points of the chamber [m], shape (conductors, *shape of the points)."""
        z, shape = _points(x, y)
        parts = [_weighted(self.charge, -_log_integral(part, self.start, self.end)) for part in self._chunks(z)]
        return np.concatenate(parts, axis=1).reshape(-1, *shape)

    def field(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """E_x and E_y per volt [1/m] at points of the chamber [m], each (conductors, *shape of the points)."""
        z, shape = _points(x, y)
        along = (self.end - self.start) / abs(self.end - self.start)
        parts = []
        for part in self._chunks(z):
            ratio = (part[:, None] - self.start) / (part[:, None] - self.end)
            # On one side of a panel the logarithm of the ratio has no cut: only across the panel itself.
            parts.append(_weighted(self.charge, np.log(ratio) / along))
        e = np.concatenate(parts, axis=1).reshape(-1, *shape)  # E_x - i E_y = -dW/dz
        return np.ascontiguousarray(e.real), np.ascontiguousarray(-e.imag)

    def _chunks(self, z: ComplexArray) -> list[ComplexArray]:
        return np.array_split(z, max(1, math.ceil(z.size * self.start.size / _CHUNK)))


def _points(x: ArrayLike, y: ArrayLike) -> tuple[ComplexArray, tuple[int, ...]]:
    z = np.asarray(np.asarray(x, np.float64) + 1j * np.asarray(y, np.float64))
    return z.ravel(), z.shape


def _log_integral(z: ComplexArray, start: ComplexArray, end: ComplexArray) -> FloatArray:
    """Integral of ln|z - z'| along each panel [m], shape (points, panels).

    In the frame of the panel, w = (z - start)/t: Re[w ln w - (w - L) ln(w - L)] - L; both terms lie on the same
    side of the cut of the logarithm. Real logarithms and angles are three times as fast as complex ones.
    """
    length = abs(end - start)
    w = (z[:, None] - start) * (length / (end - start))
    near, far, side = w.real, w.real - length, w.imag
    square = side * side
    # at the very end of a panel the product is zero
    near2, far2 = near * near + square, far * far + square
    logs = near * np.log(np.where(near2 == 0.0, 1.0, near2)) - far * np.log(np.where(far2 == 0.0, 1.0, far2))
    angles = np.arctan2(side, near) - np.arctan2(side, far)
    return np.asarray(0.5 * logs - side * angles - length)


def _break_points(n: int, grading: float) -> FloatArray:
    """Ends of n panels on the unit interval, finer toward both its ends."""
    t = np.linspace(0.0, 1.0, n + 1)
    lower = 0.5 * (2.0 * np.minimum(t, 1.0 - t)) ** grading
    return np.where(t <= 0.5, lower, 1.0 - lower)


def solve(outlines: Sequence[Outline]) -> CrossSection:
    """Charges on conductors, each in turn at 1 V with the others grounded.

    Parameters
    ----------
    outlines
        Surfaces; those of one owner share its voltage. Owners are numbered from 0.

    Raises
    ------
    ValueError
        If no outline has an owner, or an outline has not one number of panels for each edge.
    """
    starts, ends, owners = [], [], []
    for outline in outlines:
        if len(outline.corners) != len(outline.panels):
            raise ValueError("an outline needs one number of panels for each of its edges.")
        corners = np.asarray(outline.corners, np.complex128)
        for a, b, n in zip(corners, np.roll(corners, -1), outline.panels, strict=True):
            knots = a + (b - a) * _break_points(n, outline.grading)
            starts.append(knots[:-1])
            ends.append(knots[1:])
            owners += [outline.owner] * n
    conductors = max(owners, default=GROUND) + 1
    if conductors == 0:
        raise ValueError("all conductors are grounded: give one of them a number.")
    start, end = np.concatenate(starts), np.concatenate(ends)
    matrix = -_log_integral(0.5 * (start + end), start, end)
    volts = (np.array(owners)[:, None] == np.arange(conductors)).astype(np.float64)
    return CrossSection(start, end, np.ascontiguousarray(_eliminated(matrix, volts).T))


def _weighted(charge: FloatArray, terms: NDArray[Any]) -> NDArray[Any]:
    """Sums of terms, shape (points, panels), with the charges of each conductor, in one order (see `_eliminated`)."""
    return np.asarray(np.einsum("cp,np->cn", charge, terms))


def _eliminated(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solution of matrix @ x = right by elimination with partial pivoting (Golub and Van Loan, section 3.4).

    LAPACK takes a tenth of the time, but what it finds depends in its last bit on its number of threads, and with it
    the fields, and every muon: here each number comes about in one order.
    """
    n = len(matrix)
    rows = np.concatenate([matrix, right], axis=1)
    for k in range(n):
        best = k + int(np.argmax(np.abs(rows[k:, k])))
        rows[[k, best]] = rows[[best, k]]
        rows[k + 1 :, k + 1 :] -= (rows[k + 1 :, k] / rows[k, k])[:, None] * rows[k, k + 1 :]
    for k in reversed(range(n)):
        rows[k, n:] /= rows[k, k]
        rows[:k, n:] -= rows[:k, k, None] * rows[k, n:]
    return rows[:, n:]


@lru_cache(maxsize=64)
def cross_section(geometry: PlateGeometry) -> CrossSection:
    """Solution of a quad's plates in the order top, bottom, inner, outer; made once for each geometry."""
    return solve(geometry.outlines())


@lru_cache(maxsize=64)
def plate_series(geometry: PlateGeometry, order: int) -> ComplexArray:
    """Series a_n per volt of top, bottom, inner and outer plate, shape (4, order + 1), read-only."""
    series = cross_section(geometry).multipoles(order)
    series.flags.writeable = False
    return series


# Outer plate of Q1 long as the E989 map Q1LongE989 of G2 has it: its face is 70 mm out, 20 mm beyond the others,
# so that the injected beam passes inside it, and it carries 2.2 times the voltage (the line integral of the
# map's field from centre to plate is 67.4 kV, for 30.4 kV of the other plates). Best estimate: whether the plate
# stood there in a given run is not public.
DISPLACED_OUTER = PlateGeometry(outer=Plate(width=VERTICAL.width, thickness=VERTICAL.thickness, dx=0.020))
DISPLACED_OUTER_VOLTAGE = 2.22
