"""A page to look at: one folder of files that works from a web directory and without any network.

The page itself is the last file to be written, and takes the place of the last one at once: who reads sees the old one
or the new one. Long tables are cut where a person stops reading; all of them is in CSV files beside the page.
"""

import csv
import io
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from gm2sim import __version__
from gm2sim.atomic import again, temporary_name, write_text
from gm2sim.campaign import screen
from gm2sim.campaign.explained import command
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.nearline_runs import by_run
from gm2sim.campaign.page_figures import figures
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.stages import REPORT
from gm2sim.campaign.status_rows import FINISHED, StageStatus, Status, Told
from gm2sim.report.build import pages
from gm2sim.text import one_line

INDEX, SHARDS, RUNS, JOBS, LOOKS = "index.html", "shards.csv", "runs.csv", "jobs.csv", "nearline.json"
"""Files of the folder; ``reports/`` beside them holds the reports of runs."""
_SHOWN = 200  # rows of a table of the page
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # begin a formula where a spreadsheet reads a CSV file


class RunRow(NamedTuple):
    """A run as the page shows it: by stage, finished shards and all; flagged shards; where its reports lie."""

    run: int
    stages: dict[str, tuple[int, int]]
    flagged: int
    reports: list[tuple[str, str]]


class ShardLine(NamedTuple):
    """A shard that is not finished, what to press for it, and where its last report lies (empty without)."""

    told: Told
    command: str
    report: str


def write(status: Status, folder_out: Path, *, refresh_s: int = 0) -> Path:
    """Write the page of a campaign, with what it needs.

    Parameters
    ----------
    status : Status
        With its history (:func:`gm2sim.campaign.status.look`).
    folder_out : Path
        Made where it is not there; what else lies in it is left alone.
    refresh_s : int
        After how long a browser asks again [s]; 0 for never. For who writes the page again and again.

    Returns
    -------
    Path
        ``index.html`` in it.

    Raises
    ------
    OSError
        It cannot be written; a page that was there is whole then.
    """
    folder_out.mkdir(parents=True, exist_ok=True)
    folder = CampaignFolder(Path(status.folder))
    lines = [_line(folder, folder_out, one, status.target) for one in _unfinished(status)[:_SHOWN]]
    rows = list(_runs(status, folder, folder_out))
    jobs = sorted(status.jobs, key=lambda one: (not one.live, -one.begun))
    looks = by_run(folder, _simulated(status), folder_out / LOOKS)
    environment = pages()
    environment.filters.update(
        moment=screen.moment, duration=screen.duration, amount=screen.amount, bytes=screen.byte_words,
        count=lambda number: f"{number:,}", percent=lambda share: f"{100 * share:.3g}",
    )  # fmt: skip
    text = environment.get_template("campaign.html.j2").render(
        style=Markup(environment.get_template("style.css").render()),
        more_style=Markup(environment.get_template("campaign.css").render()),
        version=__version__, status=status, refresh_s=refresh_s, tiles=list(_tiles(status)),
        states=[state.value for state in State], bars=[(one, _bar(one)) for one in status.stages],
        lines=lines, unfinished=status.expected - status.present, shown=_SHOWN, runs=rows[:_SHOWN], run_count=len(rows),
        jobs=jobs[:_SHOWN], figures_list=list(figures(status, looks)), plan=screen.plan_words(status),
        disk=screen.disk_words(status), left=screen.left_words(status.left, status.finished),
        files={"shards": SHARDS, "runs": RUNS, "jobs": JOBS},
    )  # fmt: skip
    _write_tables(status, folder_out, rows)
    write_text(folder_out / INDEX, text, replace=True)
    return folder_out / INDEX


def _tiles(status: Status) -> Iterator[tuple[str, str, str, str]]:
    """Id, label, value and unit of what a reader looks for first."""
    share = status.present / status.expected if status.expected else 0.0
    yield "present", "shards present", f"{status.present:,} / {status.expected:,}", f"{100 * share:.3g} % of all"
    yield "left", "time left", *_left(status)
    muons = sum(stage.muons for stage in status.stages if stage.kind == "simulate")
    yield "muons", "muons made", screen.amount(float(muons)), f"{screen.amount(status.recent.muons)} / h, last hour"
    yield "cpu", "CPU efficiency", *_spread(status.cpu)
    yield "memory", "memory of its limit", *_spread(status.memory)
    plan = status.planned
    of = f"of {screen.amount(plan.node_hours)} planned" if plan else status.plan_remark
    yield "hours", "node-hours", screen.amount(status.node_hours), of
    if status.disk:
        yield "disk", "on the disk", screen.byte_words(sum(status.disk.bytes.values())), "in all files"
    flagged = status.states.get(State.FLAGGED, 0)
    yield "flagged", "flagged", f"{flagged:,}", "shards by physics checks"


def _left(status: Status) -> tuple[str, str]:
    left = status.left
    if status.finished:
        return "done", "all shards are there"
    if not left.best > 0:
        return "–", "not known yet" if left.best != 0 else "nothing under way"
    return screen.duration(left.best), f"{screen.duration(left.low)} to {screen.duration(left.high)}"


