"""Why each shard is not finished: no shard without a line, and alike ones together with what to press."""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.rows import JobRow, ShardRow
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.status_rows import FINISHED, Flag, Group, Told, Unexplained
from gm2sim.text import one_line

_UNDER_WAY = (State.SUBMITTED, State.RUNNING)
_BY_A_PERSON = (State.HELD, State.CANCELLED)
_LONGEST = 300  # characters of a reason that a group shows
_NEVER = "ready: not launched yet"

# As gm2sim.campaign.harvest words them.
_LAUNCHED = re.compile(r"; launched \d+ times$")
_ELEMENT = re.compile(r" of job \S+ element \d+(?:: (?P<said>.*))?$")
_JOB = re.compile(r"\bjob gm2\.\S+?(?= |:|;|,|\)|$)")
_PATH = re.compile(r"'[^']*/[^']*'")
_NAME = re.compile(r"\b(?:gm2_)?run\d{5,}(?:_\d{5,})?")
_WAITS = re.compile(r"(?<=^waits for stage )('[^']*') of run \d+: \d+ of \d+ shards to go$")
_PLACE = re.compile(r"^(at work|in the queue): job \S+, (?:number \S+|not yet submitted)")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_CHECK = re.compile(r"(?:^|; )(\w+) is ")  # as gm2sim.campaign.nearline words it


class Fault(NamedTuple):
    """A reason taken apart: its kind, and the last words of the job."""

    kind: str
    said: str


def explain(
    campaign: Campaign,
    wanted: Iterable[Shard],
    rows: Sequence[ShardRow],
    jobs: Mapping[str, JobRow],
    live: Iterable[str],
) -> tuple[list[Told], list[Unexplained]]:
    """A line for each shard, and what no line can be given for.

    Parameters
    ----------
    campaign : Campaign
        As it is registered.
    wanted : iterable of Shard
        All that it is to have.
    rows : sequence of ShardRow
        All shards of the ledger.
    jobs : mapping of str to JobRow
        By token.
    live : iterable of str
        Tokens of jobs that may still work.
    """
    to_go = Counter((row.stage, row.run) for row in rows if row.state not in FINISHED)
    of_run = Counter((row.stage, row.run) for row in rows)
    after = {stage.name: stage.after for stage in campaign.stages}
    living = set(live)
    told, lost = [], []
    for row in rows:
        why = _why(row, jobs, living)
        if not why and row.state is State.WAITING:
            why = _waits(row, after.get(row.stage, ()), to_go, of_run)
        wrong = _wrong(row, why, living)
        if wrong:
            lost.append(Unexplained(row.stage, row.name, wrong))
        told.append(Told(row, why))
    known = {(row.stage, row.name) for row in rows}
    expected = {(shard.stage, shard.name) for shard in wanted}
    lost += [
        Unexplained(*one, "the campaign has it and the ledger has not: launch the campaign again to register it")
        for one in sorted(expected - known)
    ]
    lost += [
        Unexplained(*one, "the ledger has it and the campaign has not: its definition was changed by hand")
        for one in sorted(known - expected)
    ]
    return told, lost


def groups(
    told: Iterable[Told], lost: Iterable[Unexplained], target: str, words: Callable[[ShardRow], str]
) -> list[Group]:
    """Unfinished shards by stage, state and kind of reason; faults first, the largest first.

    Parameters
    ----------
    told : iterable of Told
    lost : iterable of Unexplained
        They are in no group.
    target : str
        What names the campaign on the command line.
    words : callable
        Last words of the job of a shard, where its reason has none.
    """
    without = {(one.stage, one.shard) for one in lost}
    found: dict[tuple[str, State, str], list[tuple[Told, str]]] = defaultdict(list)
    for one in told:
        row = one.row
        if row.state not in FINISHED and (row.stage, row.name) not in without:
            fault = apart(one.why)
            found[row.stage, row.state, fault.kind].append((one, fault.said))
    listed = []
    for (stage, state, kind), members in found.items():
        example, said = max(members, key=lambda pair: pair[0].row.ended)
        wrong = _is_fault(example.row)
        if wrong and not said:  # what the kind leaves out of one of them
            said = words(example.row) or (example.why if example.why != kind else "")
        listed.append(Group(stage, state, kind, len(members), example.row.name, said, command(example, target), wrong))
    return sorted(listed, key=lambda group: (not group.fault, -group.shards, group.stage, group.state, group.reason))


