"""Queries with a name, and lists that stay as they are."""

from typing import Any

from sqlalchemy import Engine, Row, func, insert, literal, select

from gm2sim.catalog.compile import select_ids
from gm2sim.catalog.parser import parse
from gm2sim.catalog.query import count
from gm2sim.catalog.record import dataset_name, owner_name
from gm2sim.catalog.schema import definitions, files, snapshot_files, snapshots
from gm2sim.catalog.store import next_id, writing
from gm2sim.catalog.syntax import Defined, Query
from gm2sim.catalog.text import CatalogError, free_text, quoted
from gm2sim.catalog.times import iso, now


def define(engine: Engine, name: str, query: str, owner: str, description: str = "") -> int:
    """Give a query a name.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    name : str
        Begins with ``gm2sim_``; the same name with the same query may be given again.
    query : str
    owner : str
    description : str

    Returns
    -------
    int
        Files that it finds now.

    Raises
    ------
    CatalogError
        The name is not allowed or taken by another query, or the query cannot be read.
    """
    dataset_name(name, "definition")
    text = str(parse(query))
    values = {
        "name": name, "query": text, "owner": owner_name(owner), "made_at": now(),
        "description": free_text("the description", description),
    }  # fmt: skip
    with writing(engine) as connection:
        found = count(connection, text)[0]
        there = connection.execute(select(definitions).where(definitions.c.name == name)).one_or_none()
        if there is None:
            connection.execute(insert(definitions).values(values))
        elif there.query != text:
            raise CatalogError(
                f"definition {name} of {quoted(there.owner)} says {quoted(there.query)}, {quoted(owner)} gives it "
                "another query: choose another name"
            )
    return found


def list_definitions(engine: Engine) -> list[dict[str, Any]]:
    """Every definition: name, query, owner, when it was made, description."""
    with engine.connect() as connection:
        rows = connection.execute(select(definitions).order_by(definitions.c.name)).all()
    return [_shown(row) for row in rows]


def snapshot(engine: Engine, name: str, owner: str) -> dict[str, Any]:
    """Freeze what a definition finds now: what is declared later does not change the list.

    Returns
    -------
    dict
        ``id`` (say ``snapshot_id N`` in a query), name, query, owner, made_at, files, size.

    Raises
    ------
    CatalogError
        There is no such definition.
    """
    dataset_name(name, "definition")
    owner_name(owner)
    with writing(engine) as connection:
        ids = select_ids(connection, Query(Defined(name)))
        query = connection.execute(select(definitions.c.query).where(definitions.c.name == name)).scalar_one()
        number = next_id(connection, snapshots)
        values = {"id": number, "name": name, "query": query, "owner": owner, "made_at": now(), "files": 0, "size": 0}
        connection.execute(insert(snapshots).values(values))
        frozen = ids.add_columns(literal(number)).with_only_columns(literal(number), files.c.id)
        connection.execute(insert(snapshot_files).from_select(["snapshot_id", "file_id"], frozen))
        held = select(snapshot_files.c.file_id).where(snapshot_files.c.snapshot_id == number)
        totals = select(func.count(), func.coalesce(func.sum(files.c.size), 0)).where(files.c.id.in_(held))
        values["files"], values["size"] = (int(total) for total in connection.execute(totals).one())
        connection.execute(
            snapshots.update().where(snapshots.c.id == number).values(files=values["files"], size=values["size"])
        )
    return values | {"made_at": iso(int(str(values["made_at"])))}


def list_snapshots(engine: Engine) -> list[dict[str, Any]]:
    """Every snapshot: id, name, query, owner, when it was made, files and size."""
    with engine.connect() as connection:
        rows = connection.execute(select(snapshots).order_by(snapshots.c.id)).all()
    return [_shown(row) for row in rows]


def _shown(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping) | {"made_at": iso(row.made_at)}
