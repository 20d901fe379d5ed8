"""Writers and readers of one catalogue, killed at random moments: nothing acknowledged is lost, nothing is there twice.

``python tests/catalog/kills.py --commits 20000 --kills 120`` is the long figure on SQLite; ``--database postgresql``
starts a server of its own.
"""

import argparse
import importlib.util
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine, func, select

from gm2sim.catalog import FileRecord, Settings, check_tables, count, declare, page
from gm2sim.catalog.schema import files
from gm2sim.database import opened, upgrade

FORK = multiprocessing.get_context("fork")  # a worker is there at once, with everything imported


class Outcome(NamedTuple):
    """What came out; all but the first two have to be nothing."""

    acknowledged: int
    kills: int
    lost: int
    twice: int
    errors: list[str]
    damage: list[str]


def record(writer: int, number: int) -> FileRecord:
    """The file that a writer declares at its step: each writer has a campaign and runs of its own."""
    run = 100 * writer + number // 1000
    return FileRecord(
        f"gm2_run{run:05d}_{number % 1000:05d}.mid", 1000 + number, "raw", f"gm2sim_writer{writer}", "alice", "midas",
        run=run, subrun=number % 1000, sha256=f"{number:064x}", settings=Settings("0.2.0", "ab" * 32, writer),
        folders=("/data",),
    )  # fmt: skip


def write(where: str, folder: Path, writer: int, last: int) -> None:
    """Declare one file a transaction, from the first that is not acknowledged; each name is noted once it is kept."""
    with _complaints(folder), (folder / f"acknowledged{writer}").open("ab", buffering=0) as notes:
        done = (folder / f"acknowledged{writer}").read_bytes().count(b"\n")
        with opened(where) as engine:
            for number in range(done, last):
                one = record(writer, number)
                declare(engine, [one])
                notes.write(f"{one.name}\n".encode())


def read(where: str, folder: Path, seed: int) -> None:
    """Ask again and again; files never become fewer."""
    chance, before = random.Random(seed), 0
    with _complaints(folder), opened(where, read_only=True) as engine:
        while True:
            with engine.connect() as connection:
                found = count(connection, "tier = raw")[0]
                assert found >= before, f"{before} files, then {found}"
                before = found
                run = 100 * chance.randrange(6)
                page(connection, f"run {run}-{run + 1}", 50)


def kill_at_random(
    where: str, folder: Path, commits: int, kills: int, writers: int, readers: int, seed: int
) -> Outcome:
    """Let them work until every commit is acknowledged, with kills spread evenly over the commits.

    Parameters
    ----------
    where : str
        Address of an empty database.
    folder : Path
        For what the workers note.
    commits, kills : int
        In all.
    writers, readers : int
        Processes.
    seed : int
        Of who is killed and when.
    """
    chance = random.Random(seed)
    with opened(where, create=True) as engine:
        upgrade(engine, "catalog")
    shares = [commits // writers + (writer < commits % writers) for writer in range(writers)]
    for writer in range(writers):
        (folder / f"acknowledged{writer}").touch()

    def start(place: int) -> multiprocessing.process.BaseProcess:
        arguments = (
            (write, (where, folder, place, shares[place])) if place < writers else (read, (where, folder, place))
        )
        process = FORK.Process(target=arguments[0], args=arguments[1], daemon=True)
        with warnings.catch_warnings():  # the threads of whoever runs the tests do not matter to a worker
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        return process

    workers = [start(place) for place in range(writers + readers)]
    killed, damage = 0, []
    while killed < kills or any(worker.is_alive() for worker in workers[:writers]):
        time.sleep(chance.uniform(0.0, 0.02))
        if killed < kills and _acknowledged(folder) >= (killed + 0.5) * commits / kills:
            place = chance.choice([place for place, worker in enumerate(workers) if worker.is_alive()])
            os.kill(workers[place].pid or 0, signal.SIGKILL)
            workers[place].join()
            killed += 1
            damage += _damage(where)
            workers[place] = start(place)
        if (folder / "complaints").exists():
            break
    for worker in workers:
        worker.kill()
        worker.join()
    with opened(where) as engine:
        return _outcome(engine, folder, killed, damage)


def _outcome(engine: Engine, folder: Path, killed: int, damage: list[str]) -> Outcome:
    notes = [line for path in sorted(folder.glob("acknowledged*")) for line in path.read_text().splitlines()]
    with engine.connect() as connection:
        kept = set(connection.execute(select(files.c.name)).scalars())
        rows = connection.execute(select(func.count()).select_from(files)).scalar_one()
    complaints = folder / "complaints"
    return Outcome(
        len(notes), killed, len(set(notes) - kept), (len(notes) - len(set(notes))) + (rows - len(kept)),
        complaints.read_text().splitlines() if complaints.exists() else [],
        damage + check_tables(engine, thorough=True),
    )  # fmt: skip


def _damage(where: str) -> list[str]:
    with opened(where, read_only=True) as engine:
        return check_tables(engine, thorough=True)


def _acknowledged(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("acknowledged*"))


@contextmanager
def _complaints(folder: Path) -> Iterator[None]:
    """Whatever a user would have seen is noted."""
    try:
        yield
    except BaseException as err:
        with (folder / "complaints").open("a") as notes:
            notes.write(f"{type(err).__name__}: {err!r}\n")
        raise


def _server() -> object:
    spec = importlib.util.spec_from_file_location("postgres", Path(__file__).parents[1] / "postgres.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.server()


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, number in (("commits", 20000), ("kills", 120), ("writers", 6), ("readers", 4), ("seed", 9)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql (a server of its own) or an address")
    given = parser.parse_args()
    numbers = (given.commits, given.kills, given.writers, given.readers, given.seed)
    begin = time.perf_counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a server of our own is stopped
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.database == "postgresql":
            with _server() as address:  # type: ignore[attr-defined]
                found = kill_at_random(address, folder, *numbers)
        else:
            where = str(folder / "catalog.sqlite") if given.database == "sqlite" else given.database
            found = kill_at_random(where, folder, *numbers)
    sys.stdout.write(f"{given.database}: {found}\n{time.perf_counter() - begin:.1f} s\n")
    sys.exit(bool(found.lost or found.twice or found.errors or found.damage))


if __name__ == "__main__":
    _main()
