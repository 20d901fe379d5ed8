"""What one simulated fill of muons is: the truth of every step, and the digits."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decay.positron import Positrons
from detectors.calorimeter import FillDigits
from detectors.lost_muons import Flights, LostMuons
from detectors.mip import MuonHits
from detectors.shower import CrystalDeposits, Leakage
from detectors.straw_crossings import Crossings, Passages
from detectors.straw_drift import StrawHits
from detectors.transport import Ends, Hits
from gm2sim.monitors import Monitors
from tracking.bunch import Bunch
from tracking.turns import TrackResult


class Snapshot(NamedTuple):
    """Where the muons of a fill are at one turn, at theta = 0."""

    turn: int
    time: NDArray[np.float64]  # [s]
    x: NDArray[np.float64]  # [m]
    y: NDArray[np.float64]  # [m]
    number: NDArray[np.int64]


class Detected(NamedTuple):
    """What became of the decayed and the lost muons of a fill, and what the detectors saw of it."""

    positrons: Positrons
    ends: Ends  # of the positrons
    hits: Hits  # of positrons and their photons in the calorimeters
    leakage: Leakage  # of the showers of these hits
    crossings: Crossings  # of straws
    passages: Passages  # through tracker stations
    straws: StrawHits | None  # None where the trackers are left out
    lost: LostMuons
    flights: Flights  # of the lost muons
    muon_hits: MuonHits
    deposits: CrystalDeposits
    digits: FillDigits


class Fill(NamedTuple):
    """One simulated fill, truth and digits."""

    muons: Bunch
    stretches: list[TrackResult]
    snapshots: list[Snapshot]
    seen: Detected
    monitors: Monitors  # of the auxiliary detectors
