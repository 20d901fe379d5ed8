"""On a server readers look and cannot write, writers add and cannot change what is there."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.moment import moment
from gm2sim.conditions.roles import grant
from gm2sim.conditions.tags import clone, drop, freeze, tags
from gm2sim.database import explain, opened
from tests.conditions.books import book, fill, sentence_of, volts

READER, WRITER = 'gm2 "reader"; -- %s :x', "gm2_writer"


@pytest.fixture
def server(postgres_copies: Callable[[], str]) -> str:
    """A database whose server has a role for readers and one for writers."""
    address = postgres_copies()
    with opened(address) as engine, engine.begin() as connection:
        known = set(connection.execute(sa.text("select rolname from pg_roles")).scalars())
        quote = engine.dialect.identifier_preparer.quote_identifier
        for role in {READER, WRITER} - known:
            connection.exec_driver_sql(f"CREATE ROLE {quote(role)} LOGIN")
    return address


def as_role(address: str, role: str) -> str:
    url = sa.make_url(address).set(username=role)
    return url.render_as_string(hide_password=False)


def test_readers_look_and_cannot_write(server: str) -> None:
    reader = as_role(server, READER)
    with book(server) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        freeze(engine, "t")
        assert "permission denied" in sentence_of(lambda: DatabaseConditions(reader, "t"))
        grant(engine, reader=READER)
    assert volts(DatabaseConditions(reader, "t").table("kicker_settings", 3)) == 1.0
    with opened(reader) as engine:
        assert [row["tag"] for row in tags(engine)] == ["t"]
        for action in (
            lambda: fill(engine, "mine", (1.0, moment(1), None)),
            lambda: clone(engine, "t", "mine"),
            lambda: drop(engine, "t"),
        ):
            assert "you may not do that here, ask for the writer's role" in sentence_of(action, engine)
        for table in ("conditions_tags", "kicker_settings_data", "kicker_settings_tag_iovs", "conditions_version"):
            for statement in (f"delete from {table}", f"truncate {table} cascade", f"drop table {table}"):

                def write(statement: str = statement) -> None:
                    with explain(engine), engine.begin() as connection:
                        connection.execute(sa.text(statement))

                assert "permission denied" in sentence_of(write) or "must be owner" in sentence_of(write)


def test_writers_add_and_cannot_change_what_is_there(server: str) -> None:
    with book(server) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        grant(engine, reader=READER, writer=WRITER)
    with opened(as_role(server, WRITER)) as engine:
        fill(engine, "t", (2.0, moment(2), None))
        fill(engine, "mine", (3.0, moment(2), None))
        clone(engine, "t", "copy")
        drop(engine, "mine")
        freeze(engine, "t")
        assert "is frozen" in sentence_of(lambda: fill(engine, "t", (3.0, moment(3), None)))
        for statement in (
            "update kicker_settings_data set voltage = 7",
            "delete from kicker_settings_data",
            "update conditions_tags set tag = 'other' where tag = 'copy'",
            "truncate kicker_settings_tag_iovs",
        ):

            def change(statement: str = statement) -> None:
                with explain(engine), engine.begin() as connection:
                    connection.execute(sa.text(statement))

            assert "permission denied" in sentence_of(change)
    assert volts(DatabaseConditions(as_role(server, WRITER), "t").table("kicker_settings", 3)) == 2.0
    with book(server) as engine:
        grant(engine, reader=WRITER)  # what it could do is taken away
    with opened(as_role(server, WRITER)) as engine:
        assert "permission denied" in sentence_of(lambda: fill(engine, "copy", (4.0, moment(3), None)), engine)


def test_the_owner_cannot_empty_a_table_at_once(server: str) -> None:
    with book(server) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        freeze(engine, "t")

        def empty() -> None:
            with explain(engine), engine.begin() as connection:
                connection.execute(sa.text("truncate kicker_settings_tag_iovs"))

        assert "never change" in sentence_of(empty)


def test_roles_that_cannot_be_are_refused(server: str, tmp_path: object) -> None:
    with book(server) as engine:
        for role in ("nobody here", "a\0b", 'x" WITH GRANT OPTION; --', "\u202e", "x" * 65_536):
            said = sentence_of(lambda role=role: grant(engine, reader=role))
            assert "no role" in said
            assert said.isprintable()
        assert "give --reader or --writer" in sentence_of(lambda: grant(engine))
        assert "cannot be reader and writer" in sentence_of(lambda: grant(engine, WRITER, WRITER))
    with book(f"{tmp_path}/c.sqlite") as engine:
        assert "SQLite file has no roles" in sentence_of(lambda: grant(engine, reader=READER))
