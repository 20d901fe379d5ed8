"""Positrons where they come into the volume of a tracker station."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.straws import StrawTables
from gpu.kernel import scalar

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Entrances(NamedTuple):
    """Positrons where they come into a station's volume; global frame, all arrays have shape (n,)."""

    station: IntArray  # 0 or 1
    x: FloatArray  # place in the global frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    dx: FloatArray  # unit vector
    dy: FloatArray
    dz: FloatArray
    energy: FloatArray  # total energy [GeV]
    time: FloatArray  # [s]
    path: FloatArray  # length of the path since birth [m]
    number: IntArray  # index of the parent muon in the fill

    @classmethod
    def empty(cls, n: int) -> Self:
        """Zeros for `n` positrons."""
        whole = {"station", "number"}
        return cls._make(np.zeros(n, np.int64 if name in whole else np.float64) for name in cls._fields)

    def select(self, which: NDArray) -> "Entrances":
        """Rows of a mask, shape (n,), or an index."""
        return Entrances._make(np.ascontiguousarray(column[which]) for column in self)


@scalar
def station_place(x: float, z: float, s: int, straws: StrawTables) -> tuple[float, float]:
    """Return x and z in the frame of station s of a place in the global frame [m]."""
    ox, oz = x - straws.frames[s, 0], z - straws.frames[s, 1]
    return (
        ox * straws.frames[s, 2] + oz * straws.frames[s, 3],
        ox * straws.frames[s, 4] + oz * straws.frames[s, 5],
    )
