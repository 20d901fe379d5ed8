"""The recipes of the page about data quality work as pasted, in order, with a smaller run."""

import json
import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest

from gm2sim.timeline import FillType
from tests.gm2sim.condition_files import gm2sim

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "quality.md").read_text("utf-8")
# Three fills of four are good and hold enough positrons for a fit; the last value that is given counts.
SMALLER = (
    "--fills", "4", "--set", "beam.muons_per_fill=350", "--set", "tracking.fill_duration_us=200",
    "--set", "daq.pedestal_every=2", "--set", "daq.q_method=false", "--no-report",
)  # fmt: skip


def recipes() -> list[list[str]]:
    """The arguments of each command."""
    recipes = PAGE[PAGE.index("## Recipes") : PAGE.index("## Faults")]
    lines = [line for block in re.findall(r"```\n(.*?)```", recipes, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line) for line in lines]


def test_the_recipes_of_the_page_work_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = recipes()
    assert len(commands) >= 15
    for program, *arguments in commands:
        assert program == "gm2sim"
        smaller = SMALLER if arguments[0] == "run" else ()
        assert gm2sim(*arguments, *smaller) == 0, (arguments, capsys.readouterr().err)
        said = capsys.readouterr().out
        if "--json" in arguments:
            muons = [row["flags"] != 0 for row in json.loads(said) if row["fill_type"] == FillType.MUONS]
            assert sorted(muons) == [False, False, False, True]
    with h5py.File("reco.h5") as one, h5py.File("reco_first.h5") as other:
        assert len(one["clusters/energy"]) > 100
        for name, column in one["clusters"].items():  # a file and a database give the same constants
            np.testing.assert_array_equal(other[f"clusters/{name}"][:], column[:])
