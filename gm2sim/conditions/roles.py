"""Who may read and who may write the conditions of a PostgreSQL database."""

import sqlalchemy as sa

from gm2sim.conditions.table import ConditionsError
from gm2sim.database import grant as grant_role
from gm2sim.database import require_schema


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
        None is given, or both are one.
    DatabaseError
        SQLite has no roles, or there is no such role.
    """
    if not (reader or writer):
        raise ConditionsError("there is nobody to grant anything to: give --reader or --writer")
    if reader == writer:
        raise ConditionsError(f"role {reader!a} cannot be reader and writer: give two roles")
    require_schema(engine, "conditions")
    for role, writes in ((reader, False), (writer, True)):
        if role:
            grant_role(engine, "conditions", role, writes=writes)
