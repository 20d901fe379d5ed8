"""Every recipe of docs/raw-tools.md works as it is pasted, one after the other."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gm2sim.__main__ import _run
from gm2sim.raw.tools.export_columns import TABLES
from gm2sim.raw.tools.faults import KINDS

pytest.importorskip("uproot")
pytest.importorskip("pyarrow")

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "raw-tools.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language == kind]


def test_recipes_work_as_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("") for line in block.splitlines()]
    assert len(lines) > 12
    for line in lines:
        command, _, may_differ = line.partition(" || ")
        program, *arguments = shlex.split(command)
        assert program == "gm2sim"
        code, message = _run(arguments)
        assert (code, message) == (1 if may_differ else 0, ""), line
    for code_block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-c", code_block], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_page_names_every_fault_and_every_column() -> None:
    for kind in KINDS:
        assert f"`{kind}:" in PAGE, kind
    for table, columns in TABLES.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{table}` |"))
        missing = [name for name in columns if f"`{name}`" not in row and name not in ("run", "subrun", "event")]
        assert missing == []
