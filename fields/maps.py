"""Loaders of measured field maps in the two text forms in use, and the error they raise.

Multipole map: comments, then for each azimuth a line ``index position`` and a line ``By0 a1 .. aN b1 .. bN``;
By0 in tesla, a and b over By0 at 45 mm, By/By0 = 1 + sum (r/r0)^n (a_n cos n phi + b_n sin n phi). A file
without the lines of positions (an azimuthal average) is read too.

R-Z map: ``#`` headers, then ``R Z BR BZ`` in cm and gauss on a rectangular grid in any order; points where
both components are exactly zero hold no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fields.storage import StorageField

_COMMENTS = ("#", "!", "%")
_FEWEST_AZIMUTHS = 11
_WIDEST_GAP = 4.0  # a hole of more typical steps in azimuth means that part of the file is missing


class FieldMapError(ValueError):
    """A field map that cannot be used: says which file, which line, what is wrong and how to mend it."""

    def __init__(self, path: Path, line: int, what: str, mend: str) -> None:
        where = f"{path}, line {line}" if line > 0 else f"{path}"
        super().__init__(f"{where}: {what}; {mend}.")
        self.path = path
        self.line = line
        self.what = what


@dataclass(frozen=True, eq=False)
class RZMap:
    """Main-magnet field on a rectangular grid.

    Parameters
    ----------
    r, y
        Grid [m], shapes (nr,), (ny,), ascending.
    br, by
        Field [T], shape (nr, ny); NaN where the map holds no value.
    """

    r: NDArray[np.float64]
    y: NDArray[np.float64]
    br: NDArray[np.float64]
    by: NDArray[np.float64]

    def filled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Field (br, by) [T] with the empty points of each row in y set to the nearest value in r."""
        return _fill_columns(self.r, self.br), _fill_columns(self.r, self.by)


def load_multipole_map(
    path: str | Path, *, multipoles_in_tesla: bool = False, harmonics: int | None = 100
) -> StorageField:
    """Storage field from a multipole map.

    Parameters
    ----------
    path
        Text file; positions are degrees from the inflector exit.
    multipoles_in_tesla
        Take a_n and b_n as tesla instead of fractions of By0. The comments of public E821 files (G2
        StorageRingField.cc) say fractions and their formula says tesla; the published averages of E821 are
        met to 5 % with tesla, and are 45 % off with fractions.

    harmonics
        Azimuthal harmonics kept of a map with more than twice as many azimuths (see `StorageField.low_pass`);
        None keeps all.

    Returns
    -------
    StorageField
        Equidistant samples, linear between the azimuths of the file; rows at the same azimuth are averaged.
        One sample in all for an average.

    Raises
    ------
    FieldMapError
        If the file is missing, truncated, or holds something else.
    """
    path = Path(path)
    positions, rows = _multipole_rows(path)
    table = np.array(rows)
    order = (table.shape[1] - 1) // 2
    relative = np.ones((len(rows), order + 1), dtype=np.complex128)
    relative[:, 1:] = table[:, 1 : order + 1] - 1j * table[:, order + 1 :]
    multipoles = table[:, :1] * relative
    if multipoles_in_tesla:
        multipoles[:, 1:] = relative[:, 1:]
    if positions:
        multipoles = _equidistant(path, np.array(positions), multipoles)
    field = StorageField(multipoles, f"multipole map {path.name}")
    if harmonics is None or len(multipoles) <= 2 * harmonics:
        return field
    return field.low_pass(harmonics)


def load_rz_map(path: str | Path) -> RZMap:
    """Main-magnet field from an R-Z map.

    Parameters
    ----------
    path
        Text file with four columns R [cm], Z [cm], BR [G], BZ [G].

    Returns
    -------
    RZMap
        In m and T.

    Raises
    ------
    FieldMapError
        If the file is missing, truncated (grid points absent), or holds something else.
    """
    path = Path(path)
    rows: list[list[float]] = []
    line = 0
    for line, numbers in _number_lines(path):
        if len(numbers) != 4:
            what = f"{len(numbers)} numbers where R, Z, BR, BZ are due"
            raise FieldMapError(path, line, what, "fetch the whole file or delete this line")
        rows.append(numbers)
    if not rows:
        raise FieldMapError(path, line, "holds no field", "fetch the whole file")
    table = np.array(rows)
    r_cm, i = np.unique(table[:, 0], return_inverse=True)
    y_cm, j = np.unique(table[:, 1], return_inverse=True)
    if r_cm.size < 4 or y_cm.size < 4 or len(rows) != r_cm.size * y_cm.size:
        what = f"{len(rows)} points do not fill a grid of {r_cm.size} x {y_cm.size} (at least 4 x 4)"
        raise FieldMapError(path, line, what, "fetch the whole file")
    field = np.full((2, r_cm.size, y_cm.size), np.nan)
    empty = (table[:, 2] == 0.0) & (table[:, 3] == 0.0)
    field[:, i, j] = np.where(empty, np.nan, 1e-4 * table[:, 2:].T)
    if np.all(np.isnan(field[1]), axis=0).any():
        raise FieldMapError(path, line, "has a height without any field", "fetch the whole file")
    return RZMap(r=0.01 * r_cm, y=0.01 * y_cm, br=field[0], by=field[1])


