"""A status tells the truth: every shard is present or explained, and its numbers are those of the reports."""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from rich.console import Console

from gm2sim.campaign import screen, tables
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.explained import apart
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.screen import amount, byte_words, duration, left_words
from gm2sim.campaign.shard import Report, State
from gm2sim.campaign.status import Status, look, read_plan, render, used
from gm2sim.database import opened, upgrade
from gm2sim.text import one_line
from tests.campaign.play import Play
from tests.campaign.staged import Staged, definition
from tests.reliability.strings import hostile

RAW = [f"run{run:05d}_{subrun:05d}" for run in (100, 101) for subrun in range(3)]
JOB = "gm2.first.raw.00000000aa"
BEGIN = 1_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> CampaignFolder:
    return CampaignFolder(tmp_path / "first")


def work(shard: str, state: str = "done", **values: object) -> Report:
    """A report of the first stage, of 100 s from ``BEGIN`` on."""
    plain = {
        "job": JOB, "began": BEGIN, "ended": 0.0 if state == "running" else BEGIN + 100.0, "wall_s": 100.0,
        "cpu_s": 150.0, "threads": 2, "peak_memory_mb": 500.0, "fills": 3, "muons": 180,
    }  # fmt: skip
    return Report("raw", shard, state, **plain | values)  # type: ignore[arg-type]


def seen(ledger: Ledger, folder: CampaignFolder, at: float = BEGIN + 100.0) -> Status:
    return look(ledger, folder, "first", target="first.toml", clock=lambda: at)


def launched(ledger: Ledger, shards: list[str], job: str = JOB) -> None:
    ledger.begin_job("first", job, "raw", shards, 2)
    ledger.know_job(job, "77")


def drawn(status: Status, width: int = 160) -> str:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(render(status))
    return text.getvalue()


def test_expected_is_present_and_explained_and_every_shard_has_a_line(staged: Staged, status: Status) -> None:
    rows = staged.ledger.shards(staged.name)
    present = sum(row.state in (State.DONE, State.FLAGGED) for row in rows)
    assert (status.expected, status.present, status.explained) == (112, present, 112 - present)
    assert status.adds_up
    assert not status.finished
    assert status.sentence == f"112 expected = {present} present + {112 - present} explained"
    assert status.states == Counter(row.state for row in rows)
    assert [one.row for one in status.shards] == rows
    assert all(one.why for one in status.shards if one.row.state is not State.DONE)
    by_group = Counter[tuple[str, State]]()
    for group in status.groups:
        by_group[group.stage, group.state] += group.shards
    unfinished = [row for row in rows if row.state not in (State.DONE, State.FLAGGED)]
    assert by_group == Counter((row.stage, row.state) for row in unfinished)


def test_alike_faults_are_one_group_with_the_last_words_and_what_to_press(status: Status) -> None:
    faults = {(one.state, one.reason): one for one in status.groups if one.fault}
    lost = faults[State.WAITING, "PREEMPTED"]
    assert lost.last_line == "srun: forcing job termination, checkpoint of 5 fills kept"
    assert lost.command == "gm2sim campaign launch run1a.toml"
    full = faults[State.FAILED, "the disk is full at '…'"]
    assert full.shards == 2
    assert full.last_line.endswith(".mid.part'")
    again = "gm2sim campaign recover run1a.toml --kind process_status && gm2sim campaign launch run1a.toml"
    assert full.command == again
    held = next(one for one in status.groups if one.state is State.HELD)
    assert (held.reason, held.command, held.fault) == ("held by bob", "gm2sim campaign release run1a.toml", False)
    at_work = next(one for one in status.groups if one.state is State.RUNNING)
    assert (at_work.reason, at_work.command) == ("at work", "")
    assert [one.fault for one in status.groups] == sorted((one.fault for one in status.groups), reverse=True)
    (flag,) = status.flags
    assert (flag.check, flag.shards, flag.example) == ("rate", 1, "run15921_00007")


