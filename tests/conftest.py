"""What all tests share."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gm2sim_tests_{name}", ROOT / "tests" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of the first database of a PostgreSQL server; skips where none is installed, but never in CI."""
    postgres = _load("postgres")
    reason = postgres.missing()
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with postgres.server() as address:
        yield address


@pytest.fixture(scope="session")
def new_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes an empty PostgreSQL database and gives its address."""
    sqlalchemy = pytest.importorskip("sqlalchemy")
    numbers = count()

    def make() -> str:
        name = f"test{next(numbers)}"
        engine = sqlalchemy.create_engine(
            postgres_server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return postgres_server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty database, SQLite and PostgreSQL in turn: what holds for one must hold for the other."""
    if request.param == "sqlite":
        return str(tmp_path / "books.sqlite")
    address: str = request.getfixturevalue("new_postgres")()
    return address


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Run a snippet in a fresh interpreter and return what it prints; fails with its last words."""

    def run(code: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
