"""The three checksums of a raw file, taken while its bytes pass by."""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import crc32c

_CHUNK = 1 << 20  # bytes read at once when a file is verified


class Checksums:
    """SHA-256, Adler-32 as the tape archive counts it (from 0, not 1), and CRC-32C of a stream."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._adler32 = 0
        self._crc32c = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take in the next bytes."""
        self._sha256.update(data)
        self._adler32 = zlib.adler32(data, self._adler32)
        self._crc32c = crc32c.crc32c(data, self._crc32c)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        return self._sha256.hexdigest()

    @property
    def adler32(self) -> str:
        """Eight hexadecimal digits, leading zeros kept."""
        return f"{self._adler32:08x}"

    @property
    def crc32c_value(self) -> int:
        """CRC-32C as a number."""
        return self._crc32c

    @property
    def crc32c(self) -> str:
        """Eight hexadecimal digits, leading zeros kept."""
        return f"{self._crc32c:08x}"

    @classmethod
    def of_file(cls, path: Path) -> "Checksums":
        """Read a file from begin to end in small pieces."""
        sums = cls()
        for piece in _pieces(path):
            sums.update(piece)
        return sums


def _pieces(path: Path) -> Iterator[memoryview]:
    piece = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            yield piece[:count]
