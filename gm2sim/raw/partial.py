"""An unfinished raw file that an earlier process has left: how much of it is whole, and its content."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crc32c
import lz4.frame

_CHUNK = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Begun:
    """Where to write a raw file that may have been begun.

    Parameters
    ----------
    path : Path
        The unfinished file; stays when writing fails.
    events : int
        That it holds already; 0 begins anew.
    content : int
        Bytes of content up to there, before compression.
    last_serial, last_time : int, optional
        Serial number and Unix time of the last event.
    """

    path: Path
    events: int = 0
    content: int = 0
    last_serial: int | None = None
    last_time: int | None = None


_DECODERS: dict[str, Callable[[], Any]] = {
    ".gz": lambda: zlib.decompressobj(_GZIP),
    ".lz4": lz4.frame.LZ4FrameDecompressor,
}


def content(path: Path, suffix: str) -> Iterator[memoryview]:
    """The content of an unfinished file as far as it can be read, in pieces of at most some megabytes.

    Parameters
    ----------
    path : Path
    suffix : str
        ``.gz``, ``.lz4`` or anything else for plain bytes.
    """
    decoder = _DECODERS[suffix]() if suffix in _DECODERS else None
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            if decoder is None:
                yield memoryview(piece)
                continue
            try:
                data = decoder.decompress(piece)
            except (zlib.error, RuntimeError, EOFError):
                return
            yield memoryview(data)


def intact(path: Path, suffix: str, marks: Sequence[tuple[int, int]]) -> int:
    """How many of the marks hold, from the first on.

    Parameters
    ----------
    path : Path
        May be missing.
    suffix : str
    marks : sequence of (int, int)
        Bytes of content, ascending, and their CRC-32C.
    """
    held, place, checksum = 0, 0, 0
    try:
        for piece in content(path, suffix):
            while held < len(marks) and marks[held][0] <= place + len(piece):
                size, expected = marks[held]
                checksum = crc32c.crc32c(piece[: size - place], checksum)
                piece, place = piece[size - place :], size
                if checksum != expected:
                    return held
                held += 1
            if held == len(marks):
                return held
            checksum = crc32c.crc32c(piece, checksum)
            place += len(piece)
    except FileNotFoundError:
        return 0
    return held
