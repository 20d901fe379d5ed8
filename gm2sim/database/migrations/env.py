"""Run by alembic for each upgrade: the connection and the table of versions are handed in by gm2sim.database.schema."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
