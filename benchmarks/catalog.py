"""The catalogue at the size of the experiment's Run-5, on SQLite and PostgreSQL: declaring, pages, verifying.

``python -m benchmarks.catalog`` prints the rows; ``--quick`` takes a tenth of the files. PostgreSQL is started in a
temporary folder, where it is installed; both wait for the disk before they acknowledge.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from sqlalchemy import Engine

from benchmarks.row import Row, at_most, best_wall
from gm2sim.catalog import (
    Columns,
    FileRecord,
    Settings,
    check_tables,
    count,
    declare,
    declare_columns,
    names,
    page,
)
from gm2sim.database import opened, upgrade

_SUBRUNS = 1_423_000  # of Run-5, whose 2 GB files the catalogue is made for
_PER_RUN = 283
_FIRST_RUN = 40_000
_FILES = 100_000
_BEGIN = 1_522_022_400_000_000  # [microseconds since 1970]
_PAGES = (
    "tier = raw",
    "run >= 41000 and run <= 41070 and tier = raw",
    "run = 44000",
    "campaign = gm2sim_run5 and tier = raw",
    "campaign = gm2sim_run5 and run > 43000",
    "name like gm2_run44000%",
    "name = gm2_run44000_00007.mid",
    "name like %",
    "config_hash = " + "ab" * 32,
)
_SETTINGS = Settings("0.2.0", "ab" * 32, 1, "run456", "built in")


def rows(quick: bool = False) -> list[Row]:
    """Times of the catalogue on each engine that is there.

    Parameters
    ----------
    quick : bool
        A tenth of the files.
    """
    found: list[Row] = []
    share = 10 if quick else 1
    for kind, place in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        with place() as where:
            if where:
                found += _declared(f"{kind}: ", where[0], _FILES // share)
                found += _large(f"{kind}: ", where[1], _SUBRUNS // share)
    return found


def _declared(kind: str, where: str, number: int) -> list[Row]:
    """Files declared one record each, and queries over them."""
    records = [
        FileRecord(
            f"gm2_run{_FIRST_RUN + i // _PER_RUN:05d}_{i % _PER_RUN:05d}.mid", 2_000_000_000 + i, "raw", "gm2sim_run5",
            "manager", "midas", f"{i:08x}", f"{i:08x}", f"{i:064x}", _FIRST_RUN + i // _PER_RUN, i % _PER_RUN, 16 * i,
            16 * i + 15, 16, _BEGIN + 8 * i, _BEGIN + 8 * i + 1, settings=_SETTINGS, folders=("/data/run5",),
        )
        for i in range(number)
    ]  # fmt: skip
    query = f"run >= {_FIRST_RUN + 10} and run <= {_FIRST_RUN + 80} and tier = raw"
    with _catalog(where) as engine:
        begin = perf_counter()
        declare(engine, records)
        took = perf_counter() - begin
        with engine.connect() as connection:
            counting = best_wall(lambda: count(connection, query), 3)
            listing = best_wall(lambda: names(connection, query), 3)
    return [
        at_most(f"{kind}{number} files declared", took, "s", 60.0),
        at_most(f"{kind}count and size of 71 runs among them", counting, "s", 0.5),
        at_most(f"{kind}names of 71 runs among them", listing, "s", 0.5),
    ]


def _large(kind: str, where: str, number: int) -> list[Row]:
    """A catalogue of the size of Run-5: insert, the slowest page, the check of the tables."""
    shared = FileRecord("all", 0, "raw", "gm2sim_run5", "manager", "midas", settings=_SETTINGS, folders=("/data/run5",))
    columns = _columns(number)
    with _catalog(where) as engine:
        begin = perf_counter()
        declare_columns(engine, shared, columns)
        took = perf_counter() - begin
        pages = {query: _page(engine, query) for query in _PAGES}
        checking = best_wall(lambda: check_tables(engine), 2)
    slowest = max(pages, key=lambda query: pages[query])
    return [
        at_most(f"{kind}{number} subruns inserted", took, "s", 10.0, "indexes and statistics included"),
        at_most(f"{kind}slowest page of 100 among {len(pages)} queries", pages[slowest] * 1e3, "ms", 50.0, slowest),
        at_most(f"{kind}check of its tables", checking, "s", 2.0),
    ]


def _page(engine: Engine, query: str) -> float:
    """Time of the first page and of one behind it, the slower [s]."""
    with engine.connect() as connection:
        first = page(connection, query, 100)
        again = first[-1].name if first else None
        return max(
            best_wall(lambda: page(connection, query, 100), 3),
            best_wall(lambda: page(connection, query, 100, again), 3),
        )


def _columns(number: int) -> Columns:
    numbers = range(number)
    run = [_FIRST_RUN + i // _PER_RUN for i in numbers]
    subrun = [i % _PER_RUN for i in numbers]
    return Columns(
        name=[f"gm2_run{one:05d}_{other:05d}.mid" for one, other in zip(run, subrun, strict=True)],
        size=[2_000_000_000 + i for i in numbers],
        adler32=[i * 7919 % 2**32 for i in numbers],
        crc32c=[i * 104729 % 2**32 for i in numbers],
        sha256=[(i * 2**200 + i).to_bytes(32, "big") for i in numbers],
        run=run,
        subrun=subrun,
        first_event=[16 * i for i in numbers],
        last_event=[16 * i + 15 for i in numbers],
        begin_time=[_BEGIN + 8_000_000 * i for i in numbers],
        end_time=[_BEGIN + 8_000_000 * i + 1_400_000 for i in numbers],
    )


@contextmanager
def _catalog(where: str) -> Iterator[Engine]:
    with opened(where, create=True) as engine:
        upgrade(engine, "catalog")
        yield engine


@contextmanager
def _sqlite() -> Iterator[tuple[str, str] | None]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "small.sqlite"), str(Path(folder) / "large.sqlite")


@contextmanager
def _postgresql() -> Iterator[tuple[str, str] | None]:
    """Two databases of a server of its own; none where PostgreSQL is not installed."""
    from sqlalchemy import create_engine

    path = Path(__file__).resolve().parents[1] / "tests" / "postgres.py"
    spec = importlib.util.spec_from_file_location("gm2sim_benchmark_postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing: Callable[[], str] = module.missing
    if missing():
        yield None
        return
    with module.server(durable=True) as address:
        engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE large")
        engine.dispose()
        yield address, address.replace("/postgres?", "/large?")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    for row in rows(parser.parse_args().quick):
        sys.stdout.write(f"{row.what:60} {row.value:10.4g} {row.unit:3} {row.beside} {row.met}\n")


if __name__ == "__main__":
    _main()
