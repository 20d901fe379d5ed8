"""Ranks of a farm that make believe: a fill is a few bytes; what happens to nodes can happen to them."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from gm2sim.atomic import sha256, write_bytes
from gm2sim.campaign import job
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.shard import Report, Shard


def content(shard: Shard) -> bytes:
    """What a shard's file must hold in the end."""
    return b"".join(hashlib.sha256(f"{shard.name} {fill}".encode()).digest() for fill in range(shard.fills))


@dataclass
class Farm:
    """One element of a job at work.

    Parameters
    ----------
    world : World
    token, number, index : str, str, int
        The job's token, Slurm's number of it, the element.
    """

    world: "World"
    token: str
    number: str
    index: int
    waiting: list[Shard] = field(default_factory=list)
    at_work: list[Shard] = field(default_factory=list)
    hangs: bool = False
    left: int = 4  # turns of its life once nobody knows of it

    def begin(self) -> bool:
        """Do what the job's script does first; False when there is nothing to do any more."""
        folder = self.world.folder
        if not job.owner(folder, self.token):
            (folder.job(self.token) / "owner").symlink_to(self.number)
        if job.owner(folder, self.token) != self.number or job.ended(folder, self.token, self.index):
            return False
        self.waiting = list(job.elements(folder, self.token))[self.index]
        return True

    def work(self, fills: int) -> bool:
        """Each rank makes some fills; True as long as there is more to do."""
        if self.hangs:
            return True
        for _ in range(fills):
            while len(self.at_work) < self.world.ranks and self.waiting:
                shard = self.waiting.pop(0)
                if self.world.take(shard, self):
                    self.at_work.append(shard)
            for shard in list(self.at_work):
                if self.world.fill(shard, self):
                    self.at_work.remove(shard)
        return bool(self.at_work or self.waiting)

    def die(self, words: str = "") -> None:
        """All ranks are gone at once: the fills in hand are lost."""
        self.world.work += len(self.at_work)
        for shard in self.at_work:
            self.world.held.pop(shard, None)
        self.at_work.clear()
        if words:
            with (self.world.folder.job(self.token) / f"{self.index}.out").open("a") as out:
                out.write(f"{words}\n")


@dataclass
class World:
    """Disk and nodes of a campaign.

    Attributes
    ----------
    work : int
        Fills that were made, lost ones too.
    held : dict
        Which farm has the lock of a shard.
    """

    folder: CampaignFolder
    ranks: int
    clock: float = 1e9
    work: int = 0
    held: dict[Shard, Farm] = field(default_factory=dict)

    def product(self, shard: Shard) -> Path:
        """The one file of a shard."""
        return self.folder.run(shard.stage, shard.run) / f"{shard.name}.mid"

    def good(self, shard: Shard) -> bool:
        """Whether its file is what it must be."""
        path = self.product(shard)
        return path.is_file() and path.read_bytes() == content(shard)

    def take(self, shard: Shard, farm: Farm) -> bool:
        """Lock a shard that is not done; a rank leaves those alone that another copy has."""
        if shard in self.held or (self.good(shard) and self._report(shard, farm, "done") is None):
            return False
        self.held[shard] = farm
        self._report(shard, farm, "running")
        return True

    def fill(self, shard: Shard, farm: Farm) -> bool:
        """Make a fill; True when it was the last."""
        checkpoint = self._checkpoint(shard)
        done = 1 + (json.loads(checkpoint.read_text()) if checkpoint.exists() else 0)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(json.dumps(done))
        self.work += 1
        if done < shard.fills:
            return False
        write_bytes(self.product(shard), content(shard), replace=True)
        checkpoint.unlink()
        self._report(shard, farm, "done")
        del self.held[shard]
        return True

    def _checkpoint(self, shard: Shard) -> Path:
        return self.folder.run(shard.stage, shard.run) / f".{shard.name}.checkpoint"

    def _report(self, shard: Shard, farm: Farm, state: str) -> None:
        path = self.folder.report(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        attempt = Report.read(path).attempt + (state == "running") if path.exists() else 1
        product = self.product(shard)
        files = {product.name: {"size": product.stat().st_size, "sha256": sha256(product)}} if state == "done" else {}
        Report(
            shard.stage, shard.name, state, job=farm.token, element=farm.index, attempt=attempt, files=files,
            began=self.clock, ended=self.clock, wall_s=1.0, fills=shard.fills, host="node",
        ).write(path)  # fmt: skip
