"""What is finished of a subrun that is being made, so that whoever goes on makes the same bytes.

Random numbers have no state, so that little is needed: how much of the raw file counts, the rows of truth (an HDF5 file
cannot be cut and continued, but written again in a moment), counts, and the Q-method histograms that have not been
sent yet. A record is added behind each event; every record has a checksum of its own and tells that of the raw
file's content up to there, so that whatever a killed process or a lost machine has left, the last event that is whole
in both files is found.
"""

import json
import mmap
import os
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import crc32c
import numpy as np
from numpy.typing import NDArray

from gm2sim.atomic import again, close, write_all

FORMAT = 1
EVERY_S = 30.0
"""Seconds between those records that are brought to the disk with all that a resumption needs."""

_MARK = b"gm2c"
_HEAD = struct.Struct("<4sIQI")  # mark, bytes of JSON, bytes of arrays, CRC-32C of both
_HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Record:
    """One finished event.

    Attributes
    ----------
    events : int
        Finished up to here.
    content, crc32c : int
        Size of the raw file's content up to here [bytes] and its CRC-32C.
    counts : dict of str to int
        Of everything up to here.
    rows : list of (str, int, dict)
        Group of the truth, event serial, and columns.
    histogram : array or None
        Q-method histograms that have not been sent.
    whole : bool
        Whether the histograms are known, so that work can go on behind this event.
    """

    events: int
    content: int
    crc32c: int
    counts: dict[str, int]
    rows: list[tuple[str, int, dict[str, NDArray[Any]]]]
    histogram: NDArray[np.int32] | None
    whole: bool


class Checkpoint:
    """The file of records of one subrun; a context manager that leaves the file behind when its block fails.

    Parameters
    ----------
    path : Path
    identity : mapping
        What the bytes depend on; records of another identity are not gone on from.
    every : float
        Seconds between records that a lost machine does not lose.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], every: float = EVERY_S) -> None:
        self._path, self._every = path, every
        self._identity = {"format": FORMAT} | dict(identity)
        self._rows: list[tuple[str, int, dict[str, NDArray[Any]]]] = []
        self._handle = -1
        self._size = 0
        self._synced = time.monotonic()

    def records(self) -> Iterator[Record]:
        """The records that an earlier process has left, up to the first that is not whole."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            if file.seek(0, os.SEEK_END) == 0:
                return
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        place = 0
        for head, arrays, end in _whole(data):
            if place == 0:
                if head != self._identity:
                    return
            else:
                yield _record(head, arrays)
            place = end

    def go_on(self, kept: int) -> None:
        """Open the file to add records behind the first ``kept`` ones; 0 begins anew."""
        end = 0
        if kept:
            data = memoryview(self._path.read_bytes())
            end = [place for _, _, place in _whole(data)][kept]
        self._handle = again(os.open, self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        again(os.ftruncate, self._handle, end)
        os.lseek(self._handle, 0, os.SEEK_END)
        if not kept:
            self._add(self._identity, [])

    def append(self, group: str, fill: int, columns: Mapping[str, NDArray[Any]]) -> None:
        """Rows of truth of the event in hand."""
        self._rows.append((group, fill, dict(columns)))

    def due(self) -> bool:
        """Whether the next record is to be brought to the disk."""
        return time.monotonic() - self._synced >= self._every

    def note(
        self, events: int, content: int, checksum: int, counts: Mapping[str, int],
        histogram: NDArray[np.int32] | None, *, whole: bool,
    ) -> None:  # fmt: skip
        """Add the record of an event; parameters as the attributes of :class:`Record`."""
        arrays: list[NDArray[Any]] = []
        told = []
        for group, fill, columns in self._rows:
            told.append([group, fill, {name: [_type(value), value.size] for name, value in columns.items()}])
            arrays += columns.values()
        head: dict[str, Any] = {
            "events": events, "content": content, "crc32c": checksum, "counts": dict(counts), "rows": told,
            "whole": whole,
        }  # fmt: skip
        if whole and histogram is not None:
            head[_HISTOGRAM] = list(histogram.shape)
            arrays.append(histogram)
        self._add(head, arrays)
        self._rows = []

    def sync(self) -> None:
        """Bring everything to the disk."""
        again(os.fsync, self._handle)
        self._synced = time.monotonic()

    def remove(self) -> None:
        """The subrun is finished."""
        with suppress(FileNotFoundError):
            again(os.unlink, self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            close(handle)

    def _add(self, head: Mapping[str, Any], arrays: list[NDArray[Any]]) -> None:
        text = json.dumps(head, separators=(",", ":")).encode()
        pieces = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays if array.size]
        checksum = crc32c.crc32c(text)
        for piece in pieces:
            checksum = crc32c.crc32c(piece, checksum)
        write_all(self._handle, _HEAD.pack(_MARK, len(text), sum(map(len, pieces)), checksum) + text)
        for piece in pieces:
            write_all(self._handle, piece)


def _type(array: NDArray[Any]) -> str:
    return array.dtype.str


def _whole(data: memoryview) -> Iterator[tuple[dict[str, Any], memoryview, int]]:
    """JSON, arrays and end of each record, up to the first that is cut or damaged."""
    place = 0
    while place + _HEAD.size <= len(data):
        mark, text, arrays, checksum = _HEAD.unpack_from(data, place)
        begin, middle = place + _HEAD.size, place + _HEAD.size + text
        end = middle + arrays
        if mark != _MARK or end > len(data) or crc32c.crc32c(data[begin:end]) != checksum:
            return
        yield json.loads(bytes(data[begin:middle])), data[middle:end], end
        place = end


def _record(head: dict[str, Any], arrays: memoryview) -> Record:
    place = 0

    def next_array(kind: str, size: int) -> NDArray[Any]:
        nonlocal place
        found = np.frombuffer(arrays, np.dtype(kind), size, place) if size else np.empty(0, np.dtype(kind))
        place += found.nbytes
        return found

    rows = [
        (group, fill, {name: next_array(*what) for name, what in columns.items()})
        for group, fill, columns in head["rows"]
    ]
    shape = head.get(_HISTOGRAM)
    histogram = next_array("<i4", int(np.prod(shape))).reshape(shape) if shape else None
    return Record(head["events"], head["content"], head["crc32c"], head["counts"], rows, histogram, head["whole"])
