"""The run database: deterministic JSON with the front end's names."""

import json

import numpy as np
import pytest

from gm2sim.raw import Readout, run_tree
from gm2sim.raw.odb import compression, encode


def test_settings_are_where_the_front_end_keeps_them() -> None:
    tree = run_tree(15921, 2, 1_522_022_400, Readout(threshold_counts=-41), {})
    crates = [name for name in tree["Equipment"] if name.startswith("AMC13")]
    assert crates == [f"AMC13{number:02d}" for number in range(25)]
    method = tree["Equipment"]["AMC1324"]["Settings"]["TQ01"]
    assert (method["waveform length"], method["Calo sum time decimation"]) == (560_000, 32)
    assert (method["array x-segments"], method["array y-segments"]) == (9, 6)
    assert method["global threshold value"] == -41
    assert tree["Runinfo"]["Start time"] == "Mon Mar 26 00:00:00 2018"
    assert tree["Runinfo"]["Start time binary"] == f"0x{1_522_022_400:08x}"
    channel = tree["Logger"]["Channels"]["0"]["Settings"]
    assert channel["Filename"] % (15921, 2) == channel["Current filename"] == "gm2_run15921_00002.mid"


def test_front_ends_say_what_their_boards_are_and_how_they_compress() -> None:
    monitor = {"Channels": ["a", "b"], "Waveform length": 800, "Asynchronous": {"Channel numbers": [20, 25]}}
    readout = Readout(compression="event", asynchronous=(88, 8))
    tree = run_tree(1, 0, 0, readout, {}, {33: monitor}, stations=(0, 1), bin_ps=600, suffix=".mid.gz", limit=7)
    equipment = tree["Equipment"]
    calorimeter, laser = equipment["AMC1307"]["Settings"], equipment["AMC1333"]["Settings"]
    assert [name for name in calorimeter if name.startswith("Rider")] == [f"Rider{n:02d}" for n in range(1, 12)]
    assert [name for name in calorimeter["Rider11"] if name != "Board"] == [f"Channel{n:02d}" for n in range(4)]
    assert calorimeter["TQ01"]["Rider02"]["Channel04"] == {
        "Det x-segmt (for array map)": 1, "Det y-segmt (for array map)": 2
    }  # fmt: skip
    assert calorimeter["Rider01"]["Board"]["Trigger Type 2: Waveform Count"] == "0x00000004"
    assert calorimeter["Rider01"]["Board"]["FPGA Firmware Version Required"] == "2.3.5"
    assert [name for name in laser if name.startswith("Rider")] == ["Rider01", "Rider05", "Rider06"]
    assert laser["Rider05"]["Board"]["Async Mode: Enabled"] is True
    assert laser["Rider05"]["Board"]["Async Mode: Waveform Length"] == "0x00000058"
    assert laser["Rider01"]["Board"]["Async Mode: Enabled"] is False
    assert laser["Monitor"] == monitor
    assert compression(tree) == dict.fromkeys(range(1, 25), "event")
    assert [name for name in equipment if name.startswith("Straw")] == ["StrawTrackerDAQ01", "StrawTrackerDAQ02"]
    assert equipment["StrawTrackerDAQ02"]["Settings"]["TDC bin (ps)"] == 600
    assert {"MasterGM2", "EB", "AMC1300"} <= set(equipment)
    logger = tree["Logger"]["Channels"]["0"]["Settings"]
    assert (logger["Current filename"], logger["Subrun Byte limit"]) == ("gm2_run00001_00000.mid.gz", 7)
    with pytest.raises(ValueError, match="do not know compression 'zip'"):
        Readout(compression="zip")


def test_all_crates_take_less_than_a_megabyte() -> None:
    text = encode(run_tree(1, 0, 0, Readout(), {}, {crate: {"Channels": list(range(54))} for crate in range(25, 34)}))
    assert len(text) < 1_000_000
    assert text.count(b"\n") > 24


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
