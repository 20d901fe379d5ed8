"""Text files of a few columns of numbers, as instruments and field programs write them.

Survives what real files hold: comments after ``#``, ``!``, ``%`` or ``//``, a title line before the numbers, tabs,
runs of blanks, no-break spaces, carriage returns, a missing final newline, a decreasing or repeated abscissa.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fields.maps import FieldMapError

_COMMENTS = ("#", "!", "%", "//")
_MOST_TITLES = 3  # lines of words before the numbers


def read_columns(path: str | Path, names: tuple[str, ...], fewest: int) -> NDArray[np.float64]:
    """Columns of a text file, sorted by the first; rows of equal first value are averaged.

    Parameters
    ----------
    path
        Text file.
    names
        What the columns hold, for the messages; every row must have as many numbers.
    fewest
        Rows that must be left.

    Returns
    -------
    ndarray
        Shape (rows, columns), first column strictly rising, in the units of the file.

    Raises
    ------
    FieldMapError
        If the file is missing, too short, or holds something else; names file and line.
    """
    path = Path(path)
    rows: list[list[float]] = []
    line = 0
    for line, numbers in number_rows(path):
        if len(numbers) != len(names):
            what = f"{len(numbers)} numbers where {', '.join(names)} are due"
            raise FieldMapError(path, line, what, "complete or delete this line")
        rows.append(numbers)
    table = np.array(rows).reshape(len(rows), len(names))
    first, group = np.unique(table[:, 0], return_inverse=True)
    if first.size < fewest:
        what = f"holds {first.size} rows where {fewest} or more are due"
        raise FieldMapError(path, line, what, "fetch the whole file")
    merged = np.zeros((first.size, len(names)))
    np.add.at(merged, group, table)
    merged /= np.bincount(group)[:, None]
    merged[:, 0] = first
    return merged


def number_rows(path: Path) -> Iterator[tuple[int, list[float]]]:
    """Line number and numbers of every line that is not blank, a comment or a title; `FieldMapError` as above."""
    titles, begun = 0, False
    for line, content in enumerate(_text(path).splitlines(), start=1):
        words = content.split()
        if not words or words[0].startswith(_COMMENTS):
            continue
        numbers = _numbers(words)
        if numbers is None and not begun and titles < _MOST_TITLES:
            titles += 1
            continue
        if numbers is None:
            raise FieldMapError(path, line, f"{content.strip()[:40]!r} is not numbers", "mend this line")
        if not np.all(np.isfinite(numbers)):
            raise FieldMapError(path, line, "holds a number that is not finite", "mend this line")
        begun = True
        yield line, numbers


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise FieldMapError(path, 0, what, "give the path of an existing file") from None


def _numbers(words: list[str]) -> list[float] | None:
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
