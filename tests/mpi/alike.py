"""A program for ranks that start together: ``alike.py WHAT FOLDER``; what each has seen is a file in the folder."""

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gm2sim import together

MUONS_MB = 64


def seen() -> dict[str, int]:
    """Memory of this process [kB]."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith("kB")}


def program(words: Sequence[str]) -> None:
    """Read much, part, and do what the words say."""
    what, folder = words
    if what == "refuse":
        sys.exit(2)
    muons = os.urandom(1 << 20) * MUONS_MB
    (folder_of := Path(folder)).joinpath(f"read-{os.getpid()}").touch()
    together.part()
    rank = os.environ["MPI_LOCALRANKID"]
    with os.fdopen(int(os.environ["PMI_FD"]), "rb", closefd=False) as given:
        told = given.read().decode()
    time.sleep(1.0)  # until the others are here too
    facts = {"rank": rank, "cores": sorted(os.sched_getaffinity(0)), "told": told, "first": muons[0], **seen()}
    (folder_of / f"rank-{rank}.json").write_text(json.dumps(facts))
    sys.stdout.write(f"rank {rank}\n")
    sys.stdout.flush()
    if what == "wait":
        signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(75))
        (folder_of / f"pid-{rank}").write_text(str(os.getpid()))
        time.sleep(60.0)
    if what == "die" and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(10 + int(rank))


if __name__ == "__main__":
    together.start(program, sys.argv[1:])
