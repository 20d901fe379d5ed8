"""Readers of files under mutated input: nothing but the one sentence may come out, soon and in little memory.

``python -m tests.raw.fuzz 100000`` reads a hundred thousand mutated raw files in full and walks ten times as many, and
prints what it found, and damages a thousand files of 2000 fills; the tests run a share of that.
"""

import bz2
import gzip
import json
import os
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame

from gm2sim.errors import ConfigError
from gm2sim.raw import Event, RawFormatError, check, dump, ls, open_run
from tests.raw import packing

MEMORY = 512 << 20  # bytes a reader may take over what it has when it starts
LONGEST = 3.0  # s a read may take
_NASTY = [0, 1, 2, 3, 4, 7, 8, 11, 12, 16, 0x11, 0x31, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x494D8000, 0x494D8001,
          0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]  # fmt: skip
_PACK: dict[str, Callable[[bytes], bytes]] = {
    ".mid": bytes,
    ".mid.gz": lambda data: gzip.compress(data, 1, mtime=0),
    ".mid.lz4": lz4.frame.compress,
    ".mid.bz2": bz2.compress,
}

Result = dict[str, Any]


def seeds(folder: Path) -> list[bytes]:
    """Good files that mutations begin with: of all types of event and ways of compression."""
    found = []
    for name, make in (
        ("old.mid", packing.old_file),
        ("framed.mid", packing.framed_file),
        ("event.mid", lambda path: packing.framed_file(path, "event")),
        ("bank.mid", lambda path: packing.framed_file(path, "bank")),
    ):
        path = folder / name
        make(path)
        found.append(path.read_bytes())
    return found


def fields(content: bytes) -> list[int]:
    """Places of the words that say how long, of which type, or how many: of events, of banks, first in their data."""
    places = []
    at = 0
    while at + 24 <= len(content):
        places += [at + 4 * i for i in range(6)]
        size = struct.unpack_from("<I", content, at + 12)[0]
        inner, end = at + 24, at + 16 + size
        while inner + 12 <= end and content[at + 1] != 0x80:
            places += [inner + 4 * i for i in range(9)]
            inner += 12 + (struct.unpack_from("<I", content, inner + 8)[0] + 7) // 8 * 8
        at = end
    return [place for place in places if place + 4 <= len(content)]


def mutated(rng: random.Random, content: bytes, places: list[int]) -> bytes:
    """A few changes: bits, words, sizes by a little, pieces lost, doubled or swapped, the end cut off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.random()
        at = rng.choice(places) if rng.random() < 0.7 else rng.randrange(len(content) - 4)
        at = min(at, max(0, len(data) - 4))
        if len(data) < 8:
            break
        if kind < 0.3:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.55:
            struct.pack_into("<I", data, at, rng.choice(_NASTY))
        elif kind < 0.8:
            value = struct.unpack_from("<I", data, at)[0] + rng.choice((-8, -4, -1, 1, 2, 4, 8, 12, 64))
            struct.pack_into("<I", data, at, value & 0xFFFFFFFF)
        elif kind < 0.86:
            del data[at : at + rng.randrange(1, 40)]
        elif kind < 0.92:
            data[at:at] = data[at : at + rng.randrange(1, 40)]
        elif kind < 0.97:
            data[at : at + 4], data[-at - 4 : len(data) - at] = data[-at - 4 : len(data) - at], data[at : at + 4]
        else:
            del data[rng.randrange(len(data)) :]
    return bytes(data)


def decode(event: Event) -> None:
    """Everything that an event can be asked for."""
    for bank in event.banks.values():
        assert bank.type in range(1, 19)
        assert bank.data.nbytes >= 0
    if not event.has_banks:
        return
    asked: list[Callable[[], object]] = [
        lambda: event.trigger,
        lambda: event.gps,
        lambda: event.clock_crate,
        event.straws,
    ]
    for crate in event.crates:
        for ask in (event.islands, event.pedestals, event.calo_sum, event.q_histogram):
            asked.append(lambda ask=ask, crate=crate: ask(crate))  # type: ignore[misc]
        asked.append(lambda crate=crate: [island.samples.sum() for island in event.islands(crate)])  # type: ignore[misc]
    for numbers, ask in (
        (event.framed_crates, event.amc13), (event.framed_crates, event.timing),
        (event.framed_crates, event.board_headers),
        (event.waveform_crates, event.waveforms), (event.asynchronous_crates, event.asynchronous),
    ):  # fmt: skip
        asked += [lambda ask=ask, crate=crate: ask(crate) for crate in numbers]  # type: ignore[misc]
    refused = None
    for one in asked:
        try:
            one()
        except RawFormatError as err:
            refused = err
    if refused is not None:
        raise refused


def walk(path: Path, damaged: str) -> None:
    """Headers of all events and banks."""
    for event in open_run(path, damaged).events():  # type: ignore[arg-type]
        for _ in event.walk():
            pass


def read(path: Path, damaged: str) -> None:
    """All words, the checker, the list and a dump of each bank."""
    check(path)
    run = open_run(path, damaged)  # type: ignore[arg-type]
    refused = None
    for event in run.events():
        try:
            decode(event)
        except RawFormatError as err:
            refused = err
    ls(path)
    for event in run:
        for name in event.banks:
            dump(path, event.serial, name)
    if refused is not None:
        raise refused


def attempt(action: Callable[[], object], found: Counter[str], told: list[str]) -> None:
    """One read: what came of it, and how long it took."""
    begin = time.perf_counter()
    try:
        action()
        found["read"] += 1
    except (RawFormatError, ConfigError) as err:
        found["refused"] += 1
        if "\n" in str(err):
            told.append(f"more than a sentence: {err}")
    except Exception as err:
        found["failed"] += 1
        told.append(f"{type(err).__name__}: {err}")
    if time.perf_counter() - begin > LONGEST:
        found["slow"] += 1


def raw_files(reads: int, walks: int, seed: int = 1) -> Result:
    """Mutated raw files: ``reads`` in full, ``walks`` by their headers."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    told: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        good = [(content, fields(content)) for content in seeds(folder)]
        for i in range(reads + walks):
            # Walks are of plain files mostly: what is in a compressed one is the same.
            suffix = rng.choice(list(_PACK)) if i < reads or rng.random() < 0.1 else ".mid"
            content = mutated(rng, *rng.choice(good))
            packed = _PACK[suffix](content)
            if suffix != ".mid" and rng.random() < 0.3 and len(packed) > 8:
                packed = mutated(rng, packed, list(range(len(packed) - 4)))
            path = folder / f"a{suffix}"
            path.write_bytes(packed)
            act, damaged = read if i < reads else walk, rng.choice(("raise", "skip"))
            attempt(lambda act=act, path=path, damaged=damaged: act(path, damaged), found, told)
    return {**found, "told": told[:5]}


