"""Every notebook runs from the first to the last cell without a warning, and ends in an assert."""

import ast
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
LIMIT = 400  # s, of which 30 are the notebook's on a quiet core and the rest for compiling with an empty cache
LARGEST = 1_000_000  # bytes of an executed notebook

# ipykernel's own stop is the only thing that may still announce changes of its future.
EXECUTE = """
import sys
import jupytext
import nbformat
from nbclient import NotebookClient

source, target = sys.argv[1:]
strict = "import warnings; warnings.simplefilter('error'); warnings.simplefilter('ignore', PendingDeprecationWarning)"
notebook = jupytext.read(source)
notebook.cells.insert(0, nbformat.v4.new_code_cell(strict))
NotebookClient(notebook, kernel_name="python3").execute()
nbformat.write(notebook, target)
"""


@pytest.fixture
def tools() -> None:
    for name in ("jupytext", "nbclient", "ipykernel"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'gm2sim[docs]'")


def test_there_are_notebooks_and_each_is_in_the_gallery() -> None:
    gallery = (ROOT / "docs" / "notebooks.md").read_text("utf-8")
    assert NOTEBOOKS
    assert [path.name for path in NOTEBOOKS if f"(notebooks/{path.name})" not in gallery] == []


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_ends_in_an_assert(source: Path) -> None:
    assert isinstance(ast.parse(source.read_text("utf-8")).body[-1], ast.Assert)


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("tools")
def test_notebook_runs(source: Path, tmp_path: Path) -> None:
    # The kernel chooses how figures are drawn, as for a person; it must find gm2sim from any folder.
    environment = {name: value for name, value in os.environ.items() if name not in ("MPLBACKEND", "PYTHONWARNINGS")}
    paths = [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
    environment |= {"PYTHONPATH": os.pathsep.join(paths), "NUMBA_NUM_THREADS": "1"}
    target = tmp_path / f"{source.stem}.ipynb"
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(source), str(target)],
        cwd=here, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size < LARGEST
    assert list(here.iterdir()) == []  # nothing is left behind
    cells = json.loads(target.read_text("utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    # A progress bar or a message of the compiler would be on stderr, a figure without a picture a bare name.
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    shown = [output["data"] for output in outputs if "data" in output]
    assert shown
    assert [data for data in shown if "image/png" not in data] == []
