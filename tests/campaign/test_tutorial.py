"""The tutorial of campaigns, from its own text, on a Slurm of this machine."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gm2sim.__main__ import main
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.recover import KINDS
from gm2sim.campaign.shard import State
from tests import slurm as local

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "campaign.md").read_text("utf-8")
PATIENCE_S = 900.0


def recipes() -> list[tuple[str, list[str]]]:
    """Each command of the tutorial with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    reason = local.missing()
    if not reason and not Path(sys.executable).with_name("mpiexec").exists():
        reason = "no mpiexec beside this python: pip install 'gm2sim[mpi]'"
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with local.cluster(max(4, 2 * len(os.sched_getaffinity(0)))) as environment:
        threads = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        for name, value in (environment | threads | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"}).items():
            monkeypatch.setenv(name, value)
        yield


def wait(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.1)


def _idle() -> bool:
    command = ["squeue", "--noheader"]
    queue = subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    return not queue.stdout.strip()


def _at_work() -> bool:
    return any('"running"' in path.read_text() for path in Path("muons/shards/raw").glob("run*.json"))


def _run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code of a command, and what it prints."""
    if words[0] != "gm2sim":
        done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


@pytest.mark.usefixtures("cluster")
def test_the_tutorial_works_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = re.findall(r"^```toml title=\"muons.toml\"\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    Path("muons.toml").write_text(file)
    assert len(recipes()) >= 12
    for command, printed in recipes():
        words = shlex.split(command)
        assert words[0] in ("gm2sim", "scancel", "rm")
        # Whoever reads looks at the queue before he goes on; who launches twice does not wait.
        if words[0] == "scancel":
            wait(_at_work)
        elif not any(line.startswith("nothing is ready") for line in printed):
            wait(_idle)
        code, said = _run(words, capsys)
        assert code == (2 if "gm2sim: " in "".join(printed) else 0), (command, said)
        wanted = ".*".join(re.escape(part) for part in "\n".join(printed).split("..."))
        assert re.fullmatch(wanted, said.rstrip("\n"), re.DOTALL), (command, said)
    assert (tmp_path / "muons" / "page" / "index.html").is_file()
    assert len(list(tmp_path.glob("muons/raw/run0000?/*.mid"))) == 8


def test_every_state_every_recovery_and_every_setting_is_on_the_page() -> None:
    for name in [*KINDS, *(state.value for state in State)]:
        assert f"`{name}`" in PAGE, name
    for field, info in Campaign.model_fields.items():
        assert f"`{info.alias or field}`" in PAGE, field
