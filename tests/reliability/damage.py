"""Bits turn, files change places, ends get lost: the checks that decide what is kept must see all of it.

python -m tests.reliability.damage 1000000
"""

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from gm2sim.config import ConfigError
from gm2sim.outputs import SubrunPaths, read_metadata, subrun_is_done, write_metadata
from tests.reliability.writers import config, write_raw, write_subrun, write_truth

_HEX = "0123456789abcdef"


class Products:
    """Two finished subruns of one run, damaged and mended again.

    Parameters
    ----------
    folder : Path
        An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = SubrunPaths(folder, 17, 0)
        self.other = SubrunPaths(folder / "other", 17, 1)
        self.other.folder.mkdir()
        write_subrun(folder, 1)
        for paths, fills in ((self.other, 2),):
            write_truth(paths.truth, fills)
            raw = write_raw(paths.raw, fills)
            assert raw.written is not None
            write_metadata(paths, config(), {"counts": {}, "conditions": "built in", "raw": raw.written.facts()})
        self.files = (self.paths.raw, self.paths.truth, self.paths.metadata)
        self.whole = {path: path.read_bytes() for path in self.files}
        self.foreign = [path.read_bytes() for path in (self.other.raw, self.other.truth, self.other.metadata)]
        for path in self.files:
            path.chmod(0o644)
        assert not self.found()

    def found(self) -> bool:
        """Whether the program sees that something is wrong: what --resume asks before it keeps a subrun."""
        try:
            return not subrun_is_done(self.paths, config())
        except ConfigError:  # says that it is of a newer format
            return True

    def damaged(self, path: Path, content: bytes) -> bool:
        """Whether these bytes in place of the right ones are found out."""
        path.write_bytes(content)
        seen = self.found()
        path.write_bytes(self.whole[path])
        return seen

    def flip(self, rng: random.Random) -> bool:
        """One bit of one file, each file as often as the others."""
        path = rng.choice(self.files)
        content = bytearray(self.whole[path])
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return self.damaged(path, bytes(content))

    def swap(self, rng: random.Random) -> bool:
        """Two pieces of a file change places, or the file of another subrun stands in its place."""
        number = rng.randrange(3)
        path = self.files[number]
        content = self.whole[path]
        if rng.random() < 0.2:
            return self.damaged(path, self.foreign[number])
        while True:
            size = rng.randint(1, min(512, len(content) // 2))
            first, second = sorted(rng.randrange(len(content) - size + 1) for _ in range(2))
            if second - first >= size and content[first : first + size] != content[second : second + size]:
                a, b = content[first : first + size], content[second : second + size]
                return self.damaged(
                    path, content[:first] + b + content[first + size : second] + a + content[second + size :]
                )

    def truncation(self, rng: random.Random) -> bool:
        """The end of a file is lost."""
        path = rng.choice(self.files)
        return self.damaged(path, self.whole[path][: rng.randrange(len(self.whole[path]))])

    def inverted_sum(self, rng: random.Random) -> bool:
        """Every digit of a recorded sum turned, the JSON and all else right."""
        content = read_metadata(self.paths.metadata)
        path = rng.choice((self.paths.raw, self.paths.truth))
        kind = rng.choice([name for name in content["files"][path.name] if name != "size"])
        value = content["files"][path.name][kind]
        inverted = "".join(_HEX[15 - _HEX.index(digit)] for digit in value)
        return self.damaged(
            self.paths.metadata, self.whole[self.paths.metadata].replace(value.encode(), inverted.encode())
        )


def damage(folder: Path, flips: int, swaps: int, truncations: int, seed: int = 1) -> Counter[str]:
    """Do so much damage; counts what was done and what was ``missed``."""
    products, rng = Products(folder), random.Random(seed)
    counted: Counter[str] = Counter()
    for kind, number in (("flip", flips), ("swap", swaps), ("truncation", truncations), ("inverted_sum", swaps // 10)):
        for _ in range(number):
            counted[kind] += 1
            counted["missed"] += not getattr(products, kind)(rng)
    return counted


def main() -> None:
    """As the first lines say."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gm2sim-damage-") as folder:
        counted = damage(Path(folder), wanted, wanted // 20, wanted // 20)
    sys.stdout.write(f"{dict(counted)} in {time.monotonic() - start:.0f} s\n")
    sys.exit(bool(counted["missed"]))


if __name__ == "__main__":
    main()
