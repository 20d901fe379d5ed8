"""Who may read and who may write the conditions of a PostgreSQL database."""

import sqlalchemy as sa

from gm2sim.conditions.schema import FOLDER_TABLES, TAGS, FolderTables
from gm2sim.conditions.table import ConditionsError
from gm2sim.database import require_schema

_VERSION = "conditions_version"


def grant(engine: sa.Engine, reader: str = "", writer: str = "") -> None:
    """Let roles of the server read, or read and write, the tables of the conditions.

    A reader may select. A writer may also add tags, constants and intervals, remove the intervals of open tags, and
    freeze tags; what is frozen is refused by the database itself, to writers and owners alike.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the owner of the tables.
    reader, writer : str
        Roles of the server; what they could do with these tables before is taken away first.

    Raises
    ------
    ConditionsError
        SQLite has no roles, there is no such role, or none is given.
    """
    if engine.dialect.name != "postgresql":
        raise ConditionsError(
            "a SQLite file has no roles: the permissions of the file say who may write (chmod), or give postgresql://"
        )
    if not (reader or writer):
        raise ConditionsError("there is nobody to grant anything to: give --reader or --writer")
    if reader == writer:
        raise ConditionsError(f"role {reader!a} cannot be reader and writer: give two roles")
    require_schema(engine, "conditions")
    with engine.begin() as connection:
        for role in filter(None, (reader, writer)):
            _require_role(connection, role)
        if reader:
            _grant(connection, reader, writes=False)
        if writer:
            _grant(connection, writer, writes=True)


def _require_role(connection: sa.Connection, role: str) -> None:
    roles = sa.table("pg_roles", sa.column("rolname", sa.Text))
    # Zero bytes cannot even be asked for.
    known = "\0" not in role and connection.execute(sa.select(roles).where(roles.c.rolname == role)).first()
    if not known:
        raise ConditionsError(f"the server has no role {role[:80]!a}: make it with CREATE ROLE first")


def _grant(connection: sa.Connection, role: str, *, writes: bool) -> None:
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    growing = [TAGS.name, *(table.name for folder in FOLDER_TABLES.values() for table in _tables(folder))]
    shrinking = [TAGS.name, *(folder.tag_iovs.name for folder in FOLDER_TABLES.values())]
    counters = [
        "conditions_tags_tag_id_seq",
        *(f'"{folder.sets.name}___iov_id_seq"' for folder in FOLDER_TABLES.values()),
    ]
    everything = ", ".join([*growing, _VERSION])
    statements = [
        f"REVOKE ALL ON {everything} FROM {quoted}",
        f"REVOKE ALL ON SEQUENCE {', '.join(counters)} FROM {quoted}",
        f"GRANT USAGE ON SCHEMA public TO {quoted}",
        f"GRANT SELECT ON {everything} TO {quoted}",
    ]
    if writes:
        statements += [
            f"GRANT INSERT ON {', '.join(growing)} TO {quoted}",
            f"GRANT DELETE ON {', '.join(shrinking)} TO {quoted}",
            f"GRANT UPDATE (frozen, checksum) ON {TAGS.name} TO {quoted}",
            f"GRANT USAGE ON SEQUENCE {', '.join(counters)} TO {quoted}",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)


def _tables(folder: FolderTables) -> tuple[sa.Table, ...]:
    return folder.sets, folder.data, folder.iovs, folder.tag_iovs
