"""Straw trackers from the configuration to the tracks of a run: raw file, truth, alignment, command."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from detectors.straws import CHANNELS
from gm2sim.__main__ import _run
from gm2sim.conditions import BuiltinConditions, ConditionsError
from gm2sim.conditions.trackers import tracker_constants
from gm2sim.config import load
from gm2sim.electronics import calorimeter_settings
from gm2sim.raw import check, open_run
from gm2sim.run import run
from gm2sim.setup import Setup
from gm2sim.trackers import straw_constants_settings, tracker_folders
from gm2sim.tracks.alignment import from_odb
from gm2sim.tracks.files import load_tracks, save_tracks, tracks_of

CONFIG = {
    "run.fills": 3, "run.subruns": 2, "beam.muons_per_fill": 3000, "daq.q_method": False, "daq.calo_sum": False,
    "straws.channel_status": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straws") / "out"
    run(load("gasgun", CONFIG), out, report=False)
    return out


def test_raw_hits_and_truth_are_row_by_row_the_same(folder: Path) -> None:
    seen = 0
    for path in sorted(folder.glob("*.mid")):
        assert check(path) == []
        with h5py.File(path.with_name(path.name.replace(".mid", ".truth.h5"))) as truth:
            fill, channel, tdc = (truth[f"straw_hits/{name}"][:] for name in ("fill", "channel", "tdc"))
            number, source = truth["straw_hits/number"][:], truth["straw_hits/source"][:]
            assert (number[source == 2] == -1).all()
            assert (number[source == 0] >= 0).all()
            for event in open_run(path):
                hits = event.straws()
                if event.fill_type == 1:
                    assert hits is not None
                    np.testing.assert_array_equal(hits.channel, channel[fill == event.serial])
                    np.testing.assert_array_equal(hits.tdc, tdc[fill == event.serial])
                    seen += hits.channel.size
                else:
                    assert hits is None
    assert seen > 1000


def test_dead_straws_have_no_hits_and_the_alignment_travels_in_the_file(folder: Path) -> None:
    path = sorted(folder.glob("*.mid"))[0]
    raw = open_run(path)
    known = from_odb(raw.odb)
    constants = Setup.of(load("gasgun", CONFIG)).tracker_constants
    for mine, other in zip(known, constants, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert (~known.working).sum() == 20
    hit = np.zeros(CHANNELS, np.bool_)
    for event in raw:
        hits = event.straws()
        if hits is not None:
            hit[hits.channel] = True
    assert hit.any()
    assert not hit[~known.working].any()


def test_tracks_of_a_run_lead_to_the_beam_and_come_back_from_their_file(folder: Path, tmp_path: Path) -> None:
    found = tracks_of(sorted(folder.glob("*.mid")))
    read = load_tracks(save_tracks(tmp_path / "tracks.h5", found))
    np.testing.assert_array_equal(read.fill, found.fill)
    for mine, other in zip(read.tracks, found.tracks, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert set(found.fill) == {0, 1, 2}
    code, message = _run(["tracks", str(folder), "--out", str(tmp_path / "again.h5"), "--json"])
    assert (code, message) == (0, "")
    with h5py.File(tmp_path / "again.h5") as file:
        good = file["tracks/good_vertex"][:]
        x = file["tracks/vertex_x"][:][good]
        assert file["tracks/vertex_x"].attrs["unit"] == "m"
    assert good.sum() > 30
    # Five standard errors of the mean; the beam's mean of 6 mm and the acceptance's pull of a few more.
    assert x.mean() == pytest.approx(6e-3, abs=5 * x.std() / np.sqrt(x.size) + 6e-3)


def test_alignment_is_looked_up_only_where_it_is_on() -> None:
    on, off = load("gasgun"), load("gasgun", {"straws.alignment": False})
    assert tracker_folders(on) == ("tracker_align_internal", "tracker_align_external")
    assert tracker_folders(off) == ()
    assert tracker_folders(load("gasgun", {"transport.trackers": False, "straws.channel_status": True})) == ()
    conditions = BuiltinConditions(calorimeter_settings(on), straws=straw_constants_settings(on))
    constants = tracker_constants(conditions, 1, 0, tracker_folders(on))
    # Run-1: the stations' shifts; modules by 50 um, their mean in place.
    np.testing.assert_allclose(constants.stations[:, 0], [-1.51e-3, -2.75e-3], rtol=1e-12)
    assert np.abs(constants.modules[..., :2].mean(axis=1)).max() < 1e-12
    n = 2 * 8 * 2
    # Seven of eight are free.
    assert constants.modules[..., :2].std() == pytest.approx(50e-6 * np.sqrt(7 / 8), rel=5 / np.sqrt(2 * n))
    assert not constants.status.any()
    with pytest.raises(ConditionsError, match="there is no folder of conditions 'tracker_align'"):
        conditions.table("tracker_align", 1)


def test_files_without_trackers_are_refused_in_one_sentence(tmp_path: Path) -> None:
    config = load("gasgun", CONFIG | {"transport.trackers": False, "run.fills": 1, "run.subruns": 1})
    run(config.with_(beam__muons_per_fill=50), tmp_path / "out", report=False)
    code, message = _run(["tracks", str(tmp_path / "out")])
    assert code == 2
    assert "/Simulation/trackers" in message
    assert "\n" not in message
