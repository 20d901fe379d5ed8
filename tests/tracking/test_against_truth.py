"""The tracker against the Cartesian truth: discrete ring, field map, dipole moment."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks.accuracy import halved_step
from fields.quads import QuadSettings
from fields.ring import Ring
from fields.storage import StorageField
from tracking.muon import RIGIDITY, magic_momentum, reference

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    """Import a file beside this one (pytest's importlib mode does not put the folder on the path)."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


truth = _load("truth")
made = _load("make_truth_numbers")
STORED = json.loads((HERE / "truth_numbers.json").read_text())
CASES = list(made.AMPLITUDES)
# omega_a [relative]: what the step promises at 24 kicks; the spin's error is of second order in the slice
# and grows with the square of the amplitude, from 0.015 ppb at 10/10 mm.
LIMIT = {"small": 1e-10, "radial": 1e-10} | dict.fromkeys(("large", "outer", "high", "edge"), 5e-10)


def _compare(name: str, **how: object) -> dict[str, dict[str, float]]:
    posed = made.problem(name)
    starts = [posed.start(*values) for values in made.AMPLITUDES.values()]
    motions = posed.ours(starts, STORED["turns"], **how)
    expected = STORED["cases"][name]
    difference = {}
    for case, motion in zip(CASES, motions, strict=True):
        ours, true = truth.numbers(motion), expected[case]
        difference[case] = {k: ours[k] - true[k] for k in ("nu_x", "nu_y", "mean_u")}
        difference[case] |= {k: ours[k] / true[k] - 1.0 for k in ("omega_a", "period")}
    return difference


@pytest.fixture(scope="module")
def default() -> dict[str, dict[str, float]]:
    return _compare("pure")


@pytest.mark.parametrize("case", CASES)
def test_default_step_has_the_tunes_of_the_truth(default: dict, case: str) -> None:
    assert abs(default[case]["nu_x"]) < 1e-7
    assert abs(default[case]["nu_y"]) < 1e-7


@pytest.mark.parametrize("case", CASES)
def test_default_step_has_the_anomalous_precession_of_the_truth(default: dict, case: str) -> None:
    assert abs(default[case]["omega_a"]) < LIMIT[case]


@pytest.mark.parametrize("case", CASES)
def test_default_step_has_the_period_and_closed_orbit_of_the_truth(default: dict, case: str) -> None:
    # 2 ppb of the period is 0.1 mm after 5000 turns; 5e-10 of R0 is 4 nm.
    assert abs(default[case]["period"]) < 2e-9
    assert abs(default[case]["mean_u"]) < 5e-10


@pytest.mark.parametrize("case", CASES)
def test_field_map_keeps_the_accuracy(case: str) -> None:
    difference = _compare_map()[case]
    assert abs(difference["nu_x"]) < 3e-7
    assert abs(difference["nu_y"]) < 3e-7
    assert abs(difference["omega_a"]) < max(LIMIT[case], 1e-10)


_MAP: dict[str, dict[str, float]] = {}


def _compare_map() -> dict[str, dict[str, float]]:
    if not _MAP:
        _MAP.update(_compare("map"))
    return _MAP


def test_refined_pefrl_converges_to_the_truth() -> None:
    # Fourth order, 192 kicks: (1/4)^4 of the 2.5e-8 of 48 kicks is 1e-10. The spin's error is of second
    # order, 1/16 of 0.1 ppb at large amplitude.
    difference = _compare("pure", scheme="pefrl", refine=4)
    for case in CASES:
        assert abs(difference[case]["nu_x"]) < 3e-10
        assert abs(difference[case]["nu_y"]) < 3e-10
        assert abs(difference[case]["period"]) < 1e-11
    for case in ("small", "radial", "large"):
        assert abs(difference[case]["omega_a"]) < 1e-11


def test_stored_truth_is_what_the_truth_gives() -> None:
    # Same code, other turns: the tune of the first 100 turns needs a looser bound than 3000, so compare
    # motion instead. The order-16 steps of 6.5 deg are converged: halving them moves nothing above
    # rounding of 100 turns.
    posed = made.problem("pure")
    start = posed.start(*made.AMPLITUDES["large"])
    coarse, fine = posed.truth(start, 400), posed.truth(start, 60, step_deg=3.25)
    assert np.abs(coarse[: len(fine)] - fine)[:, [0, 1, 2, 3, 5, 6, 7]].max() < 1e-13
    window = truth.numbers(coarse)
    assert abs(window["omega_a"] / STORED["cases"]["pure"]["large"]["omega_a"] - 1.0) < 1e-8


def _compare_motion(posed: object, start: np.ndarray, turns: int, **how: object) -> np.ndarray:
    """Largest difference of each variable over the turns."""
    difference = posed.ours([start], turns, **how)[0] - posed.truth(start, turns)
    return np.abs(difference).max(axis=0)


@pytest.fixture(scope="module")
def plates() -> object:
    """Real plates up to the 20-pole and a dipole moment, which lifts the spin to 4 %."""
    ring = Ring.reference()
    b0 = magic_momentum() / (RIGIDITY * ring.radius)
    ref = reference(b0, ring.radius)
    quads = QuadSettings(fringe=False).with_field_index(0.108, ring, b0, ref.beta0)
    return truth.Problem(ring, quads, StorageField.uniform(b0), made.ANOMALY, eta=1e-4)


def test_quad_multipoles_follow_the_truth(plates: object) -> None:
    # The commutator folded into the kicks is the quadrupole's only. What is left of the 12- and 20-pole's
    # own shifts the tunes by 3e-7 (x) and 6e-7 (y) at 25/25 mm: 2e-4 rad in 60 turns, times the amplitude
    # of 3.5e-3.
    start = plates.start(0.025, 0.025, 7e-4)
    motion = plates.truth(start, 60)
    coarse = np.abs(plates.ours([start], 60)[0] - motion).max(axis=0)
    fine = np.abs(plates.ours([start], 60, scheme="pefrl", refine=4)[0] - motion).max(axis=0)
    assert coarse[[0, 2]].max() < 2e-6
    # Fourth order: with 192 kicks the position is good to a nanometre and the spin to 1e-9.
    assert fine[[0, 2]].max() < 1e-9 / 7.112
    assert fine[[5, 7]].max() < 1e-9
    # The moment lifts the spin by eta/(2a) beta; its action at the quad edges is left out, 1e-6 of that.
    assert math.isclose(np.abs(motion[:, 6]).max(), 0.0429, rel_tol=0.02)
    assert fine[6] < 1e-7


def test_half_the_step_moves_no_muon_of_run1a_by_a_ppb() -> None:
    # Plates to the 20-pole, effective edges and a map: muons up to the edge of the aperture.
    largest, mean, _ = halved_step({}, turns=400)
    assert 0.0 < mean < largest < 1.0