def flags(told: Iterable[Told]) -> list[Flag]:
    """Physics checks that finished shards fail; a shard that fails two is in two."""
    found: dict[tuple[str, str], list[Told]] = defaultdict(list)
    for one in told:
        if one.row.state is State.FLAGGED:
            for check in _CHECK.findall(one.why) or ["other"]:
                found[one.row.stage, check].append(one)
    return [
        Flag(stage, check, len(members), members[-1].row.name, one_line(members[-1].why, _LONGEST))
        for (stage, check), members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def command(one: Told, target: str) -> str:
    """What to press for a shard that is not finished; empty where it is only to be waited for.

    Parameters
    ----------
    one : Told
    target : str
        What names the campaign on the command line.
    """
    row, name = one.row, shlex.quote(target)
    launch = f"gm2sim campaign launch {name}"
    if row.state in (State.FAILED, State.CANCELLED):
        return f"gm2sim campaign recover {name} --kind process_status && {launch}"
    if row.state is State.HELD:
        return f"gm2sim campaign release {name}"
    return launch if row.state is State.WAITING and (row.reason or one.why == _NEVER) else ""


def apart(why: str) -> Fault:
    """What a reason has in common with others, and the last words of the job that it quotes."""
    text, said = _LAUNCHED.sub("", why), ""
    found = _ELEMENT.search(text)
    if found:
        text, said = text[: found.start()], found["said"] or ""
        if text.count("(") > text.count(")"):
            text, said = f"{text})", said.removesuffix(")")
    text = _PLACE.sub(r"\1", _WAITS.sub(r"\1", text))
    for pattern, instead in ((_JOB, "its job"), (_PATH, "'…'"), (_NAME, "run…"), (_NUMBER, "…")):
        text = pattern.sub(instead, text)
    return Fault(one_line(text, _LONGEST), said)


def _is_fault(row: ShardRow) -> bool:
    return row.state is State.FAILED or (row.state is State.WAITING and bool(row.job and row.reason))


def _why(row: ShardRow, jobs: Mapping[str, JobRow], live: Iterable[str]) -> str:
    """What the ledger itself says."""
    if row.state in _UNDER_WAY and row.job in live:
        number = jobs[row.job].slurm_id if row.job in jobs else None
        place = "at work" if row.state is State.RUNNING else "in the queue"
        asked = f", number {number}" if number else ", not yet submitted"
        return f"{place}: job {row.job}{asked}" + (f" ({row.reason})" if row.reason else "")
    return row.reason


def _waits(
    row: ShardRow, after: Iterable[str], to_go: Mapping[tuple[str, int], int], of_run: Mapping[tuple[str, int], int]
) -> str:
    for stage in after:
        left = to_go.get((stage, row.run), 0)
        if left:
            return f"waits for stage '{stage}' of run {row.run}: {left} of {of_run[stage, row.run]} shards to go"
    return _NEVER


def _wrong(row: ShardRow, why: str, live: Iterable[str]) -> str:
    """What cannot be true, or has no reason."""
    if row.state in FINISHED:
        return "" if row.attempts else f"said to be {row.state}, but no rank has reported it: recover the campaign"
    if row.state in _UNDER_WAY and row.job not in live:
        job = f"job {row.job} has ended" if row.job else "it has no job"
        return f"said to be {row.state}, but {job}: look at the campaign again"
    if row.state in (State.FAILED, *_BY_A_PERSON) and not why:
        return f"{row.state}, and nobody wrote down why: recover the campaign"
    return "" if why else f"{row.state}, without a reason"


def unfinished(told: Iterable[Told]) -> Iterator[Told]:
    """Shards without verified files."""
    return (one for one in told if one.row.state not in FINISHED)
