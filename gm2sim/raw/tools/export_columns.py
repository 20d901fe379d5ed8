"""The columns of exported tables: names that the experiment's reconstruction uses, with units.

Names as in the public records of the experiment (lyon-fnal/gm2dataproducts @ba75faf: IslandArtRecord,
CrystalFitResultArtRecord, ClusterArtRecord, WireID, TrackerHitArtRecord, FittedTrackArtRecord); islandNum, length and
trace are those of later records (recalled); where they have none, ours.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.errors import ConfigError, nearest


class Jagged(NamedTuple):
    """A column of lists: all numbers behind one another, and how many each row has."""

    values: NDArray[np.int16]
    counts: NDArray[np.int32]


Columns = dict[str, NDArray[np.generic] | Jagged]


class Column(NamedTuple):
    """A column.

    Attributes
    ----------
    type : str
        Of numpy; of the numbers in the lists of a jagged column.
    unit : str
        Empty for none.
    meaning : str
    counter : str
        Of a jagged column: the column with the lengths of its lists.
    """

    type: str
    unit: str
    meaning: str
    counter: str = ""


_EVENT = {
    "run": Column("i4", "", "run number"),
    "subrun": Column("i4", "", "subrun number"),
    "event": Column("i4", "", "event number in the run, serial number of the raw file"),
}
_CALO = Column("i2", "", "calorimeter, 1 to 24")
_XTAL = Column("i2", "", "crystal, 0 to 53, 0 at the bottom right seen from the beam, 8 at the bottom left")
_ISLAND = Column("i4", "", "island of this calorimeter in this event, from 0")

TABLES: dict[str, dict[str, Column]] = {
    "islands": {
        **_EVENT,
        "caloNum": _CALO,
        "xtalNum": _XTAL,
        "islandNum": _ISLAND,
        "time": Column("i4", "clock ticks of 1.25 ns", "number of the island's first sample in the fill"),
        "length": Column("i4", "", "samples"),
        "trace": Column("i2", "ADC counts", "samples of this crystal", counter="length"),
    },
    "hits": {
        **_EVENT,
        "caloNum": _CALO,
        "xtalNum": _XTAL,
        "islandNum": _ISLAND,
        "energy": Column("f8", "MeV", "of the fitted pulse, gains undone"),
        "time": Column("f8", "ns", "of the fitted pulse since injection, offset of the channel taken off"),
        "pedestal": Column("f4", "ADC counts", "of the crystal in this fill"),
        "fitQuality": Column("f8", "", "chi squared per degree of freedom of the fit"),
    },
    "clusters": {
        **_EVENT,
        "caloNum": _CALO,
        "energy": Column("f8", "MeV", "of the positron"),
        "t0": Column("f8", "ns", "time since injection"),
        "x0": Column("f8", "mm", "on the face, away from the ring's centre, from the middle"),
        "y0": Column("f8", "mm", "on the face, up, from the middle"),
        "numHits": Column("i4", "", "crystals with a pulse"),
        "seedShare": Column("f8", "", "energy of the highest crystal over that of all crystals with a pulse"),
    },
    "straws": {
        **_EVENT,
        "station": Column("i2", "", "0 before calorimeter 13, 1 before calorimeter 19"),
        "module": Column("i2", "", "0 to 7"),
        "view": Column("i2", "", "0 u, 1 v"),
        "layer": Column("i2", "", "of the view, 0 or 1"),
        "straw": Column("i2", "", "wire of the layer, 0 to 31"),
        "time": Column("f8", "ns", "of the TDC since injection, drift included"),
        "width": Column("f8", "ns", "of the pulse, 0 where it was not measured"),
    },
    "tracks": {
        **_EVENT,
        "station": Column("i2", "", "0 before calorimeter 13, 1 before calorimeter 19"),
        "momentum": Column("f8", "MeV/c", "at the entrance"),
        "time": Column("f8", "ns", "at the entrance, since injection"),
        "x": Column("f8", "mm", "at the entrance, the layer of the first hit, in the frame of the station"),
        "y": Column("f8", "mm", "there, up"),
        "z": Column("f8", "mm", "there, along the station"),
        "dxdz": Column("f8", "", "slope there"),
        "dydz": Column("f8", "", "slope there"),
        "chi_squared": Column("f8", "", "of the fit"),
        "ndf": Column("i4", "", "degrees of freedom of the fit"),
        "pValue": Column("f8", "", "of the fit"),
        "numHits": Column("i4", "", "hits that are fitted"),
        "numPlanesHit": Column("i4", "", "layers with a fitted hit"),
        "errorFlag": Column("i2", "", "1 where the fit has not ended well"),
        "passTrackQuality": Column("i2", "", "1 for a track that the cuts keep"),
        "hasDecayVertex": Column("i2", "", "1 where the track has a tangent point"),
        "passVertexQuality": Column("i2", "", "1 for a vertex that the cuts keep"),
        "decayVertexX": Column("f8", "mm", "radially from the design orbit"),
        "decayVertexY": Column("f8", "mm", "height"),
        "decayVertexTheta": Column("f8", "rad", "azimuth from the inflector's exit"),
        "decayVertexTime": Column("f8", "ns", "since injection"),
        "caloNum": Column("i2", "", "calorimeter that the track goes on to, 1 to 24; 0 for none"),
        "caloX": Column("f8", "mm", "on its face, along it"),
        "caloY": Column("f8", "mm", "on its face, up"),
        "caloTime": Column("f8", "ns", "there, since injection"),
    },
}
DEFAULT = ("islands", "hits", "clusters", "straws")
"""What is exported when nothing is said: tracks take longest."""


def chosen(words: str) -> tuple[str, ...]:
    """Names of tables from words with commas.

    Raises
    ------
    ConfigError
        A table is not known.
    """
    names = tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    for name in names:
        if name not in TABLES:
            raise ConfigError(f"--what {name} is not known: {nearest(name, TABLES)}")
    if not names:
        raise ConfigError(f"--what names no table: valid names: {', '.join(TABLES)}")
    return names
