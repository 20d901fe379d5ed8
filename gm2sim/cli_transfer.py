"""The commands that bring the files of a campaign home, and out of the way of a purge."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the folder of a campaign")]
To = Annotated[str, typer.Option("--to", metavar="PLACE", help="a folder, or hpss:/path of the tape archive")]
_LISTED = 40  # rows that a table shows


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``gm2sim campaign``."""
    app.command("transfer")(campaign_transfer)
    app.command("rescue")(campaign_rescue)


def campaign_transfer(
    folder: Folder,
    to: To,
    stage: Annotated[list[str] | None, typer.Option(metavar="NAME", help="only this stage; several times")] = None,
    db: Annotated[
        str | None, typer.Option("--db", metavar="DB", help="catalogue that is told where the files lie now")
    ] = None,
    owner: Annotated[str, typer.Option(metavar="NAME", help="on whose behalf; you without")] = "",
    parcel_gb: Annotated[float, typer.Option(metavar="GB", min=0.0, help="size of a tar file on tape")] = 100.0,
    scratch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="room for one tar file that is read back; DIR of the campaign")
    ] = None,
    script: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a batch script that does it, and do nothing else")
    ] = None,
    time: Annotated[str, typer.Option(metavar="TIME", help="longest time of the script")] = "12:00:00",
    option: Annotated[
        list[str] | None, typer.Option(metavar="OPTION", help="of sbatch in the script, as --option=--qos=xfer")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy finished shards to a project folder or to tape, read them back, and tell the catalogue.

    Example: gm2sim campaign transfer $SCRATCH/first --to hpss:/home/g/gm2/first --db catalog.sqlite

    Twice is once: only what is missing is copied. What did not arrive is named, and the exit code is 1.
    """
    from gm2sim.atomic import write_text
    from gm2sim.campaign.folder import CampaignFolder
    from gm2sim.campaign.keeping import transfer_script
    from gm2sim.campaign.transfer import place_of, transfer
    from gm2sim.database import opened
    from gm2sim.terminal import say

    here = CampaignFolder(folder.absolute())
    if script is not None:
        words = ["gm2sim", "campaign", "transfer", str(here.path), "--to", to]
        words += [word for name in stage or () for word in ("--stage", name)]
        words += ["--db", db] if db else []
        write_text(script, transfer_script(script.stem, words, time=time, options=option or ()), replace=True)
        say(f"wrote {script}: sbatch {script}")
        return
    place = place_of(to, here, scratch)
    with ExitStack() as stack:
        engine = None if db is None else stack.enter_context(opened(db))
        done = transfer(
            here, place, stages=stage or (), parcel_gb=parcel_gb, engine=engine, owner=owner,
            note=None if as_json else say,
        )  # fmt: skip
    if as_json:
        print_json(vars(done))
    else:
        say(
            f"{done.copied} shards copied to {place.name} and read back ({done.bytes / 1e9:.3f} GB), {done.there} were "
            f"there, {done.waiting} are not finished, {done.declared} files declared"
        )
        for shard, why in done.failed:
            say(f"{shard}: {why}")
    if done.failed:
        raise typer.Exit(1)


def campaign_rescue(
    folder: Folder,
    purge_days: Annotated[float, typer.Option(metavar="DAYS", help="idle time from which the site purges today")],
    within: Annotated[float, typer.Option(metavar="DAYS", help="show files that may go so soon")] = 14.0,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="copy them there; without, nothing is touched")] = None,
    move: Annotated[bool, typer.Option("--move", help="replace them by links to copies that were read back")] = False,
    as_json: Json = False,
) -> None:
    """List the files of a campaign that the purge of scratch may take soon; copy or move them only when told.

    Example: gm2sim campaign rescue $SCRATCH/first --purge-days 56 --to $CFS/gm2/first --move

    The exit code is 1 as long as a file is in danger that has no verified copy.
    """
    from gm2sim.campaign.folder import CampaignFolder
    from gm2sim.campaign.places import Disk
    from gm2sim.campaign.rescue import endangered, rescue
    from gm2sim.errors import ConfigError
    from gm2sim.terminal import print_records, say

    if move and to is None:
        raise ConfigError("--move without --to: say where the files are to be kept")
    here = CampaignFolder(folder.absolute())
    place = Disk(to.absolute()) if to is not None else None
    found = endangered(here, purge_days, within_days=within, place=place)
    failed: list[tuple[str, str]] = []
    if place is not None:
        failed = rescue(here, found, place, move=move, note=None if as_json else say)
        saved = {one.path for one in found} - {Path(name) for name, _ in failed}
        shards = {name for name, _ in failed}
        lost = [one for one in found if one.path not in saved or (one.shard is not None and one.shard.name in shards)]
    else:
        lost = [one for one in found if not one.safe]
    rows = [
        {
            "file": str(one.path.relative_to(here.path)), "idle days": round(one.idle_days, 1),
            "days left": round(one.left_days, 1), "bytes": one.size,
            "shard": one.shard.name if one.shard else "", "safe": "no" if one in lost else "yes",
        }
        for one in found
    ]  # fmt: skip
    if as_json:
        print_json({"files": rows, "failed": failed})
    else:
        print_records("Files that the purge may take", rows[:_LISTED])
        size = sum(one.size for one in found)
        say(f"{len(found)} files ({size / 1e9:.3f} GB) may go within {within:g} days, {len(lost)} of them unsaved")
        for what, why in failed:
            say(f"{what}: {why}")
    if lost:
        raise typer.Exit(1)
