"""The two passes: constants from the raw data alone agree with those put in, and the second pass works with them."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from gm2sim.clusters import Clusters, load_clusters
from gm2sim.conditions import FOLDERS, FileConditions, Interval, Table, write_conditions
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.loading import add, of_run
from gm2sim.conditions.tags import freeze
from gm2sim.config import Config, ConfigError, load
from gm2sim.database import opened, upgrade
from gm2sim.electronics import calorimeter_folders
from gm2sim.methods import event_histogram
from gm2sim.outputs import raw_files
from gm2sim.passes import full as second_pass
from gm2sim.passes.derive import run_data
from gm2sim.passes.files import run_files
from gm2sim.passes.full import full
from gm2sim.passes.pre import derived_tables, pre
from gm2sim.passes.writers import FileWriter, open_writer, reading
from gm2sim.reco import reconstruct
from gm2sim.run import run
from gm2sim.setup import Setup, conditions_of
from gm2sim.wiggle import WiggleFit, fit_wiggle

DERIVED = {"calo_pedestal", "oof_correction", "time_alignment", "channel_status"}
CONFIG = {
    "run.run": 31, "run.fills": 6, "run.subruns": 2, "run.seed": 4, "beam.muons_per_fill": 250, "laser.fill_every": 1,
    "daq.pedestal_every": 2, "laser.in_fill_every": 0, "daq.q_method": False, "detectors.channel_status": True,
    "faults.missing_kick": 0.2, "sipm.begin_k": 2.0, "sipm.drift_k_per_hour": 5.0, "transport.trackers": False,
}  # fmt: skip
PULSES = 4  # of a fill of the laser


@pytest.fixture(scope="module")
def config() -> Config:
    return load("gasgun", CONFIG)


@pytest.fixture(scope="module")
def folder(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("passes") / "out"
    run(config, out, report=False)
    return out


@pytest.fixture(scope="module")
def constants(config: Config, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what cannot be derived, and nonsense where it can; then the first pass."""
    path = tmp_path_factory.mktemp("constants") / "conditions.toml"
    true = conditions_of(config)
    write_conditions(true, path, "mine", run=31, subruns=2)
    nonsense = Table.of(FOLDERS["oof_correction"], Interval((1, 0), (90, 3)), {"gain": np.full((24, 54), 1.5)})
    FileWriter(path, "mine").write([nonsense])
    found = pre(folder, str(path), "mine")
    assert {one["folder"] for one in found["written"]} == DERIVED
    assert {one["folder"] for one in found["loaded"]} == set(calorimeter_folders(config)) - DERIVED
    assert found["new"] == 5
    assert 1 <= found["bad"] < found["fills"] == 6
    return path


def true_constants(config: Config, subrun: int):  # type: ignore[no-untyped-def]
    return Setup.of(config).in_subrun(subrun).constants


def test_derived_constants_agree_with_those_put_in_within_statistics(config: Config, constants: Path) -> None:
    found = FileConditions(constants)
    for subrun in (0, 1):
        true = true_constants(config, subrun)
        alive = true.status != 1
        np.testing.assert_array_equal(found.table("channel_status", 31, subrun)["status"], true.status)
        # Photons of the laser's pulses, three fills of four; the fit's noise and saturation add 2 % to the spread.
        error = 1.0 / np.sqrt(true.laser_light * true.light_yield * 3 * PULSES)
        pull = ((found.table("oof_correction", 31, subrun)["gain"] / true.out_of_fill - 1.0) / error)[alive]
        n = pull.size
        assert pull.mean() == pytest.approx(0.0, abs=5 / np.sqrt(n) + 0.02)
        assert pull.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * n) + 0.03)
        # Three looks of 800 samples; rounding adds 1/12 of a count squared.
        noise = np.sqrt((config.detectors.noise_counts * true.noise_factor) ** 2 + 1 / 12)
        samples = 3 * 800
        level = found.table("calo_pedestal", 31, subrun)
        for name, factor in (("pedestal", 1.0), ("even_odd", 2.0)):
            pull = (level[name] - getattr(true, name)) / (factor * noise / np.sqrt(samples))
            assert pull.mean() == pytest.approx(0.0, abs=5 / np.sqrt(pull.size))
            assert pull.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * pull.size))
        ratio = found.table("channel_status", 31, subrun)["noise_factor"] / true.noise_factor - 1.0
        assert ratio.std() * np.sqrt(2 * samples) == pytest.approx(1.0, abs=5 / np.sqrt(2 * ratio.size) + 0.02)


def test_times_of_the_channels_agree_within_the_scatter_of_the_fills(config: Config, folder: Path) -> None:
    true = true_constants(config, 0)
    files = run_files(raw_files(folder))
    data = run_data(files.paths, files.config)
    alive = true.status != 1
    pull = ((data.offset.mean - true.calo_offset - true.xtal_offset) / data.offset.error)[alive]
    assert (data.offset.number[alive] == 6).all()
    assert pull.std() == pytest.approx(1.0, abs=0.15)  # the spread is taken from all channels together, dim and bright
    assert pull.mean() == pytest.approx(0.0, abs=5 / np.sqrt(pull.size) + 0.05)


def test_the_first_pass_again_changes_no_byte(folder: Path, constants: Path) -> None:
    before = constants.read_bytes()
    assert pre(folder, str(constants), "mine")["new"] == 0
    assert constants.read_bytes() == before
    with pytest.raises(ConfigError, match="has the tag 'mine', not 'other'"), reading(str(constants), "other"):
        pytest.fail("another tag has been read")


