"""A board that all ranks of a job write to and read from, served by none of them.

It lies in a window of MPI's one-sided communication on rank 0. What is on it are 64-bit numbers that only atomic
operations change: the next task, whether to stop, how many ranks are ready, fills done, and of each rank a pulse and
the task it has in hand.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.farm.ranks import Ranks

NOTHING = -1
"""In place of a task."""

_NEXT, _STOP, _READY, _DONE, _HEAD = 0, 1, 2, 3, 4
Numbers = NDArray[np.int64]


class _Memory:
    """The board of a job of one process."""

    def __init__(self, size: int) -> None:
        self._numbers = np.zeros(size, np.int64)

    def add(self, place: int, number: int) -> int:
        before = int(self._numbers[place])
        self._numbers[place] += number
        return before

    def read(self) -> Numbers:
        return self._numbers.copy()

    def close(self) -> None:
        return


class _Window:
    """The board on rank 0 of several; every rank keeps it open until all have closed it."""

    def __init__(self, size: int, communicator: Any) -> None:
        from mpi4py import MPI

        self._sum, self._nothing = MPI.SUM, MPI.NO_OP
        first = communicator.Get_rank() == 0
        self._window = MPI.Win.Allocate(8 * size if first else 0, disp_unit=8, comm=communicator)
        if first:
            self._window.tomemory()[:] = bytes(8 * size)
        communicator.Barrier()
        self._window.Lock_all()
        self._size = size

    def add(self, place: int, number: int) -> int:
        one, before = np.array([number], np.int64), np.empty(1, np.int64)
        self._window.Fetch_and_op(one, before, 0, place, self._sum)
        self._window.Flush(0)
        return int(before[0])

    def read(self) -> Numbers:
        numbers, zeros = np.empty(self._size, np.int64), np.zeros(self._size, np.int64)
        self._window.Get_accumulate(zeros, numbers, 0, op=self._nothing)  # atomic, which a plain get is not
        self._window.Flush(0)
        return numbers

    def close(self) -> None:
        self._window.Unlock_all()
        self._window.Free()


@dataclass(frozen=True)
class Seen:
    """What a look at the board has shown.

    Attributes
    ----------
    stop : bool
        Whether all are to leave.
    ready : int
        Ranks that have nothing left to do.
    done : int
        Fills done by all.
    pulses, tasks : int64 arrays (ranks,)
        Of each rank: a number that changes while it is at work, and the task it has in hand or :data:`NOTHING`.
    """

    stop: bool
    ready: int
    done: int
    pulses: Numbers
    tasks: Numbers


class Board:
    """The shared numbers of one job.

    Parameters
    ----------
    job : Ranks
        With several ranks all must make the board, and all must close it.
    """

    def __init__(self, job: Ranks) -> None:
        size = _HEAD + 2 * job.size
        self._pulse, self._task, self._ranks = _HEAD + job.rank, _HEAD + job.size + job.rank, job.size
        self._store = _Memory(size) if job.communicator is None else _Window(size, job.communicator)

    def take(self) -> int:
        """The next number from 0 on; no other rank gets the same."""
        return self._store.add(_NEXT, 1)

    def begin(self, task: int) -> None:
        """This rank has a task in hand."""
        self._store.add(self._task, task + 1)

    def end(self, task: int) -> None:
        """This rank has it no more."""
        self._store.add(self._task, -task - 1)

    def beat(self, fills: int = 0) -> None:
        """This rank is at work, and has done so many fills more."""
        self._store.add(self._pulse, 1)
        if fills:
            self._store.add(_DONE, fills)

    def ask_stop(self) -> None:
        """All ranks are to leave after their fill."""
        self._store.add(_STOP, 1)

    def be_ready(self) -> None:
        """This rank has nothing left to do."""
        self._store.add(_READY, 1)

    def look(self) -> Seen:
        """Read everything."""
        numbers = self._store.read()
        pulses = numbers[_HEAD : _HEAD + self._ranks]
        tasks = numbers[_HEAD + self._ranks :] + NOTHING
        return Seen(bool(numbers[_STOP]), int(numbers[_READY]), int(numbers[_DONE]), pulses, tasks)

    def close(self) -> None:
        """Give the window back; with several ranks all must call it."""
        self._store.close()
