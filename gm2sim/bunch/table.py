"""Muons as people write them: named columns with units, checked and turned into a bunch of the tracker.

Whatever the file, its muons pass here. A table that cannot be used is refused in one sentence that names file, row,
column and what to do; nothing is guessed but what is written here: a muon without ``stop_time`` never decays, one
without ``number`` gets its row, one without spin gets the precession phase of ``[beam]``.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gm2sim.config import Config, ConfigError
from gm2sim.errors import nearest
from gpu.rng import FillKey, Stage, normals, uniforms
from tracking.bunch import INTEGER_FIELDS, Bunch, State, momentum
from tracking.muon import LIFETIME, MASS, Reference

FloatArray = NDArray[np.float64]
log = logging.getLogger(__name__)

SPECIES = "mu+"
LENGTH = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6}
TIME = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
MOMENTUM = {"GeV/c": 1.0, "MeV/c": 1e-3, "eV/c": 1e-9}
_ENERGY = {"GeV": 1.0, "MeV": 1e-3, "eV": 1e-9}
_ANGLE = {"rad": 1.0, "mrad": 1e-3, "deg": np.pi / 180.0}
_VOLTAGE = {"V": 1.0, "kV": 1e3}
_NUMBER = {"": 1.0, "1": 1.0}
_RATIO = {"": 1.0, "1": 1.0, "%": 1e-2}
_OVER_P0 = "p0"


class Column(NamedTuple):
    """What a column may hold; the first unit is the one that is written."""

    units: Mapping[str, float]
    meaning: str


COLUMNS: dict[str, Column] = {
    "x": Column(LENGTH, "radial offset from the design orbit, outwards"),
    "px": Column({_OVER_P0: 1.0, **MOMENTUM}, "radial momentum"),
    "y": Column(LENGTH, "height above the mid-plane"),
    "py": Column({_OVER_P0: 1.0, **MOMENTUM}, "vertical momentum"),
    "time": Column(TIME, "time since the bunch centre passed the inflector exit"),
    "energy": Column(_ENERGY, "total energy, kinetic + mass + potential"),
    "momentum": Column(MOMENTUM, "size of the momentum"),
    "delta": Column(_RATIO, "momentum offset from the reference over it"),
    "sx": Column(_NUMBER, "spin in the rest frame, radial"),
    "sy": Column(_NUMBER, "spin in the rest frame, vertical"),
    "ss": Column(_NUMBER, "spin in the rest frame, along the beam"),
    "stop_time": Column(TIME, "time at which the muon decays; inf: never"),
    "theta": Column(_ANGLE, "azimuth within the turn, from the inflector exit"),
    "potential": Column(_VOLTAGE, "potential of the quads where the muon stands"),
    "state": Column(_NUMBER, "0 stored, 1 decayed, 2 and more lost, see tracking.bunch.State"),
    "number": Column(_NUMBER, "number of the muon within the bunch"),
    "turn": Column(_NUMBER, "completed turns"),
    "crossings": Column(_NUMBER, "passages through metal"),
    "weight": Column(_NUMBER, "muons that this one stands for"),
}
_NEEDED = ("x", "px", "y", "py", "time")
_ENERGIES = ("energy", "momentum", "delta")
_SPIN = ("sx", "sy", "ss")
_OPTIONAL = ("stop_time", "theta", "potential", "state", "number", "turn", "crossings")
_ROUNDED, _SLOPPY = 1e-12, 1e-6  # spins this far from unit length are kept as they are, and are normalised
_MOST_NUMBER = 2**32  # a muon's number fills 32 bits of the random numbers


class BunchFileError(ConfigError):
    """A file of muons that cannot be used: says where, what is wrong and how to mend it."""

    def __init__(self, path: Path, what: str, mend: str, where: str = "") -> None:
        super().__init__(f"{path}{', ' if where else ''}{where}: {what}; {mend}")
        self.path = path
        self.where = where


def row_name(row: int) -> str:
    """How a row of a table is named in messages, counted from 0."""
    return f"row {row}"


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one file.

    Attributes
    ----------
    path : Path
    columns : mapping of str to array (n,)
        Names of :data:`COLUMNS`; SI and GeV, transverse momenta over the reference momentum of the ring.
    name : callable
        Row -> how messages name it.
    """

    path: Path
    columns: Mapping[str, FloatArray]
    name: Callable[[int], str] = row_name

    def error(self, what: str, mend: str, rows: NDArray[np.bool_] | None = None, column: str = "") -> BunchFileError:
        """The error of the first of some rows."""
        where = [self.name(int(np.argmax(rows)))] if rows is not None else []
        where += [f"column '{column}'"] if column else []
        return BunchFileError(self.path, what, mend, ", ".join(where))


