"""The commands about campaigns: plan, launch, watch, recover and prove productions of many shards."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gm2sim import cli_transfer
from gm2sim.cli_options import Json, print_json, show

campaign_app = typer.Typer(help="Make many runs on a cluster, and lose none of them.", no_args_is_help=True)
cli_transfer.add_to(campaign_app)

Where = Annotated[
    Path, typer.Argument(metavar="CAMPAIGN", help="its TOML file, or the folder that it was launched into")
]
Db = Annotated[
    str,
    typer.Option("--db", metavar="DB", help="catalogue instead of the campaign's own: SQLite file or postgresql://"),
]
SiteName = Annotated[str, typer.Option("--site", metavar="SITE", help="instead of the campaign's own")]
Account = Annotated[str | None, typer.Option(metavar="NAME", envvar="SBATCH_ACCOUNT", help="who pays")]
Qos = Annotated[str | None, typer.Option(metavar="NAME", envvar="SBATCH_QOS", help="quality of service")]
Partition = Annotated[str | None, typer.Option(metavar="NAME", envvar="SBATCH_PARTITION", help="part of the cluster")]
Stages = Annotated[list[str] | None, typer.Option("--stage", metavar="NAME", help="only this stage; several times")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be done, and do nothing")]


@campaign_app.command("new")
def campaign_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the campaign: unique in its catalogue")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="the file; NAME.toml without")] = None,
    preset: Annotated[str, typer.Option(metavar="PRESET", help="that the runs start from")] = "gasgun",
    site: Annotated[str, typer.Option(metavar="SITE", help="where it is to run")] = "local",
) -> None:
    """Write a campaign file with comments that can be launched as it stands.

    Example: gm2sim campaign new first
    """
    from gm2sim.campaign.starter import new
    from gm2sim.terminal import say

    path = new(name, out, preset=preset, where=site)
    say(f"wrote {path}: look at it, then gm2sim campaign plan {path}")


@campaign_app.command("plan")
def campaign_plan(
    where: Where,
    site: SiteName = "",
    account: Account = None,
    qos: Qos = None,
    partition: Partition = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="follow the planned campaign through failing and preempted nodes")
    ] = False,
    failures: Annotated[
        float, typer.Option(metavar="R", min=0.0, help="of a node in an hour, for --simulate: an assumption")
    ] = 0.01,
    preemptions: Annotated[
        float, typer.Option(metavar="R", min=0.0, help="of a node in an hour, for --simulate: an assumption")
    ] = 0.02,
    as_json: Json = False,
) -> None:
    """Shards, node-hours with a range, terabytes and files, from a few short shards that are made and timed now.

    Example: gm2sim campaign plan first.toml

    The plan is kept as plan.json in the campaign's folder; a launch sees by it to disk, files and hours of the account.

    With --simulate the campaign is followed, without making it, on nodes that fail: gm2sim campaign plan first.toml
    --simulate
    """
    from gm2sim.campaign.desk import Desk, estimate
    from gm2sim.campaign.forecast import forecast, shown_forecast
    from gm2sim.campaign.plan import content, shown
    from gm2sim.terminal import complain, print_table

    desk = Desk.of(where)
    found, room = estimate(desk, desk.site(site, _said(account, qos, partition)), complain)
    future = forecast(desk.campaign, found, failures=failures, preemptions=preemptions) if simulate else None
    if as_json:
        print_json(content(found) | ({"forecast": future.record()} if future else {}))
    else:
        print_table(f"Plan of campaign {found.campaign}", ("what", "how much"), shown(found, room))
        if future:
            print_table(
                "Forecast: simulated, event by event, not measured", ("what", "how much"), shown_forecast(future)
            )
    found.refuse_too_large(room)


@campaign_app.command("launch")
def campaign_launch(
    where: Where,
    test: Annotated[int, typer.Option(metavar="N", min=0, help="only N shards, the shortest; 0: all")] = 0,
    site: SiteName = "",
    account: Account = None,
    qos: Qos = None,
    partition: Partition = None,
    db: Db = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Submit what is ready and fits on the campaign's nodes; to launch twice is to launch once.

    Example: gm2sim campaign launch first.toml --test 2

    Launch again when stages have finished or shards wait: gm2sim campaign launch first.toml
    """
    from gm2sim.campaign.desk import Desk, check
    from gm2sim.campaign.launch import launch
    from gm2sim.campaign.slurm import Slurm
    from gm2sim.catalog.folder import user
    from gm2sim.errors import RunError
    from gm2sim.terminal import say

    desk, slurm = Desk.of(where), Slurm()
    ready = check(desk, desk.site(site, _said(account, qos, partition)), slurm)
    with desk.ledger(db, create=True) as ledger:
        done = launch(desk.campaign, desk.folder, ledger, slurm, ready.farming, who=user(), test=test, dry_run=dry_run)
    numbers = [number for _, number in done.jobs]
    batches = [
        {"stage": one.stage, "shards": len(one.shards), "elements": len(one.elements), "nodes": one.nodes}
        for one in done.batches
    ]
    if as_json:
        print_json({"batches": batches, "jobs": numbers, "left": done.left, "refused": done.refused})
    else:
        for place, one in enumerate(batches):
            name = "would be a job" if dry_run else f"job {numbers[place]}" if place < len(numbers) else "not submitted"
            say(
                f"{name}: {one['shards']} shards of {one['stage']} in {one['elements']} elements on {one['nodes']} "
                f"nodes of {ready.farming.ranks} ranks"
            )
        if not batches:
            say("nothing is ready that is not in the queue or done: gm2sim campaign status says more")
        elif done.left:
            say(f"{done.left} more shards are ready and wait for nodes: launch again later")
    if done.refused:
        raise RunError(done.refused)