def _spread(spread: Any) -> tuple[str, str]:
    if spread is None:
        return "–", "nothing finished"
    low, median, high = (f"{100 * value:.3g}" for value in spread[:3])
    return f"{median} %", f"median; {low} to {high} %"


def _bar(stage: StageStatus) -> list[tuple[str, int, str]]:
    """State, shards, and share of the bar."""
    total = max(1, sum(stage.states.values()))
    order = (*FINISHED, State.RUNNING, State.SUBMITTED, State.WAITING, State.HELD, State.CANCELLED, State.FAILED)
    return [
        (state.value, count, f"{100 * count / total:.3f}") for state in order if (count := stage.states.get(state, 0))
    ]


def _unfinished(status: Status) -> list[Told]:
    """What went wrong first, then what a person has kept back, then what goes its way."""
    order = (State.FAILED, State.HELD, State.CANCELLED, State.WAITING, State.RUNNING, State.SUBMITTED)
    rank = {state: place for place, state in enumerate(order)}

    def place(one: Told) -> tuple[int, bool]:
        return rank[one.row.state], not one.row.reason

    return sorted((one for one in status.shards if one.row.state not in FINISHED), key=place)


def _line(folder: CampaignFolder, out: Path, one: Told, target: str) -> ShardLine:
    path = folder.report(_shard(one))
    return ShardLine(one, command(one, target), _link(path, out) if one.row.attempts and path.is_file() else "")


def _simulated(status: Status) -> Iterator[Shard]:
    stages = {stage.name for stage in status.stages if stage.kind == "simulate"}
    return (_shard(one) for one in status.shards if one.row.stage in stages and one.row.state in FINISHED)


def _shard(one: Told) -> Shard:
    return Shard(one.row.stage, one.row.run, one.row.subrun, one.row.fills)


def _runs(status: Status, folder: CampaignFolder, out: Path) -> Iterator[RunRow]:
    """Every run with how far it has come; its reports are placed beside the page."""
    counted: dict[int, Counter[tuple[str, bool]]] = defaultdict(Counter)
    flagged: Counter[int] = Counter()
    for row, _ in status.shards:
        counted[row.run][row.stage, row.state in FINISHED] += 1
        flagged[row.run] += row.state is State.FLAGGED
    reporting = [stage.name for stage in status.stages if stage.kind == "report"]
    for run, of_run in sorted(counted.items()):
        stages = {
            stage.name: (of_run[stage.name, True], of_run[stage.name, True] + of_run[stage.name, False])
            for stage in status.stages
        }
        reports = []
        for stage in reporting:
            if of_run[stage, True]:
                source = folder.run(stage, run) / REPORT
                place = out / "reports" / stage / f"run{run:05d}.html"
                if _place(source, place):
                    reports.append((stage, _link(place, out)))
        yield RunRow(run, stages, flagged[run], reports)


def _place(source: Path, target: Path) -> bool:
    """Let a file be there too, without taking room where that can be; whether it is."""
    try:
        facts = source.stat()
        with suppress(OSError):
            there = target.stat()
            if (there.st_mtime_ns, there.st_size) == (facts.st_mtime_ns, facts.st_size):
                return True
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(target)
        try:
            again(os.link, source, temporary)
        except OSError:
            shutil.copy2(source, temporary)
        again(os.replace, temporary, target)
    except OSError:
        return False
    return True


def _link(path: Path, out: Path) -> str:
    return quote(os.path.relpath(path, out))


def _write_tables(status: Status, out: Path, runs: Sequence[RunRow]) -> None:
    columns = (
        "stage", "shard", "run", "subrun", "fills", "state", "why", "launches", "attempts", "job", "wall_s", "cpu_s",
        "threads", "peak_memory_mb", "muons", "ended",
    )  # fmt: skip
    _write_csv(
        out / SHARDS,
        columns,
        (
            (
                row.stage, row.name, row.run, row.subrun, row.fills, row.state.value, why, row.launches, row.attempts,
                row.job, f"{row.wall_s:.1f}", f"{row.cpu_s:.1f}", row.threads, f"{row.peak_memory_mb:.1f}", row.muons,
                screen.moment(row.ended),
            )
            for row, why in status.shards
        ),
    )  # fmt: skip
    names = [stage.name for stage in status.stages]
    _write_csv(
        out / RUNS,
        ("run", *(f"{name} {what}" for name in names for what in ("finished", "of")), "flagged"),
        ((one.run, *(number for name in names for number in one.stages[name]), one.flagged) for one in runs),
    )
    _write_csv(
        out / JOBS,
        ("job", "number", "stage", "state", "nodes", "shards", "who", "begun", "ended"),
        (
            (
                one.token, one.slurm_id or "", one.stage, one.state, one.nodes, one.shards, one.who,
                screen.moment(one.begun), screen.moment(one.ended) if one.ended else "",
            )
            for one in status.jobs
        ),
    )  # fmt: skip


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_text(path, buffer.getvalue(), replace=True)


def _cell(value: object) -> object:
    """No formula: a text of others that begins like one gets a quote before it."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULAS) else text
