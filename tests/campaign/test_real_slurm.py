"""A campaign on a real Slurm of one node, with real ranks and real fills, while everything happens to it at once."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.job import Farming
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.shard import State
from gm2sim.campaign.slurm import RefusedError
from gm2sim.database import opened, upgrade
from tests import postgres
from tests import slurm as local
from tests.campaign.pulled import Pulled, Sums, sums
from tests.mpi.small import BARE

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = Path(sys.executable).with_name("mpiexec")
SETTINGS = {name.replace("__", "."): value for name, value in BARE.items()} | {"daq.q_method": False}
SUBRUNS, FILLS = 24, 5  # of each subrun: a second of work, so that there is something to break off
COMPILING_S = 1200.0
ROOM_MB, LEFT = 256, 1_000_000  # a shard has 3.5 MB


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    reason = local.missing() or ("" if MPIEXEC.exists() else "no mpiexec beside this python: pip install 'gm2sim[mpi]'")
    if reason:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with local.cluster() as environment:
        # As the job's script has it: the last bits of the truth depend on the threads of linear algebra.
        threads = {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        yield environment | threads | {"PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory, cluster: dict[str, str]) -> Sums:
    """The same run by one undisturbed process; it compiles what has to be compiled, too."""
    out = tmp_path_factory.mktemp("serial") / "out"
    command = [
        sys.executable, "-m", "gm2sim", "run", "gasgun", "--fills", str(SUBRUNS * FILLS), "--subruns", str(SUBRUNS),
        "--run", "1", "--seed", "1", "--backend", "cpu", "--no-report", "--out", str(out),
    ]  # fmt: skip
    for name, value in SETTINGS.items():
        command += ["--set", f"{name}={str(value).lower()}"]
    subprocess.run(command, env=cluster, check=True, timeout=COMPILING_S, stdin=subprocess.DEVNULL)
    found = sums(out)
    shutil.rmtree(out)
    assert len(found) == 3 * SUBRUNS
    return found


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return Campaign.model_validate({
        "name": "pulled", "preset": "gasgun", "folder": str(tmp_path), "nodes": 2,
        "catalog": "postgresql://nobody@nowhere.invalid/none",  # of no concern to ranks
        "stage": [{"name": "truth", "kind": "simulate", "retries": 9, "time": "00:10:00"}],
        "runs": [{"first_run": 1, "fills": SUBRUNS * FILLS, "subruns": SUBRUNS, "set": SETTINGS}],
    })  # fmt: skip


FARMING = Farming(
    ranks=2,
    threads=1,
    command=tuple(f"{MPIEXEC} -launcher fork -n 2 {sys.executable} -m mpi4py -m gm2sim".split()),
    options=("--mem=100",),
    leave_s=60,
)

# MPI makes large files in memory when it starts: the limit comes behind that.
LIMITED = (
    "import resource, sys; from mpi4py import MPI; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)); "
    "from gm2sim.__main__ import main; main(sys.argv[1:])"
)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[str]:
    """Where the ledger lies: on a server that keeps what was committed when it is killed; a file without PostgreSQL."""
    reason = postgres.missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        yield str(tmp_path / "catalog.sqlite")
    else:
        with postgres.server(durable=True) as address:
            yield address


@pytest.fixture
def pulled(tmp_path: Path, campaign: Campaign, cluster: dict[str, str], serial: Sums, books: str) -> Iterator[Pulled]:
    folder = CampaignFolder(tmp_path / "campaign")
    with opened(books, create=True) as engine:
        upgrade(engine, "catalog")
        yield Pulled(campaign, folder, Ledger(engine), FARMING, cluster, serial)


@contextmanager
def scratch(folder: Path) -> Iterator[bool]:
    """A file system of its own in the place of a folder, if this process may mount one: whether it may."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """There is room on a small file system for a part of a shard only."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - LEFT)
    yield
    ballast.unlink()


def restart_the_database(pulled: Pulled, address: str) -> None:
    """The manager looks while the server is killed and comes back; where there is none, while the file is locked."""
    if address.startswith("postgresql"):
        back = threading.Thread(target=postgres.restart, args=(address,))
        back.start()
        while back.is_alive():
            pulled.look()
    else:
        other = sqlite3.connect(address, check_same_thread=False, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(1.0, other.close)
        release.start()
        pulled.look()
        release.join()
    pulled.look()


def test_a_campaign_survives_everything_at_once_to_the_byte(pulled: Pulled, books: str) -> None:
    with scratch(pulled.folder.path / "truth") as own_disk:
        _kills_and_a_requeue(pulled, books)
        _a_cancelled_job(pulled)
        _a_full_disk(pulled, own_disk=own_disk)
        pulled.finish()
        _damage(pulled)
        pulled.finish()
        assert pulled.launch() == []
        assert pulled.recover() == []
        assert set(pulled.look().values()) == {State.DONE}
        assert sums(pulled.made) == pulled.right
        assert not list(pulled.made.glob(".*"))
        made = sorted(path.name for path in pulled.folder.path.rglob("*.mid"))
        assert made == sorted(name for name in pulled.right if name.endswith(".mid"))
        assert pulled.looks > 20


def _kills_and_a_requeue(pulled: Pulled, books: str) -> None:
    """Three ranks die, the fourth element is asked to leave, and the database is restarted between."""
    ((token, number),) = pulled.launch()
    left = {0, 1, 2, 3}  # two at a time, and nobody knows which begins first
    while left:
        element = pulled.at_work(token, left)
        left.remove(element)
        if element == 3:
            pulled.command("scancel", "--batch", "--signal=USR1", f"{number}_{element}")
        else:
            pulled.ranks(token, element)[-1].kill()
    restart_the_database(pulled, books)
    pulled.wait(lambda: f"life 2 of job {token} element 3" in pulled.history())
    pulled.wait(lambda: all(pulled.told("FAILED", token, element) for element in range(3)))


def _a_cancelled_job(pulled: Pulled) -> None:
    """Somebody else cancels the job of a node."""
    ((token, number),) = pulled.launch()
    element = pulled.at_work(token)
    pulled.command("scancel", f"{number}_{element}")
    pulled.wait(lambda: pulled.told("CANCELLED", token, element))


def _a_full_disk(pulled: Pulled, *, own_disk: bool) -> None:
    """Where no small file system can be mounted, files may not become as long as they have to."""
    if own_disk:
        with full(pulled.folder.path / "truth"):
            pulled.wait(lambda: bool(pulled.launch()))
            pulled.wait(lambda: "the disk is full at" in pulled.history())
        return
    pulled.farming = replace(FARMING, command=(*FARMING.command[:-4], "-c", LIMITED))
    pulled.wait(lambda: bool(pulled.launch()))
    pulled.wait(lambda: "File too large" in pulled.history())
    pulled.farming = FARMING


def _damage(pulled: Pulled) -> None:
    """One output is spoiled, one is gone: found by their sums, both made again."""
    made = sorted(pulled.made.glob("*.mid"))
    made[1].chmod(0o644)
    made[1].write_bytes(made[1].read_bytes()[:-1] + b"?")
    made[4].unlink()
    assert pulled.recover() == [1, 4]


def test_slurm_takes_the_script_and_refuses_a_wrong_one_in_one_sentence(pulled: Pulled) -> None:
    token, number = pulled.launch()[0]
    script = pulled.folder.job(token) / "job.sbatch"
    pulled.command("sbatch", "--test-only", f"--chdir={script.parent}", str(script))
    pulled.slurm.cancel([number])
    with pytest.raises(RefusedError, match="invalid partition"):
        pulled.slurm.submit(script, "gm2.other", ["--partition=nowhere"])
