"""A subrun of a few muons, made in this process: one set of kernels, loaded once, for thousands of trials."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from gm2sim.config import load
from gm2sim.farm import Farm, Ranks
from gm2sim.outputs import SubrunPaths
from gm2sim.setup import Setup
from gm2sim.subrun import run_subrun
from gm2sim.summary import Tally
from gm2sim.warm import compiled_set, warm_up
from gpu import cache as compiled

SMALL = {"beam.muons_per_fill": 60, "tracking.fill_duration_us": 40.0, "daq.q_method": False, "run.subruns": 1}


class Until(Farm):
    """Work that is asked to leave behind so many events.

    Parameters
    ----------
    events : int, optional
        Never without.
    """

    def __init__(self, events: int | None = None) -> None:
        super().__init__(Ranks())
        self._left = events

    @property
    def stopping(self) -> bool:
        """Asked once before the first event, and behind each."""
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0

    def advance(self, muon_turns_per_second: float, fills: int = 1) -> None:
        """Nobody looks."""

    def found(self, fills: int) -> None:
        """Nobody looks."""


@cache
def _warmed(preset: str, values: tuple[tuple[str, Any], ...]) -> Setup:
    made = Setup.of(load(preset, SMALL | dict(values)))
    compiled.ensure_compiled(lambda: warm_up(made), None, compiled_set(made))
    return made


def small(preset: str = "gasgun", **values: Any) -> Setup:
    """The setup of a small run, its kernels loaded; names of values with ``__`` for the dot."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return _warmed(preset, tuple(sorted(named.items())))


def make(setup: Setup, folder: Path, *, farm: Farm | None = None, resume: bool = False, subrun: int = 0) -> bool:
    """Simulate a subrun into a folder; whether it is finished."""
    config = setup.config
    folder.mkdir(exist_ok=True)
    paths = SubrunPaths(folder, config.run.run, subrun, config.daq.compression)
    return run_subrun(setup, paths, "small", Tally(), farm or Until(), resume=resume)


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the one that says how long it took."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix != ".timing"
    }
