"""Clusters matched to the particles that made them, on toys whose answer is known and through the whole chain."""

import csv
import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gm2sim.__main__ import main
from gm2sim.config import ConfigError, load
from gm2sim.match import Kind, Match, Status, TrueHits, match, neighbours, read_true_hits, true_hits
from gm2sim.plots import match_efficiency, match_resolution
from gm2sim.reco import Clusters
from gm2sim.resolution import all_bins, edge_distance, middle, share, whole
from gm2sim.run import run
from gm2sim.truth_match import truth_match

NS = 1e-9
SMALL = {"beam.muons_per_fill": 1500, "tracking.fill_duration_us": 80.0, "run.fills": 2, "run.subruns": 2,
         "daq.q_method": False, "daq.calo_sum": False}  # fmt: skip


def particles(rows: list[tuple[float, ...]], kind: Kind = Kind.POSITRON) -> TrueHits:
    """Particles from (fill, calo, time in ns, energy in GeV)."""
    fill, calo, time, energy = np.array(rows, float).reshape(-1, 4).T
    n = len(rows)
    whole_numbers = [fill.astype(np.int64), calo.astype(np.int64), np.arange(n), np.full(n, int(kind))]
    return TrueHits(*whole_numbers, energy, time * NS, np.zeros(n), np.zeros(n), np.ones(n, np.int64))


def clusters(rows: list[tuple[float, ...]]) -> Clusters:
    """Clusters from (fill, calo, time in ns, energy in GeV)."""
    fill, calo, time, energy = np.array(rows, float).reshape(-1, 4).T
    zero, one = np.zeros(len(rows)), np.ones(len(rows), np.int64)
    return Clusters(fill.astype(np.int64), calo.astype(np.int64), energy, time * NS, zero, zero, one, zero + 1.0)


def test_each_cluster_belongs_to_the_particle_nearest_in_time() -> None:
    found = match(
        particles([(0, 1, 100, 2.0), (0, 1, 120, 1.0), (0, 2, 100, 1.5), (1, 1, 100, 0.02)]),
        clusters([(0, 1, 120.1, 1.1), (0, 1, 100.2, 1.9), (0, 2, 103, 1.4), (0, 2, 300, 0.1)]),
    )
    assert found.status.tolist() == [Status.FOUND, Status.FOUND, Status.FOUND, Status.MISSED]
    assert found.particle.tolist() == [0, 1, 2, -1]
    assert found.cluster.tolist() == [0, 1, 2, -1]
    assert found.members.tolist() == [1, 1, 1, 0]


def test_of_particles_in_one_cluster_the_strongest_is_found_and_energies_are_summed() -> None:
    found = match(particles([(0, 1, 100, 0.4), (0, 1, 102, 2.0), (0, 1, 103, 0.3)]), clusters([(0, 1, 100.1, 2.6)]))
    assert found.status.tolist() == [Status.MERGED, Status.FOUND, Status.MERGED]
    assert found.particle.tolist() == [1]
    assert found.members.tolist() == [3]
    assert found.true_energy[0] == pytest.approx(2.7)


def test_two_resolved_particles_keep_their_clusters() -> None:
    found = match(particles([(0, 1, 100, 0.4), (0, 1, 103, 2.0)]), clusters([(0, 1, 100.0, 0.4), (0, 1, 103.0, 2.0)]))
    assert found.particle.tolist() == [0, 1]
    assert found.members.tolist() == [1, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 60), st.floats(0.1, 3.0)), max_size=25),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 60), st.floats(0.1, 3.0)), max_size=25),
)
def test_matching_is_one_to_one_and_keeps_all_energy(
    true: list[tuple[float, ...]], seen: list[tuple[float, ...]]
) -> None:
    found = match(particles(true), clusters(seen))
    used = found.particle[found.particle >= 0]
    assert np.unique(used).size == used.size == (found.status == Status.FOUND).sum()
    np.testing.assert_array_equal(found.hits.fill[used], found.clusters.fill[found.particle >= 0])
    np.testing.assert_array_equal(found.hits.calo[used], found.clusters.calo[found.particle >= 0])
    inside = found.cluster >= 0
    np.testing.assert_array_equal(inside, found.status != Status.MISSED)
    assert found.true_energy.sum() == pytest.approx(found.hits.energy[inside].sum())
    assert found.members.sum() == inside.sum()
    assert np.all((found.particle >= 0) == (found.members > 0))


