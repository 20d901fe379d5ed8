"""The commands about raw files: look, verify, compare, damage on purpose, cut anew, export."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json, show

raw_app = typer.Typer(help="Look into raw files, verify, compare, cut and export them.", no_args_is_help=True)

RawFiles = Annotated[list[Path], typer.Argument(metavar="FILE...", help="raw files (.mid, .mid.gz, .mid.lz4)")]
_SHOWN = 20  # changes of a file that are printed; all are in the list beside it


@raw_app.command("ls")
def raw_ls(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a raw file (.mid)")], as_json: Json = False
) -> None:
    """List the events of a raw file and their banks.

    Example: gm2sim raw ls out/run1a/gm2_run15921_00000.mid
    """
    from gm2sim.raw import ls
    from gm2sim.terminal import print_records

    show(ls(file), as_json, lambda rows: print_records(file.name, rows))


@raw_app.command("dump")
def raw_dump(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a raw file (.mid)")],
    event: Annotated[str, typer.Option(help="event serial number, or begin, end")] = "0",
    bank: Annotated[str | None, typer.Option(help="bank name, for example CT01; all banks are listed without")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="draw it (.png, .svg, .pdf): CT, CS, CQ, CR, LR, PR")
    ] = None,
    island: Annotated[
        int | None, typer.Option(metavar="N", help="to draw; the one with the deepest pulse without", min=0)
    ] = None,
    as_json: Json = False,
) -> None:
    """Decode one bank of one event, or draw it.

    Example: gm2sim raw dump out/run1a/gm2_run15921_00000.mid --event 0 --bank CT01

    A picture: gm2sim raw dump out/run1a/gm2_run15921_00000.mid --bank CT01 --plot island.png
    """
    from gm2sim.errors import ConfigError
    from gm2sim.raw import dump, dump_lines
    from gm2sim.terminal import say

    if plot is not None:
        from gm2sim.plots.raw import write_picture

        if bank is None:
            raise ConfigError("--plot needs --bank, for example --bank CT01")
        drawn = write_picture(file, event, bank, plot, island)
        show({"file": str(plot), "shows": drawn.alt}, as_json, lambda _: say(f"wrote {plot}: {drawn.alt}"))
        return
    if island is not None:
        raise ConfigError("--island goes with --plot")
    tree = dump(file, event, bank)
    if as_json:
        print_json(tree)
    else:
        say("\n".join(dump_lines(tree)))


@raw_app.command("check")
def raw_check(files: RawFiles, as_json: Json = False) -> None:
    """Verify every length, order, serial number and checksum; exit code 1 when something is wrong.

    Example: gm2sim raw check out/run1a/gm2_run15921_00000.mid
    """
    from gm2sim.raw import check
    from gm2sim.terminal import say

    problems = {str(file): [str(problem) for problem in check(file)] for file in files}
    if as_json:
        print_json(problems)
    else:
        for file, found in problems.items():
            for problem in found:
                say(f"{file}: {problem}")
            if not found:
                say(f"{file}: good")
    if any(problems.values()):
        raise typer.Exit(1)


@raw_app.command("inject")
def raw_inject(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a good raw file")],
    fault: Annotated[
        list[str], typer.Option("--fault", metavar="KIND[:ARG][@EVENT]", help="what to do; may be given again")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE2", help="the damaged copy; its ending says how it is compressed")],
    seed: Annotated[int, typer.Option(help="chooses what is not said: events, bits, bytes", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Copy a raw file with faults in it, to try readers and checks on; FILE2.faults.json says what was done.

    drop-bank:CT03 or drop-bank:CT* - bitflip:3, bitflip:1e-6:payload, bitflip:2:headers - truncate, truncate:1000,
    truncate:0.5, truncate@1 (inside event 1) - swap, swap:0,1 - duplicate - drop-event - wrong-serial - wrong-size,
    wrong-size:CT03 - zero-block:4096. Without @EVENT the seed chooses.

    Example: gm2sim raw inject out/run1a/gm2_run15921_00000.mid --fault bitflip:3 --fault drop-bank:CT* --out bad.mid
    """
    from gm2sim.raw.tools.inject import inject
    from gm2sim.terminal import say

    record = inject(file, fault, out, seed)
    if as_json:
        print_json(record)
        return
    changes = record["faults"]
    for change in changes[:_SHOWN]:
        place = "cut off later" if change["byte"] is None else f"byte {change['byte']}"
        where = ", ".join(part for part in (place, change["where"], change["bank"]) if part)
        say(f"{change['kind']}: {where}: {change['what']}")
    if len(changes) > _SHOWN:
        say(f"and {len(changes) - _SHOWN} more in {out}.faults.json")
    say(f"wrote {out}, damaged on purpose, and {out}.faults.json")


