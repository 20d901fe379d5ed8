"""Bytes of a raw file as they are, mapped into memory or inflated: a window that moves forward."""

import bz2
import gzip
import mmap
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

import lz4.frame

from gm2sim.raw.errors import RawFormatError

_PIECE = 1 << 20  # a compressed event is read in such pieces: a false size allocates nothing
_BOMB_RATIO, _BOMB_BYTES = 200, 64 << 20  # waveforms compress by 2 to 4
_OPENERS = {".gz": gzip.open, ".lz4": lz4.frame.open, ".bz2": bz2.open}


class Source(Protocol):
    """Where a reader takes its bytes from.

    Attributes
    ----------
    end : int or None
        Bytes of the whole, once they are known.
    """

    end: int | None

    def peek(self, place: int, size: int) -> memoryview:
        """Up to ``size`` bytes from ``place`` on; fewer at the end of the file."""

    def take(self, place: int, size: int) -> memoryview:
        """The same, to keep: views of it stay good. What is before its end may be forgotten."""

    def back(self, place: int, head: bytes, taken: memoryview) -> None:
        """Give back what was taken last, and what was before it from ``place`` on: it will be looked at again."""

    def close(self) -> None:
        """Let go of the file; what was taken stays good."""


def open_source(path: Path) -> Source:
    """The bytes of a raw file by its name: ``.mid.gz``, ``.mid.lz4`` and ``.mid.bz2`` inflated, others mapped.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file is empty.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size == 0:
            raise RawFormatError(path, 0, "", "the file is empty")
        if path.suffix not in _OPENERS:
            return _Mapped(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    return _Inflated(path)


class _Mapped:
    """A file in memory: everything is a view."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self.end: int | None = content.nbytes

    def peek(self, place: int, size: int) -> memoryview:
        return self._content[place : place + size]

    take = peek

    def back(self, place: int, head: bytes, taken: memoryview) -> None:
        """Nothing is forgotten."""

    def close(self) -> None:
        """Views keep the mapping open."""


class _Inflated:
    """A compressed file: bytes from ``_base`` on are kept in a buffer, the rest is still to come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._compressed: BinaryIO = path.open("rb")
        self._stream = _OPENERS[path.suffix](self._compressed)
        self._buffer = bytearray()
        self._base = 0
        self.end: int | None = None

    def peek(self, place: int, size: int) -> memoryview:
        self._forget(place)
        self._grow(self._buffer, size)
        return memoryview(self._buffer[:size])

    def take(self, place: int, size: int) -> memoryview:
        self._forget(place)
        content = self._buffer[:size]
        del self._buffer[:size]
        self._base += len(content)
        self._grow(content, size)
        self._base = place + len(content)
        return memoryview(content).toreadonly()

    def back(self, place: int, head: bytes, taken: memoryview) -> None:
        self._buffer[:0] = head + taken
        self._base = place

    def close(self) -> None:
        self._stream.close()
        self._compressed.close()

    def _forget(self, place: int) -> None:
        del self._buffer[: place - self._base]
        self._base = place

    def _grow(self, content: bytearray, size: int) -> None:
        """Inflate until ``content``, which begins at the base, has ``size`` bytes or the file ends."""
        start = self._base if content is self._buffer else self._base - len(content)
        try:
            while len(content) < size:
                piece = self._stream.read(min(_PIECE, size - len(content)))
                if not piece:
                    self.end = start + len(content)
                    return
                content += piece
                done = start + len(content)
                if done > _BOMB_BYTES and done > _BOMB_RATIO * self._compressed.tell():
                    what = f"expands more than {_BOMB_RATIO} times: no raw data does"
                    raise RawFormatError(self._path, done, "", what)
        except (EOFError, zlib.error, RuntimeError, OSError) as err:
            if isinstance(err, OSError) and err.errno is not None:
                raise
            kind = self._path.suffix[1:].replace("gz", "gzip")
            raise RawFormatError(self._path, start + len(content), "", f"damaged {kind} data ({err})") from None
