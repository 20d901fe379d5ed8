"""What was acknowledged is there after kills and on a full disk; nobody sees a lock. The long figure: kills.py."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, event

from gm2sim.catalog import check_tables, declare, names
from gm2sim.database import DatabaseError, opened, upgrade


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gm2sim_tests_kills", Path(__file__).with_name("kills.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_acknowledged_is_lost_under_kills(database: str, tmp_path: Path, kills: ModuleType) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    found = kills.kill_at_random(database, folder, commits=120, kills=8, writers=6, readers=4, seed=9)
    assert found == kills.Outcome(120, 8, 0, 0, [], [])


@contextmanager
def quota(where: str, pages: int) -> Iterator[Engine]:
    """A SQLite file that cannot grow beyond some pages, as on a disk without more room."""
    with opened(where) as engine:

        @event.listens_for(engine, "connect")
        def _limit(connection: Any, _: Any) -> None:
            connection.execute(f"PRAGMA max_page_count = {pages}")

        yield engine


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, kills: ModuleType) -> None:
    where = str(tmp_path / "catalog.sqlite")
    with opened(where, create=True) as engine:
        upgrade(engine, "catalog")
        with engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    done: list[str] = []

    def fill() -> None:
        with quota(where, pages + 12) as engine:
            for number in range(100_000):
                declare(engine, [kills.record(number % 6, number) for number in range(50 * number, 50 * number + 50)])
                done.extend(kills.record(number % 6, number).name for number in range(50 * number, 50 * number + 50))

    with pytest.raises(DatabaseError, match="full: make room and try again"):
        fill()
    assert done
    with opened(where) as engine:
        assert check_tables(engine, thorough=True) == []
        with engine.connect() as connection:
            assert set(names(connection, "name like %")) == set(done)
        assert declare(engine, [kills.record(0, 99_999)]).new == 1
