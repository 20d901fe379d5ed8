"""Positrons from their birth to the calorimeter that they enter, through the straw trackers, or to where they are lost.

One flight: through the fields, plates, collimators and walls; in cells 12 and 18 through the straws of a tracker, and
on from there with what is left of the momentum. What metal makes of a positron flies too: a photon straight on until
metal turns it into a pair, and the pair's positron and electron through the fields, like all others.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from decay.positron import Positrons
from detectors.flight import ROOM, follow
from detectors.flying import Faces, Fate, Flying, Limits, begin
from detectors.geometry import CELL, Geometry, GeometryTables
from detectors.straw_crossings import Crossings, CrossingSettings, Passages, Way, cross_straws
from detectors.straw_entrances import Entrances
from detectors.straws import CELLS, Stations, to_global
from fields.total import FieldTables
from gpu.rng import FillKey
from tracking.muon import RIGIDITY

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

__all__ = ["Ends", "Fate", "Flight", "Hits", "Secondaries", "TransportSettings", "fly_positrons", "transport"]

_STRONGEST = 1.65  # field that sets the step of slow positrons [T]
_GENERATIONS = 4  # photons of positrons, of the pairs that those make, and so on: 2 in 1000 are left
_AFTER = {Way.WALL: Fate.LOST_CHAMBER, Way.MANIFOLD: Fate.LOST_TRACKER, Way.TURNED: Fate.LOST_CHAMBER}


class Hits(NamedTuple):
    """Particles that enter calorimeters, sorted by positron and order; all arrays have shape (n,).

    A particle enters through the front face (depth 0) or through a side (depth > 0): it is at the place (u, v) at that
    depth behind the plane of the face, and at (u, v) + (du, dv) (d - depth) at a depth d.
    """

    calo: IntArray  # calorimeter, 0 to 23
    u: FloatArray  # horizontal place where it enters, from the face's centre, away from the ring's centre [m]
    v: FloatArray  # height there [m]
    du: FloatArray  # slopes with respect to the face's normal, du / d depth
    dv: FloatArray  # and dv / d depth
    energy: FloatArray  # total energy [GeV]
    time: FloatArray  # [s]
    number: IntArray  # index of the parent muon in the fill
    depth: FloatArray  # where the particle enters, behind the plane of the face [m]: above 0 through a side
    order: IntArray  # 0 the positron itself; 1, 2, ... photons that it made on its way, and particles of their pairs


class Ends(NamedTuple):
    """End of each path, in the order of the positrons; calo, u, v, du, dv, depth are 0 without a hit."""

    fate: IntArray  # Fate
    calo: IntArray
    u: FloatArray  # [m]
    v: FloatArray  # [m]
    du: FloatArray
    dv: FloatArray
    energy: FloatArray  # [GeV]
    time: FloatArray  # [s]
    path: FloatArray  # length of the path [m]
    x: FloatArray  # place in the global frame [m]
    y: FloatArray  # [m]
    z: FloatArray  # [m]
    sheets: IntArray  # sheets of metal passed
    depth: FloatArray  # [m]
    ionised: FloatArray  # energy lost by ionisation [GeV]

    @classmethod
    def of(cls, faces: Faces, at: Flying) -> Self:
        """Of flights that have ended."""
        return cls(
            faces.fate, faces.calo, faces.u, faces.v, faces.du, faces.dv, at.energy, at.time, at.path,
            at.x, at.y, at.z, at.sheets, faces.depth, at.ionised,
        )  # fmt: skip

    def hits(self, number: IntArray, order: IntArray | None = None) -> Hits:
        """Those that hit a calorimeter; `number` is that of their muons, shape (n,), `order` as in `Hits`."""
        hit = self.fate == Fate.HIT
        orders = order if order is not None else np.zeros(number.size, np.int64)
        columns = (self.calo, self.u, self.v, self.du, self.dv, self.energy, self.time, number, self.depth, orders)
        return Hits._make(np.ascontiguousarray(column[hit]) for column in columns)


class Secondaries(NamedTuple):
    """Photons radiated by positrons, and electrons of pairs, sorted by positron and order."""

    positron: IntArray  # index of the positron that it comes from
    born: Flying  # as born; rows of the following are in the same order
    ends: Ends  # the end of its path; of a photon that became a pair: of the positron of that pair
    charge: IntArray  # at the end: 0 for a photon that never became a pair


class Flight(NamedTuple):
    """All of one fill."""

    hits: Hits  # of positrons, photons and pairs
    ends: Ends  # of the n positrons
    entrances: Entrances  # positrons in tracker stations, in the order of the positrons
    crossings: Crossings  # straws crossed, in the order of the entrances
    passages: Passages  # one row for each entrance
    secondaries: Secondaries


@dataclass(frozen=True)
class TransportSettings:
    """How positrons are followed.

    Parameters
    ----------
    step
        Longest step [m].
    bend
        Largest angle turned in a step [rad].
    least_momentum
        Slower positrons are not followed: no crystal triggers on them [GeV/c].
    longest_path
        Where a positron still in flight is given up [m].
    material
        Whether metal takes energy and scatters; without, plates, collimators and inner walls are transparent.
    photons
        Whether photons radiated in metal are followed, and the pairs that they make.
    photon_threshold
        Photons of less energy are not [GeV].
    side_entry
        Whether a calorimeter can be entered through its sides, top and bottom; without, it is transparent there.
    straws
        How positrons are followed in the trackers.
    """

    step: float = 0.06
    bend: float = 0.1
    least_momentum: float = 0.05
    longest_path: float = 30.0
    material: bool = True
    photons: bool = False
    photon_threshold: float = 0.020
    side_entry: bool = False
    straws: CrossingSettings = field(default_factory=CrossingSettings)

    def __post_init__(self) -> None:
        if not 1e-4 <= self.step <= 0.2:
            raise ValueError(f"transport step = {self.step} m is out of bounds: give 0.0001 to 0.2 m.")
        if not 1e-4 <= self.bend <= 0.5:
            raise ValueError(f"transport bend = {self.bend} rad is out of bounds: give 0.0001 to 0.5 rad.")
        if not self.least_momentum >= 0.005:
            raise ValueError(f"least_momentum = {self.least_momentum} GeV/c is too low: give 0.005 or more.")
        if not 0.1 <= self.longest_path <= 1000.0:
            raise ValueError(f"longest_path = {self.longest_path} m is out of bounds: give 0.1 to 1000 m.")
        if not 1e-3 <= self.photon_threshold <= 1.0:
            raise ValueError(f"photon_threshold = {self.photon_threshold} GeV is out of bounds: give 0.001 to 1 GeV.")

    def limits(self) -> Limits:
        """The settings for kernels."""
        per_momentum = self.bend / (RIGIDITY * _STRONGEST)
        shortest = min(self.step, per_momentum * self.least_momentum)
        return Limits(
            step=self.step,
            step_per_momentum=per_momentum,
            least_momentum=self.least_momentum,
            longest_path=self.longest_path,
            most_steps=int(2.0 * self.longest_path / shortest) + 1000,
            material=int(self.material),
            photons=int(self.photons and self.material),
            photon_threshold=self.photon_threshold,
            sides=int(self.side_entry),
        )


class _World(NamedTuple):
    """What is the same for all flights of a fill."""

    fields: FieldTables
    geometry: GeometryTables
    stations: Stations | None
    settings: TransportSettings
    key: FillKey
    backend: str


class _Made(NamedTuple):
    """Particles just made, each with the row of the particle that made it."""

    maker: IntArray
    particles: Flying


class _Through(NamedTuple):
    """Passages of tracker stations, each with the row of its positron."""

    row: IntArray
    entrances: Entrances
    crossings: Crossings
    passages: Passages


def transport(
    positrons: Positrons,
    fields: FieldTables,
    geometry: Geometry,
    key: FillKey,
    settings: TransportSettings | None = None,
    backend: str = "cpu",
) -> tuple[Hits, Ends]:
    """Follow positrons to the calorimeters, past closed scallops without trackers.

    Parameters as in :func:`fly_positrons`.

    Returns
    -------
    Hits
        Those that reached a calorimeter, in the order of the positrons.
    Ends
        Where each of the n positrons ended, and why.
    """
    flight = fly_positrons(positrons, fields, geometry, key, settings, backend=backend)
    return flight.hits, flight.ends


def fly_positrons(
    positrons: Positrons,
    fields: FieldTables,
    geometry: Geometry,
    key: FillKey,
    settings: TransportSettings | None = None,
    stations: Stations | None = None,
    backend: str = "cpu",
) -> Flight:
    """Follow positrons, and what they make, to the calorimeters and through the trackers.

    On the way plates, collimators and the chamber's inner wall take energy by bremsstrahlung and ionisation, and
    scatter. All that is radiated in one sheet is one photon; with `settings.photons` it flies straight on from there,
    along the path of its positron, and the sheets in front of it (the rest of its own first) turn it into a pair with
    the probability 1 - exp(-7/9 t). The pair shares its energy evenly at random; its positron (under the photon's row
    and order) and its electron (under one of its own) fly through the fields, lose, scatter and radiate. Nothing is
    made in the straws, and only the positrons themselves see them.

    Parameters
    ----------
    positrons
        As born, n of them.
    fields
        From `fields.total.field_tables`.
    geometry
        What they can meet.
    key
        Fill that the random numbers belong to (stages SCATTERING and STRAW_SCATTERING).
    settings
        Steps, limits and switches; the defaults where None.
    stations
        The trackers, in the same geometry; none where None.
    backend
        "cpu" or "gpu".

    Raises
    ------
    ValueError
        If the stations stand in another geometry.
    """
    chosen = settings if settings is not None else TransportSettings()
    if stations is not None and stations.geometry != geometry:
        raise ValueError("the tracker stations stand in another geometry: give Stations(geometry=...) the same one.")
    tables = geometry.tables() if stations is None else stations.chamber_tables()
    world = _World(fields, tables, stations, chosen, key, backend)
    flying = begin(positrons, tables, backend)
    ends, made, through = _fly(flying, world)
    secondaries = _fly_made(made, world._replace(stations=None))
    own, others = ends.hits(positrons.number), secondaries.ends.hits(secondaries.born.number, secondaries.born.order)
    hit = np.flatnonzero(ends.fate == Fate.HIT), secondaries.positron[secondaries.ends.fate == Fate.HIT]
    both = Hits._make(np.concatenate(pair) for pair in zip(own, others, strict=True))
    by_positron = np.lexsort((both.order, np.concatenate(hit)))
    hits = Hits._make(np.ascontiguousarray(column[by_positron]) for column in both)
    return Flight(hits, ends, through.entrances, through.crossings, through.passages, secondaries)


def _fly(flying: Flying, world: _World) -> tuple[Ends, _Made, _Through]:
    """Fly particles to their ends, in place, through as many stations as they meet."""
    limits = world.settings.limits()
    faces, made = follow(flying, world.fields, world.geometry, limits, world.key, world.backend)
    children = [_made_by(np.arange(flying.x.size), made)]
    passed: list[_Through] = []
    while world.stations is not None:
        rows = np.flatnonzero(faces.fate == Fate.STATION)
        if rows.size == 0 and passed:
            break
        through = _cross(rows, flying, world, world.stations)
        passed.append(through)
        lost, reached = _leave(through, flying, world.stations)
        faces.fate[rows] = lost
        rows = rows[reached]
        on = flying.take(rows)
        next_faces, made = follow(on, world.fields, world.geometry, limits, world.key, world.backend)
        flying.put(rows, on)
        for column, values in zip(faces, next_faces, strict=True):
            column[rows] = values
        children.append(_made_by(rows, made))
    together = _Made(
        np.concatenate([some.maker for some in children]),
        Flying._make(np.concatenate(columns) for columns in zip(*(some.particles for some in children), strict=True)),
    )
    return Ends.of(faces, flying), together, _in_order(passed)


def _made_by(rows: IntArray, made: Flying) -> _Made:
    """What was made, from the room that `follow` gives."""
    used = np.flatnonzero(made.energy > 0.0)
    return _Made(rows[used // ROOM], made.take(used))


def _cross(rows: IntArray, flying: Flying, world: _World, stations: Stations) -> _Through:
    """Take positrons that stand in stations through the straws."""
    at = flying.take(rows)
    azimuth = np.mod(np.arctan2(at.z, at.x) - world.geometry.cell_origin, 2.0 * np.pi)
    station = np.searchsorted(np.array(CELLS), (azimuth / CELL).astype(np.int64))
    columns = (at.x, at.y, at.z, at.dx, at.dy, at.dz, at.energy, at.time, at.path, at.number)
    entrances = Entrances(station, *columns)
    crossings, passages = cross_straws(
        entrances, world.fields, stations, world.key, world.settings.straws, backend=world.backend
    )
    return _Through(rows, entrances, crossings, passages)


def _leave(through: _Through, flying: Flying, stations: Stations) -> tuple[IntArray, NDArray[np.bool_]]:
    """Put positrons where they have left their station; return their fates, and which of them fly on."""
    rows, passages = through.row, through.passages
    place = np.stack([passages.x, passages.y, passages.z], axis=1)
    direction = np.stack([passages.dx, passages.dy, passages.dz], axis=1)
    for s, frame in enumerate(stations.frames):
        here = through.entrances.station == s
        place[here], direction[here] = to_global(place[here], frame), to_global(direction[here], frame, vectors=True)
    flying.x[rows], flying.y[rows], flying.z[rows] = place.T
    flying.dx[rows], flying.dy[rows], flying.dz[rows] = direction.T
    flying.energy[rows], flying.time[rows] = passages.energy, passages.time
    flying.path[rows] += passages.path
    flying.ionised[rows] += passages.ionised
    fate = np.full(rows.size, Fate.OUT, np.int64)
    for way, lost in _AFTER.items():
        fate[passages.way == way] = lost
    return fate, passages.way == Way.PASSED


def _in_order(passed: list[_Through]) -> _Through:
    """Passages sorted by positron, each one's along its way."""
    if not passed:
        return _Through(np.zeros(0, np.int64), Entrances.empty(0), Crossings.empty(0), Passages.empty(0))
    row, *tables = ([getattr(some, name) for some in passed] for name in ("row", "entrances", "crossings", "passages"))
    entrances, crossings, passages = (
        [np.concatenate(columns) for columns in zip(*parts, strict=True)] for parts in tables
    )
    rows = np.concatenate(row)
    order = np.argsort(rows, kind="stable")
    straws = passages[Passages._fields.index("straws")]
    owner = np.argsort(np.repeat(np.argsort(order, kind="stable"), straws), kind="stable")
    return _Through(
        rows[order],
        Entrances._make(np.ascontiguousarray(column[order]) for column in entrances),
        Crossings._make(np.ascontiguousarray(column[owner]) for column in crossings),
        Passages._make(np.ascontiguousarray(column[order]) for column in passages),
    )


