"""Databases of conditions and small tables for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
from sqlalchemy import Engine

from gm2sim.conditions import ConditionsError, Table
from gm2sim.conditions.interval import EVERY_RUN
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import Moment
from gm2sim.conditions.records import KNOWN
from gm2sim.database import DatabaseError, explain, opened, upgrade


@contextmanager
def book(where: str) -> Iterator[Engine]:
    """A database with the tables of the conditions."""
    with opened(where, create=True) as engine:
        upgrade(engine, "conditions")
        yield engine


def kickers(volts: float, delay: float = 25.0) -> Table:
    """A table of three rows, named by a voltage."""
    folder = KNOWN["kicker_settings"]
    return Table.of(folder, EVERY_RUN, {"voltage": np.full(folder.shape, volts), "delay": np.full(folder.shape, delay)})


def fill(engine: Engine, tag: str, *spans: tuple[float, Moment, Moment | None]) -> None:
    """Add intervals of the kickers: voltage, begin, end."""
    add(engine, tag, [Entry(kickers(volts), begin, end) for volts, begin, end in spans])


def volts(table: Table) -> float:
    """What names a table of :func:`kickers`."""
    return float(table["voltage"][0])


def sentence_of(action: Callable[[], object], engine: Engine | None = None) -> str:
    """What a refusal says, also that of the database itself: one line."""
    try:
        with explain(engine) if engine is not None else nullcontext():
            action()
    except (ConditionsError, DatabaseError) as err:
        said = str(err)
        assert "\n" not in said
        return said
    raise AssertionError("nothing was refused")
