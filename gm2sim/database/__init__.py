"""Databases of the program (conditions, catalogue, data quality): one door to SQLite files and PostgreSQL servers."""

from gm2sim.database.engine import DatabaseError, explain, open_engine, opened, shown
from gm2sim.database.roles import grant
from gm2sim.database.schema import BOOKS, require_schema, upgrade

__all__ = ["BOOKS", "DatabaseError", "explain", "grant", "open_engine", "opened", "require_schema", "shown", "upgrade"]
