"""Exported tables hold every number of the raw file, under the names and units that they say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gm2sim.errors import ConfigError
from gm2sim.raw import FillRecord, StrawRecord, WrittenFile, open_run
from gm2sim.raw.tools import export as exporting
from gm2sim.raw.tools.export import export
from gm2sim.raw.tools.export_columns import TABLES, chosen

uproot = pytest.importorskip("uproot")
pq = pytest.importorskip("pyarrow.parquet")

START = 1_522_022_400


@pytest.fixture
def two_files(tmp_path: Path, fills: list[FillRecord], write: Callable[..., WrittenFile]) -> list[Path]:
    """Islands of two crates in five events, straws in two of them, in two files."""
    rng = np.random.default_rng(5)
    for serial in (5, 6):
        straws = StrawRecord(np.sort(rng.integers(0, 2048, 30)), rng.integers(-100, 10**6, 30))
        fills.append(FillRecord(serial, serial + 1, START + serial, 0, serial, straws=straws))
    return [write(tmp_path / f"part{i}.mid", some).path for i, some in enumerate((fills[:3], fills[3:]))]


def rows_of(paths: list[Path]) -> list[dict[str, Any]]:
    """Every crystal of every island, by the reader."""
    return [
        {"run": 17, "subrun": 3, "event": event.serial, "caloNum": crate, "xtalNum": crystal, "islandNum": number,
         "time": island.time, "length": island.length, "trace": samples.tolist()}
        for path in paths for event in open_run(path) for crate in event.crates
        for number, island in enumerate(event.islands(crate)) for crystal, samples in enumerate(island.samples)
    ]  # fmt: skip


def from_root(path: Path, table: str) -> list[dict[str, Any]]:
    with uproot.open(path) as file:
        rows: list[dict[str, Any]] = file[table].arrays(library="ak").to_list()
    return rows


@pytest.mark.parametrize("enough", [0, 1 << 14, 1 << 25])
def test_every_sample_is_in_the_tree_and_in_the_table(
    two_files: list[Path], tmp_path: Path, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_ENOUGH", enough)  # written in many parts, or in one
    expected = rows_of(two_files)
    assert len(expected) > 500
    counted = export(two_files, tmp_path / "out.root", ("islands", "straws"))
    export(two_files, tmp_path / "islands.parquet", ("islands",))
    assert counted == {"islands": len(expected), "straws": 60}
    assert from_root(tmp_path / "out.root", "islands") == expected
    assert pq.read_table(tmp_path / "islands.parquet").to_pylist() == expected


def test_straws_are_told_by_station_module_view_layer_and_wire(two_files: list[Path], tmp_path: Path) -> None:
    export(two_files, tmp_path / "out.root", ("straws",))
    export(two_files, tmp_path / "out", ("straws",))
    rows = from_root(tmp_path / "out.root", "straws")
    assert pq.read_table(tmp_path / "out" / "straws.parquet").to_pylist() == rows
    hits = [(event.serial, found) for path in two_files for event in open_run(path) if (found := event.straws())]
    channel = np.concatenate([one.channel for _, one in hits])
    told = [
        (((row["station"] * 8 + row["module"]) * 2 + row["view"]) * 2 + row["layer"]) * 32 + row["straw"]
        for row in rows
    ]
    assert told == channel.tolist()
    assert [row["time"] for row in rows] == (np.concatenate([one.tdc for _, one in hits]) * 0.625).tolist()
    assert [row["event"] for row in rows] == [serial for serial, one in hits for _ in one.channel]


@pytest.mark.parametrize("table", TABLES)
def test_units_and_meanings_travel_with_the_columns(raw_file: Path, tmp_path: Path, table: str) -> None:
    """Empty tables have all their columns too: the files are made without an event."""
    from gm2sim.raw.tools.export_files import tables_in

    for out in (tmp_path / "out.root", tmp_path / "out"):
        with tables_in(out, (table,)):
            pass
    schema = pq.read_schema(tmp_path / "out" / f"{table}.parquet")
    assert schema.names == list(TABLES[table])
    for name, column in TABLES[table].items():
        metadata = schema.field(name).metadata
        assert (metadata[b"unit"].decode(), metadata[b"meaning"].decode()) == (column.unit, column.meaning)
    with uproot.open(tmp_path / "out.root") as file:
        assert set(file[table].keys()) == set(TABLES[table])
        assert file[table].num_entries == 0
        told = json.loads(str(file[f"{table}_columns"]))
        title = file[table].title
    assert {name: one["unit"] for name, one in told.items()} == {name: one.unit for name, one in TABLES[table].items()}
    assert all(f"{name} [{one.unit}]" in title for name, one in TABLES[table].items() if one.unit)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(raw_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for out, what, match in (
        ("a.parquet", ("islands", "straws"), "holds one table, but --what names 2"),
        ("a.csv", ("islands",), "must end in .root or .parquet"),
        ("a.root", ("hits",), "need the calibration"),
    ):
        with pytest.raises(ConfigError, match=match):
            export([raw_file], folder / out, what)
    with pytest.raises(ConfigError, match="there is no file"):
        export([raw_file, tmp_path / "none.mid"], folder / "a.root", ("islands",))
    with pytest.raises(ConfigError, match="is no file of tracks"):
        export([raw_file], folder / "a.root", ("tracks",), tracks=raw_file)
    assert list(folder.iterdir()) == []
    with pytest.raises(ConfigError, match="did you mean 'islands'"):
        chosen("island")
    with pytest.raises(ConfigError, match="names no table"):
        chosen(",")


@pytest.mark.parametrize("name", ["a.root", "a.parquet"])
def test_nothing_is_overwritten(raw_file: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match="exists already and is not overwritten"):
        export([raw_file], tmp_path / name, ("islands",))
    assert (tmp_path / name).read_text("utf-8") == "mine"


def test_damaged_file_leaves_no_table(raw_file: Path, tmp_path: Path) -> None:
    from gm2sim.raw import RawFormatError
    from gm2sim.raw.tools.inject import inject

    inject(raw_file, ["truncate:0.6"], tmp_path / "bad.mid")
    (tmp_path / "out").mkdir()
    for name in ("a.root", "b"):
        with pytest.raises(RawFormatError):
            export([tmp_path / "bad.mid"], tmp_path / "out" / name, ("islands", "straws"))
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