def cut_files(kinds: int = 4) -> Result:
    """Good files cut at every byte, of so many of the kinds."""
    found: Counter[str] = Counter()
    told: list[str] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        for content in seeds(folder)[-kinds:]:
            for suffix in (".mid", ".mid.gz", ".mid.lz4"):
                packed = _PACK[suffix](content)
                path = folder / f"a{suffix}"
                path.write_bytes(packed)
                for size in range(len(packed) - 1, -1, -1):
                    os.truncate(path, size)
                    act = walk if size % 8 else read
                    attempt(lambda act=act, path=path, size=size: act(path, ("raise", "skip")[size & 1]), found, told)
    return {**found, "told": told[:5]}


def texts(count: int, seed: int = 1) -> Result:
    """Mutated settings, conditions and tables of muons."""
    from gm2sim.bunch.frame import Frame
    from gm2sim.bunch.text import read_bltrack, read_csv
    from gm2sim.conditions.file import FileConditions
    from gm2sim.config import load
    from tracking.muon import Reference

    rng = random.Random(seed)
    reference = Reference(3.094, 1.4513, 7.112, 0.9994, 29.3, 3.096)
    frame = Frame()
    table = 'format = "gm2sim conditions 1"\ntag = "a"\n[[folders.gain]]\nfirst = [1, 2]\ntable = """\na,b\n1,2\n"""\n'
    rows = "# p0 [GeV/c] = 3.094\nx [mm], y [mm], px [MeV/c], py [MeV/c], pz [MeV/c], t [ns]\n1, 2, 3, 4, 3094, 6\n"
    tracks = "#BLTrackFile muons\n#x y z Px Py Pz t PDGid EventID TrackID ParentID Weight\n" \
             "#mm mm mm MeV/c MeV/c MeV/c ns - - - - -\n1 2 3 4 5 3094 6 -13 1 1 0 1\n"  # fmt: skip
    kinds: list[tuple[str, str, Callable[[Path], object]]] = [
        ("a.toml", 'extends = "run1a"\n[beam]\nmuons_per_fill = 500\n', load),
        ("b.toml", table, FileConditions),
        ("c.csv", rows, lambda path: read_csv(path, reference)),
        ("d.txt", tracks, lambda path: read_bltrack(path, frame, reference)),
    ]
    found: Counter[str] = Counter()
    told: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(count):
            file, text, act = rng.choice(kinds)
            content = mutated(rng, text.encode(), list(range(len(text) - 4)))
            path = Path(name) / file
            path.write_bytes(content)
            attempt(lambda act=act, path=path: act(path), found, told)
    return {**found, "told": told[:5]}


def limited(what: str, *counts: int) -> Result:
    """Run one of the above in a process of its own whose memory has a limit; its result and how much it grew."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").is_file() else 0
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        try:
            result = {"raw": raw_files, "cut": cut_files, "texts": texts}[what](*counts)
        except BaseException as err:
            result = {"failed": 1, "told": [f"{type(err).__name__}: {err}"]}
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        result["grown MB"] = grown >> 10
        with os.fdopen(writing, "w") as out:
            json.dump(result, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as source:
        answer = source.read()
    os.waitpid(child, 0)
    found: Result = json.loads(answer) if answer else {"failed": 1, "told": ["the process has ended without an answer"]}
    return found


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for title, arguments in (
        (f"{number} files read, {10 * number} walked", ("raw", number, 10 * number)),
        ("files cut at every byte", ("cut",)),
        (f"{number // 10} settings, conditions and tables", ("texts", number // 10)),
    ):
        started = time.perf_counter()
        outcome = limited(*arguments)  # type: ignore[arg-type]
        sys.stdout.write(f"{title}: {outcome}, {time.perf_counter() - started:.0f} s\n")
    from tests.raw.test_resync import lose

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        gone = lose(Path(place) / "a.mid", 1000)
    sys.stdout.write(f"1000 files damaged: {gone} events lost, all damaged, {time.perf_counter() - started:.0f} s\n")
