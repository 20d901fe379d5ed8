"""Wrong files with the right names, planted in a run: every one is found and made again, every good one is kept.

python -m tests.mpi.planted 300
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py

from gm2sim.atomic import SEAL, sealed
from gm2sim.outputs import SubrunPaths, subrun_is_done
from tests.mpi.small import BARE, make, small, sums

SUBRUNS = 4
VALUES = BARE | {"run__fills": SUBRUNS, "run__subruns": SUBRUNS}
KINDS = ("empty", "cut", "old version", "other seed", "other campaign", "zero table")


class Run:
    """A finished run, one like it of another seed, and one of another configuration."""

    def __init__(self, folder: Path) -> None:
        self.setup = small(**VALUES)
        self.folder, self._others = folder / "run", {}
        for subrun in range(SUBRUNS):
            make(self.setup, self.folder, subrun=subrun)
        for kind, values in (("other seed", {"run__seed": 9}), ("other campaign", {"beam__muons_per_fill": 25})):
            self._others[kind] = folder / kind
            make(small(**(VALUES | values)), self._others[kind], subrun=0)
        self.whole = sums(self.folder)

    def paths(self, subrun: int, folder: Path | None = None) -> SubrunPaths:
        """Files of a subrun."""
        return SubrunPaths(folder or self.folder, 1, subrun)

    def done(self) -> list[int]:
        """Subruns that would be kept."""
        config = self.setup.config
        return [number for number in range(SUBRUNS) if subrun_is_done(self.paths(number), config)]

    def plant(self, kind: str, rng: random.Random) -> int:
        """Put a wrong file in the place of a good one; which subrun it is of."""
        subrun = rng.randrange(SUBRUNS) if kind not in self._others else 0
        paths = self.paths(subrun)
        data = rng.choice((paths.raw, paths.truth))
        for path in (paths.raw, paths.truth, paths.metadata):
            path.chmod(0o644)
        if kind == "empty":
            rng.choice((data, paths.metadata)).write_bytes(b"")
        elif kind == "cut":
            chosen = rng.choice((data, paths.metadata))
            content = chosen.read_bytes()
            chosen.write_bytes(content[: rng.randrange(len(content))])
        elif kind == "old version":
            self._older(paths, rng)
        elif kind == "zero table":
            self._emptied(paths)
        else:
            theirs = self.paths(0, self._others[kind])
            # Its data alone, or the whole subrun: both are of another run.
            for mine, other in zip(
                (paths.raw, paths.truth, paths.metadata), (theirs.raw, theirs.truth, theirs.metadata), strict=True
            ):
                if mine == data or rng.random() < 0.5:
                    shutil.copyfile(other, mine)
        return subrun

    def _older(self, paths: SubrunPaths, rng: random.Random) -> None:
        """Metadata of a configuration of an earlier version, whole and with its own sum."""
        content = json.loads(paths.metadata.read_text())
        content["config_hash"] = f"{rng.getrandbits(256):064x}"
        content["version"] = "0.0.1"
        content.pop(SEAL)
        paths.metadata.write_text(json.dumps(sealed(content), indent=2) + "\n")

    def _emptied(self, paths: SubrunPaths) -> None:
        """A truth whose tables have no rows, a good HDF5 file."""
        paths.truth.unlink()
        with h5py.File(paths.truth, "w") as file:
            file.create_dataset("muons/x", shape=(0,), dtype="f8")

    def mend(self, subrun: int) -> None:
        """Make a subrun again, as who resumes does."""
        make(self.setup, self.folder, subrun=subrun, resume=True)


def plant_all(folder: Path, wanted: int, mended: int, seed: int = 1) -> Counter[str]:
    """Plant files; counts those tried, ``kept`` by mistake, good ones ``lost``, ``mended``, and ``differ`` after it.

    Parameters
    ----------
    folder : Path
        Empty.
    wanted : int
        Files to plant.
    mended : int
        So many are really made again; the others are put back.
    seed : int
    """
    rng, run = random.Random(seed), Run(folder)
    counted: Counter[str] = Counter(tried=0, kept=0, lost=0, mended=0, differ=0)
    backup = folder / "backup"
    shutil.copytree(run.folder, backup)
    for number in range(wanted):
        kind = KINDS[number % len(KINDS)]
        subrun = run.plant(kind, rng)
        done = run.done()
        counted["tried"] += 1
        counted["kept"] += subrun in done
        counted["lost"] += len(set(range(SUBRUNS)) - {subrun} - set(done))
        if number < mended:
            run.mend(subrun)
            counted["mended"] += 1
            counted["differ"] += sums(run.folder) != run.whole
        else:
            for path in backup.glob(f"{run.paths(subrun).stem}*"):
                (run.folder / path.name).unlink(missing_ok=True)
                shutil.copy(path, run.folder / path.name)
    assert run.done() == list(range(SUBRUNS))
    return counted


def main(wanted: int) -> None:
    """As the first lines say; every one is made again."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counted = plant_all(Path(folder), wanted, wanted, seed=int(start))
    sys.stdout.write(f"{dict(counted)} in {time.monotonic() - start:.0f} s\n")
    sys.exit(bool(counted["kept"] or counted["lost"] or counted["differ"]))


if __name__ == "__main__":
    main(int(sys.argv[1]))
