"""The commands about constants by run and subrun."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gm2sim.cli_options import Json, Set, overrides, show

conditions_app = typer.Typer(help="Constants of the detectors by run and subrun.", no_args_is_help=True)
tag_app = typer.Typer(help="Freeze, clone and drop the tags of a database.", no_args_is_help=True)
conditions_app.add_typer(tag_app, name="tag")

Where = Annotated[str, typer.Argument(metavar="DB", help="a SQLite file, or postgresql://user@host/name")]
Tag = Annotated[str, typer.Option(help="tag; may be left out where there is only one")]
Force = Annotated[bool, typer.Option("--force", help="replace the file that --out names")]
Folders = Annotated[list[str] | None, typer.Option("--folder", help="only this folder; may be given several times")]


@conditions_app.command("show")
def conditions_show(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET_OR_TOML", help="a preset (see gm2sim presets) or a .toml file")
    ] = "",
    folder: Annotated[str, typer.Option(help="list the channels of one folder; all folders in short without")] = "",
    run_number: Annotated[int | None, typer.Option("--run", help="run number; that of the preset without")] = None,
    subrun: Annotated[int, typer.Option(help="subrun", min=0)] = 0,
    db: Annotated[str, typer.Option(metavar="DB", help="a database or a snapshot, instead of a preset")] = "",
    tag: Tag = "",
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Constants that a run is simulated and reconstructed with, or those of a database.

    Example: gm2sim conditions show run1a --folder calo_gain --run 15921
    """
    from gm2sim.conditions.show import channels, overview
    from gm2sim.terminal import print_records

    conditions, run, folders = _source(preset, db, tag, run_number, overrides(set_))
    found = channels(conditions, folder, run, subrun) if folder else overview(conditions, run, subrun, folders)
    title = f"Conditions of run {run} subrun {subrun}, {conditions.version}"
    show(found, as_json, lambda rows: print_records(title, rows))


def _source(preset: str, db: str, tag: str, run_number: int | None, values: dict[str, Any]) -> tuple[Any, int, Any]:
    """What is shown: the conditions, the run, and the folders."""
    from gm2sim.conditions import FOLDERS
    from gm2sim.errors import ConfigError

    if bool(preset) == bool(db):
        raise ConfigError("conditions show needs a preset or --db, and not both: give one, for example run1a")
    if db:
        from gm2sim.conditions.database import DatabaseConditions

        if run_number is None:
            raise ConfigError("conditions show --db needs to know the run: give --run")
        conditions = DatabaseConditions(db, tag, allow_open=True)
        return conditions, run_number, conditions.folders()
    from gm2sim.config import resolve
    from gm2sim.setup import conditions_of

    flags = {} if run_number is None else {"run.run": run_number}
    config = resolve(preset, values | flags, {"run.run": "--run"}).config
    return conditions_of(config), config.run.run, tuple(FOLDERS)


@conditions_app.command("write")
def conditions_write(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET_OR_TOML", help="a preset (see gm2sim presets) or a .toml file")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="file of constants (.toml)")],
    set_: Set = None,
    force: Force = False,
) -> None:
    """Write the built-in constants as a file to edit, valid for every run.

    Those of the temperature are written for every subrun of the run.

    Example: gm2sim conditions write run1a --out conditions.toml

    Use it with: gm2sim run run1a --set conditions.file=conditions.toml --fills 2 --subruns 1 --out out/edited
    """
    from gm2sim.conditions import write_conditions
    from gm2sim.config import load
    from gm2sim.setup import conditions_of
    from gm2sim.terminal import say

    config = load(preset, overrides(set_))
    conditions = conditions_of(config, builtin=True)
    numbers = config.run
    write_conditions(conditions, out, f"{preset} built in", run=numbers.run, subruns=numbers.subruns, force=force)
    say(f"wrote {out}")


@conditions_app.command("init")
def conditions_init(where: Where, as_json: Json = False) -> None:
    """Make the tables of a database, or bring them to the version of this program; content is kept.

    Example: gm2sim conditions init conditions.sqlite
    """
    from gm2sim.database import opened, shown, upgrade

    with opened(where, create=True) as engine:
        upgrade(engine, "conditions")
    _told({"database": shown(where)}, as_json, f"the tables of the conditions are in {shown(where)}")


