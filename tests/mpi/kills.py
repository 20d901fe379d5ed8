"""kill -9 at random times, and going on, until the subrun is finished: the same bytes.

python -m tests.mpi.kills 40
"""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.mpi.small import make, small, sums

COMPRESSIONS = ("none", "gz", "lz4")


class Counted(NamedTuple):
    """What came of it.

    Attributes
    ----------
    kills, runs, differ, gone_on : int
        Processes killed, subruns finished, those of them with other bytes, and restarts that found events there.
    """

    kills: int
    runs: int
    differ: int
    gone_on: int


def kills(folder: Path, wanted: int, seed: int = 1) -> Counted:
    """Kill so many processes that make a subrun.

    Parameters
    ----------
    folder : Path
        Empty.
    wanted : int
        Kills, at least.
    seed : int
        Of the times.
    """
    rng = random.Random(seed)
    killed = runs = differ = gone_on = 0
    # Q-method histograms in one of them: events behind which nobody can go on are part of it.
    setups = [small(daq__compression=name, run__fills=12) for name in COMPRESSIONS]
    setups.append(small(run__fills=12, daq__q_method=True))
    whole = []
    for number, setup in enumerate(setups):
        begin = time.perf_counter()
        make(setup, folder / f"whole{number}")
        whole.append((time.perf_counter() - begin, sums(folder / f"whole{number}")))
    while killed < wanted:
        which = runs % len(setups)
        out = folder / f"run{runs}"
        out.mkdir()
        while not _finishes(setups[which], out, rng.uniform(0.0, 0.6) * whole[which][0]):
            killed += 1
            gone_on += bool(list(out.glob(".*.checkpoint")))
        runs += 1
        differ += sums(out) != whole[which][1]
        for path in out.iterdir():
            path.unlink()
    return Counted(killed, runs, differ, gone_on)


def _finishes(setup, out: Path, after: float) -> bool:  # type: ignore[no-untyped-def]
    """Whether a process of its own has finished the subrun before it was killed."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            make(setup, out, resume=True)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("the process failed")
    return os.WIFEXITED(status)


def main(wanted: int) -> None:
    """As the first lines say."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counted = kills(Path(folder), wanted, seed=int(time.time()))
    sys.stdout.write(f"{counted._asdict()} in {time.monotonic() - start:.0f} s\n")
    sys.exit(bool(counted.differ))


if __name__ == "__main__":
    main(int(sys.argv[1]))
