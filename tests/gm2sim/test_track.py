"""gm2sim track: a tracked file holds what tracking in memory gives, and wrong requests are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import gm2sim as g2
from gm2sim.__main__ import main
from gm2sim.setup import Setup
from gm2sim.track import track
from gpu.rng import FillKey
from tracking.bunch import Bunch, State

COLUMNS = ("x", "px", "y", "py", "time", "sx", "sy", "ss", "alive")


@pytest.fixture
def gm2sim(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def config() -> g2.Config:
    return g2.load("run1a")


@pytest.fixture(scope="module")
def ring(config: g2.Config) -> g2.Ring:
    return g2.Ring(config)


@pytest.fixture(scope="module")
def muons(config: g2.Config, ring: g2.Ring) -> Bunch:
    return g2.Bunch.stored(config, n=700, seed=5, ring=ring)


@pytest.fixture(scope="module")
def file(muons: Bunch, ring: g2.Ring, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("muons") / "in.h5"
    g2.write_bunch(muons, path, ring.reference)
    return path


def test_a_tracked_file_is_the_bunch_tracked_in_memory_to_the_last_bit(
    config: g2.Config, ring: g2.Ring, muons: Bunch, file: Path, tmp_path: Path
) -> None:
    """In groups of 256 muons, whatever the memory; muons that decay and hit collimators among them."""
    observers = (0.0, 180.0)
    memory = 65 * 256 * 2 * 100 + 1
    found = track(config, file, 300, tmp_path / "o.h5", every=3, observers=observers, memory=memory, progress=False)
    whole = ring.track(muons, 300, every=3, observers=np.radians(observers), progress=False)
    with h5py.File(tmp_path / "o.h5") as tracked:
        for name in COLUMNS:
            then = getattr(whole.samples, name)
            assert tracked[name].shape == then.shape
            assert tracked[name][:].astype(then.dtype).tobytes() == then.tobytes(), name
            assert tracked[name].attrs["meaning"]
            assert tracked[name].compression == "gzip"
        assert tracked["turn"][:].tolist() == list(range(0, 300, 3))
        assert np.array_equal(tracked["observer"][:], np.radians(observers))
        for name in Bunch._fields:
            assert tracked["final"][name][:].tobytes() == getattr(whole.bunch, name).tobytes(), name
    state = whole.bunch.state
    assert found.stored == (state == State.STORED).sum()
    assert found.decayed == (state == State.DECAYED).sum() > 0
    assert found.lost == (state > State.DECAYED).sum() > 0
    assert [path.name for path in tmp_path.iterdir()] == ["o.h5"]


def test_a_tracked_file_goes_on_as_a_bunch_file(config: g2.Config, ring: g2.Ring, file: Path, tmp_path: Path) -> None:
    track(config, file, 20, tmp_path / "a.h5", progress=False)
    bunch = g2.Bunch.from_file(tmp_path / "a.h5", config, ring=ring)
    assert np.all(bunch.turn[bunch.state == State.STORED] == 20)


def test_kicked_muons_feel_kickers_and_metal_as_those_of_an_injected_fill(tmp_path: Path) -> None:
    """Muons of a file at the inflector exit are those of the injected beam; after the first quad, those tracked."""
    from gm2sim.injection import injected_beam
    from tracking.inject import sample_injected

    config = g2.load("run1a", {"beam.source": "injected", "injection.kicked_turns": 4, "scraping.on": True})
    key = FillKey(config.run.seed, config.run.run, 0, 0)
    plain = g2.Ring(config)
    at_exit = sample_injected(injected_beam(config), key, 600, plain.reference)
    g2.write_bunch(at_exit, tmp_path / "exit.h5", plain.reference)
    given = config.with_(
        beam__source="file", beam__file=str(tmp_path / "exit.h5"), injection__muons_per_fill=600, run__fills=1,
        run__subruns=1,
    )  # fmt: skip
    setup = Setup.of(given)
    ring = setup.ring
    entered = ring.injection.inject(key, 600)
    from_file = setup.muons(key)
    for name in Bunch._fields:
        assert getattr(from_file, name).tobytes() == getattr(entered, name).tobytes(), name

    g2.write_bunch(entered, tmp_path / "in.h5", ring.reference)
    track(config, tmp_path / "in.h5", 9, tmp_path / "o.h5", every=3, kicked=True, progress=False)
    first = ring.track(entered, 6, every=3, kicked=True, metal_key=key, progress=False)
    last = ring.track(first.bunch, 3, every=3, metal_key=key, progress=False)
    with h5py.File(tmp_path / "o.h5") as tracked:
        samples = np.concatenate([first.samples.x, last.samples.x], axis=1)
        assert tracked["x"][:].tobytes() == samples.tobytes()
        assert tracked["final/state"][:].tobytes() == last.bunch.state.tobytes()


def test_the_command_writes_a_file_and_says_what_became_of_the_muons(gm2sim, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    arguments = ("track", "run1a", "--bunch", str(file), "--turns", "5", "--out", str(out), "--observer", "90")
    code, text, _ = gm2sim(*arguments)
    assert code == 0
    assert text.startswith("700 muons for 5 turns: ")
    assert str(out) in text
    code, text, error = gm2sim(*arguments)
    assert code == 2
    assert "--force" in error
    code, text, _ = gm2sim(*arguments, "--force", "--json", "--every", "2")
    assert code == 0
    assert json.loads(text)["samples"] == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--turns": "0"}, ("--turns 0",)),
        ({"--every": "0"}, ("--every 0",)),
        ({"--observer": "360"}, ("--observer 360", "0 to below 360")),
        ({"--backend": "fpga"}, ("fpga", "auto, cpu or gpu")),
        ({"--at": "Q9"}, ("'Q9'", "valid names", "C1")),
        ({"--bunch": "no/such.h5"}, ("no/such.h5", "path")),
        ({"--out": "no/such/o.h5"}, ("no folder 'no/such'",)),
        ({"--bunch": "{out}/bad.csv"}, ("bad.csv", "line 1", "no column")),
    ],
)
def test_a_wrong_request_gets_one_sentence_and_code_2(
    gm2sim, file: Path, tmp_path: Path, changes: dict[str, str], words: tuple[str, ...]
) -> None:
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    options = {"--bunch": str(file), "--turns": "2", "--out": str(tmp_path / "o.h5")} | changes
    arguments = [word.replace("{out}", str(tmp_path)) for pair in options.items() for word in pair]
    code, _, error = gm2sim("track", "ideal", *arguments)
    assert code == 2, error
    assert "\n" not in error.strip()
    for word in words:
        assert word in error
    assert not (tmp_path / "o.h5").exists()


def test_the_file_of_muons_is_never_the_output(gm2sim, file: Path) -> None:
    code, _, error = gm2sim("track", "ideal", "--bunch", str(file), "--turns", "1", "--out", str(file), "--force")
    assert code == 2
    assert "the file of muons itself" in error
