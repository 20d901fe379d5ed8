"""The constants that the program draws itself, the same for every run."""

from functools import cached_property

from detectors.digitizer import ChannelConstants, DigitizerSettings, channel_constants
from gm2sim.conditions.interval import EVERY_RUN, Interval
from gm2sim.conditions.table import Table, known_folder


class BuiltinConditions:
    """Constants drawn from the settings of the digitisers: one set, for all runs.

    Parameters
    ----------
    settings : DigitizerSettings
        Means, spreads, and the seed that names the set.
    """

    version = "built in"

    def __init__(self, settings: DigitizerSettings) -> None:
        self._settings = settings

    @cached_property
    def _constants(self) -> ChannelConstants:
        # A kernel draws them: not before the kernels of a run are compiled.
        return channel_constants(self._settings)

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        """Every run there is; see :class:`gm2sim.conditions.Conditions`."""
        known_folder(folder)
        return EVERY_RUN

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """The constants of a folder; see :class:`gm2sim.conditions.Conditions`."""
        return Table.of(known_folder(folder), self.interval(folder, run, subrun), self._constants._asdict())
