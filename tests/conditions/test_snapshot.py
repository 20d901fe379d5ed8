"""A snapshot answers as the database that it was taken of, alone, without locks, and is never changed."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gm2sim.atomic import sha256
from gm2sim.conditions.check import check
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import Moment, moment
from gm2sim.conditions.schema import is_snapshot
from gm2sim.conditions.snapshot import snapshot
from gm2sim.conditions.tags import freeze, tags
from gm2sim.database import opened
from tests.conditions.books import book, fill, kickers, sentence_of, volts


def test_a_snapshot_answers_as_the_database_does_but_for_its_runs_only(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "jobs.sqlite"
    with book(database) as engine:
        fill(engine, "else", (9.0, moment(1), None))
        fill(engine, "t", *((float(run), moment(run, run % 3), None) for run in range(1, 30)))
        freeze(engine, "t")
    whole = DatabaseConditions(database, "t")
    expected = {(run, sub): whole.table("kicker_settings", run, sub) for run in range(10, 21) for sub in (0, 1, 5)}
    said = snapshot(database, "t", (10, 20), out)
    whole.close()
    # From here on there is no server and no other file.
    monkeypatch.setattr("gm2sim.database.engine._postgresql", lambda *_: pytest.fail("a connection to a server"))
    part = DatabaseConditions(out)
    assert part.version == whole.version
    for at, table in expected.items():
        found = part.table("kicker_settings", *at)
        assert found.interval == table.interval
        np.testing.assert_array_equal(found["voltage"], table["voltage"])
    for run in (9, 21):
        assert "is a snapshot of runs 10 to 20" in sentence_of(lambda run=run: part.table("kicker_settings", run))
    assert (tmp_path / "jobs.sqlite.sha256").read_text() == f"{said}  jobs.sqlite\n"
    assert sha256(out) == said
    with opened(out, immutable=True) as engine:
        assert [row["tag"] for row in tags(engine)] == ["t"]


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    begins=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2), st.integers(0, 1)), max_size=8, unique=True),
    runs=st.tuples(st.integers(1, 9), st.integers(0, 4)),
    last=st.none() | st.integers(1, 3),
)
def test_whatever_a_tag_holds_its_snapshot_holds(
    tmp_path_factory: pytest.TempPathFactory,
    begins: list[tuple[int, int, int]],
    runs: tuple[int, int],
    last: int | None,
) -> None:
    folder = tmp_path_factory.mktemp("snapshot")
    where, out = str(folder / "c.sqlite"), folder / "s.sqlite"
    first, final = runs[0], runs[0] + runs[1]
    starts = sorted(moment(*begin) for begin in begins)
    end = None if last is None or not starts else moment(starts[-1].subrun[0] + last)
    with book(where) as engine:
        add(
            engine,
            "t",
            [Entry(kickers(float(k)), begin, end if begin == starts[-1] else None) for k, begin in enumerate(starts)],
        )
        freeze(engine, "t")
    whole = DatabaseConditions(where)

    def held(conditions: DatabaseConditions, at: Moment) -> tuple[float, object] | None:
        try:
            table = conditions.table("kicker_settings", *at.subrun, at.event)
        except ValueError:
            return None
        return volts(table), table.interval

    places = [moment(run, sub, event) for run in range(first, final + 1) for sub in range(4) for event in (0, 1)]
    expected = [held(whole, at) for at in places]
    begin_of_runs, end_of_runs = moment(first), moment(final + 1)
    ends = [*starts[1:], end]
    if not any(
        start < end_of_runs and (stop is None or stop > begin_of_runs)
        for start, stop in zip(starts, ends, strict=False)
    ):
        assert "has nothing for runs" in sentence_of(lambda: snapshot(where, "t", (first, final), out))
        assert not out.exists()
        return
    snapshot(where, "t", (first, final), out)
    part = DatabaseConditions(out)
    assert [held(part, at) for at in places] == expected


def test_a_snapshot_is_read_without_locks_and_leaves_no_traces(tmp_path: Path) -> None:
    where, out = str(tmp_path / "c.sqlite"), tmp_path / "own" / "s.sqlite"
    out.parent.mkdir()
    with book(where) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        freeze(engine, "t")
    snapshot(where, "t", (1, 5), out)
    assert is_snapshot(out)
    assert not is_snapshot(where)
    assert not stat.S_IMODE(out.stat().st_mode) & 0o222
    before = out.read_bytes()
    out.chmod(0o644)
    with closing(sqlite3.connect(out, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")  # whoever takes a lock would wait now
        found = DatabaseConditions(out)
        assert volts(found.table("kicker_settings", 3)) == 1.0
        assert {path.name for path in out.parent.iterdir()} <= {"s.sqlite", "s.sqlite.sha256", "s.sqlite-journal"}
        other.execute("ROLLBACK")
    found.close()
    assert out.read_bytes() == before
    assert {path.name for path in out.parent.iterdir()} == {"s.sqlite", "s.sqlite.sha256"}


def test_a_snapshot_cannot_be_written_to(tmp_path: Path) -> None:
    where, out = str(tmp_path / "c.sqlite"), tmp_path / "s.sqlite"
    with book(where) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        freeze(engine, "t")
    snapshot(where, "t", (1, 5), out)
    with opened(out) as engine:
        said = sentence_of(lambda: fill(engine, "new", (1.0, moment(1), None)), engine)
    assert "this is a snapshot" in said


def test_what_cannot_be_taken_along_is_refused(tmp_path: Path) -> None:
    where, out = str(tmp_path / "c.sqlite"), tmp_path / "s.sqlite"
    with book(where) as engine:
        fill(engine, "t", (1.0, moment(3), moment(5)))
        assert "is open" in sentence_of(lambda: snapshot(where, "t", (1, 5), out))
        freeze(engine, "t")
    assert "nothing for runs 7 to 9" in sentence_of(lambda: snapshot(where, "t", (7, 9), out))
    assert "no folder" in sentence_of(lambda: snapshot(where, "t", (3, 4), tmp_path / "no" / "s.sqlite"))
    assert {path.name for path in tmp_path.iterdir()} - {"c.sqlite-wal", "c.sqlite-shm"} == {"c.sqlite"}
    snapshot(where, "t", (3, 4), out)
    assert "--force" in sentence_of(lambda: snapshot(where, "t", (3, 4), out))
    kept = out.read_bytes()
    snapshot(where, "t", (3, 3), out, force=True)
    assert out.read_bytes() != kept
    snapshot(out, "", (3, 3), tmp_path / "of it.sqlite")  # a part of a part
    assert DatabaseConditions(tmp_path / "of it.sqlite").version == DatabaseConditions(out).version


def test_a_damaged_snapshot_is_found(tmp_path: Path) -> None:
    where, out = str(tmp_path / "c.sqlite"), tmp_path / "s.sqlite"
    with book(where) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        freeze(engine, "t")
    snapshot(where, "t", (1, 5), out)
    content = out.read_bytes()
    mark = b"\x40\x39" + bytes(6)  # 25.0, the delays, as SQLite keeps reals that are not whole; else one byte
    out.chmod(0o644)
    changed = content.replace(mark, b"\x40\x3a" + bytes(6)) if mark in content else content[: len(content) // 2]
    out.write_bytes(changed)
    assert sentence_of(lambda: DatabaseConditions(out).table("kicker_settings", 1))
    out.write_bytes(content)
    with opened(out, immutable=True) as engine:
        assert check(engine) == []
