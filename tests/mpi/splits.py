"""One run, however it is split among ranks, threads and in which order: one checksum.

python -m tests.mpi.splits 40
"""

import hashlib
import json
import random
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from tests.mpi.restart import threads_of
from tests.mpi.small import BARE, make, small, sums

SUBRUNS = 3
VALUES = BARE | {"run__fills": SUBRUNS, "run__subruns": SUBRUNS}


def one_checksum(folder: Path, ranks: int, threads: int, seed: int) -> str:
    """Make a run as so many ranks would, the subruns in some order; the checksum of all its files.

    Ranks take turns here; what they share, and what real ones do at once, is the folder.
    """
    setup = small(**VALUES)
    order = random.Random(seed).sample(range(SUBRUNS), SUBRUNS)
    for rank in range(ranks):
        for subrun in order[rank::ranks]:
            with threads_of(threads):
                # Each rank has tables of its own.
                make(setup.with_config(setup.config), folder, subrun=subrun)
    found = hashlib.sha256(json.dumps(sums(folder)).encode()).hexdigest()
    for path in folder.iterdir():
        path.unlink()
    return found


def checksums(folder: Path, combinations: int) -> tuple[int, set[str]]:
    """Try combinations of ranks (1 to 3), threads (1, 2, 4) and orders; how many, and the checksums found."""
    every = [(ranks, threads, seed) for seed, ranks, threads in product(range(1000), (1, 2, 3), (1, 2, 4))]
    tried = every[:combinations]
    return len(tried), {one_checksum(folder, *one) for one in tried}


def main(wanted: int) -> None:
    """As the first lines say."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tried, found = checksums(Path(folder), wanted)
    sys.stdout.write(f"{tried} combinations, {len(found)} checksum(s) in {time.monotonic() - start:.0f} s\n")
    sys.exit(len(found) != 1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
