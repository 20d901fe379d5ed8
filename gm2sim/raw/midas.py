"""The MIDAS container: event headers, bank headers, padding and the type numbers. Little-endian throughout.

Layout as in the MIDAS package (midas.h and mlogger.cxx of the release of May 2022).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | memoryview

BEGIN_OF_RUN = 0x8000
END_OF_RUN = 0x8001
MAGIC = 0x494D  # trigger mask of begin-of-run and end-of-run events
MUON_DATA = 1  # event id of everything the event builder merges
BANK32 = 0x11  # bank format: version 1, 32-bit sizes

_EVENT_HEADER = struct.Struct("<HHIII")  # event id, trigger mask, serial number, unix time, bytes that follow
BANKS_HEADER = struct.Struct("<II")  # bytes of all banks, flags
_BANK_HEADER = struct.Struct("<4sII")  # name, type, bytes without padding
_ALIGNMENT = 8
_PADDING = bytes(_ALIGNMENT)


class Tid(IntEnum):
    """Type of a bank's words."""

    BYTE = 1
    SHORT = 5
    DWORD = 6
    INT = 7
    FLOAT = 9


_DTYPES = {Tid.BYTE: "u1", Tid.SHORT: "<i2", Tid.DWORD: "<u4", Tid.INT: "<i4", Tid.FLOAT: "<f4"}


@dataclass(frozen=True)
class Bank:
    """One bank, not yet laid out.

    Parameters
    ----------
    name : str
        Four ASCII characters.
    tid : Tid
        Type of the words.
    parts : iterable of bytes-like
        The words, in pieces that are written one behind the other without a copy. Where they are made while they are
        written, each may overwrite the one before.
    size : int, optional
        Bytes of all parts; needed unless they are a sequence.
    """

    name: str
    tid: Tid
    parts: Iterable[Buffer]
    size: int = -1

    def __post_init__(self) -> None:
        if len(self.name) != 4 or not self.name.isascii():
            raise ValueError(f"a bank name has four ASCII characters, got {self.name!r}")
        if self.size < 0:
            if not isinstance(self.parts, Sequence):
                raise ValueError(f"bank {self.name} is made while it is written: give its size")
            object.__setattr__(self, "size", sum(map(len, self.parts)))

    @property
    def size_in_event(self) -> int:
        """Bytes with header and padding."""
        return _BANK_HEADER.size + self.size + -self.size % _ALIGNMENT


class DataEvent(NamedTuple):
    """An event with banks, ready to be written once.

    Attributes
    ----------
    size : int
        [bytes]
    pieces : iterable of bytes-like
        In file order: headers, padding, and the banks' own memory.
    """

    size: int
    pieces: Iterable[Buffer]


def words(values: NDArray[Any] | Sequence[int], tid: Tid) -> Buffer:
    """The memory of an array as words of type ``tid``; copied only when it holds another type."""
    try:
        array = np.ascontiguousarray(values, _DTYPES[tid])
    except OverflowError as err:
        raise ValueError(f"{values} do not fit words of type {tid.name}: {err}") from None
    return array.data.cast("B") if array.size else b""


def header_of(bank: Bank) -> bytes:
    """A bank's header."""
    return _packed(_BANK_HEADER, bank.name.encode("ascii"), bank.tid, bank.size)


def bank_pieces(bank: Bank) -> Iterator[Buffer]:
    """Header, words and padding of a bank."""
    yield header_of(bank)
    yield from bank.parts
    yield _PADDING[: -bank.size % _ALIGNMENT]


def bank_event(event_id: int, serial: int, unix_time: int, banks: Iterable[Bank]) -> DataEvent:
    """An event with banks.

    Parameters
    ----------
    event_id, serial, unix_time : int
        Written into the event header; the trigger mask is 0, as the event builder leaves it.
    banks : iterable of Bank

    Raises
    ------
    ValueError
        The event is longer than its 32-bit size can say, or a number does not fit its header field.
    """
    banks = list(banks)
    total = sum(bank.size_in_event for bank in banks)
    head = _packed(_EVENT_HEADER, event_id, 0, serial, unix_time, BANKS_HEADER.size + total)
    head += _packed(BANKS_HEADER, total, BANK32)
    return DataEvent(len(head) + total, chain([head], chain.from_iterable(map(bank_pieces, banks))))


def run_event(event_id: int, run: int, unix_time: int, text: bytes) -> list[Buffer]:
    """A begin-of-run or end-of-run event: header and the online database as text.

    Parameters
    ----------
    event_id : int
        ``BEGIN_OF_RUN`` or ``END_OF_RUN``.
    run : int
        Run number: the serial number of these events.
    unix_time : int
    text : bytes
    """
    return [_packed(_EVENT_HEADER, event_id, MAGIC, run, unix_time, len(text)), text]


def _packed(layout: struct.Struct, *values: int | bytes) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as err:
        raise ValueError(f"{values} do not fit a MIDAS header: {err}") from None
