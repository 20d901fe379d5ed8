"""What is different in each of very many files, column by column, and what such columns may hold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.catalog.record import NAME, file_name
from gm2sim.catalog.text import CatalogError

_TOO_LARGE = 2**31
_DIGEST = 32  # bytes of a SHA-256
_LINE = ord("\n")
# The rule of names, letter by letter.
_FIRST = np.array([NAME.fullmatch(chr(code)) is not None for code in range(256)])
_LATER = np.array([NAME.fullmatch(f"a{chr(code)}") is not None for code in range(256)])


class Columns(NamedTuple):
    """What is different in each file; all of one length, one entry a file.

    Attributes
    ----------
    name : sequence of str
    size : sequence of int
        [bytes]
    adler32, crc32c : sequence of int
    sha256 : sequence of bytes
        32 bytes each.
    run, subrun, first_event, last_event, begin_time, end_time : sequence of int
        Times in microseconds since 1970, UTC.
    """

    name: Sequence[str]
    size: Sequence[int]
    adler32: Sequence[int]
    crc32c: Sequence[int]
    sha256: Sequence[bytes]
    run: Sequence[int]
    subrun: Sequence[int]
    first_event: Sequence[int]
    last_event: Sequence[int]
    begin_time: Sequence[int]
    end_time: Sequence[int]


def checked_columns(columns: Columns) -> dict[str, NDArray[Any]]:
    """The columns as arrays, if every value may be kept.

    Parameters
    ----------
    columns : Columns

    Returns
    -------
    dict of str to numpy.ndarray
        By the names of the columns, (files,) each: ASCII of as many bytes as the longest name has, 32 raw bytes for
        ``sha256``, int64 for the others.

    Raises
    ------
    CatalogError
        They are of different lengths, a name is no name or there twice, or a number is out of its bounds.
    """
    if {len(column) for column in columns} != {len(columns.name)}:
        raise CatalogError("the columns are not all of one length")
    found: dict[str, NDArray[Any]] = {"name": _checked_names(columns.name), "sha256": _checked_digests(columns.sha256)}
    limits = dict.fromkeys(("adler32", "crc32c"), 2**32) | dict.fromkeys(("run", "subrun"), _TOO_LARGE)
    for what, column in columns._asdict().items():
        if what not in found:
            found[what] = _checked_numbers(what, column, limits.get(what, 2**63))
    for first, last in (("first_event", "last_event"), ("begin_time", "end_time")):
        if np.any(found[first] > found[last]):
            raise CatalogError(f"in some file {first} comes after {last}")
    return found


def _checked_names(names: Sequence[str]) -> NDArray[np.bytes_]:
    # All letters are looked at in one go; the name at fault is looked for only if there is one.
    if names and not _are_names(names):
        for name in names:
            file_name(name)
    found = np.array(names, dtype=np.bytes_)
    in_order = (found[1:] > found[:-1]).all()  # quickly seen, and so it mostly is
    if not in_order and len(set(names)) != len(names):
        raise CatalogError("a name is there twice: names are unique")
    return found


def _are_names(names: Sequence[str]) -> bool:
    """Whether every name obeys the rule and none has a part of the experiment's names."""
    try:
        lines = "\n".join(names)
        letters = np.frombuffer(lines.encode("ascii"), dtype=np.uint8)
    except (TypeError, UnicodeEncodeError):
        return False
    ends = np.flatnonzero(letters == _LINE)
    lengths = np.diff(ends, prepend=-1, append=len(letters)) - 1
    if len(lengths) != len(names) or not lengths.min() or NAME.fullmatch("a" * int(lengths.max())) is None:
        return False
    within = np.count_nonzero(_LATER[letters]) + len(ends) == len(letters)
    return bool(within and _FIRST[letters[0]] and _FIRST[letters[ends + 1]].all()) and "pro" not in lines.lower()


def _checked_digests(digests: Sequence[bytes]) -> NDArray[np.void]:
    if set(map(len, digests)) - {_DIGEST}:
        raise CatalogError(f"a sha256 does not have {_DIGEST} bytes")
    return np.frombuffer(b"".join(digests), dtype=np.dtype((np.void, _DIGEST)))


def _checked_numbers(what: str, column: Sequence[int], too_large: int) -> NDArray[np.int64]:
    numbers = np.asarray(column)
    wrong = numbers.dtype.kind not in "iu" or numbers.ndim != 1
    if numbers.size and (wrong or numbers.min() < 0 or int(numbers.max()) >= too_large):
        raise CatalogError(f"{what} holds what is no whole number from 0 to {too_large - 1}")
    return numbers.astype(np.int64, copy=False)
