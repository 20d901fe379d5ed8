"""A file of conditions: TOML, with a table of comma-separated rows for each folder and interval of validity.

docs/conditions.md describes the format.
"""

import csv
import hashlib
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gm2sim.atomic import write_text
from gm2sim.conditions.folders import FOLDERS, Folder
from gm2sim.conditions.interval import WITHOUT_END, Interval, Subrun, Validity
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.table import Conditions, ConditionsError, Floats, Table, known_folder
from gm2sim.errors import nearest

FORMAT = "gm2sim conditions 1"
_HOW_TO_MAKE = "`gm2sim conditions write PRESET --out FILE` writes a file with all folders"
_HEAD = """\
# Constants of the detectors by run and subrun. An interval holds from first to last, both included: [run, subrun], or
# a run number alone for the whole run; without last until the next interval of its folder begins.
"""


def _subrun(value: Any, subrun_of_a_run: int) -> Subrun:
    """``[run, subrun]``, or a run alone."""
    numbers = [value, subrun_of_a_run] if type(value) is int else value
    if isinstance(numbers, list) and len(numbers) == 2 and all(type(one) is int and one >= 0 for one in numbers):
        return numbers[0], numbers[1]
    raise ValueError("must be [run, subrun] or a run number")


class _Entry(BaseModel):
    """One table and the interval that it holds for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    first: Annotated[Subrun, BeforeValidator(lambda value: _subrun(value, 0))]
    last: Annotated[Subrun, BeforeValidator(lambda value: _subrun(value, WITHOUT_END))] | None = None
    comment: str = ""
    table: str


class _Content(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    format: Literal["gm2sim conditions 1"]
    tag: str = Field(min_length=1)
    comment: str = ""
    folders: dict[str, list[_Entry]]


class FileConditions:
    """Constants of a file, read and checked whole.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ConditionsError
        The file cannot be read, is not of this format, or holds a table that is wrong: one sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content, checksum = _read(path)
        self.tag = content.tag
        self._version = f"{content.tag} sha256 {checksum}"
        self._validity: dict[str, Validity] = {}
        self._tables: dict[str, list[Table]] = {}
        self._entries = content.folders
        for name, entries in content.folders.items():
            if name not in KNOWN:
                raise ConditionsError(f"{self._name} has an unknown folder '{name}': {nearest(name, KNOWN)}")
            try:
                validity = Validity([(entry.first, entry.last) for entry in entries])
            except ValueError as err:
                raise ConditionsError(f"{name} in {self._name}: {err}") from None
            self._validity[name] = validity
            self._tables[name] = [
                _table(KNOWN[name], interval, entry.table, self._name)
                for interval, entry in zip(validity.intervals, entries, strict=True)
            ]

    @property
    def version(self) -> str:
        """Tag and SHA-256 of the file."""
        return self._version

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        """Subruns that the constants hold for; see :class:`gm2sim.conditions.Conditions`."""
        return self.table(folder, run, subrun).interval

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """The constants of a folder; see :class:`gm2sim.conditions.Conditions`."""
        name = known_folder(folder).name
        validity = self._validity.get(name)
        if validity is None:
            raise ConditionsError(
                f"{self._name} has no folder {name}, which run {run} needs: add [[folders.{name}]]; {_HOW_TO_MAKE}"
            )
        found = validity.find(run, subrun)
        if found is None:
            there = validity.around(run, subrun) or "none"
            raise ConditionsError(
                f"{self._name} has no {name} for run {run} subrun {subrun}: the intervals beside it are {there}; "
                "add one or move an end"
            )
        return self._tables[name][found]

    def entries(self) -> Iterator[tuple[Table, Subrun, Subrun | None, str]]:
        """Every table with the first and the last subrun as the file has them (None: no end given), and its comment."""
        for name, tables in self._tables.items():
            for table, entry in zip(tables, self._entries[name], strict=True):
                yield table, entry.first, entry.last, entry.comment

    @property
    def _name(self) -> str:
        return f"conditions file '{self.path}'"


def write_conditions(
    conditions: Conditions, path: Path, tag: str, *, run: int = 1, subruns: int = 1, force: bool = False
) -> None:
    """Write the constants of a run as a file to edit; it reads back to the same bits.

    The first table of a folder is valid from run 1 on; one that differs in later subruns is followed by theirs.

    Parameters
    ----------
    conditions : Conditions
    path : Path
    tag : str
        Name of this set of constants.
    run, subruns : int
        Which constants: those of the run's subruns 0 to subruns - 1.
    force : bool
        Replace a file.

    Raises
    ------
    ConditionsError
        The file exists or its folder does not, or constants are missing.
    """
    if path.exists() and not force:
        raise ConditionsError(f"'{path}' exists already: choose another --out or replace it with --force")
    if not path.parent.is_dir():
        raise ConditionsError(f"there is no folder '{path.parent}': make it or choose another --out")
    pieces = [f"{_HEAD}\nformat = {_quoted(FORMAT)}\ntag = {_quoted(tag)}\n"]
    for name in FOLDERS:
        subrun = 0
        while subrun < subruns:
            table = conditions.table(name, run, subrun)
            pieces.append(_written(table, f"[{run}, {subrun}]" if subrun else "1"))
            last = table.interval.last
            subrun = last[1] + 1 if last[0] == run else subruns
    write_text(path, "".join(pieces), replace=force)


