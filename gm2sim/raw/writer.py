"""The raw file of one subrun: appears whole, with its checksums, or not at all."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gm2sim.atomic import sync
from gm2sim.raw import midas, odb
from gm2sim.raw.banks import fill_banks
from gm2sim.raw.checksum import Checksums
from gm2sim.raw.record import FillRecord

_BLOCK = 1 << 18  # bytes handed to one system call: few calls, and small enough for a core's cache


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

    The bytes go to a temporary file in the same folder, flushed to the disk and renamed when the block ends
    well. When anything fails, also a full disk, no file remains.

    Parameters
    ----------
    path : Path
        Final name; must not exist.
    run, subrun : int
    tree : mapping
        The online database at the begin of the file, see :func:`gm2sim.raw.odb.run_tree`.

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

    def __init__(self, path: Path, run: int, subrun: int, tree: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.run = run
        self.subrun = subrun
        self.written: WrittenFile | None = None
        self._tree = tree
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._handle = -1
        self._sums = Checksums()
        self._block = memoryview(bytearray(_BLOCK))
        self._filled = 0
        self._events = 0
        self._last_serial: int | None = None
        self._last_time = odb.start_time(tree)

    def __enter__(self) -> Self:
        self._refuse_to_overwrite()
        try:
            self._handle = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            self._write(midas.run_event(midas.BEGIN_OF_RUN, self.run, self._last_time, odb.encode(self._tree)))
        except BaseException as err:
            self._discard()
            raise self._named(err) from None
        return self

    def write_fill(self, fill: FillRecord) -> None:
        """Append one fill, of whatever type, as a merged event.

        Parameters
        ----------
        fill : FillRecord
            Its serial number must follow that of the fill before.

        Raises
        ------
        ValueError
            Serial number or time go backwards, or a number does not fit the format.
        """
        if self._last_serial is not None and fill.serial != self._last_serial + 1:
            raise ValueError(f"{self.path}: event {fill.serial} cannot follow event {self._last_serial}")
        if fill.time_s < self._last_time:
            raise ValueError(f"{self.path}: event {fill.serial} is earlier than what was written before it")
        event = midas.bank_event(midas.MUON_DATA, fill.serial, fill.time_s, fill_banks(fill))
        try:
            self._write(event)
        except OSError as err:
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
        sums = self._sums
        self.written = WrittenFile(self.path, sums.size, sums.sha256, sums.adler32, sums.crc32c, self._events)

    def _publish(self) -> None:
        os.fsync(self._handle)
        handle, self._handle = self._handle, -1
        os.close(handle)
        self._refuse_to_overwrite()
        self._temporary.rename(self.path)
        try:
            sync(self.path.parent)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise

    def _write(self, pieces: Iterable[midas.Buffer]) -> None:
        """Gather small pieces, which the cache holds, into blocks; big ones pass as they are."""
        for piece in pieces:
            size = len(piece)
            if self._filled + size > _BLOCK:
                self._flush()
            if size > _BLOCK:
                self._emit(memoryview(piece))
            else:
                self._block[self._filled : self._filled + size] = piece
                self._filled += size
        self._flush()

    def _flush(self) -> None:
        filled, self._filled = self._filled, 0
        self._emit(self._block[:filled])

    def _emit(self, data: memoryview) -> None:
        self._sums.update(data)
        while data:
            data = data[os.write(self._handle, data) :]

    def _refuse_to_overwrite(self) -> None:
        if self.path.exists():
            raise FileExistsError(f"{self.path} exists already and is not overwritten: remove it first")

    def _discard(self) -> None:
        # The first error is the one to tell, not what goes wrong while clearing up after it.
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            with suppress(OSError):
                os.close(handle)
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)

    def _named(self, error: BaseException) -> BaseException:
        """The same error, with the file a person knows instead of the temporary one."""
        if isinstance(error, OSError) and error.errno is not None:
            return type(error)(error.errno, os.strerror(error.errno), str(self.path))
        return error
