"""Exported hits, clusters and tracks are those of the reconstruction, in the units that the columns say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.sipm import SipmSettings, pulse_shape
from gm2sim.calibration import Calibration
from gm2sim.raw import CalorimeterRecord, FillRecord, Readout, RunWriter, open_run, run_tree
from gm2sim.raw.tools.export import export
from gm2sim.reco import fit_fill, gather, reconstruct, reconstruct_fill
from gm2sim.tracks import Status, Tracks, good_tracks, good_vertices
from gm2sim.tracks.files import TracksOfFills, save_tracks

pq = pytest.importorskip("pyarrow.parquet")

START = 1_500_000_000
LENGTH = 40


@pytest.fixture(scope="module")
def raw_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three fills; crates 2, 3 and 5 of 24 have islands, each with pulses in some crystals."""
    sipm, rng = SipmSettings(), np.random.default_rng(8)
    known = Calibration(np.full((24, 54), 600.0), sipm.rise_time, sipm.fall_time)
    path = tmp_path_factory.mktemp("export") / "a.mid"
    tree = run_tree(7, 2, START, Readout(calo_sum=False, histogram=False), {"calibration": known.as_tree()})
    with RunWriter(path, 7, 2, tree) as writer:
        for serial in range(3):
            crates = []
            for crate in range(1, 25):
                count = {2: 2, 3: 1, 5: 3}.get(crate, 0)
                rows = 1750.0 + rng.normal(0.0, 4.0, (count, 54, LENGTH))
                for island in range(count):
                    for crystal in rng.choice(54, 5, replace=False):
                        start, height = 8 + rng.random(), rng.uniform(200, 1500)
                        rows[island, crystal] -= height * pulse_shape((np.arange(LENGTH) - start) * 1.25e-9)
                start = np.int32(4000 * np.arange(1, count + 1))
                crates.append(CalorimeterRecord(
                    start, np.full(count, LENGTH, np.int32), np.rint(rows).astype(np.int16).ravel(),
                    np.full(54, 1750.0, np.float32),
                ))  # fmt: skip
            writer.write_fill(FillRecord(serial, serial + 1, START + serial, 0, serial, tuple(crates)))
    return path


def table(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {name: column.to_numpy() for name, column in zip(*_read(path), strict=True)}


def _read(path: Path) -> tuple[list[str], list[Any]]:
    found = pq.read_table(path)
    return found.column_names, found.columns


def test_hits_are_the_fitted_pulses_with_the_island_they_lie_in(raw_file: Path, tmp_path: Path) -> None:
    rows = export([raw_file], tmp_path / "hits.parquet", ("hits",))
    found = table(tmp_path / "hits.parquet")
    raw = open_run(raw_file)
    known = Calibration.from_odb(raw.odb)
    pulses = [(event, fit_fill(gather(event), known)) for event in raw]
    assert rows["hits"] == sum(len(one.time) for _, one in pulses) >= 5 * 6 * 3
    for name, scale, column in (("energy", 1e3, "energy"), ("time", 1e9, "time"), ("chi2", 1, "fitQuality")):
        assert np.array_equal(found[column], np.concatenate([getattr(one, name) for _, one in pulses]) * scale)
    for event, one in pulses:
        here = {name: column[found["event"] == event.serial] for name, column in found.items()}
        assert np.array_equal(here["caloNum"], one.calo + 1)
        assert np.array_equal(here["xtalNum"], one.crystal)
        assert np.all(here["pedestal"] == 1750.0)
        # The pulse lies in the island that is named: 10 samples are 12.5 ns, zero is at sample 800.
        for calo, island, time in zip(here["caloNum"], here["islandNum"], here["time"], strict=True):
            first = (event.islands(int(calo))[int(island)].time - known.zero_sample) * 1.25
            assert 0.0 < time - first < LENGTH * 1.25


def test_clusters_are_those_of_the_reconstruction(raw_file: Path, tmp_path: Path) -> None:
    export([raw_file], tmp_path / "clusters.parquet", ("clusters",))
    found, made = table(tmp_path / "clusters.parquet"), reconstruct(raw_file)
    assert len(found["run"]) == len(made.energy) > 10
    assert np.array_equal(found["event"], made.fill)
    assert np.array_equal(found["caloNum"], made.calo + 1)
    assert np.array_equal(found["energy"], made.energy * 1e3)
    assert np.array_equal(found["t0"], made.time * 1e9)
    assert np.array_equal(found["x0"], made.x * 1e3)
    assert np.array_equal(found["y0"], made.y * 1e3)
    assert np.array_equal(found["numHits"], made.multiplicity)
    assert np.array_equal(found["seedShare"], made.share)
    assert reconstruct_fill(next(iter(open_run(raw_file))), Calibration.from_odb(open_run(raw_file).odb)).energy.size


def test_tracks_come_out_of_their_file_with_the_events_of_the_raw_file(raw_file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    n = 12
    shapes = {"covariance": (6, 6), "vertex_covariance": (3, 3), "face_covariance": (2, 2),
              **dict.fromkeys(("hit", "layer", "kept", "distance", "residual", "pull"), (40,))}  # fmt: skip
    counted = ("status", "station", "island", "hits", "planes", "ndf", "crossed", "missed", "vertex", "through_metal",
               "reached", "calo", "hit", "layer", "kept")  # fmt: skip
    columns = {
        name: rng.integers(0, 2, (n, *shapes.get(name, ())))
        if name in counted
        else rng.random((n, *shapes.get(name, ())))
        for name in Tracks._fields
    }
    columns["kept"] = columns["kept"].astype(bool)
    tracks = Tracks(**columns)
    fill = np.arange(n, dtype=np.int64) // 3  # events 0 to 3; the file has 0 to 2
    save_tracks(tmp_path / "tracks.h5", TracksOfFills(fill, tracks))
    rows = export([raw_file], tmp_path / "tracks.parquet", ("tracks",), tracks=tmp_path / "tracks.h5")
    found, kept = table(tmp_path / "tracks.parquet"), tracks.select(fill < 3)
    assert rows == {"tracks": 9}
    assert np.array_equal(found["event"], fill[:9])
    assert set(found["subrun"]) == {2}
    for name, scale, column in (
        ("momentum", 1e3, "momentum"), ("time", 1e9, "time"), ("x", 1e3, "x"), ("dy", 1, "dydz"),
        ("chi2", 1, "chi_squared"), ("p_value", 1, "pValue"), ("vertex_x", 1e3, "decayVertexX"),
        ("vertex_theta", 1, "decayVertexTheta"), ("vertex_time", 1e9, "decayVertexTime"), ("u", 1e3, "caloX"),
        ("arrival", 1e9, "caloTime"), ("hits", 1, "numHits"), ("station", 1, "station"),
    ):  # fmt: skip
        assert np.array_equal(found[column], getattr(kept, name) * scale), column
    assert np.array_equal(found["errorFlag"] == 0, kept.status == Status.FITTED)
    assert np.array_equal(found["passTrackQuality"] == 1, good_tracks(kept))
    assert np.array_equal(found["passVertexQuality"] == 1, good_vertices(kept))
    assert np.array_equal(found["caloNum"], np.where(kept.reached == 1, kept.calo + 1, 0))
