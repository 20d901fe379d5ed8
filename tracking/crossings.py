"""Who crossed which fibre of a harp, and when."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracking.muon import LIGHT_SPEED, Reference
from tracking.state import Matter


class Crossings(NamedTuple):
    """Passages of muons through the fibres of the harps: arrays (k,), in order of turn, harp and number of the muon.

    Attributes
    ----------
    number : int64 array
        Of the muon in the fill.
    harp, fibre : int8 arrays
        Of the harp in the ring and of the fibre in it, from 0.
    turn : int64 array
        Since the begin of the fill.
    time : float64 array
        [s]
    path : float64 array
        Length in the fibre [m].
    """

    number: NDArray[np.int64]
    harp: NDArray[np.int8]
    fibre: NDArray[np.int8]
    turn: NDArray[np.int64]
    time: NDArray[np.float64]
    path: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Crossings":
        """No passage at all."""
        return joined([])


def crossings_of(matter: Matter, numbers: NDArray[np.int64], reference: Reference) -> Crossings:
    """What the tracker has written down in some turns.

    Parameters
    ----------
    matter
        With its arrays (turns, harps, n).
    numbers
        Of the muons in the fill, shape (n,).
    reference
        Of the ring, for the unit of time.
    """
    row, harp, muon = np.nonzero(matter.fibre)
    here = (row, harp, muon)
    return Crossings(
        number=numbers[muon],
        harp=harp.astype(np.int8),
        fibre=(matter.fibre[here] - 1).astype(np.int8),
        turn=(matter.before + matter.first + row).astype(np.int64),
        time=matter.time[here] * (reference.r0 / LIGHT_SPEED),
        path=matter.path[here],
    )


def joined(parts: list[Crossings]) -> Crossings:
    """Passages of several stretches of turns as one table, in order of turn, harp and number of the muon."""
    kinds = (np.int64, np.int8, np.int8, np.int64, np.float64, np.float64)
    columns: list[Any] = [
        np.concatenate([np.zeros(0, kind), *(part[c] for part in parts)]).astype(kind) for c, kind in enumerate(kinds)
    ]
    number, harp, _, turn = columns[:4]
    order = np.lexsort((number, harp, turn))
    return Crossings(*(column[order] for column in columns))