def _fly_made(made: _Made, world: _World) -> Secondaries:
    """Fly what positrons made, and what that makes, for some generations; number it for each positron."""
    positron, particles = made.maker, made.particles
    counts = np.zeros(int(positron.max()) + 1 if positron.size > 0 else 0, np.int64)
    done = []
    for _ in range(_GENERATIONS):
        sort = np.argsort(positron, kind="stable")
        positron, flying = positron[sort], particles.take(sort)
        flying.order[:] = 1 + counts[positron] + np.arange(positron.size) - np.searchsorted(positron, positron)
        counts += np.bincount(positron, minlength=counts.size)
        born = flying.take(np.arange(positron.size))
        ends, made, _ = _fly(flying, world)
        done.append(Secondaries(positron, born, ends, flying.charge))
        positron, particles = positron[made.maker], made.particles
        if positron.size == 0:
            break
    born = Flying._make(np.concatenate(columns) for columns in zip(*(some.born for some in done), strict=True))
    ends = Ends._make(np.concatenate(columns) for columns in zip(*(some.ends for some in done), strict=True))
    positron, charge = (np.concatenate([getattr(some, name) for some in done]) for name in ("positron", "charge"))
    sort = np.lexsort((born.order, positron))
    return Secondaries(positron[sort], born.take(sort), Ends._make(column[sort] for column in ends), charge[sort])
