"""The first pass, pre-production: quality of every fill, and constants for the second pass."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gm2sim.conditions import Interval, Table
from gm2sim.conditions.folders import CALO_PEDESTAL, CHANNEL_STATUS, OOF_CORRECTION, TIME_ALIGNMENT
from gm2sim.electronics import calorimeter_folders
from gm2sim.outputs import raw_files
from gm2sim.passes.derive import Means, RunData, channel_status, run_data
from gm2sim.passes.files import RunFiles, run_files
from gm2sim.passes.writers import open_writer, whole_run
from gm2sim.quality.assess import assess
from gm2sim.quality.book import FILE, bad_events, write_rows
from gm2sim.quality.flags import Flag
from gm2sim.quality.status import rows_of
from gm2sim.trackers import tracker_folders

Floats = NDArray[np.float64]
_NS = 1e9


def pre(folder: Path, db: str, tag: str, quality: Path | str | None = None) -> dict[str, Any]:
    """Derive constants and quality from the raw files of a run and write them; doing it again changes nothing.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    db : str
        Conditions: a file (.toml) or a database.
    tag : str
    quality : path or address, optional
        Book of data quality; ``quality.sqlite`` in the folder without.

    Returns
    -------
    dict
        ``written``: folder and intervals of what was derived; ``new``: how many tables were not there before;
        ``loaded``: folders that the second pass needs and that this one cannot derive; ``fills``, ``bad``.

    Raises
    ------
    ConfigError
        There is nothing to reconstruct, or constants cannot be written.
    """
    files = run_files(raw_files(folder))
    book = quality or folder / FILE
    assessed = assess(files.paths)
    write_rows(book, rows_of(assessed))
    dark = bad_events(book, files.run, files.subruns, Flag.LASER)
    tables, missing = derived_tables(run_data(files.paths, files.config, dark), files)
    writer = open_writer(db, tag)
    new = writer.write(tables)
    due = (*calorimeter_folders(files.config), *tracker_folders(files.config))
    derived = {table.folder.name for table in tables}
    return {
        "run": files.run,
        "written": [{"folder": table.folder.name, "valid": str(table.interval)} for table in tables],
        "new": new,
        "loaded": [{"folder": name, "why": missing.get(name, "not derived from a run")} for name in due
                   if name not in derived],
        "fills": int(assessed.measures.muons.sum()),
        "bad": int((assessed.measures.muons & ~assessed.good).sum()),
    }  # fmt: skip


def derived_tables(found: RunData, files: RunFiles) -> tuple[list[Table], dict[str, str]]:
    """Tables for the folders of effects that are on, and why others of these could not be made.

    Parameters
    ----------
    found : RunData
    files : RunFiles
    """
    due = set(calorimeter_folders(files.config))
    run = whole_run(files.run, 1 + max(files.subruns))
    tables: list[Table] = []
    missing: dict[str, str] = {}
    status, factor = channel_status(found, files.config)
    dead = status == 1.0
    if np.isfinite(found.pedestals.pedestal).all():
        columns = {"pedestal": found.pedestals.pedestal, "even_odd": found.pedestals.even_odd}
        tables.append(Table.of(CALO_PEDESTAL, run, columns))
    else:
        missing[CALO_PEDESTAL.name] = "no look at the pedestals of some channels"
    for subrun in files.subruns:
        gain = filled(found.gain.get(subrun), list(found.gain.values()), dead)
        if gain is None:
            missing[OOF_CORRECTION.name] = "no fills of the laser"
        elif OOF_CORRECTION.name in due:
            interval = Interval((files.run, subrun), (files.run, subrun))
            tables.append(Table.of(OOF_CORRECTION, interval, {"gain": gain}))
    offset = filled(found.offset, [], dead, nothing=0.0)
    if offset is None:
        missing[TIME_ALIGNMENT.name] = "no pulses of the laser before the fills"
    elif TIME_ALIGNMENT.name in due:
        tables.append(Table.of(TIME_ALIGNMENT, run, _split(_NS * offset)))
    if CHANNEL_STATUS.name in due:
        tables.append(Table.of(CHANNEL_STATUS, run, {"status": status, "noise_factor": factor}))
    return tables, missing


def filled(own: Means | None, others: list[Means], dead: NDArray[np.bool_], nothing: float = 1.0) -> Floats | None:
    """Means of all channels: those of the subrun, else of the run; a number that does nothing for dead channels.

    Returns
    -------
    array (24, 54) or None
        None where a channel that is alive was never measured.
    """
    result = np.full(dead.shape, np.nan) if own is None else own.mean.copy()
    for channel in np.argwhere(~np.isfinite(result) & ~dead):
        at = tuple(channel)
        known = [(one.number[at], one.mean[at]) for one in others if one.number[at]]
        if not known:
            return None
        result[at] = np.average([mean for _, mean in known], weights=[number for number, _ in known])
    return np.where(np.isfinite(result), result, nothing)


def _split(offset: Floats) -> dict[str, Floats]:
    """Offsets of channels as that of the calorimeter and that of the crystal in it, columns of the folder."""
    calo = np.repeat(offset.mean(axis=1, keepdims=True), offset.shape[1], axis=1)
    return {"calo_offset": calo, "xtal_offset": offset - calo}
