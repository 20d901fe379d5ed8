"""The commands about raw files: exit codes, JSON, one sentence for what is wrong."""

import json
from pathlib import Path

import pytest

from gm2sim.__main__ import _run


def test_same_is_0_different_is_1_and_wrong_is_2(
    raw_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.mid"
    assert _run(["raw", "inject", str(raw_file), "--fault", "bitflip:3:payload", "--out", str(bad)]) == (0, "")
    assert _run(["raw", "diff", str(raw_file), str(raw_file)]) == (0, "")
    assert _run(["raw", "diff", str(raw_file), str(bad)]) == (1, "")
    assert _run(["raw", "diff", str(raw_file), str(bad), "--bytes"]) == (1, "")
    for arguments, words in (
        (["diff", str(raw_file), str(tmp_path)], "give two files or two folders"),
        (["diff", str(raw_file), str(tmp_path / "none.mid")], "there is no"),
        (["inject", str(raw_file), "--fault", "rust", "--out", str(tmp_path / "b.mid")], "there is no kind 'rust'"),
        (["inject", str(raw_file), "--fault", "swap", "--out", str(bad)], "is not overwritten"),
        (["inject", str(raw_file), "--fault", "swap", "--out", str(tmp_path / "b.txt")], "does not end in .mid"),
        (["pack", str(raw_file), "--out", str(tmp_path / "p"), "--compression", "rar"], "choose none, gz, lz4"),
        (["export", str(raw_file), "--out", str(tmp_path / "a.root"), "--what", "muons"], "--what muons is not known"),
        (["dump", str(raw_file), "--plot", str(tmp_path / "a.png")], "--plot needs --bank"),
        (["dump", str(raw_file), "--island", "1"], "--island goes with --plot"),
    ):
        code, message = _run(["raw", *arguments])
        assert code == 2
        assert words in message
        assert "\n" not in message
    capsys.readouterr()


def test_json_is_all_that_is_printed(raw_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, packed, islands = tmp_path / "bad.mid", tmp_path / "packed", tmp_path / "islands.parquet"

    def told(*arguments: str) -> dict[str, object]:
        _run(["raw", *arguments, "--json"])
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert told("inject", str(raw_file), "--fault", "swap:0,1", "--out", str(bad))["asked_for"] == ["swap:0,1"]
    assert told("diff", str(raw_file), str(bad)) == {"same": True, "differences": 0, "shown": []}
    assert told("diff", str(raw_file), str(bad), "--bytes")["same"] is False
    assert len(told("pack", str(raw_file), "--out", str(packed), "--fills", "2")) == 3
    pytest.importorskip("pyarrow")
    assert told("export", str(raw_file), "--out", str(islands), "--what", "islands")["out"] == str(islands)
    assert "crystal" in str(told("dump", str(raw_file), "--bank", "CS01", "--plot", str(tmp_path / "a.png"))["shows"])


def test_output_stays_short_however_much_differs(
    raw_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.mid"
    _run(["raw", "inject", str(raw_file), "--fault", "bitflip:5000:payload", "--out", str(bad)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 22
    assert lines[-2] == f"and 4980 more in {bad}.faults.json"
    _run(["raw", "diff", str(raw_file), str(bad)])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert max(map(len, lines)) < 400
