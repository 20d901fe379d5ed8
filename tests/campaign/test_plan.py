"""The plan of a campaign: what a trial shows, what jobs will take, and what does not fit."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming
from gm2sim.campaign.limits import Limits, Room
from gm2sim.campaign.plan import Plan, makespan, plan, read_plan, shown, together
from gm2sim.campaign.shard import Shard
from gm2sim.campaign.status import read_plan as read_for_status
from gm2sim.campaign.trial import Cost, Sample, Trial, fit, measure, others_per_fill, serial
from gm2sim.errors import ConfigError, RunError
from tests.campaign import pretend_work

RANKS = pretend_work.RANKS
FARMING = Farming(
    ranks=RANKS, threads=1, command=(sys.executable, str(Path(pretend_work.__file__))), leave_s=60, longest_array=1000
)  # fmt: skip
COST = Cost(setup=7.0, each=2.0, per_fill=10.0, bytes_each=100, bytes_per_fill=1000, files_each=6.0, shards=8)
RAW = [{"name": "raw", "kind": "simulate", "time": "01:00:00"}]


def made(per_stage: dict[str, Cost] | None = None, **values: float) -> Trial:
    return replace(Trial(per_stage or {"raw": COST}, 5.0, RANKS, 0.0), **values)


def test_a_trial_finds_the_times_and_sizes_that_shards_have(tmp_path: Path, plan: Callable[..., Campaign]) -> None:
    campaign = plan(folder=str(tmp_path), runs=[{"first_run": 100, "fills": 1000, "subruns": 10}])
    notes: list[str] = []
    found = measure(campaign, tmp_path / "there", FARMING, notes.append)
    cost = found.costs["raw"]
    assert cost.setup == pytest.approx(pretend_work.SETUP)
    assert cost.seconds(4, 1) == pytest.approx(pretend_work.EACH + 4 * pretend_work.FILL + pretend_work.OTHER)
    assert cost.bytes(4, 1) == pytest.approx(100 + 4 * 1000 + 5000)
    assert cost.seconds(8, 3) - cost.seconds(4, 1) == pytest.approx(4 * pretend_work.FILL + 2 * pretend_work.OTHER)
    assert cost.files_each == 2  # the file and its report
    assert cost.memory_mb == 303.0
    assert cost.spread < 1e-6
    assert found.others_per_fill == others_per_fill(campaign, pretend_work.runs(campaign)[0])
    assert "raw" not in found.failed
    assert found.failed["reco"] == "too few fills"
    assert len(notes) == 3
    assert list((tmp_path / "there").iterdir()) == []


def test_a_campaign_whose_first_shard_fails_has_no_plan(tmp_path: Path, plan: Callable[..., Campaign]) -> None:
    wrong = replace(serial(), command=(sys.executable, "-c", "import sys; sys.exit('gm2sim: no field map')"))
    with pytest.raises(RunError, match="first shard of campaign 'first' fails: gm2sim: no field map"):
        measure(plan(folder=str(tmp_path)), tmp_path, wrong)
    with pytest.raises(ConfigError, match="'no-mpiexec' cannot be started"):
        measure(plan(folder=str(tmp_path)), tmp_path, replace(serial(), command=("no-mpiexec",)))


def test_no_part_of_the_time_is_negative_and_scatter_is_that_of_long_shards() -> None:
    generator = np.random.default_rng(5)
    samples = [
        Sample(fills, 0, first, (20.0 * first + 1.0 + 10.0 * fills) * (1.0 + 0.05 * generator.standard_normal()), 1.0)
        for fills in (1, 4)
        for first in (True, False)
        for _ in range(50)
    ]
    cost = fit(samples)
    assert min(cost.setup, cost.each, cost.per_fill, cost.per_other) >= 0.0
    assert cost.per_fill == pytest.approx(10.0, rel=0.05)
    assert cost.spread == pytest.approx(0.05 * 51 / 51, rel=0.4)
    assert cost.busy < 0.1
    assert fit(samples, cores=True).seconds(4, 0) == pytest.approx(1.0)


def test_ranks_that_take_equal_shards_in_turn_need_their_waves() -> None:
    shards = [Shard("raw", 1, subrun, 6) for subrun in range(7)]
    cost = Cost(per_fill=10.0)
    assert makespan(shards, cost, 0.0, 3) == 3 * 60.0
    assert makespan(shards, replace(cost, setup=5.0), 0.0, 3) == 3 * 60.0 + 5.0
    assert makespan(shards, replace(cost, each=1.0, per_other=2.0), 0.5, 1) == 7 * (1.0 + 60.0 + 6.0)
    assert together([10.0] * 7, 3) == 30.0


def test_the_jobs_of_a_launch_are_followed(plan: Callable[..., Campaign]) -> None:
    # Four equal shards on a node of two ranks: the first launch gives each rank one, so that there are two elements.
    campaign = plan(stage=RAW, runs=[{"first_run": 1, "fills": 16, "subruns": 4}])
    found = _plan(campaign)
    element = 5.0 + 7.0 + 2.0 + 4 * 10.0
    assert found.node_hours == pytest.approx(2 * element / 3600.0)
    assert found.wall_hours == pytest.approx(2 * element / 3600.0)
    assert (found.shards, found.files, found.fills, found.runs) == (4, 24, 16, 1)
    assert found.terabytes == pytest.approx((4 * 100 + 16 * 1000) / 1e12)
    assert found.node_hours_low < found.node_hours < found.node_hours_high
    assert found.muons == 16 * 5000


def test_many_shards_fill_the_time_of_a_job(plan: Callable[..., Campaign]) -> None:
    campaign = plan(stage=RAW, nodes=4, runs=[{"first_run": 1, "fills": 20_000, "subruns": 5000}])
    found = _plan(campaign)
    work = 5000 * 42.0 / RANKS / 3600.0
    assert work < found.node_hours < 1.2 * work
    assert found.nodes == 4
    assert found.wall_hours == pytest.approx(found.node_hours / 4, rel=0.1)


def test_the_range_is_wider_for_other_machines_and_scatter() -> None:
    def width(trial: Trial, **options: bool) -> float:
        found = _plan(_campaign(), trial, **options)
        return (found.node_hours_high - found.node_hours_low) / found.node_hours

    plain = width(made())
    assert plain == pytest.approx(0.2)
    assert width(made(), same_machine=False) > plain
    assert width(made({"raw": replace(COST, spread=0.3)})) > plain
    assert width(made(crowded=True)) > plain


def test_a_plan_is_kept_for_launches_and_the_status(tmp_path: Path) -> None:
    folder = CampaignFolder(tmp_path / "campaign")
    found = _plan(_campaign(), told=Limits(charge=2.0, hours_left=100.0))
    assert found.charged_hours == pytest.approx(2.0 * found.node_hours)
    found.write(folder)
    assert read_plan(folder, _campaign()) == found
    assert read_plan(folder, _campaign(seed=2)) is None
    planned, remark = read_for_status(folder.path / "plan.json")
    assert planned is not None, remark
    assert planned.node_hours == found.node_hours
    (folder.path / "plan.json").write_text(json.dumps({"format": 99}))
    assert read_plan(folder, _campaign()) is None
    assert dict(shown(found, Room(1e12, 1e6)))["charge"].endswith("of 100 left")


@pytest.mark.parametrize(
    ("values", "room", "sentence"),
    [
        ({"terabytes": 2.0}, Room(1e12), "will write 2 TB, and the disk or your quota has 1 TB left"),
        ({"files": 100}, Room(1e12, 99.0), "will write 100 files, and the disk or your quota has 99 left"),
        (
            {"charged_hours": 10.0, "hours_left": 9.0},
            Room(1e12),
            "will be charged 10 hours, and the account has 9 left",
        ),
    ],
)
def test_a_plan_that_exceeds_a_quota_is_refused_in_one_sentence(
    values: dict[str, float], room: Room, sentence: str
) -> None:
    found = replace(Plan("first", "", "local"), **values)
    with pytest.raises(ConfigError, match=sentence):
        found.refuse_too_large(room)
    found.refuse_too_large(room, done=0.6)


def _campaign(**values: object) -> Campaign:
    plain = {"name": "first", "preset": "gasgun", "folder": "out", "stage": RAW,
             "runs": [{"first_run": 1, "fills": 16, "subruns": 4}]}  # fmt: skip
    return Campaign.model_validate(plain | values)


def _plan(campaign: Campaign, trial: Trial | None = None, told: Limits | None = None, **options: bool) -> Plan:
    return plan(campaign, trial or made(), FARMING, told, **options)
