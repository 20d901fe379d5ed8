"""The inflector: the hole its beam comes out of, the windows it crosses, its channel, and what leaks out of it.

Ring coordinates: x outwards from R0, y up, azimuth from the inflector exit. Sources: G1 = lyon-fnal/gm2geom
@17163ed, G2 = lyon-fnal/gm2ringsim @44aca36, PDG = Particle Data Group, Review of Particle Physics (2024).

Two measured files belong to it. The field along the channel (`load_channel_field`) is relative to the middle,
from the upstream end on. The "storage fringe" of G2 (`load_magnet_edge`) is, in spite of its name, not the
inflector's field in the storage region: it is the main magnet on the midplane against x and its gradient, the
same fall-off as `fields.falloff` to 1 % of B0, which the incoming beam crosses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from fields.columns import read_columns
from fields.maps import FieldMapError
from fields.ring import R0, R_REFERENCE, RING
from gpu.kernel import scalar

CHANNEL_FIELD = 1.42465  # in the middle, against the main field [T]: 2724 A at 5.23 G/A; G1
_MUON_MASS = 1e-3 * constants.value("muon mass energy equivalent in MeV")  # [GeV]
_ELECTRON_MASS = 1e6 * constants.value("electron mass energy equivalent in MeV")  # [eV]
# PDG eq. 34.5: K = 0.307075 MeV cm^2/mol, here [eV m^2/mol]
_BETHE = 0.307075e6 * 1e-4
_PLASMA = 28.816  # plasma energy is this times sqrt(density in g/cm^3 * Z/A) [eV]; PDG table 34.1


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
class Layer:
    """A sheet of metal.

    Parameters
    ----------
    name
        Of the metal.
    thickness, radiation_length
        [m]
    density
        [kg/m^3]
    z_over_a
        Mean Z/A [mol/g].
    excitation
        Mean excitation energy [eV].
    """

    name: str
    thickness: float
    radiation_length: float
    density: float
    z_over_a: float
    excitation: float

    def energy_loss(self, momentum: float) -> float:
        """Mean energy loss [GeV] of a muon of `momentum` [GeV/c]: Bethe with its high-energy density effect.

        PDG eq. 34.5, and 34.6 for the density effect, delta/2 = ln(plasma energy/I) + ln(beta gamma) - 1/2. That is
        its limit at high energy: at 3.1 GeV/c the loss in aluminium comes out 1.5 %, in copper 3 % too large.
        """
        beta_gamma = momentum / _MUON_MASS
        gamma = math.hypot(1.0, beta_gamma)
        beta2 = (beta_gamma / gamma) ** 2
        ratio = _ELECTRON_MASS / (1e9 * _MUON_MASS)
        w_max = 2.0 * _ELECTRON_MASS * beta_gamma**2 / (1.0 + 2.0 * gamma * ratio + ratio**2)  # [eV]
        log = 0.5 * math.log(2.0 * _ELECTRON_MASS * beta_gamma**2 * w_max / self.excitation**2)
        plasma = _PLASMA * math.sqrt(1e-3 * self.density * self.z_over_a)
        density_effect = max(math.log(plasma / self.excitation) + math.log(beta_gamma) - 0.5, 0.0)
        grams = 1e3 * self.density * self.thickness  # [g/m^2]
        return float(1e-9 * _BETHE * self.z_over_a / beta2 * grams * (log - beta2 - density_effect))


@dataclass(frozen=True)
class Window:
    """Layers that the beam crosses at one end of the inflector."""

    layers: tuple[Layer, ...]

    @property
    def radiation_lengths(self) -> float:
        """Thickness in radiation lengths."""
        return sum(layer.thickness / layer.radiation_length for layer in self.layers)

    def energy_loss(self, momentum: float) -> float:
        """Mean energy loss [GeV] of a muon of `momentum` [GeV/c]."""
        return sum(layer.energy_loss(momentum) for layer in self.layers)

    def scattering_angle(self, momentum: float) -> float:
        """RMS of the projected multiple-scattering angle [rad], muon of `momentum` [GeV/c]; PDG eq. 34.16."""
        x = self.radiation_lengths
        beta2 = momentum**2 / (momentum**2 + _MUON_MASS**2)
        beta = math.sqrt(beta2)
        return 13.6e-3 / (beta * momentum) * math.sqrt(x) * (1.0 + 0.038 * math.log(x / beta2))


# Equivalents of coil, cryostat and mandrel at each of the two closed ends, thickness G1; metals PDG. NbTi: 47 % of the
# weight Ti, 6.0 g/cm^3 (best estimate), radiation length and excitation by the rules of mixture from Nb and Ti.
WINDOW = Window(
    (
        Layer("Al", 1.58e-3, 0.08897, 2699.0, 13 / 26.982, 166.0),
        Layer("Cu", 0.39e-3, 0.01436, 8960.0, 29 / 63.546, 322.0),
        Layer("NbTi", 0.43e-3, 0.0202, 6000.0, 0.450, 315.0),
    )
)


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


@dataclass(frozen=True, eq=False)
class ChannelField:
    """Field along the channel: distance from the upstream end [m], rising, and field over that in the middle."""

    distance: NDArray[np.float64]
    relative: NDArray[np.float64]

    def field(self, distance: ArrayLike, middle: float = CHANNEL_FIELD) -> NDArray[np.float64]:
        """Field [T] against the main field at `distance` [m] from the upstream end; 0 outside, shape of `distance`."""
        at = np.asarray(distance, dtype=np.float64)
        return np.asarray(middle * np.interp(at, self.distance, self.relative, left=0.0, right=0.0))


@dataclass(frozen=True, eq=False)
class MagnetEdge:
    """Main magnet on the midplane: x [m], B_y [T] and its gradient dB_y/dx [T/m] where the beam comes in."""

    x: NDArray[np.float64]
    by: NDArray[np.float64]
    gradient: NDArray[np.float64]


def load_channel_field(path: str | Path) -> ChannelField:
    """Field along the channel from two columns, minus the distance [mm] and the relative field.

    Raises
    ------
    FieldMapError
        If the file is missing, broken, or holds anything but a field of about 1 in the middle.
    """
    path = Path(path)
    table = read_columns(path, ("-distance [mm]", "field"), 4)[::-1]
    distance, relative = -1e-3 * table[:, 0], table[:, 1]
    if distance[0] < 0.0 or not 0.5 < distance[-1] < 5.0:
        what = f"covers {distance[0]:g} to {distance[-1]:g} m"
        raise FieldMapError(path, 0, what, "give distances from 0 down to minus the length in mm")
    middle = float(np.interp(0.5 * distance[-1], distance, relative))
    if not 0.9 < middle < 1.1:
        raise FieldMapError(path, 0, f"is {middle:g} in the middle", "divide the field by its value there")
    return ChannelField(distance, relative)


def load_magnet_edge(path: str | Path) -> MagnetEdge:
    """Main magnet against x from three columns, x [mm], B_y [T], gradient [T/m]; rows without a field are left out.

    Raises
    ------
    FieldMapError
        If the file is missing, broken, or its gradient is not that of its field.
    """
    path = Path(path)
    table = read_columns(path, ("x [mm]", "By [T]", "gradient [T/m]"), 4)
    table = table[(table[:, 1] != 0.0) | (table[:, 2] != 0.0)]
    x, by, gradient = 1e-3 * table[:, 0], table[:, 1], table[:, 2]
    if x.size < 4:
        raise FieldMapError(path, 0, f"holds {x.size} rows with a field", "fetch the whole file")
    # the gradient between rows is that of the rows' ends
    off = np.abs(np.diff(by) / np.diff(x) - 0.5 * (gradient[1:] + gradient[:-1]))
    if np.median(off) > 0.1 * np.abs(gradient).max():
        raise FieldMapError(path, 0, "has a third column that is not dBy/dx", "give x in mm, By in T, dBy/dx in T/m")
    return MagnetEdge(x, by, gradient)