@campaign_app.command("status")
def campaign_status(
    where: Where,
    watch: Annotated[
        bool, typer.Option("--watch", help="draw it again and again until all is over, or ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(metavar="S", min=1.0, help="seconds between two looks of --watch")] = 30.0,
    db: Db = "",
    as_json: Json = False,
) -> None:
    """What became of every shard, what it cost, what went wrong and what to type; exit code 1 when a shard has failed.

    Example: gm2sim campaign status first.toml --watch
    """
    from gm2sim.campaign.desk import Desk
    from gm2sim.campaign.watching import failed, record, see, watching

    desk = Desk.of(where)
    with desk.ledger(db) as ledger:
        if watch and not as_json:
            status = watching(ledger, desk, str(where), every=every)
        else:
            status, silent = see(ledger, desk, str(where))
            if as_json:
                print_json(record(status))
            else:
                _draw(status, silent)
    if failed(status):
        raise typer.Exit(1)


@campaign_app.command("recover")
def campaign_recover(
    where: Where,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="pending_files: without files that are there and right; process_status: whose process did not end "
            "well; consumed_status: that no rank calls done; added_files: never launched; delivered_not_consumed: "
            "taken but not finished",
        ),
    ] = "pending_files",
    quick: Annotated[bool, typer.Option("--quick", help="compare sizes only, read no file")] = False,
    db: Db = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Find shards that are to be made again, and let them wait for the next launch; to recover twice is to do it once.

    Example: gm2sim campaign recover first.toml && gm2sim campaign launch first.toml
    """
    from gm2sim.campaign.desk import Desk
    from gm2sim.campaign.recover import recover
    from gm2sim.campaign.watching import slurm_here
    from gm2sim.catalog.folder import user
    from gm2sim.terminal import print_records, say

    desk = Desk.of(where)
    with desk.ledger(db) as ledger:
        lost = recover(
            desk.campaign, desk.folder, ledger, slurm_here(), who=user(), kind=kind, sums=not quick, dry_run=dry_run
        )
    rows = [{"stage": one.shard.stage, "shard": one.shard.name, "reason": one.reason} for one in lost]
    if as_json:
        print_json(rows)
        return
    print_records("Made again" if not dry_run else "Would be made again", rows)
    say(f"{len(rows)} shards wait: gm2sim campaign launch {where}" if rows and not dry_run else f"{len(rows)} shards")


@campaign_app.command("cancel")
def campaign_cancel(where: Where, stage: Stages = None, db: Db = "", as_json: Json = False) -> None:
    """End what runs and waits; what is finished stays, and nothing comes back until it is recovered.

    Example: gm2sim campaign cancel first.toml
    """
    from gm2sim.campaign.actions import cancel

    _act(cancel, "cancelled", where, stage, db, as_json)


@campaign_app.command("hold")
def campaign_hold(where: Where, stage: Stages = None, db: Db = "", as_json: Json = False) -> None:
    """Keep what has not begun from beginning; what runs goes on.

    Example: gm2sim campaign hold first.toml --stage report
    """
    from gm2sim.campaign.actions import hold

    _act(hold, "held", where, stage, db, as_json)


@campaign_app.command("release")
def campaign_release(where: Where, stage: Stages = None, db: Db = "", as_json: Json = False) -> None:
    """Let what was held go on.

    Example: gm2sim campaign release first.toml
    """
    from gm2sim.campaign.actions import release

    _act(release, "free again", where, stage, db, as_json)


@campaign_app.command("report")
def campaign_report(
    where: Where,
    html: Annotated[bool, typer.Option("--html", help="write the page: a folder that works offline")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="folder of the page; page/ of the campaign")] = None,
    metrics: Annotated[Path | None, typer.Option(metavar="FILE", help="write metrics as Prometheus reads them")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="write it again and again until all is over, or ctrl-C")
    ] = False,
    every: Annotated[float, typer.Option(metavar="S", min=1.0, help="seconds between two looks of --watch")] = 60.0,
    db: Db = "",
    as_json: Json = False,
) -> None:
    """Count every shard once more and write the page of the campaign and its metrics.

    Example: gm2sim campaign report first.toml --html
    """
    from gm2sim.campaign.desk import Desk
    from gm2sim.campaign.watching import record, reporting
    from gm2sim.terminal import say

    desk = Desk.of(where)
    page = (out or desk.folder.page) if html or out else None
    with desk.ledger(db) as ledger:
        status, written = reporting(ledger, desk, str(where), page, metrics, every=every if watch else 0.0)
    if as_json:
        print_json(record(status) | {"written": [str(path) for path in written]})
        return
    if not written:
        _draw(status, "")
    for path in written:
        say(f"wrote {path}")


@campaign_app.command("work")
def campaign_work(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="of the campaign")],
    job: Annotated[str, typer.Option(metavar="NAME", help="of the job, in the folder's jobs/")],
    element: Annotated[int, typer.Option(metavar="N", min=0, help="which element of its array")] = 0,
    backend: Annotated[str, typer.Option(help="auto, cpu or gpu (tracking); gpu never falls back")] = "auto",
    stall: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="end the job when no fill is done for S seconds; 0: never")
    ] = 1800.0,
    grace: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="after SIGUSR1 or SIGTERM, leave within S seconds")
    ] = 120.0,
) -> None:
    """What a job runs: its ranks make the shards of one element, read them back and report; no database is asked.

    Example: mpiexec -n 2 python -m mpi4py -m gm2sim campaign work first --job "$(ls first/jobs)" --element 0

    Shards that are there and right are left alone. Asked to leave by a signal, it ends with exit code 75.
    """
    from gm2sim.farm import Stop

    Stop.before_work()
    from gm2sim.campaign.folder import CampaignFolder
    from gm2sim.campaign.job import ELEMENTS
    from gm2sim.campaign.work import main
    from gm2sim.farm import ranks
    from gm2sim.terminal import RunDisplay, say

    with RunDisplay() as display:
        shards = CampaignFolder(folder).job(job) / ELEMENTS
        counts = main(folder, "", shards, job, element, backend=backend, stall=stall, grace=grace, watch=display)
    if ranks().rank == 0:
        say(", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "nothing to do")


def _said(account: str | None, qos: str | None, partition: str | None) -> dict[str, str | None]:
    return {"account": account, "qos": qos, "partition": partition}


def _act(action: Callable[..., int], what: str, where: Path, stages: list[str] | None, db: str, as_json: bool) -> None:
    from gm2sim.campaign.desk import Desk
    from gm2sim.campaign.slurm import Slurm
    from gm2sim.catalog.folder import user
    from gm2sim.terminal import say

    desk, slurm = Desk.of(where), Slurm()
    slurm.require()
    with desk.ledger(db) as ledger:
        number = action(desk.campaign, desk.folder, ledger, slurm, who=user(), stages=stages or ())
    show({"shards": number}, as_json, lambda _: say(f"{number} shards are {what}"))


def _draw(status: Any, silent: str) -> None:
    from gm2sim.campaign.status import render
    from gm2sim.terminal import complain, draw

    draw(render(status))
    if silent:
        complain(f"the queue does not answer, states of jobs are those of the last look: {silent}")