def in_units(
    path: Path, raw: Mapping[str, tuple[str, FloatArray]], p0: float | None, reference: Reference
) -> dict[str, FloatArray]:
    """Columns in the units of the program.

    Parameters
    ----------
    path : Path
        For messages.
    raw : mapping of str to (unit, array)
    p0 : float or None [GeV/c]
        Reference momentum that the file's ratios are taken to; that of the ring where the file has none.
    reference : Reference
        Of the ring: transverse momenta are given over its p0.

    Raises
    ------
    BunchFileError
        For an unknown column or unit.
    """
    found = {}
    over = reference.p0_gev if p0 is None else p0
    for name, (unit, values) in raw.items():
        if name not in COLUMNS:
            raise BunchFileError(path, f"column '{name}' is not known", nearest(name, COLUMNS))
        units = COLUMNS[name].units
        if unit not in units:
            choice = " or ".join(repr(one) for one in units)
            raise BunchFileError(path, f"column '{name}' has unit {unit!r}", f"give it in {choice}")
        if unit == _OVER_P0:
            scale = over / reference.p0_gev
        elif name in ("px", "py"):
            scale = units[unit] / reference.p0_gev
        else:
            scale = units[unit]
        found[name] = np.asarray(values, np.float64) * scale if scale != 1.0 else np.array(values, np.float64)
    if "delta" in found and not found.keys() & {"energy", "momentum"}:
        found["momentum"] = over * (1.0 + found.pop("delta"))
    return found


def to_bunch(table: Table, reference: Reference, config: Config, acceptance: float) -> Bunch:
    """Checked muons of a table.

    Unequal weights are resampled (:func:`resampled`): the tracker knows only whole muons.

    Parameters
    ----------
    table : Table
    reference : Reference
        Of the ring.
    config : Config
        Its seed and run number name the random numbers, its ``[beam]`` the phase of muons without spin.
    acceptance : float
        Largest relative momentum offset that is stored: a warning when some are beyond, refused when all are.

    Raises
    ------
    BunchFileError
        In one sentence, for columns that are missing or of unequal length, no rows, numbers that are not finite,
        negative weights, spins not of unit length, momenta that no muon can have, muons all outside the acceptance.
    """
    n = _check_columns(table)
    columns = table.columns
    _check_numbers(table)
    key = FillKey(config.run.seed, config.run.run, 0, 0)
    given = {name: columns[name] for name in (*_NEEDED, *_OPTIONAL) if name in columns}
    energy = columns["energy"] if "energy" in columns else np.hypot(columns["momentum"], MASS)
    whole: dict[str, Any] = {
        name: values.astype(np.int64) if name in INTEGER_FIELDS else values for name, values in given.items()
    }
    bunch = Bunch.empty(n)._replace(energy=energy, **whole)
    _check_places(table, bunch)
    _check_momenta(table, bunch, reference, acceptance)
    spin = _given_spin(table) if "sx" in columns else phased_spin(bunch, reference, config, key)
    bunch = bunch._replace(sx=spin[0], sy=spin[1], ss=spin[2])
    return resampled(bunch, columns["weight"], key) if "weight" in columns else bunch


