"""The folders of conditions that the program knows: their channels, columns and units.

A new effect adds its folder here and reads it through :class:`gm2sim.conditions.table.Conditions`; files, database,
checks and commands need nothing else.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.shower import CALORIMETERS, CRYSTALS


class Key(NamedTuple):
    """One number of a channel's name, from ``first`` to ``last``."""

    name: str
    first: int
    last: int


class Column(NamedTuple):
    """One constant of a channel, with the numbers that are allowed.

    Attributes
    ----------
    name, unit, meaning : str
    lowest, highest : float
        In ``unit``, both allowed.
    """

    name: str
    unit: str
    meaning: str
    lowest: float
    highest: float

    @property
    def title(self) -> str:
        """Name and unit as a table's header has them."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Folder:
    """What one table of constants looks like.

    Attributes
    ----------
    name : str
        ``<name>_data`` and ``<name>_iovs`` are its tables in a database.
    meaning : str
    keys : tuple of Key
        Name a channel; the last one changes fastest.
    columns : tuple of Column
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]
    columns: tuple[Column, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a column's array: how many numbers each key has."""
        return tuple(key.last - key.first + 1 for key in self.keys)

    def channel(self, number: int) -> str:
        """Name of a channel for people, from its place in the flat array."""
        at = np.unravel_index(number, self.shape)
        return " ".join(f"{key.name} {key.first + int(one)}" for key, one in zip(self.keys, at, strict=True))


# As the experiment's database names them: calorimeters are counted from 1, crystals from 0.
CRYSTAL = (Key("calonum", 1, CALORIMETERS), Key("xtalnum", 0, CRYSTALS - 1))

CALO_GAIN = Folder(
    "calo_gain",
    "gain of the calorimeter channels",
    CRYSTAL,
    # Far beyond any real channel (300 to 1200), so that only a wrong unit or sign is refused.
    (Column("counts_per_gev", "counts/GeV", "pulse height of 1 GeV in a SiPM of endless pixels", 1.0, 1e5),),
)
CALO_PEDESTAL = Folder(
    "calo_pedestal",
    "level of the empty calorimeter channels",
    CRYSTAL,
    # Twice the range of 12 bits: a channel that always clips is data, not an error.
    (
        Column("pedestal", "counts", "mean of the empty channel", -4096.0, 4096.0),
        Column("even_odd", "counts", "pedestal of even samples minus that of odd ones", -1000.0, 1000.0),
    ),
)

FOLDERS = {folder.name: folder for folder in (CALO_GAIN, CALO_PEDESTAL)}
"""All folders by name."""
