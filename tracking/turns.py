"""Track a bunch around the ring, turn by turn, until its muons decay, are lost, or the turns are over."""

import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu import threads
from gpu.march import WIDTH
from gpu.rng import FillKey
from tracking.block import FIXED_POINT
from tracking.bunch import Bunch, State
from tracking.changes import Changes, timed_table
from tracking.crossings import Crossings, crossings_of, joined
from tracking.marks import make_marks
from tracking.matter import metal
from tracking.muon import LIGHT_SPEED, MASS
from tracking.runner import Runner, runner
from tracking.state import COLUMNS, Marks, Matter, Muons, Samples
from tracking.stations import RingTables, StationTable

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
_HARP_CHUNK = 16  # the same with harps: who crosses a fibre is written down turn by turn
CHUNK = 256  # turns between progress calls; the muons that are left are then packed into full blocks
_TAIL = 4  # a muon that stops may run a little into the next chunk of turns


@dataclass(frozen=True, eq=False)
class Motion:
    """What the observers saw of every muon: arrays of shape (observers, samples, n)."""

    x: FloatArray  # [m]
    px: FloatArray  # over p0
    y: FloatArray  # [m]
    py: FloatArray  # over p0
    time: FloatArray  # of passing the observer in that turn [s]
    sx: FloatArray
    sy: FloatArray
    ss: FloatArray
    alive: BoolArray  # False: stopped before; all other entries are then 0


@dataclass(frozen=True, eq=False)
class Moments:
    """What the observers saw of the whole bunch: arrays of shape (observers, samples)."""

    count: NDArray[np.int64]  # muons that passed
    mean_x: FloatArray  # [m]; NaN where no muon passed
    mean_y: FloatArray  # [m]
    variance_x: FloatArray  # [m^2]
    variance_y: FloatArray  # [m^2]


@dataclass(frozen=True, eq=False)
class TrackResult:
    """A tracked bunch and what was seen on the way."""

    bunch: Bunch
    azimuths: FloatArray  # of the observers [rad]
    turns: NDArray[np.int64]  # turn of each sample
    samples: Motion | None
    moments: Moments | None
    seconds: float  # wall time of the turns, without compiling [s]
    muon_turns: int  # turns of all muons together
    crossings: Crossings | None = None  # of the fibres of harps


