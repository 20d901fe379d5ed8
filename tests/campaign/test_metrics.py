"""Metrics are what Prometheus reads, hold the numbers of the status, and are all that the dashboard asks for."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gm2sim.campaign import metrics
from gm2sim.campaign.shard import State
from gm2sim.campaign.status import Disk, Flag, Group, Status
from tests.reliability.strings import hostile

DASHBOARD = Path(__file__).parents[2] / "nersc" / "grafana" / "gm2sim-campaign.json"
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]Inf")
KINDS = ("counter", "gauge", "histogram", "summary", "untyped")
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Series:
    """Read the text format strictly: https://prometheus.io/docs/instrumenting/exposition_formats/."""
    assert text.endswith("\n"), "the last line must end with a line feed"
    helped, typed, closed, found = set[str](), set[str](), set[str](), Series()
    current = ""
    for line in text[:-1].split("\n"):
        assert line == line.strip()
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            assert NAME.fullmatch(name)
            assert words
            assert name not in helped, "one HELP a metric"
            assert not re.search(r"\\[^\\n]", words)
            helped.add(name)
            closed, current = closed | {current}, name
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert kind in KINDS
            assert name not in typed, "one TYPE a metric, before its samples"
            assert not any(series[0] == name for series in found)
            typed.add(name)
            current = name
        else:
            name, labels, value = sample(line)
            assert name == current, "all lines of a metric stand together"
            assert name not in closed
            key = name, frozenset(labels.items())
            assert key not in found, "a series is given once"
            found[key] = value
    assert helped == typed
    return found


def sample(line: str) -> tuple[str, dict[str, str], float]:
    name = NAME.match(line)
    assert name
    rest, labels = line[name.end() :], {}
    if rest.startswith("{"):
        rest = rest[1:]
        while not rest.startswith("}"):
            label = LABEL.match(rest)
            assert label
            assert rest[label.end() : label.end() + 2] == '="'
            text, rest = quoted(rest[label.end() + 2 :])
            assert label[0] not in labels
            labels[label[0]] = text
            assert rest[0] in ",}"
            rest = rest.removeprefix(",")
        rest = rest[1:]
    assert rest.startswith(" ")
    assert NUMBER.fullmatch(rest[1:]), "a number, and no time: the node exporter takes none"
    return name[0], labels, float(rest[1:].replace("Inf", "inf"))


def quoted(text: str) -> tuple[str, str]:
    """A label's value up to its quote, and what follows."""
    value, place = "", 0
    while text[place] != '"':
        if text[place] == "\\":
            place += 1
            value += {"\\": "\\", '"': '"', "n": "\n"}[text[place]]
        else:
            value += text[place]
        place += 1
    return value, text[place + 1 :]


def value(found: Series, name: str, **labels: str) -> float:
    return found[f"gm2sim_campaign_{name}", frozenset((labels | {"campaign": "run1a-validation"}).items())]


def test_metrics_are_read_strictly_and_hold_the_numbers_of_the_status(status: Status, tmp_path: Path) -> None:
    path = tmp_path / "gm2sim.prom"
    path.write_text("old")
    metrics.write(status, path)
    found = parsed(path.read_text("utf-8"))
    assert [one.name for one in tmp_path.iterdir()] == ["gm2sim.prom"]
    assert value(found, "present_shards") == status.present
    assert value(found, "explained_shards") == status.explained
    assert value(found, "unexplained_shards") == 0
    assert value(found, "adds_up") == 1
    for stage in status.stages:
        assert value(found, "expected_shards", stage=stage.name) == stage.expected
        for state in State:
            assert value(found, "shards", stage=stage.name, state=state.value) == stage.states.get(state, 0)
        assert stage.cpu is not None
        assert stage.memory is not None
        cpu = value(found, "cpu_efficiency_ratio", stage=stage.name, percentile="50")
        assert cpu == pytest.approx(stage.cpu.median)
        most = value(found, "memory_bytes", stage=stage.name, percentile="95")
        assert most == pytest.approx(stage.memory.high * 1e6)
        speed = value(found, "muons_per_second", stage=stage.name, over="hour")
        assert speed * 3600 == pytest.approx(stage.recent.muons)
    assert status.planned is not None
    assert value(found, "node_seconds") == pytest.approx(3600 * status.node_hours)
    assert value(found, "planned_node_seconds", estimate="high") == pytest.approx(3600 * status.planned.node_hours_high)
    assert value(found, "left_seconds", estimate="best") == pytest.approx(status.left.best)
    assert value(found, "told_timestamp_seconds") == pytest.approx(status.at)
    faults = [number for (name, _), number in found.items() if name == "gm2sim_campaign_faulty_shards"]
    assert sum(faults) == sum(one.shards for one in status.groups if one.fault)
    assert value(found, "flagged_shards", stage="raw", check="rate") == 1


def test_an_empty_status_has_all_metrics(status: Status) -> None:
    nothing = replace(
        status, groups=(), flags=(), planned=None, disk=None, jobs=(), nodes=(),
        left=status.left._replace(low=math.nan, best=math.nan, high=math.nan),
        stages=tuple(replace(stage, cpu=None, memory=None) for stage in status.stages),
    )  # fmt: skip
    text = metrics.text(nothing)
    parsed(text)
    assert {one.name for one in metrics.metrics(nothing)} == {one.name for one in metrics.metrics(status)}
    assert "NaN" not in text


def test_hostile_labels_come_back_and_series_stay_few(status: Status) -> None:
    texts = hostile(300)
    groups = tuple(Group("raw", State.FAILED, text, 1, "run1", text, text, True) for text in texts)
    flags = tuple(Flag("raw", text, 1, text, text) for text in texts[:50])
    disk = Disk(dict.fromkeys(texts, 1), dict.fromkeys(texts, 1), 1)
    found = parsed(metrics.text(replace(status, campaign=texts[5], groups=groups, flags=flags, disk=disk)))
    faults = {key: number for key, number in found.items() if key[0] == "gm2sim_campaign_faulty_shards"}
    assert sum(faults.values()) == len(texts)
    assert len(faults) <= 21
    named = {dict(labels)["check"] for (name, labels) in found if name == "gm2sim_campaign_flagged_shards"}
    assert "<script>window.HACKED=1</script>" in named
    assert '" OR "1"="1' in named
    assert all(text.isprintable() for text in named)


def expressions(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, inner in content.items():
            if key in ("expr", "query") and isinstance(inner, str):
                yield inner
            else:
                yield from expressions(inner)
    elif isinstance(content, list):
        for inner in content:
            yield from expressions(inner)


def test_the_dashboard_asks_only_for_metrics_that_are_written(status: Status) -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    written: dict[str, set[str]] = {}
    for name, labels in parsed(metrics.text(status)):
        written.setdefault(name, set()).update(dict(labels))
    asked = set()
    for expression in expressions(dashboard):
        for name, inside in re.findall(r"\b(gm2sim_\w+)(?:\{([^}]*)\})?", expression):
            assert name in written, f"{name} is not written"
            assert set(re.findall(r"(\w+)=", inside)) <= written[name], expression
            asked.add(name)
    assert len(asked) > 15
    assert {"gm2sim_campaign_unexplained_shards", "gm2sim_campaign_faulty_shards"} <= asked
    for panel in dashboard["panels"]:
        legends = "".join(target["legendFormat"] for target in panel["targets"])
        labels = set().union(*(written[name] for name in re.findall(r"gm2sim_\w+", str(panel["targets"]))))
        assert set(re.findall(r"\{\{(\w+)\}\}", legends)) <= labels


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken = set()
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
