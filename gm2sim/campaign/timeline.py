"""A campaign against time, from the history that the ledger keeps: shards in each state, nodes at work."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from gm2sim.campaign.shard import State
from gm2sim.campaign.tables import history, shards

Floats = NDArray[np.float64]
Span = tuple[float, float]
_POINTS = 240
_STATES = tuple(State)


class Work(NamedTuple):
    """A rank at work on a shard: whose report says that it runs."""

    stage: str
    shard: str
    job: str
    element: int
    began: float


class Timeline(NamedTuple):
    """How many shards were in each state; Unix times [s].

    Attributes
    ----------
    times : array (n,) [s]
    shards : mapping of State to array (n,)
        States that no shard ever was in are left out.
    """

    times: Floats
    shards: Mapping[State, Floats]


def states_over_time(connection: Connection, number: int, begin: float, at: float) -> Timeline:
    """Shards by state at equally spaced times.

    Those that come later to a draining campaign count as waiting from the beginning.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    number : int
        Of the campaign.
    begin, at : float [s]
        First and last time.
    """
    told = (
        select(history.c.shard_id, history.c.at, history.c.state)
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number)
        .order_by(history.c.id)
    )
    total = connection.execute(
        select(func.count()).select_from(shards).where(shards.c.campaign_id == number)
    ).scalar_one()
    place = {state.value: index for index, state in enumerate(_STATES)}
    rows = [(shard, when, place[state]) for shard, when, state in connection.execute(told)]
    shard, when, state = np.array(rows, np.int64).reshape(-1, 3).T
    order = np.argsort(shard, kind="stable")
    before = np.full(len(order), _STATES.index(State.WAITING))
    same = np.flatnonzero(shard[order][1:] == shard[order][:-1])
    before[order[same + 1]] = state[order[same]]
    times = np.linspace(begin, max(at, begin + 1.0), _POINTS)
    found = {}
    for index, one in enumerate(_STATES):
        came, went = (np.sort(when[which == index] * 1e-6) for which in (state, before))
        at_first = total if one is State.WAITING else 0
        of_state = at_first + np.searchsorted(came, times, "right") - np.searchsorted(went, times, "right")
        if of_state.any():
            found[one] = of_state.astype(float)
    return Timeline(times, found)


def nodes(connection: Connection, number: int, running: list[Work], at: float) -> list[Span]:
    """From the first report to the last of each node of each job (an element); of one at work until now [s]."""
    told = (
        select(func.min(history.c.began), func.max(history.c.ended), history.c.job, history.c.element)
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number, history.c.began > 0)
        .group_by(history.c.job, history.c.element)
    )
    going = {(one.job, one.element) for one in running}
    spans = []
    for began, ended, job, element in connection.execute(told):
        end = at if (job, element) in going else ended / 1e6
        spans.append((began / 1e6, max(end, began / 1e6)))
    return spans


def used(spans: list[Span] | tuple[Span, ...], times: Floats) -> Floats:
    """Node-hours that were used until each time, (n,)."""
    begun, ended = np.sort(np.array(spans, float).reshape(-1, 2).T, axis=1)
    return (_until(begun, times) - _until(ended, times)) / 3600.0


def at_work(begun: Floats, ended: Floats, edges: Floats) -> Floats:
    """Mean number of ranks at work between times.

    Parameters
    ----------
    begun, ended : array (m,) [s]
        Of each piece of work.
    edges : array (n + 1,) [s]

    Returns
    -------
    array (n,)
    """
    first, last = np.sort(begun), np.sort(np.maximum(begun, ended))
    return np.asarray(np.diff(_until(first, edges) - _until(last, edges)) / np.diff(edges))


def _until(ordered: Floats, times: Floats) -> Floats:
    """Sum of the times that have passed since each of some moments, at each time [s]."""
    if not len(ordered):
        return np.zeros(len(times))
    since = ordered - ordered[0]
    sums = np.concatenate([[0.0], np.cumsum(since)])
    before = np.searchsorted(ordered, times)
    return np.asarray(before * (times - ordered[0]) - sums[before])
