"""Files of every format that was ever written are read for ever, with the same physics; newer ones are refused."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gm2sim.conditions import FileConditions
from gm2sim.errors import ConfigError, NewerFormatError
from gm2sim.lost_muons import read_losses
from gm2sim.outputs import METADATA_FORMAT, SubrunPaths, read_metadata, subrun_is_done
from gm2sim.raw import open_run
from gm2sim.raw.checksum import Checksums
from gm2sim.reco import reconstruct
from gm2sim.truth import FORMAT, TABLES, open_truth
from tests.reliability.writers import config, write_subrun

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDERS = sorted(GOLDEN.glob("v*"), key=lambda folder: int(folder.name[1:]))
RUN = 15921


def with_file(name: str) -> list[Any]:
    return [pytest.param(folder, id=folder.name) for folder in FOLDERS if (folder / name).is_file()]


def facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "facts.json").read_text("utf-8"))


def test_every_format_is_archived_and_small() -> None:
    assert FOLDERS[0].name == "v1"
    assert int(FOLDERS[-1].name[1:]) >= max(METADATA_FORMAT, FORMAT)
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.iterdir()) < 300_000


@pytest.mark.parametrize("folder", with_file("raw.mid.gz"))
def test_raw_files_give_the_same_samples_and_positrons(folder: Path) -> None:
    known = facts(folder)
    (event,) = list(open_run(folder / "raw.mid.gz"))
    samples = hashlib.sha256()
    islands = 0
    for crate in event.crates:
        found = event.islands(crate)
        islands += found.length.size
        for one in found:
            samples.update(np.ascontiguousarray(one.samples).astype("<i2").tobytes())
    assert islands == known["islands"]
    assert samples.hexdigest() == known["samples_sha256"]
    energy = np.sort(reconstruct(folder / "raw.mid.gz").energy)
    np.testing.assert_allclose(energy, known["energies_gev"], atol=1e-6)


@pytest.mark.parametrize("folder", with_file("truth.h5"))
def test_truth_gives_the_same_muons(folder: Path) -> None:
    with open_truth(folder / "truth.h5") as file:
        for name, total in facts(folder)["sums_of_muons"].items():
            assert float(np.sum(file[f"muons/{name}"][:])) == pytest.approx(total, rel=1e-12)
            assert file[f"muons/{name}"].attrs["unit"] == TABLES["muons"][name][1]


@pytest.mark.parametrize("folder", with_file("metadata.json"))
def test_metadata_name_the_files_and_their_sums(folder: Path) -> None:
    content = read_metadata(folder / "metadata.json")
    assert content["run"] == RUN
    for name, known in content["files"].items():
        # Later formats of the metadata alone speak of the raw files of before.
        path = next(place / name for place in reversed(FOLDERS) if (place / name).is_file())
        sums = Checksums.of_file(path)
        assert (sums.size, sums.sha256) == (known["size"], known["sha256"])


@pytest.mark.parametrize("folder", with_file("conditions.toml"))
def test_conditions_give_the_same_constants(folder: Path) -> None:
    shift = FileConditions(folder / "conditions.toml").table("tracker_align_internal", RUN)["shift_x"]
    assert float(shift.sum()) == pytest.approx(facts(folder)["sum_of_shifts_um"], rel=1e-12)


@pytest.mark.parametrize("folder", with_file("muons.h5"))
def test_files_of_muons_are_read(folder: Path) -> None:
    with h5py.File(folder / "muons.h5") as file:
        assert file.attrs["format"] == "gm2sim bunch 1"
        assert len(file["x"]) == 5


def test_truth_of_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "a.truth.h5"
    shutil.copy(FOLDERS[0] / "truth.h5", path)
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = FORMAT + 1
    with pytest.raises(NewerFormatError, match=rf"a\.truth\.h5.*format {FORMAT + 1}, .* up to {FORMAT}"):
        read_losses(path)


def test_metadata_of_a_newer_format_are_refused_with_both_versions_and_nothing_is_replaced(tmp_path: Path) -> None:
    write_subrun(tmp_path, 1)
    paths = SubrunPaths(tmp_path, 17, 0)
    content = json.loads(paths.metadata.read_text("utf-8")) | {"format": METADATA_FORMAT + 1}
    paths.metadata.unlink()
    paths.metadata.write_text(json.dumps(content))
    told = rf"format {METADATA_FORMAT + 1}, .* up to {METADATA_FORMAT}"
    with pytest.raises(NewerFormatError, match=told):
        read_metadata(paths.metadata)
    with pytest.raises(NewerFormatError, match=told):  # what --resume asks: not "do it again"
        subrun_is_done(paths, config())


def test_conditions_of_a_newer_format_are_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "constants.toml"
    text = (FOLDERS[0] / "conditions.toml").read_text("utf-8")
    path.write_text(text.replace("gm2sim conditions 1", "gm2sim conditions 2"), "utf-8")
    with pytest.raises(ConfigError, match=r"constants\.toml.*gm2sim conditions 2.*gm2sim conditions 1"):
        FileConditions(path)


def test_a_raw_file_of_a_newer_format_is_refused_with_both_versions(tmp_path: Path) -> None:
    from gm2sim.calibration import RAW_FORMAT, Calibration

    odb = open_run(FOLDERS[0] / "raw.mid.gz").odb
    assert Calibration.from_odb(odb).counts_per_gev.shape[1] == 54
    odb["Simulation"]["format"] = RAW_FORMAT + 1
    with pytest.raises(NewerFormatError, match=rf"format {RAW_FORMAT + 1}, .* up to {RAW_FORMAT}"):
        Calibration.from_odb(odb)


def test_archived_files_are_those_of_the_day_they_were_made() -> None:
    """Nobody has made them again: the sums of their metadata hold."""
    for folder in FOLDERS:
        if (folder / "raw.mid.gz").is_file():
            assert gzip.decompress((folder / "raw.mid.gz").read_bytes())[:2] == b"\x00\x80"
