"""Looking at a campaign, once or until it is over: files and queue first, then what the ledger says."""

import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from gm2sim.campaign import harvest
from gm2sim.campaign.desk import Desk
from gm2sim.campaign.ledger import Ledger
from gm2sim.campaign.rows import LockedError
from gm2sim.campaign.shard import State
from gm2sim.campaign.slurm import Slurm
from gm2sim.campaign.status import Status, look, render
from gm2sim.catalog.folder import user
from gm2sim.database import DatabaseError

_OVER = frozenset({State.DONE, State.FLAGGED, State.FAILED, State.CANCELLED})


def slurm_here() -> Slurm | None:
    """The batch system, where there is one."""
    return Slurm() if shutil.which("squeue") else None


def see(ledger: Ledger, desk: Desk, target: str, slurm: Slurm | None = None) -> tuple[Status, str]:
    """Bring the ledger up to date, as far as we may, and count.

    Somebody who may only read, or comes while another acts, sees what the last look has found.

    Parameters
    ----------
    ledger : Ledger
    desk : Desk
    target : str
        What names the campaign in commands that are shown.
    slurm : Slurm, optional
        That of this machine without.

    Returns
    -------
    (Status, str)
        The second says why the queue could not be seen; empty when it could.
    """
    silent = ""
    with suppress(LockedError, DatabaseError):
        silent = harvest.look(ledger, desk.folder, slurm or slurm_here(), who=user()).silent
    return look(ledger, desk.folder, desk.campaign.name, target=target), silent


def watching(
    ledger: Ledger,
    desk: Desk,
    target: str,
    *,
    every: float,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Status:
    """Draw the status until all is over; ctrl-C leaves, and the campaign goes on.

    Parameters
    ----------
    ledger, desk, target
        As of :func:`see`.
    every : float
        Between two looks [s].
    console : rich.console.Console, optional
    sleep : callable
        Waits so many seconds.
    """
    slurm = slurm_here()
    status, _ = see(ledger, desk, target, slurm)
    shown = Live(render(status), console=console or Console(), auto_refresh=False, vertical_overflow="visible")
    with suppress(KeyboardInterrupt), shown as live:
        while not over(status):
            sleep(every)
            status, _ = see(ledger, desk, target, slurm)
            live.update(render(status), refresh=True)
    return status


def reporting(
    ledger: Ledger,
    desk: Desk,
    target: str,
    page: Path | None,
    metrics: Path | None,
    *,
    every: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Status, list[Path]]:
    """Write the page and the metrics, again and again until all is over where ``every`` is not 0.

    Parameters
    ----------
    ledger, desk, target
        As of :func:`see`.
    page, metrics : Path or None
        Folder of the page, and file; None for none.
    every : float
        Between two looks [s]; 0: once.
    sleep : callable
        Waits so many seconds.

    Returns
    -------
    (Status, list of Path)
        What was written.
    """
    slurm = slurm_here()

    def once() -> tuple[Status, list[Path]]:
        status, _ = see(ledger, desk, target, slurm)
        return status, _write(status, page, metrics, math.ceil(every))

    status, written = once()
    with suppress(KeyboardInterrupt):
        while every and not over(status):
            sleep(every)
            status, written = once()
    return status, written


def _write(status: Status, page: Path | None, metrics: Path | None, every: int) -> list[Path]:
    from gm2sim.campaign import metrics as numbers
    from gm2sim.campaign import page as pages

    written = [pages.write(status, page, refresh_s=every)] if page else []
    if metrics:
        numbers.write(status, metrics)
        written.append(metrics)
    return written


def over(status: Status) -> bool:
    """Whether nothing more will happen by itself."""
    return all(one.row.state in _OVER for one in status.shards)


def failed(status: Status) -> bool:
    """Whether a person has to do something: a shard failed for good, or is missing without a line."""
    return bool(status.unexplained) or any(one.row.state is State.FAILED for one in status.shards)


def record(status: Status) -> dict[str, Any]:
    """For machines: counts by stage, cost, and every unfinished shard with its reason."""
    return {
        "campaign": status.campaign, "owner": status.owner, "folder": status.folder, "site": status.site,
        "at": status.at, "busy": status.busy, "expected": status.expected, "present": status.present,
        "unexplained": [one._asdict() for one in status.unexplained],
        "stages": {
            stage.name: {
                "expected": stage.expected, "present": stage.present, "fills": stage.fills,
                "fills_done": stage.fills_done, "muons": stage.muons,
                "states": {state.value: number for state, number in stage.states.items()},
            }
            for stage in status.stages
        },
        "groups": [one._asdict() for one in status.groups], "flags": [one._asdict() for one in status.flags],
        "node_hours": status.node_hours, "planned": status.planned._asdict() if status.planned else None,
        "left": {name: _known(value) for name, value in status.left._asdict().items()},
        "unfinished": {
            f"{one.row.stage} {one.row.name}": {"state": one.row.state.value, "why": one.why}
            for one in status.shards
            if one.row.state not in (State.DONE, State.FLAGGED)
        },
    }  # fmt: skip


def _known(value: float | str) -> float | str | None:
    """None for what is not known: JSON has no word for a number that is none."""
    return None if isinstance(value, float) and math.isnan(value) else value
