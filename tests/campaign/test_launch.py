"""Launching, looking, recovering and holding: what each does, and that twice is once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from gm2sim.campaign.actions import cancel, hold, release
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.job import elements
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.shard import State
from gm2sim.campaign.slurm import Element, Slurm, SlurmError, _elements, _expanded
from gm2sim.database import opened, upgrade
from gm2sim.errors import ConfigError
from tests.campaign.play import WHO, Play


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(tmp_path / "catalog.sqlite", create=True) as made:
        upgrade(made, "catalog")
        yield made


@pytest.fixture
def play(tmp_path: Path, engine: Engine) -> Callable[..., Play]:
    """Makes a campaign of two runs of four shards on two nodes; keywords replace values of its file."""

    def make(**values: Any) -> Play:
        plain = {
            "name": "test", "preset": "gasgun", "folder": str(tmp_path), "nodes": 2,
            "stage": [
                {"name": "truth", "kind": "simulate", "retries": 1},
                {"name": "reco", "kind": "reconstruct", "after": ["truth"]},
            ],
            "runs": [{"first_run": 1, "runs": 2, "fills": 10, "subruns": 4}],
        }  # fmt: skip
        return Play(tmp_path, engine, Campaign.model_validate(plain | values))

    return make


def states(play: Play, stage: str) -> dict[str, State]:
    return {row.name: row.state for row in play.ledger.shards("test", stage)}


def test_the_longest_come_first_and_nodes_are_never_exceeded(play: Callable[..., Play]) -> None:
    one = play()
    done = one.launch(waves=1)
    token = done.jobs[0][0]
    fills = [[shard.fills for shard in shards] for shards in elements(one.folder, token)]
    assert fills == [[3, 3], [3, 3], [2, 2], [2, 2]]
    assert "#SBATCH --array=0-3%2" in (one.folder.job(token) / "job.sbatch").read_text()
    assert one.launch().batches == []
    one.tick(1)
    assert len(one.farms) == 2


def test_a_stage_waits_for_the_run_before_it_and_a_finished_campaign_launches_nothing(
    play: Callable[..., Play],
) -> None:
    one = play()
    one.launch()
    assert set(states(one, "reco").values()) == {State.WAITING}
    one.finish()
    assert one.launch().batches == []
    assert one.recover() == []


def test_a_test_launch_takes_so_many_of_the_shortest(play: Callable[..., Play]) -> None:
    batch = play().launch(test=2).batches[0]
    assert [shard.fills for shard in batch.shards] == [2, 2]


def test_a_dry_run_submits_nothing(play: Callable[..., Play]) -> None:
    one = play()
    assert len(one.launch(dry_run=True).batches) == 1
    with one.fake.state() as state:
        assert state["jobs"] == {}


@pytest.mark.parametrize("moment", ["before sbatch", "after sbatch"])
def test_a_launch_that_is_killed_is_adopted_or_taken_back_never_doubled(
    play: Callable[..., Play], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    one = play()
    with monkeypatch.context() as patch:

        def killed(*arguments: object) -> None:
            raise KeyboardInterrupt

        if moment == "before sbatch":
            patch.setattr(Slurm, "submit", killed)
        else:
            patch.setattr(Ledger, "know_job", killed)
        with pytest.raises(KeyboardInterrupt):
            one.launch()
    one.look()
    with one.fake.state() as state:
        there = len(state["jobs"])
    assert there == (moment == "after sbatch")
    assert set(states(one, "truth").values()) == {State.SUBMITTED if there else State.WAITING}
    one.finish()


def test_an_array_that_was_given_up_finds_nothing_to_do_when_it_starts_after_all(play: Callable[..., Play]) -> None:
    one = play()
    token, number = one.launch().jobs[0]
    one.fake.forget(number)
    one.look()
    with one.fake.state() as state:
        assert [job["name"] for job in state["jobs"].values()] == [token]
    one.tick()
    assert one.farms == {}
    one.finish()


@pytest.mark.parametrize("outcome", ["lost", "dropped"])
def test_an_sbatch_without_an_answer_is_one_job(play: Callable[..., Play], outcome: str) -> None:
    one = play()
    with one.fake.state() as state:
        state["sbatch"] = [outcome]
    assert len(one.launch().jobs) == 1
    with one.fake.state() as state:
        assert len(state["jobs"]) == 1


def test_a_refusal_is_one_sentence_and_costs_no_attempt(play: Callable[..., Play]) -> None:
    one = play()
    for _ in range(5):
        with one.fake.state() as state:
            state["sbatch"] = ["refused"]
        assert "sbatch refuses" in one.launch().refused
    assert {row.launches for row in one.ledger.shards("test", "truth")} == {0}
    one.finish()


def test_nothing_is_launched_while_the_queue_is_silent(play: Callable[..., Play]) -> None:
    one = play()
    one.launch()
    with one.fake.state() as state:
        state["silent"] = 2
    with pytest.raises(SlurmError, match="nothing is launched"):
        one.launch()
    assert set(states(one, "truth").values()) == {State.SUBMITTED}


def test_a_shard_fails_for_good_after_its_retries_and_a_person_can_recover_it(play: Callable[..., Play]) -> None:
    one = play()
    for _ in range(2):
        number = one.launch().jobs[0][1]
        for index in range(2):
            one.fake.set(number, index, "OUT_OF_MEMORY")
    one.look()
    assert set(states(one, "truth").values()) == {State.FAILED}
    assert one.launch().batches == []
    assert len(one.recover("process_status")) == 8
    assert one.recover("process_status", dry_run=True) == one.recover("process_status")
    one.finish()


def test_recovery_finds_what_its_kind_is_for(play: Callable[..., Play]) -> None:
    one = play()
    one.finish()
    first = one.shards[0]
    one.world.product(first).unlink()
    assert one.recover("consumed_status", dry_run=True) == []
    assert one.recover("delivered_not_consumed", dry_run=True) == []
    assert one.recover("process_status", dry_run=True) == []
    assert one.recover(dry_run=True) == [first]
    assert one.recover() == [first]
    one.finish()
    with pytest.raises(ConfigError, match="pending_files"):
        one.recover("pendign_files")


def test_added_runs_are_found_by_a_draining_campaign(play: Callable[..., Play]) -> None:
    one = play(draining=True)
    one.finish()
    more = [{"first_run": 1, "runs": 3, "fills": 10, "subruns": 4}]
    one.campaign = Campaign.model_validate(one.campaign.model_dump(by_alias=True) | {"runs": more})
    one.ledger.register(one.campaign, one.folder.path, WHO)
    assert {shard.run for shard in one.recover("added_files")} == {3}


def test_held_shards_do_not_begin_until_released(play: Callable[..., Play]) -> None:
    one = play()
    one.launch()
    arguments = (one.campaign, one.folder, one.ledger, one.slurm)
    assert hold(*arguments, who=WHO) == 10
    one.tick()
    assert one.farms == {}
    assert one.launch().batches == []
    assert set(states(one, "truth").values()) == {State.HELD}
    assert release(*arguments, who=WHO) == 10
    one.finish()


def test_cancelled_work_ends_and_comes_back_only_when_recovered(play: Callable[..., Play]) -> None:
    one = play()
    one.launch()
    one.tick(1)
    assert cancel(one.campaign, one.folder, one.ledger, one.slurm, who=WHO, stages=["truth"]) == 8
    for farm in one.farms.values():
        farm.die()
    one.farms.clear()
    one.tick()
    assert one.launch().batches == []
    assert set(states(one, "truth").values()) == {State.CANCELLED}
    assert len([shard for shard in one.recover() if shard.stage == "truth"]) == 8
    one.finish()


def test_no_slurm_is_said_before_anything_is_written(play: Callable[..., Play]) -> None:
    one = play()
    one.slurm = Slurm({"PATH": "/nowhere"})
    with pytest.raises(ConfigError, match="no Slurm on this machine"):
        one.launch()
    assert not one.folder.path.exists()


def test_what_squeue_and_sacct_print_is_understood() -> None:
    line = "12   |3    |PENDING   |2   |BeginTime    |gm2.a.b.1   \n12|N/A|RUNNING|0|None|gm2.a.b.1\nnonsense\n"
    assert _elements(line, {"gm2.a.b.1"}) == [Element("gm2.a.b.1", "12", 3, "PENDING", "BeginTime", 2)]
    assert list(_expanded("[4-6,9%2]")) == [4, 5, 6, 9]
    assert list(_expanded("7")) == [7]
    assert list(_expanded("x")) == []
