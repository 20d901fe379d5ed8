"""A million intervals of conditions: how long loading takes, and a look-up among them.

``python -m benchmarks.conditions [DB]`` prints the rows; without a database it makes a SQLite file for the time. A
PostgreSQL database has to be empty.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.row import Row, at_most
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.interval import EVERY_RUN
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import Moment, moment
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.table import Table
from gm2sim.conditions.tags import freeze
from gm2sim.database import opened, upgrade

GOAL_MS = 5.0
_TAGS, _FOLDERS, _INTERVALS = 10, 10, 10_000
_SUBRUNS = 100  # of a run
_SETS = 4  # of each folder, in turn
_ROUNDS, _LOOK_UPS = 20, 100  # the best round counts, as others work on the machine too


def measure(where: str, quick: bool = False) -> list[Row]:
    """Load and look up.

    Parameters
    ----------
    where
        Address of an empty database.
    quick
        A tenth of the intervals.
    """
    intervals = _INTERVALS // 10 if quick else _INTERVALS
    names = list(KNOWN)[:_FOLDERS]
    begin = time.perf_counter()
    with opened(where, create=True) as engine:
        upgrade(engine, "conditions")
        for tag in range(_TAGS):
            add(engine, f"tag {tag}", _entries(names, intervals, tag))
        loaded = time.perf_counter() - begin
        freeze(engine, "tag 5")
        frozen = time.perf_counter() - begin - loaded
    total = _TAGS * len(names) * intervals
    conditions = DatabaseConditions(where, "tag 5")
    rounds = look_ups(conditions, names, intervals)
    times = min(rounds, key=np.median)
    start = time.perf_counter()
    conditions.table(names[0], 15921, 7)
    table = 1e3 * (time.perf_counter() - start)
    conditions.close()
    what = f"among {total} intervals, best of {_ROUNDS} rounds"
    return [
        Row("loading intervals", total / loaded, "1/s", f"{total} in {_TAGS} tags and {len(names)} folders"),
        Row("freezing a tag", frozen, "s", f"{len(names) * intervals} intervals"),
        at_most("look-up of an interval, median", float(np.median(times)), "ms", GOAL_MS, what),
        at_most("look-up of an interval, 99 of 100", float(np.quantile(times, 0.99)), "ms", GOAL_MS, what),
        Row("look-up of a table of 1296 channels", table, "ms", "first time; later ones are kept"),
    ]


def look_ups(conditions: DatabaseConditions, names: list[str], intervals: int) -> list[NDArray[np.float64]]:
    """Times of look-ups of subruns and folders at random [ms], in rounds."""
    rng = np.random.default_rng(1)
    times = np.empty((_ROUNDS, _LOOK_UPS))
    for place in np.ndindex(times.shape):
        folder, number = names[rng.integers(len(names))], int(rng.integers(intervals))
        start = time.perf_counter()
        conditions.interval(folder, 15921 + number // _SUBRUNS, number % _SUBRUNS)
        times[place] = 1e3 * (time.perf_counter() - start)
    return list(times)


def _entries(names: list[str], intervals: int, tag: int) -> Iterator[Entry]:
    for name in names:
        folder = KNOWN[name]
        sets = [
            Table.of(
                folder,
                EVERY_RUN,
                {column.name: np.full(folder.shape, column.lowest + number % 2) for column in folder.columns},
            )
            for number in range(_SETS)
        ]
        for number in range(intervals):
            start: Moment = moment(15921 + number // _SUBRUNS, number % _SUBRUNS)
            yield Entry(sets[(number + tag) % _SETS], start)


def main() -> None:
    """Print the rows."""
    with tempfile.TemporaryDirectory() as folder:
        where = sys.argv[1] if len(sys.argv) > 1 else str(Path(folder) / "conditions.sqlite")
        for row in measure(where):
            print(f"{row.what:<40} {row.value:>12.4g} {row.unit:<6} {row.beside} {row.met}")  # noqa: T201


if __name__ == "__main__":
    main()
