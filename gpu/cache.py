"""Compiled code on disk: its own folder for every state of the sources, written once, whoever starts first.

numba alone serves stale code when a function in another file has changed, so the folder's name is a hash of
all our sources that kernels can depend on, of what compiles them, of the CPU and of the flags. Where it lies:

1. ``$NUMBA_CACHE_DIR/gm2sim/<hash>`` if the user has set NUMBA_CACHE_DIR, else
2. ``$XDG_CACHE_HOME/gm2sim/<hash>`` or ``~/.cache/gm2sim/<hash>``, else (nothing can be written there)
3. ``<temporary folder>/gm2sim-<user number>/<hash>``, else nowhere: code is then compiled in every process.

Only the functions of `gpu.kernel` use it; numba's own settings, and the user's, stay as they are.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

PACKAGES = ("gpu", "fields", "tracking", "decay", "detectors", "gm2sim", "nersc")
KEPT_FOLDERS = 4  # the present state of the sources and the three used last before it
KEPT_SECONDS = 24 * 3600.0  # folders used within a day stay: a long job of an older version may need them
# Choices of a user of numba that change what it compiles.
_NUMBA_FLAGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
_IMPORT = re.compile(r"^[ \t]*(?:from ([\w.]+) import (\([^)]*\)|[^\n]*)|import ([\w.]+))", re.MULTILINE)
LOCK_SECONDS = 600.0  # a holder that is stopped, not dead, is waited for so long; then we compile on our own


@dataclass
class Tally:
    """What this process has compiled or loaded from disk, and the wall time that took [s]."""

    compiled: int = 0
    loaded: int = 0
    seconds: float = 0.0


tally = Tally()
_listeners: list[Callable[[], None]] = []


def sources_hash(root: Path | None = None, *, kernels: bool = False) -> str:
    """Hash the names and contents of Python files of the seven packages beside this one.

    Parameters
    ----------
    root
        Folder of the packages.
    kernels
        Take only what compiled code can depend on: files that define kernels, and all that these import, directly or
        through others.
    """
    root = root or Path(__file__).resolve().parent.parent
    contents = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }
    digest = hashlib.sha256()
    for name in sorted(_behind_kernels(contents) if kernels else contents):
        digest.update(f"{name} {len(contents[name])}\0".encode())
        digest.update(contents[name])
    return digest.hexdigest()


def _behind_kernels(contents: dict[str, bytes]) -> set[str]:
    """Names of the files that define kernels, of this package, and of all that they import."""
    found: set[str] = set()
    todo = [name for name, content in contents.items() if b"gpu.kernel" in content or name.startswith("gpu/")]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [known for module in _imported(contents[name]) for known in _files(module) if known in contents]
    return found


def _imported(content: bytes) -> Iterator[str]:
    """Dotted names that a file may import: of modules, and of what is taken from them."""
    for start, names, module in _IMPORT.findall(content.decode("utf-8", "replace")):
        if module:
            yield module
        else:
            yield start
            for name in re.findall(r"\w+", names):
                yield f"{start}.{name}"


def _files(module: str) -> Iterator[str]:
    """Files that importing a module reads: its own, and the doors of the packages around it."""
    place = module.replace(".", "/")
    yield f"{place}.py"
    while place:
        yield f"{place}/__init__.py"
        place = place.rpartition("/")[0]


def folder_name(root: Path | None = None) -> str:
    """Name the folder for these sources, this Python, numba, llvmlite and numpy, this CPU and these flags."""
    import llvmlite
    import numba
    import numpy

    from gpu import cpu

    parts = [
        sources_hash(root, kernels=True),
        platform.python_implementation(),
        platform.python_version(),
        numba.__version__,
        str([getattr(numba.config, flag) for flag in _NUMBA_FLAGS]),
    ]
    parts += [llvmlite.__version__, numpy.__version__, platform.machine(), cpu.name(), cpu.features()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _candidates(name: str) -> Iterator[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen).absolute() / "gm2sim" / name
    with contextlib.suppress(RuntimeError):  # no home folder can be found
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        yield Path(home).absolute() / "gm2sim" / name
    yield Path(tempfile.gettempdir()) / f"gm2sim-{os.getuid()}" / name


def _usable(path: Path) -> bool:
    """Make the folder; say whether we can write it, and not everybody can (what lies there is executed)."""
    try:
        for place in (path.parent, path):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = place.stat()
            if status.st_uid != os.getuid() or status.st_mode & stat.S_IWOTH:
                log.warning("folder of compiled code %s belongs to another or can be written by all: not used", place)
                return False
        with tempfile.TemporaryFile(dir=path):
            pass
        os.utime(path)
    except OSError:
        return False
    return True


@functools.cache
def folder() -> Path | None:
    """Return the folder of compiled code of this process, made if needed; None if none can be written."""
    for path in _candidates(folder_name()):
        if _usable(path):
            return path
    log.warning("no folder for compiled code can be written: set NUMBA_CACHE_DIR, or every start compiles again")
    return None


@contextlib.contextmanager
def lock(name: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock shared by all processes that use the folder; it falls when its holder dies.

    Where the file system knows no locks, or a holder is stuck for LOCK_SECONDS, work goes on without: numba
    replaces its files atomically, so that at worst something is compiled twice. `waiting` is called once
    if the lock is not free.
    """
    place = folder()
    if place is None:
        yield
        return
    locks = place / "locks"
    holder = FileLock(locks / f"{hashlib.sha256(name.encode()).hexdigest()[:20]}.lock")
    try:
        locks.mkdir(parents=True, exist_ok=True)
        _acquire(holder, waiting)
    except (OSError, NotImplementedError, Timeout) as trouble:
        log.warning("no lock on compiled code (%s): going on without", trouble)
    try:
        yield
    finally:
        if holder.is_locked:
            holder.release()


