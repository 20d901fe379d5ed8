"""The ledger of campaigns: what is registered, what states say, that no shard is launched twice, and who did what."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic import command

from gm2sim.campaign import tables
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.ledger import Ledger, LedgerError
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.catalog import CatalogError, FileRecord, Settings, count, declare
from gm2sim.database import DatabaseError, opened, schema, upgrade

RAW = [f"run{run:05d}_{subrun:05d}" for run in (100, 101) for subrun in range(3)]


def report(shard: str = RAW[0], state: str = "done", **values: object) -> Report:
    plain = {
        "job": "first.raw.1", "began": 1000.0, "ended": 1060.5, "wall_s": 60.5, "cpu_s": 58.0, "threads": 2,
        "peak_memory_mb": 512.5, "fills": 3, "muons": 180, "host": "nid001", "rank": 4,
    }  # fmt: skip
    return Report("raw", shard, state, **plain | values)  # type: ignore[arg-type]


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises((LedgerError, CatalogError, DatabaseError)) as refused:
        action()
    said = str(refused.value)
    assert said.isprintable()
    assert "\n" not in said
    return said


def states(ledger: Ledger) -> dict[str, str]:
    return {row.name: str(row.state) for row in ledger.shards("first")}


def test_a_campaign_is_registered_once_with_all_its_shards(ledger: Ledger, plan: Callable[..., Campaign]) -> None:
    assert ledger.counts("first") == {"raw": {State.WAITING: 6}, "reco": {State.WAITING: 2}}
    rows = ledger.shards("first")
    assert [row.name for row in rows] == [*RAW, "run00100", "run00101"]
    assert [row.fills for row in rows] == [3, 2, 2, 3, 2, 2, 7, 7]
    assert rows[0][:9] == ("raw", 100, 0, RAW[0], 3, State.WAITING, 0, "", "")
    assert rows[6].subrun == -1
    for who in ("alice", "bob"):  # whoever launches again
        assert ledger.register(plan(), "/scratch/first", who) == (0, 8)
    (found,) = ledger.campaigns()
    assert (found.name, found.owner, found.folder) == ("first", "alice", "/scratch/first")
    assert found.definition == plan()
    assert found.hash == plan().hash
    assert [row.what for row in ledger.audit("first")] == ["register"]
    assert [row.stage for row in ledger.shards("first", "reco")] == ["reco", "reco"]
    assert ledger.shards("first", states=[State.DONE]) == []


def test_another_campaign_of_the_name_is_refused_with_its_owner_and_the_difference(
    ledger: Ledger, plan: Callable[..., Campaign]
) -> None:
    said = refusal(lambda: ledger.register(plan(), "/scratch/bob", "bob"))
    assert "'alice'" in said
    assert "'/scratch/first', not in '/scratch/bob'" in said
    more = [{"first_run": 100, "runs": 3, "fills": 7, "subruns": 3}]
    other = [{"first_run": 100, "runs": 2, "fills": 8, "subruns": 3}]
    report_stage = [{"name": "raw", "kind": "simulate"}]
    for values, part in (
        ({"preset": "run1a"}, "preset is 'run1a' and was 'gasgun'"),
        ({"seed": 2}, "seed is '2' and was '1'"),
        ({"stage": report_stage}, "stage 'reco' differs"),
        ({"runs": more}, "draining = true is not set"),
        ({"runs": other, "draining": True}, "run 100 is missing or has other settings"),
    ):
        said = refusal(lambda values=values: ledger.register(plan(**values), "/scratch/first", "bob"))
        assert part in said
        assert "'alice'" in said
    assert sum(ledger.counts("first")["raw"].values()) == 6
    assert ledger.register(plan(name="second"), "/scratch/second", "bob") == (8, 0)


def test_a_draining_campaign_grows_by_new_runs_only(ledger: Ledger, plan: Callable[..., Campaign]) -> None:
    slices = [
        {"first_run": 100, "runs": 2, "fills": 7, "subruns": 3},
        {"first_run": 200, "runs": 1, "fills": 4, "subruns": 2},
    ]
    ledger.set_states("first", [("raw", RAW[0], State.DONE, "")])
    grown = plan(runs=slices, draining=True)
    assert ledger.register(grown, "/scratch/first", "bob") == (3, 8)
    assert ledger.register(grown, "/scratch/first", "bob") == (0, 11)
    assert ledger.counts("first") == {
        "raw": {State.DONE: 1, State.WAITING: 7}, "reco": {State.WAITING: 3},
    }  # fmt: skip
    assert [row.name for row in ledger.shards("first")][-3:] == ["run00200_00000", "run00200_00001", "run00200"]
    assert "run 200 is missing" in refusal(lambda: ledger.register(plan(draining=True), "/scratch/first", "bob"))


def test_limits_of_a_campaign_may_change(ledger: Ledger, plan: Callable[..., Campaign]) -> None:
    assert ledger.register(plan(nodes=8, description="wider"), "/scratch/first", "bob") == (0, 8)
    assert ledger.campaigns()[0].definition.nodes == 8
    assert [(row.who, row.what) for row in ledger.audit("first")] == [("alice", "register"), ("bob", "change")]


def test_states_change_all_or_none_and_are_remembered(ledger: Ledger) -> None:
    assert ledger.set_states("first", [("raw", RAW[0], State.FAILED, "no space left"), ("raw", RAW[1], "held", "")])
    assert not ledger.set_states("first", [("raw", RAW[0], State.FAILED, "no space left")])
    assert ledger.set_states("first", [("raw", RAW[0], State.WAITING, "recovered")], "bob")
    told = [(row.who, row.state, row.reason) for row in ledger.history("first", "raw", RAW[0])]
    assert told == [("alice", State.FAILED, "no space left"), ("bob", State.WAITING, "recovered")]
    assert [row.detail for row in ledger.audit("first")][1:] == [
        f"1 failed (raw/{RAW[0]}); 1 held (raw/{RAW[1]})", f"1 waiting (raw/{RAW[0]})",
    ]  # fmt: skip
    before = ledger.shards("first")
    done = ("raw", RAW[2], State.DONE, "")
    for wrong, part in (
        (("raw", "run00999_00000", State.DONE, ""), "no shard 'run00999_00000' in stage 'raw'"),
        (("rwa", RAW[2], State.DONE, ""), "in stage 'rwa'"),
        (("raw", RAW[3], "finished", ""), "'finished' is no state"),
        (done, "named twice"),
    ):
        assert part in refusal(lambda wrong=wrong: ledger.set_states("first", [done, wrong]))
    assert ledger.shards("first") == before
    assert "did you mean 'first'" in refusal(lambda: ledger.shards("frist"))


def test_reports_bring_measures_and_attempts_and_count_once(ledger: Ledger) -> None:
    half = report(state="running", ended=1030.0, wall_s=30.0)
    assert ledger.note_reports("first", [half, report(RAW[1], "failed", reason="RunError: no space")])
    assert states(ledger)[RAW[0]] == "running"
    whole = report(attempt=2)
    assert ledger.note_reports("first", [whole])
    assert not ledger.note_reports("first", [whole])
    row = ledger.shards("first")[0]
    assert (row.state, row.attempts, row.wall_s, row.cpu_s, row.threads) == (State.DONE, 2, 60.5, 58.0, 2)
    assert (row.peak_memory_mb, row.ended, row.muons) == (512.5, 1060.5, 180)
    told = ledger.history("first", shard=RAW[0])
    assert [(one.attempt, one.state, one.wall_s) for one in told] == [(1, "running", 30.0), (2, "done", 60.5)]
    assert (told[0].host, told[0].rank, told[0].began, told[0].ended) == ("nid001", 4, 1000.0, 1030.0)
    assert ledger.shards("first")[1].reason == "RunError: no space"
    assert "no state of a shard" in refusal(lambda: ledger.note_reports("first", [report(state="held")]))


def test_an_old_report_does_not_undo_what_was_set_later(ledger: Ledger) -> None:
    ledger.note_reports("first", [report()])
    ledger.set_states("first", [("raw", RAW[0], State.WAITING, "its file was deleted")])
    assert not ledger.note_reports("first", [report()])
    assert states(ledger)[RAW[0]] == "waiting"
    ledger.set_states("first", [("raw", RAW[1], State.HELD, "")])
    assert ledger.note_reports("first", [report(RAW[1], "running")])
    assert states(ledger)[RAW[1]] == "held"
    assert ledger.note_reports("first", [report(RAW[1])])  # it was done before the job heard of that
    assert states(ledger)[RAW[1]] == "done"


def test_a_job_is_written_before_it_is_submitted_and_holds_its_shards(ledger: Ledger) -> None:
    shards = [Shard("raw", 100, 0), Shard("raw", 100, 1)]
    for _ in range(2):  # the second time its connection broke while it was committing
        ledger.begin_job("first", "first.raw.1", "raw", shards, 2)
    (job,) = ledger.jobs("first")
    assert (job.token, job.state, job.slurm_id, job.nodes, job.shards, job.live) == (
        "first.raw.1", "intended", None, 2, 2, True,
    )  # fmt: skip
    row = ledger.shards("first")[0]
    assert (row.state, row.job, row.launches) == (State.SUBMITTED, "first.raw.1", 1)
    said = refusal(lambda: ledger.begin_job("first", "first.raw.2", "raw", [RAW[2], RAW[1]], 1))
    assert f"shard {RAW[1]} of stage 'raw' is in the live job 'first.raw.1'" in said
    assert states(ledger)[RAW[2]] == "waiting"  # nothing of it was kept
    assert len(ledger.jobs("first")) == 1
    ledger.know_job("first.raw.1", 4711)
    ledger.know_job("first.raw.1", "4711")
    assert "is number '4711' of the batch system and now '4712'" in refusal(
        lambda: ledger.know_job("first.raw.1", "4712")
    )
    assert "already (submitted)" in refusal(lambda: ledger.begin_job("first", "first.raw.1", "raw", shards, 2))
    assert ledger.jobs("first")[0][2:4] == ("submitted", "4711")
    assert "no job 'first.raw.9'" in refusal(lambda: ledger.end_job("first.raw.9", "COMPLETED"))
    ledger.begin_job("first", "lost", "raw", [RAW[3]], 1)
    ledger.end_job("lost", "refused by sbatch")
    assert "has ended (refused by sbatch) and now has number '9'" in refusal(lambda: ledger.know_job("lost", 9))


def test_the_end_of_a_job_frees_its_shards_and_strands_none(ledger: Ledger) -> None:
    ledger.begin_job("first", "one", "raw", RAW[:4], 2)
    ledger.know_job("one", 1)
    ledger.note_reports("first", [report(RAW[0], job="one"), report(RAW[1], "running", job="one")])
    ledger.end_job("one", "NODE_FAIL", [RAW[3]])
    assert ledger.jobs("first")[0].live
    ledger.begin_job("first", "two", "raw", [RAW[3]], 1)
    for _ in range(2):
        ledger.end_job("one", "TIMEOUT")
    job = ledger.jobs("first")[0]
    assert (job.state, job.live, job.shards) == ("TIMEOUT", False, 4)
    found = {row.name: (row.state, row.job, row.reason) for row in ledger.shards("first", "raw")}
    assert found[RAW[0]] == (State.DONE, "one", "")
    assert found[RAW[1]] == found[RAW[2]] == (State.WAITING, "one", "job one ended: TIMEOUT")
    assert found[RAW[3]] == (State.SUBMITTED, "two", "")
    ledger.begin_job("first", "three", "raw", [RAW[1]], 1)
    assert ledger.shards("first")[1].launches == 2
    assert [row.what for row in ledger.audit("first")][1:] == [
        "launch", "submitted", "note reports", "end of job", "launch", "end of job", "launch",
    ]  # fmt: skip


def test_shards_that_are_done_or_held_are_not_launched(ledger: Ledger) -> None:
    ledger.set_states("first", [("raw", RAW[0], State.DONE, ""), ("raw", RAW[1], State.HELD, "")])
    assert "is done" in refusal(lambda: ledger.begin_job("first", "one", "raw", [RAW[2], RAW[0]], 1))
    assert "release it first" in refusal(lambda: ledger.begin_job("first", "one", "raw", [RAW[2], RAW[1]], 1))
    assert "no shards" in refusal(lambda: ledger.begin_job("first", "one", "raw", [], 1))
    assert ledger.jobs("first") == []


def test_the_database_itself_refuses_a_shard_in_two_live_jobs(ledger: Ledger, catalog: sa.Engine) -> None:
    ledger.begin_job("first", "one", "raw", [RAW[0]], 1)
    ledger.begin_job("first", "two", "raw", [RAW[1]], 1)
    member = sa.insert(tables.members).values(token="two", shard_id=1)
    with pytest.raises(sa.exc.IntegrityError), catalog.begin() as connection:
        connection.execute(member.values(live=True))
    with catalog.begin() as connection:
        connection.execute(member.values(live=False))
        connection.execute(sa.delete(tables.members).where(tables.members.c.live.is_(sa.false())))
    ledger.end_job("one", "COMPLETED")
    with catalog.begin() as connection:
        connection.execute(member.values(live=True))
    with pytest.raises(sa.exc.IntegrityError), catalog.begin() as connection:
        connection.execute(sa.update(tables.shards).values(state="lost"))


def test_texts_from_outside_are_kept_harmless(ledger: Ledger) -> None:
    hostile = "x'; DROP TABLE catalog_ledger_shards; --\n\x1b[31m\0 \u202e <script> \ud800" + "y" * 70_000
    ledger.set_states("first", [("raw", RAW[0], State.FAILED, hostile)], hostile)
    ledger.note_reports("first", [report(RAW[1], "failed", reason=hostile, host=hostile, job=hostile)])
    for row in ledger.shards("first")[:2]:
        assert row.reason.isprintable()
        assert row.reason.startswith("x'; DROP TABLE")
        assert len(row.reason) < 3000
    assert all(f"{row.who}{row.detail}".isprintable() for row in ledger.audit("first"))
    assert "NUL" in refusal(lambda: ledger.begin_job("first", "a\0b", "raw", [RAW[2]], 1))
    assert "no campaign" in refusal(lambda: ledger.counts("' OR 1=1 --"))
    for name in ("a\0b", "\ud800", "\u202e", ""):
        refusal(lambda name=name: ledger.counts(name))
        refusal(lambda name=name: ledger.end_job(name, "COMPLETED"))
        refusal(lambda name=name: ledger.set_states("first", [("raw", name, State.DONE, "")]))
        refusal(lambda name=name: ledger.note_reports("first", [report(name)]))


def test_a_hundred_thousand_shards_are_registered_counted_and_launched(
    catalog: sa.Engine, plan: Callable[..., Campaign]
) -> None:
    runs = [{"first_run": 1, "runs": 1000, "fills": 100, "subruns": 100}]
    many = plan(runs=runs, stage=[{"name": "raw", "kind": "simulate"}])
    ledger = Ledger(catalog, "alice")
    assert ledger.register(many, "/scratch/first") == (100_000, 0)
    names = [f"run00500_{subrun:05d}" for subrun in range(100)]
    ledger.begin_job("first", "one", "raw", names, 8)
    ledger.note_reports("first", [report(name, job="one") for name in names])
    ledger.end_job("one", "COMPLETED")
    assert ledger.counts("first") == {"raw": {State.WAITING: 99_900, State.DONE: 100}}
    assert [row.name for row in ledger.shards("first", states=["done"])] == names


def test_a_catalogue_of_a_newer_program_is_refused_in_one_sentence(catalog: sa.Engine) -> None:
    with catalog.begin() as connection:
        connection.exec_driver_sql("UPDATE catalog_version SET version_num = '9999'")
    assert "are of version 9999, this program knows up to 0002" in refusal(lambda: Ledger(catalog))


def test_an_old_catalogue_is_upgraded_with_its_files_kept(database: str, plan: Callable[..., Campaign]) -> None:
    with opened(database, create=True) as engine:
        with engine.begin() as connection:
            config = schema._config("catalog")
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        raw = FileRecord(
            "gm2_run00100_00000.mid", 7, "raw", "gm2sim_first", "alice", "midas", run=100, subrun=0, sha256="00" * 32,
            settings=Settings("0.1.0", "ab" * 32, 1), folders=("/data",),
        )  # fmt: skip
        declare(engine, [raw])
        assert "`gm2sim catalog init` brings them up to date, their content is kept" in refusal(lambda: Ledger(engine))
        upgrade(engine, "catalog")
        with engine.connect() as connection:
            assert count(connection, "run = 100") == (1, 7)
        assert Ledger(engine).register(plan(), "/scratch/first") == (8, 0)


def test_the_tables_are_as_the_migrations_make_them(catalog: sa.Engine) -> None:
    there = sa.inspect(catalog)
    assert {name for name in there.get_table_names() if "_ledger_" in name} == set(tables.metadata.tables)
    for name, table in tables.metadata.tables.items():
        columns = {
            one["name"]: (str(one["type"]).split("(")[0].split()[0], one["nullable"]) for one in there.get_columns(name)
        }
        wanted = {
            one.name: (one.type.compile(catalog.dialect).split("(")[0].split()[0], one.nullable)
            for one in table.columns
        }
        assert columns == wanted, name
        assert set(there.get_pk_constraint(name)["constrained_columns"]) == set(table.primary_key.columns.keys())
        found = {(one["name"], tuple(one["column_names"]), bool(one["unique"])) for one in there.get_indexes(name)}
        told = {(str(one.name), tuple(one.columns.keys()), one.unique) for one in table.indexes}
        assert told <= found, name
        keys = {(one["constrained_columns"][0], one["referred_table"]) for one in there.get_foreign_keys(name)}
        assert keys == {(key.parent.name, key.column.table.name) for key in table.foreign_keys}, name
