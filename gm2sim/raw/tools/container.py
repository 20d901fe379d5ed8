"""The bytes inside a raw file, and where its events and banks lie in them: what tools need that move bytes about.

The reader gives events one after the other; a tool that swaps two of them, or says in which bank a byte lies, needs
all bytes at once. They are mapped, never held in memory.
"""

import gzip
import mmap
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import lz4.frame

from gm2sim.errors import ConfigError
from gm2sim.raw.errors import RawFormatError

BEGIN_OF_RUN, END_OF_RUN, MESSAGE = 0x8000, 0x8001, 0x8002
EVENT_HEADER, BANKS_HEADER = 16, 8  # bytes
SUFFIXES = (".mid", ".mid.gz", ".mid.lz4")

_BANK_HEADERS = {0x01: (8, 2), 0x11: (12, 4), 0x31: (16, 4)}  # flags: bytes of a bank header, of its size
_PIECE = 1 << 20
_BOMB_RATIO, _BOMB_BYTES = 200, 64 << 20  # waveforms compress by 2 to 4


class Frame(NamedTuple):
    """An event as it lies in the file.

    Attributes
    ----------
    offset : int
        Byte where its header begins.
    size : int
        Bytes, header included.
    event_id, serial, time : int
        As in the header.
    """

    offset: int
    size: int
    event_id: int
    serial: int
    time: int

    @property
    def is_data(self) -> bool:
        """Whether it holds banks."""
        return self.event_id not in (BEGIN_OF_RUN, END_OF_RUN, MESSAGE)

    @property
    def name(self) -> str:
        """For people: begin of run, end of run, message, event 12."""
        text = {BEGIN_OF_RUN: "begin of run", END_OF_RUN: "end of run", MESSAGE: "message"}
        return text.get(self.event_id, f"event {self.serial}")


class Place(NamedTuple):
    """A bank as it lies in the file: byte of its header and of its data, and bytes of data without padding."""

    name: str
    offset: int
    data: int
    size: int

    @property
    def end(self) -> int:
        """Byte behind its padding."""
        return self.data + self.size + -self.size % 8


def suffix(path: Path) -> str:
    """``.mid``, ``.mid.gz`` or ``.mid.lz4``.

    Raises
    ------
    ConfigError
        The name ends in none of them.
    """
    for one in SUFFIXES:
        if path.name.endswith(one):
            return one
    raise ConfigError(f"'{path}' does not end in {', '.join(SUFFIXES)}: give a raw file")


@contextmanager
def content(path: Path) -> Iterator[memoryview]:
    """The bytes inside a raw file: the file itself, or what it expands to, in an unnamed temporary file.

    Parameters
    ----------
    path : Path
        ``.mid``, ``.mid.gz`` or ``.mid.lz4``.

    Raises
    ------
    FileNotFoundError
    ConfigError
        The name is not that of a raw file.
    RawFormatError
        The file is empty, or its compression is damaged.
    """
    kind = suffix(path)
    with path.open("rb") as file, tempfile.TemporaryFile() as expanded:
        if kind != ".mid":
            _expand(path, kind, file, expanded)
        # Not closed: an error on its way may hold views of it.
        yield memoryview(_mapped(path, file if kind == ".mid" else expanded))


def _mapped(path: Path, file: IO[bytes]) -> mmap.mmap:
    file.flush()
    if file.seek(0, 2) == 0:
        raise RawFormatError(path, 0, "", "the file is empty")
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _expand(path: Path, kind: str, file: IO[bytes], out: IO[bytes]) -> None:
    done = 0
    try:
        with gzip.open(file) if kind == ".mid.gz" else lz4.frame.open(file) as stream:
            while piece := stream.read(_PIECE):
                done += out.write(piece)
                if done > _BOMB_BYTES and done > _BOMB_RATIO * file.tell():
                    raise RawFormatError(path, done, "", f"expands more than {_BOMB_RATIO} times: no raw data does")
    except (EOFError, RuntimeError, zlib.error, gzip.BadGzipFile) as err:
        raise RawFormatError(path, done, "", f"damaged {kind[5:]} data ({err})") from None


def frames(path: Path, data: memoryview) -> Iterator[Frame]:
    """The events of a file in order.

    Raises
    ------
    RawFormatError
        When reached: an event that the file does not hold whole.
    """
    place = 0
    while place < data.nbytes:
        left = data.nbytes - place - EVENT_HEADER
        if left < 0:
            raise RawFormatError(path, place, "", f"{left + EVENT_HEADER} bytes at the end cannot hold an event header")
        size = _number(data, place + 12)
        if size > left:
            raise RawFormatError(path, place, "", f"an event claims {size} bytes but {left} remain: cut short")
        event_id = int.from_bytes(data[place : place + 2], "little")
        yield Frame(place, EVENT_HEADER + size, event_id, _number(data, place + 4), _number(data, place + 8))
        place += EVENT_HEADER + size


def banks(path: Path, data: memoryview, frame: Frame) -> Iterator[Place]:
    """The banks of an event in order; none of an event that holds text.

    Raises
    ------
    RawFormatError
        When reached: a bank that its event does not hold whole.
    """
    if not frame.is_data:
        return
    end = frame.offset + frame.size
    place = frame.offset + EVENT_HEADER + BANKS_HEADER
    flags = _number(data, place - 4) if place <= end else 0
    if flags not in _BANK_HEADERS:
        raise RawFormatError(path, place - 4, "", f"unknown bank format 0x{flags:x}")
    header, width = _BANK_HEADERS[flags]
    while place < end:
        name = bytes(data[place : place + 4]).decode("latin-1")
        size = int.from_bytes(data[place + 4 + width : place + 4 + 2 * width], "little")
        found = Place(name, place, place + header, size)
        if found.data + size > end:
            raise RawFormatError(path, place, name, f"claims {size} bytes but its event ends after {end - found.data}")
        yield found
        place = found.end


def _number(data: memoryview, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little")
