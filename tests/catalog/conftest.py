"""An empty catalogue on either engine, and records to put into it."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gm2sim.catalog import Columns, FileRecord, Settings, declare_columns
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


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A catalogue of 6,000 raw files and as many truth files, on either engine; only to be read."""
    if request.param == "sqlite":
        where = str(tmp_path_factory.mktemp("many") / "catalog.sqlite")
    else:
        where = request.getfixturevalue("new_postgres")()
    with opened(where, create=True) as engine:
        upgrade(engine, "catalog")
        for tier in ("raw", "truth"):
            declare_columns(engine, make(tier=tier), columns(range(300, 360), 100, ".mid" if tier == "raw" else ".h5"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")
        yield engine


def columns(runs: range, subruns: int, end: str = ".mid") -> Columns:
    """Columns of subruns as :func:`gm2sim.catalog.declare_columns` takes them."""
    pairs = [(run, subrun) for run in runs for subrun in range(subruns)]
    numbers = range(len(pairs))
    return Columns(
        name=[f"gm2_run{run:05d}_{subrun:05d}{end}" for run, subrun in pairs],
        size=[2_000_000_000 + i for i in numbers],
        adler32=[i * 7919 % 2**32 for i in numbers],
        crc32c=[i * 104729 % 2**32 for i in numbers],
        sha256=[i.to_bytes(32, "big") for i in numbers],
        run=[run for run, _ in pairs],
        subrun=[subrun for _, subrun in pairs],
        first_event=[16 * i for i in numbers],
        last_event=[16 * i + 15 for i in numbers],
        begin_time=[BEGIN + 8_000_000 * i for i in numbers],
        end_time=[BEGIN + 8_000_000 * i + 1_400_000 for i in numbers],
    )


@pytest.fixture(name="columns")
def _columns() -> Callable[..., Columns]:
    """Makes columns of subruns."""
    return columns


@pytest.fixture(scope="session")
def write_run() -> Callable[..., None]:
    """Writes the folder of a tiny run."""
    spec = importlib.util.spec_from_file_location("gm2sim_tests_catalog_runs", Path(__file__).with_name("runs.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    write: Callable[..., None] = module.write_run
    return write
