"""The bytes of a raw file on their way to the disk: plain, gzip or LZ4 by the name of the file, and summed.

The same content gives the same file: a gzip member without name and time, an LZ4 frame of independent blocks.
"""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import crc32c
import lz4.frame

from gm2sim.atomic import again, write_all
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.partial import content

SUFFIXES = {"none": ".mid", "gz": ".mid.gz", "lz4": ".mid.lz4"}
"""End of a raw file's name by the way it is compressed."""

_BLOCK = 1 << 18  # bytes handed to one system call: few calls, and small enough for a core's cache
_BIG = 1 << 16  # bytes of a piece that is not worth a copy
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for a gzip header, which it leaves without name and time
_LEVEL = 1  # noise compresses hardly better with more work


class _Coder(Protocol):
    """Turns the content into the bytes of the file."""

    def compress(self, data: Any, /) -> bytes:
        """What is ready of the content up to here."""

    def flush(self) -> bytes:
        """The rest."""


class _Lz4:
    """An LZ4 frame: independent blocks of 4 MiB, with a check sum of the content."""

    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor(
            block_size=lz4.frame.BLOCKSIZE_MAX4MB, block_linked=False, content_checksum=True
        )
        self._head = self._frame.begin()

    def compress(self, data: Any, /) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._frame.compress(data))

    def flush(self) -> bytes:
        return bytes(self._head + self._frame.flush())


def _gzip() -> _Coder:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)


_CODERS: dict[str, Callable[[], _Coder]] = {".gz": _gzip, ".lz4": _Lz4}


class Stream:
    """A file that is being written.

    Parameters
    ----------
    path : Path
        Where to; an existing file is emptied.
    suffix : str
        ``.gz``, ``.lz4`` or anything else for plain bytes.
    kept : int
        Bytes of content that the file holds already and that stay; what is behind them goes.

    Attributes
    ----------
    sums : Checksums
        Of the file as it lies on the disk.
    content : int
        Bytes taken in.

    Raises
    ------
    OSError
        From this and every method.
    """

    def __init__(self, path: Path, suffix: str, kept: int = 0) -> None:
        self.sums = Checksums()
        self.content = 0
        self._coder = _CODERS[suffix]() if suffix in _CODERS else None
        self._content_crc32c = 0
        self._block = memoryview(bytearray(_BLOCK))
        self._filled = 0
        self._handle = -1
        if not kept:
            self._open(path)
        elif self._coder is None:
            self._go_on(path, kept)
        else:
            self._compress_again(path, suffix, kept)

    def _open(self, path: Path, flag: int = os.O_TRUNC) -> None:
        self._handle = again(os.open, path, os.O_WRONLY | os.O_CREAT | flag | os.O_CLOEXEC, 0o666)

    def _go_on(self, path: Path, kept: int) -> None:
        """Sum the bytes that stay, and stand behind them."""
        self._open(path, 0)
        again(os.ftruncate, self._handle, kept)
        for piece in content(path, ""):
            self.sums.update(piece)
        os.lseek(self._handle, 0, os.SEEK_END)
        self.content = kept

    def _compress_again(self, path: Path, suffix: str, kept: int) -> None:
        """Give a new coder what the old one has taken in: its state is not in the file."""
        before = path.with_name(f"{path.name}.before")
        again(os.replace, path, before)
        self._open(path)
        for piece in content(before, suffix):
            self.write(piece[: kept - self.content])
            if self.content == kept:
                break
        self.flush()
        again(os.unlink, before)

    @property
    def content_crc32c(self) -> int:
        """CRC-32C of the bytes taken in and handed on."""
        return self.sums.crc32c_value if self._coder is None else self._content_crc32c

    def sync(self) -> None:
        """Bring what was handed on to the disk."""
        again(os.fsync, self._handle)

    def write(self, piece: bytes | memoryview) -> None:
        """Take in a piece: small ones, which the cache holds, are gathered, big ones pass as they are."""
        size = len(piece)
        self.content += size
        if self._filled + size > _BLOCK or size >= _BIG:
            self.flush()
        if size >= _BIG:
            view = memoryview(piece)
            for first in range(0, size, _BLOCK):
                self._emit(view[first : first + _BLOCK])
        else:
            self._block[self._filled : self._filled + size] = piece
            self._filled += size

    def flush(self) -> None:
        """Hand on what was gathered; a coder may keep some of it."""
        filled, self._filled = self._filled, 0
        if filled:
            self._emit(self._block[:filled])

    def finish(self) -> None:
        """Everything onto the disk, and close."""
        self.flush()
        if self._coder is not None:
            self._store(memoryview(self._coder.flush()))
        again(os.fsync, self._handle)
        self.close()

    def close(self) -> None:
        """Give the file back, whatever is in it; twice does no harm."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            os.close(handle)

    def _emit(self, data: memoryview) -> None:
        if self._coder is None:
            self._store(data)
        else:
            self._content_crc32c = crc32c.crc32c(data, self._content_crc32c)
            self._store(memoryview(self._coder.compress(data)))

    def _store(self, data: memoryview) -> None:
        self.sums.update(data)
        write_all(self._handle, data)
