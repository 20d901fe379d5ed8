"""Shards whose files are whole and whose physics is wrong: the machine was not what its configuration says.

python -m tests.campaign.planted_physics 16000
"""

import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from decay.positron import Positrons, decay
from detectors.crystals import CrystalDeposits
from detectors.shower import shower
from gm2sim import chain
from gm2sim.campaign import stages
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.runs import shards
from gm2sim.campaign.shard import Report
from gm2sim.campaign.work import work
from gm2sim.machine import Ring
from gm2sim.setup import Setup
from gm2sim.subrun import run_subrun
from gpu.rng import FillKey
from tests.mpi.small import BARE
from tracking.bunch import Bunch
from tracking.muon import Reference

MUONS = 400  # of a fill
# The first check begins early, so that short fills hold enough decays.
SETTINGS: dict[str, Any] = {name.replace("__", "."): value for name, value in BARE.items()} | {
    "daq.q_method": False, "tracking.fill_duration_us": 40.0, "fit.start_us": 2.0, "transport.trackers": False,
}  # fmt: skip


def _field() -> AbstractContextManager[object]:
    """The magnet is 300 ppm too strong."""

    def run(setup: Setup, *arguments: Any, **options: Any) -> bool:
        magnet = setup.config.magnet.model_copy(update={"field_t": setup.config.magnet.field_t * (1 + 3e-4)})
        ring = Ring(setup.config.model_copy(update={"magnet": magnet}))
        return run_subrun(replace(setup, ring=ring), *arguments, **options)

    return patch.object(stages, "run_subrun", run)


def _rate() -> AbstractContextManager[object]:
    """Half of the positrons are lost on their way."""

    def some(muons: Bunch, *arguments: Any) -> Positrons:
        born = decay(muons, *arguments)
        return Positrons(*(column[::2] for column in born))

    return patch.object(chain, "decay", some)


def _asymmetry() -> AbstractContextManager[object]:
    """The muons are not polarised."""

    def flat(muons: Bunch, reference: Reference, key: FillKey, polarization: float) -> Positrons:
        return decay(muons, reference, key, 0.0)

    return patch.object(chain, "decay", flat)


def _edge() -> AbstractContextManager[object]:
    """All crystals give less light than their constants say, by 12 %."""

    def dim(*arguments: Any) -> tuple[CrystalDeposits, Any]:
        deposits, leakage = shower(*arguments)
        return deposits._replace(energy=0.88 * deposits.energy), leakage

    return patch.object(chain, "shower", dim)


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
    here, (shard,) = CampaignFolder(folder), shards(campaign)
    with FAULTS[fault]() if fault else nullcontext():
        work(here, campaign, "truth", [shard], backend="cpu")
    return Report.read(here.report(shard))


def found(report: Report, fault: str) -> bool:
    """Whether a shard is flagged for its fault, or done without one."""
    if not fault:
        return report.state == "done" and not report.reason
    return report.state == "flagged" and f"{fault} is " in report.reason and not report.checks[fault]["good"]


def main(muons: int) -> None:
    """As the first lines say."""
    wrong = 0
    for fault in ("", *FAULTS):
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            report = made(Path(folder), muons, fault)
        seen = {name: round(one["value"], 4) for name, one in report.checks.items()}
        wrong += not found(report, fault)
        spent = time.process_time() - begin
        sys.stdout.write(f"{fault or 'no fault'}: {report.state} {report.reason} {seen} {spent:.0f} s\n")
        sys.stdout.flush()
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
