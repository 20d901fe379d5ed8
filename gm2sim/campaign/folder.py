"""Where everything of a campaign lies."""

from dataclasses import dataclass
from pathlib import Path

from gm2sim.atomic import inside
from gm2sim.campaign.shard import Shard


@dataclass(frozen=True)
class CampaignFolder:
    """The folder of a campaign.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def definition(self) -> Path:
        """The campaign as it was launched."""
        return self.path / "campaign.toml"

    def run(self, stage: str, run: int) -> Path:
        """Folder of a run in a stage; of a simulating stage as ``gm2sim run`` makes it."""
        return inside(self.path, stage) / f"run{run:05d}"

    def report(self, shard: Shard) -> Path:
        """Last report on a shard."""
        return self.path / "shards" / shard.stage / f"{shard.name}.json"

    def nearline(self, shard: Shard) -> Path:
        """First look at what a shard holds."""
        return self.path / "nearline" / shard.stage / f"{shard.name}.json"

    def lock(self, shard: Shard) -> Path:
        """Held by the one rank that works on a shard."""
        return self.path / "shards" / shard.stage / f".{shard.name}.lock"

    def job(self, name: str) -> Path:
        """Folder of a job: its script, the shards of its elements, their output."""
        return inside(self.path / "jobs", name)

    @property
    def page(self) -> Path:
        """The page to look at, with what it needs."""
        return self.path / "page"
