"""The inflector: the hole its beam comes out of, the axis of its channel, and the field that leaks out of it.

Ring coordinates: x outwards from R0, y up, azimuth from the inflector exit. Sources: G1 = lyon-fnal/gm2geom
@17163ed, G2 = lyon-fnal/gm2ringsim @44aca36.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fields.ring import R0, R_REFERENCE, RING, TWO_PI
from fields.storage import StorageField
from gpu.kernel import scalar

_ORDER, _SAMPLES = 5, 1440  # of the leakage as a storage field; azimuths 31 mm apart


class ExitTable(NamedTuple):
    """Exit aperture for kernels: half a rectangle on the ring side, a trapezoid beyond the middle [m]."""

    inner: float  # x of the ring side
    middle: float
    outer: float
    half_inner: float  # half height from `inner` to `middle`
    half_outer: float  # half height at `outer`


@dataclass(frozen=True)
class InflectorExit:
    """D-shaped exit: full height up to the middle, then tapering outwards (G1 sizes, G2 InflectorGeom.cc shape).

    Parameters
    ----------
    centre
        x of the middle [m].
    width, inner_height, outer_height
        Radial width, heights on the ring side and on the outer side [m].
    """

    centre: float = RING.inflector.centre_offset
    width: float = RING.inflector.aperture_width
    inner_height: float = RING.inflector.aperture_height
    outer_height: float = 0.032

    def __post_init__(self) -> None:
        sizes = (self.width, self.inner_height, self.outer_height)
        if not (math.isfinite(self.centre) and all(math.isfinite(size) and size > 0.0 for size in sizes)):
            raise ValueError(f"inflector exit of {sizes} m at x = {self.centre} m: give finite sizes above 0 m.")
        if self.outer_height > self.inner_height:
            raise ValueError(
                f"inflector exit is {self.outer_height} m high outside: give at most {self.inner_height} m."
            )

    def table(self) -> ExitTable:
        """Numbers for `inside_exit`."""
        half = 0.5 * self.width
        edges = (self.centre - half, self.centre, self.centre + half)
        return ExitTable(*edges, 0.5 * self.inner_height, 0.5 * self.outer_height)

    def polygon(self) -> NDArray[np.float64]:
        """Corners (x, y) [m], anticlockwise from the lower one on the ring side, closed, shape (7, 2)."""
        inner, middle, outer, tall, short = self.table()
        lower = [(inner, -tall), (middle, -tall), (outer, -short)]
        upper = [(x, -y) for x, y in reversed(lower)]
        return np.array([*lower, *upper, lower[0]])


@scalar
def inside_exit(x: float, y: float, table: ExitTable) -> bool:
    """Is a point inside the exit aperture (edges count)?

    Parameters
    ----------
    x, y
        Position [m].
    table
        `ExitTable`.
    """
    outwards = max(x - table.middle, 0.0) / (table.outer - table.middle)
    limit = table.half_inner + (table.half_outer - table.half_inner) * outwards
    return table.inner <= x <= table.outer and abs(y) <= limit


@dataclass(frozen=True)
class InflectorChannel:
    """Axis of the straight channel that ends at the exit.

    Parameters
    ----------
    length
        [m] G1
    swing
        Angle of the axis at the exit [rad], positive outwards in the direction of the beam: 2.4 mrad (G1; the sign
        follows G2 InflectorField.cc).
    offset, theta
        x [m] and azimuth [rad] of the exit. theta = 0 by definition of our origin; G1's ring angle, 5.587 deg before
        the start of chamber 1, would be 0.165 deg further on (20 mm; design against as built).
    """

    length: float = RING.inflector.length
    swing: float = 2.4e-3
    offset: float = RING.inflector.centre_offset
    theta: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length) and self.length > 0.0):
            raise ValueError(f"inflector of length {self.length} m: give a finite length above 0 m.")
        if not (abs(self.swing) < 0.1 and math.isfinite(self.theta) and math.isfinite(self.offset)):
            raise ValueError(
                f"inflector at {self.offset} m turned by {self.swing} rad: give finite numbers, swing below 0.1."
            )

    def axis(self, distance: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ring coordinates of the axis.

        Parameters
        ----------
        distance
            Upstream of the exit [m].

        Returns
        -------
        (ndarray, ndarray)
            x [m] and azimuth [rad], shape of `distance`.
        """
        back = np.asarray(distance, dtype=np.float64)
        across = R0 + self.offset - back * math.sin(self.swing)  # outwards at the exit
        along = -back * math.cos(self.swing)
        return np.hypot(across, along) - R0, self.theta + np.arctan2(along, across)


