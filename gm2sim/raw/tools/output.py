"""A raw file that a tool writes: plain or compressed, whole or not at all, with its checksums."""

import os
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lz4.frame

from gm2sim.atomic import again, atomic_path, close, write_all
from gm2sim.errors import ConfigError
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.tools.container import suffix

_GZIP = 31  # zlib's window and header bits for gzip; time stamp 0, no name
_LEVEL = 1  # noise compresses hardly better with more work
_PIECE = 1 << 22


class _Plain:
    """No compression."""

    def compress(self, data: memoryview) -> memoryview:
        return data

    def flush(self) -> bytes:
        return b""


class RawOutput:
    """The bytes of a raw file, written in order; a context manager.

    They go to a temporary file in the same folder, flushed to the disk and renamed when the block ends well.

    Parameters
    ----------
    path : Path
        ``.mid``, ``.mid.gz`` (one member, no time, no name) or ``.mid.lz4`` (independent blocks of 4 MiB, content
        checksum); must not exist.

    Attributes
    ----------
    size : int
        Bytes inside, before compression.

    Raises
    ------
    ConfigError
        ``path`` is there already, or ends otherwise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.sums = Checksums()
        self._squeeze = _squeeze(suffix(path))
        self._held = ExitStack()
        self._handle = -1

    def __enter__(self) -> Self:
        refuse_to_overwrite(self.path)
        with ExitStack() as held:
            temporary = held.enter_context(atomic_path(self.path))
            self._handle = again(os.open, temporary, os.O_WRONLY | os.O_CLOEXEC)
            held.push(self._finish)
            if isinstance(self._squeeze, lz4.frame.LZ4FrameCompressor):
                self._emit(self._squeeze.begin())
            self._held = held.pop_all()
        return self

    def write(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """Append pieces."""
        for piece in pieces:
            whole = memoryview(piece).cast("B")
            for first in range(0, whole.nbytes, _PIECE):
                self._emit(self._squeeze.compress(whole[first : first + _PIECE]))
            self.size += whole.nbytes

    def facts(self) -> dict[str, Any]:
        """Size and checksums of the file as it lies on the disk, for the metadata beside it."""
        return {"size": self.sums.size, "sha256": self.sums.sha256, "adler32": self.sums.adler32,
                "crc32c": self.sums.crc32c}  # fmt: skip

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The last bytes when all went well, and the file handle back; runs before the file gets its name."""
        try:
            if error is None:
                self._emit(self._squeeze.flush())
        finally:
            close(self._handle)

    def _emit(self, data: bytes | memoryview) -> None:
        self.sums.update(data)
        write_all(self._handle, data)


def refuse_to_overwrite(path: Path) -> None:
    """Say in one sentence that a file is there already.

    Raises
    ------
    ConfigError
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"'{path}' exists already and is not overwritten: remove it, or choose another --out")


def _squeeze(kind: str) -> Any:
    if kind == ".mid.gz":
        return zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    if kind == ".mid.lz4":
        return lz4.frame.LZ4FrameCompressor(
            block_size=lz4.frame.BLOCKSIZE_MAX4MB, block_linked=False, content_checksum=True
        )
    return _Plain()
