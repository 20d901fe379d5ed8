"""Positron candidates: a table, and its file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Clusters(NamedTuple):
    """Positron candidates: arrays (n,), in order of fill, calorimeter and island.

    Attributes
    ----------
    fill : int64 array
        Event serial.
    calo : int64 array
        Calorimeter 0..23.
    energy : array [GeV]
    time : array [s]
        Since injection.
    x, y : arrays [m]
        On the face: x away from the ring centre, y up, from the middle.
    multiplicity : int64 array
        Crystals with a pulse.
    share : array
        Energy of the highest crystal over that of all crystals with a pulse.
    """

    fill: Ints
    calo: Ints
    energy: Floats
    time: Floats
    x: Floats
    y: Floats
    multiplicity: Ints
    share: Floats

    @classmethod
    def concatenate(cls, parts: Iterable["Clusters"]) -> "Clusters":
        """Put clusters of several fills behind one another."""
        listed = [cls.empty(), *parts]
        return cls(*(np.concatenate(columns) for columns in zip(*listed, strict=True)))

    def select(self, which: NDArray[np.bool_]) -> "Clusters":
        """Some of the clusters."""
        return Clusters._make(column[which] for column in self)

    @classmethod
    def empty(cls) -> "Clusters":
        """No clusters."""
        none, no = np.zeros(0), np.zeros(0, np.int64)
        return cls(no, no, none, none, none, none, no, none)


def save_clusters(path: Path, clusters: Clusters) -> None:
    """Write clusters to an HDF5 file, one data set per column with its unit."""
    from gm2sim.hdf5 import new_file

    with new_file(path, replace=True) as file:
        put_clusters(file, clusters)


def put_clusters(file: Any, clusters: Clusters) -> None:
    """Write clusters into an open HDF5 file, under /clusters."""
    units = {"energy": "GeV", "time": "s", "x": "m", "y": "m"}
    for name, values in clusters._asdict().items():
        column = file.create_dataset(f"clusters/{name}", data=values, compression="gzip", shuffle=True)
        column.attrs["unit"] = units.get(name, "")


def load_clusters(path: Path) -> Clusters:
    """Read clusters back that :func:`save_clusters` wrote."""
    import h5py

    with h5py.File(path, "r") as file:
        return Clusters(*(file[f"clusters/{name}"][:] for name in Clusters._fields))
