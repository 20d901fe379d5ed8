"""A campaign under way: its ledger, a fake Slurm and make-believe nodes."""

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import Seen, look
from gm2sim.campaign.job import Farming
from gm2sim.campaign.launch import Launched, launch
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.recover import recover
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Shard, State
from tests.campaign.fake_farm import Farm, World
from tests.campaign.fake_slurm import FakeSlurm

FARMING = Farming(ranks=2, threads=1, command=("mpiexec", "-n", "2", "gm2sim"), leave_s=60)
WHO = "manager"


class Play:
    """A campaign with its ledger, a fake Slurm and make-believe nodes."""

    def __init__(self, folder: Path, engine: Engine, campaign: Campaign) -> None:
        self.campaign, self.folder = campaign, CampaignFolder(folder / "campaign")
        self.fake = FakeSlurm(folder / "slurm")
        self.slurm = self.fake.client()
        self.ledger = Ledger(engine)
        self.world = World(self.folder, FARMING.ranks)
        self.farms: dict[tuple[str, int], Farm] = {}
        self.ghosts: list[Farm] = []
        self.shards = list(shards(campaign))

    def launch(self, **options: Any) -> Launched:
        settings = {"waves": 2} | options
        return launch(self.campaign, self.folder, self.ledger, self.slurm, FARMING, who=WHO, **settings)

    def look(self) -> Seen:
        return look(self.ledger, self.folder, self.slurm, who=WHO)

    def recover(self, kind: str = "pending_files", **options: bool) -> list[Shard]:
        lost = recover(self.campaign, self.folder, self.ledger, self.slurm, who=WHO, kind=kind, **options)
        return [one.shard for one in lost]

    def tick(self, fills: int = 3) -> None:
        """Elements start, work a while, and end when they are done."""
        with self.fake.state() as state:
            names = {number: one["name"] for number, one in state["jobs"].items()}
        for number, index in self.fake.start():
            farm = Farm(self.world, names[number], number, index)
            if farm.begin():
                self.farms[number, index] = farm
            else:
                self.fake.set(number, index, "COMPLETED")
        for (number, index), farm in list(self.farms.items()):
            if not farm.work(fills):
                del self.farms[number, index]
                self.fake.set(number, index, "COMPLETED")
        for farm in list(self.ghosts):
            farm.left -= 1
            if not farm.work(fills) or not farm.left:
                farm.die()
                self.ghosts.remove(farm)
        self.world.clock += 60

    def states(self) -> Counter[State]:
        return Counter(row.state for row in self.ledger.shards(self.campaign.name))

    def reasons(self) -> str:
        """Everything that the ledger tells of what went wrong."""
        told = [row.reason for row in self.ledger.history(self.campaign.name)]
        return "\n".join(told + [f"{row.what}: {row.detail}" for row in self.ledger.audit(self.campaign.name)])

    def finish(self, rounds: int = 200) -> None:
        for _ in range(rounds):
            self.launch()
            if self.states() == {State.DONE: len(self.shards)}:
                return
            self.tick()
        raise AssertionError(self.states())
