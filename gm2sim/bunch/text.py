"""Muons in text files: columns with units in a header, and the BLTrackFile of G4beamline.

Numbers are written with all their digits, so that what is written reads back to a rounding of the units.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gm2sim.bunch.frame import Frame, into_ring, out_of_ring
from gm2sim.bunch.table import COLUMNS, LENGTH, MOMENTUM, SPECIES, TIME, BunchFileError, Table, in_units
from gm2sim.errors import nearest
from tracking.bunch import Bunch
from tracking.muon import Reference

FloatArray = NDArray[np.float64]
_P0 = "# p0 [GeV/c] ="
_SPECIES = "# species ="
_PDG = -13  # the positive muon; Particle Data Group, Monte Carlo particle numbers
_HEAD = "#BLTrackFile"
# Columns of a BLTrackFile by position and unit; other programs spell the names otherwise, so small letters count.
_PLACES, _MOMENTA = ("x", "y", "z"), ("px", "py", "pz")
_STANDARD = ("x", "y", "z", "Px", "Py", "Pz", "t", "PDGid", "EventID", "TrackID", "ParentID", "Weight")
_STANDARD_UNITS = ("mm", "mm", "mm", "MeV/c", "MeV/c", "MeV/c", "ns", "-", "-", "-", "-", "-")
_BLOCK = 16384  # rows that are turned into text together
_TITLES = 8  # lines among which names and units are looked for
_POLARISATION = ("polx", "poly", "polz")


def read_csv(path: Path, reference: Reference) -> Table:
    """A table whose header line names columns and units, ``x [mm], px [MeV/c], ...``; names as in docs/formats.md.

    Commas, semicolons or tabs apart; lines with # are comments, of which ``# p0 [GeV/c] = ...`` and ``# species = mu+``
    are read.

    Parameters
    ----------
    path : Path
    reference : Reference
        Of the ring.

    Raises
    ------
    BunchFileError
        One sentence with the line.
    """
    lines = _lines(path)
    p0 = None
    data = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(_P0):
            p0 = _number(path, number, line.removeprefix(_P0), "p0")
        elif line.startswith(_SPECIES) and line.removeprefix(_SPECIES).strip() != SPECIES:
            what = f"species{line.removeprefix(_SPECIES)}"
            raise BunchFileError(path, what, f"only {SPECIES} are tracked", f"line {number}")
        elif line.strip() and not line.startswith("#"):
            data.append(number)
    if not data:
        raise BunchFileError(path, "is empty", "give a header line and a line for each muon")
    header = lines[data[0] - 1]
    comma = next((one for one in (",", ";", "\t") if one in header), ",")
    names, units = zip(*(_name_and_unit(path, data[0], word) for word in header.split(comma)), strict=True)
    double = [name for name in names if names.count(name) > 1]
    if double:
        raise BunchFileError(path, f"column '{double[0]}' comes twice", "keep one of them", f"line {data[0]}")
    table = _numbers(path, lines, data[1:], names, comma)
    raw = {name: (unit, table[:, k]) for k, (name, unit) in enumerate(zip(names, units, strict=True))}
    return Table(path, in_units(path, raw, p0, reference), _Lines(data[1:]))


def csv_lines(columns: dict[str, NDArray[np.generic]], reference: Reference) -> Iterator[str]:
    """The text that :func:`read_csv` reads, in blocks: native units, all digits."""
    units = [next(iter(COLUMNS[name].units)) for name in columns]
    titles = [f"{name} [{unit}]" if unit else name for name, unit in zip(columns, units, strict=True)]
    yield f"{_SPECIES} {SPECIES}\n{_P0} {reference.p0_gev!r}\n{','.join(titles)}\n"
    yield from _blocks(list(columns.values()), ",")


def read_bltrack(path: Path, frame: Frame, reference: Reference) -> Table:
    """The BLTrackFile of G4beamline and those who write like it.

    First line ``#BLTrackFile`` or ``#BLTrackFile2``, then names and units as comments, blanks between numbers. Left
    out, they are the standard's: mm, MeV/c, ns. A last column ``Weight`` may be missing (1). PolX, PolY, PolZ are taken
    for the spin unless all are 0.

    Parameters
    ----------
    path : Path
    frame : Frame
        Where its coordinates stand in the ring.
    reference : Reference
        Of the ring.

    Raises
    ------
    BunchFileError
        One sentence with the line, for wrong numbers, units and particles other than the positive muon.
    """
    lines = _lines(path)
    names, units = _titles(lines)
    data = [k for k, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    names = [name.lower() for name in names]
    if data and names[-1] == "weight" and len(lines[data[0] - 1].split()) == len(names) - 1:
        names.pop()
    missing = [name for name in (*_PLACES, *_MOMENTA, "t", "pdgid") if name not in names]
    if missing:
        raise BunchFileError(path, f"no column '{missing[0]}'", f"the standard is {' '.join(_STANDARD)}", "line 2")
    numbers = dict(zip(names, _numbers(path, lines, data, names, None).T, strict=True))
    columns = {}
    for name, inside, known in (
        *((name, name, LENGTH) for name in _PLACES),
        *((name, name, MOMENTUM) for name in _MOMENTA),
        ("t", "time", TIME),
    ):
        unit = units[names.index(name)]
        if unit not in known:
            raise BunchFileError(
                path, f"column '{name}' has unit '{unit}'", f"give it in {' or '.join(known)}", "line 3"
            )
        columns[inside] = numbers[name] * known[unit]
    table = Table(path, columns, _Lines(data))
    other = numbers["pdgid"] != _PDG
    if other.any():
        what = f"PDGid {numbers['pdgid'][other][0]:g} is no positive muon ({_PDG})"
        raise table.error(what, "keep the rows of positive muons only", other)
    if "weight" in numbers:
        columns["weight"] = numbers["weight"]
    if all(name in numbers for name in _POLARISATION) and any(np.any(numbers[name] != 0.0) for name in _POLARISATION):
        columns |= {f"s{name[-1]}": numbers[name] for name in _POLARISATION}
    return into_ring(table, frame, reference)


def bltrack_lines(
    bunch: Bunch, weight: FloatArray | None, frame: Frame, reference: Reference, title: str
) -> Iterator[str]:
    """A BLTrackFile of twelve columns: places in mm, kinetic momenta in MeV/c, times in ns; it has no spin."""
    muons = out_of_ring(bunch, frame, reference)
    columns: list[NDArray[np.generic]] = [getattr(muons, name) / LENGTH["mm"] for name in _PLACES]
    columns += [getattr(muons, name) / MOMENTUM["MeV/c"] for name in _MOMENTA]
    one = np.ones(bunch.n, np.int64)
    columns += [muons.time / TIME["ns"], _PDG * one, bunch.number + 1, one, 0 * one, one if weight is None else weight]
    yield f"{_HEAD} {title}\n#{' '.join(_STANDARD)}\n#{' '.join(_STANDARD_UNITS)}\n"
    yield from _blocks(columns, " ")


def _blocks(columns: Sequence[NDArray[np.generic]], comma: str) -> Iterator[str]:
    """Lines of some thousand rows at a time, so that a large bunch is never held as text."""
    for first in range(0, columns[0].size, _BLOCK):
        words = (map(repr, values[first : first + _BLOCK].tolist()) for values in columns)
        yield "".join(f"{comma.join(row)}\n" for row in zip(*words, strict=True))


class _Lines:
    """Names the rows of a table by the lines of its file."""

    def __init__(self, lines: Sequence[int]) -> None:
        self._lines = lines

    def __call__(self, row: int) -> str:
        return f"line {self._lines[row]}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _titles(lines: list[str]) -> tuple[list[str], list[str]]:
    """Names and units of a BLTrackFile's columns: a comment that begins with x y, and the next if it is as long."""
    comments = [line[1:].split() for line in lines[1:_TITLES] if line.startswith("#")]
    first = next((k for k, words in enumerate(comments) if [word.lower() for word in words[:2]] == ["x", "y"]), None)
    names = list(_STANDARD) if first is None else comments[first]
    after = [] if first is None else comments[first + 1 : first + 2]
    units = next((words for words in after if len(names) - 1 <= len(words) <= len(names)), list(_STANDARD_UNITS))
    return names, units + ["-"] * (len(names) - len(units))


