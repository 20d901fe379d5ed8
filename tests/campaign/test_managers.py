"""Several people, processes and failures at one ledger: locks, no double launch, restarts of the server, roles."""

import importlib.util
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from gm2sim.campaign import acting, shard_book, tables
from gm2sim.campaign import ledger as ledger_module
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.ledger import Ledger, LedgerError, LockedError
from gm2sim.campaign.shard import Report, State
from gm2sim.campaign.status import look
from gm2sim.catalog.roles import grant
from gm2sim.database import DatabaseError, explain, opened, upgrade

FORK = multiprocessing.get_context("fork")  # a process is there at once, with everything imported
RAW = [f"run{run:05d}_{subrun:05d}" for run in (100, 101) for subrun in range(3)]
READER, OPERATOR = "ledger_reader", "ledger_operator"


def address_of(engine: sa.Engine) -> str:
    return str(engine.url.database) if engine.dialect.name == "sqlite" else engine.url.render_as_string(False)


@pytest.fixture
def where(catalog: sa.Engine) -> str:
    """Address of the catalogue, for other processes."""
    return address_of(catalog).replace("+psycopg", "")


def start(target: Callable[..., None], *arguments: object) -> tuple[Any, Connection]:
    """A process, and the end of a pipe to it."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=target, args=(*arguments, theirs), daemon=True)
    with warnings.catch_warnings():  # the threads of whoever runs the tests do not matter to it
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process, ours


def said_by(pipe: Connection) -> Any:
    assert pipe.poll(60), "a process is silent"
    return pipe.recv()


def hold(where: str, who: str, pipe: Connection) -> None:
    with opened(where) as engine, Ledger(engine, who).lock("first", who, "launch"):
        pipe.send("held")
        pipe.recv()
    pipe.send("given back")


def launch_all(where: str, who: str, pipe: Connection) -> None:
    """Try to launch each shard in a job of its own, at the same moments as another."""
    with opened(where) as engine:
        ledger = Ledger(engine, who)
        pipe.send("ready")
        pipe.recv()
        for name in RAW:
            try:
                ledger.begin_job("first", f"{who}.{name}", "raw", [name], 1)
                pipe.send(name)
            except LedgerError as err:
                pipe.send(str(err))


def insert_all(where: str, token: str, pipe: Connection) -> None:
    """Pass by the program: write the rows straight into the table."""
    with opened(where) as engine:
        pipe.send("ready")
        pipe.recv()
        for shard in range(1, 7):
            try:
                with engine.begin() as connection:
                    connection.execute(sa.insert(tables.members).values(token=token, shard_id=shard, live=True))
                pipe.send(shard)
            except sa.exc.IntegrityError:
                pipe.send("refused")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises((LedgerError, DatabaseError)) as refused:
        action()
    said = str(refused.value)
    assert said.isprintable()
    return said


def live_rows(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        found = sa.select(tables.members.c.shard_id).where(tables.members.c.live).order_by(tables.members.c.shard_id)
        return list(connection.execute(found).scalars())


@pytest.mark.parametrize("target", [launch_all, insert_all], ids=["launching", "passing by the program"])
def test_of_two_processes_that_launch_a_shard_at_once_one_gets_it(
    ledger: Ledger, catalog: sa.Engine, where: str, target: Callable[..., None]
) -> None:
    names = ("bob", "carol")
    if target is insert_all:
        for name in names:
            ledger.begin_job("first", name, "reco", [f"run0010{names.index(name)}"], 1)
    workers = [start(target, where, name) for name in names]
    for _, pipe in workers:
        assert said_by(pipe) == "ready"
    for _, pipe in workers:
        pipe.send("go")
    told = [[said_by(pipe) for _ in RAW] for _, pipe in workers]
    for process, _ in workers:
        process.join(60)
    wanted: list[object] = list(RAW) if target is launch_all else list(range(1, 7))
    for place, one in enumerate(wanted):
        both = [told[0][place], told[1][place]]
        assert both.count(one) == 1
        if target is launch_all:
            (other,) = (said for said in both if said != one)
            assert "is not launched twice" in other
    assert live_rows(catalog)[:6] == [1, 2, 3, 4, 5, 6]
    assert len(set(live_rows(catalog))) == len(live_rows(catalog))


def test_a_second_manager_is_told_who_acts_and_may_look(ledger: Ledger, where: str) -> None:
    process, pipe = start(hold, where, "bob")
    assert said_by(pipe) == "held"
    said = refusal(lambda: ledger.lock("first", "alice", "recover").__enter__())
    assert f"in the hands of 'bob' (launch, process {process.pid} on {os.uname().nodename}) since 20" in said
    for act in (
        lambda: ledger.set_states("first", [("raw", RAW[0], State.HELD, "")]),
        lambda: ledger.note_reports("first", [Report("raw", RAW[0], "done")]),
        lambda: ledger.begin_job("first", "one", "raw", RAW, 1),
        lambda: ledger.record("first", "cancel", "everything"),
    ):
        with pytest.raises(LockedError):
            act()
    assert ledger.counts("first")["raw"] == {State.WAITING: 6}
    holder = ledger.holder("first")
    assert holder is not None
    assert (holder.who, holder.what, holder.process) == ("bob", "launch", process.pid)
    pipe.send("enough")
    with ledger.lock("first", "alice", "recover", wait_s=60.0):  # waits for bob
        assert said_by(pipe) == "given back"
        with ledger.lock("first"):
            ledger.set_states("first", [("raw", RAW[0], State.HELD, "")])
        ledger.begin_job("first", "one", "raw", RAW[1:], 1)
    process.join(60)
    assert ledger.holder("first") is None
    assert [(row.who, row.what) for row in ledger.audit("first")][1:] == [("alice", "set states"), ("alice", "launch")]


def test_the_lock_of_a_killed_process_falls(ledger: Ledger, where: str) -> None:
    process, pipe = start(hold, where, "bob")
    assert said_by(pipe) == "held"
    os.kill(process.pid, signal.SIGKILL)
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    with ledger.lock("first", "alice", "recover"):  # dead is enough, its parent need not have noticed
        ledger.set_states("first", [("raw", RAW[0], State.HELD, "")])
    process.join(60)
    assert [row.what for row in ledger.audit("first")] == ["register", "take over", "set states"]
    assert "'bob'" in ledger.audit("first")[1].detail


def test_a_lock_without_use_falls_and_its_holder_is_told(
    ledger: Ledger, catalog: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Ledger(catalog, "bob")
    monkeypatch.setattr(acting, "host", lambda: "another machine")
    clock = acting.now()
    monkeypatch.setattr(acting, "now", lambda: clock)
    with ledger.lock("first", "alice", "launch"):
        monkeypatch.undo()
        for seconds, falls in ((-3600.0, False), (acting.LOCK_S - 1, False), (acting.LOCK_S + 1, True)):
            monkeypatch.setattr(acting, "now", lambda s=seconds: clock + int(1e6 * s))
            if not falls:  # also when the clock is set back
                with pytest.raises(LockedError, match="'alice'"):
                    other.record("first", "cancel", "")
        with other.lock("first", "bob", "recover"):
            said = refusal(lambda: ledger.begin_job("first", "one", "raw", RAW, 1))
            assert "your lock on campaign 'first' has fallen" in said
            assert "to 'bob'" in said
            assert other.register(plan_of(other), "/scratch/first") == (0, 8)
        other.set_states("first", [("raw", RAW[0], State.HELD, "")])
    assert ledger.jobs("first") == []
    with ledger.lock("first", "alice", "launch"):
        ledger.begin_job("first", "one", "raw", RAW[1:], 1)


def plan_of(ledger: Ledger) -> Campaign:
    return ledger.campaigns()[0].definition


def test_every_acting_call_leaves_a_line(ledger: Ledger) -> None:
    before = time.time()
    with ledger.lock("first", "bob", "launch"):
        ledger.begin_job("first", "one", "raw", RAW, 2)
        ledger.know_job("one", 12)
        ledger.note_reports("first", [Report("raw", RAW[0], "done", job="one")])
        ledger.record("first", "cancel", "job one, number 12", "carol")
        ledger.end_job("one", "CANCELLED")
    ledger.set_states("first", [("raw", RAW[1], State.CANCELLED, "by carol")], "carol")
    rows = ledger.audit("first")
    assert [(row.who, row.what, row.detail) for row in rows] == [
        ("alice", "register", "8 shards in /scratch/first"),
        ("bob", "launch", "job one: 6 shards of raw on 2 nodes"),
        ("bob", "submitted", "job one has number 12"),
        ("bob", "note reports", f"1 done (raw/{RAW[0]})"),
        ("carol", "cancel", "job one, number 12"),
        ("bob", "end of job", "job one: CANCELLED; 6 of 6 shards leave it, 5 wait again"),
        ("carol", "set states", f"1 cancelled (raw/{RAW[1]})"),
    ]
    assert all(before - 60 < row.time < time.time() + 1 for row in rows)


@pytest.fixture(scope="module")
def postgres() -> ModuleType:
    """The module that starts servers."""
    path = Path(__file__).parents[1] / "postgres.py"
    spec = importlib.util.spec_from_file_location("gm2sim_tests_campaign_postgres", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reason = module.missing()
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return module


@pytest.fixture(scope="module")
def durable(postgres: ModuleType) -> Iterator[str]:
    """A server that may be restarted."""
    with postgres.server(durable=True) as address:
        yield address


def test_a_ledger_survives_restarts_of_the_server_between_and_within_its_calls(
    durable: str, postgres: ModuleType, plan: Callable[..., Campaign], monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts: list[str] = []

    def restart_once(before: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if name not in restarts:
                restarts.append(name)
                postgres.restart(durable)
            return before(*arguments)

        return call

    with opened(durable) as engine:
        upgrade(engine, "catalog")
        ledger = Ledger(engine, "alice")
        ledger.register(plan(), "/scratch/first")
        with ledger.lock("first", "alice", "launch"):
            postgres.restart(durable)
            ledger.begin_job("first", "one", "raw", RAW, 2)
            # After the states were changed, before the line in the audit table.
            monkeypatch.setattr(ledger_module, "write_audit", restart_once(acting.write_audit, "audit"))
            ledger.set_states("first", [("raw", RAW[0], State.FAILED, "lost")])
            monkeypatch.setattr(shard_book, "find", restart_once(shard_book.find, "find"))
            ledger.note_reports("first", [Report("raw", RAW[1], "done", job="one")])
            ledger.end_job("one", "COMPLETED")
        assert restarts == ["audit", "find"]
        assert ledger.holder("first") is None
        assert ledger.counts("first")["raw"] == {State.FAILED: 1, State.DONE: 1, State.WAITING: 4}
        assert [row.what for row in ledger.audit("first")] == [
            "register", "launch", "set states", "note reports", "end of job",
        ]  # fmt: skip
        assert [row.state for row in ledger.history("first", shard=RAW[0])] == ["submitted", "failed"]


def test_a_server_that_stays_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch, postgres: ModuleType) -> None:
    monkeypatch.setattr(acting, "_PAUSES_S", (0.0, 0.1))
    with postgres.server() as address:
        engine = sa.create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
        upgrade(engine, "catalog")
        ledger = Ledger(engine, "alice")
        assert ledger.campaigns() == []
    assert "database 'postgresql://gm2@" in refusal(ledger.campaigns)
    engine.dispose()


@pytest.fixture(scope="module")
def server(new_postgres: Callable[[], str]) -> str:
    """A catalogue of an older program with its roles, brought up to date: the address of the owner."""
    address = new_postgres()
    with opened(address) as engine:
        upgrade(engine, "catalog")
        with engine.begin() as connection:
            known = set(connection.execute(sa.text("select rolname from pg_roles")).scalars())
            for role in {READER, OPERATOR} - known:
                connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN")
        grant(engine, READER, "reader")
        grant(engine, OPERATOR, "operator")
    return address


def as_role(address: str, role: str) -> str:
    return sa.make_url(address).set(username=role).render_as_string(hide_password=False)


def statement(engine: sa.Engine, text: str) -> None:
    with explain(engine), engine.begin() as connection:
        connection.exec_driver_sql(text)


def test_operators_launch_and_recover_and_readers_only_look(server: str, plan: Callable[..., Campaign]) -> None:
    with opened(as_role(server, OPERATOR)) as engine:
        ledger = Ledger(engine, "bob")
        ledger.register(plan(), "/scratch/first", "bob")
        with ledger.lock("first", "bob", "launch"):
            ledger.begin_job("first", "one", "raw", RAW, 2)
            ledger.know_job("one", 12)
            ledger.note_reports("first", [Report("raw", RAW[0], "failed", "no space", job="one")])
            ledger.end_job("one", "NODE_FAIL")
            ledger.set_states("first", [("raw", RAW[0], State.WAITING, "recovered")])
            ledger.begin_job("first", "two", "raw", RAW, 2)
        grown = [{"first_run": 100, "runs": 3, "fills": 7, "subruns": 3}]
        assert ledger.register(plan(runs=grown, draining=True), "/scratch/first", "bob") == (4, 8)
        assert {row.role for row in ledger.audit("first")} == {OPERATOR}  # whoever "bob" is
        for name in tables.metadata.tables:
            for text in (f"DELETE FROM {name}", f"TRUNCATE {name} CASCADE", f"DROP TABLE {name} CASCADE"):
                said = refusal(lambda text=text: statement(engine, text))
                assert "permission denied" in said or "must be owner" in said, text
        for name in ("catalog_ledger_audit", "catalog_ledger_history"):
            assert "permission denied" in refusal(lambda name=name: statement(engine, f"UPDATE {name} SET who = 'x'"))
    with opened(as_role(server, READER)) as engine:
        ledger = Ledger(engine, "eve")
        assert ledger.counts("first")["raw"] == {State.SUBMITTED: 6, State.WAITING: 3}
        assert [row.token for row in ledger.jobs("first")] == ["one", "two"]
        assert len(ledger.audit("first")) == 8
        assert ledger.history("first", shard=RAW[0])
        assert ledger.holder("first") is None
        assert look(ledger, CampaignFolder(Path("/scratch/first")), "first").explained == 12
        for act in (
            lambda: ledger.register(plan(name="second"), "/scratch/second"),
            lambda: ledger.register(plan(nodes=3, runs=grown, draining=True), "/scratch/first"),
            lambda: ledger.lock("first").__enter__(),
            lambda: ledger.set_states("first", [("raw", RAW[0], State.HELD, "")]),
            lambda: ledger.note_reports("first", [Report("raw", RAW[0], "done")]),
            lambda: ledger.begin_job("first", "three", "raw", ["run00102_00000"], 1),
            lambda: ledger.know_job("two", 13),
            lambda: ledger.end_job("two", "CANCELLED"),
            lambda: ledger.record("first", "cancel", ""),
        ):
            assert "permission denied" in refusal(act)


def test_a_ledger_may_be_looked_at_through_a_connection_that_only_reads(ledger: Ledger, where: str) -> None:
    with opened(where, read_only=True) as engine:
        looking = Ledger(engine)
        assert looking.counts("first") == ledger.counts("first")
        assert "read" in refusal(lambda: looking.set_states("first", [("raw", RAW[0], State.HELD, "")]))
