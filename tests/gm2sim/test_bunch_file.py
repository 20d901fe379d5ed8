"""Files of muons: they come back as they were written, and what cannot be used is refused in one sentence."""

import importlib.util
import logging
import math
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import gm2sim as g2
from gm2sim.bunch.file import read_bunch
from gm2sim.bunch.frame import Frame
from gm2sim.bunch.table import BunchFileError, resampled, with_lifetimes
from gm2sim.config import Config, ConfigError
from gm2sim.setup import Setup
from gpu.rng import FillKey
from tracking.bunch import Bunch, momentum
from tracking.muon import MASS, Reference, reference

RING_REFERENCE = reference(1.4513, 7.112)
ACCEPTANCE = 0.0056
EPS = np.finfo(float).eps


@pytest.fixture(scope="module")
def config() -> Config:
    return g2.load("ideal", {"beam.spin_phase_slope_mrad_per_percent": -10.0})


def some_muons(n: int = 50) -> Bunch:
    """Muons with every column in use."""
    random = np.random.default_rng(3)
    spin = random.normal(size=(3, n))
    spin /= np.sqrt((spin**2).sum(axis=0))
    bunch = Bunch.empty(n).with_momentum(random.normal(0.0, 1e-3, n), RING_REFERENCE)
    return bunch._replace(
        x=random.normal(0.0, 0.01, n), px=random.normal(0.0, 1e-3, n), y=random.normal(0.0, 0.01, n),
        py=random.normal(0.0, 1e-3, n), time=random.normal(0.0, 3e-8, n), sx=spin[0], sy=spin[1], ss=spin[2],
        stop_time=np.where(random.random(n) < 0.5, np.inf, 1e-4 * random.random(n)), number=random.permutation(n),
        turn=np.full(n, 17), crossings=random.integers(0, 3, n), theta=np.full(n, 1.25),
    )  # fmt: skip


def read(path: Path, config: Config, frame: Frame | None = None, ref: Reference = RING_REFERENCE) -> Bunch:
    return read_bunch(path, config, ref, ACCEPTANCE, frame or Frame(zero_time=0.0))


def write_csv(path: Path, changes: dict[str, object] | None = None, rows: int = 4) -> Path:
    """A good table with some columns changed (None: left out)."""
    columns: dict[str, object] = {
        "x [mm]": 1.5, "px [MeV/c]": 0.5, "y [mm]": -2.0, "py [MeV/c]": 0.1, "time [ns]": 3.0, "momentum [GeV/c]": 3.094
    }  # fmt: skip
    columns |= changes or {}
    columns = {name: value for name, value in columns.items() if value is not None}
    lines = [",".join(columns)]
    for row in range(rows):
        lines.append(",".join(str(v[row]) if isinstance(v, list) else str(v) for v in columns.values()))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_hdf5_gives_back_every_bit(config: Config, tmp_path: Path) -> None:
    bunch = some_muons()
    g2.write_bunch(bunch, tmp_path / "a.h5", RING_REFERENCE)
    for name, now, then in zip(Bunch._fields, read(tmp_path / "a.h5", config), bunch, strict=True):
        assert now.tobytes() == then.tobytes(), name
        assert now.dtype == then.dtype
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["px"].attrs["unit"] == "p0"
        assert all(data.attrs["unit"] is not None and data.attrs["meaning"] for data in file.values())
        assert file.attrs["p0_gev"] == RING_REFERENCE.p0_gev
        assert file.attrs["species"] == "mu+"
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_text_with_units_gives_back_every_bit(config: Config, tmp_path: Path) -> None:
    bunch = some_muons()
    g2.write_bunch(bunch, tmp_path / "a.csv", RING_REFERENCE)
    for name, now, then in zip(Bunch._fields, read(tmp_path / "a.csv", config), bunch, strict=True):
        assert now.tobytes() == then.tobytes(), name


