"""The run database: deterministic JSON with the front end's names."""

import json

import numpy as np
import pytest

from gm2sim.raw import Readout, run_tree
from gm2sim.raw.odb import encode


def test_settings_are_where_the_front_end_keeps_them() -> None:
    tree = run_tree(15921, 2, 1_522_022_400, Readout(threshold_counts=-41), {})
    crates = [name for name in tree["Equipment"] if name.startswith("AMC13")]
    assert crates == [f"AMC13{number:02d}" for number in range(1, 25)]
    method = tree["Equipment"]["AMC1324"]["Settings"]["TQ01"]
    assert (method["waveform length"], method["Calo sum time decimation"]) == (560_000, 32)
    assert (method["array x-segments"], method["array y-segments"]) == (9, 6)
    assert method["global threshold value"] == -41
    assert tree["Runinfo"]["Start time"] == "Mon Mar 26 00:00:00 2018"
    assert tree["Runinfo"]["Start time binary"] == f"0x{1_522_022_400:08x}"
    channel = tree["Logger"]["Channels"]["0"]["Settings"]
    assert channel["Filename"] % (15921, 2) == channel["Current filename"] == "gm2_run15921_00002.mid"


def test_arrays_and_numpy_numbers_become_plain_json() -> None:
    gains = np.linspace(0.5, 1.5, 6).reshape(2, 3)
    tree = run_tree(1, 0, 0, Readout(crates=1), {"gains": gains, "seed": np.int64(7), "name": "\u03bc"})
    found = json.loads(encode(tree))["Simulation"]
    assert found["gains"] == gains.tolist()
    assert (found["seed"], found["name"], found["simulated"]) == (7, "\u03bc", True)


@pytest.mark.parametrize("length", range(8))
def test_text_is_ascii_of_whole_words_and_valid_without_its_last_byte(length: int) -> None:
    text = encode({"name": "x" * length})
    assert len(text) % 4 == 0
    assert text.isascii()
    assert json.loads(text[:-1]) == json.loads(text) == {"name": "x" * length}


def test_numbers_that_json_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"x": float("nan")})
    with pytest.raises(TypeError, match="set has no place in a run database"):
        encode({"x": {1}})
