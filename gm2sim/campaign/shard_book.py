"""Shards in the ledger: their states and what reports tell, with the history of every change."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, literal, select, update

from gm2sim.campaign.rows import HistoryRow, LedgerError, ShardRow
from gm2sim.campaign.shard import Report, State
from gm2sim.campaign.tables import history, shards
from gm2sim.catalog.store import chunks, digest
from gm2sim.catalog.text import quoted
from gm2sim.catalog.times import now
from gm2sim.text import one_line

_STATES = {state.value: state for state in State}
_REPORTED = (State.DONE, State.FLAGGED, State.FAILED, State.RUNNING)
_BY_A_PERSON = (State.HELD, State.CANCELLED)
_FEW = 500  # shards that are asked for by name
_SHOWN = 3  # shards that an audit row names
_COLUMNS = tuple(ShardRow._fields)
_STATE, _ENDED = _COLUMNS.index("state"), _COLUMNS.index("ended")
_NEEDED = tuple(shards.c[name] for name in ("id", "stage", "name", "state", "reason", "job", "attempts", "reported"))


def find(connection: Connection, number: int, wanted: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows of shards by stage and name, in the order asked for.

    Raises
    ------
    LedgerError
        There is no such shard, or it is named twice.
    """
    by_stage: dict[str, list[str]] = defaultdict(list)
    for stage, name in wanted:
        if stage.isascii() and stage.isprintable() and name.isascii() and name.isprintable():  # others are no names
            by_stage[stage].append(name)
    rows: dict[tuple[str, str], Row] = {}
    for stage, names in by_stage.items():
        of_stage = select(*_NEEDED).where(shards.c.campaign_id == number, shards.c.stage == stage)
        asked = set(names)
        # Many are picked out here: how a server picks them depends on what it has counted.
        named = [None] if len(asked) > _FEW else list(chunks(names))
        for piece in named:
            found = of_stage if piece is None else of_stage.where(shards.c.name.in_(piece))
            rows |= {(row.stage, row.name): row for row in connection.execute(found) if row.name in asked}
    for stage, name in wanted:
        if (stage, name) not in rows:
            raise LedgerError(f"the campaign has no shard {quoted(name)} in stage {quoted(stage)}: look at its plan")
    if len(rows) < len(wanted):
        twice = next(one for one, times in Counter(wanted).items() if times > 1)
        raise LedgerError(f"shard {quoted(twice[1])} of stage {quoted(twice[0])} is named twice: name it once")
    return [rows[one] for one in wanted]


def set_states(
    connection: Connection, number: int, changes: Sequence[tuple[str, str, State | str, str]], who: str
) -> str:
    """Change states where they differ; tells what changed, nothing when nothing did."""
    rows = find(connection, number, [change[:2] for change in changes])
    told: list[tuple[State, Row]] = []
    updates: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    shared = {"at": now(), "who": one_line(who)}
    for row, (_, _, wanted, why) in zip(rows, changes, strict=True):
        state, reason = _state(wanted), one_line(why)
        if (row.state, row.reason) == (state, reason):
            continue
        updates.append({"row": row.id, "new_state": state.value, "new_reason": reason})
        lines.append(shared | {"shard_id": row.id, "state": state.value, "reason": reason, "job": row.job})
        told.append((state, row))
    if updates:
        connection.execute(_SET, updates)
        connection.execute(insert(history), lines)
    return _told(told)


def note_reports(connection: Connection, number: int, reports: Sequence[Report], who: str) -> str:
    """Take over what reports tell, each once; tells what changed, nothing when all were known."""
    rows = find(connection, number, [(report.stage, report.shard) for report in reports])
    told: list[tuple[State, Row]] = []
    changes: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    moment = now()
    for row, report in zip(rows, reports, strict=True):
        key = _key(report)
        if row.reported == key:
            continue
        state = _state(report.state, _REPORTED)
        if state is State.RUNNING and row.state in _BY_A_PERSON:
            state = _STATES[row.state]
        line = _measures(report) | {"state": state.value, "reason": one_line(report.reason)}
        lines.append(line | {"shard_id": row.id, "at": moment, "who": one_line(who)})
        changes.append(
            {
                "row": row.id, "new_state": state.value, "new_reason": line["reason"], "new_key": key,
                "new_attempts": max(row.attempts, report.attempt), "new_muons": report.muons,
            }
            | {f"new_{what}": line[what] for what in ("wall_s", "cpu_s", "threads", "peak_memory_mb", "ended")}
        )  # fmt: skip
        told.append((state, row))
    if changes:
        connection.execute(_NOTE, changes)
        connection.execute(insert(history), lines)
    return _told(told)


