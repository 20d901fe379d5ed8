"""Ranks that take tasks from one list, the longest first, until none is left or a signal asks them to leave."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Protocol, Self, TypeVar

from gm2sim.errors import RunError
from gm2sim.farm.board import NOTHING, Board, Seen
from gm2sim.farm.ranks import Ranks
from gm2sim.farm.stop import LeftError, Stop
from gm2sim.farm.watchdog import Watchdog

Task = TypeVar("Task")

STALL_S = 1800.0
"""A rank without a finished fill for so long is stuck."""
GRACE_S = 120.0
"""Time to leave after a signal: the fill in hand is finished in it, or given up."""
_POLL_S = 0.1
_PATIENCE = 1.5  # times the limit until others end a rank that does not end itself


class Watch(Protocol):
    """Whoever wants to see the progress of a job."""

    def note(self, text: str, /) -> None:
        """A line of text."""

    def begin(self, fills: int, description: str, shown: bool) -> None:
        """The work of all ranks is known."""

    def advance(self, done: int, muon_turns_per_second: float | None, /) -> None:
        """Fills that all ranks have done, and how fast this one was in its last."""


class Farm:
    """One rank of a job at work; a context manager.

    With several ranks all must enter and leave it, but a rank that fails ends them all instead.

    Parameters
    ----------
    job : Ranks
    what : str
        What the job is about, for messages: ``"seed 1"``.
    stall : float
        Longest time without a finished fill [s]; 0 for no limit.
    grace : float
        Longest time from a signal until the process has left [s].
    watch : Watch, optional
    called : callable
        A task in words, by its number.
    """

    def __init__(
        self,
        job: Ranks,
        what: str = "",
        *,
        stall: float = STALL_S,
        grace: float = GRACE_S,
        watch: Watch | None = None,
        called: Callable[[int], str] = "subrun {}".format,
    ) -> None:
        self.job, self.watch = job, watch
        self._what, self._stall, self._called = what, stall, called
        self._stop = Stop()
        self._told = False
        self._task = NOTHING
        self._guard = Watchdog(stall, grace, self.who, job.abort, self._stop.heard)
        self._open = ExitStack()
        self._last: dict[int, tuple[int, float]] = {}  # pulse of each rank, and when it last changed

    def __enter__(self) -> Self:
        self._open.enter_context(self._stop.listening())
        self._board = Board(self.job)
        self._open.enter_context(self._guard.on_guard())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, LeftError):
            self._board.close()
        self._open.close()

    def who(self, rank: int | None = None, task: int | None = None) -> str:
        """A rank in words: its number, the task that it has in hand, and what the job is about."""
        rank = self.job.rank if rank is None else rank
        task = self._task if task is None else task
        parts = [f"rank {rank} of {self.job.size}"]
        parts += [self._called(task)] if task != NOTHING else []
        parts += [self._what] if self._what else []
        return ", ".join(parts)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Whatever goes wrong in the block is told with rank, task and what the job is about."""
        try:
            yield
        except Exception as err:
            err.add_note(self.who())
            raise

    def farewell(self, left: int, task: str = "subrun", advice: str = "go on with --resume") -> str:
        """What is said when the job has left with so many tasks unfinished."""
        unfinished = f"1 {task} is" if left == 1 else f"{left} {task}s are"
        return f"asked to leave by {self._stop.name or 'a signal'}, {unfinished} unfinished: {advice}"

    def hand_out(
        self, tasks: Sequence[Task], cost: Callable[[Task], float], number: Callable[[Task], int]
    ) -> Iterator[Task]:
        """The tasks of this rank: whoever is free takes the longest that is left.

        Ends when no task is left and all ranks are ready, or when all are asked to leave.

        Parameters
        ----------
        tasks : sequence
            The same on every rank.
        cost : callable
            How long a task is, in any unit.
        number : callable
            What a task is called in messages.
        """
        order = sorted(tasks, key=cost, reverse=True)  # equal ones stay in order
        while not self.stopping and (taken := self._board.take()) < len(order):
            task = order[taken]
            self._task = number(task)
            self._board.begin(self._task)
            yield task
            self._board.end(self._task)
            self._task = NOTHING
        self._wait_for_all()

    def advance(self, muon_turns_per_second: float, fills: int = 1) -> None:
        """This rank has done a fill."""
        self._guard.alive()
        self._board.beat(fills)
        self._look(muon_turns_per_second)

    def found(self, fills: int) -> None:
        """So many fills of the subrun in hand were there already."""
        self._guard.alive()
        if fills:
            self._board.beat(fills)

    @property
    def stopping(self) -> bool:
        """Whether a signal to this rank or to another asks all to leave."""
        if self._stop.name and not self._told:
            self._told = True
            self._board.ask_stop()
        if self._board.look().stop:
            self._guard.asked_to_leave()
            return True
        return False

    def _wait_for_all(self) -> None:
        self._board.be_ready()
        while self._look(None).ready < self.job.size:
            self._guard.alive()
            self._board.beat()
            time.sleep(_POLL_S)
            if self._stop.name and not self._told:
                _ = self.stopping

    def _look(self, speed: float | None) -> Seen:
        seen = self._board.look()
        if self.watch and self.job.rank == 0:
            self.watch.advance(seen.done, speed)
        self._find_stuck(seen)
        return seen

    def _find_stuck(self, seen: Seen) -> None:
        """End the job when the pulse of another rank has not changed for too long: it cannot say so itself any more."""
        now = time.monotonic()
        for rank, pulse in enumerate(seen.pulses.tolist()):
            known, since = self._last.get(rank, (NOTHING, now))
            if pulse != known:
                self._last[rank] = pulse, now
            elif self._stall and now - since > _PATIENCE * self._stall and rank != self.job.rank:
                where = self.who(rank, int(seen.tasks[rank]))
                error = StuckError(f"{where} shows no sign of life for {now - since:.0f} s: go on with --resume")
                error.add_note(self.who())  # so that it is told at once, whichever rank has found out
                raise error


class StuckError(RunError):
    """Another rank is stuck so that it cannot even end itself."""
