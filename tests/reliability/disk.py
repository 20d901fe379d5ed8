"""A disk that fails when told to, and one that remembers: both stand between Python's ``os`` and the system.

HDF5 files of the program are written through Python too (gm2sim/hdf5.py), so that their bytes pass here. What SQLite
does in C does not.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

NERSC_LOCK = 524  # ENOTSUPP, what a lock answers on some file systems of compute nodes
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR, NERSC_LOCK)
SHORT = "short write"
FULL = "full from then on"
KINDS = (*ERRORS, SHORT, FULL)

_ON_PATHS = ("mkdir", "unlink", "chmod", "rename", "replace", "link")
_ON_HANDLES = ("write", "pwrite", "fsync", "ftruncate", "close")
_GROWS = frozenset({"open", "write", "pwrite", "fsync", "mkdir", "link", "ftruncate"})


@dataclass
class Step:
    """One call that changed the disk: what, on which file, and the bytes."""

    what: str
    node: int = -1
    place: int = 0
    data: bytes = b""
    names: tuple[str, ...] = ()
    folder: bool = False


@dataclass
class Disk:
    """Calls on the files of one folder, counted; the ones numbered ``fail`` go wrong in the way of ``kind``.

    Attributes
    ----------
    folder : Path
    fail : frozenset of int
        Numbers of calls, from 1.
    kind : int or str
        One of :data:`KINDS`.
    calls, failed : int
        Counted so far.
    log : list of Step
        What was done, in order.
    """

    folder: Path
    fail: frozenset[int] = frozenset()
    kind: Any = errno.EIO
    calls: int = 0
    failed: int = 0
    log: list[Step] = field(default_factory=list)
    _handles: dict[int, int] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)
    _nodes: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def ours(self, path: Any) -> bool:
        """Whether a path is the folder or in it."""
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(str(self.folder))

    def due(self, what: str) -> bool:
        """Count a call; whether it is to fail."""
        self.calls += 1
        hit = self.calls in self.fail
        if self.kind == FULL:
            hit = what in _GROWS and self.calls >= min(self.fail, default=10**9)
        elif self.kind == SHORT:
            hit = hit and what in ("write", "pwrite")
        self.failed += hit
        return hit

    def error(self, *paths: Any) -> OSError:
        """The error of this disk."""
        number = errno.ENOSPC if self.kind == FULL else self.kind
        return OSError(number, os.strerror(number), *(os.fspath(path) for path in paths[:1]))

    def node(self, path: Any, new: bool = False) -> int:
        """Number of the file behind a name."""
        name = os.fspath(path)
        if new or name not in self._nodes:
            self._count += 1
            self._nodes[name] = self._count
        return self._nodes[name]


def _paths(disk: Disk, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if not disk.ours(arguments[0]):
            return real(*arguments, **options)
        if disk.due(what):
            raise disk.error(*arguments)
        done = real(*arguments, **options)
        names = tuple(os.fspath(one) for one in arguments[:2] if isinstance(one, str | os.PathLike))
        if what == "link":
            disk.log.append(Step("link", disk.node(names[0]), names=names))
            disk._nodes[names[1]] = disk.node(names[0])
        elif what in ("rename", "replace"):
            disk.log.append(Step("rename", disk.node(names[0]), names=names))
            disk._nodes[names[1]] = disk._nodes.pop(names[0])
        elif what == "unlink":
            disk.log.append(Step("unlink", names=names))
            disk._nodes.pop(names[0], None)
        return done

    return call


def _open(disk: Disk, real: Callable[..., int]) -> Callable[..., int]:
    def call(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if not disk.ours(path):
            return real(path, flags, *arguments, **options)
        if disk.due("open"):
            raise disk.error(path)
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        handle = real(path, flags, *arguments, **options)
        disk._handles[handle], disk._places[handle] = disk.node(path, new), 0
        if new:
            disk.log.append(Step("create", disk.node(path), names=(os.fspath(path),)))
        return handle

    return call


def _handles(disk: Disk, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(handle: int, *arguments: Any) -> Any:
        node = disk._handles.get(handle)
        if node is None:
            return real(handle, *arguments)
        failing = disk.due(what)
        if what == "close":
            del disk._handles[handle]
            real(handle)
            if failing:
                raise disk.error()
            return None
        if failing and disk.kind != SHORT:
            raise disk.error()
        if what == "fsync":  # the test machine's own disk is not on trial
            disk.log.append(Step("fsync", node, folder=stat.S_ISDIR(os.fstat(handle).st_mode)))
            return None
        if what == "ftruncate":
            disk.log.append(Step("truncate", node, arguments[0]))
            return real(handle, *arguments)
        data = memoryview(arguments[0]).cast("B")
        if failing:
            data = data[: max(1, len(data) // 2)]
        place = disk._places[handle] if what == "write" else arguments[1]
        count = real(handle, data, *arguments[1:])
        disk.log.append(Step("write", node, place, bytes(data[:count])))
        disk._places[handle] = place + count
        return count

    return call


def _lock(disk: Disk, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(handle: Any, operation: int) -> Any:
        if operation & fcntl.LOCK_EX and disk.due("lock"):
            raise disk.error()
        return real(handle, operation)

    return call


@contextmanager
def watched(disk: Disk) -> Iterator[Disk]:
    """Put a disk between Python and the system."""
    with (
        mock.patch.multiple(
            os,
            open=_open(disk, os.open),
            **{what: _paths(disk, what, getattr(os, what)) for what in _ON_PATHS},
            **{what: _handles(disk, what, getattr(os, what)) for what in _ON_HANDLES},
        ),
        mock.patch.object(fcntl, "flock", _lock(disk, fcntl.flock)),
    ):
        yield disk
