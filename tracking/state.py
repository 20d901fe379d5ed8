"""What the loops over turns work on: arrays of muons, marks and samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpu.rng import FillKey
from tracking.matter import Metal

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STATE = 8  # columns that move: u, px, v, py, tau, sx, sy, ss; then e, dp, ip, ie, and the stop time
COLUMNS = 13
COLLIMATOR, PLATES, HARP = -1, -2, -3  # what a mark that is no observer is; harps go on with -4, -5, ...


class Muons(NamedTuple):
    """Muons in the units of the step."""

    columns: FloatArray  # (COLUMNS, n)
    fate: IntArray  # (n,) State
    turn: IntArray  # (n,) completed turns since the begin of tracking
    theta: FloatArray  # (n,)
    phi: FloatArray  # (n,) potential where the muon stands
    number: IntArray  # (n,) index of the muon in the fill
    crossings: IntArray  # (n,) passages through metal


class Matter(NamedTuple):
    """What the metal of the collimators and the fibres of the harps do, and who crossed a fibre in these turns."""

    on: int  # 0: whoever misses a hole is lost there
    metal: Metal
    plastic: Metal
    p0: float  # [GeV/c]
    r0: float  # [m]
    key: FillKey
    before: int  # turns of the fill before this call
    first: int  # turn of the first row below
    fibre: NDArray[np.int8]  # (turns, harps, n): number of the fibre from 1; 0: none
    time: FloatArray  # of crossing it
    path: FloatArray  # in it


class Marks(NamedTuple):
    """Apertures and observers, in order of azimuth; (m,) each, side tracks and guards for every turn that has its own.

    Observers come in the order of their numbers, -1 is a collimator, -2 a pair of plates, -3 and below are harps. Of
    a harp radius2 belongs to its fibres, half_x and half_y to their extent.
    """

    theta: FloatArray
    observer: IntArray
    radius2: FloatArray  # squared radius inside which a muon must be
    half_x: FloatArray  # and half the width and height
    half_y: FloatArray
    side: FloatArray  # 0, or the sign of x at which there is copper
    outer2: FloatArray  # squared radius of the metal's outer edge
    thickness: FloatArray  # of the metal [m]
    pitch: FloatArray  # distance of a harp's fibres; 0: no harp
    beside: FloatArray  # its fibres on either side of the middle one
    upright: FloatArray  # 1: they stand, side by side; 0: they lie
    station: IntArray  # (m,) stations that lie before it
    fraction: FloatArray  # (m,) place in its piece
    piece_first: IntArray  # (pieces + 1,) first mark of each piece
    side_rows: FloatArray  # (turns x rows, row_length) side tracks from the last station to the marks
    side_kinds: IntArray  # (rows,)
    side_first: IntArray  # (m + 1,) first row of each side track
    # (turns x m, 6) the side track as one bend: angle, sine, cosine; squared radius, width and height safe then
    guard: FloatArray


class Samples(NamedTuple):
    """What observers see."""

    every: int  # turns between samples
    values: FloatArray  # (8, observers, samples, n): state at the observer, tau replaced by time; or size 0
    alive: NDArray[np.bool_]  # (observers, samples, n)
    sums: IntArray  # (blocks, observers, samples of this call, 5): count, x, y, x^2, y^2; or size 0
    first_turn: int  # turn of the first sample in sums
