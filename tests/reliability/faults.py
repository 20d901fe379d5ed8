"""Every call to the disk fails once, in every way, in every writer: what is there afterwards is old or new, and whole.

    python -m tests.reliability.faults 1000000

makes so many faults, single ones and pairs, on products that grow, and prints what went wrong.
"""

import hashlib
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gm2sim.config import ConfigError
from tests.reliability.disk import FULL, KINDS, Disk, watched
from tests.reliability.writers import WRITERS, Writer

State = dict[str, bytes]


def state(folder: Path) -> State:
    """Every file below the folder with what it holds."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: hashlib.sha256(path.read_bytes()).digest() for name, path in found.items()}


def put_back(folder: Path, kept: dict[str, bytes]) -> None:
    """Make the folder what it was."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for name, content in kept.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


class Trial:
    """A writer whose products of two sizes are known, and valid.

    Parameters
    ----------
    writer : Writer
    size : int
        Of the new product; the old one is half as large.
    folder : Path
        An empty one.
    with_old : bool
        Whether the old product is there when the new one is written.
    """

    def __init__(self, writer: Writer, size: int, folder: Path, with_old: bool) -> None:
        self.writer, self.size, self.folder = writer, size, folder
        self.before: dict[str, bytes] = {}
        if with_old:
            writer.write(folder, max(1, size // 2))
            writer.read(folder / writer.files[0])
            self.before = {name: (folder / name).read_bytes() for name in writer.files}
        self.old = state(folder)
        put_back(folder, self.before)
        with watched(Disk(folder)) as disk:
            writer.write(folder, size)
        writer.read(folder / writer.files[0])
        self.new, self.calls = state(folder), disk.calls
        assert set(self.new) == set(writer.files), f"{sorted(self.new)} instead of {writer.files}"

    def complaints(self, fail: frozenset[int], kind: object) -> Iterator[str]:
        """Make a fault and say what it broke; counts it in :attr:`made`."""
        put_back(self.folder, self.before)
        said = None
        with watched(Disk(self.folder, fail, kind)) as disk:
            try:
                self.writer.write(self.folder, self.size)
            except (OSError, ConfigError) as err:
                said = str(err)
            except Exception as err:
                yield f"raised {type(err).__name__}: {err}"
                return
        self.made = disk.failed
        now = state(self.folder)
        names = {Path(name).name for name in self.writer.files} | {str(self.folder)}
        if said is None:
            if {name: now.get(name) for name in self.writer.files} != self.new:
                yield f"no error, but {sorted(now)} is not the new product"
        elif not any(name in said for name in names) or ".part" in said:
            yield f"the error does not name the file: {said}"
        # The next run takes a lock over, and the note beside it.
        strangers = {name for name in now.keys() - set(self.writer.files) if not name.endswith((".lock", ".owner"))}
        if strangers and len(fail) == 1:
            yield f"left {sorted(strangers)}"
        for name, content in now.items():
            if name in self.writer.files and content not in (self.old.get(name), self.new[name]):
                yield f"{name} is neither the old nor the new one"
        first = self.writer.files[0]
        if first in now and {name: now.get(name) for name in self.writer.files} not in (self.old, self.new):
            yield f"{first} speaks of files that are not there"


def single_faults(calls: int) -> Iterator[frozenset[int]]:
    """The first call, the second, ..."""
    return (frozenset({number}) for number in range(1, calls + 1))


def pairs(calls: int) -> Iterator[frozenset[int]]:
    """A call, and one that comes while the first failure is cleared up or later."""
    return (frozenset(two) for two in itertools.combinations(range(1, calls + 3), 2))


def trials(folder: Path, writers: dict[str, Writer], sizes: Iterator[int]) -> Iterator[tuple[str, Trial]]:
    """The writers, with and without an old product, on products that grow."""
    for size in sizes:
        for name, writer in writers.items():
            for with_old in (False, True) if writer.replaces else (False,):
                here = Path(tempfile.mkdtemp(dir=folder))
                yield (
                    f"{name} of size {size}{' over an old one' if with_old else ''}",
                    Trial(writer, size, here, with_old),
                )


def survive(
    folder: Path, writers: dict[str, Writer], wanted: int, sizes: Iterator[int], doubles: bool = False
) -> tuple[Counter[str], list[str]]:
    """Make faults until there are as many as wanted.

    Parameters
    ----------
    folder : Path
        For all files.
    writers : dict of str to Writer
    wanted : int
    sizes : iterator of int
        Of the products, one after another.
    doubles : bool
        Pairs of faults too.

    Returns
    -------
    Counter of str
        Faults by writer.
    list of str
        What broke.
    """
    made: Counter[str] = Counter()
    broken: list[str] = []
    for title, trial in trials(folder, writers, sizes):
        for kind in KINDS:
            plans = itertools.chain(single_faults(trial.calls), pairs(trial.calls) if doubles and kind != FULL else ())
            for fail in plans:
                trial.made = 0
                broken += [f"{title}, call {sorted(fail)}, {kind}: {what}" for what in trial.complaints(fail, kind)]
                made[title.split(" of ")[0]] += trial.made
        if made.total() >= wanted:
            break
    return made, broken


def main() -> None:
    """As the first lines say."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gm2sim-faults-") as folder:
        made, broken = survive(Path(folder), WRITERS, wanted, itertools.count(1), doubles=True)
    lines = [f"{made.total()} faults in {time.monotonic() - start:.0f} s: {len(broken)} broke something"]
    lines += [f"  {name}: {count}" for name, count in made.most_common()] + broken[:50]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
