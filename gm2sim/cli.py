"""The command line: each command parses and calls one library function of the same name."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_campaign import campaign_app
from gm2sim.cli_catalog import catalog_app
from gm2sim.cli_conditions import conditions_app
from gm2sim.cli_options import Json, Preset, Set, overrides, print_json, show
from gm2sim.cli_quality import quality_app
from gm2sim.cli_raw import raw_app
from gm2sim.cli_reco import reco_app
from gm2sim.cli_tracks import tracks
from gm2sim.cli_truth import truth_app

app = typer.Typer(
    name="gm2sim",
    help="Simulate the Fermilab Muon g-2 experiment, from the fitted field to the raw data file.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(raw_app, name="raw")
app.add_typer(conditions_app, name="conditions")
app.add_typer(catalog_app, name="catalog")
app.add_typer(campaign_app, name="campaign")
app.add_typer(truth_app, name="truth")
app.add_typer(quality_app, name="quality")
app.add_typer(reco_app, name="reco")
app.command()(tracks)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the output folder of a run")]


@app.callback()
def _common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log each step")] = False,
) -> None:
    from gm2sim.log import set_up

    set_up(verbose)


@app.command()
def run(
    preset: Preset,
    fills: Annotated[int | None, typer.Option(help="fills in all, spread evenly over the subruns")] = None,
    subruns: Annotated[int | None, typer.Option(help="subruns, one raw file each")] = None,
    run_number: Annotated[int | None, typer.Option("--run", help="run number")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of every random number")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="output folder")] = Path("out"),
    backend: Annotated[str, typer.Option(help="auto, cpu or gpu (tracking); gpu never falls back")] = "auto",
    set_: Set = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the run in DIR: finished subruns are kept")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="replace the run that DIR holds")] = False,
    report: Annotated[bool, typer.Option(help="write report.html at the end")] = True,
    stall: Annotated[
        float,
        typer.Option(metavar="S", min=0.0, help="end the job when no fill is done for S seconds; 0: never"),
    ] = 1800.0,
    grace: Annotated[
        float,
        typer.Option(metavar="S", min=0.0, help="after SIGUSR1 or SIGTERM, leave within S seconds"),
    ] = 120.0,
    as_json: Json = False,
) -> None:
    """Simulate fills and write raw files, truth, metadata and a report.

    Example: gm2sim run run1a --fills 2 --subruns 1 --out out/first

    Under MPI: mpiexec -n 2 python -m mpi4py -m gm2sim run run1a --fills 8 --subruns 2 --out out/mpi

    SIGUSR1 or SIGTERM end it after the fill in hand with exit code 75; --resume goes on, to the same bytes.
    """
    from gm2sim.farm import Stop

    Stop.before_work()
    from gm2sim.config import resolve
    from gm2sim.run import run as simulate
    from gm2sim.terminal import RunDisplay

    flags = {"run.fills": fills, "run.subruns": subruns, "run.run": run_number, "run.seed": seed}
    names = {"run.fills": "--fills", "run.subruns": "--subruns", "run.run": "--run", "run.seed": "--seed"}
    values = overrides(set_) | {key: value for key, value in flags.items() if value is not None}
    resolved = resolve(preset, values, names)
    with RunDisplay(quiet=as_json) as display:
        summary = simulate(
            resolved.config, out, preset=preset, backend=backend, resume=resume, force=force, report=report,
            watch=display, stall=stall, grace=grace,
        )  # fmt: skip
    if summary is None:  # not rank 0
        return
    if as_json:
        print_json(summary)
    else:
        display.finish(summary, out)


@app.command()
def presets(as_json: Json = False) -> None:
    """List the built-in configurations.

    Example: gm2sim presets
    """
    from gm2sim.config import presets as find
    from gm2sim.terminal import print_table

    found = find()
    if as_json:
        print_json(found)
    else:
        print_table("Presets", ("name", "what it is"), list(found.items()))


@app.command()
def config(preset: Preset, set_: Set = None, as_json: Json = False) -> None:
    """Print the resolved configuration with where each value comes from.

    Example: gm2sim config run1a --set quads.voltage_kv=18.0
    """
    from gm2sim.config import resolve
    from gm2sim.terminal import say

    resolved = resolve(preset, overrides(set_))
    if as_json:
        content = resolved.config.model_dump(mode="json")
        print_json({"hash": resolved.config.hash, "config": content, "origin": resolved.origin})
    else:
        say("\n".join(resolved.lines()))


@app.command()
def optics(
    preset: Preset,
    set_: Set = None,
    as_json: Json = False,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write pictures here; follows a beam for 2000 turns too")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="of the pictures: png or svg")] = "png",
    azimuths: Annotated[int, typer.Option(metavar="N", help="places of the functions of azimuth")] = 360,
    scan: Annotated[
        int, typer.Option(metavar="N", help="losses at N quad voltages, n = 0.098 to 0.144; 24 take half a minute")
    ] = 0,
) -> None:
    """Tunes, closed orbit, dispersion, chromaticity, detuning and beam frequencies, from the tracker itself.

    Example: gm2sim optics run1a --plots out/optics

    With --json the functions of azimuth are printed too: gm2sim optics run1a --json --azimuths 72
    """
    from gm2sim.config import load
    from gm2sim.optics import optics as measure
    from gm2sim.terminal import print_table, say

    found = measure(load(preset, overrides(set_)), azimuths, beam=plots is not None, scan_steps=scan)
    files: list[Path] = []
    if plots is not None:
        from gm2sim.optics_pictures import write_plots

        files = write_plots(found, plots, kind)
    if as_json:
        print_json(found.content() | ({"plots": [str(path) for path in files]} if files else {}))
        return
    rows = [
        (name, f"{value:.9g}" if error is None else f"{value:.6g} ± {error:.2g}", unit, meaning)
        for name, value, error, unit, meaning in found.rows()
    ]
    print_table(f"Optics of {preset}", ("quantity", "value", "unit", "meaning"), rows)
    for path in files:
        say(f"wrote {path}")


@app.command()
def track(
    preset: Preset,
    bunch: Annotated[Path, typer.Option(metavar="FILE", help="muons: .h5, .csv, BLTrackFile or openPMD")],
    turns: Annotated[int, typer.Option(help="turns to go")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="HDF5 file of what the observers see")],
    every: Annotated[int, typer.Option(metavar="K", help="turns between samples")] = 1,
    observer: Annotated[
        list[float] | None, typer.Option(metavar="DEG", help="azimuth of samples from the inflector exit; 0 if none")
    ] = None,
    kicked: Annotated[
        bool, typer.Option("--kicked", help="the muons feel the kickers and the metal of collimators")
    ] = False,
    at: Annotated[
        str, typer.Option(metavar="PLACE", help="where straight coordinates of a file stand")
    ] = "design orbit",
    backend: Annotated[str, typer.Option(help="auto, cpu or gpu; gpu never falls back")] = "auto",
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file that --out names")] = False,
    as_json: Json = False,
) -> None:
    """Track your own muons: turn-by-turn phase space and spin at observers.

    Example: gm2sim track run1a --bunch muons.csv --turns 1000 --out tracked.h5 --every 10 --observer 180
    """
    from gm2sim.config import load
    from gm2sim.terminal import say
    from gm2sim.track import track as follow

    found = follow(
        load(preset, overrides(set_)), bunch, turns, out, every=every, observers=observer or (0.0,), kicked=kicked,
        place=at, backend=backend, force=force, progress=not as_json,
    )  # fmt: skip
    show(found.record() if as_json else found, as_json, say)


@app.command()
def studies(as_json: Json = False) -> None:
    """List the systematic studies.

    Example: gm2sim studies
    """
    from gm2sim.studies.display import list_rows
    from gm2sim.terminal import print_records

    show(list_rows(), as_json, lambda rows: print_records("Studies", rows))


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="a study (see gm2sim studies)")],
    preset: Preset,
    set_: Set = None,
    muons: Annotated[int | None, typer.Option(help="size; the study's own when left out")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the muons")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="write the picture (.png, .svg, .pdf)")] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the map of a study that makes one (.h5)")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make one systematic study: our number and its error beside formula and published value.

    Example: gm2sim study e-field run1a --plot e_field.png
    """
    from gm2sim.config import load
    from gm2sim.studies import run_study
    from gm2sim.studies.display import check_picture, check_save, save_data, save_plot, say_outcome

    check_picture(plot)
    check_save(name, save)
    found = run_study(name, load(preset, overrides(set_)), muons=muons, seed=seed)
    if plot is not None:
        save_plot(found, plot)
    if save is not None:
        save_data(found, save)
    show(found.record() if as_json else found, as_json, say_outcome)


