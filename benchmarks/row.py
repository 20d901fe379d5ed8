"""A line of the benchmarks table, and the clock that fills it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measured number beside what it is judged by.

    Attributes
    ----------
    what : str
    value : float
    unit : str
    beside : str
        The limit, the goal or the conditions.
    met : str
        "yes" or "no" where there is a goal.
    """

    what: str
    value: float
    unit: str
    beside: str = ""
    met: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and texts for tables and JSON; the value to four digits, as its noise deserves."""
        return asdict(self) | {"value": float(f"{self.value:.4g}")}


def at_least(what: str, value: float, unit: str, goal: float, beside: str = "") -> Row:
    """A number that should reach a goal."""
    return Row(what, value, unit, f"goal: at least {goal:g}{beside and '; '}{beside}", _verdict(value >= goal))


def at_most(what: str, value: float, unit: str, goal: float, beside: str = "") -> Row:
    """A number that should not exceed a goal."""
    return Row(what, value, unit, f"goal: at most {goal:g}{beside and '; '}{beside}", _verdict(value <= goal))


def best_cpu(action: Callable[[], object], repeats: int) -> float:
    """Shortest CPU time of an action on this thread [s]; what others do on the machine counts little.

    Parameters
    ----------
    action
        Has run once before, so that nothing is compiled.
    repeats
        Number of runs.
    """
    return min(_seconds(action, time.thread_time) for _ in range(repeats))


def best_wall(action: Callable[[], object], repeats: int) -> float:
    """Shortest time on the wall of an action [s], waiting for disks included."""
    return min(_seconds(action, time.perf_counter) for _ in range(repeats))


def _seconds(action: Callable[[], object], clock: Callable[[], float]) -> float:
    begin = clock()
    action()
    return clock() - begin


def _verdict(good: bool) -> str:
    return "yes" if good else "no"
