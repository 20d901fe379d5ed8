"""Sums see all damage: 20,000 turned bits, 1000 swaps, 1000 cuts (``python -m tests.reliability.damage`` for more)."""

import json
import random
from pathlib import Path

import pytest

from gm2sim.outputs import SubrunPaths, subrun_is_done
from gm2sim.raw import check
from gm2sim.raw.checksum import Checksums
from tests.reliability.damage import Products, damage
from tests.reliability.writers import config, write_raw


def test_every_turned_bit_every_swap_and_every_cut_is_found(memory: Path) -> None:
    counted = damage(memory, 20_000, 1000, 1000)
    assert counted == {"flip": 20_000, "swap": 1000, "truncation": 1000, "inverted_sum": 100, "missed": 0}


@pytest.mark.parametrize("kind", ["sha256", "adler32", "crc32c"])
def test_sums_that_begin_with_a_zero_are_compared_whole(tmp_path: Path, kind: str) -> None:
    """One file in 16 has one; without its zero it once failed, or matched, in other systems."""
    path, number = tmp_path / "a.bin", 0
    while not getattr(sums := _sums(path, number), kind).startswith("0"):
        number += 1
    value = getattr(sums, kind)
    assert len(value) == {"sha256": 64, "adler32": 8, "crc32c": 8}[kind]
    assert getattr(Checksums.of_file(path), kind) == value


def _sums(path: Path, number: int) -> Checksums:
    path.write_bytes(number.to_bytes(8, "little"))
    return Checksums.of_file(path)


def test_a_sum_that_lost_its_leading_zero_is_damage(tmp_path: Path) -> None:
    products = Products(tmp_path)
    text = products.whole[products.paths.metadata].decode()
    content = json.loads(text)
    short = content["files"][products.paths.raw.name]["adler32"]
    assert products.damaged(products.paths.metadata, text.replace(short, short[1:]).encode())


def test_no_files_in_the_metadata_is_not_a_finished_subrun(tmp_path: Path) -> None:
    products = Products(tmp_path)
    content = json.loads(products.whole[products.paths.metadata])
    for files in ({}, [], {products.paths.raw.name: content["files"][products.paths.raw.name]}):
        old = {key: value for key, value in content.items() if key != "metadata_sha256"} | {"format": 1, "files": files}
        assert products.damaged(products.paths.metadata, json.dumps(old).encode())


def test_names_in_the_metadata_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    products = Products(folder)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    content = json.loads(products.whole[products.paths.metadata])
    content["files"]["../secret"] = {"size": 1, "sha256": Checksums.of_file(secret).sha256}
    old = {key: value for key, value in content.items() if key != "metadata_sha256"} | {"format": 1}
    assert products.damaged(products.paths.metadata, json.dumps(old).encode())


def test_raw_check_sees_a_turned_bit_anywhere_in_the_file(tmp_path: Path) -> None:
    """The same sums, as `gm2sim raw check` looks at them."""
    paths, rng = SubrunPaths(tmp_path, 17, 0), random.Random(4)
    Products(tmp_path)
    assert check(paths.raw) == []
    whole = paths.raw.read_bytes()
    for _ in range(200):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        paths.raw.write_bytes(content)
        assert check(paths.raw) != []


def test_a_good_subrun_is_not_done_again(tmp_path: Path) -> None:
    Products(tmp_path)
    assert subrun_is_done(SubrunPaths(tmp_path, 17, 0), config())
    assert write_raw(tmp_path / "b.mid", 1).written is not None
