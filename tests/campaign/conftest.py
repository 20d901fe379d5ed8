"""Campaigns that are never run, and a ledger of them on either engine."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.status import Status, look
from gm2sim.database import opened, upgrade
from tests.campaign.staged import Staged, afternoon


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


@pytest.fixture(scope="package")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """A campaign of 96 shards of raw data after three hours; to be looked at only."""
    path = tmp_path_factory.mktemp("staged")
    with opened(path / "catalog.sqlite", create=True) as engine:
        upgrade(engine, "catalog")
        yield afternoon(Staged(engine, path / "campaign"))


@pytest.fixture(scope="package")
def status(staged: Staged) -> Status:
    """What became of it."""
    return look(staged.ledger, staged.folder, staged.name, target="run1a.toml", clock=lambda: staged.clock.at)
