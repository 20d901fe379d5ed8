"""The command of a job that only reports: shards take known times, their files have known sizes."""

import sys
from pathlib import Path

from gm2sim.campaign import job
from gm2sim.campaign.definition import read
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.runs import config_of, runs
from gm2sim.campaign.shard import Report
from gm2sim.timeline import events

SETUP, EACH, FILL, OTHER = 7.0, 2.0, 10.0, 3.0
BYTES_EACH, BYTES_FILL, BYTES_OTHER = 100, 1000, 5000
RANKS = 2

if __name__ == "__main__":
    _, _, _, where, _, token, _, element = sys.argv
    folder = CampaignFolder(Path(where))
    campaign = read(folder.definition)
    run = runs(campaign)[0]
    config = config_of(campaign, run)
    for number, shard in enumerate(list(job.elements(folder, token))[int(element)]):
        path = folder.report(shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        if shard.subrun < 0 and run.fills < 32:
            Report(shard.stage, shard.name, "failed", reason="too few fills").write(path)
            continue
        others = sum(1 for _ in events(config, max(0, shard.subrun))) - shard.fills
        wall = SETUP * (number < RANKS) + EACH + FILL * shard.fills + OTHER * others
        size = BYTES_EACH + BYTES_FILL * shard.fills + BYTES_OTHER * others
        made = folder.run(shard.stage, shard.run) / f"{shard.name}.mid"
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(bytes(size))
        Report(
            shard.stage, shard.name, "done", job=token, rank=number % RANKS, began=float(number), wall_s=wall,
            cpu_s=wall,
            peak_memory_mb=300.0 + number, fills=shard.fills, files={made.name: {"size": size, "sha256": ""}},
        ).write(path)  # fmt: skip