def _name_and_unit(path: Path, line: int, word: str) -> tuple[str, str]:
    name, bracket, rest = word.strip().partition("[")
    name = name.strip()
    if name not in COLUMNS:
        what = f"{word.strip()[:40]!r} is no column"
        raise BunchFileError(path, what, f"{nearest(name, COLUMNS)} (write name [unit])", f"line {line}")
    if not bracket and "" not in COLUMNS[name].units:
        what = f"column '{name}' has no unit"
        raise BunchFileError(path, what, f"write {name} [{next(iter(COLUMNS[name].units))}]", f"line {line}")
    return name, rest.rstrip().removesuffix("]").strip()


def _number(path: Path, line: int, word: str, name: str) -> float:
    try:
        return float(word)
    except ValueError:
        what = f"{word.strip()[:40]!r} is no number"
        raise BunchFileError(path, what, "mend this line", f"line {line}, column '{name}'") from None


def _numbers(
    path: Path, lines: list[str], data: list[int], names: Sequence[str], comma: str | None
) -> NDArray[np.float64]:
    """Numbers of the lines with data, (rows, columns); a line that holds anything else is named."""
    rows = [lines[number - 1] for number in data]
    if not rows:
        return np.empty((0, len(names)))
    try:
        table = np.loadtxt(rows, delimiter=comma, ndmin=2, comments=None)
    except ValueError:
        table = None
    if table is not None and table.shape[1] == len(names):
        return np.asarray(table, np.float64)
    for number, row in zip(data, rows, strict=True):
        words = row.split(comma)
        if len(words) != len(names):
            what = f"{len(words)} numbers where {len(names)} are due"
            raise BunchFileError(path, what, "complete or delete this line", f"line {number}")
        for word, name in zip(words, names, strict=True):
            _number(path, number, word, name)
    raise BunchFileError(path, "cannot be read as numbers", "write plain numbers")
