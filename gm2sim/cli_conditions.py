"""The commands about constants by run and subrun."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, Preset, Set, overrides, show

conditions_app = typer.Typer(help="Constants of the detectors by run and subrun.", no_args_is_help=True)


@conditions_app.command("show")
def conditions_show(
    preset: Preset,
    folder: Annotated[str, typer.Option(help="list the channels of one folder; all folders in short without")] = "",
    run_number: Annotated[int | None, typer.Option("--run", help="run number; that of the preset without")] = None,
    subrun: Annotated[int, typer.Option(help="subrun", min=0)] = 0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Constants that a run is simulated and reconstructed with.

    Example: gm2sim conditions show run1a --folder calo_gain --run 15921
    """
    from gm2sim.conditions.show import channels, overview
    from gm2sim.config import resolve
    from gm2sim.setup import conditions_of
    from gm2sim.terminal import print_records

    flags = {} if run_number is None else {"run.run": run_number}
    config = resolve(preset, overrides(set_) | flags, {"run.run": "--run"}).config
    run = config.run.run
    conditions = conditions_of(config)
    found = channels(conditions, folder, run, subrun) if folder else overview(conditions, run, subrun)
    title = f"Conditions of run {run} subrun {subrun}, {conditions.version}"
    show(found, as_json, lambda rows: print_records(title, rows))


@conditions_app.command("write")
def conditions_write(
    preset: Preset,
    out: Annotated[Path, typer.Option(metavar="FILE", help="file of constants (.toml)")],
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file that --out names")] = False,
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
