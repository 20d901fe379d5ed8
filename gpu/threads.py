"""CPU threads of this process: particles shared out in whole blocks, with the same result for any count."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_MIN_BLOCKS = 4  # blocks that are worth waking a thread for


def _available() -> int:
    asked = os.environ.get("NUMBA_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """The threads, made when they are first needed and forgotten in a forked child."""

    def __init__(self) -> None:
        self.count = _available()
        self.executor: ThreadPoolExecutor | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self.executor = None

    def get(self) -> ThreadPoolExecutor:
        if self.executor is None:
            self.executor = ThreadPoolExecutor(self.count, thread_name_prefix="kernel")
        return self.executor


_pool = _Pool()


def count() -> int:
    """Return the number of CPU threads a kernel may use: NUMBA_NUM_THREADS, or the cores of this process."""
    return _pool.count


def set_count(number: int) -> None:
    """Choose the number of CPU threads a kernel may use, 1 under MPI with one rank per core.

    Raises
    ------
    ValueError
        If the number is below 1.
    """
    if number < 1:
        raise ValueError(f"threads = {number} is out of bounds: give 1 or more.")
    if _pool.executor is not None:
        _pool.executor.shutdown()
    _pool.count, _pool.executor = number, None


def share_out(loop: Callable, n: int, arguments: tuple[Any, ...], block: int) -> None:
    """Call ``loop(first, last, *arguments)`` over particles 0 to n-1 in as many threads as are worth it.

    Chunks end at multiples of `block`, so that vectors are cut at the same particles whatever the thread
    count.
    """
    blocks = (n + block - 1) // block
    chunks = min(_pool.count, blocks // _MIN_BLOCKS)
    if chunks < 2:
        loop(0, n, *arguments)
        return
    loop(0, 0, *arguments)  # compiles, if need be, before the threads start
    edges = [min(n, blocks * c // chunks * block) for c in range(chunks + 1)]
    spans = itertools.pairwise(edges)
    running = [_pool.get().submit(loop, first, last, *arguments) for first, last in spans]
    for chunk in running:
        chunk.result()
