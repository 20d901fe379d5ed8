"""A share of the fuzzing that is run by hand (see fuzz.py): one sentence or a good read, nothing else."""

import sys

import pytest

from tests.raw import fuzz

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are set by Linux")


def assert_sound(found: fuzz.Result) -> None:
    assert "failed" not in found, found
    assert "slow" not in found, found
    assert found["told"] == []
    assert found["grown MB"] < 512, found
    assert found["refused"] > 0


def test_mutated_raw_files_are_read_or_refused_in_one_sentence() -> None:
    assert_sound(fuzz.limited("raw", 300, 2500))


def test_files_cut_at_any_byte_are_refused_in_one_sentence() -> None:
    assert_sound(fuzz.limited("cut", 1))


def test_mutated_settings_conditions_and_tables_are_read_or_refused_in_one_sentence() -> None:
    assert_sound(fuzz.limited("texts", 300))
