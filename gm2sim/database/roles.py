"""Who may read and who may write the tables of a book on a PostgreSQL server.

A reader looks. A writer, who is called operator in the catalogue, also does what the program does in daily use, and no
more. Only the owner, who has made the tables, changes or removes them. A SQLite file has no roles: whoever may write
the file may do everything.
"""

import re
from typing import NamedTuple

import sqlalchemy as sa

from gm2sim.database.engine import DatabaseError, explain

_SHOWN = 80  # characters of a role that a message quotes


class Right(NamedTuple):
    """Something that writers may do: in tables of these names, with these columns (all without)."""

    privilege: str
    tables: str
    columns: tuple[str, ...] = ()


class Book(NamedTuple):
    """The tables of a book by their names (regular expressions), and what those who write may do with them.

    Attributes
    ----------
    tables : str
        Also of tables that later versions will add.
    counters : str
        Sequences of the server that number rows.
    writers : str
        What those who write are called.
    mark : str
        Who may insert into this table is one of them.
    rights : tuple of Right
    """

    tables: str
    counters: str
    writers: str
    mark: str
    rights: tuple[Right, ...]


_OF_CATALOG = "campaigns|settings|folders|files|copies|parents|runs|definitions|snapshots|snapshot_files|version"
_ONLY_ADDED = "ledger_history|ledger_audit"
ROLES = {
    "conditions": Book(
        r"conditions_\w+|\w+_(sets|data|iovs|tag_iovs)",
        r"conditions_\w+_seq|\w+_sets_\w+_seq",
        "writer",
        "conditions_tags",
        (
            Right("INSERT", r"(?!conditions_version)\w+"),
            Right("DELETE", r"conditions_tags|\w+_tag_iovs"),
            Right("UPDATE", "conditions_tags", ("frozen", "checksum")),
        ),
    ),
    "catalog": Book(
        r"catalog_\w+",
        r"catalog_\w+_seq",
        "operator",
        "catalog_files",
        (
            Right("INSERT", r"(?!catalog_version)\w+"),
            Right("UPDATE", "catalog_files", ("status", "folder_id")),
            Right("UPDATE", "catalog_snapshots", ("files", "size")),
            Right("UPDATE", rf"(?!catalog_({_OF_CATALOG}|{_ONLY_ADDED})$)\w+"),  # tables of later versions
        ),
    ),
}
"""The books that several people share."""


def grant(engine: sa.Engine, book: str, role: str, *, writes: bool) -> None:
    """Let a role of the server look at the tables of a book, or write them too.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the owner of the tables.
    book : str
        One of :data:`ROLES`.
    role : str
        What it could do with these tables before is taken away first.
    writes : bool
        Whether it gets the rights of writers.

    Raises
    ------
    DatabaseError
        SQLite has no roles, there is no such role, it owns the tables or others do, or the server refuses.
    """
    if engine.dialect.name != "postgresql":
        raise DatabaseError(
            "a SQLite file has no roles: the permissions of the file say who may write (chmod), or give postgresql://"
        )
    with explain(engine), engine.begin() as connection:
        _require_role(connection, book, role)
        _grant(connection, book, role, writes)


def renew(connection: sa.Connection, book: str) -> None:
    """Give every role of a book its rights again, for tables that an upgrade has added.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        Of the owner of the tables, in the transaction of the upgrade.
    book : str
        One without roles is left alone.
    """
    if connection.dialect.name != "postgresql" or book not in ROLES:
        return
    writers = _holders(connection, ROLES[book].mark, "INSERT")
    for role in _holders(connection, f"{book}_version", "SELECT"):
        _grant(connection, book, role, role in writers)


def _holders(connection: sa.Connection, table: str, privilege: str) -> list[str]:
    """Roles to whom others have given a privilege."""
    columns = [sa.column(name, sa.Text) for name in ("grantee", "grantor", "table_schema", "table_name")]
    given = sa.table("table_privileges", *columns, sa.column("privilege_type", sa.Text), schema="information_schema")
    found = sa.select(given.c.grantee).where(
        given.c.table_schema == "public",
        given.c.table_name == table,
        given.c.privilege_type == privilege,
        given.c.grantee.not_in([given.c.grantor, "PUBLIC"]),
    )
    return sorted(connection.execute(found).scalars())


def _require_role(connection: sa.Connection, book: str, role: str) -> None:
    roles = sa.table("pg_roles", sa.column("rolname", sa.Text))
    # Zero bytes cannot even be asked for.
    known = "\0" not in role and connection.execute(sa.select(roles).where(roles.c.rolname == role)).first()
    if not known:
        raise DatabaseError(f"the server has no role {role[:_SHOWN]!a}: make it with CREATE ROLE first")
    tables = sa.table("pg_tables", *(sa.column(name, sa.Text) for name in ("schemaname", "tablename", "tableowner")))
    owner = tables.c.tableowner
    # The server would only warn that nothing was granted.
    wanted = sa.select(owner, sa.func.pg_has_role(owner, "USAGE").label("mine")).where(
        tables.c.schemaname == "public", tables.c.tablename == ROLES[book].mark
    )
    for found in connection.execute(wanted):
        if not found.mine:
            raise DatabaseError(
                f"the tables of the {book} belong to {found.tableowner!a}: only the owner grants rights"
            )
        if found.tableowner == role:
            raise DatabaseError(
                f"role {role[:_SHOWN]!a} owns the tables of the {book} and may do everything: give another"
            )


def _grant(connection: sa.Connection, book: str, role: str, writes: bool) -> None:
    quote = connection.dialect.identifier_preparer.quote_identifier
    whom = quote(role)
    inspector = sa.inspect(connection)
    tables = [name for name in inspector.get_table_names() if re.fullmatch(ROLES[book].tables, name)]
    counters = [name for name in inspector.get_sequence_names() if re.fullmatch(ROLES[book].counters, name)]

    def listed(names: list[str]) -> str:
        return ", ".join(map(quote, names))

    statements = [
        f"REVOKE ALL ON {listed(tables)} FROM {whom}",
        f"GRANT USAGE ON SCHEMA public TO {whom}",
        f"GRANT SELECT ON {listed(tables)} TO {whom}",
    ]
    if counters:
        statements += [f"REVOKE ALL ON SEQUENCE {listed(counters)} FROM {whom}"]
    for right in ROLES[book].rights if writes else ():
        among = [name for name in tables if re.fullmatch(right.tables, name)]
        columns = f" ({listed(list(right.columns))})" if right.columns else ""
        statements += [f"GRANT {right.privilege}{columns} ON {listed(among)} TO {whom}"] * bool(among)
    if counters and writes:
        statements += [f"GRANT USAGE ON SEQUENCE {listed(counters)} TO {whom}"]
    for statement in statements:
        connection.exec_driver_sql(statement)
