"""SAM's JSON: the core fields as experiments publish them, ours under a prefix, and back again without loss."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.catalog import CatalogError, FileRecord, Settings, export, from_sam, read_sam, to_sam

Make = Callable[..., FileRecord]


def test_the_core_fields_are_those_of_sam(record: Make) -> None:
    raw = record(adler32=f"{zlib.adler32(b'raw data', 0):08x}", parents=("a.mid",))
    content = to_sam(raw)
    assert (content["file_name"], content["file_size"], content["file_type"]) == (raw.name, raw.size, "mc")
    assert (content["file_format"], content["data_tier"], content["content_status"]) == ("midas", "raw", "good")
    assert (content["event_count"], content["first_event"], content["last_event"]) == (16, 0, 15)
    assert (content["start_time"], content["end_time"]) == ("2018-03-26T00:00:00", "2018-03-26T00:00:08")
    assert content["runs"] == [[15921, 0, "mc"]]
    assert content["checksum"][0] == f"enstore:{zlib.adler32(b'raw data', 0)}"
    assert content["crc"]["crc_value"] == str(zlib.adler32(b"raw data", 0))
    assert content["parents"] == [{"file_name": "a.mid"}]
    assert content["application"] == {"family": "gm2sim", "name": "gm2sim", "version": "0.2.0"}
    assert content["gm2sim.simulated"] is True
    assert content["gm2sim.campaign"] == "gm2sim_first"
    assert all("." not in name or name.startswith("gm2sim.") for name in content)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
NUMBER = st.none() | st.integers(0, 2**63 - 1)


@settings(max_examples=100, deadline=None)
@given(
    adler=st.none() | st.integers(0, 2**32 - 1), event=NUMBER, run=st.none() | st.integers(0, 2**31 - 1), text=TEXT,
    time=st.none() | st.integers(0, 10**16), short=TEXT, seed=NUMBER,
    folders=st.lists(TEXT.map(lambda text: "/" + text.replace("..", "")), max_size=2, unique=True),
)  # fmt: skip
def test_a_record_comes_back_as_it_went(
    adler: int | None, event: int | None, run: int | None, text: str, time: int | None, short: str, seed: int | None,
    folders: list[str],
) -> None:  # fmt: skip
    record = FileRecord(
        "a.mid", 5, "raw", "gm2sim_x", "alice" + short, "midas", None if adler is None else f"{adler:08x}", run=run,
        subrun=run, last_event=event, begin_time=time, settings=Settings(short, short, seed, short, short),
        folders=tuple(folders), description=text, parents=("b.mid",),
    )  # fmt: skip
    assert from_sam(json.loads(json.dumps(to_sam(record)))) == record


def test_a_folder_of_json_is_read_again_and_nothing_is_overwritten(tmp_path: Path, record: Make) -> None:
    several = [record(), record("b.truth.h5", tier="truth", format="hdf5")]
    assert export(several, tmp_path / "sam") == 2
    assert sorted(path.name for path in (tmp_path / "sam").iterdir()) == [
        "b.truth.h5.json", "gm2_run15921_00000.mid.json",
    ]  # fmt: skip
    assert sorted(read_sam([tmp_path / "sam"])) == sorted(several)
    both = tmp_path / "both.json"
    both.write_text(json.dumps([to_sam(one) for one in several]))
    assert read_sam([both]) == several
    with pytest.raises(CatalogError, match="is there already"):
        export(several, tmp_path / "sam")
    assert export(several, tmp_path / "sam", force=True) == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"file_type": "data"}, "not about a simulated file"),
        ({"gm2sim.simulated": "yes"}, "not about a simulated file"),
        ({"file_name": "../../etc/passwd"}, "no name of a file"),
        ({"file_name": "gm2pro_daq_raw.mid"}, "real data"),
        ({"gm2sim.campaign": "gm2pro_daq_full_run1"}, "real data"),
        ({"data_teir": "raw"}, "did you mean 'data_tier'"),
        ({"runs": [[1, 0, "physics"]]}, r"\[run, subrun, 'mc'\]"),
        ({"runs": [[1, 0, "mc"], [2, 0, "mc"]]}, "several runs"),
        ({"runs": "x"}, "another form than SAM's"),
        ({"checksum": ["md5:00"]}, "'md5' is not known"),
        ({"checksum": ["enstore:99999999999"]}, "8 hexadecimal digits"),
        ({"checksum": [5]}, "another form"),
        ({"parents": [5]}, "another form"),
        ({"application": None}, "another form"),
        ({"gm2sim.owner": None}, "the owner"),
        ({"gm2sim.seed": "1"}, "seed '1'"),
        ({"gm2sim.begin_time": "yesterday"}, "another form"),
        ({"gm2sim.metadata_format": 2}, "this program knows 1"),
        ({"file_size": 1.5}, "size '1.5'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_sentence(record: Make, change: dict[str, object], told: str) -> None:
    with pytest.raises(CatalogError, match=told) as caught:
        from_sam(to_sam(record()) | change)
    assert "\n" not in str(caught.value)


def test_other_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "{", "[" * 100_000, "[5]", '"x"', "{}", "\xff", '{"file_type": "mc"}'):
        path.write_text(text, "latin-1")
        with pytest.raises(CatalogError) as caught:
            read_sam([path])
        assert "\n" not in str(caught.value)
