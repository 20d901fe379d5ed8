"""What a plan has said of a campaign of four shards, beside what its jobs then take.

``python -m benchmarks.campaign_plan`` takes minutes. The campaign is made as its jobs would make it, element by element
on this machine, in a temporary folder. A machine where others are at work is told by the time of its cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from benchmarks.row import Row
from gm2sim.atomic import write_text
from gm2sim.campaign import job
from gm2sim.campaign.desk import Desk, check, estimate
from gm2sim.campaign.launch import plan, write_definition
from gm2sim.campaign.plan import waiting
from gm2sim.campaign.runs import shards
from gm2sim.terminal import complain

_FILE = """
name = "four"
preset = "gasgun"
folder = "out"
stage = [{{name = "raw", kind = "simulate", time = "00:30:00"}}]
runs = [{{first_run = 1, fills = {fills}, subruns = 4, set = {{"beam.muons_per_fill" = 1500}}}}]
"""
_HOUR = 3600.0
_GOAL = 0.2


def rows(fills: int = 32) -> list[Row]:
    """Node-hours of a campaign of gasgun in four shards, as planned and as used."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "four.toml"
        write_text(file, _FILE.format(fills=fills))
        desk = Desk.of(file)
        site = desk.site()
        planned, _ = estimate(desk, site, complain)
        wall, cores = _made(desk)
    by_cores = "cores" in planned.measured
    used = (cores if by_cores else wall) / _HOUR
    off = planned.node_hours / used - 1.0
    return [
        Row("plan of four shards", planned.node_hours, "node-hours", planned.measured),
        Row("lowest", planned.node_hours_low, "node-hours"),
        Row("highest", planned.node_hours_high, "node-hours"),
        Row("used, by the clock", wall / _HOUR, "node-hours"),
        Row("used, by the cores", cores / _HOUR, "node-hours"),
        Row("plan over used - 1", off, "", f"goal: within {_GOAL:g}", "yes" if abs(off) < _GOAL else "no"),
    ]


def _made(desk: Desk) -> tuple[float, float]:
    """Make the campaign by the jobs of its first launch; times of its node by clock and cores [s]."""
    farming = check(desk, desk.site()).farming
    write_definition(desk.campaign, desk.folder)
    waits = [waiting(shard) for shard in shards(desk.campaign)]
    batch = plan(desk.campaign, [], waits, farming, free=desk.campaign.nodes)[0]
    job.make_folder(desk.folder, "four", batch.elements, farming, time="00:30:00", nodes=batch.nodes)
    threads = {"NUMBA_NUM_THREADS": str(farming.threads), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [*farming.command, "campaign", "work", str(desk.folder.path), "--job", "four", "--element"]
    begin, cores = perf_counter(), _cores()
    for element in range(len(batch.elements)):
        subprocess.run([*command, str(element)], env=os.environ | threads, check=True, capture_output=True)
    return perf_counter() - begin, (_cores() - cores) / farming.ranks / farming.threads


def _cores() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=int, default=32)
    for row in rows(parser.parse_args().fills):
        sys.stdout.write(f"{row.what:24} {row.value:10.4g} {row.unit:10} {row.beside} {row.met}\n")


if __name__ == "__main__":
    _main()