def resampled(bunch: Bunch, weight: FloatArray, key: FillKey) -> Bunch:
    """As many muons without weights, by systematic resampling; equal weights leave the bunch as it is.

    The tracker, the metal and the decay know whole muons only, and a beam line program's weights say how many there
    are. With one uniform number u, muon j of n is the one in whose share of the summed weights (j + u)/n lies: every
    muon comes n w/W times, rounded up or down, the least scatter that whole numbers allow. G. Kitagawa, J. Comput.
    Graph. Statist. 5 (1996) 1, doi:10.2307/1390750. Copies are alike until they decay or scatter.

    Parameters
    ----------
    bunch : Bunch
    weight : array (n,)
        Not negative, not all 0.
    key : FillKey
        Names the random number.

    Returns
    -------
    Bunch
        Numbered anew from 0 where weights differ.
    """
    if np.all(weight == weight[0]):
        return bunch
    u = float(uniforms(key, Stage.RESAMPLING, [0])[0, 0])
    shares = np.cumsum(weight)
    wanted = (np.arange(bunch.n) + u) / bunch.n * shares[-1]
    last = int(np.flatnonzero(weight)[-1])  # rounding must not lead to a muon beyond the last with a weight
    chosen = np.minimum(np.searchsorted(shares, wanted, side="right"), last)
    return bunch.select(chosen)._replace(number=np.arange(bunch.n))


def with_lifetimes(bunch: Bunch, key: FillKey) -> Bunch:
    """The same muons, with decay times drawn for those that never decay, as for the muons of a simulated beam."""
    forever = np.isinf(bunch.stop_time)
    waited = -np.log(uniforms(key, Stage.DECAY_TIME, bunch.number)[0])
    drawn = bunch.time + LIFETIME * (bunch.energy / MASS) * waited
    return bunch._replace(stop_time=np.where(forever, drawn, bunch.stop_time))


