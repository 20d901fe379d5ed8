"""The commands about the truth beside the reconstruction."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json

truth_app = typer.Typer(help="The truth beside the reconstruction.", no_args_is_help=True)


@truth_app.command("match")
def truth_match(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the output folder of a run")],
    window: Annotated[float, typer.Option(metavar="NS", help="largest time from a cluster to its particle [ns]")] = 5.0,
    plots: Annotated[bool, typer.Option(help="draw pictures too")] = True,
    as_json: Json = False,
) -> None:
    """Efficiency, fakes, pileup, energy and time resolution of the reconstruction, in bins, with errors.

    Writes truth_match.json, .csv, .h5 and pictures into the folder.

    Example: gm2sim truth match out/run1a
    """
    from gm2sim.terminal import print_table, say
    from gm2sim.truth_match import TABLE_COLUMNS, table_rows
    from gm2sim.truth_match import truth_match as make

    found = make(folder, window=window * 1e-9, plots=plots)
    if as_json:
        print_json(found.record() | {"files": [str(path) for path in found.files]})
        return
    print_table(f"Reconstruction of {folder} beside the truth", TABLE_COLUMNS, table_rows(found.bins))
    for name, value in found.summary().items():
        if isinstance(value, int | float):
            say(f"{name.replace('_', ' ')}: {value:g}")
    for path in found.files:
        say(f"wrote {path}")
