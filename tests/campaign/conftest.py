"""Campaigns that are never run, and a ledger of them on either engine."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.ledger import Ledger
from gm2sim.database import opened, upgrade


def plan(**values: Any) -> Campaign:
    """Two runs of three subruns, simulated and reconstructed: six and two shards; keywords replace parts."""
    stages = [{"name": "raw", "kind": "simulate"}, {"name": "reco", "kind": "reconstruct", "after": ["raw"]}]
    runs = [{"first_run": 100, "runs": 2, "fills": 7, "subruns": 3}]
    plain = {"name": "first", "preset": "gasgun", "folder": "out", "stage": stages, "runs": runs}
    return Campaign.model_validate(plain | values)


@pytest.fixture(name="plan")
def _plan() -> Callable[..., Campaign]:
    """Makes the definition of a small campaign."""
    return plan


@pytest.fixture
def catalog(database: str) -> Iterator[Engine]:
    """An empty catalogue, on SQLite and PostgreSQL in turn."""
    with opened(database, create=True) as engine:
        upgrade(engine, "catalog")
        yield engine


@pytest.fixture
def ledger(catalog: Engine) -> Ledger:
    """A ledger of alice with the small campaign."""
    found = Ledger(catalog, "alice")
    found.register(plan(), "/scratch/first", "alice")
    return found