def _multipole_rows(path: Path) -> tuple[list[float], list[list[float]]]:
    """Positions [deg] and rows of multipoles as they stand in the file."""
    positions: list[float] = []
    rows: list[list[float]] = []
    line = 0
    for line, numbers in _number_lines(path):
        if len(numbers) == 2 and len(positions) == len(rows):
            positions.append(numbers[1])  # the index in the first column repeats in real files: not used
        elif len(numbers) >= 3 and len(numbers) % 2 == 1 and (len(rows) < len(positions) or not rows):
            if rows and len(numbers) != len(rows[0]):
                what = f"{len(numbers)} numbers where the first azimuth has {len(rows[0])}"
                raise FieldMapError(path, line, what, "complete or delete this azimuth")
            rows.append(numbers)
        else:
            what = f"{len(numbers)} numbers, where an 'index position' or 'By0 a1 .. aN b1 .. bN' line is due"
            raise FieldMapError(path, line, what, "restore the alternation of the two kinds of line")
    if len(positions) > len(rows):
        raise FieldMapError(path, line, "ends after a position without its multipoles", "fetch the whole file")
    if not rows:
        raise FieldMapError(path, line, "holds no multipoles", "fetch the whole file")
    return positions, rows


def _number_lines(path: Path) -> Iterator[tuple[int, list[float]]]:
    """Line number and numbers of every line that is not blank or a comment."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise FieldMapError(path, 0, what, "give the path of an existing map") from None
    for line, content in enumerate(text.splitlines(), start=1):
        # str.split() takes tabs, runs of blanks and no-break spaces alike; carriage returns go with
        # splitlines
        words = content.split()
        if not words or words[0].startswith(_COMMENTS):
            continue
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            raise FieldMapError(path, line, f"{content.strip()[:40]!r} is not numbers", "mend this line") from None
        if not all(np.isfinite(numbers)):
            raise FieldMapError(path, line, "holds a number that is not finite", "mend this line")
        yield line, numbers


def _equidistant(path: Path, degrees: NDArray[np.float64], values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Rows at any azimuths brought to equal steps from 0; raises where part of the ring is missing."""
    positions, group = np.unique(np.mod(degrees, 360.0), return_inverse=True)
    if positions.size < _FEWEST_AZIMUTHS:
        what = f"holds {positions.size} different azimuths where {_FEWEST_AZIMUTHS} or more are due"
        raise FieldMapError(path, 0, what, "fetch the whole file")
    merged = np.zeros((positions.size, values.shape[1]), dtype=np.complex128)
    np.add.at(merged, group, values)
    merged /= np.bincount(group)[:, None]
    gaps = np.diff(np.append(positions, positions[0] + 360.0))
    worst = int(np.argmax(gaps))
    widest = _WIDEST_GAP * float(np.median(gaps))
    if gaps[worst] > widest:
        what = f"no azimuth between {positions[worst]:.3f} deg and {gaps[worst]:.3f} deg further"
        raise FieldMapError(path, 0, what, f"fetch the whole file or fill the gaps above {widest:.3f} deg")
    around = np.concatenate([positions[-1:] - 360.0, positions, positions[:1] + 360.0])
    at = 360.0 * np.arange(positions.size) / positions.size
    resampled = np.empty_like(merged)
    for n in range(merged.shape[1]):
        column = np.concatenate([merged[-1:, n], merged[:, n], merged[:1, n]])
        resampled[:, n] = np.interp(at, around, column)
    return resampled


def _fill_columns(r: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    filled = values.copy()
    for j in range(values.shape[1]):
        known = np.flatnonzero(~np.isnan(values[:, j]))
        nearest = known[np.abs(r[:, None] - r[known]).argmin(axis=1)]
        filled[:, j] = values[nearest, j]
    return filled
