"""The constants that the program draws itself: the same for every run, but for what the temperature does."""

from collections.abc import Callable
from functools import lru_cache

from detectors.calorimeter import CalorimeterSettings
from detectors.channels import ChannelConstants
from detectors.straw_constants import StrawConstantsSettings, straw_constants
from gm2sim.conditions.calorimeter import as_columns
from gm2sim.conditions.folders import FOLDERS, OOF_CORRECTION, STRAW_STATUS, TRACKER_MODULES, TRACKER_STATIONS
from gm2sim.conditions.interval import EVERY_RUN, Interval
from gm2sim.conditions.table import ConditionsError, Table, known_folder
from gm2sim.conditions.trackers import straw_columns

_OF_TRACKERS = {TRACKER_MODULES.name, TRACKER_STATIONS.name, STRAW_STATUS.name}


def _at_begin(subrun: int) -> float:
    """Every subrun at the begin of run."""
    return 0.0


class BuiltinConditions:
    """Constants drawn from the settings of the detectors.

    Parameters
    ----------
    settings : CalorimeterSettings
        Means, spreads, effects, and the seed that names the set.
    seconds : function of a subrun
        Time of its middle since the begin of run [s], for the temperature.
    straws : StrawConstantsSettings, optional
        Of the trackers; the defaults if not given.
    """

    version = "built in"

    def __init__(
        self,
        settings: CalorimeterSettings,
        seconds: Callable[[int], float] = _at_begin,
        straws: StrawConstantsSettings | None = None,
    ) -> None:
        self._settings = settings
        self._seconds = seconds
        self._straws = straws or StrawConstantsSettings()
        # A kernel draws them: not before the kernels of a run are compiled.
        self._constants = lru_cache(maxsize=4)(self._draw)

    def _draw(self, subrun: int) -> ChannelConstants:
        return self._settings.constants(self._settings.gain.kelvin(self._seconds(subrun)))

    def _changes(self, folder: str) -> bool:
        return folder == OOF_CORRECTION.name and self._settings.gain.temperature

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        """Every run there is, or one subrun for the temperature; see :class:`gm2sim.conditions.Conditions`."""
        return Interval((run, subrun), (run, subrun)) if self._changes(known_folder(folder).name) else EVERY_RUN

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """The constants of a folder; see :class:`gm2sim.conditions.Conditions`."""
        known = known_folder(folder)
        if folder not in FOLDERS:
            raise ConditionsError(f"the program draws no {folder}: it is recorded in files and databases only")
        if folder in _OF_TRACKERS:
            return Table.of(known, EVERY_RUN, straw_columns(straw_constants(self._straws))[folder])
        constants = self._constants(subrun if self._changes(folder) else 0)
        return Table.of(known, self.interval(folder, run, subrun), as_columns(constants)[folder])
