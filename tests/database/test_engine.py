"""Opening databases: what was committed stays, what is wrong is said in one sentence."""

from pathlib import Path

import pytest
from sqlalchemy import text

from gm2sim.database import DatabaseError, open_engine, opened


def test_a_commit_is_there_for_the_next_connection(database: str) -> None:
    with opened(database, create=True) as engine, engine.begin() as connection:
        connection.execute(text("create table one (number integer)"))
        connection.execute(text("insert into one values (7)"))
    with opened(database, read_only=True) as engine, engine.connect() as connection:
        assert connection.execute(text("select number from one")).scalar_one() == 7


def test_what_is_not_committed_is_not_there(database: str) -> None:
    with opened(database, create=True) as engine, engine.begin() as connection:
        connection.execute(text("create table one (number integer)"))

    def fail() -> None:
        with opened(database) as engine, engine.begin() as connection:
            connection.execute(text("insert into one values (7)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with opened(database) as engine, engine.connect() as connection:
        assert connection.execute(text("select count(*) from one")).scalar_one() == 0


def test_a_reader_cannot_write(database: str) -> None:
    with opened(database, create=True) as engine, engine.begin() as connection:
        connection.execute(text("create table one (number integer)"))

    def write() -> None:
        with opened(database, read_only=True) as engine, engine.begin() as connection:
            connection.execute(text("insert into one values (7)"))

    with pytest.raises(DatabaseError, match=r"readonly|read-only"):
        write()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"there is no database '.*absent\.sqlite': check the path"):
        open_engine(tmp_path / "absent.sqlite")


@pytest.mark.parametrize("address", ["mysql://user:secret@host/name", "nonsense://", "://"])
def test_other_kinds_of_databases_are_refused_without_their_password(address: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        open_engine(address)
    assert "secret" not in str(caught.value)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("no database " * 100)
    with pytest.raises(DatabaseError, match="not a database: it is damaged"), opened(path) as engine:
        engine.connect()


def test_a_server_that_does_not_answer_is_named() -> None:
    address = "postgresql://reader:secret@127.0.0.1:1/gm2"
    with pytest.raises(DatabaseError, match=r"reader:\*\*\*@127.0.0.1.*onnection") as caught, opened(address) as engine:
        engine.connect()
    assert "secret" not in str(caught.value)
