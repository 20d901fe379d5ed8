"""Opens a MIDAS raw file and gives its events; waveforms are views of the file, nothing is copied."""

import gzip
import mmap
import zlib
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.event import BEGIN_OF_RUN, END_OF_RUN, Event

_PIECE = 1 << 20  # a compressed event is read in such pieces: a false size allocates nothing
_BOMB_RATIO, _BOMB_BYTES = 200, 64 << 20  # waveforms compress by 2 to 4


class RawRun:
    """A raw file, open for reading.

    Iterating gives the fills in order; :meth:`events` gives begin and end of run too. Arrays stay valid
    for as long as they are referenced.

    Parameters
    ----------
    path : Path
        ``.mid``, mapped into memory, or ``.mid.gz``, read as a stream.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file does not begin with a begin-of-run event.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        first = next(self.events())
        if first.event_id != BEGIN_OF_RUN:
            raise RawFormatError(self.path, 0, "", "no begin-of-run event: this is no MIDAS run file")
        self.odb: dict[str, Any] = first.text()
        self.run = first.serial

    @property
    def subrun(self) -> int | None:
        """Subrun number from the run database, None when it has none."""
        info = self.odb.get("Runinfo")
        number = info.get("Subrun number") if isinstance(info, dict) else None
        return number if isinstance(number, int) else None

    @cached_property
    def odb_end(self) -> dict[str, Any]:
        """The run database at the end of the file.

        Raises
        ------
        RawFormatError
            The file has no end-of-run event.
        """
        last = first = next(self.events())
        for last in self.events():
            if last.event_id == END_OF_RUN:
                return last.text()
        raise RawFormatError(first.path, last.offset + last.size, "", "no end-of-run event: the file is cut short")

    def __iter__(self) -> Iterator[Event]:
        return (event for event in self.events() if event.has_banks)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def events(self) -> Iterator[Event]:
        """Every event of the file in order.

        Raises
        ------
        RawFormatError
            When reached: an event that the file does not hold whole.
        """
        if self.path.suffix == ".gz":
            return _compressed_events(self.path)
        return _mapped_events(self.path, self._bytes)

    @cached_property
    def _bytes(self) -> memoryview:
        with self.path.open("rb") as file:
            if file.seek(0, 2) == 0:
                raise RawFormatError(self.path, 0, "", "the file is empty")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def open_run(path: Path | str) -> RawRun:
    """Open a raw file for reading.

    Parameters
    ----------
    path : Path
        ``.mid`` or ``.mid.gz``.

    Raises
    ------
    FileNotFoundError
    RawFormatError
        The file is empty, cut short in its first event, or no MIDAS run file.
    """
    return RawRun(path)


def _mapped_events(path: Path, content: memoryview) -> Iterator[Event]:
    place = 0
    while place < content.nbytes:
        head = bytes(content[place : place + 16])
        left = content.nbytes - place - 16
        size = _event_size(path, place, head, left)
        yield _event(path, place, head, content[place + 16 : place + 16 + size])
        place += 16 + size


def _compressed_events(path: Path) -> Iterator[Event]:
    with path.open("rb") as compressed, gzip.open(compressed) as stream:
        read = partial(_inflate, path, compressed, stream)
        place = 0
        while head := read(place, 16):
            size = _event_size(path, place, head, None)
            payload = read(place + 16, size)
            if len(payload) < size:
                _event_size(path, place, head, len(payload))
            yield _event(path, place, head, memoryview(payload))
            place += 16 + size
        if place == 0:
            raise RawFormatError(path, 0, "", "the file is empty")


def _inflate(path: Path, compressed: BinaryIO, stream: gzip.GzipFile, place: int, size: int) -> bytes:
    """Up to ``size`` bytes from byte ``place`` of the uncompressed stream."""
    content = bytearray()
    try:
        while len(content) < size:
            piece = stream.read(min(_PIECE, size - len(content)))
            if not piece:
                break
            content += piece
            done = place + len(content)
            if done > _BOMB_BYTES and done > _BOMB_RATIO * compressed.tell():
                raise RawFormatError(path, done, "", f"expands more than {_BOMB_RATIO} times: no raw data does")
    except (EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise RawFormatError(path, place + len(content), "", f"damaged gzip data ({err})") from None
    return bytes(content)


def _event_size(path: Path, place: int, head: bytes, left: int | None) -> int:
    """Size of the payload [bytes], checked against what is ``left`` of the file where that is known."""
    if len(head) < 16:
        raise RawFormatError(path, place, "", f"{len(head)} bytes at the end cannot hold an event header: cut short")
    size = int.from_bytes(head[12:16], "little")
    if left is not None and size > left:
        raise RawFormatError(
            path,
            place,
            "",
            f"an event claims {size} bytes but {left} remain: cut short, or its size is damaged",
        )
    return size


def _event(path: Path, place: int, head: bytes, payload: memoryview) -> Event:
    event_id, mask = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    return Event(
        path,
        place,
        event_id,
        mask,
        int.from_bytes(head[4:8], "little"),
        int.from_bytes(head[8:12], "little"),
        payload,
    )
