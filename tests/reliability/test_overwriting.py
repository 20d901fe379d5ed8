"""Nothing existing is overwritten: fifty attempts, with both owners named."""

import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gm2sim.atomic import atomic_path, remove_left_overs, write_text
from gm2sim.config import Config, ConfigError, load
from gm2sim.farm import Ranks
from gm2sim.hdf5 import new_file
from gm2sim.outputs import SubrunPaths, describe
from gm2sim.run import _claimed
from gm2sim.truth import TruthWriter
from tests.reliability.writers import config, write_raw, write_subrun

FORK = multiprocessing.get_context("fork")
HOLDERS = 5


def other(seed: int, run: int = 17) -> Config:
    """Another run, or the same number with other content: the number was reset."""
    return load("gasgun", {"run.run": run, "run.seed": seed, "run.fills": 1, "run.subruns": 1})


def claim(folder: Path, settings: Config, *, resume: bool = False, force: bool = False) -> None:
    with _claimed(folder, settings, Ranks(), resume=resume, force=force):
        pass


@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("run", [17, 18])
def test_a_second_run_in_a_folder_is_refused_and_both_are_named(tmp_path: Path, seed: int, run: int) -> None:
    claim(tmp_path, config())
    write_subrun(tmp_path, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    newcomer = other(seed, run)
    with pytest.raises(ConfigError) as refused:
        claim(tmp_path, newcomer, resume=seed % 2 == 0)
    assert describe(config()) in str(refused.value)
    assert describe(newcomer) in str(refused.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def _hold(folder: Path, ready: Any, done: Any) -> None:
    with _claimed(folder, config(), Ranks(), resume=True, force=False):
        ready.set()
        done.wait(60)


@pytest.mark.parametrize("number", range(HOLDERS))
@pytest.mark.parametrize("force", [False, True])
def test_two_processes_at_once_are_refused_and_both_are_named(tmp_path: Path, number: int, force: bool) -> None:
    ready, done = FORK.Event(), FORK.Event()
    holder = FORK.Process(target=_hold, args=(tmp_path, ready, done))
    holder.start()
    try:
        assert ready.wait(60)
        newcomer = other(number + 2)
        with pytest.raises(ConfigError, match="another run is writing") as refused:
            claim(tmp_path, newcomer, resume=True, force=force)
        for pid, settings in ((holder.pid, config()), (os.getpid(), newcomer)):
            assert f"process {pid} on {os.uname().nodename}, {describe(settings)}" in str(refused.value)
    finally:
        done.set()
        holder.join()
        holder.close()
    claim(tmp_path, config(), resume=True)  # free again
    assert not (tmp_path / ".gm2sim.owner").exists()


WRITERS: dict[str, Callable[[Path], object]] = {
    "raw": lambda path: write_raw(path, 1),
    "truth": lambda path: TruthWriter(path, {}).__enter__(),
    "text": lambda path: write_text(path, "new"),
    "hdf5": lambda path: new_file(path).__enter__(),
}


KINDS = ("file", "read-only file", "folder", "link", "link to nowhere")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_product_does_not_replace_what_is_there(tmp_path: Path, name: str, kind: str) -> None:
    path, target = tmp_path / "a.mid", tmp_path / "target"
    if kind == "folder":
        path.mkdir()
    elif kind.startswith("link"):
        path.symlink_to(target)
        if kind == "link":
            target.write_text("old")
    else:
        path.write_text("old")
        path.chmod(0o444 if kind.startswith("read") else 0o644)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=r"a\.mid"):
        WRITERS[name](path)
    assert sorted(tmp_path.iterdir()) == before
    assert not target.exists() or target.read_text() == "old"


def _race(path: Path, number: int, start: Any, won: list[int]) -> None:
    start.wait(60)
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(str(number) * 1000)
    except FileExistsError:
        return
    won.append(number)


def test_of_processes_that_write_one_name_at_once_exactly_one_wins(tmp_path: Path) -> None:
    with FORK.Manager() as manager:
        for turn in range(5):
            path, won, start = tmp_path / f"{turn}.txt", manager.list(), FORK.Barrier(4)
            racers = [FORK.Process(target=_race, args=(path, number, start, won)) for number in range(4)]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
                racer.close()
            assert len(won) == 1
            assert path.read_text() == str(won[0]) * 1000
    assert len(list(tmp_path.iterdir())) == 5


def test_finished_products_can_be_read_and_not_written(tmp_path: Path) -> None:
    write_subrun(tmp_path, 1)
    paths = SubrunPaths(tmp_path, 17, 0)
    umask = os.umask(0)
    os.umask(umask)
    for path in (paths.raw, paths.truth, paths.metadata):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444 & ~umask


def test_force_and_a_second_attempt_replace_finished_products(tmp_path: Path) -> None:
    claim(tmp_path, config())
    write_subrun(tmp_path, 1)
    write_subrun(tmp_path, 2)
    claim(tmp_path, other(5), force=True)
    assert {path.name for path in tmp_path.iterdir()} == {"config.toml"}


def test_only_files_of_processes_that_are_gone_are_cleared_away(tmp_path: Path) -> None:
    process = FORK.Process(target=int)
    process.start()
    process.join()
    gone = process.pid
    process.close()
    host = "".join(letter if letter.isalnum() else "_" for letter in os.uname().nodename)[:40]
    parent = f".gm2_run00017_00000.mid.{host}-{os.getppid()}-00000000.part"
    foreign = f".gm2_run00017_00000.mid.elsewhere-{gone}-00000000.part"
    left = [
        f".gm2_run00017_00000.mid.{host}-{gone}-00000000.part",
        f".gm2_run00017_00000.mid.{gone}.part",
        f".config.toml.{host}-{os.getpid()}-00000000.part",
    ]
    strangers = [parent, foreign, ".something.part", "gm2_run00017_00000.mid.part"]
    for name in [*left, *strangers]:
        (tmp_path / name).write_text("half")
    with atomic_path(tmp_path / "mine.txt") as mine:
        remove_left_overs(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*strangers, mine.name}
    os.utime(tmp_path / foreign, (0, 0))
    remove_left_overs(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*strangers, "mine.txt"} - {foreign}
