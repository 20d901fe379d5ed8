"""Something wrong in a raw file, as the checker tells it."""

from dataclasses import dataclass
from typing import Self

from gm2sim.raw.errors import RawFormatError


@dataclass(frozen=True)
class Problem:
    """Something wrong in a raw file.

    Attributes
    ----------
    offset : int
        Byte of the file.
    what : str
    event : int or None
        Serial number of the event, None outside events.
    bank : str
        Empty outside banks.
    """

    offset: int
    what: str
    event: int | None = None
    bank: str = ""

    def __str__(self) -> str:
        event = "" if self.event is None else f", event {self.event}"
        bank = f", bank {self.bank}" if self.bank else ""
        return f"byte {self.offset}{event}{bank}: {self.what}"

    @classmethod
    def of(cls, error: RawFormatError, event: int | None = None) -> Self:
        """The same complaint as a reader's."""
        return cls(error.offset, error.what, event, error.bank)
