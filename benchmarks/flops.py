"""Floating-point operations of the tracker, counted by sending counting numbers through its own functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from gpu.march import plain
from tracking.orbit import place
from tracking.stations import RingTables
from tracking.step import CONSTANTS, ORBIT, SPIN, make_steps


class Counting:
    """A number that counts the additions, subtractions, multiplications and divisions it takes part in.

    Changes of sign are free: they melt into multiply-adds.
    """

    def __init__(self, value: float, tally: Counter[str]) -> None:
        self.value, self.tally = value, tally

    def _with(self, other: Any, kind: str, result: float) -> Counting:
        self.tally[kind] += 1
        return Counting(result, self.tally)

    def __add__(self, other: Any) -> Counting:
        return self._with(other, "add", self.value + _value(other))

    def __sub__(self, other: Any) -> Counting:
        return self._with(other, "add", self.value - _value(other))

    def __rsub__(self, other: Any) -> Counting:
        return self._with(other, "add", _value(other) - self.value)

    def __mul__(self, other: Any) -> Counting:
        return self._with(other, "multiply", self.value * _value(other))

    def __truediv__(self, other: Any) -> Counting:
        return self._with(other, "divide", self.value / _value(other))

    def __rtruediv__(self, other: Any) -> Counting:
        return self._with(other, "divide", _value(other) / self.value)

    def __neg__(self) -> Counting:
        return Counting(-self.value, self.tally)

    __radd__ = __add__
    __rmul__ = __mul__


def _value(number: Any) -> float:
    return number.value if isinstance(number, Counting) else float(number)


def count(function: Callable, values: int, *others: object) -> int:
    """Operations of one call of a scalar function.

    Parameters
    ----------
    function
        Compiled or plain scalar function.
    values
        How many counting numbers it takes first.
    *others
        Further arguments, the same for all particles: what is done with these alone is not counted.
    """
    tally: Counter[str] = Counter()
    plain(function)(*(Counting(1e-3, tally) for _ in range(values)), *others)
    return sum(tally.values())


def per_turn(tables: RingTables, *, spin: bool, apertures: bool = True) -> int:
    """Operations of one muon and turn: all stations, and the tests at the collimators.

    Parameters
    ----------
    tables
        The ring.
    spin
        Whether the spin is tracked.
    apertures
        Whether the collimators count.
    """
    options = tables.options._replace(spin=spin)
    steps = make_steps(options)
    state = (*ORBIT, *SPIN, *CONSTANTS) if spin else (*ORBIT, *CONSTANTS)
    each = {
        kind: count(step, len(state), _row(tables, kind), tables.parameters)
        for kind, step in steps.items()
        if kind in tables.stations.kinds
    }
    total = sum(each[int(kind)] for kind in tables.stations.kinds)
    return total + (_apertures(tables) if apertures else 0)


def _apertures(tables: RingTables) -> int:
    """Operations of the tests at the collimators: one bend to the place, u^2 + v^2 against the radius."""
    # place() takes u, px, v, py, dp, ip of the muon; the two of its clock are not carried out.
    each = count(place, 6, 0.1, 0.1, 1.0) - 2 + 3
    return each * len(tables.ring.collimators)


def _row(tables: RingTables, kind: int) -> tuple[float, ...]:
    """A row of numbers that are not zero, which division would not like."""
    index = int(np.flatnonzero(tables.stations.kinds == kind)[0])
    return tuple(float(number) or 1e-3 for number in tables.stations.rows[index])
