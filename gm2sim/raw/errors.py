"""The one sentence for a raw file that cannot be read."""

from pathlib import Path


class RawFormatError(ValueError):
    """A raw file breaks its format: says which file, at which byte, in which bank, and what is wrong.

    Parameters
    ----------
    path : Path
    offset : int
        Byte of the file (of the uncompressed stream for ``.gz``) where the broken structure begins.
    bank : str
        Name of the bank, empty outside banks.
    what : str
        What is wrong, without a full stop.
    """

    def __init__(self, path: Path, offset: int, bank: str, what: str) -> None:
        super().__init__(path, offset, bank, what)
        self.path = path
        self.offset = offset
        self.bank = bank
        self.what = what

    def __str__(self) -> str:
        place = f"byte {self.offset}, bank {self.bank}" if self.bank else f"byte {self.offset}"
        return f"{self.path}: {place}: {self.what}"
