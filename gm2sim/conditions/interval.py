"""Intervals of validity: from one subrun to another, both included, ordered by run and then subrun."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

Subrun = tuple[int, int]
"""Run and subrun."""
WITHOUT_END = 2**31 - 1
"""Run or subrun number that stands for all that come."""


class Interval(NamedTuple):
    """Subruns that a table holds for.

    Attributes
    ----------
    first, last : tuple of int
        Run and subrun, both included.
    """

    first: Subrun
    last: Subrun

    def __str__(self) -> str:
        begin = f"{self.first[0]}.{self.first[1]}"
        if self.last[0] == WITHOUT_END:
            return f"from {begin} on"
        end = "end" if self.last[1] == WITHOUT_END else self.last[1]
        return f"{begin} to {self.last[0]}.{end}"


EVERY_RUN = Interval((1, 0), (WITHOUT_END, WITHOUT_END))


class Validity:
    """The intervals of one folder, which may leave gaps but never overlap.

    Parameters
    ----------
    spans : sequence of (first, last)
        In any order; an interval whose ``last`` is None holds until the next one begins, or for ever.

    Attributes
    ----------
    intervals : list of Interval
        One for each of ``spans``, all with an end.

    Raises
    ------
    ValueError
        Two intervals overlap, or one ends before it begins: says which.
    """

    def __init__(self, spans: Sequence[tuple[Subrun, Subrun | None]]) -> None:
        self._order = sorted(range(len(spans)), key=lambda k: spans[k][0])
        self._firsts = [spans[k][0] for k in self._order]
        found: dict[int, Interval] = {}
        for at, place in enumerate(self._order):
            following = self._firsts[at + 1] if at + 1 < len(spans) else None
            first, last = spans[place]
            if following == first:
                raise ValueError(f"two intervals begin at {first[0]}.{first[1]}: keep one of them")
            interval = found[place] = Interval(first, last or _before(following))
            if last is not None and last < first:
                raise ValueError(f"the interval {interval} ends before it begins: give a later last")
            if following is not None and interval.last >= following:
                following_one = f"{following[0]}.{following[1]}"
                raise ValueError(
                    f"the interval {interval} overlaps the next, which begins at {following_one}: end it before that"
                )
        self.intervals = [found[place] for place in range(len(spans))]

    def find(self, run: int, subrun: int) -> int | None:
        """Place in ``spans`` of the interval that holds for a subrun; None in a gap."""
        at = bisect_right(self._firsts, (run, subrun)) - 1
        if at < 0 or (run, subrun) > self.intervals[self._order[at]].last:
            return None
        return self._order[at]

    def around(self, run: int, subrun: int) -> str:
        """The intervals on both sides of a gap, for a message."""
        at = bisect_right(self._firsts, (run, subrun))
        return " and ".join(str(self.intervals[place]) for place in self._order[max(at - 1, 0) : at + 1])


def _before(following: Subrun | None) -> Subrun:
    if following is None:
        return (WITHOUT_END, WITHOUT_END)
    run, subrun = following
    return (run, subrun - 1) if subrun else (run - 1, WITHOUT_END)
