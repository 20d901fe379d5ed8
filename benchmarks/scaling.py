"""What a farm of ranks and a campaign of many shards cost beside the simulation itself.

``python -m benchmarks.scaling`` prints the rows; ``--quick`` takes a tenth of everything. Times on the wall are good on
an otherwise idle machine only; processor times are given beside them, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.row import Row, at_least, at_most
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import look
from gm2sim.campaign.job import Farming
from gm2sim.campaign.launch import launch
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.slurm import Element, Slurm
from gm2sim.database import opened, upgrade

_SHARDS = 100_000
_PER_RUN = 1000
_REPEATS = 9
_FILLS = 24  # of a rank
_MUONS = 400  # of a fill
_STARTED = 64  # ranks, however few cores there are
_TINY = ("beam.muons_per_fill=24", "tracking.fill_duration_us=20", "daq.q_method=false")
_PRESETS = ("gasgun", "run1a", "run456")
_ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MPIEXEC = Path(sys.executable).with_name("mpiexec")


def rows(quick: bool = False) -> list[Row]:
    """All measurements.

    Parameters
    ----------
    quick : bool
        A tenth of shards, fills and repeats.
    """
    share = 10 if quick else 1
    return [
        *_scheduling(_SHARDS // share),
        *_weak_scaling(max(3, _REPEATS // share), max(2, _FILLS // share)),
        *_memory(_PRESETS[: 1 if quick else None]),
        *_start(_STARTED // share),
    ]


class _Farmed(NamedTuple):
    """A job of some ranks.

    Attributes
    ----------
    wall : float
        From the begin of the first subrun to the end of the last [s].
    cpu : float
        Of all subruns [s].
    """

    wall: float
    cpu: float


def _weak_scaling(repeats: int, fills: int) -> list[Row]:
    """One rank with some work, and two with as much each, in turn."""
    found: dict[int, list[_Farmed]] = {1: [], 2: []}
    _farmed(1, 1)  # compiles
    for _ in range(repeats):
        for ranks, measured in found.items():
            measured.append(_farmed(ranks, fills))
    by_wall = [one.wall / two.wall for one, two in zip(found[1], found[2], strict=True)]
    by_cpu = [2 * one.cpu / two.cpu for one, two in zip(found[1], found[2], strict=True)]
    best = min(one.wall for one in found[1]) / min(two.wall for two in found[2])
    told = f"median {100 * statistics.median(by_wall):.3g} % of {repeats} pairs; only on an idle machine"
    return [
        at_least("weak scaling from 1 to 2 ranks, on the wall, best of each", 100 * best, "%", 95.0, told),
        at_least("the same in processor time, median", 100 * statistics.median(by_cpu), "%", 95.0),
    ]


def _farmed(ranks: int, fills: int) -> _Farmed:
    """Simulate so many fills a rank, one subrun each."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(_MPIEXEC), "-n", str(ranks), sys.executable, "-m", "mpi4py", "-m", "gm2sim", "run", "gasgun"]
        command += ["--fills", str(fills * ranks), "--subruns", str(ranks), "--set", f"beam.muons_per_fill={_MUONS}"]
        _run([*command, "--no-report", "--backend", "cpu", "--out", f"{folder}/out"])
        told = [(path.stat().st_mtime, json.loads(path.read_text())) for path in Path(folder).glob("out/*.timing")]
    begun = min(ended - facts["wall_s"] for ended, facts in told)
    return _Farmed(max(ended for ended, _ in told) - begun, sum(facts["cpu_s"] for _, facts in told))


def _memory(presets: Sequence[str]) -> list[Row]:
    """Largest resident size of a process that simulates presets as they are."""
    found = []
    for preset in presets:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "gm2sim", "run", preset, "--fills", "2", "--subruns", "1", "--no-report"]
            _run([*command, "--backend", "cpu", "--out", f"{folder}/out"])
            (timing,) = Path(folder).glob("out/*.timing")
            peak = json.loads(timing.read_text())["peak_memory_mb"]
        found.append(at_most(f"peak memory of a rank, {preset}", peak, "MB", 1000.0))
    return found


def _start(ranks: int) -> list[Row]:
    """From the command to the first event on the disk, which no rank makes before all have met."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(_MPIEXEC), "-n", str(ranks), sys.executable, "-m", "gm2sim.start", "run", "gasgun"]
        command += ["--no-report", "--fills", str(ranks), "--subruns", str(ranks)]
        command += ["--backend", "cpu", "--out", f"{folder}/out"]
        command += [word for value in _TINY for word in ("--set", value)]
        begin = time.monotonic()
        nothing = subprocess.DEVNULL
        job = subprocess.Popen(command, env=os.environ | _ONE_THREAD, stdin=nothing, stdout=nothing)
        while job.poll() is None and not any(Path(folder).glob("out/.*.checkpoint")):
            time.sleep(0.02)
        took = time.monotonic() - begin
        if job.wait() != 0:
            raise subprocess.CalledProcessError(job.returncode, command)
    return [at_most(f"start of {ranks} ranks of one node together", took, "s", 20.0, f"{os.cpu_count()} cores")]


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, env=os.environ | _ONE_THREAD, check=True, stdin=subprocess.DEVNULL, capture_output=True)


class _Queue(Slurm):
    """A batch system that takes every job at once and lets it wait."""

    def __init__(self) -> None:
        super().__init__({}, every=0.0)
        self._elements: list[Element] = []

    def require(self) -> None:
        """It is there."""

    def submit(self, script: Path, token: str, options: Sequence[str] = ()) -> str:
        """As of a real one."""
        lines = (script.parent / "elements.jsonl").read_text().splitlines()
        self._elements += [Element(token, "1", index, "PENDING") for index in range(len(lines))]
        return "1"

    def queue(self, tokens: Iterable[str]) -> list[Element]:
        """As of a real one."""
        return self._elements

    def accounts(self, jobs: Mapping[str, str]) -> list[Element]:
        """It keeps no books."""
        return []


def _scheduling(shards: int) -> list[Row]:
    """Processor time of the manager for each shard, without Slurm's own."""
    spent = []

    def step(what: str, begin: float) -> None:
        spent.append(at_most(f"{what}, {shards} shards", 1e3 * (time.process_time() - begin) / shards, "ms", 1.0))

    with tempfile.TemporaryDirectory() as place:
        folder, queue = CampaignFolder(Path(place) / "campaign"), _Queue()
        campaign = Campaign.model_validate({
            "name": "large", "preset": "gasgun", "folder": place, "nodes": 512,
            "stage": [{"name": "truth", "kind": "simulate"}],
            "runs": [{"first_run": 1, "runs": shards // _PER_RUN, "fills": 16 * _PER_RUN, "subruns": _PER_RUN}],
        })  # fmt: skip
        with opened(Path(place) / "catalog.sqlite", create=True) as engine:
            upgrade(engine, "catalog")
            ledger = Ledger(engine, "benchmark")
            begin = time.process_time()
            ledger.register(campaign, folder.path)
            step("registered in the ledger", begin)
            begin = time.process_time()
            launch(campaign, folder, ledger, queue, Farming(128, 1, ("srun",)), who="benchmark")
            step("launched", begin)
            for what in ("looked at, all new in the queue", "looked at again"):
                begin = time.process_time()
                look(ledger, folder, queue, who="benchmark")
                step(what, begin)
    return spent


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    for row in rows(parser.parse_args().quick):
        sys.stdout.write(f"{row.as_dict()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
