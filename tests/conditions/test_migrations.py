"""Tables are made once, known by their version, and are those that the program asks for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.moment import moment
from gm2sim.conditions.schema import FOLDER_TABLES, METADATA
from gm2sim.conditions.tags import tags
from gm2sim.database import opened, require_schema, upgrade
from tests.conditions.books import fill, sentence_of


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of a database without tables."""
    if request.param == "sqlite":
        return str(tmp_path / "empty.sqlite")
    new: Callable[[], str] = request.getfixturevalue("new_postgres")
    return new()


def test_an_empty_database_gets_the_tables_that_the_program_asks_for(empty: str) -> None:
    with opened(empty, create=True) as engine:
        assert "no tables of the conditions: make them with `gm2sim conditions init`" in sentence_of(
            lambda: require_schema(engine, "conditions")
        )
        upgrade(engine, "conditions")
        require_schema(engine, "conditions")
        found = sa.inspect(engine)
        assert set(METADATA.tables) | {"conditions_version"} == set(found.get_table_names())
        for table in METADATA.tables.values():
            theirs = {column["name"]: column for column in found.get_columns(table.name)}
            # A column that differs or is missing needs a migration.
            assert set(theirs) == {column.name for column in table.columns}, table.name
            for column in table.columns:
                assert theirs[column.name]["type"].python_type is column.type.python_type, (table.name, column.name)
                assert theirs[column.name]["nullable"] == column.nullable, (table.name, column.name)
            primary = [column.name for column in table.primary_key.columns]
            assert found.get_pk_constraint(table.name)["constrained_columns"] == primary
        for tables in FOLDER_TABLES.values():
            assert found.get_indexes(tables.tag_iovs.name)[0]["column_names"] == ["__iov_id"]


def test_upgrading_again_keeps_what_is_there(database: str) -> None:
    with opened(database) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        before = tags(engine)
        upgrade(engine, "conditions")
        assert tags(engine) == before


def test_a_newer_database_is_refused_with_both_versions(database: str) -> None:
    with opened(database) as engine, engine.begin() as connection:
        connection.execute(sa.text("update conditions_version set version_num = '9999'"))
    for action in (lambda engine: upgrade(engine, "conditions"), lambda engine: require_schema(engine, "conditions")):
        with opened(database) as engine:
            said = sentence_of(lambda action=action, engine=engine: action(engine))
        assert "version 9999" in said
        assert "knows up to 0001" in said
    assert "version 9999" in sentence_of(lambda: DatabaseConditions(database))
