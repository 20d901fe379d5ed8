"""From tables of conditions to what the straw trackers want: metres and radians, and everything in place where off."""

from collections.abc import Iterable

import numpy as np

from detectors.straw_constants import StrawConstants
from gm2sim.conditions.folders import STRAW_STATUS, TRACKER_MODULES, TRACKER_STATIONS
from gm2sim.conditions.table import Conditions, Floats, Table

_AXES = ("shift_x", "shift_y", "shift_z", "turn_x", "turn_y", "turn_z")
_MODULE_UNITS = np.array([1e-6] * 3 + [1e-3] * 3)  # um, mrad
_STATION_UNITS = np.array([1e-3] * 6)  # mm, mrad


def straw_columns(constants: StrawConstants) -> dict[str, dict[str, Floats]]:
    """Constants as columns of folders, in the units of those."""
    modules, stations = constants.modules / _MODULE_UNITS, constants.stations / _STATION_UNITS
    return {
        TRACKER_MODULES.name: {axis: modules[..., k] for k, axis in enumerate(_AXES)},
        TRACKER_STATIONS.name: {axis: stations[..., k] for k, axis in enumerate(_AXES)},
        STRAW_STATUS.name: {"status": constants.status},
    }


def tracker_constants(conditions: Conditions, run: int, subrun: int, folders: Iterable[str]) -> StrawConstants:
    """Alignment and status of the trackers in one subrun.

    Parameters
    ----------
    conditions : Conditions
    run, subrun : int
    folders : iterable of str
        What is looked up: those of the effects that are on.

    Raises
    ------
    ConditionsError
        They are missing for the subrun.
    """
    tables = {name: conditions.table(name, run, subrun) for name in folders}
    found = StrawConstants.neutral()
    if TRACKER_MODULES.name in tables:
        found = found._replace(modules=_stacked(tables[TRACKER_MODULES.name]) * _MODULE_UNITS)
    if TRACKER_STATIONS.name in tables:
        found = found._replace(stations=_stacked(tables[TRACKER_STATIONS.name]) * _STATION_UNITS)
    if STRAW_STATUS.name in tables:
        found = found._replace(status=tables[STRAW_STATUS.name]["status"].ravel())
    return found


def _stacked(table: Table) -> Floats:
    return np.stack([table[axis] for axis in _AXES], axis=-1)
