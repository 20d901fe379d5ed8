"""Files of muons: read and written in our own HDF5 form, as text with units, as BLTrackFile and as openPMD.

The HDF5 form holds one data set a column, with unit and meaning as attributes, and the reference momentum that the
transverse momenta are taken over; it gives back every bit. All forms go through :mod:`gm2sim.bunch.table`.
"""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from gm2sim.atomic import atomic_path, write_pieces
from gm2sim.bunch.frame import Frame, into_ring, out_of_ring
from gm2sim.bunch.table import COLUMNS, MOMENTUM, SPECIES, BunchFileError, Table, in_units, to_bunch
from gm2sim.bunch.text import bltrack_lines, csv_lines, read_bltrack, read_csv
from gm2sim.config import Config, ConfigError
from gm2sim.hdf5 import new_file
from tracking.bunch import INTEGER_FIELDS, Bunch, State
from tracking.muon import Reference

FloatArray = NDArray[np.float64]
Kind = Literal["native", "csv", "bltrack", "openpmd"]
FORMAT = "gm2sim bunch 1"
TRACK_FORMAT = "gm2sim track 1"
_ENDINGS: dict[str, Kind] = {".h5": "native", ".hdf5": "native", ".csv": "csv", ".txt": "bltrack", ".dat": "bltrack"}
_HDF5, _BLTRACK = b"\x89HDF\r\n\x1a\n", b"#BLTrackFile"
_OPENPMD_SPECIES = "antimuon"  # what openPMD-beamphysics calls the positive muon
_ALIVE = 1
_CHARGE = 1.602176634e-19  # of a muon [C]; exact


def read_bunch(
    path: str | Path, config: Config, reference: Reference, acceptance: float, frame: Frame, kind: Kind | None = None
) -> Bunch:
    """Muons of a file, checked.

    Parameters
    ----------
    path : str or Path
    config : Config
        Seed and precession phase, see :func:`gm2sim.bunch.table.to_bunch`.
    reference : Reference
        Of the ring.
    acceptance : float
        Largest relative momentum offset that the ring stores.
    frame : Frame
        Where the coordinates of a straight frame (BLTrackFile, openPMD) stand in the ring.
    kind : str, optional
        "native", "csv", "bltrack", "openpmd"; found from what the file holds if left out.

    Returns
    -------
    Bunch
        The stored muons stand at one azimuth.

    Raises
    ------
    BunchFileError
        One sentence: file, row and column, what is wrong, how to mend it.
    """
    path = Path(path)
    found = kind or _kind(path)
    if found == "bltrack":
        table = read_bltrack(path, frame, reference)
    elif found == "openpmd":
        table = _read_openpmd(path, frame, reference)
    else:
        table = read_csv(path, reference) if found == "csv" else _read_native(path, reference)
    return to_bunch(table, reference, config, acceptance)


def write_bunch(
    bunch: Bunch,
    path: str | Path,
    reference: Reference,
    *,
    weight: FloatArray | None = None,
    frame: Frame | None = None,
    kind: Kind | None = None,
) -> None:
    """Write muons to a file, which appears whole or not at all; an existing one is replaced.

    Parameters
    ----------
    bunch : Bunch
    path : str or Path
        The ending tells the kind: .h5 native, .csv, .txt BLTrackFile.
    reference : Reference
        Of the ring, ``ring.reference``.
    weight : array (n,), optional
        Column of weights.
    frame : Frame, optional
        Straight frame of a BLTrackFile or openPMD file; that of the design orbit where the muons stand if left out.
        These two hold stored muons only, with kinetic momenta and without spins.
    kind : str, optional
        "native", "csv", "bltrack" or "openpmd", in place of the ending.

    Raises
    ------
    ConfigError
        An ending that is not known, or ``openpmd`` without its library.
    """
    path = Path(path)
    if kind is None and path.suffix not in _ENDINGS:
        raise ConfigError(f"'{path}' has no known ending: give {', '.join(_ENDINGS)}, or say the kind")
    found = kind or _ENDINGS[path.suffix]
    if found in ("bltrack", "openpmd"):
        stored = bunch.state == State.STORED
        bunch, weight = bunch.select(stored), None if weight is None else weight[stored]
    columns: dict[str, NDArray[Any]] = bunch._asdict()
    if weight is not None:
        columns["weight"] = np.asarray(weight, np.float64)
    placed = frame or Frame(azimuth=float(bunch.theta[0]) if bunch.n else 0.0)
    if found == "native":
        with new_file(path, replace=True) as file:
            write_native(file, columns, reference)
    elif found == "csv":
        _write_lines(path, csv_lines(columns, reference))
    elif found == "bltrack":
        _write_lines(path, bltrack_lines(bunch, columns.get("weight"), placed, reference, path.stem))
    else:
        _write_openpmd(bunch, path, columns.get("weight"), placed, reference)


def _write_lines(path: Path, blocks: Iterator[str]) -> None:
    write_pieces(path, (block.encode("utf-8") for block in blocks), replace=True)


