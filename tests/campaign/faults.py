"""A campaign on a fake Slurm to which every kind of fault happens.

python -m tests.campaign.faults 25
"""

import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from gm2sim import atomic
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.slurm import SlurmError
from gm2sim.database import opened, upgrade
from tests.campaign.fake_farm import Farm, content
from tests.campaign.play import Play

FILLS = 16
NODE_LOST = "slurmstepd: error: *** JOB ON node CANCELLED DUE TO NODE FAILURE ***"


def definition(folder: Path) -> Campaign:
    """A campaign of 96 shards in 4 runs."""
    return Campaign.model_validate({
        "name": "test", "preset": "gasgun", "folder": str(folder), "nodes": 8,
        "stage": [{"name": "truth", "kind": "simulate", "retries": 30}],
        "runs": [{"first_run": 1, "runs": 4, "fills": 24 * FILLS, "subruns": 24}],
    })  # fmt: skip


class Faults:
    """Each kind of fault as a method: gives what the ledger must say of it, or None when it found no prey."""

    def __init__(self, play: Play, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.play, self.random, self._monkeypatch = play, random.Random(seed), monkeypatch
        self.back_s = 0.0

    def _prey(self) -> Farm | None:
        return self.random.choice(list(self.play.farms.values())) if self.play.farms else None

    def _end(self, state: str, words: str, *, dies: bool = True) -> list[str] | None:
        farm = self._prey()
        if farm is None:
            return None
        del self.play.farms[farm.number, farm.index]
        if dies:
            farm.die(words)
        else:
            self.play.ghosts.append(farm)
        self.play.fake.set(farm.number, farm.index, state)
        return [state, f"{farm.token} element {farm.index}"]

    def timeout(self) -> list[str] | None:
        return self._end("TIMEOUT", "slurmstepd: error: *** JOB CANCELLED DUE TO TIME LIMIT ***")

    def out_of_memory(self) -> list[str] | None:
        return self._end("OUT_OF_MEMORY", "slurmstepd: error: Detected 1 oom_kill event")

    def cancelled(self) -> list[str] | None:
        return self._end("CANCELLED", "slurmstepd: error: *** JOB CANCELLED ***")

    def preempted(self) -> list[str] | None:
        return self._end("PREEMPTED", "slurmstepd: error: *** JOB CANCELLED DUE TO PREEMPTION ***")

    def failed_at_mpi_init(self) -> list[str] | None:
        told = self._end("FAILED", "Fatal error in PMPI_Init_thread: Other MPI error")
        return told and [*told, "PMPI_Init_thread"]

    def node_fail_and_requeue(self) -> list[str] | None:
        """Back into the queue under the same number: the campaign sees it waiting in its next life."""
        farm = self._prey()
        if farm is None:
            return None
        del self.play.farms[farm.number, farm.index]
        unfinished = any(not self.play.world.good(one) for one in farm.at_work)
        farm.die(NODE_LOST)
        self.play.fake.set(farm.number, farm.index, "PENDING", "BeginTime")
        self.play.look()
        return [f"job {farm.token} element {farm.index}: {NODE_LOST}"] if unfinished else []

    def two_live_copies(self) -> list[str] | None:
        return self._end("NODE_FAIL", "", dies=False)

    def forgotten(self) -> list[str] | None:
        """The queue loses a job; some of its processes live on for a while."""
        farm = self._prey()
        if farm is None:
            return None
        for key in [key for key, other in self.play.farms.items() if other.number == farm.number]:
            other = self.play.farms.pop(key)
            if other is farm:
                self.play.ghosts.append(farm)
            else:
                other.die()
        self.play.fake.forget(farm.number)
        return ["FORGOTTEN", farm.token]

    def hang(self) -> list[str] | None:
        """Nothing happens any more until the time is over."""
        farm = self._prey()
        if farm is None:
            return None
        farm.hangs = True
        for _ in range(2):
            self.play.tick(1)
        del self.play.farms[farm.number, farm.index]
        farm.die("slurmstepd: error: *** JOB CANCELLED DUE TO TIME LIMIT ***")
        self.play.fake.set(farm.number, farm.index, "TIMEOUT")
        return ["TIMEOUT", f"{farm.token} element {farm.index}"]

    def completed_without_files(self) -> list[str] | None:
        """Slurm says COMPLETED, but what its ranks wrote never reached the disk."""
        told = self._end("COMPLETED", "all done")
        # Slurm may forget the job before anybody has looked, and an earlier life may have had more telling last words.
        return told and ["COMPLETED without its files", f"of job {told[1]}"]

    def sbatch_refused(self) -> list[str] | None:
        with self.play.fake.state() as state:
            state["sbatch"].append("refused")
        return ["sbatch refuses"]

    def sbatch_answer_lost(self) -> list[str] | None:
        with self.play.fake.state() as state:
            state["sbatch"].append(self.random.choice(("lost", "dropped")))
        return []

    def queue_silent(self) -> list[str] | None:
        with self.play.fake.state() as state:
            state["silent"] = 3
        return ["queue is silent"]

    def clock_back(self) -> list[str] | None:
        self.back_s = 3600.0 if not self.back_s else 0.0
        back = self.back_s
        self._monkeypatch.setattr(time, "time", lambda: time.time_ns() / 1e9 - back)
        self.play.world.clock -= 3600
        return []

    def corrupted(self) -> list[str] | None:
        return self._damage(b"x")

    def deleted(self) -> list[str] | None:
        return self._damage(b"")

    def _damage(self, last: bytes) -> list[str] | None:
        done = [one for one in self.play.shards if self.play.world.good(one) and one not in self.play.world.held]
        if not done:
            return None
        path = self.play.world.product(self.random.choice(done))
        if last:
            path.write_bytes(path.read_bytes()[:-1] + last)
        else:
            path.unlink()
        return [path.name]


KINDS_OF_FAULT = [name for name in vars(Faults) if not name.startswith("_")]
RARE = ("corrupted", "deleted", "completed_without_files")  # each costs a whole shard


class Survived(NamedTuple):
    """What came of a campaign with faults.

    Attributes
    ----------
    shards, faults : int
    work : float
        Fills that were made, over those that it needs.
    """

    shards: int
    faults: int
    work: float


def survived(folder: Path, seed: int) -> Survived:
    """Make a campaign with 120 faults in it, and see that nothing is lost, doubled or left without a name.

    Parameters
    ----------
    folder : Path
        Empty.
    seed : int
        Of the faults: which, when and where.
    """
    with opened(folder / "catalog.sqlite", create=True) as engine, pytest.MonkeyPatch.context() as patches:
        upgrade(engine, "catalog")
        play = Play(folder, engine, definition(folder))
        expected = _with_faults(play, Faults(play, seed, patches), patches)
        patches.undo()
        while play.ghosts:
            play.tick()
        play.finish()
        assert play.recover() == [] or play.finish() is None
        assert all(play.world.product(one).read_bytes() == content(one) for one in play.shards)
        made = sorted(path for path in (play.folder.path / "truth").rglob("*") if path.is_file())
        assert made == sorted(play.world.product(one) for one in play.shards)
        told = play.reasons()
        unnamed = [words for words in expected if not all(word in told for word in words)]
        assert unnamed == [], unnamed
        return Survived(len(play.shards), len(expected), play.world.work / (FILLS * len(play.shards)))


def _with_faults(play: Play, faults: Faults, patches: pytest.MonkeyPatch) -> list[list[str]]:
    """The campaign until every fault has found its prey: what the ledger must say of each."""
    order = KINDS_OF_FAULT * 5 + [kind for kind in KINDS_OF_FAULT if kind not in RARE] * 3 + ["timeout"]
    faults.random.shuffle(order)
    patches.setattr(atomic, "sync", lambda path: None)  # no machine is lost here
    expected: list[list[str]] = []
    for _ in range(300):
        with suppress(SlurmError):
            play.launch()
        play.tick(2)
        for kind in order[:5]:
            order.remove(kind)
            told = getattr(faults, kind)()
            (order if told is None else expected).append(kind if told is None else told)
        if not faults.random.randrange(4):
            with suppress(SlurmError):
                play.recover()
        if not order:
            break
    return expected


def main(campaigns: int) -> None:
    """As the first lines say."""
    seen = []
    for seed in range(campaigns):
        with tempfile.TemporaryDirectory() as folder:
            seen.append(survived(Path(folder), seed))
        sys.stdout.write(f"{seen[-1]._asdict()}\n")
        sys.stdout.flush()
    shards, faults = sum(one.shards for one in seen), sum(one.faults for one in seen)
    sys.stdout.write(f"{shards} shards, {faults} faults, at most {max(one.work for one in seen):.2f} times the work\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