def test_what_nothing_explains_is_said_loudly(ledger: Ledger, catalog: sa.Engine, folder: CampaignFolder) -> None:
    assert seen(ledger, folder).adds_up
    launched(ledger, RAW[:3])
    ledger.note_reports("first", [work(RAW[0]), work(RAW[1], "running")])
    assert seen(ledger, folder).adds_up
    of = tables.shards.c
    with catalog.begin() as connection:
        for name, values in (
            (RAW[1], {"job": "gm2.first.raw.gone"}),
            (RAW[2], {"name": "run00999_00000"}),
            (RAW[3], {"state": "failed"}),
            (RAW[4], {"state": "done"}),
        ):
            connection.execute(sa.update(tables.shards).where(of.name == name).values(values))
    found = seen(ledger, folder)
    assert not found.adds_up
    said = {one.shard: one.why for one in found.unexplained}
    assert set(said) == {*RAW[1:5], "run00999_00000"}
    assert "job gm2.first.raw.gone has ended" in said[RAW[1]]
    assert "the ledger has not" in said[RAW[2]]
    assert "the campaign has not" in said["run00999_00000"]
    assert "nobody wrote down why" in said[RAW[3]]
    assert "no rank has reported it" in said[RAW[4]]
    assert "THE COUNT DOES NOT COME OUT" in found.sentence
    shown = drawn(found)
    assert "THE COUNT DOES NOT COME OUT" in shown
    assert all(f"raw {name}" in shown for name in said)


def test_efficiency_and_memory_are_those_of_the_last_attempts(ledger: Ledger, folder: CampaignFolder) -> None:
    launched(ledger, RAW)
    cpu = [100.0, 120.0, 140.0, 160.0, 180.0]
    memory = [400.0, 500.0, 600.0, 700.0, 1800.0]
    reports = [
        work(name, cpu_s=used, peak_memory_mb=most) for name, used, most in zip(RAW, cpu, memory, strict=False)
    ]  # fmt: skip
    ledger.note_reports("first", [*reports, work(RAW[5], "failed", cpu_s=1.0, reason="broken")])
    stage = seen(ledger, folder).stages[0]
    share = np.array(cpu) / 200.0
    assert stage.cpu == pytest.approx((*np.percentile(share, (5, 50, 95)), 5))
    assert stage.memory == pytest.approx((*np.percentile(memory, (5, 50, 95)), 5))
    overall = seen(ledger, folder).memory
    assert overall is not None
    assert overall.median == pytest.approx(600.0 / 2000.0)
    assert stage.muons == 5 * 180


def test_rates_are_what_was_finished_over_the_time(ledger: Ledger, folder: CampaignFolder) -> None:
    launched(ledger, RAW)
    ledger.note_reports("first", [work(RAW[0]), work(RAW[1], began=BEGIN + 7000.0, ended=BEGIN + 7100.0)])
    (folder.path / "raw").mkdir(parents=True)
    (folder.path / "raw" / "a.mid").write_bytes(bytes(5_000_000))
    found = seen(ledger, folder, BEGIN + 7200.0)
    stage = found.stages[0]
    assert stage.recent.fills == pytest.approx(2.0)  # of the second shard, in the last hour
    assert stage.overall.fills == pytest.approx(5.0 / 2.0)  # fills of both, in two hours
    assert stage.overall.muons == pytest.approx(360.0 / 2.0)
    assert stage.overall.megabytes == pytest.approx(5.0 / 7200.0)
    assert found.overall.fills == stage.overall.fills


def test_node_hours_are_those_from_the_first_report_of_a_node_to_its_last(
    ledger: Ledger, folder: CampaignFolder
) -> None:
    launched(ledger, RAW)
    ledger.note_reports("first", [
        work(RAW[0], element=0), work(RAW[1], element=0, began=BEGIN + 50.0, ended=BEGIN + 400.0),
        work(RAW[2], "failed", element=1, reason="broken", ended=BEGIN + 60.0),
        work(RAW[3], "running", element=2, began=BEGIN + 10.0),
    ])  # fmt: skip
    found = seen(ledger, folder, BEGIN + 500.0)
    assert found.node_hours * 3600.0 == pytest.approx(400.0 + 60.0 + 490.0)
    assert [(one.shard, one.element) for one in found.running] == [(RAW[3], 2)]


def test_time_left_is_what_is_to_do_over_the_ranks_at_work(ledger: Ledger, folder: CampaignFolder) -> None:
    """Two ranks, 10 s a fill, no spread: 7 fills wait, two shards of 2 and 3 fills are at work for 10 s."""
    fills = {row.name: row.fills for row in ledger.shards("first", "raw")}  # 3, 2, 2, 3, 2, 2
    launched(ledger, RAW[:4])
    took = {name: 10.0 * count for name, count in fills.items()}
    ledger.note_reports("first", [
        work(RAW[0], wall_s=took[RAW[0]], ended=BEGIN + 30.0),
        work(RAW[1], wall_s=took[RAW[1]], began=BEGIN + 10.0, ended=BEGIN + 30.0),
        work(RAW[2], "running", began=BEGIN + 30.0), work(RAW[3], "running", began=BEGIN + 30.0),
    ])  # fmt: skip
    found = seen(ledger, folder, BEGIN + 40.0).left
    ahead = (20.0 - 10.0) + (30.0 - 10.0) + 20.0 + 20.0
    assert found.best == pytest.approx(ahead / 2.0)
    # The time of a fill of two shards is taken to be known to a half, twice of which is nothing to double; then the
    # longest shard counts. There were 1.75 ranks at work on average.
    assert found.low == pytest.approx(20.0)
    assert found.high == pytest.approx((40.0 - 10.0 + 60.0 - 10.0 + 40.0 + 40.0) / 1.75)
    assert "without stage 'reco', of which nothing is finished yet" in found.remark


