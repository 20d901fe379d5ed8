"""Where files come from and what was made of them; where they lie; taking them out of use."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Engine, func, literal, select, update

from gm2sim.catalog.declare import describe_owner
from gm2sim.catalog.query import file_id, record
from gm2sim.catalog.record import STATES, file_name, owner_name
from gm2sim.catalog.schema import campaigns, files, parents
from gm2sim.catalog.store import writing
from gm2sim.catalog.text import CatalogError, quoted
from gm2sim.errors import nearest

_DEEPEST = 1000  # generations


def ancestors(connection: Connection, name: str, depth: int | None = None) -> list[tuple[str, int]]:
    """Names of the files that a file was made from, with their generation (1 for its parents).

    Parameters
    ----------
    connection : sqlalchemy.Connection
    name : str
    depth : int, optional
        Generations; all without.

    Raises
    ------
    CatalogError
        There is no such file.
    """
    return _relatives(connection, name, depth, parents.c.child_id, parents.c.parent_id)


def descendants(connection: Connection, name: str, depth: int | None = None) -> list[tuple[str, int]]:
    """Names of the files that were made from a file, as :func:`ancestors`."""
    return _relatives(connection, name, depth, parents.c.parent_id, parents.c.child_id)


def locate(connection: Connection, name: str) -> tuple[str, ...]:
    """Paths of a file."""
    found = record(connection, name)
    return tuple(f"{folder.rstrip('/')}/{found.name}" for folder in found.folders)


def retire(engine: Engine, names: Sequence[str], owner: str, status: str = "retired") -> int:
    """Say that files are not to be used any more (or are bad, or good again); they stay in the catalogue.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    names : sequence of str
    owner : str
        Has to own their campaigns.
    status : str
        One of :data:`gm2sim.catalog.record.STATES`.

    Returns
    -------
    int
        Files whose status has changed.

    Raises
    ------
    CatalogError
        A file is not there or belongs to somebody else; none is changed then.
    """
    if status not in STATES:
        raise CatalogError(f"there is no status {quoted(status)}: {nearest(status, STATES)}")
    owner_name(owner)
    changed = 0
    with writing(engine) as connection:
        for name in dict.fromkeys(names):
            number = file_id(connection, file_name(name))
            row = connection.execute(select(files).where(files.c.id == number)).one()
            whose = connection.execute(select(campaigns.c.owner).where(campaigns.c.id == row.campaign_id)).scalar_one()
            if whose != owner:
                raise CatalogError(
                    f"{name} belongs to {describe_owner(connection, row)}, {quoted(owner)} cannot change it: ask them"
                )
            connection.execute(update(files).where(files.c.id == number).values(status=status))
            changed += row.status != status
    return changed


def _relatives(
    connection: Connection, name: str, depth: int | None, of: Column[int], other: Column[int]
) -> list[tuple[str, int]]:
    start = file_id(connection, name)
    walk = select(other.label("id"), literal(1).label("generation")).where(of == start).cte(recursive=True)
    further = select(other, walk.c.generation + 1).join(walk, of == walk.c.id)
    walk = walk.union(further.where(walk.c.generation < min(depth or _DEEPEST, _DEEPEST)))
    generation = func.min(walk.c.generation)
    found = (
        select(files.c.name, generation)
        .join(walk, walk.c.id == files.c.id)
        .group_by(files.c.id, files.c.name)
        .order_by(generation, files.c.id)
    )
    return [(row[0], int(row[1])) for row in connection.execute(found)]
