"""SIGUSR1 and SIGTERM before the time is up: what is done is kept, the exit code says go on, the bytes are the same.

python -m tests.mpi.leaving 20
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from itertools import cycle, product
from pathlib import Path
from typing import NamedTuple

from gm2sim.checkpoint import _whole
from gm2sim.farm import CONTINUE
from tests.mpi.failing import MPIEXEC, ROOT
from tests.mpi.small import BARE, sums

RANKS, FILLS = 2, 60
WAYS = tuple(product(("SIGUSR1", "SIGTERM"), ("mpiexec", "rank")))


class Left(NamedTuple):
    """What came of a signal.

    Attributes
    ----------
    code : int
    seconds : float
        From the signal until the launcher was gone.
    lost : int
        Events that were begun again.
    said : str
    """

    code: int
    seconds: float
    lost: int
    said: str


def command(out: Path, *more: str) -> list[str]:
    """Starts a small run on two ranks."""
    values = [word for key, value in BARE.items() for word in ("--set", f"{key.replace('__', '.')}={_toml(value)}")]
    return [
        str(MPIEXEC), "-n", str(RANKS), sys.executable, "-m", "mpi4py", "-m", "gm2sim", "run", "gasgun", "--fills",
        str(FILLS), "--subruns", str(RANKS), "--no-report", "--set", "daq.q_method=false", *values, "--out", str(out),
        *more,
    ]  # fmt: skip


def finish(out: Path, *more: str) -> None:
    """Make the run to its end."""
    done = subprocess.run(
        command(out, *more), cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def leave(out: Path, name: str, to: str, after: int) -> Left:
    """Start a run, and ask it to leave when the first subrun has so many events.

    Parameters
    ----------
    out : Path
    name : str
        Of the signal.
    to : str
        ``mpiexec``, or one ``rank``.
    after : int
    """
    job = subprocess.Popen(
        command(out), cwd=ROOT, env=_environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    limit = time.monotonic() + 200
    while max(_events(out)) < after and job.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    before = sum(_events(out))
    begin = time.monotonic()
    os.kill(job.pid if to == "mpiexec" else _ranks(out)[-1], getattr(signal, name))
    said = "".join(job.communicate(timeout=100))
    return Left(job.returncode, time.monotonic() - begin, before - sum(_events(out)), said)


def summed(out: Path) -> dict[str, str]:
    """Checksums of what does not tell of the job."""
    return {name: value for name, value in sums(out).items() if name != "summary.json"}


def _events(out: Path) -> list[int]:
    """Events of each subrun that have a record."""
    found = [0] * RANKS
    for path in out.glob(".gm2_run*.checkpoint"):
        found[int(path.name.split("_")[2].split(".")[0])] = len(list(_whole(memoryview(path.read_bytes())))) - 1
    return found


def _ranks(out: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(out).encode() in words and b"-n" not in words:
            found.append(int(path.parent.name))
    return found


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _environment() -> dict[str, str]:
    return os.environ | {"NUMBA_NUM_THREADS": "1"}


def main(signals: int) -> None:
    """Signals at random times, by all ways in turn; every run is finished and compared."""
    rng, wrong, slowest, lost = random.Random(), 0, 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        finish(Path(folder) / "whole")
        expected = summed(Path(folder) / "whole")
        for number, (name, to) in zip(range(signals), cycle(WAYS), strict=False):
            out = Path(folder) / str(number)
            left = leave(out, name, to, rng.randrange(1, FILLS // RANKS - 5))
            finish(out, "--resume")
            good = left.code == CONTINUE and summed(out) == expected
            wrong += not good
            slowest, lost = max(slowest, left.seconds), max(lost, left.lost)
            sys.stdout.write(f"{name} to {to}: code {left.code} after {left.seconds:.1f} s, {left.lost} events lost\n")
            sys.stdout.flush()
    sys.stdout.write(f"{signals} signals: {wrong} wrong, slowest {slowest:.1f} s, at most {lost} events lost\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]))
