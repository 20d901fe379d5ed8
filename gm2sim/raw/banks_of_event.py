"""The banks of an event: walked as they lie in the file, and by name as if the front end had compressed none."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import NoReturn

from gm2sim.raw.decode import Fail
from gm2sim.raw.errors import RawFormatError
from gm2sim.raw.unpack import Inner, inflate, inner_bank, is_one_bank, is_whole_crate

# Bank flags -> header of a bank: name, type, size.
LAYOUTS = {0x01: Struct("<4sHH"), 0x11: Struct("<4sII"), 0x31: Struct("<4sIIxxxx")}
TYPES = range(1, 19)
_SIZES = Struct("<II")  # of all banks, flags


class RawBank:
    """A bank of an event; one that is compressed in the file is opened when its words are asked for.

    Attributes
    ----------
    name : str
    offset : int
        Byte of the file where its header begins; of the bank that holds it where that is compressed.
    data_offset : int
        Byte of the file where its data begins, likewise.
    packed_in : str
        Name of the compressed bank that holds it, empty for one that lies in the file as it is.
    """

    __slots__ = ("_data", "_type", "_unpack", "data_offset", "name", "offset", "packed_in")

    def __init__(
        self,
        name: str,
        kind: int,
        offset: int,
        data_offset: int,
        data: memoryview,
        packed_in: str = "",
        unpack: Callable[[], Inner] | None = None,
    ) -> None:
        self.name = name
        self.offset = offset
        self.data_offset = data_offset
        self.packed_in = packed_in
        self._type = kind
        self._data = data
        self._unpack = unpack

    def __repr__(self) -> str:
        return f"RawBank({self.name!r}, byte {self.offset})"

    @property
    def type(self) -> int:
        """MIDAS type number."""
        self._opened()
        return self._type

    @property
    def data(self) -> memoryview:
        """Its bytes without padding."""
        self._opened()
        return self._data

    def _opened(self) -> None:
        if self._unpack is not None:
            self._type, self._data = self._unpack()
            self._unpack = None


def failure(path: Path, bank: RawBank) -> Fail:
    """What a decoder calls when the words of ``bank`` make no sense: raises with the place in the file."""

    def fail(offset: int, what: str) -> NoReturn:
        if bank.packed_in:
            where = f"{what} (byte {offset} of what {bank.packed_in} holds)"
            raise RawFormatError(path, bank.data_offset, bank.name, where)
        raise RawFormatError(path, bank.data_offset + offset, bank.name, what)

    return fail


def walk(path: Path, start: int, payload: memoryview, whose: str) -> Iterator[RawBank]:
    """Banks in file order, each checked against the end.

    Parameters
    ----------
    path : Path
    start : int
        Byte of the file where ``payload`` begins.
    payload : memoryview
        Size of all banks, flags, banks.
    whose : str
        What has the banks, for messages.

    Raises
    ------
    RawFormatError
        The sizes do not fit together.
    """
    size = payload.nbytes
    claimed = int.from_bytes(payload[:4], "little")
    if size < 8 or claimed != size - 8:
        raise RawFormatError(path, start, "", f"{whose} has {size - 8} bytes of banks but its header says {claimed}")
    flags = int.from_bytes(payload[4:8], "little")
    if flags not in LAYOUTS:
        raise RawFormatError(path, start + 4, "", f"unknown bank format 0x{flags:x}")
    layout = LAYOUTS[flags]
    place = 8
    while place < size:
        data = place + layout.size
        if data > size:
            name = printable(bytes(payload[place : place + 4]))
            raise RawFormatError(path, start + place, name, f"{size - place} bytes cannot hold a bank header")
        raw, kind, length = layout.unpack_from(payload, place)
        name = printable(raw)
        if kind not in TYPES:
            raise RawFormatError(path, start + place + 4, name, f"unknown type {kind}")
        if data + length > size:
            what = f"claims {length} bytes but its event ends after {size - data}"
            raise RawFormatError(path, start + place, name, what)
        yield RawBank(name, kind, start + place, start + data, payload[data : data + length])
        place = data + length + -length % 8
        if place > size:
            raise RawFormatError(path, start + data + length, name, "its padding goes beyond the event's end")


def fits(payload: memoryview) -> bool:
    """Whether banks fill an event exactly, each with another name: what :func:`walk` would tell, without a word."""
    if payload.nbytes < 8:
        return False
    banks, flags = _SIZES.unpack_from(payload)
    if banks != payload.nbytes - 8 or flags not in LAYOUTS:
        return False
    unpack, header = LAYOUTS[flags].unpack_from, LAYOUTS[flags].size
    names = set()
    place = 8
    while place + header <= payload.nbytes:
        name, kind, length = unpack(payload, place)
        if kind not in TYPES or name in names:
            return False
        names.add(name)
        place += header + (length + 7 & ~7)
    return place == payload.nbytes


class Banks(Mapping[str, RawBank]):
    """Banks by name in file order, as if the front end had compressed none.

    A compressed bank is opened when a name is asked for that it may hold; the names of a crate that is compressed
    as a whole are known only then.

    Raises
    ------
    RawFormatError
        The sizes do not fit together, a name appears twice, or a compressed bank is damaged: when it is opened.
    """

    def __init__(self, path: Path, stored: Iterator[RawBank]) -> None:
        self._path = path
        self._known: dict[str, RawBank] = {}
        self._closed: dict[str, RawBank] = {}  # crates that are compressed as a whole, by their two digits
        self._inside: dict[str, list[str]] = {}
        self._order: list[str] = []  # names, FZnn in place of those it holds
        for bank in stored:
            if bank.type != 1:
                self._new(bank, self._known, bank.name)
            elif is_whole_crate(bank.name):
                self._new(bank, self._closed, bank.name[2:])
            elif is_one_bank(bank.name):
                self._new(self._lazily(bank), self._known, bank.name.upper())
            else:
                self._new(bank, self._known, bank.name)

    def __getitem__(self, name: str) -> RawBank:
        if name not in self._known and name[2:] in self._closed:
            self._open(name[2:])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        for digits in list(self._closed):
            self._open(digits)
        for name in self._order:
            yield from self._inside.get(name, [name])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Banks({', '.join(self._order)})"

    def _new(self, bank: RawBank, where: dict[str, RawBank], key: str) -> None:
        if key in where:
            raise RawFormatError(self._path, bank.offset, bank.name, "appears twice in the event")
        where[key] = bank
        self._order.append(bank.name)

    def _lazily(self, outer: RawBank) -> RawBank:
        name, stored = outer.name.upper(), outer.data
        return RawBank(
            name, 0, outer.offset, outer.data_offset, stored[:0], outer.name,
            lambda: inner_bank(name, stored, failure(self._path, outer)),
        )  # fmt: skip

    def _open(self, digits: str) -> None:
        outer = self._closed[digits]
        content = inflate(outer.data, failure(self._path, outer))
        found: dict[str, RawBank] = {}
        try:
            for bank in walk(self._path, 0, content, f"what {outer.name} holds"):
                if bank.name in self._known or bank.name in found or bank.name[2:] != digits:
                    raise RawFormatError(self._path, 0, bank.name, "appears twice in the event, or is of another crate")
                found[bank.name] = RawBank(
                    bank.name, bank.type, outer.offset, outer.data_offset, bank.data, outer.name
                )  # fmt: skip
        except RawFormatError as err:
            raise RawFormatError(self._path, outer.data_offset, err.bank or outer.name, err.what) from None
        del self._closed[digits]
        self._known.update(found)
        self._inside[outer.name] = list(found)


@lru_cache(4096)
def printable(name: bytes) -> str:
    """Name of a bank with what is no character as a number."""
    return "".join(chr(byte) if 0x20 < byte < 0x7F else f"\\x{byte:02x}" for byte in name)