def test_a_file_keeps_what_it_had_beside_the_new_intervals(constants: Path) -> None:
    found = FileConditions(constants)
    gain = {name: found.table("oof_correction", *name)["gain"][0, 0] for name in ((30, 5), (31, 1), (31, 2), (90, 3))}
    assert gain[30, 5] == gain[31, 2] == gain[90, 3] == 1.5
    assert gain[31, 1] != 1.5
    assert str(found.interval("oof_correction", 31, 0)) == "31.0 to 31.0"
    assert found.table("oof_correction", 91, 0)["gain"][0, 0] != 1.5


def test_a_database_gets_the_same_constants_and_refuses_an_open_tag(
    config: Config, folder: Path, constants: Path, database: str, tmp_path: Path
) -> None:
    with opened(database, create=True) as engine:
        upgrade(engine, "conditions")
        add(engine, "first", of_run(conditions_of(config), set(calorimeter_folders(config)) - DERIVED, 31, 2))
    files = run_files(raw_files(folder))
    tables, missing = derived_tables(run_data(files.paths, files.config), files)
    assert not missing
    writer = open_writer(database, "first")
    assert writer.write(tables) == 5
    assert writer.write(tables) == 0
    with pytest.raises(ConfigError, match="is open and may still change"):
        full(folder, database, "first", tmp_path / "reco.h5", tracks=False)
    with opened(database) as engine:
        freeze(engine, "first")
    held, other = DatabaseConditions(database, "first"), FileConditions(constants)
    for name in DERIVED:
        for column, values in held.table(name, 31, 1).columns.items():
            np.testing.assert_array_equal(values, other.table(name, 31, 1)[column])
    held.close()


def wiggle(clusters: Clusters) -> WiggleFit:
    data = event_histogram(clusters, threshold=0.6, start=5e-6, stop=500e-6, seed=1)
    return fit_wiggle(data.total, cbo_frequency=None)


def test_the_second_pass_finds_what_the_constants_of_the_file_find(
    config: Config, folder: Path, constants: Path, tmp_path: Path
) -> None:
    out = tmp_path / "reco.h5"
    told = full(folder, str(constants), "mine", out, tracks=False)
    clusters = load_clusters(out)
    skipped = set(told["skipped_events"])
    assert skipped
    assert not skipped & set(clusters.fill.tolist())
    own = reconstruct(raw_files(folder), skip=skipped)
    assert told["counts"]["clusters"] == clusters.time.size
    # A cluster at threshold may come or go with a gain that is known to half a percent.
    assert abs(clusters.time.size - own.time.size) <= 0.01 * own.time.size
    pairs = {(f, c, round(t * 2e8)): e for f, c, t, e in zip(own.fill, own.calo, own.time, own.energy, strict=True)}
    ratio = np.array([
        e / pairs[key]
        for f, c, t, e in zip(clusters.fill, clusters.calo, clusters.time, clusters.energy, strict=True)
        if (key := (f, c, round(t * 2e8))) in pairs
    ])  # fmt: skip
    assert ratio.size > 0.9 * own.time.size
    # A cluster is mostly one crystal, whose gain is known to 1/sqrt(photons of 12 pulses) = 0.55 %.
    true = true_constants(config, 0)
    error = float(np.mean(1.0 / np.sqrt(true.laser_light * true.light_yield * 3 * PULSES)))
    assert np.median(ratio) == pytest.approx(1.0, abs=error)
    assert np.percentile(np.abs(ratio - 1.0), 68) < 1.5 * error
    first, second = wiggle(own), wiggle(clusters)
    # Samples that differ in n of N positrons differ by sqrt(n/N) of the error; energies that move by `error` carry
    # about so large a share over the threshold, each way.
    share = abs(second.positrons - first.positrons) / first.positrons + 2.0 * error
    assert second.r_ppm[0] == pytest.approx(first.r_ppm[0], abs=5.0 * np.sqrt(share) * first.r_ppm[1])


def test_what_is_written_says_where_it_comes_from(folder: Path, constants: Path, tmp_path: Path) -> None:
    out = tmp_path / "reco.h5"
    told = full(folder, str(constants), "mine", out, tracks=False)
    assert json.loads(out.with_suffix(".json").read_text()) == told
    assert told["data_tier"] == "reco"
    assert told["parents"] == [path.name for path in raw_files(folder)]
    assert told["conditions"] == FileConditions(constants).version
    assert told["files"][out.name]["size"] == out.stat().st_size
    with h5py.File(out) as file:
        assert file.attrs["tag"] == "mine"
        used = json.loads(file["calibration/1"][()])
        gain = FileConditions(constants).table("oof_correction", 31, 1)["gain"]
        np.testing.assert_array_equal(used["out_of_fill"], gain)
    with pytest.raises(ConfigError, match="exists already"):
        full(folder, str(constants), "mine", out, tracks=False)


def test_the_second_pass_does_not_begin_without_all_constants(
    config: Config, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "conditions.toml"
    true = conditions_of(config)
    tables = [Table.of(FOLDERS[name], Interval((31, 0), (31, 1)), true.table(name, 31).columns)
              for name in calorimeter_folders(config) if name != "oof_correction"]  # fmt: skip
    FileWriter(path, "some").write(tables)
    monkeypatch.setattr(second_pass, "reconstruct", lambda *_, **__: pytest.fail("work has begun"))
    with pytest.raises(ConfigError, match="no folder oof_correction, which run 31 needs"):
        full(folder, str(path), "some", tmp_path / "reco.h5", tracks=False)
    gain = true.table("oof_correction", 31).columns
    FileWriter(path, "some").write([Table.of(FOLDERS["oof_correction"], Interval((31, 0), (31, 0)), gain)])
    with pytest.raises(ConfigError, match="no oof_correction for run 31 subrun 1"):
        full(folder, str(path), "some", tmp_path / "reco.h5", tracks=False)
    assert not (tmp_path / "reco.h5").exists()
