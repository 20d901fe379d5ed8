"""On a server readers look and cannot write, operators declare and cannot change or remove what is there."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from gm2sim.__main__ import main
from gm2sim.catalog import (
    CatalogError,
    Columns,
    FileRecord,
    check_tables,
    count,
    declare,
    declare_columns,
    define,
    retire,
    snapshot,
)
from gm2sim.catalog import store as storing
from gm2sim.catalog.roles import grant
from gm2sim.catalog.schema import metadata
from gm2sim.database import DatabaseError, explain, opened, roles, upgrade

READER, OPERATOR = 'gm2 "looker"; -- %s :x', "gm2_operator"
TABLES = (*metadata.tables, "catalog_version")


@pytest.fixture(scope="module")
def server(new_postgres: Callable[[], str]) -> tuple[str, str, str]:
    """A catalogue whose server has a reader and an operator: the address of the owner, and theirs."""
    address = new_postgres()
    with opened(address) as engine:
        upgrade(engine, "catalog")
        with engine.begin() as connection:
            known = set(connection.execute(sa.text("select rolname from pg_roles")).scalars())
            quote = engine.dialect.identifier_preparer.quote_identifier
            for role in {READER, OPERATOR} - known:
                connection.exec_driver_sql(f"CREATE ROLE {quote(role)} LOGIN")
        grant(engine, READER, "reader")
        grant(engine, OPERATOR, "operator")
    return address, as_role(address, READER), as_role(address, OPERATOR)


def as_role(address: str, role: str) -> str:
    return sa.make_url(address).set(username=role).render_as_string(hide_password=False)


def sentence(action: Callable[[], object]) -> str:
    with pytest.raises((CatalogError, DatabaseError)) as refused:
        action()
    said = str(refused.value)
    assert said.isprintable()
    return said


def refusal(engine: sa.Engine, statement: str) -> str:
    def run() -> None:
        with explain(engine), engine.begin() as connection:
            connection.exec_driver_sql(statement)

    return sentence(run)


def writing(table: str, *words: str) -> list[str]:
    column = next(iter(metadata.tables[table].columns)).name if table in metadata.tables else "version_num"
    statements = {
        "insert": f"INSERT INTO {table} DEFAULT VALUES", "update": f"UPDATE {table} SET {column} = {column}",
        "delete": f"DELETE FROM {table}", "truncate": f"TRUNCATE {table} CASCADE", "drop": f"DROP TABLE {table}",
        "alter": f"ALTER TABLE {table} ADD COLUMN more TEXT",
    }  # fmt: skip
    return [statements[word] for word in words]


def test_readers_look_and_cannot_write(
    server: tuple[str, str, str], record: Callable[..., FileRecord], subruns: Callable[..., list[FileRecord]]
) -> None:
    owner, reader, _ = server
    with opened(owner) as engine:
        declare(engine, subruns(range(500, 502)))
    with opened(reader) as engine:
        with engine.connect() as connection:
            assert count(connection, "run 500-501")[0] == 6
            for table in TABLES:
                connection.exec_driver_sql(f"SELECT * FROM {table}")
        assert check_tables(engine) == []
        for table in TABLES:
            for statement in writing(table, "insert", "update", "delete", "truncate", "drop", "alter"):
                said = refusal(engine, statement)
                assert "permission denied" in said or "must be owner" in said, statement
        for action in (
            lambda: declare(engine, [record()]),
            lambda: define(engine, "gm2sim_d", "run = 500", "alice"),
            lambda: retire(engine, ["gm2_run00500_00000.mid"], "alice"),
        ):

            def explained(action: Callable[[], object] = action) -> None:
                with explain(engine):
                    action()

            assert "permission denied" in sentence(explained)


def test_operators_declare_and_cannot_change_or_remove_what_is_there(
    server: tuple[str, str, str], record: Callable[..., FileRecord], subruns: Callable[..., list[FileRecord]],
    columns: Callable[..., Columns], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with opened(server[2]) as engine:
        assert declare(engine, subruns(range(600, 602))) == (6, 0)
        made = record("tracks.h5", tier="reco", run=None, subrun=None, parents=("gm2_run00600_00000.mid",))
        assert declare(engine, [made._replace(folders=())]) == (1, 0)
        assert declare(engine, [made, *subruns(range(600, 601), folders=("/elsewhere",))]) == (0, 4)
        assert define(engine, "gm2sim_600", "run 600-601", "alice") == 6
        assert snapshot(engine, "gm2sim_600", "alice")["files"] == 6
        assert retire(engine, ["gm2_run00600_00000.mid"], "alice") == 1
        monkeypatch.setattr(storing, "_FEW", 10)  # an owner's would be built again
        assert declare_columns(engine, record(), columns(range(610, 614), 50)) == 200
        for table in TABLES:
            for statement in writing(table, "update", "delete", "truncate", "drop", "alter"):
                said = refusal(engine, statement)
                assert "permission denied" in said or "must be owner" in said, statement
        for statement in (
            "UPDATE catalog_files SET size = 0", "UPDATE catalog_files SET name = 'x'",
            "INSERT INTO catalog_version VALUES ('9')", "DROP INDEX catalog_files_name",
        ):  # fmt: skip
            said = refusal(engine, statement)
            assert "permission denied" in said or "must be owner" in said, statement


def test_rights_reach_the_tables_of_later_versions_when_the_owner_upgrades(
    new_postgres: Callable[[], str], server: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = new_postgres()
    readers, operators = (as_role(owner, role) for role in (READER, OPERATOR))

    def add_table(*_: object) -> None:
        with opened(owner) as other, other.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE catalog_jobs (id BIGSERIAL PRIMARY KEY, state TEXT)")
            connection.exec_driver_sql("CREATE TABLE others_jobs (id INTEGER)")

    with opened(owner) as engine:
        upgrade(engine, "catalog")
        grant(engine, READER, "reader")
        grant(engine, OPERATOR, "operator")
        add_table()
        with opened(readers) as other:
            assert "permission denied" in refusal(other, "SELECT * FROM catalog_jobs")
        upgrade(engine, "catalog")
    with opened(operators) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO catalog_jobs (state) VALUES ('waits')")
            connection.exec_driver_sql("UPDATE catalog_jobs SET state = 'runs'")
        assert "permission denied" in refusal(engine, "DELETE FROM catalog_jobs")
        assert "must be owner" in refusal(engine, "DROP TABLE catalog_jobs")
        assert "permission denied" in refusal(engine, "SELECT * FROM others_jobs")
    with opened(readers) as engine:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT state FROM catalog_jobs").scalar_one() == "runs"
        assert "permission denied" in refusal(engine, "INSERT INTO catalog_jobs VALUES (7, 'x')")
    with opened(owner) as engine:
        grant(engine, OPERATOR, "reader")  # what it could do is taken away
    with opened(operators) as engine:
        assert "permission denied" in refusal(engine, "INSERT INTO catalog_jobs VALUES (7, 'x')")
        assert "permission denied" in refusal(engine, "UPDATE catalog_files SET status = 'bad'")


def test_the_command_grants_and_says_so(server: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["catalog", "grant", OPERATOR, "--role", "operator", "--db", server[0]])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"'{OPERATOR}' may read and declare\n"


def test_roles_that_cannot_be_are_refused(server: tuple[str, str, str], tmp_path: object) -> None:
    with opened(server[0]) as engine:
        for name in ("nobody here", "a\0b", 'x" WITH GRANT OPTION; --', "\u202e", "x" * 65_536):
            assert "no role" in sentence(lambda name=name: grant(engine, name, "reader"))
        assert "operator or reader" in sentence(lambda: grant(engine, READER, "writer")).replace(", ", " or ")
        assert "owns the tables" in sentence(lambda: grant(engine, "gm2", "reader"))
    with opened(f"{tmp_path}/c.sqlite", create=True) as engine:
        upgrade(engine, "catalog")
        assert "SQLite file has no roles" in sentence(lambda: grant(engine, READER, "reader"))
    with opened(server[1]) as engine:
        assert "only the owner grants" in sentence(lambda: grant(engine, OPERATOR, "reader"))


def test_every_table_of_the_first_version_is_named_as_such() -> None:
    assert {f"catalog_{name}" for name in roles._OF_CATALOG.split("|")} == set(TABLES)
