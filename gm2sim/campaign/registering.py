"""A campaign enters the ledger once; another of its name is refused, and a draining one may grow."""

import json

from sqlalchemy import Connection, Row, func, insert, select, update

from gm2sim.campaign.acting import keep_lock, one_at_a_time, write_audit
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.rows import LedgerError, Registered
from gm2sim.campaign.runs import runs, shards_of
from gm2sim.campaign.shard import Shard, State
from gm2sim.campaign.tables import campaigns, locks, shards
from gm2sim.catalog.store import next_id, store
from gm2sim.catalog.text import free_text, quoted
from gm2sim.catalog.times import now

_EVERYBODY = 0  # number of no campaign
_MANY = 1000  # shards


def register(connection: Connection, campaign: Campaign, folder: str, owner: str, token: str) -> Registered:
    """Put a campaign into the ledger; see :meth:`gm2sim.campaign.ledger.Ledger.register`."""
    one_at_a_time(connection, _EVERYBODY)  # campaigns and shards are numbered without gaps
    found = connection.execute(select(campaigns).where(campaigns.c.name == campaign.name)).one_or_none()
    if found is None:
        return _enter(connection, campaign, free_text("the folder", folder), free_text("the owner", owner, 120))
    one_at_a_time(connection, found.id)
    if found.folder != folder:
        raise LedgerError(
            f"campaign {quoted(campaign.name)} is registered already by {quoted(found.owner)} in "
            f"{quoted(found.folder)}, not in {quoted(folder)}: choose another name"
        )
    counted = select(func.count()).select_from(shards).where(shards.c.campaign_id == found.id)
    known = int(connection.execute(counted).scalar_one())
    if _text(campaign) == found.definition:
        return Registered(0, known)
    keep_lock(connection, campaign.name, found.id, token)
    return _renew(connection, campaign, found, owner, known)


def definition(text: str) -> Campaign:
    """A campaign from the text that the ledger keeps."""
    return Campaign.model_validate(json.loads(text))


def _text(campaign: Campaign) -> str:
    return json.dumps(campaign.model_dump(mode="json", by_alias=True), separators=(",", ":"))


def _enter(connection: Connection, campaign: Campaign, folder: str, owner: str) -> Registered:
    number = next_id(connection, campaigns)
    connection.execute(
        insert(campaigns).values(
            id=number, name=campaign.name, owner=owner, hash=campaign.hash, folder=folder, definition=_text(campaign),
            registered=now(),
        )
    )  # fmt: skip
    free = dict.fromkeys(("token", "who", "what", "host", "born"), "")
    connection.execute(insert(locks).values(campaign_id=number, process=0, taken=0, renewed=0, **free))
    all_runs = runs(campaign)
    new = [shard for stage in campaign.ordered_stages() for run in all_runs for shard in shards_of(stage, run)]
    _add(connection, number, new)
    write_audit(connection, number, owner, "register", f"{len(new)} shards in {folder}")
    return Registered(len(new), 0)


def _renew(connection: Connection, campaign: Campaign, found: Row, owner: str, known: int) -> Registered:
    """Take over what has changed in the file; other work than before is refused, more of it only when draining."""
    before = definition(found.definition)
    new: list[Shard] = []
    if campaign.hash != found.hash:
        old_runs, new_runs = runs(before), runs(campaign)
        changed = _difference(before, campaign)
        kept = {run.number: run for run in new_runs}
        lost = [run.number for run in old_runs if kept.get(run.number) != run]
        if not changed and lost:
            changed = f"run {lost[0]} is missing or has other settings"
        if not changed and not campaign.draining:
            changed = "there are other slices, and draining = true is not set"
        if changed:
            raise LedgerError(
                f"campaign {quoted(campaign.name)} of {quoted(found.owner)} in {quoted(found.folder)} makes something "
                f"else than this file ({changed}): set it back, or choose another name"
            )
        there = {run.number for run in old_runs}
        added = [run for run in new_runs if run.number not in there]
        new = [shard for stage in campaign.ordered_stages() for run in added for shard in shards_of(stage, run)]
    _add(connection, found.id, new)
    connection.execute(
        update(campaigns)
        .where(campaigns.c.id == found.id)
        .values(hash=campaign.hash, definition=_text(campaign))
    )  # fmt: skip
    write_audit(connection, found.id, owner, "change", f"{len(new)} new shards" if new else "limits or descriptions")
    return Registered(len(new), known)


def _difference(before: Campaign, after: Campaign) -> str:
    """What decides on the shards and differs, apart from the slices."""
    for what in ("preset", "seed", "software"):
        old, new = getattr(before, what), getattr(after, what)
        if old != new:
            return f"{what} is {quoted(new)} and was {quoted(old)}"
    old_stages, new_stages = ({one.name: (one.kind, set(one.after)) for one in c.stages} for c in (before, after))
    for name in sorted(old_stages.keys() | new_stages.keys()):
        if old_stages.get(name) != new_stages.get(name):
            return f"stage {quoted(name)} differs"
    return "" if list(old_stages) == list(new_stages) else "the stages stand in another order"


def _add(connection: Connection, number: int, new: list[Shard]) -> None:
    first = next_id(connection, shards) if new else 0
    store(connection, shards, (
        (
            first + place, number, shard.stage, shard.run, shard.subrun, shard.name, shard.fills, State.WAITING.value,
            "", 0, 0, "", 0.0, 0.0, 0, 0.0, 0, 0, "",
        )
        for place, shard in enumerate(new)
    ))  # fmt: skip
    if len(new) > _MANY and connection.dialect.name == "postgresql":
        # Until the server has counted by itself it looks for shards row by row; from others than the owner it does not
        # take this, and only says so.
        connection.exec_driver_sql("ANALYZE catalog_ledger_shards")