def test_photons_of_a_positron_are_part_of_it_in_its_calorimeter_only() -> None:
    columns = {
        "fill": np.zeros(5, np.int32),
        "number": np.array([7, 7, 7, 7, 8]),
        "calo": np.array([3, 3, 4, 3, 3]),
        "u": np.array([0.01, 0.05, 0.0, 0.0, 0.0]),
        "v": np.zeros(5),
        "energy": np.array([1.5, 0.5, 0.2, 0.1, 1.0]),
        "time": np.array([100.0, 100.8, 101.0, 120.0, 100.1]) * NS,
    }
    found = true_hits(columns)
    assert found.calo.tolist() == [3, 3, 3, 4]
    assert found.number.tolist() == [7, 8, 7, 7]
    np.testing.assert_allclose(found.energy, [2.0, 1.0, 0.1, 0.2])
    np.testing.assert_allclose(found.time, np.array([100.0, 100.1, 120.0, 101.0]) * NS)
    assert found.parts.tolist() == [2, 1, 1, 1]
    assert found.u[0] == pytest.approx(0.02)


def test_neighbours_are_of_the_same_calorimeter() -> None:
    separation, distance = neighbours(particles([(0, 1, 100, 1.0), (0, 1, 104, 1.0), (0, 1, 110, 1.0), (0, 2, 100, 1)]))
    np.testing.assert_allclose(separation, [4 * NS, 4 * NS, 6 * NS, np.inf])
    np.testing.assert_array_equal(distance, [0, 0, 0, np.inf])


def test_wilson_interval_has_its_known_values_and_covers() -> None:
    # Of z = 1: (p + 1/2n -+ sqrt(p(1-p)/n + 1/4n^2)) / (1 + 1/n).
    value, low, high = share(3, 10)
    assert value == 0.3
    assert (low, high) == pytest.approx(((0.35 - math.sqrt(0.0235)) / 1.1, (0.35 + math.sqrt(0.0235)) / 1.1))
    assert share(0, 10) == pytest.approx((0.0, 0.0, 1 / 11))
    assert share(10, 10) == pytest.approx((1.0, 10 / 11, 1.0))
    assert math.isnan(share(0, 0).value)
    p, n = 0.02, 400
    rng = np.random.default_rng(1)
    inside = [s.low <= p <= s.high for s in (share(int(k), n) for k in rng.binomial(n, p, 4000))]
    # 68 % on average over p; for one p the steps of the binomial make it 0.6 to 0.78.
    assert 0.60 < np.mean(inside) < 0.78


def test_median_and_middle_have_the_errors_of_normal_numbers() -> None:
    rng = np.random.default_rng(2)
    n = 900
    found = np.array([middle(rng.normal(0.3, 2.0, n)) for _ in range(600)])
    for value, error, true in ((0, 1, 0.3), (2, 3, 2.0)):
        pulls = (found[:, value] - true) / found[:, error]
        assert abs(pulls.mean()) < 0.2
        assert pulls.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * 600))
    assert math.isnan(middle([1.0, 2.0])[0])


