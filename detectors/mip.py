"""A muon in the crystals of a calorimeter: the light of a minimum ionising particle along its straight path."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.shower import COLUMNS, CRYSTALS, ROWS, CrystalDeposits, ShowerSettings, collect, crystal_at
from detectors.transport import Hits
from gpu.kernel import Kernel, scalar
from tracking.matter import Metal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CONTAINED = 0.937
"""Energy of the cluster of a soft positron over its own, before the scale of the reconstruction (simulated)."""
_NEXT = 1e-9  # behind a border, to see which crystal comes next [m]
_MOST_PIECES = 64  # of a path, one for each crystal
_PARALLEL = 1e-12  # slopes below this never reach a side


@dataclass(frozen=True)
class MipSettings:
    """Light of a muon.

    Parameters
    ----------
    peak
        Most probable energy of the cluster of a muon that goes straight through a crystal, on the scale on which the
        cluster of a positron has its energy [GeV]; 170 MeV: nkinnaird/Dissertation @8f8e9eb. The light of a
        muon is in this proportion to its loss: the Cherenkov light of a shower is less for its energy than that of a
        muon, as much of it goes to electrons below the threshold.
    """

    peak: float = 0.170

    def __post_init__(self) -> None:
        if not 0.01 <= self.peak <= 1.0:
            raise ValueError(f"MIP peak = {self.peak} GeV is out of bounds: give 0.01 to 1 GeV.")

    def light_per_loss(self, crystal: Metal, length: float) -> float:
        """Light, as the energy of a shower that makes it, over the energy lost in crystals of a `length` [m]."""
        return self.peak * CONTAINED / most_probable_loss(crystal, length)


class MuonHits(NamedTuple):
    """Lost muons in calorimeters; all arrays have shape (n,)."""

    calo: IntArray  # calorimeter, 0 to 23
    u: FloatArray  # place in the plane of the face, outside it where the muon comes in through a side [m]
    v: FloatArray  # height there [m]
    du: FloatArray  # slopes with respect to the face's normal, du / d depth
    dv: FloatArray  # and dv / d depth
    enter: FloatArray  # depth at which the path comes into the crystals [m]
    leave: FloatArray  # and out of them [m]
    energy: FloatArray  # total energy in the plane of the face [GeV]
    lost: FloatArray  # energy lost in the crystals [GeV]
    time: FloatArray  # in the plane of the face [s]
    number: IntArray  # index of the muon in the fill

    def at_face(self) -> Hits:
        """The same as hits of a face."""
        return Hits(
            self.calo, self.u, self.v, self.du, self.dv, self.energy, self.time, self.number,
            np.zeros(self.number.size), np.zeros(self.number.size, np.int64),
        )  # fmt: skip


class _Array(NamedTuple):
    pitch_u: float
    pitch_v: float
    length: float


def most_probable_loss(crystal: Metal, path: float) -> float:
    """Landau's most probable loss on a path [m] through the material of a crystal [GeV]."""
    xi = crystal.xi * path
    return xi * (crystal.peak + math.log(xi))


@scalar
def _clip(low: float, high: float, place: float, slope: float, half: float) -> tuple[float, float]:
    """Cut the depths of a straight path to where it is within `half` of the middle."""
    if abs(slope) < _PARALLEL:
        return (low, high) if abs(place) < half else (high, low)
    a, b = (-half - place) / slope, (half - place) / slope
    return max(low, min(a, b)), min(high, max(a, b))


@scalar
def box_path(
    u: float, v: float, du: float, dv: float, half_u: float, half_v: float, length: float
) -> tuple[float, float]:
    """Return the depths at which a straight path enters and leaves the crystals [m]; it misses them if not in order."""
    low, high = _clip(0.0, length, u, du, half_u)
    enter, leave = _clip(low, high, v, dv, half_v)
    return enter, leave


@scalar
def _border(place: float, slope: float, at: float, pitch: float, count: int) -> float:
    """Return the depth at which a path that is at `at` comes to the next border of its row of crystals [m]."""
    if abs(slope) < _PARALLEL:
        return math.inf
    side = math.floor(at / pitch + 0.5 * count) + (1.0 if slope > 0.0 else 0.0)
    return ((side - 0.5 * count) * pitch - place) / slope


@Kernel
def _share(i: int, hits: MuonHits, array: _Array, light_per_loss: float, light: FloatArray, depth: FloatArray) -> None:
    """Share the light of hit i among the crystals on its path by length; `depth` sums light times depth [GeV m]."""
    u, v, du, dv = hits.u[i], hits.v[i], hits.du[i], hits.dv[i]
    whole = hits.lost[i] * light_per_loss / (hits.leave[i] - hits.enter[i])
    here = hits.enter[i]
    for _ in range(_MOST_PIECES):
        at_u, at_v = u + du * (here + _NEXT), v + dv * (here + _NEXT)
        crystal = crystal_at(at_u, at_v, here + _NEXT, array.pitch_u, array.pitch_v, array.length)
        border = min(_border(u, du, at_u, array.pitch_u, COLUMNS), _border(v, dv, at_v, array.pitch_v, ROWS))
        end = min(max(border, here + _NEXT), hits.leave[i])
        if crystal >= 0:
            light[i, crystal] += whole * (end - here)
            depth[i, crystal] += whole * (end - here) * 0.5 * (here + end)
        here = end
        if here >= hits.leave[i]:
            break


def deposit_muons(
    hits: MuonHits, crystal: Metal, settings: ShowerSettings | None = None, mip: MipSettings | None = None
) -> CrystalDeposits:
    """Light that lost muons leave in the crystals.

    Parameters
    ----------
    hits
        From `detectors.lost_muons.fly`.
    crystal
        Material of the crystals for muons.
    settings
        Sizes of the crystals.
    mip
        Light of a muon.

    Returns
    -------
    CrystalDeposits
        Sorted by hit and crystal; `hit` is -1 - index in `hits`, which tells them from those of positrons.
    """
    chosen = settings if settings is not None else ShowerSettings()
    ratio = (mip if mip is not None else MipSettings()).light_per_loss(crystal, chosen.length)
    n = hits.calo.size
    light, depth = np.zeros((n, CRYSTALS)), np.zeros((n, CRYSTALS))
    _share(n, hits, _Array(chosen.pitch_u, chosen.pitch_v, chosen.length), ratio, light, depth)
    deposits = collect(hits.at_face(), light, depth, chosen)
    return deposits._replace(hit=-1 - deposits.hit)


def together(first: CrystalDeposits, second: CrystalDeposits) -> CrystalDeposits:
    """Deposits of a fill, one behind the other."""
    return CrystalDeposits(*(np.concatenate(columns) for columns in zip(first, second, strict=True)))
