"""Sums of strings one behind the other from those of each are what zlib counts."""

import zlib

import numpy as np
import pytest

from gm2sim.raw.crc32 import moved, moving, with_word


@pytest.mark.parametrize("size", [0, 1, 4, 8, 1000, 32_768, 1 << 20])
def test_sum_moved_on_joins_that_of_what_follows(size: int) -> None:
    rng = np.random.default_rng(size)
    first, second = rng.bytes(100), rng.bytes(size)
    sums = np.array([[zlib.crc32(first), 0]], np.uint32)
    found = moved(sums, np.stack([moving(size)] * 2)) ^ np.uint32(zlib.crc32(second))
    assert found.tolist() == [[zlib.crc32(first + second), zlib.crc32(second)]]


def test_word_behind_a_sum_counts_as_its_four_low_bytes() -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(0, 2**64, (3, 5), dtype=np.uint64)
    strings = [rng.bytes(20) for _ in range(15)]
    sums = np.array([zlib.crc32(one) for one in strings], np.uint32).reshape(3, 5)
    wanted = [zlib.crc32(int(word).to_bytes(8, "little")[:4], zlib.crc32(one))
              for word, one in zip(words.ravel(), strings, strict=True)]  # fmt: skip
    assert with_word(sums, words).ravel().tolist() == wanted
