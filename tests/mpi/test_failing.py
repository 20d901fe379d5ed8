"""A rank that goes wrong ends the job in time and is named; the script of failing.py tries more."""

import pytest

from tests.mpi.failing import try_once
from tests.mpi.test_ranks import needs_mpi


@needs_mpi
@pytest.mark.parametrize(
    ("kind", "rank", "module"),
    [("raise", 2, False), ("kill", 0, True), ("loop", 1, True), ("lock", 0, False), ("stop", 3, False)],
)
def test_all_ranks_are_gone_in_time_and_the_one_that_went_wrong_is_named(tmp_path, kind, rank, module):
    assert not try_once(kind, rank, tmp_path, module=module).faults(kind, rank)
