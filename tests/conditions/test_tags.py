"""Frozen tags never change, names of any kind go through unharmed or are refused, writers take turns."""

import threading

import pytest
import sqlalchemy as sa

from gm2sim.conditions.check import check
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import moment
from gm2sim.conditions.table import require
from gm2sim.conditions.tags import checksum, clone, drop, find_tag, freeze, tags
from gm2sim.database import explain, opened
from tests.conditions.books import book, fill, kickers, sentence_of, volts

STRANGE = [
    "it's",
    '"; drop table conditions_tags; --',
    "'; --",
    "a%s%(b)s:c?",
    "x" * 200,
    "метка",
    "標籤",
    "[red]",
    "\\",
]
HOSTILE = ["", " ", "a\0b", "a\nb", "\x1b[2J", "abc\u202edef", "a\u200bb", "x" * 65_536, " a", "\ud800"]


@pytest.mark.parametrize("tag", STRANGE)
def test_a_strange_name_is_only_a_name(database: str, tag: str) -> None:
    with book(database) as engine:
        add(engine, tag, [Entry(kickers(3.0), moment(1), None, tag)], tag)
        freeze(engine, tag)
        clone(engine, tag, tag[:-1] + "2", tag)
        rows = {row["tag"]: row for row in tags(engine)}
        assert (rows[tag]["comment"], rows[tag]["state"], rows[tag[:-1] + "2"]["parent"]) == (tag, "frozen", tag)
        drop(engine, tag[:-1] + "2")
        assert len(tags(engine)) == 1
    assert volts(DatabaseConditions(database, tag).table("kicker_settings", 1)) == 3.0


def test_a_hostile_name_is_refused_in_one_sentence(database: str) -> None:
    with book(database) as engine:
        fill(engine, "good", (1.0, moment(1), None))
        for name in HOSTILE:
            for action in (
                lambda name=name: fill(engine, name, (1.0, moment(1), None)),
                lambda name=name: clone(engine, "good", name),
                lambda name=name: drop(engine, name),
            ):
                said = sentence_of(action)
                assert "cannot name a tag" in said
                assert len(said) < 400
                assert said.isprintable()
        for comment in ("a\0b", "\x1b[2J", "\ud800", "x" * 65_537):
            assert "comment" in sentence_of(lambda comment=comment: add(engine, "good", [], comment))
        fine = "two\nlines, \u202ewritten from the right\u202c, \U0001f600"
        add(engine, "fine", [], fine)
        assert [row["comment"] for row in tags(engine)] == [fine, ""]


def test_a_hostile_folder_is_refused_in_one_sentence(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(1), None))
    found = DatabaseConditions(database, allow_open=True)
    for name in (
        "",
        "x'; drop table oof_correction_data; --",
        "a\0b",
        "\x1b[2J",
        "x" * 65_536,
        "kicker_settings\u202e",
    ):
        said = sentence_of(lambda name=name: found.table(name, 1))
        assert "no folder of conditions" in said
        assert said.isprintable()
        assert len(said) < 1000


def test_nobody_changes_what_is_frozen(database: str) -> None:
    with book(database) as engine:
        fill(engine, "kept", (1.0, moment(1), moment(5)), (2.0, moment(6), None))
        summed = freeze(engine, "kept")
        assert freeze(engine, "kept") == summed
        assert "tag 'kept' is frozen since" in sentence_of(lambda: fill(engine, "kept", (3.0, moment(5), None)))
        assert "tag 'kept' is frozen since" in sentence_of(lambda: drop(engine, "kept"))
        for statement in (
            "delete from kicker_settings_tag_iovs",
            "update kicker_settings_tag_iovs set end_time = 7",
            "insert into kicker_settings_tag_iovs values (1, 60000, 9, null, null, 1, '')",
            "update kicker_settings_data set voltage = 9",
            "delete from kicker_settings_data where kicker = 1",
            "insert into kicker_settings_data values (1, 4, 9, 9)",
            "update kicker_settings_sets set sha256 = ''",
            "delete from kicker_settings_sets",
            "update kicker_settings_iovs set begin_time = 0, run = 0",
            "delete from kicker_settings_iovs",
            "update conditions_tags set frozen = null, checksum = null",
            "delete from conditions_tags",
        ):

            def change(statement: str = statement) -> None:
                with explain(engine), engine.begin() as connection:
                    connection.execute(sa.text(statement))

            said = sentence_of(change)
            assert "frozen" in said or "never change" in said, statement
        with engine.connect() as connection:
            assert checksum(connection, find_tag(connection, "kept").tag_id) == summed
        assert [row["kind"] for row in check(engine)] == ["gap"]


