"""A user's own muons, turn by turn: a bunch file in, phase space and spin at observers out.

What happens to a muon depends on no other, to the last bit. So the muons are tracked in groups, each for all turns,
and a file of any size needs the memory of one group; it holds what tracking all of them at once would give.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gm2sim.bunch.file import TRACK_FORMAT, write_native
from gm2sim.config import Config, ConfigError
from gm2sim.hdf5 import new_file
from gm2sim.machine import Ring
from gm2sim.muons import Bunch
from gpu.device import choose_backend
from gpu.rng import FillKey
from tracking.bunch import Bunch as TrackingBunch
from tracking.bunch import State
from tracking.turns import Motion, TrackResult

_MEMORY = 256e6  # of the samples of one group [bytes]
_LANES = 256  # muons of a full block of the tracker; groups are whole blocks where they are that large
_SAMPLES = 64  # samples of a chunk of the file
_BYTES = 65  # of one sample: eight doubles and whether the muon passed
_COLUMNS = {
    "x": ("m", "radial offset from the design orbit"),
    "px": ("p0", "radial momentum over the reference momentum"),
    "y": ("m", "height above the mid-plane"),
    "py": ("p0", "vertical momentum over the reference momentum"),
    "time": ("s", "time of passing the observer in that turn"),
    "sx": ("", "spin in the rest frame, radial"),
    "sy": ("", "spin in the rest frame, vertical"),
    "ss": ("", "spin in the rest frame, along the beam"),
    "alive": ("", "1: passed the observer in that turn; 0: stopped before, all other columns are 0"),
}


@dataclass(frozen=True)
class Tracked:
    """What was tracked."""

    file: str
    muons: int
    turns: int
    samples: int
    stored: int
    decayed: int
    lost: int
    muon_turns: int
    seconds: float  # of tracking, without compiling and writing [s]
    megabytes: float  # of the file

    def record(self) -> dict[str, Any]:
        """The numbers by name."""
        return asdict(self)

    def __str__(self) -> str:
        speed = self.muon_turns / self.seconds / 1e6 if self.seconds > 0.0 else 0.0
        return (
            f"{self.muons} muons for {self.turns} turns: {self.stored} stored, {self.decayed} decayed, {self.lost} "
            f"lost; {speed:.2g} M muon-turns/s; wrote {self.file} ({self.megabytes:.1f} MB, {self.samples} samples)"
        )


def track(
    config: Config,
    bunch: str | Path,
    turns: int,
    out: str | Path,
    *,
    every: int = 1,
    observers: Sequence[float] = (0.0,),
    kicked: bool = False,
    place: str = "design orbit",
    backend: str = "cpu",
    force: bool = False,
    progress: bool = True,
    memory: float = _MEMORY,
) -> Tracked:
    """Track the muons of a file and write what observers see of each, turn by turn.

    Parameters
    ----------
    config : Config
    bunch : str or Path
        Muons in any form of :mod:`gm2sim.bunch.file`.
    turns : int
    out : str or Path
        HDF5 file, see docs/formats.md; it appears whole or not at all.
    every : int
        Turns between samples.
    observers : sequence of float [deg]
        Azimuths of the samples, from the inflector exit.
    kicked : bool
        Whether the muons feel the kickers in the first turns (``injection.kicked_turns``) and then the metal of
        collimators, as an injected beam does.
    place : str
        Where the straight coordinates of a foreign file stand.
    backend : str
        "auto", "cpu" or "gpu".
    force : bool
        Replace an existing file.
    progress : bool
        Draw a bar on a terminal.
    memory : float [bytes]
        For the samples of one group of muons.

    Raises
    ------
    ConfigError
        The request cannot be carried out; for the file of muons, its :class:`gm2sim.bunch.table.BunchFileError`.
    """
    from gm2sim.terminal import turn_bar

    out, bunch = Path(out), Path(bunch)
    _check(turns, every, observers, bunch, out, backend, force)
    plan = _Plan(turns, every, [math.radians(angle) for angle in observers], kicked, choose_backend(backend))
    ring = Ring(config)
    muons = Bunch.from_file(bunch, config, place=place, ring=ring)
    size = _group(muons.n, plan.samples * len(observers), memory)
    groups = -(-muons.n // size)
    with new_file(out, replace=force) as file, turn_bar(turns * groups, shown=progress) as watch:
        _head(file, ring, bunch, muons, plan, size)
        ends = _follow_all(ring, muons, plan, file, size, watch)
        final = TrackingBunch.concatenate([end.bunch for end in ends])
        write_native(file.create_group("final"), final._asdict(), ring.reference)
    return _tracked(out, plan, final, ends)


class _Plan(NamedTuple):
    """What is done with every group of muons."""

    turns: int
    every: int
    observers: list[float]  # [rad]
    kicked: bool
    backend: str

    @property
    def samples(self) -> int:
        """Samples of each muon at an observer."""
        return -(-self.turns // self.every)


class _End(NamedTuple):
    """A group of muons that has been tracked."""

    bunch: TrackingBunch
    muon_turns: int
    seconds: float


def _tracked(out: Path, plan: _Plan, final: TrackingBunch, ends: list[_End]) -> Tracked:
    """What is said of a file that has been written."""
    state = final.state
    return Tracked(
        file=str(out), muons=final.n, turns=plan.turns, samples=plan.samples,
        stored=int((state == State.STORED).sum()), decayed=int((state == State.DECAYED).sum()),
        lost=int((state > State.DECAYED).sum()), muon_turns=sum(end.muon_turns for end in ends),
        seconds=sum(end.seconds for end in ends), megabytes=out.stat().st_size / 1e6,
    )  # fmt: skip


def _follow_all(
    ring: Ring, muons: TrackingBunch, plan: _Plan, file: Any, size: int, watch: Callable[[int, int], None]
) -> list[_End]:
    """Track group after group, and write the samples of each."""
    firsts = range(0, muons.n, size)
    ends = []
    for number, first in enumerate(firsts):
        group = muons.select(np.arange(first, min(first + size, muons.n)))
        report = partial(_report, watch, number * plan.turns, plan.turns * len(firsts))
        ends.append(_follow(ring, group, plan, file, first, report))
    return ends


def _follow(
    ring: Ring, muons: TrackingBunch, plan: _Plan, file: Any, place: int, report: Callable[[int, int, int], None]
) -> _End:
    """Track one group, which stands at a place of the bunch, and write its samples."""
    run = ring.config.run
    key = FillKey(run.seed, run.run, 0, 0) if plan.kicked else None
    first = muon_turns = 0
    seconds = 0.0
    for turns in _stretches(ring.config, plan):
        result = ring.track(
            muons, turns, every=plan.every, observers=plan.observers, kicked=plan.kicked and first == 0,
            metal_key=key, backend=plan.backend, watch=partial(report, first),
        )  # fmt: skip
        _append(file, result, first // plan.every, place)
        muons, first = result.bunch, first + turns
        seconds, muon_turns = seconds + result.seconds, muon_turns + result.muon_turns
    return _End(muons, muon_turns, seconds)


def _check(
    turns: int, every: int, observers: Sequence[float], bunch: Path, out: Path, backend: str, force: bool
) -> None:
    """Refuse what cannot be done before anything is read."""
    if turns < 1 or every < 1:
        raise ConfigError(f"--turns {turns} --every {every}: give 1 or more of both")
    wrong = [angle for angle in observers if not (math.isfinite(angle) and 0.0 <= angle < 360.0)]
    if wrong or len(observers) == 0:
        raise ConfigError(f"--observer {wrong[0] if wrong else '()'}: give azimuths from 0 to below 360 deg")
    if backend not in ("auto", "cpu", "gpu"):
        raise ConfigError(f"--backend {backend} is not known: choose auto, cpu or gpu")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder '{out.parent}'; make it first")
    if out.exists() and bunch.exists() and out.samefile(bunch):
        raise ConfigError(f"--out {out} is the file of muons itself: choose another")
    if out.exists() and not force:
        raise ConfigError(f"--out {out} exists: choose another, or replace it with --force")


def _group(muons: int, samples: int, memory: float) -> int:
    """Muons that are tracked together: as many as the memory holds, in whole blocks."""
    fit = max(1, int(memory / (_BYTES * max(samples, 1))))
    return min(muons, fit // _LANES * _LANES if fit >= _LANES else fit)


def _stretches(config: Config, plan: _Plan) -> list[int]:
    """Turns with the kickers, up to a sample, and turns without."""
    pulsed = -(-config.injection.kicked_turns // plan.every) * plan.every if plan.kicked else 0
    first = min(pulsed, plan.turns)
    return [turns for turns in (first, plan.turns - first) if turns > 0]


def _report(watch: Callable[[int, int], None], before: int, whole: int, first: int, done: int, _: int) -> None:
    watch(before + first + done, whole)


def _head(file: Any, ring: Ring, source: Path, muons: TrackingBunch, plan: _Plan, group: int) -> None:
    """Attributes, and room for the samples: (observers, samples, muons)."""
    from gm2sim import __version__

    config = ring.config
    file.attrs["format"] = TRACK_FORMAT
    for name, value in (
        ("version", __version__), ("config", config.model_dump_json()), ("config_hash", config.hash),
        ("source", source.name), ("kicked", plan.kicked), ("p0_gev", ring.reference.p0_gev),
    ):  # fmt: skip
        file.attrs[name] = value
    axes = {
        "turn": (np.arange(0, plan.turns, plan.every), ""),
        "observer": (np.array(plan.observers), "rad"),
        "number": (muons.number, ""),
    }
    for name, (values, unit) in axes.items():
        file.create_dataset(name, data=values).attrs["unit"] = unit
    shape = (len(plan.observers), plan.samples, muons.n)
    for name, (unit, meaning) in _COLUMNS.items():
        data = file.create_dataset(
            name, shape, "u1" if name == "alive" else "f8", chunks=(1, min(_SAMPLES, shape[1]), min(_LANES, group)),
            shuffle=True, compression="gzip", compression_opts=1,
        )  # fmt: skip
        data.attrs["unit"] = unit
        data.attrs["meaning"] = meaning


def _append(file: Any, result: TrackResult, first: int, place: int) -> None:
    """Write the samples of a group of neighbouring muons."""
    samples: Motion | None = result.samples
    if samples is None:
        return
    last = first + samples.x.shape[1]
    for name in _COLUMNS:
        file[name][:, first:last, place : place + samples.x.shape[2]] = getattr(samples, name)