_SET = (
    update(shards)
    .where(shards.c.id == bindparam("row"))
    .values(state=bindparam("new_state"), reason=bindparam("new_reason"))
)
_NOTE = (
    update(shards)
    .where(shards.c.id == bindparam("row"))
    .values(
        state=bindparam("new_state"), reason=bindparam("new_reason"), reported=bindparam("new_key"),
        attempts=bindparam("new_attempts"), muons=bindparam("new_muons"), wall_s=bindparam("new_wall_s"),
        cpu_s=bindparam("new_cpu_s"), threads=bindparam("new_threads"),
        peak_memory_mb=bindparam("new_peak_memory_mb"), ended=bindparam("new_ended"),
    )
)  # fmt: skip


def add_history(
    connection: Connection, ids: Iterable[int], state: State, reason: str, job: str, who: str
) -> None:  # fmt: skip
    """Write down that shards came into a state."""
    told = {"at": now(), "who": one_line(who), "state": state.value, "reason": reason, "job": job}
    same = [literal(value, history.c[name].type) for name, value in told.items()]
    for piece in chunks(ids):
        of_each = select(shards.c.id, *same).where(shards.c.id.in_(piece)).order_by(shards.c.id)
        connection.execute(insert(history).from_select(["shard_id", *told], of_each))


def listed(
    connection: Connection, number: int, stage: str | None, states: Iterable[State | str] | None
) -> list[ShardRow]:
    """Shards in the order in which they were registered."""
    wanted = select(*(shards.c[name] for name in _COLUMNS)).where(shards.c.campaign_id == number)
    if stage is not None:
        wanted = wanted.where(shards.c.stage == stage)
    if states is not None:
        wanted = wanted.where(shards.c.state.in_([_state(one).value for one in states]))
    return [_shown(row) for row in connection.execute(wanted.order_by(shards.c.id))]


def counted(connection: Connection, number: int) -> dict[str, dict[State, int]]:
    """How many shards of each stage are in each state."""
    found = select(shards.c.stage, shards.c.state, func.count(), func.min(shards.c.id)).where(
        shards.c.campaign_id == number
    )
    grouped = found.group_by(shards.c.stage, shards.c.state).order_by(func.min(shards.c.id))
    told: dict[str, dict[State, int]] = defaultdict(dict)
    for stage, state, how_many, _ in connection.execute(grouped):
        told[stage][_STATES[state]] = how_many
    return dict(told)


def told_of(connection: Connection, number: int, stage: str | None, shard: str | None) -> list[HistoryRow]:
    """Changes in the order in which they were written."""
    told = [history.c[name] for name in HistoryRow._fields[2:]]
    wanted = (
        select(shards.c.stage, shards.c.name, *told)
        .join(shards, shards.c.id == history.c.shard_id)
        .where(shards.c.campaign_id == number)
    )
    if stage is not None:
        wanted = wanted.where(shards.c.stage == stage)
    if shard is not None:
        wanted = wanted.where(shards.c.name == shard)
    rows = (HistoryRow(*row) for row in connection.execute(wanted.order_by(history.c.id)))
    return [
        row._replace(
            at=row.at / 1e6, state=_STATES[row.state],
            began=None if row.began is None else row.began / 1e6, ended=None if row.ended is None else row.ended / 1e6,
        )
        for row in rows
    ]  # fmt: skip


def _shown(row: Row) -> ShardRow:
    values = list(row)
    values[_STATE], values[_ENDED] = _STATES[values[_STATE]], values[_ENDED] / 1e6
    return ShardRow._make(values)


def _state(state: State | str, among: Iterable[State] = State) -> State:
    found = _STATES.get(str(state))
    if found is None or found not in among:
        raise LedgerError(f"{quoted(state)} is no state of a shard here: one of {', '.join(among)}")
    return found


def _measures(report: Report) -> dict[str, Any]:
    return {
        "job": one_line(report.job), "attempt": report.attempt, "element": report.element, "rank": report.rank,
        "host": one_line(report.host), "began": round(report.began * 1e6), "ended": round(report.ended * 1e6),
        "wall_s": report.wall_s, "cpu_s": report.cpu_s, "threads": report.threads,
        "peak_memory_mb": report.peak_memory_mb,
    }  # fmt: skip


def _key(report: Report) -> str:
    """Tells one report on a shard from the next, and from the same one judged otherwise."""
    told = (
        one_line(report.job), report.attempt, report.state, one_line(report.reason), repr(report.began),
        repr(report.ended),
    )  # fmt: skip
    return digest(*told).hex()[:32]


def _told(changed: Iterable[tuple[State, Row]]) -> str:
    """Changes in a line: how many came into which state, and the first of them by name."""
    groups: dict[State, list[str]] = defaultdict(list)
    for state, row in changed:
        groups[state].append(f"{row.stage}/{row.name}")
    return "; ".join(
        f"{len(names)} {state} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for state, names in groups.items()
    )