def test_time_left_is_not_guessed_before_anything_is_finished(ledger: Ledger, folder: CampaignFolder) -> None:
    left = seen(ledger, folder).left
    assert math.isnan(left.best)
    assert "not known before a shard of stage 'raw' and 'reco' is finished" in left_words(left, finished=False)


def test_what_waits_for_a_person_is_not_in_the_time_left(ledger: Ledger, folder: CampaignFolder) -> None:
    launched(ledger, RAW[:2])
    ledger.note_reports("first", [work(RAW[0]), work(RAW[1], "failed", reason="broken")])
    rest = [(row.stage, row.name) for row in ledger.shards("first", states=[State.WAITING])]
    ledger.set_states("first", [(*one, State.HELD, "held by bob") for one in rest])
    left = seen(ledger, folder).left
    assert left.best == 0.0
    assert "without 7 shards that wait for a person" in left.remark


def test_states_over_time_end_where_the_ledger_is(status: Status) -> None:
    assert status.timeline is not None
    times, shards = status.timeline
    assert {state: counts[-1] for state, counts in shards.items() if counts[-1]} == status.states
    assert np.array_equal(sum(shards.values()), np.full(len(times), 112.0))
    assert shards[State.WAITING][0] == 112.0
    assert all((counts >= 0).all() for counts in shards.values())


def test_the_plan_is_read_when_it_is_whole(staged: Staged, status: Status, tmp_path: Path) -> None:
    assert status.planned is not None
    assert (status.planned.node_hours, status.planned.measured) == (8.9, "4 fills on 1 core")
    path = tmp_path / "plan.json"
    assert read_plan(path) == (None, "no plan")
    for text in ("{", "[]", '{"shards": 1}', "null", json.dumps(whole(staged) | {"node_hours": "NaN"})):
        path.write_text(text)
        assert read_plan(path)[0] is None
        assert "damaged" in read_plan(path)[1]
    path.write_text(json.dumps(whole(staged) | {"more": 1}))
    assert read_plan(path) == (status.planned, "")


def whole(staged: Staged) -> dict[str, Any]:
    return dict(json.loads((staged.folder.path / "plan.json").read_text()))


def test_the_disk_is_counted_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "raw" / "run1").mkdir(parents=True)
    (tmp_path / "raw" / "run1" / "a").write_bytes(bytes(100))
    (tmp_path / "raw" / "b").write_bytes(bytes(20))
    (tmp_path / "plan.json").write_bytes(bytes(3))
    (tmp_path / "elsewhere").symlink_to("/usr")
    found = used(tmp_path)
    assert {name: found.bytes[name] for name in ("raw", "plan.json")} == {"raw": 120, "plan.json": 3}
    assert found.files["raw"] == 2
    assert found.bytes["elsewhere"] < 100  # the link, not what it leads to
    assert found.free > 0
    assert used(tmp_path / "nothing").bytes == {}


def test_the_last_line_of_a_job_is_found_where_the_reason_has_none(ledger: Ledger, folder: CampaignFolder) -> None:
    launched(ledger, RAW[:1])
    ledger.note_reports("first", [work(RAW[0], "failed", element=3, reason="it broke")])
    folder.job(JOB).mkdir(parents=True)
    (folder.job(JOB) / "3.out").write_text("begin\nRuntimeError: no field\nnote: see above\n")
    (group,) = (one for one in seen(ledger, folder).groups if one.fault)
    assert (group.reason, group.last_line) == ("it broke", "RuntimeError: no field")


