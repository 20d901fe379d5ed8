"""Data quality of the folder of a run: assess it, report it, and tell a reconstruction what to skip."""

from pathlib import Path
from typing import Any

from gm2sim.atomic import write_bytes, write_json
from gm2sim.errors import ConfigError
from gm2sim.outputs import configuration, raw_files
from gm2sim.quality.assess import Assessment, assess
from gm2sim.quality.book import FILE, bad_events, read_rows, write_rows
from gm2sim.quality.flags import BAD_FOR_POSITRONS, Flag
from gm2sim.quality.live import live_fractions
from gm2sim.quality.status import rows_of
from gm2sim.raw import open_run

PICTURE, SUMMARY = "quality.png", "quality.json"


def assess_folder(folder: Path, where: Path | str | None = None) -> Assessment:
    """Assess the raw files of a run and write the flags into a book; what it had of the run's subruns is replaced.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    where : path or address, optional
        Of the book; ``quality.sqlite`` in the folder without.

    Raises
    ------
    ConfigError, RawFormatError
        There is nothing to assess, or it cannot be read or written.
    """
    found = assess(raw_files(folder))
    write_rows(where or folder / FILE, rows_of(found))
    return found


def report_folder(folder: Path, where: Path | str | None = None) -> dict[str, Any]:
    """Live fraction and status of the subruns of a run; writes quality.json and quality.png into its folder.

    Parameters
    ----------
    folder : Path
    where : path or address, optional
        Of the book.

    Raises
    ------
    ConfigError
        The run has not been assessed.
    """
    run = configuration(folder).run.run
    book = where or folder / FILE
    rows = read_rows(book, run)
    flags = rows["fill_flags"]
    if not flags:
        raise ConfigError(f"'{book}' holds no data quality of run {run}: make it with `gm2sim quality assess {folder}`")
    columns = ([row[name] for row in flags] for name in ("fill_type", "flags", "ctags"))
    content = {
        "run": run,
        "live": [row._asdict() for row in live_fractions(*columns)],
        "subruns": rows["subrun_status"],
        "files": [str(folder / SUMMARY), str(folder / PICTURE)],
    }
    from gm2sim.plots.quality import flags_by_event

    write_bytes(folder / PICTURE, flags_by_event(flags).picture("png", dpi=120), replace=True)
    write_json(folder / SUMMARY, content, replace=True)
    return content


def events_to_skip(paths: list[Path], where: Path | str, flags: Flag = BAD_FOR_POSITRONS) -> frozenset[int]:
    """Serial numbers of the events of a run's raw files that have any of some flags.

    Parameters
    ----------
    paths : list of Path
        Of one run.
    where : path or address
        Of the book.
    flags : Flag

    Raises
    ------
    ConfigError
        A subrun has not been assessed.
    """
    opened = [open_run(path) for path in paths]
    return bad_events(where, opened[0].run, {one.subrun or 0 for one in opened}, flags)
