"""Constants of the straw trackers: where modules and stations really are, and which straws are dead."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.straws import CHANNELS, MODULES, STATIONS, Misalignment
from gpu.rng import FillKey, Stage, normals

FloatArray = NDArray[np.float64]

_STAGE = int(Stage.STRAW_CONSTANTS)
_NUMBERS = 6  # shifts in x, y, z and turns about them, of a module


@dataclass(frozen=True)
class StrawConstantsSettings:
    """What the built-in constants are drawn from.

    Parameters
    ----------
    aligned
        Whether modules and stations are where they should be.
    module_shift
        Spread of the modules' shifts in x and y [m]; best estimate: misalignments reach about 100 um.
    module_turn
        Spread of the modules' turns about the three axes [rad]; best estimate.
    station_x, station_y
        Shifts of the stations [m]: those of Run-1, glukicov/alignTrack GlobalConstants.fcl.
    dead_straws
        In both stations together; best estimate.
    seed
        Names the set.

    Raises
    ------
    ValueError
        For numbers out of bounds.
    """

    aligned: bool = False
    module_shift: float = 50e-6
    module_turn: float = 0.2e-3
    station_x: tuple[float, float] = (-1.51e-3, -2.75e-3)
    station_y: tuple[float, float] = (-0.55e-3, -0.61e-3)
    dead_straws: int = 0
    seed: int = 989

    def __post_init__(self) -> None:
        if not 0.0 <= self.module_shift <= 1e-3:
            raise ValueError(f"module_shift = {self.module_shift} m is out of bounds: give 0 to 0.001 m.")
        if not 0.0 <= self.module_turn <= 5e-3:
            raise ValueError(f"module_turn = {self.module_turn} rad is out of bounds: give 0 to 0.005 rad.")
        if not 0 <= self.dead_straws <= CHANNELS:
            raise ValueError(f"dead_straws = {self.dead_straws} is out of bounds: give 0 to {CHANNELS}.")


class StrawConstants(NamedTuple):
    """Constants of both stations.

    Attributes
    ----------
    modules : array (2, 8, 6)
        As `detectors.straws.Misalignment.modules` [m], [rad].
    stations : array (2, 6)
        As `Misalignment.stations`.
    status : array (2048,)
        0 good, 1 dead.
    """

    modules: FloatArray
    stations: FloatArray
    status: FloatArray

    @property
    def misalignment(self) -> Misalignment:
        """What the stations are made with."""
        return Misalignment(self.modules, self.stations)

    @property
    def working(self) -> NDArray[np.bool_]:
        """Which straws are alive."""
        return np.asarray(self.status == 0.0)

    @classmethod
    def neutral(cls) -> "StrawConstants":
        """Everything in place, and alive."""
        return cls(np.zeros((STATIONS, MODULES, _NUMBERS)), np.zeros((STATIONS, _NUMBERS)), np.zeros(CHANNELS))


def straw_constants(settings: StrawConstantsSettings | None = None) -> StrawConstants:
    """Draw the constants; the same for every run with the same seed.

    The mean of a station's modules stays in place: what all modules share is the station's.
    """
    settings = settings or StrawConstantsSettings()
    key = FillKey(settings.seed, 0, 0, 0)
    modules, stations, status = StrawConstants.neutral()
    if not settings.aligned:
        drawn = normals(key, _STAGE, np.arange(STATIONS * MODULES * _NUMBERS))[0].reshape(STATIONS, MODULES, _NUMBERS)
        scale = np.array([settings.module_shift] * 2 + [0.0] + [settings.module_turn] * 3)
        modules = scale * (drawn - drawn.mean(axis=1, keepdims=True))
        stations[:, 0], stations[:, 1] = settings.station_x, settings.station_y
    if settings.dead_straws:
        order, _ = normals(key, _STAGE, 10_000 + np.arange(CHANNELS))
        status[np.argsort(order)[: settings.dead_straws]] = 1.0
    return StrawConstants(modules, stations, status)
