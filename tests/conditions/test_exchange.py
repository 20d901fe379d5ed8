"""The JSON of the experiment's programs goes into the database and comes out of it as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.conditions import ConditionsError, Interval
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.exchange import as_json, read_json, write_export
from gm2sim.conditions.interval import EVERY_RUN
from gm2sim.conditions.loading import Entry, add
from gm2sim.conditions.moment import moment
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.table import Table
from tests.conditions.books import book, fill, sentence_of


def alignment() -> Any:
    """A file as the experiment's programs write it."""
    rows = [[calo + 1, crystal, 0.1 * calo, -0.7 / (1 + crystal)] for calo, crystal in np.ndindex(*KNOWN["stdp"].shape)]
    return {
        "interval_of_validity": {"run_start": 15921, "run_end": 15991},
        "rw_time_alignment": {
            "columns": ["calo", "xtal", "calo_offset", "xtal_offset"],
            "types": ["int", "int", "real", "real"],
            "values": rows,
        },
        "rw_time_alignment_status": {
            "columns": ["run_start", "run_end", "status"], "types": ["int", "int", "bool"],
            "values": [[15921, 15991, True]],
        },
    }  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def to_file(content: Any) -> Path:
        path = tmp_path / "theirs.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return to_file


def test_their_file_comes_back_as_it_was(database: str, write: Callable[[Any], Path]) -> None:
    theirs = alignment()
    with book(database) as engine:
        assert add(engine, "t", read_json(write(theirs))) == (1, 1)
    found = DatabaseConditions(database, allow_open=True)
    assert found.interval("time_alignment", 15950) == Interval((15921, 0), (15991, 2**31 - 1))
    assert found.table("time_alignment", 15921)["xtal_offset"][3, 2] == -0.7 / 3
    ours = as_json(found, 15950)
    assert ours["interval_of_validity"] == theirs["interval_of_validity"]
    assert ours["rw_time_alignment"] == theirs["rw_time_alignment"]
    assert ours["rw_time_alignment_status"]["values"] == [[15921, 15991, 1]]


def test_names_and_whole_numbers_come_back_too(database: str, write: Callable[[Any], Path]) -> None:
    def table(name: str, columns: dict[str, Any], texts: dict[str, tuple[str, ...]] | None = None) -> Table:
        return Table.of(KNOWN[name], EVERY_RUN, columns, texts)

    quality = {"calo_quality": np.arange(1296.0), "xtal_quality": np.arange(1296.0) % 2}
    names = {"map": ('it\'s; "60h"',), "sha256": ("",), "multipoles": ("таблица",)}
    periods = {"trolley_period": 3, "field_period": 4, "before": 15920, "after": 15995}
    tables = [
        table("channel_quality", quality),
        table("field_map", {"field": np.array(1.4513)}, names),
        table("trolley_period", {name: np.array(float(value)) for name, value in periods.items()}),
    ]
    with book(database) as engine:
        add(engine, "one", [Entry(one, moment(5), moment(6)) for one in tables])
        out = as_json(DatabaseConditions(database, "one", allow_open=True), 5)
        assert out["interval_of_validity"] == {"run": 5}
        assert out["calo_channel_quality"]["types"] == ["int"] * 4
        assert add(engine, "two", read_json(write(out))) == (3, 0)  # the same sets: no bit has changed


def test_an_export_replaces_a_file_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_export(path, {"a": 1})
    assert "--force" in sentence_of(lambda: write_export(path, {"a": 2}))
    write_export(path, {"a": 3}, force=True)
    assert json.loads(path.read_text()) == {"a": 3}
    assert "no folder" in sentence_of(lambda: write_export(tmp_path / "no" / "out.json", {}))


def test_constants_that_change_within_a_run_are_not_written(database: str) -> None:
    with book(database) as engine:
        fill(engine, "t", (1.0, moment(5), None), (2.0, moment(7, 3), None))
    found = DatabaseConditions(database, allow_open=True)
    assert as_json(found, 6)["interval_of_validity"] == {"run_start": 5, "run_end": 6}
    assert as_json(found, 8)["interval_of_validity"]["run_start"] == 8
    assert "changes within run 7" in sentence_of(lambda: as_json(found, 7))


