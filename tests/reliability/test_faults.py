"""Every call to the disk fails once, in every way: 10,000 faults (``python -m tests.reliability.faults`` for more)."""

import itertools
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from gm2sim.database import opened
from tests.reliability.faults import survive
from tests.reliability.writers import WRITERS, write_truth

WANTED = 10_000
LIGHT = ("raw", "summary", "report", "text", "picture", "constants")
LARGEST_RAW = 3  # fills: each takes the same calls as the one before, and most of the time
CI = [name for name in WRITERS if name != "muons"]  # as clusters, with more columns: too slow for every day
made: Counter[str] = Counter()


@pytest.mark.parametrize("name", CI)
def test_after_any_fault_the_old_or_the_new_file_is_there_whole(name: str, memory: Path) -> None:
    faults, broken = survive(memory, {name: WRITERS[name]}, 10**9, iter([1]))
    made.update(faults)
    assert broken == []
    assert faults.total() > 40


def test_ten_thousand_faults_on_products_that_grow(memory: Path) -> None:
    light = {name: WRITERS[name] for name in LIGHT}
    faults, broken = survive(memory, light, 10**9, iter(range(2, LARGEST_RAW + 1)))
    del light["raw"]
    wanted = WANTED - made.total() - faults.total()
    more, broken_too = survive(memory, light, wanted, itertools.count(LARGEST_RAW + 1))
    faults.update(more)
    broken += broken_too
    assert broken == []
    assert faults.total() + made.total() >= WANTED


@contextmanager
def room(size: int) -> Iterator[None]:
    """Files may grow to so many bytes: the system itself refuses more."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_truth_file_meets_the_end_of_a_real_disk_at_any_byte(tmp_path: Path) -> None:
    """HDF5 writes in C, and would end the process if it were told of the failure."""
    path = tmp_path / "a.truth.h5"
    write_truth(path, 3)
    whole = path.read_bytes()
    path.unlink()
    for size in range(0, len(whole), max(1, len(whole) // 150)):
        with room(size), pytest.raises(OSError, match=r"a\.truth\.h5"):
            write_truth(path, 3)
        assert list(tmp_path.iterdir()) == []
    with room(len(whole)):
        write_truth(path, 3)
    assert path.read_bytes() == whole


def test_a_database_keeps_what_was_committed_when_its_disk_is_full(tmp_path: Path) -> None:
    where, table = (
        tmp_path / "book.sqlite",
        Table("rows", MetaData(), Column("id", Integer), Column("data", LargeBinary)),
    )
    with opened(where, create=True) as engine:
        table.metadata.create_all(engine)
    committed = failed = 0
    for size in range(8192, 400_000, 8192):
        with room(size), opened(where) as engine:
            try:
                while True:
                    with engine.begin() as connection:
                        connection.execute(insert(table).values(id=committed, data=b"x" * 3000))
                    committed += 1
            except (DBAPIError, ValueError, OSError):
                failed += 1
        with opened(where) as engine, engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            assert connection.execute(select(func.count()).select_from(table)).scalar() == committed
    assert failed > 10
    assert committed > 10