@raw_app.command("diff")
def raw_diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="a raw file, or the folder of a run")],
    b: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    of_bytes: Annotated[
        bool, typer.Option("--bytes/--meaning", help="every byte, or what events and banks mean")
    ] = False,
    limit: Annotated[int, typer.Option(help="differences to print; all are counted", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """What differs between two raw files or runs; exit code 0 when nothing does, 1 when something does.

    Bytes are those inside the files, before compression. The meaning leaves out compression, padding, and what names
    the file in the run database.

    Example: gm2sim raw diff out/run1a out/run1a --bytes
    """
    from gm2sim.raw.tools.diff import diff
    from gm2sim.terminal import say

    found = diff(a, b, of_bytes=of_bytes, limit=limit)
    if as_json:
        print_json(found.record())
    else:
        for one in found.shown:
            say(one)
        say(found.summary)
    if not found.same:
        raise typer.Exit(1)


@raw_app.command("pack")
def raw_pack(
    files: RawFiles,
    out: Annotated[Path, typer.Option(metavar="DIR", help="folder of the new files")],
    limit_mb: Annotated[float, typer.Option(help="most that a file holds, before compression [10^6 bytes]")] = 2000.0,
    fills: Annotated[int | None, typer.Option(metavar="N", help="close a file after N events too")] = None,
    compression: Annotated[str, typer.Option(help="none, gz or lz4")] = "none",
    mix: Annotated[
        bool, typer.Option("--mix", help="join files whose constants differ: those of the first event hold for all")
    ] = False,
    as_json: Json = False,
) -> None:
    """Cut the raw files of a run anew, as the experiment's logger does; every event stays as it is, byte for byte.

    Each new file has begin and end of run, its subrun number, and metadata with checksums and parents.

    Example: gm2sim raw pack out/run1a/gm2_run15921_00000.mid --out out/packed --fills 2 --compression lz4
    """
    from gm2sim.raw.tools.pack import pack
    from gm2sim.terminal import say

    made = pack(files, out, limit_mb=limit_mb, compression=compression, fills=fills, mix=mix)
    if as_json:
        print_json(made)
        return
    for one in made:
        for name, facts in one["files"].items():
            events = f"events {one['first_event']} to {one['last_event']}"
            say(f"wrote {out / name}: {events}, {facts['size'] / 1e6:.1f} MB, from {', '.join(one['parents'])}")


@raw_app.command("export")
def raw_export(
    files: RawFiles,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".root, .parquet, or a folder for Parquet files")],
    what: Annotated[str, typer.Option(help="islands, hits, clusters, straws, tracks; with commas")] = (
        "islands,hits,clusters,straws"
    ),
    tracks: Annotated[
        Path | None, typer.Option(metavar="FILE", help="tracks that gm2sim tracks found; found now without")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write islands, hits and tracks as ROOT trees or Parquet tables, with the names that the reconstruction uses.

    Example: gm2sim raw export out/run1a/gm2_run15921_00000.mid --out islands.parquet --what islands
    """
    from gm2sim.raw.tools.export import export
    from gm2sim.raw.tools.export_columns import chosen
    from gm2sim.terminal import say

    rows = export(files, out, chosen(what), tracks=tracks)
    if as_json:
        print_json({"out": str(out), "rows": rows})
        return
    for table, count in rows.items():
        say(f"{table}: {count} rows")
    say(f"wrote {out}")
