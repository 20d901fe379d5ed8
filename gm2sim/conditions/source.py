"""Which conditions a configuration means."""

from pathlib import Path

from detectors.digitizer import DigitizerSettings
from gm2sim.conditions.builtin import BuiltinConditions
from gm2sim.conditions.file import FileConditions
from gm2sim.conditions.table import Conditions


def open_conditions(file: str, settings: DigitizerSettings) -> Conditions:
    """The constants of a file, or those that the program draws.

    Parameters
    ----------
    file : str
        ``conditions.file`` of the configuration; empty for the built-in ones.
    settings : DigitizerSettings
        What the built-in ones are drawn from.

    Raises
    ------
    ConditionsError
        The file cannot be read or holds something wrong.
    """
    return FileConditions(Path(file)) if file else BuiltinConditions(settings)
