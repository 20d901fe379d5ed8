"""A status on one screen of a terminal."""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gm2sim.campaign.shard import State
from gm2sim.campaign.status_rows import Group, Left, Rate, Spread, StageStatus, Status
from gm2sim.text import visible

_GROUPS, _FLAGS, _LOST = 8, 3, 5  # lines of each list; the page has all
_STYLES = {
    State.DONE: "green", State.FLAGGED: "yellow", State.RUNNING: "cyan", State.SUBMITTED: "blue", State.WAITING: "",
    State.FAILED: "red", State.HELD: "magenta", State.CANCELLED: "magenta",
}  # fmt: skip


def render(status: Status) -> RenderableType:
    """Stages, cost, faults with what to press; texts of others are shown as they stand."""
    parts: list[RenderableType] = [_head(status), _stages(status.stages), _numbers(status)]
    if status.unexplained:
        parts.append(_lost(status))
    if status.groups:
        parts.append(_groups(status.groups))
    parts += [
        _text(f"flagged: {one.shards:,} of {one.stage} by {one.check}, {one.example}: {one.reason}", "yellow")
        for one in status.flags[:_FLAGS]
    ]
    return Stack(*parts)


def duration(seconds: float) -> str:
    """Two figures that matter: ``3 d 4 h``, ``2 h 05 min``, ``40 s``."""
    if not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h"


def left_words(left: Left, finished: bool) -> str:
    """How much longer it takes, with the range, and what that leaves out."""
    if finished:
        return "all shards are there"
    remark = f" ({left.remark})" if left.remark else ""
    if not math.isfinite(left.best):
        return left.remark
    if left.best == 0.0:
        return f"nothing under way{remark}"
    return f"{duration(left.best)}, between {duration(left.low)} and {duration(left.high)}{remark}"


def plan_words(status: Status) -> str:
    """Node-hours against plan."""
    used = f"{amount(status.node_hours)} node-hours used"
    if status.planned is None:
        return f"{used} ({status.plan_remark})"
    plan = status.planned
    low, high = amount(plan.node_hours_low), amount(plan.node_hours_high)
    return f"{used} of {amount(plan.node_hours)} planned ({low} to {high})"


def disk_words(status: Status) -> str:
    """Bytes and files, beside what was planned and what is free."""
    if status.disk is None:
        return "not asked"
    size, files = sum(status.disk.bytes.values()), sum(status.disk.files.values())
    plan = f" of {byte_words(status.planned.terabytes * 1e12)} planned" if status.planned else ""
    return f"{byte_words(size)}{plan} in {files:,} files, {byte_words(status.disk.free)} free"


def rate_words(rate: Rate) -> str:
    """Fills, muons and megabytes."""
    return f"{amount(rate.fills)} fills/h, {amount(rate.muons)} muons/h, {amount(rate.megabytes)} MB/s"


def spread_words(spread: Spread | None, scale: float = 1.0, unit: str = "") -> str:
    """Median and range."""
    if spread is None:
        return "–"
    low, median, high = (amount(value * scale) for value in spread[:3])
    return f"{median}{unit} ({low} to {high})"


def byte_words(number: float) -> str:
    """Bytes with a prefix."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000.0:
            return f"{number:.3g} {unit}"
        number /= 1000.0
    return f"{amount(number)} PB"


def amount(value: float) -> str:
    """What is not negative in three figures, thousands apart."""
    if not math.isfinite(value):
        return "?"
    if 0 < value < 0.001:
        return "< 0.001"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def moment(time: float) -> str:
    """``2026-03-01 12:00:05 UTC``."""
    if time <= 0:
        return "never"
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _head(status: Status) -> Text:
    head = Text(f"{status.campaign} at {status.site}, {moment(status.at)}", style="bold")
    age = f"; last look at files and queue {duration(status.at - status.told)} before" if status.told else ""
    head.append(age, style="not bold")
    if status.busy:
        head.append(visible(f"\nin the hands of {status.busy}", lines=True), style="yellow not bold")
    head.append(f"\n{status.sentence}", style="bold green" if status.adds_up else "bold white on red")
    return head


def _stages(stages: Iterable[StageStatus]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    for state in State:
        table.add_column(state.value, justify="right")
    for column in ("of", "CPU % (5 to 95 %)", "memory MB (limit)", "fills/h"):
        table.add_column(column, justify="right")
    for stage in stages:
        table.add_row(
            _text(stage.name),
            *(_count(stage.states.get(state, 0), state) for state in State),
            f"{stage.expected:,}",
            spread_words(stage.cpu, 100.0),
            f"{spread_words(stage.memory)} ({stage.memory_limit_mb:,})",
            amount(stage.recent.fills),
        )
    return table


def _count(number: int, state: State) -> Text:
    return Text(f"{number:,}", style=_STYLES[state]) if number else Text("·", style="dim")


def _numbers(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    live = [one for one in status.jobs if one.live]
    nodes = sum(one.nodes for one in live)
    rows = (
        ("time left", left_words(status.left, status.finished)),
        ("last hour", rate_words(status.recent)),
        ("since the start", rate_words(status.overall)),
        ("CPU", f"{spread_words(status.cpu, 100.0, ' %')} of the cores' time"),
        ("memory", f"{spread_words(status.memory, 100.0, ' %')} of the limit"),
        ("cost", plan_words(status)),
        ("disk", disk_words(status)),
        ("jobs", f"{len(live)} live on up to {nodes:,} nodes, {len(status.jobs) - len(live)} ended"),
    )
    for name, value in rows:
        table.add_row(Text(name, style="bold"), _text(value))
    return table


def _lost(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    for one in status.unexplained[:_LOST]:
        table.add_row(_text(f"{one.stage} {one.shard}", "bold red"), _text(one.why, "red"))
    _and_more(table, len(status.unexplained) - _LOST)
    return table


def _groups(groups: Sequence[Group]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("shards", justify="right")
    table.add_column("why, last words, what to press")
    for one in groups[:_GROUPS]:
        lines = _text(f"{one.stage} {one.state}: {one.reason}", "red" if one.fault else "")
        if one.last_line:
            lines.append(f"\n  {visible(one.last_line, lines=False)}", style="dim")
        if one.command:
            lines.append(f"\n  {visible(one.command, lines=False)}", style="cyan")
        table.add_row(f"{one.shards:,}", lines)
    _and_more(table, len(groups) - _GROUPS, "reasons", "")
    return table


def _and_more(table: Table, number: int, what: str = "shards", *before: str) -> None:
    if number > 0:
        table.add_row(*before, f"and {number:,} more {what}: gm2sim campaign report --html")


def _text(text: str, style: str = "") -> Text:
    """As it stands: no markup, no pictures for :names:."""
    return Text(visible(text, lines=False), style=style)