@pytest.mark.parametrize("frame", [Frame(zero_time=0.0), Frame(1.25, 0.077, 0.003, 0.02, plane=0.5, zero_time=1e-6)])
def test_bltrackfile_gives_back_orbits_to_rounding(config: Config, tmp_path: Path, frame: Frame) -> None:
    bunch = some_muons()._replace(theta=np.full(50, frame.azimuth))
    g2.write_bunch(bunch, tmp_path / "a.txt", RING_REFERENCE, frame=frame)
    back = read(tmp_path / "a.txt", config, frame)
    # A handful of roundings: of x and the origin of the frame, of momenta of size 1, of the time's zero, of energy.
    scales = {"x": 0.1, "y": 0.05, "px": 1.0, "py": 1e-2, "time": 1e-6, "energy": 3.1, "theta": 1.0}
    if frame.x == 0.0:
        scales |= {"x": 0.05, "px": 1e-2, "time": 2e-7}
    for name, scale in scales.items():
        assert np.max(np.abs(getattr(back, name) - getattr(bunch, name))) <= 5 * EPS * scale, name


def test_openpmd_gives_back_orbits_to_rounding(config: Config, tmp_path: Path) -> None:
    if importlib.util.find_spec("beamphysics") is None:
        pytest.skip("the extra openpmd is not installed")
    bunch = some_muons()._replace(theta=np.zeros(50))
    g2.write_bunch(bunch, tmp_path / "a.h5", RING_REFERENCE, kind="openpmd")
    back = read(tmp_path / "a.h5", config)
    for name, scale in {"x": 0.05, "y": 0.05, "px": 1e-2, "py": 1e-2, "time": 2e-7, "energy": 3.1}.items():
        assert np.max(np.abs(getattr(back, name) - getattr(bunch, name))) <= 5 * EPS * scale, name
    library = importlib.import_module("beamphysics")
    wrong = library.ParticleGroup(str(tmp_path / "a.h5"))
    wrong.species = "electron"
    wrong.write(str(tmp_path / "e.h5"))
    with pytest.raises(BunchFileError, match=r"e\.h5: species electron .*antimuon"):
        read(tmp_path / "e.h5", config)


