"""Where the straight frame of another program stands in the ring, and how its muons get there and back.

Beam line programs write Cartesian x (to the left), y (up) and z (along the beam). Muons circulate clockwise, so left
is outwards, and at one azimuth the axes are those of the ring: x outwards, y up, s along the beam. The frame's origin
lies at an azimuth, a distance outside the design orbit; its z axis may be turned outwards. A muon is taken to the
plane of that azimuth along a straight line: for a screen at right angles to the beam nothing moves at all.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fields.ring import TWO_PI
from fields.ring import Ring as Layout
from gm2sim.bunch.table import Table, check_weights
from gm2sim.config import ConfigError
from gm2sim.errors import nearest
from tracking.bunch import Bunch, momentum
from tracking.muon import LIGHT_SPEED, MASS, Reference

FloatArray = NDArray[np.float64]
_FLAT = 1e-6  # what the places of muons on one screen may differ by [m]


class Cartesian(NamedTuple):
    """Muons in a straight frame, arrays of shape (n,)."""

    x: FloatArray  # [m]
    y: FloatArray
    z: FloatArray
    px: FloatArray  # [GeV/c]
    py: FloatArray
    pz: FloatArray
    time: FloatArray  # [s]


@dataclass(frozen=True)
class Frame:
    """Place of a Cartesian frame.

    Attributes
    ----------
    azimuth : float [rad]
        Of its origin, from the inflector exit.
    x, y : float [m]
        Of its origin, outside the design orbit and above the mid-plane.
    yaw : float [rad]
        Angle of its z axis to the design orbit, outwards.
    plane : float, optional [m]
        z that lies at the azimuth; where the muons of the file stand, when they stand on one screen, if left out.
    zero_time : float, optional [s]
        Time of the file at which the bunch centre passes; the weighted mean of its times if left out.
    """

    azimuth: float = 0.0
    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0
    plane: float | None = None
    zero_time: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.azimuth < TWO_PI:
            raise ConfigError(f"azimuth = {self.azimuth:g} rad of a frame: give 0 to below 2 pi rad")
        if not abs(self.yaw) < 0.5:
            raise ConfigError(f"yaw = {self.yaw:g} rad of a frame: its z axis must go along the beam, below 0.5 rad")

    @classmethod
    def at(cls, place: str, layout: Layout, *, plane: float | None = None, zero_time: float | None = None) -> Self:
        """A frame along the beam at a place with a name.

        Parameters
        ----------
        place : str
            "design orbit": on the design orbit at azimuth 0. "inflector exit": at azimuth 0 in the middle of the
            exit aperture, 77 mm further out. Or a quad, kicker or collimator: on the design orbit, at its upstream end.
        layout : fields.ring.Ring
        plane, zero_time : float, optional
            As above.

        Raises
        ------
        ConfigError
            For another name.
        """
        if place == "inflector exit":
            return cls(0.0, layout.inflector.centre_offset, plane=plane, zero_time=zero_time)
        named = {"design orbit": 0.0}
        named |= {quad.name: quad.theta_start for quad in layout.quads}
        named |= {kicker.name: kicker.theta_start for kicker in layout.kickers}
        named |= {collimator.name: collimator.theta for collimator in layout.collimators}
        if place not in named:
            raise ConfigError(f"there is no place '{place}' in the ring: {nearest(place, [*named, 'inflector exit'])}")
        return cls(named[place], plane=plane, zero_time=zero_time)


def into_ring(table: Table, frame: Frame, reference: Reference) -> Table:
    """The columns of :mod:`gm2sim.bunch.table` of muons in a straight frame.

    With the yaw a and the plane z0, X = frame.x + x cos a + (z - z0) sin a and S = (z - z0) cos a - x sin a, the
    momenta and spins turn alike; then straight on by -S: X -= S p_x/p_s, Y -= S p_y/p_s, t -= S E/(p_s c). In the
    field the true path bends from that line by S^2/(2 R0), 0.07 um for a millimetre.

    Parameters
    ----------
    table : Table
        x, y, z [m], px, py, pz [GeV/c], time [s]; spins in the rest frame as sx, sy, sz, and weight, where it has any.
    frame : Frame
    reference : Reference
        Of the ring.

    Raises
    ------
    BunchFileError
        A number is not finite, a weight negative, a muon moves against the beam, or the muons stand on no screen and
        the frame has no plane.
    """
    have = table.columns
    for name, values in have.items():
        bad = ~np.isfinite(values)
        if bad.any():
            raise table.error(f"{values[bad][0]} is not a finite number", "mend or delete this row", bad, name)
    check_weights(table)
    if have["x"].size == 0:
        raise table.error("holds no muons", "give one or more")
    plane = float(have["z"][0]) if frame.plane is None else frame.plane
    if frame.plane is None and np.any(np.abs(have["z"] - plane) > _FLAT):
        raise table.error("its muons do not stand on one screen", "say which z lies at the azimuth (plane)")
    cosine, sine = np.cos(frame.yaw), np.sin(frame.yaw)
    along = have["z"] - plane
    x = frame.x + cosine * have["x"] + sine * along
    s = cosine * along - sine * have["x"]
    px, ps = cosine * have["px"] + sine * have["pz"], cosine * have["pz"] - sine * have["px"]
    bad = ~(ps > 0.0)
    if bad.any():
        raise table.error("the muon moves against the beam", "turn the frame: z must go along the beam", bad)
    energy = np.sqrt(px * px + have["py"] ** 2 + ps * ps + MASS**2)
    mean = np.average(have["time"], weights=have.get("weight"))
    zero = mean if frame.zero_time is None else frame.zero_time
    columns = {
        "x": x - s * (px / ps),
        "px": px / reference.p0_gev,
        "y": frame.y + have["y"] - s * (have["py"] / ps),
        "py": have["py"] / reference.p0_gev,
        "time": have["time"] - zero - s * (energy / (ps * LIGHT_SPEED)),
        "energy": energy,
        "theta": np.full(x.size, frame.azimuth),
    }
    if "sz" in have:
        sx, sy, sz = have["sx"], have["sy"], have["sz"]
        columns |= {"sx": cosine * sx + sine * sz, "sy": sy, "ss": cosine * sz - sine * sx}
    if "weight" in have:
        columns["weight"] = have["weight"]
    return Table(table.path, columns, table.name)


def out_of_ring(bunch: Bunch, frame: Frame, reference: Reference) -> Cartesian:
    """Muons of the ring in a straight frame: the way back of :func:`into_ring`, with kinetic momenta."""
    cosine, sine = np.cos(frame.yaw), np.sin(frame.yaw)
    px, py, ps = momentum(bunch, reference)
    x = bunch.x - frame.x
    return Cartesian(
        x=cosine * x,
        y=bunch.y - frame.y,
        z=(frame.plane or 0.0) + sine * x,
        px=cosine * px - sine * ps,
        py=py,
        pz=cosine * ps + sine * px,
        time=bunch.time + (frame.zero_time or 0.0),
    )