def test_reasons_are_taken_apart() -> None:
    fault = "TIMEOUT of job gm2.a.raw.0123456789 element 12: slurmstepd: error: TIME LIMIT; launched 3 times"
    assert apart(fault) == ("TIMEOUT", "slurmstepd: error: TIME LIMIT")
    both = "no field: '/a/b c' at turn 17 (NODE_FAIL of job gm2.a.raw.01 element 0: Killed (9))"
    assert apart(both) == ("no field: '…' at turn … (NODE_FAIL)", "Killed (9)")
    assert apart("waits for stage 'raw' of run 100: 2 of 3 shards to go").kind == "waits for stage 'raw'"
    assert apart("in the queue: job gm2.a.raw.01, number 77").kind == "in the queue"
    assert apart("in the queue: job gm2.a.raw.01, not yet submitted").kind == "in the queue"
    assert apart("gm2_run00100_00002.mid is not there").kind == "run….mid is not there"
    assert apart("job gm2.a.raw.01 ended: TIMEOUT 1").kind == "its job ended: TIMEOUT …"


def test_words_for_people() -> None:
    assert [duration(t) for t in (0, 59.4, 61, 3599, 3661, 200_000, math.nan)] == [
        "0 s", "59 s", "1 min", "1 h 00 min", "1 h 01 min", "2 d 8 h", "?",
    ]  # fmt: skip
    assert [amount(x) for x in (0.0, 0.0001, 0.1234, 12.34, 1234.5)] == ["0", "< 0.001", "0.123", "12.3", "1,234"]
    assert [byte_words(x) for x in (0, 999, 1e6, 7.6e12, 3e18)] == ["0 B", "999 B", "1 MB", "7.6 TB", "3,000 PB"]


def test_a_status_takes_one_screen(status: Status) -> None:
    shown = drawn(status, 150)
    assert shown.count("\n") < 40
    for part in ("112 expected", "time left", "node-hours used of 8.9 planned (7.4 to 10.6)", "PREEMPTED", "recover"):
        assert part in shown


def test_hostile_texts_are_shown_and_steer_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen, "_GROUPS", 1000)
    texts = [one for one in hostile(140) if not any("\ud800" <= letter <= "\udfff" for letter in one)]
    campaign = definition(tmp_path, runs=1, subruns=len(texts))
    with opened(tmp_path / "catalog.sqlite", create=True) as engine:
        upgrade(engine, "catalog")
        ledger = Ledger(engine, "alice")
        ledger.register(campaign, tmp_path)
        names = [row.name for row in ledger.shards(campaign.name, "raw")]
        told = [("raw", name, State.FAILED, text or "empty") for name, text in zip(names, texts, strict=True)]
        ledger.set_states(campaign.name, told)
        shown = drawn(look(ledger, CampaignFolder(tmp_path), campaign.name), 3000)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    for text in texts:
        wanted = apart(one_line(text)).kind.strip()
        assert wanted in shown


def test_the_status_of_a_campaign_under_way_adds_up_at_every_moment(tmp_path: Path) -> None:
    campaign = Campaign.model_validate({
        "name": "play", "preset": "gasgun", "folder": str(tmp_path / "campaign"), "nodes": 3,
        "stage": [
            {"name": "truth", "kind": "simulate", "retries": 3},
            {"name": "reco", "kind": "reconstruct", "after": ["truth"]},
        ],
        "runs": [{"first_run": 1, "runs": 2, "fills": 12, "subruns": 3}],
    })  # fmt: skip
    with opened(tmp_path / "catalog.sqlite", create=True) as engine:
        upgrade(engine, "catalog")
        play = Play(tmp_path, engine, campaign)
        said = set()
        for turn in range(60):
            play.launch()
            found = look(play.ledger, play.folder, "play", disk=False, history=False)
            assert found.adds_up, found.sentence
            assert (found.expected, found.states) == (len(play.shards), play.states())
            said |= {one.reason for one in found.groups}
            if found.finished:
                break
            play.tick(2)
            if turn == 1 and play.farms:
                (number, index), farm = next(iter(play.farms.items()))
                farm.die("slurmstepd: error: NODE FAILURE")
                del play.farms[number, index]
                play.fake.set(number, index, "NODE_FAIL")
        assert found.finished
        assert found.sentence == "8 expected = 8 present + 0 explained"
        assert {"waits for stage 'truth'", "at work"} <= said


def test_a_campaign_of_another_name_or_none_is_refused(
    ledger: Ledger, folder: CampaignFolder, plan: Callable[..., Campaign]
) -> None:
    with pytest.raises(Exception, match="no campaign 'secnd' is registered"):
        look(ledger, folder, "secnd")
    with pytest.raises(Exception, match="no campaign file"):
        look(ledger, folder)
    assert look(ledger, folder, "first").expected == len(RAW) + 2
