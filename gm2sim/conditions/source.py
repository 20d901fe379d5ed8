"""Which conditions a configuration means."""

from collections.abc import Callable
from pathlib import Path

from detectors.calorimeter import CalorimeterSettings
from detectors.straw_constants import StrawConstantsSettings
from gm2sim.conditions.builtin import BuiltinConditions
from gm2sim.conditions.file import FileConditions
from gm2sim.conditions.table import Conditions


def open_conditions(
    file: str,
    settings: CalorimeterSettings,
    seconds: Callable[[int], float] | None = None,
    straws: StrawConstantsSettings | None = None,
    database: str = "",
    tag: str = "",
    *,
    allow_open: bool = False,
) -> Conditions:
    """The constants of a file or a database, or those that the program draws.

    Parameters
    ----------
    file : str
        ``conditions.file`` of the configuration; empty for a database or the built-in ones.
    settings : CalorimeterSettings
        What the built-in ones are drawn from.
    seconds : function of a subrun, optional
        Time of its middle since the begin of run [s], for the built-in temperature.
    straws : StrawConstantsSettings, optional
        What those of the trackers are drawn from.
    database, tag : str
        ``conditions.database`` and ``conditions.tag``.
    allow_open : bool
        The tag may be one that is not frozen.

    Raises
    ------
    ConditionsError
        The file cannot be read or holds something wrong; the database has no such tag, or the tag is not frozen.
    DatabaseError
        The database cannot be read.
    """
    if database:
        from gm2sim.conditions.database import DatabaseConditions

        return DatabaseConditions(database, tag, allow_open=allow_open)
    if file:
        return FileConditions(Path(file))
    return BuiltinConditions(settings, seconds or (lambda subrun: 0.0), straws)
