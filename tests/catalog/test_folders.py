"""Folders of runs enter the catalogue by their metadata, and every damaged file is found and named."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from gm2sim.catalog import (
    CatalogError,
    FileRecord,
    check_tables,
    declare,
    declare_columns,
    names,
    record,
    verify_catalog,
    verify_folder,
)
from gm2sim.catalog import store as storing
from gm2sim.catalog.folder import own_campaign, read_paths
from gm2sim.catalog.schema import copies, files, parents
from gm2sim.database import engine as doors
from gm2sim.database import opened

Write = Callable[..., None]


@pytest.fixture
def run(tmp_path: Path, write_run: Write) -> Path:
    folder = tmp_path / "run"
    write_run(folder)
    return folder


def read(*paths: Path, **how: object) -> list[FileRecord]:
    return read_paths(paths, "gm2sim_first", "alice", **how)  # type: ignore[arg-type]


def bad(folder: Path) -> dict[str, str]:
    return {Path(one.path).name: one.wrong for one in verify_folder(folder) if one.wrong}


def test_the_metadata_of_a_run_become_records(catalog: Engine, run: Path) -> None:
    assert declare(catalog, read(run)) == (6, 0)
    with catalog.connect() as connection:
        raw = record(connection, "gm2_run15921_00001.mid")
        said = json.loads((run / "gm2_run15921_00001.json").read_text())
        facts = said["files"][raw.name]
        assert (raw.tier, raw.format, raw.run, raw.subrun, raw.folders) == ("raw", "midas", 15921, 1, (str(run),))
        assert facts == {what: getattr(raw, what) for what in ("size", "sha256", "adler32", "crc32c")}
        assert (raw.first_event, raw.last_event, raw.events) == (16, 31, 16)
        assert raw.settings == ("0.2.0", "ab" * 32, 1, "run1a", "built in")
        truth = record(connection, "gm2_run15921_00001.truth.h5")
        assert truth.adler32 is not None  # measured, though the metadata do not tell
        assert names(connection, "tier = metadata and size > 0") == [
            "gm2_run15921_00000.json",
            "gm2_run15921_00001.json",
        ]
    assert declare(catalog, read(run / "gm2_run15921_00000.truth.h5")) == (0, 3)
    assert [one.wrong for one in verify_catalog(catalog)] == [""] * 6


def test_a_file_that_is_not_what_its_metadata_say_is_not_declared(run: Path) -> None:
    raw = run / "gm2_run15921_00001.mid"
    raw.write_bytes(raw.read_bytes()[:-1] + b"\0")
    with pytest.raises(CatalogError, match=r"00001\.mid' is not what its metadata say \(.*sha256"):
        read(run)
    assert len(read(run, trust=True)) == 6
    raw.write_bytes(b"short")
    with pytest.raises(CatalogError, match="has 5 bytes, its metadata say"):
        read(run, trust=True)
    raw.unlink()
    with pytest.raises(CatalogError, match="is missing"):
        read(run, trust=True)


def test_metadata_cannot_name_files_elsewhere_nor_real_data(run: Path) -> None:
    path = run / "gm2_run15921_00000.json"
    whole = json.loads(path.read_text())
    for change, told in (
        ({"files": {"../../etc/passwd": {"size": 1}}}, "no name of a file"),
        ({"files": {"gm2pro_daq.mid": {"size": 1}}}, "real data"),
        ({"files": {"x.mid": 5}}, "no table"),
        ({"files": 5}, "names no files"),
        ({"simulated": False}, "only those are catalogued"),
        ({"parents": "x"}, "no list"),
        ({"parents": ["../x"]}, "no name of a file"),
        ({"start_time": "noon"}, "no time"),
        ({"run": "15921"}, "run '15921'"),
        ({"seed": -1}, "seed '-1'"),
        ({"preset": "a\0b"}, "NUL"),
    ):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(CatalogError, match=told) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert bad(run).keys() == set()
    path.write_text(json.dumps(whole | {"files": {"../x": {"size": 1}}}))
    assert "no name of a file" in bad(run)[path.name]


def test_files_without_metadata_are_described_by_hand(run: Path, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks_15921.h5"
    tracks.write_bytes(b"tracks")
    (made,) = read(tracks, parents=["gm2_run15921_00000.mid"], run=15921, subrun=0)
    assert (made.tier, made.format, made.parents) == ("reco", "hdf5", ("gm2_run15921_00000.mid",))
    other = tmp_path / "notes.txt"
    other.write_text("notes")
    with pytest.raises(CatalogError, match="say what it is with --tier"):
        read(other)
    assert read(other, tier="notes")[0].tier == "notes"
    with pytest.raises(CatalogError, match=r"there is no '.*absent'"):
        read(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="holds no subrun"):
        read(tmp_path / "empty")
    assert own_campaign("a b/ü") == "gm2sim_a_b__"


def test_each_flip_swap_and_cut_is_found_and_named(run: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    assert bad(run) == {}
    raw, other = run / "gm2_run15921_00000.mid", run / "gm2_run15921_00001.mid"
    whole = raw.read_bytes()
    for _ in range(200):
        damaged = bytearray(whole)
        bit = int(rng.integers(8 * len(whole)))
        damaged[bit // 8] ^= 1 << bit % 8
        raw.write_bytes(damaged)
        assert list(bad(run)) == [raw.name]
    for _ in range(20):
        raw.write_bytes(whole[: rng.integers(len(whole))])
        assert list(bad(run)) == [raw.name]
    raw.write_bytes(other.read_bytes())
    other.write_bytes(whole)
    assert list(bad(run)) == [raw.name, other.name]
    other.write_bytes(raw.read_bytes())
    raw.write_bytes(whole)
    stray = run / "gm2_run15921_00007.mid"
    shutil.copy(raw, stray)
    assert bad(run) == {stray.name: "has no metadata"}


def test_a_damaged_checksum_is_found(run: Path) -> None:
    path = run / "gm2_run15921_00000.json"
    whole = json.loads(path.read_text())
    for what in ("adler32", "crc32c", "sha256"):
        facts = whole["files"]["gm2_run15921_00000.mid"]
        inverted = "".join(f"{15 - int(digit, 16):x}" for digit in facts[what])
        path.write_text(json.dumps(whole | {"files": {"gm2_run15921_00000.mid": facts | {what: inverted}}}))
        assert what in bad(run)["gm2_run15921_00000.mid"]
    for text in ("{", "[]", '{"files": {"a.mid": {}}}', "\0"):
        path.write_text(text)
        assert "no readable metadata" in bad(run)[path.name]


def test_damage_is_found_through_the_catalogue_too(catalog: Engine, run: Path) -> None:
    declare(catalog, read(run))
    metadata, raw, truth = (run / f"gm2_run15921_00000{end}" for end in (".json", ".mid", ".truth.h5"))
    metadata.write_text(metadata.read_text().replace('"seed": 1', '"seed": 2'))
    truth.unlink()
    raw.write_bytes(raw.read_bytes() + b"\0")
    wrong = {Path(one.path).name: one.wrong for one in verify_catalog(catalog) if one.wrong}
    assert set(wrong) == {metadata.name, raw.name, truth.name}
    assert "recorded is" in wrong[metadata.name]
    assert wrong[truth.name] == "is missing"
    assert "bytes, recorded are" in wrong[raw.name]


def test_tables_that_do_not_agree_are_found(catalog: Engine, record: Callable[..., FileRecord]) -> None:
    declare(catalog, [record(), record("b.h5", tier="reco", parents=(record().name,), folders=("/a", "/b"))])
    assert check_tables(catalog, thorough=True) == []
    for table, values in (
        (copies, {"file_id": 77, "folder_id": 1}), (copies, {"file_id": 1, "folder_id": 77}),
        (parents, {"child_id": 1, "parent_id": 77}),
    ):  # fmt: skip
        with catalog.connect() as connection, connection.begin() as tried:
            connection.execute(table.insert().values(values))
            tried.commit()
        assert len(check_tables(catalog)) == 1
        with catalog.begin() as connection:
            connection.execute(table.delete().where(*(table.c[name] == value for name, value in values.items())))
    with catalog.begin() as connection:
        connection.execute(files.update().where(files.c.id == 1).values(campaign_id=77))
    assert check_tables(catalog) == ["1 of catalog_files.campaign_id name a campaign that is not there"]


def test_columns_are_declared_as_records_are(
    catalog: Engine, record: Callable[..., FileRecord], columns: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_FEW", 100)  # indexes are built after
    many = columns(range(300, 304), 50)
    assert declare_columns(catalog, record(), many) == 200  # type: ignore[arg-type]
    assert check_tables(catalog, thorough=True) == []
    with catalog.connect() as connection:
        found = names(connection, "run 300-303 and campaign = gm2sim_first")
        assert found == many.name  # type: ignore[attr-defined]
        one = names(connection, "run = 302 and subrun = 7")
    assert declare(catalog, [record(one[0], run=302, subrun=7, **facts(many, 107))]) == (0, 1)
    with pytest.raises(CatalogError, match="is in the catalogue already"):
        declare_columns(catalog, record(), columns(range(303, 305), 50))  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match=r"run 303 is declared already by 'alice'.*now by 'bob'"):
        declare_columns(catalog, record(owner="bob", campaign="gm2sim_b"), columns(range(303, 305), 50, ".gz"))  # type: ignore[arg-type]
    for change, told in (
        ({"name": ["a.mid"] * 200}, "there twice"), ({"size": [-1] * 200}, "size holds"), ({"run": [1]}, "one length"),
        ({"run": [2**31] * 200}, "run holds"), ({"sha256": [b""] * 200}, "32 bytes"),
        ({"name": ["../a"] * 200}, "no name"),
        ({"name": ["gm2pro_daq"] * 200}, "real data"), ({"begin_time": [2**62] * 200}, "comes after"),
    ):  # fmt: skip
        with pytest.raises(CatalogError, match=told):
            declare_columns(catalog, record(), many._replace(**change))  # type: ignore[attr-defined]
    with catalog.connect() as connection:
        assert len(names(connection, "name like %")) == 200


def facts(many: object, place: int) -> dict[str, object]:
    return {
        "size": many.size[place], "adler32": f"{many.adler32[place]:08x}", "crc32c": f"{many.crc32c[place]:08x}",  # type: ignore[attr-defined]
        "sha256": many.sha256[place].hex(),  # type: ignore[attr-defined]
    }  # fmt: skip


@contextmanager
def mounted(kind: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A table of mounts that says of what kind the file system of a folder is."""

    class Mount:
        def __init__(self, mountpoint: str, fstype: str) -> None:
            self.mountpoint, self.fstype = mountpoint, fstype

    with monkeypatch.context() as patch:
        patch.setattr(doors.psutil, "disk_partitions", lambda **_: [Mount(str(place), kind), Mount("/", "ext4")])
        yield


@pytest.mark.parametrize(
    ("kind", "journal"), [("lustre", "delete"), ("nfs4", "delete"), ("gpfs", "delete"), ("xfs", "wal")]
)
def test_the_write_ahead_log_is_not_used_on_file_systems_of_several_machines(
    kind: str, journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        mounted(kind, tmp_path, monkeypatch),
        opened(tmp_path / "catalog.sqlite", create=True) as engine,
        engine.connect() as connection,
    ):
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == journal
