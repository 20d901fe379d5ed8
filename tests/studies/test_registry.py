"""Studies by name, their results as text and JSON, and the table of Run-1."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import gm2sim as g2
from gm2sim.cli import app
from gm2sim.config import Config, ConfigError
from gm2sim.report.published import DATA_SETS, Published, data_set_of
from gm2sim.studies.display import check_picture
from gm2sim.studies.outcome import Number
from gm2sim.studies.reproduce import mean_of_run, reproduce


def test_result_reads_as_value_error_published_and_formula() -> None:
    number = Number("C_e", 471.31, 1.23, "ppb", 469.84, Published(471.0, math.nan, "a paper"))
    assert str(number) == "C_e = 471.3 +- 1.2 ppb (published 471, formula 469.8)"
    assert number.pull == pytest.approx(0.31 / 1.23)
    assert math.isnan(Number("x", 1.0).pull)


def test_every_study_says_what_it_is_and_has_a_published_value_or_none() -> None:
    found = g2.studies.studies()
    assert set(found) >= {"e-field", "pitch", "muon-loss", "phase-acceptance", "differential-decay", "edm", "n-scan"}
    for one in found.values():
        assert 20 < len(one.summary) < 110
        values = [one.published(name) for name in DATA_SETS]
        assert all(value is None for value in values) == (one.key == "")
        assert one.published("") is None


def test_run_numbers_belong_to_their_data_sets() -> None:
    assert [data_set_of(g2.load(name).run.run) for name in DATA_SETS] == list(DATA_SETS)
    assert data_set_of(1) == ""


def test_same_seed_gives_the_same_numbers_and_another_seed_others(built: Config) -> None:
    first, again, other = (g2.studies.momentum_time(built, muons=1000, seed=seed).result for seed in (5, 5, 6))
    assert first == again
    assert first.value != other.value


@pytest.mark.parametrize(
    ("name", "muons", "message"),
    [("e-feild", None, "did you mean 'e-field'"), ("pitch", 3, "give 16 to 10000000")],
)
def test_wrong_request_gets_one_sentence(built: Config, name: str, muons: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        g2.studies.run_study(name, built, muons=muons)
    with pytest.raises(ConfigError, match="choose run1"):
        reproduce("run7")


def test_command_prints_json_in_full_precision_and_writes_the_picture(tmp_path) -> None:
    picture = tmp_path / "study.png"
    line = ["study", "momentum-time", "gasgun", "--set", "beam.bunch=t0", "--muons", "2000", "--plot", str(picture)]
    done = CliRunner().invoke(app, [*line, "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["study"] == "momentum-time"
    assert record["table"][0] == record["result"]
    cfg = g2.load("gasgun", {"beam.bunch": "t0"})
    found = g2.studies.momentum_time(cfg, muons=2000)
    assert record["result"]["value"] == found.result.value
    assert picture.read_bytes().startswith(b"\x89PNG")
    plot = found.plot()
    assert found.summary in plot.alt
    assert plot.table.rows.shape[1] == len(plot.table.columns) == 6
    assert np.isfinite(plot.table.rows[0]).all()


def test_picture_of_an_unknown_kind_is_refused_before_the_work() -> None:
    with pytest.raises(ConfigError, match="give the file such an ending"):
        check_picture(Path("study.pgn"))


def test_list_of_studies_is_complete() -> None:
    done = CliRunner().invoke(app, ["studies", "--json"])
    assert done.exit_code == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == set(g2.studies.studies())
    assert rows["e-field"]["published, Run-1a to 1d"] == "471, 464, 534, 475"


def test_mean_of_run_1_weighs_with_positrons() -> None:
    rows = [Number("C_e", value, 1.0, "ppb", value) for value in (471.0, 464.0, 534.0, 475.0)]
    mean = mean_of_run(rows)
    # (0.92 * 471 + 1.28 * 464 + 1.98 * 534 + 4.00 * 475) / 8.18; published 489 with the weights unrounded.
    assert mean.value == pytest.approx(487.11, abs=0.01)
    assert mean.formula == mean.value
    assert 0.5 < mean.error < 0.65
    assert mean.published is not None
    assert mean.published.value == 489.0
