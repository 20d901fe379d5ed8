"""The second pass, full production: positrons and tracks with the constants of a tag, bad fills left out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gm2sim import __version__
from gm2sim.atomic import sha256, write_json
from gm2sim.calibration import Calibration
from gm2sim.clusters import Clusters, put_clusters
from gm2sim.conditions import Conditions, calorimeter_constants
from gm2sim.conditions.trackers import tracker_constants
from gm2sim.config import Config, ConfigError
from gm2sim.electronics import calorimeter_folders, calorimeter_settings
from gm2sim.hdf5 import new_file
from gm2sim.outputs import raw_files
from gm2sim.passes.files import RunFiles, run_files
from gm2sim.passes.writers import reading
from gm2sim.quality.book import FILE
from gm2sim.quality.flags import BAD_FOR_POSITRONS, BAD_FOR_TRACKS
from gm2sim.quality.folder import events_to_skip
from gm2sim.reco import reconstruct
from gm2sim.trackers import tracker_folders

METADATA_FORMAT = 1


def full(
    folder: Path,
    db: str,
    tag: str,
    out: Path,
    *,
    quality: Path | str | None = None,
    tracks: bool = True,
    allow_open: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Reconstruct the raw files of a run with the constants of a tag; nothing begins before all of them are there.

    Parameters
    ----------
    folder : Path
        Output folder of a run.
    db : str
        Conditions: a file (.toml) or a database.
    tag : str
    out : Path
        HDF5 file of what is found; its metadata come beside it with the ending .json.
    quality : path or address, optional
        Book of data quality; ``quality.sqlite`` in the folder without.
    tracks : bool
        Find tracks too, where trackers have been read out.
    allow_open : bool
        Use a tag of a database that is not frozen and may still change.
    force : bool
        Replace ``out``.

    Returns
    -------
    dict
        The metadata.

    Raises
    ------
    ConfigError
        Constants or data quality of a subrun are missing, or ``out`` cannot be written.
    """
    if out.suffix == ".json":
        raise ConfigError(f"'{out}' is where the metadata would be: choose an --out that ends in .h5")
    for path in (out, out.with_suffix(".json")):
        if path.exists() and not force:
            raise ConfigError(f"'{path}' exists already: choose another --out or replace it with --force")
    if not out.parent.is_dir():
        raise ConfigError(f"there is no folder '{out.parent}': make it or choose another --out")
    files = run_files(raw_files(folder))
    with reading(db, tag, allow_open=allow_open) as conditions:
        metadata = _reconstructed(files, conditions, tag, quality or folder / FILE, out, tracks, force)
    metadata["files"] = {out.name: {"size": out.stat().st_size, "sha256": sha256(out)}}
    write_json(out.with_suffix(".json"), metadata, replace=force)
    return metadata


def _reconstructed(
    files: RunFiles, conditions: Conditions, tag: str, book: Path | str, out: Path, tracks: bool, force: bool
) -> dict[str, Any]:
    """Reconstruct and write; the metadata but for the size of the file."""
    with_tracks = tracks and files.config.transport.trackers
    require_all(conditions, files, with_tracks)
    skip = events_to_skip(files.paths, book, BAD_FOR_POSITRONS)
    calibrations = {subrun: calibration_of(conditions, files.config, files.run, subrun) for subrun in files.subruns}
    clusters = Clusters.concatenate(
        reconstruct(path, calibrations[subrun], skip=skip)
        for path, subrun in zip(files.paths, files.subruns, strict=True)
    )
    found = _tracks(conditions, files, book) if with_tracks else None
    metadata = _metadata(files, conditions, tag, skip, clusters.time.size)
    with new_file(out, replace=force) as file:
        put_clusters(file, clusters)
        if found is not None:
            from gm2sim.tracks.files import put_tracks

            put_tracks(file, found)
            metadata["counts"]["tracks"] = found.tracks.n
        for subrun, known in calibrations.items():
            text = json.dumps(known.as_tree())
            file.create_dataset(f"calibration/{subrun}", data=text).attrs["meaning"] = "JSON of the calibration used"
        for name, value in metadata.items():
            file.attrs[name] = value if isinstance(value, str | int) else json.dumps(value)
    return metadata


def require_all(conditions: Conditions, files: RunFiles, tracks: bool) -> None:
    """See that constants hold for every subrun, before any work.

    Raises
    ------
    ConditionsError
        For the first folder and subrun without: names them.
    """
    for name in (*calorimeter_folders(files.config), *(tracker_folders(files.config) if tracks else ())):
        for subrun in files.subruns:
            conditions.interval(name, files.run, subrun)


def calibration_of(conditions: Conditions, config: Config, run: int, subrun: int) -> Calibration:
    """The calibration of one subrun by looked-up constants; energy scale and sampling are those of the design."""
    settings = calorimeter_settings(config)
    constants = calorimeter_constants(conditions, run, subrun, settings=settings, folders=calorimeter_folders(config))
    return Calibration.of(settings, constants)


def _tracks(conditions: Conditions, files: RunFiles, book: Path | str) -> Any:
    from gm2sim.tracks.files import tracks_of

    folders = tracker_folders(files.config)
    skip = events_to_skip(files.paths, book, BAD_FOR_TRACKS)
    return tracks_of(
        files.paths, skip=skip, constants_of=lambda subrun: tracker_constants(conditions, files.run, subrun, folders)
    )


def _metadata(
    files: RunFiles, conditions: Conditions, tag: str, skip: Sequence[int] | frozenset[int], clusters: int
) -> dict[str, Any]:
    """What the catalogue wants to know, in the form of the metadata of raw files."""
    return {
        "format": METADATA_FORMAT,
        "data_tier": "reco",
        "simulated": True,
        "run": files.run,
        "subrun": files.subruns[0],
        "subruns": files.subruns,
        "version": __version__,
        "config_hash": files.config.hash,
        "seed": files.config.run.seed,
        "tag": tag,
        "conditions": conditions.version,
        "parents": [path.name for path in files.paths],
        "skipped_events": sorted(skip),
        "counts": {"clusters": clusters},
    }
