"""The truth beside the raw data: HDF5 tables keyed to it by fill (event serial) and muon number.

Every column carries its unit and meaning as attributes. Files hold no clock and no host name, so equal runs give
equal bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from gm2sim.errors import refuse_newer
from gm2sim.hdf5 import new_file

FORMAT = 1

_KEYS = {
    "fill": ("i4", "", "event serial of the fill in the raw file"),
    "number": ("i4", "", "muon number within the fill"),
}
_ORBIT = {
    "x": ("f8", "m", "radial offset from the design orbit"),
    "y": ("f8", "m", "height above the mid-plane"),
    "theta": ("f8", "rad", "azimuth from the inflector exit"),
    "time": ("f8", "s", "time since the bunch centre left the inflector"),
}

# What only a file with lost muons has, so that a file without them does not change.
_ON_DEMAND = frozenset({"straw_hits", "lost_muons", "muon_hits", "monitors", "harp_crossings", "faults"})

# Group -> column -> (type, unit, meaning). The order is the order in the file.
TABLES: dict[str, dict[str, tuple[str, str, str]]] = {
    "muons": {
        **_KEYS,
        "state": ("i1", "", "0 stored at the end, 1 decayed, lost: 2 collimator, 3 wall, 4 plate, 5 beyond the fields"),
        **_ORBIT,
        "px": ("f8", "p0", "radial momentum over the reference momentum"),
        "py": ("f8", "p0", "vertical momentum over the reference momentum"),
        "energy": ("f8", "GeV", "total energy, kinetic + mass + potential"),
        "sx": ("f8", "", "spin in the rest frame, radial"),
        "sy": ("f8", "", "spin in the rest frame, vertical"),
        "ss": ("f8", "", "spin in the rest frame, along the beam"),
        "turn": ("i4", "", "completed turns"),
    },
    "positrons": {
        **_KEYS,
        **_ORBIT,
        "px": ("f8", "GeV/c", "radial momentum at the decay"),
        "py": ("f8", "GeV/c", "vertical momentum at the decay"),
        "ps": ("f8", "GeV/c", "momentum along the beam at the decay"),
        "fate": ("i1", "", "where the positron ended, see detectors.transport.Fate"),
    },
    "hits": {
        **_KEYS,
        "calo": ("i1", "", "calorimeter 0..23 that the particle enters"),
        "u": ("f8", "m", "horizontal place where it enters, positive away from the ring centre"),
        "v": ("f8", "m", "vertical place there"),
        "du": ("f8", "", "horizontal slope to the face normal"),
        "dv": ("f8", "", "vertical slope to the face normal"),
        "energy": ("f8", "GeV", "energy where it enters"),
        "time": ("f8", "s", "arrival time"),
        "depth": ("f8", "m", "where it enters, behind the plane of the face; above 0 through a side"),
        "order": ("i1", "", "0 the positron itself; 1, 2, ... photons that it made, and their pairs"),
        "front": ("f4", "GeV", "energy of the shower that leaves through the face"),
        "rear": ("f4", "GeV", "through the rear"),
        "side": ("f4", "GeV", "through the four sides"),
        "albedo": ("f4", "GeV", "carried by soft photons to any crystal"),
    },
    "crystals": {
        "fill": _KEYS["fill"],
        "hit": ("i4", "", "row of this fill's hits, counted from the fill's first"),
        "calo": ("i1", "", "calorimeter 0..23"),
        "crystal": ("i1", "", "crystal 0..53, 0 at the bottom right seen from the beam"),
        "energy": ("f4", "GeV", "energy deposited"),
        "time": ("f8", "s", "time of the deposit"),
    },
    "straw_hits": {
        "fill": _KEYS["fill"],
        "number": ("i4", "", "muon number within the fill whose positron made the hit, -1 for noise"),
        "channel": ("i2", "", "straw: ((station 8 + module) 4 + layer) 32 + wire"),
        "tdc": ("i4", "", "time in bins of the TDC"),
        "source": ("i1", "", "0 the positron, 1 crosstalk of it, 2 noise"),
        "distance": ("f4", "m", "of the positron's closest approach to the wire, positive on its outer side"),
    },
    "lost_muons": {
        **_KEYS,
        "reason": ("i1", "", "where it left: 2 a collimator, 4 a plate of a quad or kicker, 5 the known fields"),
        **_ORBIT,
        "px": ("f8", "GeV/c", "radial momentum where it left"),
        "py": ("f8", "GeV/c", "vertical momentum"),
        "ps": ("f8", "GeV/c", "momentum along the beam"),
        "energy": ("f8", "GeV", "kinetic energy + mass where it left"),
        "way": ("i1", "", "how its flight ended, see detectors.lost_muons.Way"),
        "calorimeters": ("i1", "", "calorimeters hit"),
        "end_energy": ("f8", "GeV", "energy at the end of the flight"),
        "path": ("f8", "m", "length of the flight"),
    },
    "muon_hits": {
        **_KEYS,
        "calo": ("i1", "", "calorimeter 0..23 that the lost muon hits"),
        "u": ("f8", "m", "horizontal place in the plane of the face, positive away from the ring centre"),
        "v": ("f8", "m", "vertical place there"),
        "du": ("f8", "", "horizontal slope to the face normal"),
        "dv": ("f8", "", "vertical slope to the face normal"),
        "energy": ("f8", "GeV", "energy in the plane of the face"),
        "deposit": ("f8", "GeV", "energy lost in the crystals, light in /crystals with hit = -1 - row within the fill"),
        "time": ("f8", "s", "time in the plane of the face"),
    },
    "monitors": {
        "fill": _KEYS["fill"],
        "injected": ("i4", "", "muons of the injected bunch"),
        "t0_time": ("f8", "s", "time at which the mean of the bunch passes the T0 counter"),
        **{
            f"ibms{number}_{what}_{axis}": ("f8", "m", f"{meaning} {axis} of the beam at IBMS {number}")
            for number in (1, 2, 3)
            for axis in ("x", "y")
            for what, meaning in (("mean", "mean"), ("width", "rms width in"))
        },
    },
    "harp_crossings": {
        **_KEYS,
        "harp": ("i1", "", "0, 1 upright and lying fibres at 180 deg, 2, 3 at 270 deg"),
        "fibre": ("i1", "", "0..6, from the inner or lower side"),
        "turn": ("i4", "", "turn of the muon"),
        "time": ("f8", "s", "when it crosses the fibre"),
        "path": ("f8", "m", "length in the fibre"),
    },
    "faults": {
        "fill": _KEYS["fill"],
        "kind": (
            "i1", "",
            "1 quad spark, 2 missing kick, 3 weak kick, 4 dead crate, 5 tracker trip, 6 laser off, 7 field jump",
        ),
        "place": ("i2", "", "crate 1..24 that is dead, station 0 or 1 that is off, else 0"),
        "time": ("f8", "s", "when the quads spark"),
        "size": ("f8", "", "of a kick over the set one; change of the field [ppm]; else 0"),
    },
    "beam": {
        "fill": _KEYS["fill"],
        "turn": ("i4", "", "turn of the sample"),
        "count": ("i4", "", "muons still stored"),
        "time": ("f8", "s", "time at which the reference muon passes the observer"),
        "mean_x": ("f8", "m", "mean radius at the observer"),
        "rms_x": ("f8", "m", "radial spread"),
        "mean_y": ("f8", "m", "mean height"),
        "rms_y": ("f8", "m", "vertical spread"),
    },
    "profile": {
        "fill": _KEYS["fill"],
        "turn": ("i4", "", "turn of the sample"),
        "time": _ORBIT["time"],
        "x": _ORBIT["x"],
        "y": _ORBIT["y"],
    },
}  # fmt: skip


@contextmanager
def open_truth(path: Path | str) -> Iterator[Any]:
    """A truth file, open for reading.

    Raises
    ------
    NewerFormatError
        A later version of the program wrote it.
    """
    with h5py.File(path, "r") as file:
        refuse_newer(f"'{path}'", file.attrs.get("format", FORMAT), FORMAT)
        yield file


Tell = Callable[[str, int, Mapping[str, NDArray[Any]]], None]


class TruthWriter:
    """Appends the truth of fills to one HDF5 file, which appears only when the block ends well.

    Parameters
    ----------
    path : Path
        Final name, ``gm2_run<RUN>_<SUBRUN>.truth.h5``.
    attributes : mapping
        Run, subrun, seed, configuration and its hash: become attributes of the file.
    tell : callable, optional
        Is given group, fill and columns of all rows too, as they are written.
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any], tell: Tell | None = None) -> None:
        self._path = path
        self._tell = tell
        self._open = ExitStack()
        self._attributes = attributes
        self._rows = dict.fromkeys(TABLES, 0)

    def __enter__(self) -> Self:
        self._file = self._open.enter_context(new_file(self._path, read_only=True))
        self._file.attrs["format"] = FORMAT
        for name, value in self._attributes.items():
            self._file.attrs[name] = value
        for group in TABLES:
            if group not in _ON_DEMAND:
                self._create(group)
        return self

    def _create(self, group: str) -> None:
        for column, (kind, unit, meaning) in TABLES[group].items():
            data = self._file.create_dataset(
                f"{group}/{column}", (0,), kind, maxshape=(None,), chunks=(16384,), shuffle=True,
                compression="gzip", compression_opts=1,
            )  # fmt: skip
            data.attrs["unit"] = unit
            data.attrs["meaning"] = meaning

    def append(self, group: str, fill: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows of one fill to a table.

        Parameters
        ----------
        group : str
            A name in :data:`TABLES`.
        fill : int
            Event serial, repeated in every row.
        columns : mapping of str to array (n,)
            All columns of the group but ``fill``; others are ignored.
        """
        typed = {
            name: np.asarray(columns[name], kind) for name, (kind, _, _) in TABLES[group].items() if name != "fill"
        }
        rows = len(next(iter(typed.values())))
        start = self._rows[group]
        if self._tell:
            self._tell(group, fill, typed)
        if group not in self._file:
            if rows == 0:
                return
            self._create(group)
        for name in TABLES[group]:
            data = self._file[f"{group}/{name}"]
            data.resize((start + rows,))
            data[start:] = fill if name == "fill" else typed[name]
        self._rows[group] += rows

    def write_field(self, theta: NDArray[np.float64], normal: NDArray[np.float64], skew: NDArray[np.float64]) -> None:
        """The storage field the muons felt: multipoles at 45 mm over the azimuth, in parts per million of the dipole.

        Parameters
        ----------
        theta : array (m,) [rad]
        normal, skew : arrays (m, orders) [ppm]
            Order 0 of ``normal`` is the dipole's difference from its mean.
        """
        group = self._file.create_group("field")
        for name, values, unit in (("theta", theta, "rad"), ("normal", normal, "ppm"), ("skew", skew, "ppm")):
            group.create_dataset(name, data=values).attrs["unit"] = unit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
