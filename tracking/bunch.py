"""Bunch: muons of one fill as a structure of arrays."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tracking.muon import MASS, Reference

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
INTEGER_FIELDS = frozenset({"state", "number", "turn", "crossings"})


class State(IntEnum):
    """What became of a muon."""

    STORED = 0
    DECAYED = 1
    LOST_COLLIMATOR = 2  # outside the hole of a collimator, or beyond its metal
    LOST_WALL = 3  # far outside, where the fields are not known: stands where it was last written
    LOST_PLATE = 4  # at a plate of a quad or kicker
    LOST_MAP = 5  # further from the centre than the fields are known


class Bunch(NamedTuple):
    """Muons of one fill, each described where it is now.

    A stored muon stands at ``theta = 0``, or where it entered the ring if it has not been tracked yet; a decayed or
    lost one stands where it ended, with the time, azimuth and turn of that place. All arrays have shape (n,) and C
    order; float64, except ``state``, ``number``, ``turn`` and ``crossings`` (int64).
    """

    x: FloatArray  # radial offset from R0, outwards [m]
    px: FloatArray  # radial momentum over p0
    y: FloatArray  # height [m]
    py: FloatArray  # vertical momentum over p0
    time: FloatArray  # time since the bunch centre passed theta = 0 [s]
    energy: FloatArray  # total energy: kinetic + mass + charge times quad potential [GeV]
    sx: FloatArray  # spin in the rest frame, unit vector: radial,
    sy: FloatArray  # vertical,
    ss: FloatArray  # and along the beam
    stop_time: FloatArray  # time at which the muon decays [s]; inf: never
    theta: FloatArray  # azimuth within the turn, from the inflector exit downstream, 0 to 2 pi [rad]
    potential: FloatArray  # electrostatic potential of the quads where the muon stands [V]
    state: IntArray  # State
    number: IntArray  # index of the muon in the fill
    turn: IntArray  # completed turns
    crossings: IntArray  # passages through metal

    @classmethod
    def empty(cls, n: int) -> Self:
        """``n`` stored muons with every coordinate zero, spin along the beam, that never decay.

        The energy is zero too and must be filled in, see :meth:`with_momentum`.
        """
        zeros: Any = [np.zeros(n, np.int64 if name in INTEGER_FIELDS else np.float64) for name in cls._fields]
        bunch = cls(*zeros)
        bunch.ss[:] = 1.0
        bunch.stop_time[:] = np.inf
        bunch.number[:] = np.arange(n)
        return bunch

    @classmethod
    def concatenate(cls, bunches: Sequence[Self]) -> Self:
        """One bunch of the muons of several, in the order given."""
        columns: Any = [np.concatenate(parts) for parts in zip(*bunches, strict=True)]
        return cls(*columns)

    @property
    def n(self) -> int:
        """Number of muons."""
        return int(self.x.size)

    def select(self, which: NDArray[np.bool_] | IntArray) -> Self:
        """A copy of some muons, chosen by a mask or by indices."""
        columns: Any = [np.ascontiguousarray(column[which]) for column in self]
        return type(self)(*columns)

    def copy(self) -> Self:
        """A deep copy."""
        columns: Any = [column.copy() for column in self]
        return type(self)(*columns)

    def with_momentum(self, delta: FloatArray | float, reference: Reference) -> Self:
        """The same muons with momentum ``p0 (1 + delta)``, at a place free of electric field.

        Parameters
        ----------
        delta
            Relative kinetic momentum offset, scalar or shape (n,).
        reference
            Reference of the ring.
        """
        momentum = reference.p0_gev * (1.0 + np.broadcast_to(np.asarray(delta, np.float64), self.x.shape))
        return self._replace(energy=np.hypot(momentum, MASS))


def momentum(bunch: Bunch, reference: Reference) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Kinetic momentum where each muon stands, in its local frame (x, y, s) [GeV/c].

    Inside a quad the kinetic energy is the total energy less the potential energy; the transverse canonical
    momenta are the kinetic ones, because the vector potential has only an azimuthal component.

    Parameters
    ----------
    bunch
        Muons, at their present places.
    reference
        Reference of the ring.

    Returns
    -------
    px, py, ps
        Arrays of shape (n,).
    """
    kinetic = bunch.energy - bunch.potential * 1e-9
    px, py = bunch.px * reference.p0_gev, bunch.py * reference.p0_gev
    return px, py, np.sqrt((kinetic - MASS) * (kinetic + MASS) - px**2 - py**2)
