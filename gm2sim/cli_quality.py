"""The commands of data quality."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json

quality_app = typer.Typer(help="Data quality: which fills are good, from the raw files alone.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the output folder of a run")]
Book = Annotated[
    str | None, typer.Option("--db", metavar="DB", help="database of the flags; quality.sqlite in the folder without")
]


@quality_app.command("init")
def quality_init(
    db: Annotated[str, typer.Argument(metavar="DB", help="path of a SQLite file, or postgresql://user@host/name")],
) -> None:
    """Make the tables of data quality, or bring them to the version of this program.

    Example: gm2sim quality init quality.sqlite
    """
    from gm2sim.database import opened, shown, upgrade
    from gm2sim.terminal import say

    with opened(db, create=True) as engine:
        upgrade(engine, "quality")
    say(f"'{shown(db)}' has the tables of data quality")


@quality_app.command("assess")
def quality_assess(folder: Folder, db: Book = None, as_json: Json = False) -> None:
    """Judge every event of a run's raw files and write its flags into a database; the truth is not looked at.

    Example: gm2sim quality assess out/run1a
    """
    from gm2sim.quality.folder import assess_folder
    from gm2sim.quality.live import live_fractions
    from gm2sim.terminal import print_table

    found = assess_folder(folder, db)
    rows = live_fractions(found.measures.fill_type, found.flags, found.measures.ctags)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(f"Live fraction of {folder}", _LIVE, [_cells(row._asdict()) for row in rows])


@quality_app.command("show")
def quality_show(
    db: Annotated[str, typer.Argument(metavar="DB", help="database of the flags")],
    run_number: Annotated[int | None, typer.Option("--run", help="one run; all without")] = None,
    table: Annotated[
        str, typer.Option(help="subrun_status, subrun_time, ctagswithdqc, tracker_hv or fill_flags")
    ] = "subrun_status",
    as_json: Json = False,
) -> None:
    """List the rows of a table of data quality.

    Example: gm2sim quality show out/run1a/quality.sqlite --table fill_flags
    """
    from gm2sim.errors import ConfigError, nearest
    from gm2sim.quality.book import read_rows
    from gm2sim.terminal import print_records

    rows = read_rows(db, run_number)
    if table not in rows:
        raise ConfigError(f"there is no table '{table}' of data quality: {nearest(table, rows)}")
    if as_json:
        print_json(rows[table])
    else:
        print_records(table, rows[table])


@quality_app.command("report")
def quality_report(folder: Folder, db: Book = None, as_json: Json = False) -> None:
    """Live fraction: fills and muons that are left after each cut; writes quality.json and quality.png into the folder.

    Example: gm2sim quality report out/run1a
    """
    from gm2sim.quality.folder import report_folder
    from gm2sim.terminal import print_table, say

    content = report_folder(folder, db)
    if as_json:
        print_json(content)
        return
    print_table(f"Live fraction of run {content['run']}", _LIVE, [_cells(row) for row in content["live"]])
    for path in content["files"]:
        say(f"wrote {path}")


_LIVE = ("cut", "fills failing", "fills left", "live", "late positrons left", "muons")


def _cells(row: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values())
