"""Banks that the front end has compressed: inflated, their sum verified, and bounded before memory is taken.

A stream is 16 bytes MD5 of the content, then deflate data with Huffman codes only, which can not expand by more than 8.
"""

import hashlib
import zlib
from typing import NamedTuple

from gm2sim.raw.decode import Fail

_SUM = 16  # bytes of an MD5
_RATIO, _FLOOR = 16, 1 << 16  # a stream may expand so many times, or to so many bytes
_BANK_HEADER = 12


class Inner(NamedTuple):
    """The bank inside a compressed one.

    Attributes
    ----------
    type : int
        MIDAS type number.
    data : memoryview
    """

    type: int
    data: memoryview


def is_whole_crate(name: str) -> bool:
    """Whether a bank holds all banks of a crate (FZnn)."""
    return name[:2] == "FZ" and is_number(name[2:])


def is_one_bank(name: str) -> bool:
    """Whether a bank holds one other, whose name begins with a capital (cTnn, or ctnn)."""
    return name[:1] in "clpa" and name[1:2].upper() in "STQR" and is_number(name[2:])


def is_number(digits: str) -> bool:
    """Whether a name ends as the number of a crate does: two digits."""
    return len(digits) == 2 and digits.isascii() and digits.isdecimal()


def inflate(data: memoryview, fail: Fail) -> memoryview:
    """Content of a compressed bank; what is not as its MD5 says is refused.

    Parameters
    ----------
    data : memoryview
        Sum and stream.
    fail : callable
        Called with the byte in the bank and what is wrong.
    """
    if data.nbytes <= _SUM:
        fail(0, f"{data.nbytes} bytes cannot hold a sum and a stream")
    limit = max(_FLOOR, _RATIO * (data.nbytes - _SUM))
    stream = zlib.decompressobj()
    content = b""
    try:
        content = stream.decompress(data[_SUM:], limit + 1)
    except zlib.error as err:
        fail(_SUM, f"damaged deflate data ({err})")
    if len(content) > limit:
        fail(_SUM, f"expands to more than {limit} bytes: no front end does that")
    if stream.unused_data:
        fail(data.nbytes - len(stream.unused_data), f"{len(stream.unused_data)} bytes follow its stream")
    if hashlib.md5(content, usedforsecurity=False).digest() != bytes(data[:_SUM]):
        fail(0, "the MD5 sum of its content is another than it says")
    return memoryview(content)


def inner_bank(name: str, data: memoryview, fail: Fail) -> Inner:
    """The bank ``name`` that a bank of its own, compressed, holds."""
    content = inflate(data, fail)
    head = bytes(content[:_BANK_HEADER])
    size = int.from_bytes(head[8:12], "little")
    if len(head) < _BANK_HEADER or head[:4] != name.encode() or size != content.nbytes - _BANK_HEADER:
        fail(_SUM, f"what it holds is no bank {name} of {content.nbytes - _BANK_HEADER} bytes")
    return Inner(int.from_bytes(head[4:8], "little"), content[_BANK_HEADER:])
