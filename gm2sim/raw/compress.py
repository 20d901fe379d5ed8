"""Lossless compression by the front ends: a whole crate into one bank FZnn, or bank by bank with a small letter.

As jaca230/CaloReadoutAMC13 @7ff4424, fe_compress_z_mt.cxx: MD5 of the original, then a deflate stream without an end.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator

from gm2sim.raw.midas import BANK32, BANKS_HEADER, Bank, Buffer, Tid, bank_pieces, header_of

MODES = ("none", "event", "bank")
_BANK_BY_BANK = "STQR"  # second letters of what is compressed


def compressed(crate: int, banks: Iterable[Bank], mode: str) -> Iterator[Bank]:
    """The banks of one crate as its front end leaves them.

    Parameters
    ----------
    crate : int
    banks : iterable of Bank
        All of one event, in order.
    mode : str
        "none"; "event": one bank FZnn in place of all but xCnn; "bank": islands, sums, histograms and payloads.
    """
    if mode == "none":
        yield from banks
    elif mode == "event":
        yield from _as_one(crate, banks)
    else:
        for bank in banks:
            yield _alone(bank) if bank.name[1] in _BANK_BY_BANK else bank


def _as_one(crate: int, banks: Iterable[Bank]) -> Iterator[Bank]:
    banks = list(banks)
    inside = [bank for bank in banks if bank.name[1] != "C"]
    total = sum(bank.size_in_event for bank in inside)
    pieces = (piece for bank in inside for piece in bank_pieces(bank))
    yield _packed(f"FZ{crate:02d}", [BANKS_HEADER.pack(total, BANK32)], pieces)
    yield from (bank for bank in banks if bank.name[1] == "C")


def _alone(bank: Bank) -> Bank:
    return _packed(bank.name[0].lower() + bank.name[1:], [header_of(bank)], bank.parts)


def _packed(name: str, head: Iterable[Buffer], rest: Iterable[Buffer]) -> Bank:
    """A bank with the MD5 and the deflate stream of some bytes."""
    digest = hashlib.md5(usedforsecurity=False)
    # Fast, and noise does not repeat: Huffman codes only, as the front end.
    stream = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    parts: list[Buffer] = []
    for source in (head, rest):
        for piece in source:
            digest.update(piece)
            parts.append(stream.compress(piece))
    parts.append(stream.flush(zlib.Z_FULL_FLUSH))
    return Bank(name, Tid.BYTE, [digest.digest(), *(part for part in parts if part)])
