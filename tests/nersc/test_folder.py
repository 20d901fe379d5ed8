"""The folder nersc/: what it promises is there, scripts are good bash, and do what they say without a NERSC."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from gm2sim.cli import app

ROOT = Path(__file__).resolve().parents[2]
NERSC = ROOT / "nersc"
README = (NERSC / "README.md").read_text("utf-8")
SCRIPTS = sorted(NERSC.rglob("*.sh"))
TEXTS = [path for path in NERSC.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".py")]


def commands() -> list[list[str]]:
    """Every gm2sim command line of the README."""
    lines = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        for place, word in enumerate(words):
            begins = place == 0 or words[place - 1] == "-m"
            if word in ("gm2sim", "gm2sim.start") and begins:
                found.append(words[place + 1 :])
    return found


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    top = typer.main.get_command(app)
    assert len(commands()) > 10
    for words in commands():
        here, rest = top, list(words)
        while rest and hasattr(here, "commands"):
            if rest[0] == "campaign" and "campaign" not in here.commands:
                break  # the commands about campaigns are not in this installation
            assert rest[0] in here.commands, words
            here = here.commands[rest.pop(0)]
        else:
            known = {option for one in here.params for option in (*one.opts, *one.secondary_opts)}
            for word in rest:
                if word.startswith("--"):
                    assert word.partition("=")[0] in known, words


def test_every_file_that_the_readme_names_is_there_and_every_file_is_named() -> None:
    named = {
        found.removeprefix("nersc/") for found in re.findall(r"`([\w./]+\.(?:sh|lua|tcl|json|j2|cpu|gpu))`", README)
    }
    for name in named:
        assert (NERSC / name).is_file(), name
    for name in re.findall(r"nersc/[\w./]+\.\w+", README):
        assert (ROOT / name).is_file(), name
    templates = {f"templates/{path.name}" for path in (NERSC / "templates").glob("*.j2")} - {"templates/leaving.sh.j2"}
    assert templates <= named


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_good_bash(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text().startswith("#!/bin/bash\n")
    assert os.access(path, os.X_OK)


def test_no_file_holds_a_home_a_user_or_a_limit() -> None:
    for path in TEXTS:
        text = path.read_text("utf-8")
        assert not re.search(r"/global/(homes|u\d)|/pscratch/sd|/home/(?!g/gm2)", text), path
        if path.suffix == ".j2":
            assert "--qos" not in text, path


def test_kernel_and_modules_know_nothing_but_their_folder() -> None:
    kernel = json.loads((NERSC / "jupyter" / "kernel.json").read_text())
    assert kernel["language"] == "python"
    assert kernel["argv"][-1] == "{connection_file}"
    for name in ("gm2sim.lua", "gm2sim.tcl"):
        assert set(re.findall(r"@\w+@", (NERSC / "modules" / name).read_text())) == {"@FOLDER@", "@VERSION@"}


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_images_hold_every_package_and_stand_on_mpich(name: str) -> None:
    text = (NERSC / "containers" / f"Containerfile.{name}").read_text()
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for source in copied.split():
            assert (ROOT / source).exists(), source
    assert "startswith('MPICH')" in text
    assert "mpi" in re.findall(r'"\.\[([\w,-]+)\]"', text)[0].split(",")


def run(script: str, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(NERSC / script), *map(str, words)],
        env=os.environ | more, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of what looks like an installation."""
    (tmp_path / "software" / "bin").mkdir(parents=True)
    (tmp_path / "software" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "software" / "lib").mkdir()
    (tmp_path / "software" / "lib" / "module.py").write_text("value = 7\n")
    (tmp_path / "compiled" / "gm2sim").mkdir(parents=True)
    (tmp_path / "compiled" / "gm2sim" / "kernel.nbc").write_text("code")
    done = run("pack.sh", tmp_path / "software", tmp_path / "gm2sim.tar", tmp_path / "compiled")
    assert done.returncode == 0, done.stderr
    return tmp_path / "gm2sim.tar"


def test_an_archive_is_read_once_for_a_node_whoever_asks_at_once(archive: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "tar").write_text(f'#!/bin/bash\necho read >> "{tmp_path}/reads"\nsleep 0.2\nexec /bin/tar "$@"\n')
    (programs / "tar").chmod(0o755)
    settings = {"GM2SIM_NODE_FOLDER": str(tmp_path / "node"), "PATH": f"{programs}:{os.environ['PATH']}"}
    (tmp_path / "node").mkdir()
    asking = [
        subprocess.Popen(
            ["bash", str(NERSC / "stage_in.sh"), str(archive)],
            env=os.environ | settings, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(8)
    ]  # fmt: skip
    places = {one.communicate(timeout=60)[0].strip() for one in asking}
    assert {one.returncode for one in asking} == {0}
    place = Path(places.pop())
    assert places == set()
    assert (tmp_path / "reads").read_text().count("read") == 1
    assert (place / "lib" / "module.py").read_text() == "value = 7\n"
    assert (place / "compiled" / "gm2sim" / "kernel.nbc").read_text() == "code"
    assert place.parent.stat().st_mode & 0o077 == 0


def test_a_shard_made_by_hand_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    program = tmp_path / "gm2sim"
    program.write_text(
        "#!/bin/bash\n"
        'while [ "$1" != --out ]; do shift; done\n'
        'touch "$2/config.toml"; echo "$@" >> "$2/calls"\n'
        f'[ -e "{tmp_path}/asked" ] && rm "{tmp_path}/asked" && exit 75\nexit 0\n'
    )
    program.chmod(0o755)
    (tmp_path / "asked").touch()
    words = ("run1a", 15921, 8, 3, tmp_path / "out", "--fills", 2)
    finished = tmp_path / "out" / "00000" / "run15924"
    assert run("run_shard.sh", *words, GM2SIM=str(program)).returncode == 75
    assert not finished.exists()
    for _ in range(2):
        assert run("run_shard.sh", *words, GM2SIM=str(program)).returncode == 0
    calls = (finished / "calls").read_text().splitlines()
    assert ["--resume" in line for line in calls] == [False, True]
    assert run("run_shard.sh", "run1a", 15921, 8, 8, tmp_path / "out").returncode == 2


def test_wrong_requests_are_one_sentence(tmp_path: Path) -> None:
    for script, words in (
        ("install.sh", ()), ("install.sh", (tmp_path / "a b",)), ("install.sh", (tmp_path / "x", "mpi; rm")),
        ("stage_in.sh", (tmp_path / "none.tar",)), ("pack.sh", (tmp_path, tmp_path / "x.tar")),
        ("jupyter/install_kernel.sh", (tmp_path,)),
    ):  # fmt: skip
        done = run(script, *words)
        assert done.returncode == 2, script
        assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