def test_folders_can_be_chosen_and_inactive_ones_stay_out(write: Callable[[Any], Path]) -> None:
    theirs = alignment() | {"kicker_dqc": {"columns": ["a"], "types": ["int"], "values": [[1]]}}
    path = write(theirs)
    assert "'kicker_dqc' is not known" in sentence_of(lambda: list(read_json(path)))
    for name in ("rw_time_alignment", "time_alignment"):
        assert len(list(read_json(path, [name]))) == 1
    assert "no folder 'stdp'" in sentence_of(lambda: list(read_json(path, ["stdp"])))
    theirs = alignment()
    theirs["rw_time_alignment_status"]["values"] = [[15921, 15991, False]]
    assert list(read_json(write(theirs))) == []


def _changed(theirs: Any, *change: Any) -> Any:
    *keys, last, value = change
    place = theirs
    for key in keys:
        place = place[key]
    place[last] = value
    return theirs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("interval_of_validity", {}), "interval_of_validity has to be"),
        (("interval_of_validity", {"run": True}), "interval_of_validity has to be"),
        (("interval_of_validity", {"run_start": 7, "run_end": 6}), "interval_of_validity has to be"),
        (("interval_of_validity", [1]), "interval_of_validity has to be"),
        (("rw_time_alignment", []), "columns, types and values"),
        (("rw_time_alignment", "columns", 7), "columns has to be a list"),
        (("rw_time_alignment", "types", ["int", "int", "real"]), "each needs a type"),
        (("rw_time_alignment", "types", ["int", "int", "real", "blob"]), "'blob' is not known"),
        (("rw_time_alignment", "values", {}), "list of rows"),
        (("rw_time_alignment", "values", 3, [1]), "row 4 has to be a list of 4 values"),
        (("rw_time_alignment", "values", 3, 0, 1.5), "'calo' = '1.5' in row 4 is no int"),
        (("rw_time_alignment", "values", 3, 2, True), "'calo_offset' = 'True' in row 4 is no real"),
        (("rw_time_alignment", "values", 3, 2, 10**400), "too large a number"),
        (("rw_time_alignment", "values", 3, 2, 1e9), "calo_offset = 1e+09 of calonum 1 xtalnum 3 is out of bounds"),
        (("rw_time_alignment", "values", []), "there are 0 channels"),
        (("rw_time_alignment", "columns", 3, "x'; --"), "is no column of time_alignment"),
        (("rw_time_alignment_status", "values", []), "no status"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_one_sentence(write: Callable[[Any], Path], change: tuple[Any, ...], words: str) -> None:
    said = sentence_of(lambda: list(read_json(write(_changed(alignment(), *change)))))
    assert words in said
    assert "theirs.json" in said


@pytest.mark.parametrize(
    "text", ["", "[", "7", "[]", "{}", '{"a": NaN}', "[" * 100_000, '{"interval_of_validity": {"run": 1}}']
)
def test_what_is_no_such_file_gets_one_sentence(write: Callable[[Any], Path], text: str) -> None:
    assert "theirs.json" in sentence_of(lambda: list(read_json(write(text))))


SMALL = json.dumps(
    {
        "interval_of_validity": {"run": 5},
        "kicker_settings": {
            "columns": ["kicker", "voltage", "delay"], "types": ["int", "real", "real"],
            "values": [[1, 130.0, 25.0], [2, 130.0, 25.0], [3, 130.0, 25.0]],
        },
    }
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(SMALL) - 1), letter=st.sampled_from('0a[]{}",:-.e \\'))
def test_a_damaged_file_is_read_or_refused_but_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, place: int, letter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(SMALL[:place] + letter + SMALL[place + 1 :], "utf-8")
    try:
        found = list(read_json(path))
    except ConditionsError as err:
        refused = str(err)
        assert "\n" not in refused
    else:
        assert all(np.isfinite(entry.table["voltage"]).all() for entry in found)