def smeared(n: int, seed: int) -> Match:
    """Positrons of one calorimeter, 30 ns apart, with a known efficiency, resolution and pileup."""
    rng = np.random.default_rng(seed)
    energy, time = rng.uniform(0.5, 3.0, n), 1e4 + 30.0 * np.arange(n)
    true = particles([(0, 0, t, e) for t, e in zip(time, energy, strict=True)])
    seen = rng.random(n) < 0.9
    measured = energy * rng.normal(1.01, 0.05, n)
    rows = [
        (0, 0, t + d, e) for t, d, e in zip(time[seen], rng.normal(0.02, 0.03, n)[seen], measured[seen], strict=True)
    ]
    fakes = [(0, 0, t + 15.0, 1.0) for t in time[: n // 20]]
    return match(true, clusters(rows + fakes))


def test_bins_give_back_what_was_put_in() -> None:
    found = smeared(20_000, 3)
    everything = whole(found, 0.0)
    assert everything.particles == 20_000
    assert everything.efficiency.value == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 20_000))
    assert everything.fakes == 1000
    assert everything.bias == pytest.approx(0.01, abs=4 * everything.bias_error)
    assert everything.resolution == pytest.approx(0.05, abs=4 * everything.resolution_error)
    assert everything.delay_ps == pytest.approx(20.0, abs=4 * everything.delay_error_ps)
    assert everything.time_resolution_ps == pytest.approx(30.0, abs=4 * everything.time_resolution_error_ps)
    bins = all_bins(found)
    for variable in {one.variable for one in bins} - {"from the next"}:
        assert sum(one.particles for one in bins if one.variable == variable) == 20_000
    assert all(one.particles == one.found + one.merged + one.missed for one in bins)


def test_distance_from_the_edge_is_inwards() -> None:
    np.testing.assert_allclose(edge_distance([0.0, 0.1032, 0.12], [0.0, 0.0, 0.0]), [0.07555, 0.01, -0.0068], atol=1e-9)


def test_plots_say_what_they_show() -> None:
    bins = all_bins(smeared(3000, 4))
    assert "clusters belong to no particle" in match_efficiency(bins).alt
    plot = match_resolution(bins)
    assert "bias" in plot.alt
    assert len(plot.table.columns) == plot.table.rows.shape[1] == 8
    assert "0 of 0" in match_efficiency([]).alt
    assert match_resolution([]).alt.endswith("time.")


def test_a_window_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="window = 0 ns is out of bounds"):
        match(particles([]), clusters([]), 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("match") / "out"
    run(load("gasgun", SMALL), out, preset="gasgun", report=False)
    return out


def test_the_chain_is_matched_and_written(folder: Path) -> None:
    made = truth_match(folder)
    assert {path.name for path in made.files} == {
        "truth_match.json", "truth_match.csv", "truth_match.h5",
        "truth_match_efficiency.png", "truth_match_resolution.png",
    }  # fmt: skip
    numbers = json.loads((folder / "truth_match.json").read_text("utf-8"))
    assert numbers["summary"]["fills"] == 2
    strong = numbers["summary"]["above_1.7_gev"]
    assert strong["particles"] > 150
    # Positrons above 1.7 GeV are missed only in the outermost millimetres; nothing but particles makes clusters.
    assert strong["efficiency"] > 0.97
    assert numbers["summary"]["fakes"] == 0
    # 4.5 %/sqrt(2 GeV) and 1.5 % make 3.5 %, edges included a little more; 20 to 50 ps.
    assert 0.03 < strong["resolution"] < 0.055
    assert 15 < strong["time_resolution_ps"] < 50
    rows = list(csv.DictReader((folder / "truth_match.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(numbers["bins"])
    hits = read_true_hits(sorted(folder.glob("*.truth.h5")))
    with h5py.File(folder / "truth_match.h5") as file:
        np.testing.assert_array_equal(file["particles/energy"][:], hits.energy)
        assert file["particles/energy"].attrs["unit"] == "GeV"
        assert file["clusters/particle"].shape == file["clusters/energy"].shape


def test_the_command_prints_json_and_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for extra, words in ((["--json", "--no-plots"], '"efficiency"'), (["--no-plots"], "fakes: 0")):
        with pytest.raises(SystemExit) as left:
            main(["truth", "match", str(folder), *extra])
        assert not left.value.code
        assert words in capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["truth", "match", *arguments])
    assert left.value.code == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    assert message.startswith("gm2sim: ")
    return message


def test_wrong_requests_get_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "holds no run" in refused(capsys, str(tmp_path))
    assert "window = -1 ns" in refused(capsys, str(folder), "--window", "-1")
    for name in ("config.toml", "gm2_run00001_00000.mid"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "lacks the truth gm2_run00001_00000.truth.h5" in refused(capsys, str(tmp_path))


def test_library_raises_what_the_command_says(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        truth_match(tmp_path)
