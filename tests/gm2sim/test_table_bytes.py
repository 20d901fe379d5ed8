"""Tables of the ring do not depend on how many threads the linear algebra library takes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gm2sim as g2
from gm2sim.setup import Setup

ROOT = Path(__file__).resolve().parents[2]
TABLES = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_table_bytes as t; t.show()"


def arrays(tables: object) -> list[np.ndarray]:
    """All arrays and numbers of a tree of tuples, in order."""
    if isinstance(tables, tuple):
        return [array for part in tables for array in arrays(part)]
    return [np.asarray(tables)] if isinstance(tables, np.ndarray | float | int) else []


def show() -> None:
    """Checksums of the tables that muons and positrons are tracked in."""
    setup = Setup.of(g2.load("run1a", {"beam.source": "injected"}))
    stored, injected = setup.ring.tables, setup.ring.injection.tables
    tracked = {
        "stored": (stored.stations, stored.parameters),
        "injected": (injected.stations, injected.parameters),
        "fields": setup.fields,
    }
    for name, tables in tracked.items():
        found = arrays(tables)
        total = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in found))
        sys.stdout.write(f"{name} {len(found)} {sum(array.size for array in found)} {total.hexdigest()}\n")


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: the library takes one thread whatever it is told")
def test_tables_are_equal_to_the_bit_whatever_the_number_of_threads_of_linear_algebra():
    found = []
    for threads in ("1", "2"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", TABLES], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found[0][0::4] == ["stored", "injected", "fields"]
    assert min(map(int, found[0][2::4])) > 500
    assert found[0] == found[1]
