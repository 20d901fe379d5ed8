"""Constants by run and subrun in whole runs: what a file changes, and that the reconstruction undoes it."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gm2sim.calibration import Calibration
from gm2sim.conditions import (
    FileConditions,
)
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.config import Config, load
from gm2sim.outputs import SubrunPaths, subrun_is_done
from gm2sim.raw import open_run
from gm2sim.reco import Clusters, reconstruct
from gm2sim.run import run
from tests.gm2sim.condition_files import entry, gain_text, gm2sim

Floats = NDArray[np.float64]
SHAPE = (24, 54)
SMALL = {
    "beam.muons_per_fill": 300, "tracking.fill_duration_us": 100.0, "run.fills": 2, "run.subruns": 2,
    "daq.q_flush_fills": 1,
}  # fmt: skip


def banks(folder: Path, subrun: int) -> list[dict[str, bytes]]:
    """Everything that the detectors have said in a subrun."""
    raw = open_run(SubrunPaths(folder, 1, subrun).raw)
    return [{name: bytes(bank.data) for name, bank in event.banks.items()} for event in raw]


def matched(some: Clusters, others: Clusters) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of clusters of one positron: same fill and calorimeter, within 0.5 ns, and nothing else within 20 ns."""
    first, second = [], []
    for k in range(len(some.time)):
        near = np.flatnonzero(
            (others.fill == some.fill[k]) & (others.calo == some.calo[k]) & (np.abs(others.time - some.time[k]) < 20e-9)
        )
        if len(near) == 1 and abs(others.time[near[0]] - some.time[k]) < 0.5e-9:
            first.append(k)
            second.append(int(near[0]))
    return np.array(first), np.array(second)


@pytest.fixture(scope="module")
def builtin_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("builtin") / "out"
    run(load("gasgun", SMALL), out, report=False)
    return out


FACTORS = np.random.default_rng(5).uniform(0.8, 1.25, SHAPE)


