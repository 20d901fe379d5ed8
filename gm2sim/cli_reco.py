"""The commands of the two passes of the reconstruction."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json

reco_app = typer.Typer(help="The two passes of the reconstruction.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the output folder of a run")]
Conditions = Annotated[
    str,
    typer.Option("--db", metavar="DB", help="conditions: a file (.toml), a SQLite file or postgresql://user@host/name"),
]
Tag = Annotated[str, typer.Option(help="name of the set of constants")]
Quality = Annotated[
    str | None, typer.Option(metavar="DB", help="database of data quality; quality.sqlite in the folder without")
]


@reco_app.command("pre")
def reco_pre(folder: Folder, db: Conditions, tag: Tag, quality: Quality = None, as_json: Json = False) -> None:
    """First pass: derive gains, pedestals, times and quality of a run from its raw files alone, and write them.

    Example: gm2sim reco pre out/run1a --db conditions.toml --tag "run1a built in"
    """
    from gm2sim.passes.pre import pre
    from gm2sim.terminal import print_records, say

    found = pre(folder, db, tag, quality)
    if as_json:
        print_json(found)
        return
    print_records(f"Constants of run {found['run']} under '{tag}'", found["written"])
    for one in found["loaded"]:
        say(f"{one['folder']} has to be loaded: {one['why']}")
    say(f"{found['bad']} of {found['fills']} fills are bad; {found['new']} tables are new in {db}")


@reco_app.command("full")
def reco_full(
    folder: Folder,
    db: Conditions,
    tag: Tag,
    out: Annotated[Path, typer.Option(metavar="FILE", help="HDF5 file of positrons and tracks")],
    quality: Quality = None,
    tracks: Annotated[bool, typer.Option(help="find tracks too")] = True,
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="use a tag of a database that is not frozen and may still change")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace the file that --out names")] = False,
    as_json: Json = False,
) -> None:
    """Second pass: positrons and tracks with the constants of a tag; refuses to start when any are missing.

    Example: gm2sim reco full out/run1a --db conditions.toml --tag "run1a built in" --out reco.h5
    """
    from gm2sim.passes.full import full
    from gm2sim.terminal import print_table

    found = full(folder, db, tag, out, quality=quality, tracks=tracks, allow_open=allow_open, force=force)
    if as_json:
        print_json(found)
        return
    rows = [("conditions", found["conditions"]), ("events left out", str(len(found["skipped_events"])))]
    rows += [(name, str(number)) for name, number in found["counts"].items()]
    print_table(f"Run {found['run']} in {out}", ("", ""), rows)
