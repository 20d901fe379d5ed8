"""New HDF5 files, safe on a disk that fails: HDF5 itself ends the process where a write does not succeed."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from gm2sim.atomic import again, atomic_path, close


@contextmanager
def new_file(path: Path, *, replace: bool = False, read_only: bool = False) -> Iterator[Any]:
    """An HDF5 file that appears when the block ends well; see :func:`gm2sim.atomic.atomic_path`.

    Parameters
    ----------
    path : Path
    replace, read_only : bool
        As of :func:`gm2sim.atomic.atomic_path`.

    Yields
    ------
    h5py.File
        Open for writing, in the layout of HDF5 1.10, which holds no clock: equal content gives equal bytes.

    Raises
    ------
    OSError
        The disk failed, also long before: told when the block ends, with the name of the file.
    """
    with atomic_path(path, replace=replace, read_only=read_only) as temporary:
        disk = _Disk(again(os.open, temporary, os.O_RDWR | os.O_CLOEXEC))
        try:
            with h5py.File(disk, "w", libver=("v110", "v110")) as file:
                yield file
        finally:
            disk.close()
        if disk.failure is not None:
            raise disk.failure


class _Disk(io.RawIOBase):
    """The bytes of a file for HDF5, which is told of no failure.

    After the first one all further bytes stay in memory, where HDF5 finds them again, until it has closed in order.

    Parameters
    ----------
    handle : int
        Of a file open for reading and writing, closed with this one.

    Attributes
    ----------
    failure : OSError or None
        The first one.
    """

    def __init__(self, handle: int) -> None:
        super().__init__()
        self.failure: OSError | None = None
        self._handle = handle
        self._place = self._size = 0
        self._unwritten: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place from the begin, from here, or from the end."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        """The place of the next byte."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from here on; zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        begin, done = self._place, 0
        try:
            while done < len(view) and (count := again(os.preadv, self._handle, [view[done:]], begin + done)):
                done += count
        except OSError as err:
            self.failure = self.failure or err
        view[done:] = bytes(len(view) - done)
        for place, data in self._unwritten:
            first, last = max(place, begin), min(place + len(data), begin + len(view))
            if first < last:
                view[first - begin : last - begin] = data[first - place : last - place]
        self._place += len(view)
        return len(view)

    def write(self, data: Any) -> int:
        """Put bytes here; always says that all are there."""
        view = memoryview(data).cast("B")
        place, done = self._place, 0
        while done < len(view) and self.failure is None:
            try:
                done += again(os.pwrite, self._handle, view[done:], place + done)
            except OSError as err:
                self.failure = err
        if done < len(view):
            self._unwritten.append((place + done, bytes(view[done:])))
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file."""
        self._size = self._place if size is None else size
        try:
            again(os.ftruncate, self._handle, self._size)
        except OSError as err:
            self.failure = self.failure or err
        return self._size

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Close the handle; what goes wrong then is a failure of the disk too."""
        if not self.closed:
            try:
                close(self._handle)
            except OSError as err:
                self.failure = self.failure or err
        super().close()
