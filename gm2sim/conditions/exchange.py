"""The JSON that the experiment's programs write for its conditions database (ConDBJsonFileWriter), read and written.

One file holds an interval of whole runs and some folders, each with columns, types and rows; docs/conditions.md shows
one. Folders and columns of the experiment have other names here where ours are older; both are read.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gm2sim.atomic import write_json
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.folders import TIME_ALIGNMENT, Folder
from gm2sim.conditions.interval import EVERY_RUN, WITHOUT_END
from gm2sim.conditions.loading import Entry
from gm2sim.conditions.moment import moment
from gm2sim.conditions.records import CHANNEL_QUALITY, ENERGY_CALIBRATION, KNOWN
from gm2sim.conditions.table import ConditionsError, Table, known_folder
from gm2sim.errors import nearest

ALIASES = {
    "rw_energy_calibration": ENERGY_CALIBRATION.name,
    "rw_time_alignment": TIME_ALIGNMENT.name,
    "calo_channel_quality": CHANNEL_QUALITY.name,
}
"""Folders that the experiment calls otherwise."""
_CRYSTAL = {"calo": "calonum", "xtal": "xtalnum"}
_INTERVAL = "interval_of_validity"
_STATUS = "_status"
_TYPES: Mapping[str, type | tuple[type, ...]] = {"int": int, "real": (int, float), "bool": bool, "text": str}


def read_json(path: Path, folders: Collection[str] = ()) -> Iterator[Entry]:
    """The tables of a file.

    Parameters
    ----------
    path : Path
    folders : collection of str
        Only these, by the names of the file or ours; all without.

    Raises
    ------
    ConditionsError
        The file cannot be read, is not of this format, or holds a table that is wrong or a folder that is not known.
    """
    where = f"conditions file '{path}'"
    content = _content(path, where)
    first, last = _runs(content.get(_INTERVAL), where)
    wanted = {ALIASES.get(name, name) for name in folders}
    names = [name for name in content if name != _INTERVAL and not _is_status(name, content)]
    known = {name: ALIASES.get(name, name) for name in names}
    for name in wanted - set(known.values()):
        _refuse(where, f"there is no folder '{name}': {nearest(name, known)}")
    if not names:
        _refuse(where, "there is no folder in it: give columns, types and values of one")
    for name, ours in known.items():
        if wanted and ours not in wanted:
            continue
        if ours not in KNOWN:
            _refuse(where, f"folder {name[:80]!a} is not known: {nearest(name[:80], [*KNOWN, *ALIASES])}, or "
                    "choose with --folder what to load")  # fmt: skip
        if not _active(content.get(name + _STATUS), f"{name}{_STATUS} in {where}"):
            continue
        table = _table(KNOWN[ours], content[name], f"{name} in {where}")
        yield Entry(table, moment(first), None if last == WITHOUT_END else moment(last + 1))


def as_json(conditions: DatabaseConditions, run: int, folders: Iterable[str] = ()) -> dict[str, Any]:
    """What a tag has for a run, in the experiment's form, for as many runs around it as all of it holds for.

    Parameters
    ----------
    conditions : DatabaseConditions
    run : int
    folders : iterable of str
        Only these; all that the tag has without.

    Raises
    ------
    ConditionsError
        Something is missing for the run, or changes within it: the form knows whole runs only.
    """
    tables = [conditions.table(known_folder(name).name, run) for name in folders or conditions.folders()]
    first, last = 0, WITHOUT_END
    for table in tables:
        begin, end = table.interval
        if end < (run, WITHOUT_END):
            raise ConditionsError(
                f"{table.folder.name} changes within run {run}: the experiment's JSON knows whole runs only, choose "
                "other folders or another run"
            )
        first = max(first, begin[0] if not begin[1] or begin[0] == run else begin[0] + 1)
        last = min(last, end[0] if end[1] == WITHOUT_END else end[0] - 1)
    runs = {"run": first} if first == last else {"run_start": first, "run_end": last}
    theirs = {ours: name for name, ours in ALIASES.items()}
    status = {"columns": ["run_start", "run_end", "status"], "types": ["int"] * 3, "values": [[first, last, 1]]}
    found: dict[str, Any] = {_INTERVAL: runs}
    for table in tables:
        name = theirs.get(table.folder.name, table.folder.name)
        found |= {name: _as_content(table), f"{name}{_STATUS}": status}
    return found


def write_export(path: Path, content: Mapping[str, Any], *, force: bool = False) -> None:
    """Write what :func:`as_json` gives.

    Raises
    ------
    ConditionsError
        The file exists or its folder does not.
    """
    if path.exists() and not force:
        raise ConditionsError(f"'{path}' exists already: choose another --out or replace it with --force")
    if not path.parent.is_dir():
        raise ConditionsError(f"there is no folder '{path.parent}': make it or choose another --out")
    write_json(path, content, replace=force)


def _as_content(table: Table) -> dict[str, Any]:
    folder = table.folder
    short = {ours: name for name, ours in _CRYSTAL.items()}
    keys = [short.get(key.name, key.name) for key in folder.keys]
    whole = [column.whole for column in folder.columns]
    rows = []
    for row in table.rows():
        numbers = row[len(keys) : len(keys) + len(whole)]
        rows.append([
            *row[: len(keys)],
            *(int(value) if is_whole else value for value, is_whole in zip(numbers, whole, strict=True)),
            *row[len(keys) + len(whole) :],
        ])  # fmt: skip
    return {
        "columns": [*keys, *(column.name for column in folder.columns), *(text.name for text in folder.texts)],
        "types": ["int"] * len(keys) + ["int" if one else "real" for one in whole] + ["text"] * len(folder.texts),
        "values": rows,
    }


def _content(path: Path, where: str) -> dict[str, Any]:
    def number(text: str) -> NoReturn:
        raise ConditionsError(f"{where}: {text} is no number: write a plain one")

    try:
        content = json.loads(path.read_bytes().decode("utf-8"), parse_constant=number)
    except FileNotFoundError:
        raise ConditionsError(f"there is no conditions file '{path}': check the path") from None
    except OSError as err:
        raise ConditionsError(f"cannot read the conditions file '{path}': {err.strerror}") from None
    except ConditionsError:
        raise
    except (ValueError, RecursionError) as err:
        raise ConditionsError(f"{where} is not valid JSON: {err}") from None
    if not isinstance(content, dict):
        _refuse(where, "it has to hold an object with 'interval_of_validity' and folders")
    return content


def _runs(given: Any, where: str) -> tuple[int, int]:
    """First and last run of the interval."""
    names = set(given) if isinstance(given, dict) else set()
    ends = [given["run"]] * 2 if names == {"run"} else []
    if names == {"run_start", "run_end"}:
        ends = [given["run_start"], given["run_end"]]
    if ends and all(type(one) is int and 0 <= one <= WITHOUT_END for one in ends) and ends[0] <= ends[1]:
        return ends[0], ends[1]
    return _refuse(where, f"{_INTERVAL} has to be {{'run': N}} or {{'run_start': A, 'run_end': B}} with whole numbers")


def _is_status(name: str, content: Mapping[str, Any]) -> bool:
    return name not in KNOWN and name.endswith(_STATUS) and name.removesuffix(_STATUS) in content


def _active(status: Any, where: str) -> bool:
    """Whether the folder's status says that it is used; it is without one."""
    if status is None:
        return True
    columns, _, values = _parts(status, where)
    if "status" not in columns or not values:
        _refuse(where, "there is no status in it: give columns, types and values with one")
    at = columns.index("status")
    return all(bool(row[at]) for row in values)