@pytest.fixture(scope="module")
def edited_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Constants as the command writes them for subrun 0, and other gains in subrun 1."""
    path = tmp_path_factory.mktemp("edited") / "edited.toml"
    numbers = [word for key in ("run.fills", "run.subruns") for word in ("--set", f"{key}={SMALL[key]}")]
    assert gm2sim("conditions", "write", "gasgun", "--out", str(path), *numbers) == 0
    text = path.read_text()
    gain = FileConditions(path).table("calo_gain", 1)["counts_per_gev"]
    text = text.replace("[[folders.calo_gain]]\nfirst = 1\n", "[[folders.calo_gain]]\nfirst = [1, 0]\nlast = [1, 0]\n")
    path.write_text(text + entry("calo_gain", gain_text(gain * FACTORS), "[1, 1]", "[1, 1]"))
    return load("gasgun", SMALL | {"conditions.file": str(path)})


@pytest.fixture(scope="module")
def edited_run(edited_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("edited") / "out"
    run(edited_config, out, report=False)
    return out


def test_a_written_file_gives_the_bytes_of_the_built_in_constants(builtin_run: Path, edited_run: Path) -> None:
    assert banks(builtin_run, 0) == banks(edited_run, 0)


def test_a_snapshot_of_a_database_gives_the_bytes_of_the_built_in_constants(builtin_run: Path, tmp_path: Path) -> None:
    where, out = str(tmp_path / "conditions.sqlite"), str(tmp_path / "jobs.sqlite")
    numbers = [word for key in ("run.fills", "run.subruns") for word in ("--set", f"{key}={SMALL[key]}")]
    for command in (
        ("init", where), ("load", "gasgun", "--db", where, "--tag", "v1", *numbers), ("tag", "freeze", where, "v1"),
        ("snapshot", where, "--run", "1-1", "--out", out),
    ):  # fmt: skip
        assert gm2sim("conditions", *command) == 0
    run(load("gasgun", SMALL | {"conditions.database": out}), tmp_path / "out", report=False)
    for subrun in (0, 1):
        assert banks(builtin_run, subrun) == banks(tmp_path / "out", subrun)
    odb = open_run(SubrunPaths(tmp_path / "out", 1, 1).raw).odb
    assert odb["Simulation"]["conditions"] == DatabaseConditions(where, "v1").version


def test_another_subrun_has_other_gains_and_the_file_says_so(builtin_run: Path, edited_run: Path) -> None:
    assert banks(builtin_run, 1) != banks(edited_run, 1)
    known, edited = (
        Calibration.from_odb(open_run(SubrunPaths(folder, 1, 1).raw).odb) for folder in (builtin_run, edited_run)
    )
    np.testing.assert_array_equal(edited.counts_per_gev, known.counts_per_gev * FACTORS)
    odb = open_run(SubrunPaths(edited_run, 1, 1).raw).odb
    assert re.fullmatch(r"gasgun built in sha256 [0-9a-f]{64}", odb["Simulation"]["conditions"])


def energy_error(known: Calibration, clusters: Clusters, noise: float) -> Floats:
    """Error of the clusters' energies [GeV] from white noise of the samples [counts]: noise/sqrt(sum of t^2) a crystal.

    t is the pulse of height 1; 9 crystals are read where they are quiet, besides those that have pulses.
    """
    template = known.template
    s = np.linspace(0.0, 40.0, 40_001)
    pulse = (1.0 - np.exp(-s / template.rise)) ** 3 * np.exp(-s / template.fall) / template.height
    height = noise / math.sqrt(np.trapezoid(pulse**2, s))
    crystal = height * math.sqrt(np.mean(known.counts_per_gev**-2.0))
    return np.asarray(known.energy_scale * crystal * np.sqrt(9 + clusters.multiplicity))


def test_the_reconstruction_undoes_the_gains_of_a_subrun(builtin_run: Path, edited_run: Path) -> None:
    """Channel by channel other gains, the same noise in counts: energies agree within what it changes."""
    paths = [SubrunPaths(folder, 1, 1).raw for folder in (builtin_run, edited_run)]
    known = Calibration.from_odb(open_run(paths[0]).odb)
    plain, undone, wrong = reconstruct(paths[0]), reconstruct(paths[1]), reconstruct(paths[1], known)
    change = float(np.abs(1.0 - 1.0 / FACTORS).max()) * energy_error(known, plain, known.noise)
    a, b = matched(plain, undone)
    high = plain.energy[a] > 1.0
    assert high.sum() > 0.9 * np.count_nonzero(plain.energy > 1.0) > 20
    off = (undone.energy[b] - plain.energy[a])[high]
    assert np.abs(off / change[a][high]).max() < 6.0
    assert abs(np.mean(off / change[a][high])) < 5.0 / math.sqrt(off.size)
    # Without the constants of its subrun: most of the energy is in one crystal, with that channel's error.
    a, b = matched(plain, wrong)
    high = plain.energy[a] > 1.0
    assert np.std(wrong.energy[b][high] / plain.energy[a][high]) > 0.5 * np.std(FACTORS)


def test_energies_do_not_depend_on_a_common_gain_that_the_conditions_know(builtin_run: Path, tmp_path: Path) -> None:
    """Gain, noise and threshold times 1.25: everything but the rounding to whole counts scales, and is undone."""
    factor = 1.25
    config = load("gasgun", SMALL)
    path = tmp_path / "scaled.toml"
    assert gm2sim("conditions", "write", "gasgun", "--out", str(path)) == 0
    gain = FileConditions(path).table("calo_gain", 1)["counts_per_gev"]
    text = path.read_text()
    begin = text.index("[[folders.calo_gain]]")
    end = text.index('"""\n', text.index("calonum", begin)) + 4
    path.write_text(text[:begin] + entry("calo_gain", gain_text(gain * factor), "1") + text[end:])
    changed = {
        "conditions.file": str(path), "detectors.noise_counts": factor * config.detectors.noise_counts,
        "detectors.threshold_mev": factor * config.detectors.threshold_mev,
    }  # fmt: skip
    run(load("gasgun", SMALL | changed), tmp_path / "o", report=False)
    plain, scaled = (
        reconstruct([SubrunPaths(folder, 1, k).raw for k in (0, 1)]) for folder in (builtin_run, tmp_path / "o")
    )
    a, b = matched(plain, scaled)
    assert a.size > 0.9 * plain.time.size > 100
    known = Calibration.from_odb(open_run(SubrunPaths(builtin_run, 1, 0).raw).odb)
    rounding = energy_error(known, plain, math.sqrt((1.0 + factor**-2) / 12.0))[a]
    # A crystal near the threshold of the fit has a pulse in one run and none in the other: another sum.
    same = (plain.multiplicity[a] == scaled.multiplicity[b]) & (plain.time[a] > 0.0)
    assert same.sum() > 0.8 * a.size
    off = ((scaled.energy[b] - plain.energy[a]) / rounding)[same]
    assert np.abs(off).max() < 6.0
    assert abs(np.mean(off)) < 5.0 / math.sqrt(off.size)


def test_resume_makes_a_subrun_again_when_the_constants_have_changed(edited_config: Config, edited_run: Path) -> None:
    paths = SubrunPaths(edited_run, 1, 1)
    version = FileConditions(Path(edited_config.conditions.file)).version
    assert subrun_is_done(paths, edited_config, version)
    assert not subrun_is_done(paths, edited_config, version.replace("sha256 ", "sha256 0"))
