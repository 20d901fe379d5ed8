"""Who may look at a catalogue on a PostgreSQL server, and who may declare."""

from sqlalchemy import Engine

from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.database import grant as grant_role
from gm2sim.errors import nearest

ROLES = ("reader", "operator")
"""Beside the owner, who has made the tables and may do everything."""


def grant(engine: Engine, name: str, role: str) -> None:
    """Give a role of the server the rights of a reader or an operator.

    A reader may select. An operator may also declare files, say that one is bad or retired, name queries and freeze
    what they find; in tables that later versions add it may insert and update.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        Of the owner of the tables.
    name : str
        What it could do with these tables before is taken away first.
    role : str
        One of :data:`ROLES`.

    Raises
    ------
    CatalogError
        There is no such kind of role.
    DatabaseError
        SQLite has no roles, or the server does not know this one.
    """
    if role not in ROLES:
        raise CatalogError(f"there is no role {quoted(role)}: {nearest(role, ROLES)}")
    grant_role(engine, "catalog", name, writes=role == "operator")