def write_native(group: Any, columns: dict[str, NDArray[Any]], reference: Reference) -> None:
    """Write columns into an open HDF5 file or group, with units, meanings and the reference."""
    group.attrs["format"] = FORMAT
    group.attrs["species"] = SPECIES
    for name, value in (("p0_gev", reference.p0_gev), ("b0_t", reference.b0), ("r0_m", reference.r0)):
        group.attrs[name] = value
    for name, values in columns.items():
        kind = "i8" if name in INTEGER_FIELDS else "f8"
        packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if values.size else {}
        data = group.create_dataset(name, data=values, dtype=kind, **packed)
        data.attrs["unit"] = next(iter(COLUMNS[name].units))
        data.attrs["meaning"] = COLUMNS[name].meaning


def _kind(path: Path) -> Kind:
    """What a file holds, by its first bytes."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(_HDF5):
        try:
            with h5py.File(path) as opened:
                return "openpmd" if "openPMD" in opened.attrs else "native"
        except OSError:
            raise BunchFileError(path, "is a broken HDF5 file", "fetch or write it again") from None
    if not head:
        raise BunchFileError(path, "is empty", "give a file with muons")
    return "bltrack" if head.startswith(_BLTRACK) else "csv"


def _read_native(path: Path, reference: Reference) -> Table:
    """The HDF5 form; of a tracked file the muons at its end."""
    raw: dict[str, tuple[str, FloatArray]] = {}
    try:
        file = h5py.File(path)
    except OSError:
        raise BunchFileError(path, "is no HDF5 file", "fetch or write it again") from None
    with file:
        group = file["final"] if _text(file.attrs.get("format")) == TRACK_FORMAT else file
        species = _text(group.attrs.get("species", SPECIES))
        if species != SPECIES:
            raise BunchFileError(path, f"species {species}", f"only {SPECIES} are tracked")
        p0 = group.attrs.get("p0_gev")
        if p0 is not None and not (np.ndim(p0) == 0 and 0.0 < float(p0) < np.inf):
            raise BunchFileError(path, f"p0_gev = {p0} is no reference momentum", "give it in GeV/c, above 0")
        for name, data in group.items():
            if not isinstance(data, h5py.Dataset) or data.ndim != 1 or data.dtype.kind not in "fiu":
                raise BunchFileError(path, f"'{name}' is no column of numbers", "take it out of the file")
            if "unit" not in data.attrs:
                raise BunchFileError(path, f"column '{name}' has no unit", "write it as the attribute 'unit'")
            raw[name] = (_text(data.attrs["unit"]), data[:])
    return Table(path, in_units(path, raw, None if p0 is None else float(p0), reference))


def _text(value: Any) -> str:
    """An attribute as text, whatever program wrote it."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _particle_group() -> Any:
    """The class of openPMD-beamphysics, or one sentence that says how to get it."""
    try:
        with warnings.catch_warnings(action="ignore"):  # its import warns of what it uses of others
            return importlib.import_module("beamphysics").ParticleGroup
    except ImportError:
        raise ConfigError("openPMD files need another library: pip install 'gm2sim[openpmd]'") from None


def _read_openpmd(path: Path, frame: Frame, reference: Reference) -> Table:
    """The living particles of an openPMD file as openPMD-beamphysics reads it: m, eV/c, s, weights in C; no spins."""
    particles = _particle_group()
    try:
        group = particles(str(path))
        species, alive = str(group.species), np.asarray(group.status) == _ALIVE
        names = ("x", "y", "z", "px", "py", "pz", "t", "weight")
        read = {name: np.asarray(group[name], np.float64)[alive] for name in names}
    except Exception as err:  # its own errors are of many kinds
        raise BunchFileError(path, f"openPMD-beamphysics cannot read it ({err})", "write it again") from None
    if species != _OPENPMD_SPECIES:
        what = f"species {species} is not the positive muon"
        raise BunchFileError(path, what, f"only {SPECIES} are tracked, openPMD's '{_OPENPMD_SPECIES}'")
    columns = {name: read[name] for name in ("x", "y", "z", "weight")} | {"time": read["t"]}
    columns |= {name: read[name] * MOMENTUM["eV/c"] for name in ("px", "py", "pz")}
    return into_ring(Table(path, columns), frame, reference)


def _write_openpmd(bunch: Bunch, path: Path, weight: FloatArray | None, frame: Frame, reference: Reference) -> None:
    particles = _particle_group()
    muons = out_of_ring(bunch, frame, reference)
    data = {name: getattr(muons, name) for name in ("x", "y", "z")}
    data |= {name: getattr(muons, name) / MOMENTUM["eV/c"] for name in ("px", "py", "pz")}
    charge = np.full(bunch.n, _CHARGE) if weight is None else _CHARGE * weight
    data |= {"t": muons.time, "weight": charge, "status": np.full(bunch.n, _ALIVE), "species": _OPENPMD_SPECIES}
    with atomic_path(path, replace=True) as temporary:
        particles(data=data).write(str(temporary))
