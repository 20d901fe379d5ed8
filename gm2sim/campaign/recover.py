"""What is to be made again: the five kinds of recovery of the experiment's production system.

Nothing that is in the queue or in the hands of a person (held) is touched, so that to recover twice is to recover once.
What is found waits from then on; a launch takes it up.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gm2sim.campaign.definition import Campaign
from gm2sim.campaign.folder import CampaignFolder
from gm2sim.campaign.harvest import FINISHED, take_stock
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.located import GOOD, forget, missing, reports
from gm2sim.campaign.rows import ShardRow
from gm2sim.campaign.shard import Report, Shard, State
from gm2sim.campaign.slurm import Slurm
from gm2sim.errors import ConfigError, nearest

_LEFT_ALONE = frozenset({State.SUBMITTED, State.RUNNING, State.HELD})


@dataclass(frozen=True)
class Lost:
    """A shard that is to be made again, and why."""

    shard: Shard
    reason: str


def recover(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    slurm: Slurm | None,
    *,
    who: str,
    kind: str = "pending_files",
    sums: bool = True,
    dry_run: bool = False,
) -> list[Lost]:
    """Find what is to be made again and let it wait for a launch.

    Parameters
    ----------
    campaign : Campaign
    folder : CampaignFolder
    ledger : Ledger
    slurm : Slurm or None
    who : str
        For the audit.
    kind : str
        One of :data:`KINDS`.
    sums : bool
        Read every byte of what is there (``pending_files``); sizes only else.
    dry_run : bool
        Say what would be made again, and change nothing but what a look changes.

    Raises
    ------
    ConfigError
        No such kind, or another manager acts on the campaign.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no recovery '{kind}': {nearest(kind, KINDS)}")
    with ledger.lock(campaign.name, who, f"recover {kind}"):
        take_stock(campaign, ledger, folder, slurm, who=who)
        rows = {Shard(row.stage, row.run, row.subrun, row.fills): row for row in ledger.shards(campaign.name)}
        free = {shard: row for shard, row in rows.items() if row.state not in _LEFT_ALONE}
        told = reports(folder, free)
        find = KINDS[kind]
        lost = []
        for shard, row in free.items():
            reason = find(folder, shard, row, told.get(shard), sums)
            if reason:
                lost.append(Lost(shard, reason))
        if not dry_run:
            _let_wait(campaign, folder, ledger, lost, free, told, kind, who)
    return lost


def _let_wait(
    campaign: Campaign,
    folder: CampaignFolder,
    ledger: Ledger,
    lost: list[Lost],
    rows: Mapping[Shard, ShardRow],
    told: Mapping[Shard, Report],
    kind: str,
    who: str,
) -> None:
    changes = []
    for one in lost:
        report = told.get(one.shard)
        if report is not None and report.state in GOOD:
            forget(folder, one.shard)
        if rows[one.shard].state is not State.WAITING:
            changes.append((one.shard.stage, one.shard.name, State.WAITING, f"{kind}: {one.reason}"))
    ledger.set_states(campaign.name, changes, who)


def _pending_files(folder: CampaignFolder, shard: Shard, row: ShardRow, report: Report | None, sums: bool) -> str:
    """Without files that are there and right."""
    if row.state in FINISHED:
        return "its report is not there" if report is None else missing(folder, shard, report, sums=sums)
    return row.reason or row.state.value


def _process_status(folder: CampaignFolder, shard: Shard, row: ShardRow, report: Report | None, sums: bool) -> str:
    """Whose last process did not end well, whatever lies on the disk."""
    again = row.state in (State.FAILED, State.CANCELLED) or (row.state is State.WAITING and row.job)
    return (row.reason or row.state.value) if again else ""


def _consumed_status(folder: CampaignFolder, shard: Shard, row: ShardRow, report: Report | None, sums: bool) -> str:
    """Of which no rank has said that it is done, whatever became of the files since."""
    return "" if report is not None and report.state in GOOD else row.reason or "no rank has finished it"


def _added_files(folder: CampaignFolder, shard: Shard, row: ShardRow, report: Report | None, sums: bool) -> str:
    """That came later and were never launched."""
    return "never launched" if row.state is State.WAITING and not row.job else ""


def _delivered(folder: CampaignFolder, shard: Shard, row: ShardRow, report: Report | None, sums: bool) -> str:
    """That a rank has taken but not finished."""
    taken = report is not None and report.state not in GOOD
    return (row.reason or "taken but not finished") if taken and row.state not in FINISHED else ""


KINDS: dict[str, Callable[[CampaignFolder, Shard, ShardRow, Report | None, bool], str]] = {
    "pending_files": _pending_files,
    "process_status": _process_status,
    "consumed_status": _consumed_status,
    "added_files": _added_files,
    "delivered_not_consumed": _delivered,
}
"""What each kind looks for; why a shard is to be made again, or an empty text."""
