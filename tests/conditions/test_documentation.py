"""What the page says works as pasted, in order; every command ends in one sentence when it cannot."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from gm2sim.conditions import FileConditions
from gm2sim.conditions.database import DatabaseConditions
from gm2sim.conditions.records import KNOWN
from gm2sim.conditions.schema import FOLDER_TABLES
from gm2sim.database import opened
from tests.gm2sim.condition_files import gm2sim

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "conditions.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_works_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert gm2sim("conditions", "write", "run1a", "--out", "conditions.toml") == 0
    commands = [line for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 15
    for command in commands:
        mark, program, *arguments = shlex.split(command)
        assert (mark, program) == ("$", "gm2sim")
        assert gm2sim(*arguments) == 0, command
    assert "130" in capsys.readouterr().out  # the kickers' voltage
    for code in blocks("python"):
        exec(code, {})
    first, second = (
        FileConditions(Path("conditions.toml")).table("calo_gain", 15921, subrun)["counts_per_gev"] for subrun in (0, 1)
    )
    np.testing.assert_array_equal(second, 0.98 * first)
    whole, part = DatabaseConditions("conditions.sqlite", "2018-v1"), DatabaseConditions("jobs.sqlite")
    assert part.version == whole.version
    with opened("conditions.sqlite", read_only=True) as engine, engine.connect() as connection:
        published, held = (connection.execute(sa.text(query)).all() for query in blocks("sql"))
    assert published == []  # nothing begins at that moment here
    expected = whole.table("oof_correction", 15921, 2)["gain"].ravel().tolist()
    assert [row.oofcorrection for row in held] == expected


def test_every_folder_column_and_table_is_named_on_the_page() -> None:
    for name, folder in KNOWN.items():
        assert f"`{name}`" in PAGE
        for column in (*folder.columns, *folder.texts):
            short = re.sub(r"^(shift|turn)_[yz]$", r"\1_x", column.name)
            short = {"p1": "p0", "p2": "p0", "p3": "p0"}.get(short, short)
            assert f"`{short}`" in PAGE, (name, column.name)
    for table in (FOLDER_TABLES["stdp"],):
        for one in (table.data, table.iovs, table.tag_iovs, table.sets):
            assert f"`<folder>{one.name.removeprefix('stdp')}`" in PAGE


def test_the_examples_in_the_help_work_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gm2sim.cli_conditions import conditions_app, tag_app

    monkeypatch.chdir(tmp_path)
    said = {
        command.callback.__name__: re.findall(r"Example: gm2sim (.*)", command.callback.__doc__ or "")
        for app in (conditions_app, tag_app)
        for command in app.registered_commands
        if command.callback is not None
    }
    assert all(len(examples) == 1 for examples in said.values())
    order = (
        "conditions_init", "conditions_load", "conditions_tags", "conditions_check", "tag_freeze", "tag_clone",
        "conditions_snapshot", "conditions_export", "tag_drop", "conditions_show", "conditions_write",
    )  # fmt: skip
    assert set(order) | {"conditions_grant"} == set(said)  # that one needs a server
    for name in order:
        assert gm2sim(*shlex.split(said[name][0])) == 0, said[name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("show", "a preset or --db"),
        ("show run1a --db c.sqlite", "a preset or --db"),
        ("show --db c.sqlite", "give --run"),
        ("show --db none.sqlite --run 1", "there is no database"),
        ("show --db c.sqlite --run 1 --tag none", "no tag 'none'"),
        ("init no/such/c.sqlite", "no folder"),
        ("init mysql://host/name", "no kind of database"),
        ("load run1a --db none.sqlite --tag t", "there is no database"),
        ("load run1a --db empty.sqlite --tag t", "conditions init"),
        ("load none.json --db c.sqlite --tag t", "no conditions file"),
        ("load none.toml --db c.sqlite --tag t", "no conditions file"),
        ("load nopreset --db c.sqlite --tag t", "nopreset"),
        ("load run1a --db c.sqlite --tag t --run 9-1", "backwards"),
        ("load run1a --db c.sqlite --tag t --folder stdb", "did you mean 'stdp'"),
        ("load k.json --db c.sqlite --tag t --run 1-2", "leave --run and --set out"),
        ("load k.json --db c.sqlite --tag frozen", "is frozen"),
        ("load k.json --db c.sqlite --tag ''", "cannot name a tag"),
        ("tag freeze c.sqlite none", "no tag 'none'"),
        ("tag drop c.sqlite frozen", "is frozen"),
        ("tag clone c.sqlite frozen frozen", "already"),
        ("check c.sqlite --tag none", "no tag 'none'"),
        ("check c.sqlite --run x", "no range of runs"),
        ("snapshot c.sqlite --tag frozen --run 1-2 --out k.json", "exists already"),
        ("snapshot c.sqlite --tag frozen --run 90-91 --out s.sqlite", "nothing for runs"),
        ("export c.sqlite --tag frozen --run 5", "--json or --out"),
        ("export c.sqlite --tag frozen --run 5 --out k.json", "exists already"),
        ("export c.sqlite --tag frozen --run 99 --json", "for run 99"),
        ("grant c.sqlite --reader me", "no roles"),
    ],
)
def test_a_wrong_request_ends_with_code_2(
    capsys: pytest.CaptureFixture[str], sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: str, words: str,
) -> None:  # fmt: skip
    from tests.conditions.test_exchange import SMALL

    monkeypatch.chdir(tmp_path)
    Path("c.sqlite").write_bytes(sqlite_template.read_bytes())
    Path("k.json").write_text(SMALL)
    Path("empty.sqlite").touch()
    assert gm2sim("conditions", "load", "k.json", "--db", "c.sqlite", "--tag", "frozen") == 0
    assert gm2sim("conditions", "tag", "freeze", "c.sqlite", "frozen") == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".json"}
    capsys.readouterr()
    assert gm2sim("conditions", *shlex.split(arguments)) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("gm2sim: ")
    assert "\n" not in message
    assert words in message
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".json"}


def test_json_is_all_that_is_printed_and_gaps_have_a_code(
    capsys: pytest.CaptureFixture[str], sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conditions.test_exchange import SMALL

    monkeypatch.chdir(tmp_path)
    Path("c.sqlite").write_bytes(sqlite_template.read_bytes())
    Path("k.json").write_text(SMALL)

    def told(arguments: str, code: int = 0) -> object:
        capsys.readouterr()
        assert gm2sim("conditions", *shlex.split(arguments), "--json") == code
        return json.loads(capsys.readouterr().out)

    assert told("init c.sqlite") == {"database": "c.sqlite"}
    assert told("load k.json --db c.sqlite --tag t") == {"tag": "t", "intervals": 1, "sets": 1}
    assert told("check c.sqlite") == []
    assert told("check c.sqlite --run 5-6", 1) == [
        {"folder": "kicker_settings", "kind": "gap", "where": "6.0 to 6.end", "what": "no constants"}
    ]
    assert told("show --db c.sqlite --run 5 --folder kicker_settings")[1] == {  # type: ignore[index]
        "kicker": 2, "voltage [kV]": 130.0, "delay [ns]": 25.0
    }  # fmt: skip
    assert told("export c.sqlite --run 5")["interval_of_validity"] == {"run": 5}  # type: ignore[index]
    assert told("tag clone c.sqlite t u") == {"tag": "u", "parent": "t"}
    assert told("tag drop c.sqlite t") == {"dropped": "t"}
    assert [row["tag"] for row in told("tags c.sqlite")] == ["u"]  # type: ignore[attr-defined]