def _acquire(holder: FileLock, waiting: Callable[[], None] | None) -> None:
    try:
        holder.acquire(timeout=0.0)
    except Timeout:
        if waiting is not None:
            waiting()
        holder.acquire(timeout=LOCK_SECONDS)


def compiling(function: str) -> None:
    """Take note that a function is not on disk and is being compiled now (called by `gpu.kernel`)."""
    log.info("compiling %s", function)
    for listener in _listeners:
        listener()


def is_ready(name: str) -> bool:
    """Say whether a set of kernels has been compiled whole for these sources and this machine."""
    place = folder()
    return place is not None and (place / f"{name}.ready").exists()


def ensure_compiled(
    warm_up: Callable[[], object], message: Callable[[str], None] | None = None, name: str = "run"
) -> float:
    """Compile all that `warm_up` calls, once for all processes that start together, and say so.

    Parameters
    ----------
    warm_up
        Calls every kernel once with tiny arrays of the types of a real run.
    message
        Receives one line when compiling, or waiting for another process that compiles, begins, and one
        when the code is ready; nothing is said when it lies ready on disk.
    name
        Name of this set of kernels: processes with the same set wait for the first of them, without it they
        share the work function by function.

    Returns
    -------
    float
        Wall time spent [s].
    """
    begin, place = time.perf_counter(), folder()
    ready = place / f"{name}.ready" if place else None
    said: list[str] = []
    warm = False

    def say(line: str) -> None:
        if not said:
            (message or log.info)(line)
        said.append(line)

    def first_compiles() -> None:
        say("compiling for this machine (first start after an installation or a change of the sources) ...")

    _listeners.append(first_compiles)
    try:
        if ready is not None and not ready.exists():
            with lock(name, lambda: say("waiting for another process that compiles for this machine ...")):
                if not ready.exists():
                    warm_up()
                    warm = True
                    ready.touch()
        if not warm:
            warm_up()
    finally:
        _listeners.remove(first_compiles)
    seconds = time.perf_counter() - begin
    if said:
        kept = f", kept in {place}" if place else ""
        (message or log.info)(f"compiled code is ready after {seconds:.1f} s{kept}")
        if place is not None:
            prune(place)
    return seconds


def prune(place: Path) -> list[Path]:
    """Remove folders of older sources beside `place`, but for the last few and those used within a day."""
    named = [path for path in place.parent.iterdir() if re.fullmatch(r"[0-9a-f]{20}", path.name)]
    by_age = sorted(named, key=lambda path: path.stat().st_mtime, reverse=True)
    limit = time.time() - KEPT_SECONDS
    old = [path for path in by_age[KEPT_FOLDERS:] if path != place and path.stat().st_mtime < limit]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return old
