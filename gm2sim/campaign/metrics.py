"""Numbers of a campaign for Prometheus: a text file as its node exporter collects them.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4). Units are those that
Prometheus asks for (seconds, bytes, ratios from 0 to 1), in the names. Shards have no series of their own: a hundred
thousand of them would be too many.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gm2sim.atomic import write_text
from gm2sim.campaign.shard import State
from gm2sim.campaign.status_rows import Rate, Spread, Status
from gm2sim.text import one_line

Sample = tuple[Mapping[str, str], float]
_PERCENTILES = ("5", "50", "95")
_REASONS = 20  # that have a series of their own
_LONGEST = 200  # characters of a label
_MEGABYTE = 1e6
_HOUR_S = 3600.0


class Metric(NamedTuple):
    """One metric: its name, what it is, and its values by labels."""

    name: str
    words: str
    samples: list[Sample]


def write(status: Status, path: Path) -> None:
    """Write all metrics, in the place of the last ones.

    Parameters
    ----------
    status : Status
    path : Path
        Its name has to end in ``.prom`` for the node exporter.
    """
    write_text(path, text(status), replace=True)


def text(status: Status) -> str:
    """All metrics in the text format."""
    lines = []
    for metric in metrics(status):
        lines.append(f"# HELP {metric.name} {metric.words}")
        lines.append(f"# TYPE {metric.name} gauge")
        lines += [
            f"{metric.name}{{{labels}}} {_value(value)}" for labels, value in _summed(status.campaign, metric.samples)
        ]
    return "\n".join(lines) + "\n"


def metrics(status: Status) -> list[Metric]:
    """All metrics; those without a value have no samples, but are there."""
    return [*_counts(status), *_speed(status), *_measured(status), *_cost(status)]


def _counts(status: Status) -> Iterator[Metric]:
    yield Metric("gm2sim_campaign_expected_shards", "Shards that the definition of the campaign has.",
                 [({"stage": one.name}, one.expected) for one in status.stages])  # fmt: skip
    yield Metric(
        "gm2sim_campaign_shards", "Shards in the ledger, by state.",
        [
            ({"stage": one.name, "state": state.value}, one.states.get(state, 0))
            for one in status.stages
            for state in State
        ],
    )  # fmt: skip
    yield Metric("gm2sim_campaign_present_shards", "Shards whose files are there and verified.", _one(status.present))
    yield Metric("gm2sim_campaign_explained_shards", "Shards that are not there, with a state and a reason.",
                 _one(status.explained))  # fmt: skip
    yield Metric("gm2sim_campaign_unexplained_shards", "Shards that nothing explains; more than 0 is an alarm.",
                 _one(len(status.unexplained)))  # fmt: skip
    yield Metric("gm2sim_campaign_adds_up", "1 when expected is present and explained, 0 otherwise.",
                 _one(float(status.adds_up)))  # fmt: skip
    faults = [one for one in status.groups if one.fault]
    yield Metric(
        "gm2sim_campaign_faulty_shards", "Shards that failed or wait to be launched again, by reason.",
        [
            (
                {
                    "stage": one.stage, "state": one.state.value,
                    "reason": one.reason if place < _REASONS else "other reasons",
                },
                one.shards,
            )
            for place, one in enumerate(faults)
        ],
    )  # fmt: skip
    yield Metric("gm2sim_campaign_flagged_shards", "Finished shards that fail a physics check, by check.",
                 [({"stage": one.stage, "check": one.check}, one.shards) for one in status.flags])  # fmt: skip
    yield Metric("gm2sim_campaign_looked_at_timestamp_seconds", "When files and queue were looked at last.",
                 _one(status.told))  # fmt: skip
    yield Metric("gm2sim_campaign_told_timestamp_seconds", "When these numbers were counted.", _one(status.at))


def _speed(status: Status) -> Iterator[Metric]:
    def rates(name: str, words: str, pick: str, scale: float) -> Metric:
        samples: list[Sample] = []
        for stage in status.stages:
            for over, rate in (("hour", stage.recent), ("all", stage.overall)):
                samples.append(({"stage": stage.name, "over": over}, _picked(rate, pick) * scale))
        return Metric(name, words, samples)

    yield rates("gm2sim_campaign_fills_per_second", "Fills finished, last hour and all.", "fills", 1 / _HOUR_S)
    yield rates("gm2sim_campaign_muons_per_second", "Muons finished, last hour and all.", "muons", 1 / _HOUR_S)
    yield rates("gm2sim_campaign_written_bytes_per_second", "Bytes of finished shards, last hour and all.",
                "megabytes", _MEGABYTE)  # fmt: skip
    yield Metric("gm2sim_campaign_fills", "Fills of finished shards.",
                 [({"stage": one.name}, one.fills_done) for one in status.stages])  # fmt: skip
    yield Metric("gm2sim_campaign_muons", "Muons in finished shards.",
                 [({"stage": one.name}, one.muons) for one in status.stages])  # fmt: skip
    left = [("low", status.left.low), ("best", status.left.best), ("high", status.left.high)]
    yield Metric("gm2sim_campaign_left_seconds", "How much longer it takes, with its range.",
                 [({"estimate": name}, value) for name, value in left if math.isfinite(value)])  # fmt: skip


def _measured(status: Status) -> Iterator[Metric]:
    yield Metric("gm2sim_campaign_cpu_efficiency_ratio", "CPU time over time of cores, percentiles of finished shards.",
                 [one for stage in status.stages for one in _spread(stage.name, stage.cpu, 1.0)])  # fmt: skip
    yield Metric("gm2sim_campaign_memory_bytes", "Largest memory of a rank, percentiles of finished shards.",
                 [one for stage in status.stages for one in _spread(stage.name, stage.memory, _MEGABYTE)])  # fmt: skip
    yield Metric("gm2sim_campaign_memory_limit_bytes", "Most memory that a rank may take.",
                 [({"stage": one.name}, one.memory_limit_mb * _MEGABYTE) for one in status.stages])  # fmt: skip


def _cost(status: Status) -> Iterator[Metric]:
    plan, disk = status.planned, status.disk
    yield Metric(
        "gm2sim_campaign_node_seconds", "Time of nodes, as far as reports tell.", _one(status.node_hours * _HOUR_S)
    )
    hours = [("low", plan.node_hours_low), ("best", plan.node_hours), ("high", plan.node_hours_high)] if plan else []
    yield Metric("gm2sim_campaign_planned_node_seconds", "Time of nodes that was planned, with its range.",
                 [({"estimate": name}, value * _HOUR_S) for name, value in hours])  # fmt: skip
    yield Metric(
        "gm2sim_campaign_planned_bytes", "Bytes that were planned.", _one(plan.terabytes * 1e12) if plan else []
    )
    yield Metric("gm2sim_campaign_disk_bytes", "Bytes in each folder of the campaign.",
                 [({"folder": name}, size) for name, size in sorted(disk.bytes.items())] if disk else [])  # fmt: skip
    yield Metric("gm2sim_campaign_disk_files", "Files in each folder of the campaign.",
                 [({"folder": name}, count) for name, count in sorted(disk.files.items())] if disk else [])  # fmt: skip
    yield Metric("gm2sim_campaign_disk_free_bytes", "Bytes that are free where the campaign lies.",
                 _one(disk.free) if disk else [])  # fmt: skip
    live = [one for one in status.jobs if one.live]
    yield Metric("gm2sim_campaign_live_jobs", "Jobs that may still work.", _one(len(live)))
    yield Metric(
        "gm2sim_campaign_live_nodes", "Most nodes that live jobs may have.", _one(sum(one.nodes for one in live))
    )


def _one(value: float) -> list[Sample]:
    return [({}, value)]


def _summed(campaign: str, samples: Iterable[Sample]) -> Iterable[tuple[str, float]]:
    """Labels as they are written, and values; equal labels together: two of them would not be read."""
    found: dict[str, float] = {}
    for labels, value in samples:
        written = ",".join(f'{name}="{_escaped(text)}"' for name, text in {"campaign": campaign, **labels}.items())
        found[written] = found.get(written, 0) + value
    return found.items()


def _spread(stage: str, spread: Spread | None, scale: float) -> Iterator[Sample]:
    if spread is not None:
        for name, value in zip(_PERCENTILES, spread[:3], strict=True):
            yield {"stage": stage, "percentile": name}, value * scale


def _picked(rate: Rate, what: str) -> float:
    return float(rate._asdict()[what])


def _escaped(value: str) -> str:
    return one_line(value, _LONGEST).replace("\\", "\\\\").replace('"', '\\"')


def _value(value: float) -> str:
    """As Go's ParseFloat reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
