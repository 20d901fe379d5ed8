"""Jobs in the ledger: the intent before the batch system is asked, its number, the end."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import Connection, Row, func, insert, literal, select, true, update

from gm2sim.campaign.acting import write_audit
from gm2sim.campaign.rows import JobRow, LedgerError
from gm2sim.campaign.shard import State
from gm2sim.campaign.shard_book import add_history, find
from gm2sim.campaign.tables import jobs, members, shards
from gm2sim.catalog.schema import TEXT
from gm2sim.catalog.store import chunks
from gm2sim.catalog.text import free_text, quoted
from gm2sim.catalog.times import now
from gm2sim.text import one_line

INTENDED, SUBMITTED = "intended", "submitted"
"""States of a job before it has ended."""
_NOT_TO_BE_MADE = {
    State.DONE: "is done: plan again",
    State.HELD: "is held: release it first",
}
_LONGEST_TOKEN = 200


def begin(
    connection: Connection, number: int, token: str, stage: str, names: Sequence[str], nodes: int, who: str
) -> None:
    """Write the intent to submit a job; see :meth:`gm2sim.campaign.ledger.Ledger.begin_job`."""
    if not names:
        raise LedgerError(f"job {quoted(token)} has no shards: there is nothing to launch")
    rows = find(connection, number, [(stage, name) for name in names])
    ids = [row.id for row in rows]
    if _is_begun(connection, number, free_text("the name of a job", token, _LONGEST_TOKEN), ids):
        return
    for row in rows:
        if State(row.state) in _NOT_TO_BE_MADE:
            raise LedgerError(f"shard {row.name} of stage {quoted(stage)} {_NOT_TO_BE_MADE[State(row.state)]}")
    _refuse_live(connection, stage, ids)
    moment = now()
    connection.execute(
        insert(jobs).values(
            token=token, campaign_id=number, stage=stage, nodes=nodes, who=one_line(who), state=INTENDED, begun=moment
        )
    )
    for piece in chunks(ids):
        given = select(literal(token, TEXT), shards.c.id, true()).where(shards.c.id.in_(piece))
        # The index on live rows refuses here whatever slipped past the question above.
        connection.execute(insert(members).from_select(["token", "shard_id", "live"], given))
        connection.execute(
            update(shards)
            .where(shards.c.id.in_(piece))
            .values(state=State.SUBMITTED.value, reason="", job=token, launches=shards.c.launches + 1)
        )
    add_history(connection, ids, State.SUBMITTED, "", token, who)
    write_audit(connection, number, who, "launch", f"job {token}: {len(ids)} shards of {stage} on {nodes} nodes")


def know(connection: Connection, job: Row, slurm_id: str, who: str) -> None:
    """Note the number that the batch system has given to a job."""
    if job.slurm_id == slurm_id:
        return
    if job.slurm_id is not None:
        raise LedgerError(
            f"job {quoted(job.token)} is number {quoted(job.slurm_id)} of the batch system and now {quoted(slurm_id)}: "
            "cancel the second, it would do the same work"
        )
    if job.ended is not None:
        raise LedgerError(
            f"job {quoted(job.token)} has ended ({job.state}) and now has number {quoted(slurm_id)}: cancel that"
        )
    connection.execute(
        update(jobs)
        .where(jobs.c.token == job.token)
        .values(slurm_id=free_text("the number of a job", slurm_id, _LONGEST_TOKEN), state=SUBMITTED, known=now())
    )
    write_audit(connection, job.campaign_id, who, "submitted", f"job {job.token} has number {slurm_id}")


def end(connection: Connection, job: Row, state: str, only: Collection[str] | None, who: str) -> None:
    """Let a job go, or some of its shards; see :meth:`gm2sim.campaign.ledger.Ledger.end_job`."""
    if job.ended is not None:
        return
    found = connection.execute(
        select(shards.c.id, shards.c.name, shards.c.state, shards.c.job)
        .join(members, members.c.shard_id == shards.c.id)
        .where(members.c.token == job.token, members.c.live)
        .order_by(shards.c.id)
    ).all()
    wanted = None if only is None else set(only)
    leaving = found if wanted is None else [row for row in found if row.name in wanted]
    if only is not None and not leaving:
        return
    if job.slurm_id is None:  # what never came into the queue was no launch
        for piece in chunks(row.id for row in leaving):
            connection.execute(update(shards).where(shards.c.id.in_(piece)).values(launches=shards.c.launches - 1))
    for piece in chunks(row.id for row in leaving):
        connection.execute(
            update(members).where(members.c.token == job.token, members.c.shard_id.in_(piece)).values(live=False)
        )
    stranded = [
        row.id for row in leaving if row.state in (State.SUBMITTED, State.RUNNING) and row.job == job.token
    ]  # fmt: skip
    reason = one_line(f"job {job.token} ended: {state}", 500)
    for piece in chunks(stranded):
        waiting = {"state": State.WAITING.value, "reason": reason}
        connection.execute(update(shards).where(shards.c.id.in_(piece)).values(waiting))
    add_history(connection, stranded, State.WAITING, reason, job.token, who)
    if len(leaving) == len(found):
        values = {"state": one_line(state, 100), "ended": now()}
        connection.execute(update(jobs).where(jobs.c.token == job.token).values(values))
    detail = f"job {job.token}: {state}; {len(leaving)} of {len(found)} shards leave it, {len(stranded)} wait again"
    write_audit(connection, job.campaign_id, who, "end of job", detail)


def job_of(connection: Connection, token: str) -> Row:
    """The row of a job.

    Raises
    ------
    LedgerError
        There is none.
    """
    named = jobs.c.token == free_text("the name of a job", token, _LONGEST_TOKEN)
    found = connection.execute(select(jobs).where(named)).one_or_none()
    if found is None:
        raise LedgerError(f"the ledger has no job {quoted(token)}: it is of another catalogue, or nobody's")
    return found


def listed(connection: Connection, number: int) -> list[JobRow]:
    """All jobs of a campaign, in the order in which they began."""
    counted = select(members.c.token, func.count().label("shards")).group_by(members.c.token).subquery()
    found = connection.execute(
        select(jobs, counted.c.shards)
        .join(counted, counted.c.token == jobs.c.token)
        .where(jobs.c.campaign_id == number)
        .order_by(jobs.c.begun, jobs.c.token)
    )
    return [
        JobRow(
            row.token, row.stage, row.state, row.slurm_id, row.nodes, row.shards, row.who, row.begun / 1e6,
            None if row.known is None else row.known / 1e6, None if row.ended is None else row.ended / 1e6,
        )
        for row in found
    ]  # fmt: skip


def _is_begun(connection: Connection, number: int, token: str, ids: Iterable[int]) -> bool:
    """Whether this very job is there: its connection broke after all was written."""
    found = connection.execute(select(jobs).where(jobs.c.token == token)).one_or_none()
    if found is None:
        return False
    given = set(connection.execute(select(members.c.shard_id).where(members.c.token == token)).scalars())
    if found.campaign_id != number or found.state != INTENDED or given != set(ids):
        raise LedgerError(f"there is a job {quoted(token)} already ({found.state}): give this one another name")
    return True


def _refuse_live(connection: Connection, stage: str, ids: Sequence[int]) -> None:
    for piece in chunks(ids):
        live = connection.execute(
            select(shards.c.name, members.c.token)
            .join(members, members.c.shard_id == shards.c.id)
            .where(members.c.shard_id.in_(piece), members.c.live)
            .limit(1)
        ).one_or_none()
        if live is not None:
            raise LedgerError(
                f"shard {live.name} of stage {quoted(stage)} is in the live job {quoted(live.token)}: it is not "
                "launched twice, plan again"
            )