@conditions_app.command("load")
def conditions_load(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="a file (.toml, .json) of constants, or a preset")],
    db: Annotated[str, typer.Option("--db", metavar="DB", help="a SQLite file, or postgresql://user@host/name")],
    tag: Annotated[str, typer.Option(help="open tag to add to; made if it is not there")],
    folder: Folders = None,
    runs: Annotated[str, typer.Option("--run", metavar="A-B", help="of a preset: runs that it holds for")] = "",
    comment: Annotated[str, typer.Option(help="kept with the tag, if it is made")] = "",
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Add constants to an open tag: those of a file, or those that a preset draws and sets. All are added or none.

    Example: gm2sim conditions load run1a --db conditions.sqlite --tag first --run 15921-15991
    """
    from gm2sim.conditions.entries import entries_of
    from gm2sim.conditions.loading import add
    from gm2sim.conditions.moment import run_range
    from gm2sim.database import opened, require_schema

    entries = list(entries_of(source, folder or (), run_range(runs) if runs else None, overrides(set_)))
    with opened(db) as engine:
        require_schema(engine, "conditions")
        added = add(engine, tag, entries, comment)
    text = f"added {added.intervals} intervals to tag '{tag}', {added.sets} of them with new constants"
    _told({"tag": tag} | added._asdict(), as_json, text)


@conditions_app.command("tags")
def conditions_tags(where: Where, as_json: Json = False) -> None:
    """The tags of a database: whether they are frozen, how many intervals they have.

    Example: gm2sim conditions tags conditions.sqlite
    """
    from gm2sim.conditions.schema import is_snapshot
    from gm2sim.conditions.tags import tags
    from gm2sim.database import opened, require_schema, shown
    from gm2sim.terminal import print_records
    from gm2sim.text import visible

    with opened(where, read_only=True, immutable=is_snapshot(where)) as engine:
        require_schema(engine, "conditions")
        found = tags(engine)
    shorter = [
        {key: visible(value, lines=False) if isinstance(value, str) else value for key, value in row.items()}
        for row in found
    ]
    for row in shorter:
        del row["checksum"]
    show(found, as_json, lambda _: print_records(f"Tags of {shown(where)}", shorter))


@tag_app.command("freeze")
def tag_freeze(where: Where, tag: Annotated[str, typer.Argument(help="tag")], as_json: Json = False) -> None:
    """Freeze a tag: runs may use it from now on, and nobody changes it any more.

    Example: gm2sim conditions tag freeze conditions.sqlite first
    """
    from gm2sim.conditions.tags import freeze
    from gm2sim.database import opened, require_schema

    with opened(where) as engine:
        require_schema(engine, "conditions")
        checksum = freeze(engine, tag)
    _told({"tag": tag, "checksum": checksum}, as_json, f"tag '{tag}' is frozen, sha256 {checksum}")


@tag_app.command("clone")
def tag_clone(
    where: Where,
    tag: Annotated[str, typer.Argument(help="tag to begin with")],
    new: Annotated[str, typer.Argument(help="open tag to make")],
    comment: Annotated[str, typer.Option(help="kept with the new tag")] = "",
    as_json: Json = False,
) -> None:
    """Make an open tag with the intervals of another; the constants are shared.

    Example: gm2sim conditions tag clone conditions.sqlite first second --comment "new gains"
    """
    from gm2sim.conditions.tags import clone
    from gm2sim.database import opened, require_schema

    with opened(where) as engine:
        require_schema(engine, "conditions")
        clone(engine, tag, new, comment)
    _told({"tag": new, "parent": tag}, as_json, f"tag '{new}' is open and begins as '{tag}'")


@tag_app.command("drop")
def tag_drop(where: Where, tag: Annotated[str, typer.Argument(help="open tag")], as_json: Json = False) -> None:
    """Remove an open tag with its intervals, to begin again; a frozen one is refused.

    Example: gm2sim conditions tag drop conditions.sqlite second
    """
    from gm2sim.conditions.tags import drop
    from gm2sim.database import opened, require_schema

    with opened(where) as engine:
        require_schema(engine, "conditions")
        drop(engine, tag)
    _told({"dropped": tag}, as_json, f"tag '{tag}' is gone")


@conditions_app.command("check")
def conditions_check(
    where: Where,
    tag: Tag = "",
    runs: Annotated[str, typer.Option("--run", metavar="A-B", help="runs that must be covered")] = "",
    as_json: Json = False,
) -> None:
    """Look for gaps, overlaps and damage in a tag; exit code 1 for damage, overlaps, and gaps in the runs of --run.

    Example: gm2sim conditions check conditions.sqlite --tag first --run 15921-15991
    """
    from gm2sim.conditions.check import check
    from gm2sim.conditions.moment import run_range
    from gm2sim.conditions.schema import is_snapshot
    from gm2sim.database import opened, require_schema
    from gm2sim.terminal import print_records, say

    wanted = run_range(runs) if runs else None
    with opened(where, read_only=True, immutable=is_snapshot(where)) as engine:
        require_schema(engine, "conditions")
        found = check(engine, tag, wanted)
    show(found, as_json, lambda rows: print_records("Findings", rows) if rows else say("no gap, overlap or damage"))
    if any(row["kind"] != "gap" or wanted for row in found):
        raise typer.Exit(1)


@conditions_app.command("snapshot")
def conditions_snapshot(
    where: Where,
    runs: Annotated[str, typer.Option("--run", metavar="A-B", help="runs that it is for")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="the new file (.sqlite)")],
    tag: Tag = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write what a frozen tag has for some runs as one file that jobs carry, with its SHA-256 beside it.

    Example: gm2sim conditions snapshot conditions.sqlite --tag first --run 15921-15991 --out jobs.sqlite

    Use it with: gm2sim run run1a --set conditions.database=jobs.sqlite --run 15921 --fills 2 --subruns 1 --out out/jobs
    """
    from gm2sim.conditions.moment import run_range
    from gm2sim.conditions.snapshot import snapshot

    checksum = snapshot(where, tag, run_range(runs), out, force=force)
    _told({"file": str(out), "sha256": checksum}, as_json, f"wrote {out}, sha256 {checksum}")