@app.command()
def reproduce(
    what: Annotated[str, typer.Argument(help="run1: the corrections of the four data sets of Run-1")] = "run1",
    seed: Annotated[int | None, typer.Option(help="seed of the muons")] = None,
    as_json: Json = False,
) -> None:
    """Simulate every row of the experiment's correction table, beside the published one.

    Example: gm2sim reproduce run1
    """
    from gm2sim.studies.display import say_corrections
    from gm2sim.studies.reproduce import reproduce as make

    found = make(what, seed=seed)
    show([row.record() for row in found] if as_json else found, as_json, say_corrections)


@app.command()
def fit(
    folder: Folder,
    method: Annotated[
        str, typer.Option(help="T: positrons above threshold, A: weighted with their asymmetry, Q: all energy")
    ] = "T",
    pileup: Annotated[bool, typer.Option("--pileup", help="subtract pileup by the shadow window (T, A)")] = False,
    quality: Annotated[
        str | None, typer.Option(metavar="DB", help="leave out the fills that data quality flags (T, A)")
    ] = None,
    as_json: Json = False,
) -> None:
    """Reconstruct the raw files of a run and fit the anomalous precession frequency.

    Example: gm2sim fit out/run1a --method A
    """
    from gm2sim.analysis import fit as fit_run
    from gm2sim.terminal import print_table

    result = fit_run(folder, method, pileup, quality)
    if as_json:
        print_json(result)
    else:
        rows = [(name, f"{value:.9g}", f"{error:.3g}", unit) for name, value, error, unit in result["parameters"]]
        print_table(f"Wiggle fit of {folder}: {result['verdict']}", ("parameter", "value", "error", "unit"), rows)


@app.command()
def report(folder: Folder) -> None:
    """Write report.html: pictures and numbers of a run, one file that works offline.

    Example: gm2sim report out/run1a
    """
    from gm2sim.report import report as build
    from gm2sim.terminal import say

    say(f"wrote {build(folder)}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """What this machine has, what it lacks, and what to type.

    Example: gm2sim doctor
    """
    from gm2sim.doctor import doctor as examine
    from gm2sim.terminal import print_records

    show(examine(), as_json, lambda rows: print_records("gm2sim doctor", rows))


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="smaller samples")] = False,
    as_json: Json = False,
) -> None:
    """Speeds of this machine beside its own limits, and peers where they are installed.

    Example: gm2sim bench --quick
    """
    from gm2sim.bench import bench as measure
    from gm2sim.terminal import print_records

    show(measure(quick=quick), as_json, lambda rows: print_records("gm2sim bench", rows))
