"""The command that finds tracks."""

from pathlib import Path
from typing import Annotated

import typer

from gm2sim.cli_options import Json, print_json


def tracks(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the output folder of a run")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="HDF5 file of the tracks; tracks.h5 in the folder without")
    ] = None,
    quality: Annotated[
        str | None, typer.Option(metavar="DB", help="leave out the fills that data quality flags")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find and fit the positron tracks of a run's raw files, and where they left the beam.

    Example: gm2sim tracks out/run1a
    """
    from gm2sim.outputs import raw_files
    from gm2sim.quality import BAD_FOR_TRACKS
    from gm2sim.quality.folder import events_to_skip
    from gm2sim.terminal import print_table, say
    from gm2sim.tracks.files import save_tracks, summary, tracks_of

    raw = raw_files(folder)
    skip = events_to_skip(raw, quality, BAD_FOR_TRACKS) if quality is not None else ()
    found = tracks_of(raw, skip=skip)
    path = save_tracks(out or folder / "tracks.h5", found)
    facts = summary(found)
    if as_json:
        print_json(facts | {"file": str(path)})
        return
    print_table(f"Tracks of {folder}", ("", ""), [(name, f"{value:.4g}") for name, value in facts.items()])
    say(f"wrote {path}")