@conditions_app.command("export")
def conditions_export(
    where: Where,
    run_number: Annotated[int, typer.Option("--run", help="run number")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="the new file (.json)")] = None,
    tag: Tag = "",
    folder: Folders = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write what a tag has for a run in the JSON of the experiment's conditions database, or print it with --json.

    Example: gm2sim conditions export conditions.sqlite --tag first --run 15921 --folder time_alignment --json
    """
    from gm2sim.cli_options import print_json
    from gm2sim.conditions.database import DatabaseConditions
    from gm2sim.conditions.exchange import as_json as in_their_form
    from gm2sim.conditions.exchange import write_export
    from gm2sim.errors import ConfigError
    from gm2sim.terminal import say

    if (out is None) != as_json:
        raise ConfigError("conditions export prints or writes: give --json or --out FILE")
    content = in_their_form(DatabaseConditions(where, tag, allow_open=True), run_number, folder or ())
    if out is None:
        print_json(content)
    else:
        write_export(out, content, force=force)
        say(f"wrote {out}")


@conditions_app.command("grant")
def conditions_grant(
    where: Where,
    reader: Annotated[str, typer.Option(metavar="ROLE", help="role that may look")] = "",
    writer: Annotated[str, typer.Option(metavar="ROLE", help="role that may add")] = "",
    as_json: Json = False,
) -> None:
    """Let roles of a PostgreSQL server read, or read and write, the conditions.

    Example: gm2sim conditions grant postgresql:///gm2_conditions --reader shifter --writer expert
    """
    from gm2sim.conditions.roles import grant
    from gm2sim.database import opened

    with opened(where) as engine:
        grant(engine, reader, writer)
    text = ", ".join([f"'{reader}' may read"] * bool(reader) + [f"'{writer}' may read and write"] * bool(writer))
    _told({"reader": reader, "writer": writer}, as_json, text)


def _told(content: dict[str, Any], as_json: bool, text: str) -> None:
    from gm2sim.terminal import say

    show(content, as_json, lambda _: say(text))
