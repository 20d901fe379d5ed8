"""Databases that have the tables of the conditions already: making them once is enough."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conditions.books import book


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables."""
    path = tmp_path_factory.mktemp("template") / "conditions.sqlite"
    with book(str(path)):
        pass
    return path


@pytest.fixture(scope="session")
def postgres_copies(postgres_server: str, new_postgres: Callable[[], str]) -> Callable[[], str]:
    """Makes a PostgreSQL database with the tables and gives its address."""
    template = new_postgres()
    with book(template):
        pass
    name = sa.make_url(template).database
    numbers = count()

    def make() -> str:
        copy = f"conditions{next(numbers)}"
        engine = sa.create_engine(
            postgres_server.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {copy} TEMPLATE {name}")
        engine.dispose()
        return template.replace(f"/{name}?", f"/{copy}?")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database with the tables, SQLite and PostgreSQL in turn."""
    if request.param == "sqlite":
        path = tmp_path / "books.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return str(path)
    address: str = request.getfixturevalue("postgres_copies")()
    return address
