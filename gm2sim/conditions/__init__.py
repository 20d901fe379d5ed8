"""Constants of the detectors by run and subrun: one door for the simulation and the reconstruction."""

from gm2sim.conditions.builtin import BuiltinConditions
from gm2sim.conditions.calorimeter import CALORIMETER_FOLDERS, calorimeter_constants
from gm2sim.conditions.file import FileConditions, write_conditions
from gm2sim.conditions.folders import FOLDERS, Column, Folder, Key
from gm2sim.conditions.interval import Interval
from gm2sim.conditions.source import open_conditions
from gm2sim.conditions.table import Conditions, ConditionsError, Table, require

__all__ = [
    "CALORIMETER_FOLDERS",
    "FOLDERS",
    "BuiltinConditions",
    "Column",
    "Conditions",
    "ConditionsError",
    "FileConditions",
    "Folder",
    "Interval",
    "Key",
    "Table",
    "calorimeter_constants",
    "open_conditions",
    "require",
    "write_conditions",
]
