"""The golden sample: a real fill of an earlier day still reads, and today's program still makes it."""

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from gm2sim.raw import check, open_run
from gm2sim.reco import reconstruct

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def maker():
    """The script that made the sample."""
    spec = importlib.util.spec_from_file_location("golden_make", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def facts():
    return json.loads((GOLDEN / "facts.json").read_text())


def test_the_sample_is_small_and_sound():
    assert sum(path.stat().st_size for path in GOLDEN.glob("golden.*")) < 4_000_000
    assert check(GOLDEN / "golden.mid") == []


def test_the_sample_still_reads_and_reconstructs_to_the_same_positrons(facts):
    (event,) = list(open_run(GOLDEN / "golden.mid"))
    assert sum(event.islands(crate).length.size for crate in event.crates) == facts["islands"]
    energy = reconstruct(GOLDEN / "golden.mid").energy
    # Written with 6 digits; between kinds of CPU the fit rounds differently in the last of 15.
    np.testing.assert_allclose(np.sort(energy[energy > 1.0]), facts["energies_above_1_gev"], atol=1e-6)


def test_todays_program_makes_the_same_sample(maker, facts, tmp_path):
    """Equal up to rounding between kinds of CPU: a sample may then differ by one count, very rarely."""
    maker.make(tmp_path / "out")
    made, kept = (open_run(path) for path in (tmp_path / "out" / f"{maker.STEM}.mid", GOLDEN / "golden.mid"))
    (now,), (then,) = list(made), list(kept)
    assert now.crates == then.crates
    differing = total = 0
    for crate in now.crates:
        mine, theirs = now.islands(crate), then.islands(crate)
        np.testing.assert_array_equal(mine.time, theirs.time)
        np.testing.assert_array_equal(mine.length, theirs.length)
        for one, other in zip(mine, theirs, strict=True):
            change = np.abs(one.samples.astype(int) - other.samples)
            assert change.max() <= 1
            differing += int(np.count_nonzero(change))
            total += change.size
    assert differing <= 1e-4 * total
    truths = (tmp_path / "out" / f"{maker.STEM}.truth.h5", GOLDEN / "golden.truth.h5")
    with h5py.File(truths[0]) as mine, h5py.File(truths[1]) as theirs:
        np.testing.assert_array_equal(mine["muons/state"][:], theirs["muons/state"][:])
        np.testing.assert_allclose(mine["muons/x"][:], theirs["muons/x"][:], atol=1e-9)
        np.testing.assert_allclose(mine["muons/sx"][:], theirs["muons/sx"][:], atol=1e-9)
