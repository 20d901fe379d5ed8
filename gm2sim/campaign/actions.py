"""What a person can do to a campaign under way: cancel it, hold what has not begun, and release it again."""

from collections.abc import Collection

from gm2sim.campaign import job
from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import FINISHED, take_stock
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.rows import JobRow
from gm2sim.campaign.shard import State
from gm2sim.campaign.slurm import Slurm

CANCELLED = "CANCELLED by its manager"
"""State of a job that was cancelled through the campaign."""


def cancel(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm,
    *,
    who: str,
    stages: Collection[str] = (),
) -> int:
    """End what runs and waits; what is finished stays, and nothing is resubmitted unless a person recovers it.

    The jobs lose their right to work first, so that nothing begins even when Slurm does not answer.

    Parameters
    ----------
    campaign : Campaign
    folder : CampaignFolder
    ledger : Ledger
    slurm : Slurm
    who : str
        For the audit.
    stages : collection of str
        Only these; all when empty.

    Returns
    -------
    int
        Shards that were cancelled.

    Raises
    ------
    SlurmError
        Slurm does not answer: what runs goes on to the end of its shards; cancel again.
    """
    wanted = _names(campaign, stages)
    with ledger.lock(campaign.name, who, "cancel"):
        jobs = _live(ledger, campaign, wanted)
        for one in jobs:
            job.end(folder, one.token)
        slurm.cancel([one.slurm_id for one in jobs if one.slurm_id])
        take_stock(campaign, ledger, folder, None, who=who)
        rows = [
            row
            for row in ledger.shards(campaign.name)
            if row.stage in wanted and row.state not in FINISHED and row.state is not State.CANCELLED
        ]
        ledger.set_states(
            campaign.name, [(row.stage, row.name, State.CANCELLED, f"cancelled by {who}") for row in rows], who
        )
        for one in jobs:
            ledger.end_job(one.token, CANCELLED)
    return len(rows)


def hold(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm,
    *,
    who: str,
    stages: Collection[str] = (),
) -> int:
    """Keep what has not begun from beginning; what runs goes on. Parameters and errors as of :func:`cancel`.

    Returns
    -------
    int
        Shards that are held.
    """
    wanted = _names(campaign, stages)
    with ledger.lock(campaign.name, who, "hold"):
        take_stock(campaign, ledger, folder, slurm, who=who)
        slurm.hold([one.slurm_id for one in _live(ledger, campaign, wanted) if one.slurm_id])
        rows = [
            row
            for row in ledger.shards(campaign.name)
            if row.stage in wanted and row.state in (State.WAITING, State.SUBMITTED)
        ]
        ledger.set_states(campaign.name, [(row.stage, row.name, State.HELD, f"held by {who}") for row in rows], who)
    return len(rows)


def release(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm,
    *,
    who: str,
    stages: Collection[str] = (),
) -> int:
    """Let what was held go on. Parameters and errors as of :func:`cancel`.

    Returns
    -------
    int
        Shards that are free again.
    """
    wanted = _names(campaign, stages)
    with ledger.lock(campaign.name, who, "release"):
        take_stock(campaign, ledger, folder, slurm, who=who)
        jobs = _live(ledger, campaign, wanted)
        slurm.release([one.slurm_id for one in jobs if one.slurm_id])
        queued = {one.token for one in jobs}
        rows = [row for row in ledger.shards(campaign.name) if row.stage in wanted and row.state is State.HELD]
        changes = [
            (row.stage, row.name, State.SUBMITTED if row.job in queued else State.WAITING, f"released by {who}")
            for row in rows
        ]
        ledger.set_states(campaign.name, changes, who)
    return len(rows)


def _names(campaign: Campaign, stages: Collection[str]) -> set[str]:
    return {campaign.stage(name).name for name in stages} or {stage.name for stage in campaign.stages}


def _live(ledger: Ledger, campaign: Campaign, stages: set[str]) -> list[JobRow]:
    return [one for one in ledger.jobs(campaign.name) if one.live and one.stage in stages]
