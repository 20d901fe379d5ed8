"""The live fraction: how many fills, and how many of the stored muons, each cut leaves."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gm2sim.quality.flags import MEANING
from gm2sim.timeline import FillType


class LiveRow(NamedTuple):
    """One cut.

    Attributes
    ----------
    cut : str
    failing : int
        Fills of muons that fail it, whatever they do in others.
    kept : int
        Fills that pass it and all cuts before.
    live : float
        Their share of all fills.
    positrons : int
        Late positrons ("ctags") in them: as the muons that were stored.
    muons : float
        Their share of the late positrons of all fills.
    """

    cut: str
    failing: int
    kept: int
    live: float
    positrons: int
    muons: float


def live_fractions(fill_type: ArrayLike, flags: ArrayLike, ctags: ArrayLike) -> list[LiveRow]:
    """Apply one cut after the other.

    Parameters
    ----------
    fill_type, flags, ctags : int arrays (n,)
        Of all events; only fills of muons count.
    """
    muons = np.asarray(fill_type) == FillType.MUONS
    bits, late = np.asarray(flags, np.int64)[muons], np.asarray(ctags, np.int64)[muons]
    kept = np.ones(bits.size, np.bool_)
    rows = [_row("all fills", 0, kept, late)]
    for flag, meaning in MEANING.items():
        failing = (bits & int(flag)) != 0
        kept &= ~failing
        rows.append(_row(meaning, int(failing.sum()), kept, late))
    return rows


def _row(cut: str, failing: int, kept: Any, late: Any) -> LiveRow:
    fills, positrons = int(kept.sum()), int(late[kept].sum())
    return LiveRow(
        cut,
        failing,
        fills,
        fills / max(kept.size, 1),
        positrons,
        positrons / late.sum() if late.sum() else float("nan"),
    )
