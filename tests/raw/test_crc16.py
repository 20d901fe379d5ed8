"""The fast CRC-16 is the slow one."""

import numpy as np
import pytest

from gm2sim.raw.crc16 import Crc16


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def test_reference_gives_the_published_check_value() -> None:
    # CRC-16/CMS of the catalogue of parametrised CRC algorithms: "123456789" gives 0xaee7.
    assert bit_by_bit(b"123456789") == 0xAEE7


@pytest.mark.parametrize("size", [1, 2, 13, 511, 512, 513, 4096, 32766, 32767, 32768, 33000])
def test_sum_of_words_in_pieces_equals_the_reference(size: int) -> None:
    rng = np.random.default_rng(size)
    words = rng.integers(0, 2**64, size, dtype=np.uint64).astype(">u8")
    crc, place = Crc16(), 0
    while place < size:
        piece = int(rng.integers(1, 9000))
        crc.update(words[place : place + piece])
        place += piece
    assert crc.value == bit_by_bit(words.tobytes())


def test_one_stream_of_several_sums_as_it_does_alone() -> None:
    words = np.random.default_rng(2).integers(0, 2**64, (3, 9000), dtype=np.uint64).astype(">u8")
    together = Crc16(3)
    together.update(words[:, :5000])
    together.update(words[:, 5000:])
    for row, value in zip(words, together.values.tolist(), strict=True):
        alone = Crc16()
        alone.update(row)
        assert alone.value == value
