"""Many fills in one process: memory and open files do not grow.

python -m tests.mpi.growth 2000
"""

import gc
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from tests.mpi.small import BARE, make, small

FILLS = 10  # of a subrun
SETTLING = 0.5  # share of the subruns before memory is looked at


class Grown(NamedTuple):
    """What has grown.

    Attributes
    ----------
    fills : int
    slope, error : float
        Of the resident size [kB a fill].
    descriptors, threads : int
        How many more there are at the end than after the first subrun.
    peak_mb : float
    """

    fills: int
    slope: float
    error: float
    descriptors: int
    threads: int
    peak_mb: float


def grown(folder: Path, fills: int, *, bare: bool = False) -> Grown:
    """Simulate so many fills, in subruns, and look at the process after each.

    Parameters
    ----------
    folder : Path
        Empty.
    fills : int
    bare : bool
        Without laser, monitors and sums.
    """
    setup = small(**((BARE if bare else {}) | {"run__fills": FILLS}))
    process = psutil.Process()
    seen = []
    for _ in range(max(fills // FILLS, 8)):
        make(setup, folder)
        for path in folder.iterdir():
            path.unlink()
        gc.collect()  # cycles that wait for it are no growth
        seen.append(
            (process.memory_info().rss / 1e3, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())
        )
    size, files, running = (np.array(column, float) for column in zip(*seen, strict=True))
    first = int(SETTLING * len(seen))
    at = FILLS * np.arange(first, len(seen))
    slope, offset = np.polyfit(at, size[first:], 1)
    spread = np.std(size[first:] - slope * at - offset)
    error = spread / (np.std(at) * np.sqrt(len(at)))
    return Grown(
        FILLS * len(seen), float(slope), float(error), int(files[-1] - files[0]), int(running[-1] - running[0]),
        float(size.max() / 1e3),
    )  # fmt: skip


def main(fills: int) -> None:
    """As the first lines say."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = grown(Path(folder), fills)
    sys.stdout.write(f"{found._asdict()} in {time.monotonic() - start:.0f} s\n")
    sys.exit(found.slope > 1.0 + 3 * found.error or found.descriptors > 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
