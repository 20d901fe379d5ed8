"""What a job of a campaign runs, in its simplest form: ranks take subruns, finish or resume them, and report."""

import os
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from gm2sim.atomic import sha256
from gm2sim.campaign.definition import read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import shards_of_element
from gm2sim.campaign.runs import config_of, runs
from gm2sim.campaign.shard import Report, Shard
from gm2sim.farm import CONTINUE, Farm, ranks
from gm2sim.outputs import SubrunPaths, subrun_is_done
from gm2sim.setup import Setup
from gm2sim.subrun import run_subrun
from gm2sim.summary import Tally
from gm2sim.warm import compiled_set, warm_up
from gpu import cache


def main(folder: CampaignFolder, token: str, element: int) -> int:
    """Work on the shards of an element; exit code 75 when asked to leave before all were done."""
    campaign = read(folder.definition)
    job = ranks()
    shards = shards_of_element(folder, token, element)
    setups = {run.number: Setup.of(config_of(campaign, run), "cpu") for run in runs(campaign)}
    first = next(iter(setups.values()))
    cache.ensure_compiled(lambda: warm_up(first), None, compiled_set(first))
    left = 0
    with Farm(job, token) as farm:
        for shard in farm.hand_out(shards, lambda one: one.fills, lambda one: one.subrun):
            left += not _make(folder, shard, setups[shard.run], campaign.preset, farm, (token, element, job.rank))
        stopped = farm.stopping
    return CONTINUE if job.broadcast(sum(job.gather(left)) or stopped) else 0


def _make(
    folder: CampaignFolder, shard: Shard, setup: Setup, preset: str, farm: Farm, who: tuple[str, int, int]
) -> bool:
    out = folder.run(shard.stage, shard.run)
    out.mkdir(parents=True, exist_ok=True)
    report = folder.report(shard)
    report.parent.mkdir(parents=True, exist_ok=True)
    paths = SubrunPaths(out, shard.run, shard.subrun, setup.config.daq.compression)
    attempt = Report.read(report).attempt + 1 if report.exists() else 1
    told = {"job": who[0], "element": who[1], "rank": who[2], "attempt": attempt, "fills": shard.fills}
    lock = FileLock(folder.lock(shard))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    with lock:
        began = time.time()
        Report(shard.stage, shard.name, "running", began=began, host=f"{os.getpid()}", **told).write(report)
        done = subrun_is_done(paths, setup.config, setup.conditions.version)
        if not done and not run_subrun(setup, paths, preset, Tally(), farm, resume=True):
            return False
        files = {
            path.name: {"size": path.stat().st_size, "sha256": sha256(path)}
            for path in (paths.raw, paths.truth, paths.metadata)
        }
        ended = time.time()
        Report(
            shard.stage, shard.name, "done", began=began, ended=ended, wall_s=ended - began, files=files, **told
        ).write(report)
        return True


if __name__ == "__main__":
    _, _, _, where, _, name, _, number = sys.argv
    sys.exit(main(CampaignFolder(Path(where)), name, int(number)))
