"""Power fails while a file is written: every image of the disk that may be left is built, and read.

    python -m tests.reliability.crash_images 1000000

What a disk may have done at the moment of the crash, by the rules of POSIX and not of one file system: of bytes written
after the last fsync of their file any sectors of 512 bytes, zeros elsewhere; of names made, changed or removed after
the last fsync of their folder the first few, or any of them.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.reliability.disk import Disk, Step, watched
from tests.reliability.writers import WRITERS, Writer

SECTOR = 512
Image = dict[str, bytes]


class Recording:
    """What a writer did to the disk, from an old product or none to a new one.

    Parameters
    ----------
    writer : Writer
    size : int
    folder : Path
        An empty one.
    with_old : bool
    """

    def __init__(self, writer: Writer, size: int, folder: Path, with_old: bool) -> None:
        self.writer, self.folder = writer, folder
        if with_old:
            writer.write(folder, max(1, size // 2))
        self.old = self._products()
        with watched(Disk(folder)) as disk:
            self.nodes = {str(folder / name): disk.node(folder / name) for name in self.old}
            writer.write(folder, size)
        self.log = disk.log
        self.new = self._products()
        writer.read(folder / writer.files[0])

    def _products(self) -> Image:
        paths = [self.folder / name for name in self.writer.files]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths if path.is_file()}

    def image(self, end: int, rng: random.Random) -> Image:
        """The files that are found when the power fails after ``end`` steps of the log."""
        done = self.log[:end]
        names = {self.nodes[str(self.folder / name)]: content for name, content in self.old.items()}
        content = {node: bytearray(data) for node, data in names.items()}
        entries = dict(self.nodes)
        synced = {step.node: k for k, step in enumerate(done) if step.what == "fsync"}
        folders = [k for k, step in enumerate(done) if step.what == "fsync" and step.folder]
        durable = folders[-1] if folders else -1
        open_names = [k for k, step in enumerate(done) if k > durable and step.names]
        kept = set(open_names[: rng.randint(0, len(open_names))])
        if rng.random() < 0.5:
            kept = {k for k in open_names if rng.random() < 0.5}
        for k, step in enumerate(done):
            if step.names and (k <= durable or k in kept):
                _rename(entries, step)
            elif step.what == "write":
                _write(content.setdefault(step.node, bytearray()), step, k < synced.get(step.node, -1), rng)
            elif step.what == "truncate" and (k < synced.get(step.node, -1) or rng.random() < 0.5):
                held = content.setdefault(step.node, bytearray())
                held[:] = held[: step.place].ljust(step.place, b"\0")
        wanted = {str(self.folder / name): name for name in self.writer.files}
        return {wanted[path]: bytes(content.get(node, b"")) for path, node in entries.items() if path in wanted}

    def complaint(self, end: int, image: Image, scratch: Path) -> str:
        """What is wrong with an image, nothing for a good one."""
        for name, content in image.items():
            if content not in (self.old.get(name), self.new.get(name)):
                return f"{name} is neither the old nor the new one ({len(content)} bytes)"
        if end == len(self.log) and image != self.new:
            return f"the product was acknowledged but {sorted(image)} is there"
        first = self.writer.files[0]
        if first in image:
            for name, content in image.items():
                (scratch / name).parent.mkdir(exist_ok=True)
                (scratch / name).write_bytes(content)
            # A product of several files that are not of one time must not pass for whole.
            try:
                self.writer.read(scratch / first)
            except Exception as err:
                return f"cannot be read: {type(err).__name__}: {err}" if image in (self.old, self.new) else ""
            return "" if image in (self.old, self.new) else f"{sorted(image)} passes for whole"
        return ""


def _rename(entries: dict[str, int], step: Step) -> None:
    if step.what in ("rename", "unlink"):
        entries.pop(step.names[0], None)
    if step.what == "create":
        entries[step.names[0]] = step.node
    elif step.what in ("rename", "link"):
        entries[step.names[1]] = step.node


def _write(held: bytearray, step: Step, durable: bool, rng: random.Random) -> None:
    end = step.place + len(step.data)
    if durable:
        held.extend(bytes(max(0, end - len(held))))
        held[step.place : end] = step.data
        return
    way = rng.random()
    if way < 0.25:
        return
    held.extend(bytes(max(0, end - len(held))))
    for place in range(step.place, end, SECTOR):
        if way > 0.75 or rng.random() < 0.5:
            held[place : place + SECTOR] = step.data[place - step.place : place - step.place + SECTOR]


def recordings(folder: Path, size: int) -> Iterator[tuple[str, Recording]]:
    """Every writer, with and without an old product."""
    for name, writer in WRITERS.items():
        for with_old in (False, True) if writer.replaces else (False,):
            here = Path(tempfile.mkdtemp(dir=folder))
            yield (
                f"{name} of size {size}{' over an old one' if with_old else ''}",
                Recording(writer, size, here, with_old),
            )


def crash(folder: Path, wanted: int, sizes: Iterator[int], seed: int = 1) -> tuple[Counter[str], list[str]]:
    """Build and read images, shared among the writers, until there are as many as wanted.

    Returns
    -------
    Counter of str
        Images by writer.
    list of str
        What was wrong.
    """
    rng = random.Random(seed)
    made: Counter[str] = Counter()
    wrong: list[str] = []
    scratch = folder / "image"
    for size in sizes:
        for title, recording in recordings(folder, size):
            for end in range(len(recording.log) + 1):
                for _ in range(max(1, min(wanted // (40 * len(recording.log)), 200))):
                    scratch.mkdir()
                    complaint = recording.complaint(end, recording.image(end, rng), scratch)
                    shutil.rmtree(scratch)
                    made[title.split(" of ")[0]] += 1
                    wrong += [f"{title}, step {end}: {complaint}"] if complaint else []
            shutil.rmtree(recording.folder)
        if made.total() >= wanted:
            break
    return made, wrong


def main() -> None:
    """As the first lines say."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gm2sim-crash-") as folder:
        made, wrong = crash(Path(folder), wanted, iter(range(1, 10**6)))
    lines = [f"{made.total()} images in {time.monotonic() - start:.0f} s: {len(wrong)} not valid"]
    lines += [f"  {name}: {count}" for name, count in made.most_common()] + wrong[:50]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
