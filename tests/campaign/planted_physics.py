"""Shards whose files are whole and whose physics is wrong: the machine was not what its configuration says.

python -m tests.campaign.planted_physics 16000
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gm2sim.campaign import stages
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report
from gm2sim.campaign.work import work
from gm2sim.config import load
from gm2sim.machine import Ring
from gm2sim.setup import Setup
from tests.mpi.small import BARE

MUONS = 400  # of a fill
# The first check begins early, so that short fills hold enough decays.
SETTINGS: dict[str, Any] = {name.replace("__", "."): value for name, value in BARE.items()} | {
    "daq.q_method": False, "tracking.fill_duration_us": 40.0, "fit.start_us": 2.0, "transport.trackers": False,
}  # fmt: skip


def _field(setup: Setup, other: Callable[..., Setup]) -> Setup:
    """The magnet is 300 ppm too strong."""
    config = setup.config
    stronger = config.magnet.model_copy(update={"field_t": config.magnet.field_t * (1 + 3e-4)})
    return replace(setup, ring=Ring(config.model_copy(update={"magnet": stronger})))


def _rate(setup: Setup, other: Callable[..., Setup]) -> Setup:
    """The thresholds of the calorimeters are too high."""
    return replace(setup, calorimeters=other(**{"detectors.threshold_mev": 3000.0}).calorimeters)


def _asymmetry(setup: Setup, other: Callable[..., Setup]) -> Setup:
    """The muons are not polarised."""
    return replace(setup, beam=other(**{"beam.polarization": 0.0}).beam)


def _edge(setup: Setup, other: Callable[..., Setup]) -> Setup:
    """The gains of all crystals have dropped by 12 %."""
    low = other(**{"detectors.counts_per_gev": 0.88 * setup.config.detectors.counts_per_gev})
    return replace(setup, conditions=low.conditions)


FAULTS = {"field": _field, "rate": _rate, "asymmetry": _asymmetry, "edge": _edge}
"""By the check that has to find them."""


def made(folder: Path, muons: int, fault: str = "") -> Report:
    """Make a campaign of one shard, with a fault or without: what is reported of it.

    Parameters
    ----------
    folder : Path
        Empty.
    muons : int
    fault : str
        One of :data:`FAULTS`.
    """
    per_fill = min(muons, MUONS)
    values = SETTINGS | {"beam.muons_per_fill": per_fill}
    campaign = Campaign.model_validate({
        "name": "planted", "preset": "gasgun", "folder": str(folder),
        "stage": [{"name": "truth", "kind": "simulate"}],
        "runs": [{"first_run": 1, "fills": -(-muons // per_fill), "set": values}],
    })  # fmt: skip
    run_subrun = stages.run_subrun

    def run(setup: Setup, *arguments: Any, **options: Any) -> bool:
        def other(**more: Any) -> Setup:
            return Setup.of(load("gasgun", values | more), setup.backend)

        return run_subrun(FAULTS[fault](setup, other) if fault else setup, *arguments, **options)

    here, (shard,) = CampaignFolder(folder), shards(campaign)
    with patch.object(stages, "run_subrun", run):
        work(here, campaign, "truth", [shard], backend="cpu")
    return Report.read(here.report(shard))


def main(muons: int) -> None:
    """As the first lines say."""
    wrong = 0
    for fault in ("", *FAULTS):
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            report = made(Path(folder), muons, fault)
        seen = {name: round(one["value"], 4) for name, one in report.checks.items()}
        wrong += report.state != ("flagged" if fault else "done") or not report.reason.startswith(fault)
        spent = time.process_time() - begin
        sys.stdout.write(f"{fault or 'no fault'}: {report.state} {report.reason} {seen} {spent:.0f} s\n")
        sys.stdout.flush()
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
