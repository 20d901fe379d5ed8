"""Where the time went and what was made: counted subrun by subrun, added in their order."""

import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gm2sim import __version__
from gm2sim.config import Config

COUNTS = ("fills", "injected", "muons", "decayed", "lost", "muon_turns", "positrons", "hits", "islands", "samples")


@dataclass
class Tally:
    """Counts, bytes and seconds of a piece of work.

    Attributes
    ----------
    counts : dict of str to int
        One of :data:`COUNTS` each.
    seconds : dict of str to float
        Wall time by stage [s].
    raw_files, raw_bytes : int
        Raw files written and their size.
    peak_memory_mb : float
        Largest resident size of the process [MB].
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    raw_files: int = 0
    raw_bytes: int = 0
    peak_memory_mb: float = 0.0

    def count(self, **numbers: int) -> None:
        """Add to the counts."""
        for name, number in numbers.items():
            self.counts[name] += int(number)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the wall time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def add(self, other: "Tally") -> None:
        """Take over what another tally has counted."""
        self.count(**other.counts)
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds
        self.raw_files += other.raw_files
        self.raw_bytes += other.raw_bytes
        self.peak_memory_mb = max(self.peak_memory_mb, other.peak_memory_mb)

    def add_finished(self, metadata: Mapping[str, Any], raw_name: str) -> None:
        """Count a subrun that an earlier attempt has finished: what it holds, not the time it took."""
        self.count(**metadata["counts"])
        self.raw_files += 1
        self.raw_bytes += metadata["files"][raw_name]["size"]

    def note_memory(self) -> None:
        """Remember the largest resident size so far."""
        self.peak_memory_mb = max(self.peak_memory_mb, peak_memory_mb())


class Clock:
    """Wall and processor time of this process since the clock was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def facts(self) -> dict[str, float]:
        """Both [s]; processor time counts all threads."""
        return {"wall_s": time.perf_counter() - self._wall, "cpu_s": time.process_time() - self._cpu}


def peak_memory_mb() -> float:
    """Largest resident size of this process so far [MB].

    Linux' own high-water mark, where there is one: what getrusage tells begins with the size of the parent process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def summarise(
    config: Config, preset: str, backend: str, ranks: int, tallies: list[Tally], compile_s: float
) -> dict[str, Any]:
    """What goes into summary.json: counts and bytes added over the subruns, times as rank-seconds by stage.

    Parameters
    ----------
    config : Config
    preset, backend : str
    ranks : int
        That shared the work.
    tallies : list of Tally
        One a subrun, in their order: sums do not depend on who made which.
    compile_s : float
        Time spent compiling or loading compiled code on the first rank [s].
    """
    stages = list(dict.fromkeys(stage for tally in tallies for stage in tally.seconds))
    return {
        "preset": preset,
        "description": config.description,
        "version": __version__,
        "config_hash": config.hash,
        "run": config.run.run,
        "seed": config.run.seed,
        "backend": backend,
        "ranks": ranks,
        "counts": {name: sum(tally.counts[name] for tally in tallies) for name in COUNTS},
        "raw_files": sum(tally.raw_files for tally in tallies),
        "raw_bytes": sum(tally.raw_bytes for tally in tallies),
        "peak_memory_mb": max(tally.peak_memory_mb for tally in tallies),
        "compile_s": compile_s,
        "seconds": {stage: sum(tally.seconds.get(stage, 0.0) for tally in tallies) for stage in stages},
    }