def test_runs_use_frozen_tags_only_unless_they_say_so(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(1), None))
        assert "tag 't'" in (said := sentence_of(lambda: DatabaseConditions(database)))
        assert "tag freeze" in said
        open_version = DatabaseConditions(database, allow_open=True).version
        summed = freeze(engine, "t")
        assert DatabaseConditions(database).version == f"t sha256 {summed}"
        assert open_version == f"t (open) sha256 {summed}"


def test_the_version_tells_any_change(database: str) -> None:
    with book(database) as engine:
        fill(engine, "a", (1.0, moment(1), None), (2.0, moment(3), None))
        fill(engine, "same", (1.0, moment(1), None), (2.0, moment(3), None))
        fill(engine, "value", (1.0, moment(1), None), (2.5, moment(3), None))
        fill(engine, "begin", (1.0, moment(1), None), (2.0, moment(3, 1), None))
        fill(engine, "end", (1.0, moment(1), moment(2)), (2.0, moment(3), None))
        sums = {row["tag"]: freeze(engine, row["tag"]) for row in tags(engine)}
    assert sums["a"] == sums["same"]
    assert len(set(sums.values())) == 4


def test_a_clone_begins_as_its_parent_and_leaves_it_alone(database: str) -> None:
    with book(database) as engine:
        fill(engine, "old", (1.0, moment(1), moment(5)))
        freeze(engine, "old")
        clone(engine, "old", "new", "why")
        assert "already" in sentence_of(lambda: clone(engine, "old", "new"))
        fill(engine, "new", (2.0, moment(5), None))
    assert volts(DatabaseConditions(database, "new", allow_open=True).table("kicker_settings", 9)) == 2.0
    assert "no kicker_settings for run 9" in sentence_of(
        lambda: DatabaseConditions(database, "old").table("kicker_settings", 9)
    )


def test_a_tag_that_is_not_there_is_named(database: str) -> None:
    with book(database) as engine:
        assert "no tag: `gm2sim conditions load`" in sentence_of(lambda: DatabaseConditions(database))
        fill(engine, "first", (1.0, moment(1), None))
        assert "did you mean 'first'" in sentence_of(lambda: DatabaseConditions(database, "frist"))
        fill(engine, "second", (1.0, moment(1), None))
        assert "has 2 tags" in sentence_of(lambda: DatabaseConditions(database))


def test_gaps_are_told_and_found_before_a_run_begins(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(3), moment(3, 6)), (2.0, moment(3, 7), moment(5)))
        freeze(engine, "t")
        gaps = [(row["kind"], row["where"]) for row in check(engine, "t", (2, 6))]
        assert gaps == [("gap", "2.0 to 2.end"), ("gap", "3.6 to 3.6"), ("gap", "5.0 to 6.end")]
        assert [row["where"] for row in check(engine)] == ["3.6 to 3.6"]
        assert check(engine, "t", (4, 4)) == []
    found = DatabaseConditions(database)
    require(found, ("kicker_settings",), 3, 6)
    said = sentence_of(lambda: require(found, ("kicker_settings",), 3, 20))
    assert "run 3 subrun 6" in said
    assert "3.0 to 3.5 and 3.7 to 4.end" in said
    assert "has no stdp, which run 3 needs" in sentence_of(lambda: found.table("stdp", 3))


def test_of_two_writers_of_one_interval_one_wins_and_the_other_is_told(database: str) -> None:
    with book(database) as engine:
        add(engine, "t", [])
    start, said, won = threading.Barrier(2), [], []

    def write(value: float) -> None:
        with opened(database) as engine:
            start.wait()
            try:
                fill(engine, "t", (value, moment(1), None), (value, moment(2), None))
                won.append(value)
            except ValueError as err:
                said.append(str(err))

    writers = [threading.Thread(target=write, args=(value,)) for value in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert said == [
        "tag 't' would have two intervals of kicker_settings that begin at 1.0: leave one out, or clone the tag "
        "without it"
    ]
    found = DatabaseConditions(database, allow_open=True)
    assert [volts(found.table("kicker_settings", run)) for run in (1, 2)] == won * 2


def test_freezing_and_writing_at_once_never_leave_a_wrong_checksum(database: str) -> None:
    with book(database) as engine:
        add(engine, "t", [])
        start, refused = threading.Barrier(2), []

        def write() -> None:
            with opened(database) as mine:
                start.wait()
                for run in range(1, 15):
                    try:
                        fill(mine, "t", (float(run), moment(run), None))
                    except ValueError as err:
                        refused.append(str(err))

        writer = threading.Thread(target=write)
        writer.start()
        start.wait()
        freeze(engine, "t")
        writer.join()
        assert all("is frozen" in sentence for sentence in refused)
        assert check(engine) == []