def track(
    bunch: Bunch,
    tables: RingTables,
    turns: int,
    *,
    spin: bool = True,
    observers: Sequence[float] = (),
    every: int = 1,
    moments: bool = False,
    collimators: bool = True,
    plates: bool = False,
    changes: Changes | None = None,
    metal_key: FillKey | None = None,
    harp_key: FillKey | None = None,
    backend: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> TrackResult:
    """Track the stored muons of a bunch from theta = 0, or from where all of them enter the ring.

    A muon stops at its stop time exactly, inside the turn (state DECAYED), or at a collimator whose hole
    it misses (LOST_COLLIMATOR); time, azimuth and turn of that place are kept. What happens to one muon
    depends neither on the other muons nor on observers, blocks or threads, to the last bit.

    Parameters
    ----------
    bunch
        Muons at one azimuth; those not STORED are left alone. The turn counts go on from where they are.
    tables
        The ring, from :func:`tracking.stations.ring_tables`.
    turns
        Turns to go.
    spin
        Whether the spin is tracked; without it the orbit costs half.
    observers
        Azimuths at which the motion is sampled [rad].
    every
        Turns between samples, the first at turn 0. An observer at theta = 0 sees the begin of the turn.
    moments
        Keep only count, mean and variance of x and y for each sample.
    collimators
        Whether the collimators count.
    plates
        Whether the plates of quads and kickers count (LOST_PLATE), and the radius within which the fields are
        known (LOST_MAP).
    changes
        What changes in time: quad voltages, transient fields.
    metal_key
        Fill that the random numbers of muons in metal belong to. With it, a muon that misses the hole of a
        collimator goes through its copper, with energy loss and scattering, and is lost beyond its outer edge
        (LOST_COLLIMATOR); without it, it is lost there.
    harp_key
        Fill that the random numbers of muons in fibres belong to. With it, the harps of the ring are in the beam:
        who meets a fibre loses energy in it and is scattered, and is written down.
    backend
        "cpu" or "gpu".
    progress
        Called with (turns done, turns) after each chunk of turns.

    Returns
    -------
    TrackResult
        With the bunch in the order given.

    Raises
    ------
    ValueError
        If turns or every is not positive, the backend is not known, the muons do not stand at one azimuth, or a
        collimator with metal or a harp stands inside a slice of a quad.
    gpu.device.DeviceError
        If "gpu" is asked for and there is none.
    """
    _refuse(turns, every, backend)
    loops = runner(tables.options._replace(spin=spin))
    muons = _from_bunch(bunch, tables)
    book = _Book(len(observers), turns, every, bunch.n, moments)
    order = np.flatnonzero(bunch.state == State.STORED)
    before, entry = _begin(bunch, order)
    order = order[np.argsort(muons.columns[12, order], kind="stable")]
    harps = harp_key is not None and len(tables.ring.harps) > 0
    matter = _matter(metal_key, tables, harp_key, before)
    crossed: list[Crossings] = []
    seconds = 0.0
    chunk = max((_HARP_CHUNK if harps else CHUNK) // every, 1) * every
    marks_of = partial(make_marks, tables, observers, collimators, plates=plates, harps=harps)
    table, marks = tables.stations, marks_of()
    _refuse_metal_in_quads(marks, matter)
    for first in range(0, turns, chunk):
        last = min(first + chunk, turns)
        if table.turns > 1 or first == 0:
            table, now = _table(tables, changes, first, last, before, entry)
            marks = marks_of(stations=table, changes=now, before=before)
        if harps:
            matter = _with_log(matter, first, last, len(tables.ring.harps), bunch.n)
        blocks = -(-order.size // WIDTH) if backend == "cpu" else 1
        sample = book.page(first, last, blocks)
        arguments = (_dealt(order), first, last, turns, table, tables.parameters, marks, matter, sample)
        seconds += _sweep(loops, muons, arguments, blocks, backend)
        book.add(sample)
        if harps:
            crossed.append(crossings_of(matter, muons.number, tables.reference))
        order = order[(muons.fate[order] == State.STORED) & (muons.turn[order] < turns)]
        if progress is not None:
            progress(last, turns)
    return TrackResult(
        bunch=_to_bunch(bunch, muons, tables),
        azimuths=np.asarray(observers, dtype=np.float64),
        turns=np.arange(0, turns, every),
        samples=_motion(book.values, book.alive, tables) if book.values.size else None,
        moments=_moments(book.totals, tables.reference.r0) if moments else None,
        seconds=seconds,
        muon_turns=int(muons.turn.sum()),
        crossings=joined(crossed) if harps else None,
    )


def _refuse(turns: int, every: int, backend: str) -> None:
    """Say what cannot be tracked."""
    if turns < 0 or every < 1:
        raise ValueError(f"turns = {turns} must not be negative, and every = {every} must be 1 or more.")
    if backend not in ("cpu", "gpu"):
        raise ValueError(f"backend {backend!r} is not known: choose 'cpu' or 'gpu'.")


class _Book:
    """What the observers write down: samples of every muon, or sums over all of them."""

    def __init__(self, observers: int, turns: int, every: int, muons: int, moments: bool) -> None:
        self.every, self.seen = every, -(-turns // every)
        kept = 0 if moments else self.seen
        self.values = np.zeros((8, observers, kept, muons if kept else 0))
        self.alive = np.zeros(self.values.shape[1:], dtype=np.bool_)
        self.totals = np.zeros((observers, self.seen if moments else 0, 5), dtype=np.int64)

    def page(self, first: int, last: int, blocks: int) -> Samples:
        """Where the muons of some turns are written, each block for itself."""
        rows = (last + _TAIL - first) // self.every + 1
        shape = (blocks, self.totals.shape[0], rows, 5) if self.totals.size else (0, 0, 0, 0)
        return Samples(self.every, self.values, self.alive, np.zeros(shape, dtype=np.int64), first)

    def add(self, page: Samples) -> None:
        """Sums of the blocks to the totals."""
        if page.sums.size:
            begin = page.first_turn // self.every
            use = min(page.sums.shape[2], self.seen - begin)
            self.totals[:, begin : begin + use] += page.sums.sum(axis=0)[:, :use]


def _sweep(loops: Runner, muons: Muons, arguments: tuple[Any, ...], blocks: int, backend: str) -> float:
    """Take the muons through some turns; wall time without compiling [s]."""
    if backend == "cpu":
        loops.on_cpu(0, 0, muons, *arguments)  # over no block, so that compiling is not counted as tracking
    begin = clock.perf_counter()
    if backend == "cpu":
        threads.share_out(loops.on_cpu, blocks, (muons, *arguments), 1)
    else:
        loops.on_gpu(arguments[0].size, muons, *arguments, backend="gpu")
    return clock.perf_counter() - begin


def _begin(bunch: Bunch, order: NDArray[np.int64]) -> tuple[int, float]:
    """Turns of the fill before this call, and the azimuth at which the muons stand [rad]."""
    if order.size == 0:
        return 0, 0.0
    places = bunch.theta[order]
    if np.any(places != places[0]):
        raise ValueError("the stored muons of a bunch must stand at one azimuth to be tracked together.")
    return int(bunch.turn[order].min()), float(places[0])


def _table(
    tables: RingTables, changes: Changes | None, first: int, last: int, before: int, entry: float
) -> tuple[StationTable, Changes | None]:
    """The table of some turns, and what changes in it: the static one once nothing does."""
    start = tables.reference.period * (before + first)
    active = changes if changes is not None and start < changes.until else None
    if active is None and tables.options.pulsed < 0 and (entry == 0.0 or first > 0):
        return tables.stations, None
    return timed_table(tables, active, first, last + _TAIL - first, before, entry), active


def _matter(key: FillKey | None, tables: RingTables, harp_key: FillKey | None = None, before: int = 0) -> Matter:
    """Copper and polystyrene for muons of the reference momentum, with no room for crossings."""
    p0, r0 = tables.reference.p0_gev, tables.reference.r0
    used = next((one for one in (key, harp_key) if one is not None), FillKey(0, 0, 0, 0))
    nothing = np.zeros((0, len(tables.ring.harps), 0))
    return Matter(
        int(key is not None), metal("copper", p0), metal("polystyrene", p0), p0, r0,
        FillKey(*(int(part) for part in used)), before, 0, nothing.astype(np.int8), nothing, nothing.copy(),
    )  # fmt: skip


def _with_log(matter: Matter, first: int, last: int, harps: int, muons: int) -> Matter:
    """The same with empty room for the crossings of some turns."""
    shape = (last + _TAIL - first, harps, muons)
    return matter._replace(first=first, fibre=np.zeros(shape, np.int8), time=np.zeros(shape), path=np.zeros(shape))


def _refuse_metal_in_quads(marks: Marks, matter: Matter) -> None:
    """A muon leaves matter along the bend that led to it; a side track through a quad has no such way back."""
    inside = (marks.thickness > 0.0) & (marks.fraction > 0.0) & ((matter.on > 0) | (marks.pitch > 0.0))
    if inside.any():
        degrees = np.degrees(marks.theta[inside][0])
        what = "harp" if marks.pitch[inside][0] > 0.0 else "collimator"
        raise ValueError(f"the {what} at {degrees:.3f} deg stands inside a slice of a quad: move it to its edge.")


def _dealt(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Full blocks of muons dealt out like cards, so that threads, which take neighbouring blocks, get equal work.

    The order within a block and the last block, which may not be full, stay as they are.
    """
    full = order.size // WIDTH
    blocks = order[: full * WIDTH].reshape(full, WIDTH)
    hands = threads.count()
    return np.concatenate([*(blocks[k::hands].ravel() for k in range(hands)), order[full * WIDTH :]])


def _from_bunch(bunch: Bunch, tables: RingTables) -> Muons:
    """Units of the step: lengths R0, momenta p0, times R0/c from the start of the bunch's clock."""
    ref = tables.reference
    columns = np.zeros((COLUMNS, bunch.n))
    mass = MASS / ref.p0_gev
    columns[0], columns[1] = bunch.x / ref.r0, bunch.px
    columns[2], columns[3] = bunch.y / ref.r0, bunch.py
    columns[4] = bunch.time * (LIGHT_SPEED / ref.r0)
    columns[5], columns[6], columns[7] = bunch.sx, bunch.sy, bunch.ss
    e = bunch.energy / ref.p0_gev
    momentum = np.sqrt((e - mass) * (e + mass))
    columns[8], columns[9], columns[10], columns[11] = e, momentum - 1.0, 1.0 / momentum, 1.0 / (e + mass)
    columns[4] -= np.where(bunch.state == State.STORED, e * bunch.theta, 0.0)
    columns[12] = bunch.stop_time * (LIGHT_SPEED / ref.r0)
    return Muons(
        columns=columns,
        fate=bunch.state.astype(np.int64, copy=True),
        turn=np.zeros(bunch.n, dtype=np.int64),
        theta=bunch.theta.copy(),
        phi=bunch.potential / (ref.p0_gev * 1e9),
        number=bunch.number.astype(np.int64, copy=True),
        crossings=bunch.crossings.astype(np.int64, copy=True),
    )


def _to_bunch(bunch: Bunch, muons: Muons, tables: RingTables) -> Bunch:
    """Back to SI; muons that were not tracked keep their bits."""
    ref = tables.reference
    u, px, v, py, tau, sx, sy, ss, e = muons.columns[:9]
    angle = 2.0 * np.pi * muons.turn + muons.theta
    tracked = bunch.state == State.STORED
    time = (tau + e * angle) * (ref.r0 / LIGHT_SPEED)
    stopped = muons.fate == State.DECAYED
    time = np.where(stopped, bunch.stop_time, time)
    new = {
        "x": u * ref.r0, "px": px, "y": v * ref.r0, "py": py, "time": time, "sx": sx, "sy": sy, "ss": ss,
        "theta": muons.theta, "potential": muons.phi * (ref.p0_gev * 1e9), "state": muons.fate,
        "turn": bunch.turn + muons.turn, "crossings": muons.crossings,
        "energy": np.where(e != bunch.energy / ref.p0_gev, e * ref.p0_gev, bunch.energy),
    }  # fmt: skip
    return bunch._replace(**{name: np.where(tracked, new[name], getattr(bunch, name)) for name in new})


def _motion(values: FloatArray, alive: BoolArray, tables: RingTables) -> Motion:
    """Samples in SI, converted in place."""
    ref = tables.reference
    for k, unit in ((0, ref.r0), (2, ref.r0), (4, ref.r0 / LIGHT_SPEED)):
        values[k] *= unit
    x, px, y, py, time, sx, sy, ss = values
    return Motion(x, px, y, py, time, sx, sy, ss, alive)


def _moments(totals: NDArray[np.int64], r0: float) -> Moments:
    """Means and variances from the integer sums."""
    count = totals[..., 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = totals[..., 1:] / count[..., None] / FIXED_POINT
    return Moments(
        count=count,
        mean_x=mean[..., 0] * r0,
        mean_y=mean[..., 1] * r0,
        variance_x=(mean[..., 2] - mean[..., 0] ** 2) * r0**2,
        variance_y=(mean[..., 3] - mean[..., 1] ** 2) * r0**2,
    )
