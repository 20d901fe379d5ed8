"""Killed at random times, finished by others: 0 bytes differ (``python -m tests.mpi.kills 40`` for more)."""

from tests.mpi.kills import COMPRESSIONS, kills


def test_whatever_a_killed_process_leaves_the_next_ones_finish_to_the_same_bytes(tmp_path):
    counted = kills(tmp_path, 10)
    assert counted.kills >= 10
    assert counted.runs >= 1
    assert counted.differ == 0
    assert len(COMPRESSIONS) == 3
