"""An empty catalogue on either engine, and records to put into it."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from gm2sim.catalog import FileRecord, Settings
from gm2sim.database import opened, upgrade

SETTINGS = Settings("0.2.0", "ab" * 32, 1, "run1a", "built in")
BEGIN = 1_522_022_400_000_000  # microseconds


def make(name: str = "gm2_run15921_00000.mid", **values: object) -> FileRecord:
    """A record of a raw file, some values replaced."""
    plain = FileRecord(
        name, 2_000_000_000, "raw", "gm2sim_first", "alice", "midas", "00000abc", "0badcafe", "00ff" * 16, 15921, 0,
        0, 15, 16, BEGIN, BEGIN + 8_000_000, (), SETTINGS, ("/data/gm2",),
    )  # fmt: skip
    return plain._replace(**values)  # type: ignore[arg-type]


@pytest.fixture
def record() -> Callable[..., FileRecord]:
    """Makes a record of a raw file; keywords replace its values."""
    return make


@pytest.fixture
def subruns() -> Callable[..., list[FileRecord]]:
    """Makes the raw files of runs of a few subruns each."""

    def several(runs: range, subruns: int = 3, **values: object) -> list[FileRecord]:
        return [
            make(f"gm2_run{run:05d}_{subrun:05d}.mid", run=run, subrun=subrun, **values)
            for run in runs
            for subrun in range(subruns)
        ]

    return several


@pytest.fixture
def catalog(database: str) -> Iterator[Engine]:
    """An empty catalogue, on SQLite and PostgreSQL in turn."""
    with opened(database, create=True) as engine:
        upgrade(engine, "catalog")
        yield engine
