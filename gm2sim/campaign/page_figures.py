"""The figures of a campaign's page."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gm2sim.campaign import pace, timeline
from gm2sim.campaign.nearline import ENERGY_EDGES, TIME_STEP, merged
from gm2sim.campaign.nearline_runs import RunSeen
from gm2sim.campaign.status_rows import Status
from gm2sim.plots import campaign as draw
from gm2sim.plots.style import Plot
from gm2sim.report.build import Figure, figure

Floats = NDArray[np.float64]
_BINS = 36  # of the time since the first shard
_MOST_POINTS = 400  # of a picture by run; more runs are put together, neighbours with neighbours
_CHECKS = {
    "rate": "clusters / decay", "asymmetry": "asymmetry", "edge": "energy edge [GeV]", "field": "field [T]",
}  # fmt: skip


def figures(status: Status, looks: Sequence[RunSeen]) -> Iterator[Figure]:
    """All figures that there is something to draw for.

    Parameters
    ----------
    status : Status
    looks : sequence of RunSeen
        What nearline has seen.
    """
    makers: list[tuple[str, str, str, Callable[[], Plot | None]]] = [
        ("states", "Shards over time", "Shards of all stages by state, as the ledger was told.",
         lambda: _states(status)),
        ("throughput", "Throughput", "Fills per hour in each stage, what that is on the disk, ranks at work. Only "
         "finished shards have fills, spread evenly over the time that they took: the last hours still grow.",
         lambda: _throughput(status)),
        ("efficiency", "CPU and memory of each shard", "Of the last attempt of every finished shard. Dashed: the limit "
         "of memory in the campaign’s file.", lambda: _efficiency(status)),
        ("cost", "Node-hours against plan", "From the first report to the last of each node of each job; the time "
         "before the first and after the last is not known here.", lambda: _cost(status)),
        ("nearline", "First look, by run", "Clusters above the threshold of the fit per decay, amplitude of the "
         "precession, end of the spectrum, and field: shards of a run merged, with their errors. Band: what one shard "
         "is expected to show. Orange diamonds: runs with flagged shards.", lambda: _nearline(looks)),
        ("spectra", "First look, all shards", "Clusters of the light reconstruction by energy, and by time those above "
         "the threshold of the fit.", lambda: _spectra(looks)),
    ]  # fmt: skip
    for name, title, caption, make in makers:
        plot = make()
        if plot is not None:
            yield figure(name, title, caption, plot)


def _states(status: Status) -> Plot | None:
    if status.timeline is None or not status.timeline.shards:
        return None
    times, shards = status.timeline
    return draw.states_over_time(times - times[0], {state.value: counts for state, counts in shards.items()})


def _done(status: Status) -> dict[str, pace.Measured]:
    """Finished shards by stage, of the stages that have any."""
    found = {stage.name: [row for row, _ in status.shards if row.stage == stage.name] for stage in status.stages}
    measured = {name: pace.measured(rows) for name, rows in found.items()}
    return {name: one for name, one in measured.items() if len(one.ended)}


def _throughput(status: Status) -> Plot | None:
    done = _done(status)
    if not done:
        return None
    begin = min(float(one.began.min()) for one in done.values())
    end = max(float(one.ended.max()) for one in done.values())
    edges = np.linspace(0.0, max(end - begin, 1.0), _BINS + 1)
    hours = np.diff(edges) / pace.HOUR_S
    fills, megabytes = {}, np.zeros(_BINS)
    for stage in status.stages:
        if stage.name in done:
            one = done[stage.name]
            counts = _spread(one, begin + edges)
            fills[stage.name] = counts / hours
            per_fill = pace.bytes_of(status.disk, stage.name) / max(1, stage.fills_done)
            megabytes += counts * per_fill / np.diff(edges) * 1e-6
    rank_edges, ranks = pace.concurrency(done.values(), status.running, status.at)
    return draw.throughput(edges, fills, megabytes, rank_edges - begin, ranks)


def _spread(done: pace.Measured, edges: Floats) -> Floats:
    """Fills between times, each shard's spread evenly over the time that it took."""
    until = [float(np.sum(done.fills * np.clip((edge - done.began) / done.wall_s, 0.0, 1.0))) for edge in edges]
    return np.diff(until)


def _efficiency(status: Status) -> Plot | None:
    done = _done(status)
    if not done:
        return None
    limits = {stage.name: float(stage.memory_limit_mb) for stage in status.stages if stage.name in done}
    return draw.efficiency(
        {name: 100 * one.cpu for name, one in done.items()}, {name: one.memory for name, one in done.items()}, limits
    )


def _cost(status: Status) -> Plot | None:
    if not status.nodes:
        return None
    begin = min(began for began, _ in status.nodes)
    end = max(ended for _, ended in status.nodes)
    times = np.linspace(begin, max(end, begin + 1.0), 200)
    plan = status.planned
    known = (plan.node_hours_low, plan.node_hours, plan.node_hours_high) if plan else None
    return draw.cost(times - begin, timeline.used(status.nodes, times), known)


def _nearline(looks: Sequence[RunSeen]) -> Plot | None:
    names = [name for name in _CHECKS if any(name in one.seen.checks for one in looks)]
    if not names:
        return None
    size = -(-len(looks) // _MOST_POINTS)
    parts = [looks[begin : begin + size] for begin in range(0, len(looks), size)]
    seen = [merged(one.seen for one in part) for part in parts]
    runs = np.array([np.mean([one.run for one in part]) for part in parts])

    def column(name: str, what: str) -> Floats:
        return np.array([one.checks[name][what] if one and name in one.checks else np.nan for one in seen], float)

    checks = {name: {what: column(name, what) for what in ("value", "error", "low", "high")} for name in names}
    for name in names:
        outside = [sum(one.seen.checks.get(name, {}).get("outside", 0) for one in part) for part in parts]
        checks[name]["outside"] = np.array(outside, float)
    return draw.checks_by_run(runs, checks, _CHECKS)


def _spectra(looks: Sequence[RunSeen]) -> Plot | None:
    seen = merged(one.seen for one in looks)
    return draw.spectra(ENERGY_EDGES, seen.energy, TIME_STEP, seen.time) if seen and seen.clusters else None
