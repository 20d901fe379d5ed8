"""A folder in memory, for tests that stand between the program and its disk and need none of their own."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that costs no time of a disk, where the system has one; else as tmp_path."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="gm2sim-tests-", dir=_MEMORY) as folder:
        yield Path(folder)
