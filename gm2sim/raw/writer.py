"""The raw file of one subrun: appears whole, with its checksums, or not at all."""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gm2sim.atomic import publish, refuse_existing, temporary_name
from gm2sim.raw import midas, odb
from gm2sim.raw.banks import fill_banks
from gm2sim.raw.partial import Begun
from gm2sim.raw.record import FillRecord
from gm2sim.raw.stream import Stream

LIMIT = 2**31
"""Bytes of a file's content: the experiment closed its subruns at 2 GB."""
_END_GROWS = 256  # bytes that the run database at the end may be longer than that at the begin


@dataclass(frozen=True)
class WrittenFile:
    """A raw file that is on the disk.

    Attributes
    ----------
    path : Path
    size : int
        [bytes]
    sha256, adler32, crc32c : str
        Hexadecimal with leading zeros; ``adler32`` starts from 0 as the tape archive's does.
    events : int
        Fills, not counting begin-of-run and end-of-run.
    """

    path: Path
    size: int
    sha256: str
    adler32: str
    crc32c: str
    events: int

    def facts(self) -> dict[str, Any]:
        """What the metadata beside the file records; :func:`gm2sim.raw.check` verifies it."""
        return {"size": self.size, "sha256": self.sha256, "adler32": self.adler32, "crc32c": self.crc32c}


class RunWriter:
    """Writes the events of one subrun in order; a context manager.

    The name of the file says how it is compressed: ``.mid``, ``.mid.gz`` or ``.mid.lz4``. Whether the front ends
    compressed before that is what the run database says of each.

    The bytes go to a temporary file in the same folder, flushed to the disk and renamed when the block ends
    well. When anything fails, also a full disk, no file remains, but for one that is to be gone on with.

    Parameters
    ----------
    path : Path
        Final name; must not exist.
    run, subrun : int
    tree : mapping
        The online database at the begin of the file, see :func:`gm2sim.raw.odb.run_tree`.
    limit : int
        Most bytes of content, before the file is compressed.
    begun : Begun, optional
        An unfinished file to go on with, or to begin, which stays when writing fails.

    Attributes
    ----------
    written : WrittenFile or None
        Known once the block has ended well.

    Raises
    ------
    FileExistsError
        ``path`` is there already.
    OSError
        The file cannot be written; names the path.
    """

    def __init__(
        self, path: Path, run: int, subrun: int, tree: Mapping[str, Any], limit: int = LIMIT, begun: Begun | None = None
    ) -> None:
        self.path = Path(path)
        self.run = run
        self.subrun = subrun
        self.limit = limit
        self.written: WrittenFile | None = None
        self._tree = tree
        self._compression = odb.compression(tree)
        self._stays = begun is not None
        self._begun = begun or Begun(temporary_name(self.path))
        self._temporary = self._begun.path
        self._stream: Stream | None = None
        self._next: tuple[FillRecord, midas.DataEvent] | None = None
        self._at_end = 0  # bytes that the end-of-run event will take
        self._events = self._begun.events
        self._last_serial = self._begun.last_serial
        self._last_time = odb.start_time(tree) if self._begun.last_time is None else self._begun.last_time

    def __enter__(self) -> Self:
        refuse_existing(self.path)
        try:
            time_s = odb.start_time(self._tree)
            begin = midas.run_event(midas.BEGIN_OF_RUN, self.run, time_s, odb.encode(self._tree))
            self._at_end = sum(map(len, begin)) + _END_GROWS
            self._stream = Stream(self._temporary, self.path.suffix, self._begun.content)
            if not self._begun.content:
                self._write(begin)
        except BaseException as err:
            self._discard()
            raise self._named(err) from None
        return self

    @property
    def content(self) -> int:
        """Bytes taken in up to here, before the file is compressed."""
        return self._open_stream().content

    @property
    def content_crc32c(self) -> int:
        """CRC-32C of these bytes."""
        return self._open_stream().content_crc32c

    def sync(self) -> None:
        """Bring what is written to the disk; a coder may keep some of it."""
        try:
            self._open_stream().sync()
        except OSError as err:
            self._discard()
            raise self._named(err) from None

    def room_for(self, fill: FillRecord) -> bool:
        """Whether the fill and the end of the run still fit below the limit."""
        return self._fits(self._event_of(fill).size)

    def write_fill(self, fill: FillRecord) -> None:
        """Append one fill, of whatever type, as a merged event.

        Parameters
        ----------
        fill : FillRecord
            Its serial number must follow that of the fill before.

        Raises
        ------
        ValueError
            Serial number or time go backwards, a number does not fit the format, or the event would pass the limit.
            Nothing of the event has been written then.
        OSError
            The file cannot be written and is gone.
        """
        if self._last_serial is not None and fill.serial != self._last_serial + 1:
            raise ValueError(f"{self.path}: event {fill.serial} cannot follow event {self._last_serial}")
        if fill.time_s < self._last_time:
            raise ValueError(f"{self.path}: event {fill.serial} is earlier than what was written before it")
        event = self._event_of(fill)
        if not self._fits(event.size):
            raise ValueError(
                f"{self.path}: event {fill.serial} of {event.size} bytes would pass the limit of {self.limit} bytes: "
                "go on in the next subrun"
            )
        self._next = None
        try:
            self._write(event.pieces)
        except BaseException as err:
            self._discard()
            raise self._named(err) from None
        self._events += 1
        self._last_serial = fill.serial
        self._last_time = fill.time_s

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            end = odb.encode(odb.ended(self._tree, self._last_time, self._events))
            self._write(midas.run_event(midas.END_OF_RUN, self.run, self._last_time, end))
            self._publish()
        except BaseException as err:
            self._discard()
            raise self._named(err) from None

    def _publish(self) -> None:
        stream = self._open_stream()
        stream.finish()
        publish(self._temporary, self.path)
        sums = stream.sums
        self.written = WrittenFile(self.path, sums.size, sums.sha256, sums.adler32, sums.crc32c, self._events)

    def _event_of(self, fill: FillRecord) -> midas.DataEvent:
        """The event, made once for those who ask for its room first."""
        if self._next is None or self._next[0] is not fill:
            banks = fill_banks(fill, self._compression)
            self._next = fill, midas.bank_event(midas.MUON_DATA, fill.serial, fill.time_s, banks)
        return self._next[1]

    def _fits(self, size: int) -> bool:
        return self.content + size + self._at_end <= self.limit

    def _write(self, pieces: Iterable[midas.Buffer]) -> None:
        stream = self._open_stream()
        for piece in pieces:
            stream.write(piece)
        stream.flush()

    def _open_stream(self) -> Stream:
        if self._stream is None:
            raise OSError(errno.EBADF, "it is not open", str(self.path))
        return self._stream

    def _discard(self) -> None:
        # The first error is the one to tell, not what goes wrong while clearing up after it.
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
        if not self._stays:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _named(self, error: BaseException) -> BaseException:
        """The same error, with the file a person knows instead of the temporary one."""
        if isinstance(error, OSError) and error.errno is not None:
            return type(error)(error.errno, os.strerror(error.errno), str(self.path))
        return error
