"""The folders of conditions that the program knows: their channels, columns and units.

A new effect adds its folder here and reads it through :class:`gm2sim.conditions.table.Conditions`; files, checks and
commands need nothing else, the database a migration that makes its tables (gm2sim/database/migrations/conditions).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detectors.shower import CALORIMETERS, CRYSTALS
from detectors.straws import LAYERS, MODULES, STATIONS, WIRES


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
    whole : bool
        Only whole numbers are allowed.
    """

    name: str
    unit: str
    meaning: str
    lowest: float
    highest: float
    whole: bool = False

    @property
    def title(self) -> str:
        """Name and unit as a table's header has them."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


class Text(NamedTuple):
    """A name that stands beside the constants of a channel, in printable characters."""

    name: str
    meaning: str
    longest: int = 200


@dataclass(frozen=True)
class Folder:
    """What one table of constants looks like.

    Attributes
    ----------
    name : str
        ``<name>_data`` and ``<name>_iovs`` are its tables in a database.
    meaning : str
    keys : tuple of Key
        Name a channel; the last one changes fastest. None for a folder of one row.
    columns : tuple of Column
    texts : tuple of Text
        Columns of names, behind those of numbers.
    """

    name: str
    meaning: str
    keys: tuple[Key, ...]
    columns: tuple[Column, ...]
    texts: tuple[Text, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a column's array: how many numbers each key has."""
        return tuple(key.last - key.first + 1 for key in self.keys)

    def channel(self, number: int) -> str:
        """Name of a channel for people, from its place in the flat array."""
        if not self.keys:
            return "the only row"
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

INFILL_GAIN = Folder(
    "infill_gain",
    "sag of the gain within a fill",
    CRYSTAL,
    (
        Column("amplitude", "", "sag at injection, 1 - amplitude exp(-t/tau)", 0.0, 0.9),
        Column("tau", "us", "time constant of that sag", 0.1, 1e4),
        Column("drop_per_gev", "1/GeV", "sag that a pulse adds for those after it", 0.0, 0.1),
        Column("tau_pulse", "us", "time constant of that sag", 0.1, 1e4),
    ),
)
STDP = Folder(
    "stdp",
    "short-term double pulses: pixels that recover from the pulse before",
    CRYSTAL,
    (
        Column("amplitude", "1/GeV", "share of the height that a pulse takes from one right behind it", 0.0, 1.0),
        Column("tau", "ns", "time constant of the recovery", 0.1, 1e5),
    ),
)
OOF_CORRECTION = Folder(
    "oof_correction",
    "out-of-fill gain, as the temperature changes it",
    CRYSTAL,
    (Column("gain", "", "gain of the whole subrun over that of the calibration", 0.1, 10.0),),
)
LIGHT_YIELD = Folder(
    "light_yield",
    "light that the crystals give",
    CRYSTAL,
    (Column("light_yield", "1/GeV", "photoelectrons for 1 GeV", 1.0, 1e5),),
)
PULSE_TEMPLATE = Folder(
    "pulse_template",
    "shape of the pulses, (1 - exp(-t/rise))^3 exp(-t/fall), of particles and of the laser",
    CRYSTAL,
    # A pulse is cut at 25 ns: with a fall of 4 ns 0.4 % of its height is left there.
    tuple(
        Column(f"{kind}{part}", "ns", f"{part} time of a pulse of {source}", 0.1, 4.0)
        for kind, source in (("", "particles"), ("laser_", "the laser"))
        for part in ("rise", "fall")
    ),
)
TIME_ALIGNMENT = Folder(
    "time_alignment",
    "time offsets of the calorimeter channels: their sum is how late a channel shows a pulse",
    CRYSTAL,
    (
        Column("calo_offset", "ns", "offset of the calorimeter", -1e4, 1e4),
        Column("xtal_offset", "ns", "offset of the crystal in it", -1e3, 1e3),
    ),
)
CHANNEL_STATUS = Folder(
    "channel_status",
    "dead and noisy calorimeter channels",
    CRYSTAL,
    (
        Column("status", "", "0 good, 1 dead (no pulses), 2 noisy (opens no island)", 0.0, 2.0, True),
        Column("noise_factor", "", "noise over that of the configuration", 0.0, 1000.0),
    ),
)

LASER_LIGHT = Folder(
    "laser_light",
    "light of the laser in the calorimeter channels",
    CRYSTAL,
    (Column("light", "GeV", "of the mean pulse, as the energy of a positron that makes as much", 1e-3, 100.0),),
)

STATION = Key("station", 0, STATIONS - 1)  # in scallops 12 and 18
MODULE = Key("module", 0, MODULES - 1)


def _shifts_and_turns(unit: str, most: float) -> tuple[Column, ...]:
    """Three shifts in a unit of length, up to so much, and three turns about the middle."""
    return (
        *(Column(f"shift_{axis}", unit, f"shift along {axis}", -most, most) for axis in "xyz"),
        *(Column(f"turn_{axis}", "mrad", f"turn about {axis} through its middle", -50, 50) for axis in "xyz"),
    )


TRACKER_MODULES = Folder(
    "tracker_align_internal",
    "where the modules of a tracker station are instead of where they should be, in the station's frame",
    (STATION, MODULE),
    _shifts_and_turns("um", 1e4),
)
TRACKER_STATIONS = Folder(
    "tracker_align_external", "the same of the stations as a whole", (STATION,), _shifts_and_turns("mm", 50.0)
)
STRAW_STATUS = Folder(
    "straw_status",
    "dead straws of the trackers",
    (STATION, MODULE, Key("layer", 0, LAYERS - 1), Key("wire", 0, WIRES - 1)),
    (Column("status", "", "0 good, 1 dead", 0.0, 1.0, True),),
)

FOLDERS = {
    folder.name: folder
    for folder in (
        CALO_GAIN,
        CALO_PEDESTAL,
        INFILL_GAIN,
        STDP,
        OOF_CORRECTION,
        LIGHT_YIELD,
        PULSE_TEMPLATE,
        TIME_ALIGNMENT,
        CHANNEL_STATUS,
        LASER_LIGHT,
        TRACKER_MODULES,
        TRACKER_STATIONS,
        STRAW_STATUS,
    )
}
"""All folders that the simulation reads, by name."""
