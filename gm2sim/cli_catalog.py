"""The commands about the catalogue of files."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gm2sim.cli_options import Json, print_json, show

catalog_app = typer.Typer(help="Find files by their metadata, and say what there is.", no_args_is_help=True)

Db = Annotated[
    str, typer.Option("--db", metavar="DB", envvar="GM2SIM_CATALOG", help="SQLite file or postgresql://user@host/name")
]
Owner = Annotated[str | None, typer.Option(metavar="NAME", help="on whose behalf; you without")]
File = Annotated[str, typer.Argument(metavar="FILE", help="name of a file, without its folder")]
QueryText = Annotated[str, typer.Argument(metavar="QUERY", help="for example: run 15921-15991 and tier=raw")]
_DB = "catalog.sqlite"
_ROWS = 50  # that a table shows


@catalog_app.command("init")
def catalog_init(
    where: Annotated[
        str, typer.Argument(metavar="[DB]", envvar="GM2SIM_CATALOG", help="SQLite file or postgresql://user@host/name")
    ] = _DB,
) -> None:
    """Make the tables of a catalogue, or bring them up to date.

    Example: gm2sim catalog init catalog.sqlite
    """
    from gm2sim.database import opened, shown, upgrade
    from gm2sim.terminal import say

    with opened(where, create=True) as engine:
        upgrade(engine, "catalog")
    say(f"the catalogue is {shown(where)}")


@catalog_app.command("declare")
def catalog_declare(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR_OR_FILE...", help="folders of runs, or files")],
    db: Db = _DB,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="data set they were made for, gm2sim_...; your own without")
    ] = None,
    owner: Owner = None,
    trust: Annotated[bool, typer.Option("--trust", help="take the checksums from the metadata, read no file")] = False,
    tier: Annotated[str | None, typer.Option(help="of files without metadata: reco, report ...")] = None,
    parent: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="a file without metadata was made from it; several times")
    ] = None,
    run_number: Annotated[int | None, typer.Option("--run", help="of files without metadata")] = None,
    subrun: Annotated[int | None, typer.Option(help="of files without metadata")] = None,
    description: Annotated[str, typer.Option(help="of files without metadata")] = "",
    as_json: Json = False,
) -> None:
    """Put files into the catalogue; what is there already stays, and another file of the same name is refused.

    Example: gm2sim catalog declare out/run1a --campaign gm2sim_first
    """
    from gm2sim.catalog import declare
    from gm2sim.catalog.folder import own_campaign, read_paths, user
    from gm2sim.terminal import say

    owner = owner or user()
    with _opened(db) as engine:
        found = read_paths(
            paths, campaign or own_campaign(owner), owner, trust=trust, tier=tier, parents=parent or (),
            run=run_number, subrun=subrun, description=description,
        )  # fmt: skip
        done = declare(engine, found)
    show(done._asdict(), as_json, lambda _: say(f"{done.new} files declared, {done.known} known already"))


@catalog_app.command("query")
def catalog_query(
    query: QueryText,
    db: Db = _DB,
    count: Annotated[bool, typer.Option("--count", help="print how many files it finds")] = False,
    size: Annotated[bool, typer.Option("--size", help="print their size together in bytes")] = False,
    names: Annotated[bool, typer.Option("--names", help="print their names and nothing else")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many files")] = None,
    after: Annotated[str | None, typer.Option(metavar="FILE", help="go on behind this file: the next page")] = None,
    as_json: Json = False,
) -> None:
    """Find files by their metadata.

    Example: gm2sim catalog query "run>=15921 and run<=15991 and tier=raw" --count --size
    """
    from gm2sim.catalog import count as count_files
    from gm2sim.terminal import say

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        if count or size:
            number, total = count_files(connection, query)
            counted = {"count": number} if count else {}
            counted |= {"size": total} if size else {}
            show(counted, as_json, lambda found: say("\n".join(str(value) for value in found.values())))
        elif names and limit is None and after is None:
            from gm2sim.catalog import names as find_names

            found = find_names(connection, query)
            show(found, as_json, lambda lines: say("\n".join(lines)) if lines else None)
        else:
            _show_files(connection, query, limit, after, names, as_json)


@catalog_app.command("show")
def catalog_show(file: File, db: Db = _DB, as_json: Json = False) -> None:
    """Everything that is known of a file.

    Example: gm2sim catalog show gm2_run15921_00000.mid
    """
    from gm2sim.catalog import record

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        found = record(connection, file).shown()
    show(found, as_json, lambda content: _say_table(file, [{"field": k, "value": v} for k, v in content.items()]))


@catalog_app.command("define")
def catalog_define(
    name: Annotated[str, typer.Argument(metavar="NAME", help="begins with gm2sim_")],
    query: QueryText,
    db: Db = _DB,
    owner: Owner = None,
    description: Annotated[str, typer.Option(help="anything")] = "",
) -> None:
    """Give a query a name, to use as "defname: NAME".

    Example: gm2sim catalog define gm2sim_60h "run 15921-15991 and tier=raw"
    """
    from gm2sim.catalog import define
    from gm2sim.catalog.folder import user
    from gm2sim.terminal import say

    with _opened(db) as engine:
        number = define(engine, name, query, owner or user(), description)
    say(f"{name} finds {number} files now")


@catalog_app.command("definitions")
def catalog_definitions(db: Db = _DB, as_json: Json = False) -> None:
    """List the definitions.

    Example: gm2sim catalog definitions
    """
    from gm2sim.catalog import list_definitions

    with _opened(db, read_only=True) as engine:
        found = list_definitions(engine)
    show(found, as_json, lambda rows: _say_table("Definitions", rows))


@catalog_app.command("snapshot")
def catalog_snapshot(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a definition")],
    db: Db = _DB,
    owner: Owner = None,
    as_json: Json = False,
) -> None:
    """Freeze what a definition finds now, to use as "snapshot_id N".

    Example: gm2sim catalog snapshot gm2sim_60h
    """
    from gm2sim.catalog import snapshot
    from gm2sim.catalog.folder import user
    from gm2sim.terminal import say

    with _opened(db) as engine:
        made = snapshot(engine, name, owner or user())
    show(made, as_json, lambda one: say(f"snapshot {one['id']} holds {one['files']} files, {one['size']} bytes"))


@catalog_app.command("snapshots")
def catalog_snapshots(db: Db = _DB, as_json: Json = False) -> None:
    """List the snapshots.

    Example: gm2sim catalog snapshots
    """
    from gm2sim.catalog import list_snapshots

    with _opened(db, read_only=True) as engine:
        found = list_snapshots(engine)
    show(found, as_json, lambda rows: _say_table("Snapshots", rows))


@catalog_app.command("parents")
def catalog_parents(
    file: File,
    db: Db = _DB,
    depth: Annotated[int | None, typer.Option(min=1, help="generations; all without")] = None,
    as_json: Json = False,
) -> None:
    """Files that a file was made from, and those that they were made from.

    Example: gm2sim catalog parents tracks_15921.h5
    """
    from gm2sim.catalog import ancestors

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        _show_relatives(ancestors(connection, file, depth), as_json)


@catalog_app.command("children")
def catalog_children(
    file: File,
    db: Db = _DB,
    depth: Annotated[int | None, typer.Option(min=1, help="generations; all without")] = None,
    as_json: Json = False,
) -> None:
    """Files that were made from a file, and those that were made from them.

    Example: gm2sim catalog children gm2_run15921_00000.mid
    """
    from gm2sim.catalog import descendants

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        _show_relatives(descendants(connection, file, depth), as_json)


@catalog_app.command("locate")
def catalog_locate(file: File, db: Db = _DB, as_json: Json = False) -> None:
    """Where a file lies; exit code 1 when no place is known.

    Example: gm2sim catalog locate gm2_run15921_00000.mid
    """
    from gm2sim.catalog import locate
    from gm2sim.terminal import say
    from gm2sim.text import visible

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        found = list(locate(connection, file))
    show(
        found,
        as_json,
        lambda paths: say("\n".join(visible(path, lines=False) for path in paths) or "no place is known"),
    )
    if not found:
        raise typer.Exit(1)


@catalog_app.command("retire")
def catalog_retire(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="names of files, without their folders")],
    db: Db = _DB,
    status: Annotated[str, typer.Option(help="retired, bad, or good again")] = "retired",
    owner: Owner = None,
) -> None:
    """Take files out of use: lists leave them out unless they ask for their status.

    Example: gm2sim catalog retire gm2_run15921_00000.mid
    """
    from gm2sim.catalog import retire
    from gm2sim.catalog.folder import user
    from gm2sim.terminal import say

    with _opened(db) as engine:
        changed = retire(engine, files, owner or user(), status)
    say(f"{changed} files are {status} now")


@catalog_app.command("export")
def catalog_export(
    what: Annotated[str, typer.Argument(metavar="FILE_OR_QUERY", help="name of a file, or a query")],
    sam: Annotated[Path, typer.Option(metavar="DIR", help="folder for one SAM-style JSON file each")],
    db: Db = _DB,
    force: Annotated[bool, typer.Option("--force", help="replace files that are there")] = False,
) -> None:
    """Write metadata as SAM takes them.

    Example: gm2sim catalog export "run=15921 and tier=raw" --sam out/sam
    """
    from gm2sim.catalog import export, record, records
    from gm2sim.catalog.record import NAME
    from gm2sim.terminal import say

    with _opened(db, read_only=True) as engine, engine.connect() as connection:
        single = NAME.fullmatch(what) and "=" not in what
        found = iter([record(connection, what)]) if single else records(connection, what)
        number = export(found, sam, force=force)
    say(f"wrote {number} files to {sam}")


@catalog_app.command("import")
def catalog_import(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", help="JSON files that export has written")],
    db: Db = _DB,
    as_json: Json = False,
) -> None:
    """Declare files by the JSON that export has written.

    Example: gm2sim catalog import out/sam
    """
    from gm2sim.catalog import declare, read_sam
    from gm2sim.terminal import say

    with _opened(db) as engine:
        done = declare(engine, read_sam(paths))
    show(done._asdict(), as_json, lambda _: say(f"{done.new} files declared, {done.known} known already"))


@catalog_app.command("verify")
def catalog_verify(
    where: Annotated[
        str, typer.Argument(metavar="[DB_OR_DIR]", envvar="GM2SIM_CATALOG", help="catalogue or folder")
    ] = _DB,
    query: Annotated[str, typer.Option(help="look at these files of the catalogue only")] = "name like %",
    tables: Annotated[bool, typer.Option("--tables", help="look at the tables only, read no file")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="look up every entry of every index too")] = False,
    as_json: Json = False,
) -> None:
    """Read files again and compare size and checksums with what is recorded; exit code 1 when one is wrong.

    Example: gm2sim catalog verify catalog.sqlite

    A folder is compared with the metadata in it: gm2sim catalog verify out/run1a
    """
    from gm2sim.catalog import check_tables, verify_catalog, verify_folder
    from gm2sim.terminal import say
    from gm2sim.text import visible

    if Path(where).is_dir():
        problems: list[str] = []
        looked = list(verify_folder(Path(where)))
    else:
        with _opened(where, read_only=True) as engine:
            problems = check_tables(engine, thorough=thorough)
            looked = [] if tables else list(verify_catalog(engine, query))
    bad = [one for one in looked if one.wrong]
    result: dict[str, Any] = {"files": len(looked), "tables": problems, "bad": {one.path: one.wrong for one in bad}}
    if as_json:
        print_json(result)
    else:
        for problem in problems:
            say(visible(problem, lines=False))
        for one in bad:
            say(visible(f"{one.path} {one.wrong}", lines=False))
        say(
            f"{len(looked)} files, {len(bad)} of them bad"
            + (f", {len(problems)} problems of tables" if problems else "")
        )
    if bad or problems:
        raise typer.Exit(1)


@catalog_app.command("grant")
def catalog_grant(
    name: Annotated[str, typer.Argument(metavar="NAME", help="a role of the PostgreSQL server")],
    role: Annotated[str, typer.Option(metavar="ROLE", help="reader or operator")],
    db: Db = _DB,
    as_json: Json = False,
) -> None:
    """Let a role of a PostgreSQL server look at the catalogue (reader), or declare and change files too (operator).

    Example: gm2sim catalog grant shifter --role reader --db postgresql:///gm2_catalog
    """
    from gm2sim.catalog.roles import grant
    from gm2sim.terminal import say

    with _opened(db) as engine:
        grant(engine, name, role)
    may = "may read" if role == "reader" else "may read and declare"
    show({"name": name, "role": role}, as_json, lambda _: say(f"'{name}' {may}"))


def _opened(db: str, *, read_only: bool = False) -> Any:
    from contextlib import contextmanager

    from gm2sim.database import opened, require_schema

    @contextmanager
    def ready() -> Any:
        with opened(db, read_only=read_only) as engine:
            require_schema(engine, "catalog")
            yield engine

    return ready()


def _show_files(connection: Any, query: str, limit: int | None, after: str | None, names: bool, as_json: bool) -> None:
    from gm2sim.catalog import page, records
    from gm2sim.terminal import say

    if limit is None and after is None and as_json:
        print_json([record.shown() for record in records(connection, query)])
        return
    wanted = limit or _ROWS
    found = page(connection, query, wanted + 1, after)
    shown, more = found[:wanted], len(found) > wanted
    if as_json:
        print_json([record.shown() for record in shown])
    elif names:
        say("\n".join(record.name for record in shown))
    else:
        columns = ("name", "tier", "run", "subrun", "events", "size", "campaign", "status")
        _say_table(f"Files with {query}", [{name: record.shown()[name] for name in columns} for record in shown])
        if more:
            say(f"there are more: add --after {shown[-1].name}, or --names, --count, --json")


def _show_relatives(found: list[tuple[str, int]], as_json: bool) -> None:
    rows = [{"name": name, "generation": generation} for name, generation in found]
    show(rows, as_json, lambda _: _say_table("", rows))


def _say_table(title: str, rows: list[dict[str, Any]]) -> None:
    from gm2sim.terminal import print_records, say
    from gm2sim.text import visible

    if not rows:
        say("none")
    shown = [
        {name: "" if value is None else visible(value, lines=False) for name, value in row.items()} for row in rows
    ]
    print_records(visible(title, lines=False), shown)
