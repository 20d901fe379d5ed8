"""Conditions as rows for people and for JSON."""

from collections.abc import Iterable
from typing import Any

from gm2sim.conditions.folders import FOLDERS
from gm2sim.conditions.table import Conditions


def overview(
    conditions: Conditions, run: int, subrun: int = 0, folders: Iterable[str] = tuple(FOLDERS)
) -> list[dict[str, Any]]:
    """One row for each column of every folder.

    Parameters
    ----------
    conditions : Conditions
    run, subrun : int
    folders : iterable of str
        Which folders.

    Raises
    ------
    ConditionsError
        Constants are missing for the subrun.
    """
    rows = []
    for name in folders:
        table = conditions.table(name, run, subrun)
        for column in table.folder.columns:
            values = table[column.name]
            rows.append({
                "folder": name, "column": column.name, "unit": column.unit, "channels": values.size,
                "mean": float(values.mean()), "rms": float(values.std()),
                "lowest": float(values.min()), "highest": float(values.max()),
                "valid": str(table.interval), "meaning": column.meaning,
            })  # fmt: skip
    return rows


def channels(conditions: Conditions, folder: str, run: int, subrun: int = 0) -> list[dict[str, Any]]:
    """One row for each channel of a folder, with names and units of its columns as keys.

    Parameters
    ----------
    conditions : Conditions
    folder : str
    run, subrun : int

    Raises
    ------
    ConditionsError
        There is no such folder, or nothing in it for the subrun.
    """
    table = conditions.table(folder, run, subrun)
    return [dict(zip(table.titles, row, strict=True)) for row in table.rows()]