def phased_spin(
    bunch: Bunch, reference: Reference, config: Config, key: FillKey
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Spin in the ring's plane, behind the momentum by the phase of ``[beam]``, its slope and its spread."""
    beam = config.beam
    px, py, ps = momentum(bunch, reference)
    delta = np.sqrt(px * px + py * py + ps * ps) / reference.p0_gev - 1.0
    behind = beam.spin_phase_rad + beam.spin_phase_slope_mrad_per_percent * (1e-3 / 1e-2) * delta
    if beam.spin_phase_spread_mrad > 0.0:
        behind += beam.spin_phase_spread_mrad * 1e-3 * normals(key, Stage.BEAM, bunch.number, 1)[0]
    angle = np.arctan2(px, ps) + behind
    return np.sin(angle), np.zeros(bunch.n), np.cos(angle)


def _check_columns(table: Table) -> int:
    """All columns are there, equally long, not empty; the number of rows."""
    have = table.columns
    missing = [name for name in _NEEDED if name not in have]
    if missing:
        raise table.error(
            f"no column '{missing[0]}'", f"{', '.join(_NEEDED)} and one of energy, momentum, delta are due"
        )
    given = [name for name in _ENERGIES if name in have]
    if len(given) != 1:
        what = "energy, momentum and delta are all missing" if not given else f"{' and '.join(given)} are both given"
        raise table.error(what, "give exactly one of them")
    spin = [name for name in _SPIN if name in have]
    if len(spin) not in (0, 3):
        raise table.error(f"a spin of {', '.join(spin)} alone", "give sx, sy and ss, or none of them")
    n = have["x"].size
    for name, values in have.items():
        if values.shape != (n,):
            raise table.error(f"column '{name}' holds {values.size} numbers, 'x' {n}", "give one for each muon")
    if n == 0:
        raise table.error("holds no muons", "give one or more")
    return n


def _check_numbers(table: Table) -> None:
    """Numbers that are numbers, whole where they count something, weights not negative."""
    for name, values in table.columns.items():
        bad = np.isnan(values) if name == "stop_time" else ~np.isfinite(values)
        if bad.any():
            raise table.error(f"{values[bad][0]} is not a finite number", "mend or delete this row", bad, name)
        if name in INTEGER_FIELDS:
            bad = (values < 0) | (values != np.floor(values)) | (values >= _MOST_NUMBER)
            if bad.any():
                raise table.error(f"{values[bad][0]:g} is no count", "give whole numbers from 0", bad, name)
    check_weights(table)
    number = table.columns.get("number")
    if number is not None:
        first = np.zeros(number.size, np.bool_)
        first[np.unique(number, return_index=True)[1]] = True
        if not first.all():
            what = f"muon number {number[~first][0]:g} comes twice"
            raise table.error(what, "number the muons apart, or leave the column out", ~first, "number")
    state = table.columns.get("state")
    if state is not None and np.any(state > max(State)):
        bad = state > max(State)
        raise table.error(f"{state[bad][0]:g} is no state", f"give 0 to {max(State):d}", bad, "state")


def check_weights(table: Table) -> None:
    """Weights, where there are any, not negative and not all 0."""
    weight = table.columns.get("weight")
    if weight is None or weight.size == 0:
        return
    bad = weight < 0.0
    if bad.any():
        raise table.error(f"weight {weight[bad][0]:g} is negative", "give 0 or more", bad, "weight")
    if not np.any(weight > 0.0):
        raise table.error("all weights are 0", "give weights above 0, or leave the column out")


def _check_places(table: Table, bunch: Bunch) -> None:
    """Stored muons at one azimuth, in one turn."""
    stored = bunch.state == State.STORED
    if not stored.any():
        raise table.error("none of its muons is stored any more", "give muons with state 0")
    for name, mend in (("theta", "bring all muons to one azimuth"), ("turn", "give muons of one turn")):
        values = getattr(bunch, name)
        first = values[np.argmax(stored)]
        bad = stored & (values != first)
        if bad.any():
            raise table.error(f"{values[bad][0]:g} where other muons have {first:g}", mend, bad, name)
    bad = stored & ~((bunch.theta >= 0.0) & (bunch.theta < 2.0 * np.pi))
    if bad.any():
        raise table.error(f"{bunch.theta[bad][0]:g} rad is no azimuth", "give 0 to below 2 pi rad", bad, "theta")


def _check_momenta(table: Table, bunch: Bunch, reference: Reference, acceptance: float) -> None:
    """Muons that move along the beam, some of them within the acceptance."""
    kinetic = bunch.energy - bunch.potential * 1e-9
    square = (kinetic - MASS) * (kinetic + MASS)
    bad = ~(kinetic > MASS)
    if bad.any():
        what = f"total energy {bunch.energy[bad][0]:g} GeV is not above the mass of the muon"
        raise table.error(what, "check unit and column", bad)
    across = (bunch.px**2 + bunch.py**2) * reference.p0_gev**2
    bad = across >= square
    if bad.any():
        raise table.error("px and py leave nothing of the momentum along the beam", "check their units", bad)
    stored = bunch.state == State.STORED
    delta = np.sqrt(square[stored]) / reference.p0_gev - 1.0
    outside = np.abs(delta) > acceptance
    limit = f"the ring stores |dp/p| up to {100 * acceptance:.2g} %"
    if outside.all():
        nearest_one = delta[np.argmin(np.abs(delta))]
        what = f"no muon is within the acceptance, the nearest has dp/p = {100 * nearest_one:.3g} %"
        raise table.error(f"{what} and {limit}", "check the unit of the momentum, or the field of the ring")
    if outside.any():
        log.warning("%s: %d of %d muons will be lost: %s", table.path, outside.sum(), delta.size, limit)


def _given_spin(table: Table) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The spins of the table, of unit length."""
    sx, sy, ss = (table.columns[name] for name in _SPIN)
    length = np.sqrt(sx * sx + sy * sy + ss * ss)
    off = np.abs(length - 1.0)
    bad = off > _SLOPPY
    if bad.any():
        what = f"the spin has length {length[bad][0]:.7g}"
        raise table.error(what, f"give unit vectors, to {_SLOPPY:g}", bad, "sx, sy, ss")
    scale = np.where(off > _ROUNDED, length, 1.0)
    return sx / scale, sy / scale, ss / scale