def test_openpmd_without_its_library_says_what_to_install(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["openPMD"] = "2.0.0"
    monkeypatch.setitem(importlib.import_module("sys").modules, "beamphysics", None)
    with pytest.raises(ConfigError, match=r"pip install 'gm2sim\[openpmd\]'"):
        read(tmp_path / "a.h5", config)


@pytest.mark.parametrize("unit", ["mm", "cm"])
@pytest.mark.parametrize("head", ["#BLTrackFile target", "#BLTrackFile2 Z1200", "#BLTrackFile: Source file"])
def test_bltrackfiles_of_both_kinds_and_units_read_alike(config: Config, tmp_path: Path, unit: str, head: str) -> None:
    scale = {"mm": 1.0, "cm": 10.0}[unit]
    path = tmp_path / "beam.txt"
    path.write_text(
        f"{head}\n# x y z Px Py Pz t PDGid EvNum TrkId Parent weight\n"
        f"# {unit} {unit} {unit} MeV/c MeV/c MeV/c ns - - - - -\n"
        f"{20 / scale} {-5 / scale} 0 3.0 -1.5 3090 10 -13 1 1 0 1\n# a remark\n\n"
        f"{-20 / scale} {5 / scale} 0 0 0 3100 30 -13 2 1 0 1\n"
    )  # fmt: skip
    bunch = read(path, config, Frame())
    np.testing.assert_allclose(bunch.x, [0.02, -0.02], rtol=2 * EPS)
    np.testing.assert_allclose(bunch.time, [-10e-9, 10e-9], rtol=1e-14)  # the mean time becomes 0
    px, _, ps = momentum(bunch, RING_REFERENCE)
    np.testing.assert_allclose(px, [3e-3, 0.0], rtol=4 * EPS)
    np.testing.assert_allclose(ps, [3.090, 3.100], rtol=1e-12)


def test_bltrackfile_without_weight_units_or_names_is_the_standards(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "beam.txt"
    path.write_text("#BLTrackFile\n1 2 5 0 0 3094 1 -13 1 1 0\n1 2 5 0 0 3094 1 -13 2 1 0\n")
    bunch = read(path, config, Frame())
    np.testing.assert_allclose(bunch.x, 1e-3, rtol=2 * EPS)
    assert bunch.n == 2


def test_polarisation_of_a_bltrackfile_is_the_spin(config: Config, tmp_path: Path) -> None:
    path = tmp_path / "beam.txt"
    names = "#x y z Px Py Pz t PDGid EventID TrackID ParentID Weight PolX PolY PolZ"
    path.write_text(f"#BLTrackFile2 d\n{names}\n0 0 0 0 0 3094 0 -13 1 1 0 1 0.6 0 -0.8\n")
    bunch = read(path, config, Frame(yaw=0.1))
    np.testing.assert_allclose(bunch.sx, 0.6 * math.cos(0.1) - 0.8 * math.sin(0.1), rtol=4 * EPS)
    np.testing.assert_allclose(bunch.ss, -0.8 * math.cos(0.1) - 0.6 * math.sin(0.1), rtol=4 * EPS)
    path.write_text(f"#BLTrackFile2 d\n{names}\n0 0 0 0 0 3094 0 -13 1 1 0 1 0 0 0\n")
    phase = config.beam.spin_phase_rad + (3.094 / RING_REFERENCE.p0_gev - 1.0) * -1.0
    np.testing.assert_allclose(read(path, config, Frame()).sx, math.sin(phase), rtol=1e-12)


def test_units_and_the_reference_of_the_file_count(config: Config, tmp_path: Path) -> None:
    bunch = read(write_csv(tmp_path / "a.csv"), config)
    np.testing.assert_allclose(bunch.x, 1.5e-3, rtol=2 * EPS)
    np.testing.assert_allclose(bunch.px, 0.5e-3 / RING_REFERENCE.p0_gev, rtol=4 * EPS)
    np.testing.assert_allclose(bunch.energy, math.hypot(3.094, MASS), rtol=2 * EPS)
    assert np.all(np.isinf(bunch.stop_time))
    assert bunch.number.tolist() == [0, 1, 2, 3]
    own = some_muons()
    g2.write_bunch(own, tmp_path / "b.h5", RING_REFERENCE)
    weaker = reference(1.4500, 7.112)
    again = read(tmp_path / "b.h5", config, ref=weaker)
    np.testing.assert_allclose(again.px * weaker.p0_gev, own.px * RING_REFERENCE.p0_gev, rtol=4 * EPS)
    assert np.array_equal(again.energy, own.energy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x [mm]": None}, ("no column 'x'", "are due")),
        ({"momentum [GeV/c]": None}, ("energy, momentum and delta are all missing",)),
        ({"delta [%]": 0.1}, ("momentum and delta are both given", "exactly one")),
        ({"x [mm]": None, "x [inch]": 1}, ("'x' has unit 'inch'", "'mm'")),
        ({"x [mm]": None, "x": 1}, ("line 1", "'x' has no unit", "write x [m]")),
        ({"wieght": 1}, ("wieght", "did you mean 'weight'")),
        ({"x [mm]": [1, 2, "nan", 4]}, ("line 4, column 'x'", "nan", "row")),
        ({"x [mm]": [1, "inf", 3, 4]}, ("line 3, column 'x'", "inf")),
        ({"x [mm]": [1, 2, 3, "four"]}, ("line 5, column 'x'", "'four' is no number")),
        ({"y [mm]": [1, 2, "3,3", 4]}, ("line 4", "7 numbers where 6 are due")),
        ({"weight": [1, -2, 1, 1]}, ("line 3, column 'weight'", "-2 is negative")),
        ({"weight": 0}, ("all weights are 0",)),
        ({"momentum [GeV/c]": 0.3094}, ("no muon is within the acceptance", "0.56 %", "unit of the momentum")),
        ({"momentum [GeV/c]": None, "energy [GeV]": 0.1}, ("line 2", "not above the mass")),
        ({"px [MeV/c]": 4000}, ("line 2", "px and py leave nothing", "units")),
        ({"sx": 0.6, "sy": 0, "ss": 0.8001}, ("line 2, column 'sx, sy, ss'", "length 1.00008", "1e-06")),
        ({"sx": 1}, ("a spin of sx alone", "none of them")),
        ({"number": [0, 1, 1, 2]}, ("line 4, column 'number'", "1 comes twice")),
        ({"number": [0, 1, 1.5, 2]}, ("line 4, column 'number'", "1.5 is no count")),
        ({"state": [0, 0, 9, 0]}, ("line 4, column 'state'", "9 is no state")),
        ({"state": 1}, ("none of its muons is stored",)),
        ({"theta [deg]": [10, 10, 20, 10]}, ("line 4, column 'theta'", "one azimuth")),
        ({"theta [deg]": 400}, ("line 2, column 'theta'", "no azimuth")),
        ({"turn": [0, 0, 0, 1]}, ("line 5, column 'turn'", "one turn")),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_sentence(
    config: Config, tmp_path: Path, changes: dict[str, object], words: tuple[str, ...]
) -> None:
    path = write_csv(tmp_path / "bad.csv", changes)
    with pytest.raises(BunchFileError) as error:
        read(path, config)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def _species(file: h5py.File) -> None:
    file.attrs["species"] = "pi+"


def _no_unit(file: h5py.File) -> None:
    del file["x"].attrs["unit"]


def _short(file: h5py.File) -> None:
    values, unit = file["y"][:-1], file["y"].attrs["unit"]
    del file["y"]
    file["y"] = values
    file["y"].attrs["unit"] = unit


def _words(file: h5py.File) -> None:
    file["remark"] = "from the target"


def _bad_reference(file: h5py.File) -> None:
    file.attrs["p0_gev"] = -1.0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_species, ("species pi+", "mu+")),
        (_no_unit, ("column 'x' has no unit", "attribute 'unit'")),
        (_short, ("column 'y' holds 49 numbers, 'x' 50",)),
        (_words, ("'remark' is no column",)),
        (_bad_reference, ("p0_gev = -1.0", "above 0")),
    ],
)
def test_an_hdf5_file_that_cannot_be_used_is_refused_in_one_sentence(
    config: Config, tmp_path: Path, spoil: Callable[[h5py.File], None], words: tuple[str, ...]
) -> None:
    path = tmp_path / "bad.h5"
    g2.write_bunch(some_muons(), path, RING_REFERENCE)
    with h5py.File(path, "a") as file:
        spoil(file)
    with pytest.raises(BunchFileError) as error:
        read(path, config)
    for word in (str(path), *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("is empty",)),
        ("# nothing\n", ("is empty", "header line")),
        ("x [mm],px [p0],y [m],py [p0],time [s],delta\n", ("holds no muons",)),
        ("x [mm],x [m]\n1,2\n", ("line 1", "'x' comes twice")),
        ("# species = e+\nx [m]\n1\n", ("line 1", "species e+", "mu+")),
        ("# p0 [GeV/c] = three\nx [m]\n1\n", ("line 1", "'three' is no number")),
        ("#BLTrackFile\n", ("holds no muons",)),
        ("#BLTrackFile\n0 0 0 0 0 3094 1 -13 1 1 0 1\n0 0 0 0 0 3094 1 211 1 1 0 1\n", ("line 3", "PDGid 211", "-13")),
        ("#BLTrackFile\n0 0 0 0 0 -3094 1 -13 1 1 0 1\n", ("line 2", "against the beam")),
        ("#BLTrackFile\n0 0 0 0 0 nan 1 -13 1 1 0 1\n", ("line 2, column 'pz'", "nan")),
        ("#BLTrackFile\n0 0 0 0 0 3094 1 -13 1 1 0 -1\n", ("line 2, column 'weight'", "-1 is negative")),
        ("#BLTrackFile\n0 0 0 0 0 3094 1 -13\n", ("line 2", "8 numbers where 12 are due")),
        ("#BLTrackFile\n0 0 0 0 0 3094 1 -13 1 1 0 1\n0 0 9 0 0 3094 1 -13 1 1 0 1\n", ("one screen", "plane")),
        (
            "#BLTrackFile\n#x y z Px Py Pz t PDGid\n#ft ft ft MeV/c MeV/c MeV/c ns -\n0 0 0 0 0 3094 1 -13\n",
            ("line 3", "'x' has unit 'ft'", "mm"),
        ),
        ("#BLTrackFile\n#x y z Px Py t PDGid\n0 0 0 0 0 1 -13\n", ("line 2", "no column 'pz'")),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_in_one_sentence(
    config: Config, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(BunchFileError) as error:
        read(path, config, Frame())
    for word in (str(path), *words):
        assert word in str(error.value)


def test_a_broken_hdf5_file_is_refused(config: Config, tmp_path: Path) -> None:
    g2.write_bunch(some_muons(), tmp_path / "a.h5", RING_REFERENCE)
    whole = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(BunchFileError, match=r"cut\.h5: is a broken HDF5 file"):
        read(tmp_path / "cut.h5", config)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.xyz.*\.h5, \.hdf5, \.csv"):
        g2.write_bunch(some_muons(), tmp_path / "a.xyz", RING_REFERENCE)


def test_muons_outside_the_acceptance_are_counted_in_a_warning(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_csv(tmp_path / "a.csv", {"momentum [GeV/c]": [3.09, 3.094, 3.2, 3.3]})
    with caplog.at_level(logging.WARNING):
        assert read(path, config).n == 4
    (record,) = caplog.records
    assert "2 of 4 muons will be lost" in record.getMessage()
    assert "0.56 %" in record.getMessage()


def test_spins_a_little_off_are_normalised(config: Config, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", {"sx": 0.6, "sy": 0.0, "ss": 0.8000005})
    bunch = read(path, config)
    np.testing.assert_allclose(bunch.sx**2 + bunch.sy**2 + bunch.ss**2, 1.0, rtol=4 * EPS)


def test_resampling_takes_every_muon_its_share_of_times_rounded_up_or_down() -> None:
    n = 1000
    weight = np.random.default_rng(5).exponential(size=n)
    weight[::7] = 0.0
    bunch = Bunch.empty(n)._replace(x=np.arange(n) * 1.0)
    found = resampled(bunch, weight, FillKey(1, 1, 0, 0))
    copies = np.bincount(found.x.astype(int), minlength=n)
    share = n * weight / weight.sum()
    assert copies.sum() == n
    assert np.all((copies == np.floor(share)) | (copies == np.ceil(share)))
    assert np.array_equal(found.number, np.arange(n))
    again = resampled(bunch, weight, FillKey(1, 1, 0, 0))
    assert np.array_equal(found.x, again.x)
    assert not np.array_equal(found.x, resampled(bunch, weight, FillKey(2, 1, 0, 0)).x)


def test_equal_weights_leave_the_bunch_as_it_is(config: Config, tmp_path: Path) -> None:
    bunch = some_muons()
    g2.write_bunch(bunch, tmp_path / "a.h5", RING_REFERENCE, weight=np.full(50, 0.25))
    assert read(tmp_path / "a.h5", config).x.tobytes() == bunch.x.tobytes()


def test_lifetimes_are_drawn_only_for_muons_without_one() -> None:
    bunch = Bunch.empty(40_000).with_momentum(0.0, RING_REFERENCE)
    bunch.stop_time[:10] = 1e-5
    decaying = with_lifetimes(bunch, FillKey(1, 1, 0, 0))
    assert np.all(decaying.stop_time[:10] == 1e-5)
    mean = decaying.stop_time[10:].mean()
    assert abs(mean / (RING_REFERENCE.gamma0 * 2.1969803e-6) - 1.0) < 5 / math.sqrt(40_000)


def fills_of(path: Path, kind: str, per_fill: int, fills: int) -> Config:
    section = {"injected": "injection", "stored": "beam"}[kind]
    return g2.load(
        "ideal",
        {
            "beam.source": "file", "beam.file": str(path), "beam.file_kind": kind,
            f"{section}.muons_per_fill": per_fill, "run.fills": fills, "run.subruns": 2,
        },
    )  # fmt: skip


def test_each_fill_takes_the_next_muons_of_the_file(tmp_path: Path) -> None:
    bunch = some_muons()._replace(theta=np.zeros(50), turn=np.zeros(50, np.int64))
    path = tmp_path / "a.h5"
    config = g2.load("ideal")
    ring = g2.Ring(config)
    g2.write_bunch(bunch, path, ring.reference)
    setup = Setup.of(fills_of(path, "stored", 10, 5))
    assert not setup.injected
    fills = [setup.muons(FillKey(1, 1, subrun, fill)) for subrun, fill in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))]
    assert np.array_equal(np.concatenate([fill.x for fill in fills]), bunch.x)
    assert all(np.array_equal(fill.number, np.arange(10)) for fill in fills)
    assert all(np.all(np.isfinite(fill.stop_time)) for fill in fills)
    with pytest.raises(ConfigError, match=r"50 muons are too few for 6 fills of 10.*run\.fills or beam\.muons"):
        Setup.of(fills_of(path, "stored", 10, 6))
    g2.write_bunch(some_muons(), path, ring.reference)
    with pytest.raises(ConfigError, match=r"stand at 1\.25 rad.*azimuth 0"):
        Setup.of(fills_of(path, "stored", 10, 5))
    with pytest.raises(ConfigError, match=r"beam\.file and beam\.source"):
        g2.load("ideal", {"beam.source": "file"})
