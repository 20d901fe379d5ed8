"""Intervals go into a database all or none, never overlap, and come back to the bit."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.calorimeter import CalorimeterSettings
from gm2sim.conditions import FOLDERS, BuiltinConditions, FileConditions, Table, write_conditions
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.folders import Folder
from gm2sim.conditions.interval import EVERY_RUN, WITHOUT_END
from gm2sim.conditions.loading import Entry, add, of_file
from gm2sim.conditions.moment import Moment, moment, run_range
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.schema import digest
from gm2sim.conditions.tags import tags
from gm2sim.database import explain
from tests.conditions.books import book, fill, kickers, sentence_of, volts

# Published in the talk on the experiment's production: calorimeter 1, crystals 0 to 9, of gm2_conditions_dev.
SELECT = (
    "select calonum,xtalnum,oofcorrection from oof_correction_data,oof_correction_iovs "
    "where begin_time = 243370196 and calonum=1 and iov_id=10 limit 10;"
)
PUBLISHED = (0.932184, 0.94373, 0.933066, 0.928901, 0.930891, 0.918331, 0.940355, 0.901765, 0.93363, 0.939446)
moments = st.builds(Moment, st.integers(20_000, 60_009), st.integers(0, 2))
spans = st.lists(st.tuples(moments, st.none() | moments), max_size=6)


def gains(value: float, first: tuple[float, ...] = ()) -> Table:
    folder = KNOWN["oof_correction"]
    values = np.full(folder.shape, value)
    values[0, : len(first)] = first
    return Table.of(folder, EVERY_RUN, {"gain": values})


def test_the_published_select_works_as_printed_whatever_else_is_loaded(database: str) -> None:
    begin = Moment(243370196)
    before = [Entry(gains(0.5 + k / 100), moment(24337, 187 + k)) for k in range(9)]
    with book(database) as engine:
        add(engine, "first", [*before, Entry(gains(0.9, PUBLISHED), begin), Entry(gains(0.8), moment(24337, 197))])
        add(engine, "other tag, same moment", [Entry(gains(0.7), begin)])
        add(engine, "same constants", [Entry(gains(0.9, PUBLISHED), begin), Entry(gains(0.6), Moment(begin.time, 5))])
        with engine.connect() as connection:
            rows = connection.execute(sa.text(SELECT)).all()
    assert [tuple(row) for row in rows] == [(1, crystal, value) for crystal, value in enumerate(PUBLISHED)]


@given(one=st.tuples(*[st.integers(0, 2**24), st.integers(0, 9999), st.integers(0, 2**40)]), two=st.data())
def test_moments_sort_as_runs_subruns_and_events_do(one: tuple[int, int, int], two: st.DataObject) -> None:
    near = st.tuples(*[st.integers(max(0, number - 1), number + 1) for number in one])
    other = two.draw(near.filter(lambda at: at[1] <= 9999))
    assert (moment(*one) < moment(*other)) == (one < other)
    assert moment(*one).subrun == one[:2]


def tables(folder: Folder) -> st.SearchStrategy[Table]:
    """Any table that a folder may hold; zero has no sign there."""

    def number(low: float, high: float, whole: bool) -> st.SearchStrategy[float]:
        if whole:
            return st.integers(int(low), int(high)).map(float)
        return st.floats(low, high, allow_subnormal=True).map(lambda value: value + 0.0)

    size = int(np.prod(folder.shape))
    letters = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
    columns = {
        one.name: st.lists(number(one.lowest, one.highest, one.whole), min_size=size, max_size=size)
        for one in folder.columns
    }
    texts = {one.name: st.lists(st.text(letters, max_size=60), min_size=size, max_size=size) for one in folder.texts}
    return st.builds(
        lambda numbers, words: Table.of(folder, EVERY_RUN, {k: np.array(v) for k, v in numbers.items()}, words),
        st.fixed_dictionaries(columns),
        st.fixed_dictionaries(texts),
    )


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_bit_of_small_tables_comes_back(database: str, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(["kicker_settings", "trolley_period", "field_map", "tracker_align_external", "quad_settings"])
    )
    stored = data.draw(tables(KNOWN[name]))
    with book(database) as engine:
        number = len(tags(engine))
        add(engine, f"tag {number}", [Entry(stored, moment(1))])
    found = DatabaseConditions(database, f"tag {number}", allow_open=True).table(name, 5)
    for column, values in stored.columns.items():
        assert found[column].tobytes() == values.tobytes()
    assert found.texts == stored.texts


def test_zero_has_no_sign_and_is_no_damage(database: str) -> None:
    with book(database) as engine:
        add(engine, "zero", [Entry(kickers(7.0, -0.0), moment(1)), Entry(kickers(7.0, 0.0), moment(2))])
    found = DatabaseConditions(database, "zero", allow_open=True)
    assert np.signbit(found.table("kicker_settings", 1)["delay"]).tolist() == [False] * 3
    assert digest(kickers(7.0, -0.0)) == digest(kickers(7.0, 0.0))


def test_all_folders_of_a_file_come_back_to_the_bit(database: str, tmp_path: Path) -> None:
    drawn = BuiltinConditions(CalorimeterSettings())
    path = tmp_path / "c.toml"
    write_conditions(drawn, path, "as drawn")
    with book(database) as engine:
        assert add(engine, "file", of_file(FileConditions(path))) == (13, 13)
        assert add(engine, "again", of_file(FileConditions(path))) == (13, 0)  # the constants are there already
    found = DatabaseConditions(database, "file", allow_open=True)
    assert found.folders() == list(FOLDERS)
    for name in FOLDERS:
        expected = drawn.table(name, 3)
        assert found.interval(name, 3) == ((1, 0), (WITHOUT_END, WITHOUT_END))
        for column, values in expected.columns.items():
            np.testing.assert_array_equal(found.table(name, 3)[column], values)


def test_ends_of_a_file_are_those_of_the_database(database: str, tmp_path: Path) -> None:
    text = 'format = "gm2sim conditions 1"\ntag = "t"\n'
    table = 'table = """\nkicker,voltage [kV],delay [ns]\n1,{0},0\n2,{0},0\n3,{0},0\n"""\n'
    for value, place in ((1, "first = 5\nlast = [6, 3]"), (2, "first = [6, 5]"), (3, "first = 8\nlast = 9")):
        text += f"[[folders.kicker_settings]]\n{place}\n{table.format(value)}"
    (tmp_path / "c.toml").write_text(text)
    file = FileConditions(tmp_path / "c.toml")
    with book(database) as engine:
        add(engine, "t", of_file(file))
        fill(engine, "t", (4.0, moment(7), None))  # an interval without end ends where this one begins
    found = DatabaseConditions(database, "t", allow_open=True)
    for at in ((5, 0), (6, 3), (6, 5), (6, 9999), (8, 0), (9, 17)):
        assert volts(found.table("kicker_settings", *at)) == volts(file.table("kicker_settings", *at))
    for at in ((5, 0), (6, 3), (8, 0), (9, 17)):
        assert found.interval("kicker_settings", *at) == file.interval("kicker_settings", *at)
    assert volts(found.table("kicker_settings", 7)) == 4.0
    for at in ((4, 0), (6, 4), (10, 0)):
        for conditions in (file, found):
            assert "for run" in sentence_of(lambda where=conditions, at=at: where.table("kicker_settings", *at))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(parts=st.lists(spans, min_size=1, max_size=3), at=moments)
def test_one_interval_at_most_holds_and_what_is_refused_leaves_nothing(
    database: str, parts: list[list[tuple[Moment, Moment | None]]], at: Moment
) -> None:
    accepted: list[tuple[float, Moment, Moment | None]] = []
    with book(database) as engine:
        number = len(tags(engine))
        add(engine, f"tag {number}", [])
        for part in parts:
            new = [(float(len(accepted) + k), begin, end) for k, (begin, end) in enumerate(part)]
            both = sorted([*accepted, *new], key=lambda span: span[1])
            wrong = any(end is not None and end <= begin for _, begin, end in both) or any(
                begin == following or (end is not None and end > following)
                for (_, begin, end), (_, following, _) in pairwise(both)
            )
            if wrong:
                said = sentence_of(lambda new=new: fill(engine, f"tag {number}", *new))
                assert "kicker_settings" in said
            else:
                fill(engine, f"tag {number}", *new)
                accepted = both
    begins = [begin for _, begin, _ in accepted]
    holding = [
        (value, begin)
        for value, begin, end in accepted
        if begin <= at and (end is None or at < end) and not any(begin < other <= at for other in begins)
    ]
    assert len(holding) <= 1
    found = DatabaseConditions(database, f"tag {number}", allow_open=True)
    if holding:
        assert volts(found.table("kicker_settings", *at.subrun, at.event)) == holding[0][0]
        assert found.interval("kicker_settings", *at.subrun, at.event).first == holding[0][1].subrun
    else:
        assert "kicker_settings" in sentence_of(lambda: found.table("kicker_settings", *at.subrun, at.event))


def test_overlaps_are_refused_by_the_database_itself(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(5), moment(7)), (2.0, moment(9), None))
        tag, begin = "tag_id", "begin_time"
        columns = f'{tag}, {begin}, begin_event, end_time, end_event, "__iov_id", comment'
        for values in (
            "1, 60000, 0, NULL, NULL, 1, ''",  # in the middle of the first
            "1, 80000, 0, 90001, 0, 1, ''",  # over the begin of the second
            "1, 50000, 0, 60000, 0, 1, ''",  # at the same place
        ):

            def insert(values: str = values) -> None:
                with explain(engine), engine.begin() as connection:
                    connection.execute(sa.text("insert into kicker_settings_iovs values (60000,6,0),(80000,8,0)"))
                    connection.execute(sa.text(f"insert into kicker_settings_tag_iovs ({columns}) values ({values})"))

            said = sentence_of(insert)
            assert "overlaps another of its tag" in said or "unique" in said.lower()


@pytest.mark.parametrize(
    ("at", "words"), [((2**31, 0), "no run"), ((1, 10_000), "no subrun 10000"), ((1, 0, 2**62), "no event")]
)
def test_moments_that_cannot_be_packed_are_refused(at: tuple[int, ...], words: str) -> None:
    assert words in sentence_of(lambda: moment(*at))


@pytest.mark.parametrize("text", ["", "15991-15921", "1-", "-1", "1-2-3", "१", "1;drop", "9" * 30, "1\n"])
def test_what_is_no_range_of_runs_is_refused(text: str) -> None:
    assert "runs" in sentence_of(lambda: run_range(text)) or "no run" in sentence_of(lambda: run_range(text))
    assert run_range("15921-15991") == (15921, 15991)
    assert run_range("7") == (7, 7)
