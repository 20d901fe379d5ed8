"""Tables of constants, and what every source of them (built in, file, database) can be asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gm2sim.conditions.folders import Folder
from gm2sim.conditions.interval import Interval
from gm2sim.conditions.records import KNOWN
from gm2sim.errors import ConfigError, nearest

Floats = NDArray[np.float64]


class ConditionsError(ConfigError):
    """Constants that are missing or wrong: says which folder, which run or channel, and how to mend it."""


@dataclass(frozen=True)
class Table:
    """The constants of one folder for one interval of validity.

    Attributes
    ----------
    folder : Folder
        Its keys, columns and units.
    interval : Interval
        Subruns that it holds for.
    columns : mapping of str to array
        Read-only, of shape ``folder.shape``: for crystals (24, 54).
    texts : mapping of str to tuple of str
        Columns of names, one for each channel in the order of the flat arrays.
    """

    folder: Folder
    interval: Interval
    columns: Mapping[str, Floats]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        folder: Folder,
        interval: Interval,
        columns: Mapping[str, Floats],
        texts: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """A table of arrays that the program itself has made; they are not checked."""
        frozen = {}
        for column in folder.columns:
            values = np.array(columns[column.name], np.float64).reshape(folder.shape)
            values.flags.writeable = False
            frozen[column.name] = values
        return cls(folder, interval, frozen, {text.name: tuple((texts or {})[text.name]) for text in folder.texts})

    @classmethod
    def of_rows(
        cls,
        folder: Folder,
        interval: Interval,
        titles: Sequence[str],
        rows: Floats,
        where: str,
        texts: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """A table of somebody's rows, one a channel in any order, checked.

        Parameters
        ----------
        folder : Folder
        interval : Interval
        titles : sequence of str
            ``name [unit]`` of each column of numbers; keys have no unit.
        rows : array (channels, titles)
        where : str
            Where the rows stand, for messages.
        texts : mapping of str to sequence of str, optional
            The columns of names, by row.

        Raises
        ------
        ConditionsError
            Unknown, missing or double column, wrong unit, wrong number of channels, one twice, a number that is not
            finite or out of bounds, a name that is too long or cannot be printed.
        """
        rows = rows.reshape(-1, len(titles)) if titles else rows
        names = _names(folder, titles, where)
        numbers = dict(zip(names, rows.T, strict=True))
        channel = _channels(folder, numbers, len(rows), where)
        columns = {}
        for column in folder.columns:
            values = np.empty(channel.size)
            values[channel] = numbers[column.name]
            # Written so that NaN is out of bounds too.
            wrong = ~((values >= column.lowest) & (values <= column.highest))
            wrong |= column.whole & (values != np.floor(values))
            if wrong.any():
                first = int(np.argmax(wrong))
                kind = "whole numbers from " if column.whole else ""
                bounds = f"give {kind}{column.lowest:g} to {column.highest:g} {column.unit}".rstrip()
                _refuse(
                    where, f"{column.name} = {values[first]:g} of {folder.channel(first)} is out of bounds: {bounds}"
                )
            columns[column.name] = values
        given = _texts(folder, texts or {}, where)
        order = np.argsort(channel)
        return cls.of(folder, interval, columns, {name: [words[k] for k in order] for name, words in given.items()})

    def __getitem__(self, name: str) -> Floats:
        """One column, in the unit that the folder gives it."""
        try:
            return self.columns[name]
        except KeyError:
            raise ConditionsError(f"{self.folder.name} has no column '{name}': {nearest(name, self.columns)}") from None

    @property
    def titles(self) -> list[str]:
        """``name [unit]`` of keys and columns, in the order of :meth:`rows`."""
        folder = self.folder
        return [
            *(key.name for key in folder.keys),
            *(column.title for column in folder.columns),
            *(text.name for text in folder.texts),
        ]

    def rows(self) -> Iterator[list[Any]]:
        """One list a channel: its keys (int), its constants (float) and its names (str)."""
        values: list[Sequence[Any]] = [self.columns[column.name].ravel().tolist() for column in self.folder.columns]
        values += [self.texts[text.name] for text in self.folder.texts]
        places = np.ndindex(*self.folder.shape)
        for place, *constants in zip(places, *values, strict=True):
            yield [*(key.first + at for key, at in zip(self.folder.keys, place, strict=True)), *constants]


class Conditions(Protocol):
    """A source of constants: built in, a file, a database. It answers the same however it stores them."""

    @property
    def version(self) -> str:
        """A text that differs whenever a constant may; kept with the data that were made."""

    def interval(self, folder: str, run: int, subrun: int = 0) -> Interval:
        """The interval of :meth:`table`, without its numbers; the same errors."""

    def table(self, folder: str, run: int, subrun: int = 0) -> Table:
        """The constants of a folder that hold for a subrun.

        Parameters
        ----------
        folder : str
            A name of :data:`gm2sim.conditions.records.KNOWN`.
        run, subrun : int

        Raises
        ------
        ConditionsError
            There is no such folder, or nothing in it holds for the subrun.
        """


def known_folder(name: str) -> Folder:
    """The folder of that name; ConditionsError with the nearest name if there is none."""
    try:
        return KNOWN[name]
    except KeyError:
        shown = name if name.isprintable() and len(name) <= 80 else ascii(name[:80])[1:-1]
        raise ConditionsError(f"there is no folder of conditions '{shown}': {nearest(name[:80], KNOWN)}") from None


def require(conditions: Conditions, folders: Iterable[str], run: int, subruns: int) -> None:
    """See that folders hold for the whole of a run, before hours of work go into it.

    Parameters
    ----------
    conditions : Conditions
    folders : iterable of str
    run, subruns : int
        Subruns 0 to subruns - 1 are looked up.

    Raises
    ------
    ConditionsError
        For the first subrun without constants.
    """
    for folder in folders:
        subrun = 0
        while subrun < subruns:
            last = conditions.interval(folder, run, subrun).last
            subrun = last[1] + 1 if last[0] == run else subruns


def _refuse(where: str, what: str) -> NoReturn:
    raise ConditionsError(f"{where}: {what}")


def _names(folder: Folder, titles: Sequence[str], where: str) -> list[str]:
    """Names of columns, all there, once, in the right unit."""
    units = {key.name: "" for key in folder.keys} | {column.name: column.unit for column in folder.columns}
    names: list[str] = []
    for title in titles:
        name, _, rest = title.partition("[")
        name, unit = name.strip(), rest.strip().removesuffix("]").strip()
        if name not in units:
            _refuse(where, f"'{name}' is no column of {folder.name}: {nearest(name, units)}")
        if unit != units[name]:
            right = f"{name} [{units[name]}]" if units[name] else name
            given = f"unit '{unit}'" if unit else "no unit"
            _refuse(where, f"column '{name}' has {given}: write {right}")
        if name in names:
            _refuse(where, f"column '{name}' comes twice: keep one of them")
        names.append(name)
    missing = [name for name in units if name not in names]
    if missing:
        _refuse(where, f"there is no column '{missing[0]}': {folder.name} has {', '.join(units)}")
    return names


def _texts(folder: Folder, given: Mapping[str, Sequence[str]], where: str) -> dict[str, Sequence[str]]:
    """Columns of names, all there, of printable characters."""
    known = {text.name: text for text in folder.texts}
    for name in given:
        if name not in known:
            _refuse(where, f"'{name}' is no column of names of {folder.name}: {nearest(name, known)}")
    for name, text in known.items():
        if name not in given:
            _refuse(where, f"there is no column '{name}': it is {text.meaning}")
        for word in given[name]:
            if len(word) > text.longest or not word.isprintable():
                _refuse(where, f"{name} = {word[:40]!a} has to be printable and of up to {text.longest} letters")
    return {name: given[name] for name in known}


def _channels(folder: Folder, numbers: Mapping[str, Floats], rows: int, where: str) -> NDArray[np.int64]:
    """Place of each row in the flat arrays: every channel once."""
    if not folder.keys:
        if rows != 1:
            _refuse(where, f"there are {rows} rows: {folder.name} has one")
        return np.zeros(1, np.int64)
    places = []
    for key in folder.keys:
        given = numbers[key.name]
        wrong = ~((given >= key.first) & (given <= key.last) & (given == np.floor(given)))
        if wrong.any():
            row = int(np.argmax(wrong))
            _refuse(
                where, f"{key.name} = {given[row]:g} in row {row + 1} does not exist: give {key.first} to {key.last}"
            )
        places.append(given.astype(np.int64) - key.first)
    channel = np.ravel_multi_index(tuple(places), folder.shape).astype(np.int64)
    count = np.bincount(channel, minlength=int(np.prod(folder.shape)))
    if count.max() > 1:
        _refuse(where, f"{folder.channel(int(np.argmax(count > 1)))} comes twice: keep one of its rows")
    if count.min() == 0:
        _refuse(where, f"there are {channel.size} channels where {count.size} are due: "
                f"{folder.channel(int(np.argmax(count == 0)))} is missing")  # fmt: skip
    return channel
