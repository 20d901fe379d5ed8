"""Left at any event and gone on with, with other numbers of threads: the same bytes.

python -m tests.mpi.restart 60
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

from gm2sim.setup import Setup
from gm2sim.timeline import events
from gpu import threads
from tests.mpi.small import BARE, Until, make, small, sums

_TINY = BARE | {"run__fills": 3}
STAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "inject": ("run1a", _TINY | {
        "beam__source": "injected", "injection__muons_per_fill": 600, "tracking__fill_duration_us": 12.0,
    }),
    "gasgun": ("gasgun", _TINY),
    "decay": ("gasgun", _TINY | {
        "tracking__fill_duration_us": 80.0, "daq__q_method": True, "daq__q_samples_per_bin": 240,
        "daq__q_flush_fills": 2,
    }),
    "detectors": ("gasgun", {
        "run__fills": 2, "beam__muons_per_fill": 24, "tracking__fill_duration_us": 20.0, "laser__fill_every": 2,
        "daq__compression": "lz4",
    }),
    "pile-up": ("gasgun", _TINY | {"beam__muons_per_fill": 300, "tracking__fill_duration_us": 12.0}),
}  # fmt: skip
PLACES = ("empty", "first", "middle", "last")
THREADS = (1, 2, 4)


@contextmanager
def threads_of(number: int) -> Iterator[None]:
    """Work with so many threads, and share out however little there is."""
    before, blocks = threads.count(), threads._MIN_BLOCKS
    threads.set_count(number)
    threads._MIN_BLOCKS = 1
    try:
        yield
    finally:
        threads.set_count(before)
        threads._MIN_BLOCKS = blocks


def event_of(setup: Setup, place: str) -> int:
    """Events that are finished when the work is left."""
    number = len(list(events(setup.config, 0)))
    return {"empty": 0, "first": 1, "middle": number // 2, "last": number - 1}[place]


def differing(folder: Path, cells: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """The cells whose bytes are not those of the work that was not left.

    Parameters
    ----------
    folder : Path
        Empty.
    cells : list of (stage, place, threads)
    """
    whole: dict[str, dict[str, str]] = {}
    wrong = []
    for number, (stage, place, count) in enumerate(cells):
        preset, values = STAGES[stage]
        setup = small(preset, **values)
        if stage not in whole:
            with threads_of(1):
                make(setup, folder / stage)
            whole[stage] = sums(folder / stage)
        out = folder / f"{stage}{number}"
        with threads_of(THREADS[(THREADS.index(count) + number) % 3]):
            assert not make(setup, out, farm=Until(event_of(setup, place)))
        with threads_of(count):
            assert make(setup, out, resume=True)
        if sums(out) != whole[stage]:
            wrong.append((stage, place, count))
        for path in out.iterdir():
            path.unlink()
    return wrong


def all_cells() -> list[tuple[str, str, int]]:
    """The matrix."""
    return list(product(STAGES, PLACES, THREADS))


def main(wanted: int) -> None:
    """The whole matrix, as often as needed for so many cells."""
    start = time.monotonic()
    cells = [cell for _ in range(-(-wanted // 60)) for cell in random.sample(all_cells(), 60)][:wanted]
    with tempfile.TemporaryDirectory() as folder:
        wrong = differing(Path(folder), cells)
    sys.stdout.write(f"{len(cells)} cells, {len(set(cells))} of them different: {wrong or 'all bytes equal'} ")
    sys.stdout.write(f"in {time.monotonic() - start:.0f} s\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
