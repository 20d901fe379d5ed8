"""The recipes of the page about the catalogue, run one after the other, and its table of fields."""

import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from gm2sim.__main__ import main
from gm2sim.catalog.fields import BY_ALIAS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "catalog.md").read_text("utf-8")


def recipes() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def test_the_recipes_do_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write_run: Callable[..., None]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GM2SIM_CATALOG", raising=False)
    write_run(tmp_path / "out" / "run1a")
    (tmp_path / "out" / "tracks_15921.h5").write_bytes(b"tracks")
    assert len(recipes()) > 20
    for command, printed in recipes():
        program, *arguments = shlex.split(command)
        assert program == "gm2sim"
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = capsys.readouterr()
        assert (ended.value.code == 2) == ("^" in "".join(printed)), (command, said)
        wanted = ".*".join(re.escape(part) for part in "\n".join(printed).split("..."))
        assert re.fullmatch(wanted, (said.out + said.err).rstrip("\n"), re.DOTALL), (command, said)
    block = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "recipe.py").write_text(block.group(1), "utf-8")
    found = runpy.run_path("recipe.py")
    assert found["raw"] == ["gm2_run15921_00000.mid", "gm2_run15921_00001.mid"]


def test_every_field_is_on_the_page() -> None:
    fields = PAGE[PAGE.index("| field | also |") :].split("\n\n")[0]
    assert set(re.findall(r"`([a-z0-9_]+)`", fields)) == set(BY_ALIAS)