def write_tables(
    path: Path, tag: str, entries: Iterable[tuple[Table, Subrun, Subrun | None]], comment: str = ""
) -> None:
    """Write tables with the first and the last subrun that they hold for, in the order given; replaces a file.

    Parameters
    ----------
    path : Path
    tag : str
        Name of this set of constants.
    entries : iterable of (Table, first, last)
        Without a last one a table holds until the next of its folder begins.
    comment : str
    """
    pieces = [f"{_HEAD}\nformat = {_quoted(FORMAT)}\ntag = {_quoted(tag)}\n"]
    if comment:
        pieces.append(f"comment = {_quoted(comment)}\n")
    for table, first, last in entries:
        pieces.append(_written(table, _named(first, 0), None if last is None else _named(last, WITHOUT_END)))
    write_text(path, "".join(pieces), replace=True)


def _named(subrun: Subrun, of_a_run: int) -> str:
    """``[run, subrun]``, or the run alone where the subrun is the first or the last there can be."""
    return str(subrun[0]) if subrun[1] == of_a_run else f"[{subrun[0]}, {subrun[1]}]"


def _quoted(text: str) -> str:
    from gm2sim.config.load import toml_value

    return toml_value(text)


def _written(table: Table, first: str, last: str | None = None) -> str:
    columns = "".join(f"# {column.title}: {column.meaning}\n" for column in table.folder.columns)
    rows = "".join(f"{','.join(map(repr, row))}\n" for row in table.rows())
    head = f"\n# {table.folder.meaning}\n{columns}[[folders.{table.folder.name}]]\nfirst = {first}\n"
    head += f"last = {last}\n" if last is not None else ""
    return f'{head}table = """\n{",".join(table.titles)}\n{rows}"""\n'


def _read(path: Path) -> tuple[_Content, str]:
    """Content of the file and its SHA-256."""
    try:
        data = path.read_bytes()
        content = _Content.model_validate(tomllib.loads(data.decode("utf-8")))
    except FileNotFoundError:
        raise ConditionsError(f"there is no conditions file '{path}': check the path; {_HOW_TO_MAKE}") from None
    except OSError as err:
        raise ConditionsError(f"cannot read the conditions file '{path}': {err.strerror}") from None
    except ValidationError as err:
        raise ConditionsError(f"conditions file '{path}': {_sentence(err)}") from None
    except (ValueError, RecursionError) as err:  # not UTF-8, not TOML
        raise ConditionsError(f"conditions file '{path}' is not valid TOML: {err}") from None
    return content, hashlib.sha256(data).hexdigest()


def _sentence(err: ValidationError) -> str:
    """pydantic's first complaint: where, what was given, what is due."""
    first = err.errors()[0]
    *_, name = place = [str(part + 1 if isinstance(part, int) else part) for part in first["loc"]]
    where = " ".join(place).removeprefix("folders ")
    if first["type"] == "missing":
        return f"{where} is missing: add {name}"
    if first["type"] == "extra_forbidden":
        known = _Entry.model_fields if len(place) > 2 else _Content.model_fields
        return f"{where} is not known: {nearest(name, known)}"
    given = repr(first["input"])
    short = given if len(given) <= 40 else f"{given[:37]}..."
    message = (
        first["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String should", "must")
    )
    return f"{where} = {short} {message}"


def _table(folder: Folder, interval: Interval, text: str, where: str) -> Table:
    here = f"{folder.name} {interval} in {where}"
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ConditionsError(f"{here}: the table is empty: give a header and a row for each channel")
    if folder.texts:
        return _table_of_texts(folder, interval, lines, here)
    titles = lines[0].split(",")
    return Table.of_rows(folder, interval, titles, _numbers(lines[1:], len(titles), here), here)


def _table_of_texts(folder: Folder, interval: Interval, lines: list[str], where: str) -> Table:
    """A table with columns of names: names with a comma or a quotation mark are written "in ""these"" marks"."""
    try:
        titles, *rows = csv.reader(lines, skipinitialspace=True, strict=True)
    except csv.Error as err:
        raise ConditionsError(f"{where}: the table cannot be read: {err}") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != len(titles):
            raise ConditionsError(f"{where}: row {number} has {len(row)} words where the header has {len(titles)}")
    titles = [title.strip() for title in titles]
    names = {text.name for text in folder.texts}
    texts = {title: [row[at] for row in rows] for at, title in enumerate(titles) if title in names}
    others = [at for at, title in enumerate(titles) if title not in names]
    numbers = np.empty((len(rows), len(others)))
    for number, row in enumerate(rows):
        words = [row[at] for at in others]
        _check_numbers(words, f"{where}: row {number + 1}")
        numbers[number] = [float(word) for word in words]
    return Table.of_rows(folder, interval, [titles[at] for at in others], numbers, where, texts)


def _numbers(rows: list[str], width: int, where: str) -> Floats:
    """Rows as numbers, (rows, width); the first that holds anything else is named."""
    if not rows:
        return np.empty((0, width))
    try:
        table = np.loadtxt(rows, delimiter=",", ndmin=2, comments=None)
    except ValueError:
        table = None
    if table is not None and table.shape[1] == width:
        return np.asarray(table, np.float64)
    for number, row in enumerate(rows, start=1):
        words = row.split(",")
        if len(words) != width:
            raise ConditionsError(f"{where}: row {number} has {len(words)} numbers where the header has {width} names")
        _check_numbers(words, f"{where}: row {number}")
    raise ConditionsError(f"{where}: the table cannot be read as numbers: write plain numbers")


def _check_numbers(words: Iterable[str], where: str) -> None:
    for word in words:
        try:
            float(word)
        except ValueError:
            raise ConditionsError(f"{where}: {word.strip()[:40]!r} is no number: write a plain number") from None
