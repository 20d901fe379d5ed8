"""Moments of a database of conditions: run and subrun packed into one number, and the event within the subrun.

The experiment's database has one number too: its published select asks for ``begin_time = 243370196``. Decimal packing
reads it as run 24337, subrun 196, a run of Run-2 (best estimate: the packing itself is not public).
"""

import re
from typing import NamedTuple

from gm2sim.conditions.interval import WITHOUT_END, Interval, Subrun
from gm2sim.conditions.table import ConditionsError

SUBRUNS = 10_000
"""Subruns that a run may have: begin_time = 10000 run + subrun."""
_LAST_EVENT = 2**62


class Moment(NamedTuple):
    """A place in the sequence of events.

    Attributes
    ----------
    time : int
        10000 run + subrun.
    event : int
        In the subrun.
    """

    time: int
    event: int = 0

    @property
    def subrun(self) -> Subrun:
        """Run and subrun."""
        run, subrun = divmod(self.time, SUBRUNS)
        return run, subrun

    def __str__(self) -> str:
        run, subrun = self.subrun
        return f"{run}.{subrun}" + (f" event {self.event}" if self.event else "")


def moment(run: int, subrun: int = 0, event: int = 0) -> Moment:
    """The moment of an event.

    Parameters
    ----------
    run, subrun, event : int

    Raises
    ------
    ConditionsError
        No such run, subrun or event can be in a database.
    """
    if not 0 <= run <= WITHOUT_END:
        raise ConditionsError(f"there is no run {run} in a database of conditions: give 0 to {WITHOUT_END}")
    if not 0 <= subrun < SUBRUNS:
        raise ConditionsError(f"there is no subrun {subrun} in a database of conditions: give 0 to {SUBRUNS - 1}")
    if not 0 <= event < _LAST_EVENT:
        raise ConditionsError(f"there is no event {event} in a database of conditions: give 0 to {_LAST_EVENT - 1}")
    return Moment(SUBRUNS * run + subrun, event)


def run_range(text: str) -> tuple[int, int]:
    """First and last run of ``A-B``, or of ``A`` alone.

    Raises
    ------
    ConditionsError
        It is something else, or goes backwards.
    """
    found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", text, re.ASCII)
    if found is None:
        raise ConditionsError(f"{text[:40]!a} is no range of runs: write 15921-15991, or one run")
    first, last = int(found[1]), int(found[2] or found[1])
    moment(first), moment(last + 1)
    if last < first:
        raise ConditionsError(f"the runs {first}-{last} go backwards: write {last}-{first}")
    return first, last


def behind(last: Subrun) -> Moment | None:
    """The first moment behind the last subrun of an interval; None if it never ends."""
    run, subrun = last
    if run == WITHOUT_END:
        return None
    if subrun in (WITHOUT_END, SUBRUNS - 1):
        return moment(run + 1)
    return moment(run, subrun + 1)


def as_interval(begin: Moment, end: Moment | None) -> Interval:
    """Subruns of which some event is in an interval that ends before ``end``."""
    if end is None:
        return Interval(begin.subrun, (WITHOUT_END, WITHOUT_END))
    run, subrun = end.subrun if end.event else divmod(end.time - 1, SUBRUNS)
    return Interval(begin.subrun, (run, WITHOUT_END if subrun == SUBRUNS - 1 else subrun))