@dataclass(frozen=True)
class Leakage:
    """Field of the inflector in the storage region: a line of vertical magnetic dipoles along its axis.

    The lowest field that two opposite currents leave outside a shield. Potential of a uniform line from the exit
    (u = 0) to u = -length, v across, rho^2 = v^2 + y^2:

    psi ~ y/rho^2 [f(u + length) - f(u)],  f(q) = q/sqrt(rho^2 + q^2),  B = -grad psi:

    free of curl and divergence everywhere but on the axis.

    Parameters
    ----------
    field_at_edge
        B_y at x = 45 mm, y = 0 beside the exit [T]. 0 by default: no amplitude is public, the shield is meant to
        leave little, and a trolley map taken with the inflector on holds it already.
    channel
        Where the axis is.
    """

    field_at_edge: float = 0.0
    channel: InflectorChannel = InflectorChannel()

    def __post_init__(self) -> None:
        if not math.isfinite(self.field_at_edge):
            raise ValueError(f"inflector leakage of {self.field_at_edge} T: give a finite field.")

    def field(self, x: ArrayLike, y: ArrayLike, theta: ArrayLike) -> NDArray[np.float64]:
        """Field at points of the storage region.

        Parameters
        ----------
        x, y, theta
            Position [m, m, rad], broadcast together; off the axis of the channel.

        Returns
        -------
        ndarray
            b_x (outwards), b_y, b_s (along the beam) [T], shape (3, ...).
        """
        return self.field_at_edge * self._unit(x, y, theta) / self._at_edge

    def storage_field(self) -> StorageField:
        """The same as multipoles around the ring, for the muons: B_y on the midplane as polynomials in x.

        Fifth order is exact to 1 % of `field_at_edge` on the midplane within 30 mm, 7 % at 45 mm. Above and below it
        the series converges slowly beside the exit, 77 mm away: 5 % at 20 mm, 16 % at 30 mm, 71 % at 45 mm.
        """
        theta = TWO_PI * np.arange(_SAMPLES) / _SAMPLES
        # Chebyshev's nodes; theta - 2 pi: the channel stands before the exit.
        x = R_REFERENCE * np.cos(np.pi * (np.arange(2 * _ORDER) + 0.5) / (2 * _ORDER))
        turned = (theta + np.pi) % TWO_PI - np.pi
        by = self.field(x[:, None], 0.0, turned[None, :])[1]
        multipoles = np.polynomial.polynomial.polyfit(x / R_REFERENCE, by, _ORDER)
        return StorageField(multipoles.T.astype(np.complex128), "inflector leakage")

    @cached_property
    def _at_edge(self) -> float:
        return float(self._unit(R_REFERENCE, 0.0, self.channel.theta)[1])

    def _unit(self, x: ArrayLike, y: ArrayLike, theta: ArrayLike) -> NDArray[np.float64]:
        x, y, theta = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (x, y, theta)))
        angle = theta - self.channel.theta
        across = (R0 + x) * np.cos(angle) - (R0 + self.channel.offset)
        along = (R0 + x) * np.sin(angle)
        cos, sin = math.cos(self.channel.swing), math.sin(self.channel.swing)
        u, v = along * cos + across * sin, across * cos - along * sin
        rho2 = v**2 + y**2
        h, h_rho2, h_u = np.zeros((3, *rho2.shape))
        for q, sign in ((u + self.channel.length, 1.0), (u, -1.0)):
            r = np.sqrt(rho2 + q**2)
            h += sign * q / (rho2 * r)
            h_rho2 -= sign * q * (1.0 / (rho2**2 * r) + 0.5 / (rho2 * r**3))
            h_u += sign / r**3
        b_y, b_v, b_u = -(h + 2.0 * y**2 * h_rho2), -2.0 * v * y * h_rho2, -y * h_u
        b_across, b_along = b_u * sin + b_v * cos, b_u * cos - b_v * sin
        b_x = b_across * np.cos(angle) + b_along * np.sin(angle)
        b_s = -b_across * np.sin(angle) + b_along * np.cos(angle)
        return np.array([b_x, b_y, b_s])
