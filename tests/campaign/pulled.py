"""A campaign on a real Slurm that somebody pulls at: every look is compared with what lies on the disk."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

import psutil

from gm2sim.campaign import status
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import FINISHED, look
from gm2sim.campaign.job import Farming
from gm2sim.campaign.launch import launch
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.located import GOOD
from gm2sim.campaign.recover import recover
from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.slurm import Slurm
from gm2sim.errors import ConfigError

PATIENCE_S = 600.0
WHO = "manager"
_AT_WORK = frozenset({State.SUBMITTED, State.RUNNING})
_SUFFIXES = (".mid", ".truth.h5", ".json")
Sums = dict[str, tuple[int, str]]


def sums(folder: Path) -> Sums:
    """Size and SHA-256 of the raw data, truth and metadata of a run."""
    return {
        path.name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.glob("gm2_run*"))
        if path.name.endswith(_SUFFIXES)
    }


class Pulled:
    """A campaign of one run under way on a real Slurm.

    Parameters
    ----------
    campaign, folder, ledger, farming
        As of the functions that act on campaigns.
    environment : dict of str to str
        With which Slurm's commands find it.
    right : dict
        What :func:`sums` gives of the same run, undisturbed.

    Attributes
    ----------
    looks : int
        How often the ledger was compared with the disk.
    """

    def __init__(
        self,
        campaign: Campaign,
        folder: CampaignFolder,
        ledger: Ledger,
        farming: Farming,
        environment: dict[str, str],
        right: Sums,
    ) -> None:
        self.campaign, self.folder, self.ledger, self.farming = campaign, folder, ledger, farming
        self.environment, self.right = environment, right
        self.slurm = Slurm(environment, every=0.2)
        self.shards = list(shards(campaign))
        self.made = folder.run(self.shards[0].stage, self.shards[0].run)
        self.looks = 0
        self._read: dict[str, str] = {}

    def launch(self) -> list[tuple[str, str]]:
        """Submit what waits: tokens and numbers of the jobs."""
        return launch(self.campaign, self.folder, self.ledger, self.slurm, self.farming, who=WHO, waves=3).jobs

    def recover(self) -> list[int]:
        """The subruns that are to be made again."""
        lost = recover(self.campaign, self.folder, self.ledger, self.slurm, who=WHO)
        return [one.shard.subrun for one in lost]

    def look(self) -> dict[str, State]:
        """Let the manager look, and see that what the ledger says from then on is true."""
        there = {shard.name for shard in self.shards if self._reported(shard)}
        look(self.ledger, self.folder, self.slurm, who=WHO)
        rows = self.ledger.shards(self.campaign.name)
        self._true(rows, there)
        self._counted()
        self.looks += 1
        return {row.name: row.state for row in rows}

    def files(self, name: str) -> Sums:
        """What a shard's files must be."""
        return {file: facts for file, facts in self.right.items() if file.removeprefix("gm2_").startswith(f"{name}.")}

    def _true(self, rows: list[ShardRow], there: set[str]) -> None:
        assert [row.name for row in rows] == [shard.name for shard in self.shards]
        counted = self.ledger.counts(self.campaign.name)
        assert sum(sum(states.values()) for states in counted.values()) == len(self.shards)
        live = {row.token for row in self.ledger.jobs(self.campaign.name) if row.live}
        for row in rows:
            if row.state in FINISHED:
                self._right(row.name)
            else:
                assert row.name not in there, f"{row.name} is done, and the ledger says {row.state}: {row.reason}"
            # A shard that is to be done is in a job that lives, and one that waits is in none.
            assert (row.state not in _AT_WORK) or row.job in live, (row, live)
            if row.state is State.RUNNING:
                assert self.folder.report(Shard(row.stage, row.run, row.subrun)).exists()
        if self.made.is_dir():
            strange = {path.name for path in self.made.glob("[!.]*")} - self.right.keys()
            assert all(name == "config.toml" or name.endswith(".timing") for name in strange), strange

    def _counted(self) -> None:
        """What people are shown: expected = present + explained, and present is what lies there."""
        told = status.look(self.ledger, self.folder, disk=False)
        present = sum(one.row.state in FINISHED for one in told.shards)
        assert (told.expected, told.present, told.unexplained) == (len(self.shards), present, ())
        assert all(one.why for one in told.shards if one.row.state not in FINISHED)

    def _right(self, name: str) -> None:
        """What the ledger calls done lies there, byte for byte; what was read once and not touched since is so."""
        for file, facts in self.files(name).items():
            path = self.made / file
            stat = path.stat()
            mark = f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_size}"
            if self._read.get(file) != mark:
                assert (stat.st_size, hashlib.sha256(path.read_bytes()).hexdigest()) == facts, file
                self._read[file] = mark

    def _reported(self, shard: Shard) -> bool:
        report = self._report(shard)
        return report is not None and report.state in GOOD

    def _report(self, shard: Shard) -> Report | None:
        try:
            return Report.read(self.folder.report(shard))
        except (FileNotFoundError, ConfigError):
            return None

    def wait(self, ready: Callable[[], bool]) -> None:
        """Look until something is so."""
        end = time.monotonic() + PATIENCE_S
        while not ready():
            assert time.monotonic() < end, (self.look(), self.history())
            self.look()
            self.hurry()
            time.sleep(0.3)

    def at_work(self, token: str, elements: Collection[int] = range(100)) -> int:
        """Wait until one of some elements of a job has shards in hand: which one."""
        end = time.monotonic() + PATIENCE_S
        due = 0.0
        while True:
            for report in filter(None, map(self._report, self.shards)):
                if report.job == token and report.element in elements and self._in_hand(report):
                    return report.element
            assert time.monotonic() < end, (self.look(), self.history())
            if time.monotonic() > due:
                self.look()
                due = time.monotonic() + 2.0
            time.sleep(0.01)

    def _in_hand(self, report: Report) -> bool:
        return report.state == State.RUNNING and not report.ended

    def ranks(self, token: str, element: int) -> list[psutil.Process]:
        """Processes that work on an element of a job."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if token in words and words[0] == sys.executable and words[-2:] == ["--element", str(element)]:
                found.append(process)
        return found

    def command(self, *arguments: str) -> None:
        """One of Slurm's commands, which has to do what it is told."""
        subprocess.run(arguments, env=self.environment, check=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)

    def history(self) -> str:
        """Everything that the ledger tells of its shards."""
        return "\n".join(row.reason for row in self.ledger.history(self.campaign.name))

    def told(self, state: str, token: str, element: int) -> bool:
        """Whether the ledger says that an element has ended so."""
        lines = self.history().splitlines()
        return any(line.startswith(state) and f"of job {token} element {element}" in line for line in lines)

    def hurry(self) -> None:
        """A job that went back into the queue waits two minutes there, by Slurm's own rule: not here."""
        for element in self.slurm.queue(row.token for row in self.ledger.jobs(self.campaign.name) if row.live):
            if element.state == "PENDING" and element.restarts:
                subprocess.run(
                    ["scontrol", "update", f"JobId={element.job}_{element.index}", "StartTime=now"],
                    env=self.environment, check=False, timeout=60, capture_output=True,
                )  # fmt: skip

    def finish(self) -> None:
        """Launch and look until every shard is done."""

        def over() -> bool:
            self.launch()
            return set(self.look().values()) <= FINISHED

        self.wait(over)
