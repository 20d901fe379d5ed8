"""Versions of the tables: alembic makes them, changes them, and says which version a database has.

Every book (conditions, catalogue, data quality) has its own history, so that they may share a database or not.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from gm2sim.database.engine import DatabaseError, explain, shown
from gm2sim.database.roles import renew

_MIGRATIONS = Path(__file__).parent / "migrations"
BOOKS = ("conditions", "catalog", "quality")
"""Sets of tables, each with the migrations in the folder of its name."""


def upgrade(engine: Engine, book: str) -> None:
    """Make the tables of a book, or bring them to the version of this program; what they hold is kept.

    On PostgreSQL the roles that have rights in the book get them in its new tables too.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    book : str
        One of :data:`BOOKS`.

    Raises
    ------
    DatabaseError
        The tables are of a newer program, or the database refuses.
    """
    config = _config(book)
    with explain(engine), engine.begin() as connection:
        found = _found(engine, book, connection)
        _refuse_newer(engine, book, found)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        renew(connection, book)


def require_schema(engine: Engine, book: str) -> None:
    """See that a database has the tables of a book as this program knows them.

    Raises
    ------
    DatabaseError
        They are missing, older or newer: says which version is there and how to go on.
    """
    with explain(engine), engine.connect() as connection:
        found = _found(engine, book, connection)
    head = ScriptDirectory.from_config(_config(book)).get_current_head()
    _refuse_newer(engine, book, found)
    if found is None:
        raise DatabaseError(f"'{shown(engine.url)}' has no tables of the {book}: make them with `gm2sim {book} init`")
    if found != head:
        raise DatabaseError(
            f"the tables of the {book} in '{shown(engine.url)}' are of version {found}, this program needs {head}: "
            f"`gm2sim {book} init` brings them up to date, their content is kept"
        )


def _refuse_newer(engine: Engine, book: str, found: str | None) -> None:
    scripts = ScriptDirectory.from_config(_config(book))
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"the tables of the {book} in '{shown(engine.url)}' are of version {found}, this program knows up to "
            f"{scripts.get_current_head()}: use a newer gm2sim"
        )


def _found(engine: Engine, book: str, connection: object) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": _table(book)})  # type: ignore[arg-type]
    return context.get_current_revision()


def _table(book: str) -> str:
    return f"{book}_version"


def _config(book: str) -> Config:
    if book not in BOOKS:
        raise ValueError(f"'{book}' is no book: {', '.join(BOOKS)}")
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(_MIGRATIONS / book).replace("%", "%%"))
    config.attributes["version_table"] = _table(book)
    return config