def _parts(content: Any, where: str) -> tuple[list[str], list[str], list[list[Any]]]:
    """Columns, types and rows of a folder, checked for their form."""
    if not isinstance(content, dict) or set(content) != {"columns", "types", "values"}:
        _refuse(where, "it has to have columns, types and values, and nothing else")
    columns, types, values = content["columns"], content["types"], content["values"]
    for name, words in (("columns", columns), ("types", types)):
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            _refuse(where, f"{name} has to be a list of words")
    if len(set(columns)) != len(columns) or len(columns) != len(types):
        _refuse(where, "columns have to differ, and each needs a type")
    wrong = next((word for word in types if word not in _TYPES), None)
    if wrong is not None:
        _refuse(where, f"type {wrong[:40]!a} is not known: give {', '.join(_TYPES)}")
    if not isinstance(values, list):
        _refuse(where, "values has to be a list of rows")
    for number, row in enumerate(values, start=1):
        if not isinstance(row, list) or len(row) != len(columns):
            _refuse(where, f"row {number} has to be a list of {len(columns)} values")
        for column, kind, value in zip(columns, types, row, strict=True):
            if not isinstance(value, _TYPES[kind]) or (kind != "bool" and isinstance(value, bool)):
                _refuse(where, f"{column[:40]!a} = {str(value)[:40]!a} in row {number} is no {kind}")
    return columns, types, values


def _table(folder: Folder, content: Any, where: str) -> Table:
    columns, types, values = _parts(content, where)
    renamed = [_CRYSTAL.get(name, name) for name in columns]
    known = {column.name: column.title for column in folder.columns}
    of_text = [at for at, kind in enumerate(types) if kind == "text"]
    others = [at for at in range(len(types)) if at not in of_text]
    numbers = np.array([[_number(row[at], where) for at in others] for row in values], np.float64)
    texts = {renamed[at]: [row[at] for row in values] for at in of_text}
    titles = [known.get(renamed[at], renamed[at]) for at in others]
    return Table.of_rows(folder, EVERY_RUN, titles, numbers.reshape(len(values), len(others)), where, texts)


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _refuse(where, f"{str(value)[:40]!a} is too large a number")
    return number


def _refuse(where: str, what: str) -> NoReturn:
    raise ConditionsError(f"{where}: {what}")
