"""Look-ups go by the index, events count, and damage is found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from gm2sim.conditions import Interval
from gm2sim.conditions.check import check
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.interval import WITHOUT_END
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.lookup import beside, named
from gm2sim.conditions.moment import Moment, moment
from gm2sim.conditions.schema import FOLDER_TABLES
from gm2sim.conditions.tags import freeze
from gm2sim.config import ConfigError, load
from gm2sim.setup import conditions_of
from tests.conditions.books import book, fill, kickers, sentence_of, volts

MANY = 3000


def test_a_look_up_among_many_goes_by_the_index(database: str) -> None:
    table = kickers(1.0)
    with book(database) as engine:
        for tag in ("one", "two"):
            add(engine, tag, [Entry(table, moment(run)) for run in range(1, MANY)])
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text("ANALYZE"))
            query = beside(FOLDER_TABLES["kicker_settings"])
            parameters = named(1, moment(MANY // 2))
            raw = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
            compiled = query.params(parameters).compile(engine, compile_kwargs={"literal_binds": True})
            plan = [str(row) for row in connection.exec_driver_sql(raw + str(compiled)).all()]
    steps = [step for step in plan if "kicker_settings_tag_iovs" in step]
    assert len(steps) == 2
    assert all(("SEARCH" in step and "PRIMARY KEY" in step) or "_pkey" in step for step in steps), plan
    assert not any("TEMP B-TREE" in step or "Sort" in step for step in plan), plan


def test_constants_may_change_within_a_subrun(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(5), None), (2.0, moment(5, 3, 100), moment(5, 3, 200)), (3.0, moment(6), None))
        freeze(engine, "t")
    found = DatabaseConditions(database)
    for event, value in ((0, 1.0), (99, 1.0), (100, 2.0), (199, 2.0)):
        assert volts(found.table("kicker_settings", 5, 3, event)) == value
    assert found.interval("kicker_settings", 5, 3) == Interval((5, 0), (5, 3))
    assert found.interval("kicker_settings", 5, 3, 150) == Interval((5, 3), (5, 3))
    assert found.interval("kicker_settings", 6) == Interval((6, 0), (WITHOUT_END, WITHOUT_END))
    assert "5.3 event 100 to before 5.3 event 200 and from 6.0 on" in sentence_of(
        lambda: found.table("kicker_settings", 5, 3, 200)
    )


def test_tables_are_read_once_and_cannot_be_written_to(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(5), moment(6)), (1.0, moment(6), None))
        freeze(engine, "t")
    found = DatabaseConditions(database)
    one, two = found.table("kicker_settings", 5), found.table("kicker_settings", 6)
    assert one["voltage"] is two["voltage"]
    assert one.interval != two.interval
    with pytest.raises(ValueError, match="read-only"):
        one["voltage"][0] = 1.0


@pytest.mark.parametrize(
    "damage",
    [
        "update kicker_settings_data set voltage = voltage + 1e-12 where kicker = 2",
        "delete from kicker_settings_data where kicker = 2",
        "update kicker_settings_sets set sha256 = replace(sha256, 'a', 'b')",
    ],
)
def test_damage_is_found_by_every_look_up_and_by_the_check(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "c.sqlite"
    with book(str(path)) as engine:
        fill(engine, "t", (1.0, moment(5), None))
        freeze(engine, "t")
    with closing(sqlite3.connect(path)) as connection:
        for (trigger,) in connection.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            connection.execute(f"drop trigger {trigger}")
        connection.execute(damage)
        connection.commit()
    said = sentence_of(lambda: DatabaseConditions(path).table("kicker_settings", 5))
    assert "kicker_settings with iov_id 1 are not those that were stored" in said
    with book(str(path)) as engine:
        assert "damage" in {row["kind"] for row in check(engine)}


def test_intervals_that_were_changed_behind_the_triggers_are_found_by_the_check(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with book(str(path)) as engine:
        fill(engine, "t", (1.0, moment(5), moment(6)), (2.0, moment(6), None))
        freeze(engine, "t")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop trigger kicker_settings_tag_iovs_update")
        connection.execute("update kicker_settings_tag_iovs set end_time = 60001 where begin_time = 50000")
        connection.commit()
    with book(str(path)) as engine:
        assert [row["kind"] for row in check(engine)] == ["damage", "overlap"]


def test_a_run_looks_its_constants_up_in_the_database_that_its_configuration_names(database: str) -> None:
    with book(database) as engine:
        fill(engine, "a", (1.0, moment(5), None))
        fill(engine, "b", (2.0, moment(5), None))
        freeze(engine, "a")
    chosen = {"conditions.database": database, "conditions.tag": "a"}
    found = conditions_of(load("ideal", chosen))
    assert volts(found.table("kicker_settings", 5)) == 1.0
    assert found.version.startswith("a sha256 ")
    chosen["conditions.tag"] = "b"
    assert "is open" in sentence_of(lambda: conditions_of(load("ideal", chosen)))
    found = conditions_of(load("ideal", chosen | {"conditions.allow_open": True}))
    assert volts(found.table("kicker_settings", 5)) == 2.0
    assert conditions_of(load("ideal", chosen), builtin=True).version == "built in"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"conditions.database": "a", "conditions.file": "b"}, "both given"),
        ({"conditions.tag": "a"}, "go with conditions.database"),
        ({"conditions.allow_open": True}, "go with conditions.database"),
        ({"conditions.database": "postgresql://me:secret@host/name"}, "password"),
        ({"conditions.database": "postgresql://me@host/name?password=secret"}, "password"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        load("ideal", values)
    assert "secret" not in str(refused.value)


def test_ranks_of_a_job_are_sent_to_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    from gm2sim.farm import Ranks

    monkeypatch.setattr("gm2sim.setup.ranks", lambda: Ranks(size=512))
    config = load("ideal", {"conditions.database": "postgresql://reader@nowhere/conditions"})
    with pytest.raises(ConfigError, match="gm2sim conditions snapshot"):
        conditions_of(config)


def test_a_moment_has_place_for_every_run_of_the_experiment() -> None:
    assert Moment(243370196).subrun == (24337, 196)
    assert moment(2**24 - 1, 9999) == Moment(10_000 * (2**24 - 1) + 9999)
    assert np.iinfo(np.int64).max > moment(2**31 - 1, 9999).time
